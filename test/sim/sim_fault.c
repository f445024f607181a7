/* The nemesis: each call does one of the faults the seed's mix allows. */
#include "sim.h"
#include <stdio.h>
#include <stdlib.h>

#define U(x) ((unsigned long long)(x))

enum fault_kind {
    FAULT_KILL,
    FAULT_POWER,
    FAULT_POWER_ALL,
    FAULT_STOP, /* like SIGSTOP */
    FAULT_SPLIT,
    FAULT_SWIZZLE,
    FAULT_LOSS,
    FAULT_DRIFT,
    FAULT_JUMP, /* many ticks at once */
    FAULT_SLOW_DISK,
    FAULT_SYNC,
    FAULT_SPACE,
    FAULT_FLIP,
    FAULT_TRANSFER,
    FAULT_CONF,
    FAULT_CAMPAIGN,
    FAULT_KINDS
};

static void restart_later(struct sim *s, struct sim_node *n)
{
    sim_post(s, sim_rand(s, 4 * SIM_S) + 1, SIM_RESTART, (unsigned)n->id - 1, 0, NULL);
}

static void power(struct sim *s, struct sim_node *n)
{
    sim_node_stop(n, true, (enum sim_cut)sim_rand(s, 3));
    restart_later(s, n);
}

/* One bit in a segment that is not the newest: all of it had been synced, so it must be noticed.
 * Only one node of a run, so that a repairable majority remains. */
static void flip(struct sim *s, struct sim_node *n)
{
    const char *pick = NULL, *newest = NULL, *name;
    uint64_t size = 0, pick_size = 0;

    for (unsigned i = 0; i < s->opt.nodes; i++) {
        if (s->nodes[i].may_be_damaged && &s->nodes[i] != n)
            return;
    }
    if (s->mix.voters < 3)
        return;
    for (size_t i = 0; (name = sim_disk_name(n->disk, i, &size)) != NULL; i++) {
        if (strstr(name, ".seg") && (!newest || strcmp(name, newest) > 0))
            newest = name;
    }
    for (size_t i = 0; (name = sim_disk_name(n->disk, i, &size)) != NULL; i++) {
        if (strstr(name, ".seg") && strcmp(name, newest) < 0 && (!pick || sim_rand(s, 2))) {
            pick = name;
            pick_size = size;
        }
    }
    if (!pick)
        return;
    sim_node_stop(n, true, SIM_CUT_LOSE);
    restart_later(s, n);
    n->may_be_damaged =
        sim_disk_flip(n->disk, pick, sim_rand(s, pick_size), (unsigned)sim_rand(s, 8)) ||
        n->may_be_damaged;
}

static void transfer(struct sim *s, uint32_t group)
{
    struct sim_node *n = sim_leader(s, group);
    const struct wk_raft_event ev = {.type = WK_RAFT_TRANSFER,
                                     .u.transfer = sim_rand(s, s->opt.nodes + 1)};

    if (n && sim_node_step(n, group, &ev) == WKIM_OK)
        s->transfers++;
}

static void list_drop(uint64_t *list, uint8_t *n, uint64_t id)
{
    uint8_t k = 0;

    for (uint8_t i = 0; i < *n; i++) {
        if (list[i] != id)
            list[k++] = list[i];
    }
    *n = k;
}

static bool list_has(const uint64_t *list, uint8_t n, uint64_t id)
{
    for (uint8_t i = 0; i < n; i++) {
        if (list[i] == id)
            return true;
    }
    return false;
}

/* One peer comes, goes, or changes its role. */
static void conf_change(struct sim *s, uint32_t group)
{
    struct sim_node *n = sim_leader(s, group);
    const uint64_t id = sim_rand(s, s->opt.nodes) + 1;
    struct wk_raft_status st;

    if (!n)
        return;
    wk_raft_status(n->groups[group].raft, &st);
    struct wk_raft_conf c = st.conf;
    const bool voter = list_has(c.voters, c.n_voters, id);
    const bool learner = list_has(c.learners, c.n_learners, id);
    if (voter && c.n_voters <= 2)
        return;
    list_drop(c.voters, &c.n_voters, id);
    list_drop(c.learners, &c.n_learners, id);
    if (learner || (!voter && sim_rand(s, 2)))
        c.voters[c.n_voters++] = id;
    else if (!voter)
        c.learners[c.n_learners++] = id;
    const struct wk_raft_event ev = {.type = WK_RAFT_PROPOSE_CONF, .u.conf = &c};
    sim_node_step(n, group, &ev);
}

