#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "raft/internal.h"

static uint64_t next(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

/* Numbers of every magnitude, the extremes among them. */
static uint64_t number(uint64_t *s)
{
    return next(s) >> (next(s) % 64);
}

static struct wk_raft_msg message(uint64_t *s, struct wk_raft_entry *entries)
{
    struct wk_raft_msg m = { .type = (uint8_t)(1 + next(s) % WK_RAFT_MSG_PROPOSE) };
    m.reject = next(s) & 1;
    m.force = next(s) & 1;
    m.from = number(s);
    m.to = number(s);
    m.term = number(s);
    m.index = number(s);
    m.log_term = number(s);
    m.commit = number(s);
    m.hint = number(s);
    m.hint_term = number(s);
    m.context = number(s);
    if (m.type == WK_RAFT_MSG_APPEND || m.type == WK_RAFT_MSG_PROPOSE) {
        m.n_entries = (uint32_t)(next(s) % 5);
        m.entries = entries;
        for (uint32_t i = 0; i < m.n_entries; i++) {
            const size_t n = next(s) % 300;
            entries[i] = (struct wk_raft_entry){ .term = number(s), .index = number(s),
                                                 .type = (uint8_t)(next(s) & 1),
                                                 .data = n ? wk_blob_new(n) : NULL };
            for (size_t k = 0; k < n; k++)
                entries[i].data->p[k] = (uint8_t)next(s);
        }
    }
    if (m.type == WK_RAFT_MSG_SNAPSHOT) {
        m.conf.n_voters = (uint8_t)(next(s) % 9);
        m.conf.n_learners = (uint8_t)(next(s) % 8);
        for (uint8_t i = 0; i < m.conf.n_voters; i++)
            m.conf.voters[i] = (next(s) << 8) + i + 1;
        for (uint8_t i = 0; i < m.conf.n_learners; i++)
            m.conf.learners[i] = (next(s) << 8) + 100u + i;
    }
    return m;
}

static void same(const struct wk_raft_msg *a, const struct wk_raft_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->force, b->force);
    assert_true(a->from == b->from && a->to == b->to && a->term == b->term);
    assert_true(a->index == b->index && a->log_term == b->log_term && a->commit == b->commit);
    assert_true(a->hint == b->hint && a->hint_term == b->hint_term && a->context == b->context);
    assert_int_equal(a->n_entries, b->n_entries);
    for (uint32_t i = 0; i < a->n_entries; i++) {
        assert_true(a->entries[i].term == b->entries[i].term);
        assert_true(a->entries[i].index == b->entries[i].index);
        assert_int_equal(a->entries[i].type, b->entries[i].type);
        assert_true(
            wk_slice_eq(wk_blob_slice(a->entries[i].data), wk_blob_slice(b->entries[i].data)));
    }
    assert_memory_equal(&a->conf, &b->conf, sizeof(a->conf));
}

static void entries_unref(struct wk_raft_msg *m)
{
    for (uint32_t i = 0; i < m->n_entries; i++)
        wk_blob_unref(m->entries[i].data);
}

static void every_message_survives_the_wire(void **state)
{
    (void)state;
    uint64_t seed = 7;
    struct wk_raft_entry entries[8];
    for (int k = 0; k < 5000; k++) {
        struct wk_raft_msg m = message(&seed, entries), got;
        struct wk_buf b = WK_BUF_INIT;
        wk_raft_msg_encode(&b, &m);
        assert_false(b.oom);
        assert_int_equal(wk_raft_msg_decode(&got, wk_buf_slice(&b)), WKIM_OK);
        same(&m, &got);
        wk_raft_msg_fini(&got);
        entries_unref(&m);
        wk_buf_fini(&b);
    }
}

static void a_cut_or_longer_message_is_refused(void **state)
{
    (void)state;
    uint64_t seed = 11;
    struct wk_raft_entry entries[8];
    for (int k = 0; k < 200; k++) {
        struct wk_raft_msg m = message(&seed, entries), got;
        struct wk_buf b = WK_BUF_INIT;
        wk_raft_msg_encode(&b, &m);
        for (size_t n = 0; n < b.n; n++)
            assert_int_equal(wk_raft_msg_decode(&got, wk_slice(b.p, n)), WKIM_EPROTO);
        wk_buf_u8(&b, 0);
        assert_int_equal(wk_raft_msg_decode(&got, wk_buf_slice(&b)), WKIM_EPROTO);
        entries_unref(&m);
        wk_buf_fini(&b);
    }
}

static void hostile_bytes_are_refused_or_mean_something_repeatable(void **state)
{
    (void)state;
    uint64_t seed = 13;
    struct wk_raft_entry entries[8];
    int accepted = 0;
    for (int k = 0; k < 20000; k++) {
        struct wk_raft_msg m = message(&seed, entries), got, again;
        struct wk_buf b = WK_BUF_INIT, c = WK_BUF_INIT;
        wk_raft_msg_encode(&b, &m);
        for (uint64_t i = next(&seed) % 4 + 1; i > 0; i--)
            b.p[next(&seed) % b.n] = (uint8_t)next(&seed);
        if (wk_raft_msg_decode(&got, wk_buf_slice(&b)) == WKIM_OK) {
            accepted++;
            wk_raft_msg_encode(&c, &got);
            assert_int_equal(wk_raft_msg_decode(&again, wk_buf_slice(&c)), WKIM_OK);
            same(&got, &again);
            wk_raft_msg_fini(&again);
            wk_raft_msg_fini(&got);
        } else {
            assert_null(got.entries);
        }
        entries_unref(&m);
        wk_buf_fini(&b);
        wk_buf_fini(&c);
    }
    assert_true(accepted > 1000 && accepted < 20000);
}

static void a_count_beyond_the_bytes_is_refused_before_memory_is_asked_for(void **state)
{
    (void)state;
    struct wk_raft_msg got;
    struct wk_buf b = WK_BUF_INIT;
    wk_buf_u8(&b, WK_RAFT_MSG_APPEND);
    wk_buf_u8(&b, 0);
    for (int i = 0; i < 9; i++)
        wk_buf_varint(&b, 1);
    wk_buf_varint(&b, UINT64_MAX);
    wk_buf_bytes(&b, "0123456789abcdef", 16);
    assert_int_equal(wk_raft_msg_decode(&got, wk_buf_slice(&b)), WKIM_EPROTO);
    wk_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_survives_the_wire),
        cmocka_unit_test(a_cut_or_longer_message_is_refused),
        cmocka_unit_test(hostile_bytes_are_refused_or_mean_something_repeatable),
        cmocka_unit_test(a_count_beyond_the_bytes_is_refused_before_memory_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
