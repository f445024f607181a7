#include "out/grpc.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "out/grpc_link.h"

#define LINKS_MIN 2 /* opened at the start, kept when idle */
#define LINKS_MAX 20
#define IDLE_MS 300000
/* For a connection with room; one that cannot be opened says so a moment before. */
#define WAIT_MS (WK_GRPC_CONNECT_MS + 100)
#define CALL_MS 10000 /* for the answer */
#define AGAIN_MS 500  /* pause after a connection that could not be opened */

struct call {
    struct wk_grpc_call rpc;
    struct wk_out_grpc *out;
    struct wk_out_job *job;
    struct wk_grpc_link *link; /* NULL: it waits for one */
    struct call *next, **at;   /* while it waits */
    struct event *timer;
    uint8_t *frame;
    char signature[WK_OUT_SIGNATURE_MAX], delivery[64];
    bool again; /* it was refused once before the peer looked at it */
};

struct wk_out_grpc {
    struct wk_out_inbox inbox;
    struct wk_log_file *log;
    struct wk_grpc_target target;
    char *secret; /* "": nothing is signed */
    int64_t call_ms;
    struct event_base *base;
    struct event *wake, *pump, *tick;
    int wake_fd;
    pthread_t thread;
    int running;
    _Atomic int stop;
    /* of the thread */
    struct wk_grpc_link *links[LINKS_MAX]; /* NULL: free place */
    struct call *waiting, **waiting_tail;
    int64_t connect_at_ms; /* not before */
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pump_soon(struct wk_out_grpc *o)
{
    event_active(o->pump, EV_TIMEOUT, 0);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void arm(struct call *c, int64_t ms)
{
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

    (void)evtimer_add(c->timer, &tv);
}

static void wait_for_link(struct call *c, bool first)
{
    struct wk_out_grpc *o = c->out;

    c->link = NULL;
    c->at = first ? &o->waiting : o->waiting_tail;
    c->next = *c->at;
    *c->at = c;
    if (c->next)
        c->next->at = &c->next;
    else
        o->waiting_tail = &c->next;
    arm(c, WAIT_MS);
}

static void stop_waiting(struct call *c)
{
    if (!c->at)
        return;
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    else
        c->out->waiting_tail = c->at;
    c->at = NULL;
}

static void finish(struct call *c, int ok, const char *why)
{
    struct wk_out_job *job = c->job;

    stop_waiting(c);
    if (c->timer)
        event_free(c->timer);
    free(c->frame);
    free(c);
    job->done(job, ok, why);
}

static void on_done(void *user, struct wk_grpc_call *rpc, enum wk_grpc_result result,
                    const char *why)
{
    struct wk_out_grpc *o = user;
    struct call *c = (struct call *)((char *)rpc - offsetof(struct call, rpc));

    pump_soon(o);
    free(c->frame);
    c->frame = NULL;
    if (result == WK_GRPC_UNPROCESSED && !c->again && !atomic_load(&o->stop)) {
        c->again = true;
        wait_for_link(c, true);
        return;
    }
    finish(c, result == WK_GRPC_OK, why);
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
    struct call *c = user;
    char why[64];

    (void)fd;
    (void)what;
    if (!c->link) {
        finish(c, 0, "no connection to the receiver has room");
        return;
    }
    (void)snprintf(why, sizeof(why), "no answer within %lld ms", (long long)c->out->call_ms);
    wk_grpc_link_cancel(c->link, &c->rpc, why);
}

static void take(struct wk_out_grpc *o, struct wk_out_job *job)
{
    struct call *c = calloc(1, sizeof(*c));
    const wkim_slice id = job->request.delivery;

    if (c)
        c->timer = evtimer_new(o->base, on_deadline, c);
    if (!c || !c->timer) {
        free(c);
        job->done(job, 0, "out of memory");
        return;
    }
    c->out = o;
    c->job = job;
    c->rpc.timeout_ms = o->call_ms;
    if (*o->secret) {
        (void)snprintf(c->delivery, sizeof(c->delivery), "%.*s", (int)id.n, (const char *)id.p);
        c->rpc.delivery = c->delivery;
        c->rpc.signature = c->signature;
        if (wk_out_sign(c->signature, o->secret, job->request.body) != 0) {
            finish(c, 0, "it cannot be signed");
            return;
        }
    }
    wait_for_link(c, false);
}

static void start_call(struct call *c, struct wk_grpc_link *l)
{
    const wkim_hook_request *r = &c->job->request;
    char event[64];

    (void)snprintf(event, sizeof(event), "%.*s", (int)r->event.n, (const char *)r->event.p);
    c->frame = wk_grpc_request(event, r->body, &c->rpc.request_n);
    c->rpc.request = c->frame;
    if (!c->frame) {
        finish(c, 0, "out of memory");
        return;
    }
    stop_waiting(c);
    c->link = l;
    arm(c, c->out->call_ms);
    if (wk_grpc_link_start(l, &c->rpc) != 0)
        finish(c, 0, "out of memory");
}

/* ---- connections ----------------------------------------------------------------------------- */

static void on_ready(void *user, struct wk_grpc_link *l)
{
    (void)l;
    pump_soon(user);
}

static bool any_live(const struct wk_out_grpc *o)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        if (o->links[i] && wk_grpc_link_live(o->links[i]))
            return true;
    }
    return false;
}

