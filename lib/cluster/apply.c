/* Committed entries of all slots of a shard become one store transaction per round; calls are
 * answered after it. */
#include "cluster/internal.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cluster/cluster.h"

/* Where the bytes of an entry come from: the proposal that still waits, or the log. */
static int entry_bytes(struct wk_slot *s, uint64_t index, struct wk_pending **pending,
                       struct wk_log_entry *e)
{
    *pending = NULL;
    if (!wk_list_empty(&s->pending)) {
        struct wk_pending *p = WK_CONTAINER(s->pending.next, struct wk_pending, link);
        if (p->index == index) {
            *pending = p;
            *e = (struct wk_log_entry){ p->term, index, WK_RAFT_ENTRY_NORMAL,
                                        wk_blob_ref(p->bytes) };
            return WKIM_OK;
        }
    }
    wkim_ssize n =
        wk_log_writer_entries(s->cluster->writer, s->id, index, index + 1, UINT64_MAX, e, 1);
    return n == 1 ? WKIM_OK : n < 0 ? (int)n : WKIM_ECORRUPT;
}

static int apply_commands(struct wk_slot *s, struct wk_txn *txn, uint64_t index, wkim_slice bytes,
                          struct wk_pending *p)
{
    const struct wk_slot_machine *m = &s->cluster->opt.machine;
    struct wk_cursor c = wk_cursor(bytes);
    struct wk_list *call = p ? p->calls.next : NULL;
    uint64_t id = index << 16;

    while (wk_cursor_left(&c) && !c.bad) {
        uint16_t op = wk_cursor_u16(&c);
        wkim_slice body = wk_cursor_str(&c);
        if (c.bad)
            return WKIM_ECORRUPT;
        int rc = m->apply(m->user, s, txn, id++, op, body,
                          p ? WK_CONTAINER(call, struct wk_call, link) : NULL);
        if (rc != WKIM_OK)
            return rc;
        if (p)
            call = call->next;
    }
    return c.bad ? WKIM_ECORRUPT : WKIM_OK;
}

static int open_state(struct wk_slot *s)
{
    const struct wk_slot_machine *m = &s->cluster->opt.machine;
    return s->state ? WKIM_OK : m->open(m->user, s);
}

static int apply_entry(struct wk_slot *s, struct wk_txn *txn, uint64_t index,
                       struct wk_list *applied)
{
    struct wk_log_entry e = { 0 };
    struct wk_pending *p = NULL;
    int rc = entry_bytes(s, index, &p, &e);

    if (rc == WKIM_OK && e.type == WK_RAFT_ENTRY_NORMAL && e.data)
        rc = apply_commands(s, txn, index, wk_blob_slice(e.data), p);
    wk_blob_unref(e.data);
    s->applied_term = e.term;
    if (p) {
        wk_list_remove(&p->link);
        wk_list_push(applied, &p->link);
    }
    return rc;
}

static uint64_t since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

/* Per entry, not per command: an entry holds the commands of a round.  Times are those of rounds,
 * so that no clock is read per entry. */
static void count_times(const struct wk_slot *s, const struct wk_pending *p)
{
    const uint64_t now = wk_slot_runner(s)->committed_us, all = since(p->proposed_us, now);
    struct wk_cluster_counters *count = &wk_slot_runner(s)->count;

    wk_count(all <= 500000 ? &count->fast : &count->slow, 1);
    wk_histogram_add(&count->propose, WK_BOUNDS_MS, all);
    if (!p->persisted_us)
        return;
    wk_histogram_add(&count->queue, WK_BOUNDS_SECONDS, since(p->proposed_us, p->begun_us));
    wk_histogram_add(&count->replicate, WK_BOUNDS_SECONDS, since(p->begun_us, p->persisted_us));
    wk_histogram_add(&count->commit, WK_BOUNDS_SECONDS, since(p->persisted_us, now));
}

