/* Slots with a machine of the test: calls, batches, faults, replay. */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include "base/mem.h"
#include "cluster.h"

enum { OP_ADD = 1, OP_GET = 2, OP_HOLD = 3, OP_FORWARD = 4, OP_BAD = 5 };

/* A counter per slot; commands carry a u64 to add. */
struct counter {
    uint64_t sum;
};

static struct cl c;
static struct wk_call *held;
static int leads, closes;

static int m_open(void *user, struct wk_slot *slot)
{
    struct counter *n = wk_calloc(1, sizeof(*n));
    struct wk_buf b = WK_BUF_INIT;
    (void)user;

    if (!n)
        return WKIM_ENOMEM;
    if (wk_value_get(wk_slot_store(slot), wk_slot_id(slot), WK_LIT("sum"), &b) == WKIM_OK) {
        struct wk_cursor cur = wk_cursor(wk_buf_slice(&b));
        n->sum = wk_cursor_u64(&cur);
    }
    wk_buf_fini(&b);
    wk_slot_set_state(slot, n);
    return WKIM_OK;
}

static void m_close(void *user, struct wk_slot *slot)
{
    (void)user;
    wk_free(wk_slot_state(slot));
    wk_slot_set_state(slot, NULL);
    closes++;
}

static void m_lead(void *user, struct wk_slot *slot)
{
    (void)user, (void)slot;
    leads++;
}

static enum wk_call_result m_handle(void *user, struct wk_slot *slot, struct wk_call *call)
{
    (void)user;
    switch (call->op) {
    case OP_GET:
        call->number[0] = ((struct counter *)wk_slot_state(slot))->sum;
        return WK_CALL_DONE;
    case OP_HOLD: held = call; return WK_CALL_PENDING;
    case OP_FORWARD:
        wk_call_forward(wk_slot_cluster(slot), call,
                        (wk_slot_id(slot) + 1) % wk_cluster_slot_count(wk_slot_cluster(slot)),
                        OP_ADD);
        return WK_CALL_PENDING;
    default: return WK_CALL_PROPOSE;
    }
}

static int m_apply(void *user, struct wk_slot *slot, struct wk_txn *txn, uint64_t id, uint16_t op,
                   wkim_slice bytes, struct wk_call *call)
{
    struct counter *n = wk_slot_state(slot);
    struct wk_cursor cur = wk_cursor(bytes);
    struct wk_buf b = WK_BUF_INIT;
    (void)user, (void)id;

    if (op == OP_BAD)
        return WKIM_EVERSION;
    n->sum += wk_cursor_u64(&cur);
    wk_buf_u64(&b, n->sum);
    wk_value_put(txn, wk_slot_id(slot), WK_LIT("sum"), wk_buf_slice(&b));
    wk_buf_fini(&b);
    if (call)
        call->number[0] = n->sum;
    return WKIM_OK;
}

static bool m_applied(void *user, struct wk_slot *slot, uint64_t id, uint16_t op, wkim_slice bytes,
                      struct wk_call *call)
{
    (void)user, (void)slot, (void)id, (void)op, (void)bytes;
    return call != NULL;
}

static void m_batch_end(void *user, struct wk_slot *slot, struct wk_txn *txn)
{
    (void)user, (void)slot, (void)txn;
}

static void m_round_end(void *user, struct wk_slot *slot)
{
    (void)user, (void)slot;
}

static const struct wk_slot_machine machine = {
    .open = m_open,
    .close = m_close,
    .lead = m_lead,
    .handle = m_handle,
    .apply = m_apply,
    .batch_end = m_batch_end,
    .applied = m_applied,
    .round_end = m_round_end,
};

static int setup(void **state)
{
    (void)state;
    leads = closes = 0;
    held = NULL;
    cl_new(&c, &(struct cl_options){ .shards = 2, .slots = 4, .machine = &machine });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cl_free(&c);
    return 0;
}

static struct wk_buf number(uint64_t v)
{
    struct wk_buf b = WK_BUF_INIT;
    wk_buf_u64(&b, v);
    return b;
}

static struct cl_answer run(uint16_t op, uint32_t slot, uint64_t v)
{
    struct wk_buf b = number(v);
    struct cl_answer a = cl_do(&c, op, slot, &b);
    cl_answer_fini(&a);
    return a;
}

static uint64_t get(uint32_t slot)
{
    const struct cl_answer a = run(OP_GET, slot, 0);
    assert_int_equal(a.code, WKIM_OK);
    return a.number[0];
}

