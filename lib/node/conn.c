#include "node/conn.h"
#include <stdlib.h>
#include "base/limits.h"
#include "proto/proxy.h"

#define INFLIGHT_BYTES_MAX 4194304u /* of SENDs of one connection not yet answered */
#define SEND_POOL_MAX 4096

/* One SEND on its way through the slots. */
struct send_op {
    struct wk_call call;
    struct wk_conn *conn;
    uint64_t ack;
    uint32_t bytes;
    struct send_op *next;
};

static struct wk_node_shard *per(const struct wk_conn *c)
{
    return wk_node_shard(c->node, c->shard);
}

void wk_conn_wake(struct wk_conn *c)
{
    wk_shard_defer(c->shard, WK_STAGE_FLUSH, &c->flush);
}

static void arm(struct wk_conn *c, uint64_t at_ms)
{
    if (wk_timer_arm(&c->shard->timers, &c->timer, at_ms) != WKIM_OK)
        wk_conn_destroy(c); /* a connection without limits must not live */
}

static uint64_t idle_limit(const struct wk_conn *c)
{
    switch (wk_session_state(c->session)) {
    case WK_SESSION_NEW: return c->node->set.connect_ms;
    case WK_SESSION_OPEN: return c->node->set.idle_ms;
    default: return c->node->set.auth_ms;
    }
}

static void on_timer(struct wk_timer *t)
{
    struct wk_conn *c = WK_CONTAINER(t, struct wk_conn, timer);
    uint64_t now = c->shard->now_ms;
    uint64_t due = c->last_in_ms + idle_limit(c);

    if (c->close_at_ms) {
        if (now >= c->close_at_ms)
            wk_conn_destroy(c);
        else
            arm(c, c->close_at_ms);
    } else if (now >= due) {
        wk_conn_destroy(c); /* a plain close: SDKs come back after it */
    } else {
        arm(c, due);
    }
}

/* ---- life ------------------------------------------------------------------------------------------- */

void wk_conn_unref(struct wk_conn *c)
{
    if (--c->refs)
        return;
    if (c->session)
        wk_session_free(c->session);
    wk_free(c->unacked);
    wk_buf_fini(&c->head);
    wk_free(c->text);
    wk_free(c->remote);
    wk_free(c);
}

void wk_conn_destroy(struct wk_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    im_conn_gone(c->node->im, &c->im);
    wk_timer_disarm(&c->shard->timers, &c->timer);
    wk_timer_disarm(&c->shard->timers, &c->retry);
    wk_list_remove(&c->link);
    wk_conn_untrack_all(c);
    c->tr->close(c);
    per(c)->count.connections--;
    atomic_fetch_sub(&c->node->connections, 1);
    wk_conn_wake(c); /* the flush drops this reference: callers up the stack may still look at c */
}

static void flush(struct wk_shard *s, struct wk_hook *h);
static const struct wk_session_events session_events;
static const struct im_conn_ops im_ops;

int wk_conn_new(struct wk_conn **out, struct wkim_node *n, const struct wk_transport_ops *tr,
                const char *remote, bool proxy)
{
    struct wk_conn *c = wk_calloc(1, sizeof(*c));

    if (!c)
        return WKIM_ENOMEM;
    c->node = n;
    c->tr = tr;
    c->refs = 1;
    c->proxy = proxy;
    c->flush.run = flush;
    c->timer.fire = on_timer;
    c->retry.fire = wk_conn_retry;
    c->im.ops = &im_ops;
    c->io.fd = -1;
    c->want_in = true;
    wk_list_init(&c->link);
    wk_list_init(&c->im.link);
    c->remote = remote ? wk_strdup_n(remote, strlen(remote)) : NULL;
    if (remote && !c->remote) {
        wk_free(c);
        return WKIM_ENOMEM;
    }
    *out = c;
    return WKIM_OK;
}

