#include "raft/internal.h"
#include "base/cursor.h"

#define CONF_VERSION 1

void wk_raft_conf_encode(struct wk_buf *out, const struct wk_raft_conf *c)
{
    WK_ASSERT(c->n_voters <= WK_RAFT_PEERS_MAX && c->n_learners <= WK_RAFT_PEERS_MAX);
    wk_buf_u8(out, CONF_VERSION);
    wk_buf_u8(out, c->n_voters);
    wk_buf_u8(out, c->n_learners);
    for (uint8_t i = 0; i < c->n_voters; i++)
        wk_buf_u64(out, c->voters[i]);
    for (uint8_t i = 0; i < c->n_learners; i++)
        wk_buf_u64(out, c->learners[i]);
}

int wk_raft_conf_decode(struct wk_raft_conf *out, wkim_slice in)
{
    struct wk_cursor cur = wk_cursor(in);
    struct wk_raft_conf c = { 0 };
    const uint8_t version = wk_cursor_u8(&cur);
    c.n_voters = wk_cursor_u8(&cur);
    c.n_learners = wk_cursor_u8(&cur);
    if (cur.bad || version != CONF_VERSION || c.n_voters + c.n_learners > WK_RAFT_PEERS_MAX)
        return WKIM_EPROTO;
    for (uint8_t i = 0; i < c.n_voters; i++)
        c.voters[i] = wk_cursor_u64(&cur);
    for (uint8_t i = 0; i < c.n_learners; i++)
        c.learners[i] = wk_cursor_u64(&cur);
    if (cur.bad || wk_cursor_left(&cur) > 0 || !wk_raft_conf_valid(&c))
        return WKIM_EPROTO;
    *out = c;
    return WKIM_OK;
}

bool wk_raft_conf_has(const struct wk_raft_conf *c, uint64_t id, bool *learner)
{
    for (uint8_t i = 0; i < c->n_voters; i++) {
        if (c->voters[i] == id) {
            *learner = false;
            return true;
        }
    }
    for (uint8_t i = 0; i < c->n_learners; i++) {
        if (c->learners[i] == id) {
            *learner = true;
            return true;
        }
    }
    return false;
}

/* No id twice, none 0, not more than fit.  An empty one is valid: a node not yet told. */
bool wk_raft_conf_valid(const struct wk_raft_conf *c)
{
    uint64_t all[2 * WK_RAFT_PEERS_MAX];
    uint32_t n = 0;
    if (c->n_voters + c->n_learners > WK_RAFT_PEERS_MAX)
        return false;
    for (uint8_t i = 0; i < c->n_voters; i++)
        all[n++] = c->voters[i];
    for (uint8_t i = 0; i < c->n_learners; i++)
        all[n++] = c->learners[i];
    for (uint32_t i = 0; i < n; i++) {
        if (all[i] == 0)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (all[i] == all[j])
                return false;
    }
    return true;
}

/* WKIM_OK for: one learner added, one learner promoted, one voter demoted, one peer removed.
 * *promoted is the learner that becomes a voter, 0 if none. */
static int change_check(const struct wk_raft_conf *from, const struct wk_raft_conf *to,
                        uint64_t *promoted)
{
    uint32_t changes = 0;
    bool was_learner = false, is_learner = false;
    *promoted = 0;
    for (uint8_t i = 0; i < to->n_voters; i++) {
        if (!wk_raft_conf_has(from, to->voters[i], &was_learner))
            return WKIM_EINVAL; /* a new peer begins as a learner (R9) */
        if (was_learner) {
            *promoted = to->voters[i];
            changes++;
        }
    }
    for (uint8_t i = 0; i < to->n_learners; i++)
        changes += !wk_raft_conf_has(from, to->learners[i], &was_learner) || !was_learner;
    for (uint8_t i = 0; i < from->n_voters; i++)
        changes += !wk_raft_conf_has(to, from->voters[i], &is_learner);
    for (uint8_t i = 0; i < from->n_learners; i++)
        changes += !wk_raft_conf_has(to, from->learners[i], &is_learner);
    return changes == 1 ? WKIM_OK : WKIM_EINVAL;
}

int wk_raft_propose_conf(struct wk_raft *r, const struct wk_raft_conf *conf)
{
    uint64_t promoted;
    if (r->role != WK_RAFT_LEADER)
        return WKIM_ENOTLEADER;
    if (!conf || !wk_raft_conf_valid(conf) || conf->n_voters == 0 ||
        change_check(&r->conf, conf, &promoted) != WKIM_OK)
        return WKIM_EINVAL;
    if (r->transferee || r->pending_conf > r->applied || r->commit < r->own_first)
        return WKIM_EBUSY;
    if (promoted) {
        /* A voter that is silent or far behind would take part in no quorum but count in all. */
        const struct wk_raft_progress *p = wk_raft_peer(r, promoted);
        WK_ASSERT(p && p->learner);
        if (p->active_tick + r->opt.election_ticks <= r->now ||
            p->match + WK_RAFT_TRANSFER_LAG_MAX < r->log.last)
            return WKIM_EBUSY;
    }
    struct wk_buf b = WK_BUF_INIT;
    wk_raft_conf_encode(&b, conf);
    struct wk_blob *blob = b.oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&b);
    if (!blob)
        return WKIM_ENOMEM;
    wk_raft_append_own(r, WK_RAFT_ENTRY_CONF, blob);
    wk_raft_log_conf_add(&r->log, r->log.last, conf);
    r->pending_conf = r->log.last;
    wk_raft_append_broadcast(r);
    return WKIM_OK;
}

