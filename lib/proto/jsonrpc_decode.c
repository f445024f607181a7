/* One request or notification: from text to packet, or to the error that answers it. */
#include "proto/jsonrpc_scan.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/error.h"
#include "base/limits.h"
#include "proto/jsonrpc_params.h"

enum {
    CODE_SYNTAX = -32700,
    CODE_STRUCTURE = -32600,
    CODE_METHOD = -32601,
    CODE_PARAMS = -32602
};

/* The members of the outer object; a member that is null counts as absent, except for id. */
struct envelope {
    const json_t *version, *method, *id, *params, *result, *error;
};

__attribute__((format(printf, 3, 4))) static void fail(struct wk_json_in *out, int32_t code,
                                                       const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out->text, sizeof(out->text), fmt, ap);
    va_end(ap);
    out->kind = WK_JSON_ERROR;
    out->code = code;
}

static void envelope_read(struct envelope *e, json_t *root)
{
    static const struct {
        const char *name;
        size_t at;
    } members[] = {
        { "jsonrpc", offsetof(struct envelope, version) },
        { "method", offsetof(struct envelope, method) },
        { "id", offsetof(struct envelope, id) },
        { "params", offsetof(struct envelope, params) },
        { "result", offsetof(struct envelope, result) },
        { "error", offsetof(struct envelope, error) },
    };
    const char *key;
    json_t *value;
    json_object_foreach(root, key, value) {
        for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
            if (wk_json_key_eq(wk_str(key), members[i].name))
                memcpy((char *)e + members[i].at, &value, sizeof(value));
    }
}

static bool present(const json_t *v)
{
    return v && !json_is_null(v);
}

/* The id of the answer is kept also when the rest is refused. */
static bool id_read(struct wk_json_in *out, const json_t *id, struct wk_arena *arena)
{
    if (!json_is_string(id) || json_string_length(id) > WK_ID_BYTES_MAX)
        return true;
    const size_t n = json_string_length(id);
    const void *p = wk_arena_dup(arena, json_string_value(id), n);
    out->id = wk_slice(p, n);
    out->has_id = true;
    return p != NULL;
}

static bool envelope_check(struct wk_json_in *out, const struct envelope *e)
{
    if (present(e->version) && !json_is_string(e->version)) {
        fail(out, CODE_STRUCTURE,
             "jsonrpc: failed to unmarshal field: jsonrpc field: not a string");
        return false;
    }
    if (present(e->version) && strcmp(json_string_value(e->version), "2.0") != 0) {
        fail(out, CODE_STRUCTURE, "jsonrpc: invalid version: expected '2.0', got '%.60s'",
             json_string_value(e->version));
        return false;
    }
    if (present(e->method) && !json_is_string(e->method)) {
        fail(out, CODE_STRUCTURE, "jsonrpc: failed to unmarshal field: method: not a string");
        return false;
    }
    if (present(e->id) && !out->has_id) {
        fail(out, CODE_STRUCTURE, "jsonrpc: failed to unmarshal field: request ID: %s",
             json_is_string(e->id) ? "too long" : "not a string");
        return false;
    }
    return true;
}

static const struct method {
    const char *name;
    const char *unsupported; /* type named in the answer when it has no effect from a client */
    bool request, params_optional;
    wk_json_params_fn read;
} methods[] = {
    { "connect", NULL, true, false, wk_json_params_connect },
    { "send", NULL, true, false, wk_json_params_send },
    { "ping", NULL, true, true, wk_json_params_ping },
    { "disconnect", NULL, true, false, wk_json_params_disconnect },
    { "subscribe", "SubscribeRequest", true, false, wk_json_params_any },
    { "unsubscribe", "UnsubscribeRequest", true, false, wk_json_params_any },
    { "recvack", NULL, false, false, wk_json_params_recvack },
    { "recv", "RecvNotification", false, false, wk_json_params_any },
    { "disconnect", "DisconnectNotification", false, false, wk_json_params_any },
    { "event", "EventNotification", false, false, wk_json_params_any },
};

static const struct method *method_find(const char *name, bool request)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (methods[i].request == request && strcmp(methods[i].name, name) == 0)
            return &methods[i];
    return NULL;
}

