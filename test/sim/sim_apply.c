/* The state machine of a group and the pull of another replica's state. */
#include "sim.h"
#include <stdlib.h>
#include "base/hash.h"

#define U(x) ((unsigned long long)(x))
#define PULL_TRIES 20

/* A client's answer: its entry was applied by the node that took it, at the place it was given. */
static void acknowledge(struct sim_node *n, uint32_t group, const struct wk_log_entry *e)
{
    struct sim_group *g = &n->groups[group];
    struct sim_registry *reg = &n->sim->reg[group];

    for (unsigned i = 0; i < 16; i++) {
        uint64_t pid;
        if (g->waits[i].pid == 0 || g->waits[i].index != e->index)
            continue;
        memcpy(&pid, e->data && e->data->n >= 8 ? e->data->p : (const uint8_t *)"\0\0\0\0\0\0\0",
               8);
        if (e->term == g->waits[i].term && pid != g->waits[i].pid)
            sim_fail(n->sim, "node %llu group %u: proposal %llu became %llu at %llu", U(n->id),
                     group, U(g->waits[i].pid), U(pid), U(e->index));
        if (e->term == g->waits[i].term) {
            reg->acked++;
            if (reg->max_acked < e->index)
                reg->max_acked = e->index;
        }
        g->waits[i].pid = 0;
    }
}

static void apply_one(struct sim_node *n, uint32_t group, const struct wk_log_entry *e)
{
    struct sim_state *st = &n->groups[group].now;
    const wkim_slice data = wk_blob_slice(e->data);
    const uint64_t v[4] = {st->hash, e->index, e->term, e->type};

    if (e->index != st->applied + 1)
        sim_fail(n->sim, "node %llu group %u: entry %llu after %llu", U(n->id), group, U(e->index),
                 U(st->applied));
    st->hash = wk_hash64(data.p, data.n, wk_hash64(v, sizeof(v), 1));
    st->applied = e->index;
    st->term = e->term;
    if (e->type == WK_RAFT_ENTRY_CONF) {
        if (wk_raft_conf_decode(&st->conf, data) != WKIM_OK)
            sim_fail(n->sim, "node %llu group %u: bad configuration", U(n->id), group);
        n->sim->conf_changes++;
    } else if (data.n > 0) {
        st->count++;
    }
    sim_check_applied(n, group, e->term, wk_hash64(&st->count, sizeof(st->count), st->hash));
    acknowledge(n, group, e);
}

/* Entries that are still queued for the log must not be read from it: what is there now may be what
 * they supersede. */
static uint64_t written_to(const struct sim_node *n, uint32_t group, uint64_t to)
{
    for (const struct sim_item *it = n->queue; it; it = it->next) {
        if (it->group == group && it->reset)
            return 0;
        if (it->group == group && it->batch.n_entries && it->batch.entries[0].index <= to)
            to = it->batch.entries[0].index - 1;
    }
    return to;
}

void sim_apply(struct sim_node *n, uint32_t group)
{
    struct sim_group *g = &n->groups[group];
    const uint64_t to = written_to(n, group, g->apply_to);
    const uint32_t epoch = n->epoch;
    struct wk_log_entry e[16];

    if (g->pull.resetting)
        return;
    while (g->now.applied < to && !n->sim->failed) {
        const wkim_ssize k =
            wk_log_entries(n->log, group, g->now.applied + 1, to + 1, 1 << 16, e, 16);
        if (k <= 0) {
            sim_fail(n->sim, "node %llu group %u cannot read %llu to apply it: %d", U(n->id), group,
                     U(g->now.applied + 1), (int)k);
            return;
        }
        for (wkim_ssize i = 0; i < k; i++) {
            if (!n->sim->failed)
                apply_one(n, group, &e[i]);
            wk_blob_unref(e[i].data);
        }
    }
    /* A pulled state may be ahead of what the core hands out: those entries are skipped. */
    const uint64_t told = g->apply_to < g->now.applied ? g->apply_to : g->now.applied;
    if (told <= g->told || n->sim->failed || n->epoch != epoch)
        return;
    g->told = told;
    const struct wk_raft_event ev = {.type = WK_RAFT_APPLIED, .u.applied = told};
    if (sim_node_step(n, group, &ev) != WKIM_OK)
        sim_fail(n->sim, "node %llu group %u: APPLIED %llu refused", U(n->id), group, U(told));
}

/* The pull's source keeps its log from the pulled index on (R12). */
static uint64_t pinned(const struct sim_node *n, uint32_t group)
{
    uint64_t low = UINT64_MAX;

    for (unsigned i = 0; i < n->sim->opt.nodes; i++) {
        const struct sim_pull *p = &n->sim->nodes[i].groups[group].pull;
        if (p->active && p->req.from == n->id && p->req.index < low)
            low = p->req.index;
    }
    return low;
}

