#include "raft/internal.h"

void wk_raft_append_own(struct wk_raft *r, uint8_t type, struct wk_blob *taken)
{
    WK_ASSERT(r->role == WK_RAFT_LEADER);
    WK_ASSERT(r->term > 0);
    const struct wk_raft_entry e = { .term = r->term, .index = r->log.last + 1, .type = type,
                                     .data = taken };
    wk_raft_log_append_take(&r->log, &e);
}

static uint64_t proposal_bytes(const struct wk_raft_event *ev)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < ev->u.propose.n; i++) {
        if (ev->u.propose.blobs)
            sum += ev->u.propose.blobs[i] ? ev->u.propose.blobs[i]->n : 0;
        else
            sum += ev->u.propose.data[i].n;
        sum += WK_RAFT_ENTRY_OVERHEAD;
    }
    return sum;
}

/* Blobs wait in the unused end of the tail, so that a failed copy leaves nothing behind. */
static int proposal_stage(struct wk_raft *r, const struct wk_raft_event *ev)
{
    struct wk_raft_entry *at = WK_RAFT_FIFO_AT(&r->log.tail, struct wk_raft_entry, r->log.tail.n);
    for (uint32_t i = 0; i < ev->u.propose.n; i++) {
        struct wk_blob *b = NULL;
        if (ev->u.propose.blobs) {
            b = ev->u.propose.blobs[i] ? wk_blob_ref(ev->u.propose.blobs[i]) : NULL;
        } else if (ev->u.propose.data[i].n > 0) {
            b = wk_blob_copy(ev->u.propose.data[i].p, ev->u.propose.data[i].n);
            if (!b) {
                while (i-- > 0)
                    wk_blob_unref(at[i].data);
                return WKIM_ENOMEM;
            }
        }
        at[i].data = b;
    }
    return WKIM_OK;
}

int wk_raft_propose(struct wk_raft *r, const struct wk_raft_event *ev)
{
    const uint32_t n = ev->u.propose.n;
    if (n == 0 || (!ev->u.propose.data && !ev->u.propose.blobs))
        return WKIM_EINVAL;
    if (r->role != WK_RAFT_LEADER)
        return WKIM_ENOTLEADER;
    if (ev->u.propose.expected_term && ev->u.propose.expected_term != r->term)
        return WKIM_ENOTLEADER;
    if (r->transferee)
        return WKIM_EBUSY;
    const uint64_t bytes = proposal_bytes(ev);
    if (r->uncommitted_bytes > 0 &&
        (bytes > r->opt.uncommitted_bytes_max ||
         r->uncommitted_bytes > r->opt.uncommitted_bytes_max - bytes))
        return WKIM_EBUSY;
    int rc = wk_raft_fifo_reserve(&r->charges, 1, sizeof(struct wk_raft_charge));
    if (rc == WKIM_OK)
        rc = proposal_stage(r, ev);
    if (rc != WKIM_OK)
        return rc;
    struct wk_raft_entry *at = WK_RAFT_FIFO_AT(&r->log.tail, struct wk_raft_entry, r->log.tail.n);
    for (uint32_t i = 0; i < n; i++)
        wk_raft_append_own(r, WK_RAFT_ENTRY_NORMAL, at[i].data);
    r->uncommitted_bytes += bytes;
    *WK_RAFT_FIFO_AT(&r->charges, struct wk_raft_charge, r->charges.n++) =
        (struct wk_raft_charge){ r->log.last, bytes };
    wk_raft_append_broadcast(r);
    return WKIM_OK;
}

/* Entries from p->next into the outbox, as many as one message may hold.  WKIM_EAGAIN or
 * WKIM_ENOTFOUND when the first of them cannot be had. */
