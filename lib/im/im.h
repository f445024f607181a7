/* What the product does, whoever asks: the machine of the slots (messages, channels, users,
 * conversations), presence and fan-out.  HTTP, JSON-RPC, binary clients and the C API end here.
 *
 * Everything is a wk_call to a slot with one of the operations below; node/ builds the request
 * bytes with the im_*_encode functions and reads the answers with the layouts in answer.h. */
#ifndef WK_IM_IM_H
#define WK_IM_IM_H
#include "base/cursor.h"
#include "base/metric.h"
#include "cluster/cluster.h"
#include "proto/packet.h"
#include "proto/record.h"

/* The numbers of operations marked W are in the log: never reuse or change them. */
enum im_op {
    IM_LOGIN = 1,
    IM_SEND_PEER = 2,        /* slot of the receiver: lists, then on to IM_SEND */
    IM_SEND = 3,             /* W */
    IM_CHANNEL_SET = 4,      /* W */
    IM_CHANNEL_GET = 5,
    IM_CHANNEL_DELETE = 6,   /* W */
    IM_LIST_CHANGE = 7,      /* W */
    IM_LIST_GET = 8,
    IM_TOKEN_SET = 9,        /* W */
    IM_DEVICE_QUIT = 10,     /* W */
    IM_ONLINE = 11,
    IM_SYSTEM_CHANGE = 12,   /* W */
    IM_SYSTEM_LIST = 13,
    IM_MESSAGE_SYNC = 14,
    IM_MESSAGE_GET = 15,
    IM_MESSAGE_LAST = 16,
    IM_CONV_SYNC = 17,
    IM_CONV_CHANNELS = 18,
    IM_CONV_SYNC_CHANNELS = 19,
    /* clear, set unread, delete: finds the last seq, then IM_CONV_POSITION */
    IM_CONV_MOVE = 20,
    IM_CONV_POSITION = 21,   /* W */
    IM_CONV_ENSURE = 22,     /* W */
    IM_CONV_REMOVE = 23,     /* W */
    IM_HEADS = 24,
    IM_OUTBOX_DONE = 25,     /* W */
    IM_CONN_LIST = 26,
    IM_CONN_KICK = 27,
    IM_CONV_LIST = 96,
    IM_CONV_LEAVE = 97,      /* W; what IM_CONV_REMOVE does, with tombstones */
    IM_PLUGIN_BIND = 98,     /* W */
    IM_PLUGIN_BINDINGS = 99,
    IM_TAGS = 100,
    IM_NOTIFY_DONE = 48,     /* W */
    IM_OFFLINE_DONE = 49,    /* W */
    IM_STATUS = 50,          /* W */
    IM_STATUS_DONE = 51,     /* W */
    IM_CMD_SYNC = 56,        /* what to hand out, then IM_CMD_HANDED */
    IM_CMD_HEADS = 57,
    IM_CMD_HANDED = 58,      /* W */
    IM_CMD_ACK = 59,         /* what was handed out, then IM_CMD_READ */
    IM_CMD_READ = 60,        /* W */
    IM_EVENT = 64,           /* in memory, or on to IM_EVENT_PUT */
    IM_EVENT_SYNC = 65,
    IM_EVENT_PUT = 66,       /* W */
    IM_EVENT_CHUNKS = 67,    /* W */
    IM_SOURCE_SET = 80,      /* W: members as the data source named them; a list change */
    IM_LIMITS_SET = 88,      /* W */
    IM_LIMITS_GET = 89,
    IM_TRIM = 90,            /* W: history up to a number is gone */
    IM_ERASE = 91,           /* W: a piece of its rows leaves the store */
    IM_DELETE = 92,          /* finds the messages, then IM_DROP */
    IM_DROP = 93,            /* W */
    IM_OVER = 94,            /* W: messages whose time is over */
    IM_EVENTS_PURGE = 95     /* W */
};

#define IM_DELETE_MAX 1000u /* messages of one IM_DELETE */

#define IM_SYSTEM_UID "____system"
#define IM_SYSTEM_DEVICE "____device"
#define IM_CMD_SUFFIX "____cmd"

