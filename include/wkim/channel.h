/* Channels and their three uid lists.  Call rules: node.h.  Ids as stored, except where a person
 * channel's list is meant: there channel_id is the uid that owns the list. */
#ifndef WKIM_CHANNEL_H
#define WKIM_CHANNEL_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

enum wkim_channel_flag {
    WKIM_CHANNEL_BAN = 1,
    WKIM_CHANNEL_DISBAND = 2,
    WKIM_CHANNEL_SEND_BAN = 4,
    WKIM_CHANNEL_LARGE = 8,
    WKIM_CHANNEL_ALLOW_STRANGER = 16
};
/* Create or overwrite all flags. */
WKIM_API int wkim_channel_set(wkim_node *n, wkim_slice channel_id, uint8_t channel_type,
                              uint32_t flags, wkim_queue *q, void *user);
/* NUMBER_TOTAL: subscribers; NUMBER_MORE: flags; code WKIM_ENOTFOUND when it does not exist. */
WKIM_API int wkim_channel_get(wkim_node *n, wkim_slice channel_id, uint8_t channel_type,
                              wkim_queue *q, void *user);
/* Disband (sends are refused with 24, data stays); purge 1 also deletes members, lists,
 * conversations and messages, the sequence counter stays. */
WKIM_API int wkim_channel_delete(wkim_node *n, wkim_slice channel_id, uint8_t channel_type,
                                 int purge, wkim_queue *q, void *user);

enum wkim_list { WKIM_LIST_SUBSCRIBER = 1, WKIM_LIST_ALLOW = 2, WKIM_LIST_DENY = 3 };
enum wkim_list_op {
    WKIM_LIST_ADD = 1,
    WKIM_LIST_REMOVE = 2,
    WKIM_LIST_SET = 3,  /* empty first, then add */
    WKIM_LIST_CLEAR = 4
};
/* Durable when answered, conversations of the uids included.  Blank uids are
 * WKIM_EINVAL. */
WKIM_API int wkim_channel_list_change(wkim_node *n, int list, int op, wkim_slice channel_id,
                                      uint8_t channel_type, const wkim_slice *uids, size_t n_uids,
                                      wkim_queue *q, void *user);
/* Strings: uids ascending after `after`, at most limit (0: all within the answer limit); string
 * numbers: 0 row id, 1 created_ms, 2 updated_ms. NUMBER_MORE. */
WKIM_API int wkim_channel_list_get(wkim_node *n, int list, wkim_slice channel_id,
                                   uint8_t channel_type, wkim_slice after, uint32_t limit,
                                   wkim_queue *q, void *user);
/* Receiver lists in memory of channels that were sent to: string 0 is JSON rows ("," between) of
 * {key, channel_id, channel_type, uid_count, uids, slot_ids, made_ms, used_ms, uses, version}, at
 * most 10000 uids each.  By key (may be empty) and stored channel id (empty: every channel).
 * drop 1: they leave memory instead, the answer is empty. */
WKIM_API int wkim_channel_tags(wkim_node *n, wkim_slice key, wkim_slice channel_id,
                               uint8_t channel_type, int drop, wkim_queue *q, void *user);

#ifdef __cplusplus
}
#endif
#endif
