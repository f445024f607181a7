#include "out/grpc_conn.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wkim/error.h>
#include <wkim/wkim.h>

#define HEADERS_MAX 16384 /* bytes of a header list we are willing to take */
#define METHOD_PATH "/wkhook.WebhookService/SendWebhook"

struct wk_grpc_conn {
    nghttp2_session *session;
    const char *authority;
    wk_grpc_done *done;
    void *user;
    struct wk_grpc_call *calls;
    unsigned n_calls;
    bool ready, closing, broken, pinging;
    char why[WK_GRPC_REASON_MAX];
};

/* Text of the peer goes into the log: printable ASCII, no quotes. */
static void copy_text(char *out, size_t cap, const void *text, size_t n)
{
    const char *p = text;
    size_t i = 0;

    for (; i < n && i + 1 < cap; i++)
        out[i] = p[i] >= ' ' && p[i] <= '~' && p[i] != '"' && p[i] != '\\' ? p[i] : '?';
    out[i] = '\0';
}

static void say(struct wk_grpc_conn *g, const char *text)
{
    if (!*g->why) /* what came first explains the rest */
        copy_text(g->why, sizeof(g->why), text, strlen(text));
}

static void finish(struct wk_grpc_conn *g, struct wk_grpc_call *c, enum wk_grpc_result result,
                   const char *why)
{
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    g->n_calls--;
    free(c->answer);
    c->answer = NULL;
    g->done(g->user, c, result, why);
}

/* ---- what the peer says ---------------------------------------------------------------------- */

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct wk_grpc_conn *g = user;
    char text[WK_GRPC_REASON_MAX], debug[64];

    if (f->hd.type == NGHTTP2_SETTINGS && !(f->hd.flags & NGHTTP2_FLAG_ACK))
        g->ready = true;
    if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK))
        g->pinging = false;
    /* An answer before the end of the request: nobody waits for the rest of it. */
    if ((f->hd.type == NGHTTP2_HEADERS || f->hd.type == NGHTTP2_DATA) &&
        (f->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
        const struct wk_grpc_call *c = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);

        if (c && c->sent < c->request_n)
            (void)nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_CANCEL);
    }
    if (f->hd.type == NGHTTP2_GOAWAY) {
        copy_text(debug, sizeof(debug), f->goaway.opaque_data, f->goaway.opaque_data_len);
        (void)snprintf(text, sizeof(text), "the receiver closes the connection: %s %s",
                       nghttp2_http2_strerror(f->goaway.error_code), debug);
        say(g, text);
        g->closing = true;
    }
    return 0;
}

static int number(const uint8_t *p, size_t n)
{
    int v = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] < '0' || p[i] > '9' || v > 99999)
            return -1;
        v = v * 10 + (p[i] - '0');
    }
    return n ? v : -1;
}

static bool is(const uint8_t *name, size_t n, const char *want)
{
    return n == strlen(want) && memcmp(name, want, n) == 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                     const uint8_t *value, size_t n, uint8_t flags, void *user)
{
    static const char type[] = "application/grpc";
    struct wk_grpc_call *c = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);

    (void)flags;
    (void)user;
    if (!c)
        return 0;
    if (is(name, name_n, ":status"))
        c->http_status = number(value, n);
    else if (is(name, name_n, "grpc-status"))
        c->grpc_status = number(value, n);
    else if (is(name, name_n, "grpc-message"))
        copy_text(c->message, sizeof(c->message), value, n);
    else if (is(name, name_n, "content-type"))
        c->not_grpc = n < sizeof(type) - 1 || memcmp(value, type, sizeof(type) - 1) != 0;
    return 0;
}

