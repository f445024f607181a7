/* What the files of this room share.  Nothing here is used outside lib/raft. */
#ifndef WK_RAFT_INTERNAL_H
#define WK_RAFT_INTERNAL_H
#include "raft/raft.h"

#define WK_RAFT_ENTRY_OVERHEAD 32   /* bytes charged per entry beside its data */
#define WK_RAFT_ENTRIES_PER_MSG 1024
#define WK_RAFT_SCAN_ENTRIES 128    /* entries looked at per apply range after a restart */
#define WK_RAFT_RANGES_MAX 1024     /* term changes remembered; older ones are asked for */
#define WK_RAFT_TRANSFER_LAG_MAX 256 /* entries a transfer or promotion target may be behind */
#define WK_RAFT_ROUND_TICKS 16      /* heartbeat rounds whose sending tick is remembered */

enum { WK_RAFT_PROBE, WK_RAFT_REPLICATE, WK_RAFT_SNAPSHOT_STATE };
enum wk_raft_vote { WK_RAFT_VOTE_PENDING, WK_RAFT_VOTE_WON, WK_RAFT_VOTE_LOST };

/* ---- quorum.c: arithmetic over voters, no state ---- */
/* Highest value that a majority of v[0..n) has reached; 0 for n == 0.  Reorders v. */
uint64_t wk_raft_quorum_reached(uint64_t *v, uint32_t n);
enum wk_raft_vote wk_raft_quorum_votes(uint32_t granted, uint32_t rejected, uint32_t n);

/* ---- growable queues: a vector with a head ---- */
struct wk_raft_fifo {
    void *p;
    size_t head, n, cap;
};
/* Room for `extra` more elements of `size` bytes behind the last; WKIM_OK or WKIM_ENOMEM. */
int wk_raft_fifo_reserve(struct wk_raft_fifo *f, size_t extra, size_t size);
void wk_raft_fifo_fini(struct wk_raft_fifo *f);
#define WK_RAFT_FIFO_AT(f, type, i) ((type *)(f)->p + (f)->head + (i))
static inline void wk_raft_fifo_pop(struct wk_raft_fifo *f, size_t k)
{
    f->n -= k;
    f->head = f->n == 0 ? 0 : f->head + k;
}

/* ---- log.c ---- */
struct wk_raft_range { /* entries from `first` up to the next range have `term` */
    uint64_t first, term;
};
struct wk_raft_batch { /* handed out, not yet durable */
    uint64_t number, term, index; /* as handed out */
    uint64_t good;                /* highest index of it that was not overwritten since */
    uint64_t hard_term, hard_vote;
};
struct wk_raft_pending_conf {
    uint64_t index;
    struct wk_raft_conf conf;
};
struct wk_raft_log {
    struct wk_raft_log_reader reader;
    uint64_t first, last;
    uint64_t durable; /* the tail holds (durable, last] */
    uint64_t handed;  /* the tail up to here is in batches in flight */
    struct wk_raft_fifo tail;    /* struct wk_raft_entry */
    struct wk_raft_fifo ranges;  /* struct wk_raft_range; never empty, the last one ends at last */
    struct wk_raft_fifo batches; /* struct wk_raft_batch */
    struct wk_raft_fifo sizes;   /* uint32_t, of the last sizes.n entries */
    struct wk_raft_fifo confs;   /* struct wk_raft_pending_conf, beyond applied, ascending */
    /* Entries up to unknown_to were there at start: their types are known up to scanned_to only. */
    uint64_t unknown_to, scanned_to;
};
int wk_raft_log_init(struct wk_raft_log *l, const struct wk_raft_options *opt);
void wk_raft_log_fini(struct wk_raft_log *l);
uint64_t wk_raft_log_last_term(const struct wk_raft_log *l);
/* WKIM_OK, WKIM_ENOTFOUND (compacted or beyond the end), WKIM_EAGAIN. */
int wk_raft_log_term(const struct wk_raft_log *l, uint64_t index, uint64_t *term);
/* Highest index in [lo, index] whose term is <= term, or lo; how a conflict is narrowed. */
uint64_t wk_raft_log_conflict(const struct wk_raft_log *l, uint64_t lo, uint64_t index,
                              uint64_t term);
