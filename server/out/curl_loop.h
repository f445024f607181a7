/* A thread that carries requests by libcurl: what every such carrier starts and ends with.
 *
 * Threads: wk_curl_loop_wake may be called by any thread, everything else by the one that starts
 * and stops; `multi` belongs to the loop's thread between. */
#ifndef WK_SERVER_OUT_CURL_LOOP_H
#define WK_SERVER_OUT_CURL_LOOP_H

#include <curl/curl.h>
#include <pthread.h>
#include <wkim/error.h>

struct wk_curl_loop { /* zeroed: nothing to end */
    CURLM *multi;
    pthread_t thread;
    int running;
    _Atomic int stop; /* the thread's function returns soon after it is set */
};

/* connections: at most so many to one host.  0, or -1 without memory. */
int wk_curl_loop_init(struct wk_curl_loop *l, long connections);
/* WKIM_OK, or WKIM_EBUSY and a text in err that begins with `who`. */
int wk_curl_loop_start(struct wk_curl_loop *l, void *(*run)(void *), void *user, const char *who,
                       wkim_error *err);
void wk_curl_loop_wake(struct wk_curl_loop *l);
void wk_curl_loop_stop(struct wk_curl_loop *l); /* the thread ends; multi stays */
void wk_curl_loop_fini(struct wk_curl_loop *l);

#endif
