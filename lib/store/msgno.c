/* msgno: hash64(channel, client_msg_no) -> u8 format | varint seq, varint distance ... */
#include "store/txn.h"
#include "base/cursor.h"
#include "base/hash.h"

#define FORMAT 1

static void msgno_key(struct wk_key *k, uint32_t slot, const struct wk_channel_key *ch,
                      wkim_slice client_msg_no)
{
    uint64_t seed = wk_hash64(ch->id.p, ch->id.n, ch->type);

    wk_key_init(k, slot, WK_TABLE_MSGNO);
    wk_key_u64(k, wk_hash64(client_msg_no.p, client_msg_no.n, seed));
}

void wk_msgno_put(struct wk_txn *t, uint32_t slot, const struct wk_channel_key *ch,
                  wkim_slice client_msg_no, const uint64_t *seqs, size_t n)
{
    struct wk_key k;
    uint64_t last = 0;

    if (n > WK_MSGNO_SEQS_MAX) {
        seqs += n - WK_MSGNO_SEQS_MAX;
        n = WK_MSGNO_SEQS_MAX;
    }
    msgno_key(&k, slot, ch, client_msg_no);
    if (n == 0) {
        wk_txn_delete(t, WK_COLUMN_INDEX, &k);
        return;
    }
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_INDEX, &k, 16);
    wk_buf_u8(b, FORMAT);
    for (size_t i = 0; i < n; i++) {
        wk_buf_varint(b, seqs[i] - last);
        last = seqs[i];
    }
    wk_txn_put_end(t);
}

struct msgno_seqs {
    uint64_t *seqs;
    size_t n;
};

static int decode(void *arg, wkim_slice value)
{
    struct msgno_seqs *out = arg;
    struct wk_cursor c = wk_cursor(value);
    uint64_t last = 0;

    if (wk_cursor_u8(&c) != FORMAT)
        return WKIM_ECORRUPT;
    for (out->n = 0; wk_cursor_left(&c) > 0; out->n++) {
        uint64_t step = wk_cursor_varint(&c);
        if (c.bad || out->n == WK_MSGNO_SEQS_MAX || step > UINT64_MAX - last)
            return WKIM_ECORRUPT;
        last += step;
        out->seqs[out->n] = last;
    }
    return !c.bad && out->n > 0 ? WKIM_OK : WKIM_ECORRUPT;
}

wkim_ssize wk_msgno_get(struct wk_store *s, uint32_t slot, const struct wk_channel_key *ch,
                        wkim_slice client_msg_no, uint64_t seqs[WK_MSGNO_SEQS_MAX])
{
    struct wk_key k;
    struct msgno_seqs out = { seqs, 0 };

    msgno_key(&k, slot, ch, client_msg_no);
    int rc = wk_store_get(s, WK_COLUMN_INDEX, &k, decode, &out);
    if (rc == WKIM_ENOTFOUND)
        return 0;
    return rc == WKIM_OK ? (wkim_ssize)out.n : rc;
}
