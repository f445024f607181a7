/* What a log gives back, its limits and refusals, on the simulated disk. */
#include "sim_disk.c"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "log/internal.h"
#include "log_model.h"

struct fixture {
    struct sim_disk *disk;
    struct wk_fs fs;
    struct wk_log_options opt;
    struct wk_log_store *log;
};

static void open_log(struct fixture *f)
{
    struct wkim_error err = { 0 };

    if (wk_log_open(&f->log, &f->fs, &f->opt, &err) != WKIM_OK)
        fail_msg("%s", err.text);
}

static void reopen_log(struct fixture *f)
{
    wk_log_close(f->log);
    open_log(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->disk = sim_disk_new(5);
    f->fs = sim_disk_fs(f->disk);
    f->opt = (struct wk_log_options){ .segment_bytes = 65536, .cache_bytes = 1 << 20, .salt = 5 };
    open_log(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    wk_log_close(f->log);
    sim_disk_free(f->disk);
    free(f);
    return 0;
}

/* n entries of `bytes` bytes each from `index`; byte 0 tells the index. */
static int put(struct fixture *f, uint32_t group, uint64_t index, uint64_t term, unsigned n,
               size_t bytes)
{
    struct wk_log_entry *e = calloc(n, sizeof(*e));
    struct wk_log_batch b = { .group = group, .has_hard = true, .hard_term = term,
                              .entries = e, .n_entries = n };

    for (unsigned i = 0; i < n; i++) {
        e[i] = (struct wk_log_entry){ .term = term, .index = index + i, .type = 1,
                                      .data = bytes ? wk_blob_new(bytes) : NULL };
        if (bytes)
            memset(e[i].data->p, (int)((index + i) & 0xff), bytes);
    }
    const int rc = wk_log_append(f->log, &b, 1, NULL);
    for (unsigned i = 0; i < n; i++)
        wk_blob_unref(e[i].data);
    free(e);
    return rc;
}

static void expect(struct fixture *f, uint32_t group, uint64_t lo, uint64_t hi, size_t bytes)
{
    struct wk_log_entry out[64];

    while (lo < hi) {
        const wkim_ssize n = wk_log_entries(f->log, group, lo, hi, 1 << 20, out, 64);
        if (n <= 0)
            fail_msg("entries from %llu: %d", (unsigned long long)lo, (int)n);
        for (wkim_ssize i = 0; i < n; i++, lo++) {
            assert_int_equal(out[i].index, lo);
            assert_int_equal(out[i].type, 1);
            assert_int_equal(wk_blob_slice(out[i].data).n, bytes);
            if (bytes)
                assert_int_equal(out[i].data->p[bytes - 1], lo & 0xff);
            wk_blob_unref(out[i].data);
        }
    }
}

static void evicted_entries_are_read_from_the_files(void **state)
{
    struct fixture *f = *state;
    struct wk_log_stats st;

    f->opt.cache_bytes = 8000;
    reopen_log(f);
    for (uint64_t i = 1; i <= 500; i += 5)
        assert_int_equal(put(f, 7, i, 1 + i / 100, 5, 300), WKIM_OK);
    wk_log_stats(f->log, &st);
    assert_true(st.cache_bytes <= 8000 && st.cache_bytes > 4000 && st.segments > 1);
    expect(f, 7, 1, 501, 300);
    reopen_log(f);
    wk_log_stats(f->log, &st);
    assert_int_equal(st.cache_bytes, 0);
    expect(f, 7, 1, 501, 300);
}

static void cached_blobs_are_shared_not_copied(void **state)
{
    struct fixture *f = *state;
    struct wk_blob *b = wk_blob_copy("x", 1);
    const struct wk_log_entry e = { .term = 1, .index = 1, .data = b };
    const struct wk_log_batch batch = { .group = 1, .entries = &e, .n_entries = 1 };
    struct wk_log_entry out;

    assert_int_equal(wk_log_append(f->log, &batch, 1, NULL), WKIM_OK);
    assert_int_equal(wk_log_entries(f->log, 1, 1, 2, 100, &out, 1), 1);
    assert_ptr_equal(out.data, b);
    wk_blob_unref(out.data);
    wk_blob_unref(b);
}

static void reads_are_cut_to_bytes_but_give_at_least_one(void **state)
{
    struct fixture *f = *state;
    struct wk_log_entry out[10];

    assert_int_equal(put(f, 1, 1, 1, 10, 100), WKIM_OK);
    assert_int_equal(wk_log_entries(f->log, 1, 1, 11, 1, out, 10), 1);
    wk_blob_unref(out[0].data);
    assert_int_equal(wk_log_entries(f->log, 1, 4, 11, 250, out, 10), 2);
    wk_blob_unref(out[0].data);
    wk_blob_unref(out[1].data);
    assert_int_equal(wk_log_entries(f->log, 1, 11, 12, 250, out, 10), WKIM_ENOTFOUND);
    assert_int_equal(wk_log_entries(f->log, 2, 1, 2, 250, out, 10), WKIM_ENOTFOUND);
    assert_int_equal(wk_log_entries(f->log, 1, 2, 2, 250, out, 10), WKIM_EINVAL);
}

static void appending_at_a_lower_index_supersedes(void **state)
{
    struct fixture *f = *state;
    struct wk_log_group_state s;
    uint64_t term;

    assert_int_equal(put(f, 1, 1, 1, 10, 10), WKIM_OK);
    assert_int_equal(put(f, 1, 6, 2, 2, 20), WKIM_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wk_log_group_find(f->log, 1, &s), WKIM_OK);
        assert_int_equal(s.last_index, 7);
        expect(f, 1, 1, 6, 10);
        expect(f, 1, 6, 8, 20);
        assert_int_equal(wk_log_term(f->log, 1, 5, &term), WKIM_OK);
        assert_int_equal(term, 1);
        assert_int_equal(wk_log_term(f->log, 1, 7, &term), WKIM_OK);
        assert_int_equal(term, 2);
        assert_int_equal(wk_log_term(f->log, 1, 8, &term), WKIM_ENOTFOUND);
        reopen_log(f);
    }
}

static void gaps_and_compacted_indexes_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct wk_log_entry holes[2] = { { .term = 1, .index = 1 }, { .term = 1, .index = 3 } };
    const struct wk_log_batch b = { .group = 1, .entries = holes, .n_entries = 2 };
    struct wk_log_group_state s;

    assert_int_equal(put(f, 1, 2, 1, 1, 1), WKIM_EINVAL);
    assert_int_equal(wk_log_append(f->log, &b, 1, NULL), WKIM_EINVAL);
    assert_int_equal(wk_log_group_find(f->log, 1, &s), WKIM_ENOTFOUND);
    assert_int_equal(put(f, 1, 1, 1, 9, 1), WKIM_OK);
    assert_int_equal(wk_log_compact(f->log, 1, 5), WKIM_OK);
    assert_int_equal(put(f, 1, 5, 2, 1, 1), WKIM_EINVAL);
    assert_int_equal(put(f, 1, 6, 2, 1, 1), WKIM_OK);
    assert_int_equal(wk_log_group(f->log, 0, &s), WKIM_OK);
    assert_int_equal(s.first_index, 6);
    assert_int_equal(s.base_term, 1);
    assert_int_equal(wk_log_group(f->log, 1, &s), WKIM_ENOTFOUND);
}

