/* msg.offline and user.onlinestatus: they wait in memory, in lanes that keep their order. */
#include "hook/hook.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "hook/internal.h"
#include "proto/jsonrpc.h"

static struct wk_webhook_request *head(const struct wk_webhook_lane *l)
{
    return wk_list_empty(&l->queue) ? NULL
                                    : WK_CONTAINER(l->queue.next, struct wk_webhook_request, link);
}

static void forget(struct wk_webhook *w, struct wk_webhook_request *r)
{
    wk_list_remove(&r->link);
    wk_list_remove(&r->age);
    w->bytes[r->event] -= r->bytes;
    w->counts[r->event].waiting -= r->n_items;
}

/* The oldest that is not at the transport gives way. */
static void make_room(struct wk_webhook *w, int event, size_t bytes_max)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &w->age[event])
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, age);
        if (w->bytes[event] <= bytes_max)
            return;
        if (r->out)
            continue;
        if (w->counts[event].overflow_dropped == 0)
            wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_queue_full", "event=%s bytes=%zu",
                   wk_webhook_event_name(event), w->bytes[event]);
        w->counts[event].overflow_dropped += r->n_items;
        forget(w, r);
        wk_webhook_request_unref(r);
    }
}

static void add(struct wk_webhook *w, struct wk_webhook_request *r, uint32_t lane, size_t bytes)
{
    r->lane = lane;
    r->bytes = bytes;
    w->bytes[r->event] += bytes;
    w->counts[r->event].waiting += r->n_items;
    wk_list_push(&w->lanes[lane].queue, &r->link);
    wk_list_push(&w->age[r->event], &r->age);
}

static void lost(struct wk_webhook *w, int event, uint64_t n)
{
    w->counts[event].overflow_dropped += n;
    wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_lost",
           "event=%s count=%llu reason=\"out of memory\"", wk_webhook_event_name(event),
           (unsigned long long)n);
}

/* ---- msg.offline ----------------------------------------------------------------------------- */

static int one_list(struct wk_webhook *w, struct wk_blob *message, const struct wk_record *r,
                    bool list, wkim_slice uids, uint32_t n, uint64_t now_ms)
{
    struct wk_webhook_request *q = wk_webhook_request_new(w, WK_WEBHOOK_OFFLINE, now_ms);

    if (!q)
        return WKIM_ENOMEM;
    wk_buf_bytes(&q->items, uids.p, uids.n);
    if (q->items.oom) {
        wk_webhook_request_unref(q);
        return WKIM_ENOMEM;
    }
    q->n_items = n;
    q->message = wk_blob_ref(message);
    q->record = *r;
    q->list = list;
    wk_webhook_set_delivery(q, wk_hash64(uids.p, uids.n, (uint64_t)r->message_id),
                            wk_hash64(&r->message_id, sizeof(r->message_id), uids.n));
    uint64_t h = wk_hash64(r->channel_id.p, r->channel_id.n, r->channel_type);
    add(w, q, (uint32_t)(h % (w->n_lanes - 1)), sizeof(*q) + message->n + uids.n);
    return WKIM_OK;
}

void wk_webhook_offline(struct wk_webhook *w, struct wk_blob *message, const struct wk_record *r,
                        bool list, wkim_slice uids, uint64_t now_ms)
{
    struct wk_cursor c = wk_cursor(uids);

    while (wk_cursor_left(&c) && !c.bad) {
        const uint8_t *from = c.p;
        uint32_t n = 0;
        for (; wk_cursor_left(&c) && !c.bad && (!w->opt.uids_max || n < w->opt.uids_max); n++)
            (void)wk_cursor_str(&c);
        if (one_list(w, message, r, list, wk_slice(from, (size_t)(c.p - from)), n, now_ms) !=
            WKIM_OK)
            lost(w, WK_WEBHOOK_OFFLINE, n);
    }
    make_room(w, WK_WEBHOOK_OFFLINE, w->opt.offline_bytes_max);
    wk_webhook_run(w, now_ms);
}

/* ---- user.onlinestatus ----------------------------------------------------------------------- */

/* The last request of the lane while nobody has seen it. */
static struct wk_webhook_request *open_request(struct wk_webhook *w, uint64_t now_ms)
{
    struct wk_webhook_lane *l = &w->lanes[w->n_lanes - 1];

    if (!wk_list_empty(&l->queue)) {
        struct wk_webhook_request *r = WK_CONTAINER(l->queue.prev, struct wk_webhook_request, link);
        if (r->attempt == 0 && r->n_items < WK_WEBHOOK_ONLINE_MAX)
            return r;
    }
    struct wk_webhook_request *r = wk_webhook_request_new(w, WK_WEBHOOK_ONLINE, now_ms);
    if (!r)
        return NULL;
    r->due_ms = now_ms + (w->draining ? 0 : WK_WEBHOOK_ONLINE_WAIT_MS);
    wk_webhook_set_delivery(r, w->salt, ++w->online_number);
    add(w, r, w->n_lanes - 1, sizeof(*r));
    return r;
}

void wk_webhook_online(struct wk_webhook *w, const struct wk_webhook_online *o, uint64_t now_ms)
{
    struct wk_webhook_request *r = open_request(w, now_ms);

    if (!r) {
        lost(w, WK_WEBHOOK_ONLINE, 1);
        return;
    }
    size_t before = r->items.n;
    wk_buf_bytes(&r->items, ",\"", before ? 2 : 0);
    if (!before)
        wk_buf_u8(&r->items, '"');
    wk_json_escape(&r->items, o->uid);
    wk_buf_printf(&r->items, "-%u-%d-%llu-%llu-%llu\"", o->device_flag, o->online,
                  (unsigned long long)o->conn_id, (unsigned long long)o->device_count,
                  (unsigned long long)o->user_count);
    if (r->items.oom) {
        r->items.n = before;
        r->items.oom = false;
        lost(w, WK_WEBHOOK_ONLINE, 1);
    } else {
        r->n_items++;
        r->bytes += r->items.n - before;
        w->bytes[WK_WEBHOOK_ONLINE] += r->items.n - before;
        w->counts[WK_WEBHOOK_ONLINE].waiting++;
    }
    bool run = r->n_items == 1 || r->n_items == WK_WEBHOOK_ONLINE_MAX;
    if (r->n_items == 0) { /* nothing came into the new request */
        forget(w, r);
        wk_webhook_request_unref(r);
    } else if (r->n_items == WK_WEBHOOK_ONLINE_MAX) {
        r->due_ms = now_ms;
    }
    make_room(w, WK_WEBHOOK_ONLINE, w->opt.online_bytes_max); /* may take r */
    if (run)
        wk_webhook_run(w, now_ms);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

void wk_webhook_lanes_pump(struct wk_webhook *w, uint64_t now_ms)
{
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        struct wk_webhook_request *r = head(&w->lanes[i]);
        if (r && !r->out && r->due_ms <= now_ms)
            wk_webhook_send(w, r, now_ms);
    }
}

uint64_t wk_webhook_lanes_next(const struct wk_webhook *w)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const struct wk_webhook_request *r = head(&w->lanes[i]);
        if (r && !r->out && r->due_ms < next)
            next = r->due_ms;
    }
    return next;
}

void wk_webhook_lane_finish(struct wk_webhook *w, struct wk_webhook_request *r)
{
    forget(w, r);
}
