#include "shard/shard.h"
#include <pthread.h>
#include "base/error.h"

void wk_shard_init(struct wk_shard *s, uint32_t index, uint32_t count)
{
    *s = (struct wk_shard){ .index = index, .count = count };
    wk_timers_init(&s->timers);
    for (int i = 0; i < WK_STAGES; i++)
        s->hooks_tail[i] = &s->hooks[i];
    atomic_init(&s->inbox, NULL);
    atomic_init(&s->sleeping, false);
}

void wk_shard_fini(struct wk_shard *s)
{
    wk_timers_fini(&s->timers);
}

void wk_shard_set_wake(struct wk_shard *s, void (*wake)(void *user), void *user)
{
    s->wake = wake;
    s->wake_user = user;
}

void wk_shard_own(struct wk_shard *s)
{
    __atomic_store_n(&s->owner_thread, (uint64_t)pthread_self(), __ATOMIC_RELAXED);
}

bool wk_shard_is_owner(const struct wk_shard *s)
{
    /* Others may ask while the owner's thread begins: they see somebody else in any case. */
    return __atomic_load_n(&s->owner_thread, __ATOMIC_RELAXED) == (uint64_t)pthread_self();
}

#define HELD_MAX 16 /* shards; those beyond are woken at once */

/* Shards that posts of this thread found asleep since wk_shard_hold. */
static _Thread_local struct {
    unsigned depth, n;
    struct wk_shard *shards[HELD_MAX];
} held;

static void wake_sleeping(struct wk_shard *s)
{
    if (atomic_load(&s->sleeping) && atomic_exchange(&s->sleeping, false) && s->wake)
        s->wake(s->wake_user);
}

void wk_shard_hold(void)
{
    held.depth++;
}

void wk_shard_release(void)
{
    WK_ASSERT(held.depth > 0);
    if (--held.depth > 0)
        return;
    for (unsigned i = 0; i < held.n; i++)
        wake_sleeping(held.shards[i]);
    held.n = 0;
}

/* 1: its wake-up is due at the release. */
static int put_off(struct wk_shard *to)
{
    if (held.depth == 0)
        return 0;
    for (unsigned i = 0; i < held.n; i++) {
        if (held.shards[i] == to)
            return 1;
    }
    if (held.n == HELD_MAX)
        return 0;
    held.shards[held.n++] = to;
    return 1;
}

void wk_shard_post(struct wk_shard *to, struct wk_post *p)
{
    struct wk_post *head = atomic_load_explicit(&to->inbox, memory_order_relaxed);

    do {
        p->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&to->inbox, &head, p, memory_order_seq_cst,
                                                    memory_order_relaxed));
    /* Only the post that finds the shard asleep pays for a wake-up. */
    if (atomic_load(&to->sleeping) && !put_off(to))
        wake_sleeping(to);
}

void wk_shard_defer(struct wk_shard *s, enum wk_stage stage, struct wk_hook *h)
{
    if (h->queued)
        return;
    h->queued = true;
    h->next = NULL;
    *s->hooks_tail[stage] = h;
    s->hooks_tail[stage] = &h->next;
}

static void run_posts(struct wk_shard *s)
{
    struct wk_post *stack = atomic_exchange(&s->inbox, NULL), *fifo = NULL;

    while (stack) { /* pushed newest first */
        struct wk_post *next = stack->next;
        stack->next = fifo;
        fifo = stack;
        stack = next;
    }
    while (fifo) {
        struct wk_post *p = fifo;
        fifo = p->next; /* p may be freed by its run */
        s->posts_run++;
        p->run(s, p);
    }
}

static void run_stage(struct wk_shard *s, int stage)
{
    struct wk_hook *h = s->hooks[stage];

    s->hooks[stage] = NULL;
    s->hooks_tail[stage] = &s->hooks[stage];
    while (h) {
        struct wk_hook *next = h->next;
        h->queued = false;
        h->run(s, h);
        h = next;
    }
}

uint64_t wk_shard_poll(struct wk_shard *s, uint64_t now_ms, uint64_t wall_ms)
{
    s->now_ms = now_ms;
    if (s->now_us / 1000 != now_ms)
        s->now_us = now_ms * 1000;
    s->wall_ms = wall_ms;
    s->rounds++;
    run_posts(s);
    wk_timers_run(&s->timers, now_ms);
    for (int i = 0; i < WK_STAGES; i++)
        run_stage(s, i);
    for (int i = 0; i < WK_STAGES; i++)
        if (s->hooks[i])
            return now_ms;
    if (atomic_load_explicit(&s->inbox, memory_order_acquire))
        return now_ms;
    return wk_timers_next_ms(&s->timers);
}

bool wk_shard_sleep(struct wk_shard *s)
{
    atomic_store(&s->sleeping, true);
    if (atomic_load(&s->inbox) == NULL)
        return true;
    atomic_store(&s->sleeping, false);
    return false;
}

void wk_shard_awake(struct wk_shard *s)
{
    atomic_store_explicit(&s->sleeping, false, memory_order_relaxed);
}
