#include "listen/ws.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define FRAMES_PER_TURN 16 /* of one connection before others get their turn */

static void session_ready(void *user)
{
    struct wk_ws_conn *c = user;

    wk_ready_push(&c->thread->ready, &c->link);
}

static void session_close(struct wk_ws_conn *c)
{
    if (!c->session)
        return;
    wkim_session_close(c->session);
    c->session = NULL;
    wk_ready_remove(&c->thread->ready, &c->link);
    free(c->pending);
    c->pending = NULL;
    c->n_pending = 0;
}

/* Ends a connection with a closing handshake; the value is for libwebsockets. */
static int finish(struct wk_ws_conn *c, enum lws_close_status code)
{
    session_close(c);
    lws_close_reason(c->wsi, code, NULL, 0);
    return -1;
}

int wk_ws_conn_open(struct wk_ws_thread *t, struct wk_ws_conn *c, struct lws *wsi)
{
    char remote[WK_ADDR_TEXT];
    wkim_session_options opt = {
        .size = sizeof(opt), .on_ready = session_ready, .user = c, .remote = remote,
        .listener = lws_get_vhost(wsi) == t->tls ? WKIM_LISTENER_WSS : WKIM_LISTENER_WS};

    opt.proxy = wk_ws_remote(&t->owner->server->trust, wsi, remote, sizeof(remote));
    memset(c, 0, sizeof(*c));
    c->thread = t;
    c->wsi = wsi;
    c->next = &t->head;
    c->prev = t->head.prev;
    c->prev->next = c->next->prev = c;
    atomic_fetch_add(&t->n_conns, 1);
    if (!wk_ws_tap_upgraded(&t->tap, lws_get_socket_fd(wsi))) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_PROTOCOL_ERR, NULL, 0);
        wk_ws_conn_closed(c);
        return -1;
    }
    if (atomic_load(&t->stopping) ||
        wkim_session_open(&c->session, t->owner->server->node, &opt) != WKIM_OK) {
        lws_close_reason(wsi, LWS_CLOSE_STATUS_GOINGAWAY, NULL, 0);
        wk_ws_conn_closed(c);
        return -1;
    }
    return 0;
}

void wk_ws_conn_closed(struct wk_ws_conn *c)
{
    if (!c->thread)
        return; /* never opened */
    session_close(c);
    c->prev->next = c->next;
    c->next->prev = c->prev;
    atomic_fetch_sub(&c->thread->n_conns, 1);
    c->thread = NULL;
}

/* Keep bytes that the session refused and stop reading. */
static int keep(struct wk_ws_conn *c, const void *in, size_t n)
{
    uint8_t *grown = realloc(c->pending, c->n_pending + n);

    if (!grown)
        return finish(c, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
    memcpy(grown + c->n_pending, in, n);
    c->pending = grown;
    c->n_pending += n;
    (void)lws_rx_flow_control(c->wsi, 0);
    return 0;
}

int wk_ws_conn_receive(struct wk_ws_conn *c, const void *in, size_t n)
{
    if (!c->session)
        return 0;
    if (lws_is_first_fragment(c->wsi))
        c->message_bytes = 0;
    c->message_bytes += n;
    if (c->message_bytes + lws_remaining_packet_payload(c->wsi) > WK_WS_MESSAGE_BYTES_MAX)
        return finish(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE);
    if (n == 0)
        return 0;
    c->heard = 1;
    if (c->n_pending == 0 && wkim_session_feed(c->session, in, n) != WKIM_EBUSY)
        return 0; /* taken, or the session ends and says so when it is drained */
    return keep(c, in, n);
}

void wk_ws_conn_listen(struct wk_ws_conn *c, unsigned within_ms)
{
    struct tcp_info info;
    socklen_t n = sizeof(info);

    if (c->session && !c->heard &&
        getsockopt(lws_get_socket_fd(c->wsi), IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
        info.tcpi_last_data_recv <= within_ms)
        (void)wkim_session_feed(c->session, NULL, 0);
    c->heard = 0;
}

static int send_frame(struct wk_ws_conn *c, wkim_slice frame, int text)
{
    struct wk_ws_thread *t = c->thread;

    if (t->tx_cap < LWS_PRE + frame.n) {
        size_t cap = (LWS_PRE + frame.n + 4095) & ~(size_t)4095;
        unsigned char *grown = realloc(t->tx, cap);

        if (!grown)
            return -1;
        t->tx = grown;
        t->tx_cap = cap;
    }
    memcpy(t->tx + LWS_PRE, frame.p, frame.n);
    return lws_write(c->wsi, t->tx + LWS_PRE, frame.n, text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY) < 0
               ? -1
               : 0;
}

/* One protocol frame is one message: clients in the field split merged ones wrongly.  Moves frames
 * while the socket takes them.  1: more may come, 0: nothing now, WKIM_ESTOPPED: nothing any more,
 * other errors: the connection cannot be used. */
static int pump_out(struct wk_ws_conn *c)
{
    for (int i = 0; i < FRAMES_PER_TURN; i++) {
        wkim_slice frame;
        int text, rc = wkim_session_drain(c->session, &frame, &text);

        if (rc != 1)
            return rc;
        if (send_frame(c, frame, text) != 0)
            return WKIM_EIO;
        if (lws_partial_buffered(c->wsi) || lws_send_pipe_choked(c->wsi))
            break;
    }
    return 1;
}

/* Writing at once saves a round of the loop, which costs more the more connections there are.
 * Closing is only possible from the writable event. */
void wk_ws_conn_ready(struct wk_ws_conn *c)
{
    if (!c->session)
        return;
    if (c->n_pending && wkim_session_feed(c->session, c->pending, c->n_pending) != WKIM_EBUSY) {
        free(c->pending);
        c->pending = NULL;
        c->n_pending = 0;
        (void)lws_rx_flow_control(c->wsi, 1);
    }
    if (lws_partial_buffered(c->wsi) || lws_send_pipe_choked(c->wsi) || pump_out(c) != 0)
        (void)lws_callback_on_writable(c->wsi);
}

int wk_ws_conn_writable(struct wk_ws_conn *c)
{
    int goodbye, rc;

    if (!c->session)
        return 0;
    goodbye = atomic_load(&c->thread->stopping) || atomic_load(&c->thread->owner->closing);
    rc = pump_out(c);
    if (rc == WKIM_ESTOPPED || (rc == 0 && atomic_load(&c->thread->stopping)))
        return finish(c, goodbye ? LWS_CLOSE_STATUS_GOINGAWAY : LWS_CLOSE_STATUS_NORMAL);
    if (rc < 0)
        return finish(c, LWS_CLOSE_STATUS_UNEXPECTED_CONDITION);
    if (rc == 1)
        (void)lws_callback_on_writable(c->wsi);
    return 0;
}

/* Nothing may be written behind the answer to the client's close. */
void wk_ws_conn_peer_closing(struct wk_ws_conn *c)
{
    session_close(c);
}
