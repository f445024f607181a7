#include "http/http.h"

#include "http/metrics/charts.h"
#include "http/listen.h"
#include "http/request.h"
#include "http/route.h"

#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Answers taken from the queue before other events of the thread get their turn. */
#define ANSWERS_PER_TURN 256

static const struct timeval stop_limit = {2, 0};        /* for requests under way */
static const struct timeval flush_time = {0, 50000};    /* for the last bytes of answers */
static const struct timeval accept_retry = {0, 200000}; /* after running out of descriptors */

/* evhttp puts its own argument on its listeners, so the accept error callback has no other way to
 * the thread it runs on. */
static _Thread_local struct wk_http_thread *this_thread;

static int fail(wkim_error *err, int code, const char *what)
{
    err->code = code;
    snprintf(err->text, sizeof(err->text), "HTTP: %s: %s", what, wkim_strerror(code));
    return code;
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    wk_req_start(arg, ev);
}

void wk_http_thread_hold(struct wk_http_thread *t)
{
    if (t->holding)
        return;
    t->holding = 1;
    wkim_calls_hold();
    event_active(t->round_event, EV_TIMEOUT, 0);
}

static void on_round_end(evutil_socket_t fd, short what, void *arg)
{
    struct wk_http_thread *t = arg;

    (void)fd;
    (void)what;
    t->holding = 0;
    wkim_calls_release();
}

static void on_answers(evutil_socket_t fd, short what, void *arg)
{
    struct wk_http_thread *t = arg;

    (void)fd;
    (void)what;
    for (int i = 0; i < ANSWERS_PER_TURN; i++) {
        wkim_reply *reply;

        if (wkim_queue_next(t->queue, &reply, 0) != WKIM_OK)
            return;
        struct wk_call *c = wkim_reply_user(reply);

        if (c) {
            struct wk_req *r = c->req;

            wk_http_thread_hold(t);
            r->calls--;
            c->then(c, reply);
            wk_req_settle(r);
        }
        wkim_reply_free(reply);
    }
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    struct wk_http_thread *t = arg;

    (void)fd;
    (void)what;
    if (t->stopping)
        return;
    t->stopping = 1;
    for (size_t i = 0; i < WK_HTTP_SIDES; i++) {
        struct wk_http_listener *l = &t->listeners[i];

        if (l->socket)
            evhttp_del_accept_socket(l->evhttp, l->socket);
        l->socket = NULL;
    }
    event_base_loopexit(t->base, t->n_reqs ? &stop_limit : &flush_time);
}

void wk_http_thread_idle(struct wk_http_thread *t)
{
    event_base_loopexit(t->base, &flush_time);
}

static void on_accept_retry(evutil_socket_t fd, short what, void *arg)
{
    struct wk_http_listener *l = arg;

    (void)fd;
    (void)what;
    if (l->socket)
        evconnlistener_enable(evhttp_bound_socket_get_listener(l->socket));
}

/* Out of descriptors: pause instead of spinning on a socket that stays readable. */
static void on_accept_error(struct evconnlistener *listener, void *evhttp)
{
    struct wk_http_thread *t = this_thread;

    (void)evhttp;
    for (size_t i = 0; t && i < WK_HTTP_SIDES; i++) {
        struct wk_http_listener *l = &t->listeners[i];

        if (l->socket && evhttp_bound_socket_get_listener(l->socket) == listener) {
            evconnlistener_disable(listener);
            event_add(l->retry, &accept_retry);
        }
    }
}

