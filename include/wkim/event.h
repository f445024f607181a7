/* Events on a message: streams of text, tools, states.  Call rules: node.h. */
#ifndef WKIM_EVENT_H
#define WKIM_EVENT_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/* More would not fit into one EVENT frame (1 MiB) with everything around it. */
#define WKIM_EVENT_PAYLOAD_MAX 1032192u

typedef struct wkim_event {
    size_t size;              /* sizeof, set by the caller */
    wkim_slice channel_id;    /* as clients name it */
    wkim_slice from_uid;      /* empty: the sender of the message; needed for person channels */
    wkim_slice client_msg_no; /* of the message */
    wkim_slice event_id, event_type;
    wkim_slice event_key;     /* lane; empty: "main" */
    wkim_slice visibility;    /* empty, "public", "private", "restricted" */
    wkim_slice payload;       /* JSON; empty: none; at most WKIM_EVENT_PAYLOAD_MAX bytes */
    int64_t message_id;       /* 0: of the message */
    uint64_t occurred_ms;     /* 0: not told */
    uint8_t channel_type;
    uint8_t reserved[7];
} wkim_event;
/* String 0: JSON of the lane's state.  A "stream.delta" is answered when it is in memory and in the
 * log within a second; everything else is durable before it is answered.  WKIM_EDENIED: the lane
 * ended. WKIM_ENOTFOUND: no such message.  WKIM_EPROTO: payload is no JSON.  WKIM_ETOOBIG: a text
 * or the payload is too long. */
WKIM_API int wkim_event_put(wkim_node *n, const wkim_event *e, wkim_queue *q, void *user);

typedef struct wkim_event_range {
    size_t size;
    wkim_slice channel_id, from_uid, client_msg_no;
    wkim_slice event_key; /* empty: all lanes */
    uint64_t from_seq;    /* exclusive */
    uint32_t limit;       /* 0: 200, at most 2000 */
    uint8_t channel_type;
    uint8_t include_private;
    uint8_t reserved[2];
} wkim_event_range;
/* String 0: JSON with the newest stored state of each lane. */
WKIM_API int wkim_event_sync(wkim_node *n, const wkim_event_range *r, wkim_queue *q, void *user);

#ifdef __cplusplus
}
#endif
#endif
