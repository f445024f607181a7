/* Fail-stop before and after every changing disk operation of a workload, with what was not synced
 * lost, kept or torn; after each the reopened log equals the model at some step between the last
 * acknowledged and the last issued one, goes on working, and survives a second cut. */
#include "sim_disk.c" /* the simulator's disk; unit tests link the library only */
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "log_model.h"

#define SCRIPTS 3

static struct model model;
static const struct wk_log_options options = {
    .segment_bytes = 16384, .cache_bytes = 20000, .salt = 77};

struct run {
    struct wk_fs fs;
    struct wk_log_store *log;
    bool prepares; /* a purge step also writes a spare file ahead */
    int next;   /* step to do */
    int acked;  /* everything before this step is durable */
    int issued; /* steps before this one may be in the log */
};

static int do_call(struct run *r, int end)
{
    struct wk_log_entry entries[8][8];
    struct wk_log_batch batches[8] = {0};
    size_t n = 0;
    int rc;

    for (; r->next < end && n < 8 && model.steps[r->next].kind == STEP_BATCH; r->next++) {
        batches[n] = model_to_batch(&model, (unsigned)r->next, entries[n]);
        n++;
        if (model.steps[r->next].end_call) {
            r->next++;
            break;
        }
    }
    r->issued = r->next;
    rc = wk_log_append(r->log, batches, n, NULL);
    for (size_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < batches[i].n_entries; k++)
            wk_blob_unref(entries[i][k].data);
    }
    return rc;
}

static int do_step(struct run *r, int end)
{
    const struct step *s = &model.steps[r->next];
    wkim_ssize n = 0;
    int rc = WKIM_OK;

    if (s->kind == STEP_BATCH)
        return do_call(r, end);
    r->next++;
    r->issued = r->next;
    if (s->kind == STEP_SYNC)
        rc = wk_log_sync(r->log, NULL);
    else if (s->kind == STEP_COMPACT)
        return wk_log_compact(r->log, s->group, s->index);
    else if (s->kind == STEP_RESET)
        rc = wk_log_reset(r->log, s->group, s->index, s->term, NULL);
    else if (s->kind == STEP_PURGE) {
        if (r->prepares) /* that it may fail is part of the contract */
            (void)wk_log_prepare(r->log);
        n = wk_log_purge(r->log, NULL);
    } else {
        wk_log_close(r->log);
        r->log = NULL;
        rc = wk_log_open(&r->log, &r->fs, &options, NULL);
    }
    if (n < 0)
        rc = (int)n;
    if (rc == WKIM_OK && (s->kind != STEP_PURGE || n > 0))
        r->acked = r->next;
    return rc;
}

/* Steps up to `end` or the first failure, then close. */
static int do_steps(struct run *r, int end)
{
    int rc = r->log ? WKIM_OK : wk_log_open(&r->log, &r->fs, &options, NULL);

    while (rc == WKIM_OK && r->next < end)
        rc = do_step(r, end);
    return rc;
}

static void reopen(struct run *r)
{
    const char *why = "";
    struct wkim_error err = {0};

    wk_log_close(r->log);
    r->log = NULL;
    if (wk_log_open(&r->log, &r->fs, &options, &err) != WKIM_OK)
        fail_msg("open failed: %s", err.text);
    const int at = model_find(&model, r->log, r->acked, r->issued, &why);
    if (at < 0)
        fail_msg("no step in %d..%d fits: %s", r->acked, r->issued, why);
    r->next = r->acked = r->issued = at;
}

static uint64_t count_ops(void)
{
    struct sim_disk *d = sim_disk_new(1);
    struct run r = {.fs = sim_disk_fs(d), .prepares = true};

    assert_int_equal(do_steps(&r, MODEL_STEPS), WKIM_OK);
    wk_log_close(r.log);
    const uint64_t n = sim_disk_ops(d);
    sim_disk_free(d);
    return n;
}

