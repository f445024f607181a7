#include "store/backend.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "base/clock.h"
#include "base/mem.h"
#include "store/rocks_options.h"

#define STALL_CHECK_MS 20
/* Behind the rows of every slot; as long as the prefixes that filters and hints look at. */
#define MARKER "\xff\xff\xff" "last flush"
#define ROW_OVERHEAD_BYTES 96 /* of a row in a memtable, beside key and value */
#define UNFLUSHED_MEMTABLES_MAX 3
#define READ_TIER_PERSISTED 2
#define RANGE_ROWS_MAX 4096 /* rows of a range that are deleted one by one */

struct rocks {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family[WK_ROCKS_FAMILIES];
    struct wk_rocks_options options;
    rocksdb_writeoptions_t *write;
    rocksdb_readoptions_t *read;           /* point reads */
    rocksdb_readoptions_t *read_persisted; /* what would survive a crash */
    rocksdb_compactoptions_t *compact;
    pthread_mutex_t flush_lock;
    uint64_t memtable_bytes;
    _Atomic uint64_t unflushed; /* estimated bytes in memtables since the last flush began */
    /* The thread that flushes when they are many. */
    pthread_t flusher;
    pthread_mutex_t turn_lock;
    pthread_cond_t turn;
    uint64_t turns; /* flushes that ended, well or not */
    bool flusher_runs, stop;
    _Atomic uint64_t stall_checked_ms;
    _Atomic bool stalled;
};

/* Takes RocksDB's message and turns it into a code. */
static int rocks_fail(struct wkim_error *err, char *text, const char *what)
{
    int code = WKIM_EIO;

    if (strstr(text, "No space left"))
        code = WKIM_ENOSPC;
    else if (strncmp(text, "Corruption", 10) == 0)
        code = WKIM_ECORRUPT;
    wk_fail(err, code, "%s: %s", what, text);
    rocksdb_free(text);
    return code;
}

static int rocks_get(void *self, enum wk_column c, wkim_slice key, wk_backend_value fn, void *arg)
{
    struct rocks *r = self;
    char *text = NULL;
    size_t n = 0;
    rocksdb_pinnableslice_t *pin = rocksdb_get_pinned_cf(r->db, r->read, r->family[c],
                                                         (const char *)key.p, key.n, &text);
    if (text)
        return rocks_fail(NULL, text, "get");
    if (!pin)
        return WKIM_ENOTFOUND;
    const char *p = rocksdb_pinnableslice_value(pin, &n);
    int rc = fn(arg, wk_slice(p, n));
    rocksdb_pinnableslice_destroy(pin);
    return rc;
}

static int walk(rocksdb_iterator_t *it, bool descending, wk_backend_each fn, void *arg)
{
    int rc = WKIM_OK;

    if (descending)
        rocksdb_iter_seek_to_last(it);
    else
        rocksdb_iter_seek_to_first(it);
    while (rc == WKIM_OK && rocksdb_iter_valid(it)) {
        size_t kn, vn;
        const char *k = rocksdb_iter_key(it, &kn);
        const char *v = rocksdb_iter_value(it, &vn);
        rc = fn(arg, wk_slice(k, kn), wk_slice(v, vn));
        if (rc != WKIM_OK)
            break;
        if (descending)
            rocksdb_iter_prev(it);
        else
            rocksdb_iter_next(it);
    }
    char *text = NULL;
    rocksdb_iter_get_error(it, &text);
    if (!text)
        return rc;
    int failed = rocks_fail(NULL, text, "scan");
    return rc == WKIM_OK ? failed : rc;
}

static int rocks_scan(void *self, enum wk_column c, const struct wk_range *range,
                      wk_backend_each fn, void *arg)
{
    struct rocks *r = self;
    rocksdb_readoptions_t *o = rocksdb_readoptions_create();

    rocksdb_readoptions_set_iterate_lower_bound(o, (const char *)range->lo.p, range->lo.n);
    rocksdb_readoptions_set_iterate_upper_bound(o, (const char *)range->hi.p, range->hi.n);
    rocksdb_readoptions_set_total_order_seek(o, !range->one_prefix);
    rocksdb_iterator_t *it = rocksdb_create_iterator_cf(r->db, o, r->family[c]);
    int rc = walk(it, range->descending, fn, arg);
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(o);
    return rc;
}

