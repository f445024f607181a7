/* Tombstones: which conversations of a user went away, and when, so that a client that asks for
 * changes learns of them.  One row per uid, newest first, bounded. */
#include "im/internal.h"

#define ENTRIES_MAX 256
#define BYTES_MAX 65536
#define FORMAT 1

/* A row changed in the round under way: the store does not show it yet. */
struct left {
    struct wk_map_entry entry;
    struct wk_buf row;
    size_t n;
    uint8_t uid[];
};

void im_left_clear(struct im_slot *is)
{
    struct wk_map_entry *e;

    while (is->left.count && (e = wk_map_next(&is->left, NULL))) {
        struct left *l = WK_CONTAINER(e, struct left, entry);
        wk_map_remove(&is->left, e);
        wk_buf_fini(&l->row);
        wk_free(l);
    }
}

static int left_get(struct im_slot *is, wkim_slice uid, struct left **out)
{
    struct wk_map_entry *e = wk_map_get(&is->left, uid);

    if (e) {
        *out = WK_CONTAINER(e, struct left, entry);
        return WKIM_OK;
    }
    struct left *l = wk_calloc(1, sizeof(*l) + uid.n);
    if (!l)
        return WKIM_ENOMEM;
    l->n = uid.n;
    memcpy(l->uid, uid.p, uid.n);
    int rc =
        wk_row_get(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_LEFT, uid, &l->row);
    if (rc == WKIM_OK || rc == WKIM_ENOTFOUND)
        rc = wk_map_put(&is->left, &l->entry, wk_slice(l->uid, l->n));
    if (rc != WKIM_OK) {
        wk_buf_fini(&l->row);
        wk_free(l);
        return rc;
    }
    *out = l;
    return WKIM_OK;
}

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
    struct wk_buf row = WK_BUF_INIT;
    struct left *l;
    int rc = left_get(is, uid, &l);

    if (rc != WKIM_OK)
        return rc;
    rewrite(&row, wk_buf_slice(&l->row), key, now_ms);
    if (row.oom) {
        wk_buf_fini(&row);
        return WKIM_ENOMEM;
    }
    wk_buf_fini(&l->row);
    l->row = row;
    wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_LEFT, uid, wk_buf_slice(&l->row));
    return WKIM_OK;
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
