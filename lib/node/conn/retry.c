/* RECVs that wait for their RECVACK: a ring per connection, bounded. */
#include "node/conn/conn.h"

static struct wk_unacked *at(const struct wk_conn *c, uint32_t i)
{
    return &c->unacked[(c->unacked_head + i) & (c->unacked_cap - 1)];
}

static int grow(struct wk_conn *c)
{
    uint32_t cap = c->unacked_cap ? c->unacked_cap * 2 : 8;
    struct wk_unacked *v = wk_malloc(cap * sizeof(*v));

    if (!v)
        return WKIM_ENOMEM;
    for (uint32_t i = 0; i < c->unacked_n; i++)
        v[i] = *at(c, i);
    wk_free(c->unacked);
    c->unacked = v;
    c->unacked_cap = cap;
    c->unacked_head = 0;
    return WKIM_OK;
}

static void arm(struct wk_conn *c)
{
    if (c->unacked_n == 0) {
        wk_timer_disarm(&c->shard->timers, &c->retry);
        return;
    }
    if (!c->retry.pos)
        (void)wk_timer_arm(&c->shard->timers, &c->retry,
                           c->shard->now_ms + c->node->set.retry_scan_ms);
}

int wk_conn_track(struct wk_conn *c, const struct im_push *p)
{
    if (c->unacked_n >= c->node->set.unacked_max)
        return WKIM_EBUSY;
    if (c->unacked_n == c->unacked_cap && grow(c) != WKIM_OK)
        return WKIM_ENOMEM;
    struct wk_unacked *u = at(c, c->unacked_n++);
    *u =
        (struct wk_unacked){ .message_id = p->record->message_id,
                             .blob = wk_blob_ref(p->blob),
                             .channel_id = p->channel_id,
                             .due_ms = (uint32_t)(c->shard->now_ms + c->node->set.retry_ms),
                             .flags = p->flags };
    wk_count(&wk_node_shard(c->node, c->shard)->count.retry_queue, 1);
    arm(c);
    return WKIM_OK;
}

static void drop(struct wk_conn *c, uint32_t i)
{
    wk_blob_unref(at(c, i)->blob);
    wk_count(&wk_node_shard(c->node, c->shard)->count.retry_queue, (uint64_t)-1);
    if (i == 0) {
        c->unacked_head = (c->unacked_head + 1) & (c->unacked_cap - 1);
    } else {
        for (; i + 1 < c->unacked_n; i++)
            *at(c, i) = *at(c, i + 1);
    }
    if (--c->unacked_n == 0 && c->unacked_cap > 8) {
        wk_free(c->unacked); /* idle connections stay small */
        c->unacked = NULL;
        c->unacked_cap = c->unacked_head = 0;
    }
}

void wk_conn_acked(struct wk_conn *c, int64_t message_id, bool command)
{
    for (uint32_t i = 0; i < c->unacked_n; i++) { /* nearly always the oldest */
        if (at(c, i)->message_id == message_id) {
            if (command)
                wk_conn_command_read(c, at(c, i)->blob);
            drop(c, i);
            return;
        }
    }
}

void wk_conn_untrack_all(struct wk_conn *c)
{
    while (c->unacked_n)
        drop(c, 0);
}

static void resend(struct wk_conn *c, struct wk_unacked *u)
{
    struct im_send_head h;
    struct wk_record r;

    if (im_send_decode(&h, wk_blob_slice(u->blob)) != WKIM_OK ||
        wk_record_decode(&r, h.record) != WKIM_OK)
        return;
    wkim_slice from =
        wk_slice_eq(r.from_uid, WK_LIT(IM_SYSTEM_UID)) ? wk_slice(NULL, 0) : r.from_uid;
    wk_sealer_hold(wk_node_shard(c->node, c->shard)->sealer, u->blob);
    (void)wk_session_recv(c->session, &r, from, u->channel_id, u->flags | WKIM_FLAG_DUP);
    wk_count(&wk_node_shard(c->node, c->shard)->count.resends, 1);
}

static bool over(const struct wk_conn *c, const struct wk_unacked *u)
{
    struct im_send_head h;
    struct wk_record r;

    return im_send_decode(&h, wk_blob_slice(u->blob)) == WKIM_OK &&
           wk_record_decode(&r, h.record) == WKIM_OK && im_expired(&r, c->shard->wall_ms);
}

void wk_conn_retry(struct wk_timer *t)
{
    struct wk_conn *c = WK_CONTAINER(t, struct wk_conn, retry);
    uint32_t now = (uint32_t)c->shard->now_ms;

    for (uint32_t i = 0; i < c->unacked_n && !c->closed;) {
        struct wk_unacked *u = at(c, i);
        if ((int32_t)(u->due_ms - now) > 0 || wk_session_state(c->session) != WK_SESSION_OPEN) {
            i++;
        } else if (over(c, u)) {
            drop(c, i);
        } else if (u->count >= c->node->set.retry_max) {
            wk_count(&wk_conn_per(c)->count.retries_exhausted, 1);
            drop(c, i);
        } else {
            resend(c, u);
            u->count++;
            u->due_ms = now + (uint32_t)c->node->set.retry_ms;
            i++;
        }
    }
    arm(c);
    wk_conn_wake(c);
}
