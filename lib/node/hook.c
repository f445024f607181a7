#include "node/hook.h"
#include <stdio.h>
#include <wkim/hook.h>
#include "base/error.h"
#include "hook/hook.h"
#include "config/config.h"
#include "node/hook_rows.h"
#include "node/reply.h"
#include "node/source.h"

#define FOCUS_MAX 64

struct wk_node_hooks {
    uint32_t focus; /* bits 1 << event */
    struct wk_node_hook_shard *per;
};

static struct wk_node_hook_shard *of_slot(const struct wkim_node *n, uint32_t slot)
{
    return &n->hook->per[wk_cluster_shard_of(n->cluster, slot)->index];
}

/* ---- to the embedder and back ---------------------------------------------------------------- */

static void returned(struct wk_shard *s, struct wk_post *p)
{
    struct wk_webhook_request *r = WK_CONTAINER(p, struct wk_webhook_request, post);
    struct wk_node_hook_shard *h = r->owner;

    if (!h->node->started) {
        wk_webhook_request_unref(r); /* too late: it stays among what waits */
        return;
    }
    wk_webhook_answer(h->hook, r, s->now_ms);
    wk_node_hook_settle(h);
}

static void release(struct wkim_reply *reply)
{
    struct wk_webhook_request *r = reply->released;
    struct wk_node_hook_shard *h = r->owner;

    r->post.run = returned;
    wk_shard_post(h->shard, &r->post);
}

static void send(void *user, struct wk_webhook_request *r)
{
    struct wk_node_hook_shard *h = user;
    struct wkim_reply *reply = wk_reply_new(WKIM_EVENT_HOOK, NULL);

    r->owner = h;
    if (!reply) {
        r->post.run = returned; /* failed: it is tried again */
        wk_shard_post(h->shard, &r->post);
        return;
    }
    reply->released = r;
    reply->release = release;
    wk_queue_put(h->node->hook_queue, reply);
}

int wkim_reply_hook(wkim_reply *reply, wkim_hook_request *out)
{
    wkim_hook_request v;

    if (!reply || reply->kind != WKIM_EVENT_HOOK || !out ||
        out->size < offsetof(wkim_hook_request, items))
        return WKIM_EINVAL;
    if (wk_node_source_is(reply))
        return wk_node_source_describe(reply, out);
    struct wk_webhook_request *r = reply->released;
    if (wk_webhook_body(r) != WKIM_OK)
        return WKIM_ENOMEM;
    v = (wkim_hook_request){.size = out->size,
                            .event = wk_str(wk_webhook_event_name(r->event)),
                            .body = wk_buf_slice(&r->body),
                            .content_type = WK_LIT("application/json"),
                            .delivery = wk_slice(r->delivery, WK_WEBHOOK_DELIVERY_LEN),
                            .target = r->target,
                            .dead = r->dead,
                            .attempt = r->attempt,
                            .items = r->n_items};
    memcpy(out, &v, out->size < sizeof(v) ? out->size : sizeof(v));
    return WKIM_OK;
}

void wkim_hook_answer(wkim_reply *reply, int ok)
{
    if (reply && reply->kind == WKIM_EVENT_HOOK && !wk_node_source_is(reply))
        ((struct wk_webhook_request *)reply->released)->ok = ok == 1;
    wkim_reply_free(reply);
}

int wkim_node_hooks(wkim_node *n, wkim_queue *q)
{
    if (!n || n->started)
        return WKIM_EINVAL;
    wk_queue_unref(n->hook_queue);
    n->hook_queue = wk_queue_ref(q);
    return WKIM_OK;
}

/* ---- the machine's clock --------------------------------------------------------------------- */

static void on_timer(struct wk_timer *t)
{
    struct wk_node_hook_shard *h = WK_CONTAINER(t, struct wk_node_hook_shard, timer);
    wk_webhook_run(h->hook, h->shard->now_ms);
}

static void wake(void *user, uint64_t at_ms)
{
    struct wk_node_hook_shard *h = user;

    if (wk_timer_arm(&h->shard->timers, &h->timer, at_ms) != WKIM_OK)
        wk_log(&h->node->log, WK_LOG_ERROR, "node", "webhook_timer_lost",
               "reason=\"out of memory\"");
}

