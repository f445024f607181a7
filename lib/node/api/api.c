/* From a public call to a call of a slot, and back into the caller's queue. */
#include "node/reply.h"
#include "base/limits.h"
#include "node/node.h"

int wk_api_enter(struct wkim_node *n)
{
    if (!n)
        return WKIM_EINVAL;
    if (!n->started || atomic_load(&n->stopping))
        return WKIM_ESTOPPED;
    if (atomic_fetch_add(&n->api_calls, 1) >= WK_API_CALLS_MAX) {
        atomic_fetch_sub(&n->api_calls, 1);
        atomic_fetch_add(&n->api_refused, 1);
        return WKIM_EBUSY;
    }
    return WKIM_OK;
}

void wk_api_leave(struct wkim_node *n)
{
    atomic_fetch_sub(&n->api_calls, 1);
}

uint32_t wk_api_slot(struct wkim_node *n, wkim_slice key)
{
    return wk_cluster_slot_of(n->cluster, key);
}

int wk_api_check_id(wkim_slice id)
{
    return id.n == 0 ? WKIM_EINVAL : id.n > WK_ID_BYTES_MAX ? WKIM_ETOOBIG : WKIM_OK;
}

int wk_api_ready(const struct wkim_node *n, wkim_slice id)
{
    return !n ? WKIM_EINVAL : !n->started ? WKIM_ESTOPPED : wk_api_check_id(id);
}

void wk_api_stored_id(struct wk_buf *out, uint8_t type, wkim_slice channel_id, wkim_slice login_uid)
{
    bool stored = channel_id.n && memchr(channel_id.p, '@', channel_id.n);

    if (type == WKIM_CHANNEL_PERSON && stored) {
        /* A pair in either order means the same channel. */
        const uint8_t *at = memchr(channel_id.p, '@', channel_id.n);
        wkim_slice a = wk_slice(channel_id.p, (size_t)(at - channel_id.p));
        im_stored_id(out, type, a, wk_slice(at + 1, channel_id.n - a.n - 1));
    } else if (type == WKIM_CHANNEL_AGENT && stored) {
        wk_buf_bytes(out, channel_id.p, channel_id.n);
    } else if (type == WKIM_CHANNEL_PERSON && login_uid.n == 0) {
        wk_buf_bytes(out, channel_id.p, channel_id.n); /* the person itself: its lists and flags */
    } else {
        im_stored_id(out, type, channel_id, login_uid);
    }
}

static void done(struct wk_call *c)
{
    struct wk_api_call *a = WK_CONTAINER(c, struct wk_api_call, call);
    struct wkim_reply *r = a->queue ? wk_reply_new(WKIM_REPLY_CALL, a->user) : NULL;

    if (r) {
        wk_reply_result(r, c->code, c->reason);
        if (c->code == WKIM_OK)
            wk_reply_fill(r, &c->out, a->layout);
        if (a->fill)
            a->fill(a, r);
        wk_queue_put(a->queue, r);
    } else if (a->queue) {
        wk_log(&a->node->log, WK_LOG_ERROR, "node", "answer_lost", "reason=\"out of memory\"");
    }
    wk_queue_unref(a->queue);
    wk_buf_fini(&a->text);
    wk_call_fini(c);
    wk_api_leave(a->node);
    wk_free(a);
}

int wk_api_send(struct wkim_node *n, uint16_t op, uint32_t slot, struct wk_buf *in, uint8_t layout,
                void (*fill)(struct wk_api_call *a, struct wkim_reply *r), wkim_slice text,
                wkim_queue *q, void *user)
{
    int rc = wk_api_enter(n);

    if (rc != WKIM_OK) {
        wk_buf_fini(in);
        return rc;
    }
    struct wk_api_call *a = wk_calloc(1, sizeof(*a));
    struct wk_blob *blob =
        a && !in->oom && in->n < WK_LOG_RECORD_BYTES_MAX / 2 ? wk_blob_copy(in->p, in->n) : NULL;
    rc = in->n >= WK_LOG_RECORD_BYTES_MAX / 2 ? WKIM_ETOOBIG : WKIM_ENOMEM;
    wk_buf_fini(in);
    if (a && blob && text.n) {
        wk_buf_bytes(&a->text, text.p, text.n);
        if (a->text.oom) {
            wk_blob_unref(blob);
            blob = NULL;
        }
    }
    if (!blob) {
        wk_free(a);
        wk_api_leave(n);
        return rc;
    }
    wk_call_init(&a->call, op, blob, done);
    a->call.slot = slot;
    a->node = n;
    a->queue = wk_queue_ref(q);
    a->user = user;
    a->layout = layout;
    a->fill = fill;
    wk_call_send(n->cluster, &a->call);
    return WKIM_OK;
}

void wkim_calls_hold(void)
{
    wk_shard_hold();
}

void wkim_calls_release(void)
{
    wk_shard_release();
}
