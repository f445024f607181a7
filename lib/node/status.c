/* Counters of a node, summed over its shards. */
#include "node/node.h"

void wk_node_count(const struct wkim_node *n, struct wk_node_counters *out)
{
    for (uint32_t i = 0; i < n->n_shards; i++)
        wk_metric_sum(out, &n->per[i].count, sizeof(*out));
}

int wkim_node_stats_get(wkim_node *n, wkim_node_stats *out)
{
    if (!n || !out || out->size < offsetof(wkim_node_stats, log_bytes))
        return WKIM_EINVAL;
    struct wk_node_counters c = { 0 };
    struct im_counters im = { 0 };
    wk_node_count(n, &c);
    if (n->im)
        im_count(n->im, &im);
    wkim_node_stats s = { .size = out->size,
                          .node_id = n->set.node_id,
                          .connections = atomic_load(&n->connections),
                          .users_online = im.users,
                          .in_msgs = c.in_msgs,
                          .out_msgs = c.out_msgs,
                          .in_bytes = c.in_bytes,
                          .out_bytes = c.out_bytes,
                          .in_packets = c.in_packets,
                          .out_packets = c.out_packets,
                          .retry_queue = c.retry_queue,
                          .start_unix_ms = n->start_unix_ms,
                          .slow_clients = c.slow_clients };
    if (n->cluster) {
        struct wk_log_stats l;
        struct wk_store_stats st;
        wk_cluster_log_stats(n->cluster, &l);
        wk_store_stats(n->store, &st);
        s.log_bytes = l.bytes_written;
        s.log_syncs = l.syncs;
        s.store_bytes_written = st.bytes_written;
    }
    memcpy(out, &s, out->size < sizeof(s) ? out->size : sizeof(s));
    return WKIM_OK;
}

void wkim_text_free(char *text)
{
    wk_free(text);
}
