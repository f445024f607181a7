#include "proto/event_payload.h"
#include <jansson.h>
#include <stdlib.h>
#include "base/error.h"

static int dup(wkim_slice *out, const char *p, size_t n, struct wk_arena *arena)
{
    uint8_t *copy = wk_arena_dup(arena, p, n);

    if (!copy && n)
        return WKIM_ENOMEM;
    *out = wk_slice(copy, n);
    return WKIM_OK;
}

static int dup_string(wkim_slice *out, const json_t *v, struct wk_arena *arena)
{
    return json_is_string(v) ? dup(out, json_string_value(v), json_string_length(v), arena)
                             : WKIM_OK;
}

static bool kind_is_text(const json_t *o)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    return kind && strcmp(kind, "text") == 0;
}

static const json_t *text_of_snapshot(const json_t *o)
{
    const json_t *text = json_object_get(o, "text");
    return kind_is_text(o) && json_object_size(o) == 2 && json_is_string(text) ? text : NULL;
}

static uint8_t reason_of(const json_t *v)
{
    json_int_t n = json_is_integer(v) ? json_integer_value(v) : -1;

    if (json_is_string(v) && json_string_length(v) > 0 && json_string_length(v) <= 3) {
        char *end;
        const char *s = json_string_value(v);
        n = s[0] >= '0' && s[0] <= '9' ? strtol(s, &end, 10) : -1;
        if (n >= 0 && *end)
            n = -1;
    }
    return n >= 0 && n <= 255 ? (uint8_t)n : 0;
}

static int read_snapshot(struct wk_event_payload *out, const json_t *v, struct wk_arena *arena)
{
    const json_t *text = text_of_snapshot(v);

    if (!v || json_is_null(v))
        return WKIM_OK;
    if (text) {
        out->snapshot_text = true;
        return dup_string(&out->snapshot, text, arena);
    }
    char *dump = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
    int rc = dump ? dup(&out->snapshot, dump, strlen(dump), arena) : WKIM_ENOMEM;
    free(dump);
    return rc;
}

int wk_event_payload_read(struct wk_event_payload *out, wkim_slice json, struct wk_arena *arena)
{
    json_error_t err;

    *out = (struct wk_event_payload){ 0 };
    if (json.n == 0)
        return WKIM_OK;
    json_t *root = json_loadb((const char *)json.p, json.n, JSON_DECODE_ANY | JSON_ALLOW_NUL, &err);
    if (!root)
        return json_error_code(&err) == json_error_out_of_memory ? WKIM_ENOMEM : WKIM_EPROTO;
    const json_t *delta = json_object_get(root, "delta"), *text = text_of_snapshot(root);
    int rc = WKIM_OK;
    if (kind_is_text(root) && json_is_string(delta)) {
        out->text = true;
        rc = dup_string(&out->delta, delta, arena);
    } else if (text) {
        out->text_snapshot = true;
        rc = dup_string(&out->delta, text, arena);
    }
    if (rc == WKIM_OK)
        rc = read_snapshot(out, json_object_get(root, "snapshot"), arena);
    if (rc == WKIM_OK)
        rc = dup_string(&out->error, json_object_get(root, "error"), arena);
    out->end_reason = reason_of(json_object_get(root, "end_reason"));
    json_decref(root);
    return rc;
}
