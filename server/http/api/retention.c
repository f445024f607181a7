/* Deleting messages and histories, limits of a channel's history. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/decode.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/message.h>

#include <stddef.h>

#define NAMES_MAX 1000

struct body {
    wkim_slice login_uid, channel_id;
    uint64_t through_seq;
    int64_t max_age, max_messages, max_bytes;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct body, name, kind)
static const struct wk_field history_fields[] = {
    F(login_uid, STR),
    F(channel_id, STR),
    F(channel_type, U8),
    F(through_seq, U64),
};
static const struct wk_field limit_fields[] = {
    F(login_uid, STR), F(channel_id, STR),    F(channel_type, U8),
    F(max_age, I64),   F(max_messages, I64), F(max_bytes, I64),
};
#undef F

/* The checks that all routes here share; 1: go on.  A person channel may be named by its stored id
 * "a@b", too. */
static int check_channel(struct wk_req *r, wkim_slice channel_id, uint8_t type, wkim_slice login)
{
    wkim_slice first, second;

    if (wk_text_blank(channel_id))
        wk_answer_error(r, WK_ID_EMPTY);
    else if (type == 0)
        wk_answer_error(r, "channel_type不能为0");
    else if (type == WKIM_CHANNEL_PERSON && wk_text_blank(login) &&
             !wk_text_split(channel_id, '@', &first, &second))
        wk_answer_error(r, "login_uid不能为空！");
    else
        return 1;
    return 0;
}

static void on_deleted(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"status\":200,\"data\":{\"deleted\":");
    wk_jsonbuf_i64(&b, wkim_reply_number(reply, WKIM_NUMBER_TOTAL));
    wk_jsonbuf_lit(&b, "}}");
    wk_answer_json(c->req, &b);
}

void wk_api_message_delete(struct wk_req *r)
{
    struct wk_find_body b = {0};

    if (wk_decode_object(r, "messageDeleteReq", wk_find_fields, WK_FIND_FIELDS, &b) != WKIM_OK ||
        !check_channel(r, b.channel_id, b.channel_type, b.login_uid))
        return;
    size_t n = wk_find_body_names(&b);
    if (n == 0) {
        wk_answer_error(r, "message_seqs、message_ids、client_msg_nos不能都为空！");
        return;
    }
    if (n > NAMES_MAX) {
        wk_answer_error(r, "一次最多删除1000条消息！");
        return;
    }
    const wkim_message_find find = wk_find_body_of(&b);

    r->failed_text = "删除消息失败！";
    wk_req_call(&r->call, on_deleted,
                wkim_message_delete(wk_req_node(r), &find, wk_req_queue(r), &r->call));
}

static void on_history(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"status\":200,\"data\":{\"deleted_to_seq\":");
    wk_jsonbuf_i64(&b, wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_SEQ));
    wk_jsonbuf_lit(&b, ",\"max_message_seq\":");
    wk_jsonbuf_i64(&b, wkim_reply_number(reply, WKIM_NUMBER_TOTAL));
    wk_jsonbuf_lit(&b, "}}");
    wk_answer_json(c->req, &b);
}

void wk_api_messages_retention(struct wk_req *r)
{
    struct body b = {0};

    if (wk_decode_object(r, "messageRetentionReq", history_fields, WK_COUNT(history_fields), &b) !=
            WKIM_OK ||
        !check_channel(r, b.channel_id, b.channel_type, b.login_uid))
        return;
    if (b.through_seq == 0) {
        wk_answer_error(r, "through_seq不能为0！");
        return;
    }
    r->failed_text = "删除历史消息失败！";
    wk_req_call(&r->call, on_history,
                wkim_history_delete(wk_req_node(r), b.login_uid, b.channel_id, b.channel_type,
                                    b.through_seq, wk_req_queue(r), &r->call));
}

void wk_api_channel_retention(struct wk_req *r)
{
    /* A limit that is not named is the node's. */
    struct body b = {.max_age = WKIM_LIMIT_INHERIT,
                     .max_messages = WKIM_LIMIT_INHERIT,
                     .max_bytes = WKIM_LIMIT_INHERIT};

    if (wk_decode_object(r, "channelRetentionReq", limit_fields, WK_COUNT(limit_fields), &b) !=
            WKIM_OK ||
        !check_channel(r, b.channel_id, b.channel_type, b.login_uid))
        return;
    if (b.max_age < WKIM_LIMIT_INHERIT || b.max_messages < WKIM_LIMIT_INHERIT ||
        b.max_bytes < WKIM_LIMIT_INHERIT) {
        wk_answer_error(r, "max_age、max_messages、max_bytes不能小于-1！");
        return;
    }
    const wkim_limits limits = {.size = sizeof(limits),
                                .max_age_s = b.max_age,
                                .max_messages = b.max_messages,
                                .max_bytes = b.max_bytes};

    r->failed_text = "设置消息保留策略失败！";
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_limits_set(wk_req_node(r), b.login_uid, b.channel_id, b.channel_type, &limits,
                                wk_req_queue(r), &r->call));
}

static void put_row(struct wk_jsonbuf *b, const wkim_reply *reply, size_t i,
                    const char *const names[3])
{
    for (int k = 0; k < 3; k++) {
        int64_t v = 0;

        (void)wkim_reply_string_number(reply, i, k, &v);
        wk_jsonbuf_lit(b, names[k]);
        wk_jsonbuf_i64(b, v);
    }
}

static void on_limits(struct wk_call *c, const wkim_reply *reply)
{
    static const char *const own[] = {",\"max_age\":", ",\"max_messages\":", ",\"max_bytes\":"};
    static const char *const used[] = {"\"max_age\":", ",\"max_messages\":", ",\"max_bytes\":"};
    static const char *const history[] = {",\"first_message_seq\":", ",\"max_message_seq\":",
                                          ",\"removing\":"};
    struct wk_req *r = c->req;
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"channel_id\":");
    wk_jsonbuf_str(&b, wk_req_query(r, "channel_id"));
    wk_jsonbuf_lit(&b, ",\"channel_type\":");
    wk_jsonbuf_u64(&b, wk_req_query_u8(r, "channel_type"));
    put_row(&b, reply, 0, own);
    wk_jsonbuf_lit(&b, ",\"effective\":{");
    put_row(&b, reply, 1, used);
    wk_jsonbuf_lit(&b, "},\"retention_on\":");
    wk_jsonbuf_char(&b, wkim_reply_number(reply, WKIM_NUMBER_ONLINE) ? '1' : '0');
    put_row(&b, reply, 2, history);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

void wk_api_channel_retention_get(struct wk_req *r)
{
    wkim_slice id = wk_req_query(r, "channel_id"), login = wk_req_query(r, "login_uid");
    uint8_t type = wk_req_query_u8(r, "channel_type");

    if (check_channel(r, id, type, login))
        wk_req_call(&r->call, on_limits,
                    wkim_limits_get(wk_req_node(r), login, id, type, wk_req_queue(r), &r->call));
}
