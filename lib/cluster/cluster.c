#include "cluster/cluster.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cluster/internal.h"

static void runner_start(struct wk_shard *s, struct wk_post *p)
{
    struct wk_slot_runner *r = WK_CONTAINER(p, struct wk_slot_runner, start);
    const struct wk_cluster *c = r->cluster;

    for (uint32_t i = s->index; i < c->opt.slot_count; i += c->opt.n_shards)
        wk_slot_open(&c->slots[i]);
}

static void commit_stage(struct wk_shard *s, struct wk_hook *h)
{
    (void)s;
    wk_slot_apply_round(WK_CONTAINER(h, struct wk_slot_runner, commit));
}

static int init_runners(struct wk_cluster *c)
{
    for (uint32_t i = 0; i < c->opt.n_shards; i++) {
        struct wk_slot_runner *r = &c->runners[i];
        r->cluster = c;
        r->shard = &c->opt.shards[i];
        r->commit.run = commit_stage;
        r->start.run = runner_start;
        wk_list_init(&r->to_apply);
        if (wk_txn_new(&r->txn, c->opt.store) != WKIM_OK)
            return WKIM_ENOMEM;
    }
    return WKIM_OK;
}

/* The slot count is fixed when the data is created: a different one would hide every row. */
static int check_slot_count(struct wk_cluster *c, struct wkim_error *err)
{
    struct wk_buf b = WK_BUF_INIT;
    int rc = wk_value_get(c->opt.store, 0, WK_LIT("slot_count"), &b);

    if (rc == WKIM_OK) {
        struct wk_cursor cur = wk_cursor(wk_buf_slice(&b));
        uint32_t stored = wk_cursor_u32(&cur);
        wk_buf_fini(&b);
        if (cur.bad || stored == 0 || stored > WK_SLOT_COUNT_MAX)
            return wk_fail(err, WKIM_ECORRUPT, "stored slot count %u is not usable", stored);
        if (stored != c->opt.slot_count)
            wk_log(c->opt.log, WK_LOG_WARN, "cluster", "slot_count_ignored",
                   "text=\"config: cluster.slotCount: %u ignored, this cluster was created with "
                   "%u\"",
                   c->opt.slot_count, stored);
        c->opt.slot_count = stored;
        return WKIM_OK;
    }
    wk_buf_fini(&b);
    if (rc != WKIM_ENOTFOUND)
        return wk_fail(err, rc, "cannot read the slot count: %s", wkim_strerror(rc));
    struct wk_buf v = WK_BUF_INIT;
    wk_buf_u32(&v, c->opt.slot_count);
    struct wk_txn *txn = c->runners[0].txn;
    wk_value_put(txn, 0, WK_LIT("slot_count"), wk_buf_slice(&v));
    rc = v.oom ? wk_fail(err, WKIM_ENOMEM, "out of memory") : wk_txn_commit(txn, err);
    wk_buf_fini(&v);
    return rc == WKIM_OK ? wk_store_flush(c->opt.store, err) : rc;
}

int wk_cluster_new(struct wk_cluster **out, const struct wk_cluster_options *opt,
                   struct wkim_error *err)
{
    struct wk_cluster *c = wk_calloc(1, sizeof(*c));
    const uint64_t segment = opt->log_segment_bytes ? opt->log_segment_bytes : WK_LOG_SEGMENT_BYTES;
    struct wk_log_writer_options wo = { .log = { .segment_bytes = segment,
                                                 .cache_bytes = WK_LOG_SEGMENT_BYTES },
                                        .sync = opt->sync };

    if (!c)
        return wk_fail(err, WKIM_ENOMEM, "cluster: out of memory");
    c->opt = *opt;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    c->runners = wk_calloc(opt->n_shards, sizeof(*c->runners));
    int rc = c->runners ? init_runners(c) : WKIM_ENOMEM;
    rc = rc == WKIM_OK ? check_slot_count(c, err) : wk_fail(err, rc, "cluster: out of memory");
    if (rc == WKIM_OK) {
        c->slots = wk_calloc(c->opt.slot_count, sizeof(*c->slots));
        if (!c->slots)
            rc = wk_fail(err, WKIM_ENOMEM, "cluster: out of memory");
    }
    for (uint32_t i = 0; rc == WKIM_OK && i < c->opt.slot_count; i++) {
        c->slots[i].id = i;
        c->slots[i].cluster = c;
        c->slots[i].shard = &opt->shards[i % opt->n_shards];
        wk_list_init(&c->slots[i].batch_calls);
        wk_list_init(&c->slots[i].pending);
        wk_list_init(&c->slots[i].apply_link);
    }
    if (rc == WKIM_OK)
        rc = wk_log_writer_new(&c->writer, opt->log_fs, &wo, err);
    if (rc == WKIM_OK)
        rc = wk_maintain_start(c, err);
    if (rc != WKIM_OK) {
        wk_cluster_free(c);
        return rc;
    }
    *out = c;
    return WKIM_OK;
}

