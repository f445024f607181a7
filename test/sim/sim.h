/* Deterministic simulation of several nodes, each the real raft core and the real log on a
 * simulated disk, over a simulated net and clocks.  One heap of (virtual time, sequence) events,
 * one seed. */
#ifndef SIM_H
#define SIM_H
#include "base/buf.h"
#include "log/log.h"
#include "raft/raft.h"
#include "sim_clock.h"
#include "sim_disk.h"
#include "sim_net.h"

#define SIM_GROUPS_MAX 64
#define SIM_MS 1000ull /* virtual time is in microseconds */
#define SIM_S 1000000ull
#define SIM_ELECTION_TICKS 10
#define SIM_TICK_US (20 * SIM_MS)

enum sim_event_kind {
    SIM_TICK,
    SIM_DELIVER,
    SIM_DISK,
    SIM_PULL,
    SIM_RESTART,
    SIM_FAULT,
    SIM_CLIENT
};

struct sim_event {
    uint64_t at, seq;
    uint8_t kind, node;
    uint32_t epoch; /* of the node: events of an earlier life are dropped */
    uint32_t group;
    void *data;
};

/* The state machine of a group: a hash chain and a counter.  `durable` is what a crash goes back
 * to. */
struct sim_state {
    uint64_t applied, term, hash, count;
    struct wk_raft_conf conf;
};

/* Something on its way to the log of a node, in order. */
struct sim_item {
    struct sim_item *next;
    uint32_t group;
    bool persist, reset;
    uint64_t number;
    struct wk_log_batch batch; /* entries owned, blobs counted */
    uint64_t reset_index, reset_term;
    struct sim_frame *frames; /* leave when it is durable */
};

struct sim_pull {                       /* a snapshot install under way */
    bool active, resetting, superseded; /* superseded: `req` is newer than what is being stored */
    struct wk_raft_snapshot_req req; /* survives a crash, like a record the install begins with */
    uint64_t number;
    unsigned chunks, tries;
};

struct sim_read {
    uint64_t tag, floor; /* acknowledged before it was asked */
};

struct sim_group {
    struct wk_raft *raft; /* NULL: the node is down or the group is damaged */
    bool damaged;
    struct sim_state now, durable;
    uint64_t apply_to, told; /* handed out by the core; reported back to it */
    uint64_t term, vote;     /* acknowledged as durable */
    uint64_t voted_term, voted_for;
    uint64_t commit_seen;
    uint8_t role;
    uint64_t leader;
    struct sim_pull pull;
    uint64_t *terms; /* durable entries' terms, [i] of index i; 0: unknown */
    uint64_t terms_cap, last_durable;
    struct sim_read reads[8];
    uint64_t n_reads;
    void *reader; /* what the core's log reader is given */
    /* Proposals of this node that wait for their index: pid at (term, index). */
    struct {
        uint64_t index, term, pid;
    } waits[16];
};

struct sim_node {
    struct sim *sim;
    uint64_t id; /* 1.. */
    bool up, may_be_damaged;
    uint32_t epoch;
    struct sim_disk *disk;
    struct wk_fs fs;
    struct wk_log_store *log;
    struct sim_clock clock;
    uint64_t sync_us; /* base latency of a sync */
    bool writing;
    struct sim_item *queue, **queue_end, *round;
    struct sim_group *groups;
};

struct sim_entry_id { /* first sight of an entry (index, term): content and predecessor are fixed */
    uint64_t index, term, hash, prev_term;
};
struct sim_record {               /* what was applied at an index */
    uint64_t term, hash, in_term; /* in_term: of the node that applied it first */
};
struct sim_registry {
    struct sim_entry_id *ids;
    size_t n_ids, id_cap;
    struct sim_record *applied; /* [index] */
    uint64_t max_applied, applied_cap;
    uint64_t max_acked;
    uint64_t acked;
    uint64_t *leaders; /* [term] -> node */
    uint64_t leaders_cap;
};

struct sim_options {
    uint64_t seed;
    unsigned nodes, groups;
    uint64_t steps;
    bool trace;
};

