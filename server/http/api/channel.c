/* Channels and their subscribers. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/channel.h>

/* The channel is written: now its subscribers, when the request names some or empties them. */
static void on_created(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    const struct wk_channel_body *b = r->state;

    if (wkim_reply_code(reply) != WKIM_OK) {
        wk_answer_then_ok(c, reply);
        return;
    }
    r->failed_text = "添加订阅者失败！";
    if (b->subscribers.n)
        wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER,
                              b->reset == 1 ? WKIM_LIST_SET : WKIM_LIST_ADD, b, &b->subscribers);
    else if (b->reset == 1)
        wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER, WKIM_LIST_CLEAR, b, NULL);
    else
        wk_answer_ok(r);
}

void wk_api_channel(struct wk_req *r)
{
    struct wk_channel_body *b = wk_req_alloc(r, sizeof(*b));

    if (!b) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_CREATE, b) != WKIM_OK)
        return;
    const char *problem = wk_channel_body_problem(b);

    if (problem) {
        wk_answer_error(r, problem);
        return;
    }
    wk_strs_drop_blank(&b->subscribers);
    r->state = b;
    r->failed_text = "创建或更新频道失败";
    wk_req_call(&r->call, on_created,
                wkim_channel_set(wk_req_node(r), b->channel_id, b->channel_type,
                                 wk_channel_body_flags(b), wk_req_queue(r), &r->call));
}

void wk_api_channel_info(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_INFO, &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id)) {
        wk_answer_error(r, WK_ID_BLANK);
        return;
    }
    if (b.channel_type == 0) {
        wk_answer_error(r, "频道类型错误！");
        return;
    }
    r->failed_text = "添加或更新频道信息失败！";
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_channel_set(wk_req_node(r), b.channel_id, b.channel_type,
                                 wk_channel_body_flags(&b), wk_req_queue(r), &r->call));
}

static void put_flag(struct wk_jsonbuf *b, const char *name, int64_t flags, int64_t flag)
{
    wk_jsonbuf_lit(b, ",\"");
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_lit(b, flags & flag ? "\":1" : "\":0");
}

static void on_info(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    int code = wkim_reply_code(reply);
    int64_t flags = wkim_reply_number(reply, WKIM_NUMBER_MORE);
    struct wk_jsonbuf b;

    if (code == WKIM_ENOTFOUND) {
        wk_answer_soft(r, 404);
        return;
    }
    if (code != WKIM_OK) {
        wk_answer_code(r, code, wkim_reply_text(reply));
        return;
    }
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"channel_id\":");
    wk_jsonbuf_str(&b, wk_req_query(r, "channel_id"));
    wk_jsonbuf_lit(&b, ",\"channel_type\":");
    wk_jsonbuf_u64(&b, wk_req_query_u8(r, "channel_type"));
    put_flag(&b, "large", flags, WKIM_CHANNEL_LARGE);
    put_flag(&b, "ban", flags, WKIM_CHANNEL_BAN);
    put_flag(&b, "disband", flags, WKIM_CHANNEL_DISBAND);
    put_flag(&b, "send_ban", flags, WKIM_CHANNEL_SEND_BAN);
    put_flag(&b, "allow_stranger", flags, WKIM_CHANNEL_ALLOW_STRANGER);
    wk_jsonbuf_lit(&b, ",\"subscriber_count\":");
    wk_jsonbuf_i64(&b, wkim_reply_number(reply, WKIM_NUMBER_TOTAL));
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

void wk_api_channel_info_get(struct wk_req *r)
{
    wkim_slice id;
    uint8_t type;

    if (wk_channel_query(r, &id, &type) == WKIM_OK)
        wk_req_call(&r->call, on_info,
                    wkim_channel_get(wk_req_node(r), id, type, wk_req_queue(r), &r->call));
}

static void on_deleted(struct wk_call *c, const wkim_reply *reply)
{
    if (wkim_reply_code(reply) == WKIM_ENOTFOUND)
        wk_answer_ok(c->req);
    else
        wk_answer_then_ok(c, reply);
}

void wk_api_channel_delete(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_DELETE, &b) != WKIM_OK)
        return;
    if (b.channel_type == WKIM_CHANNEL_PERSON) {
        wk_answer_error(r, WK_PERSON_NO);
        return;
    }
    /* No channel has a blank id or type 0: unknown, which is OK. */
    if (wk_text_blank(b.channel_id) || b.channel_type == 0) {
        wk_answer_ok(r);
        return;
    }
    wk_req_call(&r->call, on_deleted,
                wkim_channel_delete(wk_req_node(r), b.channel_id, b.channel_type, b.purge == 1,
                                    wk_req_queue(r), &r->call));
}

/* Checks that adding and removing subscribers have in common; 1: go on. */
static int check_subscribers(struct wk_req *r, struct wk_channel_body *b)
{
    if (wk_text_blank(b->channel_id)) {
        wk_answer_error(r, WK_ID_BLANK);
        return 0;
    }
    if (wk_text_special(b->channel_id)) {
        wk_answer_error(r, WK_ID_SPECIAL);
        return 0;
    }
    wk_strs_drop_blank(&b->subscribers);
    if (b->subscribers.n == 0) {
        wk_answer_error(r, "订阅者不能为空！");
        return 0;
    }
    if (b->channel_type == WKIM_CHANNEL_PERSON) {
        wk_answer_error(r, WK_PERSON_NO);
        return 0;
    }
    if (b->channel_type == 0)
        b->channel_type = WKIM_CHANNEL_GROUP;
    return 1;
}

void wk_api_subscriber_add(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_SUBSCRIBERS, &b) != WKIM_OK ||
        !check_subscribers(r, &b))
        return;
    if (b.temp_subscriber == 1) {
        wk_answer_error(r, "新版本临时订阅者已不支持！");
        return;
    }
    r->failed_text = "添加频道失败！";
    wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER, b.reset == 1 ? WKIM_LIST_SET : WKIM_LIST_ADD, &b,
                          &b.subscribers);
}

void wk_api_subscriber_remove(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_SUBSCRIBERS, &b) != WKIM_OK ||
        !check_subscribers(r, &b))
        return;
    wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, &b, &b.subscribers);
}

void wk_api_subscriber_remove_all(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_NAME, &b) != WKIM_OK)
        return;
    if (b.channel_id.n == 0) {
        wk_answer_error(r, WK_ID_EMPTY);
    } else if (b.channel_type == 0) {
        wk_answer_error(r, WK_TYPE_ZERO);
    } else if (b.channel_type == WKIM_CHANNEL_PERSON) {
        wk_answer_error(r, "个人频道不支持此操作！");
    } else {
        r->failed_text = "移除所有订阅者失败！";
        wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER, WKIM_LIST_CLEAR, &b, NULL);
    }
}

/* Receivers of a temporary channel are its subscribers here; version 2 keeps them in the memory
 * of one node. */
void wk_api_tmpchannel_set(struct wk_req *r)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_TEMPORARY, &b) != WKIM_OK)
        return;
    if (b.channel_id.n == 0) {
        wk_answer_error(r, WK_ID_EMPTY);
        return;
    }
    if (wk_text_special(b.channel_id)) {
        wk_answer_error(r, WK_ID_SPECIAL);
        return;
    }
    wk_strs_drop_blank(&b.uids);
    if (b.uids.n == 0) {
        wk_answer_error(r, WK_UIDS_EMPTY);
        return;
    }
    b.channel_type = WKIM_CHANNEL_TEMP;
    wk_channel_list_start(r, WKIM_LIST_SUBSCRIBER, WKIM_LIST_SET, &b, &b.uids);
}