static void fault_node(struct sim *s, enum fault_kind kind, struct sim_node *n)
{
    if (!n->up)
        return;
    if (kind == FAULT_KILL) {
        sim_node_stop(n, false, SIM_CUT_KEEP);
        restart_later(s, n);
    } else if (kind == FAULT_POWER) {
        power(s, n);
    } else if (kind == FAULT_STOP) {
        n->clock.stopped_until = s->now + 100 * SIM_MS + sim_rand(s, 5 * SIM_S);
    } else if (kind == FAULT_DRIFT) {
        sim_clock_drift(&n->clock, &s->rng);
    } else if (kind == FAULT_JUMP) {
        n->clock.burst = (uint32_t)sim_rand(s, SIM_ELECTION_TICKS * 3);
    } else if (kind == FAULT_SLOW_DISK) {
        n->sync_us = 100 + sim_rand(s, sim_rand(s, 4) ? 10 * SIM_MS : 300 * SIM_MS);
    } else if (kind == FAULT_SYNC) {
        sim_disk_fail_syncs(n->disk, 1);
    } else if (kind == FAULT_SPACE) {
        sim_disk_space(n->disk, sim_rand(s, 20000));
    } else if (kind == FAULT_FLIP) {
        flip(s, n);
    }
}

static void fault_cluster(struct sim *s, enum fault_kind kind, struct sim_node *n, uint32_t group)
{
    const struct wk_raft_event campaign = {.type = WK_RAFT_CAMPAIGN};

    if (kind == FAULT_POWER_ALL && sim_rand(s, 4) == 0) {
        for (unsigned i = 0; i < s->opt.nodes; i++) {
            if (s->nodes[i].up)
                power(s, &s->nodes[i]);
        }
    } else if (kind == FAULT_SPLIT) {
        sim_net_split(&s->net, &s->rng, (enum sim_split)sim_rand(s, 5),
                      (unsigned)sim_rand(s, s->opt.nodes));
    } else if (kind == FAULT_SWIZZLE) {
        sim_net_swizzle(&s->net, &s->rng, s->now, 3 * SIM_S);
    } else if (kind == FAULT_LOSS) {
        s->net.loss = (uint32_t)sim_rand(s, 200);
        s->net.repeat = (uint32_t)sim_rand(s, 200);
        s->net.jitter_us = 50 + sim_rand(s, sim_rand(s, 3) ? 5 * SIM_MS : 200 * SIM_MS);
    } else if (kind == FAULT_TRANSFER) {
        transfer(s, group);
    } else if (kind == FAULT_CONF && !(s->mix.faults >> FAULT_FLIP & 1)) {
        conf_change(s, group);
    } else if (kind == FAULT_CAMPAIGN && n->up) {
        sim_node_step(n, group, &campaign);
    }
}

void sim_fault(struct sim *s)
{
    const enum fault_kind kind = (enum fault_kind)sim_rand(s, FAULT_KINDS);
    struct sim_node *n = &s->nodes[sim_rand(s, s->opt.nodes)];
    const uint32_t group = (uint32_t)sim_rand(s, s->opt.groups);

    if (sim_rand(s, 4) == 0) /* splits do not last */
        sim_net_heal(&s->net);
    if (!(s->mix.faults >> kind & 1))
        return;
    sim_trace(s, "fault %d at n%llu g%u", (int)kind, U(n->id), group);
    fault_node(s, kind, n);
    fault_cluster(s, kind, n, group);
}

void sim_heal(struct sim *s)
{
    sim_trace(s, "healed");
    sim_net_heal(&s->net);
    s->net.loss = s->net.repeat = 0;
    s->net.delay_us = s->net.jitter_us = 500;
    for (unsigned i = 0; i < s->opt.nodes; i++) {
        struct sim_node *n = &s->nodes[i];
        sim_disk_fail_syncs(n->disk, 0);
        sim_disk_space(n->disk, UINT64_MAX);
        sim_clock_init(&n->clock);
        n->sync_us = 500;
        if (!n->up)
            sim_node_start(n);
    }
}
