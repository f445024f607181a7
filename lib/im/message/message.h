/* Messages on their way in and out: SEND, the data source, fan-out.  @shard of the slot. */
#ifndef WK_IM_MESSAGE_MESSAGE_H
#define WK_IM_MESSAGE_MESSAGE_H
#include "im/internal.h"

/* message.c */
enum wk_call_result im_send_peer_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_send_handle(struct im_slot *is, struct wk_call *c);
int im_send_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                  struct wk_call *c);
bool im_send_applied(struct im_slot *is, uint64_t id, struct wk_call *c);
void im_fresh_clear(struct im_slot *is);
void im_sent_write(struct im_slot *is, struct wk_txn *txn);
/* fanout.c */
/* EVENT to every connection of the receivers; only: to this uid alone. */
void im_fanout_event(struct im_slot *is, uint8_t type, wkim_slice stored_id, wkim_slice only,
                     const struct wk_event *e);
/* When the shards have stopped: deliveries that did not come to their end. */
void im_fanout_drop_all(struct im *im);
/* source.c */
void im_source_forget(struct im_slot *is, wkim_slice in); /* in: begins with a channel key */
void im_source_open(struct im_slot *is, uint64_t seed);
void im_source_close(struct im_slot *is);
void im_source_free(struct im *im);
#endif
