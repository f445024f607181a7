#include "node/hook.h"
#include <wkim/hook.h>
#include "base/error.h"
#include "hook/hook.h"
#include "node/config.h"
#include "node/reply.h"
#include "node/source.h"

#define REMOVE_DELAY_MS 100 /* rows removed together in one command */
#define REMOVE_IDS_MAX 512
#define RETRY_MS 500
#define FOCUS_MAX 64

/* Ids of sent rows of one slot. */
struct removal {
    struct wk_buf ids; /* repeated u64 */
    bool under_way;
};

struct wk_node_hook_shard {
    struct wkim_node *node;
    struct wk_shard *shard;
    struct wk_webhook *hook;
    struct wk_timer timer, remove_timer;
    struct removal *removals; /* by slot */
    uint32_t removing;        /* commands under way and ids waiting */
    uint32_t n_slots;
    bool draining;
    struct wk_post drain;
    _Atomic bool idle; /* while draining: nothing is left to be done */
};

struct wk_node_hooks {
    uint32_t focus; /* bits 1 << event */
    struct wk_node_hook_shard *per;
};

static struct wk_node_hook_shard *of_slot(const struct wkim_node *n, uint32_t slot)
{
    return &n->hook->per[wk_cluster_shard_of(n->cluster, slot)->index];
}

static void settle(struct wk_node_hook_shard *h)
{
    if (h->draining)
        atomic_store(&h->idle, wk_webhook_idle(h->hook) && !h->removing);
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
    settle(h);
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

/* ---- rows ------------------------------------------------------------------------------------ */

struct read {
    struct wk_read_job job;
    struct wk_post post;
    struct wk_node_hook_shard *h;
    struct wk_webhook_batch *batch; /* NULL: count the rows of the slot */
    uint32_t slot;
    uint64_t rows;
};

static void read_run(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);
    size_t left = WK_WEBHOOK_BATCH_BYTES_MAX;

    if (!r->batch) {
        r->rows = im_notify_count(r->h->node->im, r->slot);
        return;
    }
    for (uint32_t i = 0; i < r->batch->n_parts; i++) {
        struct wk_webhook_part *p = &r->batch->parts[i];
        p->rc =
            im_notify_read(r->h->node->im, p->slot, p->from_id, p->want, left, &p->out, &p->more);
        left = left > p->out.n ? left - p->out.n : 0;
    }
}

static void read_back(struct wk_shard *s, struct wk_post *post)
{
    struct read *r = WK_CONTAINER(post, struct read, post);

    if (r->batch)
        wk_webhook_read_done(r->h->hook, r->batch, s->now_ms);
    else
        wk_webhook_recovered(r->h->hook, r->slot, r->rows, s->now_ms);
    settle(r->h);
    wk_free(r);
}

static void read_done(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);

    r->post.run = read_back;
    wk_shard_post(r->h->shard, &r->post);
}

static int submit(struct wk_node_hook_shard *h, struct wk_webhook_batch *b, uint32_t slot)
{
    struct read *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return WKIM_ENOMEM;
    r->job.run = read_run;
    r->job.done = read_done;
    r->h = h;
    r->batch = b;
    r->slot = slot;
    int rc = h->node->readers ? wk_readers_submit(h->node->readers, &r->job) : WKIM_ESTOPPED;
    if (rc != WKIM_OK)
        wk_free(r);
    return rc;
}

static int read_batch(void *user, struct wk_webhook_batch *b)
{
    return submit(user, b, 0);
}

struct remove_call {
    struct wk_call call;
    struct wk_node_hook_shard *h;
    uint32_t slot;
};

static void remove_later(struct wk_node_hook_shard *h, uint64_t delay_ms)
{
    if (h->draining && delay_ms == REMOVE_DELAY_MS)
        delay_ms = 0;
    if (!h->remove_timer.pos)
        (void)wk_timer_arm(&h->shard->timers, &h->remove_timer, h->shard->now_ms + delay_ms);
}

