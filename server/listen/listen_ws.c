#include "listen/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RX_BYTES 1024   /* payload handed up at a time; costs this much per connection */
#define UPGRADE_S 10    /* from accept to the end of the upgrade */
#define GOODBYE_MS 2000 /* closing handshakes at the stop */
#define PULSES 8       /* looks at every connection within connIdleTime */
#define PULSE_MS 10000 /* at most this far apart */

/* The service thread looks at what other threads left for it. */
static void adopt_sockets(struct wk_ws_thread *t)
{
    struct wk_ws_socket *s, *next;

    (void)pthread_mutex_lock(&t->lock);
    s = t->accepted;
    t->accepted = NULL;
    (void)pthread_mutex_unlock(&t->lock);
    for (; s; s = next) {
        next = s->next;
        /* On failure the library closes the socket itself. */
        if (atomic_load(&t->stopping) || wk_ws_tap_add(&t->tap, s->fd) != 0)
            (void)close(s->fd);
        else
            (void)lws_adopt_socket_vhost(s->tls ? t->tls : t->plain, s->fd);
        free(s);
    }
}

static void look_around(struct wk_ws_thread *t)
{
    struct wk_ready_link *l;

    adopt_sockets(t);
    while ((l = wk_ready_take(&t->ready)) != NULL)
        wk_ws_conn_ready((struct wk_ws_conn *)l);
    if (atomic_load(&t->stopping) == 2 && t->loop)
        t->owner->loops.quit(t->loop, WK_WS_LOOP_QUIT_ALL);
    if (atomic_load(&t->stopping) == 1)
        for (struct wk_ws_conn *c = t->head.next; c != &t->head; c = c->next)
            (void)lws_callback_on_writable(c->wsi);
}