/* ---- from im --------------------------------------------------------------------------------- */

static const uint8_t events[IM_PENDINGS] = {
    [IM_PENDING_NOTIFY] = WK_WEBHOOK_NOTIFY,
    [IM_PENDING_OFFLINE] = WK_WEBHOOK_OFFLINE,
    [IM_PENDING_STATUS] = WK_WEBHOOK_ONLINE,
};

static void on_pending(void *user, uint32_t slot, enum im_pending what)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    wk_webhook_stored(h->hook, events[what], slot, h->shard->now_ms);
    wk_node_hook_settle(h);
}

static void on_lead(void *user, uint32_t slot)
{
    struct wkim_node *n = user;
    struct wk_node_hook_shard *h = of_slot(n, slot);

    wk_webhook_lead(h->hook, slot);
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        if (n->hook->focus & 1u << e)
            wk_node_hook_rows_count(h, e, slot);
    }
}

static void on_close(void *user, uint32_t slot)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    wk_webhook_lost(h->hook, slot);
}

static uint32_t on_offline_row(void *user, uint32_t slot, uint64_t id)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    return wk_webhook_offline_stored(h->hook, slot, id, h->shard->now_ms);
}

static void on_offline(void *user, uint32_t slot, const struct im_offline_list *l)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);
    struct wk_webhook_offline o = {.slot = slot,
                                   .epoch = l->row.ticket,
                                   .id = l->row.id,
                                   .message = l->blob,
                                   .record = l->record,
                                   .list = l->named,
                                   .uids = l->uids};
    if (l->lost)
        wk_webhook_offline_lost(h->hook, slot, l->row.ticket, l->row.id, h->shard->now_ms);
    else
        wk_webhook_offline(h->hook, &o, h->shard->now_ms);
    wk_node_hook_settle(h);
}

static int receivers(void *user, uint32_t slot, uint32_t epoch, uint64_t id, wkim_slice value)
{
    struct wk_node_hook_shard *h = user;

    return im_offline_again(h->node->im, slot, &(struct im_offline_row){epoch, id}, value);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool filled(const struct wkim_node *n, const char *key)
{
    const char *v = wkim_config_get(n->cfg, key);
    return v && !wk_slice_blank(wk_str(v));
}

static uint32_t focus_of(const struct wkim_node *n)
{
    const char *names[FOCUS_MAX];
    size_t count = wkim_config_list(n->cfg, "webhook.focusEvents", 0, NULL), k = 0;
    uint32_t focus = 0;

    for (; k < count && k < FOCUS_MAX; k++)
        (void)wkim_config_list(n->cfg, "webhook.focusEvents", k, &names[k]);
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++)
        focus |= wk_webhook_focused(names, k, e) ? 1u << e : 0;
    return focus;
}

int wk_node_hook_setup(struct wkim_node *n, struct im_options *o, struct wkim_error *err)
{
    const char *key = filled(n, "webhook.grpcAddr") ? "webhook.grpcAddr" : "webhook.httpAddr";

    if (!filled(n, key))
        return WKIM_OK;
    if (!n->hook_queue) {
        wk_log(&n->log, WK_LOG_ERROR, "node", "webhook_not_sent",
               "reason=\"%s is set, but nobody carries the requests (wkim_node_hooks)\"", key);
        return WKIM_OK;
    }
    n->hook = wk_calloc(1, sizeof(*n->hook));
    if (!n->hook)
        return wk_fail(err, WKIM_ENOMEM, "webhook: out of memory");
    n->hook->focus = focus_of(n);
    o->notify = n->hook->focus & 1u << WK_WEBHOOK_NOTIFY;
    o->offline = n->hook->focus & 1u << WK_WEBHOOK_OFFLINE;
    o->status = n->hook->focus & 1u << WK_WEBHOOK_ONLINE;
    o->on_lead = on_lead;
    o->on_close = on_close;
    o->on_pending = on_pending;
    o->on_offline_row = on_offline_row;
    o->on_offline = o->offline ? on_offline : NULL;
    return WKIM_OK;
}

