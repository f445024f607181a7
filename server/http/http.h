/* The HTTP side of the server: business API (httpAddr), operator port (manager.addr: /metrics and
 * /health) and demo pages (demo.addr), on threads of its own.
 *
 * Threads: start and stop by one thread.  Stop before wkim_node_stop: it waits for the requests
 * under way, at most two seconds. */
#ifndef WK_HTTP_HTTP_H
#define WK_HTTP_HTTP_H

#include <wkim/node.h>

struct wk_http;
struct wk_out;

/* Copies what it needs of cfg; node is borrowed until wk_http_stop.  On failure err says which
 * address could not be opened. */
int wk_http_start(struct wk_http **out, wkim_node *node, const wkim_config *cfg, wkim_error *err);
/* managerToken, auth.users and jwt.* as cfg has them now, for requests that come from here on.  By
 * the thread that started it.  WKIM_OK, or WKIM_ENOMEM and nothing has changed. */
int wk_http_reload(struct wk_http *h, const wkim_config *cfg);
/* The client listeners are open: from now on /readyz and /health may say so. */
void wk_http_serving(struct wk_http *h);
void wk_http_set_warnings(struct wk_http *h, int warnings); /* of the configuration, for /metrics */
/* What /manager/v1/webhooks works on; borrowed until wk_http_stop, NULL: there are no webhooks. */
void wk_http_set_out(struct wk_http *h, struct wk_out *out);
void wk_http_stop(struct wk_http *h); /* NULL allowed */

#endif