/* Questions to the data source; SUBSCRIBERS, ALLOW and DENY are wk_list_kinds. */
enum im_source_cmd {
    IM_SOURCE_SYSTEM,
    IM_SOURCE_SUBSCRIBERS,
    IM_SOURCE_ALLOW,
    IM_SOURCE_DENY,
    IM_SOURCE_INFO
};
enum im_source_flag { IM_SOURCE_LARGE = 1, IM_SOURCE_BAN = 2, IM_SOURCE_DISBAND = 4 };
struct im_members;
struct im_source_known {
    struct im_members *members; /* counted for who asked; NULL for flags */
    uint32_t flags;
};
/* All @shard of the slot.  Answers come by im_source_answered and im_source_system. */
struct im_source_options {
    bool system;  /* system accounts are asked for, stored ones are not loaded */
    bool members; /* lists are asked for */
    bool info;    /* flags too */
    void (*ask_system)(void *user, uint32_t shard); /* not answered from inside */
    uint64_t (*mark)(void *user, uint32_t shard); /* a moment, later than every earlier one */
    /* WKIM_OK; WKIM_EAGAIN: it was asked; else there is no answer to be had.  What came after the
     * moment `since` is good enough. */
    int (*get)(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id, uint64_t since,
               struct im_source_known *out);
    bool (*peek)(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id,
                 struct im_source_known *out); /* what was last said, however old */
    void (*forget)(void *user, uint32_t slot, uint8_t type, wkim_slice id);
    void (*drop)(void *user, uint32_t slot);
};

/* Queues of rows for the webhooks (pending.c). */
enum im_pending { IM_PENDING_NOTIFY, IM_PENDING_OFFLINE, IM_PENDING_STATUS, IM_PENDINGS };
/* The row a list of receivers belongs to; ticket 0: none (the message is not stored). */
struct im_offline_row {
    uint32_t ticket;
    uint64_t id;
};
struct im_offline_list {
    struct im_offline_row row;
    struct wk_blob *blob;
    const struct wk_record *record; /* borrowed from blob */
    bool named;                     /* the receivers were named by the sender */
    bool lost;                      /* no memory: there is a row, and it must be asked for again */
    wkim_slice uids;                /* repeated str; with a row also empty */
};

struct im;
struct im_options {
    struct wk_cluster *cluster; /* set by im_set_cluster when it exists */
    struct wk_shard *shards;
    uint32_t n_shards;
    uint64_t node_id;
    const struct wk_log *log;
    bool token_auth;            /* tokenAuthOn */
    bool allowlist_off_of_person;
    bool idempotent;
    uint64_t idle_channels_max; /* cached channel objects per slot */
    uint64_t fanout_bytes_max;  /* waiting for long lists; 0: WK_FANOUT_BACKLOG_BYTES_MAX */
    uint64_t user_connections_max; /* 0: no limit */
    bool channels_must_exist;   /* SENDs to groups that were not created are refused */
    bool conversations_off;     /* none are kept, none are shown */
    uint64_t conversations_max; /* rows of a user a sync looks at */
    uint64_t tag_expire_ms;     /* a receiver list that was not sent to for this long is freed */
    wkim_slice manager_uid, manager_token, visitor_suffix; /* borrowed for the life of im */
    wkim_slice online_cmd_channel_id;
    /* Events on messages: what the node holds in memory, deltas per message, when idle ones
     * leave. */
    uint64_t event_quiet_ms;    /* a lane without a delta for this long is closed; 0: never */
    uint64_t event_streams_max, event_bytes_max, event_deltas_max, event_idle_ms, event_sweep_ms;
    bool event_allow_orphan;    /* events on messages that are not stored */
    bool event_push_private;    /* to all receivers, not to from_uid only */
    /* The node's limits for histories (keep.set is not used; 0: none), how they are enforced:
     * channels looked at and messages erased at once, pause between two passes over a slot. */
    struct im_retention {
        bool on;
        uint32_t batch, trim;
        uint64_t scan_ms;
        struct wk_keep keep;
    } retention;
    struct wk_readers *background; /* for jobs that may take long; NULL: those of the cluster */
    /* A message was stored / a user's connections changed.  @shard of the slot; may be NULL. */
    void (*on_stored)(void *user, const struct wk_record *r);
    void (*on_online)(void *user, wkim_slice uid, uint8_t device_flag, bool online,
                      uint64_t conn_id, uint64_t device_count, uint64_t user_count);
    /* Webhooks.  notify, offline: every stored message leaves a row of that queue; status: every
     * connection that comes or goes does.  on_pending: one more row is in the store; on_lead: the
     * slot's rows are ours to send, until on_close.  @shard of the slot. */
    bool notify, offline, status;
    void (*on_pending)(void *user, uint32_t slot, enum im_pending what);
    void (*on_lead)(void *user, uint32_t slot);
    void (*on_close)(void *user, uint32_t slot);
    /* Row `id` of the offline queue is in the store, in the order of the rows.  Not 0: its
     * receivers are wanted, with this ticket; 0: im_offline_again asks for them later. */
    uint32_t (*on_offline_row)(void *user, uint32_t slot, uint64_t id);
    /* Who has no online master device; lists of one channel come in message order. @shard of the
     * slot; NULL: nobody looks. */
    void (*on_offline)(void *user, uint32_t slot, const struct im_offline_list *l);
    /* The shard's part of a message's delivery is in the output queues of its connections;
     * stored_us: the clock of the round in which it was stored.  @shard; may be NULL. */
    void (*on_delivered)(void *user, const struct wk_shard *s, uint64_t stored_us);
    struct im_source_options source;
    void *user;
};

