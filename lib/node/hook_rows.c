#include "node/hook_rows.h"

#define REMOVE_DELAY_MS 100 /* rows removed together in one command */
#define REMOVE_IDS_MAX 512
#define RETRY_MS 500

static const struct {
    enum im_pending rows;
    uint16_t done;
} queues[WK_WEBHOOK_EVENTS] = {
    [WK_WEBHOOK_NOTIFY] = {IM_PENDING_NOTIFY, IM_NOTIFY_DONE},
    [WK_WEBHOOK_OFFLINE] = {IM_PENDING_OFFLINE, IM_OFFLINE_DONE},
    [WK_WEBHOOK_ONLINE] = {IM_PENDING_STATUS, IM_STATUS_DONE},
};

void wk_node_hook_settle(struct wk_node_hook_shard *h)
{
    if (h->draining)
        atomic_store(&h->idle, wk_webhook_idle(h->hook) && !h->removing);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct read {
    struct wk_read_job job;
    struct wk_post post;
    struct wk_node_hook_shard *h;
    struct wk_webhook_batch *batch; /* NULL: count the rows of the slot */
    int event;
    uint32_t slot;
    uint64_t rows;
};

static void read_run(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);
    enum im_pending what = queues[r->event].rows;
    size_t left = WK_WEBHOOK_BATCH_BYTES_MAX;

    if (!r->batch) {
        r->rows = im_pending_count(r->h->node->im, what, r->slot);
        return;
    }
    for (uint32_t i = 0; i < r->batch->n_parts; i++) {
        struct wk_webhook_part *p = &r->batch->parts[i];
        p->rc = im_pending_read(r->h->node->im, what, p->slot, p->from_id, p->want, left, &p->out,
                                &p->more);
        left = left > p->out.n ? left - p->out.n : 0;
    }
}

static void read_back(struct wk_shard *s, struct wk_post *post)
{
    struct read *r = WK_CONTAINER(post, struct read, post);

    if (r->batch)
        wk_webhook_read_done(r->h->hook, r->batch, s->now_ms);
    else
        wk_webhook_recovered(r->h->hook, r->event, r->slot, r->rows, s->now_ms);
    wk_node_hook_settle(r->h);
    wk_free(r);
}

static void read_done(struct wk_read_job *j)
{
    struct read *r = WK_CONTAINER(j, struct read, job);

    r->post.run = read_back;
    wk_shard_post(r->h->shard, &r->post);
}

static int submit(struct wk_node_hook_shard *h, struct wk_webhook_batch *b, int event,
                  uint32_t slot)
{
    struct read *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return WKIM_ENOMEM;
    r->job.run = read_run;
    r->job.done = read_done;
    r->h = h;
    r->batch = b;
    r->event = event;
    r->slot = slot;
    int rc = h->node->readers ? wk_readers_submit(h->node->readers, &r->job) : WKIM_ESTOPPED;
    if (rc != WKIM_OK)
        wk_free(r);
    return rc;
}

int wk_node_hook_rows_read(void *user, struct wk_webhook_batch *b)
{
    return submit(user, b, b->event, 0);
}

void wk_node_hook_rows_count(struct wk_node_hook_shard *h, int event, uint32_t slot)
{
    /* When the readers have no room one row is assumed; reading it finds the others. */
    if (submit(h, NULL, event, slot) != WKIM_OK)
        wk_webhook_recovered(h->hook, event, slot, 1, h->shard->now_ms);
}

/* ---- removing -------------------------------------------------------------------------------- */

struct remove_call {
    struct wk_call call;
    struct wk_node_hook_shard *h;
    struct wk_node_hook_removal *removal;
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
    struct wk_node_hook_removal *m = rc->removal;

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
    wk_node_hook_settle(h);
}

static void remove_flush(struct wk_node_hook_shard *h, int event, uint32_t slot)
{
    struct wk_node_hook_removal *m = &h->removals[(uint32_t)event * h->n_slots + slot];

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
    wk_call_init(&rc->call, queues[event].done, in, removed);
    rc->call.slot = slot;
    rc->call.origin = h->shard;
    rc->h = h;
    rc->removal = m;
    wk_call_send(h->node->cluster, &rc->call);
}

void wk_node_hook_rows_flush(struct wk_node_hook_shard *h)
{
    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        for (uint32_t i = 0; h->removing && i < h->n_slots; i++)
            remove_flush(h, e, i);
    }
}

static void on_remove_timer(struct wk_timer *t)
{
    wk_node_hook_rows_flush(WK_CONTAINER(t, struct wk_node_hook_shard, remove_timer));
}

/* A row that is forgotten here for want of memory is sent again after a restart, not lost. */
void wk_node_hook_rows_remove(void *user, int event, uint32_t slot, uint64_t id)
{
    struct wk_node_hook_shard *h = user;
    struct wk_node_hook_removal *m = &h->removals[(uint32_t)event * h->n_slots + slot];

    if (m->ids.n == 0)
        h->removing++;
    wk_buf_u64(&m->ids, id);
    if (m->ids.n == 0)
        h->removing--;
    m->ids.oom = false;
    if (m->ids.n >= REMOVE_IDS_MAX * 8)
        remove_flush(h, event, slot);
    else
        remove_later(h, REMOVE_DELAY_MS);
}

/* ---- life ------------------------------------------------------------------------------------ */

int wk_node_hook_rows_init(struct wk_node_hook_shard *h, uint32_t n_slots)
{
    h->n_slots = n_slots;
    h->remove_timer.fire = on_remove_timer;
    h->removals = wk_calloc((size_t)WK_WEBHOOK_EVENTS * n_slots, sizeof(*h->removals));
    return h->removals ? WKIM_OK : WKIM_ENOMEM;
}

void wk_node_hook_rows_fini(struct wk_node_hook_shard *h)
{
    wk_timer_disarm(&h->shard->timers, &h->remove_timer);
    for (uint32_t i = 0; h->removals && i < WK_WEBHOOK_EVENTS * h->n_slots; i++)
        wk_buf_fini(&h->removals[i].ids);
    wk_free(h->removals);
}
