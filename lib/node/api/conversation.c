#include "node/reply.h"
#include "base/hash.h"
#include "base/limits.h"
#include "im/answer.h"
#include "node/node.h"

static void put_key(struct wk_buf *in, uint8_t type, wkim_slice id, wkim_slice uid)
{
    struct wk_buf sid = WK_BUF_INIT;

    wk_api_stored_id(&sid, type, id, uid);
    im_channel_key_encode(in, type, wk_buf_slice(&sid));
    in->oom |= sid.oom;
    wk_buf_fini(&sid);
}

static uint32_t clamp(int64_t v)
{
    return v <= 0 ? 0 : v > 10000 ? 10000 : (uint32_t)v;
}

int wkim_conversation_sync(wkim_node *n, const wkim_conversation_query *c, wkim_queue *q,
                           void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!c || c->size < sizeof(*c))
        return WKIM_EINVAL;
    int rc = wk_api_ready(n, c->uid);
    if (rc == WKIM_OK && (c->n_last_msg_seqs > WK_LIST_UIDS_MAX || c->n_exclude_types > 255))
        rc = WKIM_ETOOBIG;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, c->uid);
    wk_buf_u64(&in, c->version > 0 ? (uint64_t)c->version : 0);
    wk_buf_u32(&in, clamp(c->msg_count));
    wk_buf_u8(&in, c->only_unread == 1);
    wk_buf_u32(&in, c->page > 0 ? (uint32_t)c->page : 0);
    wk_buf_u32(&in, c->page_size > 0 ? (uint32_t)c->page_size : 0);
    wk_buf_varint(&in, c->n_exclude_types);
    wk_buf_bytes(&in, c->exclude_types, c->n_exclude_types);
    wk_buf_varint(&in, c->n_last_msg_seqs);
    for (size_t i = 0; i < c->n_last_msg_seqs; i++) {
        const wkim_channel_pos *p = &c->last_msg_seqs[i];
        put_key(&in, p->channel_type, p->channel_id, c->uid);
        wk_buf_u64(&in, p->message_seq);
    }
    return wk_api_send(n, IM_CONV_SYNC, wk_api_slot(n, c->uid), &in, WK_REPLY_CONVERSATIONS, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_conversation_sync_channels(wkim_node *n, wkim_slice uid, const wkim_channel_pos *channels,
                                    size_t n_channels, int64_t msg_count, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK && n_channels > 10000)
        rc = WKIM_ETOOBIG;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u32(&in, clamp(msg_count));
    wk_buf_varint(&in, n_channels);
    for (size_t i = 0; i < n_channels; i++)
        put_key(&in, channels[i].channel_type, channels[i].channel_id, uid);
    return wk_api_send(n, IM_CONV_SYNC_CHANNELS, wk_api_slot(n, uid), &in, WK_REPLY_CONVERSATIONS,
                       NULL, wk_slice(NULL, 0), q, user);
}

int wkim_conversation_channels(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    return wk_api_send(n, IM_CONV_CHANNELS, wk_api_slot(n, uid), &in, WK_REPLY_ROWS, NULL,
                       wk_slice(NULL, 0), q, user);
}

static int move(wkim_node *n, wkim_slice uid, wkim_slice id, uint8_t type, uint8_t kind,
                uint64_t count, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK)
        rc = wk_api_check_id(id);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    put_key(&in, type, id, uid);
    wk_buf_u8(&in, kind);
    wk_buf_u64(&in, count);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_CONV_MOVE, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_conversation_clear_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                   uint8_t channel_type, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_CLEAR, 0, q, user);
}

int wkim_conversation_set_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                 uint8_t channel_type, int64_t unread, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_SET, unread > 0 ? (uint64_t)unread : 0, q,
                user);
}

int wkim_conversation_delete(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                             uint8_t channel_type, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_HIDE, 0, q, user);
}

int wkim_conversation_activate(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                               uint8_t channel_type, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_SHOW, 0, q, user);
}