static int rocks_batch_new(void *self, void **out)
{
    (void)self;
    *out = rocksdb_writebatch_create();
    return WKIM_OK;
}

static void rocks_batch_free(void *batch)
{
    rocksdb_writebatch_destroy(batch);
}

struct batch {
    struct rocks *r;
    rocksdb_writebatch_t *b;
    wkim_slice all; /* the operations from the first on */
};

struct deletes {
    struct batch *batch;
    enum wk_column column;
    uint32_t n, max;
};

static int add_delete(void *arg, wkim_slice key, wkim_slice value)
{
    struct deletes *d = arg;

    (void)value;
    if (d->n++ == d->max)
        return 1;
    rocksdb_writebatch_delete_cf(d->batch->b, d->batch->r->family[d->column], (const char *)key.p,
                                 key.n);
    return WKIM_OK;
}

static bool in_range(wkim_slice key, const struct wk_range *range)
{
    size_t lo = key.n < range->lo.n ? key.n : range->lo.n;
    size_t hi = key.n < range->hi.n ? key.n : range->hi.n;
    int from = memcmp(key.p, range->lo.p, lo), to = memcmp(key.p, range->hi.p, hi);

    return (from > 0 || (from == 0 && key.n >= range->lo.n)) &&
           (to < 0 || (to == 0 && key.n < range->hi.n));
}

/* A range is deleted row by row: those in the store and those put earlier in this batch.  Range
 * tombstones would be one operation, but every read of a family sorts those of its memtable again
 * after each new one: with 10,000 of them it takes 8 ms (measured).  A very long range is worth
 * one, except among messages: their insert hints (rocks_options.c) are shared between rows and
 * range tombstones, which breaks both. */
static int add_range(struct batch *batch, enum wk_column column, const struct wk_range *range,
                     wkim_slice behind)
{
    wkim_slice ops = wk_slice(batch->all.p, (size_t)(behind.p - batch->all.p)), key, value;
    struct deletes d = { batch, column, 0,
                         column == WK_COLUMN_MESSAGES ? UINT32_MAX : RANGE_ROWS_MAX };
    struct wk_op op;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_op_next(&ops, &op, &key, &value))
        if (op.kind == WK_OP_PUT && op.column == column && in_range(key, range))
            rc = add_delete(&d, key, value);
    if (rc == WKIM_OK)
        rc = rocks_scan(batch->r, column, range, add_delete, &d);
    if (rc != 1)
        return rc;
    rocksdb_writebatch_delete_range_cf(batch->b, batch->r->family[column],
                                       (const char *)range->lo.p, range->lo.n,
                                       (const char *)range->hi.p, range->hi.n);
    return WKIM_OK;
}

static int batch_fill(struct batch *batch)
{
    wkim_slice ops = batch->all, key, value;
    struct wk_op op;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_op_next(&ops, &op, &key, &value)) {
        rocksdb_column_family_handle_t *f = batch->r->family[op.column];
        const char *k = (const char *)key.p, *v = (const char *)value.p;
        if (op.kind == WK_OP_PUT)
            rocksdb_writebatch_put_cf(batch->b, f, k, key.n, v, value.n);
        else if (op.kind == WK_OP_DELETE)
            rocksdb_writebatch_delete_cf(batch->b, f, k, key.n);
        else
            rc = add_range(batch, op.column,
                           &(struct wk_range){ key, value, false,
                                               op.column == WK_COLUMN_MESSAGES },
                           ops);
    }
    return rc;
}

/* Wakes the flusher; who is far ahead of it waits for the end of a flush. */
static void count_unflushed(struct rocks *r, uint64_t bytes)
{
    const uint64_t before = atomic_fetch_add(&r->unflushed, bytes), now = before + bytes;

    if (now < r->memtable_bytes)
        return;
    pthread_mutex_lock(&r->turn_lock);
    if (before < r->memtable_bytes)
        pthread_cond_broadcast(&r->turn);
    const uint64_t turns = r->turns;
    while (now >= r->memtable_bytes * UNFLUSHED_MEMTABLES_MAX && r->turns == turns && !r->stop)
        pthread_cond_wait(&r->turn, &r->turn_lock);
    pthread_mutex_unlock(&r->turn_lock);
}