/* Without any connection those that wait would only wait for this again. */
static void on_closed(void *user, struct wk_grpc_link *l, const char *why)
{
    struct wk_out_grpc *o = user;

    (void)l;
    wk_log_say(o->log, WKIM_LOG_DEBUG, "webhook_connection_closed", "addr=%s reason=\"%s\"",
               o->target.authority, why);
    o->connect_at_ms = now_ms() + AGAIN_MS;
    while (o->waiting && !any_live(o))
        finish(o->waiting, 0, why);
    pump_soon(o);
}

static const struct wk_grpc_link_ops ops = { on_done, on_ready, on_closed };

static void open_link(struct wk_out_grpc *o)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        if (o->links[i])
            continue;
        if (wk_grpc_link_new(&o->links[i], o->base, &o->target, &ops, o) != WKIM_OK)
            on_closed(o, NULL, "out of memory");
        return;
    }
}

static void free_closed(struct wk_out_grpc *o)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        if (o->links[i] && wk_grpc_link_closed(o->links[i])) {
            wk_grpc_link_free(o->links[i]);
            o->links[i] = NULL;
        }
    }
}

/* The one with the fewest calls among those that have room. */
static struct wk_grpc_link *choose(struct wk_out_grpc *o)
{
    struct wk_grpc_link *best = NULL;

    for (int i = 0; i < LINKS_MAX; i++) {
        struct wk_grpc_link *l = o->links[i];

        if (l && wk_grpc_link_room(l) &&
            (!best || wk_grpc_link_calls(l) < wk_grpc_link_calls(best)))
            best = l;
    }
    return best;
}

/* One more when every connection is busy; they are opened one after the other. */
static void grow(struct wk_out_grpc *o)
{
    bool live = false;

    for (int i = 0; i < LINKS_MAX; i++) {
        const struct wk_grpc_link *l = o->links[i];

        if (l && !wk_grpc_link_closed(l) && !wk_grpc_link_live(l) && !wk_grpc_link_calls(l))
            return; /* it is being opened */
        if (l && wk_grpc_link_live(l) && !wk_grpc_link_calls(l))
            return; /* it is free */
        live = live || (l && wk_grpc_link_live(l));
    }
    if (!live && !o->waiting)
        return;
    if (!live || now_ms() >= o->connect_at_ms)
        open_link(o);
}

static void on_pump(evutil_socket_t fd, short what, void *user)
{
    struct wk_out_grpc *o = user;
    struct wk_grpc_link *l;

    (void)fd;
    (void)what;
    free_closed(o);
    while (o->waiting && (l = choose(o)))
        start_call(o->waiting, l);
    grow(o);
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
    struct wk_out_grpc *o = user;
    int live = 0;

    (void)fd;
    (void)what;
    for (int i = 0; i < LINKS_MAX; i++)
        live += o->links[i] && wk_grpc_link_live(o->links[i]);
    for (int i = 0; i < LINKS_MAX && live > LINKS_MIN; i++) {
        if (o->links[i] && wk_grpc_link_idle(o->links[i], IDLE_MS)) {
            wk_grpc_link_free(o->links[i]);
            o->links[i] = NULL;
            live--;
        }
    }
}

/* ---- the thread ------------------------------------------------------------------------------ */

static void on_wake(evutil_socket_t fd, short what, void *user)
{
    struct wk_out_grpc *o = user;
    struct wk_out_job *job, *next;
    uint64_t n;

    (void)what;
    if (read(fd, &n, sizeof(n)) < 0)
        return;
    if (atomic_load(&o->stop)) {
        (void)event_base_loopbreak(o->base);
        return;
    }
    for (job = wk_out_inbox_take(&o->inbox); job; job = next) {
        next = job->next;
        take(o, job);
    }
    on_pump(-1, 0, o);
}