static int open_listener(struct wk_http_thread *t, enum wk_http_side side, const char *address,
                         wkim_error *err)
{
    static const char *const keys[WK_HTTP_SIDES] = {[WK_SIDE_API] = "httpAddr",
                                                    [WK_SIDE_MANAGER] = "manager.addr",
                                                    [WK_SIDE_DEMO] = "demo.addr"};
    const struct wk_http_options *o = &t->http->opt;
    struct wk_http_listener *l = &t->listeners[side];

    if (!*address)
        return WKIM_OK;
    l->thread = t;
    l->side = side;
    l->evhttp = evhttp_new(t->base);
    l->retry = evtimer_new(t->base, on_accept_retry, l);
    if (!l->evhttp || !l->retry)
        return fail(err, WKIM_ENOMEM, address);
    evhttp_set_max_headers_size(l->evhttp, WK_HTTP_HEADERS_MAX);
    evhttp_set_max_body_size(l->evhttp, side == WK_SIDE_API ? (ev_ssize_t)o->body_max : 65536);
    evhttp_set_timeout(l->evhttp, WK_HTTP_IDLE_S);
    evhttp_set_default_content_type(l->evhttp, NULL);
    evhttp_set_allowed_methods(l->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                              EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                              EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(l->evhttp, on_request, l);
    int shared = o->threads > 1 && side == WK_SIDE_API;
    int fd = wk_listen_open(keys[side], address,
                            !shared                     ? WK_LISTEN_ALONE
                            : t == &t->http->threads[0] ? WK_LISTEN_FIRST
                                                        : WK_LISTEN_NEXT,
                            err);

    if (fd < 0)
        return err->code;
    struct evconnlistener *listener = evconnlistener_new(
        t->base, NULL, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);

    if (!listener) {
        close(fd);
        return fail(err, WKIM_ENOMEM, address);
    }
    l->socket = evhttp_bind_listener(l->evhttp, listener);
    if (!l->socket) {
        evconnlistener_free(listener);
        return fail(err, WKIM_ENOMEM, address);
    }
    return WKIM_OK;
}

static void watch_accept_errors(struct wk_http_thread *t)
{
    for (size_t i = 0; i < WK_HTTP_SIDES; i++) {
        struct wk_http_listener *l = &t->listeners[i];

        if (l->socket)
            evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(l->socket),
                                        on_accept_error);
    }
}

/* Only its own thread touches the base, so it needs no lock.  No change list: it would take a
 * closed connection out of the epoll set late, when its number may be another thread's file. */
static struct event_base *new_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;

    if (!cfg)
        return NULL;
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static int thread_init(struct wk_http_thread *t, struct wk_http *h, int first, wkim_error *err)
{
    t->http = h;
    t->base = new_base();
    t->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (!t->base || t->stop_fd < 0)
        return fail(err, WKIM_ENOMEM, "event base");
    int rc = wkim_queue_new(&t->queue);

    if (rc != WKIM_OK)
        return fail(err, rc, "queue");
    t->queue_event =
        event_new(t->base, wkim_queue_fd(t->queue), EV_READ | EV_PERSIST, on_answers, t);
    t->stop_event = event_new(t->base, t->stop_fd, EV_READ, on_stop, t);
    t->round_event = event_new(t->base, -1, 0, on_round_end, t);
    if (!t->queue_event || !t->stop_event || !t->round_event ||
        event_add(t->queue_event, NULL) != 0 || event_add(t->stop_event, NULL) != 0)
        return fail(err, WKIM_ENOMEM, "events");
    rc = open_listener(t, WK_SIDE_API, h->opt.api_addr, err);
    if (rc == WKIM_OK && first)
        rc = open_listener(t, WK_SIDE_MANAGER, h->opt.manager_addr, err);
    if (rc == WKIM_OK && first)
        rc = open_listener(t, WK_SIDE_DEMO, h->opt.demo_addr, err);
    if (rc == WKIM_OK)
        watch_accept_errors(t);
    if (rc == WKIM_OK && first && wk_charts_start(&h->charts, h, t->base) != WKIM_OK)
        rc = fail(err, WKIM_ENOMEM, "charts");
    return rc;
}

/* The thread does not run (any more). */
static void thread_fini(struct wk_http_thread *t)
{
    wkim_queue_free(t->queue);
    while (t->reqs)
        wk_req_drop(t->reqs);
    wk_req_free_spare(t);
    for (size_t i = 0; i < WK_HTTP_SIDES; i++) {
        if (t->listeners[i].evhttp)
            evhttp_free(t->listeners[i].evhttp);
        if (t->listeners[i].retry)
            event_free(t->listeners[i].retry);
    }
    if (t->queue_event)
        event_free(t->queue_event);
    if (t->stop_event)
        event_free(t->stop_event);
    if (t->round_event)
        event_free(t->round_event);
    if (t->base)
        event_base_free(t->base);
    if (t->stop_fd >= 0)
        close(t->stop_fd);
}

static void *thread_main(void *arg)
{
    struct wk_http_thread *t = arg;

    this_thread = t;
    event_base_dispatch(t->base);
    /* The loop may have been left before the end of a round. */
    if (t->holding)
        on_round_end(-1, 0, t);
    return NULL;
}