static void crash_once(uint64_t op, bool after, enum sim_cut cut, uint64_t seed)
{
    struct sim_disk *d = sim_disk_new(seed);
    struct run r = {.fs = sim_disk_fs(d), .prepares = true};

    sim_disk_stop_at(d, op, after);
    (void)do_steps(&r, MODEL_STEPS);
    wk_log_close(r.log);
    r.log = NULL;
    sim_disk_cut(d, cut);
    if (seed % 3 == 0) { /* the power goes again while the log is being opened */
        sim_disk_stop_at(d, sim_disk_ops(d) + 1 + seed % 7, after);
        (void)wk_log_open(&r.log, &r.fs, &options, NULL);
        wk_log_close(r.log);
        r.log = NULL;
        sim_disk_cut(d, SIM_CUT_TEAR);
    }
    reopen(&r);
    const int end = r.next + 12 < MODEL_STEPS ? r.next + 12 : MODEL_STEPS;
    assert_int_equal(do_steps(&r, end), WKIM_OK);
    sim_disk_cut(d, SIM_CUT_TEAR);
    reopen(&r);
    wk_log_close(r.log);
    sim_disk_free(d);
}

static void crash_everywhere(enum sim_cut cut, unsigned variants)
{
    for (uint64_t script = 1; script <= SCRIPTS; script++) {
        model_make(&model, script);
        const uint64_t ops = count_ops();
        for (uint64_t op = 1; op <= ops; op++) {
            for (unsigned v = 0; v < variants; v++) {
                crash_once(op, false, cut, op * 100 + v);
                crash_once(op, true, cut, op * 100 + v);
            }
        }
    }
}

static void every_stop_with_lost_writes_recovers_what_was_acknowledged(void **state)
{
    (void)state;
    crash_everywhere(SIM_CUT_LOSE, 1);
}

static void every_stop_with_kept_writes_recovers_in_order(void **state)
{
    (void)state;
    crash_everywhere(SIM_CUT_KEEP, 1);
}

static void every_stop_with_torn_writes_recovers_a_prefix(void **state)
{
    (void)state;
    crash_everywhere(SIM_CUT_TEAR, 4);
}

/* A failed sync loses its data for good although reads still show it: only what a later open wrote
 * again may be relied on. */
static void failed_sync_stops_the_log_until_it_was_read_back(void **state)
{
    (void)state;
    model_make(&model, 9);
    for (int at = 1; at < 60; at++) {
        struct sim_disk *d = sim_disk_new((uint64_t)at);
        struct run r = {.fs = sim_disk_fs(d)};
        assert_int_equal(do_steps(&r, at), WKIM_OK);
        sim_disk_fail_syncs(d, 1);
        if (do_steps(&r, MODEL_STEPS) == WKIM_OK)
            fail_msg("the failed sync went unnoticed");
        if (r.log) {
            const struct wk_log_batch b = {.group = 0, .has_hard = true};
            assert_int_equal(wk_log_append(r.log, &b, 1, NULL), WKIM_EIO);
            assert_int_equal(wk_log_sync(r.log, NULL), WKIM_EIO);
        }
        reopen(&r); /* same system: the cache still shows the lost pages */
        sim_disk_cut(d, SIM_CUT_LOSE);
        reopen(&r);
        wk_log_close(r.log);
        sim_disk_free(d);
    }
}

static void full_disk_stops_the_log_and_loses_nothing_acknowledged(void **state)
{
    (void)state;
    model_make(&model, 10);
    for (uint64_t space = 0; space < 60000; space += 1500) {
        struct sim_disk *d = sim_disk_new(space);
        struct run r = {.fs = sim_disk_fs(d)};
        sim_disk_space(d, space);
        assert_int_equal(do_steps(&r, MODEL_STEPS), WKIM_ENOSPC);
        sim_disk_space(d, UINT64_MAX);
        sim_disk_cut(d, space % 2 ? SIM_CUT_LOSE : SIM_CUT_TEAR);
        reopen(&r);
        assert_int_equal(do_steps(&r, MODEL_STEPS), WKIM_OK);
        wk_log_close(r.log);
        sim_disk_free(d);
    }
}

/* A flipped bit before the durable point either changes nothing that is read, or the groups
 * concerned say so: a group that reports no damage equals the model exactly. */
