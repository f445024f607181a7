/* Conversations of a user: positions, unread, recent messages.  Rules: node.h. */
#ifndef WKIM_CONVERSATION_H
#define WKIM_CONVERSATION_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_channel_pos {
    wkim_slice channel_id; /* person: the peer's uid */
    uint64_t message_seq;  /* newest the client has */
    uint8_t channel_type;
    uint8_t reserved[7];
} wkim_channel_pos;

typedef struct wkim_conversation_query {
    size_t size;
    wkim_slice uid;
    int64_t version;
    const wkim_channel_pos *last_msg_seqs;
    size_t n_last_msg_seqs;
    const uint8_t *exclude_types;
    size_t n_exclude_types;
    int64_t msg_count;  /* <= 0: nothing is answered (reference) */
    int32_t only_unread;
    int32_t page;       /* 0: no paging */
    int32_t page_size;
    int32_t reserved;
} wkim_conversation_query;
/* Conversations, newest message first. */
WKIM_API int wkim_conversation_sync(wkim_node *n, const wkim_conversation_query *c, wkim_queue *q,
                                    void *user);
/* One conversation per channel asked, in request order, stubs for unknown ones. */
WKIM_API int wkim_conversation_sync_channels(wkim_node *n, wkim_slice uid,
                                             const wkim_channel_pos *channels, size_t n_channels,
                                             int64_t msg_count, wkim_queue *q, void *user);
/* Strings: stored channel ids; string number 0: channel type. */
WKIM_API int wkim_conversation_channels(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user);
WKIM_API int wkim_conversation_clear_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                            uint8_t channel_type, wkim_queue *q, void *user);
WKIM_API int wkim_conversation_set_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                          uint8_t channel_type, int64_t unread, wkim_queue *q,
                                          void *user);
WKIM_API int wkim_conversation_delete(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                      uint8_t channel_type, wkim_queue *q, void *user);
/* Shown by wkim_conversation_list also without a message. */
WKIM_API int wkim_conversation_activate(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                        uint8_t channel_type, wkim_queue *q, void *user);

enum wkim_conversation_state {
    WKIM_CONVERSATION_LIVE = 1,
    WKIM_CONVERSATION_DELETED = 2,   /* gone, or hidden up to deleted_to_seq */
    WKIM_CONVERSATION_UNRESOLVED = 3 /* its channel could not be read now: retry */
};
#define WKIM_CONVERSATION_PAGE_MAX 1000 /* conversations of one page or retry */
typedef struct wkim_conversation_page {
    size_t size;
    wkim_slice uid;
    wkim_slice cursor;   /* of the page before, empty: the first page */
    wkim_slice coverage; /* of a finished list: only what changed since; empty: everything */
    uint32_t limit;      /* 0: 100, at most WKIM_CONVERSATION_PAGE_MAX */
    uint32_t reserved;
} wkim_conversation_page;
/* Conversations with their state and newest message, in an order that does not change between
 * pages.  String 0: the next cursor, empty when this was the last page; then string 1 is the
 * coverage.  String 1's numbers: 0 time (ms) since which deletions are known, 1: the coverage is
 * older than that, begin anew.  WKIM_EINVAL: cursor or coverage is not one of this uid. */
WKIM_API int wkim_conversation_list(wkim_node *n, const wkim_conversation_page *p, wkim_queue *q,
                                    void *user);
/* The same for these channels (message_seq is not looked at). */
WKIM_API int wkim_conversation_retry(wkim_node *n, wkim_slice uid, const wkim_channel_pos *channels,
                                     size_t n_channels, wkim_queue *q, void *user);

#ifdef __cplusplus
}
#endif
#endif
