/* Plugins.  Who is bound to which plugin is kept; this server runs none, and its answers say so:
 * nothing is listed, nothing is found.  Permissions and arguments are checked as if there were. */
#include "http/answer.h"
#include "http/api/connz.h"
#include "http/auth/auth.h"
#include "http/decode.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/user.h>

#include <stdlib.h>

#define NODE_UNKNOWN "node not found"
#define BINDINGS_MAX 1000u /* answered */

struct plugin_body {
    wkim_slice uid, plugin_no;
    uint64_t node_id;
};

#define F(name, kind) WK_FIELD(struct plugin_body, name, kind)
static const struct wk_field bind_fields[] = {F(uid, STR), F(plugin_no, STR)};
static const struct wk_field node_fields[] = {F(plugin_no, STR), F(node_id, U64)};
#undef F

/* HTTP 400 around a status of its own, as plugin errors are told. */
static void plugin_not_found(struct wk_req *r)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"msg\":\"plugin not found\",\"status\":404}");
    wk_answer_buf(r, 400, WK_JSON_TYPE, &b);
}

/* 1: answered, this is about a node that is not here. */
static int is_other_node(struct wk_req *r)
{
    uint64_t node = wk_req_query_u64(r, "node_id");

    if (!node || wk_connz_is_self(r, node))
        return 0;
    wk_answer_error(r, NODE_UNKNOWN);
    return 1;
}

void wk_api_plugins(struct wk_req *r)
{
    if (!is_other_node(r))
        wk_answer_text(r, 200, WK_JSON_TYPE, "[]");
}

/* ---- bindings -------------------------------------------------------------------------------- */

struct binding {
    wkim_slice uid, plugin_no;
    int64_t ms;
};

static int newest_first(const void *a, const void *b)
{
    const struct binding *x = a, *y = b;

    if (x->ms != y->ms)
        return x->ms < y->ms ? 1 : -1;
    return wk_text_compare(x->uid, y->uid);
}

static void put_binding(struct wk_jsonbuf *b, const struct binding *it)
{
    wk_jsonbuf_lit(b, "{\"plugin_no\":");
    wk_jsonbuf_str(b, it->plugin_no);
    wk_jsonbuf_lit(b, ",\"uid\":");
    wk_jsonbuf_str(b, it->uid);
    wk_jsonbuf_lit(b, ",\"created_at\":");
    wk_jsonbuf_i64(b, it->ms * 1000000);
    wk_jsonbuf_lit(b, ",\"updated_at\":");
    wk_jsonbuf_i64(b, it->ms * 1000000);
    wk_jsonbuf_lit(b, "},");
}

static void on_bindings(struct wk_call *c, const wkim_reply *reply)
{
    size_t n = wkim_reply_strings(reply) / 2;
    struct binding *list = wk_req_alloc(c->req, (n + 1) * sizeof(*list));
    struct wk_jsonbuf b;
    int code = wkim_reply_code(reply);

    if (code != WKIM_OK || !list) {
        wk_answer_code(c->req, code == WKIM_OK ? WKIM_ENOMEM : code, wkim_reply_text(reply));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        wkim_reply_string(reply, 2 * i, &list[i].uid);
        wkim_reply_string(reply, 2 * i + 1, &list[i].plugin_no);
        wkim_reply_string_number(reply, 2 * i, 0, &list[i].ms);
    }
    qsort(list, n, sizeof(*list), newest_first);
    wk_jsonbuf_init(&b);
    wk_jsonbuf_char(&b, '[');
    for (size_t i = 0; i < n && i < BINDINGS_MAX; i++)
        put_binding(&b, &list[i]);
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_char(&b, ']');
    wk_answer_json(c->req, &b);
}

void wk_api_plugin_bindings(struct wk_req *r)
{
    if (!is_other_node(r))
        wk_req_call(&r->call, on_bindings,
                    wkim_user_plugins(wk_req_node(r), wk_req_query(r, "uid"),
                                      wk_req_query(r, "plugin_no"), wk_req_queue(r), &r->call));
}

static void start_binding(struct wk_req *r, const struct plugin_body *b, int kind)
{
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_user_plugin_bind(wk_req_node(r), b->uid, b->plugin_no, kind, wk_req_queue(r),
                                      &r->call));
}

void wk_api_plugin_route(struct wk_req *r)
{
    plugin_not_found(r);
}

static void change_binding(struct wk_req *r, const char *resource, int kind)
{
    struct plugin_body b = {0};

    if (!wk_auth_permits(r, resource, 'w') ||
        wk_decode_object(r, "pluginUserReq", bind_fields, WK_COUNT(bind_fields), &b) != WKIM_OK)
        return;
    if (b.plugin_no.n && b.uid.n)
        start_binding(r, &b, kind);
    else
        wk_answer_error(r, "plugin_no and uid is required");
}

void wk_api_plugin_bind(struct wk_req *r)
{
    change_binding(r, "pluginUserAdd", WKIM_PLUGIN_BIND);
}

void wk_api_plugin_unbind(struct wk_req *r)
{
    change_binding(r, "pluginUserDelete", WKIM_PLUGIN_UNBIND);
}

static void change(struct wk_req *r, const char *resource)
{
    struct plugin_body b = {0};

    if (!wk_auth_permits(r, resource, 'w') ||
        wk_decode_object(r, "pluginReq", node_fields, WK_COUNT(node_fields), &b) != WKIM_OK)
        return;
    if (b.node_id == 0)
        wk_answer_error(r, "node_id is required");
    else if (!wk_connz_is_self(r, b.node_id))
        wk_answer_error(r, NODE_UNKNOWN);
    else
        plugin_not_found(r);
}

void wk_api_plugin_config(struct wk_req *r)
{
    change(r, "pluginConfigUpdate");
}

void wk_api_plugin_uninstall(struct wk_req *r)
{
    change(r, "pluginUninstall");
}

void wk_api_update_plugin_no(struct wk_req *r)
{
    struct plugin_body b = {0};

    if (wk_decode_object(r, "updatePluginNoReq", bind_fields, WK_COUNT(bind_fields), &b) != WKIM_OK)
        return;
    if (b.uid.n)
        start_binding(r, &b, WKIM_PLUGIN_SET);
    else
        wk_answer_ok(r); /* nobody was named */
}