void wk_cluster_start(struct wk_cluster *c)
{
    for (uint32_t i = 0; i < c->opt.n_shards; i++)
        wk_shard_post(c->runners[i].shard, &c->runners[i].start);
}

void wk_cluster_refuse(struct wk_cluster *c)
{
    atomic_store(&c->refusing, true);
    wk_maintain_stop(c);
}

uint64_t wk_cluster_calls(const struct wk_cluster *c)
{
    return atomic_load(&c->calls);
}

static bool poll_all(struct wk_cluster *c)
{
    bool more = false;

    for (uint32_t i = 0; i < c->opt.n_shards; i++) {
        struct wk_shard *s = &c->opt.shards[i];
        more |= wk_shard_poll(s, s->now_ms, s->wall_ms) <= s->now_ms;
    }
    return more;
}

/* The threads are gone: what is still on its way to a slot must arrive while the slots exist. */
static void come_to_rest(struct wk_cluster *c)
{
    for (uint32_t i = 0; i < c->opt.n_shards; i++)
        wk_shard_own(&c->opt.shards[i]);
    for (uint32_t i = 0; i < c->opt.slot_count; i++) {
        c->slots[i].serving = false;
        c->slots[i].faulted = true;
    }
    wk_log_writer_free(c->writer); /* reports what it had in hand */
    c->writer = NULL;
    for (uint32_t i = 0; i < c->opt.slot_count; i++)
        wk_slot_fail_waiting(&c->slots[i], WKIM_ESTOPPED);
    while (poll_all(c))
        ;
}

void wk_cluster_free(struct wk_cluster *c)
{
    if (!c)
        return;
    wk_maintain_stop(c);
    if (c->slots)
        come_to_rest(c);
    for (uint32_t i = 0; c->slots && i < c->opt.slot_count; i++)
        wk_slot_fini(&c->slots[i]);
    for (uint32_t i = 0; c->runners && i < c->opt.n_shards; i++) {
        struct wk_persist *p = c->runners[i].free_persists;
        while (p) {
            struct wk_persist *next = (struct wk_persist *)(void *)p->submit.next;
            wk_free(p);
            p = next;
        }
        wk_txn_free(c->runners[i].txn);
    }
    wk_free(c->slots);
    wk_free(c->runners);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    wk_free(c);
}

uint32_t wk_cluster_slot_of(const struct wk_cluster *c, wkim_slice key)
{
    return wk_crc32_ieee(key) % c->opt.slot_count;
}

struct wk_shard *wk_cluster_shard_of(const struct wk_cluster *c, uint32_t slot)
{
    return c->slots[slot].shard;
}

uint32_t wk_cluster_slot_count(const struct wk_cluster *c)
{
    return c->opt.slot_count;
}

uint32_t wk_cluster_ready(const struct wk_cluster *c)
{
    return atomic_load(&c->ready);
}

struct wk_store *wk_cluster_store(const struct wk_cluster *c)
{
    return c->opt.store;
}

struct wk_readers *wk_cluster_readers(const struct wk_cluster *c)
{
    return c->opt.readers;
}

void wk_cluster_log_stats(struct wk_cluster *c, struct wk_log_stats *out)
{
    wk_log_writer_stats(c->writer, out);
}

void wk_cluster_count(const struct wk_cluster *c, struct wk_cluster_counters *out,
                      struct wk_log_counters *log)
{
    for (uint32_t i = 0; i < c->opt.n_shards; i++)
        wk_metric_sum(out, &c->runners[i].count, sizeof(*out));
    wk_metric_sum(log, wk_log_writer_counters(c->writer), sizeof(*log));
}

uint64_t wk_cluster_apply_gap(const struct wk_cluster *c)
{
    uint64_t most = 0;

    for (uint32_t i = 0; i < c->opt.slot_count; i++) {
        uint64_t applied = atomic_load_explicit(&c->slots[i].applied, memory_order_relaxed);
        uint64_t to = atomic_load_explicit(&c->slots[i].committed, memory_order_relaxed);
        if (to > applied && to - applied > most)
            most = to - applied;
    }
    return most;
}

struct wk_slot *wk_cluster_slot(const struct wk_cluster *c, uint32_t slot)
{
    WK_ASSERT(slot < c->opt.slot_count);
    return &c->slots[slot];
}

struct wk_slot_runner *wk_slot_runner(const struct wk_slot *s)
{
    return &s->cluster->runners[s->shard->index];
}
