/* client_msg_no -> message_seq without an index row per message.
 *
 * A channel's messages have one 32-bit fingerprint of their client_msg_no each. The newest ones are
 * in memory with the channel object (WINDOW, the span in which a resend is recognised); every BLOCK
 * of them is also one row, written together with the last message of the block, so that any older
 * message can be found by reading 4 bytes per message. A fingerprint that matches is a candidate:
 * the stored message decides.
 *
 * Measured: a row per message under a random key cost a fifth of the server's CPU, most of it
 * sorting at flush. */
#include "im/channel/msgno.h"
#include "im/channel/bounds.h"
#include "store/txn.h"

#define BLOCK 128u
#define WINDOW 10240u /* a repeat is looked for among the last 10 000 of a channel */
#define SLACK 2048u   /* dropped from the front at once */
#define FILTER_BITS 16u /* per entry: a new number is nearly always known to be new at once */
#define TRIES_MAX 16  /* candidates compared per look-up: a repeated number must stay cheap */

static uint32_t fingerprint(wkim_slice client_msg_no)
{
    if (client_msg_no.n == 0)
        return 0;
    uint32_t h = (uint32_t)wk_hash64(client_msg_no.p, client_msg_no.n, 0x776b696d);
    return h ? h : 1;
}

static void block_key(struct wk_buf *out, const struct wk_channel_key *key, uint64_t block)
{
    im_channel_key_encode(out, key->type, key->id);
    wk_buf_u64(out, block);
}

/* ---- the window in memory -------------------------------------------------------------------- */

static uint32_t filter_words(const struct im_msgnos *m)
{
    return m->cap * FILTER_BITS / 64;
}

/* Two bits in one word: a look-up touches one line of the cache, and a number that is new passes
 * once in some hundred times. */
static uint64_t filter_bits(uint32_t fp)
{
    return 1ull << (fp >> 20 & 63) | 1ull << (fp >> 26);
}

static void filter_add(struct im_msgnos *m, uint32_t fp)
{
    m->filter[fp & (filter_words(m) - 1)] |= filter_bits(fp);
}

static bool filter_has(const struct im_msgnos *m, uint32_t fp)
{
    const uint64_t bits = filter_bits(fp);
    return m->cap && (m->filter[fp & (filter_words(m) - 1)] & bits) == bits;
}

static void filter_rebuild(struct im_msgnos *m)
{
    memset(m->filter, 0, filter_words(m) * sizeof(*m->filter));
    for (uint32_t i = 0; i < m->n; i++)
        filter_add(m, m->fp[i]);
}

static int grow(struct im_msgnos *m)
{
    uint32_t cap = m->cap ? m->cap * 2 : 16; /* a power of two: the filter's mask needs it */
    uint64_t *filter = wk_malloc(cap * FILTER_BITS / 8);
    uint32_t *v = filter ? wk_realloc(m->fp, cap * sizeof(*v)) : NULL;

    if (!v) {
        wk_free(filter);
        return WKIM_ENOMEM;
    }
    wk_free(m->filter);
    m->fp = v;
    m->filter = filter;
    m->cap = cap;
    filter_rebuild(m);
    return WKIM_OK;
}

static int append(struct im_msgnos *m, uint32_t fp)
{
    if (m->n == WINDOW + SLACK) {
        memmove(m->fp, m->fp + SLACK, (m->n - SLACK) * sizeof(*m->fp));
        m->n -= SLACK;
        m->first_seq += SLACK;
        filter_rebuild(m);
    }
    if (m->n == m->cap && grow(m) != WKIM_OK)
        return WKIM_ENOMEM;
    m->fp[m->n++] = fp;
    filter_add(m, fp);
    return WKIM_OK;
}

/* Fingerprints up to, not including, seq are known; gaps (deleted messages) have none. */
static int fill(struct im_msgnos *m, uint64_t seq)
{
    int rc = WKIM_OK;

    while (rc == WKIM_OK && m->first_seq + m->n < seq)
        rc = append(m, 0);
    return rc;
}

static int take_message(void *arg, uint64_t seq, wkim_slice record)
{
    struct im_msgnos *m = arg;
    struct wk_record r;
    int rc = fill(m, seq);

    if (rc == WKIM_OK && m->first_seq + m->n == seq)
        rc = append(m, wk_record_decode(&r, record) == WKIM_OK ? fingerprint(r.client_msg_no) : 0);
    return rc;
}

