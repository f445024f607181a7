#include "base/cursor.h"

/* n big-endian bytes as a number; n <= 8. */
static uint64_t take_be(struct wk_cursor *c, size_t n)
{
    const wkim_slice s = wk_cursor_bytes(c, n);
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++)
        v = (v << 8) | s.p[i];
    return v;
}

uint8_t wk_cursor_u8(struct wk_cursor *c)
{
    return (uint8_t)take_be(c, 1);
}

uint16_t wk_cursor_u16(struct wk_cursor *c)
{
    return (uint16_t)take_be(c, 2);
}

uint32_t wk_cursor_u32(struct wk_cursor *c)
{
    return (uint32_t)take_be(c, 4);
}

uint64_t wk_cursor_u64(struct wk_cursor *c)
{
    return take_be(c, 8);
}

uint64_t wk_cursor_varint(struct wk_cursor *c)
{
    uint64_t v = 0;

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
