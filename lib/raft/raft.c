#include "raft/raft.h"
#include "raft/internal.h"
#include "base/mem.h"

void wk_raft_fault_set(struct wk_raft *r, const char *text)
{
    WK_ASSERT(text);
    if (!r->fault)
        r->fault = text;
}

struct wk_raft_progress *wk_raft_peer(struct wk_raft *r, uint64_t id)
{
    WK_ASSERT(r->n_peers <= WK_RAFT_PEERS_MAX);
    for (uint8_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id == id)
            return &r->peers[i];
    return NULL;
}

struct wk_raft_msg *wk_raft_send(struct wk_raft *r, uint8_t type, uint64_t to)
{
    WK_ASSERT(to != 0 && to != r->opt.id);
    struct wk_raft_outbox *o = r->pending;
    if (wk_raft_outbox_reserve(o, 1, 0) != WKIM_OK)
        return NULL;
    *WK_RAFT_FIFO_AT(&o->firsts, size_t, o->firsts.n++) = 0;
    struct wk_raft_msg *m = WK_RAFT_FIFO_AT(&o->msgs, struct wk_raft_msg, o->msgs.n++);
    memset(m, 0, sizeof(*m));
    m->type = type;
    m->from = r->opt.id;
    m->to = to;
    m->term = r->term;
    return m;
}

