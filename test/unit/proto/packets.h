/* Packets for tests: compared, made at random, and read from the recorded vectors. */
#ifndef TEST_PROTO_PACKETS_H
#define TEST_PROTO_PACKETS_H
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "base/clock.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/codec.h"
#include "proto/jsonrpc.h"

#define TEST_FN __attribute__((unused)) static

/* ---- files ----------------------------------------------------------------------------------- */

/* Tests are started from the top of the tree. */
TEST_FN json_t *vectors_load(const char *name)
{
    char path[512];
    const char *dir = getenv("WKIM_VECTORS");
    snprintf(path, sizeof(path), "%s/%s", dir ? dir : "test/vectors", name);
    json_error_t err;
    json_t *root = json_load_file(path, JSON_ALLOW_NUL, &err);
    if (!root)
        fail_msg("%s: %s", path, err.text);
    return root;
}

/* check() for every entry of a list of vectors; returns how many there were. */
TEST_FN size_t each_vector(const char *file, const char *list,
                           void (*check)(const json_t *v, struct wk_arena *a))
{
    json_t *root = vectors_load(file), *v;
    struct wk_arena a;
    size_t i, n = 0;

    wk_arena_init(&a, 0);
    json_array_foreach(json_object_get(root, list), i, v) {
        check(v, &a);
        wk_arena_reset(&a);
        n++;
    }
    wk_arena_fini(&a);
    json_decref(root);
    return n;
}

TEST_FN const char *member_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

TEST_FN int64_t member_int(const json_t *o, const char *key)
{
    return (int64_t)json_integer_value(json_object_get(o, key));
}

TEST_FN wkim_slice hex_bytes(struct wk_arena *a, const char *hex)
{
    const size_t n = strlen(hex) / 2;
    uint8_t *p = wk_arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned v;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &v), 1);
        p[i] = (uint8_t)v;
    }
    return wk_slice(p, n);
}

/* ---- packets from the fields of a vector ----------------------------------------------------- */

struct fields {
    const json_t *o;
    struct wk_arena *a;
};

TEST_FN wkim_slice f_str(const struct fields *f, const char *key)
{
    const json_t *v = json_object_get(f->o, key);
    const size_t n = json_string_length(v);
    return wk_slice(n ? wk_arena_dup(f->a, json_string_value(v), n) : NULL, n);
}

TEST_FN wkim_slice f_hex(const struct fields *f, const char *key)
{
    const char *hex = member_text(f->o, key);
    return hex ? hex_bytes(f->a, hex) : wk_slice(NULL, 0);
}

/* 64-bit numbers are decimal strings there. */
TEST_FN uint64_t f_num(const struct fields *f, const char *key)
{
    const json_t *v = json_object_get(f->o, key);
    if (!json_is_string(v))
        return (uint64_t)json_integer_value(v);
    const char *s = json_string_value(v);
    return *s == '-' ? (uint64_t)strtoll(s, NULL, 10) : strtoull(s, NULL, 10);
}

#define F_U8(key) ((uint8_t)f_num(f, key))
#define F_U32(key) ((uint32_t)f_num(f, key))

TEST_FN uint8_t flags_of(const json_t *o)
{
    unsigned v = 0;
    v |= json_is_true(json_object_get(o, "noPersist")) ? 1u : 0;
    v |= json_is_true(json_object_get(o, "redDot")) ? 2u : 0;
    v |= json_is_true(json_object_get(o, "syncOnce")) ? 4u : 0;
    v |= json_is_true(json_object_get(o, "dup")) ? 8u : 0;
    v |= json_is_true(json_object_get(o, "hasServerVersion")) ? 1u : 0;
    return (uint8_t)v;
}

TEST_FN uint8_t type_of(const char *name)
{
    for (uint8_t t = 0; t < 16; t++)
        if (strcmp(wk_packet_type_name(t), name) == 0)
            return t;
    fail_msg("type %s", name);
    return 0;
}

