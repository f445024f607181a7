/* Reading messages: /channel/messagesync, /messages, /message and the like. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/decode.h"
#include "http/message_json.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/message.h>

#include <stddef.h>
#include <strings.h>

#define CHANNEL_EMPTY "channel_id不能为空"
#define LIMIT_MAX 10000
#define LIMIT_DEFAULT 100

/* A person channel may be named by its stored id "a@b": then the two uids take the places of reader
 * and peer, in whichever order they come. */
static void split_pair(uint8_t channel_type, wkim_slice *login_uid, wkim_slice *channel_id)
{
    wkim_slice first, second;

    if (channel_type == WKIM_CHANNEL_PERSON && wk_text_split(*channel_id, '@', &first, &second)) {
        *login_uid = first;
        *channel_id = second;
    }
}

struct range_body {
    wkim_slice login_uid, channel_id, event_summary_mode;
    uint64_t start_message_seq, end_message_seq;
    int64_t limit, pull_mode, include_event_meta;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct range_body, name, kind)
static const struct wk_field range_fields[] = {
    F(login_uid, STR),         F(channel_id, STR),         F(channel_type, U8),
    F(start_message_seq, U64), F(end_message_seq, U64),    F(limit, I64),
    F(pull_mode, I64),         F(event_summary_mode, STR), F(include_event_meta, I64),
};
#undef F

struct range_state {
    uint64_t start, end;
};

static void answer_range(struct wk_req *r, const struct range_state *s, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"start_message_seq\":");
    wk_jsonbuf_u64(&b, s->start);
    wk_jsonbuf_lit(&b, ",\"end_message_seq\":");
    wk_jsonbuf_u64(&b, s->end);
    wk_jsonbuf_lit(&b, ",\"more\":");
    wk_jsonbuf_char(&b, reply && wkim_reply_number(reply, WKIM_NUMBER_MORE) ? '1' : '0');
    wk_jsonbuf_lit(&b, ",\"messages\":");
    if (reply)
        wk_reply_json_messages(&b, reply);
    else
        wk_jsonbuf_lit(&b, "[]");
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

static void on_range(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);

    if (code == WKIM_OK)
        answer_range(c->req, c->req->state, reply);
    else if (code == WKIM_ENOTFOUND)
        answer_range(c->req, c->req->state, NULL);
    else
        wk_answer_code(c->req, code, wkim_reply_text(reply));
}

static struct range_state *range_state(struct wk_req *r, uint64_t start, uint64_t end)
{
    struct range_state *s = wk_req_alloc(r, sizeof(*s));

    if (!s) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return NULL;
    }
    s->start = start;
    s->end = end;
    r->state = s;
    return s;
}

/* Snapshots are shown without a mode and in "full". */
static uint8_t without_snapshots(wkim_slice mode)
{
    static const char full[] = "full";

    mode = wk_text_trim(mode);
    return mode.n && (mode.n != sizeof(full) - 1 ||
                      strncasecmp((const char *)mode.p, full, sizeof(full) - 1) != 0);
}

void wk_api_messagesync(struct wk_req *r)
{
    struct range_body b = {0};

    if (wk_decode_object(r, "channelMessageSyncReq", range_fields, WK_COUNT(range_fields), &b) !=
        WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id)) {
        wk_answer_error(r, "channel_id不能为空！");
        return;
    }
    if (wk_text_blank(b.login_uid)) {
        wk_answer_error(r, "login_uid不能为空！");
        return;
    }
    struct range_state *s = range_state(r, b.start_message_seq, b.end_message_seq);

    if (!s)
        return;
    /* Here a person channel is named by its peer only, an agent channel by its stored id only. */
    int stored = wk_text_special(b.channel_id);

    if ((b.channel_type == WKIM_CHANNEL_PERSON && stored) ||
        (b.channel_type == WKIM_CHANNEL_AGENT && !stored)) {
        answer_range(r, s, NULL);
        return;
    }
    if (b.limit <= 0)
        b.limit = LIMIT_DEFAULT;
    const wkim_message_range range = { .size = sizeof(range),
                                       .login_uid = b.login_uid,
                                       .channel_id = b.channel_id,
                                       .channel_type = b.channel_type,
                                       .events_basic = without_snapshots(b.event_summary_mode),
                                       .start_seq = b.start_message_seq,
                                       .end_seq = b.end_message_seq,
                                       .limit =
                                           (int32_t)(b.limit > LIMIT_MAX ? LIMIT_MAX : b.limit),
                                       .pull_up = b.pull_mode == 1 };

    wk_req_call(&r->call, on_range,
                wkim_message_sync(wk_req_node(r), &range, wk_req_queue(r), &r->call));
}

static void on_max_seq(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);
    struct wk_jsonbuf b;

    if (code != WKIM_OK && code != WKIM_ENOTFOUND) {
        wk_answer_code(c->req, code, wkim_reply_text(reply));
        return;
    }
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"message_seq\":");
    wk_jsonbuf_i64(&b, code == WKIM_OK ? wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_SEQ) : 0);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(c->req, &b);
}

