/* Conversations: sync, syncByChannels, channels, unread positions, delete. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"

#include <stddef.h>

#define UID_EMPTY "uid cannot be empty"
#define CHANNEL_EMPTY "channel_id or channel_type cannot be empty"
#define PAGE_SIZE_DEFAULT 100
#define PAGE_SIZE_MAX 500
#define SYNC_CHANNELS_COUNT 15
#define SYNC_CHANNELS_MAX 10000
#define MSG_COUNT_MAX 10000

struct sync_body {
    wkim_slice uid, last_msg_seqs, exclude_channel_types;
    int64_t version, msg_count, page, page_size;
    uint8_t only_unread;
    struct wk_objects channels;
};

struct channel_body {
    wkim_slice uid, channel_id;
    int64_t unread;
    uint32_t message_seq; /* of no use: the newest message is what is read */
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct sync_body, name, kind)
static const struct wk_field sync_fields[] = {
    F(uid, STR),       F(version, I64),    F(last_msg_seqs, STR),
    F(msg_count, I64), F(only_unread, U8), F(exclude_channel_types, BYTES),
    F(page, I64),      F(page_size, I64),
};
static const struct wk_field sync_channels_fields[] = {
    F(uid, STR),
    F(msg_count, I64),
    WK_CHANNEL_NAMES(struct sync_body, channels),
};
#undef F

#define F(name, kind) WK_FIELD(struct channel_body, name, kind)
/* One more than the three that all have, for two routes. */
static const struct wk_field channel_fields[] = {
    F(uid, STR),
    F(channel_id, STR),
    F(channel_type, U8),
};
static const struct wk_field clear_fields[] = {
    F(uid, STR),
    F(channel_id, STR),
    F(channel_type, U8),
    F(message_seq, U32),
};
static const struct wk_field unread_fields[] = {
    F(uid, STR),
    F(channel_id, STR),
    F(channel_type, U8),
    F(unread, I64),
};
#undef F

static void on_conversations(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_reply_json_conversations(&b, reply);
    wk_answer_json(c->req, &b);
}

/* "channel:type:seq"; malformed parts are skipped: 0. */
static int parse_position(wkim_slice text, wkim_channel_pos *out)
{
    wkim_slice type, seq, rest, more;
    uint64_t t, s;

    if (!wk_text_split(text, ':', &out->channel_id, &rest) ||
        !wk_text_split(rest, ':', &type, &seq) || wk_text_split(seq, ':', &rest, &more))
        return 0;
    if (!wk_text_u64(type, &t) || t > 255 || !wk_text_u64(seq, &s) || out->channel_id.n == 0)
        return 0;
    out->channel_type = (uint8_t)t;
    out->message_seq = s;
    return 1;
}

/* "a:1:5|b:2:7" into positions: their number, -1 without memory. */
static wkim_ssize parse_positions(struct wk_req *r, wkim_slice text, wkim_channel_pos **out)
{
    size_t max = 1, n = 0;

    for (size_t i = 0; i < text.n; i++)
        max += text.p[i] == '|';
    *out = wk_req_alloc(r, max * sizeof(**out));
    if (!*out)
        return -1;
    while (text.n) {
        wkim_slice part = text, rest = {NULL, 0};

        wk_text_split(text, '|', &part, &rest);
        n += (size_t)parse_position(part, &(*out)[n]);
        text = rest;
    }
    return (wkim_ssize)n;
}

static int32_t clamp(int64_t v, int64_t max)
{
    return (int32_t)(v < 0 ? 0 : v > max ? max : v);
}

void wk_api_conversation_sync(struct wk_req *r)
{
    struct sync_body b = {0};
    wkim_channel_pos *positions;

    if (wk_decode_object(r, "syncUserConversationReq", sync_fields, WK_COUNT(sync_fields), &b) !=
        WKIM_OK)
        return;
    if (b.uid.n == 0) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    wkim_ssize n = parse_positions(r, b.last_msg_seqs, &positions);

    if (n < 0) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    const wkim_conversation_query q = {
        .size = sizeof(q),
        .uid = b.uid,
        .version = b.version,
        .last_msg_seqs = positions,
        .n_last_msg_seqs = (size_t)n,
        .exclude_types = b.exclude_channel_types.p,
        .n_exclude_types = b.exclude_channel_types.n,
        .msg_count = b.msg_count > MSG_COUNT_MAX ? MSG_COUNT_MAX : b.msg_count,
        .only_unread = b.only_unread == 1,
        .page = clamp(b.page, INT32_MAX),
        .page_size = b.page_size > 0 ? clamp(b.page_size, PAGE_SIZE_MAX) : PAGE_SIZE_DEFAULT};

    wk_req_call(&r->call, on_conversations,
                wkim_conversation_sync(wk_req_node(r), &q, wk_req_queue(r), &r->call));
}

