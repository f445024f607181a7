/* Health, addresses, variables and the small fixed answers. */
#include "http/answer.h"
#include "http/api/connz.h"
#include "http/decode.h"
#include "http/metrics/figures.h"
#include "http/route.h"
#include "http/text.h"

#include <stdio.h>
#include <string.h>

/* The management API of version 2 lies here too; of it there are the lists of a channel. */
void wk_api_cluster_none(struct wk_req *r)
{
    wk_answer_problem(r, 404, WK_JSON_TYPE,
                      "of /cluster there are /cluster/channels/:id/:type/subscribers, denylist and "
                      "allowlist only",
                      NULL);
}

void wk_api_health(struct wk_req *r)
{
    uint32_t total = 0, ready;
    char text[96];

    if (wk_req_ready(r)) {
        wk_answer_text(r, 200, WK_JSON_TYPE, "{\"status\":\"ok\"}");
        return;
    }
    ready = wkim_node_slots_ready(wk_req_node(r), &total);
    snprintf(text, sizeof(text), "{\"message\":\"%u of %u slots are ready\",\"status\":\"error\"}",
             ready, total);
    wk_answer_text(r, 500, WK_JSON_TYPE, text);
}

void wk_api_healthz(struct wk_req *r)
{
    wk_answer_text(r, 200, WK_JSON_TYPE, "{\"status\":\"ok\"}");
}

void wk_api_readyz(struct wk_req *r)
{
    uint32_t total = 0, ready = wkim_node_slots_ready(wk_req_node(r), &total);
    int ok = wk_req_ready(r);
    char text[96];

    snprintf(text, sizeof(text), "{\"ready\":%s,\"slots\":{\"ready\":%u,\"total\":%u}}",
             ok ? "true" : "false", ready, total);
    wk_answer_text(r, ok ? 200 : 503, WK_JSON_TYPE, text);
}

void wk_api_migrate_result(struct wk_req *r)
{
    wk_answer_text(r, 200, WK_JSON_TYPE,
                   "{\"status\":\"running\",\"step\":\"\",\"last_err\":null,\"try_count\":0}");
}

/* The three address members, without the braces. */
static void put_addresses(struct wk_jsonbuf *b, struct wk_req *r)
{
    const struct wk_http_options *o = wk_req_options(r);
    int intranet = wk_req_query_i64(r, "intranet") == 1;

    wk_jsonbuf_lit(b, "\"tcp_addr\":");
    wk_jsonbuf_cstr(b, intranet ? o->intranet_tcp_addr : o->tcp_addr);
    wk_jsonbuf_lit(b, ",\"ws_addr\":");
    wk_jsonbuf_cstr(b, intranet ? "" : o->ws_addr);
    wk_jsonbuf_lit(b, ",\"wss_addr\":");
    wk_jsonbuf_cstr(b, intranet ? "" : o->wss_addr);
}

void wk_api_route(struct wk_req *r)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '{');
    put_addresses(&b, r);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

void wk_api_route_batch(struct wk_req *r)
{
    struct wk_jsonbuf b;
    struct wk_strs uids;
    int is_null;

    if (wk_decode_strings(r, &uids, &is_null) != WKIM_OK)
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "[{");
    put_addresses(&b, r);
    wk_jsonbuf_lit(&b, is_null ? ",\"uids\":null" : ",\"uids\":[");
    for (size_t i = 0; i < uids.n; i++) {
        wk_jsonbuf_str(&b, uids.p[i]);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, is_null ? "}]" : "]}]");
    wk_answer_json(r, &b);
}

void wk_api_varz_setting(struct wk_req *r)
{
    const struct wk_http_options *o = wk_req_options(r);
    char text[128];

    snprintf(text, sizeof(text),
             "{\"logger\":{\"trace_on\":%d,\"loki_on\":%d},\"prometheus_on\":%d,\"stress_on\":%d}",
             o->trace_on, o->loki_on, o->prometheus_on, o->stress_on);
    wk_answer_text(r, 200, WK_JSON_TYPE, text);
}

