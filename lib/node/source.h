/* The data source of a node: one machine per shard, asked by im, and the way to the embedder and
 * back. */
#ifndef WK_NODE_SOURCE_H
#define WK_NODE_SOURCE_H
#include <wkim/hook.h>
#include "node/node.h"

/* Reads the configuration; what im is to ask goes into o.  Before im_new.  WKIM_ECONFIG: nobody
 * carries the questions. */
int wk_node_source_setup(struct wkim_node *n, struct im_options *o, struct wkim_error *err);
int wk_node_source_start(struct wkim_node *n, struct wkim_error *err); /* before the cluster runs */
void wk_node_source_free(struct wkim_node *n);
void wk_node_source_metrics(const struct wkim_node *n, struct wk_buf *b);
/* Whether the reply is a question to the data source; wkim_reply_hook of it. */
bool wk_node_source_is(const struct wkim_reply *reply);
int wk_node_source_describe(const struct wkim_reply *reply, wkim_hook_request *out);
#endif
