/* Posts that are held: many of them, one wake-up. */
#include "shard/shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARDS 20

struct site {
    struct wk_shard shards[SHARDS];
    int wakes[SHARDS], runs;
    struct wk_post posts[SHARDS * 2];
};

static struct site site;

static void wake(void *user)
{
    ++*(int *)user;
}

static void run(struct wk_shard *to, struct wk_post *p)
{
    (void)to;
    (void)p;
    site.runs++;
}

static int setup(void **state)
{
    (void)state;
    site = (struct site){ 0 };
    for (uint32_t i = 0; i < SHARDS; i++) {
        wk_shard_init(&site.shards[i], i, SHARDS);
        wk_shard_set_wake(&site.shards[i], wake, &site.wakes[i]);
    }
    for (size_t i = 0; i < SHARDS * 2; i++)
        site.posts[i].run = run;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHARDS; i++)
        wk_shard_fini(&site.shards[i]);
    return 0;
}

static void a_post_wakes_a_sleeping_shard_at_once(void **state)
{
    (void)state;
    assert_true(wk_shard_sleep(&site.shards[0]));
    wk_shard_post(&site.shards[0], &site.posts[0]);
    assert_int_equal(site.wakes[0], 1);
    wk_shard_post(&site.shards[0], &site.posts[1]);
    assert_int_equal(site.wakes[0], 1);
}

static void held_posts_wake_once_at_the_release(void **state)
{
    (void)state;
    assert_true(wk_shard_sleep(&site.shards[0]));
    assert_true(wk_shard_sleep(&site.shards[1]));
    wk_shard_hold();
    wk_shard_post(&site.shards[0], &site.posts[0]);
    wk_shard_post(&site.shards[0], &site.posts[1]);
    wk_shard_post(&site.shards[1], &site.posts[2]);
    assert_int_equal(site.wakes[0] + site.wakes[1], 0);
    wk_shard_release();
    assert_int_equal(site.wakes[0], 1);
    assert_int_equal(site.wakes[1], 1);
    wk_shard_poll(&site.shards[0], 1, 1);
    wk_shard_poll(&site.shards[1], 1, 1);
    assert_int_equal(site.runs, 3);
}

static void only_the_outer_release_wakes(void **state)
{
    (void)state;
    assert_true(wk_shard_sleep(&site.shards[0]));
    wk_shard_hold();
    wk_shard_hold();
    wk_shard_post(&site.shards[0], &site.posts[0]);
    wk_shard_release();
    assert_int_equal(site.wakes[0], 0);
    wk_shard_release();
    assert_int_equal(site.wakes[0], 1);
    assert_true(!wk_shard_sleep(&site.shards[0]));
    wk_shard_poll(&site.shards[0], 1, 1);
    assert_true(wk_shard_sleep(&site.shards[0]));
    wk_shard_post(&site.shards[0], &site.posts[1]);
    assert_int_equal(site.wakes[0], 2);
}

static void a_shard_that_is_awake_or_woke_meanwhile_is_left_alone(void **state)
{
    (void)state;
    wk_shard_hold();
    wk_shard_post(&site.shards[0], &site.posts[0]);
    assert_true(wk_shard_sleep(&site.shards[1]));
    wk_shard_post(&site.shards[1], &site.posts[1]);
    wk_shard_awake(&site.shards[1]);
    wk_shard_poll(&site.shards[1], 1, 1);
    wk_shard_release();
    assert_int_equal(site.wakes[0] + site.wakes[1], 0);
    assert_int_equal(site.runs, 1);
}

static void more_shards_than_can_be_noted_are_woken_all_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHARDS; i++)
        assert_true(wk_shard_sleep(&site.shards[i]));
    wk_shard_hold();
    for (size_t i = 0; i < SHARDS * 2; i++)
        wk_shard_post(&site.shards[i % SHARDS], &site.posts[i]);
    wk_shard_release();
    for (size_t i = 0; i < SHARDS; i++)
        assert_int_equal(site.wakes[i], 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_post_wakes_a_sleeping_shard_at_once),
        T(held_posts_wake_once_at_the_release),
        T(only_the_outer_release_wakes),
        T(a_shard_that_is_awake_or_woke_meanwhile_is_left_alone),
        T(more_shards_than_can_be_noted_are_woken_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
