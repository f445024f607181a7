#include "http/request.h"

#include "http/answer.h"
#include "http/auth/auth.h"
#include "http/metrics/metrics.h"
#include "http/route.h"
#include "http/text.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>

/* Memory of one request: zeroed, freed all at once. */
struct wk_chunk {
    struct wk_chunk *next;
    size_t used, cap;
    max_align_t bytes[];
};

#define CHUNK_BYTES 4032u
#define SPARE_CHUNKS_MAX 64 /* of CHUNK_BYTES, zeroed, kept by a thread for its next requests */

static struct wk_chunk *new_chunk(struct wk_http_thread *t, size_t cap)
{
    struct wk_chunk *c = t->spare;

    if (cap == CHUNK_BYTES && c) {
        t->spare = c->next;
        t->n_spare--;
        return c;
    }
    c = calloc(1, sizeof(*c) + cap);
    if (c)
        c->cap = cap;
    return c;
}

static void free_chunk(struct wk_http_thread *t, struct wk_chunk *c)
{
    if (c->cap != CHUNK_BYTES || t->n_spare == SPARE_CHUNKS_MAX) {
        free(c);
        return;
    }
    memset(c->bytes, 0, c->used);
    c->used = 0;
    c->next = t->spare;
    t->spare = c;
    t->n_spare++;
}

void wk_req_free_spare(struct wk_http_thread *t)
{
    while (t->spare) {
        struct wk_chunk *next = t->spare->next;

        free(t->spare);
        t->spare = next;
    }
    t->n_spare = 0;
}

void *wk_req_alloc(struct wk_req *r, size_t n)
{
    struct wk_chunk *c = r->memory;

    if (n > SIZE_MAX / 2)
        return NULL;
    n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!c || c->cap - c->used < n) {
        size_t cap = n > CHUNK_BYTES ? n : CHUNK_BYTES;

        c = new_chunk(r->thread, cap);
        if (!c)
            return NULL;
        c->next = r->memory;
        r->memory = c;
    }
    void *p = (char *)c->bytes + c->used;

    c->used += n;
    return p;
}

static void free_request(struct wk_req *r)
{
    struct wk_http_thread *t = r->thread;

    if (r->prev)
        r->prev->next = r->next;
    else
        t->reqs = r->next;
    if (r->next)
        r->next->prev = r->prev;
    t->n_reqs--;
    atomic_fetch_sub_explicit(&t->http->under_way, 1, memory_order_relaxed);
    if (r->state && r->state_free)
        r->state_free(r->state);
    while (r->memory) {
        struct wk_chunk *next = r->memory->next;

        free_chunk(t, r->memory);
        r->memory = next;
    }
    free(r);
    if (t->stopping && t->n_reqs == 0)
        wk_http_thread_idle(t);
}

void wk_req_settle(struct wk_req *r)
{
    if (r->calls)
        return;
    if (!r->answered)
        wk_answer_problem(r, 500, WK_JSON_TYPE, "the request was not handled", NULL);
    free_request(r);
}

void wk_req_drop(struct wk_req *r)
{
    if (r->ev)
        evhttp_connection_set_closecb(r->conn, NULL, NULL);
    r->ev = NULL;
    free_request(r);
}

wkim_node *wk_req_node(const struct wk_req *r)
{
    return r->thread->http->node;
}

int wk_req_ready(const struct wk_req *r)
{
    return wkim_node_ready(wk_req_node(r)) && atomic_load(&r->thread->http->serving);
}

wkim_queue *wk_req_queue(const struct wk_req *r)
{
    return r->thread->queue;
}

const struct wk_http_options *wk_req_options(const struct wk_req *r)
{
    return &r->thread->http->opt;
}

int wk_req_try(struct wk_call *c, void (*then)(struct wk_call *c, const wkim_reply *reply), int rc)
{
    if (rc != WKIM_OK)
        return rc;
    c->then = then;
    c->req->calls++;
    return WKIM_OK;
}

