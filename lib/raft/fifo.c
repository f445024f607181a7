#include "raft/internal.h"
#include "base/mem.h"

int wk_raft_fifo_reserve(struct wk_raft_fifo *f, size_t extra, size_t size)
{
    WK_ASSERT(size > 0);
    WK_ASSERT(f->head + f->n <= f->cap);
    if (f->cap - f->head - f->n >= extra)
        return WKIM_OK;
    if (f->n + extra <= f->cap / 2) {
        /* Half of the room is free, so that the move is paid by as many appends. */
        memmove(f->p, (char *)f->p + f->head * size, f->n * size);
        f->head = 0;
        return WKIM_OK;
    }
    size_t cap = f->cap < 4 ? 4 : f->cap;
    while (cap < f->n + extra) {
        if (cap > SIZE_MAX / 2 / size)
            return WKIM_ENOMEM;
        cap *= 2;
    }
    if (cap == f->cap)
        cap *= 2;
    if (cap > SIZE_MAX / size)
        return WKIM_ENOMEM;
    void *p = wk_malloc(cap * size);
    if (!p)
        return WKIM_ENOMEM;
    if (f->n)
        memcpy(p, (char *)f->p + f->head * size, f->n * size);
    wk_free(f->p);
    f->p = p;
    f->head = 0;
    f->cap = cap;
    return WKIM_OK;
}

void wk_raft_fifo_fini(struct wk_raft_fifo *f)
{
    wk_free(f->p);
    *f = (struct wk_raft_fifo){ 0 };
}
