/* conversations: uid | channel -> u8 format | u8 kind | u8 flags | varint fields.
 * unread_shift is signed and stands zigzag-coded. */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1
#define FLAG_DELETED 1
#define FLAG_ACTIVATED 2

static void conversation_key(struct wk_key *k, uint32_t slot, wkim_slice uid,
                             const struct wk_channel_key *ch)
{
    wk_key_init(k, slot, WK_TABLE_CONVERSATION);
    wk_key_id(k, uid);
    wk_key_channel(k, ch);
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

void wk_conversation_put(struct wk_txn *t, uint32_t slot, wkim_slice uid,
                         const struct wk_channel_key *ch, const struct wk_row_conversation *row)
{
    struct wk_key k;

    conversation_key(&k, slot, uid, ch);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, 64);
    wk_buf_u8(b, FORMAT);
    wk_buf_u8(b, row->kind);
    wk_buf_u8(b, (uint8_t)((row->deleted ? FLAG_DELETED : 0) |
                           (row->activated ? FLAG_ACTIVATED : 0)));
    wk_buf_varint(b, row->read_seq);
    wk_buf_varint(b, row->deleted_seq);
    wk_buf_varint(b, row->join_seq);
    wk_buf_varint(b, zigzag(row->unread_shift));
    wk_buf_varint(b, row->created_ms);
    wk_buf_varint(b, row->updated_ms);
    wk_txn_put_end(t);
}

void wk_conversation_delete(struct wk_txn *t, uint32_t slot, wkim_slice uid,
                            const struct wk_channel_key *ch)
{
    struct wk_key k;

    conversation_key(&k, slot, uid, ch);
    wk_txn_delete(t, WK_COLUMN_METADATA, &k);
}

static int decode(void *arg, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_row_conversation row;

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    row.kind = wk_cursor_u8(&c);
    uint8_t flags = wk_cursor_u8(&c);
    row.deleted = flags & FLAG_DELETED;
    row.activated = flags & FLAG_ACTIVATED;
    row.read_seq = wk_cursor_varint(&c);
    row.deleted_seq = wk_cursor_varint(&c);
    row.join_seq = wk_cursor_varint(&c);
    row.unread_shift = unzigzag(wk_cursor_varint(&c));
    row.created_ms = wk_cursor_varint(&c);
    row.updated_ms = wk_cursor_varint(&c);
    if (c.bad || wk_cursor_left(&c) != 0 || (flags & ~(FLAG_DELETED | FLAG_ACTIVATED)))
        return WKIM_ECORRUPT;
    *(struct wk_row_conversation *)arg = row;
    return WKIM_OK;
}

int wk_conversation_get(struct wk_store *s, uint32_t slot, wkim_slice uid,
                        const struct wk_channel_key *ch, struct wk_row_conversation *out)
{
    struct wk_key k;

    conversation_key(&k, slot, uid, ch);
    return wk_store_get(s, WK_COLUMN_METADATA, &k, decode, out);
}

struct conversation_scan {
    wk_conversation_each each;
    void *arg;
    size_t prefix_bytes;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct conversation_scan *scan = arg;
    struct wk_row_conversation row;
    struct wk_channel_key ch;
    int rc = decode(&row, value);

    if (rc != WKIM_OK)
        return rc;
    wkim_slice rest = wk_slice(key.p + scan->prefix_bytes, key.n - scan->prefix_bytes);
    struct wk_cursor c = wk_cursor(rest);
    ch.type = wk_cursor_u8(&c);
    ch.id = wk_cursor_str16(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    return scan->each(scan->arg, &ch, &row);
}

int wk_conversation_scan(struct wk_store *s, uint32_t slot, wkim_slice uid,
                         wk_conversation_each each, void *arg)
{
    return wk_conversation_scan_after(s, slot, uid, NULL, each, arg);
}

int wk_conversation_scan_after(struct wk_store *s, uint32_t slot, wkim_slice uid,
                               const struct wk_channel_key *after, wk_conversation_each each,
                               void *arg)
{
    struct wk_key lo, hi, at;

    wk_key_init(&lo, slot, WK_TABLE_CONVERSATION);
    wk_key_id(&lo, uid);
    wk_key_init(&hi, slot, WK_TABLE_CONVERSATION);
    wk_key_id(&hi, uid);
    wk_key_after_prefix(&hi);
    if (lo.rc != WKIM_OK)
        return lo.rc;
    struct conversation_scan scan = { each, arg, lo.n };
    if (after) {
        conversation_key(&at, slot, uid, after);
        wk_key_after_prefix(&at); /* no longer id begins with it: its length stands before it */
        if (at.rc != WKIM_OK)
            return at.rc;
    }
    struct wk_range r = { wk_key_slice(after ? &at : &lo), wk_key_slice(&hi), false, false };
    return s->ops->scan(s->self, WK_COLUMN_METADATA, &r, scan_row, &scan);
}
