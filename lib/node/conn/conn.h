/* One client connection: transport, session, presence entry, unacknowledged messages.  Lives on one
 * shard; until login on the shard that accepted it, from CONNECT on the shard of its uid's slot. */
#ifndef WK_NODE_CONN_CONN_H
#define WK_NODE_CONN_CONN_H
#include "node/node.h"

struct wk_conn;

/* How bytes leave and how the transport is closed. @shard */
struct wk_transport_ops {
    /* Bring queued output out. WKIM_OK; WKIM_EAGAIN: some is left and flush comes again by itself;
     * WKIM_EIO: the transport is gone. */
    int (*flush)(struct wk_conn *c);
    void (*want_input)(struct wk_conn *c, bool on);
    void (*detach)(struct wk_conn *c);           /* leaving this shard */
    int (*attach)(struct wk_conn *c);            /* arrived on c->shard */
    void (*close)(struct wk_conn *c);
};

/* A RECV without RECVACK. */
struct wk_unacked {
    int64_t message_id;
    struct wk_blob *blob;
    wkim_slice channel_id; /* as this client sees it; borrowed from blob or constant */
    uint32_t due_ms;       /* of the monotonic clock; wraps */
    uint8_t flags, count;
};

struct wk_conn {
    struct im_conn im;
    struct wk_list link;
    struct wkim_node *node;
    struct wk_shard *shard;
    struct wk_session *session;
    const struct wk_transport_ops *tr;
    struct wk_io io;                /* socket transport */
    struct wkim_session *foreign;   /* the other transport */
    struct wk_hook flush;
    struct wk_timer timer;          /* idle limits, delayed close */
    struct wk_timer retry;
    struct wk_timer order;          /* SENDACKs that wait for one before them */
    struct wk_timer pace;           /* the next frame of a client that wants them one by one */
    struct wk_post post;            /* adopt, move */
    struct wk_unacked *unacked;     /* ring */
    uint32_t unacked_head, unacked_n, unacked_cap;
    uint32_t refs;
    uint32_t inflight_bytes;
    struct send_op *sends, *sends_end; /* SENDs without SENDACK, in the order they came */
    uint64_t last_in_ms, close_at_ms;
    uint64_t last_in_us;            /* when what is being handled was read */
    uint64_t connect_us;            /* when CONNECT was */
    uint64_t send_due_us;           /* when the next SEND would come evenly, limits.c */
    struct wk_address *address;     /* counted in; NULL: not */
    uint32_t out_left;              /* bytes that the transport did not take */
    uint8_t listener, why;          /* enum wkim_listener, enum wk_close_reason */
    bool counted;                   /* among those logged in */
    char *text;                     /* uid, device id, token: one allocation */
    char *remote;
    wkim_slice token;
    uint64_t connected_ms;
    uint32_t in_msgs, out_msgs, in_packets, out_packets;
    uint64_t in_bytes, out_bytes;
    uint64_t in_msg_bytes, out_msg_bytes; /* payloads alone */
    bool closed, move, want_in, proxy, json, paused;
    uint32_t target_slot;
    uint32_t frame_left;            /* what is to be written of the frame begun */
    struct wk_buf head;             /* bytes of an incomplete PROXY header */
};

int wk_conn_new(struct wk_conn **out, struct wkim_node *n, const struct wk_transport_ops *tr,
                const char *remote, bool proxy);
void wk_conn_start(struct wk_conn *c);      /* @shard: first call on its first shard */
void wk_conn_input(struct wk_conn *c, wkim_slice in); /* @shard */
void wk_conn_wake(struct wk_conn *c);       /* ask for a flush at the end of the round */
void wk_conn_destroy(struct wk_conn *c);    /* @shard; the object lives until its last reference */
void wk_conn_unref(struct wk_conn *c);
/* Why it will be closed; the first reason counts. */
void wk_conn_why(struct wk_conn *c, enum wk_close_reason why);
void wk_conn_count_login(struct wk_conn *c);
/* Wake it at at_ms for its limits; closes it where that cannot be had. @shard */
void wk_conn_arm(struct wk_conn *c, uint64_t at_ms);
/* What follows every step that may have changed the session. @shard */
void wk_conn_after_input(struct wk_conn *c);
struct wk_node_shard *wk_conn_per(const struct wk_conn *c); /* the shard it lives on now */

/* limits.c */
bool wk_limit_enter(struct wk_conn *c);     /* false: one connection too many, close it */
void wk_limit_leave(struct wk_conn *c);
bool wk_limit_send(struct wk_conn *c);      /* only when set.send_rate is not 0 */
void wk_limit_reached(struct wk_conn *c, enum wk_limit_scope scope);

/* login.c */
void wk_conn_on_connect(void *conn, const struct wk_connect *p, bool json);
void wk_conn_move(struct wk_conn *c); /* to the shard of its uid's slot; login goes on there */
/* send.c */
void wk_conn_on_send(void *conn, const struct wk_send *s, uint8_t flags, wkim_slice plain,
                     uint64_t ack);
void wk_conn_on_send_refused(void *conn, const struct wk_send *s, uint64_t ack);
/* push.c */
extern const struct im_conn_ops wk_conn_im_ops;

/* socket.c */
void wk_conn_pace(struct wk_timer *t);
void wk_conn_order(struct wk_timer *t);

/* retry.c */
int wk_conn_track(struct wk_conn *c, const struct im_push *p);
void wk_conn_acked(struct wk_conn *c, int64_t message_id, bool command);
void wk_conn_untrack_all(struct wk_conn *c);
void wk_conn_retry(struct wk_timer *t);
/* command.c: a master device has the command in the blob: its user has read up to there. */
void wk_conn_command_read(struct wk_conn *c, struct wk_blob *blob);
#endif
