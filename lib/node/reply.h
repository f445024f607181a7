/* One answer: the bytes of the slot's answer plus an index into them. */
#ifndef WK_NODE_REPLY_H
#define WK_NODE_REPLY_H
#include "node/node.h"

struct wk_reply_row { wkim_slice text; int64_t number[3]; };

struct wk_reply_conv {
    wkim_conversation c;
    uint32_t first; /* of its recents in messages */
};

struct wkim_reply {
    struct wkim_reply *next;
    int kind, code, reason;
    void *user;
    char text[WKIM_NUMBERS * 16];
    int64_t numbers[WKIM_NUMBERS];
    struct wk_buf bytes;
    struct wk_reply_row *rows;
    size_t n_rows;
    wkim_message *messages;
    size_t n_messages;
    struct wk_reply_conv *convs;
    size_t n_convs;
    struct wk_arena extra; /* strings added one by one */
    void (*release)(struct wkim_reply *r); /* of `released`, when the reply is freed */
    void *released;
};
#endif
