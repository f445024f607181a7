/* See sim_net.h. */
#include "sim_net.h"
#include <string.h>

void sim_net_init(struct sim_net *t, unsigned nodes)
{
    memset(t, 0, sizeof(*t));
    t->nodes = nodes;
    t->delay_us = 500;
    t->jitter_us = 500;
}

/* Mostly near the mean, now and then many times as long: a sum of halvings, no floating point. */
static uint64_t exponential(struct wk_rng *r, uint64_t mean)
{
    uint64_t v = wk_rng_below(r, mean * 2 + 1);

    while (wk_rng_below(r, 4) == 0)
        v *= 2;
    return v;
}

unsigned sim_net_send(struct sim_net *t, struct wk_rng *r, unsigned from, unsigned to, uint64_t now,
                      uint64_t delay[2])
{
    const struct sim_link *l = &t->links[from][to];
    const unsigned copies = wk_rng_below(r, 1000) < t->repeat ? 2 : 1;
    const uint64_t wait = l->clogged_until > now ? l->clogged_until - now : 0;

    if (l->cut || wk_rng_below(r, 1000) < t->loss)
        return 0;
    for (unsigned i = 0; i < copies; i++)
        delay[i] = wait + t->delay_us + exponential(r, t->jitter_us);
    return copies;
}

bool sim_net_open(const struct sim_net *t, unsigned a, unsigned b)
{
    return !t->links[a][b].cut && !t->links[b][a].cut;
}

void sim_net_heal(struct sim_net *t)
{
    memset(t->links, 0, sizeof(t->links));
}

static void cut_both(struct sim_net *t, unsigned a, unsigned b)
{
    t->links[a][b].cut = t->links[b][a].cut = true;
}

void sim_net_split(struct sim_net *t, struct wk_rng *r, enum sim_split kind, unsigned victim)
{
    uint64_t side = wk_rng_next(r);

    sim_net_heal(t);
    for (unsigned a = 0; a < t->nodes; a++) {
        for (unsigned b = 0; b < a; b++) {
            const bool apart = (side >> a & 1) != (side >> b & 1);
            const unsigned d = a - b;
            if (kind == SIM_SPLIT_HALVES && apart)
                cut_both(t, a, b);
            else if (kind == SIM_SPLIT_ONE_WAY && apart)
                t->links[side >> a & 1 ? a : b][side >> a & 1 ? b : a].cut = true;
            else if (kind == SIM_SPLIT_BRIDGE && apart && a != victim && b != victim)
                cut_both(t, a, b);
            else if (kind == SIM_SPLIT_RING && d != 1 && d != t->nodes - 1)
                cut_both(t, a, b);
            else if (kind == SIM_SPLIT_ISOLATE && (a == victim || b == victim))
                cut_both(t, a, b);
        }
    }
}

void sim_net_swizzle(struct sim_net *t, struct wk_rng *r, uint64_t now, uint64_t us)
{
    for (unsigned a = 0; a < t->nodes; a++) {
        const uint64_t until = now + wk_rng_below(r, us) + 1;
        if (wk_rng_below(r, 2))
            continue;
        for (unsigned b = 0; b < t->nodes; b++) {
            if (t->links[a][b].clogged_until < until)
                t->links[a][b].clogged_until = until;
            if (t->links[b][a].clogged_until < until)
                t->links[b][a].clogged_until = until;
        }
    }
}