static void removed(struct wk_call *c)
{
    struct remove_call *rc = WK_CONTAINER(c, struct remove_call, call);
    struct wk_node_hook_shard *h = rc->h;
    struct removal *m = &h->removals[rc->slot];

    m->under_way = false;
    h->removing--;
    if (c->code != WKIM_OK && c->code != WKIM_ENOTLEADER && c->code != WKIM_ESTOPPED) {
        if (m->ids.n == 0)
            h->removing++;
        wk_buf_bytes(&m->ids, c->in->p, c->in->n); /* the order does not matter */
        remove_later(h, RETRY_MS);
    } else if (m->ids.n) {
        remove_later(h, REMOVE_DELAY_MS);
    }
    wk_call_fini(c);
    wk_free(rc);
    settle(h);
}

static void remove_flush(struct wk_node_hook_shard *h, uint32_t slot)
{
    struct removal *m = &h->removals[slot];

    if (m->under_way || m->ids.n == 0 || !h->node->started)
        return;
    struct remove_call *rc = wk_calloc(1, sizeof(*rc));
    struct wk_blob *in = rc ? wk_blob_copy(m->ids.p, m->ids.n) : NULL;
    if (!in) {
        wk_free(rc);
        remove_later(h, RETRY_MS);
        return;
    }
    wk_buf_fini(&m->ids);
    m->under_way = true; /* what was counted as waiting counts as under way now */
    wk_call_init(&rc->call, IM_NOTIFY_DONE, in, removed);
    rc->call.slot = slot;
    rc->call.origin = h->shard;
    rc->h = h;
    rc->slot = slot;
    wk_call_send(h->node->cluster, &rc->call);
}

static void remove_all(struct wk_node_hook_shard *h)
{
    for (uint32_t i = 0; h->removing && i < wk_cluster_slot_count(h->node->cluster); i++)
        remove_flush(h, i);
}

static void on_remove_timer(struct wk_timer *t)
{
    remove_all(WK_CONTAINER(t, struct wk_node_hook_shard, remove_timer));
}

/* A row that is forgotten here for want of memory is sent again after a restart, not lost. */
static void remove_row(void *user, uint32_t slot, uint64_t id)
{
    struct wk_node_hook_shard *h = user;
    struct removal *m = &h->removals[slot];

    if (m->ids.n == 0)
        h->removing++;
    wk_buf_u64(&m->ids, id);
    if (m->ids.n == 0)
        h->removing--;
    m->ids.oom = false;
    if (m->ids.n >= REMOVE_IDS_MAX * 8)
        remove_flush(h, slot);
    else
        remove_later(h, REMOVE_DELAY_MS);
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

static void on_notify(void *user, uint32_t slot)
{
    struct wkim_node *n = user;

    struct wk_node_hook_shard *h = of_slot(n, slot);
    wk_webhook_stored(h->hook, slot, h->shard->now_ms);
}

static void on_lead(void *user, uint32_t slot)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    wk_webhook_lead(h->hook, slot);
    /* When the readers have no room one row is assumed; reading it finds the others. */
    if (submit(h, NULL, slot) != WKIM_OK)
        wk_webhook_recovered(h->hook, slot, 1, h->shard->now_ms);
}

static void on_close(void *user, uint32_t slot)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    wk_webhook_lost(h->hook, slot);
}

static void on_offline(void *user, uint32_t slot, struct wk_blob *blob, const struct wk_record *r,
                       bool list, wkim_slice uids)
{
    struct wk_node_hook_shard *h = of_slot(user, slot);

    wk_webhook_offline(h->hook, blob, r, list, uids, h->shard->now_ms);
}

