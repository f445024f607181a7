/* Commands for users who were away: /message/sync, /message/syncack, /message/cmd/bind, unbind. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/message_json.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/command.h>

#include <stddef.h>
#include <string.h>

#define LIMIT_MAX 10000
#define SUFFIX "____cmd"

struct cmd_body {
    wkim_slice uid, channel_id;
    int64_t limit;
    uint64_t message_seq, last_message_seq;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct cmd_body, name, kind)
static const struct wk_field sync_fields[] = {
    F(uid, STR),
    F(limit, I64),
    F(message_seq, U64),
};
static const struct wk_field ack_fields[] = {
    F(uid, STR),
    F(last_message_seq, U64),
};
static const struct wk_field bind_fields[] = {
    F(uid, STR),
    F(channel_id, STR),
    F(channel_type, U8),
};
#undef F

/* The channel as the reader knows it: no suffix, and of a pair the other side. */
static wkim_slice plain_channel(const wkim_message *m, wkim_slice uid)
{
    wkim_slice id = m->channel_id, left, right;

    if (wk_text_ends(id, SUFFIX))
        id.n -= sizeof(SUFFIX) - 1;
    if (m->channel_type != WKIM_CHANNEL_PERSON || !wk_text_split(id, '@', &left, &right))
        return id;
    return wk_text_same(left, uid) ? right : left;
}

static void on_commands(struct wk_call *c, const wkim_reply *reply)
{
    const struct cmd_body *body = c->req->state;
    size_t n = wkim_reply_messages(reply);
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        wkim_message m;

        if (wkim_reply_message(reply, i, &m) != WKIM_OK)
            continue;
        if (!wk_req_options(c->req)->cmd_legacy_id)
            m.channel_id = plain_channel(&m, body->uid);
        wk_message_json(&b, &m);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_char(&b, ']');
    wk_answer_json(c->req, &b);
}

void wk_api_cmd_sync(struct wk_req *r)
{
    struct cmd_body *b;

    if (wk_req_options(r)->cmd_sync_off) {
        wk_answer_text(r, 200, WK_JSON_TYPE, "[]");
        return;
    }
    b = wk_req_alloc(r, sizeof(*b));
    if (!b) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    r->state = b;
    if (wk_decode_object(r, "syncReq", sync_fields, WK_COUNT(sync_fields), b) != WKIM_OK)
        return;
    if (wk_text_blank(b->uid)) {
        wk_answer_error(r, "用户uid不能为空！");
        return;
    }
    if (b->limit < 0) {
        wk_answer_error(r, "limit不能为负数！");
        return;
    }
    uint32_t limit = b->limit > LIMIT_MAX ? LIMIT_MAX : (uint32_t)b->limit;

    wk_req_call(&r->call, on_commands,
                wkim_command_sync(wk_req_node(r), b->uid, limit, wk_req_queue(r), &r->call));
}

void wk_api_cmd_syncack(struct wk_req *r)
{
    struct cmd_body b = {0};

    if (wk_req_options(r)->cmd_sync_off) {
        wk_answer_ok(r);
        return;
    }
    if (wk_decode_object(r, "syncackReq", ack_fields, WK_COUNT(ack_fields), &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.uid)) {
        wk_answer_error(r, "用户UID不能为空！");
        return;
    }
    if (b.last_message_seq == 0) {
        wk_answer_error(r, "最后一次messageSeq不能为0！");
        return;
    }
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_command_ack(wk_req_node(r), b.uid, b.last_message_seq, wk_req_queue(r),
                                 &r->call));
}

static void change_binding(struct wk_req *r, int bind)
{
    struct cmd_body b = {0};

    if (wk_decode_object(r, "cmdBindReq", bind_fields, WK_COUNT(bind_fields), &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.uid))
        wk_answer_error(r, "用户uid不能为空！");
    else if (wk_text_blank(b.channel_id))
        wk_answer_error(r, "channel_id不能为空！");
    else if (b.channel_type == 0)
        wk_answer_error(r, "频道类型不能为0！");
    else
        wk_req_call(&r->call, wk_answer_then_ok,
                    wkim_command_bind(wk_req_node(r), b.uid, b.channel_id, b.channel_type, bind,
                                      wk_req_queue(r), &r->call));
}

void wk_api_cmd_bind(struct wk_req *r)
{
    change_binding(r, 1);
}

void wk_api_cmd_unbind(struct wk_req *r)
{
    change_binding(r, 0);
}
