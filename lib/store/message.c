/* messages: u32 hash(channel) | channel | seq -> u8 format | record */
#include "store/txn.h"
#include "base/cursor.h"
#include "base/hash.h"

#define FORMAT 1

static void message_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch,
                        uint64_t seq)
{
    uint64_t hash = wk_hash64(ch->id.p, ch->id.n, ch->type);

    wk_key_init(k, slot, WK_TABLE_MESSAGE);
    wk_key_u32(k, (uint32_t)hash);
    wk_key_channel(k, ch);
    wk_key_u64(k, seq);
}

/* The end of a range that includes seq; it has the prefix of the channel too, as the filters of
 * the back end need it. */
static void message_key_behind(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch,
                               uint64_t seq)
{
    message_key(k, slot, ch, seq);
    wk_key_u8(k, 0);
}

void wk_message_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch, uint64_t seq,
                    wkim_slice record)
{
    struct wk_key k;

    message_key(&k, slot, ch, seq);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_MESSAGES, &k, record.n + 1);
    wk_buf_u8(b, FORMAT);
    wk_buf_bytes(b, record.p, record.n);
    wk_txn_put_end(t);
}

void wk_message_delete(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                       uint64_t seq)
{
    struct wk_key k;

    message_key(&k, slot, ch, seq);
    wk_txn_delete(t, WK_COLUMN_MESSAGES, &k);
}

void wk_message_delete_range(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                             uint64_t from_seq, uint64_t to_seq)
{
    struct wk_key lo, hi;

    if (from_seq > to_seq)
        return;
    message_key(&lo, slot, ch, from_seq);
    message_key_behind(&hi, slot, ch, to_seq);
    wk_txn_delete_range(t, WK_COLUMN_MESSAGES, &lo, &hi);
}

int wk_message_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch, uint64_t seq,
                   struct wk_buf *out)
{
    struct wk_key k;

    message_key(&k, slot, ch, seq);
    return wk_store_get_bytes(s, WK_COLUMN_MESSAGES, &k, FORMAT, out);
}

struct message_scan {
    wk_message_each each;
    void *arg;
    size_t prefix_bytes;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct message_scan *scan = arg;

    if (key.n != scan->prefix_bytes + 8 || value.n == 0 || value.p[0] != FORMAT)
        return WKIM_ECORRUPT;
    struct wk_cursor c = wk_cursor(wk_slice(key.p + scan->prefix_bytes, 8));
    return scan->each(scan->arg, wk_cursor_u64(&c), wk_slice(value.p + 1, value.n - 1));
}

int wk_message_scan(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                    uint64_t from_seq, uint64_t to_seq, bool descending, wk_message_each each,
                    void *arg)
{
    struct wk_key lo, hi;

    if (from_seq > to_seq)
        return WKIM_OK;
    message_key(&lo, slot, ch, from_seq);
    message_key_behind(&hi, slot, ch, to_seq);
    if (lo.rc != WKIM_OK)
        return lo.rc;
    struct message_scan scan = { each, arg, lo.n - 8 };
    struct wk_range r = { wk_key_slice(&lo), wk_key_slice(&hi), descending, true };
    return s->ops->scan(s->self, WK_COLUMN_MESSAGES, &r, scan_row, &scan);
}

static int take_seq(void *arg, uint64_t seq, wkim_slice record)
{
    (void)record;
    *(uint64_t *)arg = seq;
    return 1;
}

int wk_message_last_seq(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                        uint64_t from_seq, uint64_t *seq)
{
    int rc = wk_message_scan(s, slot, ch, from_seq, UINT64_MAX, true, take_seq, seq);

    if (rc == 1)
        return WKIM_OK;
    return rc == WKIM_OK ? WKIM_ENOTFOUND : rc;
}

struct channel_found {
    struct wk_channel_key *out;
    struct wk_buf *id;
};

/* Takes the key of a message apart: u32 hash | u8 type | u16 length, id | u64 seq. */
static int take_channel(void *arg, wkim_slice key, wkim_slice value)
{
    const struct channel_found *f = arg;
    struct wk_cursor c = wk_cursor(key);
    (void)value;

    (void)wk_cursor_bytes(&c, WK_KEY_MESSAGE_PREFIX_BYTES);
    f->out->type = wk_cursor_u8(&c);
    wkim_slice id = wk_cursor_bytes(&c, wk_cursor_u16(&c));
    if (c.bad || wk_cursor_left(&c) != 8)
        return WKIM_ECORRUPT;
    wk_buf_bytes(f->id, id.p, id.n);
    f->out->id = wk_buf_slice(f->id);
    return f->id->oom ? WKIM_ENOMEM : 1;
}

int wk_message_channel_before(struct wk_store *s, uint32_t slot,
                              const struct wk_channel_key *before, struct wk_channel_key *out,
                              struct wk_buf *id)
{
    struct wk_key lo, hi;

    wk_key_init(&lo, slot, WK_TABLE_MESSAGE);
    if (before) {
        message_key(&hi, slot, before, 0);
    } else {
        hi = lo;
        wk_key_after_prefix(&hi);
    }
    if (hi.rc != WKIM_OK || lo.rc != WKIM_OK)
        return hi.rc != WKIM_OK ? hi.rc : lo.rc;
    struct wk_range r = { wk_key_slice(&lo), wk_key_slice(&hi), true, false };
    struct channel_found f = { out, id };
    wk_buf_clear(id);
    int rc = s->ops->scan(s->self, WK_COLUMN_MESSAGES, &r, take_channel, &f);
    if (rc == 1)
        return WKIM_OK;
    return rc == WKIM_OK ? WKIM_ENOTFOUND : rc;
}
