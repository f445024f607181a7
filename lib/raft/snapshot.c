#include "raft/internal.h"

/* The offer is the applied position of the leader: its state machine holds at least that. */
bool wk_raft_snapshot_send(struct wk_raft *r, struct wk_raft_progress *p)
{
    uint64_t term;
    WK_ASSERT(r->role == WK_RAFT_LEADER);
    if (p->active_tick + r->opt.election_ticks <= r->now || r->applied == 0)
        return false; /* nobody there to pull, or nothing to offer */
    const int rc = wk_raft_log_term(&r->log, r->applied, &term);
    if (rc != WKIM_OK) {
        p->waiting = rc == WKIM_EAGAIN;
        return false;
    }
    struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_SNAPSHOT, p->id);
    if (!m)
        return false;
    m->index = r->applied;
    m->log_term = term;
    m->commit = r->commit;
    m->conf = r->conf;
    wk_raft_progress_snapshot(p, r->applied, r->round);
    return false;
}

/* The follower said that entries are of no use to it.  `round` is the last heartbeat it heard. */
void wk_raft_snapshot_needed(struct wk_raft *r, struct wk_raft_progress *p,
                             const struct wk_raft_msg *m, uint64_t round)
{
    uint64_t term;

    /* The follower gave up its state for a committed position: if the entry there is ours, too, it
     * is committed whatever we knew. */
    if (m->commit > r->commit && m->commit <= r->log.durable &&
        wk_raft_log_term(&r->log, m->commit, &term) == WKIM_OK && term == m->log_term)
        wk_raft_commit_to(r, m->commit);
    if (p->state == WK_RAFT_SNAPSHOT_STATE && round <= p->snapshot_round)
        return; /* the offer may still be on its way */
    p->snapshot_index = 0;
    wk_raft_progress_probe(p);
    /* What it acknowledged before may be gone with its log. */
    p->match = 0;
    p->next = 1;
    wk_raft_snapshot_send(r, p);
}

static void install_begin(struct wk_raft *r, const struct wk_raft_msg *m)
{
    r->installing = r->install_active = true;
    r->install = (struct wk_raft_snapshot_req){ .from = m->from, .index = m->index,
                                                .term = m->log_term, .conf = m->conf };
    r->pending->req = r->install;
    r->pending->install = true;
}

void wk_raft_snapshot_receive(struct wk_raft *r, const struct wk_raft_msg *m)
{
    bool learner;
    uint64_t term;
    WK_ASSERT(r->role == WK_RAFT_FOLLOWER && m->term == r->term);
    if (m->index == 0 || !wk_raft_conf_valid(&m->conf) ||
        !wk_raft_conf_has(&m->conf, r->opt.id, &learner))
        return;
    if (r->installing) {
        /* One pull at a time; another source only if this one's is gone or was another's, and
         * never back to an older position: votes were given on the newer one. */
        const bool same = r->install_active && r->install.from == m->from;
        if (!same && m->index >= r->install.index && m->log_term >= r->install.term)
            install_begin(r, m);
        return;
    }
    if (m->index <= r->commit) {
        wk_raft_acknowledge(r, m->from, r->commit);
        return;
    }
    const int rc = wk_raft_log_term(&r->log, m->index, &term);
    if (rc == WKIM_EAGAIN)
        return;
    if (rc == WKIM_OK && term == m->log_term) {
        /* The log holds it already, perhaps in writes still in flight: no need to pull. */
        wk_raft_commit_to(r, m->index);
        wk_raft_acknowledge(r, m->from, r->commit);
        return;
    }
    install_begin(r, m);
}

int wk_raft_snapshot_done(struct wk_raft *r, const struct wk_raft_event *ev)
{
    if (!r->installing || !r->install_active || ev->u.snapshot.index != r->install.index ||
        ev->u.snapshot.term != r->install.term)
        return WKIM_EINVAL;
    const struct wk_raft_conf conf = ev->u.snapshot.conf ? *ev->u.snapshot.conf : r->install.conf;
    if (!wk_raft_conf_valid(&conf))
        return WKIM_EINVAL;
    if (ev->u.snapshot.ok) {
        WK_ASSERT(r->role == WK_RAFT_FOLLOWER);
        r->installing = false;
        wk_raft_log_reset(&r->log, r->install.index, r->install.term);
        r->commit = r->applied = r->apply_handed = r->install.index;
        wk_raft_conf_switch(r, &conf);
    }
    r->install_active = false;
    if (r->leader && r->leader != r->opt.id) {
        struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_SNAPSHOT_STATUS, r->leader);
        if (m) {
            m->index = r->install.index;
            m->reject = !ev->u.snapshot.ok;
            m->after_persist = true;
        }
    }
    return WKIM_OK;
}

void wk_raft_snapshot_status(struct wk_raft *r, const struct wk_raft_msg *m)
{
    struct wk_raft_progress *p = wk_raft_peer(r, m->from);
    if (!p || p->id == r->opt.id)
        return;
    p->active_tick = r->now;
    if (!m->reject) {
        /* As good as an acknowledgement: it holds everything up to there. */
        struct wk_raft_msg ack = *m;
        ack.type = WK_RAFT_MSG_APPEND_RESP;
        ack.force = false;
        if (p->state == WK_RAFT_SNAPSHOT_STATE) {
            p->snapshot_index = 0;
            wk_raft_progress_probe(p);
        }
        wk_raft_append_response(r, &ack);
        return;
    }
    if (p->state == WK_RAFT_SNAPSHOT_STATE && p->snapshot_index == m->index) {
        p->snapshot_index = 0;
        wk_raft_progress_probe(p);
        p->paused = true; /* the next heartbeat's answer begins anew, not a tight loop */
    }
}

int wk_raft_compacted(struct wk_raft *r, uint64_t first)
{
    if (first <= r->log.first)
        return WKIM_OK;
    if (first - 1 > r->applied || first - 1 > r->log.durable)
        return WKIM_EINVAL;
    wk_raft_log_compact(&r->log, first);
    return WKIM_OK;
}
