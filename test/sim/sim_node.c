/* One node: the update loop around the raft cores, the disk pipeline, start and stop. */
#include "sim.h"
#include <stdlib.h>
#include "base/hash.h"

#define U(x) ((unsigned long long)(x))

struct reader {
    struct sim_node *node;
    uint32_t group;
};

static bool not_resident(struct sim_node *n)
{
    const struct sim *s = n->sim;

    return s->mix.eagain && !s->quiet && sim_rand(n->sim, s->mix.eagain) == 0;
}

static int read_term(void *user, uint64_t index, uint64_t *term)
{
    const struct reader *r = user;

    return wk_log_term(r->node->log, r->group, index, term);
}

static wkim_ssize read_entries(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                               struct wk_raft_entry *out, uint32_t out_max)
{
    const struct reader *r = user;
    struct wk_log_entry e[64];
    wkim_ssize n;

    if (not_resident(r->node))
        return WKIM_EAGAIN;
    n = wk_log_entries(r->node->log, r->group, lo, hi, bytes_max, e, out_max < 64 ? out_max : 64);
    for (wkim_ssize i = 0; i < n; i++)
        out[i] = (struct wk_raft_entry){e[i].term, e[i].index, e[i].type, e[i].data};
    return n;
}

void sim_frames_free(struct sim_frame *f)
{
    while (f) {
        struct sim_frame *next = f->next;
        free(f);
        f = next;
    }
}

static void item_free(struct sim_item *it)
{
    for (uint32_t i = 0; i < it->batch.n_entries; i++)
        wk_blob_unref(it->batch.entries[i].data);
    free((void *)(uintptr_t)it->batch.entries);
    sim_frames_free(it->frames);
    free(it);
}

static void items_free(struct sim_item *it)
{
    while (it) {
        struct sim_item *next = it->next;
        item_free(it);
        it = next;
    }
}

static struct sim_frame *frame_new(struct sim_node *n, uint32_t group, const struct wk_raft_msg *m)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_raft_msg_encode(&b, m);
    struct sim_frame *f = sim_must(malloc(sizeof(*f) + b.n));
    *f = (struct sim_frame){.group = group,
                            .from = (uint8_t)(n->id - 1),
                            .to = (uint8_t)(m->to - 1),
                            .n = (uint32_t)b.n};
    memcpy(f->p, b.p, b.n);
    wk_buf_fini(&b);
    return f;
}

static void frame_send(struct sim *s, const struct sim_frame *f)
{
    uint64_t delay[2];
    const unsigned copies = sim_net_send(&s->net, &s->rng, f->from, f->to, s->now, delay);

    for (unsigned i = 0; i < copies; i++) {
        struct sim_frame *copy = sim_must(malloc(sizeof(*f) + f->n));
        memcpy(copy, f, sizeof(*f) + f->n);
        copy->next = NULL;
        sim_post(s, delay[i], SIM_DELIVER, f->to, f->group, copy);
    }
}

/* ---- disk ---- */

static void round_begin(struct sim_node *n);

static void disk_broken(struct sim_node *n, const char *what)
{
    struct sim *s = n->sim;

    sim_trace(s, "n%llu disk failed: %s", U(n->id), what);
    sim_node_stop(n, sim_rand(s, 2), (enum sim_cut)sim_rand(s, 3));
    sim_disk_space(n->disk, UINT64_MAX);
    sim_post(s, sim_rand(s, 3 * SIM_S) + 1, SIM_RESTART, (unsigned)n->id - 1, 0, NULL);
}

void sim_submit(struct sim_node *n, struct sim_item *it)
{
    it->next = NULL;
    *n->queue_end = it;
    n->queue_end = &it->next;
    if (!n->writing)
        round_begin(n);
}