static int on_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *p, size_t n,
                   void *user)
{
    struct wk_grpc_call *c = nghttp2_session_get_stream_user_data(s, stream);
    uint8_t *more;

    (void)flags;
    (void)user;
    if (!c || c->too_big || n == 0)
        return 0;
    more = n > WK_GRPC_ANSWER_MAX - c->answer_n ? NULL : realloc(c->answer, c->answer_n + n);
    if (!more) {
        c->too_big = true;
        (void)nghttp2_submit_rst_stream(s, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        return 0;
    }
    memcpy(more + c->answer_n, p, n);
    c->answer = more;
    c->answer_n += n;
    return 0;
}

/* NULL: success. */
static const char *judge(const struct wk_grpc_call *c, uint32_t error, char text[], size_t cap)
{
    if (c->too_big)
        return "the answer is too big";
    if (c->http_status > 0 && c->http_status != 200)
        (void)snprintf(text, cap, "the receiver answered HTTP status %d", c->http_status);
    else if (c->not_grpc)
        return "the answer's content type is not application/grpc";
    else if (c->grpc_status > 0)
        (void)snprintf(text, cap, "grpc-status %d %s", c->grpc_status, c->message);
    else if (error != NGHTTP2_NO_ERROR)
        (void)snprintf(text, cap, "the receiver reset the call: %s", nghttp2_http2_strerror(error));
    else if (c->http_status != 200 || c->grpc_status != 0)
        return "the answer ends without a grpc-status";
    else
        return wk_grpc_answer_check(c->answer, c->answer_n);
    return text;
}

static int on_close(nghttp2_session *s, int32_t stream, uint32_t error, void *user)
{
    struct wk_grpc_call *c = nghttp2_session_get_stream_user_data(s, stream);
    char text[WK_GRPC_REASON_MAX];
    const char *why;

    if (!c)
        return 0;
    (void)nghttp2_session_set_stream_user_data(s, stream, NULL);
    why = judge(c, error, text, sizeof(text));
    if (!why)
        finish(user, c, WK_GRPC_OK, "");
    else if (c->http_status < 0 && (error == NGHTTP2_REFUSED_STREAM || c->sent == 0))
        finish(user, c, WK_GRPC_UNPROCESSED, "the receiver refused the call");
    else
        finish(user, c, WK_GRPC_FAILED, why);
    return 0;
}

static int on_error(nghttp2_session *s, int code, const char *text, size_t n, void *user)
{
    (void)s;
    (void)code;
    (void)n;
    say(user, text);
    return 0;
}

static ssize_t on_read(nghttp2_session *s, int32_t stream, uint8_t *out, size_t cap,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct wk_grpc_call *c = source->ptr;
    size_t left = c->request_n - c->sent, n = left < cap ? left : cap;

    (void)s;
    (void)stream;
    (void)user;
    memcpy(out, c->request + c->sent, n);
    c->sent += n;
    if (n == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

/* ---- the connection -------------------------------------------------------------------------- */

static int new_session(struct wk_grpc_conn *g)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX },
    };
    nghttp2_session_callbacks *cb = NULL;
    int rc = nghttp2_session_callbacks_new(&cb);

    if (rc == 0) {
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_close);
        nghttp2_session_callbacks_set_error_callback2(cb, on_error);
        rc = nghttp2_session_client_new(&g->session, cb, g);
        nghttp2_session_callbacks_del(cb);
    }
    if (rc == 0)
        rc = nghttp2_submit_settings(g->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    return rc;
}

int wk_grpc_conn_new(struct wk_grpc_conn **out, const char *authority, wk_grpc_done *done,
                     void *user)
{
    struct wk_grpc_conn *g = calloc(1, sizeof(*g));

    if (!g)
        return WKIM_ENOMEM;
    g->authority = authority;
    g->done = done;
    g->user = user;
    if (new_session(g) != 0) {
        wk_grpc_conn_free(g, "");
        return WKIM_ENOMEM;
    }
    *out = g;
    return WKIM_OK;
}

void wk_grpc_conn_free(struct wk_grpc_conn *g, const char *why)
{
    if (!g)
        return;
    g->closing = true; /* `done` starts nothing here any more */
    while (g->calls)
        finish(g, g->calls, WK_GRPC_FAILED, why);
    nghttp2_session_del(g->session);
    free(g);
}

/* The session ends by itself once both sides have said all: then nothing more will come of it. */
static int settle(struct wk_grpc_conn *g)
{
    if (!g->broken && !nghttp2_session_want_read(g->session) &&
        !nghttp2_session_want_write(g->session)) {
        say(g, "the connection was closed");
        g->broken = true;
    }
    if (g->broken)
        g->closing = true;
    return g->broken ? -1 : 0;
}

