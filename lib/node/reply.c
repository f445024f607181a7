#include "node/reply.h"
#include <stdio.h>
#include "im/answer.h"

struct wkim_reply *wk_reply_new(int kind, void *user)
{
    struct wkim_reply *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->kind = kind;
    r->user = user;
    r->reason = WKIM_REASON_SUCCESS;
    wk_arena_init(&r->extra, 0);
    return r;
}

void wkim_reply_free(wkim_reply *r)
{
    if (!r)
        return;
    if (r->release)
        r->release(r);
    wk_buf_fini(&r->bytes);
    wk_free(r->rows);
    wk_free(r->messages);
    wk_free(r->convs);
    wk_arena_fini(&r->extra);
    wk_free(r);
}

void wk_reply_result(struct wkim_reply *r, int code, int32_t reason)
{
    r->code = code;
    r->reason = reason ? reason : code == WKIM_OK ? WKIM_REASON_SUCCESS : WKIM_REASON_SYSTEM_ERROR;
    if (code != WKIM_OK)
        snprintf(r->text, sizeof(r->text), "%s", wkim_strerror(code));
}

void wk_reply_number(struct wkim_reply *r, int which, int64_t v)
{
    r->numbers[which] = v;
}

/* Room for one more element of a plain array that grows by doubling. */
static int room(void **v, size_t n, size_t size)
{
    if (n && (n & (n - 1)))
        return WKIM_OK;
    void *p = wk_realloc(*v, (n ? n * 2 : 1) * size);
    if (!p)
        return WKIM_ENOMEM;
    *v = p;
    return WKIM_OK;
}

static int add_row(struct wkim_reply *r, wkim_slice s, int64_t a, int64_t b, int64_t c)
{
    if (room((void **)&r->rows, r->n_rows, sizeof(*r->rows)) != WKIM_OK)
        return WKIM_ENOMEM;
    r->rows[r->n_rows++] = (struct wk_reply_row){ s, { a, b, c } };
    return WKIM_OK;
}

int wk_reply_add_string(struct wkim_reply *r, wkim_slice s)
{
    uint8_t *p = wk_arena_dup(&r->extra, s.p, s.n);
    return p || !s.n ? add_row(r, wk_slice(p, s.n), 0, 0, 0) : WKIM_ENOMEM;
}

static int add_message(struct wkim_reply *r, wkim_slice bytes)
{
    struct wk_record rec;

    if (bytes.n && bytes.p[0] == IM_EVENTS_ENTRY) {
        if (!r->n_messages)
            return WKIM_ECORRUPT;
        r->messages[r->n_messages - 1].events = wk_slice(bytes.p + 1, bytes.n - 1);
        return WKIM_OK;
    }
    int rc = wk_record_decode(&rec, bytes);

    if (rc == WKIM_OK)
        rc = room((void **)&r->messages, r->n_messages, sizeof(*r->messages));
    if (rc != WKIM_OK)
        return rc;
    r->messages[r->n_messages++] = (wkim_message){ .message_id = rec.message_id,
                                                   .message_seq = rec.message_seq,
                                                   .timestamp_ms = rec.timestamp_ms,
                                                   .expire_s = rec.expire_s,
                                                   .flags = rec.flags,
                                                   .setting = rec.setting,
                                                   .channel_type = rec.channel_type,
                                                   .channel_id = rec.channel_id,
                                                   .from_uid = rec.from_uid,
                                                   .client_msg_no = rec.client_msg_no,
                                                   .topic = rec.topic,
                                                   .payload = rec.payload };
    return WKIM_OK;
}

static int add_conversation(struct wkim_reply *r, struct wk_cursor *c)
{
    struct im_conv_row row;
    int rc = im_conv_row_decode(&row, c);

    if (rc == WKIM_OK)
        rc = room((void **)&r->convs, r->n_convs, sizeof(*r->convs));
    if (rc != WKIM_OK)
        return rc;
    struct wk_reply_conv *out = &r->convs[r->n_convs++];
    out->first = (uint32_t)r->n_messages;
    struct wk_cursor m = wk_cursor(row.recents);
    while (rc == WKIM_OK && wk_cursor_left(&m) && !m.bad)
        rc = add_message(r, wk_cursor_str(&m));
    out->c = (wkim_conversation){ .channel_id = row.channel_id, .stored_id = row.stored_id,
                                  .channel_type = row.type, .unread = (int64_t)row.unread,
                                  .timestamp_ms = row.timestamp_ms, .last_msg_seq = row.last_seq,
                                  .last_client_msg_no = row.last_client_msg_no,
                                  .readed_to_msg_seq = row.read_seq, .version = row.version,
                                  .updated_ms = row.updated_ms, .state = row.state,
                                  .deleted_to_seq = row.deleted_seq,
                                  .active_ms = row.active_ms,
                                  .n_recents = r->n_messages - out->first };
    return rc;
}

