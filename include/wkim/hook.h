/* Webhooks and questions to the data source.  The node decides what to send, when, and what to try
 * again; the embedder only carries requests: it takes them from a queue, delivers each by HTTP or
 * gRPC, and answers how it went.
 *
 * Requests with the same key (a channel, a user) come one after the other: the next appears when
 * the one before was answered.  Up to webhook.workers requests per shard and event are under way.
 *
 * Threads: the queue by one thread at a time; answers from any thread. */
#ifndef WKIM_HOOK_H
#define WKIM_HOOK_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

enum wkim_hook_target {
    WKIM_HOOK_MAIN = 0, /* webhook.grpcAddr when that is set, else webhook.httpAddr */
    WKIM_HOOK_AGENT = 1, /* agent.webhook.httpAddr: msg.notify of agent channels, when set */
    WKIM_HOOK_DATASOURCE = 2 /* datasource.addr: a question, answered by wkim_hook_answer_body */
};

/* Append-only; slices are borrowed until the reply is answered or freed. */
typedef struct wkim_hook_request {
    size_t size;        /* sizeof, set by the caller */
    wkim_slice event;   /* "msg.notify", "msg.offline", "user.onlinestatus"; cmd of a question */
    wkim_slice body;    /* JSON text */
    wkim_slice content_type;
    wkim_slice delivery; /* id of the content, the same on every try, also after a restart */
    int32_t target;     /* enum wkim_hook_target */
    int32_t dead;       /* 1: given up; do not send, keep it where the operator finds it */
    uint32_t attempt;   /* 1: the first; of a dead one the number of tries made */
    uint32_t items;     /* messages, receivers or entries in it */
    uint64_t answer_max; /* a question: bytes of its answer, read no more */
    uint32_t timeout_ms; /* a question: after this the node goes on without the answer */
    uint32_t reserved;
} wkim_hook_request;

/* Requests (kind WKIM_EVENT_HOOK) go into q.  Before wkim_node_start; without it, or when neither
 * webhook.httpAddr nor webhook.grpcAddr is set, nothing is recorded. */
WKIM_API int wkim_node_hooks(wkim_node *n, wkim_queue *q);
/* WKIM_OK, WKIM_EINVAL (not such a reply), WKIM_ENOMEM (then answer with 0: it comes again). */
WKIM_API int wkim_reply_hook(wkim_reply *r, wkim_hook_request *out);
/* Takes r.  ok: 1 the receiver has it; 0 it comes again later.  A request that is freed without an
 * answer counts as failed.  Answer or free all of them before wkim_node_free. */
WKIM_API void wkim_hook_answer(wkim_reply *r, int ok);

/* Questions to the data source (target WKIM_HOOK_DATASOURCE) go into q, which may be the queue of
 * wkim_node_hooks.  Before wkim_node_start, which fails with WKIM_ECONFIG when datasource.addr is
 * set and nobody carries the questions.  At most datasource.maxRequests are under way; each is
 * asked once. */
WKIM_API int wkim_node_datasource(wkim_node *n, wkim_queue *q);
/* Takes r.  status 200: body is the JSON answer, read on this thread; another HTTP status: body
 * does not matter; 0: there was no answer, and body says why, for the log.  The body is borrowed
 * for the call.  Of a webhook: 200 means that the receiver has it. */
WKIM_API void wkim_hook_answer_body(wkim_reply *r, int status, wkim_slice body);

#ifdef __cplusplus
}
#endif
#endif
