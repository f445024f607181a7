/* Calls on their way: to the slot's shard, and back to where they came from. */
#include "cluster/cluster.h"
#include "cluster/internal.h"

void wk_call_init(struct wk_call *c, uint16_t op, struct wk_blob *in_take,
                  void (*done)(struct wk_call *c))
{
    *c = (struct wk_call){ .op = op, .in = in_take, .done = done };
    wk_list_init(&c->link);
}

void wk_call_fini(struct wk_call *c)
{
    wk_blob_unref(c->in);
    c->in = NULL;
    wk_buf_fini(&c->out);
}

static void arrive(struct wk_shard *s, struct wk_post *p)
{
    struct wk_call *c = WK_CONTAINER(p, struct wk_call, post);
    (void)s;
    wk_slot_handle(&c->cluster->slots[c->slot], c);
}

static void route(struct wk_cluster *cl, struct wk_call *c, bool may_run_here)
{
    struct wk_slot *slot = &cl->slots[c->slot];

    if (may_run_here && wk_shard_is_owner(slot->shard)) {
        wk_slot_handle(slot, c);
        return;
    }
    c->post.run = arrive;
    wk_shard_post(slot->shard, &c->post);
}

void wk_call_send(struct wk_cluster *cl, struct wk_call *c)
{
    WK_ASSERT(c->slot < cl->opt.slot_count);
    c->cluster = cl;
    atomic_fetch_add_explicit(&cl->calls, 1, memory_order_relaxed);
    route(cl, c, c->origin != NULL);
}

void wk_call_forward(struct wk_cluster *cl, struct wk_call *c, uint32_t slot, uint16_t op)
{
    WK_ASSERT(slot < cl->opt.slot_count);
    c->slot = slot;
    c->op = op;
    route(cl, c, true);
}

static void come_back(struct wk_shard *s, struct wk_post *p)
{
    struct wk_call *c = WK_CONTAINER(p, struct wk_call, post);
    (void)s;
    c->done(c);
}

void wk_call_finish(struct wk_call *c)
{
    atomic_fetch_sub_explicit(&c->cluster->calls, 1, memory_order_relaxed);
    if (!c->origin || wk_shard_is_owner(c->origin)) {
        c->done(c);
        return;
    }
    c->post.run = come_back;
    wk_shard_post(c->origin, &c->post);
}