static void flipped_bits_are_never_taken_for_data(void **state)
{
    unsigned seen = 0, spared = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct sim_disk *d = sim_disk_new(seed);
        struct run r = {.fs = sim_disk_fs(d)};
        struct wk_rng rng;
        uint64_t size = 0;
        size_t files = 0;
        if (seed % 100 == 1)
            model_make(&model, 20 + seed / 100);
        wk_rng_seed(&rng, seed);
        assert_int_equal(do_steps(&r, 40 + (int)wk_rng_below(&rng, MODEL_STEPS - 40)), WKIM_OK);
        wk_log_close(r.log); /* writes the record that tells how far it was synced */
        while (sim_disk_name(d, files, &size))
            files++;
        const char *name = sim_disk_name(d, wk_rng_below(&rng, files), &size);
        /* The closing record itself is the one thing nothing vouches for. */
        sim_disk_flip(d, name, wk_rng_below(&rng, size - 256), (unsigned)wk_rng_below(&rng, 8));
        assert_int_equal(wk_log_open(&r.log, &r.fs, &options, NULL), WKIM_OK);
        for (uint32_t g = 0; g < MODEL_GROUPS; g++) {
            struct wk_log_group_state s;
            const char *bad = model_differs(&model.after[r.next][g], r.log, g);
            const bool told = wk_log_group_find(r.log, g, &s) == WKIM_OK && s.code == WKIM_ECORRUPT;
            if (bad && !told)
                fail_msg("seed %llu group %u: %s, not told", (unsigned long long)seed, g, bad);
            seen += told;
            spared += !told;
        }
        wk_log_close(r.log);
        sim_disk_free(d);
    }
    assert_true(seen > 100 && spared > 100);
}

/* Damage stays known over restarts and new segments until the group is reset. */
static void damaged_group_stays_damaged_until_reset(void **state)
{
    struct sim_disk *d = sim_disk_new(3);
    struct run r = {.fs = sim_disk_fs(d)};
    struct wk_log_group_state s;
    const struct wk_log_batch b = {.group = 0, .has_hard = true, .hard_term = 900};
    uint64_t size;

    (void)state;
    model_make(&model, 2);
    assert_int_equal(do_steps(&r, 60), WKIM_OK);
    wk_log_close(r.log);
    const char *oldest = NULL, *name;
    for (size_t i = 0; (name = sim_disk_name(d, i, &size)) != NULL; i++) {
        if (strstr(name, ".seg") && (!oldest || strcmp(name, oldest) < 0))
            oldest = name;
    }
    assert_non_null(oldest);
    for (uint64_t off = 4096; off < 12288; off += 8)
        assert_true(sim_disk_flip(d, oldest, off, 1));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(wk_log_open(&r.log, &r.fs, &options, NULL), WKIM_OK);
        for (uint32_t g = 0; g < MODEL_GROUPS; g++) {
            assert_int_equal(wk_log_group_find(r.log, g, &s), WKIM_OK);
            assert_int_equal(s.code, WKIM_ECORRUPT);
        }
        assert_int_equal(wk_log_append(r.log, &b, 1, NULL), WKIM_ECORRUPT);
        wk_log_close(r.log);
    }
    assert_int_equal(wk_log_open(&r.log, &r.fs, &options, NULL), WKIM_OK);
    assert_int_equal(wk_log_reset(r.log, 0, 500, 7, NULL), WKIM_OK);
    assert_int_equal(wk_log_append(r.log, &b, 1, NULL), WKIM_OK);
    wk_log_close(r.log);
    assert_int_equal(wk_log_open(&r.log, &r.fs, &options, NULL), WKIM_OK);
    assert_int_equal(wk_log_group_find(r.log, 0, &s), WKIM_OK);
    assert_int_equal(s.code, WKIM_OK);
    assert_int_equal(s.first_index, 501);
    assert_int_equal(s.base_term, 7);
    assert_int_equal(s.hard_term, 900);
    wk_log_close(r.log);
    sim_disk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_stop_with_lost_writes_recovers_what_was_acknowledged),
        cmocka_unit_test(every_stop_with_kept_writes_recovers_in_order),
        cmocka_unit_test(every_stop_with_torn_writes_recovers_a_prefix),
        cmocka_unit_test(failed_sync_stops_the_log_until_it_was_read_back),
        cmocka_unit_test(full_disk_stops_the_log_and_loses_nothing_acknowledged),
        cmocka_unit_test(flipped_bits_are_never_taken_for_data),
        cmocka_unit_test(damaged_group_stays_damaged_until_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