static void every_slot_leads_and_serves(void **state)
{
    (void)state;
    assert_int_equal(leads, 4);
    assert_int_equal(wk_cluster_ready(c.cluster), 4);
    for (uint32_t s = 0; s < 4; s++)
        assert_int_equal(run(OP_ADD, s, s + 1).number[0], s + 1);
    for (uint32_t s = 0; s < 4; s++)
        assert_int_equal(get(s), s + 1);
}

static void commands_of_a_round_become_one_entry_and_answers_keep_their_order(void **state)
{
    (void)state;
    struct cl_call calls[100];
    struct wk_row_applied before, after;

    assert_int_equal(wk_applied_get(c.store, 1, &before), WKIM_OK);
    for (int i = 0; i < 100; i++) {
        struct wk_buf b = number(1);
        cl_begin(&c, &calls[i], OP_ADD, 1, &b);
    }
    for (uint64_t i = 0; i < 100; i++) {
        struct cl_answer a = cl_take(&c, &calls[i]);
        assert_int_equal(a.code, WKIM_OK);
        assert_int_equal(a.number[0], i + 1);
        cl_answer_fini(&a);
    }
    assert_int_equal(wk_applied_get(c.store, 1, &after), WKIM_OK);
    assert_int_equal(after.index, before.index + 1);
}

static void a_command_is_in_the_store_when_it_is_answered(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;

    assert_int_equal(run(OP_ADD, 2, 7).code, WKIM_OK);
    assert_int_equal(wk_value_get(c.store, 2, WK_LIT("sum"), &b), WKIM_OK);
    assert_int_equal(b.p[7], 7);
    wk_buf_fini(&b);
}

static void a_call_may_be_kept_and_forwarded(void **state)
{
    (void)state;
    struct cl_call call;
    struct wk_buf b = number(5);

    cl_begin(&c, &call, OP_HOLD, 0, &b);
    cl_poll(&c, 0);
    assert_non_null(held);
    assert_false(call.done);
    assert_int_equal(wk_cluster_calls(c.cluster), 1);
    wk_call_finish(held);
    assert_true(call.done);
    assert_int_equal(wk_cluster_calls(c.cluster), 0);
    wk_call_fini(&call.call);
    assert_int_equal(run(OP_FORWARD, 3, 5).number[0], 5); /* to slot 0, on the other shard */
    assert_int_equal(get(0), 5);
}

static void replay_gives_the_same_rows(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 50; i++)
        assert_int_equal(run(OP_ADD, i % 4, i).code, WKIM_OK);
    const uint64_t sums[4] = { get(0), get(1), get(2), get(3) };
    for (int wipe = 1; wipe >= 0; wipe--) { /* everything from the log, then nothing from it */
        cl_restart(&c, wipe);
        for (uint32_t s = 0; s < 4; s++)
            assert_int_equal(get(s), sums[s]);
    }
    assert_true(closes >= 8);
}

/* The log's last round was torn, the rows of it are in the store: the log goes on behind them. */
static void a_start_with_the_applied_index_ahead_of_the_log_goes_on(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(run(OP_ADD, i % 4, 10).code, WKIM_OK);
    cl_down(&c, false);
    cl_wipe_log(&c);
    cl_up(&c);
    for (uint32_t s = 0; s < 4; s++) {
        assert_int_equal(get(s), 20);
        assert_int_equal(run(OP_ADD, s, 1).number[0], 21);
    }
    cl_restart(&c, false);
    for (uint32_t s = 0; s < 4; s++)
        assert_int_equal(get(s), 21);
}

static void a_failed_write_of_the_log_stops_the_node_s_writes_with_an_io_error(void **state)
{
    (void)state;
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_OK);
    atomic_store(&c.dead, true);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_EIO);
    assert_int_equal(run(OP_GET, 0, 0).code, WKIM_EIO); /* the slot has stopped */
    assert_int_equal(wk_cluster_ready(c.cluster), 3);
    assert_int_equal(get(1), 0); /* the others still answer */
    atomic_store(&c.dead, false);
    cl_restart(&c, true);
    assert_int_equal(wk_cluster_ready(c.cluster), 4);
    assert_int_equal(get(0), 1); /* what was not acknowledged is gone */
}

static void a_full_disk_is_told_as_such_for_as_long_as_the_slot_stands(void **state)
{
    (void)state;
    atomic_store(&c.dead_code, WKIM_ENOSPC);
    atomic_store(&c.dead, true);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_ENOSPC);
    atomic_store(&c.dead, false);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_ENOSPC);
    assert_int_equal(run(OP_GET, 0, 0).code, WKIM_ENOSPC);
    cl_restart(&c, true);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_OK);
}

