/* One Raft consensus group as a pure machine: event in, update out.
 *
 * Rules R1..R15 are listed in README; the words follow the Raft dissertation and etcd/raft.
 * No clock, no I/O, no threads, no logging, no randomness but the seed.  The caller's duties, in
 * this order, after every wk_raft_step():
 *   1. Take the update (wk_raft_ready).  If hard state or entries are in it, hand both to the log
 *      as ONE batch.  Several batches may be in flight; they complete in order.
 *   2. Messages marked `after_persist` leave only when that batch is durable; the others at once.
 *      (The core keeps no copy: whoever holds the batch holds its messages.)
 *   3. When a batch is durable, step WK_RAFT_PERSISTED with the (term, index) of its last entry and
 *      its ready number; a completion of overwritten entries is recognised and ignored (ABA).
 *   4. Apply entries (applied, commit] in order, then step WK_RAFT_APPLIED.
 * A changed commit index alone makes no batch: it goes along with the next term, vote or entry.
 * Entry bytes live in the log reader of the caller: the core asks for them through `struct
 * wk_raft_log_reader`, which may answer "not resident" (WKIM_EAGAIN): the core retries at the next
 * step.  The unstable tail (not yet durable) is kept by the core.
 */
#ifndef WK_RAFT_RAFT_H
#define WK_RAFT_RAFT_H
#include <stdbool.h>
#include "base/buf.h"
#include "base/blob.h"
#include "base/error.h"

#define WK_RAFT_PEERS_MAX 16 /* voters + learners of a group */

enum wk_raft_role { WK_RAFT_FOLLOWER, WK_RAFT_PRECANDIDATE, WK_RAFT_CANDIDATE, WK_RAFT_LEADER };

enum wk_raft_entry_type {
    WK_RAFT_ENTRY_NORMAL = 0, /* empty data: the no-op of a new leader */
    WK_RAFT_ENTRY_CONF = 1    /* a struct wk_raft_conf, encoded */
};

/* An entry.  The blob is counted: whoever keeps an entry refs it. */
struct wk_raft_entry {
    uint64_t term, index;
    uint8_t type;
    struct wk_blob *data; /* NULL: empty */
};

/* Durable state beside the log. */
struct wk_raft_hard_state {
    uint64_t term, vote /* node id, 0 none */, commit;
};

/* Membership.  Simple (one change at a time); joint consensus is not built. */
struct wk_raft_conf {
    uint64_t voters[WK_RAFT_PEERS_MAX];
    uint64_t learners[WK_RAFT_PEERS_MAX];
    uint8_t n_voters, n_learners;
};
void wk_raft_conf_encode(struct wk_buf *out, const struct wk_raft_conf *c);
int wk_raft_conf_decode(struct wk_raft_conf *out, wkim_slice in); /* WKIM_OK or WKIM_EPROTO */

enum wk_raft_msg_type {
    WK_RAFT_MSG_APPEND = 1,
    WK_RAFT_MSG_APPEND_RESP,
    WK_RAFT_MSG_VOTE,
    WK_RAFT_MSG_VOTE_RESP,
    WK_RAFT_MSG_PREVOTE,
    WK_RAFT_MSG_PREVOTE_RESP,
    WK_RAFT_MSG_HEARTBEAT,
    WK_RAFT_MSG_HEARTBEAT_RESP,
    WK_RAFT_MSG_SNAPSHOT,      /* "install": pull the ranges from `from`, see R12 */
    WK_RAFT_MSG_SNAPSHOT_STATUS,
    WK_RAFT_MSG_TIMEOUT_NOW,
    WK_RAFT_MSG_READ_INDEX,
    WK_RAFT_MSG_READ_INDEX_RESP,
    WK_RAFT_MSG_PROPOSE        /* follower forwards a proposal; off unless configured */
};

