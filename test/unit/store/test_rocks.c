/* The store on disk: what survives, what is refused, what a checkpoint holds. */
#include "store/store.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include "fixture.h"
#include "store/txn.h"
#include "base/clock.h"

static const struct wk_channel_key g1 = { 2, { (const uint8_t *)"g1", 2 } };

/* Batch i holds message i, a sender's position, a member, applied index i: one row per column. */
static int commit_entry(struct wk_txn *t, uint64_t i)
{
    static const uint8_t body[900];
    char uid[32];

    snprintf(uid, sizeof(uid), "u%08llu", (unsigned long long)i);
    wk_message_put(t, 5, &g1, i, wk_slice(body, sizeof(body)));
    wk_sent_put(t, 5, &g1, wk_str(uid), i);
    wk_member_put(t, 5, &g1, WK_LIST_SUBSCRIBER, wk_str(uid), &(struct wk_row_member){ .id = i });
    wk_applied_put(t, 5, &(struct wk_row_applied){ i, 1 });
    return wk_txn_commit(t, NULL);
}

static int count_message(void *arg, uint64_t seq, wkim_slice record)
{
    uint64_t *next = arg;

    assert_int_equal(record.n, 900);
    assert_int_equal(seq, ++*next);
    return 0;
}

static int count_member(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    uint64_t *next = arg;

    (void)uid;
    assert_int_equal(row->id, ++*next);
    return 0;
}

/* Every column ends exactly at the applied index; returns it. */
static uint64_t check_entries(struct wk_store *s)
{
    struct wk_row_applied a = { 0, 0 };
    uint64_t messages = 0, members = 0, sent;
    char uid[32];
    int rc = wk_applied_get(s, 5, &a);

    assert_true(rc == WKIM_OK || rc == WKIM_ENOTFOUND);
    assert_int_equal(wk_message_scan(s, 5, &g1, 0, UINT64_MAX, false, count_message, &messages), 0);
    assert_int_equal(wk_member_scan(s, 5, &g1, WK_LIST_SUBSCRIBER, wk_slice(NULL, 0), count_member,
                                    &members), 0);
    assert_int_equal(messages, a.index);
    assert_int_equal(members, a.index);
    for (uint64_t i = 1; i <= a.index + 50; i++) {
        snprintf(uid, sizeof(uid), "u%08llu", (unsigned long long)i);
        rc = wk_sent_get(s, 5, &g1, wk_str(uid), &sent);
        assert_int_equal(rc, i <= a.index ? WKIM_OK : WKIM_ENOTFOUND);
        assert_true(rc != WKIM_OK || sent == i);
    }
    return a.index;
}

static void orderly_close_keeps_everything(void **state)
{
    struct fixture *f = *state;

    for (uint64_t i = 1; i <= 100; i++)
        assert_int_equal(commit_entry(f->txn, i), WKIM_OK);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(check_entries(f->store), 100);
}

/* Runs `how` (see main) in a process of its own that ends without closing the store.  It is this
 * program started anew: RocksDB's threads do not live on in a forked copy. */
static void in_dying_process(struct fixture *f, const char *how, uint64_t n)
{
    char number[24];
    int status;

    fixture_close(f);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)n);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", "test_rocks", how, f->path, number, (char *)NULL);
        _exit(9);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture_open(f);
}

static void write_flush_write(struct fixture *f, uint64_t flushed)
{
    for (uint64_t i = 1; i <= flushed; i++)
        if (commit_entry(f->txn, i) != WKIM_OK)
            _exit(2);
    if (wk_store_flush(f->store, NULL) != WKIM_OK)
        _exit(3);
    for (uint64_t i = flushed + 1; i <= flushed + 20; i++)
        if (commit_entry(f->txn, i) != WKIM_OK)
            _exit(4);
}

static void crash_loses_only_what_was_not_flushed(void **state)
{
    struct fixture *f = *state;

    in_dying_process(f, "flush", 30);
    assert_int_equal(check_entries(f->store), 30);
}

/* Goes on behind what the process before left, as a replay of the log does: rows beyond the applied
 * index would be left-overs and no tear. */
static void write_many(struct fixture *f, uint64_t n)
{
    struct wk_row_applied a = { 0, 0 };
    const int rc = wk_applied_get(f->store, 5, &a);

    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
        _exit(2);
    for (uint64_t i = a.index + 1; i <= n; i++)
        if (commit_entry(f->txn, i) != WKIM_OK)
            _exit(2);
}

static void crash_between_background_flushes_tears_no_batch(void **state)
{
    struct fixture *f = *state;
    uint64_t most = 0;

    for (uint64_t n = 700; n <= 6300; n += 1400) {
        in_dying_process(f, "write", n);
        uint64_t kept = check_entries(f->store);
        assert_true(kept <= n);
        most = kept > most ? kept : most;
    }
    assert_true(most > 0); /* otherwise nothing was flushed and nothing was tried */
}

