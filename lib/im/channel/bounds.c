/* What of a channel can be read: from where to where, and which messages are over. */
#include "im/channel/bounds.h"

int im_bounds_get(struct im_slot *is, const struct wk_channel_key *key, struct im_bounds *out)
{
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    struct wk_row_channel row = { 0 };
    uint64_t last = 0;

    int rc = wk_channel_get(st, slot, key, &row);
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    out->first = row.retained_from ? row.retained_from : 1;
    out->holed_to = row.holed_to;
    rc = wk_message_last_seq(st, slot, key, out->first, &last);
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    out->last = last > row.last_seq_floor ? last : row.last_seq_floor;
    return WKIM_OK;
}

bool im_expired(const struct wk_record *r, uint64_t now_ms)
{
    return r->expire_s && r->timestamp_ms + (uint64_t)r->expire_s * 1000 <= now_ms;
}

uint64_t im_read_to(uint64_t read, uint64_t forced, uint64_t own)
{
    return own > read && own > forced ? own : read;
}

void im_hole_key(struct wk_buf *out, const struct wk_channel_key *key, uint64_t seq)
{
    im_channel_key_encode(out, key->type, key->id);
    wk_buf_u64(out, seq);
}

static int count_hole(void *arg, wkim_slice key, wkim_slice value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)arg;
    return 0;
}

int im_holes_count(struct im_slot *is, const struct wk_channel_key *key, const struct im_bounds *b,
                   uint64_t after, uint64_t *n)
{
    struct wk_buf prefix = WK_BUF_INIT, from = WK_BUF_INIT;
    int rc = WKIM_OK;

    *n = 0;
    if (b->holed_to <= after)
        return WKIM_OK;
    im_channel_key_encode(&prefix, key->type, key->id);
    im_hole_key(&from, key, after + 1 > b->first ? after + 1 : b->first);
    if (prefix.oom || from.oom)
        rc = WKIM_ENOMEM;
    else
        rc = wk_row_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), IM_TABLE_HOLE,
                         wk_buf_slice(&prefix), wk_buf_slice(&from), count_hole, n);
    wk_buf_fini(&prefix);
    wk_buf_fini(&from);
    return rc;
}

void im_expiry_key(struct wk_buf *b, uint64_t over_ms, const struct wk_channel_key *key,
                   uint64_t seq)
{
    wk_buf_u64(b, over_ms);
    im_hole_key(b, key, seq);
}

int im_expiry_put(struct im_slot *is, struct wk_txn *txn, const struct wk_record *r)
{
    const struct wk_channel_key key = { r->channel_type, r->channel_id };
    struct wk_buf b = WK_BUF_INIT;

    im_expiry_key(&b, r->timestamp_ms + (uint64_t)r->expire_s * 1000, &key, r->message_seq);
    int rc = b.oom ? WKIM_ENOMEM : WKIM_OK;
    if (rc == WKIM_OK)
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_EXPIRY, wk_buf_slice(&b),
                   wk_slice(NULL, 0));
    wk_buf_fini(&b);
    return rc;
}