static void put_counters(struct wk_jsonbuf *b, const wkim_node_stats *s)
{
    struct wk_figures f;
    char uptime[32];

    wk_figures_read(&f, s->start_unix_ms);
    wk_text_uptime(f.uptime_s, uptime);
    wk_jsonbuf_member_u64(b, "connections", s->connections);
    wk_jsonbuf_member_u64(b, "user_handler_count", s->users_online);
    wk_jsonbuf_member_u64(b, "user_handler_conn_count", s->connections);
    wk_jsonbuf_member_cstr(b, "uptime", uptime);
    wk_jsonbuf_member_u64(b, "goroutine", f.threads);
    wk_jsonbuf_member_u64(b, "mem", f.resident);
    wk_jsonbuf_member_u64(b, "cpu", f.cpu_percent);
    wk_jsonbuf_member_u64(b, "in_msgs", s->in_msgs);
    wk_jsonbuf_member_u64(b, "out_msgs", s->out_msgs);
    wk_jsonbuf_member_u64(b, "in_bytes", s->in_bytes);
    wk_jsonbuf_member_u64(b, "out_bytes", s->out_bytes);
    wk_jsonbuf_member_u64(b, "slow_clients", s->slow_clients);
    wk_jsonbuf_member_u64(b, "retry_queue", s->retry_queue);
}

/* conns: rows for show=conn, NULL or empty: left out. */
static void answer_varz(struct wk_req *r, json_t *conns)
{
    const struct wk_http_options *o = wk_req_options(r);
    wkim_node_stats s = {.size = sizeof(s)};
    struct wk_jsonbuf b;

    wkim_node_stats_get(wk_req_node(r), &s);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"server_id\":\"");
    wk_jsonbuf_u64(&b, s.node_id);
    wk_jsonbuf_lit(&b, "\",\"server_name\":\"WuKongIM\"");
    wk_jsonbuf_member_cstr(&b, "version", wkim_version());
    put_counters(&b, &s);
    wk_jsonbuf_member_cstr(&b, "tcp_addr", o->tcp_addr);
    wk_jsonbuf_member_cstr(&b, "ws_addr", o->ws_addr);
    wk_jsonbuf_member_cstr(&b, "wss_addr", o->wss_addr);
    wk_jsonbuf_member_cstr(&b, "manager_addr", o->told_manager_addr);
    wk_jsonbuf_member_u64(&b, "manager_on", (uint64_t)o->manager_on);
    wk_jsonbuf_member_cstr(&b, "commit", "");
    wk_jsonbuf_member_cstr(&b, "commit_date", "");
    wk_jsonbuf_member_cstr(&b, "tree_state", "");
    wk_jsonbuf_member_cstr(&b, "api_url", o->api_url);
    wk_jsonbuf_member_cstr(&b, "manager_uid", o->manager_uid);
    wk_jsonbuf_member_u64(&b, "manager_token_on", *o->token != 0);
    wk_jsonbuf_member_u64(&b, "conversation_cache_count", 0);
    if (conns && json_array_size(conns)) {
        wk_jsonbuf_lit(&b, ",\"conns\":");
        wk_connz_put(&b, conns);
    }
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

static void on_varz_conns(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    json_t *rows = wk_connz_rows(reply, wk_text_slice("inMsgDesc"));
    int64_t limit = wk_req_query_i64(r, "conn_limit");

    if (rows) {
        wk_connz_cut(rows, 0, limit > 0 ? (size_t)limit : WK_CONNZ_LIMIT);
        wk_connz_strip(rows);
    }
    answer_varz(r, rows);
    json_decref(rows);
}

void wk_api_varz(struct wk_req *r)
{
    uint64_t node = wk_req_query_u64(r, "node_id");

    if (node && !wk_connz_is_self(r, node))
        wk_answer_error(r, "node not found");
    else if (wk_text_equal(wk_req_query(r, "show"), "conn"))
        wk_req_call(&r->call, on_varz_conns,
                    wkim_node_connections(wk_req_node(r), (wkim_slice){NULL, 0}, wk_req_queue(r),
                                          &r->call));
    else
        answer_varz(r, NULL);
}