static int rocks_write(void *self, void *native, wkim_slice ops, struct wkim_error *err)
{
    struct rocks *r = self;
    struct batch batch = { r, native, ops };
    char *text = NULL;

    rocksdb_writebatch_clear(native);
    int rc = batch_fill(&batch);
    const uint64_t rows = (uint64_t)rocksdb_writebatch_count(native);
    if (rc == WKIM_OK)
        rocksdb_write(r->db, r->write, native, &text);
    else
        wk_fail(err, rc, "write: cannot read the range to delete");
    rocksdb_writebatch_clear(native);
    if (rc == WKIM_OK && !text)
        count_unflushed(r, ops.n + rows * ROW_OVERHEAD_BYTES);
    return text ? rocks_fail(err, text, "write") : rc;
}

/* The number of the last flush of a family that reached the disk; 0 when there was none. */
static int flushed_no(struct rocks *r, int family, uint64_t *no, struct wkim_error *err)
{
    char *text = NULL;
    size_t n = 0;
    char *v = rocksdb_get_cf(r->db, r->read_persisted, r->family[family], MARKER,
                             sizeof(MARKER) - 1, &n, &text);

    if (text)
        return rocks_fail(err, text, "flush");
    *no = 0;
    if (v && n == sizeof(*no))
        memcpy(no, v, n);
    rocksdb_free(v);
    return WKIM_OK;
}

static int put_markers(struct rocks *r, uint64_t no, struct wkim_error *err)
{
    rocksdb_writebatch_t *b = rocksdb_writebatch_create();
    char *text = NULL;

    for (int i = 0; i < WK_ROCKS_FAMILIES; i++)
        rocksdb_writebatch_put_cf(b, r->family[i], MARKER, sizeof(MARKER) - 1, (const char *)&no,
                                  sizeof(no));
    rocksdb_write(r->db, r->write, b, &text);
    rocksdb_writebatch_destroy(b);
    return text ? rocks_fail(err, text, "flush") : WKIM_OK;
}

static int flush_locked(struct rocks *r, struct wkim_error *err)
{
    uint64_t no = 0, found = 0;
    int rc = flushed_no(r, WK_ROCKS_DEFAULT, &no, err);

    if (rc == WKIM_OK)
        rc = put_markers(r, ++no, err);
    if (rc != WKIM_OK)
        return rc;
    atomic_store(&r->unflushed, 0);
    rocksdb_compact_range_cf_opt(r->db, r->family[WK_ROCKS_DEFAULT], r->compact, NULL, 0, NULL, 0);
    for (int i = 0; rc == WKIM_OK && i < WK_ROCKS_FAMILIES; i++) {
        rc = flushed_no(r, i, &found, err);
        if (rc == WKIM_OK && found != no)
            rc = wk_fail(err, WKIM_EIO, "flush: the back end did not write its tables");
    }
    return rc;
}

/* The C API of RocksDB 7 flushes one family at a time, which would tear the applied index from its
 * rows.  Flushing for a manual compaction takes all families at once (atomic_flush), so the
 * otherwise empty default family is compacted.
 *
 * All families: up to RocksDB 7.9 those without rows are left out, and what is written to them
 * between that decision and the moment the others are cut is lost in a crash although the applied
 * index is kept (facebook/rocksdb pull request 11148).  So every family gets a marker first, and
 * nobody but this function flushes: memtables are never filled up (rocks_options.c), the flusher
 * does it when they are large.  The markers read back from disk alone are the proof, as compaction
 * reports no errors. */
static int rocks_flush(void *self, struct wkim_error *err)
{
    struct rocks *r = self;

    pthread_mutex_lock(&r->flush_lock);
    int rc = flush_locked(r, err);
    pthread_mutex_unlock(&r->flush_lock);
    pthread_mutex_lock(&r->turn_lock);
    r->turns++;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->turn_lock);
    return rc;
}

static void *flusher_main(void *arg)
{
    struct rocks *r = arg;

    pthread_setname_np(pthread_self(), "wk-flush");
    pthread_mutex_lock(&r->turn_lock);
    while (!r->stop) {
        if (atomic_load(&r->unflushed) < r->memtable_bytes) {
            pthread_cond_wait(&r->turn, &r->turn_lock);
            continue;
        }
        pthread_mutex_unlock(&r->turn_lock);
        (void)rocks_flush(r, NULL); /* a failure shows at the next write */
        pthread_mutex_lock(&r->turn_lock);
    }
    pthread_mutex_unlock(&r->turn_lock);
    return NULL;
}

