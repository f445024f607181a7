/* The composition root: one node = shards + loops + cluster + im + connections.  No business
 * rules. */
#ifndef WK_NODE_NODE_H
#define WK_NODE_NODE_H
#include <pthread.h>
#include <wkim/wkim.h>
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "cluster/cluster.h"
#include "crypto/crypto.h"
#include "event/event.h"
#include "im/im.h"
#include "session/sealer.h"
#include "session/session.h"

/* Latencies by kind of channel, and deliveries. */
enum wk_measured {
    WK_ACK_PERSON,
    WK_ACK_GROUP,
    WK_ACK_OTHER,
    WK_ACK_KINDS,
    WK_DELIVERED = WK_ACK_KINDS
};

enum wk_close_reason {
    WK_CLOSE_CLIENT,   /* it went away */
    WK_CLOSE_IDLE,     /* connIdleTime, or no login in time */
    WK_CLOSE_KICK,
    WK_CLOSE_PROTOCOL, /* malformed input */
    WK_CLOSE_REFUSED,  /* at login */
    WK_CLOSE_SLOW,     /* it did not read */
    WK_CLOSE_UNACKED,  /* too many RECVs without RECVACK */
    WK_CLOSE_STOP,     /* the node stops */
    WK_CLOSE_ERROR,    /* ours: no memory, no descriptor */
    WK_CLOSE_REASONS
};
#define WK_LISTENERS 5 /* enum wkim_listener */
#define WK_DEVICES 4   /* app, web, pc, others */
#define WK_WIRES 2     /* binary, JSON-RPC */
#define WK_CLIENT_KINDS (WK_LISTENERS * WK_DEVICES * WK_WIRES)
#define WK_REASONS 32  /* enum wkim_reason */

enum wk_limit_scope {
    WK_LIMIT_CONNECT,
    WK_LIMIT_IP,
    WK_LIMIT_USER,
    WK_LIMIT_SEND,
    WK_LIMIT_SCOPES
};

/* limits.c */
struct wk_limits {
    pthread_mutex_t lock;
    struct wk_map addresses;   /* struct wk_address, those with connections */
    uint64_t connect_due_us;
    _Atomic uint64_t logged_s[WK_LIMIT_SCOPES];
    bool made;
};
int wk_limits_init(struct wk_limits *l);
void wk_limits_fini(struct wk_limits *l);

/* Counters of one shard: written by its thread only (wk_count), summed when read.  Nothing but
 * uint64_t. */
struct wk_node_counters {
    uint64_t in_msgs, out_msgs, in_bytes, out_bytes, in_packets, out_packets;
    uint64_t connections, retry_queue, slow_clients, resends, refused_sends;
    uint64_t logins, refused_logins, kicks, flood_closes;
    uint64_t retries_exhausted;
    uint64_t rate_limited[WK_LIMIT_SCOPES];
    uint64_t outbound_queue;                /* bytes the transports did not take at once */
    uint64_t opened[WK_LISTENERS], closed[WK_LISTENERS * WK_CLOSE_REASONS];
    uint64_t came[WK_CLIENT_KINDS], gone[WK_CLIENT_KINDS]; /* logged in */
    uint64_t auth[WK_REASONS], sendack[WK_REASONS];
    uint64_t in_type[IM_TYPES], in_payload, out_payload;
    struct wk_session_counts frames;
    struct wk_histogram auth_time;          /* us from CONNECT read to the verdict */
    struct wk_histogram sendack_time[WK_ACK_KINDS], deliver_time;
};

/* Work of this round whose end is the end of the round: no clock is read per message. */
#define WK_MEASURES 1024
struct wk_measures {
    struct wk_hook hook;
    uint32_t n;
    struct {
        uint32_t from_us; /* the low half: enough for an hour */
        uint32_t what;    /* enum wk_measured */
    } at[WK_MEASURES];
};

struct wk_node_shard {
    struct wkim_node *node;
    struct wk_shard *shard;
    struct wk_loop *loop;
    struct wk_crypto *crypto;
    struct wk_sealer *sealer;
    struct wk_snowflake ids;
    struct wk_list conns;          /* struct wk_conn of this shard */
    uint64_t next_conn;
    uint8_t *read_buf;             /* WK_READ_BYTES, shared by the connections of the shard */
    struct wk_buf scratch;         /* request bytes being built */
    struct send_op *free_sends;
    uint32_t n_free_sends;
    struct wk_node_counters count;
    struct wk_measures measures;
    struct wk_post close_all;
};
#define WK_READ_BYTES 65536

struct wk_node_settings {
    bool encrypt, allow_json, token_auth, event_to_old;
    uint8_t version_max;
    uint64_t idle_ms, connect_ms, auth_ms;
    uint64_t retry_ms, retry_scan_ms, retry_max, unacked_max;
    uint64_t connections_max, payload_max, outbound_max;
    uint64_t per_address_max, connect_rate, send_rate; /* 0: no limit */
    uint64_t node_id;
};

/* Whether clients can be sent r, whose channel they see as `channel`: RECV is a frame as well. */
bool wk_node_recv_fits(const struct wkim_node *n, const struct wk_record *r, wkim_slice channel);

struct wk_events_target {
    struct wkim_queue *queue;
    uint32_t mask;
    size_t max;
};