int wkim_command_bind(wkim_node *n, wkim_slice uid, wkim_slice channel_id, uint8_t channel_type,
                      int bind, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT, sid = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK)
        rc = wk_api_check_id(channel_id);
    if (rc != WKIM_OK)
        return rc;
    wk_api_stored_id(&sid, channel_type, im_base_id(channel_id), uid);
    wk_buf_bytes(&sid, IM_CMD_SUFFIX, sizeof(IM_CMD_SUFFIX) - 1);
    wk_buf_str(&in, uid);
    im_channel_key_encode(&in, channel_type, wk_buf_slice(&sid));
    wk_buf_u8(&in, bind ? IM_CONV_SHOW : IM_CONV_DROP);
    wk_buf_u64(&in, 0);
    wk_buf_u64(&in, wk_wall_ms());
    in.oom |= sid.oom;
    wk_buf_fini(&sid);
    return wk_api_send(n, IM_CONV_MOVE, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

/* ---- list in pages --------------------------------------------------------------------------- */

/* Clocks of nodes differ, and a change is told by the time it was asked for: what happened shortly
 * before a list began may be told twice, never not at all. */
#define OVERLAP_MS 30000

enum { TOKEN_CURSOR = 1, TOKEN_COVERAGE = 2 };

/* Base64 of: u8 kind, u32 crc of the uid, u64 since_ms, u64 start_ms, key. */
struct token {
    uint8_t kind;
    uint64_t since_ms, start_ms;
    struct wk_channel_key after;
};

static void put_token(struct wk_buf *b, const struct token *t, uint32_t uid_crc)
{
    wk_buf_u8(b, t->kind);
    wk_buf_u32(b, uid_crc);
    wk_buf_u64(b, t->since_ms);
    wk_buf_u64(b, t->start_ms);
    im_channel_key_encode(b, t->after.type, t->after.id);
}

/* Decoded into memory that t borrows. */
static int read_token(struct token *t, wkim_slice text, wkim_slice uid, uint8_t kind,
                      struct wk_buf *memory)
{
    *t = (struct token){ 0 };
    if (text.n == 0)
        return WKIM_OK;
    if (text.n > 4 * WK_ID_BYTES_MAX)
        return WKIM_EINVAL;
    if (wk_buf_reserve(memory, text.n) != WKIM_OK)
        return WKIM_ENOMEM;
    wkim_ssize n = wk_base64_decode(memory->p, text.p, text.n);
    struct wk_cursor c = wk_cursor(wk_slice(memory->p, n > 0 ? (size_t)n : 0));
    t->kind = wk_cursor_u8(&c);
    uint32_t crc = wk_cursor_u32(&c);
    t->since_ms = wk_cursor_u64(&c);
    t->start_ms = wk_cursor_u64(&c);
    im_channel_key_decode(&c, &t->after);
    return c.bad || wk_cursor_left(&c) || t->kind != kind || crc != wk_crc32c(0, uid.p, uid.n)
               ? WKIM_EINVAL
               : WKIM_OK;
}

static int add_token(struct wkim_reply *r, const struct token *t, uint32_t uid_crc)
{
    struct wk_buf b = WK_BUF_INIT;

    put_token(&b, t, uid_crc);
    char *text = b.oom ? NULL : wk_malloc(WK_BASE64_LEN(b.n) + 1);
    int rc = WKIM_ENOMEM;
    if (text) {
        wk_base64_encode(text, b.p, b.n);
        rc = wk_reply_add_string(r, wk_slice(text, WK_BASE64_LEN(b.n)));
    }
    wk_free(text);
    wk_buf_fini(&b);
    return rc;
}

/* String 0 is the key to go on behind: it and what is known of the list become the two tokens. */
static void fill_list(struct wk_api_call *a, struct wkim_reply *r)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&a->text));
    uint32_t uid_crc = wk_cursor_u32(&c);
    struct token next = { .kind = TOKEN_CURSOR };
    uint64_t kept_ms = a->call.number[1];

    if (r->code != WKIM_OK || r->n_rows != 1)
        return;
    next.since_ms = wk_cursor_u64(&c);
    next.start_ms = wk_cursor_u64(&c);
    if (!next.start_ms)
        next.start_ms = a->call.number[0];
    struct token covered = { .kind = TOKEN_COVERAGE };
    covered.since_ms = next.start_ms > OVERLAP_MS ? next.start_ms - OVERLAP_MS : 1;
    bool reset = next.since_ms && kept_ms >= next.since_ms;
    struct wk_cursor key = wk_cursor(r->rows[0].text);
    bool more = wk_cursor_left(&key) != 0;
    int rc = WKIM_OK;
    r->n_rows = 0;
    if (more) {
        im_channel_key_decode(&key, &next.after);
        rc = add_token(r, &next, uid_crc);
    } else {
        rc = wk_reply_add_string(r, wk_slice(NULL, 0));
    }
    if (rc == WKIM_OK)
        rc = more || reset ? wk_reply_add_string(r, wk_slice(NULL, 0))
                           : add_token(r, &covered, uid_crc);
    if (rc != WKIM_OK) {
        wk_reply_result(r, rc, 0);
        return;
    }
    r->rows[1].number[0] = (int64_t)kept_ms;
    r->rows[1].number[1] = reset;
    wk_reply_number(r, WKIM_NUMBER_MORE, more);
}

