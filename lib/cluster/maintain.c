/* Keeps the redo log short: flush the store, then let the log forget what the flush covers. */
#include "cluster/internal.h"
#include <errno.h>
#include <stdlib.h>
#include "base/clock.h"
#include "base/mem.h"
#include "cluster/cluster.h"

#define MAINTAIN_PERIOD_MS 1000

/* The core forgets the indexes of compacted entries on its own shard. */
struct compacted {
    struct wk_post post;
    struct wk_slot *slot;
    uint64_t first;
};

static void tell_core(struct wk_shard *sh, struct wk_post *p)
{
    struct compacted *c = WK_CONTAINER(p, struct compacted, post);
    struct wk_raft_event ev = { .type = WK_RAFT_COMPACTED };
    (void)sh;

    ev.u.compacted = c->first;
    if (c->slot->raft && !c->slot->faulted) {
        int rc = wk_raft_step(c->slot->raft, &ev);
        if (rc != WKIM_OK)
            wk_slot_fault(c->slot, rc, "compaction");
    }
    wk_free(c);
}

static void flush_and_forget(struct wk_cluster *c, uint64_t *applied)
{
    struct wkim_error err = { 0 };

    for (uint32_t i = 0; i < c->opt.slot_count; i++)
        applied[i] = atomic_load_explicit(&c->slots[i].applied, memory_order_acquire);
    int rc = wk_store_flush(c->opt.store, &err);
    if (rc != WKIM_OK) {
        wk_log(c->opt.log, WK_LOG_ERROR, "cluster", "flush_failed", "code=%s reason=\"%s\"",
               wkim_err_name(rc), err.text);
        return;
    }
    for (uint32_t i = 0; i < c->opt.slot_count; i++) {
        /* One entry stays, so that the log still knows the last term. */
        if (applied[i] < 2)
            continue;
        struct compacted *m = wk_calloc(1, sizeof(*m));
        if (!m)
            return;
        wk_log_writer_compact(c->writer, i, applied[i] - 1);
        *m = (struct compacted){ .slot = &c->slots[i], .first = applied[i] };
        m->post.run = tell_core;
        wk_shard_post(c->slots[i].shard, &m->post);
    }
}

static void *maintain(void *arg)
{
    struct wk_cluster *c = arg;
    uint64_t *applied = wk_calloc(c->opt.slot_count, sizeof(*applied));
    uint64_t flushed_at = 0;
    struct timespec until;

    pthread_mutex_lock(&c->lock);
    while (!c->stop && applied) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += MAINTAIN_PERIOD_MS / 1000;
        pthread_cond_timedwait(&c->wake, &c->lock, &until);
        if (c->stop)
            break;
        pthread_mutex_unlock(&c->lock);
        struct wk_log_stats st;
        wk_log_writer_stats(c->writer, &st);
        if (st.bytes_written - flushed_at >= c->opt.log_bytes_max) {
            flush_and_forget(c, applied);
            flushed_at = st.bytes_written;
        }
        int rc = wk_log_writer_prepare(c->writer);
        if (rc != WKIM_OK && rc != WKIM_ENOTFOUND)
            wk_log(c->opt.log, WK_LOG_WARN, "cluster", "log_prepare_failed",
                   "code=%s text=\"log syncs stay slower until segments can be reused\"",
                   wkim_err_name(rc));
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    wk_free(applied);
    return NULL;
}

int wk_maintain_start(struct wk_cluster *c, struct wkim_error *err)
{
    int rc = pthread_create(&c->maintainer, NULL, maintain, c);

    if (rc != 0)
        return wk_fail(err, WKIM_EAGAIN, "maintenance thread: %s", strerror(rc));
    c->running = true;
    pthread_setname_np(c->maintainer, "wk-maintain");
    return WKIM_OK;
}

void wk_maintain_stop(struct wk_cluster *c)
{
    if (!c->running)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->maintainer, NULL);
    c->running = false;
}