void wk_conn_start(struct wk_conn *c)
{
    struct wk_node_shard *ns = per(c);
    struct wk_session_options so = { .encrypt = c->node->set.encrypt,
                                     .allow_json = c->node->set.allow_json,
                                     .event_to_old = c->node->set.event_to_old,
                                     .version_max = c->node->set.version_max,
                                     .node_id = c->node->set.node_id,
                                     .outbound_bytes_max = c->node->set.outbound_max,
                                     .crypto = ns->crypto };

    wk_list_push(&ns->conns, &c->link);
    ns->count.connections++;
    c->im.id = ++ns->next_conn * c->node->n_shards + ns->shard->index;
    c->last_in_ms = c->shard->now_ms;
    c->connected_ms = c->shard->now_ms;
    if (atomic_load(&c->node->stopping) ||
        wk_session_new(&c->session, &so, &session_events, c) != WKIM_OK || c->tr->attach(c) != WKIM_OK) {
        wk_conn_destroy(c);
        return;
    }
    arm(c, c->last_in_ms + c->node->set.connect_ms);
}

void wk_conn_close_all(struct wk_node_shard *ns)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &ns->conns)
        wk_conn_destroy(WK_CONTAINER(it, struct wk_conn, link));
}

/* ---- input -------------------------------------------------------------------------------------------- */

/* Strip the PROXY header; returns what belongs to the session.  *in.n = 0 while it is incomplete. */
static int strip_proxy(struct wk_conn *c, wkim_slice *in)
{
    struct wk_proxy_header h;

    wk_buf_bytes(&c->head, in->p, in->n);
    if (c->head.oom)
        return WKIM_ENOMEM;
    wkim_ssize used = wk_proxy_decode(&h, wk_buf_slice(&c->head));
    if (used == 0) {
        in->n = 0;
        return c->head.n > WK_PROXY_BYTES_MAX ? WKIM_EPROTO : WKIM_OK;
    }
    if (used < 0 && used != WKIM_ENOTFOUND)
        return (int)used;
    c->proxy = false;
    if (used < 0)
        used = 0; /* no header after all */
    if (h.has_source) {
        char *text = wk_strdup_n(h.source, strlen(h.source));
        if (text) {
            wk_free(c->remote);
            c->remote = text;
        }
    }
    *in = wk_slice(c->head.p + used, c->head.n - (size_t)used);
    return WKIM_OK;
}

static void after_input(struct wk_conn *c);

void wk_conn_input(struct wk_conn *c, wkim_slice in)
{
    if (c->closed || c->close_at_ms)
        return; /* kicked: nothing is taken any more */
    c->last_in_ms = wk_now_ms();
    c->in_bytes += in.n;
    per(c)->count.in_bytes += in.n;
    if (c->proxy) {
        if (strip_proxy(c, &in) != WKIM_OK) {
            wk_conn_destroy(c);
            return;
        }
    }
    if (in.n)
        (void)wk_session_feed(c->session, in, c->last_in_ms, c->shard->wall_ms);
    if (c->head.p && !c->proxy)
        wk_buf_fini(&c->head);
    after_input(c);
}

static void move_to_slot(struct wk_conn *c);

static void after_input(struct wk_conn *c)
{
    if (c->closed)
        return;
    if (c->move) {
        move_to_slot(c);
        return;
    }
    c->tr->want_input(c, !wk_session_blocked(c->session) && !c->paused);
    wk_conn_wake(c);
}

/* ---- login ------------------------------------------------------------------------------------------------ */

