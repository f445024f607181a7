/* The JSON of the three events (field order as recorded from version 2). */
#include "hook/hook.h"
#include "base/cursor.h"
#include "hook/internal.h"
#include "proto/jsonrpc.h"
#include <wkim/types.h>

#define SYSTEM_UID WK_LIT("____system")
#define CMD_SUFFIX WK_LIT("____cmd")

static void put_lit(struct wk_buf *b, const char *text)
{
    wk_buf_bytes(b, text, strlen(text));
}

/* A body is made per message and event: formatting it with printf costs most of it. */
static void put_number(struct wk_buf *b, const char *before, uint64_t v)
{
    put_lit(b, before);
    wk_buf_decimal(b, v);
}

static void put_field(struct wk_buf *b, const char *before, wkim_slice v)
{
    put_lit(b, before);
    wk_json_escape(b, v);
    wk_buf_u8(b, '"');
}

static wkim_slice without_suffix(wkim_slice id)
{
    return wk_slice_ends_with(id, CMD_SUFFIX) ? wk_slice(id.p, id.n - CMD_SUFFIX.n) : id;
}

/* Of the pair "a@b" the one that is not `uid`. */
static wkim_slice other_of(wkim_slice pair, wkim_slice uid)
{
    const uint8_t *at = pair.n ? memchr(pair.p, '@', pair.n) : NULL;

    if (!at)
        return pair;
    wkim_slice a = wk_slice(pair.p, (size_t)(at - pair.p));
    return wk_slice_eq(a, uid) ? wk_slice(at + 1, pair.n - a.n - 1) : a;
}

static void put_message(struct wk_buf *b, const struct wk_record *r, wkim_slice from,
                        wkim_slice channel, wkim_slice suffix)
{
    size_t text = channel.n + from.n + r->client_msg_no.n + r->topic.n;

    (void)wk_buf_reserve(b, 384 + text + r->payload.n / 3 * 4); /* or in steps */
    put_number(b, "{\"header\":{\"no_persist\":", (r->flags & WKIM_FLAG_NO_PERSIST) != 0);
    put_number(b, ",\"red_dot\":", (r->flags & WKIM_FLAG_RED_DOT) != 0);
    put_number(b, ",\"sync_once\":", (r->flags & WKIM_FLAG_SYNC_ONCE) != 0);
    put_number(b, "},\"setting\":", r->setting);
    put_number(b, ",\"message_id\":", (uint64_t)r->message_id);
    put_number(b, ",\"message_idstr\":\"", (uint64_t)r->message_id);
    put_field(b, "\",\"client_msg_no\":\"", r->client_msg_no);
    put_number(b, ",\"message_seq\":", r->message_seq);
    put_field(b, ",\"from_uid\":\"", from);
    put_field(b, ",\"channel_id\":\"", channel);
    if (suffix.n && b->n && !b->oom) {
        b->n--; /* the suffix belongs inside the quotes */
        wk_buf_bytes(b, suffix.p, suffix.n);
        wk_buf_u8(b, '"');
    }
    put_number(b, ",\"channel_type\":", r->channel_type);
    if (r->topic.n)
        put_field(b, ",\"topic\":\"", r->topic);
    put_number(b, ",\"expire\":", r->expire_s);
    put_number(b, ",\"timestamp\":", r->timestamp_ms / 1000);
    put_lit(b, ",\"payload\":\"");
    wk_json_base64(b, r->payload);
    wk_buf_u8(b, '"');
}

static void notify_message(struct wk_buf *b, const struct wk_record *r)
{
    bool person = r->channel_type == WKIM_CHANNEL_PERSON;
    wkim_slice base = without_suffix(r->channel_id);
    wkim_slice from = wk_slice_eq(r->from_uid, SYSTEM_UID) ? wk_slice(NULL, 0) : r->from_uid;

    put_message(b, r, from, person ? other_of(base, r->from_uid) : r->channel_id,
                person && base.n != r->channel_id.n ? CMD_SUFFIX : wk_slice(NULL, 0));
    wk_buf_u8(b, '}');
}

static int notify_body(struct wk_webhook_request *q)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&q->items));
    struct wk_record r;
    bool first = true;

    wk_buf_u8(&q->body, '[');
    while (wk_cursor_left(&c) && !c.bad) {
        if (wk_record_decode(&r, wk_cursor_str(&c)) != WKIM_OK)
            continue;
        if (!first)
            wk_buf_u8(&q->body, ',');
        first = false;
        notify_message(&q->body, &r);
    }
    wk_buf_u8(&q->body, ']');
    return q->body.oom ? WKIM_ENOMEM : WKIM_OK;
}

/* As the sender named the channel; nothing when it named receivers. */
static wkim_slice sent_channel(const struct wk_webhook_request *q)
{
    wkim_slice id = q->record.channel_id, base = without_suffix(id);

    if (q->list)
        return base.n != id.n ? wk_slice(NULL, 0) : id;
    return q->record.channel_type == WKIM_CHANNEL_PERSON ? other_of(base, q->record.from_uid)
                                                         : base;
}

static void put_texts(struct wk_buf *b, wkim_slice texts)
{
    struct wk_cursor c = wk_cursor(texts);
    bool first = true;

    wk_buf_u8(b, '[');
    while (wk_cursor_left(&c) && !c.bad) {
        put_lit(b, first ? "\"" : ",\"");
        wk_json_escape(b, wk_cursor_str(&c));
        wk_buf_u8(b, '"');
        first = false;
    }
    wk_buf_u8(b, ']');
}

static int put_compressed(struct wk_buf *b, wkim_slice uids)
{
    struct wk_buf text = WK_BUF_INIT, packed = WK_BUF_INIT;

    put_texts(&text, uids);
    int rc = text.oom ? WKIM_ENOMEM : wk_gzip(&packed, wk_buf_slice(&text));
    if (rc == WKIM_OK) {
        put_lit(b, ",\"to_uids\":[],\"compress\":\"gzip\",\"compress_to_uids\":\"");
        wk_json_base64(b, wk_buf_slice(&packed));
        wk_buf_u8(b, '"');
    }
    wk_buf_fini(&text);
    wk_buf_fini(&packed);
    return rc;
}

static int offline_body(struct wk_webhook_request *q)
{
    struct wk_buf *b = &q->body;
    int rc = WKIM_OK;

    put_message(b, &q->record, q->record.from_uid, sent_channel(q), wk_slice(NULL, 0));
    if (q->compress_above && q->n_items > q->compress_above) {
        rc = put_compressed(b, wk_buf_slice(&q->items));
    } else {
        put_lit(b, ",\"to_uids\":");
        put_texts(b, wk_buf_slice(&q->items));
    }
    if (q->node_id)
        put_number(b, ",\"source_id\":", q->node_id);
    wk_buf_u8(b, '}');
    return b->oom ? WKIM_ENOMEM : rc;
}

static int online_body(struct wk_webhook_request *q)
{
    put_texts(&q->body, wk_buf_slice(&q->items)); /* an array of texts, too */
    return q->body.oom ? WKIM_ENOMEM : WKIM_OK;
}

int wk_webhook_body(struct wk_webhook_request *r)
{
    int rc = WKIM_OK;

    if (r->body.n)
        return WKIM_OK;
    switch (r->event) {
    case WK_WEBHOOK_NOTIFY:
        rc = notify_body(r);
        break;
    case WK_WEBHOOK_OFFLINE:
        rc = offline_body(r);
        break;
    default:
        rc = online_body(r);
        break;
    }
    if (rc != WKIM_OK)
        wk_buf_fini(&r->body);
    return rc;
}
