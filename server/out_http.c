#include "out_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST_CONNECTIONS_MAX 100
#define CONNECT_MS 5000
#define SILENCE_S 10 /* without an answer the request has failed */

struct wk_out_http {
    wkim_queue *queue;
    struct wk_log_file *log;
    CURLM *multi;
    pthread_t thread;
    int running;
    _Atomic int stop;
    char *url[2]; /* by target; the second may be NULL */
    char *secret; /* "": nothing is signed */
    char *dead_dir;
    long timeout_ms;
    struct transfer *transfers; /* doubly linked */
};

/* One request under way. */
struct transfer {
    struct wk_out_http *out;
    struct transfer *next, **at;
    wkim_reply *reply;
    CURL *easy;
    struct curl_slist *headers;
};

static void finish(struct transfer *t, int ok)
{
    if (t->easy) {
        (void)curl_multi_remove_handle(t->out->multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    curl_slist_free_all(t->headers);
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    wkim_hook_answer(t->reply, ok);
    free(t);
}

static size_t swallow(char *p, size_t size, size_t n, void *user)
{
    (void)p;
    (void)user;
    return size * n; /* the answer's body means nothing */
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
    const char *secret = t->out->secret;
    unsigned char mac[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned n = 0;

    if (!*secret)
        return 0;
    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), r->body.p, r->body.n, mac, &n))
        return -1;
    for (unsigned i = 0; i < n; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    if (add_header(t, "X-WK-Signature: sha256=%.*s", hex, (int)(2 * n)) != 0)
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

static int set_options(struct transfer *t, const wkim_hook_request *r)
{
    const struct wk_out_http *o = t->out;
    const char *base = r->target == WKIM_HOOK_AGENT && o->url[1] ? o->url[1] : o->url[0];
    char event[64], *url;
    CURL *e = t->easy;
    CURLcode rc;

    (void)snprintf(event, sizeof(event), "%.*s", (int)r->event.n, (const char *)r->event.p);
    url = wk_out_url(base, event);
    if (!url || set_headers(t, r) != 0) {
        free(url);
        return -1;
    }
    rc = curl_easy_setopt(e, CURLOPT_URL, url);
    free(url);
    if (rc != CURLE_OK)
        return -1;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    (void)curl_easy_setopt(e, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, swallow);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, o->timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(o->timeout_ms < CONNECT_MS ? o->timeout_ms : CONNECT_MS));
    (void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    return 0;
}

static void keep_dead(struct wk_out_http *o, wkim_reply *reply, const wkim_hook_request *r)
{
    if (wk_out_dead(o->dead_dir, r, (unsigned long long)time(NULL)) != 0)
        wk_log_say(o->log, WKIM_LOG_ERROR, "webhook_dead_letter_lost", "event=%.*s reason=\"%s\"",
                   (int)r->event.n, (const char *)r->event.p, strerror(errno));
    wkim_hook_answer(reply, 1);
}

static void take(struct wk_out_http *o, wkim_reply *reply)
{
    wkim_hook_request r = {.size = sizeof(r)};
    struct transfer *t;

    if (wkim_reply_hook(reply, &r) != WKIM_OK) {
        wkim_hook_answer(reply, 0);
        return;
    }
    if (r.dead) {
        keep_dead(o, reply, &r);
        return;
    }
    t = calloc(1, sizeof(*t));
    if (!t) {
        wkim_hook_answer(reply, 0);
        return;
    }
    t->out = o;
    t->reply = reply;
    t->next = o->transfers;
    t->at = &o->transfers;
    if (t->next)
        t->next->at = &t->next;
    o->transfers = t;
    t->easy = curl_easy_init();
    if (!t->easy || set_options(t, &r) != 0 || curl_multi_add_handle(o->multi, t->easy) != CURLM_OK)
        finish(t, 0);
}

static void read_results(struct wk_out_http *o)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(o->multi, &left))) {
        struct transfer *t = NULL;
        long status = 0;
        CURLcode rc = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (rc != CURLE_OK || status != 200)
            wk_log_say(o->log, WKIM_LOG_DEBUG, "webhook_refused", "status=%ld reason=\"%s\"",
                       status, rc == CURLE_OK ? "status" : curl_easy_strerror(rc));
        finish(t, rc == CURLE_OK && status == 200);
    }
}

static void *run(void *user)
{
    struct wk_out_http *o = user;
    struct curl_waitfd wait = {.fd = wkim_queue_fd(o->queue), .events = CURL_WAIT_POLLIN};
    wkim_reply *reply;
    int running;

    while (!atomic_load(&o->stop)) {
        while (wkim_queue_next(o->queue, &reply, 0) == WKIM_OK)
            take(o, reply);
        (void)curl_multi_perform(o->multi, &running);
        read_results(o);
        (void)curl_multi_poll(o->multi, &wait, 1, 60000, NULL);
    }
    while (o->transfers)
        finish(o->transfers, 0);
    return NULL;
}

static char *copy(const wkim_config *cfg, const char *key)
{
    const char *v = wkim_config_get(cfg, key);
    return strdup(v ? v : "");
}

static int read_config(struct wk_out_http *o, const wkim_config *cfg)
{
    const char *data = wkim_config_get(cfg, "dataDir"),
               *agent = wkim_config_get(cfg, "agent.webhook.httpAddr");
    size_t n = strlen(data) + sizeof("/webhook-dead");

    o->url[0] = copy(cfg, "webhook.httpAddr");
    if (*agent)
        o->url[1] = strdup(agent);
    o->secret = copy(cfg, "webhook.secret");
    o->timeout_ms = (long)wkim_config_int(cfg, "webhook.requestTimeout");
    o->dead_dir = malloc(n);
    if (!o->url[0] || (*agent && !o->url[1]) || !o->secret || !o->dead_dir)
        return -1;
    (void)snprintf(o->dead_dir, n, "%s/webhook-dead", data);
    return 0;
}

int wk_out_http_start(struct wk_out_http **out, wkim_node *node, const wkim_config *cfg,
                      struct wk_log_file *log, wkim_error *err)
{
    struct wk_out_http *o;

    if (!*wkim_config_get(cfg, "webhook.httpAddr") || *wkim_config_get(cfg, "webhook.grpcAddr"))
        return WKIM_OK;
    o = calloc(1, sizeof(*o));
    *out = o;
    if (o) {
        o->log = log;
        o->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    }
    if (!o || !o->multi || read_config(o, cfg) != 0 || wkim_queue_new(&o->queue) != WKIM_OK ||
        wkim_node_hooks(node, o->queue) != WKIM_OK) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "webhook: out of memory");
        return WKIM_ENOMEM;
    }
    (void)curl_multi_setopt(o->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)HOST_CONNECTIONS_MAX);
    if (pthread_create(&o->thread, NULL, run, o) != 0) {
        err->code = WKIM_EBUSY;
        (void)snprintf(err->text, sizeof(err->text), "webhook: no thread");
        return WKIM_EBUSY;
    }
    o->running = 1;
    return WKIM_OK;
}

void wk_out_http_stop(struct wk_out_http *o)
{
    if (!o)
        return;
    atomic_store(&o->stop, 1);
    if (o->running) {
        (void)curl_multi_wakeup(o->multi);
        (void)pthread_join(o->thread, NULL);
    }
    wkim_queue_free(o->queue);
    (void)curl_multi_cleanup(o->multi);
    free(o->url[0]);
    free(o->url[1]);
    free(o->secret);
    free(o->dead_dir);
    free(o);
}
