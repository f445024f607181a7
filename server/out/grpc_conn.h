/* The client's side of one gRPC connection (HTTP/2 without TLS) as a pure machine: bytes in, bytes
 * out, calls answered once each.  No socket, no clock.
 *
 * Threads: one at a time.  `done` must not use the connection.
 * Bounds: WK_GRPC_STREAMS_MAX calls, WK_GRPC_ANSWER_MAX bytes of answer each; headers and control
 * frames as nghttp2 limits them.  A peer that goes beyond loses the call or the connection. */
#ifndef WK_SERVER_OUT_GRPC_CONN_H
#define WK_SERVER_OUT_GRPC_CONN_H

#include <stdbool.h>

#include "out/grpc_message.h"

#define WK_GRPC_STREAMS_MAX 8  /* calls under way on one connection */
#define WK_GRPC_REASON_MAX 512 /* bytes of a text that says what went wrong */

struct wk_grpc_conn;

enum wk_grpc_result {
    WK_GRPC_OK,          /* the receiver has it */
    WK_GRPC_FAILED,      /* it may have it */
    WK_GRPC_UNPROCESSED, /* the peer says it never looked at it */
};

struct wk_grpc_call {
    /* The caller's.  Borrowed until done; signature and delivery may be NULL. */
    const uint8_t *request; /* wk_grpc_request */
    size_t request_n;
    const char *signature, *delivery;
    int64_t timeout_ms; /* told to the peer; the caller watches it */
    /* Private. */
    struct wk_grpc_call *next, **at;
    int32_t stream;
    size_t sent;
    int http_status, grpc_status; /* -1: not seen */
    bool not_grpc, too_big;
    uint8_t *answer;
    size_t answer_n;
    char message[256]; /* grpc-message, printable */
};

/* `why` is a printable text without quotes, borrowed during the call. */
typedef void wk_grpc_done(void *user, struct wk_grpc_call *c, enum wk_grpc_result result,
                          const char *why);

/* authority is host:port, borrowed.  WKIM_OK or WKIM_ENOMEM. */
int wk_grpc_conn_new(struct wk_grpc_conn **out, const char *authority, wk_grpc_done *done,
                     void *user);
/* Calls under way are done with FAILED and `why`.  NULL allowed. */
void wk_grpc_conn_free(struct wk_grpc_conn *g, const char *why);

/* 0, or -1 when the connection is of no use any more: wk_grpc_conn_why. */
int wk_grpc_conn_feed(struct wk_grpc_conn *g, const uint8_t *p, size_t n);
/* The next bytes to be sent, borrowed until the next call; 0 none, -1 as above. */
wkim_ssize wk_grpc_conn_drain(struct wk_grpc_conn *g, const uint8_t **out);
/* Why feed or drain failed, or what the peer said when it closed. "": nothing known. */
const char *wk_grpc_conn_why(const struct wk_grpc_conn *g);

/* The peer has shown that it speaks HTTP/2 (its SETTINGS came). */
bool wk_grpc_conn_ready(const struct wk_grpc_conn *g);
/* No further calls can be started, now or ever. */
bool wk_grpc_conn_closing(const struct wk_grpc_conn *g);
/* How many calls can be started now; 0 before it is ready. */
unsigned wk_grpc_conn_room(const struct wk_grpc_conn *g);
unsigned wk_grpc_conn_calls(const struct wk_grpc_conn *g); /* under way */

/* 0 and `done` will come once, or -1 and it will not. */
int wk_grpc_conn_start(struct wk_grpc_conn *g, struct wk_grpc_call *c);
/* Done with FAILED and `why`, inside. */
void wk_grpc_conn_cancel(struct wk_grpc_conn *g, struct wk_grpc_call *c, const char *why);

/* One at a time; wk_grpc_conn_pinging turns false when the answer came. */
void wk_grpc_conn_ping(struct wk_grpc_conn *g);
bool wk_grpc_conn_pinging(const struct wk_grpc_conn *g);

#endif
