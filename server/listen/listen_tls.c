#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "ready.h"
#include "tls.h"

#define HANDSHAKE_S 10
#define OUTPUT_BYTES 65536 /* frames are fetched while less than this waits for the socket */
#define INPUT_BYTES 65536  /* read ahead of the session */

struct tls_conn {
    struct wk_ready_link link; /* first: a link is its connection */
    struct tls_conn *prev, *next;
    struct wk_tls_listener *owner;
    struct bufferevent *bev;
    wkim_session *session; /* from the end of the handshake on */
    char remote[WK_ADDR_TEXT];
    int ending; /* nothing comes any more, close when the output is empty */
};

struct wk_tls_listener {
    struct server *server;
    SSL_CTX *ctx;
    struct wk_ready ready;
    int wake_fd;
    struct event *wake;
    struct tls_conn head; /* circular */
};

static void wake_loop(void *user)
{
    struct wk_tls_listener *t = user;
    uint64_t one = 1;

    if (write(t->wake_fd, &one, sizeof(one)) < 0)
        return; /* the counter is full: a wake-up is under way anyway */
}

static void conn_free(struct tls_conn *c)
{
    if (c->session)
        wkim_session_close(c->session);
    wk_ready_remove(&c->owner->ready, &c->link);
    c->prev->next = c->next;
    c->next->prev = c->prev;
    bufferevent_free(c->bev);
    free(c);
}

/* Move frames to the socket.  1: the connection is gone. */
static int pump_out(struct tls_conn *c)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);
    wkim_slice frame;
    int text, rc = 0;

    if (!c->session)
        return 0;
    while (!c->ending && evbuffer_get_length(out) < OUTPUT_BYTES) {
        rc = wkim_session_drain(c->session, &frame, &text);
        if (rc == 0)
            return 0;
        if (rc == 1 && bufferevent_write(c->bev, frame.p, frame.n) == 0)
            continue;
        c->ending = 1;
        (void)bufferevent_disable(c->bev, EV_READ);
    }
    if (!c->ending || evbuffer_get_length(out) > 0)
        return 0;
    conn_free(c);
    return 1;
}

/* Hand what was read to the session; what it does not take stays in the buffer, unread. */
static void pump_in(struct tls_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    struct evbuffer_iovec part;
    int rc = WKIM_OK;

    while (c->session && rc == WKIM_OK && evbuffer_peek(in, -1, NULL, &part, 1) > 0) {
        rc = wkim_session_feed(c->session, part.iov_base, part.iov_len);
        if (rc == WKIM_OK)
            (void)evbuffer_drain(in, part.iov_len);
    }
    if (rc == WKIM_OK && !c->ending)
        (void)bufferevent_enable(c->bev, EV_READ);
    else
        (void)bufferevent_disable(c->bev, EV_READ);
}

static void on_read(struct bufferevent *bev, void *user)
{
    (void)bev;
    pump_in(user);
}

static void on_written(struct bufferevent *bev, void *user)
{
    (void)bev;
    (void)pump_out(user);
}

static void session_ready(void *user)
{
    struct tls_conn *c = user;

    wk_ready_push(&c->owner->ready, &c->link);
}

static void on_wake(evutil_socket_t fd, short what, void *user)
{
    struct wk_tls_listener *t = user;
    struct wk_ready_link *l;
    uint64_t n;

    (void)what;
    if (read((int)fd, &n, sizeof(n)) < 0)
        return;
    while ((l = wk_ready_take(&t->ready)) != NULL) {
        struct tls_conn *c = (struct tls_conn *)l;

        pump_in(c);
        (void)pump_out(c);
    }
}

static int open_session(struct tls_conn *c)
{
    wkim_session_options opt = {
        .size = sizeof(opt), .on_ready = session_ready, .user = c, .remote = c->remote,
        .listener = WKIM_LISTENER_TLS};

    return wkim_session_open(&c->session, c->owner->server->node, &opt);
}

static void on_change(struct bufferevent *bev, short what, void *user)
{
    struct tls_conn *c = user;

    if (!(what & BEV_EVENT_CONNECTED) || open_session(c) != WKIM_OK) {
        conn_free(c);
        return;
    }
    bufferevent_set_timeouts(bev, NULL, NULL);
    bufferevent_setwatermark(bev, EV_READ, 0, INPUT_BYTES);
    (void)bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void on_socket(void *user, int fd, const struct sockaddr *peer)
{
    static const struct timeval handshake = {HANDSHAKE_S, 0};
    struct wk_tls_listener *t = user;
    struct tls_conn *c = calloc(1, sizeof(*c));
    SSL *ssl = c ? SSL_new(t->ctx) : NULL;

    if (ssl)
        c->bev = bufferevent_openssl_socket_new(t->server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING,
                                                BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (!ssl || !c->bev) {
        SSL_free(ssl);
        free(c);
        (void)close(fd);
        return;
    }
    c->owner = t;
    c->next = &t->head;
    c->prev = t->head.prev;
    c->prev->next = c->next->prev = c;
    wk_net_text(peer, c->remote);
    bufferevent_setcb(c->bev, on_read, on_written, on_change, c);
    bufferevent_set_timeouts(c->bev, &handshake, &handshake);
    (void)bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

int wk_tls_reload(struct wk_tls_listener *t, wkim_error *err)
{
    const wkim_config *cfg = t->server->config;
    SSL_CTX *ctx = wk_tls_context(wkim_config_get(cfg, "tlsConfig.certFile"),
                                  wkim_config_get(cfg, "tlsConfig.keyFile"), err);

    if (!ctx)
        return err->code;
    SSL_CTX_free(t->ctx); /* connections hold their own reference */
    t->ctx = ctx;
    return WKIM_OK;
}

int wk_tls_start(struct wk_tls_listener **out, struct server *s, wkim_error *err)
{
    struct wk_tls_listener *t = calloc(1, sizeof(*t));
    int rc;

    if (!t) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return WKIM_ENOMEM;
    }
    t->server = s;
    t->head.prev = t->head.next = &t->head;
    wk_ready_init(&t->ready, wake_loop, t);
    t->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->wake_fd >= 0)
        t->wake = event_new(s->base, t->wake_fd, EV_READ | EV_PERSIST, on_wake, t);
    if (!t->wake || event_add(t->wake, NULL) != 0) {
        wk_tls_stop(t);
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "tlsAddr: out of memory or descriptors");
        return WKIM_ENOMEM;
    }
    rc = wk_tls_reload(t, err);
    if (rc == WKIM_OK)
        rc = wk_accept_start(s->tls, s->base, on_socket, t, err);
    if (rc != WKIM_OK) {
        wk_tls_stop(t);
        return rc;
    }
    *out = t;
    return WKIM_OK;
}

void wk_tls_stop(struct wk_tls_listener *t)
{
    if (!t)
        return;
    while (t->head.next != &t->head)
        conn_free(t->head.next);
    if (t->wake)
        event_free(t->wake);
    if (t->wake_fd >= 0)
        (void)close(t->wake_fd);
    SSL_CTX_free(t->ctx);
    wk_ready_fini(&t->ready);
    free(t);
}
