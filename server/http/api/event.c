/* Events on messages: /message/event, /message/eventsync. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/event.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHANNEL_EMPTY "channel_id不能为空！"
#define NO_EMPTY "client_msg_no不能为空！"
#define LIMIT_MAX 2000

struct event_body {
    wkim_slice channel_id, from_uid, client_msg_no, event_id, event_type, event_key, visibility;
    int64_t message_id, occurred_at, limit;
    uint64_t from_msg_event_seq;
    uint8_t channel_type, include_private;
};

#define F(name, kind) WK_FIELD(struct event_body, name, kind)
static const struct wk_field event_fields[] = {
    F(channel_id, STR), F(channel_type, U8), F(from_uid, STR),   F(message_id, I64),
    F(client_msg_no, STR), F(event_id, STR), F(event_type, STR), F(event_key, STR),
    F(visibility, STR), F(occurred_at, I64),
};
static const struct wk_field sync_fields[] = {
    F(channel_id, STR), F(channel_type, U8), F(from_uid, STR),
    F(client_msg_no, STR), F(event_key, STR), F(from_msg_event_seq, U64),
    F(limit, I64), F(include_private, U8),
};
#undef F

/* The payload as it came, compact; empty for none.  0: out of memory. */
static int payload_of(struct wk_req *r, wkim_slice *out)
{
    json_t *value = json_object_get(r->root, "payload"), *v;
    const char *key;
    char *text, *copy;

    *out = (wkim_slice){NULL, 0};
    if (!value) {
        json_object_foreach(r->root, key, v) {
            if (strcasecmp(key, "payload") == 0)
                value = v;
        }
    }
    if (!value || json_is_null(value))
        return 1;
    text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return 0;
    out->n = strlen(text);
    copy = wk_req_alloc(r, out->n + 1);
    if (copy)
        memcpy(copy, text, out->n);
    out->p = (const uint8_t *)copy;
    free(text);
    return copy != NULL;
}

static void on_event(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);
    wkim_slice text = {NULL, 0};
    struct wk_jsonbuf b;

    if (code == WKIM_EDENIED) {
        wk_answer_error(c->req, "stream closed");
        return;
    }
    if (code == WKIM_ENOTFOUND) {
        wk_answer_problem(c->req, 404, WK_JSON_TYPE, "message not found", NULL);
        return;
    }
    if (code != WKIM_OK) {
        wk_answer_code(c->req, code, wkim_reply_text(reply));
        return;
    }
    wkim_reply_string(reply, 0, &text);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"data\":");
    wk_jsonbuf_raw(&b, (const char *)text.p, text.n);
    wk_jsonbuf_lit(&b, ",\"status\":200}");
    wk_answer_json(c->req, &b);
}

static const char *missing(const struct event_body *b)
{
    if (wk_text_blank(b->channel_id))
        return CHANNEL_EMPTY;
    if (wk_text_blank(b->client_msg_no))
        return NO_EMPTY;
    if (wk_text_blank(b->event_id))
        return "event_id不能为空！";
    return wk_text_blank(b->event_type) ? "event_type不能为空！" : NULL;
}

void wk_api_message_event(struct wk_req *r)
{
    struct event_body b = {0};
    wkim_slice payload;

    r->exact_numbers = 1;
    if (wk_decode_object(r, "messageEventReq", event_fields, WK_COUNT(event_fields), &b) != WKIM_OK)
        return;
    const char *problem = missing(&b);

    if (problem) {
        wk_answer_error(r, problem);
        return;
    }
    if (!payload_of(r, &payload)) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    const wkim_event e = {.size = sizeof(e),
                          .channel_id = b.channel_id,
                          .from_uid = b.from_uid,
                          .client_msg_no = b.client_msg_no,
                          .event_id = b.event_id,
                          .event_type = b.event_type,
                          .event_key = b.event_key,
                          .visibility = b.visibility,
                          .payload = payload,
                          .message_id = b.message_id,
                          .occurred_ms = b.occurred_at > 0 ? (uint64_t)b.occurred_at : 0,
                          .channel_type = b.channel_type};

    wk_req_call(&r->call, on_event, wkim_event_put(wk_req_node(r), &e, wk_req_queue(r), &r->call));
}

void wk_api_message_eventsync(struct wk_req *r)
{
    struct event_body b = {0};

    if (wk_decode_object(r, "messageEventSyncReq", sync_fields, WK_COUNT(sync_fields), &b) !=
        WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id)) {
        wk_answer_error(r, CHANNEL_EMPTY);
        return;
    }
    if (wk_text_blank(b.client_msg_no)) {
        wk_answer_error(r, NO_EMPTY);
        return;
    }
    if (b.limit < 0) {
        wk_answer_error(r, "limit不能为负数！");
        return;
    }
    const wkim_event_range range = {
        .size = sizeof(range),
        .channel_id = b.channel_id,
        .from_uid = b.from_uid,
        .client_msg_no = b.client_msg_no,
        .event_key = b.event_key,
        .from_seq = b.from_msg_event_seq,
        .limit = b.limit > LIMIT_MAX ? LIMIT_MAX : (uint32_t)b.limit,
        .channel_type = b.channel_type,
        .include_private = b.include_private == 1,
    };

    wk_req_call(&r->call, on_event,
                wkim_event_sync(wk_req_node(r), &range, wk_req_queue(r), &r->call));
}
