/* Any bytes as the start of a proxied connection.  What is taken is a prefix, the source is a text,
 * and every shorter input is refused or waits: the cut may not change the result. */
#include "base/error.h"
#include "proto/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wk_proxy_header h, part;
    const wkim_ssize n = wk_proxy_decode(&h, wk_slice(data, size));

    WK_ASSERT(n <= (wkim_ssize)size && n <= WK_PROXY_BYTES_MAX);
    if (n <= 0) {
        WK_ASSERT(n == 0 || n == WKIM_EPROTO || n == WKIM_ENOTFOUND);
        WK_ASSERT(!h.has_source && (n != 0 || size < WK_PROXY_BYTES_MAX));
        return 0;
    }
    WK_ASSERT(!h.has_source || memchr(h.source, 0, sizeof(h.source)));
    WK_ASSERT(!h.has_source || strchr(h.source, ':'));
    for (size_t cut = 0; cut < (size_t)n; cut++)
        WK_ASSERT(wk_proxy_decode(&part, wk_slice(data, cut)) == 0);
    WK_ASSERT(wk_proxy_decode(&part, wk_slice(data, (size_t)n)) == n);
    WK_ASSERT(part.has_source == h.has_source && strcmp(part.source, h.source) == 0);
    return 0;
}
