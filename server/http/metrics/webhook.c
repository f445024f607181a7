/* Dead letters of webhooks; how their requests go is told by the node. */
#include "http/metrics/metrics.h"

#include "out/out.h"

static void put(struct wk_jsonbuf *b, const char *name, const char *labels, uint64_t v)
{
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_lit(b, labels);
    wk_jsonbuf_char(b, ' ');
    wk_jsonbuf_u64(b, v);
    wk_jsonbuf_char(b, '\n');
}

static void put_one(struct wk_jsonbuf *b, const char *name, const char *type, const char *help,
                    uint64_t v)
{
    wk_metric_head(b, name, type, help);
    put(b, name, "", v);
}

void wk_metrics_webhook(struct wk_jsonbuf *b, struct wk_http *h)
{
    struct wk_out *out = atomic_load(&h->out);
    struct wk_dead_stats s = { 0 };
    struct wk_out_view v = { 0 };

    if (out) {
        wk_dead_stats_get(wk_out_dead(out), &s);
        wk_out_view_get(out, &v);
    }
    put_one(b, "wkim_webhook_dead_letters", "gauge", "Given-up requests that are kept.", s.letters);
    put_one(b, "wkim_webhook_dead_bytes", "gauge", "Bytes of the kept ones.", s.bytes);
    put_one(b, "wkim_webhook_dead_dropped_total", "counter",
            "Given-up requests that webhook.deadMaxBytes had no room for.", s.dropped);
    put_one(b, "wkim_webhook_dead_lost_total", "counter",
            "Given-up requests larger than webhook.deadMaxBytes.", s.lost);
    wk_metric_head(b, "wkim_webhook_replays_total", "counter", "Given-up requests sent again.");
    put(b, "wkim_webhook_replays_total", "{result=\"ok\"}", v.replays_ok);
    put(b, "wkim_webhook_replays_total", "{result=\"error\"}", v.replays_failed);
}
