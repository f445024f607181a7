/* Inside the room only. */
#ifndef WK_IM_INTERNAL_H
#define WK_IM_INTERNAL_H
#include "base/cursor.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "im/answer.h"
#include "im/im.h"

/* Generic tables of the room (wk_row_*): part of the disk format, never reuse a number. */
enum im_table {
    IM_TABLE_HANDED = 70, /* by uid: commands handed out and not acknowledged (command.c) */
    IM_TABLE_LANE = 71,   /* by message and lane: state after the last stored event (event.c) */
    IM_TABLE_CHUNK = 72,  /* by message, lane and number: what deltas brought since (event.c) */
    IM_TABLE_NOTIFY = 73, /* by id: messages msg.notify still has to tell of (pending.c) */
    IM_TABLE_OFFLINE = 74, /* the same of msg.offline */
    IM_TABLE_PRESENT = 75, /* by uid, node and number: connections told of as online (status.c) */
    IM_TABLE_STATUS = 76, /* by id: what user.onlinestatus still has to tell */
    IM_TABLE_ERASE = 88,  /* by channel: rows below its floor are still stored (retention.c) */
    IM_TABLE_HOLE = 89,   /* by channel and number: deleted by itself (retention.c) */
    IM_TABLE_EXPIRY = 90, /* by time, channel, number: messages with a time limit (retention.c) */
    IM_TABLE_PLUGIN = 95, /* by uid and plugin_no: time of the binding (plugin.c) */
    IM_TABLE_LEFT = 94,   /* by uid: conversations that went away (conv_left.c) */
    IM_TABLE_MSGNO = 100  /* by channel and block: fingerprints of client_msg_nos (msgno.c) */
};

/* A list of uids: sorted, counted, in chunks.  Who holds a reference sees it unchanged: a change
 * copies the list of chunks and the chunk it touches, if they are shared. */
#define IM_CHUNK_MEMBERS 512
struct im_member {
    uint32_t off;  /* in chunk.text */
    uint32_t hash; /* im_presence_hash */
    uint16_t len, slot;
};
struct im_member_chunk {
    _Atomic uint32_t refs;
    uint32_t n, cap;
    struct wk_buf text;
    struct im_member *v;
};
struct im_members {
    _Atomic uint32_t refs;
    uint32_t n, n_chunks, cap_chunks;
    struct im_member_chunk **chunks; /* none is empty */
    uint64_t serial; /* of lists built at once: tells them apart; 0 others */
};
int im_members_new(struct im_members **out);
bool im_members_has(const struct im_members *m, wkim_slice uid);
/* Change *m (cloned first when shared).  1: changed, 0: nothing to do, < 0: WKIM_ENOMEM. */
int im_members_add(struct im_members **m, struct wk_cluster *c, wkim_slice uid);
int im_members_remove(struct im_members **m, wkim_slice uid);
bool im_members_same(const struct im_members *a, const struct im_members *b);
size_t im_members_text_bytes(const struct im_members *m);
/* Walk in order; *at starts as zero. NULL at the end. */
struct im_members_at {
    uint32_t chunk, i;
};
static inline const struct im_member *im_members_next(const struct im_members *m,
                                                      struct im_members_at *at, wkim_slice *uid)
{
    while (at->chunk < m->n_chunks) {
        const struct im_member_chunk *c = m->chunks[at->chunk];
        if (at->i < c->n) {
            const struct im_member *v = &c->v[at->i++];
            *uid = wk_slice(c->text.p + v->off, v->len);
            return v;
        }
        at->chunk++;
        at->i = 0;
    }
    return NULL;
}
/* The position of the first uid behind `uid`. */
struct im_members_at im_members_after(const struct im_members *m, wkim_slice uid);

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

/* channel.c */
int im_channel_get(struct im_slot *is, uint8_t type, wkim_slice id, struct im_channel **out);
int im_channel_list(struct im_slot *is, struct im_channel *ch, uint8_t list,
                    struct im_members **out);
void im_channel_trim(struct im_slot *is);
void im_channel_drop_all(struct im_slot *is);
void im_channel_save(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch);
enum wk_call_result im_channel_get_handle(struct im_slot *is, struct wk_call *c);
int im_channel_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_channel_delete_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                            struct wk_call *c);
/* list.c */
/* source: of IM_SOURCE_SET */
int im_list_change_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, bool source,
                         wkim_slice in, struct wk_call *c);