static int entries_collect(struct wk_raft *r, uint64_t lo, uint32_t *count, uint64_t *bytes)
{
    struct wk_raft_outbox *o = r->pending;
    const struct wk_raft_log *l = &r->log;
    const uint64_t left = l->last + 1 - lo;
    const uint32_t max = left < WK_RAFT_ENTRIES_PER_MSG ? (uint32_t)left : WK_RAFT_ENTRIES_PER_MSG;
    *count = 0;
    *bytes = 0;
    if (wk_raft_fifo_reserve(&o->entries, max, sizeof(struct wk_raft_entry)) != WKIM_OK)
        return WKIM_EAGAIN;
    struct wk_raft_entry *at = WK_RAFT_FIFO_AT(&o->entries, struct wk_raft_entry, o->entries.n);
    if (lo <= l->durable) {
        const uint64_t hi = l->durable + 1 < lo + max ? l->durable + 1 : lo + max;
        const wkim_ssize k = l->reader.entries(l->reader.user, lo, hi, r->opt.msg_bytes_max, at,
                                               (uint32_t)(hi - lo));
        if (k <= 0)
            return k == WKIM_ENOTFOUND ? WKIM_ENOTFOUND : WKIM_EAGAIN;
        WK_ASSERT((uint64_t)k <= hi - lo);
        for (wkim_ssize i = 0; i < k; i++) {
            WK_ASSERT(at[i].index == lo + (uint64_t)i);
            *bytes += wk_raft_entry_bytes(&at[i]);
        }
        *count = (uint32_t)k;
    }
    for (uint64_t i = lo + *count; *count < max && i > l->durable; i++) {
        const struct wk_raft_entry *e = wk_raft_log_tail_at(l, i);
        const uint64_t b = wk_raft_entry_bytes(e);
        if (*count > 0 && *bytes + b > r->opt.msg_bytes_max)
            break;
        at[*count] = *e;
        if (e->data)
            wk_blob_ref(e->data);
        *bytes += b;
        ++*count;
    }
    o->entries.n += *count;
    return WKIM_OK;
}

bool wk_raft_append_send(struct wk_raft *r, struct wk_raft_progress *p, bool empty_too)
{
    WK_ASSERT(r->role == WK_RAFT_LEADER && p->id != r->opt.id);
    if (p->paused || p->state == WK_RAFT_SNAPSHOT_STATE)
        return false;
    p->waiting = false;
    uint64_t prev_term, bytes = 0;
    uint32_t n = 0;
    int rc = wk_raft_log_term(&r->log, p->next - 1, &prev_term);
    const bool full =
        p->state == WK_RAFT_REPLICATE &&
        (wk_raft_progress_full(p, r->opt.inflight_msgs_max, r->opt.inflight_bytes_max) ||
         wk_raft_fifo_reserve(&p->window, 1, sizeof(struct wk_raft_window_slot)) != WKIM_OK);
    if (rc == WKIM_OK && (full || p->next > r->log.last) && !empty_too)
        return false;
    const size_t first = r->pending->entries.n;
    if (rc == WKIM_OK && !full && p->next <= r->log.last)
        rc = entries_collect(r, p->next, &n, &bytes);
    if (rc == WKIM_ENOTFOUND)
        return wk_raft_snapshot_send(r, p); /* compaction overtook this follower */
    if (rc != WKIM_OK) {
        p->waiting = true;
        return false;
    }
    struct wk_raft_msg *m = wk_raft_send(r, WK_RAFT_MSG_APPEND, p->id);
    if (!m) {
        while (r->pending->entries.n > first)
            wk_blob_unref(WK_RAFT_FIFO_AT(&r->pending->entries, struct wk_raft_entry,
                                          --r->pending->entries.n)->data);
        return false;
    }
    *WK_RAFT_FIFO_AT(&r->pending->firsts, size_t, r->pending->firsts.n - 1) = first;
    m->index = p->next - 1;
    m->log_term = prev_term;
    m->commit = r->commit;
    m->n_entries = n;
    p->sent_commit = r->commit;
    wk_raft_progress_sent(p, n, bytes);
    return n > 0;
}

