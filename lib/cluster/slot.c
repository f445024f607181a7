/* One slot: commands -> entry -> Raft core -> log -> committed.  apply.c takes it from there. */
#include "cluster/internal.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"
#include "cluster/cluster.h"

/* Of one entry: the number of a command is the low half of its id, whose top bit marks a second
 * effect of the same command. */
#define COMMANDS_MAX 8192

static int reader_term(void *user, uint64_t index, uint64_t *term)
{
    const struct wk_slot *s = user;
    return wk_log_writer_term(s->cluster->writer, s->id, index, term);
}

static wkim_ssize reader_entries(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                                 struct wk_raft_entry *out, uint32_t out_max)
{
    const struct wk_slot *s = user;
    struct wk_log_entry e[64];
    size_t max = out_max < 64 ? out_max : 64;
    wkim_ssize n = wk_log_writer_entries(s->cluster->writer, s->id, lo, hi, bytes_max, e, max);

    for (wkim_ssize i = 0; i < n; i++)
        out[i] = (struct wk_raft_entry){ e[i].term, e[i].index, e[i].type, e[i].data };
    return n;
}

void wk_slot_fail_waiting(struct wk_slot *s, int code)
{
    struct wk_list all, *n;

    wk_list_init(&all);
    while ((n = wk_list_pop(&s->batch_calls)))
        wk_list_push(&all, n);
    while ((n = wk_list_pop(&s->pending))) {
        struct wk_pending *p = WK_CONTAINER(n, struct wk_pending, link);
        while ((n = wk_list_pop(&p->calls)))
            wk_list_push(&all, n);
        wk_blob_unref(p->bytes);
        wk_free(p);
    }
    wk_buf_clear(&s->batch);
    while ((n = wk_list_pop(&all))) {
        struct wk_call *c = WK_CONTAINER(n, struct wk_call, link);
        c->code = code;
        wk_call_finish(c);
    }
}

/* A full disk is told as such for as long as the slot stands still. */
static int fault_of(const struct wk_slot *s)
{
    return s->fault == WKIM_ENOSPC ? WKIM_ENOSPC : WKIM_EIO;
}

void wk_slot_fault(struct wk_slot *s, int code, const char *what)
{
    if (s->faulted)
        return;
    s->faulted = true;
    s->fault = code;
    if (s->serving) {
        s->serving = false;
        atomic_fetch_sub(&s->cluster->ready, 1);
    }
    wk_log(s->cluster->opt.log, WK_LOG_ERROR, "cluster", "slot_stopped",
           "slot=%u code=%s reason=\"%s\"", s->id, wkim_err_name(code), what);
    wk_slot_fail_waiting(s, code);
}

/* Of the waiting proposals that this write made durable. */
static void note_times(struct wk_slot *s, const struct wk_persist *p)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &s->pending) {
        struct wk_pending *w = WK_CONTAINER(it, struct wk_pending, link);
        if (w->index > p->index)
            return;
        if (w->persisted_us)
            continue;
        w->begun_us = p->submit.begun_us;
        w->persisted_us = s->shard->now_us;
    }
}

static void persisted(struct wk_shard *sh, struct wk_post *post)
{
    struct wk_persist *p = WK_CONTAINER(post, struct wk_persist, post);
    struct wk_slot *s = p->slot;
    struct wk_slot_runner *r = wk_slot_runner(s);
    struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED };
    int rc = p->submit.rc;
    (void)sh;

    note_times(s, p);
    ev.u.persisted.ready = p->ready;
    ev.u.persisted.term = p->term;
    ev.u.persisted.index = p->index;
    for (uint32_t i = 0; i < p->submit.batch.n_entries; i++)
        wk_blob_unref(p->entries[i].data);
    if (p->entries != p->inline_entries)
        wk_free(p->entries);
    p->entries = p->inline_entries;
    p->submit.next = (struct wk_log_submit *)(void *)r->free_persists;
    r->free_persists = p;
    if (s->faulted)
        return;
    if (rc != WKIM_OK) {
        wk_slot_fault(s, rc, "the log could not be written");
        return;
    }
    rc = wk_raft_step(s->raft, &ev);
    if (rc != WKIM_OK)
        wk_slot_fault(s, rc, wk_raft_fault(s->raft) ? wk_raft_fault(s->raft) : "persisted");
    else
        wk_slot_drive(s);
}

static void log_done(struct wk_log_submit *sub)
{
    struct wk_persist *p = WK_CONTAINER(sub, struct wk_persist, submit);
    p->post.run = persisted;
    wk_shard_post(p->slot->shard, &p->post);
}

