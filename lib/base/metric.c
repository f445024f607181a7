#include "base/metric.h"

static const uint32_t seconds[] = { 500,    1000,   2500,   5000,    10000,   25000,   50000,
                                    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000 };
static const uint32_t sizes[] = { 1,   2,   5,    10,   20,   50,    100,  200,
                                  500, 1000, 2000, 5000, 10000, 20000, 100000 };
static const uint32_t milliseconds[] = { 0,      5000,   10000,   25000,   50000,
                                         75000,  100000, 250000,  500000,  750000,
                                         1000000, 2500000, 5000000, 7500000, 10000000 };

static const struct {
    const uint32_t *at;
    unsigned n, unit;
} bounds_of[] = {
    [WK_BOUNDS_SECONDS] = { seconds, sizeof(seconds) / sizeof(*seconds), 1000000 },
    [WK_BOUNDS_SIZES] = { sizes, sizeof(sizes) / sizeof(*sizes), 1 },
    [WK_BOUNDS_MS] = { milliseconds, sizeof(milliseconds) / sizeof(*milliseconds), 1000 },
};

void wk_histogram_add(struct wk_histogram *h, enum wk_bounds bounds, uint64_t value)
{
    const uint32_t *at = bounds_of[bounds].at;
    const unsigned n = bounds_of[bounds].n;
    unsigned i = 0;

    while (i < n && value > at[i])
        i++;
    wk_count(&h->bucket[i], 1);
    wk_count(&h->sum, value);
}

void wk_metric_sum(void *to, const void *from, size_t n)
{
    uint64_t *t = to;
    const uint64_t *f = from;

    for (size_t i = 0; i < n / sizeof(*t); i++)
        t[i] += __atomic_load_n(&f[i], __ATOMIC_RELAXED);
}

/* value / unit without rounding, no trailing zeros. */
static void put_number(struct wk_buf *b, uint64_t value, uint32_t unit)
{
    uint64_t rest = value % unit;

    wk_buf_printf(b, "%llu", (unsigned long long)(value / unit));
    if (rest == 0)
        return;
    wk_buf_u8(b, '.');
    while (rest) {
        rest *= 10;
        wk_buf_u8(b, (uint8_t)('0' + rest / unit));
        rest %= unit;
    }
}

static void put_name(struct wk_buf *b, const char *name, const char *suffix, const char *labels)
{
    wk_buf_printf(b, "%s%s", name, suffix);
    if (*labels)
        wk_buf_printf(b, "{%s}", labels);
    wk_buf_u8(b, ' ');
}

static void put_histogram(struct wk_buf *b, const struct wk_metric *m, const struct wk_histogram *h,
                          const char *labels)
{
    const unsigned n = bounds_of[m->bounds].n, unit = bounds_of[m->bounds].unit;
    const char *comma = *labels ? "," : "";
    uint64_t below = 0;

    for (unsigned i = 0; i <= n; i++) {
        below += h->bucket[i];
        wk_buf_printf(b, "%s_bucket{%s%sle=\"", m->name, labels, comma);
        if (i == n)
            wk_buf_printf(b, "+Inf");
        else
            put_number(b, bounds_of[m->bounds].at[i], unit);
        wk_buf_printf(b, "\"} %llu\n", (unsigned long long)below);
    }
    put_name(b, m->name, "_sum", labels);
    put_number(b, h->sum, unit);
    wk_buf_u8(b, '\n');
    put_name(b, m->name, "_count", labels);
    wk_buf_printf(b, "%llu\n", (unsigned long long)below);
}

static uint64_t observed(const struct wk_histogram *h)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < WK_HISTOGRAM_BUCKETS; i++)
        n += h->bucket[i];
    return n;
}

void wk_metric_put(struct wk_buf *b, const struct wk_metric *m, const void *base)
{
    static const char *const kinds[] = { "counter", "gauge", "histogram" };
    const char *at = (const char *)base + m->off;
    char room[128];

    wk_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, kinds[m->kind]);
    for (unsigned i = 0; i < m->values; i++) {
        const struct wk_histogram *h = (const struct wk_histogram *)(const void *)at + i;
        const uint64_t *v = (const uint64_t *)(const void *)at + i;
        uint64_t value = m->kind == WK_HISTOGRAM ? observed(h) : *v;
        const char *labels = m->labels ? m->labels(i, value, room, sizeof(room)) : "";

        if (!labels)
            continue;
        if (m->kind == WK_HISTOGRAM) {
            put_histogram(b, m, h, labels);
            continue;
        }
        put_name(b, m->name, "", labels);
        put_number(b, value, m->unit);
        wk_buf_u8(b, '\n');
    }
}