enum wk_call_result im_list_change_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_list_get_handle(struct im_slot *is, struct wk_call *c);
/* list_split.c: a change of more than IM_LIST_PIECE uids, as many small commands in a row. */
#define IM_LIST_PIECE 512
struct im_list_change {
    struct wk_channel_key key;
    uint8_t list, op;
    bool quiet;      /* no conversations come of it */
    size_t op_at;    /* offset of the op in the request */
    uint64_t now_ms;
    wkim_slice uids; /* repeated str */
};
enum wk_call_result im_list_split(struct im_slot *is, struct wk_call *c,
                                  const struct im_list_change *ch);
/* permission.c: WKIM_REASON_SUCCESS or the refusal; known NULL: only what is stored counts */
struct im_known;
uint8_t im_permit_channel(struct im_slot *is, struct im_channel *ch, const struct wk_record *r,
                          bool api, const struct im_known *known);
uint8_t im_permit_peer(struct im_slot *is, wkim_slice from, wkim_slice to,
                       const struct im_known *known);
/* Who is asked for no membership, and who for no ban: types 3, 6, 10, 11. */
bool im_open_type(uint8_t type);
/* message.c */
/* Receivers that the id itself names (without the command suffix): at most two, never the same. */
size_t im_named_uids(uint8_t type, wkim_slice base_id, wkim_slice out[2]);
enum wk_call_result im_send_peer_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_send_handle(struct im_slot *is, struct wk_call *c);
/* The same once everything is known; may be IM_SEND_WAITS. */
enum wk_call_result im_send_peer_admit(struct im_slot *is, struct wk_call *c,
                                       const struct im_known *known);
enum wk_call_result im_send_admit(struct im_slot *is, struct wk_call *c,
                                  const struct im_known *known);
int im_send_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                  struct wk_call *c);
bool im_send_applied(struct im_slot *is, uint64_t id, struct wk_call *c);
void im_fresh_clear(struct im_slot *is);
void im_sent_write(struct im_slot *is, struct wk_txn *txn);
/* msgno.c: find calls each() for candidates in the window, newest first, until it returns
 * non-zero; WKIM_ENOTFOUND: that message is gone, go on. */
int im_msgno_find(struct im_slot *is, struct im_channel *ch, wkim_slice client_msg_no,
                  int (*each)(void *arg, uint64_t seq), void *arg);
int im_msgno_add(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, uint64_t seq,
                 wkim_slice client_msg_no);
/* The message is deleted in this round: the store may still show it. */
int im_msgno_forget(struct im_slot *is, struct im_channel *ch, uint64_t seq);
/* The messages from..to, all below the floor, leave the store. */
void im_msgno_erase(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch, uint64_t from,
                    uint64_t to);
void im_msgnos_fini(struct im_msgnos *m);
/* Append the record (str) with this client_msg_no, from the store only; any thread. */
int im_msgno_lookup(struct im_slot *is, const struct wk_channel_key *key, wkim_slice client_msg_no,
                    bool oldest, uint64_t now_ms, struct wk_buf *out);
/* pending.c */
void im_pending_put(struct im_slot *is, struct wk_txn *txn, enum im_pending what, uint64_t id,
                    wkim_slice value);
/* The rows that h->bits ask for. */
int im_pending_message(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                       const struct im_send_head *h, const struct wk_channel_key *key,
                       uint64_t seq);
int im_pending_done_apply(struct im_slot *is, struct wk_txn *txn, enum im_pending what,
                          wkim_slice in);
/* status.c */
/* Rows of a login that is registered already; the call is answered when they are durable. */
enum wk_call_result im_status_login(struct im_slot *is, struct im_conn *conn, struct wk_call *c,
                                    uint64_t device_count, uint64_t user_count);
void im_status_gone(struct im_conn *conn, uint64_t device_count, uint64_t user_count);
int im_status_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in);
void im_status_applied(struct im_slot *is);
/* At lead, when nobody is connected; again when that did not work. */
void im_status_recover(struct im_slot *is);
void im_status_drop_all(struct im_slot *is);
/* offline.c: one list per message, filled by `deliveries` deliveries, each of which says done. */
struct im_offline;
int im_offline_new(struct im_offline **out, struct im_slot *is, const struct im_offline_row *row,
                   struct wk_blob *blob, const struct wk_record *r, bool list, uint32_t deliveries);