/* Of one shard; read with im_count. */
#define IM_TYPES 16 /* channel types by number; the last: all others */
#define IM_OPS 128  /* enum im_op */
enum im_removed { IM_REMOVED_HISTORY, IM_REMOVED_EXPIRED, IM_REMOVED_DELETED, IM_REMOVED };
struct im_counters {
    uint64_t users, devices;          /* online */
    uint64_t channels, evicted;       /* in memory; dropped for others */
    uint64_t ops[IM_OPS];             /* calls that a slot of the shard began to handle */
    uint64_t stored, stored_bytes;    /* messages and the payload in them */
    uint64_t api_in[IM_TYPES];        /* SENDs of the API by channel type */
    uint64_t api_in_bytes;            /* payload */
    uint64_t lists[2];                /* member lists found in memory, read from the store */
    uint64_t members_added;
    uint64_t effects;                 /* of other slots, under way */
    uint64_t deliveries;              /* long ones under way and those behind them */
    uint64_t removed[IM_REMOVED];     /* messages, by why */
    uint64_t trims;                   /* histories that were over a limit */
    uint64_t keep_failed;             /* steps in the background that are tried again */
    uint64_t erasing;                 /* slots with rows to be erased */
    struct wk_histogram recipients;   /* receivers of a message, online or not */
    struct wk_histogram conv_sync;    /* us */
};
void im_count(const struct im *im, struct im_counters *out); /* any thread; adds to *out */
static inline unsigned im_type_index(uint8_t type)
{
    return type < IM_TYPES - 1 ? type : IM_TYPES - 1;
}
int im_new(struct im **out, const struct im_options *opt);
void im_set_cluster(struct im *im, struct wk_cluster *c);
void im_free(struct im *im);
struct wk_slot_machine im_machine(struct im *im);

/* ---- connections ----------------------------------------------------------------------------- */
/* A logged-in connection lives on the shard of its uid's slot; node embeds this in its own
 * object. */
struct im_push {
    struct wk_blob *blob;         /* counted; holds the record's bytes */
    const struct wk_record *record;
    wkim_slice from_uid, channel_id; /* as this receiver sees them */
    uint8_t flags;
};
struct im_conn;
struct im_conn_ops {
    void (*push)(struct im_conn *c, const struct im_push *p);
    void (*event)(struct im_conn *c, const struct wk_event *e);
    /* DISCONNECT with text unless silent; the socket closes after delay_ms. */
    void (*kick)(struct im_conn *c, uint8_t reason, const char *text, uint32_t delay_ms,
                 bool silent);
    /* One row of /connz as JSON, appended. */
    void (*describe)(struct im_conn *c, struct wk_buf *out);
};
struct im_conn {
    struct wk_list link;          /* private */
    const struct im_conn_ops *ops;
    uint64_t id;                  /* unique in the cluster */
    wkim_slice uid, device_id;    /* borrowed from the owner for the life of the entry */
    uint8_t device_flag, level;
    bool send_ban;                /* kept up to date by the slot */
    bool kicked;
    bool registered;
    bool coming;                  /* the login waits for its row: nothing is delivered yet */
    struct im_status *status;     /* private */
};
/* IM_LOGIN with call->mark = the im_conn: reason in call->reason; on success it is registered.
 * With options.status the answer waits for a row; a connection that went meanwhile is answered,
 * too. */
void im_conn_gone(struct im *im, struct im_conn *c); /* unregister; @shard of the uid's slot */

/* No more background work is started; any thread. */
void im_keep_stop(struct im *im);

/* Every delta of an event is in the log; any thread. */
bool im_events_saved(const struct im *im);