static struct wk_persist *persist_new(struct wk_slot_runner *r, uint32_t n)
{
    struct wk_persist *p = r->free_persists;

    if (p)
        r->free_persists = (struct wk_persist *)(void *)p->submit.next;
    else
        p = wk_calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->entries = p->inline_entries;
    if (n > 4) {
        p->entries = wk_calloc(n, sizeof(*p->entries));
        if (!p->entries) {
            wk_free(p);
            return NULL;
        }
    }
    return p;
}

static int persist(struct wk_slot *s, const struct wk_raft_ready *rd)
{
    bool vote_changed = rd->hard.term != s->hard_term || rd->hard.vote != s->hard_vote;

    if (rd->n_entries == 0 && !vote_changed) {
        /* A commit index alone is not worth a write: it travels with the next batch. */
        struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED };
        ev.u.persisted.ready = rd->number;
        return wk_raft_step(s->raft, &ev);
    }
    struct wk_persist *p = persist_new(wk_slot_runner(s), rd->n_entries);
    if (!p)
        return WKIM_ENOMEM;
    p->slot = s;
    p->ready = rd->number;
    p->term = p->index = 0;
    for (uint32_t i = 0; i < rd->n_entries; i++) {
        const struct wk_raft_entry *e = &rd->entries[i];
        p->entries[i] = (struct wk_log_entry){ e->term, e->index, e->type,
                                               e->data ? wk_blob_ref(e->data) : NULL };
        p->term = e->term;
        p->index = e->index;
    }
    p->submit = (struct wk_log_submit){ .done = log_done };
    p->submit.batch = (struct wk_log_batch){ .group = s->id,
                                             .has_hard = true,
                                             .hard_term = rd->hard.term,
                                             .hard_vote = rd->hard.vote,
                                             .hard_commit = rd->hard.commit,
                                             .entries = p->entries,
                                             .n_entries = rd->n_entries };
    s->hard_term = rd->hard.term;
    s->hard_vote = rd->hard.vote;
    wk_log_writer_submit(s->cluster->writer, &p->submit);
    return WKIM_OK;
}

static void lead_changed(struct wk_slot *s, uint8_t role)
{
    bool lead = role == WK_RAFT_LEADER;

    if (lead == s->leading)
        return;
    s->leading = lead;
    struct wk_cluster_counters *count = &wk_slot_runner(s)->count;
    wk_count(lead ? &count->elections_won : &count->leaders_lost, 1);
    if (lead)
        return; /* serving starts when the entry of this term is applied (apply.c) */
    if (s->serving) {
        s->serving = false;
        atomic_fetch_sub(&s->cluster->ready, 1);
        s->cluster->opt.machine.close(s->cluster->opt.machine.user, s);
    }
    wk_slot_fail_waiting(s, WKIM_ENOTLEADER);
}

void wk_slot_drive(struct wk_slot *s)
{
    struct wk_slot_runner *r = wk_slot_runner(s);
    struct wk_raft_ready rd;
    int rc = WKIM_OK;

    while (rc == WKIM_OK && wk_raft_has_ready(s->raft)) {
        rc = wk_raft_ready(s->raft, &rd);
        if (rc != WKIM_OK)
            break;
        if (rd.soft_changed)
            lead_changed(s, rd.role);
        if (rd.apply_to != 0) {
            if (s->apply_to == 0)
                s->apply_from = rd.apply_from;
            s->apply_to = rd.apply_to;
            atomic_store_explicit(&s->committed, rd.apply_to, memory_order_relaxed);
            if (wk_list_empty(&s->apply_link))
                wk_list_push(&r->to_apply, &s->apply_link);
            wk_shard_defer(s->shard, WK_STAGE_COMMIT, &r->commit);
        }
        /* A group of one voter has nobody to send to; the core repeats messages to others. */
        if (rd.must_persist || rd.n_entries)
            rc = persist(s, &rd);
    }
    if (rc != WKIM_OK)
        wk_slot_fault(s, rc, wk_raft_fault(s->raft) ? wk_raft_fault(s->raft) : "cannot go on");
}

static void count_refused(const struct wk_slot *s, int code)
{
    wk_count(&wk_slot_runner(s)->count.refused[-code % WK_CLUSTER_ERRORS], 1);
}