int wk_http_start(struct wk_http **out, wkim_node *node, const wkim_config *cfg, wkim_error *err)
{
    struct wk_http *h = calloc(1, sizeof(*h));
    struct wk_accounts *accounts = NULL;
    struct timespec now;
    int rc;

    if (!h)
        return fail(err, WKIM_ENOMEM, "server");
    for (size_t i = 0; i < WK_HTTP_THREADS_MAX; i++)
        h->threads[i].stop_fd = -1;
    h->node = node;
    pthread_mutex_init(&h->cpu.lock, NULL);
    pthread_mutex_init(&h->top_lock, NULL);
    clock_gettime(CLOCK_REALTIME, &now);
    h->start_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    h->counts = calloc(wk_routes_count + 1, sizeof(*h->counts));
    rc = h->counts ? wk_http_options_read(&h->opt, cfg, err) : fail(err, WKIM_ENOMEM, "counters");
    if (rc == WKIM_OK && wk_accounts_new(&accounts, cfg) != WKIM_OK)
        rc = fail(err, WKIM_ENOMEM, "accounts");
    atomic_store(&h->accounts, accounts);
    for (int i = 0; rc == WKIM_OK && i < h->opt.threads; i++)
        rc = thread_init(&h->threads[i], h, i == 0, err);
    for (int i = 0; rc == WKIM_OK && i < h->opt.threads; i++) {
        struct wk_http_thread *t = &h->threads[i];

        if (pthread_create(&t->id, NULL, thread_main, t) != 0)
            rc = fail(err, WKIM_ENOMEM, "thread");
        else
            t->running = 1;
    }
    if (rc != WKIM_OK) {
        wk_http_stop(h);
        return rc;
    }
    *out = h;
    return WKIM_OK;
}

/* Old values stay: a request of another thread may be looking at them. */
struct wk_http_retired {
    struct wk_http_retired *next;
    char *token;
    struct wk_accounts *accounts;
};

static void free_retired(struct wk_http *h)
{
    while (h->retired) {
        struct wk_http_retired *r = h->retired;

        h->retired = r->next;
        free(r->token);
        wk_accounts_free(r->accounts);
        free(r);
    }
}

int wk_http_reload(struct wk_http *h, const wkim_config *cfg)
{
    struct wk_http_retired *old = calloc(1, sizeof(*old));
    char *token = strdup(wkim_config_get(cfg, "managerToken"));
    struct wk_accounts *accounts = NULL;

    if (!old || !token || wk_accounts_new(&accounts, cfg) != WKIM_OK) {
        free(old);
        free(token);
        return WKIM_ENOMEM;
    }
    old->token = atomic_exchange(&h->opt.token, token);
    old->accounts = atomic_exchange(&h->accounts, accounts);
    old->next = h->retired;
    h->retired = old;
    return WKIM_OK;
}

void wk_http_serving(struct wk_http *h)
{
    atomic_store(&h->serving, 1);
}

void wk_http_set_warnings(struct wk_http *h, int warnings)
{
    atomic_store(&h->config_warnings, warnings);
}

void wk_http_set_out(struct wk_http *h, struct wk_out *out)
{
    atomic_store(&h->out, out);
}

void wk_http_stop(struct wk_http *h)
{
    const uint64_t one = 1;

    if (!h)
        return;
    for (size_t i = 0; i < WK_HTTP_THREADS_MAX; i++) {
        /* A full eventfd counter is readable too, so a failed write wakes the thread as well. */
        if (h->threads[i].running && write(h->threads[i].stop_fd, &one, sizeof(one)) < 0)
            continue;
    }
    for (size_t i = 0; i < WK_HTTP_THREADS_MAX; i++) {
        if (h->threads[i].running)
            pthread_join(h->threads[i].id, NULL);
        if (i == 0)
            wk_charts_free(h->charts); /* before the base of its timer */
        thread_fini(&h->threads[i]);
    }
    wk_accounts_free(h->accounts);
    free_retired(h);
    wk_http_options_fini(&h->opt);
    pthread_mutex_destroy(&h->top_lock);
    free(h->counts);
    pthread_mutex_destroy(&h->cpu.lock);
    free(h);
}
