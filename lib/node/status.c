/* Counters of a node, summed over its shards, and their Prometheus text. */
#include "node/hook.h"
#include <stdio.h>

static struct wk_node_counters sum(const struct wkim_node *n)
{
    struct wk_node_counters t = { 0 };

    for (uint32_t i = 0; i < n->n_shards; i++) {
        const uint64_t *from = (const uint64_t *)(const void *)&n->per[i].count;
        uint64_t *to = (uint64_t *)(void *)&t;
        for (size_t k = 0; k < sizeof(t) / sizeof(uint64_t); k++)
            to[k] += __atomic_load_n(&from[k], __ATOMIC_RELAXED);
    }
    return t;
}

int wkim_node_stats_get(wkim_node *n, wkim_node_stats *out)
{
    if (!n || !out || out->size < offsetof(wkim_node_stats, log_bytes))
        return WKIM_EINVAL;
    struct wk_node_counters c = sum(n);
    wkim_node_stats s = { .size = out->size,
                          .node_id = n->set.node_id,
                          .connections = atomic_load(&n->connections),
                          .users_online = c.users,
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

static void metric(struct wk_buf *b, const char *name, const char *type, const char *help,
                   uint64_t v)
{
    wk_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
                  (unsigned long long)v);
}

int wkim_node_metrics(wkim_node *n, char **out)
{
    struct wk_buf b = WK_BUF_INIT;
    wkim_node_stats s = { .size = sizeof(s) };
    uint32_t total;
    int rc = wkim_node_stats_get(n, &s);

    if (rc != WKIM_OK)
        return rc;
    struct wk_node_counters c = sum(n);
    struct wk_store_stats st = { 0 };
    if (n->store)
        wk_store_stats(n->store, &st);
#define M(name, type, help, v) metric(&b, name, type, help, v);
    M("app_conn_count", "gauge", "client connections", s.connections)
    M("app_inmsg_count", "counter", "messages received from clients", s.in_msgs)
    M("app_outmsg_count", "counter", "messages written to clients", s.out_msgs)
    M("app_in_bytes", "counter", "bytes received from clients", s.in_bytes)
    M("app_out_bytes", "counter", "bytes written to clients", s.out_bytes)
    M("app_inpacket_count", "counter", "packets received from clients", s.in_packets)
    M("app_outpacket_count", "counter", "packets written to clients", s.out_packets)
    M("app_retry_queue", "gauge", "messages awaiting RECVACK", s.retry_queue)
    M("wkim_resends", "counter", "messages sent again without RECVACK", c.resends)
    M("wkim_logins", "counter", "successful logins", c.logins)
    M("wkim_refused_logins", "counter", "refused logins", c.refused_logins)
    M("wkim_refused_sends", "counter", "SENDs answered with a reason other than success",
      c.refused_sends)
    M("wkim_kicks", "counter", "connections kicked", c.kicks)
    M("wkim_slow_clients", "counter", "connections closed because they did not read",
      c.slow_clients)
    M("wkim_unacked_closes", "counter", "connections closed with too many unacknowledged messages",
      c.flood_closes)
    M("wkim_slots_ready", "gauge", "slots that serve", wkim_node_slots_ready(n, &total))
    M("wkim_slots", "gauge", "slots of the cluster", total)
    M("wkim_calls", "gauge", "slot calls under way", n->cluster ? wk_cluster_calls(n->cluster) : 0)
    M("wkim_log_bytes", "counter", "bytes written to the log", s.log_bytes)
    M("wkim_log_syncs", "counter", "syncs of the log", s.log_syncs)
    M("wkim_store_bytes_written", "counter", "bytes written by flushes and compactions",
      s.store_bytes_written)
    M("wkim_store_memtable_bytes", "gauge", "state in memory not yet written out",
      st.memtable_bytes)
    M("wkim_store_disk_bytes", "gauge", "state on disk", st.disk_bytes)
#undef M
    wk_node_hook_metrics(n, &b);
    wk_buf_u8(&b, 0);
    if (b.oom) {
        wk_buf_fini(&b);
        return WKIM_ENOMEM;
    }
    *out = (char *)b.p;
    return WKIM_OK;
}

void wkim_text_free(char *text)
{
    wk_free(text);
}
