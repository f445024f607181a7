/* The product's operations as single calls, for the fixture of cluster.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "cluster.h"

static void words(struct wk_buf *b, const char *uids)
{
    while (*uids) {
        size_t n = strcspn(uids, " ");
        wk_buf_str(b, wk_slice(uids, n));
        uids += n + strspn(uids + n, " ");
    }
}

static void copy(char *out, size_t cap, wkim_slice s)
{
    size_t n = s.n < cap - 1 ? s.n : cap - 1;

    if (n)
        memcpy(out, s.p, n);
    out[n] = 0;
}

void cl_send_begin(struct cl *c, struct cl_call *out, const struct cl_send *s)
{
    struct wk_buf b = WK_BUF_INIT, sid = WK_BUF_INIT, uids = WK_BUF_INIT;

    im_stored_id(&sid, s->type, wk_str(s->to), wk_str(s->from));
    if (s->cmd)
        wk_buf_bytes(&sid, IM_CMD_SUFFIX, sizeof(IM_CMD_SUFFIX) - 1);
    for (size_t i = 0; s->list && s->list[i]; i++)
        wk_buf_str(&uids, wk_str(s->list[i]));
    struct wk_record r = { .flags = s->flags,
                           .channel_type = s->type,
                           .message_id = ++c->next_id,
                           .expire_s = s->expire_s,
                           .channel_id = wk_buf_slice(&sid),
                           .from_uid = wk_str(s->from),
                           .client_msg_no = wk_str(s->no ? s->no : ""),
                           .payload = wk_str(s->payload ? s->payload : "") };
    struct im_send_head h = { .bits = (uint8_t)((s->api ? IM_SEND_API : 0) |
                                                (s->list ? IM_SEND_LIST : 0)),
                              .conn_id = s->conn_id,
                              .uids = wk_buf_slice(&uids) };
    bool person = s->type == WKIM_CHANNEL_PERSON && !s->api;
    im_send_encode(&b, &h, &r);
    uint32_t slot =
        wk_cluster_slot_of(c->cluster, person ? wk_str(s->to) : im_base_id(wk_buf_slice(&sid)));
    wk_buf_fini(&sid);
    wk_buf_fini(&uids);
    cl_begin(c, out, person ? IM_SEND_PEER : IM_SEND, slot, &b);
}

struct cl_answer cl_send(struct cl *c, const struct cl_send *s)
{
    struct cl_call call;

    cl_send_begin(c, &call, s);
    struct cl_answer a = cl_take(c, &call);
    cl_answer_fini(&a);
    return a;
}

int cl_text(struct cl *c, const char *from, uint8_t type, const char *to, const char *payload,
            uint64_t *seq)
{
    struct cl_answer a =
        cl_send(c, &(struct cl_send){ .from = from, .type = type, .to = to, .payload = payload });

    if (seq)
        *seq = a.number[1];
    return a.code == WKIM_OK || a.code == WKIM_EDENIED ? a.reason : a.code;
}

int cl_flags(struct cl *c, uint8_t type, const char *id, uint32_t flags)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, type, wk_str(id));
    wk_buf_u32(&b, flags);
    wk_buf_u64(&b, c->wall_ms);
    return cl_do_code(c, IM_CHANNEL_SET, cl_slot(c, id), &b);
}

int cl_list(struct cl *c, uint8_t type, const char *id, uint8_t list, uint8_t op, const char *uids)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, type, wk_str(id));
    wk_buf_u8(&b, list);
    wk_buf_u8(&b, op);
    wk_buf_u64(&b, c->wall_ms);
    words(&b, uids);
    return cl_do_code(c, IM_LIST_CHANGE, cl_slot(c, id), &b);
}

int cl_system(struct cl *c, bool add, const char *uids)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_u8(&b, add);
    words(&b, uids);
    int rc = cl_do_code(c, IM_SYSTEM_CHANGE, 0, &b);
    cl_settle(c);
    return rc;
}

int cl_token(struct cl *c, const char *uid, uint8_t flag, uint8_t level, const char *token)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u8(&b, flag);
    wk_buf_u8(&b, level);
    wk_buf_str(&b, wk_str(token));
    wk_buf_u64(&b, c->wall_ms);
    return cl_do_code(c, IM_TOKEN_SET, cl_slot(c, uid), &b);
}

static struct cl_answer sync_rows(struct cl *c, const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u64(&b, 0);
    wk_buf_u32(&b, 10);
    wk_buf_u8(&b, 0);
    wk_buf_u32(&b, 0);
    wk_buf_u32(&b, 0);
    wk_buf_varint(&b, 0);
    wk_buf_varint(&b, 0);
    return cl_do(c, IM_CONV_SYNC, cl_slot(c, uid), &b);
}

struct cl_conversation cl_conversation(struct cl *c, const char *uid, uint8_t type,
                                       const char *peer)
{
    struct cl_answer a = sync_rows(c, uid);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    struct cl_conversation found = { .found = false };
    struct im_conv_row row;

    while (a.code == WKIM_OK && wk_cursor_left(&cur) && im_conv_row_decode(&row, &cur) == WKIM_OK) {
        if (row.type != type || !wk_slice_eq(row.channel_id, wk_str(peer)))
            continue;
        found = (struct cl_conversation){ .found = true,
                                          .unread = row.unread,
                                          .read_seq = row.read_seq,
                                          .last_seq = row.last_seq,
                                          .n_recents = row.n_recents };
        copy(found.channel_id, sizeof(found.channel_id), row.channel_id);
    }
    if (a.code != WKIM_OK || cur.bad) {
        fprintf(stderr, "cluster fixture: conversations of %s: %s\n", uid, wkim_strerror(a.code));
        abort();
    }
    cl_answer_fini(&a);
    return found;
}

size_t cl_conversations(struct cl *c, const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;
    size_t n = 0;

    wk_buf_str(&b, wk_str(uid));
    struct cl_answer a = cl_do(c, IM_CONV_CHANNELS, cl_slot(c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    for (; wk_cursor_left(&cur) && !cur.bad; n++) {
        (void)wk_cursor_str(&cur);
        (void)wk_cursor_bytes(&cur, 24);
    }
    cl_answer_fini(&a);
    return n;
}

int cl_conv_move(struct cl *c, const char *uid, uint8_t type, const char *peer, uint8_t kind,
                 uint64_t n)
{
    struct wk_buf b = WK_BUF_INIT, sid = WK_BUF_INIT;

    im_stored_id(&sid, type, wk_str(peer), wk_str(uid));
    wk_buf_str(&b, wk_str(uid));
    im_channel_key_encode(&b, type, wk_buf_slice(&sid));
    wk_buf_u8(&b, kind);
    wk_buf_u64(&b, n);
    wk_buf_u64(&b, c->wall_ms);
    wk_buf_fini(&sid);
    return cl_do_code(c, IM_CONV_MOVE, cl_slot(c, uid), &b);
}

void cl_history(struct cl *c, uint8_t type, const char *stored, uint64_t start, uint64_t end,
                uint32_t limit, bool up, char *out, size_t cap, bool *more)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, type, wk_str(stored));
    wk_buf_u64(&b, start);
    wk_buf_u64(&b, end);
    wk_buf_u32(&b, limit);
    wk_buf_u8(&b, up);
    struct cl_answer a = cl_do(c, IM_MESSAGE_SYNC, cl_slot(c, stored), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    size_t at = 0;
    out[0] = 0;
    while (a.code == WKIM_OK && wk_cursor_left(&cur) && !cur.bad) {
        struct wk_record r;
        if (wk_record_decode(&r, wk_cursor_str(&cur)) != WKIM_OK)
            abort();
        at += (size_t)snprintf(out + at, at < cap ? cap - at : 0, "%s%llu", at ? "," : "",
                               (unsigned long long)r.message_seq);
    }
    if (more)
        *more = a.number[1];
    if (a.code != WKIM_OK)
        snprintf(out, cap, "%s", wkim_err_name(a.code));
    cl_answer_fini(&a);
}

/* ---- a connected client ---------------------------------------------------------------------- */