static void *run(void *user)
{
    struct wk_out_grpc *o = user;

    for (int i = 0; i < LINKS_MIN; i++)
        open_link(o);
    (void)event_base_dispatch(o->base);
    for (int i = 0; i < LINKS_MAX; i++)
        wk_grpc_link_free(o->links[i]);
    while (o->waiting)
        finish(o->waiting, 0, "the server stops");
    return NULL;
}

static void wake(struct wk_out_grpc *o)
{
    const uint64_t one = 1;
    ssize_t n = write(o->wake_fd, &one, sizeof(one));

    (void)n; /* an eventfd that takes no more is readable, too */
}

void wk_out_grpc_send(struct wk_out_grpc *o, struct wk_out_job *job)
{
    if (wk_out_inbox_put(&o->inbox, job))
        wake(o);
}

/* ---- life ------------------------------------------------------------------------------------ */

static int fail(wkim_error *err, int code, const char *text)
{
    err->code = code;
    (void)snprintf(err->text, sizeof(err->text), "webhook.grpcAddr: %s", text);
    return code;
}

/* host:port or [address]:port, as the configuration has checked; no host is this one. */
static void split_address(struct wk_grpc_target *t, const char *addr)
{
    const char *colon = strrchr(addr, ':');
    size_t n = (size_t)(colon - addr);
    bool brackets = n >= 2 && addr[0] == '[';

    (void)snprintf(t->host, sizeof(t->host), "%.*s", (int)(brackets ? n - 2 : n),
                   brackets ? addr + 1 : addr);
    if (!*t->host)
        (void)snprintf(t->host, sizeof(t->host), "127.0.0.1");
    (void)snprintf(t->port, sizeof(t->port), "%.5s", colon + 1);
    (void)snprintf(t->authority, sizeof(t->authority), "%s%s", n ? "" : t->host, addr);
}

static int make_events(struct wk_out_grpc *o)
{
    static const struct timeval tick = { 30, 0 };

    o->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    o->base = event_base_new();
    if (o->wake_fd < 0 || !o->base)
        return -1;
    o->wake = event_new(o->base, o->wake_fd, EV_READ | EV_PERSIST, on_wake, o);
    o->pump = event_new(o->base, -1, 0, on_pump, o);
    o->tick = event_new(o->base, -1, EV_PERSIST, on_tick, o);
    if (!o->wake || !o->pump || !o->tick)
        return -1;
    return event_add(o->wake, NULL) == 0 && event_add(o->tick, &tick) == 0 ? 0 : -1;
}

int wk_out_grpc_start(struct wk_out_grpc **out, const wkim_config *cfg, struct wk_log_file *log,
                      wkim_error *err)
{
    const char *addr = wkim_config_get(cfg, "webhook.grpcAddr");
    int64_t timeout_ms = wkim_config_int(cfg, "webhook.requestTimeout");
    struct wk_out_grpc *o;

    if (!*addr)
        return WKIM_OK;
    if (!strrchr(addr, ':'))
        return fail(err, WKIM_ECONFIG, "is not host:port");
    o = calloc(1, sizeof(*o));
    if (!o)
        return fail(err, WKIM_ENOMEM, "out of memory");
    *out = o;
    wk_out_inbox_init(&o->inbox);
    o->log = log;
    o->waiting_tail = &o->waiting;
    o->call_ms = timeout_ms < CALL_MS ? timeout_ms : CALL_MS;
    o->secret = strdup(wkim_config_get(cfg, "webhook.secret"));
    split_address(&o->target, addr);
    if (!o->secret || make_events(o) != 0)
        return fail(err, WKIM_ENOMEM, "out of memory");
    if (pthread_create(&o->thread, NULL, run, o) != 0)
        return fail(err, WKIM_EBUSY, "no thread");
    o->running = 1;
    return WKIM_OK;
}

void wk_out_grpc_stop(struct wk_out_grpc *o)
{
    if (!o)
        return;
    atomic_store(&o->stop, 1);
    if (o->running) {
        wake(o);
        (void)pthread_join(o->thread, NULL);
    }
    wk_out_inbox_fini(&o->inbox);
    if (o->wake)
        event_free(o->wake);
    if (o->pump)
        event_free(o->pump);
    if (o->tick)
        event_free(o->tick);
    if (o->base)
        event_base_free(o->base);
    if (o->wake_fd >= 0)
        (void)close(o->wake_fd);
    free(o->secret);
    free(o);
}
