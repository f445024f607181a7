#include "base/cursor.h"

uint64_t wk_cursor_varint(struct wk_cursor *c)
{
    uint64_t v = 0;

    if (wk_cursor_left(c) && c->p[0] < 0x80 && !c->bad) /* nearly all lengths */
        return *c->p++;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t b = wk_cursor_u8(c);
        if (c->bad)
            return 0;
        /* The tenth byte has room for one bit only. */
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
    c->bad = true;
    return 0;
}

wkim_slice wk_cursor_str16(struct wk_cursor *c)
{
    const size_t n = wk_cursor_u16(c);

    return wk_cursor_bytes(c, n);
}

wkim_slice wk_cursor_str(struct wk_cursor *c)
{
    const uint64_t n = wk_cursor_varint(c);

    if (n > SIZE_MAX) {
        c->bad = true;
        return (wkim_slice){ NULL, 0 };
    }
    return wk_cursor_bytes(c, (size_t)n);
}

wkim_slice wk_cursor_rest(struct wk_cursor *c)
{
    return wk_cursor_bytes(c, wk_cursor_left(c));
}