static void an_entry_that_cannot_be_applied_stops_its_slot_only(void **state)
{
    (void)state;
    assert_int_equal(run(OP_ADD, 1, 3).code, WKIM_OK);
    assert_int_equal(run(OP_BAD, 0, 0).code, WKIM_EVERSION);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_EIO);
    assert_int_equal(run(OP_ADD, 1, 3).number[0], 6);
    assert_int_equal(run(OP_ADD, 3, 3).number[0], 3);
    assert_int_equal(wk_cluster_ready(c.cluster), 3);
}

static unsigned posts_waiting(struct wk_shard *s)
{
    unsigned n = 0;

    for (const struct wk_post *p = atomic_load(&s->inbox); p; p = p->next)
        n++;
    return n;
}

/* Slots 0 and 2 share shard 0; the log reports both entries before the shard runs again, so that
 * they are applied in one transaction. */
static void a_bad_entry_does_not_take_its_neighbours_of_the_round_with_it(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        struct cl_call bad, good;
        struct wk_buf b = number(0), g = number(9);

        if (order)
            cl_begin(&c, &good, OP_ADD, 2, &g);
        cl_begin(&c, &bad, OP_BAD, 0, &b);
        if (!order)
            cl_begin(&c, &good, OP_ADD, 2, &g);
        (void)cl_poll(&c, 0);
        while (posts_waiting(&c.shards[0]) < 2)
            sched_yield();
        (void)cl_poll(&c, 0);
        assert_true(bad.done);
        assert_true(good.done);
        assert_int_equal(bad.call.code, WKIM_EVERSION);
        assert_int_equal(good.call.code, WKIM_OK);
        assert_int_equal(good.call.number[0], 9);
        wk_call_fini(&bad.call);
        wk_call_fini(&good.call);
        assert_int_equal(get(2), 9);
        teardown(NULL);
        setup(NULL);
    }
}

static void a_refusing_cluster_answers_stopped(void **state)
{
    (void)state;
    wk_cluster_refuse(c.cluster);
    assert_int_equal(run(OP_ADD, 0, 1).code, WKIM_ESTOPPED);
    assert_int_equal(run(OP_GET, 0, 1).code, WKIM_ESTOPPED);
}

static void calls_under_way_are_answered_when_the_cluster_goes(void **state)
{
    (void)state;
    struct cl_call calls[20];

    for (uint32_t i = 0; i < 20; i++) {
        struct wk_buf b = number(1);
        cl_begin(&c, &calls[i], OP_ADD, i % 4, &b);
    }
    cl_poll(&c, 0); /* slots of shard 0 have proposed, those of shard 1 have not even begun */
    cl_crash(&c);
    for (int i = 0; i < 20; i++) {
        assert_true(calls[i].done);
        wk_call_fini(&calls[i].call);
    }
    cl_up(&c);
}

static bool four_serve(void *arg)
{
    (void)arg;
    return wk_cluster_ready(c.cluster) == 4;
}

static void the_slot_count_of_the_data_wins_over_the_configuration(void **state)
{
    (void)state;
    assert_int_equal(run(OP_ADD, 3, 1).code, WKIM_OK);
    cl_down(&c, false);
    c.opt.slots = 16;
    assert_int_equal(cl_try_up(&c), WKIM_OK);
    assert_int_equal(wk_cluster_slot_count(c.cluster), 4);
    c.opt.slots = 4;
    cl_until(&c, four_serve, NULL);
    assert_int_equal(get(3), 1);
}

static void a_key_finds_its_slot_by_crc(void **state)
{
    (void)state;
    assert_int_equal(wk_cluster_slot_of(c.cluster, WK_LIT("123456789")), 0xcbf43926u % 4);
    for (uint32_t s = 0; s < 4; s++)
        assert_ptr_equal(wk_cluster_shard_of(c.cluster, s), &c.shards[s % 2]);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_slot_leads_and_serves),
        T(commands_of_a_round_become_one_entry_and_answers_keep_their_order),
        T(a_command_is_in_the_store_when_it_is_answered),
        T(a_call_may_be_kept_and_forwarded),
        T(replay_gives_the_same_rows),
        T(a_start_with_the_applied_index_ahead_of_the_log_goes_on),
        T(a_failed_write_of_the_log_stops_the_node_s_writes_with_an_io_error),
        T(a_full_disk_is_told_as_such_for_as_long_as_the_slot_stands),
        T(an_entry_that_cannot_be_applied_stops_its_slot_only),
        T(a_bad_entry_does_not_take_its_neighbours_of_the_round_with_it),
        T(a_refusing_cluster_answers_stopped),
        T(calls_under_way_are_answered_when_the_cluster_goes),
        T(the_slot_count_of_the_data_wins_over_the_configuration),
        T(a_key_finds_its_slot_by_crc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