static void on_one(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);
    struct wk_jsonbuf b;
    wkim_message m;

    if (code != WKIM_OK && code != WKIM_ENOTFOUND) {
        wk_answer_code(c->req, code, wkim_reply_text(reply));
    } else if (code == WKIM_ENOTFOUND || wkim_reply_message(reply, 0, &m) != WKIM_OK) {
        wk_answer_soft(c->req, 404);
    } else {
        wk_jsonbuf_init(&b);
        wk_message_json(&b, &m);
        wk_answer_json(c->req, &b);
    }
}

static void last_of(struct wk_req *r, int with_message, int takes_pair)
{
    wkim_slice channel_id = wk_req_query(r, "channel_id");
    wkim_slice login_uid = wk_req_query(r, "login_uid");
    uint8_t type = wk_req_query_u8(r, "channel_type");

    if (channel_id.n == 0) {
        wk_answer_error(r, CHANNEL_EMPTY);
        return;
    }
    if (takes_pair)
        split_pair(type, &login_uid, &channel_id);
    if (type == WKIM_CHANNEL_PERSON && wk_text_blank(login_uid)) {
        wk_answer_error(r, "login_uid不能为空");
        return;
    }
    wk_req_call(&r->call, with_message ? on_one : on_max_seq,
                wkim_message_last(wk_req_node(r), login_uid, channel_id, type, with_message,
                                  wk_req_queue(r), &r->call));
}

void wk_api_max_message_seq(struct wk_req *r)
{
    last_of(r, 0, 1);
}

void wk_api_last_message(struct wk_req *r)
{
    last_of(r, 1, 0);
}

struct find_one_body {
    wkim_slice login_uid, channel_id, client_msg_no;
    int64_t message_id;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct find_one_body, name, kind)
static const struct wk_field find_one_fields[] = {
    F(login_uid, STR),  F(channel_id, STR),    F(channel_type, U8),
    F(message_id, I64), F(client_msg_no, STR),
};
#undef F

void wk_api_messages(struct wk_req *r)
{
    struct wk_find_body b = {0};

    if (wk_decode_object(r, "searchMessagesReq", wk_find_fields, WK_FIND_FIELDS, &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id)) {
        wk_answer_error(r, CHANNEL_EMPTY "！");
        return;
    }
    struct range_state *s = range_state(r, 0, 0);

    if (!s)
        return;
    if ((b.channel_type == WKIM_CHANNEL_PERSON && wk_text_blank(b.login_uid)) ||
        wk_find_body_names(&b) == 0) {
        answer_range(r, s, NULL);
        return;
    }
    const wkim_message_find find = wk_find_body_of(&b);

    wk_req_call(&r->call, on_range,
                wkim_message_get(wk_req_node(r), &find, wk_req_queue(r), &r->call));
}

void wk_api_message(struct wk_req *r)
{
    struct find_one_body b = {0};

    if (wk_decode_object(r, "searchMessageReq", find_one_fields, WK_COUNT(find_one_fields), &b) !=
        WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id)) {
        wk_answer_error(r, CHANNEL_EMPTY "！");
        return;
    }
    if (b.channel_type == 0) {
        wk_answer_error(r, "channel_type不能为0");
        return;
    }
    if (b.channel_type == WKIM_CHANNEL_PERSON && wk_text_blank(b.login_uid)) {
        wk_answer_error(r, "login_uid不能为空！");
        return;
    }
    if (b.message_id == 0 && b.client_msg_no.n == 0) {
        wk_answer_soft(r, 404);
        return;
    }
    const wkim_message_find find = {.size = sizeof(find),
                                    .login_uid = b.login_uid,
                                    .channel_id = b.channel_id,
                                    .channel_type = b.channel_type,
                                    .ids = &b.message_id,
                                    .n_ids = b.message_id != 0,
                                    .client_msg_nos = &b.client_msg_no,
                                    .n_client_msg_nos = b.message_id == 0};

    wk_req_call(&r->call, on_one,
                wkim_message_get(wk_req_node(r), &find, wk_req_queue(r), &r->call));
}

void wk_api_message_byclientmsgno(struct wk_req *r)
{
    wkim_slice channel_id = wk_req_query(r, "channel_id"), login_uid = {NULL, 0};
    wkim_slice no = wk_req_query(r, "client_msg_no");
    uint8_t type = wk_req_query_u8(r, "channel_type");

    if (wk_text_blank(channel_id)) {
        wk_answer_error(r, CHANNEL_EMPTY);
        return;
    }
    if (type == 0) {
        wk_answer_error(r, "channel_type不能为0");
        return;
    }
    if (wk_text_blank(no)) {
        wk_answer_error(r, "client_msg_no不能为空");
        return;
    }
    split_pair(type, &login_uid, &channel_id);
    if (type == WKIM_CHANNEL_PERSON && login_uid.n == 0) {
        wk_answer_soft(r, 404);
        return;
    }
    const wkim_message_find find = {.size = sizeof(find),
                                    .login_uid = login_uid,
                                    .channel_id = channel_id,
                                    .channel_type = type,
                                    .client_msg_nos = &no,
                                    .n_client_msg_nos = 1,
                                    .oldest = 1};

    wk_req_call(&r->call, on_one,
                wkim_message_get(wk_req_node(r), &find, wk_req_queue(r), &r->call));
}
