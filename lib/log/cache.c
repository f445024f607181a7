/* Recent entries of all groups, bounded in bytes; the entry written first leaves first.  A queue
 * of (group, last index of a batch) gives that order without a link per entry. */
#include "log/internal.h"

#define ENTRY_COST 64 /* blob header, allocator and ring slot */

static uint64_t cost(const struct wk_blob *b)
{
    return ENTRY_COST + (b ? b->n : 0);
}

/* The latest item of a group covers all its cached entries, so an item beyond the group's end
 * (truncated) or below its cache is worth nothing. */
static bool gone(const struct wk_log_fifo_item *it)
{
    return it->last < it->group->cache_first || it->last > it->group->last;
}

static struct wk_log_fifo_item *fifo_at(const struct wk_log_store *l, size_t i)
{
    return &l->fifo[(l->fifo_head + i) & (l->fifo_cap - 1)];
}

/* One idle group at the head must not let the queue grow for ever behind it. */
static void sweep(struct wk_log_store *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n_fifo; i++) {
        if (!gone(fifo_at(l, i)))
            *fifo_at(l, kept++) = *fifo_at(l, i);
    }
    l->n_fifo = kept;
}

int wk_log_cache_reserve(struct wk_log_store *l, size_t records)
{
    size_t cap = l->fifo_cap ? l->fifo_cap : 64;

    if (l->n_fifo + records <= l->fifo_cap)
        return WKIM_OK;
    sweep(l);
    if (l->n_fifo + records <= l->fifo_cap / 2)
        return WKIM_OK;
    while (cap < (l->n_fifo + records) * 2)
        cap *= 2;
    struct wk_log_fifo_item *f = wk_malloc(cap * sizeof(*f));
    if (!f)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < l->n_fifo; i++)
        f[i] = *fifo_at(l, i);
    wk_free(l->fifo);
    l->fifo = f;
    l->fifo_cap = cap;
    l->fifo_head = 0;
    return WKIM_OK;
}

void wk_log_cache_put(struct wk_log_store *l, struct wk_log_group *g, const struct wk_log_entry *e)
{
    struct wk_log_cached *c = &g->ring[e->index & (g->ring_cap - 1)];

    WK_ASSERT(g->last == e->index && g->last - g->cache_first < g->ring_cap);
    c->data = e->data ? wk_blob_ref(e->data) : NULL;
    c->type = e->type;
    l->cache_bytes += cost(e->data);
}

/* Forget cached entries below `below`. */
void wk_log_cache_drop(struct wk_log_store *l, struct wk_log_group *g, uint64_t below)
{
    for (; g->cache_first < below && g->cache_first <= g->last; g->cache_first++) {
        struct wk_log_cached *c = &g->ring[g->cache_first & (g->ring_cap - 1)];
        l->cache_bytes -= cost(c->data);
        wk_blob_unref(c->data);
    }
    if (g->cache_first < below)
        g->cache_first = below;
}

/* Forget cached entries from `from` on; the caller lowers g->last to from - 1. */
void wk_log_cache_cut(struct wk_log_store *l, struct wk_log_group *g, uint64_t from)
{
    for (uint64_t i = from > g->cache_first ? from : g->cache_first; i <= g->last; i++) {
        struct wk_log_cached *c = &g->ring[i & (g->ring_cap - 1)];
        l->cache_bytes -= cost(c->data);
        wk_blob_unref(c->data);
    }
    if (g->cache_first > from)
        g->cache_first = from;
    if (from == 0)
        g->last = 0, g->cache_first = 1;
}

void wk_log_cache_note(struct wk_log_store *l, struct wk_log_group *g)
{
    WK_ASSERT(l->n_fifo < l->fifo_cap);
    *fifo_at(l, l->n_fifo++) = (struct wk_log_fifo_item){ g, g->last };
    while (l->n_fifo > 0) {
        const struct wk_log_fifo_item *it = fifo_at(l, 0);
        if (!gone(it)) {
            if (l->cache_bytes <= l->opt.cache_bytes)
                return;
            wk_log_cache_drop(l, it->group, it->last + 1);
        }
        l->fifo_head = (l->fifo_head + 1) & (l->fifo_cap - 1);
        l->n_fifo--;
    }
}
