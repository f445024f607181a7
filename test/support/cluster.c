#include "cluster.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/hash.h"
#include "base/mem.h"
#include "store/backend.h"
#include "store/key.h"

#define WAIT_S 20

__attribute__((format(printf, 1, 2))) static _Noreturn void give_up(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fprintf(stderr, "cluster fixture: ");
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

/* ---- a disk that can be told to refuse ------------------------------------------------------- */

static bool refused(struct cl *c)
{
    uint32_t n = atomic_load(&c->dead_for);

    while (n && !atomic_compare_exchange_weak(&c->dead_for, &n, n - 1))
        ;
    return n || atomic_load(&c->dead);
}

static int fs_open(void *user, const char *name, bool create, int *fd)
{
    struct cl *c = user;
    return c->posix.open(c->posix.user, name, create, fd);
}

static int fs_close(void *user, int fd)
{
    struct cl *c = user;
    return c->posix.close(c->posix.user, fd);
}

static int fs_pwritev(void *user, int fd, const wkim_slice *parts, size_t n, uint64_t off)
{
    struct cl *c = user;
    const int code = atomic_load(&c->dead_code);
    if (refused(c))
        return code ? code : WKIM_EIO;
    return c->posix.pwritev(c->posix.user, fd, parts, n, off);
}

static wkim_ssize fs_pread(void *user, int fd, void *p, size_t n, uint64_t off)
{
    struct cl *c = user;
    return c->posix.pread(c->posix.user, fd, p, n, off);
}

static int fs_sync(void *user, int fd)
{
    struct cl *c = user;
    (void)fd; /* the process stays: what was written is there */
    return atomic_load(&c->dead) ? WKIM_EIO : WKIM_OK;
}

static int fs_size(void *user, int fd, uint64_t *n)
{
    struct cl *c = user;
    return c->posix.size(c->posix.user, fd, n);
}

static int fs_allocate(void *user, int fd, uint64_t n)
{
    (void)user, (void)fd, (void)n;
    return WKIM_OK;
}

static int fs_rename(void *user, const char *from, const char *to)
{
    struct cl *c = user;
    return c->posix.rename(c->posix.user, from, to);
}

static int fs_unlink(void *user, const char *name)
{
    struct cl *c = user;
    return c->posix.unlink(c->posix.user, name);
}

static int fs_sync_dir(void *user)
{
    (void)user;
    return WKIM_OK;
}

static int fs_list(void *user, void (*each)(void *arg, const char *name), void *arg)
{
    struct cl *c = user;
    return c->posix.list(c->posix.user, each, arg);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void wake(void *user)
{
    struct cl *c = user;
    sem_post(&c->wake);
}

static void init_shards(struct cl *c)
{
    for (uint32_t i = 0; i < c->opt.shards; i++) {
        wk_shard_init(&c->shards[i], i, c->opt.shards);
        wk_shard_set_wake(&c->shards[i], wake, c);
    }
}

static void open_log_folder(struct cl *c)
{
    struct wkim_error err = { 0 };
    char path[600];

    if (wk_fs_posix_new(&c->posix, tmpdir_path(&c->dir, path, sizeof(path), "log"), &err) !=
        WKIM_OK)
        give_up("%s", err.text);
    c->fs = (struct wk_fs){ .user = c,
                            .open = fs_open,
                            .close = fs_close,
                            .pwritev = fs_pwritev,
                            .pread = fs_pread,
                            .sync = fs_sync,
                            .size = fs_size,
                            .allocate = fs_allocate,
                            .rename = fs_rename,
                            .unlink = fs_unlink,
                            .sync_dir = fs_sync_dir,
                            .list = fs_list };
}

static void open_store(struct cl *c)
{
    if (wk_store_open(&c->store, NULL, NULL, NULL) != WKIM_OK)
        give_up("no store");
}

int cl_try_up(struct cl *c)
{
    struct im_options o = { .shards = c->shards,
                            .n_shards = c->opt.shards,
                            .node_id = 1,
                            .log = &c->log,
                            .token_auth = c->opt.token_auth,
                            .allowlist_off_of_person = !c->opt.strict_allow,
                            .idempotent = !c->opt.not_idempotent,
                            .tag_expire_ms = 20 * 60 * 1000,
                            .idle_channels_max =
                                c->opt.idle_channels_max ? c->opt.idle_channels_max : 64,
                            .conversations_max = 1000,
                            .event_streams_max = 100,
                            .event_bytes_max = 16777216,
                            .event_deltas_max = 1000,
                            .event_idle_ms = 60000,
                            .event_sweep_ms = 10000,
                            .event_push_private = true,
                            .retention = c->opt.retention,
                            .manager_uid = wk_str("____manager"),
                            .visitor_suffix = wk_str("___vstr"),
                            .online_cmd_channel_id = wk_str("systemcmdonline") };
    if (c->opt.source) {
        o.source = *c->opt.source;
        o.user = c->opt.source_user;
    }
    struct wk_cluster_options co = { .node_id = 1,
                                     .slot_count = c->opt.slots,
                                     .shards = c->shards,
                                     .n_shards = c->opt.shards,
                                     .store = c->store,
                                     .log_fs = &c->fs,
                                     .readers = c->readers,
                                     .log = &c->log,
                                     .log_bytes_max = UINT64_MAX,
                                     .sync = true };
    int rc = c->readers ? WKIM_OK : wk_readers_new(&c->readers, 1, 256);

    co.readers = c->readers;
    if (c->opt.tune)
        c->opt.tune(c, &o);
    if (rc == WKIM_OK)
        rc = im_new(&c->im, &o);
    if (rc == WKIM_OK) {
        co.machine = c->opt.machine ? *c->opt.machine : im_machine(c->im);
        rc = wk_cluster_new(&c->cluster, &co, NULL);
    }
    if (rc != WKIM_OK) {
        im_free(c->im);
        c->im = NULL;
        return rc;
    }
    im_set_cluster(c->im, c->cluster);
    wk_cluster_start(c->cluster);
    return WKIM_OK;
}

static bool ready(void *arg)
{
    struct cl *c = arg;
    return wk_cluster_ready(c->cluster) == c->opt.slots;
}

void cl_up(struct cl *c)
{
    int rc = cl_try_up(c);

    if (rc != WKIM_OK)
        give_up("start: %s", wkim_strerror(rc));
    cl_until(c, ready, c);
    cl_settle(c);
}

void cl_new(struct cl *c, const struct cl_options *opt)
{
    memset(c, 0, sizeof(*c));
    if (opt)
        c->opt = *opt;
    if (!c->opt.shards)
        c->opt.shards = 2;
    if (!c->opt.slots)
        c->opt.slots = 8;
    sem_init(&c->wake, 0, 0);
    c->now_ms = 1000000;
    c->wall_ms = 1700000000000;
    tmpdir_new(&c->dir);
    init_shards(c);
    open_log_folder(c);
    open_store(c);
    cl_up(c);
}

/* What a node does when its threads are gone. */
static void drain(struct cl *c)
{
    for (int round = 0; round < 32; round++) {
        for (uint32_t i = 0; i < c->opt.shards; i++) {
            wk_shard_own(&c->shards[i]);
            wk_shard_poll(&c->shards[i], c->now_ms, c->wall_ms);
        }
    }
}

static void down(struct cl *c)
{
    if (!c->cluster)
        return;
    im_keep_stop(c->im);
    wk_cluster_refuse(c->cluster);
    wk_readers_free(c->readers);
    c->readers = NULL;
    drain(c);
    wk_cluster_free(c->cluster);
    c->cluster = NULL;
    drain(c);
    im_free(c->im);
    c->im = NULL;
    for (uint32_t i = 0; i < c->opt.shards; i++)
        wk_shard_fini(&c->shards[i]);
    init_shards(c);
}

static void wipe_store(struct cl *c)
{
    wk_store_close(c->store);
    open_store(c);
}

void cl_down(struct cl *c, bool wipe)
{
    cl_settle(c);
    down(c);
    if (wipe)
        wipe_store(c);
}

void cl_crash(struct cl *c)
{
    atomic_store(&c->dead, true);
    down(c);
    wipe_store(c);
    atomic_store(&c->dead, false);
}

void cl_restart(struct cl *c, bool wipe)
{
    cl_down(c, wipe);
    cl_up(c);
}

void cl_wipe_log(struct cl *c)
{
    struct tmpdir sub = { "" };

    wk_fs_posix_free(&c->posix);
    tmpdir_path(&c->dir, sub.path, sizeof(sub.path), "log");
    tmpdir_remove(&sub);
    open_log_folder(c);
}

void cl_free(struct cl *c)
{
    down(c);
    wk_store_close(c->store);
    wk_fs_posix_free(&c->posix);
    tmpdir_remove(&c->dir);
    for (uint32_t i = 0; i < c->opt.shards; i++)
        wk_shard_fini(&c->shards[i]);
    sem_destroy(&c->wake);
}

/* ---- running --------------------------------------------------------------------------------- */

bool cl_poll(struct cl *c, uint32_t shard)
{
    for (uint32_t i = 0; i < c->opt.shards; i++)
        c->shards[i].owner_thread = 0;
    wk_shard_own(&c->shards[shard]);
    return wk_shard_poll(&c->shards[shard], c->now_ms, c->wall_ms) <= c->now_ms;
}

static bool poll_all(struct cl *c)
{
    bool more = false;

    for (uint32_t i = 0; i < c->opt.shards; i++)
        more |= cl_poll(c, i);
    return more;
}

/* Sleep until a post comes from another thread; false: none came. */
static bool wait_post(struct cl *c, unsigned ms)
{
    struct timespec until;
    bool all = true;

    for (uint32_t i = 0; i < c->opt.shards; i++)
        all &= wk_shard_sleep(&c->shards[i]);
    if (all) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long)ms % 1000 * 1000000;
        until.tv_sec += (time_t)(ms / 1000) + until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (sem_timedwait(&c->wake, &until) != 0) {
            if (errno == EINTR)
                continue;
            all = false;
            break;
        }
    } else {
        all = true;
    }
    for (uint32_t i = 0; i < c->opt.shards; i++)
        wk_shard_awake(&c->shards[i]);
    return all;
}

