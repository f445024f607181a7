/* Effects in other slots: a durable row, written with the command that causes them, then calls,
 * then the row goes away.  They are repeated until every slot has answered, so they must be
 * idempotent.  @shard of the slot. */
#ifndef WK_IM_OUTBOX_H
#define WK_IM_OUTBOX_H
#include "im/internal.h"

/* Bits of an effect: the channel is a person, each uid means the pair with it; also the other
 * side. */
enum { IM_ENSURE_PAIR = 1, IM_ENSURE_OWNER = 2 };
enum im_effect { IM_EFFECT_ENSURE = 1, IM_EFFECT_REMOVE = 2 };
struct im_effect_spec {
    uint8_t kind;
    uint8_t bits;
    struct wk_channel_key key;
    uint64_t read_seq, now_ms;
};
/* Write the outbox row; uids: repeated str. */
void im_outbox_put(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                   const struct im_effect_spec *e, wkim_slice uids);
/* Run the effects of command `id` (call->stage: bit 0 the row id, bit 1 the row id + 0x8000); call
 * is finished when every other slot has answered. */
void im_outbox_start(struct im_slot *is, uint64_t id, struct wk_call *call);
int im_outbox_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in); /* IM_OUTBOX_DONE */
void im_outbox_recover(struct im_slot *is);
void im_outbox_drop_all(struct im_slot *is);
#endif
