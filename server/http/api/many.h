/* Many calls of one request: some are under way at a time, the rest waits for an answer. */
#ifndef WK_HTTP_API_MANY_H
#define WK_HTTP_API_MANY_H

#include "http/request.h"

struct wk_many {
    /* Start item i; c->index is i.  WKIM_OK: the continuation calls wk_many_next when the item is
     * done (it may make further calls with c before). */
    int (*start)(struct wk_req *r, struct wk_call *c, size_t i);
    void (*failed)(struct wk_req *r, size_t i, int code); /* it could not be started */
    void (*end)(struct wk_req *r); /* every item is done and nothing was answered: answer */
    /* What follows is set by wk_many_start. */
    size_t n, next;
    struct wk_call *calls;
};

/* Go through n items, `window` at a time.  m lives as long as the request. */
void wk_many_start(struct wk_req *r, struct wk_many *m, size_t n, size_t window);
/* The item of c is done.  An answer made meanwhile ends it all. */
void wk_many_next(struct wk_many *m, struct wk_call *c);

#endif
