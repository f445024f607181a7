/* /top/v1/snapshot: the state of the node on one page, for a dashboard in a terminal. */
#include "http/answer.h"
#include "http/metrics/figures.h"
#include "http/route.h"

#include <time.h>

#define RATE_MIN_MS 1000 /* a rate over less time than this says nothing */

static uint64_t monotonic_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void put(struct wk_jsonbuf *b, const char *name, uint64_t v)
{
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_u64(b, v);
}

static uint64_t rate(uint64_t now, uint64_t then, uint64_t ms)
{
    return ms && now > then ? (now - then) * 1000 / ms : 0;
}

/* The sample that rates are told against: the newest that is old enough.  Other readers move it on
 * too, so `window_ms` says what the rates are about. */
static struct wk_top_sample take_sample(struct wk_http *h, const struct wk_top_sample *now)
{
    struct wk_top_sample from;

    pthread_mutex_lock(&h->top_lock);
    if (now->ms - h->top[1].ms >= RATE_MIN_MS) {
        h->top[0] = h->top[1];
        h->top[1] = *now;
    }
    from = h->top[0];
    pthread_mutex_unlock(&h->top_lock);
    return from;
}

static void put_http(struct wk_jsonbuf *b, struct wk_http *h)
{
    uint64_t by_class[6] = {0}, total = 0;

    for (size_t i = 0; i <= wk_routes_count; i++) {
        for (size_t c = 0; c < 6; c++)
            by_class[c] += atomic_load_explicit(&h->counts[i].by_class[c], memory_order_relaxed);
    }
    for (size_t c = 0; c < 6; c++)
        total += by_class[c];
    put(b, "},\"http\":{\"answers\":", total);
    put(b, ",\"client_errors\":", by_class[4]);
    put(b, ",\"server_errors\":", by_class[5]);
    put(b, ",\"refused\":", atomic_load_explicit(&h->refused, memory_order_relaxed));
}

void wk_api_top_snapshot(struct wk_req *r)
{
    wkim_node_stats s = {.size = sizeof(s)};
    uint32_t total = 0, ready = wkim_node_slots_ready(wk_req_node(r), &total);
    struct wk_figures f;
    struct wk_jsonbuf b;

    wkim_node_stats_get(wk_req_node(r), &s);
    wk_figures_read(&f, s.start_unix_ms);
    struct wk_top_sample now = {monotonic_ms(), s.in_msgs, s.out_msgs, s.in_bytes, s.out_bytes,
                                s.log_syncs};
    struct wk_top_sample then = take_sample(r->thread->http, &now);
    uint64_t ms = then.ms ? now.ms - then.ms : 0;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, wk_req_ready(r) ? "{\"status\":\"ok\"" : "{\"status\":\"not ready\"");
    put(&b, ",\"node_id\":", s.node_id);
    wk_jsonbuf_lit(&b, ",\"version\":");
    wk_jsonbuf_cstr(&b, wkim_version());
    put(&b, ",\"at_ms\":", (uint64_t)time(NULL) * 1000);
    put(&b, ",\"uptime_s\":", f.uptime_s);
    put(&b, ",\"slots\":{\"total\":", total);
    put(&b, ",\"ready\":", ready);
    put(&b, "},\"clients\":{\"connections\":", s.connections);
    put(&b, ",\"users_online\":", s.users_online);
    put(&b, ",\"retry_queue\":", s.retry_queue);
    put(&b, ",\"slow_clients\":", s.slow_clients);
    put(&b, "},\"messages\":{\"in\":", s.in_msgs);
    put(&b, ",\"out\":", s.out_msgs);
    put(&b, ",\"in_bytes\":", s.in_bytes);
    put(&b, ",\"out_bytes\":", s.out_bytes);
    put(&b, "},\"rates\":{\"window_ms\":", ms);
    put(&b, ",\"in_per_s\":", rate(now.in_msgs, then.in_msgs, ms));
    put(&b, ",\"out_per_s\":", rate(now.out_msgs, then.out_msgs, ms));
    put(&b, ",\"in_bytes_per_s\":", rate(now.in_bytes, then.in_bytes, ms));
    put(&b, ",\"out_bytes_per_s\":", rate(now.out_bytes, then.out_bytes, ms));
    put(&b, ",\"log_syncs_per_s\":", rate(now.log_syncs, then.log_syncs, ms));
    put_http(&b, r->thread->http);
    put(&b, "},\"process\":{\"resident_bytes\":", f.resident);
    put(&b, ",\"threads\":", f.threads);
    put(&b, ",\"cpu_percent\":", f.cpu_percent);
    put(&b, "},\"log\":{\"bytes_written\":", s.log_bytes);
    put(&b, ",\"syncs\":", s.log_syncs);
    put(&b, "},\"store\":{\"bytes_written\":", s.store_bytes_written);
    wk_jsonbuf_lit(&b, "}}");
    wk_answer_json(r, &b);
}