int wk_grpc_conn_feed(struct wk_grpc_conn *g, const uint8_t *p, size_t n)
{
    ssize_t used = nghttp2_session_mem_recv(g->session, p, n);

    if (used != (ssize_t)n) {
        say(g, used < 0 ? nghttp2_strerror((int)used) : "the receiver does not speak HTTP/2");
        g->broken = true;
    }
    return settle(g);
}

wkim_ssize wk_grpc_conn_drain(struct wk_grpc_conn *g, const uint8_t **out)
{
    ssize_t n = nghttp2_session_mem_send(g->session, out);

    if (n < 0) {
        say(g, nghttp2_strerror((int)n));
        g->broken = true;
    }
    if (n <= 0 && settle(g) != 0)
        return -1;
    return n;
}

const char *wk_grpc_conn_why(const struct wk_grpc_conn *g)
{
    return g->why;
}

bool wk_grpc_conn_ready(const struct wk_grpc_conn *g)
{
    return g->ready;
}

bool wk_grpc_conn_closing(const struct wk_grpc_conn *g)
{
    return g->closing || !nghttp2_session_check_request_allowed(g->session);
}

unsigned wk_grpc_conn_room(const struct wk_grpc_conn *g)
{
    uint32_t max =
        nghttp2_session_get_remote_settings(g->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    if (max > WK_GRPC_STREAMS_MAX)
        max = WK_GRPC_STREAMS_MAX;
    if (!g->ready || wk_grpc_conn_closing(g) || g->n_calls >= max)
        return 0;
    return max - g->n_calls;
}

unsigned wk_grpc_conn_calls(const struct wk_grpc_conn *g)
{
    return g->n_calls;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                         strlen(value), NGHTTP2_NV_FLAG_NONE };
}

int wk_grpc_conn_start(struct wk_grpc_conn *g, struct wk_grpc_call *c)
{
    nghttp2_data_provider body = { .source.ptr = c, .read_callback = on_read };
    char timeout[32], agent[64];
    nghttp2_nv h[10];
    size_t n = 0;

    /* At most eight digits are allowed. */
    (void)snprintf(timeout, sizeof(timeout), "%lldm",
                   (long long)(c->timeout_ms < 99999999 ? c->timeout_ms : 99999999));
    (void)snprintf(agent, sizeof(agent), "libwkim/%s", wkim_version());
    h[n++] = header(":method", "POST");
    h[n++] = header(":scheme", "http");
    h[n++] = header(":path", METHOD_PATH);
    h[n++] = header(":authority", g->authority);
    h[n++] = header("te", "trailers");
    h[n++] = header("content-type", "application/grpc");
    h[n++] = header("user-agent", agent);
    h[n++] = header("grpc-timeout", timeout);
    if (c->signature)
        h[n++] = header("x-wk-signature", c->signature);
    if (c->delivery)
        h[n++] = header("x-wk-delivery", c->delivery);
    c->sent = c->answer_n = 0;
    c->answer = NULL;
    c->http_status = c->grpc_status = -1;
    c->not_grpc = c->too_big = false;
    c->message[0] = '\0';
    c->stream =
        wk_grpc_conn_closing(g) ? -1 : nghttp2_submit_request(g->session, NULL, h, n, &body, c);
    if (c->stream < 0)
        return -1;
    c->next = g->calls;
    c->at = &g->calls;
    if (c->next)
        c->next->at = &c->next;
    g->calls = c;
    g->n_calls++;
    return 0;
}

void wk_grpc_conn_cancel(struct wk_grpc_conn *g, struct wk_grpc_call *c, const char *why)
{
    (void)nghttp2_session_set_stream_user_data(g->session, c->stream, NULL);
    (void)nghttp2_submit_rst_stream(g->session, NGHTTP2_FLAG_NONE, c->stream, NGHTTP2_CANCEL);
    finish(g, c, WK_GRPC_FAILED, why);
}

void wk_grpc_conn_ping(struct wk_grpc_conn *g)
{
    if (!g->pinging && nghttp2_submit_ping(g->session, NGHTTP2_FLAG_NONE, NULL) == 0)
        g->pinging = true;
}

bool wk_grpc_conn_pinging(const struct wk_grpc_conn *g)
{
    return g->pinging;
}
