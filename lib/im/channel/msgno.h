/* From a client_msg_no to the numbers of messages that have it.  @shard of the slot. */
#ifndef WK_IM_CHANNEL_MSGNO_H
#define WK_IM_CHANNEL_MSGNO_H
#include "im/internal.h"

/* Calls each() for candidates in the window, newest first, until it returns
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
#endif
