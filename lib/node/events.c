/* Events of the node (messages stored, users online) into the queue of whoever wants them. */
#include "node/reply.h"

int wkim_node_events(wkim_node *n, wkim_queue *q, uint32_t mask, size_t max)
{
    if (!n)
        return WKIM_EINVAL;
    pthread_mutex_lock(&n->api_lock);
    wk_queue_unref(n->events.queue);
    n->events = (struct wk_events_target){ wk_queue_ref(q), q ? mask : 0, max };
    atomic_store(&n->event_mask, n->events.mask);
    pthread_mutex_unlock(&n->api_lock);
    return WKIM_OK;
}

static void emit(struct wkim_node *n, struct wkim_reply *r)
{
    struct wkim_queue *q;
    size_t max;

    pthread_mutex_lock(&n->api_lock);
    q = n->events.mask & 1u << r->kind ? wk_queue_ref(n->events.queue) : NULL;
    max = n->events.max;
    pthread_mutex_unlock(&n->api_lock);
    if (!q) {
        wkim_reply_free(r);
        return;
    }
    size_t dropped = wk_queue_put_event(q, r, max);
    if (dropped)
        wk_log(&n->log, WK_LOG_WARN, "node", "event_dropped", "count=%zu limit=%zu", dropped, max);
    wk_queue_unref(q);
}

void wk_node_event_message(void *user, const struct wk_record *rec)
{
    struct wkim_node *n = user;
    struct wk_buf row = WK_BUF_INIT, b = WK_BUF_INIT;

    if (!(atomic_load_explicit(&n->event_mask, memory_order_relaxed) & 1u << WKIM_EVENT_MESSAGE))
        return;
    struct wkim_reply *r = wk_reply_new(WKIM_EVENT_MESSAGE, NULL);
    wk_record_encode(&row, rec);
    wk_buf_str(&b, wk_buf_slice(&row));
    bool ok = r && !row.oom && !b.oom;
    wk_buf_fini(&row);
    if (ok) {
        wk_reply_fill(r, &b, WK_REPLY_RECORDS);
        emit(n, r);
    } else {
        wk_buf_fini(&b);
        wkim_reply_free(r);
    }
}

void wk_node_event_online(void *user, wkim_slice uid, uint8_t device_flag, bool online,
                          uint64_t conn_id, uint64_t device_count, uint64_t user_count)
{
    struct wkim_node *n = user;

    if (!(atomic_load_explicit(&n->event_mask, memory_order_relaxed) & 1u << WKIM_EVENT_ONLINE))
        return;
    struct wkim_reply *r = wk_reply_new(WKIM_EVENT_ONLINE, NULL);
    if (!r || wk_reply_add_string(r, uid) != WKIM_OK) {
        wkim_reply_free(r);
        return;
    }
    wk_reply_number(r, WKIM_NUMBER_DEVICE_FLAG, device_flag);
    wk_reply_number(r, WKIM_NUMBER_ONLINE, online);
    wk_reply_number(r, WKIM_NUMBER_CONN_ID, (int64_t)conn_id);
    wk_reply_number(r, WKIM_NUMBER_DEVICE_COUNT, (int64_t)device_count);
    wk_reply_number(r, WKIM_NUMBER_USER_COUNT, (int64_t)user_count);
    emit(n, r);
}
