/* Several Raft cores with a disk each and one network, driven by hand: nothing moves but by a
 * command.  Messages pass through their wire form.  Safety is checked at every step: one leader
 * per term, equal entries at equal applied indexes, hard state never going back. */
#ifndef WK_TEST_RAFT_CLUSTER_H
#define WK_TEST_RAFT_CLUSTER_H
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"
#include "base/mem.h"
#include "raft/raft.h"

#define NODES_MAX 8
#define LOG_MAX 4096
#define QUEUE_MAX 4096
#define BATCHES_MAX 256

struct packet {
    struct wk_buf bytes;
    uint64_t from, to;
    uint8_t type;
    bool held;
};
struct batch {
    uint64_t number, term, index;
    struct wk_raft_hard_state hard;
    struct wk_raft_entry *entries;
    uint32_t n_entries;
    struct packet *msgs;
    uint32_t n_msgs;
};
struct disk {
    struct wk_raft_entry log[LOG_MAX]; /* by index */
    uint64_t first, last, first_term;  /* first_term: of entry first - 1 */
    struct wk_raft_hard_state hard;
    uint64_t applied;
    struct wk_raft_conf conf;
    bool installing;
    struct wk_raft_snapshot_req req;
};
struct node {
    struct cluster *c;
    uint64_t id;
    struct wk_raft *r;
    bool exists, slow, lazy, absent; /* absent: the log reader says "not resident" */
    struct disk d;
    struct batch batches[BATCHES_MAX];
    uint32_t n_batches;
    uint64_t apply_to;
    uint64_t starts;
    bool stopped_told;
    bool pulling; /* the core waits for the end of a pull */
};
struct cluster {
    struct node node[NODES_MAX + 1];
    struct wk_raft_options opt;
    struct packet queue[QUEUE_MAX];
    uint32_t n_queue;
    bool cut[NODES_MAX + 1][NODES_MAX + 1];
    uint64_t term_leader[LOG_MAX];
    uint64_t applied_hash[LOG_MAX];
    struct wk_buf out;
    bool quiet, unsafe;
};

static const char *const kind_names[] = { "", "append", "append_resp", "vote", "vote_resp",
                                          "prevote", "prevote_resp", "heartbeat",
                                          "heartbeat_resp", "snapshot", "snapshot_status",
                                          "timeout_now", "read_index", "read_index_resp",
                                          "propose" };
static const char *const role_names[] = { "follower", "precandidate", "candidate", "leader" };

static void unsafe(struct cluster *c, const char *what, uint64_t a, uint64_t b)
{
    c->unsafe = true;
    wk_buf_printf(&c->out, "UNSAFE: %s (%" PRIu64 ", %" PRIu64 ")\n", what, a, b);
}

/* ---- log reader: the durable log ---- */
static int disk_term(void *user, uint64_t index, uint64_t *term)
{
    const struct node *n = user;
    if (n->absent && index != n->d.last && index + 1 != n->d.first)
        return WKIM_EAGAIN;
    if (index + 1 == n->d.first)
        *term = n->d.first_term;
    else if (index < n->d.first || index > n->d.last)
        return WKIM_ENOTFOUND;
    else
        *term = n->d.log[index].term;
    return WKIM_OK;
}

static wkim_ssize disk_entries(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                               struct wk_raft_entry *out, uint32_t out_max)
{
    const struct node *n = user;
    uint64_t bytes = 0;
    uint32_t k = 0;
    if (n->absent)
        return WKIM_EAGAIN;
    if (lo < n->d.first || lo > n->d.last)
        return WKIM_ENOTFOUND;
    for (; lo + k < hi && lo + k <= n->d.last && k < out_max; k++) {
        out[k] = n->d.log[lo + k];
        bytes += out[k].data ? out[k].data->n : 0;
        if (k > 0 && bytes > bytes_max)
            break;
        if (out[k].data)
            wk_blob_ref(out[k].data);
    }
    return k;
}

