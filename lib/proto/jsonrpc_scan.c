/* Where an object ends, looking at each byte once however the stream is cut. */
#include "proto/jsonrpc_scan.h"
#include "base/error.h"
#include "base/limits.h"

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum expect { KEY_OR_END, KEY, COLON, VALUE, VALUE_OR_END, COMMA_OR_END, IN_SCALAR };
_Static_assert(WK_JSON_DEPTH_MAX <= 32, "one bit per level");

static bool in_object(const struct wk_json_scan *sc)
{
    return sc->objects >> (sc->depth - 1) & 1;
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

static int open_bracket(struct wk_json_scan *sc, bool object)
{
    if (++sc->depth > WK_JSON_DEPTH_MAX)
        return WKIM_ETOOBIG;
    sc->objects = (sc->objects & ~(1u << (sc->depth - 1))) | (uint32_t)object << (sc->depth - 1);
    sc->expect = object ? KEY_OR_END : VALUE_OR_END;
    return WKIM_OK;
}

static bool may_close(const struct wk_json_scan *sc, bool object)
{
    return in_object(sc) == object &&
           (sc->expect == COMMA_OR_END || sc->expect == (object ? KEY_OR_END : VALUE_OR_END));
}

/* A byte outside of strings and blanks.  What numbers and words are made of is looked at when the
 * object is whole; here it is enough that no bracket is waited for in vain. */
static int scan_byte(struct wk_json_scan *sc, uint8_t c)
{
    const bool value = sc->expect == VALUE || sc->expect == VALUE_OR_END;

    switch (c) {
    case '"':
        if (!value && sc->expect != KEY && sc->expect != KEY_OR_END)
            return WKIM_EPROTO;
        sc->expect = value ? COMMA_OR_END : COLON;
        sc->in_string = true;
        return WKIM_OK;
    case '{':
    case '[':
        if (sc->depth > 0 && !value)
            return WKIM_EPROTO;
        return open_bracket(sc, c == '{');
    case '}':
    case ']':
        if (!may_close(sc, c == '}'))
            return WKIM_EPROTO;
        sc->depth--;
        sc->expect = COMMA_OR_END;
        return WKIM_OK;
    case ':':
        if (sc->expect != COLON)
            return WKIM_EPROTO;
        sc->expect = VALUE;
        return WKIM_OK;
    case ',':
        if (sc->expect != COMMA_OR_END)
            return WKIM_EPROTO;
        sc->expect = in_object(sc) ? KEY : VALUE;
        return WKIM_OK;
    default:
        if (!value)
            return WKIM_EPROTO;
        sc->expect = IN_SCALAR;
        return WKIM_OK;
    }
}

static bool ends_scalar(uint8_t c)
{
    return is_blank(c) || c == ',' || c == '}' || c == ']' || c == ':' || c == '{' || c == '[' ||
           c == '"';
}

/* > 0: bytes up to the end of the object; 0: not whole yet; WKIM_ETOOBIG: nested too deep;
 * WKIM_EPROTO: it can never become one. */
static wkim_ssize scan_object(struct wk_json_scan *sc, wkim_slice in)
{
    while (sc->at < in.n) {
        if (sc->in_string) {
            scan_string(sc, in);
            continue;
        }
        const uint8_t c = in.p[sc->at];
        if (sc->expect == IN_SCALAR && ends_scalar(c))
            sc->expect = COMMA_OR_END;
        if (sc->expect != IN_SCALAR && !is_blank(c)) {
            const int rc = scan_byte(sc, c);
            if (rc != WKIM_OK)
                return rc;
        }
        sc->at++;
        if (sc->depth == 0)
            return (wkim_ssize)sc->at;
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