void cl_until(struct cl *c, bool (*cond)(void *arg), void *arg)
{
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    while (!cond(arg)) {
        if (!poll_all(c) && !cond(arg))
            (void)wait_post(c, 100);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec > WAIT_S)
            give_up("nothing happened for %d s", WAIT_S);
    }
}

/* What readers have in hand is posted when it is done, however late they get to run. */
static bool reading(const struct cl *c)
{
    struct wk_readers_stats s = { 0 };

    if (c->readers)
        wk_readers_stats(c->readers, &s);
    return s.queued || s.running;
}

/* Quiet: no call under way, no post, and neither the log nor a reader has anything in hand. */
void cl_settle(struct cl *c)
{
    struct timespec start, now;

    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        while (poll_all(c))
            ;
        bool calls = c->cluster && wk_cluster_calls(c->cluster) != 0, reads = reading(c);
        if (!wait_post(c, calls ? 100 : 2) && !calls && !reads && !poll_all(c))
            return;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec > WAIT_S)
            give_up("does not settle");
    }
}

void cl_advance(struct cl *c, uint64_t ms)
{
    c->now_ms += ms;
    c->wall_ms += ms;
    cl_settle(c);
}

static void call_done(struct wk_call *call)
{
    WK_CONTAINER(call, struct cl_call, call)->done = true;
}

