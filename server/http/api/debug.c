/* Reading what the node is and holds, for people who look for a fault: /debug/...  Off unless
 * api.debug is set.  What this version does not record is named in the answers. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/event.h>
#include <wkim/message.h>

#define EVENTS_MAX 2000

/* 1: the switch is on. */
static int is_open(struct wk_req *r)
{
    if (wk_req_options(r)->debug_on)
        return 1;
    wk_answer_problem(r, 404, WK_JSON_TYPE, "this route is switched off (api.debug)", NULL);
    return 0;
}

void wk_api_debug_config(struct wk_req *r)
{
    if (is_open(r))
        wk_answer_text(r, 200, WK_JSON_TYPE, wk_req_options(r)->config_json);
}

void wk_api_debug_cluster(struct wk_req *r)
{
    wkim_node_stats s = {.size = sizeof(s)};
    uint32_t total = 0, ready;
    struct wk_jsonbuf b;

    if (!is_open(r))
        return;
    ready = wkim_node_slots_ready(wk_req_node(r), &total);
    wkim_node_stats_get(wk_req_node(r), &s);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit_u64(&b, "{\"node_id\":", s.node_id);
    wk_jsonbuf_lit(&b, ",\"version\":");
    wk_jsonbuf_cstr(&b, wkim_version());
    wk_jsonbuf_lit_u64(&b, ",\"slots\":{\"total\":", total);
    wk_jsonbuf_lit_u64(&b, ",\"ready\":", ready);
    wk_jsonbuf_lit_u64(&b, "},\"log\":{\"bytes_written\":", s.log_bytes);
    wk_jsonbuf_lit_u64(&b, ",\"syncs\":", s.log_syncs);
    wk_jsonbuf_lit_u64(&b, "},\"store\":{\"bytes_written\":", s.store_bytes_written);
    wk_jsonbuf_lit(&b, "},\"not_available\":[\"leader, term and indexes of each slot\","
                       "\"other nodes\"]}");
    wk_answer_json(r, &b);
}

/* ---- one message ----------------------------------------------------------------------------- */

static void on_message(struct wk_call *c, const wkim_reply *reply)
{
    wkim_message m;
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    if (wkim_reply_message(reply, 0, &m) != WKIM_OK) {
        wk_jsonbuf_lit(&b, "{\"stored\":false,\"copies\":0}");
        wk_answer_json(c->req, &b);
        return;
    }
    wk_jsonbuf_lit_u64(&b, "{\"stored\":true,\"copies\":", wkim_reply_messages(reply));
    wk_jsonbuf_lit(&b, ",\"message_idstr\":\"");
    wk_jsonbuf_i64(&b, m.message_id);
    wk_jsonbuf_lit_u64(&b, "\",\"message_seq\":", m.message_seq);
    wk_jsonbuf_lit(&b, ",\"client_msg_no\":");
    wk_jsonbuf_str(&b, m.client_msg_no);
    wk_jsonbuf_lit(&b, ",\"from_uid\":");
    wk_jsonbuf_str(&b, m.from_uid);
    wk_jsonbuf_lit(&b, ",\"stored_channel_id\":");
    wk_jsonbuf_str(&b, m.channel_id);
    wk_jsonbuf_lit_u64(&b, ",\"channel_type\":", m.channel_type);
    wk_jsonbuf_lit_u64(&b, ",\"flags\":", m.flags);
    wk_jsonbuf_lit_u64(&b, ",\"setting\":", m.setting);
    wk_jsonbuf_lit_u64(&b, ",\"stored_at_ms\":", m.timestamp_ms);
    wk_jsonbuf_lit_u64(&b, ",\"expire_s\":", m.expire_s);
    wk_jsonbuf_lit_u64(&b, ",\"payload_bytes\":", m.payload.n);
    wk_jsonbuf_lit(&b, ",\"not_available\":[\"deliveries and acknowledgements of receivers\"]}");
    wk_answer_json(c->req, &b);
}

/* What is stored of the message with this message_id or client_msg_no; never its payload. */
static void read_message(struct wk_req *r)
{
    wkim_slice no = wk_req_query(r, "client_msg_no");
    int64_t id = wk_req_query_i64(r, "message_id");
    const wkim_message_find find = {.size = sizeof(find),
                                    .login_uid = wk_req_query(r, "login_uid"),
                                    .channel_id = wk_req_query(r, "channel_id"),
                                    .channel_type = wk_req_query_u8(r, "channel_type"),
                                    .ids = &id,
                                    .n_ids = id != 0,
                                    .client_msg_nos = &no,
                                    .n_client_msg_nos = id == 0 && no.n != 0};

    if (wk_text_blank(find.channel_id))
        wk_answer_error(r, "channel_id不能为空！");
    else if (find.channel_type == 0)
        wk_answer_error(r, "频道类型不能为0！");
    else if (!find.n_ids && !find.n_client_msg_nos)
        wk_answer_error(r, "message_id or client_msg_no is required");
    else
        wk_req_call(&r->call, on_message,
                    wkim_message_get(wk_req_node(r), &find, wk_req_queue(r), &r->call));
}

static void on_events(struct wk_call *c, const wkim_reply *reply)
{
    wkim_slice text = {NULL, 0};
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wkim_reply_string(reply, 0, &text);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_raw(&b, (const char *)text.p, text.n);
    wk_answer_json(c->req, &b);
}

/* Stored states of the events of a message. */
static void read_events(struct wk_req *r)
{
    const wkim_event_range range = {.size = sizeof(range),
                                    .channel_id = wk_req_query(r, "channel_id"),
                                    .from_uid = wk_req_query(r, "login_uid"),
                                    .client_msg_no = wk_req_query(r, "client_msg_no"),
                                    .limit = EVENTS_MAX,
                                    .channel_type = wk_req_query_u8(r, "channel_type"),
                                    .include_private = 1};

    if (wk_text_blank(range.channel_id))
        wk_answer_error(r, "channel_id不能为空！");
    else if (range.client_msg_no.n == 0)
        wk_answer_error(r, "client_msg_no不能为空！");
    else
        wk_req_call(&r->call, on_events,
                    wkim_event_sync(wk_req_node(r), &range, wk_req_queue(r), &r->call));
}

void wk_api_debug_diagnostics(struct wk_req *r)
{
    if (!is_open(r))
        return;
    if (wk_text_equal(r->params[0], "message"))
        read_message(r);
    else if (wk_text_equal(r->params[0], "events"))
        read_events(r);
    else
        wk_answer_not_found(r);
}

void wk_api_debug_trace(struct wk_req *r)
{
    if (is_open(r))
        wk_answer_problem(r, 404, WK_JSON_TYPE,
                          "the way of a message through the node is not recorded by this version; "
                          "/debug/diagnostics/message shows what is stored of it",
                          NULL);
}
