/* Requests of the node by HTTP, on a thread of its own.
 *
 * Threads: start and stop by one thread; send by any, between them. */
#ifndef WK_SERVER_OUT_HTTP_H
#define WK_SERVER_OUT_HTTP_H

#include "out/out.h"

struct wk_out_http;

/* *out stays NULL when no address for HTTP is configured. */
int wk_out_http_start(struct wk_out_http **out, const wkim_config *cfg, wkim_error *err);
void wk_out_http_stop(struct wk_out_http *o); /* jobs under way fail; NULL allowed */
void wk_out_http_send(struct wk_out_http *o, struct wk_out_job *job_take);

/* url.c: base with the parameter event=<event> added or replaced; owned: free().  NULL: no URL.
 */
char *wk_out_url(const char *base, const char *event);

#endif
