/* The machine as a whole: life of a request, tries, the end of one. */
#include "hook/hook.h"
#include <stdio.h>
#include "base/clock.h"
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
    if (r->event == WK_WEBHOOK_NOTIFY)
        wk_webhook_notify_finish(w, r, remove);
    else
        wk_webhook_lane_finish(w, r);
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
    if (r->event == WK_WEBHOOK_NOTIFY)
        w->dead_rows += r->n_rows;
    wk_webhook_send(w, r, now_ms);
}

void wk_webhook_answer(struct wk_webhook *w, struct wk_webhook_request *r, uint64_t now_ms)
{
    struct wk_webhook_counts *c = &w->counts[r->event];
    bool over = r->event == WK_WEBHOOK_NOTIFY && wk_webhook_rows_over(w);

    r->out = false;
    if (!r->dead) {
        c->busy_ms += now_ms - r->sent_ms;
        *(r->ok ? &c->ok : &c->failed) += 1;
    }
    if (r->ok || r->dead) {
        finish(w, r, true);
    } else if (w->draining) {
        if (r->event != WK_WEBHOOK_NOTIFY)
            c->retry_dropped += r->n_items;
        finish(w, r, false); /* rows stay where they are */
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

static uint64_t retry_pump(struct wk_webhook *w, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &w->notify)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, link);
        if (r->out)
            continue;
        if (!w->draining && wk_webhook_rows_over(w))
            wk_webhook_give_up(w, r, true, now_ms);
        else if (r->due_ms <= now_ms && !w->draining)
            wk_webhook_send(w, r, now_ms);
        else if (r->due_ms < next)
            next = r->due_ms;
    }
    return next;
}

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

void wk_webhook_run(struct wk_webhook *w, uint64_t now_ms)
{
    if (w->pumping)
        return; /* the outer call goes on */
    w->pumping = true;
    wk_webhook_lanes_pump(w, now_ms);
    uint64_t next = retry_pump(w, now_ms);
    wk_webhook_notify_pump(w, now_ms);
    uint64_t lanes = wk_webhook_lanes_next(w);
    next = lanes < next ? lanes : next;
    if (w->eligible && !w->draining && w->notify_due_ms > now_ms && w->notify_due_ms < next)
        next = w->notify_due_ms;
    w->counts[WK_WEBHOOK_NOTIFY].waiting = w->rows;
    w->counts[WK_WEBHOOK_NOTIFY].oldest_ms = oldest(&w->notify, false);
    w->counts[WK_WEBHOOK_OFFLINE].oldest_ms = oldest(&w->age[WK_WEBHOOK_OFFLINE], true);
    w->counts[WK_WEBHOOK_ONLINE].oldest_ms = oldest(&w->age[WK_WEBHOOK_ONLINE], true);
    w->pumping = false;
    if (next != UINT64_MAX)
        w->opt.ops.wake(w->opt.user, next);
}

void wk_webhook_drain(struct wk_webhook *w, uint64_t now_ms)
{
    struct wk_list *it, *tmp;

    w->draining = true;
    WK_LIST_EACH(it, tmp, &w->notify)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, link);
        if (!r->out)
            finish(w, r, false);
    }
    for (int e = WK_WEBHOOK_OFFLINE; e < WK_WEBHOOK_EVENTS; e++) {
        WK_LIST_EACH(it, tmp, &w->age[e])
        WK_CONTAINER(it, struct wk_webhook_request, age)->due_ms = now_ms;
    }
    wk_webhook_run(w, now_ms);
}

bool wk_webhook_idle(const struct wk_webhook *w)
{
    return !w->reading && wk_list_empty(&w->notify) && wk_list_empty(&w->age[WK_WEBHOOK_OFFLINE]) &&
           wk_list_empty(&w->age[WK_WEBHOOK_ONLINE]);
}

const struct wk_webhook_counts *wk_webhook_counts(const struct wk_webhook *w, int event)
{
    return &w->counts[event];
}

int wk_webhook_new(struct wk_webhook **out, const struct wk_webhook_options *opt)
{
    struct wk_webhook *w = wk_calloc(1, sizeof(*w));

    if (!w)
        return WKIM_ENOMEM;
    w->opt = *opt;
    wk_list_init(&w->notify);
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++)
        wk_list_init(&w->age[e]);
    w->slots = wk_calloc(opt->n_slots, sizeof(*w->slots));
    w->lanes = wk_calloc(opt->in_flight_max + 1, sizeof(*w->lanes));
    if (!w->slots || !w->lanes || wk_random_bytes(&w->salt, sizeof(w->salt)) != WKIM_OK) {
        wk_free(w->slots);
        wk_free(w->lanes);
        wk_free(w);
        return WKIM_ENOMEM;
    }
    w->n_lanes = opt->in_flight_max + 1;
    for (uint32_t i = 0; i < w->n_lanes; i++)
        wk_list_init(&w->lanes[i].queue);
    *out = w;
    return WKIM_OK;
}

static void drop_all(struct wk_list *l)
{
    struct wk_list *n;

    while ((n = wk_list_pop(l)))
        wk_webhook_request_unref(WK_CONTAINER(n, struct wk_webhook_request, link));
}

void wk_webhook_free(struct wk_webhook *w)
{
    if (!w)
        return;
    drop_all(&w->notify);
    for (uint32_t i = 0; i < w->n_lanes; i++)
        drop_all(&w->lanes[i].queue);
    wk_free(w->slots);
    wk_free(w->lanes);
    wk_free(w);
}
