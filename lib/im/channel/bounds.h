/* What of a channel can be read: from where to where, and which messages are over. */
#ifndef WK_IM_CHANNEL_BOUNDS_H
#define WK_IM_CHANNEL_BOUNDS_H
#include "im/internal.h"

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
/* The row that says when a message with a time limit is over, and its key. */
void im_expiry_key(struct wk_buf *out, uint64_t over_ms, const struct wk_channel_key *key,
                   uint64_t seq);
int im_expiry_put(struct im_slot *is, struct wk_txn *txn, const struct wk_record *r);
#endif