static void on_pulse(lws_sorted_usec_list_t *pulse)
{
    struct wk_ws_thread *t = lws_container_of(pulse, struct wk_ws_thread, pulse);
    unsigned ms = t->owner->pulse_ms;

    for (struct wk_ws_conn *c = t->head.next; c != &t->head; c = c->next)
        wk_ws_conn_listen(c, ms);
    lws_sul_schedule(t->context, 0, pulse, on_pulse, (lws_usec_t)ms * LWS_US_PER_MS);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct wk_ws_thread *t = wsi ? lws_context_user(lws_get_context(wsi)) : NULL;

    switch (reason) {
    case LWS_CALLBACK_HTTP:
        return wk_ws_plain_request(wsi);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return wk_ws_upgrade_check(t, wsi, in);
    case LWS_CALLBACK_ESTABLISHED:
        return wk_ws_conn_open(t, user, wsi);
    case LWS_CALLBACK_RECEIVE:
        return wk_ws_conn_receive(user, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return wk_ws_conn_writable(user);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        wk_ws_conn_peer_closing(user);
        return 0;
    case LWS_CALLBACK_CLOSED:
        wk_ws_conn_closed(user);
        return 0;
    case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
        if (t && t->context)
            look_around(t);
        return 0;
    default:
        return 0;
    }
}

static void *service_main(void *arg)
{
    struct wk_ws_thread *t = arg;

    wk_ws_tap_use(&t->tap);
    on_pulse(&t->pulse);
    while (atomic_load(&t->stopping) < 2) {
        if (t->loop)
            (void)t->owner->loops.run(t->loop, 0);
        else if (lws_service(t->context, 0) < 0)
            break;
    }
    lws_context_destroy(t->context);
    if (t->loop)
        t->owner->loops.destroy(t->loop);
    return NULL;
}

static void wake_thread(void *user)
{
    struct wk_ws_thread *t = user;

    lws_cancel_service(t->context);
}

static void on_socket(struct wk_ws *w, int fd, int tls)
{
    struct wk_ws_thread *t = &w->threads[w->next_thread++ % w->n_threads];
    struct wk_ws_socket *s = malloc(sizeof(*s));

    if (!s) {
        (void)close(fd);
        return;
    }
    (void)pthread_mutex_lock(&t->lock);
    *s = (struct wk_ws_socket){t->accepted, fd, tls};
    t->accepted = s;
    (void)pthread_mutex_unlock(&t->lock);
    lws_cancel_service(t->context);
}

static void on_plain(void *user, int fd, const struct sockaddr *peer)
{
    (void)peer;
    on_socket(user, fd, 0);
}

static void on_tls(void *user, int fd, const struct sockaddr *peer)
{
    (void)peer;
    on_socket(user, fd, 1);
}

static int fail(wkim_error *err, const char *what)
{
    err->code = WKIM_EIO;
    (void)snprintf(err->text, sizeof(err->text), "%s", what);
    return WKIM_EIO;
}

static int make_vhosts(struct wk_ws_thread *t)
{
    const wkim_config *cfg = t->owner->server->config;
    struct lws_context_creation_info info = {0};

    info.port = CONTEXT_PORT_NO_LISTEN_SERVER;
    info.protocols = t->protocols;
    info.timeout_secs = UPGRADE_S;
    info.vhost_name = "ws";
    if (t->owner->server->ws) {
        t->plain = lws_create_vhost(t->context, &info);
        if (!t->plain)
            return -1;
    }
    if (t->owner->server->wss) {
        info.vhost_name = "wss";
        info.alpn = "http/1.1";
        info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
        info.ssl_cert_filepath = wkim_config_get(cfg, "wssConfig.certFile");
        info.ssl_private_key_filepath = wkim_config_get(cfg, "wssConfig.keyFile");
        info.ssl_options_set = SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
        t->tls = lws_create_vhost(t->context, &info);
        if (!t->tls)
            return -1;
    }
    return 0;
}

static int make_context(struct wk_ws_thread *t)
{
    /* No pings of our own: the node watches silence. */
    static const lws_retry_bo_t quiet = {0};
    struct lws_context_creation_info info = {0};

    t->protocols[0] = (struct lws_protocols){.name = t->subprotocol,
                                             .callback = on_event,
                                             .per_session_data_size = sizeof(struct wk_ws_conn),
                                             .rx_buffer_size = RX_BYTES};
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8 |
                   (t->owner->server->wss ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0);
    info.user = t;
    info.retry_and_idle_policy = &quiet;
    info.max_http_header_data = WK_WS_REQUEST_BYTES_MAX;
    info.server_string = "wkim";
    if (t->owner->loops.library)
        t->loop = t->owner->loops.make(0);
    if (t->loop) {
        struct lws_context_creation_info with_loop = info;

        with_loop.options |= LWS_SERVER_OPTION_LIBEV;
        with_loop.foreign_loops = &t->loop;
        t->context = lws_create_context(&with_loop);
        if (!t->context) {
            t->owner->loops.destroy(t->loop);
            t->loop = NULL;
        }
    }
    if (!t->context)
        t->context = lws_create_context(&info);
    return t->context && make_vhosts(t) == 0 ? 0 : -1;
}

static int thread_start(struct wk_ws_thread *t, struct wk_ws *w)
{
    t->owner = w;
    t->head.prev = t->head.next = &t->head;
    (void)pthread_mutex_init(&t->lock, NULL);
    wk_ready_init(&t->ready, wake_thread, t);
    if (make_context(t) != 0)
        return -1;
    t->running = pthread_create(&t->id, NULL, service_main, t) == 0;
    return t->running ? 0 : -1;
}

static void thread_fini(struct wk_ws_thread *t)
{
    if (!t->owner)
        return;
    if (t->running) {
        atomic_store(&t->stopping, 2);
        lws_cancel_service(t->context);
        (void)pthread_join(t->id, NULL);
    } else if (t->context) {
        lws_context_destroy(t->context);
        if (t->loop)
            t->owner->loops.destroy(t->loop);
    }
    while (t->accepted) {
        struct wk_ws_socket *s = t->accepted;

        t->accepted = s->next;
        (void)close(s->fd);
        free(s);
    }
    wk_ws_tap_fini(&t->tap);
    wk_ready_fini(&t->ready);
    (void)pthread_mutex_destroy(&t->lock);
    free(t->tx);
}

static void ws_free(struct wk_ws *w)
{
    for (size_t i = 0; i < w->n_threads; i++)
        thread_fini(&w->threads[i]);
    wk_ws_loops_close(&w->loops);
    free(w->threads);
    free(w);
}

static unsigned pulse_ms(const wkim_config *cfg)
{
    int64_t ms = wkim_config_int(cfg, "connIdleTime") / PULSES;

    return ms < 1 ? 1 : ms > PULSE_MS ? PULSE_MS : (unsigned)ms;
}

int wk_ws_start(struct wk_ws **out, struct server *s, wkim_error *err)
{
    size_t n = (size_t)wkim_config_int(s->config, "limits.wsThreads");
    struct wk_ws *w = calloc(1, sizeof(*w));
    int rc = WKIM_OK;

    if (w)
        w->threads = calloc(n, sizeof(*w->threads));
    if (!w || !w->threads) {
        free(w);
        return fail(err, "wsAddr: out of memory");
    }
    lws_set_log_level(0,
                      NULL); /* what it says concerns single clients; errors show as return codes */
    w->server = s;
    w->n_threads = n;
    w->pulse_ms = pulse_ms(s->config);
    if (wk_ws_loops_open(&w->loops) != 0)
        wk_log_say(s->log, WKIM_LOG_WARN, "websocket_polls",
                   "text=\"libev.so.4 is missing, many idle connections will cost more\"");
    for (size_t i = 0; i < n && rc == WKIM_OK; i++)
        if (thread_start(&w->threads[i], w) != 0)
            rc = fail(err, "wsAddr: the WebSocket service cannot be started");
    if (rc == WKIM_OK && s->ws)
        rc = wk_accept_start(s->ws, s->base, on_plain, w, err);
    if (rc == WKIM_OK && s->wss)
        rc = wk_accept_start(s->wss, s->base, on_tls, w, err);
    if (rc != WKIM_OK) {
        ws_free(w);
        return rc;
    }
    *out = w;
    return WKIM_OK;
}

void wk_ws_closing(struct wk_ws *w)
{
    if (w)
        atomic_store(&w->closing, 1);
}

void wk_ws_stop(struct wk_ws *w)
{
    int left = 1;

    if (!w)
        return;
    for (size_t i = 0; i < w->n_threads; i++) {
        atomic_store(&w->threads[i].stopping, 1);
        lws_cancel_service(w->threads[i].context);
    }
    for (int waited = 0; left && waited < GOODBYE_MS; waited += 10) {
        left = 0;
        for (size_t i = 0; i < w->n_threads; i++)
            left += atomic_load(&w->threads[i].n_conns);
        if (left)
            (void)usleep(10000);
    }
    ws_free(w);
}