static int round_append(struct sim_node *n)
{
    struct wk_log_batch batches[64];
    struct sim_item *it = n->round;
    struct wkim_error err = {0};
    int rc = WKIM_OK;

    while (it && rc == WKIM_OK) {
        size_t k = 0;
        if (it->reset) {
            rc = wk_log_reset(n->log, it->group, it->reset_index, it->reset_term, &err);
            it = it->next;
            continue;
        }
        for (; it && !it->reset && k < 64; it = it->next)
            batches[k++] = it->batch;
        rc = wk_log_append(n->log, batches, k, &err);
    }
    if (rc == WKIM_EINVAL || rc == WKIM_ECORRUPT)
        sim_fail(n->sim, "node %llu: the log refused: %s", U(n->id), err.text);
    return rc;
}

static void round_begin(struct sim_node *n)
{
    struct sim *s = n->sim;

    n->round = n->queue;
    n->queue = NULL;
    n->queue_end = &n->queue;
    n->writing = true;
    const int rc = round_append(n);
    if (rc)
        disk_broken(n, wkim_strerror(rc));
    else
        sim_post(s, n->sync_us + sim_rand(s, n->sync_us + 1), SIM_DISK, (unsigned)n->id - 1, 0,
                 NULL);
}

static void item_done(struct sim_node *n, struct sim_item *it)
{
    struct sim *s = n->sim;
    const uint32_t k = it->batch.n_entries;

    sim_check_durable(n, it);
    for (struct sim_frame *f = it->frames; f; f = f->next) {
        struct wk_raft_msg m;
        if (wk_raft_msg_decode(&m, wk_slice(f->p, f->n)) == WKIM_OK) {
            sim_check_vote(n, it->group, &m);
            wk_raft_msg_fini(&m);
        }
        frame_send(s, f);
    }
    if (it->reset) {
        sim_pull_done(n, it->group);
        return;
    }
    const struct wk_raft_event ev = {.type = WK_RAFT_PERSISTED,
                                     .u.persisted = {it->number,
                                                     k ? it->batch.entries[k - 1].term : 0,
                                                     k ? it->batch.entries[k - 1].index : 0}};
    sim_node_step(n, it->group, &ev);
}

static void round_end(struct sim_node *n)
{
    struct sim_item *it = n->round;
    const uint32_t epoch = n->epoch;
    struct wkim_error err = {0};

    if (wk_log_sync(n->log, &err)) {
        disk_broken(n, err.text);
        return;
    }
    n->round = NULL;
    while (it) {
        struct sim_item *next = it->next;
        if (n->up && n->epoch == epoch) /* a failing disk may stop the node in between */
            item_done(n, it);
        item_free(it);
        it = next;
    }
    if (n->up && n->epoch == epoch) {
        n->writing = false;
        if (n->queue)
            round_begin(n);
    }
}

/* ---- updates ---- */

static void update_persist(struct sim_node *n, uint32_t group, const struct wk_raft_ready *rd,
                           struct sim_frame *held)
{
    struct sim_item *it = sim_must(calloc(1, sizeof(*it)));
    struct wk_log_entry *e = sim_must(calloc(rd->n_entries + 1, sizeof(*e)));

    for (uint32_t i = 0; i < rd->n_entries; i++) {
        const struct wk_raft_entry *r = &rd->entries[i];
        e[i] = (struct wk_log_entry){r->term, r->index, r->type,
                                     r->data ? wk_blob_ref(r->data) : NULL};
    }
    it->group = group;
    it->persist = true;
    it->number = rd->number;
    it->frames = held;
    it->batch = (struct wk_log_batch){.group = group,
                                      .has_hard = rd->hard_changed,
                                      .hard_term = rd->hard.term,
                                      .hard_vote = rd->hard.vote,
                                      .hard_commit = rd->hard.commit,
                                      .entries = e,
                                      .n_entries = rd->n_entries};
    sim_check_entries(n, group, rd->entries, rd->n_entries, 0);
    sim_submit(n, it);
}

