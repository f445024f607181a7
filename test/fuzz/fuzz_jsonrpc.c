/* Any bytes as JSON-RPC: a first part of the length in the first byte, then the whole.  The cut may
 * not change the result, and every answer is one whole object. */
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/codec.h"
#include "proto/jsonrpc.h"

static void answer(const struct wk_json_in *in)
{
    struct wk_buf out = WK_BUF_INIT;
    if (in->kind == WK_JSON_ERROR) {
        WK_ASSERT(wk_json_error(&out, in->has_id, in->id, in->code, in->text) == WKIM_OK);
        WK_ASSERT(wk_json_extent(wk_buf_slice(&out)) == out.n);
    } else if (in->packet.type == WK_PACKET_SEND) {
        const struct wk_send *s = &in->packet.u.send;
        const struct wk_packet recv = { .type = WK_PACKET_RECV,
                                        .flags = in->packet.flags,
                                        .u.recv = { .setting = s->setting,
                                                    .from_uid = in->id,
                                                    .channel_id = s->channel_id,
                                                    .client_msg_no = s->client_msg_no,
                                                    .topic = s->topic,
                                                    .payload = s->payload } };
        WK_ASSERT(wk_json_encode(&out, &recv, false, in->id) == WKIM_OK);
        WK_ASSERT(wk_json_extent(wk_buf_slice(&out)) == out.n);
    }
    wk_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const wkim_slice in = wk_slice(data + 1, size - 1);
    const size_t cut = data[0] < in.n ? data[0] : in.n;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    struct wk_json_scan whole = { 0 }, parts = { 0 };
    struct wk_json_in one, two;
    const wkim_ssize n = wk_json_decode(&one, in, &whole, 65536, &a);
    wkim_ssize m = wk_json_decode(&two, wk_slice(in.p, cut), &parts, 65536, &a);
    if (m == 0)
        m = wk_json_decode(&two, in, &parts, 65536, &a);
    if (n > 0) {
        WK_ASSERT((size_t)n <= in.n);
        WK_ASSERT(m > 0 && one.kind == two.kind && one.code == two.code);
        answer(&one);
    }
    wk_arena_fini(&a);
    return 0;
}
