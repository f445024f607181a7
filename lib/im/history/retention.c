/* Deleting messages: what the log says about it.
 *
 * A history is cut from below by raising its floor (IM_TRIM): from then on readers do not see what
 * lies under it.  The rows leave the store afterwards, in pieces (IM_ERASE) that the leader's
 * keeper asks for; a row of IM_TABLE_ERASE remembers that something is left, so that a restart goes
 * on.  Single messages (IM_DROP) and those whose time is over (IM_OVER) leave a hole: a row that
 * takes the place of their number.  Numbers are never given out again, whatever is deleted.
 *
 * Rows are deleted by number without being read: the shard must not wait for the disk.  Whoever
 * proposed the command has read what is needed and put it in: sizes, and the client_msg_nos of
 * messages that may have events. */
#include "im/history/internal.h"
#include "im/channel/bounds.h"
#include "im/channel/channel.h"
#include "im/channel/msgno.h"
#include "im/event/event.h"
#include "store/txn.h"

static void channel_row(struct wk_txn *txn, uint32_t slot, uint8_t table,
                        const struct wk_channel_key *key, bool put)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, key->type, key->id);
    if (b.oom)
        wk_txn_fail(txn, WKIM_ENOMEM);
    else if (put)
        wk_row_put(txn, slot, table, wk_buf_slice(&b), wk_slice(NULL, 0));
    else
        wk_row_delete(txn, slot, table, wk_buf_slice(&b));
    wk_buf_fini(&b);
}

/* No channel can have a longer id, so a command that names one must not come to the rows. */
static void key_decode(struct wk_cursor *c, struct wk_channel_key *key)
{
    im_channel_key_decode(c, key);
    if (key->id.n > WK_ID_BYTES_MAX)
        c->bad = true;
}

enum wk_call_result im_history_handle_write(struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;

    key_decode(&cur, &key);
    c->code = cur.bad ? WKIM_ETOOBIG : WKIM_OK;
    return cur.bad ? WK_CALL_DONE : WK_CALL_PROPOSE;
}

/* ---- the floor ------------------------------------------------------------------------------- */

void im_history_trim(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch,
                     uint64_t through)
{
    struct wk_channel_key key = im_channel_key(ch);

    if (through > ch->last_seq)
        through = ch->last_seq;
    if (through == 0 || through < ch->row.retained_from)
        return;
    ch->row.retained_from = through + 1;
    ch->row.last_seq_floor = ch->last_seq;
    channel_row(txn, wk_slot_id(is->slot), IM_TABLE_ERASE, &key, true);
    im_channel_save(is, txn, ch);
}

/* Where adding up sizes goes on. */
static uint64_t sized_to(const struct wk_row_channel *r)
{
    return r->sized_to > r->erased_to ? r->sized_to : r->erased_to;
}

int im_trim_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in, struct wk_call *call)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;

    key_decode(&c, &key);
    uint64_t through = wk_cursor_u64(&c);
    uint64_t from = wk_cursor_u64(&c), to = wk_cursor_u64(&c), bytes = wk_cursor_u64(&c);
    if (c.bad)
        return WKIM_OK;
    int rc = im_channel_get(is, key.type, key.id, &ch);
    if (rc != WKIM_OK)
        return rc;
    if (to > from && to <= ch->last_seq && from == sized_to(&ch->row)) {
        ch->row.sized_bytes = (from > ch->row.erased_to ? ch->row.sized_bytes : 0) + bytes;
        ch->row.sized_to = to;
        im_channel_save(is, txn, ch);
    }
    im_history_trim(is, txn, ch, through);
    if (call) {
        call->number[0] = ch->row.retained_from ? ch->row.retained_from - 1 : 0;
        call->number[1] = ch->last_seq;
    }
    return WKIM_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void hole(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key,
                 uint64_t seq, bool put)
{
    struct wk_buf b = WK_BUF_INIT;

    im_hole_key(&b, key, seq);
    if (b.oom)
        wk_txn_fail(txn, WKIM_ENOMEM);
    else if (put)
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_HOLE, wk_buf_slice(&b), wk_slice(NULL, 0));
    else
        wk_row_delete(txn, wk_slot_id(is->slot), IM_TABLE_HOLE, wk_buf_slice(&b));
    wk_buf_fini(&b);
}

static int purge_events(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key,
                        struct wk_cursor *nos)
{
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(nos) && !nos->bad) {
        wkim_slice no = wk_cursor_str(nos);
        if (!nos->bad)
            rc = im_events_purge(is, txn, key, no);
    }
    return rc;
}

static void less_bytes(struct wk_row_channel *r, uint64_t bytes)
{
    r->sized_bytes -= bytes < r->sized_bytes ? bytes : r->sized_bytes;
}

