/* Users, devices, system accounts. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"
#include "http/api/user_body.h"

#include <wkim/user.h>

#include <stddef.h>

#define UID_EMPTY "uid不能为空！"

struct quit_body {
    wkim_slice uid;
    int64_t device_flag;
};

struct uids_body {
    struct wk_strs uids;
};

#define F(body, name, kind) WK_FIELD(struct body, name, kind)
const struct wk_field wk_token_fields[WK_TOKEN_FIELDS] = {
    F(wk_token_body, uid, STR),
    F(wk_token_body, token, STR),
    F(wk_token_body, device_flag, U8),
    F(wk_token_body, device_level, U8),
};
static const struct wk_field quit_fields[] = {
    F(quit_body, uid, STR),
    F(quit_body, device_flag, I64),
};
static const struct wk_field uids_fields[] = {
    F(uids_body, uids, STRS),
};
#undef F

static void on_token(struct wk_call *c, const wkim_reply *reply)
{
    /* A banned or disbanded user: HTTP 200 with the reason as status. */
    if (wkim_reply_code(reply) == WKIM_EDENIED)
        wk_answer_soft(c->req, wkim_reply_reason(reply));
    else
        wk_answer_then_ok(c, reply);
}

const char *wk_token_body_problem(const struct wk_token_body *b)
{
    if (wk_text_blank(b->uid))
        return UID_EMPTY;
    if (b->token.n == 0)
        return "token不能为空！";
    if (wk_text_special(b->uid))
        return "uid不能包含特殊字符！";
    if (wk_text_equal(b->uid, "____system"))
        return "系统账号不允许更新token！";
    return NULL;
}

void wk_api_user_token(struct wk_req *r)
{
    struct wk_token_body b = {0};

    if (wk_decode_object(r, "UpdateTokenReq", wk_token_fields, WK_TOKEN_FIELDS, &b) != WKIM_OK)
        return;
    const char *problem = wk_token_body_problem(&b);

    if (problem)
        wk_answer_error(r, problem);
    else
        wk_req_call(&r->call, on_token,
                    wkim_user_token_set(wk_req_node(r), b.uid, b.token, b.device_flag,
                                        b.device_level, wk_req_queue(r), &r->call));
}

static void on_quit(struct wk_call *c, const wkim_reply *reply)
{
    if (wkim_reply_code(reply) == WKIM_ENOTFOUND)
        wk_answer_ok(c->req);
    else
        wk_answer_then_ok(c, reply);
}

void wk_api_user_device_quit(struct wk_req *r)
{
    struct quit_body b = {0};

    if (wk_decode_object(r, "deviceQuitReq", quit_fields, WK_COUNT(quit_fields), &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.uid)) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    int flag = b.device_flag == -1 ? -1 : (int)((uint64_t)b.device_flag & 0xFF);

    wk_req_call(&r->call, on_quit,
                wkim_user_device_quit(wk_req_node(r), b.uid, flag, wk_req_queue(r), &r->call));
}

static void on_online(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_reply_json_strings(&b, reply, "{\"uid\":", ",\"device_flag\":", ",\"online\":1}");
    wk_answer_json(c->req, &b);
}

void wk_api_user_onlinestatus(struct wk_req *r)
{
    struct wk_strs uids;
    int is_null;

    if (wk_decode_strings(r, &uids, &is_null) != WKIM_OK)
        return;
    if (uids.n == 0) {
        wk_answer_ok(r);
        return;
    }
    wk_req_call(&r->call, on_online,
                wkim_user_online(wk_req_node(r), uids.p, uids.n, wk_req_queue(r), &r->call));
}

static void change_system(struct wk_req *r, int add)
{
    struct uids_body b = {0};

    if (wk_decode_object(r, "struct { UIDs []string }", uids_fields, WK_COUNT(uids_fields), &b) !=
        WKIM_OK)
        return;
    wk_strs_drop_blank(&b.uids);
    if (b.uids.n == 0) {
        wk_answer_ok(r);
        return;
    }
    r->failed_text = add ? "添加系统账号失败！" : "移除系统账号失败！";
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_user_system_change(wk_req_node(r), add, b.uids.p, b.uids.n, wk_req_queue(r),
                                        &r->call));
}

void wk_api_user_systemuids_add(struct wk_req *r)
{
    change_system(r, 1);
}

void wk_api_user_systemuids_remove(struct wk_req *r)
{
    change_system(r, 0);
}

/* Nodes of version 2 push their cache to each other with these two.  Here every node learns the
 * accounts with the data of their slot, so there is no cache to change: the body is checked and
 * that is all. */
void wk_api_user_systemuids_cache(struct wk_req *r)
{
    struct uids_body b = {0};

    if (wk_decode_object(r, "struct { UIDs []string }", uids_fields, WK_COUNT(uids_fields), &b) ==
        WKIM_OK)
        wk_answer_ok(r);
}

static void on_system_list(struct wk_call *c, const wkim_reply *reply)
{
    int code = wkim_reply_code(reply);
    struct wk_jsonbuf b;

    if (code != WKIM_OK && code != WKIM_ENOTFOUND) {
        wk_answer_code(c->req, code, wkim_reply_text(reply));
        return;
    }
    wk_jsonbuf_init(&b);
    wk_reply_json_strings(&b, reply, "", NULL, "");
    wk_answer_json(c->req, &b);
}

void wk_api_user_systemuids(struct wk_req *r)
{
    wk_req_call(&r->call, on_system_list,
                wkim_user_system_list(wk_req_node(r), wk_req_queue(r), &r->call));
}