static void flusher_stop(struct rocks *r)
{
    if (!r->flusher_runs)
        return;
    pthread_mutex_lock(&r->turn_lock);
    r->stop = true;
    pthread_cond_broadcast(&r->turn);
    pthread_mutex_unlock(&r->turn_lock);
    pthread_join(r->flusher, NULL);
    r->flusher_runs = false;
}

static int rocks_checkpoint(void *self, const char *dir, struct wkim_error *err)
{
    struct rocks *r = self;
    char path[PATH_MAX], *text = NULL;
    int n = snprintf(path, sizeof(path), "%s/rows", dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return wk_fail(err, WKIM_ETOOBIG, "checkpoint: path %.100s... is too long", dir);
    if (mkdir(dir, 0750) != 0)
        return wk_fail(err, errno == EEXIST ? WKIM_EEXIST : WKIM_EIO, "checkpoint: create %s: %s",
                       dir, strerror(errno));
    int rc = rocks_flush(r, err);
    if (rc != WKIM_OK)
        return rc;
    rocksdb_checkpoint_t *c = rocksdb_checkpoint_object_create(r->db, &text);
    if (text)
        return rocks_fail(err, text, "checkpoint");
    rocksdb_checkpoint_create(c, path, UINT64_MAX, &text); /* without a flush of its own */
    rocksdb_checkpoint_object_destroy(c);
    return text ? rocks_fail(err, text, "checkpoint") : wk_format_write(dir, err);
}

static uint64_t property(struct rocks *r, int family, const char *name)
{
    uint64_t v = 0;

    if (rocksdb_property_int_cf(r->db, r->family[family], name, &v) != 0)
        return 0;
    return v;
}

static bool rocks_stalled(void *self)
{
    struct rocks *r = self;
    uint64_t now = wk_now_ms();
    uint64_t checked = atomic_load_explicit(&r->stall_checked_ms, memory_order_relaxed);

    /* Reading the properties takes RocksDB's big lock: one thread does it, and seldom. */
    if (now - checked >= STALL_CHECK_MS &&
        atomic_compare_exchange_strong(&r->stall_checked_ms, &checked, now)) {
        bool stalled = property(r, WK_COLUMN_MESSAGES, "rocksdb.is-write-stopped") != 0 ||
                       property(r, WK_COLUMN_MESSAGES, "rocksdb.actual-delayed-write-rate") != 0;
        atomic_store_explicit(&r->stalled, stalled, memory_order_relaxed);
    }
    return atomic_load_explicit(&r->stalled, memory_order_relaxed);
}

/* RocksDB's C API tells the bytes of flushes and compactions in its statistics text only, in GB
 * with two digits. */
static uint64_t bytes_written(struct rocks *r, int family)
{
    static const char label[] = "Cumulative compaction: ";
    char *text = rocksdb_property_value_cf(r->db, r->family[family], "rocksdb.cfstats");
    const char *at = text ? strstr(text, label) : NULL;
    double gb = at ? strtod(at + sizeof(label) - 1, NULL) : 0;

    rocksdb_free(text);
    return (uint64_t)(gb * 1024 * 1024 * 1024);
}

static void rocks_stats(void *self, struct wk_store_stats *out)
{
    struct rocks *r = self;

    for (int i = 0; i < WK_ROCKS_FAMILIES; i++) {
        out->compaction_debt_bytes += property(r, i, "rocksdb.estimate-pending-compaction-bytes");
        out->memtables += property(r, i, "rocksdb.num-immutable-mem-table") + 1;
        out->memtable_bytes += property(r, i, "rocksdb.cur-size-all-mem-tables");
        out->disk_bytes += property(r, i, "rocksdb.total-sst-files-size");
        out->bytes_written += bytes_written(r, i);
    }
    out->message_bytes = property(r, WK_COLUMN_MESSAGES, "rocksdb.total-sst-files-size");
    out->compactions = property(r, WK_COLUMN_MESSAGES, "rocksdb.num-running-compactions");
    out->flushes = property(r, WK_COLUMN_MESSAGES, "rocksdb.num-running-flushes");
    out->snapshots = property(r, WK_COLUMN_MESSAGES, "rocksdb.num-snapshots");
    out->cache_bytes = rocksdb_cache_get_usage(r->options.cache);
}

static void rocks_close(void *self)
{
    struct rocks *r = self;

    flusher_stop(r);
    for (int i = 0; i < WK_ROCKS_FAMILIES; i++)
        if (r->family[i])
            rocksdb_column_family_handle_destroy(r->family[i]);
    if (r->db)
        rocksdb_close(r->db);
    rocksdb_compactoptions_destroy(r->compact);
    rocksdb_readoptions_destroy(r->read_persisted);
    rocksdb_readoptions_destroy(r->read);
    rocksdb_writeoptions_destroy(r->write);
    wk_rocks_options_fini(&r->options);
    pthread_mutex_destroy(&r->flush_lock);
    pthread_mutex_destroy(&r->turn_lock);
    pthread_cond_destroy(&r->turn);
    wk_free(r);
}

static const struct wk_backend_ops rocks_ops = {
    .close = rocks_close,
    .get = rocks_get,
    .scan = rocks_scan,
    .batch_new = rocks_batch_new,
    .batch_free = rocks_batch_free,
    .write = rocks_write,
    .flush = rocks_flush,
    .checkpoint = rocks_checkpoint,
    .stalled = rocks_stalled,
    .stats = rocks_stats,
};

static int open_db(struct rocks *r, const char *dir, const struct wk_store_options *opt,
                   struct wkim_error *err)
{
    static const int compressions[] = { rocksdb_zstd_compression, rocksdb_lz4_compression,
                                        rocksdb_no_compression };
    char path[PATH_MAX], *text = NULL;
    int n = snprintf(path, sizeof(path), "%s/rows", dir);

    if (n < 0 || (size_t)n >= sizeof(path))
        return wk_fail(err, WKIM_ETOOBIG, "store: path %.100s... is too long", dir);
    const enum wk_store_compression wanted = opt ? opt->compression : WK_STORE_LZ4;
    size_t i = wanted == WK_STORE_ZSTD ? 0 : wanted == WK_STORE_LZ4 ? 1 : 2;
    for (; !r->db && i < sizeof(compressions) / sizeof(compressions[0]); i++) {
        struct wk_rocks_options *o = &r->options;
        rocksdb_free(text);
        text = NULL;
        wk_rocks_options_fini(o);
        wk_rocks_options_init(o, opt, compressions[i]);
        r->db = rocksdb_open_column_families(o->db, path, WK_ROCKS_FAMILIES, o->name,
                                             (const rocksdb_options_t *const *)o->family,
                                             r->family, &text);
        if (text && !strstr(text, "not linked"))
            break;
    }
    return r->db ? WKIM_OK : rocks_fail(err, text, path);
}

int wk_rocks_open(struct wk_store *s, const char *dir, const struct wk_store_options *opt,
                  struct wkim_error *err)
{
    int rc = wk_format_open(dir, err);

    if (rc != WKIM_OK)
        return rc;
    struct rocks *r = wk_calloc(1, sizeof(*r));
    if (!r)
        return wk_fail(err, WKIM_ENOMEM, "store %s: out of memory", dir);
    pthread_mutex_init(&r->flush_lock, NULL);
    pthread_mutex_init(&r->turn_lock, NULL);
    pthread_cond_init(&r->turn, NULL);
    r->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(r->write, 1);
    r->read = rocksdb_readoptions_create();
    r->read_persisted = rocksdb_readoptions_create();
    rocksdb_readoptions_set_read_tier(r->read_persisted, READ_TIER_PERSISTED);
    r->compact = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(r->compact, 0);
    rc = open_db(r, dir, opt, err);
    r->memtable_bytes = r->options.memtable_bytes;
    if (rc == WKIM_OK && pthread_create(&r->flusher, NULL, flusher_main, r) != 0)
        rc = wk_fail(err, WKIM_EAGAIN, "store %s: cannot start a thread", dir);
    r->flusher_runs = rc == WKIM_OK;
    if (rc != WKIM_OK) {
        rocks_close(r);
        return rc;
    }
    s->ops = &rocks_ops;
    s->self = r;
    return WKIM_OK;
}
