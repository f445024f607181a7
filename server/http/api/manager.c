/* /manager/login, and who may do what: the answer of routes that need a permission. */
#include "http/answer.h"
#include "http/auth/accounts.h"
#include "http/auth/auth.h"
#include "http/decode.h"
#include "http/route.h"
#include "http/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

struct login_body {
    wkim_slice username, password;
};

static const struct wk_field login_fields[] = {
    WK_FIELD(struct login_body, username, STR),
    WK_FIELD(struct login_body, password, STR),
};

static void answer_token(struct wk_req *r, wkim_slice name)
{
    const struct wk_accounts *a = r->thread->http->accounts;
    int64_t expires_s = 0;
    char *token = wk_accounts_token(a, name, time(NULL), &expires_s);
    struct wk_jsonbuf b;

    if (!token) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"exp\":");
    wk_jsonbuf_i64(&b, expires_s);
    wk_jsonbuf_lit(&b, ",\"permissions\":");
    wk_jsonbuf_cstr(&b, wk_accounts_permissions(a, name));
    wk_jsonbuf_lit(&b, ",\"token\":");
    wk_jsonbuf_cstr(&b, token);
    wk_jsonbuf_lit(&b, ",\"username\":");
    wk_jsonbuf_str(&b, name);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
    free(token);
}

void wk_api_manager_login(struct wk_req *r)
{
    struct login_body b = {0};
    char *address = NULL;
    ev_uint16_t port;

    if (wk_decode_object(r, "loginReq", login_fields, WK_COUNT(login_fields), &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.password)) {
        wk_answer_error(r, "密码不能为空");
        return;
    }
    if (wk_text_blank(b.username)) {
        wk_answer_error(r, "用户名不能为空");
        return;
    }
    evhttp_connection_get_peer(r->conn, &address, &port);
    switch (wk_accounts_login(r->thread->http->accounts, b.username, b.password, address,
                              time(NULL))) {
    case WK_LOGIN_OK:
        answer_token(r, b.username);
        return;
    case WK_LOGIN_TOO_OFTEN:
        wk_answer_problem(r, 429, WK_JSON_TYPE, "too many attempts", NULL);
        return;
    default:
        wk_answer_error(r, "用户名或密码错误");
    }
}

const char *wk_auth_user(struct wk_req *r)
{
    const char *header =
        r->ev ? evhttp_find_header(evhttp_request_get_input_headers(r->ev), "Authorization") : NULL;
    wkim_slice token = header ? wk_text_slice(header) : wk_req_query(r, "Authorization");

    if (token.n > 7 && memcmp(token.p, "Bearer ", 7) == 0)
        token = (wkim_slice){token.p + 7, token.n - 7};
    return wk_accounts_of_token(r->thread->http->accounts, wk_text_trim(token), time(NULL));
}

int wk_auth_permits(struct wk_req *r, const char *resource, char action)
{
    const char *user = wk_auth_user(r);
    struct wk_jsonbuf b;

    if (user &&
        wk_accounts_allow(r->thread->http->accounts, wk_text_slice(user), resource, action))
        return 1;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"msg\":\"没有权限\",\"status\":403}");
    wk_answer_buf(r, 400, WK_JSON_TYPE, &b);
    return 0;
}
