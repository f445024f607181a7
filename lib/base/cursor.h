/* Bounded reader.  Reading past the end sets `bad` and yields zeros / empty slices, so that a
 * decoder may check once at its end.  Slices are borrowed from the input. */
#ifndef WK_BASE_CURSOR_H
#define WK_BASE_CURSOR_H
#include <endian.h>
#include <string.h>
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
/* Big-endian numbers; here and not in cursor.c because every message is read some twenty times. */
static inline uint8_t wk_cursor_u8(struct wk_cursor *c)
{
    const wkim_slice s = wk_cursor_bytes(c, 1);
    return s.p ? s.p[0] : 0;
}
static inline uint16_t wk_cursor_u16(struct wk_cursor *c)
{
    const wkim_slice s = wk_cursor_bytes(c, 2);
    return (uint16_t)(s.p ? s.p[0] << 8 | s.p[1] : 0);
}
static inline uint32_t wk_cursor_u32(struct wk_cursor *c)
{
    const wkim_slice s = wk_cursor_bytes(c, 4);
    uint32_t v;
    if (!s.p)
        return 0;
    memcpy(&v, s.p, sizeof(v));
    return be32toh(v);
}
static inline uint64_t wk_cursor_u64(struct wk_cursor *c)
{
    const wkim_slice s = wk_cursor_bytes(c, 8);
    uint64_t v;
    if (!s.p)
        return 0;
    memcpy(&v, s.p, sizeof(v));
    return be64toh(v);
}
uint64_t wk_cursor_varint(struct wk_cursor *c);
wkim_slice wk_cursor_str16(struct wk_cursor *c); /* u16 length + bytes */
wkim_slice wk_cursor_str(struct wk_cursor *c);   /* varint length + bytes */
wkim_slice wk_cursor_rest(struct wk_cursor *c);
#endif
