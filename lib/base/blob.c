#include "base/blob.h"
#include "base/error.h"
#include "base/mem.h"

struct wk_blob *wk_blob_new(size_t n)
{
    if (n > UINT32_MAX)
        return NULL;
    struct wk_blob *b = wk_malloc(sizeof(*b) + n);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->n = (uint32_t)n;
    return b;
}

struct wk_blob *wk_blob_copy(const void *p, size_t n)
{
    struct wk_blob *b = wk_blob_new(n);

    if (b && n > 0)
        memcpy(b->p, p, n);
    return b;
}

struct wk_blob *wk_blob_ref(struct wk_blob *b)
{
    const uint32_t before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);

    WK_ASSERT(before > 0 && before < UINT32_MAX);
    return b;
}

void wk_blob_unref(struct wk_blob *b)
{
    if (!b)
        return;
    /* Release what this thread read; acquire what the others did, before the memory goes. */
    const uint32_t before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    WK_ASSERT(before > 0);
    if (before == 1)
        wk_free(b);
}