int wk_req_call(struct wk_call *c, void (*then)(struct wk_call *c, const wkim_reply *reply), int rc)
{
    if (wk_req_try(c, then, rc) != WKIM_OK)
        wk_answer_code(c->req, rc, NULL);
    return rc;
}

/* The connection broke while the request is under way: evhttp frees its request behind us. */
static void client_gone(struct evhttp_connection *conn, void *arg)
{
    struct wk_req *r = arg;

    (void)conn;
    r->ev = NULL;
}

static const char *method_name(enum evhttp_cmd_type type)
{
    switch (type) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "OTHER";
    }
}

/* The path of a route with one '/' too many is told the right one, as callers of version 2 know it:
 * 301, or 307 for a request that has to be repeated as it is.  0: it is no such path. */
static int redirect_without_slash(struct wk_req *r, enum wk_http_side side, const char *method,
                                  const char *path)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->ev);
    const char *query = uri ? evhttp_uri_get_query(uri) : NULL;
    wkim_slice shorter = wk_text_slice(path);
    char *location;

    if (side == WK_SIDE_DEMO || shorter.n < 2 || shorter.p[--shorter.n] != '/' ||
        !wk_route_find(r, side, method, shorter))
        return 0;
    size_t query_n = query ? strlen(query) : 0;

    location = wk_req_alloc(r, shorter.n + query_n + 2);
    if (!location) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return 1;
    }
    memcpy(location, shorter.p, shorter.n);
    if (query_n) {
        location[shorter.n] = '?';
        memcpy(location + shorter.n + 1, query, query_n);
    }
    wk_answer_redirect(r, strcmp(method, "GET") == 0 ? 301 : 307, location);
    return 1;
}

static void dispatch(struct wk_req *r, enum wk_http_side side)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(r->ev);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const char *method = method_name(evhttp_request_get_command(r->ev));

    r->route = wk_route_find(r, side, method, wk_text_slice(path && *path ? path : "/"));
    if (side == WK_SIDE_API && strcmp(method, "OPTIONS") != 0 && !(r->route && r->route->open) &&
        !wk_auth_allows(r)) {
        wk_answer_unauthorized(r);
    } else if (strcmp(method, "OPTIONS") == 0) {
        wk_answer_text(r, 204, NULL, "");
    } else if (!r->route) {
        if (!redirect_without_slash(r, side, method, path))
            wk_answer_not_found(r);
    } else if (!wk_auth_operator(r)) {
        wk_answer_problem(r, 403, WK_JSON_TYPE,
                          "operator routes need managerToken or a connection from this host", NULL);
    } else {
        r->route->handler(r);
    }
}

/* evhttp reads no body of these methods: what follows would be taken for the next request, one that
 * a proxy in front never saw. Such a connection ends with its answer. */
static void end_behind_unread_body(struct evhttp_request *ev)
{
    const struct evkeyvalq *in = evhttp_request_get_input_headers(ev);
    const char *length = evhttp_find_header(in, "Content-Length");

    switch (evhttp_request_get_command(ev)) {
    case EVHTTP_REQ_POST:
    case EVHTTP_REQ_PUT:
    case EVHTTP_REQ_PATCH:
        return;
    default:
        break;
    }
    if ((length && strcmp(length, "0") != 0) || evhttp_find_header(in, "Transfer-Encoding"))
        evhttp_add_header(evhttp_request_get_output_headers(ev), "Connection", "close");
}

