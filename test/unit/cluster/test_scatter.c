/* One question to several slots: answers by slot, failures by slot, one end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "cluster.h"
#include "cluster/scatter.h"
#include "oom.h"

enum { OP_ECHO = 1, OP_FAIL_ODD = 2 };
#define SLOTS 8

static struct cl c;

static int m_open(void *user, struct wk_slot *slot)
{
    (void)user;
    wk_slot_set_state(slot, &c);
    return WKIM_OK;
}

static void m_nothing(void *user, struct wk_slot *slot)
{
    (void)user, (void)slot;
}

static enum wk_call_result m_handle(void *user, struct wk_slot *slot, struct wk_call *call)
{
    (void)user;
    if (call->op == OP_FAIL_ODD && wk_slot_id(slot) % 2)
        call->code = WKIM_EBUSY;
    else
        wk_buf_bytes(&call->out, call->in->p, call->in->n);
    return WK_CALL_DONE;
}

static int m_apply(void *user, struct wk_slot *slot, struct wk_txn *txn, uint64_t id, uint16_t op,
                   wkim_slice bytes, struct wk_call *call)
{
    (void)user, (void)slot, (void)txn, (void)id, (void)op, (void)bytes, (void)call;
    return WKIM_OK;
}

static bool m_applied(void *user, struct wk_slot *slot, uint64_t id, uint16_t op, wkim_slice bytes,
                      struct wk_call *call)
{
    (void)user, (void)slot, (void)id, (void)op, (void)bytes, (void)call;
    return true;
}

static void m_batch_end(void *user, struct wk_slot *slot, struct wk_txn *txn)
{
    (void)user, (void)slot, (void)txn;
}

static const struct wk_slot_machine machine = { .open = m_open,
                                                .close = m_nothing,
                                                .lead = m_nothing,
                                                .handle = m_handle,
                                                .apply = m_apply,
                                                .applied = m_applied,
                                                .batch_end = m_batch_end,
                                                .round_end = m_nothing };

static int setup(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .shards = 2, .slots = SLOTS, .machine = &machine });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cl_free(&c);
    return 0;
}

static void count_end(struct wk_scatter *s)
{
    ++*(int *)wk_scatter_user(s);
}

/* Ask the slots 1, 2, 5 their number, to its end. */
static struct wk_scatter *ask(uint16_t op, struct wk_shard *origin)
{
    struct wk_scatter *s;
    int ends = 0;

    assert_int_equal(wk_scatter_new(&s, c.cluster, origin), WKIM_OK);
    for (uint32_t slot = 1; slot < SLOTS; slot++) {
        if (slot == 1 || slot == 2 || slot == 5)
            wk_buf_u8(wk_scatter_request(s, slot), (uint8_t)('0' + slot));
    }
    wk_scatter_send(s, op, count_end, &ends);
    cl_settle(&c);
    assert_int_equal(ends, 1);
    return s;
}

static void every_slot_that_was_asked_answers_and_the_end_comes_once(void **state)
{
    (void)state;
    struct wk_shard *origins[] = { NULL, &c.shards[1] };

    for (int i = 0; i < 2; i++) {
        struct wk_scatter *s = ask(OP_ECHO, origins[i]);
        struct wk_buf all = WK_BUF_INIT;

        assert_int_equal(wk_scatter_code(s), WKIM_OK);
        assert_null(wk_scatter_answer(s, 0));
        assert_int_equal(wk_cursor_u8(wk_scatter_answer(s, 5)), '5');
        assert_true(wk_cursor_u8(wk_scatter_answer(s, 5)) == 0); /* it was read to its end */
        wk_scatter_join(s, ',', &all);
        assert_int_equal(all.n, 5);
        assert_memory_equal(all.p, "1,2,5", 5);
        wk_buf_fini(&all);
        wk_scatter_free(s);
    }
}

static void a_slot_that_refuses_is_told_apart_from_those_that_answer(void **state)
{
    (void)state;
    struct wk_scatter *s = ask(OP_FAIL_ODD, NULL);

    assert_int_equal(wk_scatter_code(s), WKIM_EBUSY);
    assert_int_equal(wk_scatter_code_of(s, 1), WKIM_EBUSY);
    assert_int_equal(wk_scatter_code_of(s, 2), WKIM_OK);
    assert_int_equal(wk_cursor_u8(wk_scatter_answer(s, 2)), '2');
    wk_scatter_free(s);
}

static void nobody_asked_ends_at_once(void **state)
{
    (void)state;
    struct wk_scatter *s;
    int ends = 0;

    assert_int_equal(wk_scatter_new(&s, c.cluster, NULL), WKIM_OK);
    wk_scatter_send(s, OP_ECHO, count_end, &ends);
    assert_int_equal(ends, 1);
    assert_int_equal(wk_scatter_code(s), WKIM_OK);
    wk_scatter_free(s);
}

static void without_memory_the_end_comes_with_that_code(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 200; nth++) {
        struct wk_scatter *s;
        int ends = 0;

        oom_fail_at(nth);
        int rc = wk_scatter_new(&s, c.cluster, NULL);
        if (rc == WKIM_OK) {
            for (uint32_t slot = 0; slot < SLOTS; slot++)
                wk_buf_u8(wk_scatter_request(s, slot), 'x');
            wk_scatter_send(s, OP_ECHO, count_end, &ends);
            cl_settle(&c);
            assert_int_equal(ends, 1);
            rc = wk_scatter_code(s);
        }
        bool hit = oom_hit();
        oom_fail_at(0);
        wk_scatter_free(s);
        if (!hit) {
            assert_int_equal(rc, WKIM_OK);
            return;
        }
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM);
    }
    fail_msg("the allocations do not end");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(every_slot_that_was_asked_answers_and_the_end_comes_once),
        T(a_slot_that_refuses_is_told_apart_from_those_that_answer),
        T(nobody_asked_ends_at_once),
        T(without_memory_the_end_comes_with_that_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
