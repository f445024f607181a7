#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include "base/error.h"
#include "base/mem.h"

#define BUF_CAP_MIN 64

void wk_buf_fini(struct wk_buf *b)
{
    wk_free(b->p);
    *b = (struct wk_buf)WK_BUF_INIT;
}

int wk_buf_reserve(struct wk_buf *b, size_t extra)
{
    if (b->cap - b->n >= extra)
        return WKIM_OK;
    if (extra > (size_t)PTRDIFF_MAX - b->n)
        return WKIM_ENOMEM;

    const size_t need = b->n + extra;
    size_t cap = b->cap < BUF_CAP_MIN ? BUF_CAP_MIN : b->cap * 2;
    if (cap < need)
        cap = need;
    uint8_t *p = wk_realloc(b->p, cap);
    if (!p && cap > need) {
        cap = need;
        p = wk_realloc(b->p, cap);
    }
    if (!p)
        return WKIM_ENOMEM;
    b->p = p;
    b->cap = cap;
    return WKIM_OK;
}

/* Room for n bytes at the end, or NULL.  Once one append has failed all later ones are dropped, so
 * that what is in the buffer is always a prefix of what was meant. */
static uint8_t *grow(struct wk_buf *b, size_t n)
{
    if (b->oom)
        return NULL;
    if (wk_buf_reserve(b, n) != WKIM_OK) {
        b->oom = true;
        return NULL;
    }
    uint8_t *at = b->p + b->n;
    b->n += n;
    return at;
}

void wk_buf_consume(struct wk_buf *b, size_t n)
{
    WK_ASSERT(n <= b->n);
    b->n -= n;
    if (b->n > 0 && n > 0)
        memmove(b->p, b->p + n, b->n);
}

void wk_buf_clear(struct wk_buf *b)
{
    b->n = 0;
    b->oom = false;
}

void wk_buf_bytes(struct wk_buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *at = grow(b, n);
    if (at)
        memcpy(at, p, n);
}

void wk_buf_u8(struct wk_buf *b, uint8_t v)
{
    uint8_t *at = grow(b, 1);

    if (at)
        at[0] = v;
}

void wk_buf_u16(struct wk_buf *b, uint16_t v)
{
    uint8_t *at = grow(b, 2);

    if (!at)
        return;
    at[0] = (uint8_t)(v >> 8);
    at[1] = (uint8_t)v;
}

void wk_buf_u32(struct wk_buf *b, uint32_t v)
{
    uint8_t *at = grow(b, 4);

    if (!at)
        return;
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> (24 - 8 * i));
}

void wk_buf_u64(struct wk_buf *b, uint64_t v)
{
    uint8_t *at = grow(b, 8);

    if (!at)
        return;
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* Written to out (10 bytes); returns how many were used. */
static size_t varint_put(uint8_t *out, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        out[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    out[n++] = (uint8_t)v;
    return n;
}

void wk_buf_varint(struct wk_buf *b, uint64_t v)
{
    uint8_t tmp[10];

    wk_buf_bytes(b, tmp, varint_put(tmp, v));
}

/* Length and bytes go in together or not at all. */
static void length_and_bytes(struct wk_buf *b, const uint8_t *len, size_t len_n, wkim_slice s)
{
    if (s.n > (size_t)PTRDIFF_MAX - len_n) {
        b->oom = true;
        return;
    }
    uint8_t *at = grow(b, len_n + s.n);
    if (!at)
        return;
    memcpy(at, len, len_n);
    if (s.n > 0)
        memcpy(at + len_n, s.p, s.n);
}

void wk_buf_str16(struct wk_buf *b, wkim_slice s)
{
    if (s.n > UINT16_MAX) {
        b->oom = true;
        return;
    }
    const uint8_t len[2] = { (uint8_t)(s.n >> 8), (uint8_t)s.n };
    length_and_bytes(b, len, sizeof(len), s);
}

void wk_buf_str(struct wk_buf *b, wkim_slice s)
{
    uint8_t len[10];

    length_and_bytes(b, len, varint_put(len, s.n), s);
}

void wk_buf_decimal(struct wk_buf *b, uint64_t v)
{
    char text[20];
    size_t at = sizeof(text);

    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    wk_buf_bytes(b, text + at, sizeof(text) - at);
}

void wk_buf_printf(struct wk_buf *b, const char *fmt, ...)
{
    va_list ap, again;

    if (b->oom)
        return;
    va_start(ap, fmt);
    va_copy(again, ap);
    const size_t room = b->cap - b->n;
    const int n = vsnprintf(room ? (char *)b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < room) {
        b->n += (size_t)n;
    } else if (n < 0 || wk_buf_reserve(b, (size_t)n + 1) != WKIM_OK) {
        b->oom = true;
    } else {
        (void)vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}
