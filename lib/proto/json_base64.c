#include "proto/json_text.h"
#include "base/error.h"
#include "proto/jsonrpc.h"

static int sextet(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

wkim_ssize wk_json_base64_decode(uint8_t *out, wkim_slice text)
{
    uint32_t bits = 0;
    unsigned have = 0, pads = 0;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        if (c == '\r' || c == '\n')
            continue;
        const int v = c == '=' ? 0 : sextet(c);
        if (v < 0 || (pads && c != '=') || (c == '=' && have < 2))
            return WKIM_EPROTO;
        pads += c == '=';
        bits = bits << 6 | (uint32_t)v;
        if (++have < 4)
            continue;
        out[n++] = (uint8_t)(bits >> 16);
        if (pads < 2)
            out[n++] = (uint8_t)(bits >> 8);
        if (pads < 1)
            out[n++] = (uint8_t)bits;
        have = 0;
        bits = 0;
    }
    /* A complete group ends with have == 0; '=' at the start of a group was refused above. */
    return have == 0 ? (wkim_ssize)n : WKIM_EPROTO;
}

void wk_json_base64_encode(uint8_t *out, wkim_slice in)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t i = 0;
    for (; i + 3 <= in.n; i += 3) {
        const uint32_t v = (uint32_t)in.p[i] << 16 | (uint32_t)in.p[i + 1] << 8 | in.p[i + 2];
        *out++ = (uint8_t)alphabet[v >> 18];
        *out++ = (uint8_t)alphabet[v >> 12 & 63];
        *out++ = (uint8_t)alphabet[v >> 6 & 63];
        *out++ = (uint8_t)alphabet[v & 63];
    }
    const size_t rest = in.n - i;
    if (rest == 0)
        return;
    const uint32_t v = (uint32_t)in.p[i] << 16 | (rest == 2 ? (uint32_t)in.p[i + 1] << 8 : 0);
    *out++ = (uint8_t)alphabet[v >> 18];
    *out++ = (uint8_t)alphabet[v >> 12 & 63];
    *out++ = rest == 2 ? (uint8_t)alphabet[v >> 6 & 63] : '=';
    *out++ = '=';
}

void wk_json_base64(struct wk_buf *out, wkim_slice s)
{
    const size_t n = WK_JSON_BASE64_LEN(s.n);

    if (wk_buf_reserve(out, n) != WKIM_OK) {
        out->oom = true;
        return;
    }
    wk_json_base64_encode(out->p + out->n, s);
    out->n += n;
}
