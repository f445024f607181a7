#include "http/reply_json.h"

#include "http/message_json.h"

#include <stdlib.h>
#include <string.h>

void wk_reply_json_messages(struct wk_jsonbuf *b, const wkim_reply *r)
{
    size_t n = wkim_reply_messages(r);

    wk_jsonbuf_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        wkim_message m;

        if (wkim_reply_message(r, i, &m) != WKIM_OK)
            continue;
        wk_message_json(b, &m);
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

void wk_reply_json_strings(struct wk_jsonbuf *b, const wkim_reply *r, const char *head,
                           const char *mid, const char *tail)
{
    size_t n = wkim_reply_strings(r);

    wk_jsonbuf_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        wkim_slice text;
        int64_t number = 0;

        if (wkim_reply_string(r, i, &text) != WKIM_OK)
            continue;
        wk_jsonbuf_lit(b, head);
        wk_jsonbuf_str(b, text);
        if (mid) {
            wkim_reply_string_number(r, i, 0, &number);
            wk_jsonbuf_lit(b, mid);
            wk_jsonbuf_i64(b, number);
        }
        wk_jsonbuf_lit(b, tail);
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

static void put_recents(struct wk_jsonbuf *b, const wkim_reply *r, size_t at, uint64_t n)
{
    wk_jsonbuf_lit(b, ",\"recents\":[");
    for (uint64_t i = 0; i < n; i++) {
        wkim_message m;

        if (wkim_reply_recent(r, at, (size_t)i, &m) != WKIM_OK)
            continue;
        wk_message_json(b, &m);
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_lit(b, "]}");
}

static void put_conversation(struct wk_jsonbuf *b, const wkim_conversation *c)
{
    wk_jsonbuf_lit(b, "{\"channel_id\":");
    wk_jsonbuf_str(b, c->channel_id);
    wk_jsonbuf_lit(b, ",\"channel_type\":");
    wk_jsonbuf_u64(b, c->channel_type);
    wk_jsonbuf_lit(b, ",\"unread\":");
    wk_jsonbuf_i64(b, c->unread);
    wk_jsonbuf_lit(b, ",\"timestamp\":");
    wk_jsonbuf_u64(b, c->timestamp_ms / 1000);
    wk_jsonbuf_lit(b, ",\"last_msg_seq\":");
    wk_jsonbuf_u64(b, c->last_msg_seq);
    wk_jsonbuf_lit(b, ",\"last_client_msg_no\":");
    wk_jsonbuf_str(b, c->last_client_msg_no);
    wk_jsonbuf_lit(b, ",\"offset_msg_seq\":0,\"readed_to_msg_seq\":");
    wk_jsonbuf_u64(b, c->readed_to_msg_seq);
    wk_jsonbuf_lit(b, ",\"version\":");
    wk_jsonbuf_u64(b, c->version);
}

void wk_reply_json_conversations(struct wk_jsonbuf *b, const wkim_reply *r)
{
    size_t n = wkim_reply_conversations(r);

    wk_jsonbuf_char(b, '[');
    for (size_t i = 0; i < n; i++) {
        wkim_conversation c;

        if (wkim_reply_conversation(r, i, &c) != WKIM_OK)
            continue;
        put_conversation(b, &c);
        put_recents(b, r, i, c.n_recents);
        wk_jsonbuf_char(b, ',');
    }
    wk_jsonbuf_chop(b, ',');
    wk_jsonbuf_char(b, ']');
}

/* The rows as one JSON array; ids of clients need not be UTF-8, JSON must. */
static char *rows_text(wkim_slice rows, size_t *n)
{
    char *text = malloc(rows.n + 2);
    size_t i = 0, at = 0;
    int bare = rows.n == 0 || rows.p[0] != '[';

    if (!text)
        return NULL;
    if (bare)
        text[at++] = '[';
    while (i < rows.n) {
        size_t len = rows.p[i] < 0x80 ? 1 : wk_jsonbuf_utf8(rows.p + i, rows.n - i);

        if (len)
            memcpy(text + at, rows.p + i, len);
        else
            text[at] = '?';
        at += len ? len : 1;
        i += len ? len : 1;
    }
    if (bare)
        text[at++] = ']';
    *n = at;
    return text;
}

json_t *wk_reply_json_rows(const wkim_reply *reply)
{
    wkim_slice text;
    size_t n = 0;

    if (wkim_reply_code(reply) != WKIM_OK)
        return NULL;
    if (wkim_reply_string(reply, 0, &text) != WKIM_OK)
        return json_array();
    char *array = rows_text(text, &n);
    json_t *rows = array ? json_loadb(array, n, JSON_ALLOW_NUL, NULL) : NULL;

    free(array);
    if (json_is_array(rows))
        return rows;
    json_decref(rows);
    return NULL;
}
