/* What became of messages: reading them, deleting them, limits.  @shard of the slot. */
#ifndef WK_IM_HISTORY_HISTORY_H
#define WK_IM_HISTORY_HISTORY_H
#include "im/internal.h"

/* history.c */
enum wk_call_result im_history_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_heads_handle(struct im_slot *is, struct wk_call *c); /* heads.c */
/* purge.c */
int im_channel_delete_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, wkim_slice in,
                            struct wk_call *c);
/* keeper.c: the leader's work on histories in the background */
int im_keep_new(struct im *im); /* a keeper per shard */
void im_keep_free(struct im *im);
void im_keep_lead(struct im_slot *is);
void im_keep_close(struct im_slot *is);
void im_keep_wake(struct im_slot *is); /* rows wait to be erased */
/* retention.c */
#define IM_ERASE_MAX 10000u /* numbers of one piece */
/* Raises the floor; the rows below leave the store later. */
void im_history_trim(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch,
                     uint64_t through);
int im_trim_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in, struct wk_call *call);
/* Before the log: IM_TRIM and IM_LIMITS_SET of channels that can exist. */
enum wk_call_result im_history_handle_write(struct wk_call *c);
int im_erase_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_drop_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
bool im_drop_applied(struct im_slot *is, struct wk_call *c);
int im_over_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_events_purge_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_limits_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
enum wk_call_result im_limits_get_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_delete_handle(struct im_slot *is, struct wk_call *c);
/* What holds for a channel: its own limits before the node's. */
struct wk_keep im_limits_of(const struct im_options *o, const struct wk_keep *own);
/* The part of IM_DROP and IM_OVER that comes from the record: size, client_msg_no if it may have
 * events. */
void im_drop_encode(struct wk_buf *out, const struct wk_record *r, size_t bytes);
#endif
