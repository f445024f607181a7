#include "server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log_line.h"

void wk_banner_start(struct server *s)
{
    char path[512], text[1024];

    wk_log_say(s->log, WKIM_LOG_INFO, "starting", "version=%s mode=%s node=%lld pid=%ld rootDir=%s",
               wkim_version(), wkim_config_get(s->config, "mode"),
               (long long)wkim_config_int(s->config, "cluster.nodeId"), (long)getpid(),
               wk_log_line_quote(wkim_config_get(s->config, "rootDir"), path, sizeof(path)));
    for (size_t i = 0; i < s->problems.n; i++)
        wk_log_say(s->log, s->problems.items[i].level < 0 ? WKIM_LOG_INFO : WKIM_LOG_WARN,
                   s->problems.items[i].level < 0 ? "config_note" : "config_warning", "text=%s",
                   wk_log_line_quote(s->problems.items[i].text, text, sizeof(text)));
}

void wk_banner_ready(struct server *s)
{
    static const struct {
        const char *what, *key, *on;
    } rows[] = {{"clients_tcp", "addr", NULL},   {"clients_tls", "tlsAddr", NULL},
                {"clients_ws", "wsAddr", NULL},  {"clients_wss", "wssAddr", NULL},
                {"api", "httpAddr", NULL},       {"manager", "manager.addr", "manager.on"},
                {"demo", "demo.addr", "demo.on"}};
    uint32_t total = 0, ready = wkim_node_slots_ready(s->node, &total);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *address = wkim_config_get(s->config, rows[i].key);

        if (*address && (!rows[i].on || wkim_config_int(s->config, rows[i].on)))
            wk_log_say(s->log, WKIM_LOG_INFO, "listening", "for=%s addr=%s", rows[i].what, address);
    }
    wk_log_say(s->log, WKIM_LOG_INFO, "ready", "version=%s slots=%u/%u", wkim_version(), ready,
               total);
}

void wk_banner_stats(struct server *s)
{
    wkim_node_stats st = {.size = sizeof(st)};
    uint32_t total = 0, ready = wkim_node_slots_ready(s->node, &total);

    if (wkim_node_stats_get(s->node, &st) != WKIM_OK)
        return;
    wk_log_say(s->log, WKIM_LOG_INFO, "stats",
               "slots=%u/%u connections=%llu users_online=%llu in_msgs=%llu out_msgs=%llu "
               "in_bytes=%llu out_bytes=%llu in_packets=%llu out_packets=%llu retry_queue=%llu "
               "slow_clients=%llu log_bytes=%llu log_syncs=%llu store_bytes_written=%llu",
               ready, total, (unsigned long long)st.connections,
               (unsigned long long)st.users_online, (unsigned long long)st.in_msgs,
               (unsigned long long)st.out_msgs, (unsigned long long)st.in_bytes,
               (unsigned long long)st.out_bytes, (unsigned long long)st.in_packets,
               (unsigned long long)st.out_packets, (unsigned long long)st.retry_queue,
               (unsigned long long)st.slow_clients, (unsigned long long)st.log_bytes,
               (unsigned long long)st.log_syncs, (unsigned long long)st.store_bytes_written);
}