int im_erase_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    uint32_t slot = wk_slot_id(is->slot);
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;

    key_decode(&c, &key);
    uint64_t from = wk_cursor_u64(&c), to = wk_cursor_u64(&c), bytes = wk_cursor_u64(&c);
    if (c.bad || from > to || to - from >= IM_ERASE_MAX)
        return WKIM_OK;
    int rc = im_channel_get(is, key.type, key.id, &ch);
    if (rc != WKIM_OK)
        return rc;
    struct wk_row_channel *r = &ch->row;
    if (from != r->erased_to + 1 || to >= r->retained_from)
        return WKIM_OK; /* asked for twice */
    for (uint64_t seq = from; seq <= to; seq++) {
        wk_message_delete(txn, slot, &key, seq);
        if (r->holed_to >= seq)
            hole(is, txn, &key, seq, false);
    }
    im_msgno_erase(is, txn, ch, from, to);
    less_bytes(r, to >= r->sized_to ? UINT64_MAX : bytes);
    r->erased_to = to;
    if (r->erased_to + 1 == r->retained_from)
        channel_row(txn, slot, IM_TABLE_ERASE, &key, false);
    im_channel_save(is, txn, ch);
    return purge_events(is, txn, &key, &c);
}

static int drop(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, uint64_t seq,
                uint32_t bytes, wkim_slice event_no)
{
    struct wk_channel_key key = im_channel_key(ch);

    if (seq < ch->row.retained_from || seq > ch->last_seq || seq == 0)
        return WKIM_OK;
    wk_message_delete(txn, wk_slot_id(is->slot), &key, seq);
    hole(is, txn, &key, seq, true);
    if (seq > ch->row.holed_to)
        ch->row.holed_to = seq;
    if (seq > ch->row.erased_to && seq <= ch->row.sized_to)
        less_bytes(&ch->row, bytes);
    ch->row.last_seq_floor = ch->last_seq;
    int rc = im_msgno_forget(is, ch, seq);
    if (rc == WKIM_OK && event_no.n)
        rc = im_events_purge(is, txn, &key, event_no);
    return rc;
}

int im_drop_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;

    key_decode(&c, &key);
    if (c.bad)
        return WKIM_OK;
    int rc = im_channel_get(is, key.type, key.id, &ch);
    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        uint64_t seq = wk_cursor_u64(&c);
        uint32_t bytes = wk_cursor_u32(&c);
        wkim_slice no = wk_cursor_str(&c);
        if (!c.bad)
            rc = drop(is, txn, ch, seq, bytes, no);
    }
    if (rc == WKIM_OK)
        im_channel_save(is, txn, ch);
    return rc;
}

/* ---- messages with a time limit -------------------------------------------------------------- */

int im_over_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        struct wk_buf b = WK_BUF_INIT;
        struct wk_channel_key key;
        struct im_channel *ch;
        uint64_t over_ms = wk_cursor_u64(&c);
        key_decode(&c, &key);
        uint64_t seq = wk_cursor_u64(&c);
        uint32_t bytes = wk_cursor_u32(&c);
        wkim_slice no = wk_cursor_str(&c);
        if (c.bad)
            break;
        im_expiry_key(&b, over_ms, &key, seq);
        rc = b.oom ? WKIM_ENOMEM : WKIM_OK;
        if (rc == WKIM_OK)
            wk_row_delete(txn, wk_slot_id(is->slot), IM_TABLE_EXPIRY, wk_buf_slice(&b));
        wk_buf_fini(&b);
        if (rc == WKIM_OK)
            rc = im_channel_get(is, key.type, key.id, &ch);
        if (rc == WKIM_OK && bytes) { /* 0: the message had gone before */
            rc = drop(is, txn, ch, seq, bytes, no);
            im_channel_save(is, txn, ch);
        }
    }
    return rc;
}

/* Events that came while their message was being deleted. */
int im_events_purge_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad) {
        struct wk_channel_key key;
        key_decode(&c, &key);
        wkim_slice no = wk_cursor_str(&c);
        if (!c.bad)
            rc = im_events_purge(is, txn, &key, no);
    }
    return rc;
}

/* ---- limits of a channel --------------------------------------------------------------------- */

int im_limits_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;
    struct im_channel *ch;
    struct wk_keep keep;

    key_decode(&c, &key);
    keep.set = wk_cursor_u8(&c);
    keep.age_s = wk_cursor_u64(&c);
    keep.messages = wk_cursor_u64(&c);
    keep.bytes = wk_cursor_u64(&c);
    if (c.bad)
        return WKIM_OK;
    int rc = im_channel_get(is, key.type, key.id, &ch);
    if (rc != WKIM_OK)
        return rc;
    ch->row.keep = keep;
    im_channel_save(is, txn, ch);
    return WKIM_OK;
}

struct wk_keep im_limits_of(const struct im_options *o, const struct wk_keep *own)
{
    struct wk_keep k = o->retention.keep;

