#include "raft/internal.h"

static struct wk_raft_range *range_at(const struct wk_raft_log *l, size_t i)
{
    return WK_RAFT_FIFO_AT(&l->ranges, struct wk_raft_range, i);
}

static void range_push(struct wk_raft_log *l, uint64_t first, uint64_t term)
{
    WK_ASSERT(l->ranges.head + l->ranges.n < l->ranges.cap);
    if (l->ranges.n >= WK_RAFT_RANGES_MAX)
        wk_raft_fifo_pop(&l->ranges, 1); /* the reader still knows */
    *range_at(l, l->ranges.n++) = (struct wk_raft_range){ first, term };
}

int wk_raft_log_init(struct wk_raft_log *l, const struct wk_raft_options *opt)
{
    uint64_t term = 0;
    int rc = WKIM_OK;
    *l = (struct wk_raft_log){ .reader = opt->reader, .first = opt->first_index,
                               .last = opt->last_index, .durable = opt->last_index,
                               .handed = opt->last_index, .unknown_to = opt->last_index,
                               .scanned_to = opt->applied };
    if (l->last > 0)
        rc = l->reader.term(l->reader.user, l->last, &term);
    if (rc == WKIM_OK)
        rc = wk_raft_fifo_reserve(&l->ranges, 4, sizeof(struct wk_raft_range));
    if (rc == WKIM_OK)
        range_push(l, l->last, term);
    return rc;
}

void wk_raft_log_fini(struct wk_raft_log *l)
{
    for (size_t i = 0; i < l->tail.n; i++)
        wk_blob_unref(WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, i)->data);
    wk_raft_fifo_fini(&l->tail);
    wk_raft_fifo_fini(&l->ranges);
    wk_raft_fifo_fini(&l->batches);
    wk_raft_fifo_fini(&l->sizes);
    wk_raft_fifo_fini(&l->confs);
}

uint64_t wk_raft_log_last_term(const struct wk_raft_log *l)
{
    WK_ASSERT(l->ranges.n > 0);
    return range_at(l, l->ranges.n - 1)->term;
}

int wk_raft_log_term(const struct wk_raft_log *l, uint64_t index, uint64_t *term)
{
    *term = 0;
    if (index > l->last || index + 1 < l->first)
        return WKIM_ENOTFOUND;
    if (index == 0)
        return WKIM_OK;
    if (index < range_at(l, 0)->first) {
        const int rc = l->reader.term(l->reader.user, index, term);
        return rc == WKIM_OK || rc == WKIM_ENOTFOUND ? rc : WKIM_EAGAIN;
    }
    size_t lo = 0, hi = l->ranges.n; /* range_at(lo)->first <= index < range_at(hi)->first */
    if (range_at(l, hi - 1)->first <= index)
        lo = hi - 1;
    while (hi - lo > 1) {
        const size_t mid = lo + (hi - lo) / 2;
        if (range_at(l, mid)->first <= index)
            lo = mid;
        else
            hi = mid;
    }
    *term = range_at(l, lo)->term;
    return WKIM_OK;
}

