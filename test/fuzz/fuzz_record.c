/* Any bytes as a message record: refused, or encoded again to the same bytes. */
#include "base/error.h"
#include "proto/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wk_record r;
    if (wk_record_decode(&r, wk_slice(data, size)))
        return 0;
    struct wk_buf out = WK_BUF_INIT;
    wk_record_encode(&out, &r);
    WK_ASSERT(!out.oom && out.n == wk_record_size(&r));
    WK_ASSERT(wk_slice_eq(wk_buf_slice(&out), wk_slice(data, size)));
    wk_record_patch(out.p, 1, 2);
    WK_ASSERT(wk_record_decode(&r, wk_buf_slice(&out)) == WKIM_OK);
    WK_ASSERT(r.message_seq == 1 && r.timestamp_ms == 2);
    wk_buf_fini(&out);
    return 0;
}
