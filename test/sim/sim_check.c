/* What must hold after every step.  The registry of a group remembers, over all nodes and all their
 * lives, who led which term, what each (index, term) contained, and what was applied where. */
#include "sim.h"
#include <stdlib.h>
#include "base/hash.h"

#define U(x) ((unsigned long long)(x))

static void grow(void *p, uint64_t *cap, uint64_t need, size_t size)
{
    void **items = p;
    uint64_t want = *cap ? *cap : 256;

    while (want <= need)
        want *= 2;
    if (want == *cap)
        return;
    *items = sim_must(realloc(*items, want * size));
    memset((uint8_t *)*items + *cap * size, 0, (want - *cap) * size);
    *cap = want;
}

/* Leader completeness: a new leader of term T has every entry that was committed in terms before. A
 * late vote may still make a leader of an old term when newer ones have committed. */
static void check_complete(struct sim_node *n, uint32_t group, uint64_t term)
{
    const struct sim_registry *reg = &n->sim->reg[group];
    const struct sim_group *g = &n->groups[group];
    uint64_t i = reg->max_applied;

    while (i > 0 && reg->applied[i].in_term >= term)
        i--;
    if (i > 0 && wk_raft_last_index(g->raft) < i)
        sim_fail(n->sim,
                 "leader completeness: node %llu leads group %u term %llu with log end %llu, "
                 "%llu was committed",
                 U(n->id), group, U(term), U(wk_raft_last_index(g->raft)), U(i));
    if (i > 0 && i <= g->last_durable && g->terms[i] && g->terms[i] != reg->applied[i].term)
        sim_fail(n->sim,
                 "leader completeness: node %llu leads group %u term %llu, entry %llu has "
                 "term %llu, committed was %llu",
                 U(n->id), group, U(term), U(i), U(g->terms[i]), U(reg->applied[i].term));
}

static void check_leader(struct sim_node *n, uint32_t group, uint64_t term)
{
    struct sim_registry *reg = &n->sim->reg[group];

    grow(&reg->leaders, &reg->leaders_cap, term, sizeof(*reg->leaders));
    if (reg->leaders[term] != 0 && reg->leaders[term] != n->id)
        sim_fail(n->sim, "two leaders in group %u term %llu: %llu and %llu", group, U(term),
                 U(reg->leaders[term]), U(n->id));
    if (reg->leaders[term] == 0) {
        n->sim->elections++;
        check_complete(n, group, term);
    }
    reg->leaders[term] = n->id;
}

/* applied <= commit <= what a majority of voters holds on stable storage.  A leader counts entries
 * of its own term only; what somebody applied already it may learn to be committed from a follower
 * that was offered that position. */
static void check_commit(struct sim_node *n, uint32_t group, const struct wk_raft_status *st)
{
    struct sim *s = n->sim;
    unsigned have = 0;
    uint64_t term = 0;

    if (st->applied > st->commit)
        sim_fail(s, "node %llu group %u applied %llu beyond commit %llu", U(n->id), group,
                 U(st->applied), U(st->commit));
    if (st->commit <= n->groups[group].commit_seen)
        return;
    n->groups[group].commit_seen = st->commit;
    if (st->role != WK_RAFT_LEADER || st->commit > s->reg[group].max_applied + 100000 ||
        st->commit <= s->reg[group].max_applied)
        return;
    for (unsigned i = 0; i < st->conf.n_voters && term == 0; i++) {
        const struct sim_group *g = &s->nodes[st->conf.voters[i] - 1].groups[group];
        if (st->commit <= g->last_durable && g->terms[st->commit] == st->term)
            term = st->term;
    }
    for (unsigned i = 0; i < st->conf.n_voters; i++) {
        const struct sim_group *g = &s->nodes[st->conf.voters[i] - 1].groups[group];
        have += st->commit <= g->last_durable && g->terms[st->commit] == st->term;
    }
    if (term == 0 || have <= st->conf.n_voters / 2u)
        sim_fail(s, "node %llu group %u term %llu committed %llu, durable with %u of %u voters",
                 U(n->id), group, U(st->term), U(st->commit), have, st->conf.n_voters);
}

