/* Charts of the console: what /metrics said during the last day, kept here, so that no Prometheus
 * is needed.  A look every 10 seconds is kept for an hour, one a minute for a day: 800 KiB.
 *
 * Threads: the first one only, which also serves the operator port. */
#include "http/metrics/charts.h"

#include "http/answer.h"
#include "http/auth/auth.h"
#include "http/metrics/metrics.h"
#include "http/route.h"
#include "http/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FINE_S 10
#define FINE_N 361
#define COARSE_S 60
#define COARSE_N 1441
#define LATEST_S 300      /* when the request does not say */
#define POINTS 30         /* of an answer */
#define RATE_S 60         /* a rate is that of the last minute */

enum chart { CHART_APP, CHART_CLUSTER, CHART_SYSTEM };
enum how { HOW_NUMBER, HOW_RATE, HOW_MORE /* since a minute ago */ };

static const struct series {
    const char *key, *metric; /* metric "": the kernel's count of open files */
    uint8_t chart, how;
} all[] = {
#define APP(x, m) {x, m, CHART_APP, HOW_RATE},
#define CLUSTER(x) {#x "_rate", "cluster_" #x "_total", CHART_CLUSTER, HOW_RATE},
#define SYSTEM(x) {x "_rate", "system_" x "_total", CHART_SYSTEM, HOW_RATE},
    {"conn_count", "app_conn_count_total", CHART_APP, HOW_NUMBER},
    {"online_user_count", "app_online_user_count_total", CHART_APP, HOW_NUMBER},
    {"online_device_count", "app_online_device_count_total", CHART_APP, HOW_NUMBER},
    APP("send_packet_count_rate", "app_send_packet_count_total")
    APP("send_packet_bytes_rate", "app_send_packet_bytes_total")
    APP("sendack_packet_count_rate", "app_sendack_packet_count_total")
    APP("sendack_packet_bytes_rate", "app_sendack_packet_bytes_total")
    APP("recv_packet_count_rate", "app_recv_packet_count_total")
    APP("recv_packet_bytes_rate", "app_recv_packet_bytes_total")
    APP("recvack_packet_count_rate", "app_recvack_packet_count_total")
    APP("recvack_packet_bytes_rate", "app_recvack_packet_bytes_total")
    APP("conn_packet_count_rate", "app_conn_packet_count_total")
    APP("conn_packet_bytes_rate", "app_conn_packet_bytes_total")
    APP("connack_packet_count_rate", "app_connack_packet_count_total")
    APP("connack_packet_bytes_rate", "app_connack_packet_bytes_total")
    APP("ping_packet_count_rate", "app_ping_count_total")
    APP("ping_packet_bytes_rate", "app_ping_bytes_total")
    APP("pong_packet_count_rate", "app_pong_count_total")
    APP("pong_packet_bytes_rate", "app_pong_bytes_total")
    CLUSTER(channel_propose_count)
    CLUSTER(channel_propose_failed_count)
    CLUSTER(channel_propose_latency_over_500ms)
    CLUSTER(channel_propose_latency_under_500ms)
    CLUSTER(msg_ping_incoming_bytes)
    CLUSTER(msg_ping_outgoing_bytes)
    CLUSTER(msg_ping_incoming_count)
    CLUSTER(msg_ping_outgoing_count)
    CLUSTER(msg_incoming_count)
    CLUSTER(msg_outgoing_count)
    CLUSTER(msg_incoming_bytes)
    CLUSTER(msg_outgoing_bytes)
    CLUSTER(channel_msg_incoming_count)
    CLUSTER(channel_msg_outgoing_count)
    CLUSTER(channel_msg_incoming_bytes)
    CLUSTER(channel_msg_outgoing_bytes)
    CLUSTER(sendpacket_incoming_count)
    CLUSTER(sendpacket_incoming_bytes)
    CLUSTER(sendpacket_outgoing_bytes)
    CLUSTER(sendpacket_outgoing_count)
    CLUSTER(msg_sync_incoming_bytes)
    CLUSTER(msg_sync_outgoing_bytes)
    CLUSTER(msg_sync_incoming_count)
    CLUSTER(msg_sync_outgoing_count)
    {"channel_active_count", "cluster_channel_active_count", CHART_CLUSTER, HOW_NUMBER},
    SYSTEM("intranet_incoming_bytes")
    SYSTEM("intranet_outgoing_bytes")
    SYSTEM("extranet_incoming_bytes")
    SYSTEM("extranet_outgoing_bytes")
    {"memstats_alloc_bytes", "go_memstats_alloc_bytes", CHART_SYSTEM, HOW_NUMBER},
    {"goroutines", "go_goroutines", CHART_SYSTEM, HOW_NUMBER},
    {"gc_duration_seconds_count", "go_gc_duration_seconds_count", CHART_SYSTEM, HOW_MORE},
    {"cpu_percent", "system_cpu_percent_total", CHART_SYSTEM, HOW_NUMBER},
    {"filefd_allocated", "", CHART_SYSTEM, HOW_NUMBER},
};
#define N_SERIES (sizeof(all) / sizeof(all[0]))

