/* users: uid -> u8 format | varint created_ms, updated_ms | str plugin_no */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1

static void user_key(struct wk_key *k, uint32_t slot, wkim_slice uid)
{
    wk_key_init(k, slot, WK_TABLE_USER);
    wk_key_id(k, uid);
}

void wk_user_put(struct wk_txn *t, uint32_t slot, wkim_slice uid, const struct wk_row_user *row)
{
    struct wk_key k;

    user_key(&k, slot, uid);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, row->plugin_no.n + 40);
    wk_buf_u8(b, FORMAT);
    wk_buf_varint(b, row->created_ms);
    wk_buf_varint(b, row->updated_ms);
    wk_buf_str(b, row->plugin_no);
    wk_txn_put_end(t);
}

struct user_out {
    struct wk_row_user *row;
    struct wk_buf *text;
};

static int decode(void *arg, wkim_slice value)
{
    const struct user_out *out = arg;
    struct wk_cursor c = wk_cursor(value);

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    out->row->created_ms = wk_cursor_varint(&c);
    out->row->updated_ms = wk_cursor_varint(&c);
    wkim_slice plugin_no = wk_cursor_str(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    if (wk_buf_reserve(out->text, plugin_no.n) != WKIM_OK)
        return WKIM_ENOMEM;
    wk_buf_bytes(out->text, plugin_no.p, plugin_no.n);
    return WKIM_OK;
}

int wk_user_get(struct wk_store *s, uint32_t slot, wkim_slice uid, struct wk_row_user *out,
                struct wk_buf *text)
{
    struct wk_key k;
    struct wk_row_user row = { 0 };
    struct user_out u = { &row, text };

    wk_buf_clear(text);
    user_key(&k, slot, uid);
    int rc = wk_store_get(s, WK_COLUMN_METADATA, &k, decode, &u);
    if (rc != WKIM_OK)
        return rc;
    row.plugin_no = wk_buf_slice(text);
    *out = row;
    return WKIM_OK;
}
