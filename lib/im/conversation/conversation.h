/* Conversations of a user: rows with positions, and what answers show of them.
 * @shard of the uid's slot. */
#ifndef WK_IM_CONVERSATION_CONVERSATION_H
#define WK_IM_CONVERSATION_CONVERSATION_H
#include "im/internal.h"

/* conversation.c: rows */
/* As the commands of this round left it.  WKIM_ENOTFOUND. */
int im_conv_get(struct im_slot *is, wkim_slice uid, const struct wk_channel_key *ch,
                struct wk_row_conversation *out);
int im_conv_ensure_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* IM_CONV_REMOVE of older logs, or IM_CONV_LEAVE */
int im_conv_remove_apply(struct im_slot *is, struct wk_txn *txn, bool leave, wkim_slice in);
int im_conv_position_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
void im_conv_overlay_clear(struct im_slot *is);
enum wk_call_result im_conv_move_handle(struct im_slot *is, struct wk_call *c);
/* row NULL: delete.  Seen by im_conv_get at once. */
int im_conv_put(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                const struct wk_channel_key *ch, const struct wk_row_conversation *row);
/* left.c */
/* A conversation of uid went away: lists of changes tell it. */
int im_left_note(struct im_slot *is, struct wk_txn *txn, wkim_slice uid,
                 const struct wk_channel_key *key, uint64_t now_ms);
/* Reader thread.  kept_since_ms: older ones may be missing; each may be NULL. */
int im_left_read(struct im_slot *is, wkim_slice uid, uint64_t *kept_since_ms,
                 int (*each)(void *arg, const struct wk_channel_key *key, uint64_t left_ms),
                 void *arg);
/* list.c */
enum wk_call_result im_conv_list_handle(struct im_slot *is, struct wk_call *c);
/* sync.c */
enum wk_call_result im_conv_sync_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_conv_channels_handle(struct im_slot *is, struct wk_call *c);
#endif
