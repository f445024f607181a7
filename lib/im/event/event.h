/* Events on messages: what the other parts call.  @shard of the slot unless a line says so. */
#ifndef WK_IM_EVENT_EVENT_H
#define WK_IM_EVENT_EVENT_H
#include "im/internal.h"

/* event.c */
int im_events_open(struct im_slot *is, uint64_t seed);
void im_events_close(struct im_slot *is);
enum wk_call_result im_event_handle(struct im_slot *is, struct wk_call *c);
enum wk_call_result im_event_sync_handle(struct im_slot *is, struct wk_call *c);
int im_event_put_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
int im_event_chunks_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in);
/* purge.c: delete what came of events for a message; for all of a channel */
int im_events_purge(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key,
                    wkim_slice client_msg_no);
void im_events_purge_channel(struct im_slot *is, struct wk_txn *txn,
                             const struct wk_channel_key *key);
void im_events_round_end(struct im_slot *is);
/* stream.c: put what came of events behind the stream messages of an answer: from the store
 * on a reader thread, then (memory) what only the slot's shard knows. */
int im_events_annotate(struct im_slot *is, struct wk_buf *records, bool basic, bool memory);
/* of IM_HEADS, from memory */
int im_events_annotate_heads(struct im_slot *is, struct wk_buf *answer);
#endif
