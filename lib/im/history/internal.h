/* Inside im/history only. */
#ifndef WK_IM_HISTORY_INTERNAL_H
#define WK_IM_HISTORY_INTERNAL_H
#include "im/history/history.h"

/* each() for every message that a request of IM_MESSAGE_GET names; `over`: also those
 * whose time is over. */
int im_history_each(struct im_slot *is, wkim_slice in, bool over,
                    int (*each)(void *arg, wkim_slice record), void *arg);
/* keeper_look.c: one look at the store, on a reader thread: what is to be proposed. */
struct im_look {
    struct wk_store *store;
    uint32_t slot;
    const struct im_options *opt;
    uint64_t now_ms;        /* wall clock */
    bool behind;            /* this channel, else from the start; afterwards where it stopped */
    uint8_t cursor_type;
    struct wk_buf cursor;
    struct wk_buf out;      /* repeated (u16 op, str request) */
    uint64_t erase, over;   /* messages in it */
    bool more;              /* the look stopped before its end */
    int rc;
};
void im_look_erase(struct im_look *l); /* rows below floors */
void im_look_pass(struct im_look *l);  /* what limits and time limits say */
void im_look_fini(struct im_look *l);
#endif
