#include "http/answer.h"

#include "http/metrics/metrics.h"
#include "http/route.h"
#include "http/text.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/* The headers of every answer, as the value of the first of them: evhttp copies and prints each
 * header by itself, so that five would cost more than the rest of a small answer. */
#define CORS                                                                                       \
    "*\r\nAccess-Control-Allow-Credentials: true\r\n"                                              \
    "Access-Control-Allow-Headers: Content-Type, Authorization, Content-Length, Accept-Encoding, " \
    "X-CSRF-Token, token, accept, origin, Cache-Control, X-Requested-With, appid, noncestr, "      \
    "sign, timestamp\r\n"                                                                          \
    "Access-Control-Allow-Methods: POST, OPTIONS, GET, PUT,DELETE,PATCH"

/* Takes nothing; 0 when there is no memory.  evhttp_add_header would refuse the line ends. */
static int add_fixed_headers(struct evkeyvalq *headers, int json)
{
    struct evkeyval *h = malloc(sizeof(*h));
    char *key = strdup("Access-Control-Allow-Origin");
    char *value = strdup(json ? CORS "\r\nContent-Type: " WK_JSON_TYPE : CORS);

    if (!h || !key || !value) {
        free(h);
        free(key);
        free(value);
        return 0;
    }
    h->key = key;
    h->value = value;
    TAILQ_INSERT_TAIL(headers, h, next);
    return 1;
}

static const char *status_text(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 204:
        return "No Content";
    case 301:
        return "Moved Permanently";
    case 302:
        return "Found";
    case 307:
        return "Temporary Redirect";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 408:
        return "Request Timeout";
    case 409:
        return "Conflict";
    case 413:
        return "Request Entity Too Large";
    case 429:
        return "Too Many Requests";
    case 503:
        return "Service Unavailable";
    default:
        return "Internal Server Error";
    }
}

/* The request leaves our hands: evhttp frees it once it is written. */
static void send_reply(struct wk_req *r, int status, struct evbuffer *body)
{
    struct evhttp_request *ev = r->ev;

    r->ev = NULL;
    r->answered = 1;
    wk_http_count(r, status,
                  body ? evbuffer_get_length(body)
                  : ev ? evbuffer_get_length(evhttp_request_get_output_buffer(ev))
                       : 0);
    if (!ev)
        return;
    evhttp_connection_set_closecb(r->conn, NULL, NULL);
    evhttp_send_reply(ev, status, status_text(status), body);
}

static void free_bytes(const void *data, size_t n, void *arg)
{
    (void)data;
    (void)n;
    free(arg);
}

void wk_answer_buf(struct wk_req *r, int status, const char *type, struct wk_jsonbuf *b)
{
    if (r->ev) {
        struct evkeyvalq *headers = evhttp_request_get_output_headers(r->ev);

        int json = type && strcmp(type, WK_JSON_TYPE) == 0;

        if ((!add_fixed_headers(headers, json) || !json) && type)
            evhttp_add_header(headers, "Content-Type", type);
        /* evhttp would send the bytes after the header of a HEAD request too. */
        if (b->n && evhttp_request_get_command(r->ev) != EVHTTP_REQ_HEAD &&
            evbuffer_add_reference(evhttp_request_get_output_buffer(r->ev), b->p, b->n, free_bytes,
                                   b->p) == 0)
            wk_jsonbuf_init(b);
    }
    wk_jsonbuf_fini(b);
    send_reply(r, status, NULL);
}

void wk_answer_json(struct wk_req *r, struct wk_jsonbuf *b)
{
    if (b->failed) {
        wk_jsonbuf_fini(b);
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    wk_answer_buf(r, 200, WK_JSON_TYPE, b);
}

void wk_answer_text(struct wk_req *r, int status, const char *type, const char *text)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, text);
    wk_answer_buf(r, status, type, &b);
}

void wk_answer_unauthorized(struct wk_req *r)
{
    send_reply(r, 401, NULL);
}

void wk_answer_redirect(struct wk_req *r, int status, const char *location)
{
    struct wk_jsonbuf b;

    if (r->ev)
        evhttp_add_header(evhttp_request_get_output_headers(r->ev), "Location", location);
    wk_jsonbuf_init(&b);
    wk_answer_buf(r, status, NULL, &b);
}

void wk_answer_ok(struct wk_req *r)
{
    wk_answer_text(r, 200, WK_JSON_TYPE, "{\"status\":200}");
}

void wk_answer_soft(struct wk_req *r, int status)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"status\":");
    wk_jsonbuf_i64(&b, status);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

void wk_answer_problem(struct wk_req *r, int status, const char *type, const char *text,
                       const char *detail)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    if (detail && *detail) {
        wk_jsonbuf_lit(&b, "{\"detail\":");
        wk_jsonbuf_cstr(&b, detail);
        wk_jsonbuf_lit(&b, ",\"msg\":");
    } else {
        wk_jsonbuf_lit(&b, "{\"msg\":");
    }
    wk_jsonbuf_cstr(&b, text);
    wk_jsonbuf_lit(&b, ",\"status\":");
    wk_jsonbuf_i64(&b, status);
    wk_jsonbuf_char(&b, '}');
    wk_answer_buf(r, status, type, &b);
}

void wk_answer_error(struct wk_req *r, const char *text)
{
    wk_answer_problem(r, 400, WK_JSON_TYPE, text, NULL);
}

void wk_answer_not_found(struct wk_req *r)
{
    wk_answer_text(r, 404, "text/plain", "404 page not found");
}

/* The library does not say which of its limits it was. */
#define LIMITS_TEXT                                                                                \
    "limits: ids 4096 bytes, tokens 32767 bytes, lists 100000 entries, answers 64 MiB, payload "   \
    "limits.maxPayload, and 1 MiB with everything around it as clients are sent it"

void wk_answer_code(struct wk_req *r, int code, const char *detail)
{
    const char *text = detail && *detail ? detail : wkim_strerror(code);

    if (code == WKIM_ETIMEOUT)
        wk_answer_problem(r, 408, WK_JSON_TYPE, "request timeout", detail);
    else if (wkim_err_retryable(code) || code == WKIM_ESTOPPED)
        wk_answer_problem(r, 503, WK_JSON_TYPE, text, NULL);
    else if (code == WKIM_ETOOBIG)
        wk_answer_problem(r, 413, WK_JSON_TYPE, text, LIMITS_TEXT);
    else if (r->failed_text)
        wk_answer_problem(r, 400, WK_JSON_TYPE, r->failed_text, text);
    else
        wk_answer_problem(r, 400, WK_JSON_TYPE, text, NULL);
}

int wk_answer_failed(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);

    if (code != WKIM_OK)
        wk_answer_code(c->req, code, wkim_reply_text(reply));
    return code != WKIM_OK;
}

void wk_answer_then_ok(struct wk_call *c, const wkim_reply *reply)
{
    if (!wk_answer_failed(c, reply))
        wk_answer_ok(c->req);
}
