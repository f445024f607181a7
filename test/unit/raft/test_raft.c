/* The contract of raft.h that a scenario cannot show: memory, refusals, numbers of batches. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "raft/internal.h"
#include "oom.h"

#define LOG_MAX 65536
static uint64_t disk_terms[LOG_MAX], disk_last;

static int log_term(void *user, uint64_t index, uint64_t *term)
{
    (void)user;
    *term = index <= disk_last ? disk_terms[index] : 0;
    return index <= disk_last ? WKIM_OK : WKIM_ENOTFOUND;
}

static wkim_ssize log_entries(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                              struct wk_raft_entry *out, uint32_t out_max)
{
    (void)user, (void)bytes_max;
    uint32_t k = 0;
    for (; lo + k < hi && lo + k <= disk_last && k < out_max; k++)
        out[k] = (struct wk_raft_entry){ .term = disk_terms[lo + k], .index = lo + k };
    return k ? (wkim_ssize)k : WKIM_ENOTFOUND;
}

static struct wk_raft_options options(uint8_t voters)
{
    struct wk_raft_options o = { .id = 1, .seed = 1, .election_ticks = 10, .heartbeat_ticks = 1,
                                 .inflight_msgs_max = 16, .inflight_bytes_max = 1 << 20,
                                 .msg_bytes_max = 1 << 16, .uncommitted_bytes_max = 1 << 20,
                                 .apply_bytes_max = 1 << 20, .first_index = 1,
                                 .reader = { log_term, log_entries, NULL } };
    for (uint8_t i = 0; i < voters; i++)
        o.conf.voters[o.conf.n_voters++] = i + 1u;
    return o;
}

/* Repeats an event that failed for want of memory: it must have changed nothing. */
static int step(struct wk_raft *r, const struct wk_raft_event *ev)
{
    struct wk_raft_status a, b;
    wk_raft_status(r, &a);
    int rc = wk_raft_step(r, ev);
    if (rc == WKIM_ENOMEM) {
        assert_true(oom_hit());
        wk_raft_status(r, &b);
        assert_memory_equal(&a, &b, sizeof(a));
        rc = wk_raft_step(r, ev);
    }
    return rc;
}

static void settle(struct wk_raft *r)
{
    struct wk_raft_ready rd;
    while (wk_raft_has_ready(r)) {
        int rc = wk_raft_ready(r, &rd);
        if (rc == WKIM_ENOMEM)
            rc = wk_raft_ready(r, &rd);
        assert_int_equal(rc, WKIM_OK);
        struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED, .u.persisted.ready = rd.number };
        const uint64_t apply_to = rd.apply_to;
        if (rd.n_entries)
            disk_last = rd.entries[0].index - 1;
        for (uint32_t i = 0; i < rd.n_entries; i++) {
            disk_terms[++disk_last] = ev.u.persisted.term = rd.entries[i].term;
            ev.u.persisted.index = disk_last;
        }
        if (rd.must_persist)
            assert_int_equal(step(r, &ev), WKIM_OK);
        ev = (struct wk_raft_event){ .type = WK_RAFT_APPLIED, .u.applied = apply_to };
        if (apply_to)
            assert_int_equal(step(r, &ev), WKIM_OK);
    }
}

static struct wk_raft *started(uint8_t voters)
{
    struct wk_raft *r = NULL;
    const struct wk_raft_options o = options(voters);
    disk_last = 0;
    if (wk_raft_new(&r, &o, NULL) == WKIM_ENOMEM)
        assert_int_equal(wk_raft_new(&r, &o, NULL), WKIM_OK);
    assert_non_null(r);
    return r;
}

static void campaign(struct wk_raft *r)
{
    assert_int_equal(step(r, &(struct wk_raft_event){ .type = WK_RAFT_CAMPAIGN }), WKIM_OK);
    settle(r);
}

static void propose(struct wk_raft *r, uint32_t n)
{
    wkim_slice data[16];
    for (uint32_t i = 0; i < n; i++)
        data[i] = WK_LIT("0123456789");
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    ev.u.propose.data = data;
    ev.u.propose.n = n;
    assert_int_equal(step(r, &ev), WKIM_OK);
}

