/* From CONNECT to CONNACK: checks, the way to the shard of the uid's slot, the verdict. */
#include "node/conn/conn.h"
#include "base/limits.h"

static void count_verdict(struct wk_conn *c, uint8_t reason)
{
    struct wk_node_counters *n = &wk_conn_per(c)->count;
    const uint64_t now = c->shard->now_us, us = now > c->connect_us ? now - c->connect_us : 0;

    wk_count(&n->auth[reason % WK_REASONS], 1);
    wk_histogram_add(&n->auth_time, WK_BOUNDS_SECONDS, us);
    if (reason != WKIM_REASON_SUCCESS)
        wk_conn_why(c, WK_CLOSE_REFUSED);
}

void wk_conn_on_connect(void *user, const struct wk_connect *p, bool json)
{
    struct wk_conn *c = user;
    size_t n = p->uid.n + p->device_id.n + p->token.n;

    c->json = json;
    c->connect_us = c->last_in_us;
    c->in_packets++;
    wk_count(&wk_conn_per(c)->count.in_packets, 1);
    if (wk_slice_blank(p->uid) || wk_slice_has_any(p->uid, "@#&") || p->uid.n > WK_ID_BYTES_MAX ||
        p->device_id.n > WK_ID_BYTES_MAX) {
        wk_conn_why(c, WK_CLOSE_REFUSED);
        wk_session_close(c->session); /* as in version 2: nothing is answered */
        return;
    }
    uint8_t reason = wk_session_key_check(c->session, p);
    if (reason != WKIM_REASON_SUCCESS) {
        count_verdict(c, reason);
        wk_session_refuse(c->session, reason);
        return;
    }
    c->text = wk_malloc(n + 1);
    if (!c->text) {
        wk_conn_why(c, WK_CLOSE_ERROR);
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
        wk_conn_why(c, WK_CLOSE_ERROR);
        wk_session_close(c->session); /* not ready: the SDK tries again after a plain close */
    } else if (reason != WKIM_REASON_SUCCESS) {
        wk_count(&wk_conn_per(c)->count.refused_logins, 1);
        if (reason == WKIM_REASON_RATE_LIMIT)
            wk_limit_reached(c, WK_LIMIT_USER);
        count_verdict(c, (uint8_t)reason);
        wk_session_refuse(c->session, (uint8_t)reason);
    } else {
        wk_count(&wk_conn_per(c)->count.logins, 1);
        count_verdict(c, WKIM_REASON_SUCCESS);
        wk_conn_count_login(c);
        if (wk_session_accept(c->session, c->shard->wall_ms) == WKIM_OK) {
            c->out_packets++;
            (void)wk_session_resume(c->session, c->last_in_ms, c->shard->wall_ms);
        }
    }
    /* The token is not needed any more. */
    if (c->token.n)
        explicit_bzero(c->text + c->im.uid.n + c->im.device_id.n, c->token.n);
    wk_conn_after_input(c);
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
        wk_conn_why(c, WK_CLOSE_ERROR);
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

    wk_session_rebind(c->session, ns->crypto, ns->sealer, c);
    wk_list_push(&ns->conns, &c->link);
    wk_count(&ns->count.connections, 1);
    wk_session_count_into(c->session, &ns->count.frames);
    if (atomic_load(&c->node->stopping) || c->tr->attach(c) != WKIM_OK) {
        wk_conn_why(c, atomic_load(&c->node->stopping) ? WK_CLOSE_STOP : WK_CLOSE_ERROR);
        wk_conn_destroy(c);
        return;
    }
    c->tr->want_input(c, false);
    wk_conn_arm(c, s->now_ms + c->node->set.auth_ms);
    if (!c->closed)
        login(c);
}

/* The connection goes to live where its uid's slot lives: presence, its own sends' answers and what
 * is delivered to it then need no further hop. */
void wk_conn_move(struct wk_conn *c)
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
    wk_timer_disarm(&c->shard->timers, &c->pace);
    wk_list_remove(&c->link);
    wk_count(&wk_conn_per(c)->count.connections, (uint64_t)-1);
    c->shard = to;
    c->post.run = arrive;
    wk_shard_post(to, &c->post);
}
