/* Slots: key -> slot -> Raft group -> apply.  Every use case is a wk_call addressed to a slot; it
 * is run by the slot's leader, wherever that is (one node today: always here).
 *
 * A call is bytes in, bytes out, so that it can travel to another node unchanged.  On the leader
 * the use case's handler decides:
 *   answered at once, or   pending (it answers later), or   propose: the command joins the slot's
 *   next log entry; its answer is made when the entry is applied and goes out after the batch is in
 *   the store.
 *
 * Threads: a slot belongs to one shard; all its handlers, applies and answers run there.  done()
 * runs on the caller's shard. */
#ifndef WK_CLUSTER_CLUSTER_H
#define WK_CLUSTER_CLUSTER_H
#include "base/blob.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/logger.h"
#include "log/writer.h"
#include "raft/raft.h"
#include "shard/shard.h"
#include "store/reader.h"
#include "store/store.h"

struct wk_cluster;
struct wk_slot;

enum wk_call_result {
    WK_CALL_DONE,    /* call->code and out are set: answer now */
    WK_CALL_PENDING, /* the handler keeps the call and answers with wk_call_finish */
    WK_CALL_PROPOSE  /* call->in goes into the log under call->op */
};

struct wk_call {
    struct wk_post post;      /* private: travels between shards */
    struct wk_list link;      /* whoever holds the call may use it */
    struct wk_cluster *cluster; /* private, set by send */
    struct wk_shard *origin;  /* where done() runs; NULL: done runs on the slot's shard */
    void (*done)(struct wk_call *c); /* takes the call back */
    uint32_t slot;
    uint16_t op;              /* enum of the room above */
    struct wk_blob *in;       /* request bytes; owned by the call */
    int code;                 /* WKIM_OK or an error */
    int32_t reason;           /* WKIM_REASON_*, 0: not told */
    struct wk_buf out;        /* answer bytes; owned by the call */
    uint64_t number[2];       /* small answers: message id and seq, counts */
    void *mark;               /* scratch of the handler while it holds the call */
    uint8_t stage;            /* of multi-step calls */
};
void wk_call_init(struct wk_call *c, uint16_t op, struct wk_blob *in_take,
                  void (*done)(struct wk_call *c));
void wk_call_fini(struct wk_call *c); /* frees in and out */

/* What the room above provides. */
struct wk_slot_machine {
    /* The slot has a leader here / lost it: create and drop in-memory state.  @shard of the slot */
    int (*open)(void *user, struct wk_slot *slot);
    void (*close)(void *user, struct wk_slot *slot);
    /* Called once the leader has applied everything of earlier terms. */
    void (*lead)(void *user, struct wk_slot *slot);
    enum wk_call_result (*handle)(void *user, struct wk_slot *slot, struct wk_call *c);
    /* Apply one command: rows into the transaction, state in memory, answer into *call (NULL on
     * replay or on a follower).  Deterministic in (state, op, bytes, index). id = raft index << 16
     * | number. */
    int (*apply)(void *user, struct wk_slot *slot, struct wk_txn *txn, uint64_t id, uint16_t op,
                 wkim_slice bytes, struct wk_call *call);
    /* The batch with this command is in the store.  Returns true when the call is to be answered
     * now; false: the machine finishes it later (wk_call_finish). call may be NULL. */
    bool (*applied)(void *user, struct wk_slot *slot, uint64_t id, uint16_t op, wkim_slice bytes,
                    struct wk_call *call);
    /* Every entry of the round is applied: last chance to add rows to its transaction. */
    void (*batch_end)(void *user, struct wk_slot *slot, struct wk_txn *txn);
    /* The transaction with everything applied since the last call is in the store. */
    void (*round_end)(void *user, struct wk_slot *slot);
    void *user;
};

struct wk_cluster_options {
    uint64_t node_id;
    uint32_t slot_count;
    struct wk_shard *shards;
    uint32_t n_shards;
    struct wk_store *store;
    struct wk_fs *log_fs;
    struct wk_readers *readers;
    const struct wk_log *log;
    struct wk_slot_machine machine;
    uint64_t log_segment_bytes;   /* 0: WK_LOG_SEGMENT_BYTES */
    uint64_t log_bytes_max;       /* flush the store and drop log segments beyond this */
    bool sync;
};

/* Of one shard's slots; summed by wk_cluster_count. */
#define WK_CLUSTER_ERRORS 64 /* by -code */
struct wk_cluster_counters {
    uint64_t entries, commands;       /* proposed */
    uint64_t fast, slow;              /* entries answered within 500 ms, and later */
    uint64_t refused[WK_CLUSTER_ERRORS]; /* commands that did not enter the log */
    uint64_t elections_won, leaders_lost;
    struct wk_histogram queue;        /* us from the proposal to the log's taking it */
    struct wk_histogram replicate;    /* us from there to the commit */
    struct wk_histogram commit;       /* us from there to rows and answers */
    struct wk_histogram propose;      /* us of all three, bounds in ms */
};
/* Any thread; adds to *out. */
void wk_cluster_count(const struct wk_cluster *c, struct wk_cluster_counters *out,
                      struct wk_log_counters *log);
/* Most committed entries that a slot has still to apply, over all slots; slots that lead. */
uint64_t wk_cluster_apply_gap(const struct wk_cluster *c);

int wk_cluster_new(struct wk_cluster **out, const struct wk_cluster_options *opt,
                   struct wkim_error *err);
/* After the shard threads run: opens every slot on its shard. */
void wk_cluster_start(struct wk_cluster *c);
/* Before the shard threads stop: refuse calls; then wait until nothing is under way. */
void wk_cluster_refuse(struct wk_cluster *c);
uint64_t wk_cluster_calls(const struct wk_cluster *c); /* under way */
/* After the shard threads stopped. */
void wk_cluster_free(struct wk_cluster *c);

uint32_t wk_cluster_slot_of(const struct wk_cluster *c, wkim_slice key); /* crc32 mod slotCount */
struct wk_shard *wk_cluster_shard_of(const struct wk_cluster *c, uint32_t slot);
uint32_t wk_cluster_slot_count(const struct wk_cluster *c);
uint32_t wk_cluster_ready(const struct wk_cluster *c); /* slots that serve */
struct wk_store *wk_cluster_store(const struct wk_cluster *c);
struct wk_readers *wk_cluster_readers(const struct wk_cluster *c);
void wk_cluster_log_stats(struct wk_cluster *c, struct wk_log_stats *out);

/* Send the call to the leader of call->slot; done() comes exactly once.  From a shard thread or
 * (origin NULL) from any thread.  A call to a slot of the same shard runs before this returns. */
void wk_call_send(struct wk_cluster *c, struct wk_call *call);
/* A handler passes the call on to another slot; the answer goes to the origin. @shard of a slot */
void wk_call_forward(struct wk_cluster *c, struct wk_call *call, uint32_t slot, uint16_t op);
/* Answer a call that a handler kept.  @shard of the slot */
void wk_call_finish(struct wk_call *c);
/* Handlers and machine: put the held call's command into the next entry. */
void wk_slot_propose(struct wk_slot *s, struct wk_call *c);

uint32_t wk_slot_id(const struct wk_slot *s);
struct wk_shard *wk_slot_shard(const struct wk_slot *s);
struct wk_cluster *wk_slot_cluster(const struct wk_slot *s);
struct wk_store *wk_slot_store(const struct wk_slot *s);
void *wk_slot_state(const struct wk_slot *s); /* of the machine */
void wk_slot_set_state(struct wk_slot *s, void *state);
struct wk_slot *wk_cluster_slot(const struct wk_cluster *c, uint32_t slot);
#endif
