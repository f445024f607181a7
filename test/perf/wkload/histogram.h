/* Histogram of durations in microseconds: exact below 128 us, above it 64 buckets per power of two
 * (error below 1.6 %).  Header only: its test needs no other file.  One thread at a time. */
#ifndef WKLOAD_HISTOGRAM_H
#define WKLOAD_HISTOGRAM_H

#include <stdint.h>
#include <string.h>

#define HISTOGRAM_SUB 64u
#define HISTOGRAM_BITS_MAX 40u /* values are capped at 2^40 - 1 us, 12 days */
#define HISTOGRAM_BUCKETS ((HISTOGRAM_BITS_MAX - 6u + 1u) * HISTOGRAM_SUB)

struct histogram {
    uint64_t count, sum, max, min;
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline void histogram_reset(struct histogram *h)
{
    memset(h, 0, sizeof(*h));
}

static inline uint32_t histogram_index(uint64_t us)
{
    if (us >= (uint64_t)1 << HISTOGRAM_BITS_MAX)
        us = ((uint64_t)1 << HISTOGRAM_BITS_MAX) - 1;
    if (us < HISTOGRAM_SUB)
        return (uint32_t)us;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(us) - 6u;

    return shift * HISTOGRAM_SUB + (uint32_t)(us >> shift);
}

/* Largest value that falls into the bucket. */
static inline uint64_t histogram_upper(uint32_t index)
{
    if (index < HISTOGRAM_SUB)
        return index;
    uint32_t shift = index / HISTOGRAM_SUB - 1u;
    uint64_t mantissa = index % HISTOGRAM_SUB + HISTOGRAM_SUB;

    return ((mantissa + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t us)
{
    if (h->count == 0 || us < h->min)
        h->min = us;
    if (us > h->max)
        h->max = us;
    h->count++;
    h->sum += us;
    h->bucket[histogram_index(us)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
}

/* Smallest value that at least `percent` of the samples do not exceed, rounded up to its bucket;
 * 0 when there are no samples. */
static inline uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    if (h->count == 0)
        return 0;
    double exact = (double)h->count * percent / 100.0;
    uint64_t rank = (uint64_t)exact;
    uint64_t seen = 0;

    if ((double)rank < exact)
        rank++;
    if (rank == 0)
        rank = 1;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank) {
            uint64_t upper = histogram_upper(i);
            return upper < h->max ? upper : h->max;
        }
    }
    return h->max;
}

static inline double histogram_mean(const struct histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0.0;
}
#endif
