/* gzip of receiver lists, by zlib. */
#include "hook/hook.h"
#include <zlib.h>
#include "base/error.h"
#include "base/mem.h"

#define GZIP_WINDOW (15 + 16) /* the largest window, with a gzip header */

/* Both counts are zlib's own, far from overflowing. */
static void *z_alloc(void *opaque, unsigned n, unsigned size)
{
    (void)opaque;
    return wk_calloc(n, size);
}

static void z_free(void *opaque, void *p)
{
    (void)opaque;
    wk_free(p);
}

int wk_gzip(struct wk_buf *out, wkim_slice in)
{
    z_stream z = { .zalloc = z_alloc, .zfree = z_free };

    if (in.n > UINT32_MAX / 2)
        return WKIM_ETOOBIG;
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MAX_MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return WKIM_ENOMEM;
    const size_t room = deflateBound(&z, in.n);
    int rc = wk_buf_reserve(out, room);
    if (rc == WKIM_OK) {
        z.next_in = (z_const Bytef *)(uintptr_t)in.p;
        z.avail_in = (unsigned)in.n;
        z.next_out = out->p + out->n;
        z.avail_out = (unsigned)room;
        WK_ASSERT(deflate(&z, Z_FINISH) == Z_STREAM_END); /* the bound is zlib's promise */
        out->n += z.total_out;
    }
    deflateEnd(&z);
    return rc;
}