/* WKIM_OK (a packet or an error in *out) or WKIM_ENOMEM. */
static int call_read(struct wk_json_in *out, const struct envelope *e, wkim_slice raw_payload,
                     struct wk_arena *arena)
{
    const char *name = json_string_value(e->method);
    const struct method *m = method_find(name, out->has_id);
    if (!m) {
        fail(out, CODE_METHOD,
             out->has_id ? "jsonrpc: unknown method: %.80s"
                         : "jsonrpc decode: unknown notification method '%.80s'",
             name);
        return WKIM_OK;
    }
    if (!e->params && !m->params_optional) {
        fail(out, CODE_PARAMS, "jsonrpc: missing params field: method %s", name);
        return WKIM_OK;
    }
    struct wk_json_params p = { .object = present(e->params) ? e->params : NULL,
                                .raw_payload = raw_payload,
                                .arena = arena };
    if (p.object && !json_is_object(p.object))
        wk_json_params_fail(&p, "not an object");
    else
        m->read(&p, out);
    if (p.oom)
        return WKIM_ENOMEM;
    if (p.bad[0])
        fail(out, CODE_PARAMS, "jsonrpc: failed to unmarshal field: %s params: %s", name, p.bad);
    else if (m->unsupported)
        fail(out, CODE_METHOD, "unknown packet type: jsonrpc.%s", m->unsupported);
    return WKIM_OK;
}

static int envelope_decode(struct wk_json_in *out, json_t *root, wkim_slice raw_payload,
                           struct wk_arena *arena)
{
    struct envelope e = { 0 };
    envelope_read(&e, root);
    if (!id_read(out, e.id, arena))
        return WKIM_ENOMEM;
    if (!envelope_check(out, &e))
        return WKIM_OK;
    const bool named = present(e.method) && json_string_length(e.method) > 0;
    if (named && e.id && !out->has_id) {
        fail(out, CODE_STRUCTURE, "jsonrpc: invalid request format (missing id or method)");
        return WKIM_OK;
    }
    if (named)
        return call_read(out, &e, raw_payload, arena);
    if (present(e.result) || present(e.error)) {
        if (!out->has_id || (present(e.result) && present(e.error)))
            fail(out, CODE_STRUCTURE,
                 "jsonrpc: invalid response format (missing id, result/error mismatch)");
        else
            fail(out, CODE_STRUCTURE, "unknown packet type: jsonrpc.GenericResponse");
        return WKIM_OK;
    }
    fail(out, CODE_STRUCTURE,
         "jsonrpc decode: unable to determine message type (invalid field combination)");
    return WKIM_OK;
}

static void fail_syntax(struct wk_json_in *out, const char *detail)
{
    fail(out, CODE_SYNTAX, "jsonrpc: invalid message structure or field combination: %.100s",
         detail);
    out->fatal = true;
}

static void fail_misplaced(struct wk_json_in *out, uint8_t c, bool started)
{
    char text[48];

    if (!started)
        fail_syntax(out, "an object was expected");
    else {
        snprintf(text, sizeof(text), c > ' ' && c < 0x7f ? "invalid character '%c'"
                                                         : "invalid byte 0x%02x", c);
        fail_syntax(out, text);
    }
}

wkim_ssize wk_json_decode(struct wk_json_in *out, wkim_slice in, struct wk_json_scan *scan,
                          size_t len_max, struct wk_arena *arena)
{
    const wkim_ssize end = wk_json_scan_next(scan, in, len_max);
    if (end == 0 || end == WKIM_ETOOBIG)
        return end;
    const struct wk_json_scan stopped = *scan;
    *scan = (struct wk_json_scan){ 0 };
    memset(out, 0, sizeof(*out));
    if (end < 0) {
        fail_misplaced(out, in.p[stopped.at], stopped.started);
        return (wkim_ssize)in.n;
    }
    struct wk_json_text text;
    if (wk_json_repair(&text, wk_slice(in.p, (size_t)end), arena))
        return WKIM_ENOMEM;
    json_error_t err;
    json_t *root = json_loadb((const char *)text.text.p, text.text.n, JSON_ALLOW_NUL, &err);
    if (!root && json_error_code(&err) == json_error_out_of_memory)
        return WKIM_ENOMEM;
    if (!root) {
        fail_syntax(out, err.text);
        return end;
    }
    const int rc = envelope_decode(out, root, text.payload, arena);
    json_decref(root);
    return rc ? rc : end;
}
