#include "out/http.h"
#include "out/curl_loop.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_CONNECTIONS_MAX 100
#define CONNECT_MS 5000
#define IDLE_S 90    /* a connection that nobody used is not used again */
#define SILENCE_S 10 /* without an answer the request has failed */
#define BODY_BYTES_MAX (1 << 20) /* of an answer; read so that the connection can be used again */
#define SPARE_MAX 64 /* transfers kept for the next requests */

struct wk_out_http {
    struct wk_out_inbox inbox;
    struct wk_curl_loop loop;
    char *url[2]; /* by target; the second may be NULL */
    char *secret; /* "": nothing is signed */
    long timeout_ms;
    struct transfer *transfers; /* doubly linked */
    struct transfer *spare;     /* by next: handles that are set up but for the request */
    unsigned n_spare;
};

/* One request under way, or a handle that waits for one. */
struct transfer {
    struct wk_out_http *out;
    struct transfer *next, **at;
    struct wk_out_job *job;
    CURL *easy;
    struct curl_slist *headers;
    char event[64]; /* that easy's address and headers are for, "": none yet */
    int target;
    int whole;   /* the header of the answer came to its end */
    size_t body; /* bytes of the answer's body so far */
    char error[CURL_ERROR_SIZE];
};

static void free_transfer(struct transfer *t)
{
    if (t->easy)
        curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t);
}

/* Making a handle costs more than a request does, so some are kept. */
static void keep(struct wk_out_http *o, struct transfer *t)
{
    if (!*t->event || o->n_spare == SPARE_MAX) {
        free_transfer(t);
        return;
    }
    t->next = o->spare;
    o->spare = t;
    o->n_spare++;
}

static void finish(struct transfer *t, int ok, const char *why)
{
    struct wk_out_job *job = t->job;
    char text[CURL_ERROR_SIZE];

    (void)snprintf(text, sizeof(text), "%s", why); /* why may lie in t */
    if (t->easy)
        (void)curl_multi_remove_handle(t->out->loop.multi, t->easy);
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    keep(t->out, t);
    job->done(job, ok, text);
}

static size_t swallow(char *p, size_t size, size_t n, void *user)
{
    struct transfer *t = user;

    (void)p;
    t->body += size * n;
    return t->body > BODY_BYTES_MAX ? 0 : size * n;
}

/* libcurl takes a header that a close cuts off for a whole one. */
static size_t note_header(char *p, size_t size, size_t n, void *user)
{
    struct transfer *t = user;

    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        t->whole = 0;
    else if (n > 0 && (p[0] == '\r' || p[0] == '\n'))
        t->whole = 1;
    return size * n;
}

static int add_header(struct transfer *t, const char *fmt, const char *value, int n)
{
    char line[512];
    struct curl_slist *more;

    (void)snprintf(line, sizeof(line), fmt, n, value);
    more = curl_slist_append(t->headers, line);
    if (!more)
        return -1;
    t->headers = more;
    return 0;
}

static int sign(struct transfer *t, const wkim_hook_request *r)
{
    char signature[WK_OUT_SIGNATURE_MAX];

    if (!*t->out->secret)
        return 0;
    if (wk_out_sign(signature, t->out->secret, r->body) != 0 ||
        add_header(t, "X-WK-Signature: %.*s", signature, (int)strlen(signature)) != 0)
        return -1;
    return add_header(t, "X-WK-Delivery: %.*s", (const char *)r->delivery.p, (int)r->delivery.n);
}

static int set_headers(struct transfer *t, const wkim_hook_request *r)
{
    const char *version = wkim_version();

    if (add_header(t, "Content-Type: %.*s", (const char *)r->content_type.p,
                   (int)r->content_type.n) != 0 ||
        add_header(t, "User-Agent: libwkim/%.*s", version, (int)strlen(version)) != 0 ||
        add_header(t, "Accept-Encoding: %.*s", "gzip", 4) != 0 ||
        add_header(t, "Accept:%.*s", "", 0) != 0 || add_header(t, "Expect:%.*s", "", 0) != 0)
        return -1;
    return sign(t, r);
}

static void set_constants(struct transfer *t)
{
    const struct wk_out_http *o = t->out;
    CURL *e = t->easy;

    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    (void)curl_easy_setopt(e, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, swallow);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, note_header);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, o->timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(o->timeout_ms < CONNECT_MS ? o->timeout_ms : CONNECT_MS));
    (void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
}

/* Address and headers: those of the last request when nothing differs. */
static int aim(struct transfer *t, const wkim_hook_request *r)
{
    const struct wk_out_http *o = t->out;
    const char *base = r->target == WKIM_HOOK_AGENT && o->url[1] ? o->url[1] : o->url[0];
    char event[sizeof(t->event)], *url;
    int same;

    (void)snprintf(event, sizeof(event), "%.*s", (int)r->event.n, (const char *)r->event.p);
    same = t->target == (int)r->target && strcmp(event, t->event) == 0;
    if (same && !*o->secret)
        return 0;
    *t->event = 0;
    url = same ? NULL : wk_out_url(base, event);
    if (!same && (!url || curl_easy_setopt(t->easy, CURLOPT_URL, url) != CURLE_OK)) {
        free(url);
        return -1;
    }
    free(url);
    curl_slist_free_all(t->headers);
    t->headers = NULL;
    if (set_headers(t, r) != 0)
        return -1;
    (void)curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    (void)snprintf(t->event, sizeof(t->event), "%s", event);
    t->target = (int)r->target;
    return 0;
}

