/* A client connection over a transport of your own (WebSocket, TLS, tests, another loop): bytes in
 * through feed, frames out through drain.  The node drives the protocol on its own threads.
 *
 * Threads: feed, drain, close by one thread at a time (yours); on_ready is called on a node thread
 * and must only wake yours. */
#ifndef WKIM_SESSION_H
#define WKIM_SESSION_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_session wkim_session;

typedef struct wkim_session_options {
    size_t size;                 /* sizeof, set by the caller */
    void (*on_ready)(void *user); /* output waits, or feed may go on, or the session closed */
    void *user;
    const char *remote;          /* "ip:port" shown in /connz; copied; may be NULL */
    int32_t proxy;               /* 1: a PROXY protocol header may come first */
    int32_t listener;            /* enum wkim_listener, for the metrics */
} wkim_session_options;

/* Where a client came in. */
enum wkim_listener {
    WKIM_LISTENER_OTHER = 0,
    WKIM_LISTENER_TCP = 1,
    WKIM_LISTENER_TLS = 2,
    WKIM_LISTENER_WS = 3,
    WKIM_LISTENER_WSS = 4
};

WKIM_API int wkim_session_open(wkim_session **out, wkim_node *n, const wkim_session_options *opt);
/* Bytes from the client, copied.  WKIM_OK; WKIM_EBUSY: not taken, stop reading and feed the same
 * bytes again after on_ready; WKIM_ESTOPPED: the session is closing, nothing is taken any more.
 * n = 0: the client is alive, as by a ping of the transport; connIdleTime starts again. */
WKIM_API int wkim_session_feed(wkim_session *s, const void *p, size_t n);
/* One whole protocol frame for the client.  1: *out is borrowed until the next drain or close;
 * *text is 1 for JSON (WebSocket text frame).  0: nothing now.  WKIM_ESTOPPED: nothing any more,
 * close the transport. */
WKIM_API int wkim_session_drain(wkim_session *s, wkim_slice *out, int *text);
/* The transport is gone or is being closed.  on_ready is not called once this has returned. Frees
 * s. */
WKIM_API void wkim_session_close(wkim_session *s);

#ifdef __cplusplus
}
#endif
#endif