void wk_node_hook_online(struct wkim_node *n, wkim_slice uid, uint8_t device_flag, bool online,
                         uint64_t conn_id, uint64_t device_count, uint64_t user_count)
{
    if (!n->hook || !(n->hook->focus & 1u << WK_WEBHOOK_ONLINE))
        return;
    struct wk_node_hook_shard *h = of_slot(n, wk_cluster_slot_of(n->cluster, uid));
    struct wk_webhook_online o = {uid, device_flag, online, conn_id, device_count, user_count};
    wk_webhook_online(h->hook, &o, h->shard->now_ms);
    settle(h);
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
    bool notify = n->hook->focus & 1u << WK_WEBHOOK_NOTIFY;
    o->notify = notify;
    if (o->notify) {
        o->on_lead = on_lead;
        o->on_close = on_close;
        o->on_notify = on_notify;
    }
    o->on_offline = n->hook->focus & 1u << WK_WEBHOOK_OFFLINE ? on_offline : NULL;
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
        .ops = {.read = read_batch, .send = send, .remove = remove_row, .wake = wake},
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
        .online_bytes_max = WK_WEBHOOK_ONLINE_BYTES_MAX / n->n_shards,
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
        h->remove_timer.fire = on_remove_timer;
        h->n_slots = o.n_slots;
        h->removals = wk_calloc(o.n_slots, sizeof(*h->removals));
        o.user = h;
        if (!h->removals || wk_webhook_new(&h->hook, &o) != WKIM_OK)
            return wk_fail(err, WKIM_ENOMEM, "webhook: out of memory");
    }
    return n->hook->per ? WKIM_OK : wk_fail(err, WKIM_ENOMEM, "webhook: out of memory");
}

static void drain(struct wk_shard *s, struct wk_post *p)
{
    struct wk_node_hook_shard *h = WK_CONTAINER(p, struct wk_node_hook_shard, drain);

    h->draining = true;
    wk_webhook_drain(h->hook, s->now_ms);
    remove_all(h);
    settle(h);
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

/* What waits in memory ends with the node; msg.notify waits in the store. */
static void say_lost(const struct wkim_node *n)
{
    for (int e = WK_WEBHOOK_OFFLINE; e < WK_WEBHOOK_EVENTS; e++) {
        uint64_t lost = 0;
        for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++)
            lost += n->hook->per[i].hook ? wk_webhook_counts(n->hook->per[i].hook, e)->waiting : 0;
        if (lost)
            wk_log(&n->log, WK_LOG_WARN, "node", "webhook_lost_at_stop", "event=%s items=%llu",
                   wk_webhook_event_name(e), (unsigned long long)lost);
    }
}

void wk_node_hook_free(struct wkim_node *n)
{
    say_lost(n);
    for (uint32_t i = 0; n->hook && n->hook->per && i < n->n_shards; i++) {
        struct wk_node_hook_shard *h = &n->hook->per[i];
        if (!h->shard)
            break; /* the start failed half-way */
        uint32_t slots = h->removals ? h->n_slots : 0;
        wk_timer_disarm(&h->shard->timers, &h->timer);
        wk_timer_disarm(&h->shard->timers, &h->remove_timer);
        wk_webhook_free(h->hook);
        for (uint32_t k = 0; k < slots; k++)
            wk_buf_fini(&h->removals[k].ids);
        wk_free(h->removals);
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
            t->c[e].busy_ms += look(&c->busy_ms);
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
    head(b, "wkim_webhook_duration_seconds", "summary", "time webhook requests took");
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        const char *name = wk_webhook_event_name(e);
        wk_buf_printf(b, "wkim_webhook_duration_seconds_sum{event=\"%s\"} %llu.%03llu\n", name,
                      (unsigned long long)(t.c[e].busy_ms / 1000),
                      (unsigned long long)(t.c[e].busy_ms % 1000));
        row(b, "wkim_webhook_duration_seconds_count", e, NULL, NULL, t.c[e].ok + t.c[e].failed);
    }
    head(b, "wkim_webhook_oldest_seconds", "gauge",
         "age of the oldest webhook request not yet delivered");
    wk_buf_printf(
        b, "wkim_webhook_oldest_seconds %llu\n",
        (unsigned long long)(t.oldest_ms && now > t.oldest_ms ? (now - t.oldest_ms) / 1000 : 0));
}