uint64_t wk_raft_random(struct wk_raft *r)
{
    uint64_t z = (r->rng += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static int options_check(const struct wk_raft_options *o, struct wkim_error *err)
{
    if (o->id == 0 || o->election_ticks < 2 || o->heartbeat_ticks == 0 ||
        o->heartbeat_ticks >= o->election_ticks || o->election_ticks > UINT32_MAX / 2)
        return wk_fail(err, WKIM_EINVAL, "raft: id %llu, election %u, heartbeat %u ticks",
                       (unsigned long long)o->id, o->election_ticks, o->heartbeat_ticks);
    if (o->inflight_msgs_max == 0 || o->inflight_bytes_max == 0 || o->msg_bytes_max == 0 ||
        o->uncommitted_bytes_max == 0 || o->apply_bytes_max == 0)
        return wk_fail(err, WKIM_EINVAL, "raft: a limit is 0");
    if (!o->reader.term || !o->reader.entries || !wk_raft_conf_valid(&o->conf))
        return wk_fail(err, WKIM_EINVAL, "raft: no log reader, or a wrong configuration");
    if (o->first_index == 0 || o->last_index + 1 < o->first_index || o->last_index == UINT64_MAX)
        return wk_fail(err, WKIM_ECORRUPT, "raft: log [%llu, %llu]",
                       (unsigned long long)o->first_index, (unsigned long long)o->last_index);
    if (o->installing)
        return o->installing->index > 0 && wk_raft_conf_valid(&o->installing->conf)
                   ? WKIM_OK
                   : wk_fail(err, WKIM_EINVAL, "raft: wrong install request");
    if (o->applied + 1 < o->first_index || o->applied > o->last_index ||
        o->hard.commit > o->last_index)
        return wk_fail(err, WKIM_ECORRUPT, "raft: log [%llu, %llu], applied %llu, commit %llu",
                       (unsigned long long)o->first_index, (unsigned long long)o->last_index,
                       (unsigned long long)o->applied, (unsigned long long)o->hard.commit);
    return WKIM_OK;
}

static void restore(struct wk_raft *r)
{
    const struct wk_raft_options *o = &r->opt;
    r->rng = o->seed ^ (o->id * 0xd1342543de82ef95ull);
    r->term = o->hard.term;
    r->vote = o->hard.vote;
    r->applied = r->apply_handed = o->applied;
    r->commit = o->hard.commit > o->applied ? o->hard.commit : o->applied;
    r->handed_hard = r->durable_hard = o->hard;
    r->read_seq = wk_raft_random(r);
    /* A snapshot may have been persisted before the term of the leader that offered it.  Nothing
     * was promised in that term: a promise would have waited for it. */
    const bool bare = o->last_index + 1 == o->first_index;
    uint64_t term = bare ? wk_raft_log_last_term(&r->log) : 0;
    if (o->installing && o->installing->term > term)
        term = o->installing->term;
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
    }
    if (o->installing) {
        /* State and log may be half gone; nothing of them is used until the pull is complete. */
        r->installing = r->install_active = true;
        r->install = *o->installing;
        r->pending->install = true;
        r->pending->req = r->install;
        r->opt.installing = NULL;
        if (r->commit > r->install.index)
            r->commit = r->install.index; /* what completes the pull must not take it back */
        if (r->applied > r->commit)
            r->applied = r->apply_handed = r->commit;
        r->handed_hard.commit = 0;
    }
    wk_raft_conf_switch(r, &o->conf);
    wk_raft_become_follower(r, r->term, 0);
}

int wk_raft_new(struct wk_raft **out, const struct wk_raft_options *opt, struct wkim_error *err)
{
    *out = NULL;
    int rc = options_check(opt, err);
    if (rc != WKIM_OK)
        return rc;
    struct wk_raft *r = wk_calloc(1, sizeof(*r));
    if (!r)
        return wk_fail(err, WKIM_ENOMEM, "raft: %zu bytes", sizeof(*r));
    r->opt = *opt;
    r->pending = &r->box[0];
    r->out = &r->box[1];
    rc = wk_raft_log_init(&r->log, opt);
    if (rc != WKIM_OK) {
        wk_raft_free(r);
        return wk_fail(err, rc, "raft: term of the last entry %llu",
                       (unsigned long long)opt->last_index);
    }
    restore(r);
    if (wk_raft_log_last_term(&r->log) > r->term) {
        wk_raft_free(r); /* an entry is never written before its term is */
        return wk_fail(err, WKIM_ECORRUPT, "raft: the log is of a later term than the hard state");
    }
    wk_raft_scan(r);
    *out = r;
    return WKIM_OK;
}

void wk_raft_free(struct wk_raft *r)
{
    if (!r)
        return;
    for (uint8_t i = 0; i < r->n_peers; i++)
        wk_raft_progress_fini(&r->peers[i]);
    wk_raft_log_fini(&r->log);
    wk_raft_outbox_fini(r->pending);
    wk_raft_outbox_fini(r->out);
    wk_raft_fifo_fini(&r->charges);
    wk_raft_fifo_fini(&r->reads);
    wk_raft_fifo_fini(&r->forwarded);
    wk_free(r);
}

static bool from_leader(uint8_t type)
{
    return type == WK_RAFT_MSG_APPEND || type == WK_RAFT_MSG_HEARTBEAT ||
           type == WK_RAFT_MSG_SNAPSHOT;
}

static void term_old(struct wk_raft *r, const struct wk_raft_msg *m)
{
    uint8_t type;
    WK_ASSERT(m->term < r->term);
    /* A leader or candidate of an old term learns of the newer one; the rest is late. */
    if (from_leader(m->type))
        type = WK_RAFT_MSG_APPEND_RESP;
    else if (m->type == WK_RAFT_MSG_VOTE)
        type = WK_RAFT_MSG_VOTE_RESP;
    else if (m->type == WK_RAFT_MSG_PREVOTE)
        type = WK_RAFT_MSG_PREVOTE_RESP;
    else
        return;
    struct wk_raft_msg *o = wk_raft_send(r, type, m->from);
    if (!o)
        return;
    o->reject = true;
    o->index = m->index;
}

/* False when the message is dropped. */
static bool term_newer(struct wk_raft *r, const struct wk_raft_msg *m)
{
    WK_ASSERT(m->term > r->term);
    const bool vote = m->type == WK_RAFT_MSG_VOTE || m->type == WK_RAFT_MSG_PREVOTE;
    /* R8: whoever hears a leader helps nobody to depose it, unless the leader itself asked. */
    if (vote && !m->force && r->leader && r->election_elapsed < r->opt.election_ticks)
        return false;
    if (m->type == WK_RAFT_MSG_PREVOTE || (m->type == WK_RAFT_MSG_PREVOTE_RESP && !m->reject))
        return true; /* asks about a term that does not exist yet */
    wk_raft_become_follower(r, m->term, from_leader(m->type) ? m->from : 0);
    return true;
}

static bool leader_heard(struct wk_raft *r, const struct wk_raft_msg *m)
{
    WK_ASSERT(m->term == r->term);
    if (r->role == WK_RAFT_LEADER || (r->leader && r->leader != m->from)) {
        wk_raft_fault_set(r, "two leaders in one term");
        return false;
    }
    if (r->role != WK_RAFT_FOLLOWER)
        wk_raft_become_follower(r, m->term, m->from);
    r->leader = m->from;
    r->election_elapsed = 0;
    r->campaign_wanted = false;
    return true;
}

static void dispatch_leader(struct wk_raft *r, const struct wk_raft_msg *m)
{
    if (m->type == WK_RAFT_MSG_READ_INDEX) {
        wk_raft_read_receive(r, m);
        return;
    }
    if (r->role != WK_RAFT_LEADER)
        return;
    if (m->type == WK_RAFT_MSG_APPEND_RESP)
        wk_raft_append_response(r, m);
    else if (m->type == WK_RAFT_MSG_HEARTBEAT_RESP)
        wk_raft_heartbeat_response(r, m);
    else if (m->type == WK_RAFT_MSG_SNAPSHOT_STATUS)
        wk_raft_snapshot_status(r, m);
}

static void dispatch(struct wk_raft *r, const struct wk_raft_msg *m)
{
    switch (m->type) {
    case WK_RAFT_MSG_VOTE:
    case WK_RAFT_MSG_PREVOTE:
        wk_raft_vote_request(r, m);
        return;
    case WK_RAFT_MSG_VOTE_RESP:
    case WK_RAFT_MSG_PREVOTE_RESP:
        wk_raft_vote_response(r, m);
        return;
    case WK_RAFT_MSG_APPEND:
        if (leader_heard(r, m))
            wk_raft_append_receive(r, m);
        return;
    case WK_RAFT_MSG_HEARTBEAT:
        if (leader_heard(r, m))
            wk_raft_heartbeat_receive(r, m);
        return;
    case WK_RAFT_MSG_SNAPSHOT:
        if (leader_heard(r, m))
            wk_raft_snapshot_receive(r, m);
        return;
    case WK_RAFT_MSG_TIMEOUT_NOW:
        if (r->role == WK_RAFT_FOLLOWER && r->leader == m->from && wk_raft_promotable(r))
            wk_raft_campaign(r, true);
        return;
    case WK_RAFT_MSG_READ_INDEX_RESP:
        wk_raft_read_response(r, m);
        return;
    default:
        dispatch_leader(r, m);
    }
}

static int receive(struct wk_raft *r, const struct wk_raft_msg *m)
{
    if (m->term < r->term) {
        term_old(r, m);
        return WKIM_OK;
    }
    if (m->term > r->term && !term_newer(r, m))
        return WKIM_OK;
    dispatch(r, m);
    return WKIM_OK;
}

static int receive_check(const struct wk_raft *r, const struct wk_raft_msg *m, size_t *terms,
                         size_t *confs)
{
    if (!m || m->from == 0 || m->from == r->opt.id || m->to != r->opt.id ||
        m->type < WK_RAFT_MSG_APPEND || m->type > WK_RAFT_MSG_PROPOSE)
        return WKIM_EINVAL;
    if (m->type == WK_RAFT_MSG_PROPOSE)
        return WKIM_EUNSUPPORTED; /* forwarding is the caller's: no option switches it on */
    if (m->type == WK_RAFT_MSG_APPEND)
        return wk_raft_append_check(m, terms, confs);
    return WKIM_OK;
}

/* All the memory that the event can need, so that nothing fails half-way. */
static int reserve(struct wk_raft *r, const struct wk_raft_event *ev)
{
    size_t entries = 1, terms = 1, confs = 1;
    int rc = WKIM_OK;
    if (ev->type == WK_RAFT_PROPOSE)
        entries += r->role == WK_RAFT_LEADER ? ev->u.propose.n : 0;
    if (ev->type == WK_RAFT_RECEIVE) {
        rc = receive_check(r, ev->u.msg, &terms, &confs);
        entries += ev->u.msg && ev->u.msg->type == WK_RAFT_MSG_APPEND ? ev->u.msg->n_entries : 0;
    }
    if (rc == WKIM_OK)
        rc = wk_raft_outbox_reserve(r->pending, 3 * ((size_t)r->n_peers + 1) + 8,
                                    r->reads.n + r->forwarded.n + 1);
    if (rc == WKIM_OK)
        rc = wk_raft_log_reserve(&r->log, entries, terms + 1, confs);
    if (rc == WKIM_OK && (ev->type == WK_RAFT_READ_INDEX || ev->type == WK_RAFT_RECEIVE))
        rc = wk_raft_fifo_reserve(&r->reads, 1, sizeof(struct wk_raft_read));
    if (rc == WKIM_OK && ev->type == WK_RAFT_READ_INDEX)
        rc = wk_raft_fifo_reserve(&r->forwarded, 1, sizeof(struct wk_raft_read));
    return rc;
}

static int campaign(struct wk_raft *r)
{
    if (!r->self_voter)
        return WKIM_EINVAL;
    if (r->role == WK_RAFT_LEADER)
        return WKIM_OK;
    if (r->installing)
        return WKIM_EBUSY;
    /* One vote at a time waits for the disk. */
    if (r->role == WK_RAFT_CANDIDATE && r->durable_hard.term != r->term)
        return WKIM_OK;
    if (wk_raft_promotable(r))
        wk_raft_campaign(r, false);
    else
        r->campaign_wanted = true;
    return WKIM_OK;
}

static int persisted(struct wk_raft *r, const struct wk_raft_event *ev)
{
    const uint64_t number = ev->u.persisted.ready;
    if (number == 0 || number > r->number)
        return WKIM_EINVAL;
    const int rc = wk_raft_log_persisted(&r->log, number, ev->u.persisted.term,
                                         ev->u.persisted.index, &r->durable_hard);
    if (rc != WKIM_OK)
        return rc;
    if (r->role == WK_RAFT_LEADER) {
        struct wk_raft_progress *self = wk_raft_peer(r, r->opt.id);
        WK_ASSERT(self && self->match <= r->log.durable);
        self->match = r->log.durable;
        if (wk_raft_commit_advance(r))
            wk_raft_append_broadcast(r);
    }
    wk_raft_votes_count(r);
    return WKIM_OK;
}

static int applied(struct wk_raft *r, uint64_t index)
{
    if (index > r->apply_handed)
        return WKIM_EINVAL;
    if (index <= r->applied)
        return WKIM_OK;
    WK_ASSERT(index <= r->commit && r->commit <= r->log.last);
    r->applied = index;
    wk_raft_confs_applied(r);
    return WKIM_OK;
}

static int unreachable(struct wk_raft *r, uint64_t id)
{
    struct wk_raft_progress *p = wk_raft_peer(r, id);
    if (r->role != WK_RAFT_LEADER)
        return WKIM_OK;
    if (!p || id == r->opt.id)
        return WKIM_EINVAL;
    if (p->state == WK_RAFT_REPLICATE)
        wk_raft_progress_probe(p);
    return WKIM_OK;
}

static int act(struct wk_raft *r, const struct wk_raft_event *ev)
{
    switch (ev->type) {
    case WK_RAFT_TICK:
        wk_raft_tick(r);
        return WKIM_OK;
    case WK_RAFT_CAMPAIGN:
        return campaign(r);
    case WK_RAFT_PROPOSE:
        return wk_raft_propose(r, ev);
    case WK_RAFT_PROPOSE_CONF:
        return wk_raft_propose_conf(r, ev->u.conf);
    case WK_RAFT_RECEIVE:
        return receive(r, ev->u.msg);
    case WK_RAFT_PERSISTED:
        return persisted(r, ev);
    case WK_RAFT_APPLIED:
        return applied(r, ev->u.applied);
    case WK_RAFT_READ_INDEX:
        return wk_raft_read_local(r, ev->u.read);
    case WK_RAFT_TRANSFER:
        return wk_raft_transfer(r, ev->u.transfer);
    case WK_RAFT_COMPACTED:
        return wk_raft_compacted(r, ev->u.compacted);
    case WK_RAFT_SNAPSHOT_DONE:
        return wk_raft_snapshot_done(r, ev);
    case WK_RAFT_UNREACHABLE:
        return unreachable(r, ev->u.peer);
    default:
        return WKIM_EINVAL;
    }
}

int wk_raft_step(struct wk_raft *r, const struct wk_raft_event *ev)
{
    if (r->fault)
        return WKIM_ECORRUPT;
    wk_raft_outbox_clear(r->out);
    int rc = reserve(r, ev);
    if (rc != WKIM_OK)
        return rc;
    if (r->role == WK_RAFT_LEADER)
        wk_raft_append_retry(r);
    rc = act(r, ev);
    if (!r->fault)
        wk_raft_scan(r);
    if (!r->fault && r->campaign_wanted)
        wk_raft_campaign_retry(r);
    if (r->fault)
        return WKIM_ECORRUPT;
    WK_ASSERT(r->installing || (r->applied <= r->commit && r->commit <= r->log.last));
    WK_ASSERT(r->apply_handed <= r->commit || r->installing);
    WK_ASSERT(r->role != WK_RAFT_LEADER || r->leader == r->opt.id);
    return rc;
}

const char *wk_raft_fault(const struct wk_raft *r)
{
    return r->fault;
}

uint64_t wk_raft_last_index(const struct wk_raft *r)
{
    return r->log.last;
}

void wk_raft_status(const struct wk_raft *r, struct wk_raft_status *out)
{
    *out = (struct wk_raft_status){ .id = r->opt.id, .term = r->term, .vote = r->vote,
                                    .leader = r->leader, .commit = r->commit,
                                    .applied = r->applied, .first_index = r->log.first,
                                    .last_index = r->log.last,
                                    .durable_index = r->log.durable, .role = r->role,
                                    .transferring = r->transferee != 0,
                                    .transferee = r->transferee, .conf = r->conf,
                                    .n_peers = r->n_peers, .installing = r->installing,
                                    .install_index = r->installing ? r->install.index : 0,
                                    .uncommitted_bytes = r->uncommitted_bytes,
                                    .batches_in_flight = (uint32_t)r->log.batches.n };
    for (uint8_t i = 0; i < r->n_peers; i++) {
        const struct wk_raft_progress *p = &r->peers[i];
        out->peers[i].id = p->id;
        out->peers[i].match = p->match;
        out->peers[i].next = p->next;
        out->peers[i].state = p->state;
        out->peers[i].learner = p->learner;
        out->peers[i].inflight = (uint32_t)p->window.n;
        out->peers[i].recent_active =
            p->id == r->opt.id || p->active_tick + r->opt.election_ticks > r->now;
    }
}
