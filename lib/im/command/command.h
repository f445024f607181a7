/* Commands for users who are away.  @shard of the slot. */
#ifndef WK_IM_COMMAND_COMMAND_H
#define WK_IM_COMMAND_COMMAND_H
#include "im/internal.h"

/* Rows of the receivers of a stored command; h names them when the sender did. */
int im_command_rows(struct im_slot *is, struct wk_txn *txn, uint64_t id, struct im_channel *ch,
                    const struct wk_record *r, const struct im_send_head *h, struct wk_call *c);
enum wk_call_result im_cmd_sync_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_cmd_heads_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_cmd_ack_handle(struct im_slot *is, struct wk_call *c);
int im_cmd_handed_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_cmd_read_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
#endif
