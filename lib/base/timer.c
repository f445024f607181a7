#include "base/timer.h"
#include "base/error.h"
#include "base/mem.h"

#define TIMERS_CAP_MIN 16

void wk_timers_init(struct wk_timers *ts)
{
    *ts = (struct wk_timers){ NULL, 0, 0 };
}

void wk_timers_fini(struct wk_timers *ts)
{
    for (size_t i = 0; i < ts->n; i++)
        ts->heap[i]->pos = 0;
    wk_free(ts->heap);
    wk_timers_init(ts);
}

int wk_timers_reserve(struct wk_timers *ts, size_t total)
{
    size_t bytes;

    if (total <= ts->cap)
        return WKIM_OK;
    if (__builtin_mul_overflow(total, sizeof(struct wk_timer *), &bytes))
        return WKIM_ENOMEM;
    struct wk_timer **heap = wk_realloc(ts->heap, bytes);
    if (!heap)
        return WKIM_ENOMEM;
    ts->heap = heap;
    ts->cap = total;
    return WKIM_OK;
}

static void put_at(struct wk_timers *ts, size_t i, struct wk_timer *t)
{
    ts->heap[i] = t;
    t->pos = i + 1;
}

/* The place i is free: move parents down until t fits. */
static void sift_up(struct wk_timers *ts, size_t i, struct wk_timer *t)
{
    while (i > 0) {
        struct wk_timer *parent = ts->heap[(i - 1) / 2];
        if (parent->at_ms <= t->at_ms)
            break;
        put_at(ts, i, parent);
        i = (i - 1) / 2;
    }
    put_at(ts, i, t);
}

/* The place i is free: move the earlier child up until t fits. */
static void sift_down(struct wk_timers *ts, size_t i, struct wk_timer *t)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= ts->n)
            break;
        if (child + 1 < ts->n && ts->heap[child + 1]->at_ms < ts->heap[child]->at_ms)
            child++;
        if (t->at_ms <= ts->heap[child]->at_ms)
            break;
        put_at(ts, i, ts->heap[child]);
        i = child;
    }
    put_at(ts, i, t);
}

static void place(struct wk_timers *ts, size_t i, struct wk_timer *t)
{
    if (i > 0 && ts->heap[(i - 1) / 2]->at_ms > t->at_ms)
        sift_up(ts, i, t);
    else
        sift_down(ts, i, t);
}

int wk_timer_arm(struct wk_timers *ts, struct wk_timer *t, uint64_t at_ms)
{
    if (t->pos > 0) {
        WK_ASSERT(t->pos <= ts->n && ts->heap[t->pos - 1] == t);
        t->at_ms = at_ms;
        place(ts, t->pos - 1, t);
        return WKIM_OK;
    }
    if (ts->n == ts->cap) {
        const size_t cap = ts->cap ? ts->cap * 2 : TIMERS_CAP_MIN;
        const int rc = wk_timers_reserve(ts, cap);
        if (rc != WKIM_OK)
            return rc;
    }
    t->at_ms = at_ms;
    ts->n++;
    sift_up(ts, ts->n - 1, t);
    return WKIM_OK;
}

void wk_timer_disarm(struct wk_timers *ts, struct wk_timer *t)
{
    if (t->pos == 0)
        return;
    const size_t i = t->pos - 1;
    WK_ASSERT(i < ts->n && ts->heap[i] == t);
    struct wk_timer *last = ts->heap[--ts->n];
    t->pos = 0;
    if (last != t)
        place(ts, i, last);
}

uint64_t wk_timers_next_ms(const struct wk_timers *ts)
{
    return ts->n > 0 ? ts->heap[0]->at_ms : UINT64_MAX;
}

size_t wk_timers_run(struct wk_timers *ts, uint64_t now_ms)
{
    /* At most as many calls as were armed at the start: a timer that re-arms itself for a time
     * already past cannot hold the shard here. */
    const size_t calls_max = ts->n;
    size_t fired = 0;

    while (fired < calls_max && ts->n > 0 && ts->heap[0]->at_ms <= now_ms) {
        struct wk_timer *t = ts->heap[0];
        wk_timer_disarm(ts, t);
        fired++;
        t->fire(t);
    }
    return fired;
}