static void send_all(struct wk_raft *r, struct wk_raft_progress *p, bool empty_too)
{
    bool more = wk_raft_append_send(r, p, empty_too);
    while (more && p->state == WK_RAFT_REPLICATE && p->next <= r->log.last)
        more = wk_raft_append_send(r, p, false);
}

void wk_raft_append_broadcast(struct wk_raft *r)
{
    for (uint8_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].id != r->opt.id)
            send_all(r, &r->peers[i], true);
}

void wk_raft_append_retry(struct wk_raft *r)
{
    for (uint8_t i = 0; i < r->n_peers; i++)
        if (r->peers[i].waiting)
            send_all(r, &r->peers[i], true);
}

void wk_raft_commit_to(struct wk_raft *r, uint64_t index)
{
    if (index <= r->commit)
        return;
    if (index > r->log.last) {
        wk_raft_fault_set(r, "entries this node acknowledged are missing from its log");
        return;
    }
    r->commit = index;
    while (r->charges.n > 0) {
        const struct wk_raft_charge *c = WK_RAFT_FIFO_AT(&r->charges, struct wk_raft_charge, 0);
        if (c->index > index)
            break;
        WK_ASSERT(r->uncommitted_bytes >= c->bytes);
        r->uncommitted_bytes -= c->bytes;
        wk_raft_fifo_pop(&r->charges, 1);
    }
}

/* R7: only an entry of the own term is committed by counting; older ones follow it. */
bool wk_raft_commit_advance(struct wk_raft *r)
{
    WK_ASSERT(r->role == WK_RAFT_LEADER);
    uint64_t match[WK_RAFT_PEERS_MAX];
    uint32_t n = 0;
    for (uint8_t i = 0; i < r->n_peers; i++)
        if (!r->peers[i].learner)
            match[n++] = r->peers[i].match;
    const uint64_t reached = wk_raft_quorum_reached(match, n);
    if (reached <= r->commit || reached < r->own_first)
        return false;
    wk_raft_commit_to(r, reached);
    return true;
}

static void append_refused(struct wk_raft *r, struct wk_raft_progress *p,
                           const struct wk_raft_msg *m)
{
    if (m->force) {
        wk_raft_snapshot_needed(r, p, m, r->round);
        return;
    }
    /* Skip the whole of a term that the follower does not have instead of one entry a time. */
    const uint64_t hint = m->hint_term > 0
                              ? wk_raft_log_conflict(&r->log, p->match, m->hint, m->hint_term)
                              : m->hint;
    if (!wk_raft_progress_reject(p, m->index, hint))
        return;
    if (p->state == WK_RAFT_REPLICATE)
        wk_raft_progress_probe(p);
    wk_raft_append_send(r, p, true);
}

void wk_raft_append_response(struct wk_raft *r, const struct wk_raft_msg *m)
{
    struct wk_raft_progress *p = wk_raft_peer(r, m->from);
    if (!p || p->id == r->opt.id)
        return;
    p->active_tick = r->now;
    if (m->reject) {
        append_refused(r, p, m);
        return;
    }
    if (m->index > r->log.last)
        return; /* nothing this term sent it could lead to such an answer */
    const bool was_full =
        wk_raft_progress_full(p, r->opt.inflight_msgs_max, r->opt.inflight_bytes_max);
    const bool moved = wk_raft_progress_update(p, m->index);
    if (p->state == WK_RAFT_PROBE && p->match == m->index)
        wk_raft_progress_replicate(p);
    else if (p->state == WK_RAFT_SNAPSHOT_STATE && moved && p->match + 1 >= r->log.first)
        wk_raft_progress_replicate(p);
    if (moved && wk_raft_commit_advance(r)) {
        wk_raft_append_broadcast(r);
    } else {
        const bool news = p->sent_commit < r->commit && p->sent_commit < p->match;
        send_all(r, p, news || was_full);
    }
    wk_raft_transfer_advance(r);
}
