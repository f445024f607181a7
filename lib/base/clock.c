#include "base/clock.h"
#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include "base/error.h"
#include "base/limits.h"

static uint64_t read_us(clockid_t id)
{
    struct timespec ts;

    WK_ASSERT(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t wk_now_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t wk_now_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

uint64_t wk_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int wk_random_bytes(void *p, size_t n)
{
    uint8_t *at = p;

    while (n > 0) {
        const ssize_t k = getrandom(at, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return WKIM_EIO;
        at += k;
        n -= (size_t)k;
    }
    return WKIM_OK;
}

/* ---- seeded generator ---------------------------------------- */

static uint64_t rotl(uint64_t v, unsigned by)
{
    return (v << by) | (v >> (64 - by));
}

/* splitmix64 spreads the seed, so that near seeds give unrelated streams. */
void wk_rng_seed(struct wk_rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15ULL;
        uint64_t z = seed;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        r->s[i] = z ^ (z >> 31);
    }
}

uint64_t wk_rng_next(struct wk_rng *r)
{
    uint64_t *s = r->s;
    const uint64_t out = rotl(s[1] * 5, 7) * 9;
    const uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t wk_rng_below(struct wk_rng *r, uint64_t n)
{
    WK_ASSERT(n > 0);
    /* Values under 2^64 mod n would make the small results more likely: draw again. */
    const uint64_t unfair = (0 - n) % n;
    uint64_t v;
    do {
        v = wk_rng_next(r);
    } while (v < unfair);
    return v % n;
}

/* ---- snowflake ---------------------------------------- */

#define SNOWFLAKE_SEQ_COUNT 4096
#define SNOWFLAKE_MS_MASK ((1ULL << 41) - 1)

void wk_snowflake_init(struct wk_snowflake *s, uint32_t node, uint32_t lane, uint32_t lanes)
{
    WK_ASSERT(node <= WK_NODE_ID_MAX);
    WK_ASSERT(lanes > 0 && lanes <= SNOWFLAKE_SEQ_COUNT && lane < lanes);
    *s = (struct wk_snowflake){ WK_SNOWFLAKE_EPOCH_MS, node, lane, lane, lanes };
}

int64_t wk_snowflake_next(struct wk_snowflake *s, uint64_t wall_ms)
{
    if (wall_ms > s->last_ms) {
        s->last_ms = wall_ms;
        s->seq = s->lane;
    } else if (s->seq + s->lanes < SNOWFLAKE_SEQ_COUNT) {
        s->seq += s->lanes;
    } else {
        s->last_ms++;
        s->seq = s->lane;
    }
    const uint64_t ms = (s->last_ms - WK_SNOWFLAKE_EPOCH_MS) & SNOWFLAKE_MS_MASK;
    return (int64_t)((ms << 22) | ((uint64_t)s->node << 12) | s->seq);
}
