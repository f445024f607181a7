/* Rows of /connz: sorting, cutting and writing them; /varz?show=conn shows the same rows. */
#ifndef WK_HTTP_API_CONNZ_H
#define WK_HTTP_API_CONNZ_H

#include "http/jsonbuf.h"
#include "http/request.h"

#define WK_CONNZ_LIMIT 20

/* The rows of a wkim_node_connections answer, sorted by one of sort_keys in connz.c (unknown: id).
 * Owned: json_decref; NULL when the answer is none. */
json_t *wk_connz_rows(const wkim_reply *reply, wkim_slice sort);
/* Keep `limit` rows from `offset`. */
void wk_connz_cut(json_t *rows, size_t offset, size_t limit);
/* Without the members that only /connz shows. */
void wk_connz_strip(json_t *rows);
void wk_connz_put(struct wk_jsonbuf *b, const json_t *rows);
int wk_connz_is_self(struct wk_req *r, uint64_t node_id);

#endif
