/* /metrics: what the node reports, what the process is, and requests by route. */
#include "http/metrics/metrics.h"

#include "http/answer.h"
#include "http/route.h"

#include <string.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};

/* Upper bounds of the buckets in microseconds; the last bucket has none. */
static const uint32_t bounds_us[WK_HTTP_BUCKETS - 1] = {
    500,    1000,   2500,   5000,    10000,   25000,   50000,
    100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};

uint64_t wk_http_clock_us(const struct wk_http_thread *t)
{
    struct timeval tv = {0, 0};

    (void)event_base_gettimeofday_cached(t->base, &tv);
    return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

static void add(_Atomic uint64_t *v, uint64_t n)
{
    atomic_fetch_add_explicit(v, n, memory_order_relaxed);
}

static uint64_t look(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

void wk_http_count(const struct wk_req *r, int status, size_t bytes_out)
{
    struct wk_http *h = r->thread->http;
    struct wk_http_count *c =
        &h->counts[r->route ? (size_t)(r->route - wk_routes) : wk_routes_count];
    uint64_t now = wk_http_clock_us(r->thread), us = now > r->began_us ? now - r->began_us : 0;
    size_t i = 0;

    while (i < WK_HTTP_BUCKETS - 1 && us > bounds_us[i])
        i++;
    add(&c->by_class[status / 100 <= 5 ? (unsigned)status / 100 : 5], 1);
    add(&c->bucket[i], 1);
    add(&c->sum_us, us);
    add(&h->bytes_out, bytes_out);
}

static void put_labels(struct wk_jsonbuf *b, const char *method, const char *path)
{
    wk_jsonbuf_lit(b, "{method=\"");
    wk_jsonbuf_lit(b, method);
    wk_jsonbuf_lit(b, "\",route=\"");
    wk_jsonbuf_lit(b, path);
    wk_jsonbuf_char(b, '"');
}

static void put_classes(struct wk_jsonbuf *b, const struct wk_http_count *count, const char *method,
                        const char *path)
{
    for (size_t c = 0; c < 6; c++) {
        uint64_t n = look(&count->by_class[c]);

        if (n == 0)
            continue;
        wk_jsonbuf_lit(b, "wkim_http_requests_total");
        put_labels(b, method, path);
        wk_jsonbuf_lit(b, ",code=\"");
        wk_jsonbuf_lit(b, classes[c]);
        wk_jsonbuf_lit(b, "\"} ");
        wk_jsonbuf_u64(b, n);
        wk_jsonbuf_char(b, '\n');
    }
}

#define DURATION "wkim_http_request_duration_seconds"

static void put_duration(struct wk_jsonbuf *b, const struct wk_http_count *count,
                         const char *method, const char *path)
{
    uint64_t below = 0, n[WK_HTTP_BUCKETS];

    for (size_t i = 0; i < WK_HTTP_BUCKETS; i++)
        below += n[i] = look(&count->bucket[i]);
    if (below == 0)
        return;
    below = 0;
    for (size_t i = 0; i < WK_HTTP_BUCKETS; i++) {
        below += n[i];
        wk_jsonbuf_lit(b, DURATION "_bucket");
        put_labels(b, method, path);
        wk_jsonbuf_lit(b, ",le=\"");
        if (i == WK_HTTP_BUCKETS - 1) {
            wk_jsonbuf_lit(b, "+Inf");
        } else {
            wk_metric_f64(b, bounds_us[i] / 1e6);
            wk_jsonbuf_chop(b, '\n');
        }
        wk_jsonbuf_lit(b, "\"} ");
        wk_jsonbuf_u64(b, below);
        wk_jsonbuf_char(b, '\n');
    }
    wk_jsonbuf_lit(b, DURATION "_sum");
    put_labels(b, method, path);
    wk_jsonbuf_lit(b, "} ");
    wk_metric_f64(b, (double)look(&count->sum_us) / 1e6);
    wk_jsonbuf_lit(b, DURATION "_count");
    put_labels(b, method, path);
    wk_jsonbuf_lit(b, "} ");
    wk_jsonbuf_u64(b, below);
    wk_jsonbuf_char(b, '\n');
}

/* Some routes are served on the API port and on the operator port: one row for both, told with the
 * first of them.  0: it is not the first. */
static int sum_of_both_ports(const struct wk_http *h, size_t i, struct wk_http_count *sum)
{
    memset(sum, 0, sizeof(*sum));
    for (size_t k = 0; k < wk_routes_count; k++) {
        const struct wk_http_count *c = &h->counts[k];

        if (strcmp(wk_routes[k].path, wk_routes[i].path) != 0 ||
            strcmp(wk_routes[k].method, wk_routes[i].method) != 0)
            continue;
        if (k < i)
            return 0;
        for (size_t n = 0; n < 6; n++)
            add(&sum->by_class[n], look(&c->by_class[n]));
        for (size_t n = 0; n < WK_HTTP_BUCKETS; n++)
            add(&sum->bucket[n], look(&c->bucket[n]));
        add(&sum->sum_us, look(&c->sum_us));
    }
    return 1;
}

static void put_routes(struct wk_jsonbuf *b, const struct wk_http *h,
                       void (*put)(struct wk_jsonbuf *b, const struct wk_http_count *count,
                                   const char *method, const char *path))
{
    for (size_t i = 0; i < wk_routes_count; i++) {
        struct wk_http_count sum;

        if (sum_of_both_ports(h, i, &sum))
            put(b, &sum, wk_routes[i].method, wk_routes[i].path);
    }
    put(b, &h->counts[wk_routes_count], "ANY", "unknown");
}

int wk_metrics_text(struct wk_http *h, struct wk_jsonbuf *b)
{
    char *text = NULL;
    int rc = wkim_node_metrics(h->node, &text);

    if (rc != WKIM_OK)
        return rc;
    wk_jsonbuf_lit(b, text);
    wkim_text_free(text);
    if (b->n && b->p[b->n - 1] != '\n')
        wk_jsonbuf_char(b, '\n');
    wk_metrics_process(b, h);
    wk_metrics_webhook(b, h);
    wk_metric_head(b, "wkim_http_requests_total", "counter",
                   "Answers by route and class of status.");
    put_routes(b, h, put_classes);
    wk_metric_head(b, DURATION, "histogram", "Request read to answer handed over.");
    put_routes(b, h, put_duration);
    return WKIM_OK;
}

void wk_api_metrics(struct wk_req *r)
{
    struct wk_jsonbuf b;

    if (r->route->side == WK_SIDE_API && !wk_req_options(r)->metrics_on_api) {
        wk_answer_not_found(r);
        return;
    }
    wk_jsonbuf_init(&b);
    int rc = wk_metrics_text(r->thread->http, &b);

    if (rc != WKIM_OK) {
        wk_jsonbuf_fini(&b);
        wk_answer_code(r, rc, NULL);
        return;
    }
    wk_answer_buf(r, b.failed ? 503 : 200, METRICS_TYPE, &b);
}
