/* Sending: /message/send, /message/sendbatch. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/api/many.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/message.h>

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#define ID_NOT_VALID "频道ID不合法！"
/* Calls of one batch under way at the same time. */
#define BATCH_WINDOW 64u

struct send_header {
    int64_t no_persist, red_dot, sync_once;
};

struct send_body {
    struct send_header header;
    wkim_slice client_msg_no, from_uid, channel_id, device_id, topic, payload;
    wkim_slice tag_key; /* between nodes of version 2; of no use here */
    struct wk_strs subscribers;
    int64_t is_stream, no_persist, red_dot, sync_once, wait;
    uint32_t expire;
    uint8_t channel_type, setting;
};

static const struct wk_field header_fields[] = {
    WK_FIELD(struct send_header, no_persist, I64),
    WK_FIELD(struct send_header, red_dot, I64),
    WK_FIELD(struct send_header, sync_once, I64),
};

#define F(name, kind) WK_FIELD(struct send_body, name, kind)
static const struct wk_field send_fields[] = {
    {"header", WK_FIELD_OBJECT, offsetof(struct send_body, header), header_fields,
     WK_COUNT(header_fields), 0},
    F(client_msg_no, STR),
    F(from_uid, STR),
    F(subscribers, STRS),
    F(payload, BYTES),
    F(expire, U32),
    F(topic, STR),
    F(setting, U8),
    F(no_persist, I64),
    F(red_dot, I64),
    F(sync_once, I64),
    F(channel_id, STR),
    F(channel_type, U8),
    F(is_stream, I64),
    F(tag_key, STR),
    F(device_id, STR),
    F(wait, I64),
};
#undef F
#define BATCH_FIELDS 11 /* the first of them; a batch ignores the others */

static const char *reason_text(int reason)
{
    static const char *const texts[] = {
        [WKIM_REASON_UNKNOWN] = "unknown reason",
        [WKIM_REASON_AUTH_FAIL] = "authentication failed",
        [WKIM_REASON_NOT_SUBSCRIBER] = "the sender is not a subscriber of the channel",
        [WKIM_REASON_IN_DENYLIST] = "the sender is on the deny list",
        [WKIM_REASON_CHANNEL_NOT_EXIST] = "the channel does not exist",
        [WKIM_REASON_PAYLOAD_DECODE] = "the payload could not be decoded",
        [WKIM_REASON_NOT_ALLOW_SEND] = "sending is not allowed",
        [WKIM_REASON_NOT_IN_ALLOWLIST] = "the sender is not on the allow list",
        [WKIM_REASON_SYSTEM_ERROR] = "the message could not be stored",
        [WKIM_REASON_CHANNEL_ID] = ID_NOT_VALID,
        [WKIM_REASON_BAN] = "the channel is banned",
        [WKIM_REASON_RATE_LIMIT] = "too many messages",
        [WKIM_REASON_CHANNEL_TYPE] = "the channel type is not valid",
        [WKIM_REASON_DISBAND] = "the channel is disbanded",
        [WKIM_REASON_SEND_BAN] = "sending is banned",
    };

    if (reason < 0 || (size_t)reason >= WK_COUNT(texts) || !texts[reason])
        return "the message was refused";
    return texts[reason];
}

static uint8_t flags_of(const struct send_body *b)
{
    unsigned flags = 0;

    if (b->header.no_persist == 1 || b->no_persist == 1)
        flags |= WKIM_FLAG_NO_PERSIST;
    if (b->header.red_dot == 1 || b->red_dot == 1)
        flags |= WKIM_FLAG_RED_DOT;
    if (b->header.sync_once == 1 || b->sync_once == 1)
        flags |= WKIM_FLAG_SYNC_ONCE;
    return (uint8_t)flags;
}

static void put_id(struct wk_jsonbuf *b, int64_t id)
{
    wk_jsonbuf_lit(b, "\"message_id\":");
    wk_jsonbuf_i64(b, id);
    wk_jsonbuf_lit(b, ",\"message_idstr\":\"");
    wk_jsonbuf_i64(b, id);
    wk_jsonbuf_char(b, '"');
}

static void put_ids(struct wk_jsonbuf *b, const wkim_reply *reply)
{
    put_id(b, wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_ID));
    wk_jsonbuf_lit(b, ",\"message_seq\":");
    wk_jsonbuf_i64(b, wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_SEQ));
    wk_jsonbuf_lit(b, ",\"reason\":");
    wk_jsonbuf_i64(b, wkim_reply_reason(reply));
}

static void begin_data(struct wk_jsonbuf *b, wkim_slice client_msg_no)
{
    wk_jsonbuf_lit(b, "\"data\":{\"client_msg_no\":");
    wk_jsonbuf_str(b, client_msg_no);
    wk_jsonbuf_char(b, ',');
}

struct send_state {
    int to_channel, wait;
};

