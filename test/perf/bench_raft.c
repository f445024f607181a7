/* Time and allocations per entry of the core alone: PROPOSE, ready, PERSISTED, APPLIED on a single
 * voter, with ready-made blobs.  usage: bench_raft [ENTRIES] */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/mem.h"
#include "raft/raft.h"

static uint64_t last_term, last_index;

static int log_term(void *user, uint64_t index, uint64_t *term)
{
    (void)user;
    *term = index ? last_term : 0;
    return index <= last_index ? WKIM_OK : WKIM_ENOTFOUND;
}

static wkim_ssize log_entries(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                              struct wk_raft_entry *out, uint32_t out_max)
{
    (void)user, (void)lo, (void)hi, (void)bytes_max, (void)out, (void)out_max;
    return WKIM_ENOTFOUND; /* a single voter sends nothing */
}

static void step(struct wk_raft *r, const struct wk_raft_event *ev)
{
    const int rc = wk_raft_step(r, ev);
    if (rc != WKIM_OK) {
        fprintf(stderr, "event %d: %s\n", ev->type, wkim_err_name(rc));
        exit(1);
    }
}

static void settle(struct wk_raft *r)
{
    struct wk_raft_ready rd;
    while (wk_raft_has_ready(r)) {
        if (wk_raft_ready(r, &rd) != WKIM_OK)
            exit(1);
        if (rd.must_persist) {
            struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED, .u.persisted.ready = rd.number };
            if (rd.n_entries) {
                ev.u.persisted.term = last_term = rd.entries[rd.n_entries - 1].term;
                ev.u.persisted.index = last_index = rd.entries[rd.n_entries - 1].index;
            }
            step(r, &ev);
        }
        if (rd.apply_to) {
            const struct wk_raft_event ev = { .type = WK_RAFT_APPLIED, .u.applied = rd.apply_to };
            step(r, &ev);
        }
    }
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run(uint32_t batch, uint64_t entries)
{
    struct wk_raft *r = NULL;
    struct wk_raft_options o = { .id = 1, .seed = 1, .election_ticks = 10, .heartbeat_ticks = 1,
                                 .inflight_msgs_max = 256, .inflight_bytes_max = 1 << 24,
                                 .msg_bytes_max = 1 << 20, .uncommitted_bytes_max = 1 << 26,
                                 .apply_bytes_max = 1 << 22, .first_index = 1,
                                 .reader = { log_term, log_entries, NULL },
                                 .conf = { .voters = { 1 }, .n_voters = 1 } };
    struct wk_blob *blobs[16];
    last_term = last_index = 0;
    if (wk_raft_new(&r, &o, NULL) != WKIM_OK)
        exit(1);
    step(r, &(struct wk_raft_event){ .type = WK_RAFT_CAMPAIGN });
    settle(r);
    for (uint32_t i = 0; i < 16; i++)
        blobs[i] = wk_blob_new(256);
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    ev.u.propose.blobs = blobs;
    ev.u.propose.n = batch;
    const double t0 = now_ns();
    for (uint64_t i = 0; i < entries; i += batch) {
        step(r, &ev);
        settle(r);
    }
    const double t = now_ns() - t0;
    struct wk_raft_status st;
    wk_raft_status(r, &st);
    printf("single voter, batch %2u: %6.1f ns per entry (%llu applied)\n", batch,
           t / (double)entries, (unsigned long long)st.applied);
    wk_raft_free(r);
    for (uint32_t i = 0; i < 16; i++)
        wk_blob_unref(blobs[i]);
}

int main(int argc, char **argv)
{
    const uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1600000;
    run(1, n);
    run(16, n);
    return 0;
}