struct wk_raft_msg {
    uint8_t type;
    bool reject;
    bool after_persist;        /* local: hold until the batch it was emitted with is durable */
    bool force;                /* VOTE/PREVOTE: leader transfer, overrides stickiness */
    uint64_t from, to;
    uint64_t term;
    uint64_t index, log_term;  /* APPEND: previous entry; VOTE: last entry; RESP: matched/hint */
    uint64_t commit;
    uint64_t hint, hint_term;  /* APPEND_RESP reject: where to probe next */
    uint64_t context;          /* heartbeat / read-index round */
    struct wk_raft_entry *entries; /* APPEND: owned by the update until the next step */
    uint32_t n_entries;
    struct wk_raft_conf conf;  /* SNAPSHOT */
};

/* Where entries below the unstable tail come from. */
struct wk_raft_log_reader {
    /* Term of entry `index`: WKIM_OK; WKIM_ENOTFOUND when compacted away or beyond the end;
     * WKIM_EAGAIN when not resident. index == first-1 (the compaction point) answers its term. */
    int (*term)(void *user, uint64_t index, uint64_t *term);
    /* Entries [lo, hi), cut to bytes_max (at least one).  Fills out[] (blobs reffed for the caller)
     * and returns the count, or WKIM_EAGAIN / WKIM_ENOTFOUND. */
    wkim_ssize (*entries)(void *user, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                          struct wk_raft_entry *out, uint32_t out_max);
    void *user;
};

struct wk_raft_snapshot_req;
struct wk_raft_options {
    uint64_t id;                 /* this node */
    uint64_t seed;               /* election jitter and read tags: MUST differ from start to start,
                                  * or a late answer to a read of the last run could match */
    uint32_t election_ticks;     /* base timeout; randomised to [n, 2n) */
    uint32_t heartbeat_ticks;
    uint32_t inflight_msgs_max;  /* per follower, R6 */
    uint64_t inflight_bytes_max; /* per follower */
    uint64_t msg_bytes_max;      /* of entries in one APPEND */
    uint64_t uncommitted_bytes_max; /* then WKIM_EBUSY; with none, any size is accepted */
    uint64_t apply_bytes_max;    /* of one committed range in an update */
    bool lease_read;             /* default false, R10 */
    struct wk_raft_log_reader reader;
    /* Restored state. */
    struct wk_raft_hard_state hard;
    struct wk_raft_conf conf;    /* as of `applied` */
    uint64_t first_index;        /* first entry still in the log (>= 1) */
    uint64_t last_index;         /* last durable entry, first_index-1 when empty */
    uint64_t applied;
    /* NULL, or the install that a restart interrupted: the group keeps the position of the
     * snapshot for votes and asks again for it in its first update.  Borrowed during new. */
    const struct wk_raft_snapshot_req *installing;
};

enum wk_raft_event_type {
    WK_RAFT_TICK,
    WK_RAFT_CAMPAIGN,     /* test and single-voter start: begin an election now, or as soon as
                           * committed configurations found in the log are applied */
    WK_RAFT_PROPOSE,      /* u.propose */
    WK_RAFT_PROPOSE_CONF, /* u.conf: the whole new configuration, differing by one peer */
    WK_RAFT_RECEIVE,      /* u.msg; its entries are copied (blobs reffed) */
    WK_RAFT_PERSISTED,    /* u.persisted */
    WK_RAFT_APPLIED,      /* u.applied: state machine holds everything up to index */
    WK_RAFT_READ_INDEX,   /* u.read */
    WK_RAFT_TRANSFER,     /* u.transfer: 0 aborts */
    WK_RAFT_COMPACTED,    /* u.compacted: entries below first_index are gone from the log */
    WK_RAFT_SNAPSHOT_DONE,/* u.snapshot: local install finished (follower) */
    WK_RAFT_UNREACHABLE   /* u.peer: last sends to this peer were lost */
};

