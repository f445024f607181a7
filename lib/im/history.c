/* Reading messages of one channel (http-api.md 7).  Runs on reader threads. */
#include "im/internal.h"
#include "base/clock.h"

#define ANSWER_BYTES_MAX (64u << 20) /* of one answer; the rest is reported as "more" */

struct collect {
    struct wk_buf *out;
    uint64_t n, limit, first, last;
    uint64_t now_ms;
    bool cut;
};

/* Expired messages are not shown. */
static bool expired(wkim_slice record, uint64_t now_ms)
{
    struct wk_record r;
    return wk_record_decode(&r, record) != WKIM_OK ||
           (r.expire_s && r.timestamp_ms + (uint64_t)r.expire_s * 1000 <= now_ms);
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
    if (expired(record, c->now_ms))
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

static int scan_backwards(struct im_slot *is, const struct wk_channel_key *key, struct collect *col)
{
    int rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), key, 0, UINT64_MAX,
                             true, take, col);

    if (rc >= 0 && !col->out->oom)
        rc = reverse(col->out);
    uint64_t swap = col->first;
    col->first = col->last;
    col->last = swap;
    return rc;
}

/* The newest messages.  Going forward costs the storage far less per message than going backwards,
 * so the start is guessed from the newest number; where messages are missing behind it, or they are
 * too many bytes, the way back is gone after all. */
static int scan_newest(struct im_slot *is, const struct wk_channel_key *key, struct collect *col)
{
    struct wk_store *st = wk_slot_store(is->slot);
    const struct collect fresh = *col;
    uint64_t last = 0;

    int rc = wk_message_last_seq(st, wk_slot_id(is->slot), key, &last);
    if (rc != WKIM_OK)
        return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
    uint64_t from = last > col->limit ? last - col->limit + 1 : 1;
    rc = wk_message_scan(st, wk_slot_id(is->slot), key, from, last, false, take, col);
    if (rc < 0 || col->out->oom || (!col->cut && (col->n == col->limit || from == 1)))
        return rc;
    wk_buf_clear(col->out);
    *col = fresh;
    return scan_backwards(is, key, col);
}

static void sync_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;

    im_channel_key_decode(&cur, &key);
    uint64_t start = wk_cursor_u64(&cur), end = wk_cursor_u64(&cur);
    uint32_t limit = wk_cursor_u32(&cur);
    bool up = wk_cursor_u8(&cur);
    bool basic = wk_cursor_left(&cur) && wk_cursor_u8(&cur);
    c->stage = basic;
    if (cur.bad) {
        c->code = WKIM_EPROTO;
        return;
    }
    struct collect col = { .out = &c->out, .limit = limit, .now_ms = wk_wall_ms() };
    uint64_t from = 0, to = UINT64_MAX;
    bool none = limit == 0, newest = false;
    if (start == 0 && end == 0) {
        newest = true;
    } else if (up) {
        from = start;
        to = end ? end - 1 : UINT64_MAX;
    } else if (end > start) {
        none = true;
    } else {
        uint64_t low = start > limit ? start - limit : 0;
        from = (end > low ? end : low) + 1;
        to = start;
    }
    int rc = WKIM_OK;
    if (!none && newest)
        rc = scan_newest(is, &key, &col);
    else if (!none && from <= to)
        rc = wk_message_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), &key, from, to, false,
                             take, &col);
    if (rc >= 0)
        rc = im_events_annotate(is, &c->out, basic, false);
    c->code = rc < 0 ? rc : WKIM_OK;
    bool more = col.n >= limit || col.cut;
    if (more && col.n && !col.cut && (!up ? col.first == end : col.last == end))
        more = false;
    c->number[0] = col.n;
    c->number[1] = more;
}

static int append_seq(struct im_slot *is, const struct wk_channel_key *key, uint64_t seq,
                      struct wk_buf *out)
{
    struct wk_buf row = WK_BUF_INIT;
    int rc = wk_message_get(wk_slot_store(is->slot), wk_slot_id(is->slot), key, seq, &row);

    if (rc == WKIM_OK && !expired(wk_buf_slice(&row), wk_wall_ms()))
        wk_buf_str(out, wk_buf_slice(&row));
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

/* message_ids carry their time and grow with message_seq up to the clock skew of their makers: find
 * the neighbourhood by halving, then look around. */
#define ID_WINDOW 2048

struct by_id {
    int64_t id;
    int64_t seen;
    uint64_t seq;
    bool any, found;
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
    wk_buf_str(b->out, record);
    b->found = true;
    return 1;
}

static int append_id(struct im_slot *is, const struct wk_channel_key *key, int64_t id,
                     struct wk_buf *out)
{
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    uint64_t lo = 1, hi = 0;
    int rc = wk_message_last_seq(st, slot, key, &hi);

    if (rc != WKIM_OK)
        return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct by_id b = { .id = id };
        rc = wk_message_scan(st, slot, key, mid, hi, false, first_id, &b);
        if (rc < 0)
            return rc;
        if (!b.any || b.seen >= id)
            hi = mid;
        else
            lo = b.seq + 1;
    }
    struct by_id b = { .id = id, .out = out };
    rc = wk_message_scan(st, slot, key, lo > ID_WINDOW ? lo - ID_WINDOW : 1, lo + ID_WINDOW, false,
                         match_id, &b);
    return rc < 0 ? rc : WKIM_OK;
}

static void get_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;
    int rc = WKIM_OK;

    im_channel_key_decode(&cur, &key);
    bool oldest = wk_cursor_u8(&cur);
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = append_seq(is, &key, wk_cursor_u64(&cur), &c->out);
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = append_id(is, &key, (int64_t)wk_cursor_u64(&cur), &c->out);
    for (uint64_t n = wk_cursor_varint(&cur); n && !cur.bad && rc == WKIM_OK; n--)
        rc = im_msgno_lookup(is, &key, wk_cursor_str(&cur), oldest, &c->out);
    c->code = cur.bad ? WKIM_EPROTO : rc;
    if (c->out.n > ANSWER_BYTES_MAX)
        c->code = WKIM_ETOOBIG;
}

static void last_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key key;

    im_channel_key_decode(&cur, &key);
    bool with_message = wk_cursor_u8(&cur);
    int rc = cur.bad ? WKIM_EPROTO
                     : wk_message_last_seq(wk_slot_store(is->slot), wk_slot_id(is->slot), &key,
                                           &c->number[0]);
    if (rc == WKIM_ENOTFOUND) {
        c->number[0] = 0;
        rc = WKIM_OK;
    } else if (rc == WKIM_OK && with_message) {
        rc = append_seq(is, &key, c->number[0], &c->out);
    }
    c->code = rc;
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
