/* Counters and histograms of one owner thread, and their Prometheus text.
 *
 * Only the owner adds; any thread may read.  Values are plain machine words written with relaxed
 * stores, so that adding costs no more than an increment; a reader sees each word whole, but not
 * all words of one moment.  Structures made of nothing but uint64_t are summed with
 * wk_metric_sum. */
#ifndef WK_BASE_METRIC_H
#define WK_BASE_METRIC_H
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

static inline void wk_count(uint64_t *c, uint64_t n)
{
    __atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

/* What the upper bounds of the buckets are. */
enum wk_bounds {
    WK_BOUNDS_SECONDS, /* values in microseconds, told in seconds: 0.0005 .. 10 */
    WK_BOUNDS_SIZES,   /* 1 .. 100000 */
    WK_BOUNDS_MS       /* values in microseconds, told in milliseconds: 0 .. 10000, as v2 does */
};
#define WK_HISTOGRAM_BUCKETS 16 /* the last one in use has no upper bound */

struct wk_histogram {
    uint64_t bucket[WK_HISTOGRAM_BUCKETS]; /* not cumulated */
    uint64_t sum;
};
void wk_histogram_add(struct wk_histogram *h, enum wk_bounds bounds, uint64_t value);

/* to += from, word by word; n in bytes, a multiple of 8. */
void wk_metric_sum(void *to, const void *from, size_t n);

/* One line of a table of families; `off` finds its first value in what wk_metric_put is given. */
enum wk_metric_kind { WK_COUNTER, WK_GAUGE, WK_HISTOGRAM };
struct wk_metric {
    const char *name, *help;
    size_t off;
    /* Text of the labels of value i ("a=\"b\""); "": none.  NULL: value i is left out. */
    const char *(*labels)(unsigned i, uint64_t value, char *room, size_t n);
    uint16_t values;
    uint8_t kind, bounds;
    uint32_t unit; /* the value is divided by this: 1, 1000, 1000000 */
};
void wk_metric_put(struct wk_buf *b, const struct wk_metric *m, const void *base);
#endif