TEST_FN void messages_from(const struct fields *f, struct wk_packet *p)
{
    switch (p->type) {
    case WK_PACKET_SEND:
        p->u.send = (struct wk_send){ .setting = F_U8("setting"),
                                      .channel_type = F_U8("channelType"),
                                      .client_seq = F_U32("clientSeq"),
                                      .expire = F_U32("expire"),
                                      .client_msg_no = f_str(f, "clientMsgNo"),
                                      .stream_no = f_str(f, "streamNo"),
                                      .channel_id = f_str(f, "channelId"),
                                      .msg_key = f_str(f, "msgKey"),
                                      .topic = f_str(f, "topic"),
                                      .payload = f_hex(f, "payloadHex") };
        break;
    case WK_PACKET_SENDACK:
        p->u.sendack = (struct wk_sendack){ .message_id = (int64_t)f_num(f, "messageId"),
                                            .client_seq = F_U32("clientSeq"),
                                            .message_seq = f_num(f, "messageSeq"),
                                            .reason = F_U8("reasonCode") };
        break;
    case WK_PACKET_RECV:
        p->u.recv = (struct wk_recv){ .setting = F_U8("setting"),
                                      .channel_type = F_U8("channelType"),
                                      .stream_flag = F_U8("streamFlag"),
                                      .expire = F_U32("expire"),
                                      .timestamp = (int32_t)f_num(f, "timestamp"),
                                      .message_id = (int64_t)f_num(f, "messageId"),
                                      .message_seq = f_num(f, "messageSeq"),
                                      .stream_id = f_num(f, "streamId"),
                                      .msg_key = f_str(f, "msgKey"),
                                      .from_uid = f_str(f, "fromUid"),
                                      .channel_id = f_str(f, "channelId"),
                                      .client_msg_no = f_str(f, "clientMsgNo"),
                                      .stream_no = f_str(f, "streamNo"),
                                      .topic = f_str(f, "topic"),
                                      .payload = f_hex(f, "payloadHex") };
        break;
    case WK_PACKET_RECVACK:
        p->u.recvack = (struct wk_recvack){ (int64_t)f_num(f, "messageId"),
                                            f_num(f, "messageSeq") };
        break;
    default:
        break;
    }
}

TEST_FN struct wk_packet packet_from(struct wk_arena *a, const char *type, const json_t *flags,
                                     const json_t *o)
{
    const struct fields fields = { o, a }, *f = &fields;
    struct wk_packet p = { .type = type_of(type), .flags = flags_of(flags) };
    switch (p.type) {
    case WK_PACKET_CONNECT:
        p.u.connect = (struct wk_connect){ .version = F_U8("version"),
                                           .device_flag = F_U8("deviceFlag"),
                                           .client_timestamp =
                                               (int64_t)f_num(f, "clientTimestamp"),
                                           .device_id = f_str(f, "deviceId"),
                                           .uid = f_str(f, "uid"),
                                           .token = f_str(f, "token"),
                                           .client_key = f_str(f, "clientKey") };
        break;
    case WK_PACKET_CONNACK:
        p.u.connack = (struct wk_connack){ .has_server_version = p.flags & 1,
                                           .server_version = F_U8("serverVersion"),
                                           .reason = F_U8("reasonCode"),
                                           .time_diff = (int64_t)f_num(f, "timeDiff"),
                                           .node_id = f_num(f, "nodeId"),
                                           .server_key = f_str(f, "serverKey"),
                                           .salt = f_str(f, "salt") };
        break;
    case WK_PACKET_DISCONNECT:
        p.u.disconnect = (struct wk_disconnect){ F_U8("reasonCode"), f_str(f, "reason") };
        break;
    case WK_PACKET_SUB:
        p.u.sub = (struct wk_sub){ F_U8("setting"),       F_U8("channelType"),
                                   F_U8("action"),        f_str(f, "subNo"),
                                   f_str(f, "channelId"), f_str(f, "param") };
        break;
    case WK_PACKET_SUBACK:
        p.u.suback = (struct wk_suback){ F_U8("channelType"), F_U8("action"), F_U8("reasonCode"),
                                         f_str(f, "subNo"), f_str(f, "channelId") };
        break;
    case WK_PACKET_EVENT:
        p.u.event = (struct wk_event){ (int64_t)f_num(f, "timestamp"), f_str(f, "id"),
                                       f_str(f, "eventType"), f_hex(f, "dataHex") };
        break;
    default:
        messages_from(f, &p);
        break;
    }
    return p;
}

