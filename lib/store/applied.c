/* applied: u32 0 -> u8 format | u64 index | u64 term.  values: name -> u8 format | bytes.
 *
 * Every batch writes the applied row of its slots, so it stands among the messages, whose memtable
 * remembers where a prefix was written last; the zero makes the key as long as such a prefix. */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1

static void applied_key(struct wk_key *k, uint32_t slot)
{
    wk_key_init(k, slot, WK_TABLE_APPLIED);
    wk_key_u32(k, 0);
}

void wk_applied_put(struct wk_txn *t, uint32_t slot, const struct wk_row_applied *row)
{
    struct wk_key k;

    applied_key(&k, slot);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_MESSAGES, &k, 17);
    wk_buf_u8(b, FORMAT);
    wk_buf_u64(b, row->index);
    wk_buf_u64(b, row->term);
    wk_txn_put_end(t);
}

static int decode(void *arg, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_row_applied row;

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    row.index = wk_cursor_u64(&c);
    row.term = wk_cursor_u64(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    *(struct wk_row_applied *)arg = row;
    return WKIM_OK;
}

int wk_applied_get(struct wk_store *s, uint32_t slot, struct wk_row_applied *out)
{
    struct wk_key k;

    applied_key(&k, slot);
    int rc = wk_store_get(s, WK_COLUMN_MESSAGES, &k, decode, out);
    if (rc != WKIM_ENOTFOUND)
        return rc;
    wk_key_init(&k, slot, WK_TABLE_APPLIED); /* where stores of format 1 may have it */
    return wk_store_get(s, WK_COLUMN_QUEUES, &k, decode, out);
}

static void value_key(struct wk_key *k, uint32_t slot, wkim_slice name)
{
    wk_key_init(k, slot, WK_TABLE_VALUE);
    wk_key_id(k, name);
}

void wk_value_put(struct wk_txn *t, uint32_t slot, wkim_slice name, wkim_slice value)
{
    struct wk_key k;

    value_key(&k, slot, name);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_QUEUES, &k, value.n + 1);
    wk_buf_u8(b, FORMAT);
    wk_buf_bytes(b, value.p, value.n);
    wk_txn_put_end(t);
}

int wk_value_get(struct wk_store *s, uint32_t slot, wkim_slice name, struct wk_buf *out)
{
    struct wk_key k;

    value_key(&k, slot, name);
    return wk_store_get_bytes(s, WK_COLUMN_QUEUES, &k, FORMAT, out);
}
