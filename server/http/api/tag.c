/* Receiver tags: the lists of receivers that the node holds for channels that were sent to. */
#include "http/answer.h"
#include "http/api/connz.h"
#include "http/decode.h"
#include "http/reply_json.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/channel.h>

#include <stdlib.h>
#include <time.h>

#define NODE_UNKNOWN "node not found"
#define TAGS_MAX 1000u

struct tag_body {
    wkim_slice tag_key, channel_id;
    uint64_t node_id;
    uint8_t channel_type;
};

#define F(name, kind) WK_FIELD(struct tag_body, name, kind)
static const struct wk_field tag_fields[] = {
    F(tag_key, STR),
    F(channel_id, STR),
    F(channel_type, U8),
    F(node_id, U64),
};
#undef F

static uint64_t number(const json_t *row, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(row, name));
}

static void put_text(struct wk_jsonbuf *b, const char *name, const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key);

    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_str(b, (wkim_slice){(const uint8_t *)json_string_value(v), json_string_length(v)});
}

static void put_number(struct wk_jsonbuf *b, const char *name, uint64_t v)
{
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_u64(b, v);
}

/* As a clock on the wall of the server shows it. */
static void put_minute(struct wk_jsonbuf *b, const char *name, uint64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    char text[32];
    struct tm tm;

    localtime_r(&s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_cstr(b, text);
}

static void put_instant(struct wk_jsonbuf *b, const char *name, uint64_t ms)
{
    char text[40];

    wk_text_time(ms * 1000000u, text);
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_cstr(b, text);
}

static void put_array(struct wk_jsonbuf *b, const char *name, const json_t *row, const char *key)
{
    const json_t *v = json_object_get(row, key), *item;
    size_t i;

    wk_jsonbuf_lit(b, name);
    json_array_foreach(v, i, item)
    {
        if (json_is_string(item))
            wk_jsonbuf_str(b, (wkim_slice){(const uint8_t *)json_string_value(item),
                                           json_string_length(item)});
        else
            wk_jsonbuf_i64(b, json_integer_value(item));
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

/* One row; `list`: as /tags shows it, else as /tag does. */
static void put_tag(struct wk_req *r, struct wk_jsonbuf *b, const json_t *row, int list)
{
    wkim_node_stats s = {.size = sizeof(s)};

    wkim_node_stats_get(wk_req_node(r), &s);
    put_text(b, "{\"key\":", row, "key");
    put_text(b, ",\"channel_id\":", row, "channel_id");
    put_number(b, ",\"channel_type\":", number(row, "channel_type"));
    put_number(b, ",\"nodes\":[{\"leader_id\":", s.node_id);
    if (list)
        put_number(b, ",\"uid_count\":", number(row, "uid_count"));
    put_array(b, ",\"uids\":[", row, "uids");
    put_array(b, ",\"slot_ids\":[", row, "slot_ids");
    if (list) {
        put_minute(b, "}],\"created_at\":", number(row, "made_ms"));
        put_minute(b, ",\"expire_at\":",
                   number(row, "used_ms") + (uint64_t)wk_req_options(r)->tag_expire_ms);
        put_minute(b, ",\"last_get_at\":", number(row, "used_ms"));
    } else {
        put_instant(b, "}],\"created_at\":", number(row, "made_ms"));
        put_instant(b, ",\"last_get_time\":", number(row, "used_ms"));
    }
    put_number(b, ",\"node_version\":", number(row, "version"));
    put_number(b, ",\"get_count\":", number(row, "uses"));
    wk_jsonbuf_char(b, '}');
}

/* NULL: the request was answered. */
static json_t *take_rows(struct wk_call *c, const wkim_reply *reply)
{
    json_t *rows = wk_reply_json_rows(reply);
    int code = wkim_reply_code(reply);

    if (!rows)
        wk_answer_code(c->req, code == WKIM_OK ? WKIM_ENOMEM : code, wkim_reply_text(reply));
    return rows;
}

static void on_tag(struct wk_call *c, const wkim_reply *reply)
{
    json_t *rows = take_rows(c, reply);
    struct wk_jsonbuf b;

    if (!rows)
        return;
    if (json_array_size(rows) == 0) {
        wk_answer_error(c->req, "tag not found");
    } else {
        wk_jsonbuf_init(&b);
        put_tag(c->req, &b, json_array_get(rows, 0), 0);
        wk_answer_json(c->req, &b);
    }
    json_decref(rows);
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = number(*(json_t *const *)a, "made_ms"), y = number(*(json_t *const *)b, "made_ms");

    return x == y ? 0 : x < y ? 1 : -1;
}

static void on_tags(struct wk_call *c, const wkim_reply *reply)
{
    json_t *rows = take_rows(c, reply);
    size_t n = rows ? json_array_size(rows) : 0;
    json_t **order = rows ? wk_req_alloc(c->req, (n + 1) * sizeof(*order)) : NULL;
    struct wk_jsonbuf b;

    if (rows && !order)
        wk_answer_code(c->req, WKIM_ENOMEM, NULL);
    if (order) {
        for (size_t i = 0; i < n; i++)
            order[i] = json_array_get(rows, i);
        qsort(order, n, sizeof(*order), newest_first);
        wk_jsonbuf_init(&b);
        wk_jsonbuf_char(&b, '[');
        for (size_t i = 0; i < n && i < TAGS_MAX; i++) {
            put_tag(c->req, &b, order[i], 1);
            wk_jsonbuf_char(&b, ',');
        }
        wk_jsonbuf_chop(&b, ',');
        wk_jsonbuf_char(&b, ']');
        wk_answer_json(c->req, &b);
    }
    json_decref(rows);
}

static int is_other_node(struct wk_req *r, uint64_t node)
{
    if (!node || wk_connz_is_self(r, node))
        return 0;
    wk_answer_error(r, NODE_UNKNOWN);
    return 1;
}

/* What is named counts only as far as the caller has to look: an empty slice stands for any. */
static void ask(struct wk_req *r, void (*then)(struct wk_call *c, const wkim_reply *reply),
                wkim_slice key, wkim_slice channel_id)
{
    wk_req_call(&r->call, then,
                wkim_channel_tags(wk_req_node(r), key, channel_id,
                                  wk_req_query_u8(r, "channel_type"), 0, wk_req_queue(r),
                                  &r->call));
}

static const wkim_slice any;

/* By its key, else by its channel. */
void wk_api_tag(struct wk_req *r)
{
    wkim_slice key = wk_text_trim(wk_req_query(r, "tag_key"));
    wkim_slice channel_id = wk_req_query(r, "channel_id");

    if (key.n == 0 && channel_id.n == 0)
        wk_answer_error(r, "tag not found");
    else
        ask(r, on_tag, key, key.n ? any : channel_id);
}

/* By the channel when it is named whole, else by the key, else all. */
void wk_api_tags(struct wk_req *r)
{
    wkim_slice key = wk_req_query(r, "tag_key"), channel_id = wk_req_query(r, "channel_id");
    int whole = channel_id.n && wk_req_query_u8(r, "channel_type");

    if (!is_other_node(r, wk_req_query_u64(r, "node_id")))
        ask(r, on_tags, whole ? any : key, whole ? channel_id : any);
}

void wk_api_tag_remove(struct wk_req *r)
{
    struct tag_body b = {0};

    if (wk_decode_object(r, "tagRemoveReq", tag_fields, WK_COUNT(tag_fields), &b) != WKIM_OK ||
        is_other_node(r, b.node_id))
        return;
    int by_key = !wk_text_blank(b.tag_key);

    if (!by_key && b.channel_id.n == 0) /* not everything because nothing was named */
        wk_answer_ok(r);
    else
        wk_req_call(&r->call, wk_answer_then_ok,
                    wkim_channel_tags(wk_req_node(r), by_key ? b.tag_key : any,
                                      by_key ? any : b.channel_id, b.channel_type, 1,
                                      wk_req_queue(r), &r->call));
}