void wk_api_conversation_sync_channels(struct wk_req *r)
{
    struct sync_body b = {0};

    if (wk_decode_object(r, "syncByChannelsReq", sync_channels_fields,
                         WK_COUNT(sync_channels_fields), &b) != WKIM_OK)
        return;
    if (b.uid.n == 0) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    if (b.channels.n == 0) {
        wk_answer_error(r, "channels cannot be empty");
        return;
    }
    if (!wk_decode_at_most(r, "channels", b.channels.n, SYNC_CHANNELS_MAX))
        return;
    wkim_channel_pos *p = wk_channel_positions(r, &b.channels);

    if (!p)
        return;
    int64_t count = b.msg_count > 0 ? b.msg_count : SYNC_CHANNELS_COUNT;

    wk_req_call(&r->call, on_conversations,
                wkim_conversation_sync_channels(wk_req_node(r), b.uid, p, b.channels.n,
                                                count > MSG_COUNT_MAX ? MSG_COUNT_MAX : count,
                                                wk_req_queue(r), &r->call));
}

static void on_channels(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_jsonbuf b;

    if (wk_answer_failed(c, reply))
        return;
    wk_jsonbuf_init(&b);
    wk_reply_json_strings(&b, reply, "{\"channel_id\":", ",\"channel_type\":", "}");
    wk_answer_json(c->req, &b);
}

void wk_api_conversation_channels(struct wk_req *r)
{
    struct channel_body b = {0};

    if (wk_decode_object(r, "conversationChannelsReq", channel_fields, 1, &b) != WKIM_OK)
        return;
    if (b.uid.n == 0) {
        wk_answer_error(r, UID_EMPTY);
        return;
    }
    wk_req_call(&r->call, on_channels,
                wkim_conversation_channels(wk_req_node(r), b.uid, wk_req_queue(r), &r->call));
}

/* Checks of the routes that change one conversation; each has its own uid text. */
static int check_channel(struct wk_req *r, const char *uid_text, const struct channel_body *b)
{
    if (b->uid.n == 0) {
        wk_answer_error(r, uid_text);
        return WKIM_EINVAL;
    }
    if (b->channel_id.n == 0 || b->channel_type == 0) {
        wk_answer_error(r, CHANNEL_EMPTY);
        return WKIM_EINVAL;
    }
    return WKIM_OK;
}

/* A channel or conversation that does not exist has nothing to change: OK as well. */
static void on_changed(struct wk_call *c, const wkim_reply *reply)
{
    if (wkim_reply_code(reply) == WKIM_ENOTFOUND)
        wk_answer_ok(c->req);
    else
        wk_answer_then_ok(c, reply);
}

void wk_api_clear_unread(struct wk_req *r)
{
    struct channel_body b = {0};

    if (wk_decode_object(r, "clearConversationUnreadReq", clear_fields, WK_COUNT(clear_fields),
                         &b) != WKIM_OK ||
        check_channel(r, UID_EMPTY, &b) != WKIM_OK)
        return;
    wk_req_call(&r->call, on_changed,
                wkim_conversation_clear_unread(wk_req_node(r), b.uid, b.channel_id, b.channel_type,
                                               wk_req_queue(r), &r->call));
}

void wk_api_set_unread(struct wk_req *r)
{
    struct channel_body b = {0};

    if (wk_decode_object(r, "setUnreadReq", unread_fields, WK_COUNT(unread_fields), &b) !=
            WKIM_OK ||
        check_channel(r, "UID cannot be empty", &b) != WKIM_OK)
        return;
    wk_req_call(&r->call, on_changed,
                wkim_conversation_set_unread(wk_req_node(r), b.uid, b.channel_id, b.channel_type,
                                             b.unread < 0 ? 0 : b.unread, wk_req_queue(r),
                                             &r->call));
}

void wk_api_conversation_delete(struct wk_req *r)
{
    struct channel_body b = {0};

    if (wk_decode_object(r, "deleteConversationReq", channel_fields, WK_COUNT(channel_fields),
                         &b) != WKIM_OK ||
        check_channel(r, "Uid cannot be empty", &b) != WKIM_OK)
        return;
    wk_req_call(&r->call, on_changed,
                wkim_conversation_delete(wk_req_node(r), b.uid, b.channel_id, b.channel_type,
                                         wk_req_queue(r), &r->call));
}

void wk_api_conversation_activate(struct wk_req *r)
{
    struct channel_body b = {0};

    if (wk_decode_object(r, "activateConversationReq", channel_fields, WK_COUNT(channel_fields),
                         &b) != WKIM_OK ||
        check_channel(r, UID_EMPTY, &b) != WKIM_OK)
        return;
    wk_req_call(&r->call, wk_answer_then_ok,
                wkim_conversation_activate(wk_req_node(r), b.uid, b.channel_id, b.channel_type,
                                           wk_req_queue(r), &r->call));
}
