/* Messages of several channels in one request: /conversation/syncMessages and
 * /channel/messagesyncbatch.  Some channels are asked at a time, each answer is written as it comes
 * and they are put together in request order. */
#include "http/answer.h"
#include "http/decode.h"
#include "http/api/many.h"
#include "http/message_json.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/message.h>

#include <stddef.h>
#include <stdlib.h>

#define CHANNELS_MAX 1000u /* of one request */
#define WINDOW 16u         /* channels asked at the same time */
#define COUNT_DEFAULT 15
#define LIMIT_DEFAULT 100
#define LIMIT_MAX 10000

/* One channel of either request; unused members stay 0. */
struct item {
    wkim_slice channel_id, login_uid;
    uint64_t last_msg_seq, start_message_seq, end_message_seq;
    int64_t limit, pull_mode;
    uint8_t channel_type;
};

struct many {
    wkim_slice uid, login_uid;
    struct wk_objects channels, items;
    int64_t msg_count, order_by_last;
    /* What follows is not decoded. */
    struct wk_many many;
    struct item *list;
    size_t n;
    struct wk_jsonbuf *out; /* one per channel, freed with the request */
    uint64_t *own;          /* syncMessages: newest message of the user, by channel */
};

static const struct wk_field channel_fields[] = {
    WK_FIELD(struct item, channel_id, STR),
    WK_FIELD(struct item, channel_type, U8),
    WK_FIELD(struct item, last_msg_seq, U64),
};
static const struct wk_field item_fields[] = {
    WK_FIELD(struct item, channel_id, STR),        WK_FIELD(struct item, channel_type, U8),
    WK_FIELD(struct item, login_uid, STR),         WK_FIELD(struct item, start_message_seq, U64),
    WK_FIELD(struct item, end_message_seq, U64),   WK_FIELD(struct item, limit, I64),
    WK_FIELD(struct item, pull_mode, I64),
};
static const struct wk_field sync_fields[] = {
    WK_FIELD(struct many, uid, STR),
    WK_FIELD(struct many, msg_count, I64),
    WK_FIELD(struct many, order_by_last, I64),
    {"channels", WK_FIELD_OBJECTS, offsetof(struct many, channels), channel_fields,
     WK_COUNT(channel_fields), sizeof(struct item)},
};
static const struct wk_field batch_fields[] = {
    WK_FIELD(struct many, login_uid, STR),
    {"items", WK_FIELD_OBJECTS, offsetof(struct many, items), item_fields, WK_COUNT(item_fields),
     sizeof(struct item)},
};

static void free_many(void *state)
{
    struct many *m = state;

    for (size_t i = 0; m->out && i < m->n; i++)
        wk_jsonbuf_fini(&m->out[i]);
}

static void put_key(struct wk_jsonbuf *b, const struct item *it)
{
    wk_jsonbuf_lit(b, "{\"channel_id\":");
    wk_jsonbuf_str(b, it->channel_id);
    wk_jsonbuf_lit(b, ",\"channel_type\":");
    wk_jsonbuf_u64(b, it->channel_type);
}

/* ---- syncMessages ---------------------------------------------------------------------------- */

