/* Random transactions on both back ends and on a model of arrays: all three agree at every step,
 * also after the store on disk was flushed or reopened. */
#include "../unit/store/fixture.h"
#include "base/clock.h"

#define CHANNELS 6
#define SEQS 40
#define UIDS 8
#define STEPS 400

static const char *const ids[CHANNELS] = { "", "a", "ab", "abc", "\xff", "b" };

struct model {
    uint32_t message[CHANNELS][SEQS]; /* version stored; 0: no row */
    uint32_t member[CHANNELS][UIDS];
    uint32_t sent[CHANNELS][UIDS];
    uint64_t applied;
};

static struct wk_channel_key channel(size_t c)
{
    return (struct wk_channel_key){ (uint8_t)(1 + c % 2), wk_str(ids[c]) };
}

static void put_message(struct wk_txn *t, size_t c, size_t seq, uint32_t version)
{
    struct wk_channel_key ch = channel(c);
    char text[32];

    snprintf(text, sizeof(text), "%u", version);
    wk_message_put(t, 1, &ch, seq, wk_str(text));
}

/* One random operation on the model and on both transactions. */
static void operate(struct wk_rng *r, struct model *m, struct wk_txn *t[2], uint32_t version)
{
    size_t c = wk_rng_below(r, CHANNELS), u = wk_rng_below(r, UIDS);
    size_t a = wk_rng_below(r, SEQS), b = wk_rng_below(r, SEQS);
    uint64_t what = wk_rng_below(r, 100);
    struct wk_channel_key ch = channel(c);
    wkim_slice uid = wk_slice("uuuuuuuuu", u);

    if (what < 55)
        m->message[c][a] = version;
    else if (what < 65)
        m->message[c][a] = 0;
    else if (what < 70)
        for (size_t i = a; i <= b; i++)
            m->message[c][i] = 0;
    else if (what < 80)
        m->member[c][u] = version;
    else if (what < 85)
        m->member[c][u] = 0;
    else if (what < 87)
        memset(m->member[c], 0, sizeof(m->member[c]));
    else
        m->sent[c][u] = version;
    for (int i = 0; i < 2; i++) {
        if (what < 55)
            put_message(t[i], c, a, version);
        else if (what < 65)
            wk_message_delete(t[i], 1, &ch, a);
        else if (what < 70)
            wk_message_delete_range(t[i], 1, &ch, a, b);
        else if (what < 80)
            wk_member_put(t[i], 1, &ch, 2, uid, &(struct wk_row_member){ .id = version });
        else if (what < 85)
            wk_member_delete(t[i], 1, &ch, 2, uid);
        else if (what < 87)
            wk_member_delete_all(t[i], 1, &ch, 2);
        else
            wk_sent_put(t[i], 1, &ch, uid, version);
    }
}

struct walk {
    const uint32_t *rows;
    size_t at, end;
    bool descending;
};

static size_t walk_next(struct walk *w)
{
    while (w->at != w->end && w->rows[w->descending ? w->at - 1 : w->at] == 0)
        w->descending ? w->at-- : w->at++;
    return w->at;
}

static int walk_message(void *arg, uint64_t seq, wkim_slice record)
{
    struct walk *w = arg;
    char text[32];

    assert_true(walk_next(w) != w->end);
    size_t at = w->descending ? w->at - 1 : w->at;
    assert_int_equal(seq, at);
    snprintf(text, sizeof(text), "%u", w->rows[at]);
    assert_true(wk_slice_eq(record, wk_str(text)));
    w->descending ? w->at-- : w->at++;
    return 0;
}

static int walk_member(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    struct walk *w = arg;

    assert_true(walk_next(w) != w->end);
    assert_int_equal(uid.n, w->at);
    assert_int_equal(row->id, w->rows[w->at]);
    w->at++;
    return 0;
}

static void compare_channel(struct wk_store *s, const struct model *m, size_t c, size_t lo,
                            size_t hi)
{
    struct wk_channel_key ch = channel(c);
    struct wk_row_member row;
    uint64_t seq;

    for (int down = 0; down < 2; down++) {
        struct walk w = { m->message[c], down ? hi + 1 : lo, down ? lo : hi + 1, down };
        if (lo > hi)
            break;
        assert_int_equal(wk_message_scan(s, 1, &ch, lo, hi, down, walk_message, &w), WKIM_OK);
        assert_int_equal(walk_next(&w), w.end);
    }
    struct walk w = { m->member[c], 0, UIDS, false };
    assert_int_equal(wk_member_scan(s, 1, &ch, 2, wk_slice(NULL, 0), walk_member, &w), WKIM_OK);
    assert_int_equal(walk_next(&w), UIDS);
    for (size_t u = 0; u < UIDS; u++) {
        wkim_slice uid = wk_slice("uuuuuuuuu", u);
        int rc = wk_sent_get(s, 1, &ch, uid, &seq);
        assert_int_equal(rc, m->sent[c][u] ? WKIM_OK : WKIM_ENOTFOUND);
        assert_true(rc != WKIM_OK || seq == m->sent[c][u]);
        rc = wk_member_get(s, 1, &ch, 2, uid, &row);
        assert_int_equal(rc, m->member[c][u] ? WKIM_OK : WKIM_ENOTFOUND);
    }
}

static void compare(struct wk_store *s, const struct model *m, struct wk_rng *r)
{
    struct wk_row_applied a = { 0, 0 };

    for (size_t c = 0; c < CHANNELS; c++)
        compare_channel(s, m, c, wk_rng_below(r, SEQS), SEQS - 1 - wk_rng_below(r, 5));
    int rc = wk_applied_get(s, 1, &a);
    assert_true(rc == WKIM_OK || m->applied == 0);
    assert_int_equal(a.index, m->applied);
}

static void run_seed(uint64_t seed)
{
    struct fixture f[2];
    struct model m;
    struct wk_rng r;
    uint32_t version = 0;

    memset(&m, 0, sizeof(m));
    wk_rng_seed(&r, seed);
    fixture_init(&f[0], false);
    fixture_init(&f[1], true);
    for (uint64_t step = 1; step <= STEPS; step++) {
        struct wk_txn *t[2] = { f[0].txn, f[1].txn };
        uint64_t n = wk_rng_below(&r, 20), luck = wk_rng_below(&r, 100);
        for (uint64_t i = 0; i < n; i++)
            operate(&r, &m, t, ++version);
        m.applied = step;
        for (int i = 0; i < 2; i++) {
            wk_applied_put(t[i], 1, &(struct wk_row_applied){ step, 1 });
            assert_int_equal(wk_txn_commit(t[i], NULL), WKIM_OK);
        }
        if (luck < 4)
            assert_int_equal(wk_store_flush(f[1].store, NULL), WKIM_OK);
        if (luck == 5) {
            fixture_close(&f[1]);
            fixture_open(&f[1]);
        }
        compare(f[0].store, &m, &r);
        compare(f[1].store, &m, &r);
    }
    fixture_fini(&f[0]);
    fixture_fini(&f[1]);
}

static void both_back_ends_agree_with_the_model(void **state)
{
    const char *one = getenv("SEED");

    (void)state;
    for (uint64_t seed = 1; !one && seed <= 4; seed++)
        run_seed(seed);
    if (one)
        run_seed(strtoull(one, NULL, 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_back_ends_agree_with_the_model),
    };
    return cmocka_run_group_tests_name("store_model", tests, NULL, NULL);
}
