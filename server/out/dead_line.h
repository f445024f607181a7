/* One line of a file of dead letters. */
#ifndef WK_SERVER_OUT_DEAD_LINE_H
#define WK_SERVER_OUT_DEAD_LINE_H

#include "out/dead.h"

#define WK_DEAD_HEAD_MAX 256 /* bytes before the body */
#define WK_DEAD_TAIL "}\n"   /* behind it */

/* What stands before the body; its length, or -1. */
int wk_dead_head_put(char out[WK_DEAD_HEAD_MAX], uint64_t id, uint64_t time_s,
                     const wkim_hook_request *r);
/* Reads it; `head` ends with a NUL, the body need not be there.  Where the body starts, 0: not such
 * a line.  out->bytes and out->marked stay as they are. */
size_t wk_dead_head_get(const char *head, struct wk_dead_item *out);

#endif
