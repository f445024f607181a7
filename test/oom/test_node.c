/* The n-th allocation of a node fails: while it starts, while it answers, while it stops.  It says
 * so or works; nothing leaks, and the folder can be used again. */
#include "../unit/node/node_test.h"
#include "oom.h"

static struct tmpdir dir;

static int setup(void **state)
{
    (void)state;
    tmpdir_new(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    oom_fail_at(0);
    tmpdir_remove(&dir);
    return 0;
}

static wkim_config *config(void)
{
    wkim_config *cfg;
    char data[600];

    tmpdir_path(&dir, data, sizeof(data), "data");
    const char *const set[] = { "dataDir",
                                data,
                                "disableEncryption",
                                "true",
                                "limits.shards",
                                "1",
                                "cluster.slotCount",
                                "2",
                                "storage.memtableSize",
                                "4MB",
                                NULL };
    assert_int_equal(wkim_config_new(&cfg), WKIM_OK);
    for (const char *const *s = set; *s; s += 2)
        assert_int_equal(wkim_config_set(cfg, s[0], s[1], WKIM_SOURCE_FLAG, NULL, NULL), WKIM_OK);
    return cfg;
}

static void a_start_without_memory_is_reported_or_works(void **state)
{
    (void)state;
    bool more = true;
    int refused = 0, worked = 0;

    for (uint64_t n = 1; more; n += 1 + n / 10) {
        const size_t live = oom_live();
        wkim_config *cfg = config();
        wkim_node *node = NULL;
        oom_fail_at(n);
        int rc = wkim_node_new(&node, cfg, NULL);
        if (rc == WKIM_OK)
            rc = wkim_node_start(node, NULL);
        if (rc == WKIM_OK) {
            (void)wkim_node_wait_ready(node, 200); /* a slot that met the failure stays out */
            (void)wkim_node_stop(node, 5000);
        }
        more = oom_hit();
        oom_fail_at(0);
        wkim_node_free(node);
        wkim_config_free(cfg);
        refused += rc != WKIM_OK;
        worked += rc == WKIM_OK;
        assert_int_equal(oom_live(), live);
    }
    assert_true(refused > 5);
    assert_true(worked > 0);
}

static void every_accepted_call_is_answered_without_memory(void **state)
{
    (void)state;
    struct test_node t = { .dir = dir };
    bool more = true;
    char no[24];

    node_start(&t, (const char *const[]){ "limits.shards", "1", NULL });
    for (uint64_t n = 1; more && n < 300; n++) {
        snprintf(no, sizeof(no), "n%llu", (unsigned long long)n);
        wkim_reply *r = NULL;
        oom_fail_at(n);
        int rc = call_send(&t, "u1", "u2", no, NULL);
        if (rc == WKIM_OK)
            rc =
                wkim_queue_next(t.q, &r, 300); /* the answer itself may be what could not be made */
        more = oom_hit();
        oom_fail_at(0);
        if (r) {
            const int code = wkim_reply_code(r);
            assert_true(code == WKIM_OK || code == WKIM_ENOMEM || code == WKIM_EIO);
            wkim_reply_free(r);
        } else {
            assert_true(rc == WKIM_ENOMEM || rc == WKIM_EAGAIN);
        }
        uint32_t total;
        if (wkim_node_slots_ready(t.n, &total) !=
            total) { /* a slot stopped: a start brings it back */
            node_stop(&t);
            node_start(&t, (const char *const[]){ "limits.shards", "1", NULL });
        }
    }
    assert_false(more);
    assert_int_equal(call_send(&t, "u1", "u2", "last", NULL), WKIM_OK);
    assert_int_equal(take_code(t.q), WKIM_OK);
    node_stop(&t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(a_start_without_memory_is_reported_or_works),
        T(every_accepted_call_is_answered_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
