/* Lists of messages and conversations out of answers of the library. */
#ifndef WK_HTTP_REPLY_JSON_H
#define WK_HTTP_REPLY_JSON_H

#include "http/jsonbuf.h"

#include <jansson.h>
#include <wkim/queue.h>

/* All messages of the answer as an array. */
void wk_reply_json_messages(struct wk_jsonbuf *b, const wkim_reply *r);
/* All conversations of the answer as an array, each with its recent messages. */
void wk_reply_json_conversations(struct wk_jsonbuf *b, const wkim_reply *r);
/* All strings of the answer as an array; each stands behind `head`, and with `mid` its first number
 * stands behind that, then `tail`. */
void wk_reply_json_strings(struct wk_jsonbuf *b, const wkim_reply *r, const char *head,
                           const char *mid, const char *tail);

/* String 0 of an answer that holds JSON rows, as an array.  Owned: json_decref; NULL when the
 * answer is none, or without memory. */
json_t *wk_reply_json_rows(const wkim_reply *reply);

#endif
