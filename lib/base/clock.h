/* The only readers of the system clocks and of kernel randomness in lib/.  Pure rooms get both as
 * parameters. */
#ifndef WK_BASE_CLOCK_H
#define WK_BASE_CLOCK_H
#include <stddef.h>
#include <stdint.h>

uint64_t wk_now_ms(void);       /* monotonic */
uint64_t wk_now_us(void);       /* monotonic */
uint64_t wk_wall_ms(void);      /* Unix time */
int wk_random_bytes(void *p, size_t n); /* getrandom; WKIM_OK or WKIM_EIO */

/* Seeded generator for pure rooms and simulations (xoshiro256**). */
struct wk_rng {
    uint64_t s[4];
};
void wk_rng_seed(struct wk_rng *r, uint64_t seed);
uint64_t wk_rng_next(struct wk_rng *r);
uint64_t wk_rng_below(struct wk_rng *r, uint64_t n); /* 0 .. n-1, n > 0 */

/* message_id: 41 bits ms since 1288834974657, 10 bits node, 12 bits sequence.
 * Several generators of one node (one per shard) must not collide: a generator uses only sequence
 * numbers with seq % lanes == lane. */
struct wk_snowflake {
    uint64_t last_ms;
    uint32_t node, seq, lane, lanes;
};
void wk_snowflake_init(struct wk_snowflake *s, uint32_t node, uint32_t lane, uint32_t lanes);
/* Never repeats and never goes back, also when the wall clock does (it borrows from the future). */
int64_t wk_snowflake_next(struct wk_snowflake *s, uint64_t wall_ms);
#define WK_SNOWFLAKE_EPOCH_MS 1288834974657ULL
#endif
