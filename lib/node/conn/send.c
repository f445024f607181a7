/* SENDs of a connection: checks, the call into the slots, SENDACK, credit. */
#include "node/conn/conn.h"
#include "base/limits.h"

#define INFLIGHT_BYTES_MAX 4194304u /* of SENDs of one connection not yet answered */
#define SEND_POOL_MAX 4096
#define ORDER_MS 500 /* so long a SENDACK waits for those of earlier SENDs */

/* One SEND until its SENDACK: on its way through the slots, or known and behind one that is. */
struct send_op {
    struct wk_call call;
    struct wk_conn *conn;
    uint64_t ack;
    uint32_t bytes;
    uint8_t what;     /* enum wk_measured */
    bool called;      /* not refused before: call is to be ended */
    bool passed;      /* waited for long enough: later ones no longer wait for it */
    bool known;       /* the three below are */
    uint8_t reason;
    int64_t message_id;
    uint64_t message_seq;
    uint64_t read_us; /* when the SEND was read */
    uint64_t put_ms;  /* when it began to wait for its SENDACK */
    struct send_op *next;
};

static void op_free(struct wk_node_shard *ns, struct send_op *op)
{
    if (op->called)
        wk_call_fini(&op->call);
    if (ns->n_free_sends < SEND_POOL_MAX) {
        op->next = ns->free_sends;
        ns->free_sends = op;
        ns->n_free_sends++;
    } else {
        wk_free(op);
    }
}

static void answer(struct wk_conn *c, uint64_t ack, int64_t message_id, uint64_t message_seq,
                   uint8_t reason)
{
    struct wk_node_shard *ns = wk_conn_per(c);

    c->out_packets++;
    wk_count(&ns->count.out_packets, 1);
    if (reason != WKIM_REASON_SUCCESS)
        wk_count(&ns->count.refused_sends, 1);
    wk_count(&ns->count.sendack[reason % WK_REASONS], 1);
    (void)wk_session_sendack(c->session, ack, message_id, message_seq, reason);
}

static void op_answer(struct wk_conn *c, struct send_op *op)
{
    struct wk_node_shard *ns = wk_conn_per(c);

    c->inflight_bytes -= op->bytes;
    if (!c->closed) {
        if (op->called)
            wk_node_measure(ns, op->what, op->read_us);
        answer(c, op->ack, op->message_id, op->message_seq, op->reason);
    }
    op_free(ns, op);
    wk_conn_unref(c);
}

static struct send_op *op_take(struct wk_conn *c)
{
    struct send_op *op = c->sends;

    c->sends = op->next;
    if (!c->sends)
        c->sends_end = NULL;
    return op;
}

/* SENDACKs go out in the order of the SENDs, whichever slot was faster. */
static void answer_known(struct wk_conn *c)
{
    while (c->sends && c->sends->known)
        op_answer(c, op_take(c));
}

/* Room was made: what was held back goes on. */
static void go_on(struct wk_conn *c)
{
    if (c->closed)
        return;
    if (c->paused && c->inflight_bytes < INFLIGHT_BYTES_MAX / 2) {
        c->paused = false;
        wk_session_pause(c->session, false);
        (void)wk_session_resume(c->session, c->last_in_ms, c->shard->wall_ms);
    }
    if (!c->want_in || c->paused)
        c->tr->want_input(c, !wk_session_blocked(c->session) && !c->paused);
    wk_conn_wake(c);
}

/* A SENDACK is known, one before it is not. */
static void wait_in_order(struct wk_conn *c)
{
    if (!c->order.pos && !c->closed)
        (void)wk_timer_arm(&c->shard->timers, &c->order, c->sends->put_ms + ORDER_MS);
}

/* One slot that does not answer must not hold up what the client says to all others. */
void wk_conn_order(struct wk_timer *t)
{
    struct wk_conn *c = WK_CONTAINER(t, struct wk_conn, order);
    const uint64_t now_ms = c->shard->now_ms;

    c->refs++;
    while (c->sends && (c->sends->known || c->sends->put_ms + ORDER_MS <= now_ms)) {
        struct send_op *op = op_take(c);

        if (op->known)
            op_answer(c, op);
        else
            op->passed = true;
    }
    if (c->sends != c->sends_end)
        wait_in_order(c);
    go_on(c);
    wk_conn_unref(c);
}

