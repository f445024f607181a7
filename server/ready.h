/* Wake-ups from node threads to the thread that owns a connection: a list of connections that have
 * something to do, each at most once.
 *
 * Threads: push by any; take, remove by the owner.  `wake` is called by push when the list was
 * empty; it must be safe on any thread. */
#ifndef WK_SERVER_READY_H
#define WK_SERVER_READY_H

#include <pthread.h>

struct wk_ready_link { /* zeroed by its owner before the first push */
    struct wk_ready_link *prev, *next;
    int queued;
};

struct wk_ready {
    pthread_mutex_t lock;
    struct wk_ready_link head; /* circular */
    void (*wake)(void *user);
    void *user;
};

void wk_ready_init(struct wk_ready *r, void (*wake)(void *user), void *user);
void wk_ready_fini(struct wk_ready *r);
void wk_ready_push(struct wk_ready *r, struct wk_ready_link *l);
struct wk_ready_link *wk_ready_take(struct wk_ready *r); /* NULL: empty */
void wk_ready_remove(struct wk_ready *r, struct wk_ready_link *l);

#endif
