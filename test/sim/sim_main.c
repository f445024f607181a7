/* sim --seed S [--seeds N] [--nodes 3..7] [--groups 1..64] [--steps N] [--twice] [--trace]
 * sim --scenario NAME|all
 * One line per failing seed; a single seed prints its state hash.  --twice runs every seed two
 * times and compares the hashes. */
#include "sim.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define U(x) ((unsigned long long)(x))

static volatile uint64_t running; /* seed under way */

/* A broken assertion ends the process: the seed must be known. */
static void on_abort(int sig)
{
    (void)sig;
    fprintf(stderr, "FAILED seed %llu: aborted\n", U(running));
}

struct totals {
    uint64_t elections, installs, crashes, restarts, damaged, reads, conf_changes, transfers, acked;
};

static uint64_t state_hash(const struct sim *s)
{
    uint64_t h = s->hash;

    for (unsigned i = 0; i < s->opt.nodes; i++) {
        h = h * 31 + sim_disk_hash(s->nodes[i].disk);
        for (uint32_t g = 0; g < s->opt.groups; g++)
            h = h * 31 + s->nodes[i].groups[g].now.hash;
    }
    return h;
}

static bool run_seed(const struct sim_options *base, uint64_t seed, uint64_t *hash,
                     struct totals *t)
{
    struct sim_options opt = *base;
    struct sim_mix mix;

    running = opt.seed = seed;
    sim_mix_draw(&mix, &opt);
    struct sim *s = sim_new(&opt, &mix);
    while (s->steps < opt.steps && sim_step(s))
        ;
    const bool ok = !s->failed && sim_finish(s);
    if (!ok)
        printf("FAILED seed %llu (%u nodes, %u groups, step %llu, %.3f s): %s\n", U(seed),
               opt.nodes, opt.groups, U(s->steps), (double)s->now / 1e6, s->why);
    *hash = state_hash(s);
    t->elections += s->elections;
    t->installs += s->installs;
    t->crashes += s->crashes;
    t->restarts += s->restarts;
    t->damaged += s->damaged;
    t->reads += s->reads;
    t->conf_changes += s->conf_changes;
    t->transfers += s->transfers;
    for (uint32_t g = 0; g < opt.groups; g++)
        t->acked += s->reg[g].acked;
    sim_free(s);
    return ok;
}

static int run_seeds(const struct sim_options *opt, uint64_t seeds, bool twice)
{
    struct totals t = {0};
    uint64_t failed = 0, hash = 0, again = 0;
    const uint64_t t0 = wk_now_us();

    for (uint64_t i = 0; i < seeds; i++) {
        struct totals ignored = {0};
        bool ok = run_seed(opt, opt->seed + i, &hash, &t);
        if (twice && run_seed(opt, opt->seed + i, &again, &ignored) == ok && again != hash) {
            printf("FAILED seed %llu: not deterministic, %016llx and %016llx\n", U(opt->seed + i),
                   U(hash), U(again));
            ok = false;
        }
        failed += !ok;
        fflush(stdout);
    }
    if (seeds == 1)
        printf("seed %llu state hash %016llx\n", U(opt->seed), U(hash));
    const double s = (double)(wk_now_us() - t0) / 1e6;
    printf(
        "%llu seeds, %llu failed, %.1f seeds/s; elections %llu crashes %llu restarts %llu installs "
        "%llu damaged groups %llu reads %llu configurations applied %llu transfers %llu "
        "acknowledged %llu\n",
        U(seeds), U(failed), (double)seeds / s, U(t.elections), U(t.crashes), U(t.restarts),
        U(t.installs), U(t.damaged), U(t.reads), U(t.conf_changes), U(t.transfers), U(t.acked));
    printf("%llu passed, %llu failed\n", U(seeds - failed), U(failed)); /* for test/suites.sh */
    return failed != 0;
}

int main(int argc, char **argv)
{
    struct sim_options opt = {.seed = 1, .steps = 10000};
    uint64_t seeds = 1;
    bool twice = false;

    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i], *v = i + 1 < argc ? argv[i + 1] : "0";
        const uint64_t n = strtoull(v, NULL, 0);
        i++;
        if (strcmp(a, "--seed") == 0)
            opt.seed = n;
        else if (strcmp(a, "--seeds") == 0)
            seeds = n;
        else if (strcmp(a, "--nodes") == 0 && n >= 3 && n <= SIM_NODES_MAX)
            opt.nodes = (unsigned)n;
        else if (strcmp(a, "--groups") == 0 && n >= 1 && n <= SIM_GROUPS_MAX)
            opt.groups = (unsigned)n;
        else if (strcmp(a, "--steps") == 0)
            opt.steps = n;
        else if (strcmp(a, "--scenario") == 0)
            return sim_scenarios(v) != 0;
        else if (strcmp(a, "--twice") == 0 || strcmp(a, "--trace") == 0) {
            i--;
            twice = twice || a[3] == 'w';
            opt.trace = opt.trace || a[4] == 'a';
        } else {
            fprintf(stderr, "usage: sim [--seed S] [--seeds N] [--nodes 3..7] [--groups 1..64] "
                            "[--steps N] [--twice] [--trace] | --scenario NAME|all\n");
            return 2;
        }
    }
    return run_seeds(&opt, seeds, twice);
}