static void update(struct sim_node *n, uint32_t group)
{
    struct sim_group *g = &n->groups[group];
    struct wk_raft_ready rd;
    struct sim_frame *held = NULL, **end = &held;

    if (wk_raft_ready(g->raft, &rd) != WKIM_OK) {
        sim_fail(n->sim, "node %llu group %u: ready failed", U(n->id), group);
        return;
    }
    sim_check_ready(n, group, &rd);
    for (uint32_t i = 0; i < rd.n_msgs; i++) {
        if (rd.msgs[i].to == 0 || rd.msgs[i].to > n->sim->opt.nodes)
            continue;
        struct sim_frame *f = frame_new(n, group, &rd.msgs[i]);
        if (rd.msgs[i].after_persist) {
            *end = f;
            end = &f->next;
            continue;
        }
        sim_check_vote(n, group, &rd.msgs[i]);
        frame_send(n->sim, f);
        free(f);
    }
    if (held && !rd.must_persist)
        sim_fail(n->sim, "node %llu group %u: held messages without a batch", U(n->id), group);
    for (uint32_t i = 0; i < rd.n_reads; i++)
        sim_check_read(n, group, &rd.reads[i]);
    if (rd.apply_to > g->apply_to)
        g->apply_to = rd.apply_to;
    if (rd.install)
        sim_pull_start(n, group, rd.install);
    if (rd.must_persist)
        update_persist(n, group, &rd, held);
    else
        sim_frames_free(held);
}

int sim_node_step(struct sim_node *n, uint32_t group, const struct wk_raft_event *ev)
{
    struct sim_group *g = &n->groups[group];
    const uint32_t epoch = n->epoch;

    if (!g->raft)
        return WKIM_ESTOPPED;
    const int rc = wk_raft_step(g->raft, ev);
    if (wk_raft_fault(g->raft))
        sim_fail(n->sim, "node %llu group %u: core stopped: %s", U(n->id), group,
                 wk_raft_fault(g->raft));
    while (!n->sim->failed && n->up && n->epoch == epoch && g->raft && wk_raft_has_ready(g->raft))
        update(n, group);
    if (n->up && n->epoch == epoch && !n->sim->failed)
        sim_apply(n, group);
    return rc;
}

static void on_tick(struct sim_node *n)
{
    const struct wk_raft_event ev = {.type = WK_RAFT_TICK};
    const uint32_t epoch = n->epoch;
    const uint32_t times = 1 + n->clock.burst;

    n->clock.burst = 0;
    for (uint32_t k = 0; k < times; k++) {
        for (uint32_t g = 0; g < n->sim->opt.groups && n->up && n->epoch == epoch; g++)
            sim_node_step(n, g, &ev);
    }
    if (n->up && n->epoch == epoch)
        sim_post(n->sim, sim_clock_wait(&n->clock, SIM_TICK_US), SIM_TICK, (unsigned)n->id - 1, 0,
                 NULL);
}

static void on_deliver(struct sim_node *n, struct sim_frame *f)
{
    struct wk_raft_event ev = {.type = WK_RAFT_RECEIVE};
    struct wk_raft_msg m;

    if (wk_raft_msg_decode(&m, wk_slice(f->p, f->n)) != WKIM_OK) {
        sim_fail(n->sim, "node %llu cannot decode a message", U(n->id));
        return;
    }
    if (n->sim->opt.trace)
        sim_trace(n->sim,
                  "n%llu g%u <- n%u type=%u reject=%d term=%llu index=%llu/%llu commit=%llu "
                  "entries=%u",
                  U(n->id), f->group, f->from + 1, m.type, m.reject, U(m.term), U(m.index),
                  U(m.log_term), U(m.commit), m.n_entries);
    ev.u.msg = &m;
    sim_node_step(n, f->group, &ev);
    wk_raft_msg_fini(&m);
}

void sim_node_event(struct sim_node *n, struct sim_event *e)
{
    if (e->kind == SIM_TICK)
        on_tick(n);
    else if (e->kind == SIM_DISK)
        round_end(n);
    else if (e->kind == SIM_PULL)
        sim_pull_step(n, e->group, *(const uint64_t *)e->data);
    else if (e->kind == SIM_DELIVER)
        on_deliver(n, e->data);
    free(e->data);
}

/* ---- life ---- */

static struct reader *reader_of(struct sim_node *n, uint32_t group)
{
    struct reader *r = n->groups[group].reader;

    if (!r)
        r = n->groups[group].reader = sim_must(malloc(sizeof(*r)));
    *r = (struct reader){n, group};
    return r;
}

