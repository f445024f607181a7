/* Named scenarios: what went wrong elsewhere, written down as fixed runs of the simulator. */
#include "sim.h"
#include <stdio.h>
#include <stdlib.h>

#define U(x) ((unsigned long long)(x))

static struct sim *quiet_sim(unsigned nodes, unsigned groups, uint64_t sync_us)
{
    const struct sim_options opt = { .seed = 42, .nodes = nodes, .groups = groups };
    const struct sim_mix mix = { .fault_us = SIM_S, .client_us = 10 * SIM_MS,
                                 .segment_bytes = 65536, .cache_bytes = 65536, .msg_bytes = 4096,
                                 .inflight = 8, .trail = 20, .payload_max = 200, .voters = nodes };
    struct sim *s = sim_new(&opt, &mix);

    s->net.delay_us = s->net.jitter_us = 300;
    for (unsigned i = 0; i < nodes; i++)
        s->nodes[i].sync_us = sync_us;
    return s;
}

static unsigned led(struct sim *s)
{
    unsigned n = 0;

    for (uint32_t g = 0; g < s->opt.groups; g++)
        n += sim_leader(s, g) != NULL;
    return n;
}

/* Term and vote of all groups share one sync: a restart on a slow disk must not become an election
 * storm. */
static bool sixty_four_groups_restart_on_slow_disk(struct sim *s)
{
    sim_run_for(s, 4 * SIM_S);
    if (led(s) != 64)
        sim_fail(s, "only %u of 64 groups have a leader at first", led(s));
    for (unsigned i = 0; i < 3; i++)
        sim_node_stop(&s->nodes[i], true, SIM_CUT_LOSE);
    for (unsigned i = 0; i < 3; i++) {
        s->nodes[i].sync_us = 5 * SIM_MS;
        sim_node_start(&s->nodes[i]);
    }
    const uint64_t elections = s->elections;
    sim_run_for(s, 3 * SIM_S);
    if (led(s) != 64)
        sim_fail(s, "only %u of 64 groups have a leader 3 s after the restart", led(s));
    if (s->elections - elections > 64 * 3)
        sim_fail(s, "election storm: %llu elections for 64 groups", U(s->elections - elections));
    return sim_finish(s);
}

static void grow(struct sim *s, unsigned entries)
{
    for (unsigned i = 0; i < entries && !s->failed; i++) {
        sim_propose(s, 0, 100);
        if (i % 20 == 0)
            sim_run_for(s, 20 * SIM_MS);
    }
}

/* The leader's log keeps growing, and is compacted, while a replica pulls the state. */
static bool reseed_with_log_growth(struct sim *s)
{
    sim_run_for(s, 2 * SIM_S);
    struct sim_node *l = sim_leader(s, 0);
    if (!l)
        return false;
    struct sim_node *down = &s->nodes[l->id % 3];
    sim_node_stop(down, true, SIM_CUT_TEAR);
    grow(s, 600);
    sim_node_flush(l, 0, true);
    const uint64_t installs = s->installs;
    sim_node_start(down);
    for (int i = 0; i < 50; i++) {
        grow(s, 20);
        if (sim_leader(s, 0))
            sim_node_flush(sim_leader(s, 0), 0, true);
        sim_run_for(s, 40 * SIM_MS);
    }
    if (s->installs == installs)
        sim_fail(s, "the replica was never seeded");
    if (s->installs > installs + 3)
        sim_fail(s, "endless re-seed: %llu installs", U(s->installs - installs));
    return sim_finish(s);
}

/* The replica dies again and again in the middle of the pull. */
static bool restart_mid_reseed(struct sim *s)
{
    sim_run_for(s, 2 * SIM_S);
    struct sim_node *l = sim_leader(s, 0);
    if (!l)
        return false;
    struct sim_node *down = &s->nodes[l->id % 3];
    sim_node_stop(down, true, SIM_CUT_LOSE);
    grow(s, 600);
    sim_node_flush(l, 0, true);
    unsigned interrupted = 0;
    for (unsigned i = 0; i < 12 && !s->failed; i++) {
        sim_node_start(down);
        for (unsigned k = 0; k < 400 && !down->groups[0].pull.active && !s->failed; k++)
            sim_run_for(s, 5 * SIM_MS);
        sim_run_for(s, i * 10 * SIM_MS);
        interrupted += down->groups[0].pull.active;
        sim_node_stop(down, i % 2, i % 4 == 1 ? SIM_CUT_TEAR : SIM_CUT_LOSE);
        grow(s, 20);
    }
    if (interrupted == 0)
        sim_fail(s, "no pull was interrupted");
    return sim_finish(s);
}

static const struct {
    const char *name;
    unsigned nodes, groups;
    uint64_t sync_us;
    bool (*run)(struct sim *s);
} scenarios[] = {
    { "sixty_four_groups_restart_on_slow_disk", 3, 64, 5 * SIM_MS,
      sixty_four_groups_restart_on_slow_disk },
    { "reseed_with_log_growth", 3, 1, 500, reseed_with_log_growth },
    { "restart_mid_reseed", 3, 1, 500, restart_mid_reseed },
};

int sim_scenarios(const char *only)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++) {
        if (only && strcmp(only, "all") != 0 && strcmp(only, scenarios[i].name) != 0)
            continue;
        struct sim *s = quiet_sim(scenarios[i].nodes, scenarios[i].groups, scenarios[i].sync_us);
        s->quiet = true;
        const bool ok = scenarios[i].run(s) && !s->failed;
        printf("%s %s%s%s\n", ok ? "ok    " : "FAILED", scenarios[i].name, s->failed ? ": " : "",
               s->failed ? s->why : "");
        failed += !ok;
        sim_free(s);
    }
    return failed;
}
