/* Conversations in pages and changes: /conversation/list, /conversation/retry. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/message_json.h"
#include "http/route.h"
#include "http/text.h"

#include <stddef.h>

#define UID_EMPTY "uid cannot be empty"

struct list_body {
    wkim_slice uid, cursor, completed_coverage;
    int64_t limit;
    struct wk_objects channels;
};

#define F(name, kind) WK_FIELD(struct list_body, name, kind)
static const struct wk_field list_fields[] = {
    F(uid, STR),
    F(cursor, STR),
    F(completed_coverage, STR),
    F(limit, I64),
};
static const struct wk_field retry_fields[] = {
    F(uid, STR),
    WK_CHANNEL_NAMES(struct list_body, channels),
};
#undef F

static void put_last_message(struct wk_jsonbuf *b, const wkim_reply *reply, size_t at)
{
    wkim_message m;

    wk_jsonbuf_lit(b, ",\"last_message\":");
    if (wkim_reply_recent(reply, at, 0, &m) != WKIM_OK) {
        wk_jsonbuf_lit(b, "null");
        return;
    }
    wk_jsonbuf_lit(b, "{\"message_id\":");
    wk_jsonbuf_i64(b, m.message_id);
    wk_jsonbuf_lit(b, ",\"message_idstr\":\"");
    wk_jsonbuf_i64(b, m.message_id);
    wk_jsonbuf_lit_u64(b, "\",\"message_seq\":", m.message_seq);
    wk_jsonbuf_lit(b, ",\"from_uid\":");
    wk_jsonbuf_str(b, wk_message_json_from(m.from_uid));
    wk_jsonbuf_lit(b, ",\"client_msg_no\":");
    wk_jsonbuf_str(b, m.client_msg_no);
    wk_jsonbuf_lit_u64(b, ",\"server_timestamp_ms\":", m.timestamp_ms);
    wk_jsonbuf_lit(b, ",\"payload\":");
    char *at_payload = wk_jsonbuf_room(b, WK_JSON_BASE64_MAX(m.payload.n));

    if (at_payload)
        wk_jsonbuf_used(b, wk_json_put_base64(at_payload, m.payload));
    wk_jsonbuf_char(b, '}');
}

static void put_one(struct wk_jsonbuf *b, const wkim_reply *reply, size_t i,
                    const wkim_conversation *c)
{
    wk_jsonbuf_lit(b, "{\"channel_id\":");
    wk_jsonbuf_str(b, c->channel_id);
    wk_jsonbuf_lit_u64(b, ",\"channel_type\":", c->channel_type);
    if (c->state == WKIM_CONVERSATION_LIVE) {
        wk_jsonbuf_lit_u64(b, ",\"active_at\":", c->active_ms);
        wk_jsonbuf_lit_u64(b, ",\"read_seq\":", c->readed_to_msg_seq);
        wk_jsonbuf_lit_u64(b, ",\"deleted_to_seq\":", c->deleted_to_seq);
        wk_jsonbuf_lit(b, ",\"unread\":");
        wk_jsonbuf_i64(b, c->unread);
        put_last_message(b, reply, i);
    } else if (c->state == WKIM_CONVERSATION_DELETED) {
        wk_jsonbuf_lit_u64(b, ",\"deleted_to_seq\":", c->deleted_to_seq);
        wk_jsonbuf_lit_u64(b, ",\"deleted_at\":", c->updated_ms);
    }
    wk_jsonbuf_lit(b, "},");
}

static void put_state(struct wk_jsonbuf *b, const wkim_reply *reply, const char *name,
                      uint8_t state)
{
    wk_jsonbuf_lit(b, name);
    for (size_t i = 0; i < wkim_reply_conversations(reply); i++) {
        wkim_conversation c;

        if (wkim_reply_conversation(reply, i, &c) == WKIM_OK && c.state == state)
            put_one(b, reply, i, &c);
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

static void put_states(struct wk_jsonbuf *b, const wkim_reply *reply)
{
    put_state(b, reply, "{\"conversations\":[", WKIM_CONVERSATION_LIVE);
    put_state(b, reply, ",\"deletes\":[", WKIM_CONVERSATION_DELETED);
    put_state(b, reply, ",\"unresolved\":[", WKIM_CONVERSATION_UNRESOLVED);
}

static void on_list(struct wk_call *c, const wkim_reply *reply)
{
    wkim_slice cursor = {NULL, 0}, coverage = {NULL, 0};
    int64_t kept_ms = 0, reset = 0;
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wkim_reply_string(reply, 0, &cursor);
    wkim_reply_string(reply, 1, &coverage);
    wkim_reply_string_number(reply, 1, 0, &kept_ms);
    wkim_reply_string_number(reply, 1, 1, &reset);
    wk_jsonbuf_init(&b);
    put_states(&b, reply);
    if (cursor.n) {
        wk_jsonbuf_lit(&b, ",\"next_cursor\":");
        wk_jsonbuf_str(&b, cursor);
    }
    wk_jsonbuf_lit(&b, cursor.n ? ",\"done\":false" : ",\"done\":true");
    wk_jsonbuf_lit(&b, ",\"coverage\":");
    wk_jsonbuf_str(&b, coverage);
    wk_jsonbuf_lit_u64(&b, ",\"tombstones_retained_since\":", (uint64_t)kept_ms);
    wk_jsonbuf_lit(&b, reset ? ",\"reset_required\":true}" : ",\"reset_required\":false}");
    wk_answer_json(c->req, &b);
}

void wk_api_conversation_list(struct wk_req *r)
{
    struct list_body b = {0};

    if (wk_decode_object(r, "conversationListReq", list_fields, WK_COUNT(list_fields), &b) !=
        WKIM_OK)
        return;
    if (wk_text_blank(b.uid)) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    if (b.limit < 0 || b.limit > WKIM_CONVERSATION_PAGE_MAX) {
        wk_answer_error(r, "limit must be 0 (default 100) to 1000");
        return;
    }
    const wkim_conversation_page page = {.size = sizeof(page),
                                         .uid = b.uid,
                                         .cursor = b.cursor,
                                         .coverage = b.completed_coverage,
                                         .limit = (uint32_t)b.limit};
    int rc = wkim_conversation_list(wk_req_node(r), &page, wk_req_queue(r), &r->call);

    if (rc == WKIM_EINVAL)
        wk_answer_error(r, "cursor or completed_coverage is not one of this uid");
    else
        wk_req_call(&r->call, on_list, rc);
}

static void on_retry(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    put_states(&b, reply);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(c->req, &b);
}

void wk_api_conversation_retry(struct wk_req *r)
{
    struct list_body b = {0};

    if (wk_decode_object(r, "conversationRetryReq", retry_fields, WK_COUNT(retry_fields), &b) !=
        WKIM_OK)
        return;
    if (wk_text_blank(b.uid)) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    if (b.channels.n == 0) {
        wk_answer_error(r, "channels cannot be empty");
        return;
    }
    if (!wk_decode_at_most(r, "channels", b.channels.n, WKIM_CONVERSATION_PAGE_MAX))
        return;
    const struct wk_channel_name *names = b.channels.p;

    for (size_t i = 0; i < b.channels.n; i++) {
        if (wk_text_blank(names[i].channel_id) || names[i].channel_type == 0) {
            wk_answer_error(r, "channel_id or channel_type cannot be empty");
            return;
        }
    }
    wkim_channel_pos *p = wk_channel_positions(r, &b.channels);

    if (p)
        wk_req_call(&r->call, on_retry,
                    wkim_conversation_retry(wk_req_node(r), b.uid, p, b.channels.n,
                                            wk_req_queue(r), &r->call));
}