void sim_check_ready(struct sim_node *n, uint32_t group, const struct wk_raft_ready *rd)
{
    struct sim_group *g = &n->groups[group];
    struct wk_raft_status st;

    wk_raft_status(g->raft, &st);
    if (rd->soft_changed) {
        g->role = rd->role;
        g->leader = rd->leader;
    }
    if (st.role == WK_RAFT_LEADER)
        check_leader(n, group, st.term);
    check_commit(n, group, &st);
    sim_note(n->sim, n->id << 32 | group, st.term << 32 | st.commit, wk_raft_last_index(g->raft));
}

static uint64_t id_hash(uint64_t index, uint64_t term)
{
    return (index * 0x9e3779b97f4a7c15ull) ^ (term * 0xc2b2ae3d27d4eb4full);
}

static struct sim_entry_id *id_find(struct sim_entry_id *ids, size_t cap, uint64_t index,
                                    uint64_t term)
{
    size_t i = (size_t)(id_hash(index, term) >> 20) & (cap - 1);

    while (ids[i].index != 0 && (ids[i].index != index || ids[i].term != term))
        i = (i + 1) & (cap - 1);
    return &ids[i];
}

static struct sim_entry_id *id_get(struct sim_registry *reg, uint64_t index, uint64_t term)
{
    if ((reg->n_ids + 1) * 2 > reg->id_cap) {
        const size_t cap = reg->id_cap ? reg->id_cap * 2 : 512;
        struct sim_entry_id *ids = sim_must(calloc(cap, sizeof(*ids)));
        for (size_t i = 0; i < reg->id_cap; i++) {
            if (reg->ids[i].index)
                *id_find(ids, cap, reg->ids[i].index, reg->ids[i].term) = reg->ids[i];
        }
        free(reg->ids);
        reg->ids = ids;
        reg->id_cap = cap;
    }
    return id_find(reg->ids, reg->id_cap, index, term);
}

/* Log matching, by induction: equal (index, term) means equal content and equal predecessor. */
void sim_check_entries(struct sim_node *n, uint32_t group, const struct wk_raft_entry *e,
                       uint32_t n_e, uint64_t prev_term)
{
    struct sim_registry *reg = &n->sim->reg[group];

    for (uint32_t i = 0; i < n_e; prev_term = e[i++].term) {
        const wkim_slice data = wk_blob_slice(e[i].data);
        const uint64_t h = wk_hash64(data.p, data.n, e[i].type);
        struct sim_entry_id *id = id_get(reg, e[i].index, e[i].term);
        if (id->index == 0) {
            *id = (struct sim_entry_id){e[i].index, e[i].term, h, prev_term};
            reg->n_ids++;
        } else if (id->hash != h || (prev_term && id->prev_term && id->prev_term != prev_term)) {
            sim_fail(n->sim, "log matching: node %llu group %u entry %llu of term %llu differs",
                     U(n->id), group, U(e[i].index), U(e[i].term));
        }
    }
}

void sim_check_applied(struct sim_node *n, uint32_t group, uint64_t term, uint64_t hash)
{
    struct sim_registry *reg = &n->sim->reg[group];
    const uint64_t index = n->groups[group].now.applied;

    grow(&reg->applied, &reg->applied_cap, index, sizeof(*reg->applied));
    if (index == reg->max_applied + 1) {
        struct wk_raft_status st;
        wk_raft_status(n->groups[group].raft, &st);
        reg->applied[index] = (struct sim_record){term, hash, st.term};
        reg->max_applied = index;
    } else if (index > reg->max_applied) {
        sim_fail(n->sim, "node %llu group %u applied %llu, nobody applied %llu", U(n->id), group,
                 U(index), U(index - 1));
    } else if (reg->applied[index].term != term || reg->applied[index].hash != hash) {
        sim_fail(n->sim,
                 "committed prefix: node %llu group %u applied another entry at %llu (term "
                 "%llu, was %llu)",
                 U(n->id), group, U(index), U(term), U(reg->applied[index].term));
    }
}