struct look {
    int64_t at_s; /* Unix time, 0: not taken */
    double v[N_SERIES];
};

struct ring {
    struct look *looks; /* owned */
    size_t n, next;
    int64_t every_s;
};

struct wk_charts {
    struct wk_http *http;
    struct event *timer;
    uint64_t have; /* bits by series: the metric exists */
    struct ring fine, coarse;
};

/* ---- looking --------------------------------------------------------------------------------- */

static double open_files(void)
{
    FILE *f = fopen("/proc/sys/fs/file-nr", "re");
    char text[64] = "";

    if (f) {
        text[fread(text, 1, sizeof(text) - 1, f)] = 0;
        (void)fclose(f);
    }
    return strtod(text, NULL);
}

/* Lines of the text without labels, by name. */
static void parse(struct wk_charts *c, struct look *l, const char *text, const char *end)
{
    while (text < end) {
        const char *line_end = memchr(text, '\n', (size_t)(end - text));
        const char *space = line_end ? memchr(text, ' ', (size_t)(line_end - text)) : NULL;

        if (!line_end)
            return;
        for (size_t i = 0; space && *text != '#' && i < N_SERIES; i++) {
            size_t n = strlen(all[i].metric);

            if ((size_t)(space - text) != n || memcmp(text, all[i].metric, n) != 0)
                continue;
            l->v[i] = strtod(space + 1, NULL);
            c->have |= UINT64_C(1) << i;
        }
        text = line_end + 1;
    }
}

static void keep(struct ring *r, const struct look *l)
{
    const struct look *last = &r->looks[(r->next + r->n - 1) % r->n];

    if (last->at_s && l->at_s - last->at_s < r->every_s)
        return;
    r->looks[r->next] = *l;
    r->next = (r->next + 1) % r->n;
}

static void take(evutil_socket_t fd, short what, void *arg)
{
    struct wk_charts *c = arg;
    struct look l = {.at_s = (int64_t)time(NULL)};
    struct wk_jsonbuf b;

    (void)fd;
    (void)what;
    wk_jsonbuf_init(&b);
    if (wk_metrics_text(c->http, &b) == WKIM_OK && !b.failed) {
        parse(c, &l, b.p, b.p + b.n);
        for (size_t i = 0; i < N_SERIES; i++) {
            if (!*all[i].metric) {
                l.v[i] = open_files();
                c->have |= UINT64_C(1) << i;
            }
        }
        keep(&c->fine, &l);
        keep(&c->coarse, &l);
    }
    wk_jsonbuf_fini(&b);
}

int wk_charts_start(struct wk_charts **out, struct wk_http *h, struct event_base *base)
{
    static const struct timeval every = {FINE_S, 0};
    struct wk_charts *c = calloc(1, sizeof(*c));

    _Static_assert(N_SERIES <= 64, "one bit each in wk_charts.have");
    if (!c)
        return WKIM_ENOMEM;
    *out = c;
    c->http = h;
    c->fine = (struct ring){calloc(FINE_N, sizeof(struct look)), FINE_N, 0, FINE_S - 1};
    c->coarse = (struct ring){calloc(COARSE_N, sizeof(struct look)), COARSE_N, 0, COARSE_S - 1};
    c->timer = event_new(base, -1, EV_PERSIST, take, c);
    if (!c->fine.looks || !c->coarse.looks || !c->timer || event_add(c->timer, &every) != 0)
        return WKIM_ENOMEM;
    event_active(c->timer, EV_TIMEOUT, 0); /* the first look, once the loop runs */
    return WKIM_OK;
}

