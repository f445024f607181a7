#include "store/reader.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include "fixture.h"

struct job {
    struct wk_read_job job;
    pthread_mutex_t *gate; /* run waits for it when given */
    atomic_int ran, done;
    atomic_int *total;
};

static void run(struct wk_read_job *j)
{
    struct job *job = (struct job *)j;

    if (job->gate) {
        pthread_mutex_lock(job->gate);
        pthread_mutex_unlock(job->gate);
    }
    atomic_fetch_add(&job->ran, 1);
}

static void done(struct wk_read_job *j)
{
    struct job *job = (struct job *)j;

    assert_int_equal(atomic_load(&job->ran), 1);
    atomic_fetch_add(&job->done, 1);
    atomic_fetch_add(job->total, 1);
}

static void accepted_jobs_are_finished_before_free_returns(void **state)
{
    static struct job jobs[500];
    struct wk_readers *r;
    atomic_int total = 0;

    (void)state;
    assert_int_equal(wk_readers_new(&r, 3, 500), WKIM_OK);
    for (int i = 0; i < 500; i++) {
        jobs[i] = (struct job){ .job = { NULL, run, done }, .total = &total };
        assert_int_equal(wk_readers_submit(r, &jobs[i].job), WKIM_OK);
    }
    wk_readers_free(r);
    assert_int_equal(total, 500);
    for (int i = 0; i < 500; i++)
        assert_int_equal(jobs[i].done, 1);
}

static void full_queue_answers_busy(void **state)
{
    pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
    struct wk_readers *r;
    struct job jobs[4];
    atomic_int total = 0;
    int accepted = 0, rc = WKIM_OK;

    (void)state;
    assert_int_equal(wk_readers_new(&r, 1, 2), WKIM_OK);
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 4 && rc == WKIM_OK; i++) {
        jobs[i] = (struct job){ .job = { NULL, run, done }, .gate = &gate, .total = &total };
        rc = wk_readers_submit(r, &jobs[i].job);
        accepted += rc == WKIM_OK;
    }
    /* Two may wait; the thread may hold a third. */
    assert_int_equal(rc, WKIM_EBUSY);
    assert_in_range(accepted, 2, 3);
    assert_in_range(wk_readers_queued(r), 1, 2);
    struct wk_readers_stats in_hand;
    wk_readers_stats(r, &in_hand);
    assert_int_equal(in_hand.queued + in_hand.running, accepted);
    pthread_mutex_unlock(&gate);
    do {
        sched_yield();
        wk_readers_stats(r, &in_hand);
    } while (in_hand.queued || in_hand.running);
    assert_int_equal(total, accepted); /* what is not in hand any more is done */
    wk_readers_free(r);
}

static void impossible_sizes_are_refused(void **state)
{
    struct wk_readers *r;

    (void)state;
    assert_int_equal(wk_readers_new(&r, 0, 1), WKIM_EINVAL);
    assert_int_equal(wk_readers_new(&r, 1, 0), WKIM_EINVAL);
    wk_readers_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_jobs_are_finished_before_free_returns),
        cmocka_unit_test(full_queue_answers_busy),
        cmocka_unit_test(impossible_sizes_are_refused),
    };
    return cmocka_run_group_tests_name("reader", tests, NULL, NULL);
}
