/* Newest numbers and messages of many channels of one slot at once (IM_HEADS), on a reader
 * thread. */
#include "im/history/history.h"
#include "base/clock.h"
#include "im/channel/bounds.h"
#include "im/event/event.h"

#define HEADS_BYTES_MAX (64u << 20)

struct head {
    struct wk_buf *out;
    uint64_t n, limit, now_ms;
};

static int take(void *arg, uint64_t seq, wkim_slice record)
{
    struct head *h = arg;
    struct wk_record r;
    (void)seq;

    if (h->n == h->limit || h->out->n > HEADS_BYTES_MAX)
        return 1;
    if (wk_record_decode(&r, record) != WKIM_OK || im_expired(&r, h->now_ms))
        return 0;
    h->n++;
    wk_buf_str(h->out, record);
    return 0;
}

/* One line of the request. */
struct wanted {
    struct wk_channel_key key;
    uint64_t from;
    uint32_t limit;
    uint64_t read, forced, hidden;
};

static int one(struct im_slot *is, wkim_slice uid, const struct wanted *w, struct wk_buf *rows,
               struct wk_buf *out)
{
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    struct head h = { .out = rows, .limit = w->limit, .now_ms = wk_wall_ms() };
    struct im_bounds b;
    uint64_t own = 0, holes = 0;

    int rc = im_bounds_get(is, &w->key, &b);
    if (rc != WKIM_OK)
        return rc;
    rc = b.last ? wk_sent_get(st, slot, &w->key, uid, &own) : WKIM_OK;
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    uint64_t seen = im_read_to(w->read, w->forced, own);
    rc = im_holes_count(is, &w->key, &b, seen > w->hidden ? seen : w->hidden, &holes);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_clear(rows);
    uint64_t from = w->from > b.first ? w->from : b.first;
    if (w->limit && from <= b.last)
        rc = wk_message_scan(st, slot, &w->key, from, b.last, true, take, &h);
    if (rc >= 0)
        rc = rows->oom ? WKIM_ENOMEM : im_events_annotate(is, rows, false, false);
    if (rc < 0)
        return rc;
    wk_buf_u64(out, b.last);
    wk_buf_u64(out, own);
    wk_buf_u64(out, b.first - 1);
    wk_buf_u64(out, holes);
    wk_buf_varint(out, h.n);
    wk_buf_str(out, wk_buf_slice(rows));
    return WKIM_OK;
}

static void heads_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);
    struct wk_buf rows = WK_BUF_INIT;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wanted w;
        im_channel_key_decode(&cur, &w.key);
        w.from = wk_cursor_u64(&cur);
        w.limit = wk_cursor_u32(&cur);
        w.read = wk_cursor_u64(&cur);
        w.forced = wk_cursor_u64(&cur);
        w.hidden = wk_cursor_u64(&cur);
        if (!cur.bad)
            rc = one(is, uid, &w, &rows, &c->out);
    }
    wk_buf_fini(&rows);
    c->code = cur.bad ? WKIM_EPROTO : rc;
    if (c->out.n > HEADS_BYTES_MAX)
        c->code = WKIM_ETOOBIG;
}

static void heads_done(struct im_slot *is, struct wk_call *c)
{
    if (c->code == WKIM_OK)
        c->code = im_events_annotate_heads(is, &c->out);
    wk_call_finish(c);
}

enum wk_call_result im_heads_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read_then(is, c, heads_read, heads_done);
}