/* A crash between storing a snapshot's state and restarting the log behind it leaves the state
 * ahead: the log begins anew there. */
static bool log_behind_state(struct sim_node *n, uint32_t group, struct wk_log_group_state *st)
{
    const struct sim_state *d = &n->groups[group].durable;
    uint64_t term = 0;

    if (d->applied == 0 ||
        (wk_log_term(n->log, group, d->applied, &term) == WKIM_OK && term == d->term))
        return true;
    return wk_log_reset(n->log, group, d->applied, d->term, NULL) == WKIM_OK &&
           wk_log_group_find(n->log, group, st) == WKIM_OK;
}

/* False: the disk failed. */
static bool group_start(struct sim_node *n, uint32_t group)
{
    const struct sim *s = n->sim;
    struct sim_group *g = &n->groups[group];
    struct wk_log_group_state st = {.first_index = 1};
    struct wkim_error err = {0};

    (void)wk_log_group_find(n->log, group, &st);
    if (st.code) {
        if (!n->may_be_damaged)
            sim_fail(n->sim, "node %llu group %u: damage nobody did", U(n->id), group);
        n->sim->damaged++;
        g->damaged = true;
        return true;
    }
    if (!log_behind_state(n, group, &st))
        return false;
    sim_check_restart(n, group, &st);
    g->now = g->durable;
    g->apply_to = g->told = g->now.applied;
    g->role = 0;
    const bool installing = g->pull.active && (!g->pull.resetting || g->pull.superseded);
    const struct wk_raft_options opt = {
        .id = n->id,
        .seed = wk_rng_next(&n->sim->rng),
        .election_ticks = SIM_ELECTION_TICKS,
        .heartbeat_ticks = 2,
        .inflight_msgs_max = (uint32_t)s->mix.inflight,
        .inflight_bytes_max = s->mix.msg_bytes * 8,
        .msg_bytes_max = s->mix.msg_bytes,
        .uncommitted_bytes_max = 1 << 16,
        .apply_bytes_max = s->mix.msg_bytes * 2,
        .reader = {.term = read_term, .entries = read_entries, .user = reader_of(n, group)},
        .hard = {st.hard_term, st.hard_vote, st.hard_commit},
        .conf = g->now.conf,
        .first_index = st.first_index,
        .last_index = st.last_index,
        .applied = g->now.applied,
        .installing = installing ? &g->pull.req : NULL,
    };
    g->pull.active = installing; /* until the core has asked again */
    g->pull.resetting = g->pull.superseded = false;
    if (wk_raft_new(&g->raft, &opt, &err) != WKIM_OK)
        sim_fail(n->sim, "node %llu group %u does not start: %s", U(n->id), group, err.text);
    return true;
}

void sim_node_start(struct sim_node *n)
{
    struct sim *s = n->sim;
    const struct wk_log_options opt = {.segment_bytes = s->mix.segment_bytes,
                                       .cache_bytes = s->mix.cache_bytes,
                                       .salt = s->opt.seed * 7 + n->id};
    struct wkim_error err = {0};

    n->epoch++;
    s->restarts++;
    const int rc = wk_log_open(&n->log, &n->fs, &opt, &err);
    if (rc == WKIM_ENOSPC || (rc == WKIM_EIO && !s->quiet)) { /* the disk fails now as well */
        sim_disk_cut(n->disk, (enum sim_cut)sim_rand(s, 3));
        sim_disk_space(n->disk, UINT64_MAX);
        sim_post(s, sim_rand(s, 2 * SIM_S) + 1, SIM_RESTART, (unsigned)n->id - 1, 0, NULL);
        return;
    }
    if (rc != WKIM_OK) {
        sim_fail(s, "node %llu: the log does not open: %s", U(n->id), err.text);
        return;
    }
    n->up = true;
    n->writing = false;
    for (uint32_t g = 0; g < s->opt.groups; g++) {
        if (n->groups[g].damaged || group_start(n, g))
            continue;
        disk_broken(n, "reset at start");
        return;
    }
    sim_trace(s, "n%llu starts", U(n->id));
    sim_post(s, sim_rand(s, SIM_TICK_US) + 1, SIM_TICK, (unsigned)n->id - 1, 0, NULL);
    const struct wk_raft_event tick = {.type = WK_RAFT_TICK};
    for (uint32_t g = 0; g < s->opt.groups && n->up; g++)
        sim_node_step(n, g, &tick);
}