static void on_connect(void *user, const struct wk_connect *p, bool json)
{
    struct wk_conn *c = user;
    size_t n = p->uid.n + p->device_id.n + p->token.n;

    c->json = json;
    c->in_packets++;
    per(c)->count.in_packets++;
    if (wk_slice_blank(p->uid) || wk_slice_has_any(p->uid, "@#&") || p->uid.n > WK_ID_BYTES_MAX ||
        p->device_id.n > WK_ID_BYTES_MAX) {
        wk_session_close(c->session); /* as the reference: nothing is answered */
        return;
    }
    uint8_t reason = wk_session_key_check(c->session, p);
    if (reason != WKIM_REASON_SUCCESS) {
        wk_session_refuse(c->session, reason);
        return;
    }
    c->text = wk_malloc(n + 1);
    if (!c->text) {
        wk_session_close(c->session);
        return;
    }
    uint8_t *at = (uint8_t *)c->text;
    wkim_slice *to[3] = { &c->im.uid, &c->im.device_id, &c->token };
    const wkim_slice from[3] = { p->uid, p->device_id, p->token };
    for (int i = 0; i < 3; i++) {
        if (from[i].n)
            memcpy(at, from[i].p, from[i].n);
        *to[i] = wk_slice(at, from[i].n);
        at += from[i].n;
    }
    c->im.device_flag = p->device_flag;
    c->target_slot = wk_cluster_slot_of(c->node->cluster, c->im.uid);
    c->move = true; /* once feed has returned */
}

struct login {
    struct wk_call call;
    struct wk_conn *conn;
};

static void login_done(struct wk_call *call)
{
    struct login *l = WK_CONTAINER(call, struct login, call);
    struct wk_conn *c = l->conn;
    int code = call->code, reason = call->reason;

    wk_call_fini(call);
    wk_free(l);
    if (c->closed) {
        wk_conn_unref(c);
        return;
    }
    if (code != WKIM_OK) {
        wk_session_close(c->session); /* not ready: the SDK tries again after a plain close */
    } else if (reason != WKIM_REASON_SUCCESS) {
        per(c)->count.refused_logins++;
        wk_session_refuse(c->session, (uint8_t)reason);
    } else {
        per(c)->count.logins++;
        if (wk_session_accept(c->session, c->shard->wall_ms) == WKIM_OK) {
            c->out_packets++;
            (void)wk_session_resume(c->session, c->last_in_ms, c->shard->wall_ms);
        }
    }
    /* The token is not needed any more. */
    if (c->token.n)
        explicit_bzero(c->text + c->im.uid.n + c->im.device_id.n, c->token.n);
    after_input(c);
    wk_conn_unref(c);
}

static void login(struct wk_conn *c)
{
    struct login *l = wk_calloc(1, sizeof(*l));
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_u8(&b, c->im.device_flag);
    wk_buf_str(&b, c->im.uid);
    wk_buf_str(&b, c->im.device_id);
    wk_buf_str(&b, c->token);
    struct wk_blob *in = l && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    if (!in) {
        wk_free(l);
        wk_conn_destroy(c);
        return;
    }
    wk_call_init(&l->call, IM_LOGIN, in, login_done);
    l->conn = c;
    l->call.mark = &c->im;
    l->call.slot = c->target_slot;
    l->call.origin = c->shard;
    c->refs++;
    wk_call_send(c->node->cluster, &l->call);
}

static void arrive(struct wk_shard *s, struct wk_post *p)
{
    struct wk_conn *c = WK_CONTAINER(p, struct wk_conn, post);
    struct wk_node_shard *ns = wk_node_shard(c->node, s);

    wk_session_rebind(c->session, ns->crypto, c);
    wk_list_push(&ns->conns, &c->link);
    ns->count.connections++;
    if (atomic_load(&c->node->stopping) || c->tr->attach(c) != WKIM_OK) {
        wk_conn_destroy(c);
        return;
    }
    c->tr->want_input(c, false);
    arm(c, s->now_ms + c->node->set.auth_ms);
    if (!c->closed)
        login(c);
}

/* The connection goes to live where its uid's slot lives: presence, its own sends' answers and what is
 * delivered to it then need no further hop. */
static void move_to_slot(struct wk_conn *c)
{
    struct wk_shard *to = wk_cluster_shard_of(c->node->cluster, c->target_slot);

    c->move = false;
    if (to == c->shard) {
        c->tr->want_input(c, false);
        login(c);
        return;
    }
    c->tr->detach(c);
    wk_timer_disarm(&c->shard->timers, &c->timer);
    wk_list_remove(&c->link);
    per(c)->count.connections--;
    c->shard = to;
    c->post.run = arrive;
    wk_shard_post(to, &c->post);
}