static int take_block(struct im_msgnos *m, uint64_t block, wkim_slice row)
{
    struct wk_cursor c = wk_cursor(row);
    int rc = fill(m, block * BLOCK + 1);

    while (rc == WKIM_OK && wk_cursor_left(&c) >= 4)
        rc = append(m, wk_cursor_u32(&c));
    return rc;
}

static int load(struct im_slot *is, struct im_channel *ch)
{
    struct im_msgnos *m = &ch->msgnos;
    struct wk_channel_key key = im_channel_key(ch);
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    uint64_t full = ch->last_seq / BLOCK;
    uint64_t block = ch->last_seq > WINDOW ? (ch->last_seq - WINDOW) / BLOCK : 0;
    int rc = WKIM_OK;

    m->first_seq = block * BLOCK + 1;
    m->n = 0;
    for (; rc == WKIM_OK && block < full; block++) {
        struct wk_buf k = WK_BUF_INIT, row = WK_BUF_INIT;
        block_key(&k, &key, block);
        rc = k.oom ? WKIM_ENOMEM : wk_row_get(st, slot, IM_TABLE_MSGNO, wk_buf_slice(&k), &row);
        if (rc == WKIM_OK)
            rc = take_block(m, block, wk_buf_slice(&row));
        else if (rc == WKIM_ENOTFOUND)
            rc = WKIM_OK;
        wk_buf_fini(&k);
        wk_buf_fini(&row);
    }
    if (rc == WKIM_OK && ch->last_seq > full * BLOCK)
        rc =
            wk_message_scan(st, slot, &key, full * BLOCK + 1, ch->last_seq, false, take_message, m);
    if (rc >= 0)
        rc = fill(m, ch->last_seq + 1);
    m->loaded = rc == WKIM_OK;
    return rc;
}

static int ensure(struct im_slot *is, struct im_channel *ch)
{
    return ch->msgnos.loaded ? WKIM_OK : load(is, ch);
}

void im_msgnos_fini(struct im_msgnos *m)
{
    wk_free(m->fp);
    wk_free(m->filter);
    *m = (struct im_msgnos){ 0 };
}

int im_msgno_find(struct im_slot *is, struct im_channel *ch, wkim_slice client_msg_no,
                  int (*each)(void *arg, uint64_t seq), void *arg)
{
    const struct im_msgnos *m = &ch->msgnos;
    uint32_t want = fingerprint(client_msg_no);
    int rc = ensure(is, ch), tries = 0;

    if (rc == WKIM_OK && !filter_has(m, want))
        return WKIM_OK;
    for (uint32_t i = m->n; rc == WKIM_OK && want && i > 0 && tries < TRIES_MAX; i--) {
        if (m->fp[i - 1] != want)
            continue;
        rc = each(arg, m->first_seq + i - 1);
        if (rc == WKIM_ENOTFOUND)
            rc = WKIM_OK; /* deleted: one replica may still know its number, another not */
        else
            tries++;
    }
    return rc;
}

int im_msgno_add(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, uint64_t seq,
                 wkim_slice client_msg_no)
{
    struct im_msgnos *m = &ch->msgnos;
    int rc = ensure(is, ch);

    if (rc == WKIM_OK)
        rc = fill(m, seq);
    if (rc == WKIM_OK)
        rc = append(m, fingerprint(client_msg_no));
    if (rc != WKIM_OK || seq % BLOCK || m->n < BLOCK)
        return rc;
    struct wk_buf k = WK_BUF_INIT, row = WK_BUF_INIT;
    struct wk_channel_key key = im_channel_key(ch);
    block_key(&k, &key, seq / BLOCK - 1);
    for (uint32_t i = m->n - BLOCK; i < m->n; i++) /* the same row whoever knows them still */
        wk_buf_u32(&row, m->first_seq + i < ch->row.retained_from ? 0 : m->fp[i]);
    if (k.oom || row.oom)
        rc = WKIM_ENOMEM;
    else
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_MSGNO, wk_buf_slice(&k), wk_buf_slice(&row));
    wk_buf_fini(&k);
    wk_buf_fini(&row);
    return rc;
}

int im_msgno_forget(struct im_slot *is, struct im_channel *ch, uint64_t seq)
{
    struct im_msgnos *m = &ch->msgnos;
    int rc = ensure(is, ch);

    if (rc == WKIM_OK && seq >= m->first_seq && seq - m->first_seq < m->n)
        m->fp[seq - m->first_seq] = 0;
    return rc;
}

