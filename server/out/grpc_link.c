#include "out/grpc_link.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wkim/error.h>

#define PING_AFTER_MS 300000 /* without a byte from the peer */
#define PING_WAIT_MS 2000
#define OUT_BYTES_MAX 131072 /* in the socket's buffer; more stays in the calls */
#define READ_BYTES_MAX 65536 /* taken from the socket at a time */

struct wk_grpc_link {
    struct event_base *base;
    const struct wk_grpc_target *target;
    const struct wk_grpc_link_ops *ops;
    void *user;
    struct evdns_base *dns; /* while the name is looked up */
    struct evdns_getaddrinfo_request *lookup;
    struct evutil_addrinfo *addresses, *address; /* the one being tried */
    struct bufferevent *bev;
    struct event *timer;
    struct wk_grpc_conn *conn;
    int64_t begun_ms, heard_ms, called_ms, pinged_ms;
    bool live, closed;
    char why[WK_GRPC_REASON_MAX]; /* of the last address that was tried */
};

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void arm(struct wk_grpc_link *l, int64_t ms)
{
    struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000 };

    (void)evtimer_add(l->timer, &tv);
}

static void drop_socket(struct wk_grpc_link *l)
{
    if (l->bev)
        bufferevent_free(l->bev);
    l->bev = NULL;
}

/* A lookup that is under way answers later; by then nobody waits for it. */
static void drop_lookup(struct wk_grpc_link *l)
{
    if (l->lookup)
        evdns_getaddrinfo_cancel(l->lookup);
    l->lookup = NULL;
}

static void close_link(struct wk_grpc_link *l, const char *why)
{
    char text[WK_GRPC_REASON_MAX];

    if (l->closed)
        return;
    (void)snprintf(text, sizeof(text), "%s", why); /* it may belong to what is freed here */
    l->closed = true;
    l->live = false;
    drop_socket(l);
    drop_lookup(l);
    (void)evtimer_del(l->timer);
    wk_grpc_conn_free(l->conn, text);
    l->conn = NULL;
    l->ops->closed(l->user, l, text);
}

/* ---- a connection that lives ----------------------------------------------------------------- */

static const char *why_of(const struct wk_grpc_link *l, const char *otherwise)
{
    const char *why = l->conn ? wk_grpc_conn_why(l->conn) : "";

    return *why ? why : otherwise;
}

static void pump_out(struct wk_grpc_link *l)
{
    struct evbuffer *out = bufferevent_get_output(l->bev);
    const uint8_t *p;

    while (evbuffer_get_length(out) < OUT_BYTES_MAX) {
        wkim_ssize n = wk_grpc_conn_drain(l->conn, &p);

        if (n == 0)
            return;
        if (n < 0 || evbuffer_add(out, p, (size_t)n) != 0) {
            close_link(l, why_of(l, "the connection was closed"));
            return;
        }
    }
}

/* Nothing has been heard for a while: ask.  The timer comes again for the answer. */
static void watch(struct wk_grpc_link *l)
{
    int64_t now = now_ms();

    if (wk_grpc_conn_pinging(l->conn)) {
        if (now - l->pinged_ms >= PING_WAIT_MS) {
            close_link(l, "the receiver does not answer a ping");
            return;
        }
        arm(l, l->pinged_ms + PING_WAIT_MS - now);
    } else if (now - l->heard_ms >= PING_AFTER_MS) {
        wk_grpc_conn_ping(l->conn);
        l->pinged_ms = now;
        arm(l, PING_WAIT_MS);
        pump_out(l);
    } else {
        arm(l, l->heard_ms + PING_AFTER_MS - now);
    }
}