/* ---- comparison ------------------------------------------------------------------------------ */

#define EQ(type, field) (a->u.type.field == b->u.type.field)
#define SAME(type, field) wk_slice_eq(a->u.type.field, b->u.type.field)

TEST_FN bool messages_equal(const struct wk_packet *a, const struct wk_packet *b)
{
    switch (a->type) {
    case WK_PACKET_SEND:
        return EQ(send, setting) && EQ(send, channel_type) && EQ(send, client_seq) &&
               EQ(send, expire) && SAME(send, client_msg_no) && SAME(send, stream_no) &&
               SAME(send, channel_id) && SAME(send, msg_key) && SAME(send, topic) &&
               SAME(send, payload);
    case WK_PACKET_SENDACK:
        return EQ(sendack, message_id) && EQ(sendack, client_seq) && EQ(sendack, message_seq) &&
               EQ(sendack, reason) && SAME(sendack, client_msg_no);
    case WK_PACKET_RECV:
        return EQ(recv, setting) && EQ(recv, channel_type) && EQ(recv, stream_flag) &&
               EQ(recv, expire) && EQ(recv, timestamp) && EQ(recv, message_id) &&
               EQ(recv, message_seq) && EQ(recv, stream_id) && SAME(recv, msg_key) &&
               SAME(recv, from_uid) && SAME(recv, channel_id) && SAME(recv, client_msg_no) &&
               SAME(recv, stream_no) && SAME(recv, topic) && SAME(recv, payload);
    case WK_PACKET_RECVACK:
        return EQ(recvack, message_id) && EQ(recvack, message_seq);
    default: /* PING, PONG */
        return true;
    }
}

TEST_FN bool packets_equal(const struct wk_packet *a, const struct wk_packet *b)
{
    if (a->type != b->type || a->flags != b->flags)
        return false;
    switch (a->type) {
    case WK_PACKET_CONNECT:
        return EQ(connect, version) && EQ(connect, device_flag) && EQ(connect, client_timestamp) &&
               SAME(connect, device_id) && SAME(connect, uid) && SAME(connect, token) &&
               SAME(connect, client_key);
    case WK_PACKET_CONNACK:
        return EQ(connack, has_server_version) && EQ(connack, server_version) &&
               EQ(connack, reason) && EQ(connack, time_diff) && EQ(connack, node_id) &&
               SAME(connack, server_key) && SAME(connack, salt);
    case WK_PACKET_DISCONNECT:
        return EQ(disconnect, reason) && SAME(disconnect, text);
    case WK_PACKET_SUB:
        return EQ(sub, setting) && EQ(sub, channel_type) && EQ(sub, action) && SAME(sub, sub_no) &&
               SAME(sub, channel_id) && SAME(sub, param);
    case WK_PACKET_SUBACK:
        return EQ(suback, channel_type) && EQ(suback, action) && EQ(suback, reason) &&
               SAME(suback, sub_no) && SAME(suback, channel_id);
    case WK_PACKET_EVENT:
        return EQ(event, timestamp) && SAME(event, id) && SAME(event, type) && SAME(event, data);
    default:
        return messages_equal(a, b);
    }
}

/* ---- random packets -------------------------------------------------------------------------- */

/* Fields that `version` does not carry are left at zero, so that a round trip gives the same. */
struct maker {
    struct wk_rng rng;
    struct wk_arena *a;
    bool text_only; /* strings are valid UTF-8 */
};

TEST_FN wkim_slice make_bytes(struct maker *m, size_t max)
{
    const size_t n = (size_t)wk_rng_below(&m->rng, max + 1);
    uint8_t *p = wk_arena_alloc(m->a, n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)wk_rng_next(&m->rng);
    return wk_slice(p, n);
}

TEST_FN wkim_slice make_str(struct maker *m)
{
    static const char *const pieces[] = { "a", "Z9", "\xc3\xa9", "\xe4\xbd\xa0", "\"", "\\", "<&>",
                                          "\n", "\xf0\x9f\x98\x80", "\xe2\x80\xa8", "\x01", " " };
    if (!m->text_only)
        return make_bytes(m, wk_rng_below(&m->rng, 50) == 0 ? WK_PROTO_STRING_BYTES_MAX : 24);
    char *p = wk_arena_alloc(m->a, 64);
    size_t n = 0;
    for (uint64_t left = wk_rng_below(&m->rng, 12); left; left--) {
        const char *piece = pieces[wk_rng_below(&m->rng, sizeof(pieces) / sizeof(pieces[0]))];
        memcpy(p + n, piece, strlen(piece));
        n += strlen(piece);
    }
    return wk_slice(p, n);
}

