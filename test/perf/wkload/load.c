#include "wkload.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

uint64_t load_now_us(void)
{
    static uint64_t epoch_us; /* set by the first call, before there are threads */
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t us = (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
    if (epoch_us == 0)
        epoch_us = us - 1;
    return us - epoch_us;
}

void *load_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size);

    if (!p) {
        fprintf(stderr, "wkload: out of memory (%zu x %zu bytes)\n", n, size);
        exit(2);
    }
    return p;
}

void load_fail(struct load *l, enum fail kind, const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&l->fail_lock);
    uint64_t nth = l->fails[kind]++;
    if (nth < 3) {
        va_start(ap, fmt);
        vsnprintf(l->fail_text[kind][nth], sizeof(l->fail_text[kind][nth]), fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&l->fail_lock);
}

void load_fail_times(struct load *l, enum fail kind, uint64_t n)
{
    pthread_mutex_lock(&l->fail_lock);
    l->fails[kind] += n - 1;
    pthread_mutex_unlock(&l->fail_lock);
}

uint64_t load_fail_count(struct load *l)
{
    uint64_t sum = 0;

    pthread_mutex_lock(&l->fail_lock);
    for (int i = 0; i < FAIL_KINDS; i++)
        sum += l->fails[i];
    pthread_mutex_unlock(&l->fail_lock);
    return sum;
}

const char *load_reason_name(uint8_t reason)
{
    static const char *const names[] = {
        "unknown", "success", "authentication failed", "not a subscriber", "in the deny list",
        "channel does not exist", "user not on this node", "sender offline", "msgKey",
        "payload cannot be decoded", "forward failed", "not allowed to send", "kicked",
        "not in the allow list", "token query", "system error", "channel id", "node match",
        "node does not match", "banned", "header", "client key empty", "rate limit",
        "channel type", "disbanded", "send banned"};

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "?";
}

void load_reserve(struct load *l, uint32_t conns, uint32_t channels, uint32_t senders,
                  uint32_t views)
{
    l->conns = load_alloc(conns, sizeof(*l->conns));
    l->channels = load_alloc(channels, sizeof(*l->channels));
    l->senders = load_alloc(senders, sizeof(*l->senders));
    l->views = load_alloc(views, sizeof(*l->views));
    l->n_conns = conns;
    l->n_channels = channels;
    l->n_senders = senders;
    l->n_views = views;
    for (uint32_t i = 0; i < conns; i++) {
        l->conns[i].fd = -1;
        l->conns[i].index = i;
        l->conns[i].state = CONN_NEW;
    }
}

void load_conn_name(struct load *l, uint32_t conn, const char *uid)
{
    struct conn *c = &l->conns[conn];

    c->uid_n = (uint32_t)snprintf(c->uid, sizeof(c->uid), "%s", uid);
}

int load_view_init(struct load *l, struct view *v, struct channel *ch, bool sends)
{
    v->channel = ch;
    v->sends = sends;
    ch->online++;
    if (!l->options.persist)
        v->counters = load_alloc(ch->senders, sizeof(*v->counters));
    if (sequence_init(&v->sequence, sends)) {
        load_fail(l, FAIL_SETUP, "out of memory");
        return -1;
    }
    return 0;
}

/* Neighbours share a worker, so that a pair does. */
static uint32_t worker_of(const struct load *l, const struct conn *c)
{
    const uint32_t n = l->options.threads;

    if (!l->options.apart)
        return c->index / 2 % n;
    return c->is_sender ? 0 : 1 + c->index / 2 % (n - 1);
}

static int start_worker(struct load *l, struct worker *w, uint32_t index)
{
    w->load = l;
    w->index = index;
    w->until_verify = l->options.verify;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0) {
        load_fail(l, FAIL_SETUP, "epoll_create1 failed");
        return -1;
    }
    w->conns = load_alloc(l->n_conns, sizeof(*w->conns));
    w->dirty = load_alloc(l->n_conns, sizeof(*w->dirty));
    w->free_conns = load_alloc(l->n_conns, sizeof(*w->free_conns));
    w->senders = load_alloc(l->n_senders, sizeof(*w->senders));
    w->read_buf = load_alloc(FRAME_BYTES_MAX + READ_BYTES, 1);
    w->plain = load_alloc(l->options.size, 1);
    for (uint32_t i = 0; i < l->n_conns; i++)
        if (worker_of(l, &l->conns[i]) == index)
            w->conns[w->n_conns++] = &l->conns[i];
    for (uint32_t i = 0; i < l->n_senders; i++)
        if (worker_of(l, l->senders[i].conn) == index)
            w->senders[w->n_senders++] = &l->senders[i];
    if (l->scenario == &scenario_connect)
        for (uint32_t i = 0; i < w->n_conns; i++)
            w->free_conns[w->n_free++] = w->conns[i];
    return 0;
}

int load_start(struct load *l)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .";
    uint64_t x = 0x9e3779b97f4a7c15u ^ l->run;

    l->filler = load_alloc(FILLER_BYTES + l->options.size, 1);
    for (size_t i = 0; i < FILLER_BYTES + l->options.size; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        l->filler[i] = (uint8_t)letters[x >> 58];
    }
    for (uint32_t i = 0; i < l->n_senders; i++)
        l->senders[i].conn->is_sender = true;
    l->workers = load_alloc(l->options.threads, sizeof(*l->workers));
    for (uint32_t i = 0; i < l->options.threads; i++)
        if (start_worker(l, &l->workers[i], i))
            return -1;
    for (uint32_t i = 0; i < l->options.threads; i++)
        if (pthread_create(&l->workers[i].thread, NULL, worker_main, &l->workers[i])) {
            fprintf(stderr, "wkload: no thread\n");
            exit(2);
        }
    return 0;
}

void load_free(struct load *l)
{
    for (uint32_t i = 0; l->workers && i < l->options.threads; i++) {
        struct worker *w = &l->workers[i];
        if (w->epoll_fd > 0)
            close(w->epoll_fd);
        free(w->conns);
        free(w->dirty);
        free(w->free_conns);
        free(w->senders);
        free(w->read_buf);
        free(w->plain);
    }
    for (uint32_t i = 0; i < l->n_conns; i++) {
        struct conn *c = &l->conns[i];
        if (c->fd >= 0)
            close(c->fd);
        wkim_cipher_free(c->cipher);
        free(c->in.p);
        free(c->out.p);
        free(c->flights);
    }
    for (uint32_t i = 0; i < l->n_views; i++) {
        sequence_fini(&l->views[i].sequence);
        free(l->views[i].counters);
    }
    free(l->workers);
    free(l->conns);
    free(l->channels);
    free(l->senders);
    free(l->views);
    free(l->filler);
}