    if (own->set & WK_KEEP_AGE)
        k.age_s = own->age_s;
    if (own->set & WK_KEEP_MESSAGES)
        k.messages = own->messages;
    if (own->set & WK_KEEP_BYTES)
        k.bytes = own->bytes;
    return k;
}

static uint64_t own_limit(const struct wk_keep *k, uint8_t bit, uint64_t v)
{
    return k->set & bit ? v : UINT64_MAX;
}

static void limits_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_row_channel row = { 0 };
    struct wk_channel_key key;
    struct im_bounds b;

    im_channel_key_decode(&cur, &key);
    c->code = cur.bad ? WKIM_EPROTO : im_bounds_get(is, &key, &b);
    if (c->code == WKIM_OK)
        c->code = wk_channel_get(wk_slot_store(is->slot), wk_slot_id(is->slot), &key, &row);
    if (c->code == WKIM_ENOTFOUND)
        c->code = WKIM_OK;
    if (c->code != WKIM_OK)
        return;
    const struct wk_keep *own = &row.keep, used = im_limits_of(&is->im->opt, own);
    im_row_a(&c->out, WK_LIT("own"), own_limit(own, WK_KEEP_AGE, own->age_s),
             own_limit(own, WK_KEEP_MESSAGES, own->messages),
             own_limit(own, WK_KEEP_BYTES, own->bytes));
    im_row_a(&c->out, WK_LIT("used"), used.age_s, used.messages, used.bytes);
    im_row_a(&c->out, WK_LIT("history"), b.first, b.last,
             row.retained_from > row.erased_to + 1 ? row.retained_from - row.erased_to - 1 : 0);
    c->number[0] = is->im->opt.retention.on;
}

enum wk_call_result im_limits_get_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read(is, c, limits_read);
}

/* ---- single messages: find them, then delete them -------------------------------------------- */

struct found {
    struct wk_buf out;  /* of IM_DROP */
    uint64_t *seqs;
    uint32_t n;
};

void im_drop_encode(struct wk_buf *out, const struct wk_record *r, size_t bytes)
{
    wk_buf_u32(out, bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX);
    wk_buf_str(out, r->setting & WKIM_SETTING_STREAM ? r->client_msg_no : wk_slice(NULL, 0));
}

static int add_found(void *arg, wkim_slice record)
{
    struct found *f = arg;
    struct wk_record r;

    if (wk_record_decode(&r, record) != WKIM_OK)
        return WKIM_OK;
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->seqs[i] == r.message_seq)
            return WKIM_OK; /* named twice */
    }
    if (f->n == IM_DELETE_MAX)
        return WKIM_ETOOBIG;
    f->seqs[f->n++] = r.message_seq;
    wk_buf_u64(&f->out, r.message_seq);
    im_drop_encode(&f->out, &r, record.n);
    return f->out.oom ? WKIM_ENOMEM : WKIM_OK;
}

static void delete_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct found f = { .seqs = wk_calloc(IM_DELETE_MAX, sizeof(*f.seqs)) };
    struct wk_channel_key key;

    im_channel_key_decode(&cur, &key);
    c->code = cur.bad ? WKIM_EPROTO : f.seqs ? WKIM_OK : WKIM_ENOMEM;
    if (c->code == WKIM_OK) {
        im_channel_key_encode(&f.out, key.type, key.id);
        c->code = im_history_each(is, wk_blob_slice(c->in), true, add_found, &f);
    }
    c->number[0] = c->code == WKIM_OK ? f.n : 0;
    if (c->number[0])
        c->out = f.out;
    else
        wk_buf_fini(&f.out);
    wk_free(f.seqs);
}

static void delete_found(struct im_slot *is, struct wk_call *c)
{
    struct wk_buf in = c->out;

    c->out = (struct wk_buf)WK_BUF_INIT;
    if (c->code == WKIM_OK && c->number[0]) {
        im_propose_next(is, c, IM_DROP, &in);
        return;
    }
    wk_buf_fini(&in);
    wk_call_finish(c);
}

enum wk_call_result im_delete_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read_then(is, c, delete_read, delete_found);
}

/* The messages are gone, so no event can start any more: those that came until now go, too. */
bool im_drop_applied(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_buf b = WK_BUF_INIT;
    struct wk_channel_key key;

    im_channel_key_decode(&cur, &key);
    while (wk_cursor_left(&cur) && !cur.bad) {
        (void)wk_cursor_bytes(&cur, 12);
        wkim_slice no = wk_cursor_str(&cur);
        if (cur.bad || !no.n)
            continue;
        im_channel_key_encode(&b, key.type, key.id);
        wk_buf_str(&b, no);
    }
    wk_count(&is->count->removed[IM_REMOVED_DELETED], c->number[0]);
    if (!b.n && !b.oom)
        return true;
    im_propose_next(is, c, IM_EVENTS_PURGE, &b);
    return false;
}