void wk_charts_free(struct wk_charts *c)
{
    if (!c)
        return;
    if (c->timer)
        event_free(c->timer);
    free(c->fine.looks);
    free(c->coarse.looks);
    free(c);
}

/* ---- answering ------------------------------------------------------------------------------- */

/* Look i of the ring, oldest first. */
static const struct look *nth(const struct ring *r, size_t i)
{
    return &r->looks[(r->next + i) % r->n];
}

/* What series k was at look i; a counter that began again counts from 0. */
static double value(const struct ring *r, size_t i, size_t k)
{
    const struct look *now = nth(r, i), *then = now;

    if (all[k].how == HOW_NUMBER)
        return now->v[k];
    while (i > 0 && now->at_s - then->at_s < RATE_S && nth(r, i - 1)->at_s)
        then = nth(r, --i);
    double more = now->v[k] >= then->v[k] ? now->v[k] - then->v[k] : now->v[k];

    if (all[k].how == HOW_MORE)
        return more;
    return now->at_s > then->at_s ? more / (double)(now->at_s - then->at_s) : 0;
}

static void put_number(struct wk_jsonbuf *b, double v)
{
    wk_metric_f64(b, v);
    wk_jsonbuf_chop(b, '\n');
}

static void put_value(struct wk_jsonbuf *b, const struct wk_charts *c, size_t k, double v,
                      uint64_t node_id)
{
    wk_jsonbuf_cstr(b, all[k].key);
    wk_jsonbuf_char(b, ':');
    if (all[k].chart == CHART_APP || !*all[k].metric) {
        put_number(b, v);
    } else if (!(c->have >> k & 1)) {
        wk_jsonbuf_lit(b, "[]");
    } else {
        wk_jsonbuf_lit(b, "[{\"label\":\"");
        wk_jsonbuf_u64(b, node_id);
        wk_jsonbuf_lit(b, "\",\"value\":");
        put_number(b, v);
        wk_jsonbuf_lit(b, "}]");
    }
    wk_jsonbuf_char(b, ',');
}

static void put_point(struct wk_jsonbuf *b, const struct wk_charts *c, enum chart chart,
                      const struct ring *r, size_t i, uint64_t node_id)
{
    wk_jsonbuf_char(b, '{');
    for (size_t k = 0; k < N_SERIES; k++) {
        if (all[k].chart == chart)
            put_value(b, c, k, value(r, i, k), node_id);
    }
    wk_jsonbuf_lit(b, "\"timestamp\":");
    wk_jsonbuf_i64(b, nth(r, i)->at_s);
    wk_jsonbuf_lit(b, "},");
}

static void answer(struct wk_req *r, enum chart chart)
{
    const struct wk_charts *c = r->thread->http->charts;
    wkim_node_stats s = {.size = sizeof(s)};
    int64_t latest = wk_req_query_i64(r, "latest"), last = 0;
    uint64_t node = wk_req_query_u64(r, "node_id");
    struct wk_jsonbuf b;

    if (!(*wk_req_options(r)->token && wk_auth_allows(r)) && !wk_auth_user(r)) {
        wk_answer_problem(r, 401, WK_JSON_TYPE, "Authorization header is required", NULL);
        return;
    }
    latest = latest <= 0 ? LATEST_S : latest > COARSE_S * COARSE_N ? COARSE_S * COARSE_N : latest;
    const struct ring *ring = latest < FINE_S * FINE_N ? &c->fine : &c->coarse;
    int64_t from = (int64_t)time(NULL) - latest;

    (void)wkim_node_stats_get(wk_req_node(r), &s);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '[');
    for (size_t i = 0; i < ring->n && (node == 0 || node == s.node_id); i++) {
        int64_t at = nth(ring, i)->at_s;

        if (at == 0 || at < from || at - last < latest / POINTS)
            continue;
        put_point(&b, c, chart, ring, i, s.node_id);
        last = at;
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_char(&b, ']');
    wk_answer_buf(r, b.failed ? 503 : 200, WK_JSON_TYPE, &b);
}

void wk_api_chart_app(struct wk_req *r)
{
    answer(r, CHART_APP);
}

void wk_api_chart_cluster(struct wk_req *r)
{
    answer(r, CHART_CLUSTER);
}

void wk_api_chart_system(struct wk_req *r)
{
    answer(r, CHART_SYSTEM);
}
