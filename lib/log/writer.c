/* The writing thread.  Submitters push on a lock-free stack; the thread takes the whole stack,
 * turns it round, appends, syncs once, reports.  It is woken only when it sleeps. */
#include "log/writer.h"
#include "base/clock.h"
#include "log/internal.h"

#define BATCHES_AT_ONCE 1024

struct wk_log_writer {
    struct wk_log_store *log;
    struct wk_log_writer_options opt;
    _Atomic(struct wk_log_submit *) head; /* newest first */
    atomic_bool asleep, marks, stop;
    pthread_mutex_t mu; /* only for going to sleep and waking */
    pthread_cond_t wake;
    pthread_t thread;
    struct wk_log_counters count;
    struct wk_log_batch batches[BATCHES_AT_ONCE];
};

/* The sleeper sets `asleep`, then looks for work; the caller made work, then looks at `asleep`:
 * with sequentially consistent order one of them sees the other. */
static void wake(struct wk_log_writer *w)
{
    if (!atomic_load(&w->asleep))
        return;
    pthread_mutex_lock(&w->mu);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->mu);
}

static bool has_work(struct wk_log_writer *w)
{
    return atomic_load(&w->head) || atomic_load(&w->marks) || atomic_load(&w->stop);
}

static void sleep_until_work(struct wk_log_writer *w)
{
    if (has_work(w))
        return;
    pthread_mutex_lock(&w->mu);
    atomic_store(&w->asleep, true);
    while (!has_work(w))
        pthread_cond_wait(&w->wake, &w->mu);
    atomic_store(&w->asleep, false);
    pthread_mutex_unlock(&w->mu);
}

static struct wk_log_submit *take_all(struct wk_log_writer *w)
{
    struct wk_log_submit *s = atomic_exchange(&w->head, NULL), *first = NULL;

    while (s) {
        struct wk_log_submit *next = s->next;
        s->next = first;
        first = s;
        s = next;
    }
    return first;
}

/* A refused batch (a damaged group, no memory) must not fail its neighbours: after a failed joint
 * append that wrote nothing each one is tried alone. */
static void append_some(struct wk_log_writer *w, struct wk_log_submit *first, size_t n)
{
    int rc = wk_log_append(w->log, w->batches, n, NULL);

    for (size_t i = 0; i < n; i++, first = first->next)
        first->rc = rc && n > 1 ? wk_log_append(w->log, &w->batches[i], 1, NULL) : rc;
}

static void append_all(struct wk_log_writer *w, struct wk_log_submit *s)
{
    while (s) {
        struct wk_log_submit *first = s;
        size_t n = 0;
        if (s->reset) {
            s->rc = wk_log_reset(w->log, s->batch.group, s->reset_index, s->reset_term, NULL);
            s = s->next;
            continue;
        }
        for (; s && !s->reset && n < BATCHES_AT_ONCE; s = s->next)
            w->batches[n++] = s->batch;
        append_some(w, first, n);
    }
}

static void count_round(struct wk_log_writer *w, const struct wk_log_submit *s, uint64_t begun_us,
                        uint64_t written_us)
{
    const uint64_t now = wk_now_us();
    uint64_t n = 0;

    for (; s; s = s->next)
        n++;
    wk_histogram_add(&w->count.records, WK_BOUNDS_SIZES, n);
    wk_histogram_add(&w->count.round, WK_BOUNDS_SECONDS, now - begun_us);
    if (w->opt.sync)
        wk_histogram_add(&w->count.sync, WK_BOUNDS_SECONDS, now - written_us);
}

static void round_run(struct wk_log_writer *w)
{
    struct wk_log_submit *s = take_all(w);
    int rc = WKIM_OK;

    if (!s)
        return;
    const uint64_t begun = wk_now_us();
    append_all(w, s);
    const uint64_t written = wk_now_us();
    if (w->opt.sync)
        rc = wk_log_sync(w->log, NULL);
    count_round(w, s, begun, written);
    while (s) {
        struct wk_log_submit *next = s->next; /* done() may give the memory back */
        s->begun_us = begun;
        if (rc && s->rc == WKIM_OK)
            s->rc = rc;
        s->done(s);
        s = next;
    }
    if (w->opt.round_end)
        w->opt.round_end(w->opt.user);
}