/* Who waits gets the whole result, and flat as well, as in version 3. */
static void answer_sent(struct wk_req *r, const wkim_reply *reply, const struct send_state *s)
{
    wkim_slice no = {NULL, 0};
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '{');
    if (s->to_channel) {
        wkim_reply_string(reply, 0, &no);
        begin_data(&b, no);
        if (s->wait)
            put_ids(&b, reply);
        else
            put_id(&b, wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_ID));
        wk_jsonbuf_lit(&b, "},");
    }
    if (s->wait) {
        put_ids(&b, reply);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_lit(&b, "\"status\":200}");
    wk_answer_json(r, &b);
}

/* Failures as callers with "wait":1 are promised them; 1: answered. */
static int answer_waiting(struct wk_req *r, int code, const wkim_reply *reply)
{
    if (code == WKIM_EDENIED && wkim_reply_reason(reply) == WKIM_REASON_CHANNEL_NOT_EXIST)
        wk_answer_problem(r, 404, WK_JSON_TYPE, "channel not found", NULL);
    else if (wkim_err_retryable(code) && code != WKIM_ETIMEOUT)
        wk_answer_problem(r, 503, WK_JSON_TYPE, "retry required", wkim_strerror(code));
    else
        return 0;
    return 1;
}

static void on_sent(struct wk_call *c, const wkim_reply *reply)
{
    const struct send_state *s = c->req->state;
    int code = wkim_reply_code(reply);
    struct wk_jsonbuf b;

    if (c->req->answered)
        return;
    if (code == WKIM_OK) {
        answer_sent(c->req, reply, s);
        return;
    }
    if (s->wait && answer_waiting(c->req, code, reply))
        return;
    if (code != WKIM_EDENIED) {
        wk_answer_code(c->req, code, wkim_reply_text(reply));
        return;
    }
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"msg\":");
    wk_jsonbuf_cstr(&b, reason_text(wkim_reply_reason(reply)));
    wk_jsonbuf_lit(&b, ",\"reason\":");
    wk_jsonbuf_i64(&b, wkim_reply_reason(reply));
    wk_jsonbuf_lit(&b, ",\"status\":400}");
    wk_answer_buf(c->req, 400, WK_JSON_TYPE, &b);
}

/* The number the library would make: 32 hexadecimal digits and a 0. */
static wkim_slice make_msg_no(struct wk_req *r)
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[16];
    char *no = wk_req_alloc(r, 2 * sizeof(bytes) + 1);

    if (!no || getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return (wkim_slice){NULL, 0};
    for (size_t i = 0; i < sizeof(bytes); i++) {
        no[2 * i] = hex[bytes[i] >> 4];
        no[2 * i + 1] = hex[bytes[i] & 15];
    }
    no[2 * sizeof(bytes)] = '0';
    return (wkim_slice){(const uint8_t *)no, 2 * sizeof(bytes) + 1};
}

/* As in version 2: answered before the message is checked and stored.  Its message_seq is not
 * known then, and what becomes of it cannot be told any more. */
static void send_async(struct wk_req *r, wkim_send *s, int to_channel)
{
    struct wk_jsonbuf b;

    if (s->client_msg_no.n == 0)
        s->client_msg_no = make_msg_no(r);
    s->message_id = wkim_message_id_make(wk_req_node(r));
    if (s->client_msg_no.n == 0 || s->message_id == 0) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    if (wk_req_call(&r->call, on_sent,
                    wkim_message_send(wk_req_node(r), s, wk_req_queue(r), &r->call)) != WKIM_OK)
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '{');
    if (to_channel) {
        begin_data(&b, s->client_msg_no);
        put_id(&b, s->message_id);
        wk_jsonbuf_lit(&b, "},");
    }
    wk_jsonbuf_lit(&b, "\"status\":200}");
    wk_answer_json(r, &b);
}

/* Blank is as good as absent: the number is made. */
static wkim_slice unless_blank(wkim_slice s)
{
    return wk_text_blank(s) ? (wkim_slice){NULL, 0} : s;
}

static wkim_send send_of(const struct send_body *b)
{
    return (wkim_send){.size = sizeof(wkim_send),
                       .from_uid = unless_blank(b->from_uid),
                       .channel_id = b->channel_id,
                       .channel_type = b->channel_type,
                       .client_msg_no = unless_blank(b->client_msg_no),
                       .topic = b->topic,
                       .device_id = b->device_id,
                       .payload = b->payload,
                       .expire_s = b->expire,
                       .flags = flags_of(b),
                       .setting =
                           (uint8_t)(b->setting | (b->is_stream == 1 ? WKIM_SETTING_STREAM : 0) |
                                     (b->topic.n ? WKIM_SETTING_TOPIC : 0))};
}