static void single_voter_allocates_nothing_per_entry(void **state)
{
    (void)state;
    struct wk_raft *r = started(1);
    struct wk_blob *blobs[16];
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    campaign(r);
    for (int i = 0; i < 16; i++)
        blobs[i] = wk_blob_copy("x", 1);
    ev.u.propose.blobs = blobs;
    ev.u.propose.n = 16;
    for (int k = 0; k < 1000; k++) {
        if (k == 10)
            oom_fail_at(0); /* the buffers have reached their size */
        assert_int_equal(wk_raft_step(r, &ev), WKIM_OK);
        settle(r);
    }
    assert_int_equal(oom_count(), 0);
    assert_int_equal(disk_last, 16001);
    wk_raft_free(r);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(atomic_load(&blobs[i]->refs), 1);
        wk_blob_unref(blobs[i]);
    }
}

static void leader_life(void)
{
    struct wk_raft *r = started(1);
    campaign(r);
    for (uint32_t n = 1; n < 12; n++) {
        propose(r, n);
        if (n % 3)
            settle(r);
        const struct wk_raft_event read = { .type = WK_RAFT_READ_INDEX, .u.read = n };
        assert_int_equal(step(r, &read), WKIM_OK);
    }
    settle(r);
    struct wk_raft_conf c = { .voters = { 1 }, .learners = { 2 }, .n_voters = 1, .n_learners = 1 };
    assert_int_equal(step(r, &(struct wk_raft_event){ .type = WK_RAFT_PROPOSE_CONF, .u.conf = &c }),
                     WKIM_OK);
    settle(r);
    propose(r, 3);
    settle(r);
    struct wk_raft_status st;
    wk_raft_status(r, &st);
    assert_int_equal(st.role, WK_RAFT_LEADER);
    assert_int_equal(st.applied, 1 + 66 + 1 + 3);
    assert_int_equal(st.conf.n_learners, 1);
    wk_raft_free(r);
}

static void follower_life(void)
{
    struct wk_raft *r = started(3);
    struct wk_raft_entry e[40];
    struct wk_raft_msg m = { .type = WK_RAFT_MSG_APPEND, .from = 2, .to = 1, .term = 1,
                             .entries = e, .n_entries = 20 };
    for (uint32_t term = 1; term <= 3; term++) {
        m.term = term;
        for (uint32_t i = 0; i < 20; i++)
            e[i] = (struct wk_raft_entry){ .term = i < 5 ? 1 : term, .index = i + 1u };
        m.commit = term == 3 ? 20 : 0;
        assert_int_equal(step(r, &(struct wk_raft_event){ .type = WK_RAFT_RECEIVE, .u.msg = &m }),
                         WKIM_OK);
        if (term != 2)
            settle(r);
    }
    struct wk_raft_status st;
    wk_raft_status(r, &st);
    assert_int_equal(st.applied, 20);
    assert_int_equal(st.durable_index, 20);
    wk_raft_free(r);
}

static void any_failed_allocation_changes_nothing_and_may_be_repeated(void **state)
{
    (void)state;
    void (*const lives[])(void) = { leader_life, follower_life };
    for (size_t k = 0; k < 2; k++) {
        const size_t live = oom_live();
        uint64_t n = 1;
        for (;; n++) {
            oom_fail_at(n);
            lives[k]();
            if (!oom_hit())
                break;
        }
        assert_true(n > 10);
        oom_fail_at(0);
        assert_int_equal(oom_live(), live);
    }
}

static void a_completion_with_the_wrong_entry_or_from_the_future_is_refused(void **state)
{
    (void)state;
    struct wk_raft *r = started(1);
    struct wk_raft_ready rd;
    campaign(r);
    propose(r, 2);
    assert_int_equal(wk_raft_ready(r, &rd), WKIM_OK);
    struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED,
                                .u.persisted = { rd.number, 1, 2 } };
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    ev.u.persisted.index = 3;
    ev.u.persisted.term = 2;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    ev.u.persisted.term = 1;
    ev.u.persisted.ready = rd.number + 1;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    ev.u.persisted.ready = rd.number;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_OK);
    assert_int_equal(wk_raft_step(r, &ev), WKIM_OK); /* told twice: nothing left to do */
    ev = (struct wk_raft_event){ .type = WK_RAFT_APPLIED, .u.applied = 3 };
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL); /* not handed out yet */
    wk_raft_free(r);
}

