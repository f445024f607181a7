/* A node's own clock: it may run fast or slow, jump, and stand still while the node is stopped. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H
#include <stdint.h>
#include "base/clock.h"

struct sim_clock {
    uint32_t rate_ppm;     /* 1000000: true */
    uint64_t stopped_until; /* true time; events wait until then */
    uint32_t burst;        /* ticks to give at once after a jump */
};
void sim_clock_init(struct sim_clock *c);
void sim_clock_drift(struct sim_clock *c, struct wk_rng *r); /* up to 20 % either way */
/* True time until the next tick of `us` on this clock. */
uint64_t sim_clock_wait(const struct sim_clock *c, uint64_t us);
#endif
