#include "raft/internal.h"

static void timeout_draw(struct wk_raft *r)
{
    r->election_timeout =
        r->opt.election_ticks + (uint32_t)(wk_raft_random(r) % r->opt.election_ticks);
    WK_ASSERT(r->election_timeout >= r->opt.election_ticks);
    r->election_elapsed = 0;
}

static void votes_clear(struct wk_raft *r)
{
    for (uint8_t i = 0; i < r->n_peers; i++)
        r->peers[i].vote = 0;
}

void wk_raft_become_follower(struct wk_raft *r, uint64_t term, uint64_t leader)
{
    WK_ASSERT(term >= r->term);
    if (term != r->term || r->role == WK_RAFT_LEADER || (r->leader && r->leader != leader))
        wk_raft_reads_refuse(r);
    if (term != r->term) {
        r->term = term;
        r->vote = 0;
    }
    r->role = WK_RAFT_FOLLOWER;
    r->leader = leader;
    r->heartbeat_elapsed = 0;
    r->transferee = 0;
    r->uncommitted_bytes = 0;
    r->campaign_wanted = false;
    wk_raft_fifo_pop(&r->charges, r->charges.n);
    votes_clear(r);
    timeout_draw(r);
}

static void become_leader(struct wk_raft *r)
{
    WK_ASSERT(r->role == WK_RAFT_CANDIDATE);
    WK_ASSERT(r->self_voter && !r->installing);
    WK_ASSERT(r->durable_hard.term == r->term && r->durable_hard.vote == r->opt.id);
    wk_raft_reads_refuse(r);
    r->role = WK_RAFT_LEADER;
    r->leader = r->opt.id;
    r->election_elapsed = r->heartbeat_elapsed = 0;
    r->transferee = 0;
    r->transfer_sent = r->lease_void = false;
    r->campaign_wanted = false;
    r->uncommitted_bytes = 0;
    wk_raft_fifo_pop(&r->charges, r->charges.n);
    memset(r->round_ticks, 0, sizeof(r->round_ticks));
    for (uint8_t i = 0; i < r->n_peers; i++)
        wk_raft_progress_reset(&r->peers[i], r->log.last + 1, r->now);
    struct wk_raft_progress *self = wk_raft_peer(r, r->opt.id);
    WK_ASSERT(self && !self->learner);
    /* Its own log counts only as far as it is durable (R3). */
    self->match = r->log.durable;
    self->state = WK_RAFT_REPLICATE;
    /* An unapplied change may hide anywhere in the inherited log: none is proposed before. */
    r->pending_conf = r->log.last;
    r->own_first = r->log.last + 1;
    wk_raft_append_own(r, WK_RAFT_ENTRY_NORMAL, NULL);
    WK_ASSERT(r->log.last == r->own_first);
    wk_raft_append_broadcast(r);
}

/* R9: a configuration that is committed but not applied would make this node count the wrong
 * voters, so it must not stand before it has applied it. */
bool wk_raft_promotable(const struct wk_raft *r)
{
    return r->self_voter && !r->installing && !wk_raft_conf_unapplied(r);
}

static void votes_ask(struct wk_raft *r, uint8_t type, uint64_t term, bool force)
{
    uint64_t last = r->log.last, last_term = wk_raft_log_last_term(&r->log);
    /* A pre-vote leaves at once and so claims the durable part only.  A vote leaves behind the
     * batch of its own hard state, when everything before it in the log is durable (R8). */
    if (type == WK_RAFT_MSG_PREVOTE && r->log.durable < last) {
        uint64_t t;
        if (wk_raft_log_term(&r->log, r->log.durable, &t) != WKIM_OK)
            return;
        last = r->log.durable;
        last_term = t;
    }
    for (uint8_t i = 0; i < r->conf.n_voters; i++) {
        if (r->conf.voters[i] == r->opt.id)
            continue;
        struct wk_raft_msg *m = wk_raft_send(r, type, r->conf.voters[i]);
        if (!m)
            continue;
        m->term = term;
        m->index = last;
        m->log_term = last_term;
        m->force = force;
        m->after_persist = type == WK_RAFT_MSG_VOTE;
    }
}

static void campaign_real(struct wk_raft *r, bool force)
{
    WK_ASSERT(wk_raft_promotable(r));
    wk_raft_become_follower(r, r->term + 1, 0);
    r->role = WK_RAFT_CANDIDATE;
    r->vote = r->opt.id;
    r->campaign_force = force;
    /* The vote for itself is counted when it is durable (wk_raft_votes_count). */
    votes_ask(r, WK_RAFT_MSG_VOTE, r->term, force);
}

void wk_raft_campaign(struct wk_raft *r, bool force)
{
    WK_ASSERT(wk_raft_promotable(r));
    WK_ASSERT(r->role != WK_RAFT_LEADER);
    if (force || r->conf.n_voters == 1) {
        campaign_real(r, force);
        return;
    }
    wk_raft_become_follower(r, r->term, 0);
    r->role = WK_RAFT_PRECANDIDATE;
    wk_raft_peer(r, r->opt.id)->vote = 1;
    votes_ask(r, WK_RAFT_MSG_PREVOTE, r->term + 1, false);
}

void wk_raft_campaign_retry(struct wk_raft *r)
{
    if (r->campaign_wanted && r->role == WK_RAFT_FOLLOWER && wk_raft_promotable(r)) {
        r->campaign_wanted = false;
        wk_raft_campaign(r, false);
    }
}