void wk_api_message_send(struct wk_req *r)
{
    struct send_body b = {0};
    struct send_state *state;

    if (wk_decode_object(r, "messageSendReq", send_fields, WK_COUNT(send_fields), &b) != WKIM_OK)
        return;
    if (b.payload.n == 0) {
        wk_answer_error(r, "payload不能为空！");
        return;
    }
    int has_channel = !wk_text_blank(b.channel_id);

    if (!has_channel)
        wk_strs_drop_blank(&b.subscribers);
    if (has_channel == (b.subscribers.n > 0) ||
        (!has_channel && !(flags_of(&b) & WKIM_FLAG_SYNC_ONCE))) {
        wk_answer_error(r, "无法处理发送消息请求！");
        return;
    }
    if (has_channel && wk_text_special(b.channel_id)) {
        wk_answer_error(r, ID_NOT_VALID);
        return;
    }
    wkim_send s = send_of(&b);

    if (!has_channel) {
        s.channel_id = (wkim_slice){NULL, 0};
        s.client_msg_no = (wkim_slice){NULL, 0}; /* one is made: no command is a repetition */
        s.subscribers = b.subscribers.p;
        s.n_subscribers = b.subscribers.n;
    }
    if (b.wait != 1 && (wk_req_options(r)->send_async || wk_req_query_i64(r, "async") == 1)) {
        send_async(r, &s, has_channel);
        return;
    }
    state = wk_req_alloc(r, sizeof(*state));
    if (!state) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    state->to_channel = has_channel;
    state->wait = b.wait == 1;
    r->state = state;
    wk_req_call(&r->call, on_sent,
                wkim_message_send(wk_req_node(r), &s, wk_req_queue(r), &r->call));
}

struct batch_item {
    const char *failed; /* NULL: sent */
    int64_t message_id;
};

struct batch {
    struct wk_many many;
    struct send_body body;
    struct batch_item *items;
};

static void batch_answer(struct wk_req *r)
{
    const struct batch *s = r->state;
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"fail_uids\":[");
    for (size_t i = 0; i < s->body.subscribers.n; i++) {
        if (!s->items[i].failed)
            continue;
        wk_jsonbuf_str(&b, s->body.subscribers.p[i]);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, "],\"reason\":[");
    for (size_t i = 0; i < s->body.subscribers.n; i++) {
        if (!s->items[i].failed)
            continue;
        wk_jsonbuf_cstr(&b, s->items[i].failed);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, "],\"message_idstrs\":[");
    for (size_t i = 0; i < s->body.subscribers.n; i++) {
        wk_jsonbuf_char(&b, '"');
        wk_jsonbuf_i64(&b, s->items[i].message_id);
        wk_jsonbuf_lit(&b, "\",");
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, "]}");
    wk_answer_json(r, &b);
}

static void on_batch_sent(struct wk_call *c, const wkim_reply *reply)
{
    struct batch *s = c->req->state;
    struct batch_item *item = &s->items[c->index];
    int code = wkim_reply_code(reply);

    item->message_id = wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_ID);
    if (code == WKIM_EDENIED)
        item->failed = reason_text(wkim_reply_reason(reply));
    else if (code != WKIM_OK)
        item->failed = wkim_strerror(code);
    wk_many_next(&s->many, c);
}

static void batch_failed(struct wk_req *r, size_t i, int code)
{
    struct batch *s = r->state;

    s->items[i].failed = code == WKIM_EDENIED ? ID_NOT_VALID : wkim_strerror(code);
}

static int batch_start(struct wk_req *r, struct wk_call *c, size_t i)
{
    struct batch *s = r->state;
    wkim_send send = send_of(&s->body);

    send.channel_type = WKIM_CHANNEL_PERSON;
    send.channel_id = s->body.subscribers.p[i];
    if (wk_text_blank(send.channel_id) || wk_text_special(send.channel_id))
        return WKIM_EDENIED;
    return wk_req_try(c, on_batch_sent,
                      wkim_message_send(wk_req_node(r), &send, wk_req_queue(r), c));
}

void wk_api_message_sendbatch(struct wk_req *r)
{
    struct batch *s = wk_req_alloc(r, sizeof(*s));

    if (!s) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    if (wk_decode_object(r, "messageSendBatchReq", send_fields, BATCH_FIELDS, &s->body) != WKIM_OK)
        return;
    size_t n = s->body.subscribers.n;

    if (wk_text_blank(s->body.from_uid)) {
        wk_answer_error(r, "from_uid不能为空！");
        return;
    }
    if (n == 0) {
        wk_answer_error(r, "subscribers不能为空！");
        return;
    }
    if (s->body.payload.n == 0) {
        wk_answer_error(r, "payload不能为空！");
        return;
    }
    s->items = wk_req_alloc(r, n * sizeof(*s->items));
    if (!s->items) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    r->state = s;
    s->many.start = batch_start;
    s->many.failed = batch_failed;
    s->many.end = batch_answer;
    wk_many_start(r, &s->many, n, BATCH_WINDOW);
}
