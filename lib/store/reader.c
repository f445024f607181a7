#include "store/reader.h"
#include <pthread.h>
#include "base/mem.h"

struct wk_readers {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct wk_read_job *head, **tail; /* accepted, not yet taken */
    size_t queued, queue_max;
    uint64_t rejected, running;
    bool stopping;
    int n_threads;
    pthread_t threads[];
};

/* Takes the next job; NULL when stopping and nothing is left.  `ran`: the job before is done. */
static struct wk_read_job *next_job(struct wk_readers *r, bool ran)
{
    pthread_mutex_lock(&r->lock);
    r->running -= ran;
    while (!r->head && !r->stopping)
        pthread_cond_wait(&r->work, &r->lock);
    struct wk_read_job *j = r->head;
    if (j) {
        r->head = j->next;
        if (!r->head)
            r->tail = &r->head;
        r->queued--;
        r->running++;
    }
    pthread_mutex_unlock(&r->lock);
    return j;
}

static void *reader_main(void *arg)
{
    struct wk_readers *r = arg;
    struct wk_read_job *j;

    for (bool ran = false; (j = next_job(r, ran)) != NULL; ran = true) {
        j->run(j);
        j->done(j); /* the submitter owns j again from here on */
    }
    return NULL;
}

int wk_readers_new(struct wk_readers **out, int threads, size_t queue_max)
{
    if (threads < 1 || threads > 256 || queue_max < 1)
        return WKIM_EINVAL;
    struct wk_readers *r = wk_calloc(1, sizeof(*r) + sizeof(r->threads[0]) * (size_t)threads);
    if (!r)
        return WKIM_ENOMEM;
    r->queue_max = queue_max;
    r->tail = &r->head;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->work, NULL);
    while (r->n_threads < threads) {
        if (pthread_create(&r->threads[r->n_threads], NULL, reader_main, r) != 0) {
            wk_readers_free(r);
            return WKIM_ENOMEM;
        }
        r->n_threads++;
    }
    *out = r;
    return WKIM_OK;
}

void wk_readers_free(struct wk_readers *r)
{
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->stopping = true;
    pthread_cond_broadcast(&r->work);
    pthread_mutex_unlock(&r->lock);
    for (int i = 0; i < r->n_threads; i++)
        pthread_join(r->threads[i], NULL);
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->lock);
    wk_free(r);
}

int wk_readers_submit(struct wk_readers *r, struct wk_read_job *j)
{
    int rc = WKIM_EBUSY;

    pthread_mutex_lock(&r->lock);
    if (r->queued < r->queue_max && !r->stopping) {
        j->next = NULL;
        *r->tail = j;
        r->tail = &j->next;
        r->queued++;
        pthread_cond_signal(&r->work);
        rc = WKIM_OK;
    } else {
        r->rejected++;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

void wk_readers_stats(struct wk_readers *r, struct wk_readers_stats *out)
{
    pthread_mutex_lock(&r->lock);
    *out = (struct wk_readers_stats){ r->queued, r->queue_max, r->rejected, r->running };
    pthread_mutex_unlock(&r->lock);
}

size_t wk_readers_queued(struct wk_readers *r)
{
    pthread_mutex_lock(&r->lock);
    size_t n = r->queued;
    pthread_mutex_unlock(&r->lock);
    return n;
}
