/* Commands (messages with WKIM_FLAG_SYNC_ONCE) for users who were away.  Call rules: node.h. */
#ifndef WKIM_COMMAND_H
#define WKIM_COMMAND_H

#include <wkim/node.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Messages: the commands of all channels of the uid that are not acknowledged, oldest first in each
 * channel, at most limit (0: 200).  What is handed out is remembered durably. */
WKIM_API int wkim_command_sync(wkim_node *n, wkim_slice uid, uint32_t limit, wkim_queue *q,
                               void *user);
/* Acknowledge what a sync handed out: the one whose last (or highest) message_seq is
 * last_message_seq, else the newest.  Durable before it answers. */
WKIM_API int wkim_command_ack(wkim_node *n, wkim_slice uid, uint64_t last_message_seq,
                              wkim_queue *q, void *user);
/* From now on (bind 1) uid gets the stored commands of the channel whether it is a member or not;
 * 0: no more, unless it is a receiver of the channel when the next one is sent. */
WKIM_API int wkim_command_bind(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                               uint8_t channel_type, int bind, wkim_queue *q, void *user);

#ifdef __cplusplus
}
#endif
#endif
