#include "listen/ws_look.h"

#include <string.h>

#define MASK_BIT 0x80
#define MASK_BYTES 4

static enum wk_ws_verdict refuse(struct wk_ws_look *l, enum wk_ws_verdict why)
{
    l->at = WK_WS_LOOK_REFUSED;
    return why;
}

static enum wk_ws_verdict method(struct wk_ws_look *l, uint8_t c)
{
    static const char *const known[] = {
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"
    };

    if (c != ' ') {
        if (l->n == WK_WS_METHOD_MAX)
            return refuse(l, WK_WS_NOT_HTTP);
        l->method[l->n++] = (char)c;
        /* Bytes of another protocol need not ever bring a space. */
        return c >= 'A' && c <= 'Z' ? WK_WS_FINE : refuse(l, WK_WS_NOT_HTTP);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (strlen(known[i]) == l->n && memcmp(known[i], l->method, l->n) == 0) {
            l->at = WK_WS_LOOK_HEADERS;
            l->n = 0;
            return WK_WS_FINE;
        }
    return refuse(l, WK_WS_NOT_HTTP);
}

/* A line ends with LF, with or without CR, as libwebsockets has it. */
static enum wk_ws_verdict headers(struct wk_ws_look *l, uint8_t c)
{
    if (++l->bytes > WK_WS_REQUEST_BYTES_MAX)
        return refuse(l, WK_WS_TOO_LONG);
    if (c == '\n' && l->n) {
        l->at = WK_WS_LOOK_FRAME;
        l->n = 0;
    } else if (c != '\r') {
        l->n = c == '\n';
    }
    return WK_WS_FINE;
}

static enum wk_ws_verdict length(struct wk_ws_look *l, uint8_t c)
{
    uint8_t n = c & 0x7f;

    if (!(c & MASK_BIT))
        return refuse(l, WK_WS_UNMASKED);
    l->n = n == 127 ? 8 : n == 126 ? 2 : 0;
    l->skip = l->n ? 0 : MASK_BYTES + n;
    l->at = WK_WS_LOOK_SKIP;
    return WK_WS_FINE;
}

/* Returns how many bytes it went over. */
static size_t skip(struct wk_ws_look *l, const uint8_t *p, size_t n)
{
    size_t over = 1;

    if (l->n) {
        l->skip = l->skip << 8 | *p;
        /* Lengths with the highest bit set are refused by the library. */
        if (--l->n == 0)
            l->skip = (l->skip & INT64_MAX) + MASK_BYTES;
        return 1;
    }
    over = l->skip < n ? (size_t)l->skip : n;
    l->skip -= over;
    if (l->skip == 0)
        l->at = WK_WS_LOOK_FRAME;
    return over;
}

enum wk_ws_verdict wk_ws_look(struct wk_ws_look *l, const uint8_t *p, size_t n, size_t *frame)
{
    enum wk_ws_verdict v = WK_WS_FINE;

    *frame = n;
    for (size_t i = 0; i < n && v == WK_WS_FINE;) {
        switch ((enum wk_ws_look_at)l->at) {
        case WK_WS_LOOK_METHOD: v = method(l, p[i++]); break;
        case WK_WS_LOOK_HEADERS: v = headers(l, p[i++]); break;
        case WK_WS_LOOK_FRAME:
            l->at = WK_WS_LOOK_LENGTH;
            *frame = i++;
            break;
        case WK_WS_LOOK_LENGTH: v = length(l, p[i++]); break;
        case WK_WS_LOOK_SKIP: i += skip(l, p + i, n - i); break;
        case WK_WS_LOOK_REFUSED: return WK_WS_FINE;
        }
    }
    return v;
}

size_t wk_ws_look_request(const struct wk_ws_look *l, const uint8_t *p, size_t n)
{
    struct wk_ws_look copy = *l;
    size_t i = 0, frame;

    while (i < n && copy.at <= WK_WS_LOOK_HEADERS)
        (void)wk_ws_look(&copy, p + i++, 1, &frame);
    return i;
}
