#include "ready.h"

#include <stddef.h>

void wk_ready_init(struct wk_ready *r, void (*wake)(void *user), void *user)
{
    (void)pthread_mutex_init(&r->lock, NULL);
    r->head.prev = r->head.next = &r->head;
    r->wake = wake;
    r->user = user;
}

void wk_ready_fini(struct wk_ready *r)
{
    (void)pthread_mutex_destroy(&r->lock);
}

static void unlink_locked(struct wk_ready_link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->queued = 0;
}

void wk_ready_push(struct wk_ready *r, struct wk_ready_link *l)
{
    int first = 0;

    (void)pthread_mutex_lock(&r->lock);
    if (!l->queued) {
        first = r->head.next == &r->head;
        l->queued = 1;
        l->prev = r->head.prev;
        l->next = &r->head;
        l->prev->next = l->next->prev = l;
    }
    (void)pthread_mutex_unlock(&r->lock);
    if (first)
        r->wake(r->user);
}

struct wk_ready_link *wk_ready_take(struct wk_ready *r)
{
    struct wk_ready_link *l;

    (void)pthread_mutex_lock(&r->lock);
    l = r->head.next;
    if (l == &r->head)
        l = NULL;
    else
        unlink_locked(l);
    (void)pthread_mutex_unlock(&r->lock);
    return l;
}

void wk_ready_remove(struct wk_ready *r, struct wk_ready_link *l)
{
    (void)pthread_mutex_lock(&r->lock);
    if (l->queued)
        unlink_locked(l);
    (void)pthread_mutex_unlock(&r->lock);
}