/* Nobody can be looked up: lost, or there are no receivers. */
void im_offline_none(struct im_slot *is, const struct im_offline_row *row, bool lost);
void im_offline_note(struct im_offline *o, uint32_t shard, wkim_slice uid, const struct im_user *u);
void im_offline_done(struct im_offline *o);
void im_offline_skipped(struct im_offline *o, uint32_t shard); /* nobody looked there; done */
/* fanout.c */
/* When the shards have stopped: deliveries that did not come to their end. */
void im_fanout_drop_all(struct im *im);
/* ch has a long list, and too many messages wait for such: no more of them now.  told: who the
 * data source says it is; NULL: who is stored. */
bool im_fanout_full(const struct im *im, const struct im_channel *ch,
                    const struct im_members *told);
/* row: of msg.offline; ticket 0 none.  quiet: only to see who is away. */
void im_fanout(struct im_slot *is, struct im_channel *ch, struct wk_blob *blob,
               const struct im_send_head *h, const struct im_offline_row *row, bool quiet);
/* source.c */
#define IM_SEND_WAITS ((enum wk_call_result)-1) /* of the two below: an answer is missing */
struct im_known {                  /* what the data source said of one SEND */
    struct im_source *source;      /* NULL: the first look, nothing waits yet */
    struct im_members *lists[WK_LIST_KINDS];
    bool members;                  /* lists count instead of the stored ones */
    uint32_t failed;               /* bits 1 << im_source_cmd: no answer was to be had */
    uint32_t flags;                /* enum im_source_flag */
};
/* IM_SEND and IM_SEND_PEER of a node with a data source: at once, or when it has answered. */
enum wk_call_result im_source_admit(struct im_slot *is, struct wk_call *c);
/* Whether the members have their conversations; else they are being made. */
bool im_source_settled(struct im_slot *is, struct im_channel *ch, const struct im_known *k);
/* Who gets messages of the channel, counted; NULL nobody or not known. */
struct im_members *im_source_receivers(struct im_slot *is, struct im_channel *ch);
bool im_source_owns(const struct im *im, uint8_t type); /* members come from the data source */
void im_source_forget(struct im_slot *is, wkim_slice in); /* in: begins with a channel key */
void im_source_open(struct im_slot *is, uint64_t seed);
void im_source_close(struct im_slot *is);
void im_source_free(struct im *im);
/* presence.c */
enum wk_call_result im_login_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_online_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conn_kick_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conn_list_handle(struct im_slot *is, struct wk_call *c);
struct im_user *im_user_find(struct im_slot *is, wkim_slice uid);
/* The rows of a login are durable: it counts from now on; or they could not be written. */
void im_login_done(struct im_slot *is, struct im_conn *conn);
void im_login_undone(struct im_slot *is, struct im_conn *conn);
void im_user_kick(struct im_slot *is, wkim_slice uid, int flag, const char *text,
                  uint32_t delay_ms);
void im_user_gate(struct im_slot *is, wkim_slice uid, bool send_ban);
void im_users_drop_all(struct im_slot *is);
/* user.c */
enum wk_call_result im_token_set_handle(struct im_slot *is, struct wk_call *c);
int im_token_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_token_set_applied(struct im_slot *is, wkim_slice in);
int im_device_quit_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_device_quit_applied(struct im_slot *is, wkim_slice in);
int im_system_change_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_system_publish(struct im_slot *is, wkim_slice in); /* tell every shard */
enum wk_call_result im_system_list_handle(struct im_slot *is, struct wk_call *c);
int im_system_load(struct im_slot *is);
void im_system_free(struct im *im);
/* bounds.c: what of a channel can be read */
struct im_bounds {
    uint64_t first;    /* numbers below are deleted */
    uint64_t last;     /* highest number given out, also when its row is deleted; 0: none */
    uint64_t holed_to; /* highest number deleted by itself */
};
int im_bounds_get(struct im_slot *is, const struct wk_channel_key *key,
                  struct im_bounds *out); /* from the store; any thread */
/* What counts as read to a user whose last own message is `own`: own messages count from the number
 * on that was the last when a number of unread ones was set (`forced`). */
