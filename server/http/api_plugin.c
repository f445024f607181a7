/* Plugins and delivery tags.  This server runs no plugins and keeps no tags, and its answers say
 * so: nothing is listed, nothing is found.  Permissions and arguments are checked as if there were.
 */
#include "answer.h"
#include "api_connz.h"
#include "auth.h"
#include "decode.h"
#include "route.h"
#include "text.h"

#define NODE_UNKNOWN "node not found"

struct plugin_body {
    wkim_slice uid, plugin_no, tag_key, channel_id;
    int64_t node_id;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct plugin_body, name, kind)
static const struct wk_field bind_fields[] = {F(uid, STR), F(plugin_no, STR)};
static const struct wk_field node_fields[] = {F(plugin_no, STR), F(node_id, I64)};
static const struct wk_field tag_fields[] = {
    F(tag_key, STR),
    F(channel_id, STR),
    F(channel_type, U8),
    F(node_id, I64),
};
#undef F

/* HTTP 400 around a status of its own, as plugin errors are told. */
static void plugin_not_found(struct wk_req *r)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"msg\":\"plugin not found\",\"status\":404}");
    wk_answer_buf(r, 400, WK_JSON_TYPE, &b);
}

static void list_of_node(struct wk_req *r)
{
    int64_t node = wk_req_query_i64(r, "node_id");

    if (node && !wk_connz_is_self(r, node))
        wk_answer_error(r, NODE_UNKNOWN);
    else
        wk_answer_text(r, 200, WK_JSON_TYPE, "[]");
}

void wk_api_plugins(struct wk_req *r)
{
    list_of_node(r);
}

void wk_api_plugin_bindings(struct wk_req *r)
{
    list_of_node(r);
}

void wk_api_plugin_route(struct wk_req *r)
{
    plugin_not_found(r);
}

/* 1: permitted and complete. */
static int read_binding(struct wk_req *r, const char *resource)
{
    struct plugin_body b = {0};

    if (!wk_auth_permits(r, resource, 'w') ||
        wk_decode_object(r, "pluginUserReq", bind_fields, WK_COUNT(bind_fields), &b) != WKIM_OK)
        return 0;
    if (b.plugin_no.n && b.uid.n)
        return 1;
    wk_answer_error(r, "plugin_no and uid is required");
    return 0;
}

void wk_api_plugin_bind(struct wk_req *r)
{
    if (read_binding(r, "pluginUserAdd"))
        plugin_not_found(r);
}

/* Nobody is bound to a plugin: taking a binding away succeeds, making one does not. */
void wk_api_plugin_unbind(struct wk_req *r)
{
    if (read_binding(r, "pluginUserDelete"))
        wk_answer_ok(r);
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
    if (b.plugin_no.n)
        plugin_not_found(r);
    else
        wk_answer_ok(r);
}

void wk_api_tag(struct wk_req *r)
{
    wk_answer_error(r, "tag not found");
}

void wk_api_tags(struct wk_req *r)
{
    list_of_node(r);
}

void wk_api_tag_remove(struct wk_req *r)
{
    struct plugin_body b = {0};

    if (wk_decode_object(r, "tagRemoveReq", tag_fields, WK_COUNT(tag_fields), &b) != WKIM_OK)
        return;
    if (b.node_id && !wk_connz_is_self(r, b.node_id))
        wk_answer_error(r, NODE_UNKNOWN);
    else
        wk_answer_ok(r);
}