/* Newest first, those from last_msg_seq on. */
static void put_backwards(struct wk_jsonbuf *b, const struct item *it, const wkim_reply *reply)
{
    wk_jsonbuf_char(b, '[');
    for (size_t i = wkim_reply_messages(reply); i-- > 0;) {
        wkim_message msg;

        if (wkim_reply_message(reply, i, &msg) != WKIM_OK || msg.message_seq < it->last_msg_seq)
            continue;
        wk_message_json(b, &msg);
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

static void put_synced(struct many *m, size_t i, const wkim_reply *reply)
{
    struct wk_jsonbuf *b = &m->out[i];

    put_key(b, &m->list[i]);
    wk_jsonbuf_lit(b, ",\"messages\":");
    if (!reply)
        wk_jsonbuf_lit(b, "[]");
    else if (m->order_by_last == 1)
        put_backwards(b, &m->list[i], reply);
    else
        wk_reply_json_messages(b, reply);
    wk_jsonbuf_lit(b, ",\"user_last_msg_seq\":");
    wk_jsonbuf_u64(b, m->own[i]);
    wk_jsonbuf_char(b, '}');
}

/* ---- messagesyncbatch ------------------------------------------------------------------------ */

static void put_ranged(struct many *m, size_t i, const wkim_reply *reply, const char *error)
{
    struct wk_jsonbuf *b = &m->out[i];
    const struct item *it = &m->list[i];

    put_key(b, it);
    wk_jsonbuf_lit(b, ",\"start_message_seq\":");
    wk_jsonbuf_u64(b, it->start_message_seq);
    wk_jsonbuf_lit(b, ",\"end_message_seq\":");
    wk_jsonbuf_u64(b, it->end_message_seq);
    wk_jsonbuf_lit(b, ",\"more\":");
    wk_jsonbuf_char(b, reply && wkim_reply_number(reply, WKIM_NUMBER_MORE) ? '1' : '0');
    wk_jsonbuf_lit(b, ",\"messages\":");
    if (reply)
        wk_reply_json_messages(b, reply);
    else
        wk_jsonbuf_lit(b, "[]");
    if (error) {
        wk_jsonbuf_lit(b, ",\"error\":");
        wk_jsonbuf_cstr(b, error);
    }
    wk_jsonbuf_char(b, '}');
}

/* ---- both ------------------------------------------------------------------------------------ */

static void put_item(struct many *m, size_t i, const wkim_reply *reply, const char *error)
{
    if (m->own)
        put_synced(m, i, reply);
    else
        put_ranged(m, i, reply, error);
}

static void answer_many(struct wk_req *r)
{
    struct many *m = r->state;
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, m->own ? "[" : "{\"items\":[");
    for (size_t i = 0; i < m->n; i++) {
        b.failed |= m->out[i].failed;
        wk_jsonbuf_raw(&b, m->out[i].p, m->out[i].n);
        wk_jsonbuf_char(&b, ',');
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, m->own ? "]" : "]}");
    wk_answer_json(r, &b);
}

static void on_range(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    struct many *m = r->state;
    int code = wkim_reply_code(reply);

    if (code == WKIM_OK)
        put_item(m, c->index, reply, NULL);
    else if (code == WKIM_ENOTFOUND)
        put_item(m, c->index, NULL, NULL);
    else if (!m->own)
        put_item(m, c->index, NULL, wkim_strerror(code));
    else if (!r->answered)
        wk_answer_code(r, code, wkim_reply_text(reply));
    wk_many_next(&m->many, c);
}

static int start_range(struct wk_req *r, struct wk_call *c)
{
    const struct many *m = r->state;
    const struct item *it = &m->list[c->index];
    int64_t limit = m->own ? m->msg_count : it->limit;
    wkim_message_range range = {.size = sizeof(range),
                                .login_uid = m->own         ? m->uid
                                             : it->login_uid.n ? it->login_uid
                                                               : m->login_uid,
                                .channel_id = it->channel_id,
                                .channel_type = it->channel_type,
                                .start_seq = it->start_message_seq,
                                .end_seq = it->end_message_seq,
                                .pull_up = it->pull_mode == 1};

    if (limit <= 0)
        limit = m->own ? COUNT_DEFAULT : LIMIT_DEFAULT;
    range.limit = (int32_t)(limit > LIMIT_MAX ? LIMIT_MAX : limit);
    /* Start and end 0 mean the newest messages, which is what order_by_last asks for. */
    if (m->own && m->order_by_last != 1) {
        range.start_seq = it->last_msg_seq ? it->last_msg_seq : 1;
        range.pull_up = 1;
    }
    return wk_req_try(c, on_range, wkim_message_sync(wk_req_node(r), &range, wk_req_queue(r), c));
}

static void on_own(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    struct many *m = r->state;

    if (wkim_reply_code(reply) == WKIM_OK)
        m->own[c->index] = (uint64_t)wkim_reply_number(reply, WKIM_NUMBER_MESSAGE_SEQ);
    int rc = start_range(r, c);

    if (rc == WKIM_OK)
        return;
    if (!r->answered)
        wk_answer_code(r, rc, NULL);
    wk_many_next(&m->many, c);
}

static int start_item(struct wk_req *r, struct wk_call *c, size_t i)
{
    const struct many *m = r->state;
    const struct item *it = &m->list[i];

    if (!m->own || wk_text_blank(m->uid))
        return start_range(r, c);
    return wk_req_try(c, on_own,
                      wkim_message_own(wk_req_node(r), m->uid, it->channel_id, it->channel_type,
                                       wk_req_queue(r), c));
}

static void not_started(struct wk_req *r, size_t i, int code)
{
    put_item(r->state, i, NULL, wkim_strerror(code));
}

static void start_many(struct wk_req *r, struct many *m, const struct wk_objects *list, int own)
{
    if (!wk_decode_at_most(r, own ? "channels" : "items", list->n, CHANNELS_MAX))
        return;
    r->state = m;
    m->list = list->p;
    m->n = list->n;
    m->out = wk_req_alloc(r, (m->n + 1) * sizeof(*m->out));
    m->own = own ? wk_req_alloc(r, (m->n + 1) * sizeof(*m->own)) : NULL;
    if (!m->out || (own && !m->own)) {
        m->n = 0;
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    r->state_free = free_many;
    m->many.start = start_item;
    m->many.failed = not_started;
    m->many.end = answer_many;
    wk_many_start(r, &m->many, m->n, WINDOW);
}

void wk_api_conversation_sync_messages(struct wk_req *r)
{
    struct many *m = wk_req_alloc(r, sizeof(*m));

    if (!m)
        wk_answer_code(r, WKIM_ENOMEM, NULL);
    else if (wk_decode_object(r, "syncMessageReq", sync_fields, WK_COUNT(sync_fields), m) ==
             WKIM_OK)
        start_many(r, m, &m->channels, 1);
}

void wk_api_messagesync_batch(struct wk_req *r)
{
    struct many *m = wk_req_alloc(r, sizeof(*m));

    if (!m)
        wk_answer_code(r, WKIM_ENOMEM, NULL);
    else if (wk_decode_object(r, "messageSyncBatchReq", batch_fields, WK_COUNT(batch_fields), m) !=
             WKIM_OK)
        return;
    else if (wk_text_blank(m->login_uid))
        wk_answer_error(r, "login_uid不能为空！");
    else
        start_many(r, m, &m->items, 0);
}
