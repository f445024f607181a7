/* See sim_clock.h. */
#include "sim_clock.h"

void sim_clock_init(struct sim_clock *c)
{
    *c = (struct sim_clock){ .rate_ppm = 1000000 };
}

void sim_clock_drift(struct sim_clock *c, struct wk_rng *r)
{
    c->rate_ppm = (uint32_t)(800000 + wk_rng_below(r, 400001));
}

uint64_t sim_clock_wait(const struct sim_clock *c, uint64_t us)
{
    return us * 1000000 / c->rate_ppm;
}