static void terms_put(struct sim_group *g, uint64_t index, uint64_t term)
{
    grow(&g->terms, &g->terms_cap, index, sizeof(*g->terms));
    g->terms[index] = term;
}

/* The batch is on stable storage. */
void sim_check_durable(struct sim_node *n, const struct sim_item *it)
{
    struct sim_group *g = &n->groups[it->group];

    if (it->reset) {
        terms_put(g, it->reset_index, it->reset_term);
        g->last_durable = it->reset_index;
        return;
    }
    if (it->batch.has_hard) {
        if (it->batch.hard_term < g->term ||
            (it->batch.hard_term == g->term && g->vote && it->batch.hard_vote != g->vote))
            sim_fail(n->sim, "node %llu group %u: term or vote went back: %llu/%llu to %llu/%llu",
                     U(n->id), it->group, U(g->term), U(g->vote), U(it->batch.hard_term),
                     U(it->batch.hard_vote));
        g->term = it->batch.hard_term;
        g->vote = it->batch.hard_vote;
    }
    for (uint32_t i = 0; i < it->batch.n_entries; i++) {
        const struct wk_log_entry *e = &it->batch.entries[i];
        terms_put(g, e->index, e->term);
        g->last_durable = e->index;
    }
}

/* What the log of a restarted node says must cover what had been reported durable. */
void sim_check_restart(struct sim_node *n, uint32_t group, const struct wk_log_group_state *st)
{
    struct sim_group *g = &n->groups[group];
    uint64_t term;

    if (st->hard_term < g->term ||
        (st->hard_term == g->term && g->vote && st->hard_vote != g->vote))
        sim_fail(n->sim,
                 "node %llu group %u restarted with term/vote %llu/%llu, durable was %llu/%llu",
                 U(n->id), group, U(st->hard_term), U(st->hard_vote), U(g->term), U(g->vote));
    g->term = st->hard_term;
    g->vote = st->hard_vote;
    terms_put(g, st->first_index - 1, st->base_term);
    for (uint64_t i = st->first_index; i <= st->last_index; i++) {
        if (wk_log_term(n->log, group, i, &term) != WKIM_OK)
            sim_fail(n->sim, "node %llu group %u: no term of entry %llu", U(n->id), group, U(i));
        terms_put(g, i, term);
    }
    g->last_durable = st->last_index;
    g->voted_term = 0;
}

void sim_check_read(struct sim_node *n, uint32_t group, const struct wk_raft_read_state *r)
{
    const struct sim_group *g = &n->groups[group];

    for (unsigned i = 0; i < 8; i++) {
        if (g->reads[i].tag != r->tag || r->code != WKIM_OK)
            continue;
        n->sim->reads++;
        if (r->index < g->reads[i].floor)
            sim_fail(n->sim,
                     "stale read: node %llu group %u index %llu, acknowledged before was %llu",
                     U(n->id), group, U(r->index), U(g->reads[i].floor));
    }
}

void sim_check_vote(struct sim_node *n, uint32_t group, const struct wk_raft_msg *m)
{
    struct sim_group *g = &n->groups[group];

    if (m->type != WK_RAFT_MSG_VOTE_RESP || m->reject)
        return;
    if (g->term != m->term || g->vote != m->to)
        sim_fail(n->sim,
                 "node %llu group %u answers a vote of term %llu for %llu, durable is %llu/%llu",
                 U(n->id), group, U(m->term), U(m->to), U(g->term), U(g->vote));
    if (g->voted_term == m->term && g->voted_for != m->to)
        sim_fail(n->sim, "node %llu group %u voted twice in term %llu", U(n->id), group,
                 U(m->term));
    g->voted_term = m->term;
    g->voted_for = m->to;
}

void sim_check_free(struct sim *s)
{
    for (uint32_t g = 0; g < s->opt.groups; g++) {
        free(s->reg[g].ids);
        free(s->reg[g].applied);
        free(s->reg[g].leaders);
    }
}
