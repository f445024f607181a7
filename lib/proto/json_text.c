#include "proto/json_text.h"
#include <errno.h>
#include <stdlib.h>
#include "base/cursor.h"
#include "base/error.h"

size_t wk_utf8_length(const uint8_t *p, size_t n)
{
    if (n == 0)
        return 0;
    const uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    const size_t len = c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (len == 0 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* Overlong forms, surrogates, and values above U+10FFFF. */
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

bool wk_json_key_eq(wkim_slice key, const char *name)
{
    if (key.n != strlen(name))
        return false;
    for (size_t i = 0; i < key.n; i++)
        if (lower(key.p[i]) != lower((uint8_t)name[i]))
            return false;
    return true;
}

/* Reading position in the text, and a writer that only counts while out == NULL. */
struct pass {
    const uint8_t *p, *end;
    uint8_t *out;
    size_t n;
    bool changed;
};

static void put(struct pass *s, const void *p, size_t n)
{
    if (s->out)
        memcpy(s->out + s->n, p, n);
    s->n += n;
}

static void take(struct pass *s, size_t n)
{
    put(s, s->p, n);
    s->p += n;
}

static void replace(struct pass *s, size_t n, const char *text)
{
    put(s, text, strlen(text));
    s->p += n;
    s->changed = true;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Value of the four hex digits after "\u" at p, or -1. */
static int unit(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int v = 0;
    for (int i = 2; i < 6; i++) {
        const uint8_t c = lower(p[i]);
        if (c >= '0' && c <= '9')
            v = v << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            v = v << 4 | (c - 'a' + 10);
        else
            return -1;
    }
    return v;
}

static void pass_escape(struct pass *s)
{
    const int v = unit(s->p, s->end);
    if (v < 0xd800 || v > 0xdfff) {
        take(s, s->end - s->p >= 2 ? 2 : 1);
        return;
    }
    const int low = v < 0xdc00 ? unit(s->p + 6, s->end) : -1;
    if (low >= 0xdc00 && low <= 0xdfff)
        take(s, 12);
    else
        replace(s, 6, "\\ufffd");
}

/* s->p is at the opening quote; afterwards behind the closing one. */
static void pass_string(struct pass *s)
{
    take(s, 1);
    while (s->p < s->end && *s->p != '"') {
        const uint8_t *run = s->p;
        while (run < s->end && *run != '"' && *run != '\\' && *run < 0x80)
            run++;
        take(s, (size_t)(run - s->p));
        if (s->p == s->end || *s->p == '"')
            break;
        if (*s->p == '\\') {
            pass_escape(s);
            continue;
        }
        const size_t len = wk_utf8_length(s->p, (size_t)(s->end - s->p));
        if (len)
            take(s, len);
        else
            replace(s, 1, "\xef\xbf\xbd");
    }
    if (s->p < s->end)
        take(s, 1);
}

static bool digits(const uint8_t **p, const uint8_t *end)
{
    const uint8_t *start = *p;
    while (*p < end && **p >= '0' && **p <= '9')
        (*p)++;
    return *p > start;
}

/* Well-formed number that the int64 type cannot hold: the parser would refuse it or lose digits. */
static bool number_needs_replacing(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    if (p < end && *p == '-')
        p++;
    const uint8_t *first = p;
    if (!digits(&p, end) || (*first == '0' && p - first > 1))
        return false;
    if (p == end) {
        char text[24];
        const size_t n = (size_t)(end - start);
        if (n >= sizeof(text))
            return true;
        memcpy(text, start, n);
        text[n] = '\0';
        errno = 0;
        (void)strtoll(text, NULL, 10);
        return errno == ERANGE;
    }
    if (*p == '.') {
        p++;
        if (!digits(&p, end))
            return false;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        if (!digits(&p, end))
            return false;
    }
    return p == end;
}

static void pass_number(struct pass *s)
{
    const uint8_t *e = s->p;
    while (e < s->end && ((*e >= '0' && *e <= '9') || *e == '-' || *e == '+' || *e == '.' ||
                          *e == 'e' || *e == 'E'))
        e++;
    if (number_needs_replacing(s->p, e))
        replace(s, (size_t)(e - s->p), "0.5");
    else
        take(s, (size_t)(e - s->p));
}

/* Where params.payload stands: only two levels of keys are followed. */
struct finder {
    unsigned depth;
    bool in_params;
    const uint8_t *start; /* of the value that is being passed, or NULL */
    wkim_slice payload;
};

static void finder_key(struct finder *f, wkim_slice key, const struct pass *s)
{
    const uint8_t *p = s->p;
    while (p < s->end && is_blank(*p))
        p++;
    if (p == s->end || *p != ':')
        return;
    if (f->depth == 1)
        f->in_params = wk_json_key_eq(key, "params");
    else if (f->depth == 2 && f->in_params && wk_json_key_eq(key, "payload"))
        f->start = p + 1;
}

static void finder_value_end(struct finder *f, const uint8_t *end)
{
    if (!f->start || f->depth != 2)
        return;
    while (f->start < end && is_blank(*f->start))
        f->start++;
    while (end > f->start && is_blank(end[-1]))
        end--;
    f->payload = wk_slice(f->start, (size_t)(end - f->start));
    f->start = NULL;
}

static void repair_pass(struct pass *s, struct finder *f)
{
    while (s->p < s->end) {
        const uint8_t c = *s->p;
        if (c == '"') {
            const uint8_t *start = s->p + 1;
            pass_string(s);
            if (f->depth <= 2 && s->p > start)
                finder_key(f, wk_slice(start, (size_t)(s->p - 1 - start)), s);
            continue;
        }
        if (c == '-' || (c >= '0' && c <= '9')) {
            pass_number(s);
            continue;
        }
        if (c == ',' || c == '}' || c == ']')
            finder_value_end(f, s->p);
        if (c == '{' || c == '[')
            f->depth++;
        else if ((c == '}' || c == ']') && f->depth)
            f->depth--;
        take(s, 1);
    }
}

int wk_json_repair(struct wk_json_text *out, wkim_slice object, struct wk_arena *arena)
{
    struct pass s = { object.p, object.p + object.n, NULL, 0, false };
    struct finder f = { 0 };
    repair_pass(&s, &f);
    out->text = object;
    out->payload = f.payload;
    if (!s.changed)
        return WKIM_OK;
    struct pass copy = { object.p, object.p + object.n, wk_arena_alloc(arena, s.n), 0, false };
    if (!copy.out)
        return WKIM_ENOMEM;
    f = (struct finder){ 0 };
    repair_pass(&copy, &f);
    WK_ASSERT(copy.n == s.n);
    out->text = wk_slice(copy.out, copy.n);
    return WKIM_OK;
}

static void compact_pass(struct pass *s)
{
    while (s->p < s->end) {
        if (*s->p == '"')
            pass_string(s);
        else if (is_blank(*s->p))
            s->p++;
        else
            take(s, 1);
    }
}

int wk_json_compact(wkim_slice *out, wkim_slice raw, struct wk_arena *arena)
{
    struct pass count = { raw.p, raw.p + raw.n, NULL, 0, false };
    compact_pass(&count);
    struct pass s = { raw.p, raw.p + raw.n, wk_arena_alloc(arena, count.n), 0, false };
    if (!s.out)
        return WKIM_ENOMEM;
    compact_pass(&s);
    *out = wk_slice(s.out, s.n);
    return WKIM_OK;
}
