/* The writing thread on the real disk. */
#include "log/writer.h"
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#define THREADS 4
#define PER_THREAD 500

struct fixture {
    char dir[256];
    struct wk_fs fs;
    struct wk_log_writer_options opt;
    struct wk_log_writer *writer;
    _Atomic unsigned rounds;
};

static void on_round(void *user)
{
    atomic_fetch_add(&((struct fixture *)user)->rounds, 1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *tmp = getenv("TMPDIR");

    snprintf(f->dir, sizeof(f->dir), "%s/wk_log_XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(f->dir) || wk_fs_posix_new(&f->fs, f->dir, NULL))
        return -1;
    f->opt = (struct wk_log_writer_options){.log = {.segment_bytes = 65536, .cache_bytes = 20000},
                                            .sync = true,
                                            .round_end = on_round,
                                            .user = f};
    *state = f;
    return wk_log_writer_new(&f->writer, &f->fs, &f->opt, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[600];
    DIR *d;

    wk_log_writer_free(f->writer);
    wk_fs_posix_free(&f->fs);
    d = opendir(f->dir);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
        snprintf(path, sizeof(path), "%s/%s", f->dir, e->d_name);
        unlink(path);
    }
    if (d)
        closedir(d);
    rmdir(f->dir);
    free(f);
    return 0;
}

struct item {
    struct wk_log_submit submit;
    struct wk_log_entry entry;
    _Atomic int done;
    _Atomic uint64_t *order;
};

static void on_done(struct wk_log_submit *s)
{
    struct item *it = (struct item *)(void *)s;
    /* Completions of one group come in order. */
    const uint64_t before = it->order ? atomic_exchange(it->order, it->entry.index) : 0;

    atomic_store(&it->done, it->order && before + 1 != it->entry.index ? 2 : 1);
}

static void item_init(struct item *it, uint32_t group, uint64_t index, _Atomic uint64_t *order)
{
    memset(it, 0, sizeof(*it));
    it->entry = (struct wk_log_entry){
        .term = 1, .index = index, .data = wk_blob_copy(&index, sizeof(index))};
    it->order = order;
    it->submit.batch = (struct wk_log_batch){.group = group, .entries = &it->entry, .n_entries = 1};
    it->submit.done = on_done;
}

static void wait_done(struct item *it)
{
    while (!atomic_load(&it->done))
        sched_yield();
}

struct job {
    struct fixture *f;
    uint32_t group;
    _Atomic uint64_t order;
    struct item items[PER_THREAD];
    bool ok;
};

static void *submit_and_read(void *arg)
{
    struct job *j = arg;
    struct wk_log_entry out[4];
    uint64_t term;

    j->ok = true;
    for (uint64_t i = 1; i <= PER_THREAD; i++) {
        item_init(&j->items[i - 1], j->group, i, &j->order);
        wk_log_writer_submit(j->f->writer, &j->items[i - 1].submit);
        if (i % 50 == 0) {
            wait_done(&j->items[i - 1]);
            const wkim_ssize n =
                wk_log_writer_entries(j->f->writer, j->group, i - 30, i, 4096, out, 4);
            j->ok = j->ok && n > 0 && out[0].index == i - 30 &&
                    wk_log_writer_term(j->f->writer, j->group, i, &term) == WKIM_OK && term == 1;
            for (wkim_ssize k = 0; k < n; k++)
                wk_blob_unref(out[k].data);
            wk_log_writer_compact(j->f->writer, j->group, i - 40);
        }
    }
    wait_done(&j->items[PER_THREAD - 1]);
    for (unsigned i = 0; i < PER_THREAD; i++) {
        j->ok = j->ok && j->items[i].submit.rc == WKIM_OK && j->items[i].done == 1;
        wk_blob_unref(j->items[i].entry.data);
    }
    return NULL;
}

static void many_threads_submit_read_and_compact(void **state)
{
    struct fixture *f = *state;
    struct job *jobs = calloc(THREADS, sizeof(*jobs));
    pthread_t threads[THREADS];
    struct wk_log_group_state s;
    struct wk_log_stats st;

    for (uint32_t i = 0; i < THREADS; i++) {
        jobs[i].f = f;
        jobs[i].group = i;
        pthread_create(&threads[i], NULL, submit_and_read, &jobs[i]);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(jobs[i].ok);
    }
    wk_log_writer_stats(f->writer, &st);
    assert_true(st.syncs > 0 && f->rounds > 0);
    free(jobs);
    wk_log_writer_free(f->writer);
    assert_int_equal(wk_log_writer_new(&f->writer, &f->fs, &f->opt, NULL), WKIM_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(wk_log_writer_group_find(f->writer, i, &s), WKIM_OK);
        assert_int_equal(s.last_index, PER_THREAD);
    }
}

static void refused_batch_does_not_fail_its_neighbours(void **state)
{
    struct fixture *f = *state;
    struct item *items = calloc(3, sizeof(*items));

    item_init(&items[0], 1, 1, NULL);
    item_init(&items[1], 2, 9, NULL); /* a gap */
    item_init(&items[2], 3, 1, NULL);
    for (int i = 0; i < 3; i++)
        wk_log_writer_submit(f->writer, &items[i].submit);
    for (int i = 0; i < 3; i++) {
        wait_done(&items[i]);
        assert_int_equal(items[i].submit.rc, i == 1 ? WKIM_EINVAL : WKIM_OK);
        wk_blob_unref(items[i].entry.data);
    }
    free(items);
}

static void reset_keeps_its_place_among_submissions(void **state)
{
    struct fixture *f = *state;
    struct item *items = calloc(3, sizeof(*items));
    struct wk_log_group_state s;

    item_init(&items[0], 1, 1, NULL);
    item_init(&items[1], 1, 100, NULL);
    item_init(&items[2], 1, 101, NULL);
    wk_log_writer_submit(f->writer, &items[0].submit);
    wk_log_writer_reset(f->writer, &items[1].submit, 100, 5);
    wk_log_writer_submit(f->writer, &items[2].submit);
    for (int i = 0; i < 3; i++) {
        wait_done(&items[i]);
        assert_int_equal(items[i].submit.rc, WKIM_OK);
        wk_blob_unref(items[i].entry.data);
    }
    free(items);
    assert_int_equal(wk_log_writer_group_find(f->writer, 1, &s), WKIM_OK);
    assert_int_equal(s.first_index, 101);
    assert_int_equal(s.last_index, 101);
    assert_int_equal(s.base_term, 5);
}

static void stopping_finishes_what_was_submitted(void **state)
{
    struct fixture *f = *state;
    struct item *items = calloc(100, sizeof(*items));

    for (uint64_t i = 0; i < 100; i++) {
        item_init(&items[i], 1, i + 1, NULL);
        wk_log_writer_submit(f->writer, &items[i].submit);
    }
    wk_log_writer_free(f->writer);
    f->writer = NULL;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(items[i].done, 1);
        assert_int_equal(items[i].submit.rc, WKIM_OK);
        wk_blob_unref(items[i].entry.data);
    }
    free(items);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(many_threads_submit_read_and_compact),
        T(refused_batch_does_not_fail_its_neighbours),
        T(reset_keeps_its_place_among_submissions),
        T(stopping_finishes_what_was_submitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
