/* Inside im/message only. */
#ifndef WK_IM_MESSAGE_INTERNAL_H
#define WK_IM_MESSAGE_INTERNAL_H
#include "im/message/message.h"

/* permission.c: WKIM_REASON_SUCCESS or the refusal; known NULL: only what is stored counts */
struct im_known;
uint8_t im_permit_channel(struct im_slot *is, struct im_channel *ch, const struct wk_record *r,
                          bool api, const struct im_known *known);
uint8_t im_permit_peer(struct im_slot *is, wkim_slice from, wkim_slice to,
                       const struct im_known *known);
/* Who is asked for no membership, and who for no ban: types 3, 6, 10, 11. */
bool im_open_type(uint8_t type);
/* message.c */
/* The same once everything is known; may be IM_SEND_WAITS. */
enum wk_call_result im_send_peer_admit(struct im_slot *is, struct wk_call *c,
                                       const struct im_known *known);
enum wk_call_result im_send_admit(struct im_slot *is, struct wk_call *c,
                                  const struct im_known *known);
/* offline.c: one list per message, filled by `deliveries` deliveries, each of which says done. */
struct im_offline;
int im_offline_new(struct im_offline **out, struct im_slot *is, const struct im_offline_row *row,
                   struct wk_blob *blob, const struct wk_record *r, bool list, uint32_t deliveries);
/* Nobody can be looked up: lost, or there are no receivers. */
void im_offline_none(struct im_slot *is, const struct im_offline_row *row, bool lost);
void im_offline_note(struct im_offline *o, uint32_t shard, wkim_slice uid, const struct im_user *u);
void im_offline_done(struct im_offline *o);
void im_offline_skipped(struct im_offline *o, uint32_t shard); /* nobody looked there; done */
/* fanout.c */
/* ch has a long list, and too many messages wait for such: no more of them now.  told: who the
 * data source says it is; NULL: who is stored. */
bool im_fanout_full(const struct im *im, const struct im_channel *ch,
                    const struct im_members *told);
/* row: of msg.offline; ticket 0 none.  quiet: only to see who is away. */
void im_fanout(struct im_slot *is, struct im_channel *ch, struct wk_blob *blob,
               const struct im_send_head *h, const struct im_offline_row *row, bool quiet);
/* source.c */
#define IM_SEND_WAITS ((enum wk_call_result)-1) /* of the two below: an answer is missing */
struct im_known {                  /* what the data source said of one SEND */
    struct im_source *source;      /* NULL: the first look, nothing waits yet */
    struct im_members *lists[WK_LIST_KINDS];
    bool members;                  /* lists count instead of the stored ones */
    uint32_t failed;               /* bits 1 << im_source_cmd: no answer was to be had */
    uint32_t flags;                /* enum im_source_flag */
};
/* IM_SEND and IM_SEND_PEER of a node with a data source: at once, or when it has answered. */
enum wk_call_result im_source_admit(struct im_slot *is, struct wk_call *c);
/* Whether the members have their conversations; else they are being made. */
bool im_source_settled(struct im_slot *is, struct im_channel *ch, const struct im_known *k);
/* Who gets messages of the channel, counted; NULL nobody or not known. */
struct im_members *im_source_receivers(struct im_slot *is, struct im_channel *ch);
bool im_source_owns(const struct im *im, uint8_t type); /* members come from the data source */
#endif