static void batches_larger_than_a_record_are_split(void **state)
{
    struct fixture *f = *state;
    struct wk_log_group_state s;

    assert_int_equal(put(f, 3, 1, 4, 30, 1 << 20), WKIM_OK); /* bytes */
    assert_int_equal(put(f, 4, 1, 4, 70000, 0), WKIM_OK);    /* entries */
    f->opt.cache_bytes = 0;
    reopen_log(f);
    expect(f, 3, 1, 31, 1 << 20);
    expect(f, 4, 1, 70001, 0);
    assert_int_equal(wk_log_group_find(f->log, 4, &s), WKIM_OK);
    assert_int_equal(s.last_index, 70000);
    assert_int_equal(put(f, 3, 31, 4, 1, WK_LOG_ENTRY_BYTES_MAX + 1), WKIM_ETOOBIG);
    assert_int_equal(put(f, 3, 31, 4, 1, WK_LOG_ENTRY_BYTES_MAX), WKIM_OK);
    expect(f, 3, 31, 32, WK_LOG_ENTRY_BYTES_MAX);
}

static void segments_all_groups_have_passed_are_deleted_and_reused(void **state)
{
    struct fixture *f = *state;
    struct wk_log_stats st;
    struct wk_log_group_state s;
    uint64_t size;

    assert_int_equal(put(f, 9, 1, 1, 1, 10), WKIM_OK); /* a quiet group in the first segment */
    for (uint64_t i = 1; i <= 1000; i += 10)
        assert_int_equal(put(f, 1, i, 3, 10, 1000), WKIM_OK);
    assert_int_equal(wk_log_compact(f->log, 1, 990), WKIM_OK);
    assert_int_equal(wk_log_purge(f->log, NULL), 0); /* group 9 still needs the oldest */
    assert_int_equal(wk_log_compact(f->log, 9, 1), WKIM_OK);
    wk_log_stats(f->log, &st);
    assert_int_equal(wk_log_purge(f->log, NULL), st.segments - 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wk_log_group_find(f->log, 9, &s), WKIM_OK);
        assert_int_equal(s.first_index, 2);
        assert_int_equal(s.last_index, 1);
        assert_int_equal(s.hard_term, 1);
        assert_int_equal(s.base_term, 1);
        expect(f, 1, 991, 1001, 1000);
        reopen_log(f);
    }
    size_t files = 0;
    while (sim_disk_name(f->disk, files, &size))
        files++;
    assert_int_equal(files, 1 + (size_t)(st.segments - 1 < WK_LOG_SPARES_MAX ? st.segments - 1
                                                                          : WK_LOG_SPARES_MAX));
    for (uint64_t i = 1001; i <= 1200; i += 10)
        assert_int_equal(put(f, 1, i, 3, 10, 1000), WKIM_OK);
    reopen_log(f);
    expect(f, 1, 991, 1201, 1000);
}

