#include "shard/shard.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "base/error.h"
#include "base/mem.h"

static struct wk_shard shard;
static char trace[64];
static size_t traced;

static int setup(void **state)
{
    (void)state;
    wk_shard_init(&shard, 0, 1);
    wk_shard_own(&shard);
    memset(trace, 0, sizeof(trace));
    traced = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wk_shard_fini(&shard);
    return 0;
}

struct note {
    struct wk_post post;
    struct wk_hook hook;
    struct wk_timer timer;
    enum wk_stage stage;
    char c;
    struct note *then;
};

static void mark(const struct note *n)
{
    if (traced < sizeof(trace) - 1)
        trace[traced++] = n->c;
}

static void on_hook(struct wk_shard *s, struct wk_hook *h)
{
    struct note *n = WK_CONTAINER(h, struct note, hook);
    mark(n);
    if (n->then)
        wk_shard_defer(s, n->then->stage, &n->then->hook);
}

static void on_post(struct wk_shard *s, struct wk_post *p)
{
    struct note *n = WK_CONTAINER(p, struct note, post);
    mark(n);
    if (n->then)
        wk_shard_post(s, &n->then->post);
}

static void on_timer(struct wk_timer *t)
{
    mark(WK_CONTAINER(t, struct note, timer));
}

static struct note note(char c)
{
    return (
        struct note){ .post.run = on_post, .hook.run = on_hook, .timer.fire = on_timer, .c = c };
}

static void posts_run_in_arrival_order(void **state)
{
    (void)state;
    struct note n[5];

    for (int i = 0; i < 5; i++) {
        n[i] = note((char)('a' + i));
        wk_shard_post(&shard, &n[i].post);
    }
    assert_int_equal(wk_shard_poll(&shard, 1, 1), UINT64_MAX);
    assert_string_equal(trace, "abcde");
    assert_int_equal(shard.posts_run, 5);
}

static void a_post_of_a_post_runs_in_the_next_round(void **state)
{
    (void)state;
    struct note a = note('a'), b = note('b');

    a.then = &b;
    wk_shard_post(&shard, &a.post);
    assert_int_equal(wk_shard_poll(&shard, 7, 1), 7); /* work is left */
    assert_string_equal(trace, "a");
    assert_int_equal(wk_shard_poll(&shard, 8, 1), UINT64_MAX);
    assert_string_equal(trace, "ab");
}

static void a_round_is_posts_then_timers_then_stages(void **state)
{
    (void)state;
    struct note post = note('p'), timer = note('t'), commit = note('1'), propose = note('2'),
                flush = note('3');

    wk_shard_defer(&shard, WK_STAGE_FLUSH, &flush.hook);
    wk_shard_defer(&shard, WK_STAGE_PROPOSE, &propose.hook);
    wk_shard_defer(&shard, WK_STAGE_COMMIT, &commit.hook);
    assert_int_equal(wk_timer_arm(&shard.timers, &timer.timer, 10), WKIM_OK);
    wk_shard_post(&shard, &post.post);
    assert_int_equal(wk_shard_poll(&shard, 10, 1), UINT64_MAX);
    assert_string_equal(trace, "pt123");
}

static void a_hook_runs_once_however_often_it_is_asked(void **state)
{
    (void)state;
    struct note a = note('a'), b = note('b');

    wk_shard_defer(&shard, WK_STAGE_COMMIT, &a.hook);
    wk_shard_defer(&shard, WK_STAGE_COMMIT, &b.hook);
    wk_shard_defer(&shard, WK_STAGE_COMMIT, &a.hook);
    (void)wk_shard_poll(&shard, 1, 1);
    assert_string_equal(trace, "ab");
    wk_shard_defer(&shard, WK_STAGE_COMMIT, &a.hook);
    (void)wk_shard_poll(&shard, 2, 1);
    assert_string_equal(trace, "aba");
}

static void a_later_stage_asked_for_in_a_stage_runs_in_the_same_round(void **state)
{
    (void)state;
    struct note commit = note('1'), propose = note('2'), again = note('3');

    propose.stage = WK_STAGE_PROPOSE;
    commit.then = &propose;
    again.stage = WK_STAGE_COMMIT;
    propose.then = &again; /* an earlier stage waits for the next round */
    wk_shard_defer(&shard, WK_STAGE_COMMIT, &commit.hook);
    assert_int_equal(wk_shard_poll(&shard, 5, 1), 5);
    assert_string_equal(trace, "12");
    assert_int_equal(wk_shard_poll(&shard, 6, 1), UINT64_MAX);
    assert_string_equal(trace, "123");
}

