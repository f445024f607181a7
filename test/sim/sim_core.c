/* The event heap, the randomness, the mix of a seed, the end of a run. */
#include "sim.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"

void *sim_must(void *p)
{
    if (!p)
        abort();
    return p;
}

uint64_t sim_rand(struct sim *s, uint64_t n)
{
    return wk_rng_below(&s->rng, n);
}

void sim_note(struct sim *s, uint64_t a, uint64_t b, uint64_t c)
{
    const uint64_t v[4] = {s->now, a, b, c};

    s->hash = wk_hash64(v, sizeof(v), s->hash);
}

void sim_trace(const struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (!s->opt.trace)
        return;
    printf("%10.3f ", (double)s->now / 1000);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    va_list ap;

    if (s->failed)
        return;
    s->failed = true;
    va_start(ap, fmt);
    vsnprintf(s->why, sizeof(s->why), fmt, ap);
    va_end(ap);
    sim_trace(s, "FAILED %s", s->why);
}

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at < b->at || (a->at == b->at && a->seq < b->seq);
}

static void heap_push(struct sim *s, const struct sim_event *e)
{
    if (s->n_heap == s->heap_cap) {
        s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 256;
        s->heap = sim_must(realloc(s->heap, s->heap_cap * sizeof(*s->heap)));
    }
    size_t i = s->n_heap++;
    for (; i > 0 && earlier(e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2)
        s->heap[i] = s->heap[(i - 1) / 2];
    s->heap[i] = *e;
}

static struct sim_event heap_pop(struct sim *s)
{
    const struct sim_event top = s->heap[0], last = s->heap[--s->n_heap];
    size_t i = 0;

    for (;;) {
        size_t k = i * 2 + 1;
        if (k >= s->n_heap)
            break;
        if (k + 1 < s->n_heap && earlier(&s->heap[k + 1], &s->heap[k]))
            k++;
        if (!earlier(&s->heap[k], &last))
            break;
        s->heap[i] = s->heap[k];
        i = k;
    }
    if (s->n_heap > 0)
        s->heap[i] = last;
    return top;
}

void sim_post(struct sim *s, uint64_t after_us, uint8_t kind, unsigned node, uint32_t group,
              void *data)
{
    const struct sim_event e = {.at = s->now + after_us,
                                .seq = s->next_seq++,
                                .kind = kind,
                                .node = (uint8_t)node,
                                .epoch = s->nodes[node].epoch,
                                .group = group,
                                .data = data};
    heap_push(s, &e);
}

static void drop(struct sim_event *e)
{
    free(e->data);
}

static void client(struct sim *s)
{
    const uint32_t g = (uint32_t)sim_rand(s, s->opt.groups);
    struct sim_node *n = &s->nodes[sim_rand(s, s->opt.nodes)];

    if (n->up && n->clock.stopped_until <= s->now && sim_rand(s, 3) == 0)
        sim_node_flush(n, g, sim_rand(s, 2));
    if (!s->no_client) {
        for (uint64_t k = sim_rand(s, 4) + 1; k > 0; k--)
            sim_propose(s, g, (unsigned)sim_rand(s, s->mix.payload_max) + 16);
        if (sim_rand(s, 4) == 0 && n->up && n->clock.stopped_until <= s->now && n->groups[g].raft) {
            struct sim_group *gr = &n->groups[g];
            struct sim_read *r = &gr->reads[gr->n_reads++ % 8];
            *r = (struct sim_read){++s->next_tag, s->reg[g].max_acked};
            const struct wk_raft_event ev = {.type = WK_RAFT_READ_INDEX, .u.read = r->tag};
            sim_node_step(n, g, &ev);
        }
    }
    sim_post(s, sim_rand(s, s->mix.client_us * 2) + 1, SIM_CLIENT, 0, 0, NULL);
}

bool sim_step(struct sim *s)
{
    struct sim_event e = heap_pop(s);
    struct sim_node *n = &s->nodes[e.node];

    s->now = e.at;
    s->steps++;
    if (e.kind == SIM_CLIENT) {
        client(s);
    } else if (e.kind == SIM_FAULT) {
        if (!s->quiet) {
            sim_fault(s);
            sim_post(s, sim_rand(s, s->mix.fault_us * 2) + 1, SIM_FAULT, 0, 0, NULL);
        }
    } else if (e.kind == SIM_RESTART) {
        if (!n->up)
            sim_node_start(n);
    } else if (!n->up || (e.kind != SIM_DELIVER && e.epoch != n->epoch)) {
        drop(&e);
    } else if (n->clock.stopped_until > s->now) { /* a stopped process finds its events later */
        e.at = n->clock.stopped_until;
        e.seq = s->next_seq++;
        heap_push(s, &e);
    } else {
        sim_node_event(n, &e);
    }
    return !s->failed;
}

void sim_run_for(struct sim *s, uint64_t us)
{
    const uint64_t until = s->now + us;

    while (!s->failed && s->n_heap > 0 && s->heap[0].at <= until)
        sim_step(s);
    if (s->now < until)
        s->now = until;
}

void sim_mix_draw(struct sim_mix *m, struct sim_options *opt)
{
    struct wk_rng r;

    wk_rng_seed(&r, opt->seed ^ 0x5eed);
    if (opt->nodes == 0)
        opt->nodes = 3 + (unsigned)wk_rng_below(&r, 5);
    if (opt->groups == 0)
        opt->groups = wk_rng_below(&r, 16) == 0 ? 1 + (unsigned)wk_rng_below(&r, 64)
                                                : 1 + (unsigned)wk_rng_below(&r, 4);
    *m = (struct sim_mix){
        .faults = (uint32_t)wk_rng_next(&r),
        .fault_us = (5 + wk_rng_below(&r, 300)) * SIM_MS,
        .client_us = (5 + wk_rng_below(&r, 60)) * SIM_MS,
        .segment_bytes = 8192u << wk_rng_below(&r, 5),
        .cache_bytes = wk_rng_below(&r, 3) == 0 ? 0 : 4096u << wk_rng_below(&r, 6),
        .msg_bytes = 200u << wk_rng_below(&r, 8),
        .inflight = 1 + wk_rng_below(&r, 16),
        .trail = wk_rng_below(&r, 60),
        .payload_max = 16u << wk_rng_below(&r, 7),
        .eagain = wk_rng_below(&r, 3) == 0 ? 2 + (uint32_t)wk_rng_below(&r, 30) : 0,
    };
    m->voters = opt->nodes <= 3 || wk_rng_below(&r, 2)
                    ? opt->nodes
                    : 3 + (unsigned)wk_rng_below(&r, opt->nodes - 2);
    if (wk_rng_below(&r, 10) == 0)
        m->faults = 0;
}

struct sim *sim_new(const struct sim_options *opt, const struct sim_mix *mix)
{
    struct sim *s = sim_must(calloc(1, sizeof(*s)));

    s->opt = *opt;
    s->mix = *mix;
    s->hash = opt->seed;
    wk_rng_seed(&s->rng, opt->seed);
    sim_net_init(&s->net, opt->nodes);
    s->net.delay_us = 50 + sim_rand(s, 3000);
    s->net.jitter_us = 50 + sim_rand(s, 5000);
    s->reg = sim_must(calloc(opt->groups, sizeof(*s->reg)));
    for (unsigned i = 0; i < opt->nodes; i++) {
        struct sim_node *n = &s->nodes[i];
        n->sim = s;
        n->id = i + 1;
        n->disk = sim_disk_new(opt->seed * 31 + i);
        n->fs = sim_disk_fs(n->disk);
        n->sync_us = 100 + sim_rand(s, 5000);
        n->queue_end = &n->queue;
        n->groups = sim_must(calloc(opt->groups, sizeof(*n->groups)));
        for (uint32_t g = 0; g < opt->groups; g++) {
            struct wk_raft_conf *c = &n->groups[g].durable.conf;
            for (unsigned k = 0; k < mix->voters; k++)
                c->voters[c->n_voters++] = (g + k) % opt->nodes + 1;
        }
        sim_clock_init(&n->clock);
        sim_node_start(n);
    }
    sim_post(s, SIM_S / 2, SIM_FAULT, 0, 0, NULL);
    sim_post(s, 1, SIM_CLIENT, 0, 0, NULL);
    return s;
}

void sim_free(struct sim *s)
{
    for (unsigned i = 0; i < s->opt.nodes; i++)
        sim_node_free(&s->nodes[i]);
    for (size_t i = 0; i < s->n_heap; i++)
        drop(&s->heap[i]);
    sim_check_free(s);
    free(s->reg);
    free(s->heap);
    free(s);
}

static bool caught_up(struct sim *s, uint32_t g, uint64_t goal)
{
    const struct sim_node *l = sim_leader(s, g);

    if (!l || s->reg[g].max_applied < goal)
        return false;
    for (unsigned i = 0; i < s->opt.nodes; i++) {
        const struct sim_group *gr = &s->nodes[i].groups[g];
        const struct wk_raft_conf *c = &l->groups[g].now.conf;
        bool in = false;
        for (unsigned k = 0; k < c->n_voters; k++)
            in = in || c->voters[k] == s->nodes[i].id;
        for (unsigned k = 0; k < c->n_learners; k++)
            in = in || c->learners[k] == s->nodes[i].id;
        if (in && gr->raft && gr->now.applied < goal)
            return false;
    }
    return true;
}

/* A fresh proposal must be applied by every living replica; what was acknowledged is below it. */
bool sim_finish(struct sim *s)
{
    uint64_t goal[SIM_GROUPS_MAX] = {0};

    s->quiet = true;
    sim_heal(s);
    sim_run_for(s, 2 * SIM_S);
    s->no_client = true;
    for (int round = 0; round < 80 && !s->failed; round++) {
        unsigned missing = 0;
        for (uint32_t g = 0; g < s->opt.groups; g++) {
            if (goal[g] == 0 && sim_propose(s, g, 16))
                goal[g] = wk_raft_last_index(sim_leader(s, g)->groups[g].raft);
            if (goal[g] == 0 || !caught_up(s, g, goal[g]))
                missing++;
            if (round % 8 == 7 && s->reg[g].max_applied < goal[g])
                goal[g] = 0; /* that leader lost its office before it committed */
        }
        if (missing == 0)
            return !s->failed;
        sim_run_for(s, SIM_S / 2);
    }
    for (uint32_t g = 0; g < s->opt.groups && !s->failed; g++) {
        if (goal[g] == 0 || !caught_up(s, g, goal[g]))
            sim_fail(s,
                     "liveness: group %u makes no progress after everything was healed (goal "
                     "%llu, applied %llu)",
                     g, (unsigned long long)goal[g], (unsigned long long)s->reg[g].max_applied);
    }
    return !s->failed;
}