void wk_raft_conf_switch(struct wk_raft *r, const struct wk_raft_conf *conf)
{
    bool learner = false;
    WK_ASSERT(wk_raft_conf_valid(conf));
    r->conf = *conf;
    for (uint8_t i = 0; i < r->n_peers;) {
        struct wk_raft_progress *p = &r->peers[i];
        if (wk_raft_conf_has(conf, p->id, &learner)) {
            p->learner = learner;
            i++;
            continue;
        }
        wk_raft_progress_fini(p);
        *p = r->peers[--r->n_peers];
        memset(&r->peers[r->n_peers], 0, sizeof(*p));
    }
    for (uint32_t i = 0; i < (uint32_t)conf->n_voters + conf->n_learners; i++) {
        const uint64_t id =
            i < conf->n_voters ? conf->voters[i] : conf->learners[i - conf->n_voters];
        if (wk_raft_peer(r, id))
            continue;
        WK_ASSERT(r->n_peers < WK_RAFT_PEERS_MAX);
        struct wk_raft_progress *p = &r->peers[r->n_peers++];
        p->id = id;
        p->learner = i >= conf->n_voters;
        wk_raft_progress_reset(p, r->log.last + 1, r->now);
    }
    r->self_voter = wk_raft_conf_has(conf, r->opt.id, &learner) && !learner;
}

static void conf_applied(struct wk_raft *r, const struct wk_raft_conf *conf)
{
    wk_raft_conf_switch(r, conf);
    if (r->role == WK_RAFT_FOLLOWER)
        return;
    if (!r->self_voter) {
        wk_raft_become_follower(r, r->term, 0); /* it led its own removal up to here */
        return;
    }
    if (r->role != WK_RAFT_LEADER) {
        wk_raft_votes_count(r);
        return;
    }
    if (r->transferee)
        wk_raft_transfer_advance(r); /* ends it when the target is no voter any more */
    wk_raft_commit_advance(r);       /* the quorum may have become smaller */
    wk_raft_append_broadcast(r);
}

void wk_raft_confs_applied(struct wk_raft *r)
{
    while (r->log.confs.n > 0) {
        const struct wk_raft_pending_conf *p =
            WK_RAFT_FIFO_AT(&r->log.confs, struct wk_raft_pending_conf, 0);
        if (p->index > r->applied)
            break;
        WK_ASSERT(p->index <= r->commit);
        const struct wk_raft_conf conf = p->conf;
        wk_raft_fifo_pop(&r->log.confs, 1);
        conf_applied(r, &conf);
    }
}

bool wk_raft_conf_unapplied(const struct wk_raft *r)
{
    const uint64_t seen = r->commit < r->log.unknown_to ? r->commit : r->log.unknown_to;
    if (r->log.scanned_to < seen)
        return true; /* not known: there may be one */
    return r->log.confs.n > 0 &&
           WK_RAFT_FIFO_AT(&r->log.confs, struct wk_raft_pending_conf, 0)->index <= r->commit;
}

void wk_raft_scan(struct wk_raft *r)
{
    struct wk_raft_log *l = &r->log;
    struct wk_raft_entry e[WK_RAFT_SCAN_ENTRIES];
    struct wk_raft_conf c;
    uint64_t to = l->unknown_to < r->commit ? l->unknown_to : r->commit;
    to = to < l->durable ? to : l->durable;
    /* One range at a time: the scanned part is also the next range to apply. */
    if (r->installing || l->scanned_to >= to || r->apply_handed < l->scanned_to)
        return;
    if (to - l->scanned_to > WK_RAFT_SCAN_ENTRIES)
        to = l->scanned_to + WK_RAFT_SCAN_ENTRIES;
    const wkim_ssize n = l->reader.entries(l->reader.user, l->scanned_to + 1, to + 1,
                                           r->opt.apply_bytes_max, e, WK_RAFT_SCAN_ENTRIES);
    if (n == WKIM_ENOTFOUND || n == 0)
        wk_raft_fault_set(r, "a committed entry is missing from the log");
    size_t confs = 0;
    for (wkim_ssize i = 0; i < n; i++)
        confs += e[i].type == WK_RAFT_ENTRY_CONF;
    const bool room = wk_raft_fifo_reserve(&l->confs, confs, sizeof(struct wk_raft_pending_conf)) ==
                      WKIM_OK; /* without it, the next event tries again */
    for (wkim_ssize i = 0; i < n; i++) {
        l->scanned_to += room;
        if (room && e[i].type == WK_RAFT_ENTRY_CONF) {
            WK_ASSERT(e[i].index == l->scanned_to);
            if (wk_raft_conf_decode(&c, wk_blob_slice(e[i].data)) == WKIM_OK && c.n_voters > 0)
                wk_raft_log_conf_add(l, e[i].index, &c);
            else
                wk_raft_fault_set(r, "a committed configuration cannot be read");
        }
        wk_blob_unref(e[i].data);
    }
}
