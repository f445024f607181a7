/* Reading entries back: from the cache under the lock, from the files outside it. */
#include "log/internal.h"
#include "base/hash.h"

#define NODES_MAX 16 /* records read in one call; the caller comes back for more */

struct place {
    struct wk_log_seg *seg;
    uint64_t pos, from, to; /* entries [from, to) of the record are wanted */
    uint32_t len;
};

struct request {
    uint32_t group;
    uint64_t bytes_max, bytes;
    struct wk_log_entry *out;
    size_t out_max, n;
};

static bool take(struct request *q, const struct wk_log_entry *e)
{
    const uint64_t n = e->data ? e->data->n : 0;

    if (q->n == q->out_max || (q->n > 0 && q->bytes + n > q->bytes_max))
        return false;
    q->out[q->n++] = *e;
    q->bytes += n;
    return true;
}

static void read_cache(const struct wk_log_group *g, uint64_t lo, uint64_t hi, struct request *q)
{
    struct wk_log_entry e;

    for (e.index = lo; e.index < hi; e.index++) {
        const struct wk_log_cached *c = &g->ring[e.index & (g->ring_cap - 1)];
        WK_ASSERT(wk_log_group_term(g, e.index, &e.term) == WKIM_OK);
        e.type = c->type;
        e.data = c->data;
        if (!take(q, &e))
            return;
        if (e.data)
            wk_blob_ref(e.data);
    }
}

static size_t find_places(struct wk_log_store *l, const struct wk_log_group *g, uint64_t lo,
                          uint64_t hi, uint64_t bytes_max, struct place *out)
{
    size_t n = 0;
    uint64_t bytes = 0;

    for (size_t i = wk_log_group_find_node(g, lo);
         i < g->n_nodes && lo < hi && n < NODES_MAX && (n == 0 || bytes < bytes_max); i++) {
        const struct wk_log_node *node = &g->nodes[g->node_head + i];
        uint64_t end = i + 1 < g->n_nodes ? g->rel_base + node[1].rel : g->last + 1;
        struct place p = { .pos = node->pos, .len = node->len, .from = lo,
                           .to = end < hi ? end : hi };
        p.seg = wk_log_seg_ref(l, wk_log_pos_seq(node->pos));
        WK_ASSERT(p.seg != NULL);
        out[n++] = p;
        bytes += node->len;
        lo = p.to;
    }
    return n;
}

static int take_body(const struct wk_log_record *r, const struct wk_log_body *b,
                     const struct place *p, struct request *q)
{
    struct wk_log_entry e = { .index = r->first };
    const uint8_t *data = b->data;

    for (uint32_t run = 0; run < b->n_runs; run++) {
        const uint8_t *at = b->runs + (size_t)run * WK_LOG_RUN_BYTES;
        e.term = wk_log_get64(at);
        for (uint32_t k = wk_log_get32(at + 8); k > 0; k--, e.index++) {
            const uint32_t word =
                wk_log_get32(b->words + (size_t)(e.index - r->first) * WK_LOG_WORD_BYTES);
            const uint32_t n = word & 0xffffff;
            if (e.index >= p->to)
                return WKIM_OK;
            e.type = (uint8_t)(word >> 24);
            e.data = NULL;
            if (e.index >= p->from) {
                if (n > 0 && !(e.data = wk_blob_copy(data, n)))
                    return WKIM_ENOMEM;
                if (!take(q, &e)) {
                    wk_blob_unref(e.data);
                    return WKIM_OK;
                }
            }
            data += n;
        }
    }
    return WKIM_OK;
}

static int read_place(struct wk_log_store *l, const struct place *p, struct request *q)
{
    struct wk_log_record r;
    struct wk_log_body b;
    uint8_t *buf = wk_malloc(p->len);
    int rc = WKIM_OK;

    if (!buf)
        return WKIM_ENOMEM;
    wkim_ssize n = l->fs.pread(l->fs.user, p->seg->fd, buf, p->len, wk_log_pos_off(p->pos));
    if (n < 0)
        rc = (int)n;
    else if (n != p->len || !wk_log_record_decode(&r, buf, p->seg->crc_seed) || r.len != p->len ||
             r.kind != WK_LOG_BATCH || r.group != q->group ||
             r.body_crc != wk_crc32c(p->seg->crc_seed, buf + WK_LOG_HEAD_BYTES,
                                     r.len - WK_LOG_HEAD_BYTES) ||
             !wk_log_body_decode(&b, &r, buf) || r.first > p->from || r.first + r.n < p->to)
        rc = WKIM_ECORRUPT;
    else
        rc = take_body(&r, &b, p, q);
    wk_free(buf);
    return rc;
}

static int read_places(struct wk_log_store *l, const struct place *p, size_t n, struct request *q)
{
    int rc = WKIM_OK;

    for (size_t i = 0; i < n; i++) {
        const size_t before = q->n;
        if (rc == WKIM_OK)
            rc = read_place(l, &p[i], q);
        if (rc == WKIM_OK && q->n - before < p[i].to - p[i].from)
            rc = 1; /* full: only the references are left to drop */
        wk_log_seg_unref(l, p[i].seg);
    }
    return rc < 0 ? rc : WKIM_OK;
}

wkim_ssize wk_log_entries(struct wk_log_store *l, uint32_t group, uint64_t lo, uint64_t hi,
                          uint64_t bytes_max, struct wk_log_entry *out, size_t out_max)
{
    struct request q = { .group = group, .bytes_max = bytes_max, .out = out, .out_max = out_max };
    struct place places[NODES_MAX];
    size_t n = 0;
    int rc = WKIM_OK;

    if (lo >= hi || out_max == 0)
        return WKIM_EINVAL;
    pthread_mutex_lock(&l->mu);
    const struct wk_log_group *g = wk_log_group_get(l, group);
    if (!g || !g->known)
        rc = WKIM_ENOTFOUND;
    else if (g->code)
        rc = g->code;
    else if (lo < g->first || lo > g->last)
        rc = WKIM_ENOTFOUND;
    if (rc == WKIM_OK && hi > g->last + 1)
        hi = g->last + 1;
    if (rc == WKIM_OK && lo >= g->cache_first)
        read_cache(g, lo, hi, &q);
    else if (rc == WKIM_OK)
        n = find_places(l, g, lo, hi < g->cache_first ? hi : g->cache_first, bytes_max, places);
    pthread_mutex_unlock(&l->mu);
    if (rc == WKIM_OK && n > 0)
        rc = read_places(l, places, n, &q);
    if (rc == WKIM_OK)
        return (wkim_ssize)q.n;
    while (q.n > 0)
        wk_blob_unref(out[--q.n].data);
    return rc;
}
