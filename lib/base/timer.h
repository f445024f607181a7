/* Timers of one shard: intrusive binary heap on a monotonic ms clock.  Not thread-safe. */
#ifndef WK_BASE_TIMER_H
#define WK_BASE_TIMER_H
#include <stddef.h>
#include <stdint.h>

struct wk_timer {
    uint64_t at_ms;
    size_t pos; /* 0: not armed; heap position + 1 otherwise */
    void (*fire)(struct wk_timer *t);
};
struct wk_timers {
    struct wk_timer **heap;
    size_t n, cap;
};
void wk_timers_init(struct wk_timers *ts);
void wk_timers_fini(struct wk_timers *ts);
/* Reserve room so that arming `total` timers cannot fail. WKIM_OK or WKIM_ENOMEM. */
int wk_timers_reserve(struct wk_timers *ts, size_t total);
/* Arm or move.  WKIM_OK or WKIM_ENOMEM (only when not armed and no room). */
int wk_timer_arm(struct wk_timers *ts, struct wk_timer *t, uint64_t at_ms);
void wk_timer_disarm(struct wk_timers *ts, struct wk_timer *t); /* not armed: no effect */
uint64_t wk_timers_next_ms(const struct wk_timers *ts);         /* UINT64_MAX: none */
/* Fire all due timers, each disarmed before its call; returns how many. */
size_t wk_timers_run(struct wk_timers *ts, uint64_t now_ms);
#endif
