#include "raft/internal.h"

void wk_raft_heartbeat_broadcast(struct wk_raft *r)
{
    WK_ASSERT(r->role == WK_RAFT_LEADER);
    r->open_round = ++r->round;
    struct wk_raft_window_slot *t = &r->round_ticks[r->now % WK_RAFT_ROUND_TICKS];
    if (t->index == 0 || t->bytes != r->now)
        *t = (struct wk_raft_window_slot){ r->round, r->now };
    for (uint8_t i = 0; i < r->n_peers; i++) {
        const struct wk_raft_progress *p = &r->peers[i];
        if (p->id == r->opt.id)
            continue;
        struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_HEARTBEAT, p->id);
        if (!m)
            continue;
        /* Never beyond what this follower is known to hold. */
        m->commit = p->match < r->commit ? p->match : r->commit;
        m->context = r->round;
    }
}

static uint64_t quorum_round(const struct wk_raft *r)
{
    uint64_t round[WK_RAFT_PEERS_MAX];
    uint32_t n = 0;
    for (uint8_t i = 0; i < r->n_peers; i++)
        if (!r->peers[i].learner)
            round[n++] = r->peers[i].id == r->opt.id ? r->round : r->peers[i].acked_round;
    return wk_raft_quorum_reached(round, n);
}

static bool lease_held(const struct wk_raft *r)
{
    if (!r->opt.lease_read || r->lease_void)
        return false;
    const uint64_t acked = quorum_round(r);
    uint64_t tick = 0;
    /* The first round of the latest tick that a quorum answered bounds when it was sent. */
    for (size_t i = 0; i < WK_RAFT_ROUND_TICKS; i++)
        if (r->round_ticks[i].index && r->round_ticks[i].index <= acked &&
            r->round_ticks[i].bytes > tick)
            tick = r->round_ticks[i].bytes;
    const uint64_t drift = r->opt.election_ticks / 5 + 1;
    return tick > 0 && r->now + drift < tick + r->opt.election_ticks;
}

static void state_emit(struct wk_raft *r, uint64_t tag, uint64_t index, int code)
{
    struct wk_raft_outbox *o = r->pending;
    WK_ASSERT(o->reads.head + o->reads.n < o->reads.cap);
    *WK_RAFT_FIFO_AT(&o->reads, struct wk_raft_read_state, o->reads.n++) =
        (struct wk_raft_read_state){ tag, index, code };
}

static void answer(struct wk_raft *r, const struct wk_raft_read *q, bool ok)
{
    if (q->from == 0) {
        state_emit(r, q->tag, ok ? q->index : 0, ok ? WKIM_OK : WKIM_ENOTLEADER);
        return;
    }
    struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_READ_INDEX_RESP, q->from);
    if (!m)
        return;
    m->context = q->context;
    m->index = ok ? q->index : 0;
    m->reject = !ok;
}

static void reads_advance(struct wk_raft *r)
{
    if (r->reads.n == 0)
        return;
    const uint64_t acked = quorum_round(r);
    while (r->reads.n > 0) {
        const struct wk_raft_read *q = WK_RAFT_FIFO_AT(&r->reads, struct wk_raft_read, 0);
        if (q->round > acked)
            break;
        answer(r, q, true);
        wk_raft_fifo_pop(&r->reads, 1);
    }
}

void wk_raft_heartbeat_response(struct wk_raft *r, const struct wk_raft_msg *m)
{
    struct wk_raft_progress *p = wk_raft_peer(r, m->from);
    if (!p || p->id == r->opt.id || m->context > r->round)
        return;
    p->active_tick = r->now;
    if (p->acked_round < m->context)
        p->acked_round = m->context;
    p->paused = false;
    if (m->force) {
        wk_raft_snapshot_needed(r, p, m, m->context);
    } else if (p->state == WK_RAFT_SNAPSHOT_STATE) {
        /* It heard of a later round but not of the offer: that was lost. */
        if (m->hint == 0 && m->context > p->snapshot_round) {
            p->snapshot_index = 0;
            wk_raft_progress_probe(p);
            wk_raft_append_send(r, p, true);
        }
    } else if (p->match < r->log.last || p->state == WK_RAFT_PROBE) {
        wk_raft_append_send(r, p, true);
    }
    reads_advance(r);
}