struct wk_raft_event {
    uint8_t type;
    union {
        struct {
            const struct wkim_slice *data; /* n payloads, each becomes one entry (copied) */
            struct wk_blob **blobs;        /* instead of data: blobs, a ref is taken of each */
            uint32_t n;
            uint64_t expected_term;        /* 0: any; otherwise WKIM_ENOTLEADER on mismatch */
        } propose;
        const struct wk_raft_conf *conf;
        const struct wk_raft_msg *msg;
        struct {
            uint64_t ready;               /* number of the ready whose batch is durable */
            uint64_t term, index;         /* of the batch's last entry; 0 when it had none */
        } persisted;
        uint64_t applied;
        uint64_t read; /* caller's tag, comes back in a read state */
        uint64_t transfer;
        uint64_t compacted; /* first index still present */
        struct {
            uint64_t index, term;
            bool ok;
            const struct wk_raft_conf *conf;
        } snapshot;
        uint64_t peer;
    } u;
};

struct wk_raft_read_state {
    uint64_t tag;
    uint64_t index; /* the read may run when applied >= index */
    int code;       /* WKIM_OK, or WKIM_ENOTLEADER when refused */
};

struct wk_raft_snapshot_req { /* follower: install, see R12 */
    uint64_t from, index, term;
    struct wk_raft_conf conf;
};

/* What the caller has to do.  Valid until the next wk_raft_step/ready on this core. */
struct wk_raft_ready {
    uint64_t number;                     /* 1, 2, 3 ...: names the batch in PERSISTED */
    bool must_persist;                   /* hard or entries present */
    bool hard_changed;                   /* also set for an empty batch that messages wait for */
    struct wk_raft_hard_state hard;
    const struct wk_raft_entry *entries; /* append, truncating from entries[0].index */
    uint32_t n_entries;
    uint64_t apply_from, apply_to;       /* committed, not handed out before, inclusive; 0,0 none */
    const struct wk_raft_msg *msgs;
    uint32_t n_msgs;
    const struct wk_raft_read_state *reads;
    uint32_t n_reads;
    const struct wk_raft_snapshot_req *install; /* NULL: none; begins behind this batch */
    bool soft_changed;
    uint64_t leader;                     /* 0 unknown */
    uint8_t role;
};

struct wk_raft;
int wk_raft_new(struct wk_raft **out, const struct wk_raft_options *opt, struct wkim_error *err);
void wk_raft_free(struct wk_raft *r);

/* WKIM_OK, or: ENOTLEADER, EBUSY (limits, pending conf change, transfer running), EINVAL,
 * ENOMEM (nothing changed), ECORRUPT (an invariant broke: the group is stopped and refuses every
 * later event, R15; wk_raft_fault tells the text). */
int wk_raft_step(struct wk_raft *r, const struct wk_raft_event *ev);
/* True when ready would hold something. */
bool wk_raft_has_ready(const struct wk_raft *r);
int wk_raft_ready(struct wk_raft *r, struct wk_raft_ready *out);
const char *wk_raft_fault(const struct wk_raft *r); /* NULL: healthy */

/* Index and term the next n proposals would get: first index.  Leader only. */
uint64_t wk_raft_last_index(const struct wk_raft *r);

struct wk_raft_status {
    uint64_t id, term, vote, leader, commit, applied, first_index, last_index, durable_index;
    uint8_t role;
    bool transferring;
    uint64_t transferee;
    struct wk_raft_conf conf;
    struct {
        uint64_t id, match, next;
        uint8_t state; /* 0 probe, 1 replicate, 2 snapshot */
        bool recent_active, learner;
        uint32_t inflight;
    } peers[WK_RAFT_PEERS_MAX];
    uint8_t n_peers;
    bool installing;             /* a snapshot is being pulled: no appends, no candidacy */
    uint64_t install_index;
    uint64_t uncommitted_bytes;  /* of own proposals */
    uint32_t batches_in_flight;  /* handed out, PERSISTED still to come */
};
void wk_raft_status(const struct wk_raft *r, struct wk_raft_status *out);

/* Wire form of a message (node-to-node frames, simulator). Bounded by in.n; blobs are copied. */
void wk_raft_msg_encode(struct wk_buf *out, const struct wk_raft_msg *m);
int wk_raft_msg_decode(struct wk_raft_msg *out, wkim_slice in); /* owned: wk_raft_msg_fini */
void wk_raft_msg_fini(struct wk_raft_msg *m);
#endif
