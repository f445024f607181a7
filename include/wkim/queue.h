/* Answers and events.  Every call of the library that takes a queue answers through it exactly
 * once; nothing is called back on your threads.  A queue has a file descriptor, so any loop can
 * wait.
 *
 * Threads: put by the node's threads, taken by any one thread at a time. */
#ifndef WKIM_QUEUE_H
#define WKIM_QUEUE_H

#include <wkim/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_queue wkim_queue;
typedef struct wkim_reply wkim_reply; /* one answer or event, owned by the taker */

WKIM_API int wkim_queue_new(wkim_queue **out);
/* Answers that were not taken are freed; calls still under way answer into nothing.  Free queues
 * before the node, or after wkim_node_stop. */
WKIM_API void wkim_queue_free(wkim_queue *q);
WKIM_API int wkim_queue_fd(const wkim_queue *q); /* readable while something is queued */
/* Take the oldest.  WKIM_OK; WKIM_EAGAIN when nothing came within timeout_ms (0: do not wait, < 0:
 * for ever). */
WKIM_API int wkim_queue_next(wkim_queue *q, wkim_reply **out, int timeout_ms);

enum wkim_reply_kind {
    WKIM_REPLY_CALL = 1,     /* answer of a call */
    WKIM_EVENT_MESSAGE = 2,  /* a message was stored; one message inside */
    WKIM_EVENT_ONLINE = 3,   /* item 0: uid; numbers: device flag, online 1/0, counts */
    WKIM_EVENT_OFFLINE_MESSAGE = 4, /* message 0 for offline users; strings: their uids */
    WKIM_EVENT_HOOK = 5             /* a webhook request, wkim/hook.h */
};

/* A message as stored.  Slices are borrowed until the reply is freed. */
typedef struct wkim_message {
    int64_t message_id;
    uint64_t message_seq;  /* 0: not stored */
    uint64_t timestamp_ms; /* Unix time of storage */
    uint32_t expire_s;
    uint8_t flags;         /* WKIM_FLAG_* */
    uint8_t setting;
    uint8_t channel_type;
    uint8_t reserved;
    wkim_slice channel_id; /* as stored: person channels are "a@b", commands carry the suffix */
    wkim_slice from_uid;   /* "____system" for the system account */
    wkim_slice client_msg_no;
    wkim_slice topic;
    wkim_slice payload;
    wkim_slice events; /* JSON members event_meta, event_sync_hint, stream_data, end ... without
                          braces, when events came for it; messagesync and conversation sync only */
} wkim_message;

typedef struct wkim_conversation {
    wkim_slice channel_id; /* person channels: the peer's uid */
    wkim_slice stored_id;  /* as stored */
    uint8_t channel_type;
    uint8_t state;         /* enum wkim_conversation_state; wkim_conversation_list only */
    uint8_t reserved[6];
    int64_t unread;
    uint64_t timestamp_ms; /* of the newest message, 0 without one */
    uint64_t last_msg_seq;
    wkim_slice last_client_msg_no;
    uint64_t readed_to_msg_seq;
    uint64_t version;      /* grows with every change; in ns */
    uint64_t updated_ms;
    uint64_t n_recents;    /* newest first */
    uint64_t deleted_to_seq;
    uint64_t active_ms;    /* of the newest message, else of the last change */
} wkim_conversation;

WKIM_API void wkim_reply_free(wkim_reply *r); /* NULL allowed */
WKIM_API int wkim_reply_kind(const wkim_reply *r);
WKIM_API void *wkim_reply_user(const wkim_reply *r);       /* as given with the call */
WKIM_API int wkim_reply_code(const wkim_reply *r);         /* WKIM_OK or an error code */
WKIM_API int wkim_reply_reason(const wkim_reply *r);       /* enum wkim_reason, 1 unless refused */
WKIM_API const char *wkim_reply_text(const wkim_reply *r); /* detail of an error, "" otherwise */

enum wkim_number {
    WKIM_NUMBER_MESSAGE_ID = 0,
    WKIM_NUMBER_MESSAGE_SEQ = 1,
    WKIM_NUMBER_MORE = 2,
    WKIM_NUMBER_TOTAL = 3,
    WKIM_NUMBER_DEVICE_FLAG = 4,
    WKIM_NUMBER_ONLINE = 5,
    WKIM_NUMBER_CONN_ID = 6,
    WKIM_NUMBER_DEVICE_COUNT = 7, /* live connections of this uid and flag */
    WKIM_NUMBER_USER_COUNT = 8,   /* live connections of this uid */
    WKIM_NUMBERS = 9
};
WKIM_API int64_t wkim_reply_number(const wkim_reply *r, int which);
/* Items: each list call says which kind its answer holds. Out of range: WKIM_ENOTFOUND. */
WKIM_API size_t wkim_reply_strings(const wkim_reply *r);
WKIM_API int wkim_reply_string(const wkim_reply *r, size_t i, wkim_slice *out);
WKIM_API size_t wkim_reply_messages(const wkim_reply *r);
WKIM_API int wkim_reply_message(const wkim_reply *r, size_t i, wkim_message *out);
WKIM_API size_t wkim_reply_conversations(const wkim_reply *r);
WKIM_API int wkim_reply_conversation(const wkim_reply *r, size_t i, wkim_conversation *out);
WKIM_API int wkim_reply_recent(const wkim_reply *r, size_t conversation, size_t i,
                               wkim_message *out);
/* Rows of small integers beside strings (online status: device flag; lists: see the call). */
WKIM_API int wkim_reply_string_number(const wkim_reply *r, size_t i, int which, int64_t *out);

#ifdef __cplusplus
}
#endif
#endif