void wk_raft_votes_count(struct wk_raft *r)
{
    if (r->role != WK_RAFT_CANDIDATE && r->role != WK_RAFT_PRECANDIDATE)
        return;
    struct wk_raft_progress *self = wk_raft_peer(r, r->opt.id);
    if (r->role == WK_RAFT_CANDIDATE && self && r->durable_hard.term == r->term &&
        r->durable_hard.vote == r->opt.id)
        self->vote = 1;
    uint32_t granted = 0, rejected = 0;
    for (uint8_t i = 0; i < r->n_peers; i++) {
        if (r->peers[i].learner)
            continue;
        granted += r->peers[i].vote == 1;
        rejected += r->peers[i].vote == 2;
    }
    const enum wk_raft_vote v = wk_raft_quorum_votes(granted, rejected, r->conf.n_voters);
    if (v == WK_RAFT_VOTE_LOST) {
        wk_raft_become_follower(r, r->term, 0);
    } else if (v == WK_RAFT_VOTE_WON && r->role == WK_RAFT_PRECANDIDATE) {
        if (wk_raft_promotable(r))
            campaign_real(r, false);
        else
            wk_raft_become_follower(r, r->term, 0);
    } else if (v == WK_RAFT_VOTE_WON && self && self->vote == 1) {
        if (wk_raft_promotable(r))
            become_leader(r);
        else
            wk_raft_become_follower(r, r->term, 0);
    }
}

static bool log_up_to_date(const struct wk_raft *r, const struct wk_raft_msg *m)
{
    uint64_t term = wk_raft_log_last_term(&r->log), index = r->log.last;
    /* A node that pulls a snapshot will hold what it covers: it votes as if it did already. */
    if (r->installing && (r->install.term > term ||
                          (r->install.term == term && r->install.index > index))) {
        term = r->install.term;
        index = r->install.index;
    }
    return m->log_term > term || (m->log_term == term && m->index >= index);
}

void wk_raft_vote_request(struct wk_raft *r, const struct wk_raft_msg *m)
{
    const bool pre = m->type == WK_RAFT_MSG_PREVOTE;
    WK_ASSERT(m->term >= r->term);
    WK_ASSERT(pre || m->term == r->term);
    const bool free_vote = r->vote == m->from || (r->vote == 0 && r->leader == 0) ||
                           (pre && m->term > r->term);
    const bool grant = free_vote && log_up_to_date(r, m);
    struct wk_raft_msg *o =
        wk_raft_send(r, pre ? WK_RAFT_MSG_PREVOTE_RESP : WK_RAFT_MSG_VOTE_RESP, m->from);
    if (grant && !pre) {
        /* Recorded even if the answer is lost for want of memory: the vote is spent. */
        r->vote = m->from;
        r->election_elapsed = 0;
    }
    if (!o)
        return;
    o->term = grant ? m->term : r->term;
    o->reject = !grant;
    o->after_persist = !pre;
}

void wk_raft_vote_response(struct wk_raft *r, const struct wk_raft_msg *m)
{
    const bool pre = m->type == WK_RAFT_MSG_PREVOTE_RESP;
    /* A late answer to a pre-vote never counts as a vote, nor for another round's term. */
    if (r->role != (pre ? WK_RAFT_PRECANDIDATE : WK_RAFT_CANDIDATE))
        return;
    if (pre && !m->reject && m->term != r->term + 1)
        return;
    if (!pre && m->term != r->term)
        return;
    struct wk_raft_progress *p = wk_raft_peer(r, m->from);
    if (!p || p->learner || p->vote != 0)
        return;
    p->vote = m->reject ? 2 : 1;
    wk_raft_votes_count(r);
}

static bool quorum_active(struct wk_raft *r)
{
    uint64_t seen[WK_RAFT_PEERS_MAX];
    uint32_t n = 0;
    for (uint8_t i = 0; i < r->n_peers; i++) {
        const struct wk_raft_progress *p = &r->peers[i];
        if (!p->learner)
            seen[n++] = p->id == r->opt.id ? r->now : p->active_tick;
    }
    return wk_raft_quorum_reached(seen, n) + r->opt.election_ticks > r->now;
}

static void tick_leader(struct wk_raft *r)
{
    if (r->transferee && ++r->transfer_elapsed >= r->opt.election_ticks)
        wk_raft_transfer_abort(r);
    if (!quorum_active(r)) {
        wk_raft_become_follower(r, r->term, 0);
        return;
    }
    if (++r->heartbeat_elapsed >= r->opt.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        wk_raft_heartbeat_broadcast(r);
    }
}

void wk_raft_tick(struct wk_raft *r)
{
    r->now++;
    wk_raft_reads_tick(r);
    if (r->role == WK_RAFT_LEADER) {
        tick_leader(r);
        return;
    }
    if (++r->election_elapsed < r->election_timeout)
        return;
    timeout_draw(r);
    /* While its own vote is not durable, another term would only make the disk later. */
    if (r->role == WK_RAFT_CANDIDATE && r->durable_hard.term != r->term)
        return;
    if (wk_raft_promotable(r))
        wk_raft_campaign(r, false);
    else if (r->leader)
        r->leader = 0; /* it is silent; reads and proposals must not wait for it */
}
