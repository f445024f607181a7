/* What a WebSocket client may send, in any pieces: the same verdict at the same place as byte by
 * byte, and behind the request no frame passes that has no mask. */
#include "listen/ws_look.h"

#include "base/error.h"

struct seen {
    enum wk_ws_verdict verdict;
    size_t at;    /* bytes gone over when it came */
    size_t frame; /* where the last frame began */
};

static struct seen look(const uint8_t *p, size_t n, size_t step)
{
    struct wk_ws_look l = { 0 };
    struct seen s = { WK_WS_FINE, n, n };

    for (size_t i = 0; i < n; i += step) {
        size_t part = n - i < step ? n - i : step, frame;

        WK_ASSERT(l.at > WK_WS_LOOK_HEADERS || wk_ws_look_request(&l, p + i, part) <= part);
        s.verdict = wk_ws_look(&l, p + i, part, &frame);
        WK_ASSERT(frame <= part);
        if (frame < part)
            s.frame = i + frame;
        if (s.verdict != WK_WS_FINE) {
            s.at = i;
            return s;
        }
    }
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t step;
    struct seen bytes, pieces;

    if (size == 0)
        return 0;
    step = 1 + data[0];
    bytes = look(data + 1, size - 1, 1);
    pieces = look(data + 1, size - 1, step);
    WK_ASSERT(bytes.verdict == pieces.verdict && bytes.frame == pieces.frame);
    WK_ASSERT(bytes.at / step == pieces.at / step || bytes.verdict == WK_WS_FINE);
    if (bytes.verdict == WK_WS_UNMASKED)
        WK_ASSERT(!(data[1 + bytes.at] & 0x80) && bytes.frame + 1 == bytes.at);
    return 0;
}
