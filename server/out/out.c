#include "out/out.h"

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

#include "out/grpc.h"
#include "out/http.h"

#define TURN_DEAD_MAX 64
#define SAY_AGAIN_S 10 /* the same failure is told once in this time */

struct wk_out {
    wkim_queue *queue;
    struct wk_log_file *log;
    struct wk_out_http *http; /* NULL: nothing goes by HTTP */
    struct wk_out_grpc *grpc; /* NULL: webhook.grpcAddr is not set */
    struct wk_dead *dead;
    pthread_t thread;
    int running;
    int wake_fd;
    _Atomic int stop;
    _Atomic int replaying; /* a dead letter is on its way */
    int failures;          /* replays in a row; of the thread that has the replay */
    pthread_mutex_t lock;  /* over what follows */
    struct wk_out_view view;
    time_t said_s; /* when view.last_error was told */
    unsigned long unsaid;
};

/* ---- jobs ------------------------------------------------------------------------------------ */

void wk_out_inbox_init(struct wk_out_inbox *b)
{
    (void)pthread_mutex_init(&b->lock, NULL);
    b->head = NULL;
    b->tail = &b->head;
}

int wk_out_inbox_put(struct wk_out_inbox *b, struct wk_out_job *job)
{
    int empty;

    job->next = NULL;
    (void)pthread_mutex_lock(&b->lock);
    empty = !b->head;
    *b->tail = job;
    b->tail = &job->next;
    (void)pthread_mutex_unlock(&b->lock);
    return empty;
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
    struct wk_out_view *v = &o->view;
    time_t now = time(NULL);
    unsigned long before = 0;
    int tell;

    (void)pthread_mutex_lock(&o->lock);
    tell = now - o->said_s >= SAY_AGAIN_S ||
           strncmp(v->last_error, why, sizeof(v->last_error) - 1) != 0;
    if (tell) {
        before = o->unsaid;
        o->unsaid = 0;
        o->said_s = now;
        (void)snprintf(v->last_error, sizeof(v->last_error), "%s", why);
    } else {
        o->unsaid++;
    }
    v->last_error_s = (uint64_t)now;
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

static void dispatch(struct wk_out *o, struct wk_out_job *job)
{
    if (o->grpc && job->request.target == WKIM_HOOK_MAIN)
        wk_out_grpc_send(o->grpc, job);
    else if (o->http)
        wk_out_http_send(o->http, job);
    else
        job->done(job, 0, "no address is configured for it");
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static void wake(struct wk_out *o)
{
    const uint64_t one = 1;
    ssize_t n = write(o->wake_fd, &one, sizeof(one));

    (void)n; /* an eventfd that takes no more is readable, too */
}

static void note_replay(struct wk_out *o, uint64_t id, int ok, const char *why)
{
    struct wk_out_view *v = &o->view;

    (void)pthread_mutex_lock(&o->lock);
    v->replay_id = id;
    v->replay_s = (uint64_t)time(NULL);
    v->replay_ok = ok;
    (void)snprintf(v->replay_error, sizeof(v->replay_error), "%s", ok ? "" : why);
    *(ok ? &v->replays_ok : &v->replays_failed) += 1;
    (void)pthread_mutex_unlock(&o->lock);
}

static void replay_done(struct wk_out_job *job, int ok, const char *why)
{
    struct wk_out *o = job->out;
    uint64_t id = job->letter.id;

    if (ok)
        (void)wk_dead_remove(o->dead, id);
    else
        (void)wk_dead_mark(o->dead, id, false);
    note_replay(o, id, ok, why);
    wk_log_say(o->log, ok ? WKIM_LOG_INFO : WKIM_LOG_WARN, "webhook_replayed",
               "id=%llu event=%s delivery=%s ok=%d reason=\"%s\"", (unsigned long long)id,
               job->letter.event, job->letter.delivery, ok, ok ? "" : why);
    o->failures = ok ? 0 : o->failures + 1;
    if (o->failures >= WK_OUT_REPLAY_FAILURES) {
        o->failures = 0;
        (void)wk_dead_mark_all(o->dead, "", false);
    }
    free(job->body);
    free(job);
    atomic_store(&o->replaying, 0);
    wake(o);
}

static wkim_slice slice(const char *text, size_t n)
{
    return (wkim_slice){ (const uint8_t *)text, n };
}

static struct wk_out_job *load(struct wk_out *o, uint64_t id)
{
    static const char type[] = "application/json";
    struct wk_out_job *job = calloc(1, sizeof(*job));
    int rc = job ? wk_dead_get(o->dead, id, &job->letter, &job->body) : WKIM_ENOMEM;

    if (rc != WKIM_OK) {
        note_replay(o, id, 0, wkim_strerror(rc));
        (void)wk_dead_mark(o->dead, id, false);
        free(job);
        return NULL;
    }
    job->request =
        (wkim_hook_request){ .size = sizeof(job->request),
                             .event = slice(job->letter.event, strlen(job->letter.event)),
                             .body = slice(job->body, job->letter.bytes),
                             .content_type = slice(type, sizeof(type) - 1),
                             .delivery = slice(job->letter.delivery, strlen(job->letter.delivery)),
                             .target = job->letter.target,
                             .attempt = job->letter.attempts + 1,
                             .items = job->letter.items };
    job->done = replay_done;
    job->out = o;
    return job;
}

/* One at a time, so that they arrive in their order and one body is in memory. */
static void replay_next(struct wk_out *o)
{
    struct wk_out_job *job;
    uint64_t id;

    if (atomic_load(&o->replaying))
        return;
    id = wk_dead_next_marked(o->dead);
    if (!id)
        return;
    atomic_store(&o->replaying, 1);
    job = load(o, id);
    if (job) {
        dispatch(o, job);
        return;
    }
    atomic_store(&o->replaying, 0);
    wake(o);
}

struct wk_dead *wk_out_dead(struct wk_out *o)
{
    return o->dead;
}

void wk_out_replay(struct wk_out *o)
{
    wake(o);
}

void wk_out_view_get(struct wk_out *o, struct wk_out_view *out)
{
    (void)pthread_mutex_lock(&o->lock);
    *out = o->view;
    (void)pthread_mutex_unlock(&o->lock);
}

/* ---- from the node --------------------------------------------------------------------------- */

/* Given-up requests taken in one turn are on the disk before any of them is answered. */
struct turn {
    wkim_reply *dead[TURN_DEAD_MAX];
    size_t n_dead;
};

static void end_turn(struct wk_out *o, struct turn *t)
{
    if (t->n_dead)
        wk_dead_sync(o->dead);
    for (size_t i = 0; i < t->n_dead; i++)
        wkim_hook_answer(t->dead[i], 1);
    t->n_dead = 0;
}

static void take(struct wk_out *o, struct turn *t, wkim_reply *reply)
{
    wkim_hook_request r = { .size = sizeof(r) };
    struct wk_out_job *job;

    if (wkim_reply_hook(reply, &r) != WKIM_OK) {
        wkim_hook_answer(reply, 0);
        return;
    }
    if (r.dead) {
        int rc = wk_dead_add(o->dead, &r, (uint64_t)time(NULL));

        if (rc != WKIM_OK && rc != WKIM_ETOOBIG) { /* perhaps there is room later */
            wkim_hook_answer(reply, 0);
            return;
        }
        t->dead[t->n_dead++] = reply;
        if (t->n_dead == TURN_DEAD_MAX)
            end_turn(o, t);
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
    dispatch(o, job);
}

static void *run(void *user)
{
    struct wk_out *o = user;
    struct pollfd wait[2] = { { .fd = wkim_queue_fd(o->queue), .events = POLLIN },
                              { .fd = o->wake_fd, .events = POLLIN } };
    struct turn turn = { .n_dead = 0 };
    wkim_reply *reply;
    uint64_t n;

    while (!atomic_load(&o->stop)) {
        while (wkim_queue_next(o->queue, &reply, 0) == WKIM_OK)
            take(o, &turn, reply);
        end_turn(o, &turn);
        replay_next(o);
        if (poll(wait, 2, -1) > 0 && wait[1].revents && read(o->wake_fd, &n, sizeof(n)) < 0)
            continue;
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

static int open_dead(struct wk_out *o, const wkim_config *cfg, wkim_error *err)
{
    const char *data = wkim_config_get(cfg, "dataDir");
    size_t n = strlen(data) + sizeof("/webhook-dead");
    char *dir = malloc(n);
    int rc;

    if (!dir)
        return fail(err, WKIM_ENOMEM, "out of memory");
    (void)snprintf(dir, n, "%s/webhook-dead", data);
    rc = wk_dead_open(&o->dead, dir, (uint64_t)wkim_config_int(cfg, "webhook.deadMaxBytes"), o->log,
                      err);
    free(dir);
    return rc;
}

/* Whoever may see the page need not know the password or the query of a URL. */
static void show_address(char *out, size_t cap, const char *address)
{
    const char *host = strstr(address, "://"), *at;

    host = host ? host + 3 : address;
    at = memrchr(host, '@', strcspn(host, "/?#"));
    at = at ? at + 1 : host;
    (void)snprintf(out, cap, "%.*s%.*s", (int)(host - address), address, (int)strcspn(at, "?"), at);
}

static int start_transports(struct wk_out *o, const wkim_config *cfg, wkim_error *err)
{
    int rc = wk_out_grpc_start(&o->grpc, cfg, o->log, err);

    show_address(o->view.http_addr, sizeof(o->view.http_addr),
                 wkim_config_get(cfg, "webhook.httpAddr"));
    show_address(o->view.grpc_addr, sizeof(o->view.grpc_addr),
                 wkim_config_get(cfg, "webhook.grpcAddr"));

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
    o->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (o->wake_fd < 0 || wkim_queue_new(&o->queue) != WKIM_OK ||
        wkim_node_hooks(node, o->queue) != WKIM_OK)
        return fail(err, WKIM_ENOMEM, "out of memory");
    rc = open_dead(o, cfg, err);
    if (rc == WKIM_OK)
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
    if (!o)
        return;
    atomic_store(&o->stop, 1);
    if (o->running) {
        wake(o);
        (void)pthread_join(o->thread, NULL);
    }
    wk_out_grpc_stop(o->grpc);
    wk_out_http_stop(o->http);
    wk_dead_close(o->dead);
    wkim_queue_free(o->queue);
    if (o->wake_fd >= 0)
        (void)close(o->wake_fd);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}