static void on_read(struct bufferevent *bev, void *user)
{
    struct wk_grpc_link *l = user;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_contiguous_space(in);

    l->heard_ms = now_ms();
    while (n > 0) {
        int rc = wk_grpc_conn_feed(l->conn, evbuffer_pullup(in, (ev_ssize_t)n), n);

        (void)evbuffer_drain(in, n);
        if (rc != 0) {
            close_link(l, why_of(l, "the connection was closed"));
            return;
        }
        n = evbuffer_get_contiguous_space(in);
    }
    pump_out(l);
    if (l->closed)
        return;
    if (!l->live && wk_grpc_conn_ready(l->conn)) {
        l->live = true;
        watch(l);
    }
    if (l->live && wk_grpc_conn_closing(l->conn) && wk_grpc_conn_calls(l->conn) == 0)
        close_link(l, why_of(l, "the connection was closed"));
    else if (l->live)
        l->ops->ready(l->user, l);
}

static void on_write(struct bufferevent *bev, void *user)
{
    (void)bev;
    pump_out(user);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void try_next(struct wk_grpc_link *l);

static void on_event(struct bufferevent *bev, short what, void *user)
{
    struct wk_grpc_link *l = user;
    int on = 1;

    if (what & BEV_EVENT_CONNECTED) {
        (void)setsockopt(bufferevent_getfd(bev), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (bufferevent_enable(bev, EV_READ | EV_WRITE) != 0 ||
            wk_grpc_conn_new(&l->conn, l->target->authority, l->ops->done, l->user) != WKIM_OK) {
            close_link(l, "out of memory");
            return;
        }
        pump_out(l);
        return;
    }
    const char *text = what & BEV_EVENT_ERROR ? evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR())
                                              : "the receiver closed the connection";

    if (l->conn) {
        close_link(l, why_of(l, text));
        return;
    }
    (void)snprintf(l->why, sizeof(l->why), "cannot connect to %s: %s", l->target->authority, text);
    l->address = l->address->ai_next;
    try_next(l);
}

static int try_address(struct wk_grpc_link *l)
{
    const struct evutil_addrinfo *a = l->address;

    drop_socket(l);
    l->bev = bufferevent_socket_new(l->base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!l->bev)
        return -1;
    bufferevent_setcb(l->bev, on_read, on_write, on_event, l);
    bufferevent_setwatermark(l->bev, EV_READ, 0, READ_BYTES_MAX);
    return bufferevent_socket_connect(l->bev, a->ai_addr, (int)a->ai_addrlen);
}

static void try_next(struct wk_grpc_link *l)
{
    int64_t left = l->begun_ms + WK_GRPC_CONNECT_MS - now_ms();

    for (; l->address && left > 0; l->address = l->address->ai_next) {
        int n = 0;

        for (const struct evutil_addrinfo *a = l->address; a; a = a->ai_next)
            n++;
        if (try_address(l) == 0) {
            arm(l, left / n > 0 ? left / n : 1); /* the others want their turn, too */
            return;
        }
        (void)snprintf(l->why, sizeof(l->why), "cannot connect to %s: %s", l->target->authority,
                       evutil_socket_error_to_string(errno));
    }
    close_link(l, l->why);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
    struct wk_grpc_link *l = user;

    (void)fd;
    (void)what;
    if (l->live) {
        watch(l);
    } else if (l->conn) {
        close_link(l, why_of(l, "the receiver accepts connections but does not speak HTTP/2"));
    } else if (l->address) {
        (void)snprintf(l->why, sizeof(l->why), "cannot connect to %s: no answer",
                       l->target->authority);
        l->address = l->address->ai_next;
        try_next(l);
    } else {
        (void)snprintf(l->why, sizeof(l->why), "the name of %s is not answered",
                       l->target->authority);
        close_link(l, l->why);
    }
}

static void on_names(int error, struct evutil_addrinfo *list, void *user)
{
    struct wk_grpc_link *l = user;

    if (error == EVUTIL_EAI_CANCEL)
        return; /* by drop_lookup; l may be gone */
    l->lookup = NULL;
    if (error != 0 || !list) {
        (void)snprintf(l->why, sizeof(l->why), "the name of %s is not known: %s",
                       l->target->authority, evutil_gai_strerror(error));
        close_link(l, l->why);
        return;
    }
    l->addresses = l->address = list;
    try_next(l);
}

/* A numeric address needs no server of names.  With a new evdns base each time, changes of
 * resolv.conf and hosts count at once. */
static int look_up(struct wk_grpc_link *l)
{
    struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_protocol = IPPROTO_TCP,
                                     .ai_flags = EVUTIL_AI_NUMERICHOST };

    arm(l, WK_GRPC_CONNECT_MS);
    if (evutil_getaddrinfo(l->target->host, l->target->port, &hints, &l->addresses) == 0) {
        l->address = l->addresses;
        try_next(l);
        return WKIM_OK;
    }
    l->addresses = NULL;
    l->dns = evdns_base_new(l->base,
                            EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    if (!l->dns)
        return WKIM_ENOMEM;
    hints.ai_flags = 0;
    l->lookup = evdns_getaddrinfo(l->dns, l->target->host, l->target->port, &hints, on_names, l);
    return WKIM_OK;
}

/* ---- life ------------------------------------------------------------------------------------ */

int wk_grpc_link_new(struct wk_grpc_link **out, struct event_base *base,
                     const struct wk_grpc_target *target, const struct wk_grpc_link_ops *ops,
                     void *user)
{
    struct wk_grpc_link *l = calloc(1, sizeof(*l));

    if (!l)
        return WKIM_ENOMEM;
    *out = l;
    l->base = base;
    l->target = target;
    l->ops = ops;
    l->user = user;
    l->begun_ms = l->heard_ms = l->called_ms = now_ms();
    l->timer = evtimer_new(base, on_timer, l);
    if (!l->timer || look_up(l) != WKIM_OK) {
        wk_grpc_link_free(l);
        *out = NULL;
        return WKIM_ENOMEM;
    }
    return WKIM_OK;
}

void wk_grpc_link_free(struct wk_grpc_link *l)
{
    if (!l)
        return;
    l->closed = true;
    wk_grpc_conn_free(l->conn, "the server stops");
    drop_lookup(l);
    if (l->dns)
        evdns_base_free(l->dns, 0);
    drop_socket(l);
    if (l->timer)
        event_free(l->timer);
    if (l->addresses)
        evutil_freeaddrinfo(l->addresses);
    free(l);
}

bool wk_grpc_link_live(const struct wk_grpc_link *l)
{
    return l->live && !wk_grpc_conn_closing(l->conn);
}

bool wk_grpc_link_closed(const struct wk_grpc_link *l)
{
    return l->closed;
}

unsigned wk_grpc_link_room(const struct wk_grpc_link *l)
{
    return l->live ? wk_grpc_conn_room(l->conn) : 0;
}

unsigned wk_grpc_link_calls(const struct wk_grpc_link *l)
{
    return l->conn ? wk_grpc_conn_calls(l->conn) : 0;
}

bool wk_grpc_link_idle(const struct wk_grpc_link *l, int64_t for_ms)
{
    return l->live && wk_grpc_link_calls(l) == 0 && now_ms() - l->called_ms >= for_ms;
}

int wk_grpc_link_start(struct wk_grpc_link *l, struct wk_grpc_call *c)
{
    if (wk_grpc_conn_start(l->conn, c) != 0)
        return -1;
    l->called_ms = now_ms();
    pump_out(l);
    return 0;
}

void wk_grpc_link_cancel(struct wk_grpc_link *l, struct wk_grpc_call *c, const char *why)
{
    wk_grpc_conn_cancel(l->conn, c, why);
    if (!wk_grpc_conn_pinging(l->conn)) {
        wk_grpc_conn_ping(l->conn);
        l->pinged_ms = now_ms();
        arm(l, PING_WAIT_MS);
    }
    pump_out(l);
}
