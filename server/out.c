#include "out.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "out_grpc.h"
#include "out_http.h"

#define SAY_AGAIN_S 10 /* the same failure is told once in this time */

struct wk_out {
    wkim_queue *queue;
    struct wk_log_file *log;
    struct wk_out_http *http; /* NULL: nothing goes by HTTP */
    struct wk_out_grpc *grpc; /* NULL: webhook.grpcAddr is not set */
    char *dead_dir;
    pthread_t thread;
    int running;
    int stop_fd;
    _Atomic int stop;
    pthread_mutex_t lock; /* over what follows */
    char why[512];        /* of the last failure that was told */
    time_t said_s;
    unsigned long unsaid;
};

/* ---- jobs ------------------------------------------------------------------------------------ */

void wk_out_inbox_init(struct wk_out_inbox *b)
{
    (void)pthread_mutex_init(&b->lock, NULL);
    b->head = NULL;
    b->tail = &b->head;
}

void wk_out_inbox_put(struct wk_out_inbox *b, struct wk_out_job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&b->lock);
    *b->tail = job;
    b->tail = &job->next;
    (void)pthread_mutex_unlock(&b->lock);
}

struct wk_out_job *wk_out_inbox_take(struct wk_out_inbox *b)
{
    struct wk_out_job *all;

    (void)pthread_mutex_lock(&b->lock);
    all = b->head;
    b->head = NULL;
    b->tail = &b->head;
    (void)pthread_mutex_unlock(&b->lock);
    return all;
}

void wk_out_inbox_fini(struct wk_out_inbox *b)
{
    struct wk_out_job *job = wk_out_inbox_take(b), *next;

    for (; job; job = next) {
        next = job->next;
        job->done(job, 0, "the server stops");
    }
    (void)pthread_mutex_destroy(&b->lock);
}

int wk_out_sign(char out[WK_OUT_SIGNATURE_MAX], const char *secret, wkim_slice body)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    int at = snprintf(out, WK_OUT_SIGNATURE_MAX, "sha256=");

    if (!HMAC(EVP_sha256(), secret, (int)strlen(secret), body.p, body.n, mac, &n))
        return -1;
    for (unsigned i = 0; i < n; i++)
        at += snprintf(out + at, WK_OUT_SIGNATURE_MAX - (size_t)at, "%02x", mac[i]);
    return 0;
}

/* An operator reads why it fails, but not once per try. */
static void tell_failure(struct wk_out *o, const wkim_hook_request *r, const char *why)
{
    time_t now = time(NULL);
    unsigned long before = 0;
    int tell;

    (void)pthread_mutex_lock(&o->lock);
    tell = now - o->said_s >= SAY_AGAIN_S || strncmp(o->why, why, sizeof(o->why) - 1) != 0;
    if (tell) {
        before = o->unsaid;
        o->unsaid = 0;
        o->said_s = now;
        (void)snprintf(o->why, sizeof(o->why), "%s", why);
    } else {
        o->unsaid++;
    }
    (void)pthread_mutex_unlock(&o->lock);
    wk_log_say(o->log, tell ? WKIM_LOG_WARN : WKIM_LOG_DEBUG, "webhook_refused",
               "event=%.*s attempt=%u untold=%lu reason=\"%s\"", (int)r->event.n,
               (const char *)r->event.p, r->attempt, before, why);
}

static void job_done(struct wk_out_job *job, int ok, const char *why)
{
    if (!ok)
        tell_failure(job->out, &job->request, why);
    wkim_hook_answer(job->reply, ok);
    free(job);
}

/* ---- from the node --------------------------------------------------------------------------- */

static void keep_dead(struct wk_out *o, wkim_reply *reply, const wkim_hook_request *r)
{
    if (wk_out_dead(o->dead_dir, r, (unsigned long long)time(NULL)) != 0)
        wk_log_say(o->log, WKIM_LOG_ERROR, "webhook_dead_letter_lost", "event=%.*s reason=\"%s\"",
                   (int)r->event.n, (const char *)r->event.p, strerror(errno));
    wkim_hook_answer(reply, 1);
}

