#include "proto/jsonrpc_params.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/limits.h"

void wk_json_params_fail(struct wk_json_params *p, const char *why)
{
    if (!p->bad[0])
        (void)snprintf(p->bad, sizeof(p->bad), "%s", why);
}

static void fail_field(struct wk_json_params *p, const char *name, const char *why)
{
    if (!p->bad[0])
        (void)snprintf(p->bad, sizeof(p->bad), "%s: %s", name, why);
}

/* The last member of that name, whatever its case; NULL when absent or null. */
static const json_t *member(const json_t *object, const char *name)
{
    const json_t *found = NULL;
    const char *key;
    json_t *value;
    /* The iterator of the parser's library takes no const object but does not change it. */
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (wk_json_key_eq(wk_str(key), name))
            found = value;
    }
    return found && !json_is_null(found) ? found : NULL;
}

static wkim_slice text(struct wk_json_params *p, const char *name)
{
    const json_t *v = member(p->object, name);
    if (!v)
        return wk_slice(NULL, 0);
    if (!json_is_string(v)) {
        fail_field(p, name, "not a string");
        return wk_slice(NULL, 0);
    }
    const size_t n = json_string_length(v);
    if (n > WK_PROTO_STRING_BYTES_MAX) {
        fail_field(p, name, "too long");
        return wk_slice(NULL, 0);
    }
    if (n == 0)
        return wk_slice(NULL, 0);
    const void *copy = wk_arena_dup(p->arena, json_string_value(v), n);
    p->oom |= copy == NULL;
    return wk_slice(copy, copy ? n : 0);
}

static int64_t number(struct wk_json_params *p, const char *name, int64_t min, int64_t max)
{
    const json_t *v = member(p->object, name);
    if (!v)
        return 0;
    if (!json_is_integer(v)) {
        fail_field(p, name, "not an integer");
        return 0;
    }
    const json_int_t n = json_integer_value(v);
    if (n < min || n > max) {
        fail_field(p, name, "out of range");
        return 0;
    }
    return n;
}

static uint8_t octet(struct wk_json_params *p, const char *name)
{
    return (uint8_t)number(p, name, 0, UINT8_MAX);
}

/* Bits of an object of booleans; members that are not in the table are ignored. */
struct bit {
    const char *name;
    uint8_t bit;
};

static uint8_t bits(struct wk_json_params *p, const char *name, const struct bit *table, size_t n)
{
    const json_t *object = member(p->object, name);
    if (!object)
        return 0;
    if (!json_is_object(object)) {
        fail_field(p, name, "not an object");
        return 0;
    }
    unsigned out = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = member(object, table[i].name);
        if (v && !json_is_boolean(v))
            fail_field(p, table[i].name, "not a boolean");
        if (json_is_true(v))
            out |= table[i].bit;
    }
    return (uint8_t)out;
}

static uint8_t header(struct wk_json_params *p)
{
    /* "end" is checked for its type but has no bit. */
    static const struct bit table[] = { { "noPersist", WKIM_FLAG_NO_PERSIST },
                                        { "redDot", WKIM_FLAG_RED_DOT },
                                        { "syncOnce", WKIM_FLAG_SYNC_ONCE },
                                        { "dup", WKIM_FLAG_DUP },
                                        { "end", 0 } };
    return bits(p, "header", table, sizeof(table) / sizeof(table[0]));
}

static uint8_t setting(struct wk_json_params *p)
{
    static const struct bit table[] = { { "receipt", 0x80 },
                                        { "signal", 0x20 },
                                        { "stream", WKIM_SETTING_STREAM },
                                        { "topic", WKIM_SETTING_TOPIC } };
    return bits(p, "setting", table, sizeof(table) / sizeof(table[0]));
}

static wkim_slice payload_bytes(struct wk_json_params *p, const json_t *array)
{
    const size_t n = json_array_size(array);
    uint8_t *out = wk_arena_alloc(p->arena, n);
    if (!out) {
        p->oom = true;
        return wk_slice(NULL, 0);
    }
    for (size_t i = 0; i < n; i++) {
        const json_int_t v = json_integer_value(json_array_get(array, i));
        if (v < 0 || v > UINT8_MAX)
            fail_field(p, "payload", "byte out of range");
        out[i] = (uint8_t)v;
    }
    return wk_slice(out, n);
}

static bool all_integers(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!json_is_integer(json_array_get(array, i)))
            return false;
    return true;
}