static void propose_stage(struct wk_shard *sh, struct wk_hook *h)
{
    struct wk_slot *s = WK_CONTAINER(h, struct wk_slot, propose);
    struct wk_list *n;
    (void)sh;

    s->batch_n = 0;
    if (s->faulted || wk_list_empty(&s->batch_calls))
        return;
    struct wk_pending *p = wk_calloc(1, sizeof(*p));
    struct wk_blob *bytes = p && !s->batch.oom ? wk_blob_copy(s->batch.p, s->batch.n) : NULL;
    struct wk_raft_event ev = { .type = WK_RAFT_PROPOSE };
    uint64_t index = wk_raft_last_index(s->raft) + 1;
    int rc = WKIM_ENOMEM;

    ev.u.propose.blobs = &bytes;
    ev.u.propose.n = 1;
    if (bytes)
        rc = wk_raft_step(s->raft, &ev);
    if (rc != WKIM_OK) {
        wk_blob_unref(bytes);
        wk_free(p);
        struct wk_list failed;
        wk_list_init(&failed);
        while ((n = wk_list_pop(&s->batch_calls)))
            wk_list_push(&failed, n);
        wk_buf_clear(&s->batch);
        while ((n = wk_list_pop(&failed))) {
            struct wk_call *c = WK_CONTAINER(n, struct wk_call, link);
            c->code = rc;
            count_refused(s, rc);
            wk_call_finish(c);
        }
        return;
    }
    wk_count(&wk_slot_runner(s)->count.entries, 1);
    p->proposed_us = s->shard->now_us;
    p->index = index;
    p->term = s->hard_term;
    p->bytes = bytes;
    wk_list_init(&p->calls);
    while ((n = wk_list_pop(&s->batch_calls)))
        wk_list_push(&p->calls, n);
    wk_list_push(&s->pending, &p->link);
    wk_buf_clear(&s->batch);
    if (s->batch.cap > 1048576)
        wk_buf_fini(&s->batch); /* one burst must not pin its memory for ever */
    wk_slot_drive(s);
}

void wk_slot_propose(struct wk_slot *s, struct wk_call *c)
{
    wkim_slice in = wk_blob_slice(c->in);
    int rc = WKIM_OK;

    WK_ASSERT_SHARD(s->shard);
    if (!s->serving)
        rc = s->faulted ? fault_of(s) : WKIM_ENOTLEADER;
    else if (s->batch.n + in.n > WK_LOG_RECORD_BYTES_MAX - 4096 ||
             wk_store_stalled(s->cluster->opt.store))
        rc = WKIM_EBUSY;
    else if (wk_buf_reserve(&s->batch, in.n + 16) != WKIM_OK)
        rc = WKIM_ENOMEM;
    if (rc != WKIM_OK) {
        c->code = rc;
        count_refused(s, rc);
        wk_call_finish(c);
        return;
    }
    wk_count(&wk_slot_runner(s)->count.commands, 1);
    wk_buf_u16(&s->batch, c->op);
    wk_buf_str(&s->batch, in);
    wk_list_push(&s->batch_calls, &c->link);
    if (++s->batch_n >= COMMANDS_MAX)
        propose_stage(s->shard, &s->propose);
    else
        wk_shard_defer(s->shard, WK_STAGE_PROPOSE, &s->propose);
}

void wk_slot_handle(struct wk_slot *s, struct wk_call *c)
{
    const struct wk_slot_machine *m = &s->cluster->opt.machine;

    WK_ASSERT_SHARD(s->shard);
    if (!s->serving || atomic_load_explicit(&s->cluster->refusing, memory_order_relaxed)) {
        c->code = s->faulted ? fault_of(s) : s->serving ? WKIM_ESTOPPED : WKIM_ENOTLEADER;
        wk_call_finish(c);
        return;
    }
    switch (m->handle(m->user, s, c)) {
    case WK_CALL_DONE:
        wk_call_finish(c);
        break;
    case WK_CALL_PROPOSE:
        wk_slot_propose(s, c);
        break;
    case WK_CALL_PENDING:
        break;
    }
}

static void reset_back(struct wk_shard *sh, struct wk_post *post)
{
    struct wk_persist *p = WK_CONTAINER(post, struct wk_persist, post);
    struct wk_slot *s = p->slot;
    int rc = p->submit.rc;
    (void)sh;

    wk_free(p);
    if (rc != WKIM_OK)
        wk_slot_fault(s, rc, "the log could not be moved up to the stored state");
    else
        wk_slot_open(s);
}

static void reset_done(struct wk_log_submit *sub)
{
    struct wk_persist *p = WK_CONTAINER(sub, struct wk_persist, submit);
    p->post.run = reset_back;
    wk_shard_post(p->slot->shard, &p->post);
}

/* The store was flushed beyond what is left of the log (its last, never acknowledged round was
 * torn): the log starts again behind the state. */
