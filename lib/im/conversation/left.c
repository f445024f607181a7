/* Tombstones: which conversations of a user went away, and when, so that a client that asks for
 * changes learns of them.  One row per uid, newest first, bounded. */
#include "im/conversation/conversation.h"

#define ENTRIES_MAX 256
#define BYTES_MAX 65536
#define FORMAT 1

/* The new entry, then the old ones but the same channel's, within the bounds. */
static void rewrite(struct wk_buf *out, wkim_slice old, const struct wk_channel_key *key,
                    uint64_t now_ms)
{
    struct wk_cursor c = wk_cursor(old);
    bool known = wk_cursor_u8(&c) == FORMAT;
    uint64_t dropped = known ? wk_cursor_u64(&c) : 0;
    struct wk_buf kept = WK_BUF_INIT;
    uint32_t n = 1;

    im_channel_key_encode(&kept, key->type, key->id);
    wk_buf_u64(&kept, now_ms);
    while (known && wk_cursor_left(&c) && !c.bad) {
        struct wk_channel_key k;
        im_channel_key_decode(&c, &k);
        uint64_t ms = wk_cursor_u64(&c);
        if (c.bad || (k.type == key->type && wk_slice_eq(k.id, key->id)))
            continue;
        if (n == ENTRIES_MAX || kept.n + k.id.n > BYTES_MAX) {
            dropped = ms > dropped ? ms : dropped;
            continue;
        }
        im_channel_key_encode(&kept, k.type, k.id);
        wk_buf_u64(&kept, ms);
        n++;
    }
    wk_buf_u8(out, FORMAT);
    wk_buf_u64(out, dropped);
    wk_buf_bytes(out, kept.p, kept.n);
    out->oom |= kept.oom;
    wk_buf_fini(&kept);
}

int im_left_note(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                 const struct wk_channel_key *key, uint64_t now_ms)
{
    struct wk_buf stored = WK_BUF_INIT, row = WK_BUF_INIT;
    wkim_slice old = wk_slice(NULL, 0);
    int rc = im_round_get(is, IM_ROUND_LEFT, uid, &old);

    if (rc == WKIM_ENOTFOUND) {
        rc = wk_row_get(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_LEFT, uid, &stored);
        old = wk_buf_slice(&stored);
    }
    if (rc == WKIM_OK || rc == WKIM_ENOTFOUND) {
        rewrite(&row, old, key, now_ms);
        rc = row.oom ? WKIM_ENOMEM
                     : im_round_put(is, IM_ROUND_LEFT, uid, wk_buf_slice(&row));
    }
    if (rc == WKIM_OK)
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_LEFT, uid, wk_buf_slice(&row));
    wk_buf_fini(&stored);
    wk_buf_fini(&row);
    return rc;
}

int im_left_read(struct im_slot *is, wkim_slice uid, uint64_t *kept_since_ms,
                 int (*each)(void *arg, const struct wk_channel_key *key, uint64_t left_ms),
                 void *arg)
{
    struct wk_buf row = WK_BUF_INIT;
    int rc = wk_row_get(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_LEFT, uid, &row);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&row));

    *kept_since_ms = 0;
    if (rc == WKIM_OK && wk_cursor_u8(&c) != FORMAT)
        rc = WKIM_ECORRUPT;
    if (rc == WKIM_OK)
        *kept_since_ms = wk_cursor_u64(&c);
    while (rc == WKIM_OK && each && wk_cursor_left(&c) && !c.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&c, &key);
        uint64_t ms = wk_cursor_u64(&c);
        if (!c.bad)
            rc = each(arg, &key, ms);
    }
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : c.bad ? WKIM_ECORRUPT : rc;
}
