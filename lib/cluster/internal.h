/* Inside the room only. */
#ifndef WK_CLUSTER_INTERNAL_H
#define WK_CLUSTER_INTERNAL_H
#include <pthread.h>
#include "cluster/cluster.h"

/* Commands of one proposed entry and the calls that wait for them, in order. */
struct wk_pending {
    struct wk_list link;
    uint64_t term, index;
    struct wk_blob *bytes;
    struct wk_list calls;
    uint64_t proposed_us, begun_us, persisted_us;
};

/* One batch handed to the log. */
struct wk_persist {
    struct wk_log_submit submit;
    struct wk_post post;
    struct wk_slot *slot;
    uint64_t ready, term, index;
    uint32_t cap;
    struct wk_log_entry *entries; /* small batches: inline_entries */
    struct wk_log_entry inline_entries[4];
};

struct wk_slot {
    uint32_t id;
    struct wk_cluster *cluster;
    struct wk_shard *shard;
    struct wk_raft *raft;
    void *state;
    bool leading, serving, faulted;
    int fault;                  /* why it stopped */
    uint64_t term;              /* of our leadership */
    uint64_t hard_term, hard_vote;
    struct wk_buf batch;        /* commands of the next entry */
    struct wk_list batch_calls;
    uint32_t batch_n;
    struct wk_list pending;     /* struct wk_pending, by index */
    struct wk_hook propose;
    uint64_t apply_from, apply_to; /* committed, to be applied at this round's commit stage */
    struct wk_list apply_link;
    struct wk_list round_applied;  /* struct wk_pending of the round under way */
    int round_rc;
    _Atomic uint64_t applied;   /* in the store; read by maintenance */
    _Atomic uint64_t committed; /* read by metrics */
    uint64_t applied_term;
};

/* Per shard. */
struct wk_slot_runner {
    struct wk_cluster *cluster;
    struct wk_shard *shard;
    struct wk_txn *txn;
    struct wk_hook commit;
    struct wk_list to_apply;    /* slots with committed entries */
    struct wk_persist *free_persists;
    struct wk_post start;
    struct wk_cluster_counters count;
    uint64_t committed_us;      /* when the rows of this round were in the store */
};

struct wk_cluster {
    struct wk_cluster_options opt;
    struct wk_log_writer *writer;
    struct wk_slot *slots;
    struct wk_slot_runner *runners;
    _Atomic uint32_t ready;
    _Atomic bool refusing;
    _Atomic uint64_t calls;
    /* maintenance */
    pthread_t maintainer;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, running;
};

void wk_slot_open(struct wk_slot *s);              /* @shard */
void wk_slot_fini(struct wk_slot *s);
void wk_slot_handle(struct wk_slot *s, struct wk_call *c);
void wk_slot_drive(struct wk_slot *s);             /* take ready updates from the core */
void wk_slot_apply_round(struct wk_slot_runner *r);
void wk_slot_fault(struct wk_slot *s, int code, const char *what);
void wk_slot_fail_waiting(struct wk_slot *s, int code);
int wk_maintain_start(struct wk_cluster *c, struct wkim_error *err);
void wk_maintain_stop(struct wk_cluster *c);
struct wk_slot_runner *wk_slot_runner(const struct wk_slot *s);
#endif