uint64_t im_read_to(uint64_t read, uint64_t forced, uint64_t own);
/* Messages with after < seq <= last that were deleted by themselves; any thread. */
int im_holes_count(struct im_slot *is, const struct wk_channel_key *key,
                   const struct im_bounds *b, uint64_t after, uint64_t *n);
void im_hole_key(struct wk_buf *out, const struct wk_channel_key *key, uint64_t seq);
/* keeper.c: the leader's work on histories in the background */
int im_keep_new(struct im *im); /* a keeper per shard */
void im_keep_free(struct im *im);
void im_keep_lead(struct im_slot *is);
void im_keep_close(struct im_slot *is);
void im_keep_wake(struct im_slot *is); /* rows wait to be erased */
/* keeper_look.c: one look at the store, on a reader thread: what is to be proposed. */
struct im_look {
    struct wk_store *store;
    uint32_t slot;
    const struct im_options *opt;
    uint64_t now_ms;        /* wall clock */
    bool behind;            /* this channel, else from the start; afterwards where it stopped */
    uint8_t cursor_type;
    struct wk_buf cursor;
    struct wk_buf out;      /* repeated (u16 op, str request) */
    uint64_t erase, over;   /* messages in it */
    bool more;              /* the look stopped before its end */
    int rc;
};
void im_look_erase(struct im_look *l); /* rows below floors */
void im_look_pass(struct im_look *l);  /* what limits and time limits say */
void im_look_fini(struct im_look *l);
/* retention.c */
#define IM_ERASE_MAX 10000u /* numbers of one piece */
/* Raises the floor; the rows below leave the store later. */
void im_history_trim(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch,
                     uint64_t through);
int im_trim_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in, struct wk_call *call);
/* Before the log: IM_TRIM and IM_LIMITS_SET of channels that can exist. */
enum wk_call_result im_history_handle_write(struct wk_call *c);
int im_erase_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_drop_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
bool im_drop_applied(struct im_slot *is, struct wk_call *c);
int im_over_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_events_purge_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_limits_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
enum wk_call_result im_limits_get_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_delete_handle(struct im_slot *is, struct wk_call *c);
/* The row that says when a message with a time limit is over. */
int im_expiry_put(struct im_slot *is, struct wk_txn *txn, const struct wk_record *r);
/* What holds for a channel: its own limits before the node's. */
struct wk_keep im_limits_of(const struct im_options *o, const struct wk_keep *own);
/* The part of IM_DROP and IM_OVER that comes from the record: size, client_msg_no if it may have
 * events. */
void im_drop_encode(struct wk_buf *out, const struct wk_record *r, size_t bytes);
/* history.c: each() for every message that a request of IM_MESSAGE_GET names; `over`: also those
 * whose time is over. */
int im_history_each(struct im_slot *is, wkim_slice in, bool over,
                    int (*each)(void *arg, wkim_slice record), void *arg);
/* history.c */
enum wk_call_result im_history_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_heads_handle(struct im_slot *is, struct wk_call *c); /* heads.c */
/* conversation.c: rows */
int im_conv_get(struct im_slot *is, wkim_slice uid, const struct wk_channel_key *ch,
                struct wk_row_conversation *out);
int im_conv_ensure_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* IM_CONV_REMOVE of older logs, or IM_CONV_LEAVE */
int im_conv_remove_apply(struct im_slot *is, struct wk_txn *txn, bool leave, wkim_slice in);
int im_conv_position_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_conv_overlay_clear(struct im_slot *is);
enum wk_call_result im_conv_move_handle(struct im_slot *is, struct wk_call *c);
/* row NULL: delete.  Seen by im_conv_get at once. */
int im_conv_put(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                const struct wk_channel_key *ch, const struct wk_row_conversation *row);
/* command.c */
bool im_is_command(wkim_slice stored_id);
/* Rows of the receivers of a stored command; h names them when the sender did. */
int im_command_rows(struct im_slot *is, struct wk_txn *txn, uint64_t id, struct im_channel *ch,
                    const struct wk_record *r, const struct im_send_head *h, struct wk_call *c);
enum wk_call_result im_cmd_sync_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_cmd_heads_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_cmd_ack_handle(struct im_slot *is, struct wk_call *c);
int im_cmd_handed_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_cmd_read_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* Positions (repeated key, u64 seq) that an acknowledgement of `number` means; WKIM_ENOTFOUND
 * none. */