/* base64 text, an array of bytes, or any other value: then its own text is the payload. */
static wkim_slice payload(struct wk_json_params *p)
{
    const json_t *v = member(p->object, "payload");
    wkim_slice out = { NULL, 0 };
    if (!v)
        return out;
    if (json_is_array(v) && all_integers(v))
        return payload_bytes(p, v);
    if (!json_is_string(v)) {
        if (p->raw_payload.n == 0) /* The key was written with escapes. */
            fail_field(p, "payload", "not a base64 string");
        else if (wk_json_compact(&out, p->raw_payload, p->arena))
            p->oom = true;
        return out;
    }
    const wkim_slice coded = wk_slice(json_string_value(v), json_string_length(v));
    uint8_t *bytes = wk_arena_alloc(p->arena, coded.n / 4 * 3 + 1);
    if (!bytes) {
        p->oom = true;
        return out;
    }
    const wkim_ssize n = wk_json_base64_decode(bytes, coded);
    if (n < 0)
        fail_field(p, "payload", "illegal base64 data");
    return wk_slice(bytes, n < 0 ? 0 : (size_t)n);
}

void wk_json_params_connect(struct wk_json_params *p, struct wk_json_in *out)
{
    struct wk_connect *c = &out->packet.u.connect;
    out->packet.type = WK_PACKET_CONNECT;
    out->packet.flags = header(p);
    c->version = octet(p, "version");
    if (c->version == 0)
        c->version = WK_PROTO_VERSION_DEFAULT;
    c->client_key = text(p, "clientKey");
    c->device_id = text(p, "deviceId");
    c->device_flag = octet(p, "deviceFlag");
    c->client_timestamp = number(p, "clientTimestamp", INT64_MIN, INT64_MAX);
    c->uid = text(p, "uid");
    c->token = text(p, "token");
}

void wk_json_params_send(struct wk_json_params *p, struct wk_json_in *out)
{
    struct wk_send *s = &out->packet.u.send;
    out->packet.type = WK_PACKET_SEND;
    out->packet.flags = header(p);
    s->setting = setting(p);
    s->msg_key = text(p, "msgKey");
    s->expire = (uint32_t)number(p, "expire", 0, UINT32_MAX);
    s->client_msg_no = text(p, "clientMsgNo");
    s->stream_no = text(p, "streamNo");
    s->channel_id = text(p, "channelId");
    s->channel_type = octet(p, "channelType");
    s->topic = text(p, "topic"); /* JSON readers and the history show it without the bit as well */
    s->payload = payload(p);
    out->generated_client_msg_no = s->client_msg_no.n == 0;
}

void wk_json_params_ping(struct wk_json_params *p, struct wk_json_in *out)
{
    (void)p;
    out->packet.type = WK_PACKET_PING;
}

void wk_json_params_disconnect(struct wk_json_params *p, struct wk_json_in *out)
{
    out->packet.type = WK_PACKET_DISCONNECT;
    out->packet.flags = header(p);
    out->packet.u.disconnect.reason = octet(p, "reasonCode");
    out->packet.u.disconnect.text = text(p, "reason");
}

/* A decimal string; also a number.  What is no int64 counts as 0. */
static int64_t message_id(struct wk_json_params *p)
{
    const json_t *v = member(p->object, "messageId");
    if (!v || json_is_real(v))
        return 0;
    if (json_is_integer(v))
        return json_integer_value(v);
    if (!json_is_string(v)) {
        fail_field(p, "messageId", "not a string");
        return 0;
    }
    const char *s = json_string_value(v);
    const char *first = *s == '-' || *s == '+' ? s + 1 : s;
    char *end;
    errno = 0;
    const long long n = strtoll(s, &end, 10);
    const bool whole = (size_t)(end - s) == json_string_length(v);
    return *first >= '0' && *first <= '9' && whole && errno == 0 ? n : 0;
}

void wk_json_params_recvack(struct wk_json_params *p, struct wk_json_in *out)
{
    out->packet.type = WK_PACKET_RECVACK;
    out->packet.flags = header(p);
    out->packet.u.recvack.message_id = message_id(p);
    out->packet.u.recvack.message_seq = (uint64_t)number(p, "messageSeq", 0, INT64_MAX);
}

void wk_json_params_any(struct wk_json_params *p, struct wk_json_in *out)
{
    (void)p;
    (void)out;
}
