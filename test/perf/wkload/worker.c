#include "wkload.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#define EVENTS 256
#define TICK_US 250u    /* open loop: sends are gathered at most this long */
#define LOOK_US 20000u  /* phases are looked at this often when nothing else happens */

static uint64_t t0_of(const struct worker *w)
{
    return atomic_load_explicit(&w->load->t0_us, memory_order_relaxed);
}

void worker_wants_flush(struct worker *w, struct conn *c)
{
    if (c->dirty)
        return;
    c->dirty = true;
    w->dirty[w->n_dirty++] = c;
}

static void flush_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->n_dirty; i++) {
        w->dirty[i]->dirty = false;
        conn_flush(w, w->dirty[i]);
    }
    w->n_dirty = 0;
}

static bool is_connect(const struct worker *w)
{
    return w->load->scenario == &scenario_connect;
}

void worker_logged_in(struct worker *w, struct conn *c)
{
    struct load *l = w->load;
    uint64_t took = w->now_us > c->opened_us ? w->now_us - c->opened_us : 0;

    w->logging_in--;
    COUNT(w->counters.ready, 1);
    COUNT(w->counters.connects, 1);
    if (!is_connect(w)) {
        histogram_add(&w->connect, took);
        if (l->n_senders == 0) { /* an idle connection needs no keys any more */
            wkim_cipher_free(c->cipher);
            c->cipher = NULL;
        }
        return;
    }
    uint64_t t0 = t0_of(w);
    histogram_add(&w->second_ack, took);
    if (w->now_us >= t0 + l->warm_us && w->now_us < t0 + l->end_us) {
        COUNT(w->counters.connects_in_window, 1);
        histogram_add(&w->connect, took);
    }
    conn_close(w, c);
    w->free_conns[w->n_free++] = c;
}

void worker_lost(struct worker *w, struct conn *c, uint8_t was)
{
    (void)c;
    if (was == CONN_CONNECTING || was == CONN_LOGIN)
        w->logging_in--;
    else if (was == CONN_READY)
        COUNT(w->counters.ready, (uint64_t)-1);
}

static void log_in_more(struct worker *w)
{
    while (w->next_conn < w->n_conns && w->logging_in < w->load->options.login_window) {
        w->logging_in++;
        w->now_us = load_now_us();
        conn_open(w, w->conns[w->next_conn++]);
    }
    if (w->next_conn == w->n_conns && w->logging_in == 0)
        atomic_store_explicit(&w->counters.login_done, 1, memory_order_release);
}

/* Intended time of the worker's k-th message: the workers are offset against each other. */
static uint64_t intended_us(const struct worker *w, uint64_t k)
{
    const struct options *o = &w->load->options;
    double nth = o->apart ? (double)k : (double)k * (double)o->threads + (double)w->index;

    return t0_of(w) + (uint64_t)(nth * 1e6 / o->rate);
}

static void pace(struct worker *w)
{
    const uint64_t end = t0_of(w) + w->load->end_us;

    for (;;) {
        uint64_t at = intended_us(w, w->paced);
        if (at > w->now_us || at >= end)
            return;
        conn_send(w, w->senders[w->paced % w->n_senders], at);
        w->paced++;
    }
}

static void fill_windows(struct worker *w)
{
    for (uint32_t k = 0; k < w->load->options.window; k++)
        for (uint32_t i = 0; i < w->n_senders; i++)
            conn_send(w, w->senders[i], w->now_us);
    w->filled = true;
}

/* `connect`: the next users take the free slots.  A slot whose login failed does not come back. */
static void connect_more(struct worker *w)
{
    struct load *l = w->load;
    const uint64_t end = t0_of(w) + l->end_us;
    char name[NAME_BYTES];

    while (w->n_free > 0 && w->now_us < end) {
        uint64_t at = l->options.rate > 0 ? intended_us(w, w->paced) : w->now_us;
        if (at > w->now_us)
            return;
        struct conn *c = w->free_conns[--w->n_free];
        uint64_t user = (w->paced++ * l->options.threads + w->index) % l->options.users;
        snprintf(name, sizeof(name), "%su%llu", l->prefix, (unsigned long long)user);
        load_conn_name(l, c->index, name);
        w->logging_in++;
        conn_open(w, c);
        c->opened_us = at;
    }
}

static void run(struct worker *w)
{
    const struct load *l = w->load;

    if (w->now_us < t0_of(w))
        return;
    if (is_connect(w))
        connect_more(w);
    else if (w->n_senders == 0)
        return;
    else if (l->options.rate > 0)
        pace(w);
    else if (!w->filled)
        fill_windows(w);
}

static void each_second(struct worker *w)
{
    struct counters *n = &w->counters;

    if (w->now_us < w->second_us)
        return;
    w->second_us = w->now_us + 1000000u;
    atomic_store_explicit(&n->second_ack_p50, histogram_percentile(&w->second_ack, 50),
                          memory_order_relaxed);
    atomic_store_explicit(&n->second_ack_p99, histogram_percentile(&w->second_ack, 99),
                          memory_order_relaxed);
    atomic_store_explicit(&n->second_recv_p99, histogram_percentile(&w->second_recv, 99),
                          memory_order_relaxed);
    histogram_reset(&w->second_ack);
    histogram_reset(&w->second_recv);
    for (uint32_t i = 0; i < w->n_conns; i++) {
        struct conn *c = w->conns[i];
        if (c->state != CONN_READY || w->now_us - c->wrote_us < PING_AFTER_US)
            continue;
        if (c->ping_open) {
            load_fail(w->load, FAIL_MISSING_PONG, "%s: PING not answered in %u s", c->uid,
                      PING_AFTER_US / 1000000u);
            conn_close(w, c);
        } else {
            conn_ping(w, c);
        }
    }
}

static uint64_t sleep_us(const struct worker *w, int phase)
{
    const struct load *l = w->load;
    const uint64_t t0 = t0_of(w);

    if (phase != PHASE_RUN)
        return LOOK_US / 4;
    if (w->now_us < t0)
        return t0 - w->now_us;
    if (l->options.rate <= 0 || (w->n_senders == 0 && !is_connect(w)) ||
        w->now_us >= t0 + l->end_us)
        return LOOK_US;
    uint64_t at = intended_us(w, w->paced);
    uint64_t wait = at > w->now_us ? at - w->now_us : 0;
    if (wait < TICK_US)
        wait = TICK_US;
    return wait < LOOK_US ? wait : LOOK_US;
}

void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct load *l = w->load;
    struct epoll_event events[EVENTS];

    for (;;) {
        int phase = atomic_load_explicit(&l->phase, memory_order_acquire);
        if (phase == PHASE_STOP)
            return NULL;
        w->now_us = load_now_us();
        if (phase == PHASE_LOGIN && !is_connect(w))
            log_in_more(w);
        if (phase == PHASE_RUN)
            run(w);
        each_second(w);
        flush_all(w);
        uint64_t us = sleep_us(w, phase);
        const struct timespec wait = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
        int n = epoll_pwait2(w->epoll_fd, events, EVENTS, &wait, NULL);
        if (n < 0 && errno != EINTR) {
            load_fail(l, FAIL_SETUP, "epoll: %s", strerror(errno));
            return NULL;
        }
        w->now_us = load_now_us();
        for (int i = 0; i < n; i++)
            conn_event(w, events[i].data.ptr, events[i].events);
        flush_all(w);
    }
}
