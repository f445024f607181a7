#include "raft/internal.h"

/* What a sound leader would never send; *terms and *confs size the room it needs. */
int wk_raft_append_check(const struct wk_raft_msg *m, size_t *terms, size_t *confs)
{
    uint64_t term = m->log_term;
    struct wk_raft_conf c;
    *terms = *confs = 0;
    if (m->n_entries > 0 && !m->entries)
        return WKIM_EINVAL;
    if (m->index > UINT64_MAX - m->n_entries - 1)
        return WKIM_EINVAL;
    for (uint32_t i = 0; i < m->n_entries; i++) {
        const struct wk_raft_entry *e = &m->entries[i];
        if (e->index != m->index + 1 + i || e->term < term || e->term > m->term || e->term == 0)
            return WKIM_EINVAL;
        *terms += e->term != term || i == 0;
        term = e->term;
        if (e->type == WK_RAFT_ENTRY_CONF) {
            if (wk_raft_conf_decode(&c, wk_blob_slice(e->data)) != WKIM_OK || c.n_voters == 0)
                return WKIM_EINVAL;
            ++*confs;
        } else if (e->type != WK_RAFT_ENTRY_NORMAL) {
            return WKIM_EINVAL;
        }
    }
    return WKIM_OK;
}

/* A promise of durability: unless it is kept already, it waits for every write before it. */
void wk_raft_acknowledge(struct wk_raft *r, uint64_t to, uint64_t index)
{
    struct wk_raft_msg *o = wk_raft_send(r, WK_RAFT_MSG_APPEND_RESP, to);
    WK_ASSERT(index <= r->log.last);
    if (!o)
        return;
    o->index = index;
    o->after_persist = index > r->log.durable || r->durable_hard.term != r->term;
}

/* What is offered is applied somewhere, so it is committed: a leader that holds the entry but not
 * that knowledge could neither commit without this follower nor offer it a position it may take. */
static void offered(const struct wk_raft *r, struct wk_raft_msg *o)
{
    o->commit = r->install.index;
    o->log_term = r->install.term;
}

static void refuse(struct wk_raft *r, const struct wk_raft_msg *m)
{
    struct wk_raft_msg *o = wk_raft_send(r, WK_RAFT_MSG_APPEND_RESP, m->from);
    if (!o)
        return;
    o->reject = true;
    o->index = m->index;
    if (r->installing) {
        o->force = true; /* entries are of no use before the snapshot is in place */
        offered(r, o);
        return;
    }
    o->hint = wk_raft_log_conflict(&r->log, r->commit, m->index, m->log_term);
    if (wk_raft_log_term(&r->log, o->hint, &o->hint_term) != WKIM_OK)
        o->hint_term = 0;
}

static void append_new(struct wk_raft *r, const struct wk_raft_msg *m, uint32_t from)
{
    struct wk_raft_conf c;
    for (uint32_t i = from; i < m->n_entries; i++) {
        struct wk_raft_entry e = m->entries[i];
        if (e.type == WK_RAFT_ENTRY_CONF) {
            const int rc = wk_raft_conf_decode(&c, wk_blob_slice(e.data));
            WK_ASSERT(rc == WKIM_OK);
            wk_raft_log_conf_add(&r->log, e.index, &c);
        }
        if (e.data)
            wk_blob_ref(e.data);
        wk_raft_log_append_take(&r->log, &e);
    }
}

/* Number of leading entries that the log holds already; WKIM_EAGAIN when a term is not resident. */
static int entries_known(struct wk_raft *r, const struct wk_raft_msg *m, uint32_t *known)
{
    uint64_t term;
    for (*known = 0; *known < m->n_entries; ++*known) {
        const struct wk_raft_entry *e = &m->entries[*known];
        if (e->index > r->log.last)
            break;
        if (wk_raft_log_term(&r->log, e->index, &term) != WKIM_OK)
            return WKIM_EAGAIN;
        if (term != e->term)
            break;
    }
    return WKIM_OK;
}

static bool committed_differs(const struct wk_raft *r, const struct wk_raft_msg *m)
{
    uint64_t term;
    for (uint32_t i = 0; i < m->n_entries && m->entries[i].index <= r->commit; i++)
        if (wk_raft_log_term(&r->log, m->entries[i].index, &term) == WKIM_OK &&
            term != m->entries[i].term)
            return true;
    return false;
}

void wk_raft_append_receive(struct wk_raft *r, const struct wk_raft_msg *m)
{
    WK_ASSERT(r->role == WK_RAFT_FOLLOWER && m->term == r->term);
    if (r->installing) {
        refuse(r, m);
        return;
    }
    if (m->index < r->commit) {
        if (committed_differs(r, m))
            wk_raft_fault_set(r, "truncation below the commit index");
        else
            wk_raft_acknowledge(r, m->from, r->commit);
        return;
    }
    uint64_t term;
    uint32_t known;
    const int rc = wk_raft_log_term(&r->log, m->index, &term);
    if (rc == WKIM_EAGAIN)
        return; /* counts as lost; the leader asks again with its next heartbeat */
    if (rc != WKIM_OK || term != m->log_term) {
        if (m->index == r->commit)
            wk_raft_fault_set(r, "the leader disagrees with a committed entry");
        else
            refuse(r, m);
        return;
    }
    if (entries_known(r, m, &known) != WKIM_OK)
        return;
    if (known < m->n_entries) {
        const struct wk_raft_entry *e = &m->entries[known];
        WK_ASSERT(e->index > r->commit);
        if (e->index <= r->log.last)
            wk_raft_log_truncate(&r->log, e->index,
                                 known ? m->entries[known - 1].term : m->log_term);
        append_new(r, m, known);
    }
    const uint64_t last = m->index + m->n_entries;
    WK_ASSERT(last <= r->log.last);
    wk_raft_commit_to(r, m->commit < last ? m->commit : last);
    wk_raft_acknowledge(r, m->from, last);
}

void wk_raft_heartbeat_receive(struct wk_raft *r, const struct wk_raft_msg *m)
{
    WK_ASSERT(r->role == WK_RAFT_FOLLOWER && m->term == r->term);
    if (!r->installing)
        wk_raft_commit_to(r, m->commit);
    if (r->fault)
        return;
    struct wk_raft_msg *o = wk_raft_send(r, WK_RAFT_MSG_HEARTBEAT_RESP, m->from);
    if (!o)
        return;
    o->context = m->context;
    if (r->installing) {
        const bool yours = r->install_active && r->install.from == m->from;
        o->hint = yours ? r->install.index : 0;
        o->force = !yours; /* nobody it knows is sending: it needs an offer */
        offered(r, o);
    }
}
