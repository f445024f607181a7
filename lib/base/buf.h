/* Growable byte buffer.  A failed append leaves the buffer unchanged and sets `oom`, so that a
 * sequence of appends may be checked once at its end. */
#ifndef WK_BASE_BUF_H
#define WK_BASE_BUF_H
#include "base/slice.h"

struct wk_buf {
    uint8_t *p;
    size_t n, cap;
    bool oom;
};
#define WK_BUF_INIT { NULL, 0, 0, false }

void wk_buf_fini(struct wk_buf *b); /* frees the memory; the struct is empty and usable again */
int wk_buf_reserve(struct wk_buf *b, size_t extra); /* WKIM_OK or WKIM_ENOMEM */
void wk_buf_consume(struct wk_buf *b, size_t n);    /* drop n bytes from the front */
void wk_buf_clear(struct wk_buf *b);                /* n = 0, oom = false, memory kept */
/* Appends; all integers big-endian unless the name says le. */
void wk_buf_bytes(struct wk_buf *b, const void *p, size_t n);
void wk_buf_u8(struct wk_buf *b, uint8_t v);
void wk_buf_u16(struct wk_buf *b, uint16_t v);
void wk_buf_u32(struct wk_buf *b, uint32_t v);
void wk_buf_u64(struct wk_buf *b, uint64_t v);
void wk_buf_varint(struct wk_buf *b, uint64_t v);   /* LEB128, at most 10 bytes */
void wk_buf_str16(struct wk_buf *b, wkim_slice s);  /* u16 length + bytes; n > 65535 sets oom */
void wk_buf_str(struct wk_buf *b, wkim_slice s);    /* varint length + bytes */
void wk_buf_decimal(struct wk_buf *b, uint64_t v);  /* its digits */
void wk_buf_printf(struct wk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline wkim_slice wk_buf_slice(const struct wk_buf *b) { return wk_slice(b->p, b->n); }
#endif