void wk_req_start(struct wk_http_listener *l, struct evhttp_request *ev)
{
    struct wk_http_thread *t = l->thread;
    struct wk_req *r = NULL;

    end_behind_unread_body(ev);
    if (t->n_reqs < t->http->opt.requests_max && !t->stopping)
        r = calloc(1, sizeof(*r));
    if (!r) {
        atomic_fetch_add_explicit(&t->http->refused, 1, memory_order_relaxed);
        evhttp_add_header(evhttp_request_get_output_headers(ev), "Content-Type", WK_TEXT_TYPE);
        struct evbuffer *out = evhttp_request_get_output_buffer(ev);

        evbuffer_add_printf(out, "too many requests under way, try again\n");
        evhttp_send_reply(ev, 503, "Service Unavailable", NULL);
        return;
    }
    r->thread = t;
    r->ev = ev;
    r->conn = evhttp_request_get_connection(ev);
    r->call.req = r;
    r->next = t->reqs;
    if (r->next)
        r->next->prev = r;
    t->reqs = r;
    t->n_reqs++;
    atomic_fetch_add_explicit(&t->http->under_way, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->http->bytes_in,
                              evbuffer_get_length(evhttp_request_get_input_buffer(ev)),
                              memory_order_relaxed);
    r->began_us = wk_http_clock_us(t);
    evhttp_connection_set_closecb(r->conn, client_gone, r);
    wk_http_thread_hold(t);
    dispatch(r, l->side);
    wk_req_settle(r);
}

wkim_slice wk_req_body(struct wk_req *r)
{
    struct evbuffer *in = r->ev ? evhttp_request_get_input_buffer(r->ev) : NULL;
    size_t n = in ? evbuffer_get_length(in) : 0;

    return (wkim_slice){n ? evbuffer_pullup(in, -1) : NULL, n};
}

/* `text` without escapes, in memory of the request: 0 when an escape is bad or memory is out. */
static int unescape_query(struct wk_req *r, wkim_slice text, wkim_slice *out)
{
    *out = text;
    if (text.n == 0 || (!memchr(text.p, '%', text.n) && !memchr(text.p, '+', text.n)))
        return 1;
    uint8_t *p = wk_req_alloc(r, text.n);
    wkim_ssize n = p ? wk_text_unescape(text, 1, p) : -1;

    *out = (wkim_slice){p, n < 0 ? 0 : (size_t)n};
    return n >= 0;
}

/* Value of the first pair with this key: 1 when there is one.  Pairs with a bad escape or with a
 * ';', which once parted pairs, do not count. */
static int find_query(struct wk_req *r, const char *key, wkim_slice *value)
{
    const struct evhttp_uri *uri = r->ev ? evhttp_request_get_evhttp_uri(r->ev) : NULL;
    wkim_slice rest = wk_text_slice(uri ? evhttp_uri_get_query(uri) : NULL);

    while (rest.n) {
        wkim_slice pair = rest, name, v = {NULL, 0};

        if (!wk_text_split(rest, '&', &pair, &rest))
            rest.n = 0;
        if (pair.n == 0 || memchr(pair.p, ';', pair.n))
            continue;
        if (!wk_text_split(pair, '=', &name, &v))
            name = pair;
        if (unescape_query(r, name, &name) && wk_text_equal(name, key) &&
            unescape_query(r, v, value))
            return 1;
    }
    return 0;
}

int wk_req_query_has(struct wk_req *r, const char *key)
{
    wkim_slice v;

    return find_query(r, key, &v);
}

wkim_slice wk_req_query(struct wk_req *r, const char *key)
{
    wkim_slice v, none = {NULL, 0};

    return find_query(r, key, &v) ? v : none;
}

int64_t wk_req_query_i64(struct wk_req *r, const char *key)
{
    return wk_text_query_i64(wk_req_query(r, key));
}

uint64_t wk_req_query_u64(struct wk_req *r, const char *key)
{
    return wk_text_query_u64(wk_req_query(r, key));
}

uint8_t wk_req_query_u8(struct wk_req *r, const char *key)
{
    uint64_t v = wk_req_query_u64(r, key);

    return v > 255 ? 255 : (uint8_t)v;
}

int wk_req_is_local(const struct wk_req *r)
{
    char *address = NULL;
    ev_uint16_t port;

    if (!r->ev)
        return 0;
    evhttp_connection_get_peer(r->conn, &address, &port);
    return address && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0 ||
                       strncmp(address, "::ffff:127.", 11) == 0);
}