static void take(struct wk_out *o, wkim_reply *reply)
{
    wkim_hook_request r = { .size = sizeof(r) };
    struct wk_out_job *job;

    if (wkim_reply_hook(reply, &r) != WKIM_OK) {
        wkim_hook_answer(reply, 0);
        return;
    }
    if (r.dead) {
        keep_dead(o, reply, &r);
        return;
    }
    job = calloc(1, sizeof(*job));
    if (!job) {
        wkim_hook_answer(reply, 0);
        return;
    }
    job->request = r;
    job->done = job_done;
    job->out = o;
    job->reply = reply;
    if (o->grpc && r.target == WKIM_HOOK_MAIN)
        wk_out_grpc_send(o->grpc, job);
    else if (o->http)
        wk_out_http_send(o->http, job);
    else
        job_done(job, 0, "no address is configured for it");
}

static void *run(void *user)
{
    struct wk_out *o = user;
    struct pollfd wait[2] = { { .fd = wkim_queue_fd(o->queue), .events = POLLIN },
                              { .fd = o->stop_fd, .events = POLLIN } };
    wkim_reply *reply;

    while (!atomic_load(&o->stop)) {
        while (wkim_queue_next(o->queue, &reply, 0) == WKIM_OK)
            take(o, reply);
        (void)poll(wait, 2, -1);
    }
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int fail(wkim_error *err, int code, const char *text)
{
    err->code = code;
    (void)snprintf(err->text, sizeof(err->text), "webhook: %s", text);
    return code;
}

static char *dead_folder(const wkim_config *cfg)
{
    const char *data = wkim_config_get(cfg, "dataDir");
    size_t n = strlen(data) + sizeof("/webhook-dead");
    char *dir = malloc(n);

    if (dir)
        (void)snprintf(dir, n, "%s/webhook-dead", data);
    return dir;
}

static int start_transports(struct wk_out *o, const wkim_config *cfg, wkim_error *err)
{
    int rc = wk_out_grpc_start(&o->grpc, cfg, o->log, err);

    return rc == WKIM_OK ? wk_out_http_start(&o->http, cfg, err) : rc;
}

int wk_out_start(struct wk_out **out, wkim_node *node, const wkim_config *cfg,
                 struct wk_log_file *log, wkim_error *err)
{
    struct wk_out *o;
    int rc;

    if (!*wkim_config_get(cfg, "webhook.httpAddr") && !*wkim_config_get(cfg, "webhook.grpcAddr"))
        return WKIM_OK;
    o = calloc(1, sizeof(*o));
    if (!o)
        return fail(err, WKIM_ENOMEM, "out of memory");
    *out = o;
    o->log = log;
    (void)pthread_mutex_init(&o->lock, NULL);
    o->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    o->dead_dir = dead_folder(cfg);
    if (o->stop_fd < 0 || !o->dead_dir || wkim_queue_new(&o->queue) != WKIM_OK ||
        wkim_node_hooks(node, o->queue) != WKIM_OK)
        return fail(err, WKIM_ENOMEM, "out of memory");
    rc = start_transports(o, cfg, err);
    if (rc != WKIM_OK)
        return rc;
    if (pthread_create(&o->thread, NULL, run, o) != 0)
        return fail(err, WKIM_EBUSY, "no thread");
    o->running = 1;
    return WKIM_OK;
}

void wk_out_stop(struct wk_out *o)
{
    const uint64_t one = 1;

    if (!o)
        return;
    atomic_store(&o->stop, 1);
    if (o->running) {
        ssize_t n = write(o->stop_fd, &one, sizeof(one));

        (void)n; /* an eventfd that takes no more is readable, too */
        (void)pthread_join(o->thread, NULL);
    }
    wk_out_grpc_stop(o->grpc);
    wk_out_http_stop(o->http);
    wkim_queue_free(o->queue);
    if (o->stop_fd >= 0)
        (void)close(o->stop_fd);
    (void)pthread_mutex_destroy(&o->lock);
    free(o->dead_dir);
    free(o);
}
