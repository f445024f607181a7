#include "base/logger.h"
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LOG_FIELDS_BYTES_MAX 2048

/* True when text ends inside a quoted value. */
static bool quote_open(const char *text, size_t n)
{
    bool open = false;

    for (size_t i = 0; i < n; i++) {
        if (open && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            open = !open;
    }
    return open;
}

/* Mark fields that were too long for the buffer, keeping the quotes balanced. */
static void mark_cut(char *fields, size_t cap)
{
    size_t n = cap - 1 - 4;
    const bool open = quote_open(fields, n);

    /* A lone backslash before the dots would read as an escape. */
    while (n > 0 && fields[n - 1] == '\\')
        n--;
    memcpy(fields + n, open ? "...\"" : "...", open ? 5 : 4);
}

void wk_log(const struct wk_log *log, int level, const char *room, const char *event,
            const char *fmt, ...)
{
    char fields[LOG_FIELDS_BYTES_MAX];

    if (!log || !log->sink || level < atomic_load_explicit(&log->level, memory_order_relaxed))
        return;
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(fields, sizeof(fields), fmt, ap);
    va_end(ap);
    if (n < 0)
        fields[0] = '\0';
    else if ((size_t)n >= sizeof(fields))
        mark_cut(fields, sizeof(fields));
    log->sink(log->user, level, room, event, fields);
}

/* ---- quoting ---------------------------------------- */

/* Length of the well-formed UTF-8 character of more than one byte at p, 0 when there is none.
 * Control characters U+0080..009F, surrogates and overlong forms are not accepted. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    const size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;

    if (p[0] < 0xc2 || p[0] > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xc2 && p[1] < 0xa0) || (p[0] == 0xe0 && p[1] < 0xa0) ||
        (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

/* One output unit for the input at p: its text in unit (not terminated), the input bytes it stands
 * for in *taken.  Returns the length of the text. */
static size_t unit_of(char unit[4], const uint8_t *p, size_t n, size_t *taken)
{
    static const char hex[] = "0123456789abcdef";

    *taken = 1;
    if (p[0] >= 0x80) {
        const size_t len = utf8_len(p, n);
        if (len > 0) {
            memcpy(unit, p, len);
            *taken = len;
            return len;
        }
    } else if (p[0] == '"' || p[0] == '\\') {
        unit[0] = '\\';
        unit[1] = (char)p[0];
        return 2;
    } else if (p[0] == '\n' || p[0] == '\r' || p[0] == '\t') {
        unit[0] = '\\';
        unit[1] = p[0] == '\n' ? 'n' : p[0] == '\r' ? 'r' : 't';
        return 2;
    } else if (p[0] >= 0x20 && p[0] != 0x7f) {
        unit[0] = (char)p[0];
        return 1;
    }
    unit[0] = '\\';
    unit[1] = 'x';
    unit[2] = hex[p[0] >> 4];
    unit[3] = hex[p[0] & 15];
    return 4;
}

static bool needs_quotes(const uint8_t *p, size_t n)
{
    size_t i = 0;

    while (i < n) {
        const size_t len = p[i] < 0x80 ? 1 : utf8_len(p + i, n - i);
        if (len == 0 || p[i] <= ' ' || p[i] == 0x7f || p[i] == '"' || p[i] == '\\' || p[i] == '=')
            return true;
        i += len;
    }
    return n == 0;
}

const char *wk_log_quote(char *out, size_t cap, const void *p, size_t n)
{
    static const char cut[] = "\"...\"";
    const uint8_t *in = p;

    if (cap < sizeof(cut)) {
        if (cap > 0) {
            memcpy(out, cut, cap - 1);
            out[cap - 1] = '\0';
        }
        return cap > 0 ? out : "";
    }
    if (n < cap && !needs_quotes(in, n)) {
        memcpy(out, in, n);
        out[n] = '\0';
        return out;
    }

    size_t at = 1, safe = 1, taken;
    out[0] = '"';
    for (size_t i = 0; i < n; i += taken) {
        char unit[4];
        const size_t len = unit_of(unit, in + i, n - i, &taken);
        if (at + len > cap - 2) {
            at = safe;
            memcpy(out + at, "...", 3);
            at += 3;
            break;
        }
        memcpy(out + at, unit, len);
        at += len;
        if (at <= cap - 5)
            safe = at;
    }
    out[at++] = '"';
    out[at] = '\0';
    return out;
}