static void move_log_up(struct wk_slot *s, const struct wk_row_applied *a)
{
    struct wk_persist *p = wk_calloc(1, sizeof(*p));

    if (!p) {
        wk_slot_fault(s, WKIM_ENOMEM, "out of memory");
        return;
    }
    wk_log(s->cluster->opt.log, WK_LOG_WARN, "cluster", "log_behind_state", "slot=%u applied=%llu",
           s->id, (unsigned long long)a->index);
    p->slot = s;
    p->submit.done = reset_done;
    p->submit.batch.group = s->id;
    wk_log_writer_reset(s->cluster->writer, &p->submit, a->index, a->term);
}

void wk_slot_open(struct wk_slot *s)
{
    const struct wk_cluster_options *o = &s->cluster->opt;
    struct wk_log_group_state g = { 0 };
    struct wk_row_applied a = { 0 };
    struct wkim_error err = { 0 };

    s->propose.run = propose_stage;
    int rc = wk_log_writer_group_find(s->cluster->writer, s->id, &g);
    if (rc == WKIM_ENOTFOUND)
        g = (struct wk_log_group_state){ .group = s->id, .first_index = 1, .last_index = 0 };
    else if (rc != WKIM_OK || g.code != WKIM_OK) {
        wk_slot_fault(s, rc != WKIM_OK ? rc : g.code,
                      "its log is damaged before the durable point");
        return;
    }
    rc = wk_applied_get(o->store, s->id, &a);
    if (rc != WKIM_OK && rc != WKIM_ENOTFOUND) {
        wk_slot_fault(s, rc, "its applied index cannot be read");
        return;
    }
    if (a.index + 1 < g.first_index) {
        wk_slot_fault(s, WKIM_ECORRUPT, "entries between the stored state and the log are missing");
        return;
    }
    if (a.index > g.last_index) {
        move_log_up(s, &a);
        return;
    }
    uint64_t seed = 0; /* must differ at every start (raft.h) */
    if (wk_random_bytes(&seed, sizeof(seed)) != WKIM_OK) {
        wk_slot_fault(s, WKIM_EIO, "no randomness");
        return;
    }
    struct wk_raft_options ro = { .id = o->node_id,
                                  .seed = seed,
                                  .election_ticks = 10,
                                  .heartbeat_ticks = 1,
                                  .inflight_msgs_max = 256,
                                  .inflight_bytes_max = 4194304,
                                  .msg_bytes_max = 1048576,
                                  .uncommitted_bytes_max = WK_RAFT_UNCOMMITTED_BYTES_MAX,
                                  .apply_bytes_max = 4194304,
                                  .reader = { reader_term, reader_entries, s },
                                  .hard = { g.hard_term, g.hard_vote, g.hard_commit },
                                  .conf = { .voters = { o->node_id }, .n_voters = 1 },
                                  .first_index = g.first_index,
                                  .last_index = g.last_index,
                                  .applied = a.index };
    if (ro.hard.commit < a.index)
        /* The commit index is written lazily; applied implies committed. */
        ro.hard.commit = a.index;
    s->hard_term = g.hard_term;
    s->hard_vote = g.hard_vote;
    atomic_store(&s->applied, a.index);
    s->applied_term = a.term;
    rc = wk_raft_new(&s->raft, &ro, &err);
    struct wk_raft_event ev = { .type = WK_RAFT_CAMPAIGN };
    if (rc == WKIM_OK)
        rc = wk_raft_step(s->raft, &ev);
    if (rc != WKIM_OK)
        wk_slot_fault(s, rc, err.text[0] ? err.text : "the group cannot start");
    else
        wk_slot_drive(s);
}

void wk_slot_fini(struct wk_slot *s)
{
    if (s->state)
        s->cluster->opt.machine.close(s->cluster->opt.machine.user, s);
    if (s->cluster)
        wk_slot_fail_waiting(s, WKIM_ESTOPPED);
    wk_raft_free(s->raft);
    wk_buf_fini(&s->batch);
}

uint32_t wk_slot_id(const struct wk_slot *s)
{
    return s->id;
}

struct wk_shard *wk_slot_shard(const struct wk_slot *s)
{
    return s->shard;
}

struct wk_cluster *wk_slot_cluster(const struct wk_slot *s)
{
    return s->cluster;
}

struct wk_store *wk_slot_store(const struct wk_slot *s)
{
    return s->cluster->opt.store;
}

void *wk_slot_state(const struct wk_slot *s)
{
    return s->state;
}

void wk_slot_set_state(struct wk_slot *s, void *state)
{
    s->state = state;
}
