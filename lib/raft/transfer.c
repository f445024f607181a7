#include "raft/internal.h"

void wk_raft_transfer_abort(struct wk_raft *r)
{
    r->transferee = 0;
    r->transfer_elapsed = 0;
    r->transfer_sent = false;
}

void wk_raft_transfer_advance(struct wk_raft *r)
{
    if (r->role != WK_RAFT_LEADER || !r->transferee || r->transfer_sent)
        return;
    const struct wk_raft_progress *p = wk_raft_peer(r, r->transferee);
    if (!p || p->learner) {
        wk_raft_transfer_abort(r);
        return;
    }
    WK_ASSERT(p->match <= r->log.last);
    /* Its acknowledgement proves that all of it is durable there. */
    if (p->match == r->log.last && wk_raft_send(r, WK_RAFT_MSG_TIMEOUT_NOW, p->id))
        r->transfer_sent = true;
}

int wk_raft_transfer(struct wk_raft *r, uint64_t to)
{
    if (r->role != WK_RAFT_LEADER)
        return WKIM_ENOTLEADER;
    if (to == 0) {
        wk_raft_transfer_abort(r);
        return WKIM_OK;
    }
    struct wk_raft_progress *p = wk_raft_peer(r, to);
    if (!p || p->learner)
        return WKIM_EINVAL;
    if (to == r->opt.id || to == r->transferee)
        return WKIM_OK;
    if (r->transferee)
        return WKIM_EBUSY;
    if (p->active_tick + r->opt.election_ticks <= r->now ||
        p->match + WK_RAFT_TRANSFER_LAG_MAX < r->log.last)
        return WKIM_EBUSY;
    r->transferee = to;
    r->transfer_elapsed = 0;
    r->transfer_sent = false;
    /* A forced election overrides the stickiness that a lease relies on, however late it comes. */
    r->lease_void = true;
    WK_ASSERT(r->transferee != r->opt.id);
    wk_raft_transfer_advance(r);
    if (!r->transfer_sent)
        wk_raft_append_send(r, p, true);
    return WKIM_OK;
}
