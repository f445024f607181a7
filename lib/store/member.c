/* members: channel | u8 list | uid -> u8 format | varint fields.  uid is the last field, so that a
 * list sorts by its bytes. */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1

static void list_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch, uint8_t list)
{
    wk_key_init(k, slot, WK_TABLE_MEMBER);
    wk_key_channel(k, ch);
    wk_key_u8(k, list);
}

static void member_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch,
                       uint8_t list, wkim_slice uid)
{
    list_key(k, slot, ch, list);
    if (uid.n > WK_ID_BYTES_MAX)
        k->rc = WKIM_ETOOBIG;
    else
        wk_key_tail(k, uid);
}

void wk_member_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                   wkim_slice uid, const struct wk_row_member *row)
{
    struct wk_key k;

    member_key(&k, slot, ch, list, uid);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, 40);
    wk_buf_u8(b, FORMAT);
    wk_buf_varint(b, row->id);
    wk_buf_varint(b, row->created_ms);
    wk_buf_varint(b, row->updated_ms);
    wk_buf_varint(b, row->join_seq);
    wk_txn_put_end(t);
}

void wk_member_delete(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                      uint8_t list, wkim_slice uid)
{
    struct wk_key k;

    member_key(&k, slot, ch, list, uid);
    wk_txn_delete(t, WK_COLUMN_METADATA, &k);
}

void wk_member_delete_all(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                          uint8_t list)
{
    struct wk_key lo, hi;

    list_key(&lo, slot, ch, list);
    list_key(&hi, slot, ch, list);
    wk_key_after_prefix(&hi);
    wk_txn_delete_range(t, WK_COLUMN_METADATA, &lo, &hi);
}

static int decode(void *arg, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_row_member row;

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    row.id = wk_cursor_varint(&c);
    row.created_ms = wk_cursor_varint(&c);
    row.updated_ms = wk_cursor_varint(&c);
    row.join_seq = wk_cursor_varint(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    *(struct wk_row_member *)arg = row;
    return WKIM_OK;
}

int wk_member_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                  wkim_slice uid, struct wk_row_member *out)
{
    struct wk_key k;

    member_key(&k, slot, ch, list, uid);
    return wk_store_get(s, WK_COLUMN_METADATA, &k, decode, out);
}

struct member_scan {
    wk_member_each each;
    void *arg;
    size_t prefix_bytes;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct member_scan *scan = arg;
    struct wk_row_member row;
    int rc = decode(&row, value);

    if (rc != WKIM_OK)
        return rc;
    wkim_slice uid = wk_slice(key.p + scan->prefix_bytes, key.n - scan->prefix_bytes);
    return scan->each(scan->arg, uid, &row);
}

int wk_member_scan(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint8_t list,
                   wkim_slice after, wk_member_each each, void *arg)
{
    struct wk_key lo, hi;

    list_key(&hi, slot, ch, list);
    struct member_scan scan = { each, arg, hi.n };
    wk_key_after_prefix(&hi);
    member_key(&lo, slot, ch, list, after);
    if (after.n > 0)
        wk_key_u8(&lo, 0); /* the smallest key behind `after` */
    if (lo.rc != WKIM_OK)
        return lo.rc;
    struct wk_range r = { wk_key_slice(&lo), wk_key_slice(&hi), false, false };
    return s->ops->scan(s->self, WK_COLUMN_METADATA, &r, scan_row, &scan);
}
