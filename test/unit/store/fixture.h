/* Stores for the tests of this room: one in memory and one on disk in a folder of its own. */
#ifndef TEST_STORE_FIXTURE_H
#define TEST_STORE_FIXTURE_H
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/mem.h"
#include "store/store.h"

#ifdef __SANITIZE_THREAD__
/* The RocksDB library is not instrumented: how it synchronises cannot be seen. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb.so\n";
}
#endif

struct fixture {
    bool on_disk;
    char dir[256]; /* parent of the store; removed with all in it */
    char path[300];
    struct wk_store *store;
    struct wk_txn *txn;
};

static inline int fixture_remove_one(const char *path, const struct stat *st, int flag,
                                     struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static inline void fixture_open(struct fixture *f)
{
    struct wk_store_options opt = { .cache_bytes = 8u << 20,
                                    .memtable_bytes = 4u << 20,
                                    .background_threads = 1 };

    assert_int_equal(wk_store_open(&f->store, f->on_disk ? f->path : NULL, &opt, NULL), WKIM_OK);
    assert_int_equal(wk_txn_new(&f->txn, f->store), WKIM_OK);
}

static inline void fixture_close(struct fixture *f)
{
    wk_txn_free(f->txn);
    wk_store_close(f->store);
    f->txn = NULL;
    f->store = NULL;
}

static inline void fixture_init(struct fixture *f, bool on_disk)
{
    const char *tmp = getenv("TMPDIR");

    *f = (struct fixture){ .on_disk = on_disk };
    snprintf(f->dir, sizeof(f->dir), "%s/wkstore.XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->path, sizeof(f->path), "%s/s", f->dir);
    fixture_open(f);
}

static inline void fixture_fini(struct fixture *f)
{
    fixture_close(f);
    nftw(f->dir, fixture_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int setup_memory(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_init(f, false);
    *state = f;
    return 0;
}

static inline int setup_disk(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fixture_init(f, true);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

static inline void commit(struct fixture *f)
{
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_OK);
}

/* The test on both back ends. */
#define BOTH(test)                                                                    \
    { #test " (memory)", test, setup_memory, teardown, NULL },                        \
    { #test " (disk)", test, setup_disk, teardown, NULL }
/* Tests with several threads: under TSan in memory only, as reads of rows that the uninstrumented
 * library handed over between threads look like races. */
#ifdef __SANITIZE_THREAD__
#define BOTH_THREADED(test) { #test " (memory)", test, setup_memory, teardown, NULL }
#else
#define BOTH_THREADED(test) BOTH(test)
#endif
#define DISK(test) { #test, test, setup_disk, teardown, NULL }
#endif
