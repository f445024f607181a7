/* One connection to the gRPC receiver with its socket: finds the address, connects, carries the
 * bytes of a wk_grpc_conn, asks from time to time whether the other side is alive.
 *
 * Threads: that of its event base. */
#ifndef WK_SERVER_OUT_GRPC_LINK_H
#define WK_SERVER_OUT_GRPC_LINK_H

#include <event2/event.h>

#include "out/grpc_conn.h"

#define WK_GRPC_CONNECT_MS 2000 /* from the name to the peer's SETTINGS */

struct wk_grpc_link;

struct wk_grpc_target {
    char host[256], port[8];
    char authority[272]; /* as written in webhook.grpcAddr */
};

struct wk_grpc_link_ops {
    wk_grpc_done *done; /* of calls; user is that of the link */
    /* Calls may be started now, or more of them. */
    void (*ready)(void *user, struct wk_grpc_link *l);
    /* It is of no use any more, its calls are done.  Free it, but not from inside.  May come before
     * wk_grpc_link_new returns. */
    void (*closed)(void *user, struct wk_grpc_link *l, const char *why);
};

/* Connects at once; target and ops are borrowed.  WKIM_OK or WKIM_ENOMEM. */
int wk_grpc_link_new(struct wk_grpc_link **out, struct event_base *base,
                     const struct wk_grpc_target *target, const struct wk_grpc_link_ops *ops,
                     void *user);
/* Calls under way are done with FAILED; `closed` is not called.  NULL allowed. */
void wk_grpc_link_free(struct wk_grpc_link *l);

bool wk_grpc_link_live(const struct wk_grpc_link *l);     /* connected, calls may be started */
bool wk_grpc_link_closed(const struct wk_grpc_link *l);   /* `closed` was called */
unsigned wk_grpc_link_room(const struct wk_grpc_link *l); /* calls that may be started now */
unsigned wk_grpc_link_calls(const struct wk_grpc_link *l);
/* Without a call for that long. */
bool wk_grpc_link_idle(const struct wk_grpc_link *l, int64_t for_ms);
/* 0: `done` will come, or has come.  -1: it will not. */
int wk_grpc_link_start(struct wk_grpc_link *l, struct wk_grpc_call *c);
/* Nobody waits for the call any more; is the peer alive at all? */
void wk_grpc_link_cancel(struct wk_grpc_link *l, struct wk_grpc_call *c, const char *why);

#endif
