/* Life of a connection: limits, input, output, end. */
#include "node/conn/conn.h"
#include "proto/proxy.h"

struct wk_node_shard *wk_conn_per(const struct wk_conn *c)
{
    return wk_node_shard(c->node, c->shard);
}

void wk_conn_wake(struct wk_conn *c)
{
    wk_shard_defer(c->shard, WK_STAGE_FLUSH, &c->flush);
}

void wk_conn_arm(struct wk_conn *c, uint64_t at_ms)
{
    if (wk_timer_arm(&c->shard->timers, &c->timer, at_ms) != WKIM_OK) {
        wk_conn_why(c, WK_CLOSE_ERROR);
        wk_conn_destroy(c); /* a connection without limits must not live */
    }
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
            wk_conn_arm(c, c->close_at_ms);
    } else if (now >= due) {
        wk_conn_why(c, WK_CLOSE_IDLE);
        wk_conn_destroy(c); /* a plain close: SDKs come back after it */
    } else {
        wk_conn_arm(c, due);
    }
}

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

void wk_conn_why(struct wk_conn *c, enum wk_close_reason why)
{
    if (!c->why)
        c->why = (uint8_t)why;
}

static unsigned kind_of(const struct wk_conn *c)
{
    unsigned device = c->im.device_flag < WK_DEVICES - 1 ? c->im.device_flag : WK_DEVICES - 1;
    return (c->listener * WK_DEVICES + device) * WK_WIRES + c->json;
}

void wk_conn_count_login(struct wk_conn *c)
{
    c->counted = true;
    wk_count(&wk_conn_per(c)->count.came[kind_of(c)], 1);
}

/* Keeps the sum of what waits for transports up to date. */
static void count_left(struct wk_conn *c, size_t left)
{
    if (left == c->out_left)
        return;
    wk_count(&wk_conn_per(c)->count.outbound_queue, (uint64_t)left - c->out_left);
    c->out_left = (uint32_t)left;
}

static void count_end(struct wk_conn *c)
{
    struct wk_node_counters *n = &wk_conn_per(c)->count;

    wk_count(&n->closed[c->listener * WK_CLOSE_REASONS + c->why], 1);
    if (c->counted)
        wk_count(&n->gone[kind_of(c)], 1);
    count_left(c, 0);
}

void wk_conn_destroy(struct wk_conn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    count_end(c);
    im_conn_gone(c->node->im, &c->im);
    wk_limit_leave(c);
    wk_timer_disarm(&c->shard->timers, &c->timer);
    wk_timer_disarm(&c->shard->timers, &c->retry);
    wk_timer_disarm(&c->shard->timers, &c->pace);
    wk_timer_disarm(&c->shard->timers, &c->order);
    wk_list_remove(&c->link);
    wk_conn_untrack_all(c);
    c->tr->close(c);
    wk_count(&wk_conn_per(c)->count.connections, (uint64_t)-1);
    atomic_fetch_sub(&c->node->connections, 1);
    wk_conn_wake(c); /* the flush drops this reference: callers up the stack may still look at c */
}

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
    if (c->move) {
        wk_conn_move(c);
        return;
    }
    int rc = c->tr->flush(c);
    if (c->closed)
        return;
    count_left(c, rc == WKIM_EAGAIN ? wk_session_out(c->session).n : 0);
    bool done = wk_session_state(c->session) == WK_SESSION_CLOSING;
    if (rc == WKIM_EIO || (done && rc == WKIM_OK))
        wk_conn_destroy(c);
    else if (done && !c->timer.pos) /* a client that does not read its last words */
        wk_conn_arm(c, c->shard->now_ms + c->node->set.auth_ms);
}

/* Strip the PROXY header; *in is what belongs to the session, empty while it is incomplete. */
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

static void refuse(struct wk_conn *c)
{
    wk_conn_why(c, WK_CLOSE_REFUSED);
    wk_conn_destroy(c);
}

void wk_conn_after_input(struct wk_conn *c)
{
    if (c->closed)
        return;
    if (c->move) { /* at the end of the round, when nothing here looks at it any more */
        c->tr->want_input(c, false);
        wk_conn_wake(c);
        return;
    }
    c->tr->want_input(c, !wk_session_blocked(c->session) && !c->paused);
    wk_conn_wake(c);
}

