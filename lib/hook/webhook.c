/* The machine as a whole: life of a request, tries, the end of one. */
#include "hook/hook.h"
#include <stdio.h>
#include "base/error.h"
#include "base/hash.h"
#include "hook/internal.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 30000

const char *wk_webhook_event_name(int event)
{
    static const char *const names[WK_WEBHOOK_EVENTS] = {"msg.notify", "msg.offline",
                                                         "user.onlinestatus"};
    return event >= 0 && event < WK_WEBHOOK_EVENTS ? names[event] : "";
}

uint64_t wk_webhook_backoff_ms(uint32_t attempt)
{
    uint32_t shift = attempt > 1 ? attempt - 1 : 0;
    uint64_t ms = shift < 16 ? (uint64_t)BACKOFF_FIRST_MS << shift : BACKOFF_MAX_MS;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

bool wk_webhook_focused(const char *const *names, size_t n, int event)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], wk_webhook_event_name(event)) == 0)
            return true;
    }
    return n == 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

struct wk_webhook_request *wk_webhook_request_new(struct wk_webhook *w, int event, uint64_t now_ms)
{
    struct wk_webhook_request *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    wk_list_init(&r->link);
    wk_list_init(&r->age);
    atomic_init(&r->refs, 1);
    r->event = (uint8_t)event;
    r->born_ms = r->due_ms = now_ms;
    r->compress_above = w->opt.compress_above;
    r->node_id = w->opt.node_id;
    return r;
}

void wk_webhook_request_unref(struct wk_webhook_request *r)
{
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
        return;
    wk_buf_fini(&r->body);
    wk_buf_fini(&r->items);
    wk_blob_unref(r->message);
    wk_free(r->rows);
    wk_free(r);
}

void wk_webhook_set_delivery(struct wk_webhook_request *r, uint64_t a, uint64_t b)
{
    snprintf(r->delivery, sizeof(r->delivery), "%016llx%016llx", (unsigned long long)a,
             (unsigned long long)b);
}

void wk_webhook_send(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms)
{
    r->out = true;
    r->ok = false;
    r->sent_ms = now_ms;
    if (!r->dead)
        r->attempt++;
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    w->opt.ops.send(w->opt.user, r);
}

static void finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove)
{
    if (r->event == WK_WEBHOOK_OFFLINE)
        wk_webhook_lane_finish(w, r, remove);
    else
        wk_webhook_queue_finish(w, r, remove);
    wk_webhook_request_unref(r);
}

void wk_webhook_give_up(struct wk_webhook *w, struct wk_webhook_request *r, bool overflow,
                        uint64_t now_ms)
{
    struct wk_webhook_counts *c = &w->counts[r->event];

    *(overflow ? &c->overflow_dropped : &c->retry_dropped) += r->n_items;
    wk_log(w->opt.log, WK_LOG_ERROR, "hook", "webhook_given_up",
           "event=%s items=%u attempts=%u reason=%s delivery=%s", wk_webhook_event_name(r->event),
           r->n_items, r->attempt, overflow ? "queue_full" : "attempts", r->delivery);
    r->dead = true;
    if (r->event != WK_WEBHOOK_OFFLINE) {
        w->queues[r->event].dead_rows += r->n_rows;
    } else if (r->origin && !r->origin->dead) {
        r->origin->dead = true;
        w->offline_dead++;
    }
    wk_webhook_send(w, r, now_ms);
}

void wk_webhook_answer(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms)
{
    struct wk_webhook_counts *c = &w->counts[r->event];
    bool durable = r->event != WK_WEBHOOK_OFFLINE || r->origin;
    bool over = durable && wk_webhook_rows_over(w, r->event);

    r->out = false;
    if (!r->dead) {
        wk_histogram_add(&c->duration, WK_BOUNDS_SECONDS, (now_ms - r->sent_ms) * 1000);
        *(r->ok ? &c->ok : &c->failed) += 1;
    }
    if (r->ok) {
        finish(w, r, true);
    } else if (w->draining) {
        if (!durable)
            c->retry_dropped += r->n_items;
        finish(w, r, false); /* rows stay where they are */
    } else if (r->dead) { /* nobody kept it */
        r->due_ms = now_ms + BACKOFF_FIRST_MS;
    } else if (over || (w->opt.tries_max && r->attempt >= w->opt.tries_max)) {
        wk_webhook_give_up(w, r, over, now_ms);
    } else {
        r->due_ms = now_ms + wk_webhook_backoff_ms(r->attempt);
        wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_failed",
               "event=%s items=%u attempt=%u again_in_ms=%llu", wk_webhook_event_name(r->event),
               r->n_items, r->attempt, (unsigned long long)(r->due_ms - now_ms));
    }
    wk_webhook_request_unref(r); /* of the sender */
    wk_webhook_run(w, now_ms);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static uint64_t oldest(const struct wk_list *l, bool by_age)
{
    uint64_t ms = 0;

    for (const struct wk_list *it = l->next; it != l; it = it->next) {
        const struct wk_webhook_request *r =
            by_age ? WK_CONTAINER(it, struct wk_webhook_request, age)
                   : WK_CONTAINER(it, struct wk_webhook_request, link);
        if (!ms || r->born_ms < ms)
            ms = r->born_ms;
        if (by_age)
            break;
    }
    return ms;
}