/* Drawn from the seed: which faults, how often, which limits. */
struct sim_mix {
    uint32_t faults; /* bits, see sim_fault.c */
    uint64_t fault_us, client_us;
    uint64_t segment_bytes, cache_bytes, msg_bytes, inflight, trail;
    uint32_t payload_max, eagain; /* one read in `eagain` answers "not resident"; 0 never */
    unsigned voters;
};

struct sim {
    struct sim_options opt;
    struct sim_mix mix;
    struct wk_rng rng;
    uint64_t now, next_seq, steps, next_pid, next_tag;
    struct sim_event *heap;
    size_t n_heap, heap_cap;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_net net;
    struct sim_registry *reg; /* [groups] */
    bool quiet;               /* no faults any more */
    bool no_client;
    bool failed;
    char why[256];
    uint64_t hash; /* of everything that happened */
    /* What happened, to see that rare paths are reached. */
    uint64_t elections, installs, crashes, restarts, damaged, reads, conf_changes, transfers;
};

/* sim_core.c */
struct sim *sim_new(const struct sim_options *opt, const struct sim_mix *mix);
void sim_free(struct sim *s);
void sim_post(struct sim *s, uint64_t after_us, uint8_t kind, unsigned node, uint32_t group,
              void *data);
bool sim_step(struct sim *s); /* one event; false: failed */
void sim_run_for(struct sim *s, uint64_t us);
void sim_mix_draw(struct sim_mix *m, struct sim_options *opt);
uint64_t sim_rand(struct sim *s, uint64_t n); /* 0 .. n-1 */
void sim_fail(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_note(struct sim *s, uint64_t a, uint64_t b, uint64_t c); /* into the hash */
void sim_trace(const struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void *sim_must(void *p);
/* Heal, then demand elections and commits from everybody. */
bool sim_finish(struct sim *s);

/* sim_node.c */
void sim_node_start(struct sim_node *n);
void sim_node_stop(struct sim_node *n, bool power, enum sim_cut cut);
void sim_node_event(struct sim_node *n, struct sim_event *e);
int sim_node_step(struct sim_node *n, uint32_t group, const struct wk_raft_event *ev);
bool sim_propose(struct sim *s, uint32_t group, unsigned payload); /* at the leader, if any */
struct sim_node *sim_leader(struct sim *s, uint32_t group);        /* of the highest term; NULL */
void sim_node_flush(struct sim_node *n, uint32_t group, bool compact);
void sim_node_free(struct sim_node *n);
void sim_frames_free(struct sim_frame *f);

/* sim_apply.c */
void sim_apply(struct sim_node *n, uint32_t group);
void sim_pull_start(struct sim_node *n, uint32_t group, const struct wk_raft_snapshot_req *req);
void sim_pull_step(struct sim_node *n, uint32_t group, uint64_t number);
void sim_pull_done(struct sim_node *n, uint32_t group); /* the log begins behind the snapshot */
void sim_submit(struct sim_node *n, struct sim_item *it);

/* sim_check.c */
void sim_check_ready(struct sim_node *n, uint32_t group, const struct wk_raft_ready *rd);
void sim_check_entries(struct sim_node *n, uint32_t group, const struct wk_raft_entry *e,
                       uint32_t n_e, uint64_t prev_term);
void sim_check_applied(struct sim_node *n, uint32_t group, uint64_t term, uint64_t hash);
void sim_check_durable(struct sim_node *n, const struct sim_item *it);
void sim_check_restart(struct sim_node *n, uint32_t group, const struct wk_log_group_state *st);
void sim_check_read(struct sim_node *n, uint32_t group, const struct wk_raft_read_state *r);
void sim_check_vote(struct sim_node *n, uint32_t group, const struct wk_raft_msg *m);
void sim_check_free(struct sim *s);

/* sim_fault.c */
void sim_fault(struct sim *s);
void sim_heal(struct sim *s);

/* sim_scenario.c */
int sim_scenarios(const char *only); /* failures */
#endif