static void on_push(struct im_conn *im, const struct im_push *p)
{
    struct cl_conn *conn = WK_CONTAINER(im, struct cl_conn, im);

    if (conn->n_pushes == conn->cap) {
        conn->cap = conn->cap ? conn->cap * 2 : 64;
        conn->pushes = realloc(conn->pushes, conn->cap * sizeof(*conn->pushes));
        if (!conn->pushes)
            abort();
    }
    struct cl_push *out = &conn->pushes[conn->n_pushes++];
    *out = (struct cl_push){ .message_id = p->record->message_id,
                             .seq = p->record->message_seq,
                             .flags = p->flags };
    copy(out->from, sizeof(out->from), p->from_uid);
    copy(out->channel, sizeof(out->channel), p->channel_id);
    copy(out->payload, sizeof(out->payload), p->record->payload);
}

static void on_kick(struct im_conn *im, uint8_t reason, const char *text, uint32_t delay_ms,
                    bool silent)
{
    struct cl_conn *conn = WK_CONTAINER(im, struct cl_conn, im);

    conn->kicks++;
    conn->kick_reason = reason;
    conn->kick_delay = delay_ms;
    conn->kick_silent = silent;
    snprintf(conn->kick_text, sizeof(conn->kick_text), "%s", text);
}

static void on_event(struct im_conn *im, const struct wk_event *e)
{
    struct cl_conn *conn = WK_CONTAINER(im, struct cl_conn, im);
    (void)e;
    conn->events++;
}