static const int queue_events[] = {WK_WEBHOOK_NOTIFY, WK_WEBHOOK_ONLINE};

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void wk_webhook_run(struct wk_webhook *w, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    if (w->pumping)
        return; /* the outer call goes on */
    w->pumping = true;
    wk_webhook_lanes_pump(w, now_ms);
    for (int i = 0; i < 2; i++) {
        struct wk_webhook_queue *q = &w->queues[queue_events[i]];
        next = min(next, wk_webhook_queue_retry(w, q, now_ms));
        wk_webhook_queue_pump(w, q, now_ms);
        next = min(next, wk_webhook_queue_next(w, q, now_ms));
        w->counts[q->event].waiting = q->rows;
        w->counts[q->event].oldest_ms = oldest(&q->requests, false);
    }
    next = min(next, wk_webhook_lanes_next(w, now_ms));
    w->counts[WK_WEBHOOK_OFFLINE].oldest_ms = oldest(&w->age, true);
    w->pumping = false;
    if (next != UINT64_MAX)
        w->opt.ops.wake(w->opt.user, next);
}

void wk_webhook_lead(struct wk_webhook *w, uint32_t slot)
{
    for (int i = 0; i < 2; i++)
        wk_webhook_queue_lead(&w->queues[queue_events[i]], slot);
    wk_webhook_source_lead(w, slot);
}

void wk_webhook_recovered(struct wk_webhook *w, int event, uint32_t slot, uint64_t rows,
                          uint64_t now_ms)
{
    if (event == WK_WEBHOOK_OFFLINE)
        wk_webhook_source_recovered(w, slot, rows);
    else
        wk_webhook_queue_recovered(&w->queues[event], slot, rows, now_ms);
    wk_webhook_run(w, now_ms);
}

void wk_webhook_lost(struct wk_webhook *w, uint32_t slot)
{
    for (int i = 0; i < 2; i++)
        wk_webhook_queue_lost(&w->queues[queue_events[i]], slot);
    wk_webhook_source_lost(w, slot);
}

void wk_webhook_read_done(struct wk_webhook *w, struct wk_webhook_batch *b, uint64_t now_ms)
{
    if (b->event == WK_WEBHOOK_OFFLINE)
        wk_webhook_source_read(w, b, now_ms);
    else
        wk_webhook_queue_read(w, b, now_ms);
}

void wk_webhook_drain(struct wk_webhook *w, uint64_t now_ms)
{
    struct wk_list *it, *tmp;

    w->draining = true;
    for (int i = 0; i < 2; i++) {
        struct wk_webhook_queue *q = &w->queues[queue_events[i]];
        q->stuck = false;
        WK_LIST_EACH(it, tmp, &q->requests)
        {
            struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, link);
            if (!r->out)
                finish(w, r, false);
        }
    }
    WK_LIST_EACH(it, tmp, &w->age)
    WK_CONTAINER(it, struct wk_webhook_request, age)->due_ms = now_ms;
    wk_webhook_run(w, now_ms);
}

bool wk_webhook_idle(const struct wk_webhook *w)
{
    const struct wk_webhook_queue *n = &w->queues[WK_WEBHOOK_NOTIFY],
                                  *s = &w->queues[WK_WEBHOOK_ONLINE];

    return !n->reading && wk_list_empty(&n->requests) && !s->reading &&
           wk_list_empty(&s->requests) && (!s->eligible || s->stuck) && !w->source_reads &&
           wk_list_empty(&w->age);
}

const struct wk_webhook_counts *wk_webhook_counts(const struct wk_webhook *w, int event)
{
    return &w->counts[event];
}

int wk_webhook_new(struct wk_webhook **out, const struct wk_webhook_options *opt)
{
    struct wk_webhook *w = wk_calloc(1, sizeof(*w));
    int rc = WKIM_OK;

    if (!w)
        return WKIM_ENOMEM;
    w->opt = *opt;
    wk_list_init(&w->age);
    for (int i = 0; i < 2; i++)
        wk_list_init(&w->queues[queue_events[i]].requests);
    for (int i = 0; i < 2 && rc == WKIM_OK; i++)
        rc = wk_webhook_queue_init(&w->queues[queue_events[i]], queue_events[i], opt);
    w->sources = wk_calloc(opt->n_slots, sizeof(*w->sources));
    w->lanes = wk_calloc(opt->in_flight_max, sizeof(*w->lanes));
    if (rc != WKIM_OK || !w->sources || !w->lanes) {
        wk_webhook_free(w);
        return WKIM_ENOMEM;
    }
    w->n_lanes = opt->in_flight_max;
    for (uint32_t i = 0; i < w->n_lanes; i++)
        wk_list_init(&w->lanes[i].queue);
    for (uint32_t i = 0; i < opt->n_slots; i++)
        w->sources[i].behind = true; /* until it is led and its rows are counted */
    *out = w;
    return WKIM_OK;
}

void wk_webhook_free(struct wk_webhook *w)
{
    struct wk_list *n;

    if (!w)
        return;
    for (int i = 0; i < 2; i++) {
        struct wk_webhook_queue *q = &w->queues[queue_events[i]];
        while ((n = wk_list_pop(&q->requests)))
            wk_webhook_request_unref(WK_CONTAINER(n, struct wk_webhook_request, link));
        wk_free(q->slots);
    }
    wk_webhook_lanes_free(w);
    wk_free(w->sources);
    wk_free(w->lanes);
    wk_free(w);
}
