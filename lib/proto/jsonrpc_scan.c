/* Where an object ends, looking at each byte once however the stream is cut. */
#include "proto/jsonrpc_scan.h"
#include "base/error.h"
#include "base/limits.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* From inside a string to behind its closing quote, or to the end of the bytes. */
static void scan_string(struct wk_json_scan *sc, wkim_slice in)
{
    while (sc->at < in.n) {
        const uint8_t c = in.p[sc->at++];
        if (sc->escaped) {
            sc->escaped = false;
        } else if (c == '\\') {
            sc->escaped = true;
        } else if (c == '"') {
            sc->in_string = false;
            return;
        }
    }
}

/* > 0: bytes up to the end of the object; 0: not whole yet; WKIM_ETOOBIG: nested too deep. */
static wkim_ssize scan_object(struct wk_json_scan *sc, wkim_slice in)
{
    while (sc->at < in.n) {
        if (sc->in_string) {
            scan_string(sc, in);
            continue;
        }
        const uint8_t c = in.p[sc->at++];
        if (c == '"') {
            sc->in_string = true;
        } else if (c == '{' || c == '[') {
            if (++sc->depth > WK_JSON_DEPTH_MAX)
                return WKIM_ETOOBIG;
        } else if ((c == '}' || c == ']') && --sc->depth == 0) {
            return (wkim_ssize)sc->at;
        }
    }
    return 0;
}

wkim_ssize wk_json_scan_next(struct wk_json_scan *sc, wkim_slice in, size_t len_max)
{
    if (!sc->started) {
        while (sc->at < in.n && is_blank(in.p[sc->at]))
            sc->at++;
        if (sc->at == in.n)
            return 0;
        if (in.p[sc->at] != '{')
            return WKIM_EPROTO;
        sc->started = true;
    }
    const wkim_slice limited = wk_slice(in.p, in.n < len_max ? in.n : len_max);
    const wkim_ssize end = scan_object(sc, limited);
    if (end == 0 && limited.n < in.n)
        return WKIM_ETOOBIG;
    return end;
}

size_t wk_json_extent(wkim_slice in)
{
    struct wk_json_scan sc = { 0 };
    const wkim_ssize end = wk_json_scan_next(&sc, in, in.n);
    return end > 0 ? (size_t)end : 0;
}