static void proposals_with_another_term_are_refused(void **state)
{
    (void)state;
    struct wk_raft *r = started(1);
    const wkim_slice one = WK_LIT("x");
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    ev.u.propose.data = &one;
    ev.u.propose.n = 1;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_ENOTLEADER);
    campaign(r);
    ev.u.propose.expected_term = 2;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_ENOTLEADER);
    ev.u.propose.expected_term = 1;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_OK);
    ev.u.propose.n = 0;
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    wk_raft_free(r);
}

static void messages_of_a_broken_peer_are_refused_without_effect(void **state)
{
    (void)state;
    struct wk_raft *r = started(3);
    struct wk_raft_status before, after;
    struct wk_blob *junk = wk_blob_copy("junk", 4);
    struct wk_raft_entry bad[][2] = {
        { { .term = 1, .index = 2 }, { .term = 1, .index = 3 } },       /* gap */
        { { .term = 2, .index = 1 }, { .term = 1, .index = 2 } },       /* term falls */
        { { .term = 9, .index = 1 }, { .term = 9, .index = 2 } },       /* beyond the message's */
        { { .term = 0, .index = 1 }, { .term = 1, .index = 2 } },
        { { .term = 1, .index = 1, .type = 7 }, { .term = 1, .index = 2 } },
        { { .term = 1, .index = 1, .type = WK_RAFT_ENTRY_CONF, .data = junk },
          { .term = 1, .index = 2 } },
    };
    struct wk_raft_msg m = { .type = WK_RAFT_MSG_APPEND, .from = 2, .to = 1, .term = 3,
                             .n_entries = 2 };
    const struct wk_raft_event ev = { .type = WK_RAFT_RECEIVE, .u.msg = &m };
    wk_raft_status(r, &before);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        m.entries = bad[i];
        assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    }
    m = (struct wk_raft_msg){ .type = WK_RAFT_MSG_HEARTBEAT, .from = 1, .to = 1, .term = 3 };
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    m = (struct wk_raft_msg){ .type = WK_RAFT_MSG_HEARTBEAT, .from = 2, .to = 3, .term = 3 };
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    m = (struct wk_raft_msg){ .type = 99, .from = 2, .to = 1, .term = 3 };
    assert_int_equal(wk_raft_step(r, &ev), WKIM_EINVAL);
    wk_raft_status(r, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    wk_blob_unref(junk);
    wk_raft_free(r);
}

static void a_restored_state_that_lost_entries_is_refused(void **state)
{
    (void)state;
    struct wk_raft *r = NULL;
    struct wk_raft_options o = options(1);
    disk_last = 5;
    for (uint64_t i = 1; i <= 5; i++)
        disk_terms[i] = 1;
    o.last_index = 5;
    o.hard = (struct wk_raft_hard_state){ 1, 1, 6 };
    assert_int_equal(wk_raft_new(&r, &o, NULL), WKIM_ECORRUPT);
    o.hard.commit = 5;
    o.applied = 6;
    assert_int_equal(wk_raft_new(&r, &o, NULL), WKIM_ECORRUPT);
    o.applied = 0;
    o.hard.term = 0;
    assert_int_equal(wk_raft_new(&r, &o, NULL), WKIM_ECORRUPT);
    o.hard.term = 1;
    assert_int_equal(wk_raft_new(&r, &o, NULL), WKIM_OK);
    wk_raft_free(r);
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_voter_allocates_nothing_per_entry),
        cmocka_unit_test(any_failed_allocation_changes_nothing_and_may_be_repeated),
        cmocka_unit_test(a_completion_with_the_wrong_entry_or_from_the_future_is_refused),
        cmocka_unit_test(proposals_with_another_term_are_refused),
        cmocka_unit_test(messages_of_a_broken_peer_are_refused_without_effect),
        cmocka_unit_test(a_restored_state_that_lost_entries_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