static int add_next(struct wkim_reply *r, struct wk_cursor *c, enum wk_reply_layout layout)
{
    if (layout == WK_REPLY_RECORDS)
        return add_message(r, wk_cursor_str(c));
    if (layout == WK_REPLY_CONVERSATIONS)
        return add_conversation(r, c);
    wkim_slice s = wk_cursor_str(c);
    int64_t a = (int64_t)wk_cursor_u64(c), b = (int64_t)wk_cursor_u64(c);
    return add_row(r, s, a, b, (int64_t)wk_cursor_u64(c));
}

void wk_reply_fill(struct wkim_reply *r, struct wk_buf *out_take, enum wk_reply_layout layout)
{
    int rc = WKIM_OK;

    wk_buf_fini(&r->bytes);
    r->bytes = *out_take;
    *out_take = (struct wk_buf)WK_BUF_INIT;
    if (layout == WK_REPLY_NONE)
        return;
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r->bytes));
    if (layout == WK_REPLY_TEXT)
        rc = add_row(r, wk_buf_slice(&r->bytes), 0, 0, 0);
    else if (layout == WK_REPLY_CONVERSATION_PAGE) {
        rc = add_row(r, wk_cursor_str(&c), 0, 0, 0);
        layout = WK_REPLY_CONVERSATIONS;
    }
    if (layout != WK_REPLY_TEXT)
        while (rc == WKIM_OK && wk_cursor_left(&c) && !c.bad)
            rc = add_next(r, &c, layout);
    if (rc == WKIM_OK && c.bad)
        rc = WKIM_ECORRUPT;
    if (rc != WKIM_OK)
        wk_reply_result(r, rc, 0);
}

int wkim_reply_kind(const wkim_reply *r) { return r->kind; }
void *wkim_reply_user(const wkim_reply *r) { return r->user; }
int wkim_reply_code(const wkim_reply *r) { return r->code; }
int wkim_reply_reason(const wkim_reply *r) { return r->reason; }
const char *wkim_reply_text(const wkim_reply *r) { return r->text; }

int64_t wkim_reply_number(const wkim_reply *r, int which)
{
    return which >= 0 && which < WKIM_NUMBERS ? r->numbers[which] : 0;
}

size_t wkim_reply_strings(const wkim_reply *r) { return r->n_rows; }
size_t wkim_reply_messages(const wkim_reply *r) { return r->n_convs ? 0 : r->n_messages; }
size_t wkim_reply_conversations(const wkim_reply *r) { return r->n_convs; }

int wkim_reply_string(const wkim_reply *r, size_t i, wkim_slice *out)
{
    if (i >= r->n_rows)
        return WKIM_ENOTFOUND;
    *out = r->rows[i].text;
    return WKIM_OK;
}

int wkim_reply_string_number(const wkim_reply *r, size_t i, int which, int64_t *out)
{
    if (i >= r->n_rows || which < 0 || which > 2)
        return WKIM_ENOTFOUND;
    *out = r->rows[i].number[which];
    return WKIM_OK;
}

int wkim_reply_message(const wkim_reply *r, size_t i, wkim_message *out)
{
    if (i >= wkim_reply_messages(r))
        return WKIM_ENOTFOUND;
    *out = r->messages[i];
    return WKIM_OK;
}

int wkim_reply_conversation(const wkim_reply *r, size_t i, wkim_conversation *out)
{
    if (i >= r->n_convs)
        return WKIM_ENOTFOUND;
    *out = r->convs[i].c;
    return WKIM_OK;
}

int wkim_reply_recent(const wkim_reply *r, size_t conversation, size_t i, wkim_message *out)
{
    if (conversation >= r->n_convs || i >= r->convs[conversation].c.n_recents)
        return WKIM_ENOTFOUND;
    *out = r->messages[r->convs[conversation].first + i];
    return WKIM_OK;
}
