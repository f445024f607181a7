#include "http/jsonbuf.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 512u

void wk_jsonbuf_init(struct wk_jsonbuf *b)
{
    *b = (struct wk_jsonbuf){0};
}

void wk_jsonbuf_fini(struct wk_jsonbuf *b)
{
    free(b->p);
    wk_jsonbuf_init(b);
}

char *wk_jsonbuf_room(struct wk_jsonbuf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (b->cap - b->n < n) {
        size_t cap = b->cap ? b->cap : FIRST_CAP;

        while (cap - b->n < n) {
            if (cap > SIZE_MAX / 4) {
                b->failed = 1;
                return NULL;
            }
            cap *= 2;
        }
        char *p = realloc(b->p, cap);

        if (!p) {
            b->failed = 1;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void wk_jsonbuf_used(struct wk_jsonbuf *b, const char *end)
{
    b->n = (size_t)(end - b->p);
}

void wk_jsonbuf_raw(struct wk_jsonbuf *b, const char *text, size_t n)
{
    char *p = wk_jsonbuf_room(b, n);

    if (!p || n == 0)
        return;
    memcpy(p, text, n);
    b->n += n;
}

void wk_jsonbuf_lit(struct wk_jsonbuf *b, const char *text)
{
    wk_jsonbuf_raw(b, text, strlen(text));
}

void wk_jsonbuf_char(struct wk_jsonbuf *b, char c)
{
    wk_jsonbuf_raw(b, &c, 1);
}

void wk_jsonbuf_i64(struct wk_jsonbuf *b, int64_t v)
{
    char *p = wk_jsonbuf_room(b, WK_JSON_I64_MAX);

    if (p)
        wk_jsonbuf_used(b, wk_json_put_i64(p, v));
}

void wk_jsonbuf_u64(struct wk_jsonbuf *b, uint64_t v)
{
    char *p = wk_jsonbuf_room(b, WK_JSON_I64_MAX);

    if (p)
        wk_jsonbuf_used(b, wk_json_put_u64(p, v));
}

void wk_jsonbuf_str(struct wk_jsonbuf *b, wkim_slice s)
{
    char *p = wk_jsonbuf_room(b, WK_JSON_STR_MAX(s.n));

    if (p)
        wk_jsonbuf_used(b, wk_json_put_str(p, s));
}

void wk_jsonbuf_cstr(struct wk_jsonbuf *b, const char *s)
{
    wk_jsonbuf_str(b, (wkim_slice){(const uint8_t *)s, strlen(s)});
}

void wk_jsonbuf_lit_u64(struct wk_jsonbuf *b, const char *before, uint64_t v)
{
    wk_jsonbuf_lit(b, before);
    wk_jsonbuf_u64(b, v);
}

static void member(struct wk_jsonbuf *b, const char *name)
{
    wk_jsonbuf_lit(b, ",\"");
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_lit(b, "\":");
}

void wk_jsonbuf_member_u64(struct wk_jsonbuf *b, const char *name, uint64_t v)
{
    member(b, name);
    wk_jsonbuf_u64(b, v);
}

void wk_jsonbuf_member_cstr(struct wk_jsonbuf *b, const char *name, const char *v)
{
    member(b, name);
    wk_jsonbuf_cstr(b, v);
}

void wk_jsonbuf_chop(struct wk_jsonbuf *b, char c)
{
    if (b->n && b->p[b->n - 1] == c)
        b->n--;
}

char *wk_json_put_u64(char *p, uint64_t v)
{
    char tmp[WK_JSON_I64_MAX];
    size_t i = sizeof(tmp);

    do {
        tmp[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    memcpy(p, tmp + i, sizeof(tmp) - i);
    return p + (sizeof(tmp) - i);
}

char *wk_json_put_i64(char *p, int64_t v)
{
    if (v >= 0)
        return wk_json_put_u64(p, (uint64_t)v);
    *p++ = '-';
    return wk_json_put_u64(p, (uint64_t)0 - (uint64_t)v);
}

/* High bit of each byte of w that may not be copied as it is: control, quote, backslash, non-ASCII.
 */
static uint64_t special_bytes(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = w ^ (ones * '"'), slash = w ^ (ones * '\\');

    return (w | (w - ones * 0x20) | ((quote - ones) & ~quote) | ((slash - ones) & ~slash)) & highs;
}

size_t wk_jsonbuf_utf8(const uint8_t *s, size_t left)
{
    static const uint8_t low[4] = {0, 0x80, 0xA0, 0x90};
    uint8_t c = s[0];
    size_t n = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    uint8_t min = 0x80, max = 0xBF;

    if (c < 0xC2 || c > 0xF4 || n > left)
        return 0;
    if (c == 0xE0 || c == 0xF0)
        min = low[n - 1];
    if (c == 0xED)
        max = 0x9F;
    if (c == 0xF4)
        max = 0x8F;
    if (s[1] < min || s[1] > max)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    }
    return n;
}

static char *put_escape(char *p, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";

    *p++ = '\\';
    switch (c) {
    case '"':
    case '\\':
        *p++ = (char)c;
        return p;
    case '\n':
        *p++ = 'n';
        return p;
    case '\r':
        *p++ = 'r';
        return p;
    case '\t':
        *p++ = 't';
        return p;
    default:
        memcpy(p, "u00", 3);
        p[3] = hex[c >> 4];
        p[4] = hex[c & 15];
        return p + 5;
    }
}

char *wk_json_put_str(char *p, wkim_slice s)
{
    size_t i = 0;

    *p++ = '"';
    while (i < s.n) {
        uint64_t w;

        if (s.n - i >= sizeof(w)) {
            memcpy(&w, s.p + i, sizeof(w));
            if (!special_bytes(w)) {
                memcpy(p, &w, sizeof(w));
                p += sizeof(w);
                i += sizeof(w);
                continue;
            }
        }
        uint8_t c = s.p[i];

        if (c < 0x20 || c == '"' || c == '\\') {
            p = put_escape(p, c);
            i++;
        } else if (c < 0x80) {
            *p++ = (char)c;
            i++;
        } else {
            size_t n = wk_jsonbuf_utf8(s.p + i, s.n - i);

            memcpy(p, n ? (const char *)s.p + i : "\xEF\xBF\xBD", n ? n : 3);
            p += n ? n : 3;
            i += n ? n : 1;
        }
    }
    *p++ = '"';
    return p;
}

char *wk_json_put_base64(char *p, wkim_slice s)
{
    static const char abc[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i = 0;

    *p++ = '"';
    for (; s.n - i >= 3; i += 3) {
        uint32_t v = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];

        p[0] = abc[v >> 18];
        p[1] = abc[v >> 12 & 63];
        p[2] = abc[v >> 6 & 63];
        p[3] = abc[v & 63];
        p += 4;
    }
    if (i < s.n) {
        uint32_t v = (uint32_t)s.p[i] << 16;

        if (s.n - i == 2)
            v |= (uint32_t)s.p[i + 1] << 8;
        p[0] = abc[v >> 18];
        p[1] = abc[v >> 12 & 63];
        p[2] = s.n - i == 2 ? abc[v >> 6 & 63] : '=';
        p[3] = '=';
        p += 4;
    }
    *p++ = '"';
    return p;
}