static uint64_t number(const struct wkim_node *n, const char *key)
{
    int64_t v = wkim_config_int(n->cfg, key);
    return v > 0 ? (uint64_t)v : 0;
}

static struct wk_webhook_options options(struct wkim_node *n)
{
    uint64_t per_push = number(n, "webhook.msgNotifyEventCountPerPush");
    uint64_t queue = number(n, "webhook.queueMaxBytes");

    return (struct wk_webhook_options){
        .ops = {.read = wk_node_hook_rows_read,
                .send = send,
                .remove = wk_node_hook_rows_remove,
                .receivers = receivers,
                .wake = wake},
        .log = &n->log,
        .n_slots = wk_cluster_slot_count(n->cluster),
        .node_id = n->set.node_id,
        .notify_wait_ms = number(n, "webhook.msgNotifyEventPushInterval"),
        .notify_max = per_push ? (uint32_t)per_push : 20,
        .tries_max = (uint32_t)number(n, "webhook.msgNotifyEventRetryMaxCount"),
        .compress_above = (uint32_t)number(n, "channel.subscriberCompressOfCount"),
        .uids_max = (uint32_t)number(n, "webhook.offlineUidBatchSize"),
        .in_flight_max = (uint32_t)number(n, "webhook.workers"),
        .rows_max = queue / WK_WEBHOOK_ROW_BYTES / n->n_shards + 1,
        .offline_bytes_max = WK_WEBHOOK_OFFLINE_BYTES_MAX / n->n_shards,
        .agent = filled(n, "agent.webhook.httpAddr"),
    };
}

int wk_node_hook_start(struct wkim_node *n, struct wkim_error *err)
{
    if (!n->hook)
        return WKIM_OK;
    struct wk_webhook_options o = options(n);
    n->hook->per = wk_calloc(n->n_shards, sizeof(*n->hook->per));
    for (uint32_t i = 0; n->hook->per && i < n->n_shards; i++) {
        struct wk_node_hook_shard *h = &n->hook->per[i];
        h->node = n;
        h->shard = &n->shards[i];
        h->timer.fire = on_timer;
        o.user = h;
        if (wk_node_hook_rows_init(h, o.n_slots) != WKIM_OK ||
            wk_webhook_new(&h->hook, &o) != WKIM_OK)
            return wk_fail(err, WKIM_ENOMEM, "webhook: out of memory");
    }
    return n->hook->per ? WKIM_OK : wk_fail(err, WKIM_ENOMEM, "webhook: out of memory");
}

static void drain(struct wk_shard *s, struct wk_post *p)
{
    struct wk_node_hook_shard *h = WK_CONTAINER(p, struct wk_node_hook_shard, drain);

    h->draining = true;
    wk_webhook_drain(h->hook, s->now_ms);
    wk_node_hook_rows_flush(h);
    wk_node_hook_settle(h);
}

void wk_node_hook_drain(struct wkim_node *n)
{
    for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++) {
        struct wk_node_hook_shard *h = &n->hook->per[i];
        atomic_store(&h->idle, false);
        h->drain.run = drain;
        wk_shard_post(h->shard, &h->drain);
    }
}

int wk_node_hook_idle(const struct wkim_node *n)
{
    for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++) {
        if (!atomic_load(&n->hook->per[i].idle))
            return 0;
    }
    return 1;
}

/* Lists of messages that are not stored end with the node. */
static void say_lost(const struct wkim_node *n)
{
    uint64_t lost = 0;

    for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++)
        lost += n->hook->per[i].hook
                    ? wk_webhook_counts(n->hook->per[i].hook, WK_WEBHOOK_OFFLINE)->unsaved
                    : 0;
    if (lost)
        wk_log(&n->log, WK_LOG_WARN, "node", "webhook_lost_at_stop", "event=msg.offline items=%llu",
               (unsigned long long)lost);
}

void wk_node_hook_free(struct wkim_node *n)
{
    say_lost(n);
    for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++) {
        struct wk_node_hook_shard *h = &n->hook->per[i];
        if (!h->shard)
            break; /* the start failed half-way */
        wk_timer_disarm(&h->shard->timers, &h->timer);
        wk_webhook_free(h->hook);
        wk_node_hook_rows_fini(h);
    }
    if (n->hook)
        wk_free(n->hook->per);
    wk_free(n->hook);
    n->hook = NULL;
    wk_queue_unref(n->hook_queue);
    n->hook_queue = NULL;
}