static void use_some(struct fixture *f, uint64_t *last)
{
    while (wk_log_current(f->log)->end - WK_LOG_DATA_OFF <
           f->opt.segment_bytes / WK_LOG_PREPARE_PART)
        assert_int_equal(put(f, 1, ++*last, 1, 1, 500), WKIM_OK);
}

static void a_busy_young_log_moves_to_a_file_written_ahead(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;

    assert_int_equal(wk_log_prepare(f->log), WKIM_ENOTFOUND); /* hardly used: not worth a file */
    use_some(f, &last);
    assert_true(wk_log_current(f->log)->fresh);
    for (unsigned i = 1; i <= WK_LOG_PREPARED_MAX; i++) {
        assert_int_equal(wk_log_prepare(f->log), WKIM_OK);
        assert_int_equal(wk_log_prepare(f->log), WKIM_ENOTFOUND); /* one is enough */
        for (uint32_t seq = wk_log_current(f->log)->seq; wk_log_current(f->log)->seq == seq;)
            assert_int_equal(put(f, 1, ++last, 1, 1, 500), WKIM_OK);
        assert_false(wk_log_current(f->log)->fresh);
        assert_int_equal(f->log->n_segs, i + 1);
        use_some(f, &last);
    }
    assert_int_equal(wk_log_prepare(f->log), WKIM_ENOTFOUND); /* purged files serve from here on */
    reopen_log(f);
    expect(f, 1, 1, last + 1, 500);
}

static void memory_is_16_bytes_per_record(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 1; i <= 20000; i += 20)
        assert_int_equal(put(f, 1, i, 1, 20, 10), WKIM_OK);
    const struct wk_log_group *g = wk_log_group_get(f->log, 1);
    assert_int_equal(g->n_nodes, 1000);
    assert_int_equal(sizeof(g->nodes[0]), 16);
    assert_int_equal(g->n_runs, 1);
}

