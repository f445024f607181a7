/* A listening socket on the main loop.  Bound early, so that a taken address stops the start; it
 * listens only from wk_accept_start on, when the node can serve.
 *
 * Threads: all calls by the thread of the loop. */
#ifndef WK_SERVER_LISTEN_ACCEPT_H
#define WK_SERVER_LISTEN_ACCEPT_H

#include <event2/event.h>
#include <sys/socket.h>
#include <wkim/error.h>

struct wk_accept;

/* Takes fd: non-blocking, close-on-exec, TCP_NODELAY. */
typedef void (*wk_accept_fn)(void *user, int fd, const struct sockaddr *peer);

/* `key` names the configuration key in errors.  Owned: wk_accept_free. */
int wk_accept_bind(struct wk_accept **out, const char *key, const char *address, wkim_error *err);
int wk_accept_start(struct wk_accept *a, struct event_base *base, wk_accept_fn fn, void *user,
                    wkim_error *err);
void wk_accept_free(struct wk_accept *a); /* NULL allowed */

#endif
