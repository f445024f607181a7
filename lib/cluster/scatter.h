/* One question to several slots at once: a request per slot, one end when every slot has answered.
 * The answers are kept until free, so that slices of them may be borrowed.
 *
 * Threads: filled and sent by one thread; done() runs on `origin`, or with origin NULL on the shard
 * of whichever slot answers last. */
#ifndef WK_CLUSTER_SCATTER_H
#define WK_CLUSTER_SCATTER_H
#include "base/cursor.h"
#include "cluster/cluster.h"

struct wk_scatter;

int wk_scatter_new(struct wk_scatter **out, struct wk_cluster *c, struct wk_shard *origin);
void wk_scatter_free(struct wk_scatter *s); /* before send, or when done has run; NULL allowed */
/* The request to a slot, empty on first use; append to it.  Out of memory is told by the code. */
struct wk_buf *wk_scatter_request(struct wk_scatter *s, uint32_t slot);
/* done(user) runs once, at the earliest before this returns; it owns s. */
void wk_scatter_send(struct wk_scatter *s, uint16_t op, void (*done)(struct wk_scatter *s),
                     void *user);
void *wk_scatter_user(const struct wk_scatter *s);
int wk_scatter_code(const struct wk_scatter *s);                  /* the first failure by slot */
int wk_scatter_code_of(const struct wk_scatter *s, uint32_t slot); /* WKIM_OK also when not asked */
/* Where the answer of a slot is read on; NULL when it was not asked. */
struct wk_cursor *wk_scatter_answer(struct wk_scatter *s, uint32_t slot);
/* Append the answers of all slots in their order, `between` them (0: nothing). */
void wk_scatter_join(const struct wk_scatter *s, uint8_t between, struct wk_buf *out);
#endif