static void cache_queue_stays_small_behind_an_idle_group(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(put(f, 1, 1, 1, 1, 10), WKIM_OK);
    for (uint64_t i = 1; i <= 20000; i++) {
        assert_int_equal(put(f, 2, i, 1, 1, 10), WKIM_OK);
        assert_int_equal(wk_log_compact(f->log, 2, i), WKIM_OK);
    }
    assert_true(f->log->fifo_cap <= 128);
}

static void newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    uint8_t head[WK_LOG_HEAD_BYTES];
    const struct wk_log_seg_head h = { .version = WK_LOG_VERSION + 1, .seq = 1 };
    const wkim_slice part = wk_slice(head, sizeof(head));
    struct wkim_error err;
    int fd;

    wk_log_close(f->log);
    f->log = NULL;
    wk_log_seg_head_encode(head, &h);
    assert_int_equal(f->fs.open(f->fs.user, "0000000001.seg", false, &fd), WKIM_OK);
    assert_int_equal(f->fs.pwritev(f->fs.user, fd, &part, 1, 0), WKIM_OK);
    f->fs.close(f->fs.user, fd);
    assert_int_equal(wk_log_open(&f->log, &f->fs, &f->opt, &err), WKIM_EVERSION);
}

static void damage_found_while_reading_is_told(void **state)
{
    struct fixture *f = *state;
    struct wk_log_entry out;

    assert_int_equal(put(f, 1, 1, 1, 1, 3000), WKIM_OK);
    reopen_log(f);
    assert_true(sim_disk_flip(f->disk, "0000000001.seg", 6000, 3));
    assert_int_equal(wk_log_entries(f->log, 1, 1, 2, 9999, &out, 1), WKIM_ECORRUPT);
    sim_disk_fail_reads(f->disk, 1);
    assert_int_equal(wk_log_entries(f->log, 1, 1, 2, 9999, &out, 1), WKIM_EIO);
}

/* A whole record behind a torn one was never acknowledged: it must not come back when the gap is
 * filled with a record of the same size. */
static void discarded_records_never_come_back(void **state)
{
    struct fixture *f = *state;
    struct wk_log_group_state s;
    struct wk_log_stats st;

    assert_int_equal(put(f, 1, 1, 1, 1, 1000), WKIM_OK);
    assert_int_equal(wk_log_sync(f->log, NULL), WKIM_OK);
    wk_log_stats(f->log, &st);
    assert_int_equal(put(f, 1, 2, 1, 1, 1000), WKIM_OK);
    assert_int_equal(put(f, 1, 3, 1, 1, 1000), WKIM_OK);
    sim_disk_cut(f->disk, SIM_CUT_KEEP);
    wk_log_close(f->log);
    assert_true(sim_disk_flip(f->disk, "0000000001.seg", st.live_bytes + 500, 2));
    open_log(f);
    assert_int_equal(wk_log_group_find(f->log, 1, &s), WKIM_OK);
    assert_int_equal(s.code, WKIM_OK);
    assert_int_equal(s.last_index, 1);
    assert_int_equal(put(f, 1, 2, 2, 1, 1000), WKIM_OK);
    assert_int_equal(wk_log_sync(f->log, NULL), WKIM_OK);
    sim_disk_cut(f->disk, SIM_CUT_LOSE);
    wk_log_close(f->log);
    open_log(f);
    assert_int_equal(wk_log_group_find(f->log, 1, &s), WKIM_OK);
    assert_int_equal(s.last_index, 2);
    expect(f, 1, 1, 3, 1000);
}

static void hostile_names_in_the_folder_are_ignored(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = { "x", "0000000000.seg", "9999999999.seg", "00000000a1.seg",
                                         "0000000007.sega", "0000000008.tmp" };
    int fd;

    assert_int_equal(put(f, 1, 1, 1, 1, 3), WKIM_OK);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(f->fs.open(f->fs.user, names[i], true, &fd), WKIM_OK);
        f->fs.close(f->fs.user, fd);
    }
    reopen_log(f);
    expect(f, 1, 1, 2, 3);
}

