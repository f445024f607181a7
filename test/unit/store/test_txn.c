/* Allocation failures and threads: batches are whole for everybody or not there at all. */
#include "store/txn.h"
#include <pthread.h>
#include <stdatomic.h>
#include "fixture.h"

#define KEYS 20

/* Allocations of this thread until memory is gone; all later ones fail too, as a buffer asks for
 * less when it cannot have more. */
static _Thread_local int fail_at = -1;

static bool must_fail(void)
{
    if (fail_at > 0)
        fail_at--;
    else if (fail_at == 0)
        return true;
    return false;
}

static void *count_malloc(size_t n, void *user)
{
    (void)user;
    return must_fail() ? NULL : malloc(n);
}

static void *count_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    return must_fail() ? NULL : calloc(count, n);
}

static void *count_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return must_fail() ? NULL : realloc(p, n);
}

static void count_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static const struct wk_channel_key g1 = { 2, { (const uint8_t *)"g1", 2 } };

static void put_round(struct wk_txn *t, uint64_t round)
{
    char name[16], text[32];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)round);
    wk_message_delete_range(t, 5, &g1, 0, UINT64_MAX);
    for (uint64_t i = 0; i < KEYS; i++) {
        snprintf(name, sizeof(name), "k%02d", (int)i);
        wk_row_put(t, 5, 64, wk_str(name), wk_str(text));
        wk_message_put(t, 5, &g1, round * KEYS + i, wk_str(text));
    }
}

struct round_seen {
    char text[32];
    int rows;
    bool mixed;
};

static int see_round(void *arg, wkim_slice key, wkim_slice value)
{
    struct round_seen *s = arg;

    (void)key;
    if (s->rows == 0)
        snprintf(s->text, sizeof(s->text), "%.*s", (int)value.n, (const char *)value.p);
    if (s->rows++ > 0 && !wk_slice_eq(value, wk_str(s->text)))
        s->mixed = true;
    return 0;
}

static int see_message_round(void *arg, uint64_t seq, wkim_slice record)
{
    (void)seq;
    return see_round(arg, record, record);
}

/* The round all rows belong to; -1 when there are none. */
static int round_of(struct wk_store *s, bool messages)
{
    struct round_seen seen = { .rows = 0 };
    int rc = messages ? wk_message_scan(s, 5, &g1, 0, UINT64_MAX, false, see_message_round, &seen)
                      : wk_row_scan(s, 5, 64, WK_LIT("k"), wk_slice(NULL, 0), see_round, &seen);

    if (rc != WKIM_OK || seen.mixed || (seen.rows != 0 && seen.rows != KEYS))
        return -2;
    return seen.rows ? atoi(seen.text) : -1;
}

static void failed_allocation_leaves_the_old_state(void **state)
{
    struct fixture *f = *state;
    int failures = 0, rc = WKIM_ENOMEM;

    put_round(f->txn, 1);
    commit(f);
    for (int n = 0; rc == WKIM_ENOMEM; n++) {
        struct wk_txn *t = NULL;
        fail_at = n;
        rc = wk_txn_new(&t, f->store);
        if (rc == WKIM_OK) {
            put_round(t, 2);
            rc = wk_txn_commit(t, NULL);
        }
        fail_at = -1;
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM);
        failures += rc == WKIM_ENOMEM;
        assert_int_equal(round_of(f->store, false), rc == WKIM_OK ? 2 : 1);
        assert_int_equal(round_of(f->store, true), rc == WKIM_OK ? 2 : 1);
        wk_txn_free(t);
    }
    assert_true(failures > 2);
}

static void failed_allocation_fails_the_read(void **state)
{
    struct fixture *f = *state;
    struct wk_buf out = WK_BUF_INIT;
    struct round_seen seen;
    int rc;

    put_round(f->txn, 1);
    commit(f);
    fail_at = 0;
    assert_int_equal(wk_row_get(f->store, 5, 64, WK_LIT("k01"), &out), WKIM_ENOMEM);
    fail_at = -1;
    assert_int_equal(out.n, 0);
    for (int n = 0; n < 50; n++) {
        memset(&seen, 0, sizeof(seen));
        fail_at = n;
        rc = wk_row_scan(f->store, 5, 64, WK_LIT("k"), wk_slice(NULL, 0), see_round, &seen);
        fail_at = -1;
        assert_true(rc == WKIM_ENOMEM || (rc == WKIM_OK && seen.rows == KEYS));
    }
    assert_int_equal(rc, WKIM_OK);
    wk_buf_fini(&out);
}

