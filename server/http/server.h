/* Inside the HTTP room: the object behind wk_http, its threads and what was read from the
 * configuration.  A thread owns its event base, its queue and its requests. */
#ifndef WK_HTTP_SERVER_H
#define WK_HTTP_SERVER_H

#include "http/http.h"

#include "http/auth/accounts.h"

#include <event2/event.h>
#include <event2/http.h>
#include <pthread.h>
#include <stdatomic.h>

#define WK_HTTP_THREADS_MAX 8
#define WK_HTTP_HEADERS_MAX (64 * 1024) /* bytes of the header of a request */
#define WK_HTTP_IDLE_S 120              /* a silent connection is closed after this */

/* Texts are owned. */
struct wk_http_options {
    char *api_addr, *manager_addr, *demo_addr; /* "": not served */
    char *_Atomic token;                       /* managerToken, "": open; see wk_http_reload */
    char *manager_uid;
    char *mode;
    char *tcp_addr, *ws_addr, *wss_addr, *intranet_tcp_addr, *told_manager_addr, *api_url;
    char *web_dir;
    char *tls_cert, *wss_cert;                 /* files; "": not served */
    char *config_json;    /* every key with its value, secrets masked; only with debug_on */
    int64_t tag_expire_ms;
    int64_t body_max;     /* bytes */
    int64_t requests_max; /* under way, per thread */
    int threads;
    int send_async;
    int manager_on, metrics_on_api, cmd_sync_off;
    int batch_on, debug_on;
    int cmd_legacy_id; /* command channel ids as v2 shows them */
    int trace_on, loki_on, prometheus_on, stress_on;
};

int wk_http_options_read(struct wk_http_options *o, const wkim_config *cfg, wkim_error *err);
void wk_http_options_fini(struct wk_http_options *o);

/* Which listener a request came in by. */
enum wk_http_side { WK_SIDE_API, WK_SIDE_MANAGER, WK_SIDE_DEMO };
#define WK_HTTP_SIDES 3

struct wk_chunk;
struct wk_req;

struct wk_http_listener {
    struct wk_http_thread *thread;
    enum wk_http_side side;
    struct evhttp *evhttp;
    struct evhttp_bound_socket *socket;
    struct event *retry; /* accepts again after the process ran out of descriptors */
};

struct wk_http_thread {
    struct wk_http *http;
    pthread_t id;
    int running; /* id is joinable */
    struct event_base *base;
    struct wk_http_listener listeners[WK_HTTP_SIDES];
    wkim_queue *queue;
    struct event *queue_event;
    int stop_fd; /* eventfd, written by wk_http_stop */
    struct event *stop_event;
    /* runs behind the events that are due together with the first call */
    struct event *round_event;
    int holding;               /* calls wait for round_event */
    int stopping;
    struct wk_chunk *spare; /* memory for requests to come, request.c */
    int n_spare;
    struct wk_req *reqs; /* under way, doubly linked */
    int64_t n_reqs;
};

#define WK_HTTP_BUCKETS 15 /* of durations, bounds in metrics.c */
/* Counters of one route for /metrics: by class of status (1xx..5xx), and times. */
struct wk_http_count {
    _Atomic uint64_t by_class[6];
    _Atomic uint64_t bucket[WK_HTTP_BUCKETS], sum_us;
};

/* Processor time at the last look, for a percentage. */
struct wk_http_cpu {
    pthread_mutex_t lock;
    double at_s, cpu_s, percent;
};

/* Counters at a moment, for the rates of /top. */
struct wk_top_sample {
    uint64_t ms; /* monotonic; 0: none */
    uint64_t in_msgs, out_msgs, in_bytes, out_bytes, log_syncs;
};

struct wk_http {
    wkim_node *node; /* borrowed */
    struct wk_http_options opt;
    struct wk_accounts *_Atomic accounts; /* owned; see wk_http_reload */
    struct wk_http_retired *retired;      /* what requests may still use, until the end */
    struct wk_charts *charts;     /* owned; of the first thread */
    struct wk_out *_Atomic out;   /* NULL: no webhooks */
    struct wk_http_thread threads[WK_HTTP_THREADS_MAX];
    struct wk_http_count *counts; /* owned; one per route and one for unknown paths */
    _Atomic uint64_t refused;     /* requests answered 503 because too many were under way */
    _Atomic uint64_t under_way;   /* requests */
    _Atomic uint64_t bytes_in, bytes_out; /* bodies */
    _Atomic int config_warnings;
    struct wk_http_cpu cpu;
    _Atomic int serving;          /* clients can connect */
    uint64_t start_ms;            /* Unix time */
    pthread_mutex_t top_lock;     /* of top: the last two samples, older first */
    struct wk_top_sample top[2];
};

/* Calls of this round of the thread reach the node together, at its end. */
void wk_http_thread_hold(struct wk_http_thread *t);
/* The last request of a stopping thread was answered. */
void wk_http_thread_idle(struct wk_http_thread *t);

#endif