int wk_raft_log_reserve(struct wk_raft_log *l, size_t entries, size_t terms, size_t confs);
/* Needs wk_raft_log_reserve.  Takes the ref of e->data. */
void wk_raft_log_append_take(struct wk_raft_log *l, const struct wk_raft_entry *e);
void wk_raft_log_conf_add(struct wk_raft_log *l, uint64_t index, const struct wk_raft_conf *c);
/* Forget entries from `index` on; prev_term is the term of index - 1. */
void wk_raft_log_truncate(struct wk_raft_log *l, uint64_t index, uint64_t prev_term);
void wk_raft_log_reset(struct wk_raft_log *l, uint64_t index, uint64_t term);
void wk_raft_log_compact(struct wk_raft_log *l, uint64_t first);
/* Number of durable hard state is left in *hard when a batch completed. */
int wk_raft_log_persisted(struct wk_raft_log *l, uint64_t number, uint64_t term, uint64_t index,
                          struct wk_raft_hard_state *hard);
static inline struct wk_raft_entry *wk_raft_log_tail_at(const struct wk_raft_log *l, uint64_t index)
{
    return WK_RAFT_FIFO_AT(&l->tail, struct wk_raft_entry, index - l->durable - 1);
}
static inline size_t wk_raft_entry_bytes(const struct wk_raft_entry *e)
{
    return WK_RAFT_ENTRY_OVERHEAD + (e->data ? e->data->n : 0);
}

/* ---- progress.c ---- */
struct wk_raft_window_slot {
    uint64_t index, bytes;
};
struct wk_raft_progress {
    uint64_t id, match, next;
    uint64_t snapshot_index, snapshot_round; /* what was offered, and in which heartbeat round */
    uint64_t sent_commit;
    uint64_t active_tick;  /* when it was heard last */
    uint64_t acked_round;
    uint64_t window_bytes;
    struct wk_raft_fifo window; /* struct wk_raft_window_slot */
    uint8_t state, vote;        /* vote: 0 none, 1 granted, 2 refused */
    bool learner;
    bool paused;  /* one probe is out: wait for its answer or a heartbeat's */
    bool waiting; /* entries or a term were not resident */
};
void wk_raft_progress_reset(struct wk_raft_progress *p, uint64_t next, uint64_t now);
void wk_raft_progress_fini(struct wk_raft_progress *p);
void wk_raft_progress_probe(struct wk_raft_progress *p);
void wk_raft_progress_replicate(struct wk_raft_progress *p);
void wk_raft_progress_snapshot(struct wk_raft_progress *p, uint64_t index, uint64_t round);
bool wk_raft_progress_update(struct wk_raft_progress *p, uint64_t index);
bool wk_raft_progress_reject(struct wk_raft_progress *p, uint64_t rejected, uint64_t hint);
bool wk_raft_progress_full(const struct wk_raft_progress *p, uint32_t msgs_max, uint64_t bytes_max);
void wk_raft_progress_sent(struct wk_raft_progress *p, uint32_t n, uint64_t bytes);

/* ---- outbox.c: what the next update will hold ---- */
struct wk_raft_outbox {
    struct wk_raft_fifo msgs;    /* struct wk_raft_msg */
    struct wk_raft_fifo firsts;  /* size_t: where the entries of each message begin */
    struct wk_raft_fifo entries; /* struct wk_raft_entry, refs owned */
    struct wk_raft_fifo reads;   /* struct wk_raft_read_state */
    bool install;
    struct wk_raft_snapshot_req req;
};
int wk_raft_outbox_reserve(struct wk_raft_outbox *o, size_t msgs, size_t reads);
void wk_raft_outbox_clear(struct wk_raft_outbox *o);
void wk_raft_outbox_fini(struct wk_raft_outbox *o);
void wk_raft_outbox_seal(struct wk_raft_outbox *o);

/* ---- the group ---- */
struct wk_raft_read {
    uint64_t tag, index, round, from, context, deadline;
};
struct wk_raft_charge { /* bytes of one accepted proposal */
    uint64_t index, bytes;
};
struct wk_raft {
    struct wk_raft_options opt;
    const char *fault;
    uint64_t rng, now /* ticks */, number /* of the last ready */;
    uint64_t term, vote, commit, applied;
    uint64_t apply_handed;
    struct wk_raft_hard_state handed_hard, durable_hard;
    uint64_t leader;
    uint8_t role, handed_role;
    uint64_t handed_leader;
    uint32_t election_elapsed, election_timeout, heartbeat_elapsed;
    bool campaign_wanted, campaign_force;
    struct wk_raft_log log;
    struct wk_raft_conf conf;
    struct wk_raft_progress peers[WK_RAFT_PEERS_MAX];
    uint8_t n_peers;
    bool self_voter;
    /* leader */
    uint64_t own_first;    /* index of the no-op of this term */
    uint64_t pending_conf; /* no further change is proposed until this index is applied */
    struct wk_raft_fifo charges;
    uint64_t uncommitted_bytes;
    uint64_t transferee;
    uint32_t transfer_elapsed;
    bool transfer_sent, lease_void;
    /* reads */
    uint64_t round, open_round; /* open: its heartbeats have not left yet */
    struct wk_raft_window_slot round_ticks[WK_RAFT_ROUND_TICKS]; /* index: round, bytes: tick */
    uint64_t read_seq;
    struct wk_raft_fifo reads, forwarded; /* struct wk_raft_read */
    /* follower: snapshot */
    bool installing, install_active;
    struct wk_raft_snapshot_req install;
    struct wk_raft_outbox box[2], *pending, *out; /* collected now; handed out last */
};