void cl_begin(struct cl *c, struct cl_call *out, uint16_t op, uint32_t slot, struct wk_buf *in)
{
    struct wk_blob *blob = in->oom ? NULL : wk_blob_copy(in->p, in->n);

    if (!blob)
        give_up("out of memory");
    wk_buf_fini(in);
    wk_call_init(&out->call, op, blob, call_done);
    out->call.slot = slot;
    out->done = false;
    wk_call_send(c->cluster, &out->call);
}

static bool is_done(void *arg)
{
    return ((struct cl_call *)arg)->done;
}

struct cl_answer cl_take(struct cl *c, struct cl_call *call)
{
    cl_until(c, is_done, call);
    struct cl_answer a = { call->call.code,
                           call->call.reason,
                           { call->call.number[0], call->call.number[1] },
                           call->call.out };
    call->call.out = (struct wk_buf)WK_BUF_INIT;
    wk_call_fini(&call->call);
    return a;
}

struct cl_answer cl_do(struct cl *c, uint16_t op, uint32_t slot, struct wk_buf *in)
{
    struct cl_call call;

    cl_begin(c, &call, op, slot, in);
    return cl_take(c, &call);
}

int cl_do_code(struct cl *c, uint16_t op, uint32_t slot, struct wk_buf *in)
{
    struct cl_answer a = cl_do(c, op, slot, in);

    cl_answer_fini(&a);
    return a.code;
}

void cl_answer_fini(struct cl_answer *a)
{
    wk_buf_fini(&a->out);
}

uint32_t cl_slot(const struct cl *c, const char *key)
{
    return wk_crc32_ieee(im_base_id(wk_str(key))) % c->opt.slots;
}

uint32_t cl_shard_index(const struct cl *c, const char *key)
{
    return cl_slot(c, key) % c->opt.shards;
}

const char *cl_name_on(const struct cl *c, char *out, size_t cap, const char *prefix,
                       uint32_t shard, unsigned n)
{
    for (unsigned i = 0;; i++) {
        snprintf(out, cap, "%s%u", prefix, i);
        if (cl_shard_index(c, out) == shard && n-- == 0)
            return out;
    }
}

static int hash_row(void *arg, wkim_slice key, wkim_slice value)
{
    uint64_t *h = arg;

    if (key.n > 2 && key.p[2] == WK_TABLE_APPLIED)
        return 0; /* every start of a slot adds an entry */
    *h = wk_hash64(key.p, key.n, *h);
    *h = wk_hash64(value.p, value.n, *h);
    return 0;
}

uint64_t cl_hash(struct cl *c)
{
    static const uint8_t end[64] = { 0xff, 0xff, 0xff, 0xff, 0xff };
    const struct wk_range all = { wk_slice(NULL, 0), wk_slice(end, sizeof(end)), false, false };
    uint64_t h = 1;

    for (int col = 0; col < WK_COLUMN_COUNT; col++) {
        if (c->store->ops->scan(c->store->self, (enum wk_column)col, &all, hash_row, &h) != WKIM_OK)
            give_up("the store cannot be read");
    }
    return h;
}

static int count_outbox(void *arg, uint64_t id, wkim_slice body)
{
    (void)id, (void)body;
    ++*(size_t *)arg;
    return 0;
}

size_t cl_outbox(struct cl *c, uint32_t slot)
{
    size_t n = 0;

    if (wk_outbox_scan(c->store, slot, 0, count_outbox, &n) != WKIM_OK)
        give_up("the outbox cannot be read");
    return n;
}