/* Answers of one applied entry, in the order of its commands. */
static void answer(struct wk_slot *s, struct wk_pending *p)
{
    const struct wk_slot_machine *m = &s->cluster->opt.machine;
    struct wk_cursor c = wk_cursor(wk_blob_slice(p->bytes));
    uint64_t id = p->index << 16;

    count_times(s, p);
    while (wk_cursor_left(&c)) {
        uint16_t op = wk_cursor_u16(&c);
        wkim_slice body = wk_cursor_str(&c);
        struct wk_call *call = WK_CONTAINER(wk_list_pop(&p->calls), struct wk_call, link);
        if (m->applied(m->user, s, id++, op, body, call))
            wk_call_finish(call);
    }
    wk_blob_unref(p->bytes);
    wk_free(p);
}

/* The first entry of our own term is applied: everything before it is, too. */
static void maybe_serve(struct wk_slot *s)
{
    const struct wk_slot_machine *m = &s->cluster->opt.machine;
    struct wk_raft_status st;

    if (s->serving || !s->leading || s->faulted)
        return;
    wk_raft_status(s->raft, &st);
    if (s->applied_term != st.term)
        return;
    s->term = st.term;
    s->serving = true;
    atomic_fetch_add(&s->cluster->ready, 1);
    m->lead(m->user, s);
}

static int apply_slot(struct wk_slot *s, struct wk_txn *txn, struct wk_list *applied)
{
    int rc = open_state(s);
    uint64_t index = s->apply_from;

    for (; rc == WKIM_OK && index <= s->apply_to; index++)
        rc = apply_entry(s, txn, index, applied);
    if (rc == WKIM_OK) {
        s->cluster->opt.machine.batch_end(s->cluster->opt.machine.user, s, txn);
        struct wk_row_applied row = { s->apply_to, s->applied_term };
        wk_applied_put(txn, s->id, &row);
    }
    return rc;
}

static void finish_slot(struct wk_slot *s, struct wk_list *applied, int rc)
{
    struct wk_raft_event ev = { .type = WK_RAFT_APPLIED };
    struct wk_list *n;

    if (rc != WKIM_OK) {
        while ((n = wk_list_pop(applied)))
            wk_list_push(&s->pending, n); /* so that their calls are failed, too */
        wk_slot_fault(s, rc, "committed entries cannot be applied");
        return;
    }
    s->cluster->opt.machine.round_end(s->cluster->opt.machine.user, s);
    ev.u.applied = s->apply_to;
    atomic_store_explicit(&s->applied, s->apply_to, memory_order_release);
    s->apply_from = s->apply_to = 0;
    rc = wk_raft_step(s->raft, &ev);
    maybe_serve(s);
    while ((n = wk_list_pop(applied)))
        answer(s, WK_CONTAINER(n, struct wk_pending, link));
    if (rc != WKIM_OK)
        wk_slot_fault(s, rc, wk_raft_fault(s->raft) ? wk_raft_fault(s->raft) : "applied");
    else
        wk_slot_drive(s);
}

void wk_slot_apply_round(struct wk_slot_runner *r)
{
    struct wk_list done, *n;
    struct wkim_error err = { 0 };

    wk_list_init(&done);
    while ((n = wk_list_pop(&r->to_apply))) {
        struct wk_slot *s = WK_CONTAINER(n, struct wk_slot, apply_link);
        if (s->faulted)
            continue;
        wk_list_init(&s->round_applied);
        const size_t before = wk_txn_bytes(r->txn);
        s->round_rc = apply_slot(s, r->txn, &s->round_applied);
        if (s->round_rc != WKIM_OK)
            wk_txn_cut(r->txn, before); /* what it did half-way must not go with the others' rows */
        wk_list_push(&done, n);
    }
    int rc = wk_txn_commit(r->txn, &err);
    r->committed_us = wk_now_us();
    while ((n = wk_list_pop(&done))) {
        struct wk_slot *s = WK_CONTAINER(n, struct wk_slot, apply_link);
        finish_slot(s, &s->round_applied, s->round_rc != WKIM_OK ? s->round_rc : rc);
    }
}