#define M_U8 ((uint8_t)wk_rng_next(&m->rng))
#define M_U32 ((uint32_t)wk_rng_next(&m->rng))
#define M_I64 ((int64_t)wk_rng_next(&m->rng))

TEST_FN uint64_t make_seq(struct maker *m, uint8_t v)
{
    const uint64_t n = wk_rng_next(&m->rng);
    return v >= 6 ? n : n & UINT32_MAX;
}

TEST_FN void make_message(struct maker *m, uint8_t v, struct wk_packet *p)
{
    const wkim_slice none = { NULL, 0 };
    const uint8_t setting = M_U8;
    const bool stream = v >= 2 && v < 5 && (setting & WKIM_SETTING_STREAM);
    const bool topic = setting & WKIM_SETTING_TOPIC;
    switch (p->type) {
    case WK_PACKET_SEND:
        p->u.send = (struct wk_send){ setting, M_U8, M_U32, v >= 3 ? M_U32 : 0, make_str(m),
                                      stream ? make_str(m) : none, make_str(m), make_str(m),
                                      topic ? make_str(m) : none, make_bytes(m, 300) };
        break;
    case WK_PACKET_SENDACK:
        p->u.sendack = (struct wk_sendack){ M_I64, M_U32, make_seq(m, v), M_U8,
                                            v >= 6 ? make_str(m) : none };
        break;
    case WK_PACKET_RECV:
        p->u.recv = (struct wk_recv){ .setting = setting,
                                      .channel_type = M_U8,
                                      .stream_flag = stream ? M_U8 : 0,
                                      .expire = v >= 3 ? M_U32 : 0,
                                      .timestamp = (int32_t)M_U32,
                                      .message_id = M_I64,
                                      .message_seq = make_seq(m, v),
                                      .stream_id = stream ? (uint64_t)M_I64 : 0,
                                      .msg_key = make_str(m),
                                      .from_uid = make_str(m),
                                      .channel_id = make_str(m),
                                      .client_msg_no = make_str(m),
                                      .stream_no = stream ? make_str(m) : none,
                                      .topic = topic ? make_str(m) : none,
                                      .payload = make_bytes(m, 300) };
        break;
    case WK_PACKET_RECVACK:
        p->u.recvack = (struct wk_recvack){ M_I64, make_seq(m, v) };
        break;
    default:
        break;
    }
}

TEST_FN struct wk_packet make_packet(struct maker *m, uint8_t type, uint8_t v)
{
    struct wk_packet p = { .type = type, .flags = M_U8 & 0x0f };
    switch (type) {
    case WK_PACKET_CONNECT:
        p.u.connect = (struct wk_connect){ M_U8,        M_U8,        M_I64,      make_str(m),
                                           make_str(m), make_str(m), make_str(m) };
        break;
    case WK_PACKET_CONNACK:
        p.flags &= 1;
        p.u.connack = (struct wk_connack){ p.flags, p.flags ? M_U8 : 0, M_U8, M_I64,
                                           v >= 4 ? (uint64_t)M_I64 : 0, make_str(m),
                                           make_str(m) };
        break;
    case WK_PACKET_DISCONNECT:
        p.u.disconnect = (struct wk_disconnect){ M_U8, make_str(m) };
        break;
    case WK_PACKET_SUB:
        p.u.sub = (struct wk_sub){ M_U8, M_U8, M_U8, make_str(m), make_str(m), make_str(m) };
        break;
    case WK_PACKET_SUBACK:
        p.u.suback = (struct wk_suback){ M_U8, M_U8, M_U8, make_str(m), make_str(m) };
        break;
    case WK_PACKET_EVENT:
        p.u.event = (struct wk_event){ M_I64, make_str(m), make_str(m), make_bytes(m, 300) };
        break;
    default:
        make_message(m, v, &p);
        break;
    }
    return p;
}
#endif
