/* The process around a node: what was read at start, its loop and its listeners.
 *
 * Threads: the main thread owns everything here.  WebSocket and HTTP run on threads of their own
 * behind wk_ws and wk_http. */
#ifndef WK_SERVER_SERVER_H
#define WK_SERVER_SERVER_H

#include <event2/event.h>
#include <wkim/wkim.h>

#include "listen/accept.h"
#include "config/load.h"
#include "http/http.h"
#include "log_file.h"
#include "net.h"
#include "options.h"
#include "out/out.h"
#include "out/source.h"

struct wk_tls_listener;
struct wk_ws;

struct server {
    const struct wk_options *options;
    wkim_config *config;
    wkim_config *reloaded; /* the last one that SIGHUP brought, NULL: none */
    struct wk_problems problems; /* warnings of the configuration */
    struct wk_log_file *log;
    struct event_base *base;
    wkim_node *node;
    struct wk_http *http;
    struct wk_out *out; /* NULL: no webhooks */
    struct wk_out_source *out_source; /* NULL: no data source */
    struct wk_trust trust;
    struct wk_accept *tcp, *tls, *ws, *wss; /* NULL: not configured */
    struct wk_tls_listener *tls_conns;
    struct wk_ws *ws_conns;
    struct event *ready_timer;
    struct event *signals[4];
    uint64_t started_ms; /* monotonic */
    int waited_s;        /* of which the log was told */
    int exit_code;
    int lock_fd;
};

/* Runs until a signal; the exit code of the process. */
int wk_serve(struct server *s);

/* listen_tcp.c: sockets go to the node as they are. */
int wk_tcp_start(struct server *s, wkim_error *err);

/* listen_tls.c: TLS over TCP, through a session per connection.  Stop before wkim_node_free. */
int wk_tls_start(struct wk_tls_listener **out, struct server *s, wkim_error *err);
int wk_tls_reload(struct wk_tls_listener *t, wkim_error *err); /* certificate files again */
void wk_tls_stop(struct wk_tls_listener *t);                   /* NULL allowed */

/* listen_ws.c: ws:// and wss://.  `closing` makes every later close a 1001; stop waits for the
 * closing handshakes, at most two seconds.  Stop before wkim_node_free. */
int wk_ws_start(struct wk_ws **out, struct server *s, wkim_error *err);
void wk_ws_closing(struct wk_ws *w);
void wk_ws_stop(struct wk_ws *w); /* NULL allowed */

/* external.c: addresses told to clients, as defaults of the external.* keys. */
void wk_external_fill(wkim_config *cfg, struct wk_log_file *log);

/* banner.c: what runs where, and the warnings, to the log. */
void wk_banner_start(struct server *s);
void wk_banner_ready(struct server *s);
void wk_banner_stats(struct server *s);

/* reload.c: the log files and the certificate again, then the configuration: what can change while
 * the server runs does, the log names what has to wait for a restart. */
void wk_reload(struct server *s);

/* signals.c */
int wk_signals_start(struct server *s);
void wk_signals_stop(struct server *s);

#endif
