/* sent: u64 hash(channel, uid) | channel | uid -> u8 format | varint seq.  The hash stands first
 * because the index column finds its rows by a prefix of fixed length. */
#include "store/txn.h"
#include "base/cursor.h"
#include "base/hash.h"

#define FORMAT 1

static void sent_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch,
                     wkim_slice uid)
{
    uint64_t seed = wk_hash64(ch->id.p, ch->id.n, ch->type);

    wk_key_init(k, slot, WK_TABLE_SENT);
    wk_key_u64(k, wk_hash64(uid.p, uid.n, seed));
    wk_key_channel(k, ch);
    wk_key_id(k, uid);
}

void wk_sent_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, wkim_slice uid,
                 uint64_t seq)
{
    struct wk_key k;

    sent_key(&k, slot, ch, uid);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_INDEX, &k, 16);
    wk_buf_u8(b, FORMAT);
    wk_buf_varint(b, seq);
    wk_txn_put_end(t);
}

static int decode(void *arg, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    uint64_t seq = wk_cursor_varint(&c);
    if (c.bad || wk_cursor_left(&c) != 0)
        return WKIM_ECORRUPT;
    *(uint64_t *)arg = seq;
    return WKIM_OK;
}

int wk_sent_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, wkim_slice uid,
                uint64_t *seq)
{
    struct wk_key k;

    sent_key(&k, slot, ch, uid);
    return wk_store_get(s, WK_COLUMN_INDEX, &k, decode, seq);
}
