/* Inside of the WebSocket listener: threads, connections, the upgrade.
 *
 * Threads: everything here belongs to the service thread of its wk_ws_thread, except the fields
 * that say otherwise. */
#ifndef WK_SERVER_LISTEN_WS_H
#define WK_SERVER_LISTEN_WS_H

#include <libwebsockets.h>
#include <pthread.h>
#include <stdatomic.h>

#include "ready.h"
#include "server.h"
#include "listen/ws_look.h"
#include "listen/ws_loop.h"
#include "listen/ws_tap.h"

#define WK_WS_MESSAGE_BYTES_MAX 1048576 /* one message of a client, then close 1009 */

struct wk_ws_thread;

struct wk_ws_conn {            /* memory of libwebsockets, zeroed, lives as long as its wsi */
    struct wk_ready_link link; /* first: a link is its connection */
    struct wk_ws_conn *prev, *next;
    struct wk_ws_thread *thread;
    struct lws *wsi;
    wkim_session *session; /* NULL: closing */
    uint8_t *pending;      /* bytes the session did not take yet, owned */
    size_t n_pending;
    size_t message_bytes; /* of the message being received */
    int heard;            /* bytes were fed since the last wk_ws_conn_listen */
};

struct wk_ws_socket { /* accepted on the main thread, on its way to a service thread */
    struct wk_ws_socket *next;
    int fd;
    int tls;
};

struct wk_ws_thread {
    struct wk_ws *owner;
    pthread_t id;
    int running;
    struct lws_context *context;
    void *loop;                    /* of wk_ws.loops; NULL: the library polls */
    struct lws_vhost *plain, *tls; /* NULL: not served */
    struct lws_protocols protocols[2];
    char subprotocol[64]; /* name of protocols[0] while one request is upgraded */
    struct wk_ready ready;
    struct wk_ws_tap tap;
    struct wk_ws_conn head; /* circular list of open connections */
    unsigned char *tx;      /* one frame with room for the header in front, owned */
    size_t tx_cap;
    lws_sorted_usec_list_t pulse; /* looks for clients that only ping */
    pthread_mutex_t lock;         /* of accepted */
    struct wk_ws_socket *accepted;
    atomic_int n_conns;  /* read by any thread */
    atomic_int stopping; /* 1: say goodbye to everybody, 2: leave the loop */
};

struct wk_ws {
    struct server *server;
    struct wk_ws_loops loops;
    unsigned pulse_ms;            /* a fraction of connIdleTime */
    struct wk_ws_thread *threads; /* owned */
    size_t n_threads, next_thread;
    atomic_int closing; /* closes are 1001 */
};

/* ws_conn.c */
int wk_ws_conn_open(struct wk_ws_thread *t, struct wk_ws_conn *c, struct lws *wsi);
int wk_ws_conn_receive(struct wk_ws_conn *c, const void *in, size_t n);
int wk_ws_conn_writable(struct wk_ws_conn *c);
void wk_ws_conn_closed(struct wk_ws_conn *c);
void wk_ws_conn_peer_closing(struct wk_ws_conn *c);
/* The library answers pings without telling: ask the kernel whether anything came in within_ms. */
void wk_ws_conn_listen(struct wk_ws_conn *c, unsigned within_ms);
void wk_ws_conn_ready(struct wk_ws_conn *c); /* the session has something, or takes bytes again */

/* ws_upgrade.c */
/* 0: go on; -1: answered with an HTTP error, hang up. */
int wk_ws_upgrade_check(struct wk_ws_thread *t, struct lws *wsi, const char *upgrade);
int wk_ws_plain_request(struct lws *wsi);
/* "ip:port" of the client, forwarding headers of trusted proxies honoured. 1: the peer is trusted.
 */
int wk_ws_remote(const struct wk_trust *trust, struct lws *wsi, char *out, size_t cap);

#endif
