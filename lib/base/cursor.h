/* Bounded reader.  Reading past the end sets `bad` and yields zeros / empty slices, so that a
 * decoder may check once at its end.  Slices are borrowed from the input. */
#ifndef WK_BASE_CURSOR_H
#define WK_BASE_CURSOR_H
#include "base/slice.h"

struct wk_cursor {
    const uint8_t *p, *end;
    bool bad;
};
static inline struct wk_cursor wk_cursor(wkim_slice in)
{
    return (struct wk_cursor){ in.p, in.p ? in.p + in.n : in.p, false };
}
static inline size_t wk_cursor_left(const struct wk_cursor *c) { return (size_t)(c->end - c->p); }
static inline wkim_slice wk_cursor_bytes(struct wk_cursor *c, size_t n)
{
    if (c->bad || wk_cursor_left(c) < n) {
        c->bad = true;
        return (wkim_slice){ NULL, 0 };
    }
    wkim_slice s = { c->p, n };
    c->p += n;
    return s;
}
uint8_t wk_cursor_u8(struct wk_cursor *c);
uint16_t wk_cursor_u16(struct wk_cursor *c);
uint32_t wk_cursor_u32(struct wk_cursor *c);
uint64_t wk_cursor_u64(struct wk_cursor *c);
uint64_t wk_cursor_varint(struct wk_cursor *c);
wkim_slice wk_cursor_str16(struct wk_cursor *c); /* u16 length + bytes */
wkim_slice wk_cursor_str(struct wk_cursor *c);   /* varint length + bytes */
wkim_slice wk_cursor_rest(struct wk_cursor *c);
#endif
