#include "out/curl_loop.h"

#include <stdatomic.h>
#include <stdio.h>

int wk_curl_loop_init(struct wk_curl_loop *l, long connections)
{
    l->multi = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_multi_init() : NULL;
    if (!l->multi)
        return -1;
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
    return 0;
}

int wk_curl_loop_start(struct wk_curl_loop *l, void *(*run)(void *), void *user, const char *who,
                       wkim_error *err)
{
    if (pthread_create(&l->thread, NULL, run, user) != 0) {
        err->code = WKIM_EBUSY;
        (void)snprintf(err->text, sizeof(err->text), "%s: no thread", who);
        return WKIM_EBUSY;
    }
    l->running = 1;
    return WKIM_OK;
}

void wk_curl_loop_wake(struct wk_curl_loop *l)
{
    (void)curl_multi_wakeup(l->multi);
}

void wk_curl_loop_stop(struct wk_curl_loop *l)
{
    atomic_store(&l->stop, 1);
    if (l->running) {
        wk_curl_loop_wake(l);
        (void)pthread_join(l->thread, NULL);
        l->running = 0;
    }
}

void wk_curl_loop_fini(struct wk_curl_loop *l)
{
    (void)curl_multi_cleanup(l->multi);
    l->multi = NULL;
}