void sim_node_stop(struct sim_node *n, bool power, enum sim_cut cut)
{
    if (!n->up)
        return;
    n->sim->crashes++;
    sim_trace(n->sim, "n%llu stops, power=%d cut=%d", U(n->id), power, (int)cut);
    n->up = false;
    n->epoch++;
    if (power)
        sim_disk_cut(n->disk, cut);
    else
        sim_disk_kill(n->disk);
    wk_log_close(n->log);
    n->log = NULL;
    items_free(n->round);
    items_free(n->queue);
    n->round = n->queue = NULL;
    n->queue_end = &n->queue;
    n->writing = false;
    n->clock.stopped_until = 0;
    for (uint32_t g = 0; g < n->sim->opt.groups; g++) {
        struct sim_group *gr = &n->groups[g];
        wk_raft_free(gr->raft);
        gr->raft = NULL;
        memset(gr->waits, 0, sizeof(gr->waits));
        memset(gr->reads, 0, sizeof(gr->reads));
    }
}

void sim_node_free(struct sim_node *n)
{
    sim_node_stop(n, false, SIM_CUT_KEEP);
    for (uint32_t g = 0; g < n->sim->opt.groups; g++) {
        free(n->groups[g].terms);
        free(n->groups[g].reader);
    }
    free(n->groups);
    sim_disk_free(n->disk);
}

/* ---- clients ---- */

struct sim_node *sim_leader(struct sim *s, uint32_t group)
{
    struct sim_node *best = NULL;
    uint64_t term = 0;

    for (unsigned i = 0; i < s->opt.nodes; i++) {
        struct sim_node *n = &s->nodes[i];
        struct wk_raft_status st;
        if (!n->up || !n->groups[group].raft || n->groups[group].role != WK_RAFT_LEADER)
            continue;
        wk_raft_status(n->groups[group].raft, &st);
        if (st.role == WK_RAFT_LEADER && st.term > term) {
            best = n;
            term = st.term;
        }
    }
    return best;
}

/* Any node that takes itself for the leader, so that stale ones are asked too. */
static struct sim_node *some_leader(struct sim *s, uint32_t group)
{
    const uint64_t from = sim_rand(s, s->opt.nodes);

    for (unsigned i = 0; i < s->opt.nodes; i++) {
        struct sim_node *n = &s->nodes[(from + i) % s->opt.nodes];
        if (n->up && n->clock.stopped_until <= s->now && n->groups[group].raft &&
            n->groups[group].role == WK_RAFT_LEADER)
            return n;
    }
    return NULL;
}

bool sim_propose(struct sim *s, uint32_t group, unsigned payload)
{
    struct sim_node *n = s->no_client ? sim_leader(s, group) : some_leader(s, group);
    const uint64_t pid = ++s->next_pid;
    struct wk_raft_status st;

    if (!n)
        return false;
    struct sim_group *g = &n->groups[group];
    struct wk_blob *b = sim_must(wk_blob_new(payload < 16 ? 16 : payload));
    memset(b->p, (int)pid, b->n);
    memcpy(b->p, &pid, sizeof(pid));
    const struct wk_raft_event ev = {.type = WK_RAFT_PROPOSE, .u.propose = {.blobs = &b, .n = 1}};
    wk_raft_status(g->raft, &st);
    const uint64_t index = wk_raft_last_index(g->raft) + 1;
    const unsigned w = pid % 16;
    const uint32_t epoch = n->epoch;
    g->waits[w].index = index; /* a single voter may apply within the step */
    g->waits[w].term = st.term;
    g->waits[w].pid = pid;
    const int rc = sim_node_step(n, group, &ev);
    if (rc && n->epoch == epoch && g->waits[w].pid == pid)
        g->waits[w].pid = 0;
    wk_blob_unref(b);
    return rc == WKIM_OK && n->up && n->epoch == epoch;
}