/* ---- SEND ----------------------------------------------------------------------------------------------------- */

static void send_done(struct wk_call *call)
{
    struct send_op *op = WK_CONTAINER(call, struct send_op, call);
    struct wk_conn *c = op->conn;
    struct wk_node_shard *ns = per(c);
    uint8_t reason = call->code == WKIM_OK || call->code == WKIM_EDENIED ? (uint8_t)call->reason
                                                                         : WKIM_REASON_SYSTEM_ERROR;

    c->inflight_bytes -= op->bytes;
    if (!c->closed) {
        c->out_packets++;
        ns->count.out_packets++;
        if (reason != WKIM_REASON_SUCCESS)
            ns->count.refused_sends++;
        (void)wk_session_sendack(c->session, op->ack, (int64_t)call->number[0],
                                 reason == WKIM_REASON_SUCCESS ? call->number[1] : 0, reason);
        if (c->paused && c->inflight_bytes < INFLIGHT_BYTES_MAX / 2) {
            c->paused = false;
            wk_session_pause(c->session, false);
            (void)wk_session_resume(c->session, c->last_in_ms, c->shard->wall_ms);
        }
        if (!c->want_in || c->paused)
            c->tr->want_input(c, !wk_session_blocked(c->session) && !c->paused);
        wk_conn_wake(c);
    }
    wk_call_fini(call);
    if (ns->n_free_sends < SEND_POOL_MAX) {
        op->next = ns->free_sends;
        ns->free_sends = op;
        ns->n_free_sends++;
    } else {
        wk_free(op);
    }
    wk_conn_unref(c);
}

void wk_conn_free_pool(struct wk_node_shard *ns)
{
    while (ns->free_sends) {
        struct send_op *op = ns->free_sends;
        ns->free_sends = op->next;
        wk_free(op);
    }
}

static struct send_op *send_new(struct wk_node_shard *ns)
{
    struct send_op *op = ns->free_sends;

    if (!op)
        return wk_malloc(sizeof(*op));
    ns->free_sends = op->next;
    ns->n_free_sends--;
    return op;
}

static uint8_t check_send(const struct wk_conn *c, const struct wk_send *s, wkim_slice plain)
{
    if (c->im.kicked)
        return WKIM_REASON_KICK;
    if (c->im.send_ban)
        return WKIM_REASON_SEND_BAN;
    if (s->channel_id.n == 0 || s->channel_id.n > WK_ID_BYTES_MAX || wk_slice_has_any(s->channel_id, "@#&"))
        return WKIM_REASON_CHANNEL_ID;
    if (plain.n > c->node->set.payload_max)
        return WKIM_REASON_NOT_ALLOW_SEND;
    return WKIM_REASON_SUCCESS;
}

static void refuse_send(struct wk_conn *c, uint64_t ack, int64_t message_id, uint8_t reason)
{
    per(c)->count.refused_sends++;
    c->out_packets++;
    (void)wk_session_sendack(c->session, ack, message_id, 0, reason);
}