/* ---- data source (message/source.c) ---------------------------------------------------------- */
/* Repeated str to a counted list, sorted, each once.  Any thread.  WKIM_EPROTO, WKIM_ENOMEM. */
int im_members_build(struct im_members **out, struct wk_cluster *c, wkim_slice uids);
struct im_members *im_members_ref(struct im_members *m);
void im_members_unref(struct im_members *m); /* NULL allowed */
size_t im_members_bytes(const struct im_members *m);
/* A question about the channel was answered, or no answer is to be had.  @shard of the slot */
void im_source_answered(struct im *im, uint32_t slot, uint8_t type, wkim_slice id);
/* The system accounts, or NULL: there is no answer; slow: it took so long that nobody waits for the
 * next try.  One thread. */
void im_source_system(struct im *im, struct im_members *uids_take, bool slow);
struct im_source_counts {
    uint64_t waiting; /* SENDs */
    uint64_t refused; /* SENDs beyond the number that may wait */
    uint64_t lost;    /* deliveries whose receivers were not known any more */
};
struct im_source_counts im_source_counts(const struct im *im); /* any thread */

/* ---- what webhooks wait for (pending.c) ------------------------------------------------------ */
/* Rows from from_id on, as repeated (u64 id, str value), at most max and until bytes_max.  Values
 * are, by queue, the record; what im_offline_again takes; u64 ms and the text of the entry.  Empty:
 * the message is gone.  Reader thread. */
int im_pending_read(struct im *im, enum im_pending what, uint32_t slot, uint64_t from_id,
                    uint32_t max, size_t bytes_max, struct wk_buf *out, bool *more);
uint64_t im_pending_count(struct im *im, enum im_pending what, uint32_t slot); /* reader thread */
/* on_offline comes for the row, after those asked for before; nothing is delivered.  @shard of the
 * slot.  WKIM_ENOMEM or WKIM_ECORRUPT: nothing will come. */
int im_offline_again(struct im *im, uint32_t slot, const struct im_offline_row *row,
                     wkim_slice value);

/* ---- ids ------------------------------------------------------------------------------------- */
/* Stored id of a channel as clients name it: person pairs and agent channels are joined. */
void im_stored_id(struct wk_buf *out, uint8_t type, wkim_slice channel_id, wkim_slice from_uid);
/* The id without the command suffix: its slot holds the channel and its commands. */
wkim_slice im_base_id(wkim_slice stored_id);
/* The other uid of a pair "a@b"; empty when `uid` is neither. */
wkim_slice im_peer(wkim_slice stored_id, wkim_slice uid);
bool im_uid_valid(wkim_slice uid);      /* not blank, none of @ # &, within the limit */
bool im_is_system(struct im *im, uint32_t shard, wkim_slice uid);

/* The message's time is over: nobody gets it any more. */
bool im_expired(const struct wk_record *r, uint64_t now_ms);

/* ---- request bytes --------------------------------------------------------------------------- */
enum im_send_bits {
    IM_SEND_API = 1,   /* system device: no sender checks */
    IM_SEND_LIST = 2,  /* receivers are listed */
    IM_SEND_NOTIFY = 4,  /* set by the leader: with a row of the notify queue */
    IM_SEND_DEVICE = 8,  /* the sender's device is named: it gets no copy */
    IM_SEND_SOURCE = 16, /* set by the leader: the members are those of WK_LIST_SOURCE */
    IM_SEND_QUIET = 32,  /* set by the leader: no conversations come of it */
    IM_SEND_ONCE = 64,   /* set by the leader: a repeated client_msg_no is stored once */
    IM_SEND_OFFLINE = 128 /* set by the leader: with a row of the offline queue; no bit is left */
};
/* Prefix of a SEND request; the record follows. */
struct im_send_head {
    uint8_t bits;
    uint64_t conn_id;  /* of the sending connection, 0 none: it gets no copy */
    wkim_slice uids;   /* IM_SEND_LIST: repeated str */
    wkim_slice device_id; /* IM_SEND_DEVICE */
    wkim_slice record;
};
void im_send_encode(struct wk_buf *out, const struct im_send_head *h, const struct wk_record *r);
int im_send_decode(struct im_send_head *h, wkim_slice in);
void im_channel_key_encode(struct wk_buf *out, uint8_t type, wkim_slice id);
void im_channel_key_decode(struct wk_cursor *c, struct wk_channel_key *out);
#endif