void im_msgno_erase(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, uint64_t from,
                    uint64_t to)
{
    struct wk_channel_key key = im_channel_key(ch);
    struct wk_buf k = WK_BUF_INIT;

    /* Blocks whose last message is among them; what came before has gone earlier. */
    for (uint64_t block = (from - 1) / BLOCK; block < to / BLOCK; block++) {
        wk_buf_clear(&k);
        block_key(&k, &key, block);
        if (k.oom)
            wk_txn_fail(txn, WKIM_ENOMEM);
        else
            wk_row_delete(txn, wk_slot_id(is->slot), IM_TABLE_MSGNO, wk_buf_slice(&k));
    }
    wk_buf_fini(&k);
}

/* ---- the whole history, from the store only (reader threads) --------------------------------- */

struct lookup {
    struct im_slot *is;
    const struct wk_channel_key *key;
    wkim_slice no;
    uint32_t want;
    struct wk_buf *out;
    bool found;
    uint64_t now_ms, first;
    uint64_t newest; /* of the unfinished block: the last match so far */
    bool take_first;
};

static int take_if_same(struct lookup *l, uint64_t seq)
{
    struct wk_buf row = WK_BUF_INIT;
    struct wk_record r;

    if (seq < l->first)
        return WKIM_OK;
    int rc = wk_message_get(wk_slot_store(l->is->slot), wk_slot_id(l->is->slot), l->key, seq, &row);
    if (rc == WKIM_OK && wk_record_decode(&r, wk_buf_slice(&row)) == WKIM_OK &&
        wk_slice_eq(r.client_msg_no, l->no) && !im_expired(&r, l->now_ms)) {
        wk_buf_str(l->out, wk_buf_slice(&row));
        l->found = true;
    }
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

static int scan_tail(void *arg, uint64_t seq, wkim_slice record)
{
    struct lookup *l = arg;
    struct wk_record r;

    if (wk_record_decode(&r, record) != WKIM_OK || !wk_slice_eq(r.client_msg_no, l->no) ||
        im_expired(&r, l->now_ms))
        return 0;
    l->newest = seq;
    return l->take_first;
}

static int look_in_block(struct lookup *l, uint64_t block, bool oldest)
{
    struct wk_buf k = WK_BUF_INIT, row = WK_BUF_INIT;

    block_key(&k, l->key, block);
    int rc = k.oom ? WKIM_ENOMEM
                   : wk_row_get(wk_slot_store(l->is->slot), wk_slot_id(l->is->slot), IM_TABLE_MSGNO,
                                wk_buf_slice(&k), &row);
    for (uint32_t n = 0; rc == WKIM_OK && !l->found && n < row.n / 4; n++) {
        uint32_t i = oldest ? n : (uint32_t)(row.n / 4) - 1 - n;
        struct wk_cursor c = wk_cursor(wk_slice(row.p + i * 4, 4));
        if (wk_cursor_u32(&c) == l->want)
            rc = take_if_same(l, block * BLOCK + 1 + i);
    }
    wk_buf_fini(&k);
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

static int look_in_tail(struct lookup *l, uint64_t from, uint64_t last, bool oldest)
{
    l->take_first = oldest;
    int rc = from > last ? WKIM_OK
                         : wk_message_scan(wk_slot_store(l->is->slot), wk_slot_id(l->is->slot),
                                           l->key, from, last, false, scan_tail, l);
    return rc >= 0 && l->newest ? take_if_same(l, l->newest) : rc < 0 ? rc : WKIM_OK;
}

int im_msgno_lookup(struct im_slot *is, const struct wk_channel_key *key, wkim_slice client_msg_no,
                    bool oldest, uint64_t now_ms, struct wk_buf *out)
{
    struct lookup l = { .is = is, .key = key, .no = client_msg_no, .out = out,
                        .want = fingerprint(client_msg_no), .now_ms = now_ms };
    struct im_bounds b;
    int rc = l.want ? im_bounds_get(is, key, &b) : WKIM_OK;

    if (rc != WKIM_OK || !l.want)
        return rc;
    l.first = b.first;
    uint64_t full = b.last / BLOCK, low = (b.first - 1) / BLOCK;
    uint64_t tail = full * BLOCK + 1 > b.first ? full * BLOCK + 1 : b.first;
    if (!oldest)
        rc = look_in_tail(&l, tail, b.last, false);
    for (uint64_t n = low; rc == WKIM_OK && !l.found && n < full; n++)
        rc = look_in_block(&l, oldest ? n : full - 1 - (n - low), oldest);
    if (oldest && rc == WKIM_OK && !l.found)
        rc = look_in_tail(&l, tail, b.last, true);
    return rc;
}
