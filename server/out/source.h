/* Questions of a node to its data source over HTTP, on a thread of their own: a slow or huge answer
 * does not hold up webhooks.
 *
 * Threads: start and stop by one thread.  Start before wkim_node_start, stop after wkim_node_stop
 * and before wkim_node_free: what is under way then counts as failed. */
#ifndef WK_SERVER_OUT_SOURCE_H
#define WK_SERVER_OUT_SOURCE_H

#include <wkim/hook.h>

struct wk_out_source;

/* *out stays NULL when no data source is configured. */
int wk_out_source_start(struct wk_out_source **out, wkim_node *node, const wkim_config *cfg,
                        wkim_error *err);
void wk_out_source_stop(struct wk_out_source *o); /* NULL allowed */

#endif
