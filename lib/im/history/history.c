/* Reading messages of one channel.  Runs on reader threads. */
#include "im/history/history.h"
#include "base/clock.h"
#include "im/channel/bounds.h"
#include "im/channel/msgno.h"
#include "im/event/event.h"
#include "im/history/internal.h"

#define ANSWER_BYTES_MAX (64u << 20) /* of one answer; the rest is reported as "more" */

struct collect {
    struct wk_buf *out;
    uint64_t n, limit, first, last;
    uint64_t now_ms;
    bool cut;
};

/* Expired messages are not shown. */
static bool shown(wkim_slice record, uint64_t now_ms)
{
    struct wk_record r;
    return wk_record_decode(&r, record) == WKIM_OK && !im_expired(&r, now_ms);
}

static int take(void *arg, uint64_t seq, wkim_slice record)
{
    struct collect *c = arg;

    if (c->n >= c->limit)
        return 1;
    if (c->out->n + record.n > ANSWER_BYTES_MAX) {
        c->cut = true;
        return 1;
    }
    if (!shown(record, c->now_ms))
        return 0;
    if (c->n == 0)
        c->first = seq;
    c->last = seq;
    c->n++;
    wk_buf_str(c->out, record);
    return 0;
}

/* Records were collected newest first; the answer is ascending. */
static int reverse(struct wk_buf *b)
{
    struct wk_buf out = WK_BUF_INIT;
    struct wk_cursor c = wk_cursor(wk_buf_slice(b));
    size_t at = b->n;

    if (wk_buf_reserve(&out, b->n) != WKIM_OK)
        return WKIM_ENOMEM;
    out.n = b->n;
    while (wk_cursor_left(&c)) {
        const uint8_t *from = c.p;
        (void)wk_cursor_str(&c);
        size_t n = (size_t)(c.p - from);
        at -= n;
        memcpy(out.p + at, from, n);
    }
    wk_buf_fini(b);
    *b = out;
    return WKIM_OK;
}

static int scan_backwards(struct im_slot *is, const struct wk_channel_key *key, uint64_t low,
                          uint64_t to, struct collect *col)
{
    int rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), key, low, to, true,
                             take, col);

    if (rc >= 0 && !col->out->oom)
        rc = reverse(col->out);
    uint64_t swap = col->first;
    col->first = col->last;
    col->last = swap;
    return rc;
}

/* The newest messages of low..to.  Going forward costs the storage far less per message than going
 * backwards, so the start is guessed from the numbers; where some are missing, or they are too many
 * bytes, the way back is gone after all. */
static int scan_newest(struct im_slot *is, const struct wk_channel_key *key, uint64_t low,
                       uint64_t to, struct collect *col)
{
    const struct collect fresh = *col;

    if (low > to)
        return WKIM_OK;
    uint64_t from = to - low >= col->limit ? to - col->limit + 1 : low;
    int rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), key, from, to, false,
                             take, col);
    if (rc < 0 || col->out->oom || (!col->cut && (col->n == col->limit || from == low)))
        return rc;
    wk_buf_clear(col->out);
    *col = fresh;
    return scan_backwards(is, key, low, to, col);
}

/* Messages up to start and above end.  The window counts numbers, also those that are not given out
 * yet, but not those of deleted messages: paging must not end at a hole. */
static int scan_down(struct im_slot *is, const struct wk_channel_key *key,
                     const struct im_bounds *b, uint64_t start, uint64_t end, struct collect *col)
{
    uint64_t low = end + 1 > b->first ? end + 1 : b->first;

    if (start > b->last) {
        uint64_t ahead = start - b->last;
        if (ahead >= col->limit)
            return WKIM_OK;
        col->limit -= ahead;
        start = b->last;
    }
    return scan_newest(is, key, low, start, col);
}

static void sync_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;
    struct im_bounds b;

    im_channel_key_decode(&cur, &key);
    uint64_t start = wk_cursor_u64(&cur), end = wk_cursor_u64(&cur);
    uint32_t limit = wk_cursor_u32(&cur);
    bool up = wk_cursor_u8(&cur);
    bool basic = wk_cursor_left(&cur) && wk_cursor_u8(&cur);
    c->stage = basic;
    c->code = cur.bad ? WKIM_EPROTO : im_bounds_get(is, &key, &b);
    if (c->code != WKIM_OK)
        return;
    struct collect col = { .out = &c->out, .limit = limit, .now_ms = wk_wall_ms() };
    int rc = WKIM_OK;
    if (limit == 0)
        rc = WKIM_OK; /* none */
    else if (start == 0 && end == 0)
        rc = scan_newest(is, &key, b.first, b.last, &col);
    else if (up)
        rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), &key,
                             start > b.first ? start : b.first, end ? end - 1 : UINT64_MAX, false,
                             take, &col);
    else if (end <= start)
        rc = scan_down(is, &key, &b, start, end, &col);
    if (rc >= 0)
        rc = im_events_annotate(is, &c->out, basic, false);
    c->code = rc < 0 ? rc : WKIM_OK;
    bool more = col.n >= limit || col.cut;
    if (more && col.n && !col.cut && (!up ? col.first == end : col.last == end))
        more = false;
    c->number[0] = col.n;
    c->number[1] = more;
}

/* What is looked for within one channel. */
struct find {
    struct im_slot *is;
    struct wk_channel_key key;
    struct im_bounds b;
    uint64_t now_ms;
    struct wk_buf *out;
};