void wk_conn_input(struct wk_conn *c, wkim_slice in)
{
    if (c->closed)
        return;
    c->last_in_us = wk_now_us();
    c->last_in_ms = c->last_in_us / 1000;
    c->in_bytes += in.n;
    wk_count(&wk_conn_per(c)->count.in_bytes, in.n);
    if (c->proxy) {
        if (strip_proxy(c, &in) != WKIM_OK) {
            wk_conn_why(c, WK_CLOSE_PROTOCOL);
            wk_conn_destroy(c);
            return;
        }
        if (!c->proxy && !wk_limit_enter(c)) { /* now its address is known */
            refuse(c);
            return;
        }
    }
    if (in.n)
        (void)wk_session_feed(c->session, in, c->last_in_ms, c->shard->wall_ms);
    if (c->head.p && !c->proxy)
        wk_buf_fini(&c->head);
    wk_conn_after_input(c);
}

static void on_recvack(void *user, const struct wk_recvack *r, uint8_t flags)
{
    struct wk_conn *c = user;

    c->in_packets++;
    wk_count(&wk_conn_per(c)->count.in_packets, 1);
    if (!(flags & WKIM_FLAG_NO_PERSIST))
        wk_conn_acked(c, r->message_id, flags & WKIM_FLAG_SYNC_ONCE && c->im.level);
}

static void on_ping(void *user)
{
    struct wk_conn *c = user;
    c->in_packets++;
    wk_count(&wk_conn_per(c)->count.in_packets, 1);
}

static void on_close(void *user, int code, const char *text)
{
    struct wk_conn *c = user;
    (void)text;
    if (code != WKIM_OK)
        wk_conn_why(c, code == WKIM_ENOMEM ? WK_CLOSE_ERROR : WK_CLOSE_PROTOCOL);
    wk_conn_wake(c);
}

static const struct wk_session_events session_events = {
    .on_connect = wk_conn_on_connect,
    .on_send = wk_conn_on_send,
    .on_send_refused = wk_conn_on_send_refused,
    .on_recvack = on_recvack,
    .on_ping = on_ping,
    .on_close = on_close,
};

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
    c->order.fire = wk_conn_order;
    c->pace.fire = wk_conn_pace;
    c->im.ops = &wk_conn_im_ops;
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
    struct wk_node_shard *ns = wk_conn_per(c);
    struct wk_session_options so = { .encrypt = c->node->set.encrypt,
                                     .allow_json = c->node->set.allow_json,
                                     .event_to_old = c->node->set.event_to_old,
                                     .version_max = c->node->set.version_max,
                                     .node_id = c->node->set.node_id,
                                     .outbound_bytes_max = c->node->set.outbound_max,
                                     .crypto = ns->crypto,
                                     .sealer = ns->sealer };

    wk_list_push(&ns->conns, &c->link);
    wk_count(&ns->count.connections, 1);
    c->im.id = ++ns->next_conn * c->node->n_shards + ns->shard->index;
    c->last_in_ms = c->shard->now_ms;
    c->connected_ms = c->shard->now_ms;
    wk_count(&ns->count.opened[c->listener], 1);
    if (atomic_load(&c->node->stopping) ||
        wk_session_new(&c->session, &so, &session_events, c) != WKIM_OK ||
        c->tr->attach(c) != WKIM_OK) {
        wk_conn_why(c, atomic_load(&c->node->stopping) ? WK_CLOSE_STOP : WK_CLOSE_ERROR);
        wk_conn_destroy(c);
        return;
    }
    wk_session_count_into(c->session, &ns->count.frames);
    if (!c->proxy && !wk_limit_enter(c)) {
        refuse(c);
        return;
    }
    wk_conn_arm(c, c->last_in_ms + c->node->set.connect_ms);
}

void wk_conn_close_all(struct wk_node_shard *ns)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &ns->conns)
    {
        struct wk_conn *c = WK_CONTAINER(it, struct wk_conn, link);
        wk_conn_why(c, WK_CLOSE_STOP);
        wk_conn_destroy(c);
    }
}
