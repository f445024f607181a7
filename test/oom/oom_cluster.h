/* A node of test/support/cluster.h in which the n-th allocation fails.  Included by one test file
 * each; `c` is the node, made by that file's own setup. */
#ifndef TEST_OOM_CLUSTER_H
#define TEST_OOM_CLUSTER_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "cluster.h"
#include "oom.h"

#ifndef ALLOCATIONS_MAX
#define ALLOCATIONS_MAX 400 /* of one call; more would be a fault of its own */
#endif

static struct cl c;

/* A slot that had to stop comes back with a restart. */
static void restart_if_stopped(void)
{
    if (wk_cluster_ready(c.cluster) != c.opt.slots)
        cl_restart(&c, true);
}

/* And then what was left to do is done. */
__attribute__((unused)) static void repair(void)
{
    restart_if_stopped();
    cl_advance(&c, 2000);
}

/* `also`: the one other code that the call may be answered with. */
__attribute__((unused)) static void expect_known_code(int code, int also)
{
    if (code != WKIM_OK && code != WKIM_ENOMEM && code != WKIM_EIO && code != WKIM_EBUSY &&
        code != also)
        fail_msg("unexpected answer %s", wkim_err_name(code));
}

/* The answer to a call that has begun and whose n-th allocation from here fails; *hit: it had that
 * many. */
__attribute__((unused)) static struct cl_answer take_failing(struct cl_call *call, uint64_t n,
                                                             bool *hit, int also)
{
    oom_fail_at(n);
    struct cl_answer a = cl_take(&c, call);
    cl_settle(&c);
    *hit = oom_hit();
    oom_fail_at(0);
    expect_known_code(a.code, also);
    return a;
}

__attribute__((unused)) static int take_failing_code(struct cl_call *call, uint64_t n, bool *hit,
                                                     int also)
{
    struct cl_answer a = take_failing(call, n, hit, also);

    cl_answer_fini(&a);
    return a.code;
}

static int teardown(void **state)
{
    (void)state;
    cl_free(&c);
    return 0;
}

static size_t live_before;

static int group_setup(void **state)
{
    (void)state;
    live_before = oom_live();
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    if (oom_live() == live_before)
        return 0;
    fprintf(stderr, "%zu blocks leaked\n", oom_live() - live_before);
    return -1;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#endif