static int append_seq(const struct find *f, uint64_t seq)
{
    struct wk_buf row = WK_BUF_INIT;
    struct im_slot *is = f->is;

    if (seq < f->b.first)
        return WKIM_OK;
    int rc = wk_message_get(wk_slot_store(is->slot), wk_slot_id(is->slot), &f->key, seq, &row);
    if (rc == WKIM_OK && shown(wk_buf_slice(&row), f->now_ms))
        wk_buf_str(f->out, wk_buf_slice(&row));
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

/* message_ids carry their time and grow with message_seq up to the clock skew of their makers: find
 * the neighbourhood by halving, then look around. */
#define ID_WINDOW 2048

struct by_id {
    int64_t id;
    int64_t seen;
    uint64_t seq, now_ms;
    bool any;
    struct wk_buf *out;
};

static int first_id(void *arg, uint64_t seq, wkim_slice record)
{
    struct by_id *b = arg;
    struct wk_record r;

    if (wk_record_decode(&r, record) != WKIM_OK)
        return 0;
    b->seen = r.message_id;
    b->seq = seq;
    b->any = true;
    return 1;
}

static int match_id(void *arg, uint64_t seq, wkim_slice record)
{
    struct by_id *b = arg;
    struct wk_record r;
    (void)seq;

    if (wk_record_decode(&r, record) != WKIM_OK || r.message_id != b->id)
        return 0;
    if (!im_expired(&r, b->now_ms))
        wk_buf_str(b->out, record);
    return 1;
}

static int append_id(const struct find *f, int64_t id)
{
    struct wk_store *st = wk_slot_store(f->is->slot);
    uint32_t slot = wk_slot_id(f->is->slot);
    uint64_t lo = f->b.first, hi = f->b.last;
    int rc = WKIM_OK;

    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct by_id b = { .id = id };
        rc = wk_message_scan(st, slot, &f->key, mid, hi, false, first_id, &b);
        if (rc < 0)
            return rc;
        if (!b.any || b.seen >= id)
            hi = mid;
        else
            lo = b.seq + 1;
    }
    struct by_id b = { .id = id, .out = f->out, .now_ms = f->now_ms };
    uint64_t low = lo > ID_WINDOW ? lo - ID_WINDOW : 1;
    rc = wk_message_scan(st, slot, &f->key, low > f->b.first ? low : f->b.first, lo + ID_WINDOW,
                         false, match_id, &b);
    return rc < 0 ? rc : WKIM_OK;
}

static int find_start(struct find *f, struct im_slot *is, struct wk_cursor *cur,
                      struct wk_buf *out)
{
    *f = (struct find){ .is = is, .now_ms = wk_wall_ms(), .out = out };
    im_channel_key_decode(cur, &f->key);
    return cur->bad ? WKIM_EPROTO : im_bounds_get(is, &f->key, &f->b);
}

struct giving {
    struct wk_buf found; /* what one look-up brought */
    int (*each)(void *arg, wkim_slice record);
    void *arg;
};

static int give(struct giving *g, int rc)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&g->found));

    if (rc == WKIM_OK && g->found.oom)
        rc = WKIM_ENOMEM;
    while (rc == WKIM_OK && wk_cursor_left(&c))
        rc = g->each(g->arg, wk_cursor_str(&c));
    wk_buf_clear(&g->found);
    return rc;
}

int im_history_each(struct im_slot *is, wkim_slice in, bool over,
                    int (*each)(void *arg, wkim_slice record), void *arg)
{
    struct wk_cursor cur = wk_cursor(in);
    struct giving g = { .each = each, .arg = arg };
    struct find f;
    int rc = find_start(&f, is, &cur, &g.found);

    if (over)
        f.now_ms = 0;
    bool oldest = wk_cursor_u8(&cur);
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = give(&g, append_seq(&f, wk_cursor_u64(&cur)));
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = give(&g, append_id(&f, (int64_t)wk_cursor_u64(&cur)));
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = give(&g, im_msgno_lookup(is, &f.key, wk_cursor_str(&cur), oldest, f.now_ms,
                                      &g.found));
    wk_buf_fini(&g.found);
    return cur.bad ? WKIM_EPROTO : rc;
}

static int add_answer(void *arg, wkim_slice record)
{
    struct wk_buf *out = arg;

    wk_buf_str(out, record);
    return out->oom ? WKIM_ENOMEM : out->n > ANSWER_BYTES_MAX ? WKIM_ETOOBIG : WKIM_OK;
}

static void get_read(struct im_slot *is, struct wk_call *c)
{
    c->code = im_history_each(is, wk_blob_slice(c->in), false, add_answer, &c->out);
}

/* The highest number stays when its message is gone; the newest message is then another one. */
static void last_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct find f;
    int rc = find_start(&f, is, &cur, &c->out);

    bool with_message = wk_cursor_u8(&cur);
    struct collect col = { .out = &c->out, .limit = 1, .now_ms = f.now_ms };
    if (cur.bad)
        rc = WKIM_EPROTO;
    if (rc == WKIM_OK && with_message)
        rc = scan_newest(is, &f.key, f.b.first, f.b.last, &col);
    c->number[0] = rc >= 0 ? f.b.last : 0;
    c->code = rc < 0 ? rc : WKIM_OK;
}

/* What only the shard knows of the events. */
static void sync_done(struct im_slot *is, struct wk_call *c)
{
    if (c->code == WKIM_OK && is->events)
        c->code = im_events_annotate(is, &c->out, c->stage, true);
    wk_call_finish(c);
}

enum wk_call_result im_history_handle(struct im_slot *is, struct wk_call *c)
{
    if (c->op == IM_MESSAGE_SYNC)
        return im_read_then(is, c, sync_read, sync_done);
    return im_read(is, c, c->op == IM_MESSAGE_GET ? get_read : last_read);
}