static void on_send(void *user, const struct wk_send *s, uint8_t flags, wkim_slice plain, uint64_t ack)
{
    struct wk_conn *c = user;
    struct wk_node_shard *ns = per(c);
    struct wk_buf *b = &ns->scratch;

    c->in_msgs++;
    c->in_packets++;
    ns->count.in_msgs++;
    ns->count.in_packets++;
    int64_t id = wk_snowflake_next(&ns->ids, c->shard->wall_ms);
    uint8_t reason = check_send(c, s, plain);
    if (reason != WKIM_REASON_SUCCESS) {
        refuse_send(c, ack, id, reason);
        return;
    }
    /* The stored id is built behind the request and copied from there into the record. */
    struct wk_buf sid = WK_BUF_INIT;
    im_stored_id(&sid, s->channel_type, s->channel_id, c->im.uid);
    struct wk_record r = { .flags = flags & (WKIM_FLAG_NO_PERSIST | WKIM_FLAG_RED_DOT | WKIM_FLAG_SYNC_ONCE),
                           .setting = s->setting, .channel_type = s->channel_type, .message_id = id,
                           .expire_s = s->expire, .client_seq = s->client_seq,
                           .channel_id = wk_buf_slice(&sid), .from_uid = c->im.uid,
                           .client_msg_no = s->client_msg_no, .topic = s->topic,
                           .stream_no = s->stream_no, .payload = plain };
    struct im_send_head h = { .conn_id = c->im.id };
    wk_buf_clear(b);
    im_send_encode(b, &h, &r);
    struct send_op *op = b->oom || sid.oom ? NULL : send_new(ns);
    struct wk_blob *in = op ? wk_blob_copy(b->p, b->n) : NULL;
    if (!in) {
        wk_free(op);
        wk_buf_fini(&sid);
        refuse_send(c, ack, id, WKIM_REASON_SYSTEM_ERROR);
        return;
    }
    bool person = s->channel_type == WKIM_CHANNEL_PERSON;
    wk_call_init(&op->call, person ? IM_SEND_PEER : IM_SEND, in, send_done);
    op->call.slot = wk_cluster_slot_of(c->node->cluster, person ? s->channel_id : im_base_id(r.channel_id));
    wk_buf_fini(&sid);
    op->call.origin = c->shard;
    op->conn = c;
    op->ack = ack;
    op->bytes = (uint32_t)b->n;
    c->refs++;
    c->inflight_bytes += op->bytes;
    if (c->inflight_bytes > INFLIGHT_BYTES_MAX && !c->paused) {
        c->paused = true;
        wk_session_pause(c->session, true);
    }
    wk_call_send(c->node->cluster, &op->call);
}

static int64_t on_send_refused(void *user, const struct wk_send *s, uint8_t reason)
{
    struct wk_conn *c = user;
    (void)s;
    (void)reason;
    c->in_msgs++;
    c->in_packets++;
    per(c)->count.refused_sends++;
    return wk_snowflake_next(&per(c)->ids, c->shard->wall_ms);
}

static void on_recvack(void *user, const struct wk_recvack *r, uint8_t flags)
{
    struct wk_conn *c = user;

    c->in_packets++;
    per(c)->count.in_packets++;
    if (!(flags & WKIM_FLAG_NO_PERSIST))
        wk_conn_acked(c, r->message_id);
}

static void on_ping(void *user)
{
    struct wk_conn *c = user;
    c->in_packets++;
    per(c)->count.in_packets++;
}

static void on_close(void *user, int code, const char *text)
{
    struct wk_conn *c = user;
    (void)code;
    (void)text;
    wk_conn_wake(c);
}

static const struct wk_session_events session_events = {
    .on_connect = on_connect, .on_send = on_send, .on_send_refused = on_send_refused,
    .on_recvack = on_recvack, .on_ping = on_ping, .on_close = on_close,
};

/* ---- delivery ------------------------------------------------------------------------------------------------- */

static void push(struct im_conn *ic, const struct im_push *p)
{
    struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);

    if (c->closed || wk_session_state(c->session) != WK_SESSION_OPEN)
        return;
    int rc = wk_session_recv(c->session, p->record, p->from_uid, p->channel_id, p->flags);
    if (rc == WKIM_EBUSY)
        per(c)->count.slow_clients++;
    if (rc == WKIM_OK) {
        c->out_msgs++;
        c->out_packets++;
        per(c)->count.out_msgs++;
        per(c)->count.out_packets++;
        if (!(p->flags & WKIM_FLAG_NO_PERSIST) && wk_conn_track(c, p) != WKIM_OK) {
            per(c)->count.flood_closes++;
            wk_session_close(c->session); /* the client syncs when it comes back */
        }
    }
    wk_conn_wake(c);
}

