/* Latencies that end when the round's output is written. */
#include "node/node.h"

static struct wk_histogram *histogram(struct wk_node_shard *ns, uint32_t what)
{
    return what < WK_ACK_KINDS ? &ns->count.sendack_time[what] : &ns->count.deliver_time;
}

static void settle(struct wk_node_shard *ns)
{
    struct wk_measures *m = &ns->measures;
    const uint32_t now = (uint32_t)wk_now_us();

    for (uint32_t i = 0; i < m->n; i++) {
        uint32_t us = now - m->at[i].from_us;
        wk_histogram_add(histogram(ns, m->at[i].what), WK_BOUNDS_SECONDS, us);
    }
    m->n = 0;
}

static void round_end(struct wk_shard *s, struct wk_hook *h)
{
    (void)s;
    settle(WK_CONTAINER(h, struct wk_node_shard, measures.hook));
}

void wk_node_measure_init(struct wk_node_shard *ns)
{
    ns->measures.hook.run = round_end;
}

void wk_node_measure(struct wk_node_shard *ns, enum wk_measured what, uint64_t from_us)
{
    struct wk_measures *m = &ns->measures;

    m->at[m->n].from_us = (uint32_t)from_us;
    m->at[m->n].what = what;
    if (++m->n == WK_MEASURES)
        settle(ns); /* a long round: what comes is noted with a clock of its own */
    wk_shard_defer(ns->shard, WK_STAGE_END, &m->hook);
}
