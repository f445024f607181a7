/* Between the sockets of WebSocket clients and libwebsockets: the library (4.1) takes frames
 * without a mask and answers 403 to what is no HTTP, and has no hook for either.  It reads with
 * recv() and SSL_read(), so this program brings its own of both: they read, look (ws_look.h) and
 * hand on.
 *
 * Threads: a tap belongs to one WebSocket thread; calls of all other threads pass untouched. */
#ifndef WK_SERVER_WS_TAP_H
#define WK_SERVER_WS_TAP_H

#include <stddef.h>

struct wk_ws_tap {           /* zeroed: empty */
    struct wk_ws_tapped *of; /* by descriptor, owned */
    size_t n;
};

void wk_ws_tap_use(struct wk_ws_tap *t); /* the calling thread's reads go through it from now on */
/* A new connection.  0, or -1 without memory. */
int wk_ws_tap_add(struct wk_ws_tap *t, int fd);
/* 1: what follows is followed as frames. */
int wk_ws_tap_upgraded(const struct wk_ws_tap *t, int fd);
void wk_ws_tap_fini(struct wk_ws_tap *t);

#endif
