#include "event/event.h"
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/clock.h"

static struct wk_shard shard;
static struct wk_loop *loop;
static sem_t told;

static int setup(void **state)
{
    (void)state;
    sem_init(&told, 0, 0);
    wk_shard_init(&shard, 0, 1);
    return wk_loop_new(&loop, &shard, NULL) == WKIM_OK && wk_loop_start(loop, NULL) == WKIM_OK ? 0
                                                                                               : -1;
}

static int teardown(void **state)
{
    (void)state;
    wk_loop_stop(loop);
    wk_loop_free(loop);
    wk_shard_fini(&shard);
    sem_destroy(&told);
    return 0;
}

/* Bounded: a lost wake-up fails the test instead of hanging it. */
static void wait_told(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    assert_int_equal(sem_timedwait(&told, &until), 0);
}

static void tell(struct wk_shard *s, struct wk_post *p)
{
    (void)p;
    if (wk_shard_is_owner(s))
        sem_post(&told);
}

static void a_post_wakes_the_sleeping_thread(void **state)
{
    (void)state;
    struct wk_post p = { .run = tell };

    for (int i = 0; i < 2000; i++) { /* often enough to meet every step of falling asleep */
        wk_shard_post(&shard, &p);
        wait_told();
    }
}

struct timed {
    struct wk_post post;
    struct wk_timer timer;
    uint64_t armed_ms, fired_ms;
};

static void fired(struct wk_timer *t)
{
    struct timed *x = WK_CONTAINER(t, struct timed, timer);
    x->fired_ms = wk_now_ms();
    sem_post(&told);
}

static void arm(struct wk_shard *s, struct wk_post *p)
{
    struct timed *x = WK_CONTAINER(p, struct timed, post);
    x->armed_ms = s->now_ms;
    x->timer.fire = fired;
    if (wk_timer_arm(&s->timers, &x->timer, s->now_ms + 20) != WKIM_OK)
        abort();
}

static void a_timer_fires_when_nothing_else_happens(void **state)
{
    (void)state;
    struct timed x = { .post.run = arm };

    wk_shard_post(&shard, &x.post);
    wait_told();
    assert_true(x.fired_ms >= x.armed_ms + 20);
}

struct peer {
    struct wk_post open, close;
    struct wk_io io;
    int fd;
    int what;
    uint64_t at_ms; /* the shard's clock when it was told */
    char got[16];
};

static void ready(struct wk_io *io, int what)
{
    struct peer *p = WK_CONTAINER(io, struct peer, io);

    p->what |= what;
    p->at_ms = shard.now_ms;
    if (what & WK_IO_READ) {
        if (read(io->fd, p->got, sizeof(p->got)) <= 0)
            abort();
    }
    if (what & WK_IO_WRITE && wk_io_want(io, WK_IO_READ) != WKIM_OK) /* from inside its own event */
        abort();
    sem_post(&told);
}

static void open_io(struct wk_shard *s, struct wk_post *post)
{
    struct peer *p = WK_CONTAINER(post, struct peer, open);
    (void)s;
    if (wk_io_open(&p->io, loop, p->fd, ready) != WKIM_OK ||
        wk_io_want(&p->io, WK_IO_READ) != WKIM_OK)
        abort();
    sem_post(&told);
}

static void want_write(struct wk_shard *s, struct wk_post *post)
{
    struct peer *p = WK_CONTAINER(post, struct peer, open);
    (void)s;
    if (wk_io_want(&p->io, WK_IO_READ | WK_IO_WRITE) != WKIM_OK)
        abort();
}

static void want_nothing(struct wk_shard *s, struct wk_post *post)
{
    struct peer *p = WK_CONTAINER(post, struct peer, open);
    (void)s;
    if (wk_io_want(&p->io, 0) != WKIM_OK)
        abort();
    sem_post(&told);
}

static void close_io(struct wk_shard *s, struct wk_post *post)
{
    struct peer *p = WK_CONTAINER(post, struct peer, close);
    (void)s;
    wk_io_close(&p->io);
    wk_io_close(&p->io); /* twice is harmless */
    sem_post(&told);
}

static void what_comes_after_a_pause_is_dated_after_it(void **state)
{
    (void)state;
    int fd[2];
    struct peer p = { .open.run = open_io, .close.run = close_io };

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    p.fd = fd[0];
    wk_shard_post(&shard, &p.open);
    wait_told();
    const uint64_t until = wk_now_ms() + 30;
    while (wk_now_ms() < until)
        ;
    assert_int_equal(write(fd[1], "hello", 6), 6);
    wait_told();
    assert_true(p.at_ms >= until);
    wk_shard_post(&shard, &p.close);
    wait_told();
    close(fd[0]);
    close(fd[1]);
}

static void readiness_is_told_only_while_it_is_wanted(void **state)
{
    (void)state;
    int fd[2];
    struct peer p = { .open.run = open_io, .close.run = close_io };

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    p.fd = fd[0];
    wk_shard_post(&shard, &p.open);
    wait_told();
    assert_int_equal(write(fd[1], "hello", 6), 6);
    wait_told();
    assert_string_equal(p.got, "hello");
    assert_int_equal(p.what, WK_IO_READ);
    p.open.run = want_write;
    wk_shard_post(&shard, &p.open);
    wait_told();
    assert_int_equal(p.what, WK_IO_READ | WK_IO_WRITE);
    p.open.run = want_nothing;
    wk_shard_post(&shard, &p.open);
    wait_told();
    p.got[0] = 0;
    assert_int_equal(write(fd[1], "later", 6), 6);
    wk_shard_post(&shard, &p.close);
    wait_told();
    assert_string_equal(p.got, "");
    close(fd[0]);
    close(fd[1]);
}

static void stopping_twice_and_freeing_a_loop_that_never_ran_is_harmless(void **state)
{
    (void)state;
    struct wk_shard other;
    struct wk_loop *idle;

    wk_loop_stop(loop);
    wk_loop_stop(loop);
    wk_shard_init(&other, 0, 1);
    assert_int_equal(wk_loop_new(&idle, &other, NULL), WKIM_OK);
    wk_loop_stop(idle);
    wk_loop_free(idle);
    wk_shard_fini(&other);
}

static void a_loop_may_be_freed_while_it_runs(void **state)
{
    (void)state;
    struct wk_shard other;
    struct wk_loop *running;

    wk_shard_init(&other, 0, 1);
    assert_int_equal(wk_loop_new(&running, &other, NULL), WKIM_OK);
    assert_int_equal(wk_loop_start(running, NULL), WKIM_OK);
    wk_loop_free(running); /* a start that fails half-way ends like this */
    wk_shard_fini(&other);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_post_wakes_the_sleeping_thread),
        T(a_timer_fires_when_nothing_else_happens),
        T(what_comes_after_a_pause_is_dated_after_it),
        T(readiness_is_told_only_while_it_is_wanted),
        T(stopping_twice_and_freeing_a_loop_that_never_ran_is_harmless),
        T(a_loop_may_be_freed_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
