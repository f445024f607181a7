/* Per-group index in memory: one 16-byte node per record, one run per change of term. */
#include "log/internal.h"

int wk_log_grow(void *p, size_t *cap, size_t need, size_t size)
{
    void **items = p;
    size_t want = *cap ? *cap : 8;

    if (need <= *cap)
        return WKIM_OK;
    while (want < need)
        want *= 2;
    if (want > SIZE_MAX / size)
        return WKIM_ENOMEM;
    void *q = wk_realloc(*items, want * size);
    if (!q)
        return WKIM_ENOMEM;
    *items = q;
    *cap = want;
    return WKIM_OK;
}

static size_t table_home(const struct wk_log_store *l, uint32_t id)
{
    return (id * 0x9e3779b1u) & (l->table_cap - 1);
}

struct wk_log_group *wk_log_group_get(const struct wk_log_store *l, uint32_t id)
{
    if (l->table_cap == 0)
        return NULL;
    for (size_t i = table_home(l, id);; i = (i + 1) & (l->table_cap - 1)) {
        if (l->table[i] == 0)
            return NULL;
        struct wk_log_group *g = l->groups[l->table[i] - 1];
        if (g->id == id)
            return g;
    }
}

static void table_put(struct wk_log_store *l, size_t number)
{
    size_t i = table_home(l, l->groups[number]->id);

    while (l->table[i] != 0)
        i = (i + 1) & (l->table_cap - 1);
    l->table[i] = (uint32_t)number + 1;
}

static int table_grow(struct wk_log_store *l)
{
    size_t cap = l->table_cap ? l->table_cap * 2 : 64;

    if ((l->n_groups + 1) * 2 <= l->table_cap)
        return WKIM_OK;
    uint32_t *t = wk_calloc(cap, sizeof(*t));
    if (!t)
        return WKIM_ENOMEM;
    wk_free(l->table);
    l->table = t;
    l->table_cap = cap;
    for (size_t i = 0; i < l->n_groups; i++)
        table_put(l, i);
    return WKIM_OK;
}

struct wk_log_group *wk_log_group_make(struct wk_log_store *l, uint32_t id)
{
    struct wk_log_group *g = wk_log_group_get(l, id);

    if (g)
        return g;
    if (table_grow(l) || wk_log_grow(&l->groups, &l->group_cap, l->n_groups + 1, sizeof(g)))
        return NULL;
    g = wk_calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->id = id;
    g->first = g->cache_first = 1;
    l->groups[l->n_groups++] = g;
    table_put(l, l->n_groups - 1);
    return g;
}

void wk_log_group_free(struct wk_log_store *l, struct wk_log_group *g)
{
    wk_log_cache_cut(l, g, 0);
    wk_free(g->nodes);
    wk_free(g->runs);
    wk_free(g->ring);
    wk_free(g);
}

static int ring_reserve(struct wk_log_group *g, uint64_t need)
{
    uint64_t cap = g->ring_cap ? g->ring_cap : 16;

    while (cap < need)
        cap *= 2;
    if (cap == g->ring_cap)
        return WKIM_OK;
    struct wk_log_cached *r = wk_malloc(cap * sizeof(*r));
    if (!r)
        return WKIM_ENOMEM;
    for (uint64_t i = g->cache_first; i <= g->last; i++)
        r[i & (cap - 1)] = g->ring[i & (g->ring_cap - 1)];
    wk_free(g->ring);
    g->ring = r;
    g->ring_cap = cap;
    return WKIM_OK;
}

int wk_log_group_reserve(struct wk_log_group *g, size_t nodes, size_t runs, size_t entries)
{
    if (g->node_head > 0 && g->node_head + g->n_nodes + nodes > g->node_cap) {
        memmove(g->nodes, g->nodes + g->node_head, g->n_nodes * sizeof(*g->nodes));
        g->node_head = 0;
    }
    int rc = wk_log_grow(&g->nodes, &g->node_cap, g->node_head + g->n_nodes + nodes,
                         sizeof(*g->nodes));
    if (rc == WKIM_OK)
        rc = wk_log_grow(&g->runs, &g->run_cap, g->n_runs + runs, sizeof(*g->runs));
    if (rc == WKIM_OK)
        rc = ring_reserve(g, g->last + 1 - g->cache_first + entries);
    return rc;
}

static uint64_t node_first(const struct wk_log_group *g, size_t i)
{
    return g->rel_base + g->nodes[g->node_head + i].rel;
}

