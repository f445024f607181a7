/* The net between nodes: every direction of every pair has its own delay, loss and cut.  Messages
 * may be lost, repeated, delayed and overtaken. */
#ifndef SIM_NET_H
#define SIM_NET_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clock.h"

#define SIM_NODES_MAX 7

struct sim_frame {
    struct sim_frame *next;
    uint32_t group;
    uint8_t from, to; /* node numbers from 0 */
    uint32_t n;
    uint8_t p[];
};
struct sim_link {
    bool cut;
    uint64_t clogged_until;
};
struct sim_net {
    unsigned nodes;
    uint64_t delay_us, jitter_us; /* jitter: mean of an exponential part */
    uint32_t loss, repeat;        /* per thousand */
    struct sim_link links[SIM_NODES_MAX][SIM_NODES_MAX];
};
void sim_net_init(struct sim_net *t, unsigned nodes);
/* Up to two delays for copies of a message; returns how many copies arrive. */
unsigned sim_net_send(struct sim_net *t, struct wk_rng *r, unsigned from, unsigned to, uint64_t now,
                      uint64_t delay[2]);
bool sim_net_open(const struct sim_net *t, unsigned a, unsigned b); /* both ways */
void sim_net_heal(struct sim_net *t);
enum sim_split {
    SIM_SPLIT_HALVES,
    SIM_SPLIT_ONE_WAY,
    SIM_SPLIT_BRIDGE,
    SIM_SPLIT_RING,
    SIM_SPLIT_ISOLATE
};
/* `victim`: the node isolated, or the bridge. */
void sim_net_split(struct sim_net *t, struct wk_rng *r, enum sim_split kind, unsigned victim);
/* Clog a random set of nodes one by one, unclog in another order. */
void sim_net_swizzle(struct sim_net *t, struct wk_rng *r, uint64_t now, uint64_t us);
#endif