static void send_done(struct wk_call *call)
{
    struct send_op *op = WK_CONTAINER(call, struct send_op, call);
    struct wk_conn *c = op->conn;

    op->reason = call->code == WKIM_OK || call->code == WKIM_EDENIED ? (uint8_t)call->reason
                                                                     : WKIM_REASON_SYSTEM_ERROR;
    op->message_id = (int64_t)call->number[0];
    op->message_seq = op->reason == WKIM_REASON_SUCCESS ? call->number[1] : 0;
    op->known = true;
    c->refs++;
    if (op->passed)
        op_answer(c, op);
    else if (c->sends == op)
        answer_known(c);
    else
        wait_in_order(c);
    go_on(c);
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

/* What is decided before a SEND is opened. */
static uint8_t check_sender(const struct wk_conn *c)
{
    if (c->im.kicked)
        return WKIM_REASON_KICK;
    return c->im.send_ban ? WKIM_REASON_SEND_BAN : WKIM_REASON_SUCCESS;
}

static uint8_t check_send(struct wk_conn *c, const struct wk_send *s, wkim_slice plain)
{
    uint8_t gate = check_sender(c);

    if (gate != WKIM_REASON_SUCCESS)
        return gate;
    if (s->channel_id.n == 0 || s->channel_id.n > WK_ID_BYTES_MAX ||
        wk_slice_has_any(s->channel_id, "@#&"))
        return WKIM_REASON_CHANNEL_ID;
    if (plain.n > c->node->set.payload_max)
        return WKIM_REASON_NOT_ALLOW_SEND;
    if (c->node->set.send_rate && !wk_limit_send(c))
        return WKIM_REASON_RATE_LIMIT;
    return WKIM_REASON_SUCCESS;
}

/* The op waits for its SENDACK from now on; too many of them and no more are read. */
static void op_put(struct wk_conn *c, struct send_op *op, uint64_t ack, size_t bytes)
{
    op->conn = c;
    op->ack = ack;
    op->bytes = (uint32_t)(sizeof(*op) + bytes);
    op->passed = false;
    op->put_ms = c->shard->now_ms;
    op->next = NULL;
    if (c->sends_end)
        c->sends_end->next = op;
    else
        c->sends = op;
    c->sends_end = op;
    c->refs++;
    c->inflight_bytes += op->bytes;
    if (c->inflight_bytes > INFLIGHT_BYTES_MAX && !c->paused) {
        c->paused = true;
        wk_session_pause(c->session, true);
    }
}

static void refuse_send(struct wk_conn *c, uint64_t ack, int64_t message_id, uint8_t reason)
{
    struct send_op *op = c->sends ? send_new(wk_conn_per(c)) : NULL;

    if (!op) { /* nothing waits, or no memory: early is better than never */
        answer(c, ack, message_id, 0, reason);
        return;
    }
    op->called = false;
    op->known = true;
    op->reason = reason;
    op->message_id = message_id;
    op->message_seq = 0;
    op_put(c, op, ack, 0);
    wait_in_order(c);
}

void wk_conn_on_send(void *user, const struct wk_send *s, uint8_t flags, wkim_slice plain,
                     uint64_t ack)
{
    struct wk_conn *c = user;
    struct wk_node_shard *ns = wk_conn_per(c);
    struct wk_buf *b = &ns->scratch;

    c->in_msgs++;
    c->in_msg_bytes += plain.n;
    c->in_packets++;
    wk_count(&ns->count.in_msgs, 1);
    wk_count(&ns->count.in_packets, 1);
    wk_count(&ns->count.in_type[im_type_index(s->channel_type)], 1);
    wk_count(&ns->count.in_payload, plain.n);
    int64_t id = wk_snowflake_next(&ns->ids, c->shard->wall_ms);
    uint8_t reason = check_send(c, s, plain);
    if (reason != WKIM_REASON_SUCCESS) {
        refuse_send(c, ack, id, reason);
        return;
    }
    /* The stored id is built behind the request and copied from there into the record. */
    struct wk_buf sid = WK_BUF_INIT;
    im_stored_id(&sid, s->channel_type, s->channel_id, c->im.uid);
    struct wk_record r = { .flags = flags & (WKIM_FLAG_NO_PERSIST | WKIM_FLAG_RED_DOT |
                                             WKIM_FLAG_SYNC_ONCE),
                           .setting = s->setting,
                           .channel_type = s->channel_type,
                           .message_id = id,
                           .expire_s = s->expire,
                           .client_seq = s->client_seq,
                           .channel_id = wk_buf_slice(&sid),
                           .from_uid = c->im.uid,
                           .client_msg_no = s->client_msg_no,
                           .topic = s->topic,
                           .stream_no = s->stream_no,
                           .payload = plain };
    if (!wk_node_recv_fits(c->node, &r, s->channel_id)) {
        wk_buf_fini(&sid);
        refuse_send(c, ack, id, WKIM_REASON_PAYLOAD_DECODE);
        return;
    }
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
    op->call.slot =
        wk_cluster_slot_of(c->node->cluster, person ? s->channel_id : im_base_id(r.channel_id));
    wk_buf_fini(&sid);
    op->call.origin = c->shard;
    op->called = true;
    op->known = false;
    op->read_us = c->last_in_us;
    op->what = person                              ? WK_ACK_PERSON
               : s->channel_type == WKIM_CHANNEL_GROUP ? WK_ACK_GROUP
                                                       : WK_ACK_OTHER;
    op_put(c, op, ack, b->n);
    wk_call_send(c->node->cluster, &op->call);
}

void wk_conn_on_send_refused(void *user, const struct wk_send *s, uint64_t ack)
{
    struct wk_conn *c = user;
    struct wk_node_shard *ns = wk_conn_per(c);
    const uint8_t gate = check_sender(c);

    c->in_msgs++;
    c->in_packets++;
    wk_count(&ns->count.in_type[im_type_index(s->channel_type)], 1);
    refuse_send(c, ack, wk_snowflake_next(&ns->ids, c->shard->wall_ms),
                gate == WKIM_REASON_SUCCESS ? WKIM_REASON_PAYLOAD_DECODE : gate);
}