static void disk_truncate(struct disk *d, uint64_t index)
{
    for (; d->last >= index && d->last >= d->first; d->last--) {
        wk_blob_unref(d->log[d->last].data);
        d->log[d->last].data = NULL;
    }
}

/* ---- network ---- */
static void packet_fini(struct packet *p)
{
    wk_buf_fini(&p->bytes);
}

static struct packet packet_of(const struct wk_raft_msg *m)
{
    struct packet p = { .from = m->from, .to = m->to, .type = m->type };
    wk_raft_msg_encode(&p.bytes, m);
    return p;
}

static void network_push(struct cluster *c, struct packet p)
{
    if (c->n_queue == QUEUE_MAX || c->cut[p.from][p.to] || p.to > NODES_MAX)
        packet_fini(&p);
    else
        c->queue[c->n_queue++] = p;
}

/* ---- one node ---- */
static void node_settle(struct node *n);

static int node_step(struct node *n, const struct wk_raft_event *ev)
{
    if (!n->r)
        return WKIM_ESTOPPED;
    const int rc = wk_raft_step(n->r, ev);
    node_settle(n);
    return rc;
}

static void node_apply(struct node *n, uint64_t to)
{
    struct cluster *c = n->c;
    while (n->r && n->d.applied < to && n->d.applied < n->apply_to) {
        const uint64_t i = ++n->d.applied;
        const struct wk_raft_entry *e = &n->d.log[i];
        const wkim_slice s = wk_blob_slice(e->data);
        const uint64_t h = wk_hash64(s.p, s.n, e->term * 31 + e->type) | 1;
        if (c->applied_hash[i] && c->applied_hash[i] != h)
            unsafe(c, "another entry was applied here", n->id, i);
        c->applied_hash[i] = h;
        if (e->type == WK_RAFT_ENTRY_CONF)
            wk_raft_conf_decode(&n->d.conf, s);
        if (!c->quiet && (s.n > 0 || e->type == WK_RAFT_ENTRY_CONF))
            wk_buf_printf(&c->out, "%" PRIu64 " applies %" PRIu64 " %.*s\n", n->id, i,
                          e->type ? 4 : (int)s.n, e->type ? "conf" : (const char *)s.p);
    }
    const struct wk_raft_event ev = { .type = WK_RAFT_APPLIED, .u.applied = n->d.applied };
    if (n->r && wk_raft_step(n->r, &ev) == WKIM_EINVAL)
        unsafe(c, "applied index refused", n->id, n->d.applied);
}

static void batch_complete(struct node *n)
{
    struct batch b = n->batches[0];
    memmove(n->batches, n->batches + 1, --n->n_batches * sizeof(b));
    if (b.n_entries) {
        disk_truncate(&n->d, b.entries[0].index);
        for (uint32_t i = 0; i < b.n_entries; i++)
            n->d.log[++n->d.last] = b.entries[i];
    }
    if (b.hard.term < n->d.hard.term ||
        (b.hard.term == n->d.hard.term && n->d.hard.vote && b.hard.vote != n->d.hard.vote))
        unsafe(n->c, "term or vote went back", n->id, b.hard.term);
    n->d.hard = b.hard;
    for (uint32_t i = 0; i < b.n_msgs; i++)
        network_push(n->c, b.msgs[i]);
    wk_free(b.entries);
    wk_free(b.msgs);
    const struct wk_raft_event ev = { .type = WK_RAFT_PERSISTED,
                                      .u.persisted = { b.number, b.term, b.index } };
    if (wk_raft_step(n->r, &ev) == WKIM_EINVAL)
        unsafe(n->c, "persisted refused", n->id, b.number);
}

static void batch_drop_all(struct node *n)
{
    for (uint32_t k = 0; k < n->n_batches; k++) {
        struct batch *b = &n->batches[k];
        for (uint32_t i = 0; i < b->n_entries; i++)
            wk_blob_unref(b->entries[i].data);
        for (uint32_t i = 0; i < b->n_msgs; i++)
            packet_fini(&b->msgs[i]);
        wk_free(b->entries);
        wk_free(b->msgs);
    }
    n->n_batches = 0;
}

