/* Webhook requests of a node over HTTP, on a thread of its own.  Requests that were given up go to
 * <dataDir>/webhook-dead, one file per event, the older half of it in a second file.
 *
 * Threads: start and stop by one thread.  Start before wkim_node_start, stop after wkim_node_stop
 * and before wkim_node_free: what is under way then counts as failed. */
#ifndef WK_SERVER_OUT_HTTP_H
#define WK_SERVER_OUT_HTTP_H

#include <wkim/hook.h>

#include "log_file.h"

struct wk_out_http;

/* *out stays NULL when no HTTP webhook is configured.  log is borrowed until stop. */
int wk_out_http_start(struct wk_out_http **out, wkim_node *node, const wkim_config *cfg,
                      struct wk_log_file *log, wkim_error *err);
void wk_out_http_stop(struct wk_out_http *o); /* NULL allowed */

/* out_url.c: base with the parameter event=<event> added or replaced; owned: free().  NULL: no URL.
 */
char *wk_out_url(const char *base, const char *event);
/* out_dead.c: appends one line; 0, or -1 with errno. */
int wk_out_dead(const char *dir, const wkim_hook_request *r, unsigned long long now_s);

#endif