static void poll_tells_the_next_timer(void **state)
{
    (void)state;
    struct note t = note('t');

    assert_int_equal(wk_timer_arm(&shard.timers, &t.timer, 50), WKIM_OK);
    assert_int_equal(wk_shard_poll(&shard, 10, 1), 50);
    assert_string_equal(trace, "");
    assert_int_equal(wk_shard_poll(&shard, 50, 1), UINT64_MAX);
    assert_string_equal(trace, "t");
}

static void count_wake(void *user)
{
    ++*(int *)user;
}

static void only_a_sleeping_shard_is_woken_and_once(void **state)
{
    (void)state;
    struct note a = note('a'), b = note('b'), d = note('d');
    int wakes = 0;

    wk_shard_set_wake(&shard, count_wake, &wakes);
    wk_shard_post(&shard, &a.post);
    assert_int_equal(wakes, 0);
    assert_false(wk_shard_sleep(&shard)); /* work waits: it may not block */
    (void)wk_shard_poll(&shard, 1, 1);
    assert_true(wk_shard_sleep(&shard));
    wk_shard_post(&shard, &b.post);
    wk_shard_post(&shard, &d.post);
    assert_int_equal(wakes, 1);
    wk_shard_awake(&shard);
    (void)wk_shard_poll(&shard, 1, 1);
    assert_string_equal(trace, "abd");
}

static void *other_thread(void *arg)
{
    bool *owner = arg;
    *owner = wk_shard_is_owner(&shard);
    return NULL;
}

static void the_owner_is_one_thread(void **state)
{
    (void)state;
    pthread_t t;
    bool owner = true;

    assert_true(wk_shard_is_owner(&shard));
    assert_int_equal(pthread_create(&t, NULL, other_thread, &owner), 0);
    pthread_join(t, NULL);
    assert_false(owner);
}

/* ---- several posters ------------------------------------------------------------------------- */

#define POSTERS 4
#define POSTS 5000

struct numbered {
    struct wk_post post;
    int poster, n;
};
static struct numbered *sent[POSTERS];
static int next_of[POSTERS], received;
static bool disorder;

static void on_numbered(struct wk_shard *s, struct wk_post *p)
{
    struct numbered *n = WK_CONTAINER(p, struct numbered, post);
    (void)s;
    disorder |= n->n != next_of[n->poster]++;
    received++;
}

static void *poster(void *arg)
{
    struct numbered *all = arg;

    for (int i = 0; i < POSTS; i++)
        wk_shard_post(&shard, &all[i].post);
    return NULL;
}

static void posts_of_each_thread_arrive_in_order_and_none_is_lost(void **state)
{
    (void)state;
    pthread_t t[POSTERS];

    received = 0;
    disorder = false;
    for (int i = 0; i < POSTERS; i++) {
        next_of[i] = 0;
        sent[i] = wk_calloc(POSTS, sizeof(**sent));
        assert_non_null(sent[i]);
        for (int n = 0; n < POSTS; n++)
            sent[i][n] = (struct numbered){ .post.run = on_numbered, .poster = i, .n = n };
        assert_int_equal(pthread_create(&t[i], NULL, poster, sent[i]), 0);
    }
    for (uint64_t round = 0; received < POSTERS * POSTS && round < 1000000000; round++)
        (void)wk_shard_poll(&shard, round, 1);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(t[i], NULL);
        wk_free(sent[i]);
    }
    assert_int_equal(received, POSTERS * POSTS);
    assert_false(disorder);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(posts_run_in_arrival_order),
        T(a_post_of_a_post_runs_in_the_next_round),
        T(a_round_is_posts_then_timers_then_stages),
        T(a_hook_runs_once_however_often_it_is_asked),
        T(a_later_stage_asked_for_in_a_stage_runs_in_the_same_round),
        T(poll_tells_the_next_timer),
        T(only_a_sleeping_shard_is_woken_and_once),
        T(the_owner_is_one_thread),
        T(posts_of_each_thread_arrive_in_order_and_none_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