static void *flush_again_and_again(void *arg)
{
    for (;;)
        if (wk_store_flush(arg, NULL) != WKIM_OK)
            _exit(5);
    return NULL;
}

static void write_many_while_flushing(struct fixture *f, uint64_t n)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, flush_again_and_again, f->store) != 0)
        _exit(6);
    write_many(f, n);
}

static void crash_during_a_flush_tears_no_batch(void **state)
{
    struct fixture *f = *state;

    for (uint64_t n = 100; n <= 900; n += 160) {
        in_dying_process(f, "both", n);
        assert_true(check_entries(f->store) <= n);
    }
}

static void checkpoint_opens_as_a_store(void **state)
{
    struct fixture *f = *state;
    char path[320];
    struct wk_store *copy;

    for (uint64_t i = 1; i <= 40; i++)
        assert_int_equal(commit_entry(f->txn, i), WKIM_OK);
    snprintf(path, sizeof(path), "%s/copy", f->dir);
    assert_int_equal(wk_store_checkpoint(f->store, path, NULL), WKIM_OK);
    assert_int_equal(wk_store_checkpoint(f->store, path, NULL), WKIM_EEXIST);
    for (uint64_t i = 41; i <= 50; i++)
        assert_int_equal(commit_entry(f->txn, i), WKIM_OK);
    assert_int_equal(wk_store_open(&copy, path, NULL, NULL), WKIM_OK);
    assert_int_equal(check_entries(copy), 40);
    wk_store_close(copy);
    assert_int_equal(check_entries(f->store), 50);
}

static void rewrite_format(struct fixture *f, const char *text)
{
    char path[320];

    snprintf(path, sizeof(path), "%s/FORMAT", f->path);
    if (!text) {
        assert_int_equal(unlink(path), 0);
        return;
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void newer_and_damaged_formats_are_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        { "wkim store 3\n", WKIM_EVERSION },  { "wkim store 0\n", WKIM_ECORRUPT },
        { "wkim store x\n", WKIM_ECORRUPT },  { "wkim store 1", WKIM_ECORRUPT },
        { "", WKIM_ECORRUPT },                { "something else\n", WKIM_ECORRUPT },
        { "wkim store 99999999999999999999999\n", WKIM_ECORRUPT }, { NULL, WKIM_ECORRUPT },
    };
    struct fixture *f = *state;
    struct wkim_error err;
    struct wk_store *s;

    fixture_close(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rewrite_format(f, cases[i].text);
        assert_int_equal(wk_store_open(&s, f->path, NULL, &err), cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.text, f->path));
    }
    rewrite_format(f, "wkim store 3\n");
    assert_int_equal(wk_store_open(&s, f->path, NULL, &err), WKIM_EVERSION);
    assert_non_null(strstr(err.text, "format 3 is newer than 2"));
    rewrite_format(f, "wkim store 2\n");
    fixture_open(f);
}

/* Its applied indexes stood elsewhere; without them the log would be applied once more. */
static void a_store_of_format_1_is_read_and_becomes_format_2(void **state)
{
    struct fixture *f = *state;
    struct wk_row_applied a = { 0, 0 };
    struct wk_key k;
    char path[320], text[32] = "";

    wk_key_init(&k, 5, WK_TABLE_APPLIED);
    struct wk_buf *b = wk_txn_put_begin(f->txn, WK_COLUMN_QUEUES, &k, 17);
    wk_buf_u8(b, 1);
    wk_buf_u64(b, 30);
    wk_buf_u64(b, 2);
    wk_txn_put_end(f->txn);
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_OK);
    fixture_close(f);
    rewrite_format(f, "wkim store 1\n");
    fixture_open(f);
    assert_int_equal(wk_applied_get(f->store, 5, &a), WKIM_OK);
    assert_true(a.index == 30 && a.term == 2);
    wk_applied_put(f->txn, 5, &(struct wk_row_applied){ 31, 2 });
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_OK);
    assert_int_equal(wk_applied_get(f->store, 5, &a), WKIM_OK);
    assert_true(a.index == 31);
    snprintf(path, sizeof(path), "%s/FORMAT", f->path);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, "wkim store 2\n");
}

static void second_opener_and_bad_paths_are_refused(void **state)
{
    struct fixture *f = *state;
    struct wkim_error err;
    struct wk_store *s;
    char path[320];

    assert_int_equal(wk_store_open(&s, f->path, NULL, &err), WKIM_EIO);
    snprintf(path, sizeof(path), "%s/no/such", f->dir);
    assert_int_equal(wk_store_open(&s, path, NULL, &err), WKIM_EIO);
    assert_non_null(strstr(err.text, path));
    snprintf(path, sizeof(path), "%s/FORMAT", f->path);
    assert_int_equal(wk_store_open(&s, path, NULL, &err), WKIM_EIO);
}

