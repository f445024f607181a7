/* What the parts of im share: its tables in the store, the state of a slot and of a shard in
 * memory, ids, rows of the round, reads.  For lib/im and its parts only.
 *
 * A slot belongs to one shard: everything here is called there, except what a line gives to any
 * thread or to a reader thread.  Answers: WKIM_OK or a negative WKIM_E...
 *
 * What a part does for an operation, by the end of the name (machine.c calls them in this order):
 *   _handle    before the log: checks, reads, WK_CALL_PROPOSE; the call is answered or kept
 *   _apply     rows into txn, the same on every replica; bytes that no _handle lets pass are left
 *              out with WKIM_OK, an error stops the slot
 *   _applied   the batch is in the store: what must not happen before (kicks, effects, answers)
 *   _drop_all, _close   the slot closes: memory goes, calls that are kept are answered */
#ifndef WK_IM_INTERNAL_H
#define WK_IM_INTERNAL_H
#include "base/cursor.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "im/answer.h"
#include "im/im.h"
#include "im/members.h"

/* Generic tables of the room (wk_row_*): part of the disk format, never reuse a number. */
enum im_table {
    IM_TABLE_HANDED = 70, /* by uid: commands handed out and not acknowledged (command) */
    IM_TABLE_LANE = 71,   /* by message and lane: state after the last stored event (event) */
    IM_TABLE_CHUNK = 72,  /* by message, lane and number: what deltas brought since (event) */
    IM_TABLE_NOTIFY = 73, /* by id: messages msg.notify still has to tell of (pending.c) */
    IM_TABLE_OFFLINE = 74, /* the same of msg.offline */
    IM_TABLE_PRESENT = 75, /* by uid, node and number: connections told of as online (status.c) */
    IM_TABLE_STATUS = 76, /* by id: what user.onlinestatus still has to tell */
    IM_TABLE_ERASE = 88,  /* by channel: rows below its floor are still stored (retention.c) */
    IM_TABLE_HOLE = 89,   /* by channel and number: deleted by itself (retention.c) */
    IM_TABLE_EXPIRY = 90, /* by time, channel, number: messages with a time limit (retention.c) */
    IM_TABLE_PLUGIN = 95, /* by uid and plugin_no: time of the binding (plugin.c) */
    IM_TABLE_LEFT = 94,   /* by uid: conversations that went away (conversation/left.c) */
    IM_TABLE_MSGNO = 100  /* by channel and block: fingerprints of client_msg_nos (msgno.c) */
};

/* Fingerprints of the newest client_msg_nos of a channel (msgno.c). */
struct im_msgnos {
    uint32_t *fp;
    uint64_t *filter;   /* two bits per fingerprint; FILTER_BITS per entry of cap */
    uint32_t n, cap;
    uint64_t first_seq; /* of fp[0] */
    bool loaded;
};

/* A channel in memory, on the shard of its slot.  Everything can be read again from the store. */
struct im_channel {
    struct wk_map_entry entry;
    struct wk_list lru;
    struct wk_row_channel row;
    bool row_stored;
    uint64_t last_seq;
    uint64_t tag_uses, tag_made_ms, tag_used_ms; /* tag.c; uses 0: no tag */
    struct im_members *lists[WK_LIST_KINDS]; /* by enum wk_list_kind; NULL: not loaded */
    uint64_t source_serial;      /* answer of the data source that WK_LIST_SOURCE agrees with */
    struct im_msgnos msgnos;
    struct wk_buf sent_uid;      /* sender of the newest numbers whose row is not written yet */
    uint64_t sent_seq;
    struct wk_list sent_link;    /* im_slot.sent */
    uint8_t type;
    uint16_t id_len;
    uint8_t key[];               /* type, id */
};
static inline wkim_slice im_channel_id(const struct im_channel *ch)
{
    return wk_slice(ch->key + 1, ch->id_len);
}
static inline struct wk_channel_key im_channel_key(const struct im_channel *ch)
{
    return (struct wk_channel_key){ ch->type, im_channel_id(ch) };
}

struct im_user {
    struct wk_map_entry entry;
    struct wk_list conns; /* struct im_conn */
    uint32_t n_conns;
    uint16_t uid_len;
    uint8_t uid[];
};

/* Messages applied in this round whose rows are not in the store yet. */
struct im_fresh {
    uint64_t hash, check; /* of (channel, client_msg_no) and of (from, payload) */
    uint64_t seq;
    int64_t message_id;
};