/* ---- metrics --------------------------------------------------------------------------------- */

struct totals {
    struct wk_webhook_counts c[WK_WEBHOOK_EVENTS];
    struct wk_histogram duration[WK_WEBHOOK_EVENTS];
    uint64_t oldest_ms;
};

static uint64_t look(const _Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed);
}

static void add_up(const struct wkim_node *n, struct totals *t)
{
    for (int e = 0; n->hook && e < WK_WEBHOOK_EVENTS; e++) {
        for (uint32_t i = 0; n->hook->per && i < n->n_shards; i++) {
            if (!n->hook->per[i].hook)
                continue; /* the start failed half-way */
            const struct wk_webhook_counts *c = wk_webhook_counts(n->hook->per[i].hook, e);
            uint64_t oldest = look(&c->oldest_ms);
            t->c[e].ok += look(&c->ok);
            t->c[e].failed += look(&c->failed);
            t->c[e].retry_dropped += look(&c->retry_dropped);
            t->c[e].overflow_dropped += look(&c->overflow_dropped);
            t->c[e].waiting += look(&c->waiting);
            wk_metric_sum(&t->duration[e], &c->duration, sizeof(c->duration));
            if (oldest && (!t->oldest_ms || oldest < t->oldest_ms))
                t->oldest_ms = oldest;
        }
    }
}

static void head(struct wk_buf *b, const char *name, const char *type, const char *help)
{
    wk_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void row(struct wk_buf *b, const char *name, int event, const char *label, const char *value,
                uint64_t v)
{
    wk_buf_printf(b, "%s{event=\"%s\"", name, wk_webhook_event_name(event));
    if (label)
        wk_buf_printf(b, ",%s=\"%s\"", label, value);
    wk_buf_printf(b, "} %llu\n", (unsigned long long)v);
}

static const char *event_label(unsigned i, uint64_t value, char *room, size_t n)
{
    (void)value;
    (void)snprintf(room, n, "event=\"%s\"", wk_webhook_event_name((int)i));
    return room;
}

static const struct wk_metric duration_family = {
    .name = "wkim_webhook_duration_seconds",
    .help = "time webhook requests took, failed ones too",
    .off = offsetof(struct totals, duration),
    .labels = event_label,
    .values = WK_WEBHOOK_EVENTS,
    .kind = WK_HISTOGRAM,
    .bounds = WK_BOUNDS_SECONDS,
};

void wk_node_hook_metrics(const struct wkim_node *n, struct wk_buf *b)
{
    struct totals t = {0};
    uint64_t now = wk_now_ms();

    add_up(n, &t);
    head(b, "wkim_webhook_queue_depth", "gauge",
         "messages, lists or entries not yet delivered to the webhook");
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++)
        row(b, "wkim_webhook_queue_depth", e, NULL, NULL, t.c[e].waiting);
    head(b, "wkim_webhook_requests_total", "counter", "webhook requests by result");
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        row(b, "wkim_webhook_requests_total", e, "result", "ok", t.c[e].ok);
        row(b, "wkim_webhook_requests_total", e, "result", "error", t.c[e].failed);
    }
    head(b, "wkim_webhook_dropped_total", "counter",
         "messages, lists or entries given up, by reason");
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        row(b, "wkim_webhook_dropped_total", e, "reason", "attempts", t.c[e].retry_dropped);
        row(b, "wkim_webhook_dropped_total", e, "reason", "queue_full", t.c[e].overflow_dropped);
    }
    wk_metric_put(b, &duration_family, &t);
    head(b, "wkim_webhook_oldest_seconds", "gauge",
         "age of the oldest webhook request not yet delivered");
    wk_buf_printf(
        b, "wkim_webhook_oldest_seconds %llu\n",
        (unsigned long long)(t.oldest_ms && now > t.oldest_ms ? (now - t.oldest_ms) / 1000 : 0));
}