struct wkim_node {
    struct wk_node_settings set;
    struct wk_limits limits;
    struct wkim_config *cfg;       /* our copy of what im borrows from */
    char *data_dir;
    char *manager_uid, *manager_token, *visitor_suffix, *online_cmd;
    struct wk_log log;
    struct wk_store *store;
    struct wk_readers *readers, *background;
    struct wk_fs fs;
    bool fs_open;
    int lock_fd;
    struct wk_shard *shards;
    struct wk_node_shard *per;
    uint32_t n_shards;
    struct im *im;
    struct wk_cluster *cluster;
    _Atomic uint32_t next_shard;   /* of new connections */
    _Atomic uint64_t connections;
    _Atomic bool stopping;
    _Atomic uint64_t api_calls, api_refused; /* under way; answered EBUSY */
    pthread_mutex_t api_lock;      /* ids of API messages, event target */
    struct wk_snowflake api_ids;
    struct wk_events_target events;
    struct wkim_queue *hook_queue; /* counted; NULL: nobody carries webhooks */
    struct wk_node_hooks *hook;    /* NULL: no webhooks */
    struct wkim_queue *source_queue; /* counted; NULL: nobody carries questions */
    struct wk_node_source *source; /* NULL: no data source */
    _Atomic uint32_t event_mask;
    uint64_t start_unix_ms;
    pthread_mutex_t metrics_lock;  /* what follows */
    uint64_t busy_at_us, busy_cpu_us, busy_permille; /* of the shard threads, metrics.c */
    _Atomic bool started;
};

static inline struct wk_node_shard *wk_node_shard(struct wkim_node *n, const struct wk_shard *s)
{
    return &n->per[s->index];
}

void wk_node_count(const struct wkim_node *n, struct wk_node_counters *out); /* adds; any thread */

/* measure.c: at the end of the round note the time since from_us. @shard */
void wk_node_measure_init(struct wk_node_shard *ns);
void wk_node_measure(struct wk_node_shard *ns, enum wk_measured what, uint64_t from_us);

/* queue.c, reply.c */
enum wk_reply_layout {
    WK_REPLY_NONE,
    WK_REPLY_ROWS,
    WK_REPLY_RECORDS,
    WK_REPLY_CONVERSATIONS,
    WK_REPLY_CONVERSATION_PAGE, /* a str, then conversations */
    WK_REPLY_TEXT
};
struct wkim_reply *wk_reply_new(int kind, void *user);
/* Takes the bytes of *out.  A malformed answer becomes WKIM_ECORRUPT. */
void wk_reply_fill(struct wkim_reply *r, struct wk_buf *out_take, enum wk_reply_layout layout);
void wk_reply_result(struct wkim_reply *r, int code, int32_t reason);
void wk_reply_number(struct wkim_reply *r, int which, int64_t v);
int wk_reply_add_string(struct wkim_reply *r, wkim_slice s); /* copied */
struct wkim_queue *wk_queue_ref(struct wkim_queue *q);       /* NULL allowed */
void wk_queue_unref(struct wkim_queue *q);
void wk_queue_put(struct wkim_queue *q, struct wkim_reply *r); /* q NULL: freed */
/* Drops the oldest event when more than max wait; returns how many were dropped. */
size_t wk_queue_put_event(struct wkim_queue *q, struct wkim_reply *r, size_t max);

#define WK_API_CALLS_MAX 100000 /* under way at once; then WKIM_EBUSY */
/* api.c: one call to one slot, answered through a queue */
struct wk_api_call {
    struct wk_call call;
    struct wkim_node *node;
    struct wkim_queue *queue;
    void *user;
    uint8_t layout;
    /* Puts the numbers of the answer into the reply; may be NULL. */
    void (*fill)(struct wk_api_call *a, struct wkim_reply *r);
    struct wk_buf text;   /* scratch of fill: client_msg_no of a send */
};
/* Take *in and send.  WKIM_OK, or an error without an answer. */
int wk_api_send(struct wkim_node *n, uint16_t op, uint32_t slot, struct wk_buf *in_take,
                uint8_t layout, void (*fill)(struct wk_api_call *a, struct wkim_reply *r),
                wkim_slice text, wkim_queue *q, void *user);
int wk_api_enter(struct wkim_node *n); /* counts one call under way; WKIM_OK, EBUSY, ESTOPPED */
void wk_api_leave(struct wkim_node *n);
uint32_t wk_api_slot(struct wkim_node *n, wkim_slice key);
int wk_api_check_id(wkim_slice id);
int wk_api_ready(const struct wkim_node *n, wkim_slice id); /* started, and the id as above */
/* Stored id as the caller names it: ids of type 1 that hold an '@' are taken as stored. */
void wk_api_stored_id(struct wk_buf *out, uint8_t type, wkim_slice channel_id,
                      wkim_slice login_uid);

/* conn.c */
struct wk_conn;
void wk_conn_close_all(struct wk_node_shard *ns);
void wk_conn_free_pool(struct wk_node_shard *ns);
/* events.c: on_stored and on_online of im */
void wk_node_event_message(void *user, const struct wk_record *r);
void wk_node_event_online(void *user, wkim_slice uid, uint8_t device_flag, bool online,
                          uint64_t conn_id, uint64_t device_count, uint64_t user_count);
#endif