struct im_slot {
    struct im *im;
    struct im_counters *count; /* of the slot's shard */
    struct wk_slot *slot;
    struct wk_map channels, users;
    struct wk_list lru;        /* channels, oldest first */
    struct im_fresh *fresh;
    size_t n_fresh, cap_fresh;
    struct wk_map conv_overlay; /* rows changed in this round */
    struct wk_map round;        /* rows changed in this round, round.c */
    struct wk_list sent;       /* channels with sent_uid to write at the end of the batch */
    struct wk_list effects;    /* outbox runs under way */
    struct wk_timer outbox_retry; /* looks at the outbox again */
    struct wk_list statuses;   /* rows of connections under way or owed (status.c) */
    struct wk_timer status_retry;
    bool status_scan;          /* connections of an earlier leader are still to be told of */
    struct im_events *events;
    struct im_keep {
        struct wk_list link;    /* im_shard.keeper, while we lead */
        uint64_t epoch;         /* differs from that of the slot's next state */
        uint64_t scan_at_ms;
        bool erasing;           /* rows may wait to be erased */
        bool scanning;          /* in the middle of a pass */
        bool behind;            /* it goes on behind the channel of cursor */
        uint8_t cursor_type;
        struct wk_buf cursor;
    } keep;
    struct wk_map sources;     /* struct im_source: channels whose SENDs wait for the data source */
};

/* The node's answer about system accounts on its way to a shard. */
struct im_system_news {
    struct wk_post post;
    struct im *im;
    _Atomic(struct im_members *) uids; /* NULL: there is no answer */
    _Atomic bool queued, slow;
};

/* Of one shard: which hashes of uids are online here, so that a walk over a long list looks up
 * those who may be.  Counters that are full stay full. */
#define IM_PRESENCE_CELLS 262144u
static inline uint32_t im_presence_hash(wkim_slice uid)
{
    return (uint32_t)wk_hash64(uid.p, uid.n, 0x70726573u);
}

struct im_shard {
    uint8_t *presence;         /* IM_PRESENCE_CELLS */
    struct wk_map system_uids; /* struct im_system_uid */
    struct im_members *system_source; /* as the data source said; NULL: it did not yet */
    bool system_asked, system_slow;   /* slow: nobody waits for the next try */
    uint64_t system_failed_at;        /* a moment (im_source_options.mark) */
    struct im_system_news system_news;
    struct wk_list system_waiters;    /* struct im_source.system_link */
    uint32_t waiting;                 /* SENDs that wait for the data source */
    size_t waiting_bytes;
    uint64_t source_log_ms;           /* no line about receivers before */
    struct wk_map fan_queues;  /* fanout.c: channels with a long delivery under way */
    struct wk_list fan_ready;  /* in turn */
    struct wk_post fan_post;
    bool fan_posted;
    struct im_counters count;
    struct im_keeper *keeper;
};

struct im {
    struct im_options opt;
    bool ending; /* the shards have stopped: nothing is handed over any more */
    _Atomic uint64_t event_streams, event_bytes; /* in memory */
    _Atomic uint64_t event_unsaved; /* slots with deltas that are not in the log yet */
    _Atomic uint64_t source_waiting, source_refused, source_lost;
    _Atomic uint64_t backlog_bytes; /* of messages in long deliveries */
    _Atomic bool keep_stopped;
    _Atomic uint64_t keep_epoch, keep_unflushed; /* erased since the store was flushed for it */
    struct im_shard *shards;
};

static inline struct im_slot *im_slot_of(struct wk_slot *s) { return wk_slot_state(s); }

/* ids.c */
bool im_is_command(wkim_slice stored_id);
/* Receivers that the id itself names (without the command suffix): at most two, never the same. */
size_t im_named_uids(uint8_t type, wkim_slice base_id, wkim_slice out[2]);
/* pending.c */
void im_pending_put(struct im_slot *is, struct wk_txn *txn, enum im_pending what, uint64_t id,
                    wkim_slice value);
/* The rows that h->bits ask for. */
int im_pending_message(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                       const struct im_send_head *h, const struct wk_channel_key *key,
                       uint64_t seq);
int im_pending_done_apply(struct im_slot *is, struct wk_txn *txn, enum im_pending what,
                          wkim_slice in);
/* round.c: rows that a command both reads and writes.  value: borrowed until the next put. */
enum im_round_kind { IM_ROUND_LEFT = 1, IM_ROUND_DEVICE = 2 };
int im_round_get(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice *value);
int im_round_put(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice value);
void im_round_clear(struct im_slot *is);
/* steps.c: calls of more than one step.  Run a read on a reader thread, then finish the call. */
/* reader thread: store and c only */
typedef void (*im_read_fn)(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_read(struct im_slot *is, struct wk_call *c, im_read_fn run);
/* Same, but after() runs on the slot's shard instead of finishing. */
enum wk_call_result im_read_then(struct im_slot *is, struct wk_call *c, im_read_fn run,
                                 void (*after)(struct im_slot *is, struct wk_call *c));
/* The call goes on as command `op` with these bytes; without memory it ends with WKIM_ENOMEM.  It
 * is not the caller's any more. */
void im_propose_next(struct im_slot *is, struct wk_call *c, enum im_op op, struct wk_buf *in_take);
#endif