/* The commit index is a read's lower bound only once this term has committed an entry. */
static bool read_allowed(const struct wk_raft *r)
{
    WK_ASSERT(r->role == WK_RAFT_LEADER);
    return r->own_first > 0 && r->commit >= r->own_first;
}

static void read_begin(struct wk_raft *r, struct wk_raft_read *q)
{
    q->index = r->commit;
    if ((r->conf.n_voters == 1 && r->self_voter) || lease_held(r)) {
        answer(r, q, true);
        return;
    }
    /* Heartbeats that have not left yet prove leadership after this moment just as well. */
    if (r->open_round == 0)
        wk_raft_heartbeat_broadcast(r);
    q->round = r->open_round;
    WK_ASSERT(r->reads.head + r->reads.n < r->reads.cap);
    *WK_RAFT_FIFO_AT(&r->reads, struct wk_raft_read, r->reads.n++) = *q;
}

int wk_raft_read_local(struct wk_raft *r, uint64_t tag)
{
    struct wk_raft_read q = { .tag = tag };
    if (r->role == WK_RAFT_LEADER) {
        if (!read_allowed(r))
            return WKIM_EBUSY;
        read_begin(r, &q);
        return WKIM_OK;
    }
    if (r->leader == 0)
        return WKIM_ENOTLEADER;
    struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_READ_INDEX, r->leader);
    if (!m)
        return WKIM_ENOMEM;
    q.context = m->context = ++r->read_seq;
    q.deadline = r->now + r->opt.election_ticks;
    WK_ASSERT(r->forwarded.head + r->forwarded.n < r->forwarded.cap);
    *WK_RAFT_FIFO_AT(&r->forwarded, struct wk_raft_read, r->forwarded.n++) = q;
    return WKIM_OK;
}

void wk_raft_read_receive(struct wk_raft *r, const struct wk_raft_msg *m)
{
    struct wk_raft_read q = { .from = m->from, .context = m->context };
    if (r->role != WK_RAFT_LEADER || !read_allowed(r))
        answer(r, &q, false);
    else
        read_begin(r, &q);
}

static void forwarded_remove(struct wk_raft *r, size_t i)
{
    struct wk_raft_read *q = WK_RAFT_FIFO_AT(&r->forwarded, struct wk_raft_read, i);
    memmove(q, q + 1, (r->forwarded.n - i - 1) * sizeof(*q));
    r->forwarded.n--;
}

void wk_raft_read_response(struct wk_raft *r, const struct wk_raft_msg *m)
{
    if (m->term != r->term)
        return;
    for (size_t i = 0; i < r->forwarded.n; i++) {
        struct wk_raft_read q = *WK_RAFT_FIFO_AT(&r->forwarded, struct wk_raft_read, i);
        if (q.context != m->context)
            continue;
        q.index = m->index;
        answer(r, &q, !m->reject);
        forwarded_remove(r, i);
        return;
    }
}

void wk_raft_reads_refuse(struct wk_raft *r)
{
    for (size_t i = 0; i < r->reads.n; i++)
        answer(r, WK_RAFT_FIFO_AT(&r->reads, struct wk_raft_read, i), false);
    for (size_t i = 0; i < r->forwarded.n; i++)
        answer(r, WK_RAFT_FIFO_AT(&r->forwarded, struct wk_raft_read, i), false);
    wk_raft_fifo_pop(&r->reads, r->reads.n);
    wk_raft_fifo_pop(&r->forwarded, r->forwarded.n);
    r->open_round = 0;
}

void wk_raft_reads_tick(struct wk_raft *r)
{
    while (r->forwarded.n > 0) {
        const struct wk_raft_read *q = WK_RAFT_FIFO_AT(&r->forwarded, struct wk_raft_read, 0);
        if (q->deadline > r->now)
            break;
        answer(r, q, false); /* the question or its answer was lost */
        wk_raft_fifo_pop(&r->forwarded, 1);
    }
}