static void marks_run(struct wk_log_writer *w)
{
    struct wk_log_store *l = w->log;

    if (!atomic_exchange(&w->marks, false))
        return;
    for (size_t i = 0; i < l->n_groups; i++) { /* only this thread adds groups */
        struct wk_log_group *g = l->groups[i];
        pthread_mutex_lock(&l->mu);
        const uint64_t want = g->want;
        g->want = 0;
        pthread_mutex_unlock(&l->mu);
        if (want)
            (void)wk_log_compact(l, g->id, want);
    }
    (void)wk_log_purge(l, NULL); /* a failure stops the store and is told to the next submission */
}

static void *writer_main(void *arg)
{
    struct wk_log_writer *w = arg;

    pthread_setname_np(pthread_self(), "wk-log");
    for (;;) {
        sleep_until_work(w);
        const bool stop = atomic_load(&w->stop);
        round_run(w);
        marks_run(w);
        if (stop && !atomic_load(&w->head))
            return NULL;
    }
}

int wk_log_writer_new(struct wk_log_writer **out, const struct wk_fs *fs,
                      const struct wk_log_writer_options *opt, struct wkim_error *err)
{
    struct wk_log_writer *w = wk_calloc(1, sizeof(*w));

    if (!w)
        return wk_fail(err, WKIM_ENOMEM, "log: no memory");
    w->opt = *opt;
    int rc = wk_log_open(&w->log, fs, &opt->log, err);
    if (rc) {
        wk_free(w);
        return rc;
    }
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->wake, NULL);
    if (pthread_create(&w->thread, NULL, writer_main, w) != 0) {
        wk_log_close(w->log);
        pthread_mutex_destroy(&w->mu);
        pthread_cond_destroy(&w->wake);
        wk_free(w);
        return wk_fail(err, WKIM_ENOMEM, "log: cannot start the writing thread");
    }
    *out = w;
    return WKIM_OK;
}

void wk_log_writer_free(struct wk_log_writer *w)
{
    if (!w)
        return;
    atomic_store(&w->stop, true);
    wake(w);
    pthread_join(w->thread, NULL);
    wk_log_close(w->log);
    pthread_mutex_destroy(&w->mu);
    pthread_cond_destroy(&w->wake);
    wk_free(w);
}

static void push(struct wk_log_writer *w, struct wk_log_submit *s)
{
    struct wk_log_submit *head = atomic_load_explicit(&w->head, memory_order_relaxed);

    s->rc = WKIM_OK;
    do {
        s->next = head;
    } while (!atomic_compare_exchange_weak(&w->head, &head, s));
    if (!head)
        wake(w); /* whoever found the stack empty wakes; the others' work is taken along */
}

void wk_log_writer_submit(struct wk_log_writer *w, struct wk_log_submit *s)
{
    s->reset = false;
    push(w, s);
}

void wk_log_writer_reset(struct wk_log_writer *w, struct wk_log_submit *s, uint64_t index,
                         uint64_t term)
{
    s->reset = true;
    s->reset_index = index;
    s->reset_term = term;
    push(w, s);
}

int wk_log_writer_term(struct wk_log_writer *w, uint32_t group, uint64_t index, uint64_t *term)
{
    return wk_log_term(w->log, group, index, term);
}

wkim_ssize wk_log_writer_entries(struct wk_log_writer *w, uint32_t group, uint64_t lo, uint64_t hi,
                                 uint64_t bytes_max, struct wk_log_entry *out, size_t out_max)
{
    return wk_log_entries(w->log, group, lo, hi, bytes_max, out, out_max);
}

int wk_log_writer_group_find(struct wk_log_writer *w, uint32_t group,
                             struct wk_log_group_state *out)
{
    return wk_log_group_find(w->log, group, out);
}

void wk_log_writer_compact(struct wk_log_writer *w, uint32_t group, uint64_t index)
{
    struct wk_log_store *l = w->log;

    pthread_mutex_lock(&l->mu);
    struct wk_log_group *g = wk_log_group_get(l, group);
    if (g && g->want < index)
        g->want = index;
    pthread_mutex_unlock(&l->mu);
    if (g && !atomic_exchange(&w->marks, true))
        wake(w);
}

int wk_log_writer_prepare(struct wk_log_writer *w)
{
    return wk_log_prepare(w->log);
}

void wk_log_writer_stats(struct wk_log_writer *w, struct wk_log_stats *out)
{
    wk_log_stats(w->log, out);
}

const struct wk_log_counters *wk_log_writer_counters(const struct wk_log_writer *w)
{
    return &w->count;
}