static struct transfer *new_transfer(struct wk_out_http *o)
{
    struct transfer *t = o->spare;

    if (t) {
        o->spare = t->next;
        o->n_spare--;
        t->whole = 0;
        t->body = 0;
        *t->error = 0;
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->out = o;
    t->easy = curl_easy_init();
    if (t->easy)
        set_constants(t);
    return t;
}

static void take(struct wk_out_http *o, struct wk_out_job *job)
{
    struct transfer *t = new_transfer(o);
    const wkim_hook_request *r = &job->request;

    if (!t) {
        job->done(job, 0, "out of memory");
        return;
    }
    t->job = job;
    t->next = o->transfers;
    t->at = &o->transfers;
    if (t->next)
        t->next->at = &t->next;
    o->transfers = t;
    if (!t->easy || aim(t, r) != 0) {
        finish(t, 0, "out of memory");
        return;
    }
    (void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, r->body.p);
    (void)curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    if (curl_multi_add_handle(o->loop.multi, t->easy) != CURLM_OK)
        finish(t, 0, "out of memory");
}

/* What libcurl says, with words of the receiver in it, as one line of plain characters. */
static const char *error_text(struct transfer *t, CURLcode rc)
{
    for (char *p = t->error; *p; p++)
        if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\')
            *p = '?';
    return *t->error ? t->error : curl_easy_strerror(rc);
}

static void read_results(struct wk_out_http *o)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(o->loop.multi, &left))) {
        struct transfer *t = NULL;
        long status = 0;
        CURLcode rc = m->data.result;
        char why[64];

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        /* The header decides; whatever happens to the body means nothing. */
        if (rc == CURLE_OK && !t->whole)
            rc = CURLE_PARTIAL_FILE;
        (void)snprintf(why, sizeof(why), "the receiver answered HTTP status %ld", status);
        finish(t, t->whole && status == 200, t->whole ? why : error_text(t, rc));
    }
}

static void *run(void *user)
{
    struct wk_out_http *o = user;
    int running;

    while (!atomic_load(&o->loop.stop)) {
        struct wk_out_job *job = wk_out_inbox_take(&o->inbox), *next;

        for (; job; job = next) {
            next = job->next;
            take(o, job);
        }
        (void)curl_multi_perform(o->loop.multi, &running);
        read_results(o);
        (void)curl_multi_poll(o->loop.multi, NULL, 0, 60000, NULL);
    }
    while (o->transfers)
        finish(o->transfers, 0, "the server stops");
    return NULL;
}

void wk_out_http_send(struct wk_out_http *o, struct wk_out_job *job)
{
    if (wk_out_inbox_put(&o->inbox, job))
        wk_curl_loop_wake(&o->loop);
}

static char *copy(const wkim_config *cfg, const char *key)
{
    const char *v = wkim_config_get(cfg, key);
    return strdup(v ? v : "");
}

static int read_config(struct wk_out_http *o, const wkim_config *cfg)
{
    const char *agent = wkim_config_get(cfg, "agent.webhook.httpAddr");

    o->url[0] = copy(cfg, "webhook.httpAddr");
    if (*agent)
        o->url[1] = strdup(agent);
    o->secret = copy(cfg, "webhook.secret");
    o->timeout_ms = (long)wkim_config_int(cfg, "webhook.requestTimeout");
    return o->url[0] && (!*agent || o->url[1]) && o->secret ? 0 : -1;
}

int wk_out_http_start(struct wk_out_http **out, const wkim_config *cfg, wkim_error *err)
{
    struct wk_out_http *o;

    if (!*wkim_config_get(cfg, "webhook.httpAddr") &&
        !*wkim_config_get(cfg, "agent.webhook.httpAddr"))
        return WKIM_OK;
    o = calloc(1, sizeof(*o));
    *out = o;
    if (o)
        wk_out_inbox_init(&o->inbox);
    if (!o || wk_curl_loop_init(&o->loop, HOST_CONNECTIONS_MAX) != 0 || read_config(o, cfg) != 0) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "webhook: out of memory");
        return WKIM_ENOMEM;
    }
    return wk_curl_loop_start(&o->loop, run, o, "webhook", err);
}

void wk_out_http_stop(struct wk_out_http *o)
{
    if (!o)
        return;
    wk_curl_loop_stop(&o->loop);
    while (o->spare) {
        struct transfer *t = o->spare;

        o->spare = t->next;
        free_transfer(t);
    }
    wk_out_inbox_fini(&o->inbox);
    wk_curl_loop_fini(&o->loop);
    free(o->url[0]);
    free(o->url[1]);
    free(o->secret);
    free(o);
}
