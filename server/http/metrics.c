/* /metrics: what the node reports, and the HTTP side's own families. */
#include "answer.h"
#include "route.h"

#include <string.h>

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static const char *const classes[] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};

static void put_route(struct wk_jsonbuf *b, const struct wk_http_count *count, const char *method,
                      const char *path)
{
    for (size_t c = 0; c < 6; c++) {
        uint64_t n = atomic_load_explicit(&count->by_class[c], memory_order_relaxed);

        if (n == 0)
            continue;
        wk_jsonbuf_lit(b, "wkim_http_requests_total{method=\"");
        wk_jsonbuf_lit(b, method);
        wk_jsonbuf_lit(b, "\",route=\"");
        wk_jsonbuf_lit(b, path);
        wk_jsonbuf_lit(b, "\",code=\"");
        wk_jsonbuf_lit(b, classes[c]);
        wk_jsonbuf_lit(b, "\"} ");
        wk_jsonbuf_u64(b, n);
        wk_jsonbuf_char(b, '\n');
    }
}

static void put_http(struct wk_jsonbuf *b, struct wk_http *h)
{
    wk_jsonbuf_lit(b, "# HELP wkim_http_requests_total Answers by route and class of status.\n"
                      "# TYPE wkim_http_requests_total counter\n");
    for (size_t i = 0; i < wk_routes_count; i++)
        put_route(b, &h->counts[i], wk_routes[i].method, wk_routes[i].path);
    put_route(b, &h->counts[wk_routes_count], "ANY", "unknown");
    wk_jsonbuf_lit(b, "# HELP wkim_http_refused_total Requests refused because too many were under "
                      "way.\n# TYPE wkim_http_refused_total counter\nwkim_http_refused_total ");
    wk_jsonbuf_u64(b, atomic_load_explicit(&h->refused, memory_order_relaxed));
    wk_jsonbuf_char(b, '\n');
}

void wk_api_metrics(struct wk_req *r)
{
    struct wk_jsonbuf b;
    char *text = NULL;

    if (r->route->side == WK_SIDE_API && !wk_req_options(r)->metrics_on_api) {
        wk_answer_not_found(r);
        return;
    }
    int rc = wkim_node_metrics(wk_req_node(r), &text);

    if (rc != WKIM_OK) {
        wk_answer_code(r, rc, NULL);
        return;
    }
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, text);
    wkim_text_free(text);
    if (b.n && b.p[b.n - 1] != '\n')
        wk_jsonbuf_char(&b, '\n');
    put_http(&b, r->thread->http);
    wk_answer_buf(r, b.failed ? 503 : 200, METRICS_TYPE, &b);
}
