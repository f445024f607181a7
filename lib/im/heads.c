/* Newest numbers and messages of many channels of one slot at once (IM_HEADS), on a reader
 * thread. */
#include "im/internal.h"
#include "base/clock.h"

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
    if (wk_record_decode(&r, record) != WKIM_OK ||
        (r.expire_s && r.timestamp_ms + (uint64_t)r.expire_s * 1000 <= h->now_ms))
        return 0;
    h->n++;
    wk_buf_str(h->out, record);
    return 0;
}

static int one(struct im_slot *is, wkim_slice uid, const struct wk_channel_key *key, uint64_t from,
               uint32_t limit, struct wk_buf *rows, struct wk_buf *out)
{
    struct wk_store *st = wk_slot_store(is->slot);
    uint32_t slot = wk_slot_id(is->slot);
    struct head h = { .out = rows, .limit = limit, .now_ms = wk_wall_ms() };
    uint64_t last = 0, own = 0;

    int rc = wk_message_last_seq(st, slot, key, &last);
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    rc = last ? wk_sent_get(st, slot, key, uid, &own) : WKIM_OK;
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        return rc;
    wk_buf_clear(rows);
    rc = WKIM_OK;
    if (limit && last && from <= last)
        rc = wk_message_scan(st, slot, key, from, last, true, take, &h);
    if (rc >= 0)
        rc = rows->oom ? WKIM_ENOMEM : im_events_annotate(is, rows, false, false);
    if (rc < 0)
        return rc;
    wk_buf_u64(out, last);
    wk_buf_u64(out, own);
    wk_buf_varint(out, h.n);
    wk_buf_str(out, wk_buf_slice(rows));
    return rc < 0 ? rc : WKIM_OK;
}

static void heads_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);
    struct wk_buf rows = WK_BUF_INIT;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_channel_key key;
        im_channel_key_decode(&cur, &key);
        uint64_t from = wk_cursor_u64(&cur);
        uint32_t limit = wk_cursor_u32(&cur);
        if (!cur.bad)
            rc = one(is, uid, &key, from, limit, &rows, &c->out);
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