/* raft.c */
void wk_raft_fault_set(struct wk_raft *r, const char *text);
struct wk_raft_progress *wk_raft_peer(struct wk_raft *r, uint64_t id);
/* A message to `to` in the pending update; NULL when memory is short: it counts as lost. */
struct wk_raft_msg *wk_raft_send(struct wk_raft *r, uint8_t type, uint64_t to);
uint64_t wk_raft_random(struct wk_raft *r);

/* election.c */
void wk_raft_become_follower(struct wk_raft *r, uint64_t term, uint64_t leader);
bool wk_raft_promotable(const struct wk_raft *r);
void wk_raft_campaign(struct wk_raft *r, bool force);
void wk_raft_campaign_retry(struct wk_raft *r);
void wk_raft_vote_request(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_vote_response(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_votes_count(struct wk_raft *r);
void wk_raft_tick(struct wk_raft *r);

/* transfer.c */
int wk_raft_transfer(struct wk_raft *r, uint64_t to);
void wk_raft_transfer_advance(struct wk_raft *r);
void wk_raft_transfer_abort(struct wk_raft *r);

/* replication.c */
int wk_raft_propose(struct wk_raft *r, const struct wk_raft_event *ev);
void wk_raft_append_own(struct wk_raft *r, uint8_t type, struct wk_blob *taken);
bool wk_raft_append_send(struct wk_raft *r, struct wk_raft_progress *p, bool empty_too);
void wk_raft_append_broadcast(struct wk_raft *r);
void wk_raft_append_retry(struct wk_raft *r);
bool wk_raft_commit_advance(struct wk_raft *r);
void wk_raft_commit_to(struct wk_raft *r, uint64_t index);
void wk_raft_append_response(struct wk_raft *r, const struct wk_raft_msg *m);

/* append.c: the follower's side */
int wk_raft_append_check(const struct wk_raft_msg *m, size_t *terms, size_t *confs);
void wk_raft_acknowledge(struct wk_raft *r, uint64_t to, uint64_t index);
void wk_raft_append_receive(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_heartbeat_receive(struct wk_raft *r, const struct wk_raft_msg *m);

/* read_index.c */
void wk_raft_heartbeat_broadcast(struct wk_raft *r);
void wk_raft_heartbeat_response(struct wk_raft *r, const struct wk_raft_msg *m);
int wk_raft_read_local(struct wk_raft *r, uint64_t tag);
void wk_raft_read_receive(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_read_response(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_reads_refuse(struct wk_raft *r);
void wk_raft_reads_tick(struct wk_raft *r);

/* membership.c */
bool wk_raft_conf_valid(const struct wk_raft_conf *c);
bool wk_raft_conf_has(const struct wk_raft_conf *c, uint64_t id, bool *learner);
int wk_raft_propose_conf(struct wk_raft *r, const struct wk_raft_conf *conf);
void wk_raft_conf_switch(struct wk_raft *r, const struct wk_raft_conf *conf);
void wk_raft_confs_applied(struct wk_raft *r);
bool wk_raft_conf_unapplied(const struct wk_raft *r);
/* Look into committed entries of the last run for configurations. */
void wk_raft_scan(struct wk_raft *r);

/* snapshot.c */
bool wk_raft_snapshot_send(struct wk_raft *r, struct wk_raft_progress *p);
void wk_raft_snapshot_needed(struct wk_raft *r, struct wk_raft_progress *p,
                             const struct wk_raft_msg *m, uint64_t round);
void wk_raft_snapshot_receive(struct wk_raft *r, const struct wk_raft_msg *m);
void wk_raft_snapshot_status(struct wk_raft *r, const struct wk_raft_msg *m);
int wk_raft_snapshot_done(struct wk_raft *r, const struct wk_raft_event *ev);
int wk_raft_compacted(struct wk_raft *r, uint64_t first);
#endif