static void on_describe(struct im_conn *im, struct wk_buf *out)
{
    wk_buf_str(out, im->uid);
}

static const struct im_conn_ops ops = {
    .push = on_push, .event = on_event, .kick = on_kick, .describe = on_describe
};

static bool is_done(void *arg)
{
    return ((struct cl_call *)arg)->done;
}

static void login_done(struct wk_call *call)
{
    WK_CONTAINER(call, struct cl_call, call)->done = true;
}

void cl_login_begin(struct cl *c, struct cl_conn *conn, struct cl_call *call, const char *uid,
                    const char *device, uint8_t flag, const char *token)
{
    static uint64_t next_id;
    struct wk_buf b = WK_BUF_INIT;

    call->done = false;

    memset(conn, 0, sizeof(*conn));
    conn->c = c;
    snprintf(conn->uid, sizeof(conn->uid), "%s", uid);
    snprintf(conn->device, sizeof(conn->device), "%s", device);
    wk_list_init(&conn->im.link);
    conn->im.ops = &ops;
    conn->im.id = ++next_id;
    conn->im.uid = wk_str(conn->uid);
    conn->im.device_id = wk_str(conn->device);
    conn->im.device_flag = flag;
    wk_buf_u8(&b, flag);
    wk_buf_str(&b, wk_str(uid));
    wk_buf_str(&b, wk_str(device));
    wk_buf_str(&b, wk_str(token ? token : ""));
    struct wk_blob *in = wk_blob_copy(b.p, b.n);
    if (!in)
        abort();
    wk_buf_fini(&b);
    wk_call_init(&call->call, IM_LOGIN, in, login_done);
    call->call.mark = &conn->im;
    call->call.slot = cl_slot(c, uid);
    wk_call_send(c->cluster, &call->call);
}

int cl_login_end(struct cl *c, struct cl_call *call)
{
    cl_until(c, is_done, call);
    int reason = call->call.code == WKIM_OK ? call->call.reason : call->call.code;
    wk_call_fini(&call->call);
    return reason;
}

int cl_login(struct cl *c, struct cl_conn *conn, const char *uid, const char *device, uint8_t flag,
             const char *token)
{
    struct cl_call call;

    cl_login_begin(c, conn, &call, uid, device, flag, token);
    return cl_login_end(c, &call);
}

void cl_logout(struct cl_conn *conn)
{
    struct cl *c = conn->c;

    if (conn->im.registered) {
        wk_shard_own(wk_cluster_shard_of(c->cluster, cl_slot(c, conn->uid)));
        im_conn_gone(c->im, &conn->im);
    }
    free(conn->pushes);
    conn->pushes = NULL;
    conn->n_pushes = conn->cap = 0;
}
