/* Conversations of one user on their way into an answer: rows of the uid's slot, then what the
 * channels' slots know of each.  Private to the room; used by sync.c and list.c. */
#ifndef WK_IM_CONVERSATION_VIEW_H
#define WK_IM_CONVERSATION_VIEW_H
#include "cluster/scatter.h"
#include "im/conversation/conversation.h"

struct im_conv_item {
    uint32_t key_off, key_len; /* stored id in im_conv_view.text */
    uint32_t slot;             /* of the channel */
    uint8_t type;
    bool listed, omit;         /* omit: its channel is not asked */
    bool unresolved;           /* the channel's slot did not answer (partial views) */
    struct wk_row_conversation row;
    uint64_t from;             /* messages from this number on */
    uint64_t last, own, floor, holes; /* of IM_HEADS */
    uint64_t n_recents;
    wkim_slice recents;        /* borrowed from im_conv_view.heads */
    uint64_t newest_seq, newest_ms;
    wkim_slice newest_no;
};

struct im_conv_view {
    struct im_slot *is;
    wkim_slice uid;            /* borrowed */
    uint32_t count;            /* messages per channel */
    size_t max;                /* rows */
    bool partial;              /* a slot that fails leaves its items unresolved */
    struct wk_buf text;
    struct im_conv_item *items;
    size_t n, cap;
    int rc;
    struct wk_scatter *heads;
    void (*done)(struct im_conv_view *v);
};

void im_conv_view_fini(struct im_conv_view *v);
/* 0: taken, 1: there are max already, < 0 WKIM_ENOMEM: as a scan's callback returns. */
int im_conv_view_add(struct im_conv_view *v, const struct wk_channel_key *key,
                     const struct wk_row_conversation *row);
wkim_slice im_conv_view_id(const struct im_conv_view *v, const struct im_conv_item *it);
/* The pair with the system account is never shown. */
bool im_conv_view_hidden(const struct im_conv_view *v, const struct im_conv_item *it);
/* Ask the channels' slots; done() with rc set, at the earliest before this returns.  @shard */
void im_conv_view_ask(struct im_conv_view *v, void (*done)(struct im_conv_view *v));
/* Positions and newest messages as clients see them. */
void im_conv_view_row(const struct im_conv_view *v, const struct im_conv_item *it,
                      struct im_conv_row *out);
#endif