static void ready_tell(struct node *n, const struct wk_raft_ready *rd)
{
    struct cluster *c = n->c;
    struct wk_raft_status st;
    wk_raft_status(n->r, &st);
    if (rd->role == WK_RAFT_LEADER) {
        uint64_t *l = &c->term_leader[st.term];
        if (*l && *l != n->id)
            unsafe(c, "two leaders in one term", n->id, *l);
        *l = n->id;
    }
    if (rd->soft_changed && !c->quiet) {
        wk_buf_printf(&c->out, "%" PRIu64 " is %s t%" PRIu64, n->id, role_names[rd->role], st.term);
        if (rd->role == WK_RAFT_FOLLOWER && rd->leader)
            wk_buf_printf(&c->out, " of %" PRIu64, rd->leader);
        wk_buf_printf(&c->out, "\n");
    }
    for (uint32_t i = 0; i < rd->n_reads; i++)
        wk_buf_printf(&c->out, "%" PRIu64 " read %" PRIu64 ": %s at %" PRIu64 "\n", n->id,
                      rd->reads[i].tag, rd->reads[i].code ? wkim_err_name(rd->reads[i].code) : "ok",
                      rd->reads[i].index);
    if (rd->install) {
        n->d.installing = n->pulling = true;
        n->d.req = *rd->install;
        wk_buf_printf(&c->out, "%" PRIu64 " installs %" PRIu64 "/t%" PRIu64 " from %" PRIu64 "\n",
                      n->id, rd->install->index, rd->install->term, rd->install->from);
    }
}

static void ready_take(struct node *n, const struct wk_raft_ready *rd)
{
    struct batch b = { .number = rd->number, .hard = rd->hard, .n_entries = rd->n_entries };
    ready_tell(n, rd);
    for (uint32_t i = 0; i < rd->n_msgs; i++)
        b.n_msgs += rd->msgs[i].after_persist;
    if (b.n_msgs && !rd->must_persist)
        unsafe(n->c, "a message waits for no batch", n->id, rd->number);
    b.msgs = wk_calloc(b.n_msgs + 1, sizeof(*b.msgs));
    b.n_msgs = 0;
    for (uint32_t i = 0; i < rd->n_msgs; i++) {
        const struct packet p = packet_of(&rd->msgs[i]);
        if (rd->msgs[i].after_persist)
            b.msgs[b.n_msgs++] = p;
        else
            network_push(n->c, p);
    }
    if (rd->apply_to)
        n->apply_to = rd->apply_to;
    if (!rd->must_persist) {
        wk_free(b.msgs);
        return;
    }
    b.entries = wk_calloc(b.n_entries + 1, sizeof(*b.entries));
    for (uint32_t i = 0; i < rd->n_entries; i++) {
        b.entries[i] = rd->entries[i];
        if (b.entries[i].data)
            wk_blob_ref(b.entries[i].data);
        b.term = rd->entries[i].term;
        b.index = rd->entries[i].index;
    }
    if (n->n_batches == BATCHES_MAX)
        abort(); /* a scenario must not let a disk sleep that long */
    n->batches[n->n_batches++] = b;
}

static void node_settle(struct node *n)
{
    struct wk_raft_ready rd;
    for (bool more = true; more && n->r;) {
        more = false;
        if (wk_raft_fault(n->r)) {
            if (!n->stopped_told)
                wk_buf_printf(&n->c->out, "%" PRIu64 " stops: %s\n", n->id, wk_raft_fault(n->r));
            n->stopped_told = true;
            return;
        }
        while (wk_raft_has_ready(n->r) && wk_raft_ready(n->r, &rd) == WKIM_OK) {
            ready_take(n, &rd);
            more = true;
        }
        if (n->n_batches && !n->slow) {
            batch_complete(n);
            more = true;
        } else if (!n->lazy && n->apply_to > n->d.applied) {
            node_apply(n, n->apply_to);
            more = true;
        }
    }
}

