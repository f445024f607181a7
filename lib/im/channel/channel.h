/* Channels: their objects in memory, flags, member lists, receiver lists as operators see them.
 * @shard of the slot. */
#ifndef WK_IM_CHANNEL_CHANNEL_H
#define WK_IM_CHANNEL_CHANNEL_H
#include "im/internal.h"

/* channel.c */
/* Any id: a channel that was never created has an empty row.  Read from the store when it is not in
 * memory; *out is good until im_channel_trim. */
int im_channel_get(struct im_slot *is, uint8_t type, wkim_slice id, struct im_channel **out);
/* The members of a list (enum wk_list_kind), read from the store at first; *out is the channel's:
 * im_members_ref what is kept. */
int im_channel_list(struct im_slot *is, struct im_channel *ch, uint8_t list,
                    struct im_members **out);
void im_channel_trim(struct im_slot *is); /* frees the least used of too many */
void im_channel_drop_all(struct im_slot *is);
/* The row as it is in memory now. */
void im_channel_save(struct im_slot *is, struct wk_txn *txn, struct im_channel *ch);
enum wk_call_result im_channel_get_handle(struct im_slot *is, struct wk_call *c);
int im_channel_set_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* list.c */
/* source: of IM_SOURCE_SET */
int im_list_change_apply(struct im_slot *is, struct wk_txn *txn, uint64_t id, bool source,
                         wkim_slice in, struct wk_call *c);
enum wk_call_result im_list_change_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_list_get_handle(struct im_slot *is, struct wk_call *c);
/* list_split.c: a change of more than IM_LIST_PIECE uids, as many small commands in a row. */
#define IM_LIST_PIECE 512
#define IM_LIST_QUIET 0x80 /* of the op in a command, set by the leader */
struct im_list_change {
    struct wk_channel_key key;
    uint8_t list, op;
    bool quiet;      /* no conversations come of it: IM_LIST_QUIET */
    size_t op_at;    /* offset of the op in the request */
    uint64_t now_ms;
    wkim_slice uids; /* repeated str */
};
enum wk_call_result im_list_split(struct im_slot *is, struct wk_call *c,
                                  const struct im_list_change *ch);
/* tag.c */
void im_tag_used(struct im_slot *is, struct im_channel *ch);
void im_tags_expire(struct im_slot *is); /* between commands */
enum wk_call_result im_tags_handle(struct im_slot *is, struct wk_call *c);
#endif
