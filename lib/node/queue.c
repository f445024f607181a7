/* Answers wait in a list; an eventfd tells that it is not empty. */
#include "node/reply.h"
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "node/node.h"

struct wkim_queue {
    pthread_mutex_t lock;
    struct wkim_reply *head, **tail;
    size_t n, dropped;
    int fd;
    bool closed;
    _Atomic uint32_t refs;
};

int wkim_queue_new(wkim_queue **out)
{
    struct wkim_queue *q;

    if (!out)
        return WKIM_EINVAL;
    q = wk_calloc(1, sizeof(*q));
    if (!q)
        return WKIM_ENOMEM;
    q->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (q->fd < 0) {
        wk_free(q);
        return WKIM_EIO;
    }
    pthread_mutex_init(&q->lock, NULL);
    q->tail = &q->head;
    atomic_init(&q->refs, 1);
    *out = q;
    return WKIM_OK;
}

struct wkim_queue *wk_queue_ref(struct wkim_queue *q)
{
    if (q)
        atomic_fetch_add(&q->refs, 1);
    return q;
}

void wk_queue_unref(struct wkim_queue *q)
{
    if (!q || atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&q->lock);
    close(q->fd);
    wk_free(q);
}

void wkim_queue_free(wkim_queue *q)
{
    struct wkim_reply *r;

    if (!q)
        return;
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    r = q->head;
    q->head = NULL;
    pthread_mutex_unlock(&q->lock);
    while (r) {
        struct wkim_reply *next = r->next;
        wkim_reply_free(r);
        r = next;
    }
    wk_queue_unref(q);
}

int wkim_queue_fd(const wkim_queue *q)
{
    return q->fd;
}

static void signal_fd(const struct wkim_queue *q)
{
    uint64_t one = 1;
    ssize_t rc = write(q->fd, &one, sizeof(one));
    (void)rc; /* a full counter is readable as well */
}

static struct wkim_reply *take_oldest_event(struct wkim_queue *q)
{
    for (struct wkim_reply **at = &q->head; *at; at = &(*at)->next) {
        struct wkim_reply *r = *at;
        if (r->kind == WKIM_REPLY_CALL)
            continue;
        *at = r->next;
        if (q->tail == &r->next)
            q->tail = at;
        q->n--;
        return r;
    }
    return NULL;
}

static size_t put(struct wkim_queue *q, struct wkim_reply *r, size_t max)
{
    struct wkim_reply *old = NULL;
    bool closed, was_empty;

    r->next = NULL;
    pthread_mutex_lock(&q->lock);
    closed = q->closed;
    was_empty = q->head == NULL;
    if (!closed) {
        if (max && q->n >= max)
            old = take_oldest_event(q);
        *q->tail = r;
        q->tail = &r->next;
        q->n++;
        if (was_empty)
            signal_fd(q);
    }
    pthread_mutex_unlock(&q->lock);
    if (closed)
        wkim_reply_free(r);
    size_t dropped = old != NULL;
    wkim_reply_free(old);
    return dropped;
}

void wk_queue_put(struct wkim_queue *q, struct wkim_reply *r)
{
    if (!q)
        wkim_reply_free(r);
    else
        (void)put(q, r, 0);
}

size_t wk_queue_put_event(struct wkim_queue *q, struct wkim_reply *r, size_t max)
{
    return put(q, r, max);
}

static struct wkim_reply *take(struct wkim_queue *q)
{
    struct wkim_reply *r;
    uint64_t n;

    pthread_mutex_lock(&q->lock);
    r = q->head;
    if (r) {
        q->head = r->next;
        q->n--;
        if (!q->head) {
            q->tail = &q->head;
            ssize_t rc = read(q->fd, &n, sizeof(n));
            (void)rc;
        }
    }
    pthread_mutex_unlock(&q->lock);
    return r;
}

int wkim_queue_next(wkim_queue *q, wkim_reply **out, int timeout_ms)
{
    uint64_t until = wk_now_ms() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);

    if (!q || !out)
        return WKIM_EINVAL;
    for (;;) {
        *out = take(q);
        if (*out)
            return WKIM_OK;
        uint64_t now = wk_now_ms();
        if (timeout_ms >= 0 && now >= until)
            return WKIM_EAGAIN;
        struct pollfd p = { .fd = q->fd, .events = POLLIN };
        if (poll(&p, 1, timeout_ms < 0 ? -1 : (int)(until - now)) < 0 && errno != EINTR)
            return WKIM_EIO;
    }
}