static void damaged_table_files_are_reported(void **state)
{
    struct fixture *f = *state;
    char command[700];
    uint64_t n = 0;

    for (uint64_t i = 1; i <= 500; i++)
        assert_int_equal(commit_entry(f->txn, i), WKIM_OK);
    fixture_close(f);
    snprintf(command, sizeof(command),
             "for x in %s/rows/*.sst; do printf garbage | dd of=$x bs=1 seek=100 conv=notrunc "
             "2>/dev/null; done", f->path);
    assert_int_equal(system(command), 0);
    struct wkim_error err;
    int rc = wk_store_open(&f->store, f->path, NULL, &err);
    if (rc == WKIM_OK) {
        assert_int_equal(wk_txn_new(&f->txn, f->store), WKIM_OK);
        assert_int_equal(wk_message_scan(f->store, 5, &g1, 0, UINT64_MAX, false, count_message, &n),
                         WKIM_ECORRUPT);
    } else {
        assert_int_equal(rc, WKIM_ECORRUPT);
        f->store = NULL;
        snprintf(command, sizeof(command), "rm -rf %s", f->path);
        assert_int_equal(system(command), 0);
        fixture_open(f);
    }
}

/* Half of the rows belong to another channel, so that no file may go as a whole. */
static void deleted_messages_give_their_space_back(void **state)
{
    struct fixture *f = *state;
    const struct wk_channel_key other = { 2, WK_LIT("other") };
    struct wk_store_stats st;
    struct wk_rng r;
    uint64_t text[40], end;

    wk_rng_seed(&r, 1);
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        for (size_t i = 0; i < 40; i++)
            text[i] = wk_rng_next(&r);
        wk_message_put(f->txn, 5, &g1, seq, wk_slice(text, sizeof(text)));
        wk_message_put(f->txn, 5, &other, seq, wk_slice(text, sizeof(text)));
        if (seq % 100 == 0)
            assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_OK);
    }
    assert_int_equal(wk_store_flush(f->store, NULL), WKIM_OK);
    wk_store_stats(f->store, &st);
    const uint64_t full = st.disk_bytes;
    for (uint64_t seq = 1; seq <= 19900; seq++) {
        wk_message_delete(f->txn, 5, &g1, seq);
        if (seq % 100 == 0)
            assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_OK);
    }
    assert_int_equal(wk_store_flush(f->store, NULL), WKIM_OK);
    end = wk_now_ms() + 30000;
    do
        wk_store_stats(f->store, &st);
    while (st.disk_bytes > full * 6 / 10 && wk_now_ms() < end);
    assert_in_range(st.disk_bytes, full * 4 / 10, full * 6 / 10);
}

static void *flush_often(void *arg)
{
    for (int i = 0; i < 20; i++)
        if (wk_store_flush(arg, NULL) != WKIM_OK)
            return arg;
    return NULL;
}

static void flushes_at_once_all_succeed(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[2];
    void *failed;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, flush_often, f->store), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void statistics_grow_with_what_is_stored(void **state)
{
    struct fixture *f = *state;
    struct wk_store_stats st;

    for (uint64_t i = 1; i <= 1000; i++)
        assert_int_equal(commit_entry(f->txn, i), WKIM_OK);
    assert_int_equal(wk_store_flush(f->store, NULL), WKIM_OK);
    wk_store_stats(f->store, &st);
    assert_true(st.memtable_bytes > 0);
    assert_true(st.disk_bytes > 1000);
    assert_false(wk_store_stalled(f->store));
}

static int die(const char *how, const char *path, uint64_t n)
{
    struct wk_store_options opt = { .cache_bytes = 8u << 20,
                                    .memtable_bytes = 256u << 10,
                                    .background_threads = 1 };
    struct fixture f;

    if (wk_store_open(&f.store, path, &opt, NULL) != WKIM_OK ||
        wk_txn_new(&f.txn, f.store) != WKIM_OK)
        return 1;
    if (strcmp(how, "flush") == 0)
        write_flush_write(&f, n);
    else if (strcmp(how, "write") == 0)
        write_many(&f, n);
    else
        write_many_while_flushing(&f, n);
    _exit(0);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return die(argv[1], argv[2], strtoull(argv[3], NULL, 10));

    const struct CMUnitTest tests[] = {
        DISK(orderly_close_keeps_everything),
        DISK(crash_loses_only_what_was_not_flushed),
        DISK(crash_between_background_flushes_tears_no_batch),
        DISK(crash_during_a_flush_tears_no_batch),
        DISK(checkpoint_opens_as_a_store),
        DISK(newer_and_damaged_formats_are_refused),
        DISK(a_store_of_format_1_is_read_and_becomes_format_2),
        DISK(second_opener_and_bad_paths_are_refused),
        DISK(damaged_table_files_are_reported),
        DISK(deleted_messages_give_their_space_back),
        DISK(flushes_at_once_all_succeed),
        DISK(statistics_grow_with_what_is_stored),
    };
    return cmocka_run_group_tests_name("rocks", tests, NULL, NULL);
}
