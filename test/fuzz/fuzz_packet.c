/* Any bytes as frames: version from the first byte.  What is taken encodes again and decodes to the
 * same size; nothing is read outside the input. */
#include "base/error.h"
#include "base/limits.h"
#include "proto/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const uint8_t version = data[0] % 8;
    wkim_slice in = wk_slice(data + 1, size - 1);
    while (in.n) {
        struct wk_packet p, again;
        struct wkim_error err;
        const wkim_ssize n = wk_packet_decode(&p, in, version, WK_FRAME_BYTES_MAX, &err);
        if (n <= 0) {
            WK_ASSERT(n == 0 || err.code == n);
            WK_ASSERT(n != 0 || wk_frame_extent(in) > in.n);
            break;
        }
        WK_ASSERT((size_t)n <= in.n && wk_frame_extent(in) == (size_t)n);
        struct wk_buf out = WK_BUF_INIT;
        WK_ASSERT(wk_packet_encode(&out, &p, version) == WKIM_OK);
        WK_ASSERT(wk_packet_size(&p, version) == (wkim_ssize)out.n);
        WK_ASSERT(wk_packet_decode(&again, wk_buf_slice(&out), version, WK_FRAME_BYTES_MAX, NULL) ==
                  (wkim_ssize)out.n);
        struct wk_buf twice = WK_BUF_INIT;
        WK_ASSERT(wk_packet_encode(&twice, &again, version) == WKIM_OK);
        WK_ASSERT(wk_slice_eq(wk_buf_slice(&out), wk_buf_slice(&twice)));
        wk_buf_fini(&out);
        wk_buf_fini(&twice);
        in = wk_slice(in.p + n, in.n - (size_t)n);
    }
    return 0;
}