int im_cmd_choose(wkim_slice row, uint64_t number, wkim_slice *positions);
/* event.c */
int im_events_open(struct im_slot *is, uint64_t seed);
void im_events_close(struct im_slot *is);
enum wk_call_result im_event_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_event_sync_handle(struct im_slot *is, struct wk_call *c);
int im_event_put_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_event_chunks_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* event_purge.c: what came of events for a message; for all of a channel */
int im_events_purge(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key,
                    wkim_slice client_msg_no);
void im_events_purge_channel(struct im_slot *is, struct wk_txn *txn,
                             const struct wk_channel_key *key);
void im_events_round_end(struct im_slot *is);
/* event_stream.c: put what came of events behind the stream messages of an answer: from the store
 * on a reader thread, then (memory) what only the slot's shard knows. */
int im_events_annotate(struct im_slot *is, struct wk_buf *records, bool basic, bool memory);
/* of IM_HEADS, from memory */
int im_events_annotate_heads(struct im_slot *is, struct wk_buf *answer);
/* fanout.c: EVENT to every connection of the receivers; only: to this uid alone. */
void im_fanout_event(struct im_slot *is, uint8_t type, wkim_slice stored_id, wkim_slice only,
                     const struct wk_event *e);
/* tag.c */
void im_tag_used(struct im_slot *is, struct im_channel *ch);
void im_tags_expire(struct im_slot *is); /* between commands */
enum wk_call_result im_tags_handle(struct im_slot *is, struct wk_call *c);
/* plugin.c */
int im_plugin_bind_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
enum wk_call_result im_plugin_bindings_handle(struct im_slot *is, struct wk_call *c);
/* round.c: rows that a command both reads and writes.  value: borrowed until the next put. */
enum im_round_kind { IM_ROUND_LEFT = 1, IM_ROUND_DEVICE = 2 };
int im_round_get(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice *value);
int im_round_put(struct im_slot *is, enum im_round_kind kind, wkim_slice key, wkim_slice value);
void im_round_clear(struct im_slot *is);
/* conv_left.c */
int im_left_note(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                 const struct wk_channel_key *key, uint64_t now_ms);
/* Reader thread.  kept_since_ms: older ones may be missing; each may be NULL. */
int im_left_read(struct im_slot *is, wkim_slice uid, uint64_t *kept_since_ms,
                 int (*each)(void *arg, const struct wk_channel_key *key, uint64_t left_ms),
                 void *arg);
/* conv_list.c */
enum wk_call_result im_conv_list_handle(struct im_slot *is, struct wk_call *c);
/* conv_sync.c */
enum wk_call_result im_conv_sync_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conv_channels_handle(struct im_slot *is, struct wk_call *c);
/* outbox.c: effects in other slots */
/* Bits of an effect: the channel is a person, each uid means the pair with it; also the other
 * side. */
enum { IM_ENSURE_PAIR = 1, IM_ENSURE_OWNER = 2 };
enum im_effect { IM_EFFECT_ENSURE = 1, IM_EFFECT_REMOVE = 2 };
struct im_effect_spec {
    uint8_t kind;
    uint8_t bits;
    struct wk_channel_key key;
    uint64_t read_seq, now_ms;
};
/* Write the outbox row; uids: repeated str. */
void im_outbox_put(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                   const struct im_effect_spec *e, wkim_slice uids);
/* Run the effects of command `id` (call->stage: bit 0 the row id, bit 1 the row id + 0x8000); call
 * is finished when every other slot has answered. */
void im_outbox_start(struct im_slot *is, uint64_t id, struct wk_call *call);
int im_outbox_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in); /* IM_OUTBOX_DONE */
void im_outbox_recover(struct im_slot *is);
void im_outbox_drop_all(struct im_slot *is);
/* read.c: run a read on a reader thread, then finish the call */
/* reader thread: store and c only */
typedef void (*im_read_fn)(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_read(struct im_slot *is, struct wk_call *c, im_read_fn run);
/* Same, but after() runs on the slot's shard instead of finishing. */
enum wk_call_result im_read_then(struct im_slot *is, struct wk_call *c, im_read_fn run,
                                 void (*after)(struct im_slot *is, struct wk_call *c));
#endif