static void failed_allocation_fails_the_open(void **state)
{
    struct fixture *f = *state;
    struct wk_store *s;
    int rc = WKIM_ENOMEM, failures = 0;

    fixture_close(f);
    for (int n = 0; rc == WKIM_ENOMEM; n++) {
        fail_at = n;
        rc = wk_store_open(&s, f->on_disk ? f->path : NULL, NULL, NULL);
        fail_at = -1;
        failures += rc == WKIM_ENOMEM;
    }
    assert_int_equal(rc, WKIM_OK);
    assert_true(failures >= 2);
    wk_store_close(s);
    fixture_open(f);
}

struct race {
    struct wk_store *store;
    _Atomic int stop;
    _Atomic int bad;
    _Atomic int reads;
};

static void *read_rounds(void *arg)
{
    struct race *r = arg;
    int last = -1;

    while (!atomic_load(&r->stop)) {
        int now = round_of(r->store, atomic_fetch_add(&r->reads, 1) & 1);
        if (now == -2 || now < last)
            atomic_fetch_add(&r->bad, 1);
        last = now;
    }
    return NULL;
}

static void readers_see_whole_batches_in_order(void **state)
{
    struct fixture *f = *state;
    struct race r = { .store = f->store };
    pthread_t readers[2];

    put_round(f->txn, 0);
    commit(f);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_rounds, &r), 0);
    for (uint64_t round = 1; round <= 300 || (atomic_load(&r.reads) < 50 && round < 20000);
         round++) {
        put_round(f->txn, round);
        commit(f);
    }
    atomic_store(&r.stop, 1);
    for (int i = 0; i < 2; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(r.bad, 0);
    assert_true(r.reads > 0);
}

struct writer {
    struct wk_store *store;
    uint32_t slot;
    int rc;
};

static void *write_slot(void *arg)
{
    struct writer *w = arg;
    struct wk_txn *t;

    w->rc = wk_txn_new(&t, w->store);
    for (uint64_t i = 1; w->rc == WKIM_OK && i <= 2000; i++) {
        wk_message_put(t, w->slot, &g1, i, WK_LIT("x"));
        wk_sent_put(t, w->slot, &g1, WK_LIT("u"), i);
        wk_applied_put(t, w->slot, &(struct wk_row_applied){ i, 1 });
        w->rc = wk_txn_commit(t, NULL);
        struct wk_row_applied a;
        if (w->rc == WKIM_OK)
            w->rc = wk_applied_get(w->store, w->slot, &a);
        if (w->rc == WKIM_OK && a.index != i)
            w->rc = WKIM_ECORRUPT; /* a commit is visible when it returns */
    }
    wk_txn_free(t);
    return NULL;
}

static void two_writers_do_not_disturb_each_other(void **state)
{
    struct fixture *f = *state;
    struct writer w[2] = { { f->store, 1, 0 }, { f->store, 2, 0 } };
    pthread_t threads[2];
    uint64_t seq;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_slot, &w[i]), 0);
    assert_int_equal(wk_store_flush(f->store, NULL), WKIM_OK);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(w[i].rc, WKIM_OK);
        assert_int_equal(wk_message_last_seq(f->store, w[i].slot, &g1, 0, &seq), WKIM_OK);
        assert_int_equal(seq, 2000);
    }
}

static void a_cut_drops_what_came_after_and_its_failure(void **state)
{
    struct fixture *f = *state;
    struct wk_buf out = WK_BUF_INIT;

    wk_row_put(f->txn, 5, 64, WK_LIT("kept"), WK_LIT("1"));
    const size_t mark = wk_txn_bytes(f->txn);
    wk_row_put(f->txn, 5, 64, WK_LIT("kept"), WK_LIT("2"));
    fail_at = 0;
    while (wk_txn_bytes(f->txn) < 65536 && !f->txn->ops.oom && f->txn->rc == WKIM_OK)
        wk_row_put(f->txn, 5, 64, WK_LIT("dropped"), WK_LIT("3"));
    fail_at = -1;
    assert_int_equal(f->txn->rc, WKIM_ENOMEM); /* as it is, the batch would be refused */
    wk_txn_cut(f->txn, mark);
    commit(f);
    assert_int_equal(wk_row_get(f->store, 5, 64, WK_LIT("kept"), &out), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&out), WK_LIT("1")));
    assert_int_equal(wk_row_get(f->store, 5, 64, WK_LIT("dropped"), &out), WKIM_ENOTFOUND);
    wk_buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(failed_allocation_leaves_the_old_state),
        BOTH(failed_allocation_fails_the_read),
        BOTH(failed_allocation_fails_the_open),
        BOTH(a_cut_drops_what_came_after_and_its_failure),
        BOTH_THREADED(readers_see_whole_batches_in_order),
        BOTH_THREADED(two_writers_do_not_disturb_each_other),
    };
    wkim_mem_set(&(wkim_mem){ count_malloc, count_calloc, count_realloc, count_free, NULL });
    return cmocka_run_group_tests_name("txn", tests, NULL, NULL);
}