void wk_log_group_truncate(struct wk_log_store *l, struct wk_log_group *g, uint64_t from)
{
    if (from > g->last)
        return;
    wk_log_cache_cut(l, g, from);
    while (g->n_nodes > 0 && node_first(g, g->n_nodes - 1) >= from)
        g->n_nodes--;
    while (g->n_runs > 0 && g->runs[g->n_runs - 1].first >= from)
        g->n_runs--;
    g->last = from - 1;
}

/* Room was reserved. */
void wk_log_group_node(struct wk_log_group *g, uint64_t pos, uint64_t first, uint32_t len)
{
    if (g->n_nodes == 0) {
        g->node_head = 0;
        g->rel_base = first;
    }
    WK_ASSERT(first >= g->rel_base && first - g->rel_base <= UINT32_MAX);
    WK_ASSERT(g->node_head + g->n_nodes < g->node_cap);
    g->nodes[g->node_head + g->n_nodes++] =
        (struct wk_log_node){ pos, (uint32_t)(first - g->rel_base), len };
}

void wk_log_group_run(struct wk_log_group *g, uint64_t first, uint64_t term)
{
    if (g->n_runs > 0 && g->runs[g->n_runs - 1].term == term)
        return;
    WK_ASSERT(g->n_runs < g->run_cap);
    g->runs[g->n_runs++] = (struct wk_log_run){ first, term };
}

/* Numbers in nodes stay small over the life of a group. */
static void rebase(struct wk_log_group *g)
{
    if (g->n_nodes == 0 || node_first(g, 0) - g->rel_base < UINT32_MAX / 2)
        return;
    uint32_t by = g->nodes[g->node_head].rel;
    for (size_t i = 0; i < g->n_nodes; i++)
        g->nodes[g->node_head + i].rel -= by;
    g->rel_base += by;
}

/* Entries below `first` are not needed any more; first <= last + 1. */
void wk_log_group_front(struct wk_log_store *l, struct wk_log_group *g, uint64_t first,
                        uint64_t base_term)
{
    size_t drop = 0;

    if (first <= g->first)
        return;
    WK_ASSERT(first <= g->last + 1);
    wk_log_cache_drop(l, g, first);
    g->first = first;
    g->base_term = base_term;
    g->mark_dirty = true;
    while (g->n_nodes > 0 && (g->n_nodes == 1 ? g->last + 1 : node_first(g, 1)) <= first) {
        g->node_head++;
        g->n_nodes--;
    }
    while (drop < g->n_runs && (drop + 1 == g->n_runs ? g->last + 1 : g->runs[drop + 1].first) <=
                                   first)
        drop++;
    if (drop > 0)
        memmove(g->runs, g->runs + drop, (g->n_runs - drop) * sizeof(*g->runs));
    g->n_runs -= drop;
    rebase(g);
}

void wk_log_group_restart(struct wk_log_store *l, struct wk_log_group *g, uint64_t index,
                          uint64_t term)
{
    wk_log_cache_cut(l, g, 0);
    g->n_nodes = g->n_runs = g->node_head = 0;
    g->first = g->cache_first = index + 1;
    g->last = index;
    g->base_term = term;
    g->code = WKIM_OK;
    g->known = true;
}

int wk_log_group_term(const struct wk_log_group *g, uint64_t index, uint64_t *term)
{
    size_t lo = 0, hi = g->n_runs;

    if (index + 1 == g->first) {
        *term = g->base_term;
        return WKIM_OK;
    }
    if (index < g->first || index > g->last || g->n_runs == 0 || g->runs[0].first > index)
        return WKIM_ENOTFOUND;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (g->runs[mid].first <= index)
            lo = mid;
        else
            hi = mid;
    }
    *term = g->runs[lo].term;
    return WKIM_OK;
}

size_t wk_log_group_find_node(const struct wk_log_group *g, uint64_t index)
{
    size_t lo = 0, hi = g->n_nodes;

    if (g->n_nodes == 0 || index > g->last || index < node_first(g, 0))
        return g->n_nodes;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (node_first(g, mid) <= index)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

void wk_log_group_line(const struct wk_log_group *g, struct wk_log_group_line *out)
{
    *out = (struct wk_log_group_line){ .group = g->id,
                                       .flags = g->code ? WK_LOG_STATE_CORRUPT : 0,
                                       .recno = g->recno,
                                       .hard_term = g->hard_term,
                                       .hard_vote = g->hard_vote,
                                       .hard_commit = g->hard_commit,
                                       .first = g->first,
                                       .base_term = g->base_term,
                                       .last = g->last };
}