static void kick(struct im_conn *ic, uint8_t reason, const char *text, uint32_t delay_ms, bool silent)
{
    struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);

    if (c->closed)
        return;
    per(c)->count.kicks++;
    if (!silent)
        wk_session_disconnect(c->session, reason, wk_str(text));
    c->close_at_ms = c->shard->now_ms + delay_ms + 1;
    c->tr->want_input(c, true); /* so that a client that goes away is noticed */
    arm(c, c->close_at_ms);
    if (!c->closed)
        wk_conn_wake(c);
}

static void json_text(struct wk_buf *out, wkim_slice s)
{
    wk_buf_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t b = s.p[i];
        if (b == '"' || b == '\\' || b < 0x20)
            wk_buf_printf(out, "\\u%04x", b);
        else
            wk_buf_u8(out, b);
    }
    wk_buf_u8(out, '"');
}

static void describe(struct im_conn *ic, struct wk_buf *out)
{
    const struct wk_conn *c = WK_CONTAINER(ic, struct wk_conn, im);
    uint64_t now = c->shard->now_ms;
    const char *colon = c->remote ? strrchr(c->remote, ':') : NULL;
    wkim_slice ip = colon ? wk_slice(c->remote, (size_t)(colon - c->remote)) : wk_slice(NULL, 0);
    const char *device = ic->device_flag == 0 ? "App" : ic->device_flag == 1 ? "Web"
                         : ic->device_flag == 2 ? "PC" : "未知";

    wk_buf_printf(out, "{\"id\":%llu,\"uid\":", (unsigned long long)ic->id);
    json_text(out, ic->uid);
    wk_buf_printf(out, ",\"ip\":");
    json_text(out, ip);
    wk_buf_printf(out, ",\"port\":%d,\"idle_ms\":%llu,\"uptime_ms\":%llu,\"pending_bytes\":%zu",
                  colon ? atoi(colon + 1) : 0, (unsigned long long)(now - c->last_in_ms),
                  (unsigned long long)(now - c->connected_ms), wk_session_out(c->session).n);
    wk_buf_printf(out, ",\"in_msgs\":%u,\"out_msgs\":%u,\"in_msg_bytes\":%llu,\"out_msg_bytes\":%llu", c->in_msgs,
                  c->out_msgs, (unsigned long long)c->in_bytes, (unsigned long long)c->out_bytes);
    wk_buf_printf(out, ",\"in_packets\":%u,\"out_packets\":%u,\"in_packet_bytes\":%llu,\"out_packet_bytes\":%llu",
                  c->in_packets, c->out_packets, (unsigned long long)c->in_bytes,
                  (unsigned long long)c->out_bytes);
    wk_buf_printf(out, ",\"device\":\"%s(%s)\",\"device_id\":", device, ic->level ? "主" : "从");
    json_text(out, ic->device_id);
    wk_buf_printf(out, ",\"version\":%u,\"node_id\":%llu}", wk_session_version(c->session),
                  (unsigned long long)c->node->set.node_id);
}

static const struct im_conn_ops im_ops = { .push = push, .kick = kick, .describe = describe };

/* ---- output --------------------------------------------------------------------------------------------------- */

static void flush(struct wk_shard *s, struct wk_hook *h)
{
    struct wk_conn *c = WK_CONTAINER(h, struct wk_conn, flush);
    (void)s;

    if (c->closed) {
        wk_conn_unref(c);
        return;
    }
    if (!c->session)
        return;
    int rc = c->tr->flush(c);
    bool done = wk_session_state(c->session) == WK_SESSION_CLOSING && !c->close_at_ms;
    if (rc == WKIM_EIO || (done && rc == WKIM_OK))
        wk_conn_destroy(c);
    else if (done && !c->timer.pos)
        arm(c, c->shard->now_ms + c->node->set.auth_ms); /* a client that does not read its last words */
}
