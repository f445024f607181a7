#include "raft/internal.h"

static uint64_t apply_limit(const struct wk_raft *r)
{
    if (r->installing)
        return 0;
    /* What others made durable before this disk did is not in the log reader yet. */
    uint64_t to = r->commit < r->log.durable ? r->commit : r->log.durable;
    if (r->apply_handed < r->log.unknown_to && to > r->log.scanned_to)
        to = r->log.scanned_to;
    return to;
}

static bool vote_changed(const struct wk_raft *r)
{
    return r->term != r->handed_hard.term || r->vote != r->handed_hard.vote;
}

bool wk_raft_has_ready(const struct wk_raft *r)
{
    if (r->fault)
        return false;
    return r->pending->msgs.n > 0 || r->pending->reads.n > 0 || r->pending->install ||
           r->log.handed < r->log.last || vote_changed(r) || apply_limit(r) > r->apply_handed ||
           r->leader != r->handed_leader || r->role != r->handed_role;
}

static void apply_hand_out(struct wk_raft *r, struct wk_raft_ready *out)
{
    uint64_t to = apply_limit(r), bytes = 0;
    if (to <= r->apply_handed)
        return;
    out->apply_from = r->apply_handed + 1;
    if (r->apply_handed >= r->log.unknown_to) {
        WK_ASSERT(r->log.sizes.n == r->log.last - r->apply_handed);
        uint64_t k = 0;
        while (k < to - r->apply_handed) {
            bytes += *WK_RAFT_FIFO_AT(&r->log.sizes, uint32_t, k);
            if (k > 0 && bytes > r->opt.apply_bytes_max)
                break;
            k++;
        }
        to = r->apply_handed + k;
        wk_raft_fifo_pop(&r->log.sizes, (size_t)k);
    }
    WK_ASSERT(to >= out->apply_from && to <= r->commit && to <= r->log.durable);
    out->apply_to = r->apply_handed = to;
}

static void batch_hand_out(struct wk_raft *r, struct wk_raft_ready *out)
{
    struct wk_raft_log *l = &r->log;
    const struct wk_raft_hard_state *h = &r->handed_hard;
    WK_ASSERT(l->batches.head + l->batches.n < l->batches.cap);
    WK_ASSERT(r->term >= h->term && (r->term > h->term || !h->vote || r->vote == h->vote));
    WK_ASSERT(r->commit >= h->commit);
    out->must_persist = true;
    out->n_entries = (uint32_t)(l->last - l->handed);
    if (out->n_entries > 0)
        out->entries = wk_raft_log_tail_at(l, l->handed + 1);
    out->hard = (struct wk_raft_hard_state){ r->term, r->vote, r->commit };
    out->hard_changed = out->n_entries == 0 || vote_changed(r) || r->commit != h->commit;
    const bool any = out->n_entries > 0;
    *WK_RAFT_FIFO_AT(&l->batches, struct wk_raft_batch, l->batches.n++) =
        (struct wk_raft_batch){ .number = r->number,
                                .term = any ? wk_raft_log_last_term(l) : 0,
                                .index = any ? l->last : 0,
                                .good = any ? l->last : 0,
                                .hard_term = r->term,
                                .hard_vote = r->vote };
    r->handed_hard = out->hard;
    l->handed = l->last;
}

static bool outbox_waits(const struct wk_raft_outbox *o)
{
    for (size_t i = 0; i < o->msgs.n; i++)
        if (WK_RAFT_FIFO_AT(&o->msgs, struct wk_raft_msg, i)->after_persist)
            return true;
    return false;
}

int wk_raft_ready(struct wk_raft *r, struct wk_raft_ready *out)
{
    *out = (struct wk_raft_ready){ 0 };
    if (!r->fault)
        wk_raft_scan(r);
    if (r->fault)
        return WKIM_ECORRUPT;
    wk_raft_outbox_clear(r->out);
    bool persist = r->log.handed < r->log.last || vote_changed(r);
    /* A promise emitted with nothing to write still waits for the writes before it: it gets an
     * empty batch of its own behind them. */
    const bool barrier = outbox_waits(r->pending);
    if (barrier && r->log.batches.n > 0)
        persist = true;
    WK_ASSERT(r->log.last - r->log.handed <= UINT32_MAX);
    if (persist && wk_raft_fifo_reserve(&r->log.batches, 1, sizeof(struct wk_raft_batch)))
        return WKIM_ENOMEM;
    struct wk_raft_outbox *const o = r->out;
    r->out = r->pending;
    r->pending = o;
    wk_raft_outbox_seal(r->out);
    out->number = ++r->number;
    out->hard = r->handed_hard;
    if (persist)
        batch_hand_out(r, out);
    for (size_t i = 0; !persist && barrier && i < r->out->msgs.n; i++)
        WK_RAFT_FIFO_AT(&r->out->msgs, struct wk_raft_msg, i)->after_persist = false;
    apply_hand_out(r, out);
    out->msgs = r->out->msgs.n ? WK_RAFT_FIFO_AT(&r->out->msgs, struct wk_raft_msg, 0) : NULL;
    out->n_msgs = (uint32_t)r->out->msgs.n;
    out->reads =
        r->out->reads.n ? WK_RAFT_FIFO_AT(&r->out->reads, struct wk_raft_read_state, 0) : NULL;
    out->n_reads = (uint32_t)r->out->reads.n;
    out->install = r->out->install ? &r->out->req : NULL;
    out->soft_changed = r->leader != r->handed_leader || r->role != r->handed_role;
    out->leader = r->handed_leader = r->leader;
    out->role = r->handed_role = r->role;
    r->open_round = 0; /* its heartbeats leave now */
    return WKIM_OK;
}
