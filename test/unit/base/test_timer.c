#include "base/timer.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdbool.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "oom.h"

#define TIMERS 300

struct item {
    struct wk_timer timer;
    uint64_t at_ms;
    bool armed;
    struct wk_timers *ts;
};
static uint64_t now, last_fired;
static size_t fired;

static void on_fire(struct wk_timer *t)
{
    struct item *it = WK_CONTAINER(t, struct item, timer);
    assert_true(it->armed && it->at_ms <= now);
    assert_true(it->at_ms >= last_fired);
    assert_int_equal(t->pos, 0);
    last_fired = it->at_ms;
    it->armed = false;
    fired++;
}

static void behaves_like_a_scanned_list(void **state)
{
    (void)state;
    static struct item items[TIMERS];
    struct wk_timers ts;
    struct wk_rng r;
    wk_rng_seed(&r, 21);
    wk_timers_init(&ts);
    for (int i = 0; i < TIMERS; i++)
        items[i].timer.fire = on_fire;
    for (int step = 0; step < 60000; step++) {
        struct item *it = &items[wk_rng_below(&r, TIMERS)];
        const uint64_t what = wk_rng_below(&r, 20);
        if (what < 14) {
            it->at_ms = now + wk_rng_below(&r, 1000);
            assert_int_equal(wk_timer_arm(&ts, &it->timer, it->at_ms), WKIM_OK);
            it->armed = true;
        } else if (what < 18) {
            wk_timer_disarm(&ts, &it->timer);
            it->armed = false;
        } else {
            now += wk_rng_below(&r, 60);
            size_t due = 0;
            for (int i = 0; i < TIMERS; i++)
                due += items[i].armed && items[i].at_ms <= now;
            fired = 0;
            last_fired = 0;
            assert_int_equal(wk_timers_run(&ts, now), due);
            assert_int_equal(fired, due);
        }
        uint64_t next = UINT64_MAX;
        for (int i = 0; step % 16 == 0 && i < TIMERS; i++)
            if (items[i].armed && items[i].at_ms < next)
                next = items[i].at_ms;
        if (step % 16 == 0)
            assert_true(wk_timers_next_ms(&ts) == next);
    }
    wk_timers_fini(&ts);
    assert_int_equal(oom_live(), 0);
}

static void rearm_in_the_past(struct wk_timer *t)
{
    struct item *it = WK_CONTAINER(t, struct item, timer);
    fired++;
    assert_int_equal(wk_timer_arm(it->ts, t, 0), WKIM_OK);
}

static void a_timer_rearmed_in_the_past_does_not_hold_the_run(void **state)
{
    (void)state;
    struct wk_timers ts;
    wk_timers_init(&ts);
    struct item it[2] = { { .ts = &ts }, { .ts = &ts } };
    for (int i = 0; i < 2; i++) {
        it[i].timer.fire = rearm_in_the_past;
        assert_int_equal(wk_timer_arm(&ts, &it[i].timer, 5), WKIM_OK);
    }
    fired = 0;
    assert_int_equal(wk_timers_run(&ts, 10), 2);
    assert_int_equal(fired, 2);
    assert_true(wk_timers_next_ms(&ts) == 0);
    wk_timers_fini(&ts);
    assert_int_equal(it[0].timer.pos, 0);
}

static struct item *victim;
static void disarm_the_other(struct wk_timer *t)
{
    (void)t;
    fired++;
    wk_timer_disarm(victim->ts, &victim->timer);
}

static void a_callback_may_disarm_another_due_timer(void **state)
{
    (void)state;
    struct wk_timers ts;
    wk_timers_init(&ts);
    struct item a = { .ts = &ts }, b = { .ts = &ts };
    a.timer.fire = b.timer.fire = disarm_the_other;
    victim = &b;
    assert_int_equal(wk_timer_arm(&ts, &a.timer, 1), WKIM_OK);
    assert_int_equal(wk_timer_arm(&ts, &b.timer, 2), WKIM_OK);
    fired = 0;
    assert_int_equal(wk_timers_run(&ts, 10), 1);
    assert_int_equal(fired, 1);
    assert_true(wk_timers_next_ms(&ts) == UINT64_MAX);
    wk_timers_fini(&ts);
}

static void reserved_room_cannot_fail(void **state)
{
    (void)state;
    static struct item items[TIMERS];
    struct wk_timers ts;
    wk_timers_init(&ts);
    oom_fail_at(1);
    assert_int_equal(wk_timer_arm(&ts, &items[0].timer, 1), WKIM_ENOMEM);
    assert_int_equal(items[0].timer.pos, 0);
    oom_fail_at(1);
    assert_int_equal(wk_timers_reserve(&ts, TIMERS), WKIM_ENOMEM);
    oom_fail_at(0);
    assert_int_equal(wk_timers_reserve(&ts, SIZE_MAX), WKIM_ENOMEM);
    assert_int_equal(wk_timers_reserve(&ts, TIMERS), WKIM_OK);
    oom_fail_from(1);
    for (int i = 0; i < TIMERS; i++)
        assert_int_equal(wk_timer_arm(&ts, &items[i].timer, (uint64_t)i), WKIM_OK);
    struct item extra = { .ts = &ts };
    assert_int_equal(wk_timer_arm(&ts, &extra.timer, 1), WKIM_ENOMEM);
    assert_int_equal(wk_timer_arm(&ts, &items[7].timer, 1000), WKIM_OK);
    oom_fail_at(0);
    wk_timers_fini(&ts);
    assert_int_equal(oom_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_scanned_list),
        cmocka_unit_test(a_timer_rearmed_in_the_past_does_not_hold_the_run),
        cmocka_unit_test(a_callback_may_disarm_another_due_timer),
        cmocka_unit_test(reserved_room_cannot_fail),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