static int send_list(wkim_node *n, wkim_slice uid, uint32_t limit, const struct token *t,
                     const wkim_channel_pos *channels, size_t n_channels, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT, text = WK_BUF_INIT;

    wk_buf_str(&in, uid);
    wk_buf_u32(&in, limit);
    wk_buf_u64(&in, t->since_ms);
    im_channel_key_encode(&in, t->after.type, t->after.id);
    wk_buf_varint(&in, n_channels);
    for (size_t i = 0; i < n_channels; i++)
        put_key(&in, channels[i].channel_type, channels[i].channel_id, uid);
    wk_buf_u32(&text, wk_crc32c(0, uid.p, uid.n));
    wk_buf_u64(&text, t->since_ms);
    wk_buf_u64(&text, t->start_ms);
    in.oom |= text.oom;
    int rc = wk_api_send(n, IM_CONV_LIST, wk_api_slot(n, uid), &in, WK_REPLY_CONVERSATION_PAGE,
                         fill_list, wk_buf_slice(&text), q, user);
    wk_buf_fini(&text);
    return rc;
}

int wkim_conversation_list(wkim_node *n, const wkim_conversation_page *p, wkim_queue *q, void *user)
{
    struct wk_buf one = WK_BUF_INIT, two = WK_BUF_INIT;
    struct token cursor, coverage;

    if (!p || p->size < sizeof(*p))
        return WKIM_EINVAL;
    int rc = wk_api_ready(n, p->uid);
    if (rc == WKIM_OK)
        rc = read_token(&cursor, p->cursor, p->uid, TOKEN_CURSOR, &one);
    if (rc == WKIM_OK)
        rc = read_token(&coverage, p->coverage, p->uid, TOKEN_COVERAGE, &two);
    if (rc == WKIM_OK && p->cursor.n == 0)
        cursor.since_ms = coverage.since_ms; /* later pages have it in their cursor */
    if (rc == WKIM_OK)
        rc = send_list(n, p->uid, p->limit, &cursor, NULL, 0, q, user);
    wk_buf_fini(&one);
    wk_buf_fini(&two);
    return rc;
}

int wkim_conversation_retry(wkim_node *n, wkim_slice uid, const wkim_channel_pos *channels,
                            size_t n_channels, wkim_queue *q, void *user)
{
    struct token none = { 0 };
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK && n_channels == 0)
        rc = WKIM_EINVAL;
    if (rc == WKIM_OK && n_channels > WKIM_CONVERSATION_PAGE_MAX)
        rc = WKIM_ETOOBIG;
    for (size_t i = 0; rc == WKIM_OK && i < n_channels; i++)
        rc = wk_api_check_id(channels[i].channel_id);
    return rc == WKIM_OK ? send_list(n, uid, 0, &none, channels, n_channels, q, user) : rc;
}
