/* One HTTP request from its arrival to its answer, and the calls into the library it makes.
 *
 * A handler either answers (answer.h) before it returns, or starts calls with wk_req_call; their
 * continuations answer or start more.  The request is freed when it is answered and no call is
 * under way.  When the client goes away the calls run to their end and the answer is dropped. */
#ifndef WK_HTTP_REQUEST_H
#define WK_HTTP_REQUEST_H

#include "http/server.h"

#include <jansson.h>

struct wk_req;
struct wk_route;

/* One call under way; `user` of the wkim_* function. */
struct wk_call {
    struct wk_req *req;
    void (*then)(struct wk_call *c, const wkim_reply *reply);
    size_t index; /* the handler's */
};

struct wk_chunk;

struct wk_req {
    struct wk_http_thread *thread;
    struct evhttp_request *ev; /* NULL: answered, or the client is gone */
    struct evhttp_connection *conn;
    const struct wk_route *route;
    struct wk_req *prev, *next;
    json_t *root;            /* in memory of wk_req_alloc: read it, never change or release it;
                              * decoded slices point into it */
    struct wk_chunk *memory; /* owned; wk_req_alloc */
    struct wk_call call;     /* for handlers with one call at a time */
    void *state;             /* the handler's, in memory of wk_req_alloc */
    void (*state_free)(void *state);
    const char *failed_text; /* msg of an answer when a call fails for no better known reason */
    wkim_slice params[2];    /* path parameters, decoded */
    size_t calls;            /* under way */
    uint64_t began_us;       /* metrics.h */
    int answered;
    int exact_numbers; /* set before decoding: the body is told on, so no number may be wrapped */
};

/* evhttp hands a request in.  Takes it. */
void wk_req_start(struct wk_http_listener *l, struct evhttp_request *ev);
/* Frees the request when nothing is left to do. */
void wk_req_settle(struct wk_req *r);
/* At the end of a thread: forget a request whose calls will not be answered any more. */
void wk_req_drop(struct wk_req *r);
/* At the end of a thread: the memory it keeps for its next requests. */
void wk_req_free_spare(struct wk_http_thread *t);

wkim_node *wk_req_node(const struct wk_req *r);
int wk_req_ready(const struct wk_req *r); /* every slot serves and clients can connect */
wkim_queue *wk_req_queue(const struct wk_req *r);
const struct wk_http_options *wk_req_options(const struct wk_req *r);

/* Note a started call: rc is what the wkim_* function returned (its user pointer was c).  WKIM_OK:
 * then will run once, on this thread.  Otherwise the request has been answered with the failure. */
int wk_req_call(struct wk_call *c, void (*then)(struct wk_call *c, const wkim_reply *reply),
                int rc);
/* As wk_req_call but a failure is only returned. */
int wk_req_try(struct wk_call *c, void (*then)(struct wk_call *c, const wkim_reply *reply), int rc);

/* Zeroed memory that lives as long as the request; NULL when there is none. */
void *wk_req_alloc(struct wk_req *r, size_t n);

/* First value of a query key, decoded; empty when absent.  Lives as long as the request. */
wkim_slice wk_req_query(struct wk_req *r, const char *key);
int wk_req_query_has(struct wk_req *r, const char *key);
/* Unparsable: 0; out of range: the nearest number. */
int64_t wk_req_query_i64(struct wk_req *r, const char *key);
uint64_t wk_req_query_u64(struct wk_req *r, const char *key);
uint8_t wk_req_query_u8(struct wk_req *r, const char *key);
/* Whole body, contiguous; borrowed until the request is answered. */
wkim_slice wk_req_body(struct wk_req *r);
/* 1: the connection comes from this host. */
int wk_req_is_local(const struct wk_req *r);

#endif
