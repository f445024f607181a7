/* Sending and reading messages.  Call rules: node.h. */
#ifndef WKIM_MESSAGE_H
#define WKIM_MESSAGE_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_send {
    size_t size;              /* sizeof, set by the caller */
    wkim_slice from_uid;      /* empty: the system account */
    wkim_slice channel_id;    /* as clients name it: person channels by the peer's uid */
    wkim_slice client_msg_no; /* empty: one is made */
    wkim_slice topic;
    wkim_slice payload;       /* any bytes */
    const wkim_slice *subscribers; /* instead of a channel, with WKIM_FLAG_SYNC_ONCE */
    size_t n_subscribers;
    uint32_t expire_s;        /* 0: never */
    uint8_t channel_type;
    uint8_t flags;            /* WKIM_FLAG_NO_PERSIST | RED_DOT | SYNC_ONCE */
    uint8_t setting;
    uint8_t reserved;
    int64_t message_id;       /* 0: made by the node; else of wkim_message_id_make, used once */
    wkim_slice device_id;     /* the sender's device: its connections get no copy; may be empty */
} wkim_send;
/* An id for a message that will be sent: for callers who tell it before the message is stored. */
WKIM_API int64_t wkim_message_id_make(wkim_node *n);
/* Stored and synced before it answers.  Numbers: MESSAGE_ID, MESSAGE_SEQ; reason; string 0:
 * client_msg_no, both also when the send failed.  A refusal is code WKIM_EDENIED with its
 * reason. */
WKIM_API int wkim_message_send(wkim_node *n, const wkim_send *s, wkim_queue *q, void *user);

#define WKIM_SYNC_LIMIT_DEFAULT 100
typedef struct wkim_message_range {
    size_t size;
    wkim_slice login_uid;     /* person channels: the other side of channel_id */
    wkim_slice channel_id;
    uint64_t start_seq, end_seq; /* both 0: the newest messages */
    int32_t limit;            /* <= 0: WKIM_SYNC_LIMIT_DEFAULT */
    int32_t pull_up;          /* 0: the newest of end_seq < seq <= start_seq; 1: the oldest of
                               * start_seq <= seq < end_seq (0: no end) */
    uint8_t channel_type;
    uint8_t events_basic;     /* 1: no snapshots in the events of messages */
    uint8_t reserved[6];
} wkim_message_range;
/* Messages ascending by message_seq; number MORE. */
WKIM_API int wkim_message_sync(wkim_node *n, const wkim_message_range *r, wkim_queue *q,
                               void *user);

/* By number, id or client_msg_no within one channel, in request order (seqs, ids, nos); missing
 * ones are left out. `oldest`: of a repeated client_msg_no the oldest instead of the newest. */
typedef struct wkim_message_find {
    size_t size;
    wkim_slice login_uid, channel_id;
    const uint64_t *seqs;
    size_t n_seqs;
    const int64_t *ids;
    size_t n_ids;
    const wkim_slice *client_msg_nos;
    size_t n_client_msg_nos;
    uint8_t channel_type;
    uint8_t oldest;
    uint8_t reserved[6];
} wkim_message_find;
WKIM_API int wkim_message_get(wkim_node *n, const wkim_message_find *f, wkim_queue *q, void *user);
/* Number MESSAGE_SEQ (0: none); with `with_message` also the newest message. */
WKIM_API int wkim_message_last(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                               uint8_t channel_type, int with_message, wkim_queue *q, void *user);
/* Numbers: MESSAGE_SEQ of the newest message that login_uid sent to the channel, TOTAL of the
 * newest of all; 0: none. */
WKIM_API int wkim_message_own(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                              uint8_t channel_type, wkim_queue *q, void *user);

/* Delete the messages that f names, at most 1000 (`oldest` as above): their rows are gone, their
 * numbers are not given out again.  NUMBER_TOTAL: how many there were.  What is on its way to a
 * receiver is not called back. */
WKIM_API int wkim_message_delete(wkim_node *n, const wkim_message_find *f, wkim_queue *q,
                                 void *user);
/* Delete all messages with a number of at most through_seq (beyond the newest: all there are).
 * Nobody sees them any more when it is answered; their rows go in the background.  MESSAGE_SEQ: the
 * highest number that is deleted, TOTAL: the highest that was given out. */
WKIM_API int wkim_history_delete(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                                 uint8_t channel_type, uint64_t through_seq, wkim_queue *q,
                                 void *user);

/* Limits of one channel's history instead of the node's (retention.* of the configuration). */
#define WKIM_LIMIT_INHERIT (-1)
typedef struct wkim_limits {
    size_t size;
    int64_t max_age_s;    /* each: WKIM_LIMIT_INHERIT, 0 none, or the limit */
    int64_t max_messages; /* the newest numbers that stay */
    int64_t max_bytes;    /* of stored records, uncompressed */
} wkim_limits;
WKIM_API int wkim_limits_set(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                             uint8_t channel_type, const wkim_limits *l, wkim_queue *q, void *user);
/* Strings "own", "used" (what holds for the channel) with the numbers max_age_s, max_messages,
 * max_bytes (own: -1 inherited), and "history" with first number, highest number, numbers whose
 * rows are not removed yet.  NUMBER_ONLINE 1: retention.on, limits are enforced. */
WKIM_API int wkim_limits_get(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                             uint8_t channel_type, wkim_queue *q, void *user);

#ifdef __cplusplus
}
#endif
#endif