void sim_node_flush(struct sim_node *n, uint32_t group, bool compact)
{
    struct sim_group *g = &n->groups[group];
    struct wk_log_group_state st;
    uint64_t to = g->told, pin = pinned(n, group);

    if (!g->raft || g->pull.resetting)
        return;
    g->durable = g->now;
    if (!compact || g->pull.active || to <= n->sim->mix.trail)
        return;
    to -= n->sim->mix.trail;
    if (to > pin)
        to = pin;
    if (wk_log_compact(n->log, group, to) != WKIM_OK ||
        wk_log_group_find(n->log, group, &st) != WKIM_OK) {
        sim_fail(n->sim, "node %llu group %u: compaction to %llu failed", U(n->id), group, U(to));
        return;
    }
    const struct wk_raft_event ev = {.type = WK_RAFT_COMPACTED, .u.compacted = st.first_index};
    const uint32_t epoch = n->epoch;
    sim_node_step(n, group, &ev);
    if (n->up && n->epoch == epoch)
        (void)wk_log_purge(n->log, NULL); /* a failure shows at the next append */
}

/* ---- pull ---- */

static void pull_end(struct sim_node *n, uint32_t group, bool ok)
{
    struct sim_group *g = &n->groups[group];
    struct wk_raft_event ev = {.type = WK_RAFT_SNAPSHOT_DONE};

    g->pull.active = g->pull.resetting = false;
    /* The core goes on from the position it was offered; the state may be newer already. */
    ev.u.snapshot.ok = ok;
    ev.u.snapshot.index = g->pull.req.index;
    ev.u.snapshot.term = g->pull.req.term;
    ev.u.snapshot.conf = &g->pull.req.conf;
    if (ok)
        g->apply_to = g->told = g->pull.req.index;
    sim_trace(n->sim, "n%llu g%u install %s at %llu", U(n->id), group, ok ? "done" : "failed",
              U(ev.u.snapshot.index));
    n->sim->installs += ok;
    if (sim_node_step(n, group, &ev) != WKIM_OK)
        sim_fail(n->sim, "node %llu group %u: SNAPSHOT_DONE refused", U(n->id), group);
}

/* The next chunk; the event carries the number of its install. */
static void pull_later(struct sim_node *n, uint32_t group)
{
    uint64_t *number = sim_must(malloc(sizeof(*number)));

    *number = n->groups[group].pull.number;
    sim_post(n->sim, 1 + sim_rand(n->sim, 50 * SIM_MS), SIM_PULL, (unsigned)n->id - 1, group,
             number);
}

void sim_pull_start(struct sim_node *n, uint32_t group, const struct wk_raft_snapshot_req *req)
{
    struct sim_group *g = &n->groups[group];

    if (g->pull.resetting) { /* begins when the one before is stored */
        g->pull.req = *req;
        g->pull.superseded = true;
        return;
    }
    sim_trace(n->sim, "n%llu g%u install from n%llu at %llu/%llu", U(n->id), group, U(req->from),
              U(req->index), U(req->term));
    g->pull = (struct sim_pull){.active = true,
                                .req = *req,
                                .number = g->pull.number + 1,
                                .chunks = 1 + (unsigned)sim_rand(n->sim, 6)};
    pull_later(n, group);
}

static void pull_store(struct sim_node *n, uint32_t group, const struct sim_state *from)
{
    struct sim_group *g = &n->groups[group];
    struct sim_item *it = sim_must(calloc(1, sizeof(*it)));

    /* One atomic switch of the state; a crash before the log follows is repaired at start. */
    g->now = g->durable = *from;
    g->pull.resetting = true;
    memset(g->waits, 0, sizeof(g->waits));
    sim_check_applied(n, group, from->term,
                      wk_hash64(&from->count, sizeof(from->count), from->hash));
    it->group = group;
    it->reset = true;
    it->reset_index = g->pull.req.index;
    it->reset_term = g->pull.req.term;
    sim_submit(n, it);
}

void sim_pull_step(struct sim_node *n, uint32_t group, uint64_t number)
{
    struct sim *s = n->sim;
    struct sim_group *g = &n->groups[group];
    struct sim_node *src = g->pull.req.from ? &s->nodes[g->pull.req.from - 1] : NULL;

    if (!g->pull.active || g->pull.resetting || g->pull.number != number || !g->raft || !src)
        return;
    const struct sim_state *from = &src->groups[group].now;
    const bool reachable = src->up && src->groups[group].raft &&
                           from->applied >= g->pull.req.index &&
                           src->clock.stopped_until <= s->now &&
                           sim_net_open(&s->net, (unsigned)n->id - 1, (unsigned)src->id - 1);
    if (reachable && --g->pull.chunks == 0) {
        /* What was pulled before may be newer than the source's state.  Then only the log takes
         * the offered position: a refusal would be repeated for ever where the leader cannot
         * commit, and so not apply, without this replica. */
        const struct sim_state own = g->now;
        pull_store(n, group, from->applied < own.applied ? &own : from);
        return;
    }
    if (!reachable && ++g->pull.tries > PULL_TRIES) {
        pull_end(n, group, false);
        return;
    }
    pull_later(n, group);
}

void sim_pull_done(struct sim_node *n, uint32_t group)
{
    const struct wk_raft_snapshot_req next = n->groups[group].pull.req;

    if (!n->groups[group].pull.superseded) {
        pull_end(n, group, true);
        return;
    }
    n->groups[group].pull.resetting = n->groups[group].pull.superseded = false;
    sim_pull_start(n, group, &next);
}
