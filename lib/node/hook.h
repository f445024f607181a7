/* Webhooks of a node: one machine per shard, fed by im, and the way to the embedder and back. */
#ifndef WK_NODE_HOOK_H
#define WK_NODE_HOOK_H
#include "node/node.h"

/* Reads the configuration; which events im is to tell goes into o.  Before im_new. */
int wk_node_hook_setup(struct wkim_node *n, struct im_options *o, struct wkim_error *err);
int wk_node_hook_start(struct wkim_node *n, struct wkim_error *err); /* once the cluster exists */
void wk_node_hook_free(struct wkim_node *n);
/* Everything in memory is tried once more.  Any thread. */
void wk_node_hook_drain(struct wkim_node *n);
int wk_node_hook_idle(const struct wkim_node *n);
void wk_node_hook_metrics(const struct wkim_node *n, struct wk_buf *b);
#endif
