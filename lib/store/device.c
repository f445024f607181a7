/* devices: uid | u8 flag -> u8 format | u8 level | varint created_ms, updated_ms | str token */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1

static void device_key(struct wk_key *k, uint32_t slot, wkim_slice uid, uint8_t flag)
{
    wk_key_init(k, slot, WK_TABLE_DEVICE);
    wk_key_id(k, uid);
    wk_key_u8(k, flag);
}

void wk_device_put(struct wk_txn *t, uint32_t slot, wkim_slice uid, const struct wk_row_device *row)
{
    struct wk_key k;

    device_key(&k, slot, uid, row->flag);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, row->token.n + 40);
    wk_buf_u8(b, FORMAT);
    wk_buf_u8(b, row->level);
    wk_buf_varint(b, row->created_ms);
    wk_buf_varint(b, row->updated_ms);
    wk_buf_str(b, row->token);
    wk_txn_put_end(t);
}

struct device_out {
    struct wk_row_device *row;
    struct wk_buf *token;
};

static int decode(void *arg, wkim_slice value)
{
    const struct device_out *out = arg;
    struct wk_cursor c = wk_cursor(value);

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    out->row->level = wk_cursor_u8(&c);
    out->row->created_ms = wk_cursor_varint(&c);
    out->row->updated_ms = wk_cursor_varint(&c);
    wkim_slice token = wk_cursor_str(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    if (wk_buf_reserve(out->token, token.n) != WKIM_OK)
        return WKIM_ENOMEM;
    wk_buf_bytes(out->token, token.p, token.n);
    return WKIM_OK;
}

int wk_device_get(struct wk_store *s, uint32_t slot, wkim_slice uid, uint8_t flag,
                  struct wk_row_device *out, struct wk_buf *token)
{
    struct wk_key k;
    struct wk_row_device row = { .flag = flag };
    struct device_out d = { &row, token };

    wk_buf_clear(token);
    device_key(&k, slot, uid, flag);
    int rc = wk_store_get(s, WK_COLUMN_METADATA, &k, decode, &d);
    if (rc != WKIM_OK)
        return rc;
    row.token = wk_buf_slice(token);
    *out = row;
    return WKIM_OK;
}