uint64_t wk_raft_log_conflict(const struct wk_raft_log *l, uint64_t lo, uint64_t index,
                              uint64_t term)
{
    /* Terms never fall with the index, so the place is found by halving. */
    uint64_t hi = index < l->last ? index : l->last;
    if (lo + 1 < l->first)
        lo = l->first - 1;
    if (hi <= lo)
        return lo;
    uint64_t t;
    if (wk_raft_log_term(l, hi, &t) != WKIM_OK || t <= term)
        return hi;
    while (hi - lo > 1) { /* term(lo) <= term is assumed, term(hi) > term is known */
        const uint64_t mid = lo + (hi - lo) / 2;
        if (wk_raft_log_term(l, mid, &t) != WKIM_OK)
            return hi - 1; /* a coarser hint costs one more round trip, never safety */
        if (t <= term)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

int wk_raft_log_reserve(struct wk_raft_log *l, size_t entries, size_t terms, size_t confs)
{
    int rc = wk_raft_fifo_reserve(&l->tail, entries, sizeof(struct wk_raft_entry));
    if (rc == WKIM_OK)
        rc = wk_raft_fifo_reserve(&l->sizes, entries, sizeof(uint32_t));
    /* A truncation may need a range of its own beside those of the new entries. */
    if (rc == WKIM_OK)
        rc = wk_raft_fifo_reserve(&l->ranges, terms + 2, sizeof(struct wk_raft_range));
    if (rc == WKIM_OK && confs > 0)
        rc = wk_raft_fifo_reserve(&l->confs, confs, sizeof(struct wk_raft_pending_conf));
    return rc;
}

void wk_raft_log_append_take(struct wk_raft_log *l, const struct wk_raft_entry *e)
{
    WK_ASSERT(e->index == l->last + 1);
    WK_ASSERT(e->term >= wk_raft_log_last_term(l));
    WK_ASSERT(l->tail.head + l->tail.n < l->tail.cap);
    WK_ASSERT(l->sizes.head + l->sizes.n < l->sizes.cap);
    *WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, l->tail.n++) = *e;
    const size_t bytes = wk_raft_entry_bytes(e);
    *WK_RAFT_FIFO_AT(&l->sizes, uint32_t, l->sizes.n++) =
        bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    if (e->term != wk_raft_log_last_term(l))
        range_push(l, e->index, e->term);
    l->last++;
    WK_ASSERT(l->durable + l->tail.n == l->last);
}

void wk_raft_log_conf_add(struct wk_raft_log *l, uint64_t index, const struct wk_raft_conf *c)
{
    WK_ASSERT(l->confs.head + l->confs.n < l->confs.cap);
    size_t i = l->confs.n++;
    /* Those found by the scan after a start are older than what was appended meanwhile. */
    for (; i > 0; i--) {
        struct wk_raft_pending_conf *p = WK_RAFT_FIFO_AT(&l->confs, struct wk_raft_pending_conf, i);
        if (p[-1].index < index)
            break;
        *p = p[-1];
    }
    struct wk_raft_pending_conf *at = WK_RAFT_FIFO_AT(&l->confs, struct wk_raft_pending_conf, i);
    at->index = index;
    at->conf = *c;
}

void wk_raft_log_truncate(struct wk_raft_log *l, uint64_t index, uint64_t prev_term)
{
    WK_ASSERT(index >= l->first && index <= l->last);
    const uint64_t keep = index - 1, dropped = l->last - keep;
    while (l->tail.n > 0 && l->durable + l->tail.n > keep)
        wk_blob_unref(WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, --l->tail.n)->data);
    l->sizes.n -= dropped < l->sizes.n ? dropped : l->sizes.n;
    while (l->ranges.n > 0 && range_at(l, l->ranges.n - 1)->first >= index)
        l->ranges.n--;
    if (l->ranges.n == 0)
        range_push(l, keep, prev_term);
    WK_ASSERT(wk_raft_log_last_term(l) == prev_term);
    while (l->confs.n > 0 &&
           WK_RAFT_FIFO_AT(&l->confs, struct wk_raft_pending_conf, l->confs.n - 1)->index >= index)
        l->confs.n--;
    /* A write in flight that carries overwritten entries will prove only what is left of it. */
    for (size_t i = 0; i < l->batches.n; i++) {
        struct wk_raft_batch *b = WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, i);
        if (b->good > keep)
            b->good = keep;
    }
    l->last = keep;
    if (l->durable > keep)
        l->durable = keep;
    if (l->handed > keep)
        l->handed = keep;
    if (l->unknown_to > keep)
        l->unknown_to = keep;
    if (l->scanned_to > keep)
        l->scanned_to = keep;
    WK_ASSERT(l->durable + l->tail.n == l->last);
}

void wk_raft_log_reset(struct wk_raft_log *l, uint64_t index, uint64_t term)
{
    WK_ASSERT(l->ranges.cap > 0);
    for (size_t i = 0; i < l->tail.n; i++)
        wk_blob_unref(WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, i)->data);
    wk_raft_fifo_pop(&l->tail, l->tail.n);
    wk_raft_fifo_pop(&l->sizes, l->sizes.n);
    wk_raft_fifo_pop(&l->confs, l->confs.n);
    wk_raft_fifo_pop(&l->ranges, l->ranges.n);
    for (size_t i = 0; i < l->batches.n; i++)
        WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, i)->good = 0;
    l->first = index + 1;
    l->last = l->durable = l->handed = l->unknown_to = l->scanned_to = index;
    range_push(l, index, term);
}

void wk_raft_log_compact(struct wk_raft_log *l, uint64_t first)
{
    WK_ASSERT(first > l->first && first <= l->last + 1);
    l->first = first;
    /* The range that holds the compaction point itself stays. */
    while (l->ranges.n > 1 && range_at(l, 1)->first <= first - 1)
        wk_raft_fifo_pop(&l->ranges, 1);
}

static void durable_advance(struct wk_raft_log *l, uint64_t good)
{
    if (good <= l->durable)
        return;
    WK_ASSERT(good <= l->handed && l->handed <= l->last);
    const size_t k = (size_t)(good - l->durable);
    for (size_t i = 0; i < k; i++)
        wk_blob_unref(WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, i)->data);
    wk_raft_fifo_pop(&l->tail, k);
    l->durable = good;
}

int wk_raft_log_persisted(struct wk_raft_log *l, uint64_t number, uint64_t term, uint64_t index,
                          struct wk_raft_hard_state *hard)
{
    size_t k = 0;
    while (k < l->batches.n &&
           WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, k)->number < number)
        k++;
    if (k == l->batches.n)
        return WKIM_OK; /* completed before, or that update had nothing to write */
    const struct wk_raft_batch *b = WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, k);
    if (b->number != number)
        return WKIM_OK;
    if (b->term != term || b->index != index)
        return WKIM_EINVAL;
    hard->term = b->hard_term;
    hard->vote = b->hard_vote;
    for (size_t i = 0; i <= k; i++)
        durable_advance(l, WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, i)->good);
    wk_raft_fifo_pop(&l->batches, k + 1);
    return WKIM_OK;
}
