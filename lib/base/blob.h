/* Immutable counted bytes shared between shards.  The count is atomic; the bytes may be written
 * only by the creator before the first ref leaves its thread. */
#ifndef WK_BASE_BLOB_H
#define WK_BASE_BLOB_H
#include <stdatomic.h>
#include "base/slice.h"

struct wk_blob {
    _Atomic uint32_t refs;
    uint32_t n;
    uint8_t p[];
};
struct wk_blob *wk_blob_new(size_t n);                  /* refs = 1, bytes undefined; NULL on oom */
struct wk_blob *wk_blob_copy(const void *p, size_t n);
struct wk_blob *wk_blob_ref(struct wk_blob *b);
void wk_blob_unref(struct wk_blob *b);                    /* NULL allowed */
static inline wkim_slice wk_blob_slice(const struct wk_blob *b)
{
    return b ? wk_slice(b->p, b->n) : wk_slice(NULL, 0);
}
#endif