static int node_start(struct node *n)
{
    struct wk_raft_options o = n->c->opt;
    o.id = n->id;
    o.seed = n->id * 1000 + ++n->starts;
    o.reader = (struct wk_raft_log_reader){ disk_term, disk_entries, n };
    o.hard = n->d.hard;
    o.conf = n->d.conf;
    o.first_index = n->d.first;
    o.last_index = n->d.last;
    o.applied = n->d.applied;
    o.installing = n->d.installing ? &n->d.req : NULL;
    n->apply_to = n->d.applied;
    n->exists = true;
    n->stopped_told = n->pulling = false;
    const int rc = wk_raft_new(&n->r, &o, NULL);
    if (rc == WKIM_OK)
        node_settle(n);
    return rc;
}

static void node_crash(struct node *n)
{
    batch_drop_all(n);
    wk_raft_free(n->r);
    n->r = NULL;
}

/* The pull is complete: state and log begin at the position of the request. */
static int node_install(struct node *n, bool ok)
{
    if (!n->pulling || !n->r)
        return WKIM_EINVAL;
    n->pulling = false;
    struct wk_raft_event ev = { .type = WK_RAFT_SNAPSHOT_DONE };
    ev.u.snapshot.index = n->d.req.index;
    ev.u.snapshot.term = n->d.req.term;
    ev.u.snapshot.ok = ok;
    if (ok) {
        while (n->n_batches)
            batch_complete(n); /* the log is reset behind the writes before it */
        disk_truncate(&n->d, n->d.first);
        n->d.first = n->d.req.index + 1;
        n->d.last = n->d.applied = n->apply_to = n->d.req.index;
        n->d.first_term = n->d.req.term;
        n->d.conf = n->d.req.conf;
        n->d.installing = false;
    }
    return node_step(n, &ev);
}

static void node_compact(struct node *n, uint64_t first)
{
    if (first > n->d.first)
        n->d.first_term = n->d.log[first - 1].term;
    for (uint64_t i = n->d.first; i < first; i++) {
        wk_blob_unref(n->d.log[i].data);
        n->d.log[i].data = NULL;
    }
    n->d.first = first;
}

/* Deliver to the node; a link that is cut swallows it. */
static void packet_deliver(struct cluster *c, struct packet *p)
{
    struct wk_raft_msg m;
    struct node *n = &c->node[p->to];
    if (!c->cut[p->from][p->to] && n->r) {
        if (wk_raft_msg_decode(&m, wk_buf_slice(&p->bytes)) != WKIM_OK) {
            unsafe(c, "a message cannot be decoded", p->from, p->to);
        } else {
            const struct wk_raft_event ev = { .type = WK_RAFT_RECEIVE, .u.msg = &m };
            const int rc = node_step(n, &ev);
            if (rc != WKIM_OK && rc != WKIM_ECORRUPT)
                unsafe(c, "a message was refused", p->from, p->to);
            wk_raft_msg_fini(&m);
        }
    }
    packet_fini(p);
}

static struct cluster *cluster_new(void)
{
    struct cluster *c = wk_calloc(1, sizeof(*c));
    if (!c)
        abort();
    c->opt = (struct wk_raft_options){ .election_ticks = 10, .heartbeat_ticks = 1,
                                       .inflight_msgs_max = 16, .inflight_bytes_max = 1 << 20,
                                       .msg_bytes_max = 1 << 16,
                                       .uncommitted_bytes_max = 1 << 20,
                                       .apply_bytes_max = 1 << 16 };
    for (uint64_t i = 1; i <= NODES_MAX; i++) {
        c->node[i].c = c;
        c->node[i].id = i;
        c->node[i].d.first = 1;
    }
    return c;
}

static void cluster_free(struct cluster *c)
{
    for (uint64_t i = 1; i <= NODES_MAX; i++) {
        node_crash(&c->node[i]);
        for (uint64_t k = 0; k < LOG_MAX; k++)
            wk_blob_unref(c->node[i].d.log[k].data);
    }
    for (uint32_t i = 0; i < c->n_queue; i++)
        packet_fini(&c->queue[i]);
    wk_buf_fini(&c->out);
    wk_free(c);
}
#endif
