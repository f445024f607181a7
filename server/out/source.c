#include "out/source.h"
#include "out/curl_loop.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_MS 250
#define BODY_FIRST_BYTES 4096

struct wk_out_source {
    wkim_queue *queue;
    struct wk_curl_loop loop;
    struct curl_slist *headers;
    char *url;
    struct transfer *transfers; /* doubly linked */
};

/* One question under way. */
struct transfer {
    struct wk_out_source *out;
    struct transfer *next, **at;
    wkim_reply *reply;
    CURL *easy;
    char *body;
    size_t n, cap, max;
    int too_big;
    char error[CURL_ERROR_SIZE];
};

static void finish(struct transfer *t, int status, const void *p, size_t n)
{
    if (t->easy) {
        (void)curl_multi_remove_handle(t->out->loop.multi, t->easy);
        curl_easy_cleanup(t->easy);
    }
    *t->at = t->next;
    if (t->next)
        t->next->at = t->at;
    wkim_hook_answer_body(t->reply, status, (wkim_slice){p, n});
    free(t->body);
    free(t);
}

static void give_up(struct transfer *t, const char *why)
{
    finish(t, 0, why, strlen(why));
}

static size_t take_body(char *p, size_t size, size_t n, void *user)
{
    struct transfer *t = user;
    size_t more = size * n;

    if (more > t->max - t->n) {
        t->too_big = 1;
        return 0;
    }
    if (t->n + more > t->cap) {
        size_t cap = t->cap ? t->cap : BODY_FIRST_BYTES;
        while (cap < t->n + more)
            cap *= 2;
        char *grown = realloc(t->body, cap);
        if (!grown)
            return 0;
        t->body = grown;
        t->cap = cap;
    }
    memcpy(t->body + t->n, p, more);
    t->n += more;
    return more;
}

static int set_options(struct transfer *t, const wkim_hook_request *r)
{
    CURL *e = t->easy;

    if (curl_easy_setopt(e, CURLOPT_URL, t->out->url) != CURLE_OK)
        return -1;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    /* maxAnswer counts what it becomes. */
    (void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "gzip");
    (void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->out->headers);
    (void)curl_easy_setopt(e, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body.p);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->max);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* The node gives up first, so that a time-out is counted as one. */
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms + GRACE_MS);
    return 0;
}

static void take(struct wk_out_source *o, wkim_reply *reply)
{
    static const char why[] = "out of memory";
    wkim_hook_request r = {.size = sizeof(r)};
    struct transfer *t = calloc(1, sizeof(*t));

    if (!t || wkim_reply_hook(reply, &r) != WKIM_OK) {
        free(t);
        wkim_hook_answer_body(reply, 0, (wkim_slice){(const uint8_t *)why, sizeof(why) - 1});
        return;
    }
    t->out = o;
    t->reply = reply;
    t->max = (size_t)r.answer_max;
    t->next = o->transfers;
    t->at = &o->transfers;
    if (t->next)
        t->next->at = &t->next;
    o->transfers = t;
    t->easy = curl_easy_init();
    if (!t->easy || set_options(t, &r) != 0 ||
        curl_multi_add_handle(o->loop.multi, t->easy) != CURLM_OK)
        give_up(t, why);
}

static void read_results(struct wk_out_source *o)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(o->loop.multi, &left))) {
        struct transfer *t = NULL;
        long status = 0;
        CURLcode rc = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &t);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        if (t->too_big || rc == CURLE_FILESIZE_EXCEEDED)
            give_up(t, "the answer is larger than datasource.maxAnswer");
        else if (rc != CURLE_OK)
            give_up(t, *t->error ? t->error : curl_easy_strerror(rc));
        else
            finish(t, (int)status, t->body, t->n);
    }
}

static void *run(void *user)
{
    struct wk_out_source *o = user;
    struct curl_waitfd wait = {.fd = wkim_queue_fd(o->queue), .events = CURL_WAIT_POLLIN};
    wkim_reply *reply;
    int running;

    while (!atomic_load(&o->loop.stop)) {
        while (wkim_queue_next(o->queue, &reply, 0) == WKIM_OK)
            take(o, reply);
        (void)curl_multi_perform(o->loop.multi, &running);
        read_results(o);
        (void)curl_multi_poll(o->loop.multi, &wait, 1, 60000, NULL);
    }
    while (o->transfers)
        give_up(o->transfers, "the server stops");
    return NULL;
}

static int add_header(struct wk_out_source *o, const char *line)
{
    struct curl_slist *more = curl_slist_append(o->headers, line);

    if (!more)
        return -1;
    o->headers = more;
    return 0;
}

static int prepare(struct wk_out_source *o, const wkim_config *cfg)
{
    char agent[96];

    (void)snprintf(agent, sizeof(agent), "User-Agent: libwkim/%s", wkim_version());
    o->url = strdup(wkim_config_get(cfg, "datasource.addr"));
    if (!o->url ||
        wk_curl_loop_init(&o->loop, (long)wkim_config_int(cfg, "datasource.maxRequests")) != 0 ||
        add_header(o, "Content-Type: application/json") != 0 ||
        add_header(o, agent) != 0 || add_header(o, "Accept:") != 0 ||
        add_header(o, "Expect:") != 0)
        return -1;
    return 0;
}

int wk_out_source_start(struct wk_out_source **out, wkim_node *node, const wkim_config *cfg,
                        wkim_error *err)
{
    struct wk_out_source *o;

    if (!*wkim_config_get(cfg, "datasource.addr"))
        return WKIM_OK;
    *out = o = calloc(1, sizeof(*o));
    if (!o || prepare(o, cfg) != 0 || wkim_queue_new(&o->queue) != WKIM_OK ||
        wkim_node_datasource(node, o->queue) != WKIM_OK) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "datasource: out of memory");
        return WKIM_ENOMEM;
    }
    return wk_curl_loop_start(&o->loop, run, o, "datasource", err);
}

void wk_out_source_stop(struct wk_out_source *o)
{
    if (!o)
        return;
    wk_curl_loop_stop(&o->loop);
    wkim_queue_free(o->queue);
    wk_curl_loop_fini(&o->loop);
    curl_slist_free_all(o->headers);
    free(o->url);
    free(o);
}