/* The n-th allocation of the library fails; counted over all of it. */
static size_t oom_at, oom_count;
static void *oom_malloc(size_t n, void *user)
{
    (void)user;
    return ++oom_count == oom_at ? NULL : malloc(n);
}
static void *oom_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    return ++oom_count == oom_at ? NULL : calloc(count, n);
}
static void *oom_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return ++oom_count == oom_at ? NULL : realloc(p, n);
}
static void oom_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static int oom_workload(struct fixture *f, bool *refused)
{
    struct wk_blob *blob = calloc(1, sizeof(*blob) + 100);
    int rc = wk_log_open(&f->log, &f->fs, &f->opt, NULL);

    atomic_store(&blob->refs, 1);
    blob->n = 100;
    for (uint64_t i = 1; rc == WKIM_OK && i <= 300; i++) {
        const struct wk_log_entry e = { .term = i / 40, .index = i, .data = blob };
        const struct wk_log_batch b = { .group = (uint32_t)(i / 100), .has_hard = true,
                                        .hard_term = i, .entries = &e, .n_entries = i < 100 };
        rc = wk_log_append(f->log, &b, 1, NULL);
        if (rc == WKIM_ENOMEM && !f->log->failed) { /* nothing happened: the same call works now */
            *refused = true;
            rc = wk_log_append(f->log, &b, 1, NULL);
        }
        if (rc == WKIM_OK && i % 50 == 0) {
            rc = wk_log_compact(f->log, 0, i < 100 ? i : 99);
            const wkim_ssize n = rc ? 0 : wk_log_purge(f->log, NULL);
            rc = n < 0 && n != WKIM_ENOMEM ? (int)n : rc;
        }
    }
    wk_log_close(f->log);
    f->log = NULL;
    free(blob);
    return rc;
}

static void failing_allocations_leave_a_consistent_log(void **state)
{
    const struct wkim_mem mem = { oom_malloc, oom_calloc, oom_realloc, oom_free, NULL };
    struct fixture *f = *state;
    unsigned refusals = 0;

    wk_log_close(f->log);
    f->log = NULL;
    wkim_mem_set(&mem);
    f->opt.segment_bytes = 8192;
    for (oom_at = 1;; oom_at++) {
        struct wk_log_group_state s = { 0 };
        bool refused = false;
        sim_disk_free(f->disk);
        f->disk = sim_disk_new(oom_at);
        f->fs = sim_disk_fs(f->disk);
        oom_count = 0;
        const int rc = oom_workload(f, &refused);
        const bool over = oom_count < oom_at;
        oom_count = oom_at;
        refusals += refused;
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM);
        open_log(f);
        if (rc == WKIM_OK) {
            assert_int_equal(wk_log_group_find(f->log, 0, &s), WKIM_OK);
            assert_int_equal(s.last_index, 99);
            assert_int_equal(s.hard_term, 99);
            assert_int_equal(wk_log_group_find(f->log, 3, &s), WKIM_OK);
            assert_int_equal(s.hard_term, 300);
        }
        assert_int_equal(s.code, WKIM_OK);
        wk_log_close(f->log);
        f->log = NULL;
        if (over)
            break;
    }
    open_log(f);
    wkim_mem_set(NULL);
    assert_true(refusals > 5);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(evicted_entries_are_read_from_the_files),
        T(cached_blobs_are_shared_not_copied),
        T(reads_are_cut_to_bytes_but_give_at_least_one),
        T(appending_at_a_lower_index_supersedes),
        T(gaps_and_compacted_indexes_are_refused),
        T(batches_larger_than_a_record_are_split),
        T(segments_all_groups_have_passed_are_deleted_and_reused),
        T(a_busy_young_log_moves_to_a_file_written_ahead),
        T(memory_is_16_bytes_per_record),
        T(cache_queue_stays_small_behind_an_idle_group),
        T(newer_format_is_refused),
        T(damage_found_while_reading_is_told),
        T(discarded_records_never_come_back),
        T(hostile_names_in_the_folder_are_ignored),
        T(failing_allocations_leave_a_consistent_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
