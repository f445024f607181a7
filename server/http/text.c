#include "http/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

wkim_slice wk_text_slice(const char *s)
{
    return (wkim_slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

static int is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

wkim_slice wk_text_trim(wkim_slice s)
{
    while (s.n && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

int wk_text_blank(wkim_slice s)
{
    return wk_text_trim(s).n == 0;
}

int wk_text_same(wkim_slice a, wkim_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

int wk_text_equal(wkim_slice s, const char *t)
{
    return wk_text_same(s, wk_text_slice(t));
}

int wk_text_compare(wkim_slice a, wkim_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;

    return d ? d : (a.n > b.n) - (a.n < b.n);
}

int wk_text_special(wkim_slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] == '@' || id.p[i] == '#' || id.p[i] == '&')
            return 1;
    }
    return 0;
}

int wk_text_ends(wkim_slice s, const char *suffix)
{
    size_t n = strlen(suffix);

    return s.n >= n && memcmp(s.p + (s.n - n), suffix, n) == 0;
}

int wk_text_split(wkim_slice s, char c, wkim_slice *left, wkim_slice *right)
{
    const uint8_t *at = s.n ? memchr(s.p, c, s.n) : NULL;

    if (!at)
        return 0;
    *left = (wkim_slice){s.p, (size_t)(at - s.p)};
    *right = (wkim_slice){at + 1, s.n - left->n - 1};
    return 1;
}

int wk_text_u64(wkim_slice s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        unsigned digit = (unsigned)(s.p[i] - '0');

        if (v > (UINT64_MAX - digit) / 10)
            return 0;
        v = v * 10 + digit;
    }
    *out = v;
    return 1;
}

int wk_text_i64(wkim_slice s, int64_t *out)
{
    int negative = s.n && s.p[0] == '-';
    uint64_t v;

    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    if (!wk_text_u64(s, &v) || v > (uint64_t)INT64_MAX + (unsigned)negative)
        return 0;
    *out = negative ? (int64_t)((uint64_t)0 - v) : (int64_t)v;
    return 1;
}

static int all_digits(wkim_slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
    }
    return s.n > 0;
}

uint64_t wk_text_query_u64(wkim_slice s)
{
    uint64_t v = 0;

    if (!wk_text_u64(s, &v) && all_digits(s))
        return UINT64_MAX;
    return v;
}

int64_t wk_text_query_i64(wkim_slice s)
{
    int has_sign = s.n && (s.p[0] == '-' || s.p[0] == '+'), negative = has_sign && s.p[0] == '-';
    int64_t v = 0;

    if (s.n == 0)
        return 0;
    if (!wk_text_i64(s, &v) && all_digits((wkim_slice){s.p + has_sign, s.n - (size_t)has_sign}))
        return negative ? INT64_MIN : INT64_MAX;
    return v;
}

static int base64_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Offset of the next byte at or behind i that is no line end. */
static size_t skip_lines(wkim_slice s, size_t i)
{
    while (i < s.n && (s.p[i] == '\n' || s.p[i] == '\r'))
        i++;
    return i;
}

/* The padding at i after `have` (2 or 3) characters of a group: the offset behind all, or -1 -
 * offset. */
static wkim_ssize base64_padding(wkim_slice s, size_t i, size_t have)
{
    if (have < 2)
        return -1 - (wkim_ssize)i;
    for (; have < 4; have++) {
        i = skip_lines(s, i);
        if (i >= s.n || s.p[i] != '=')
            return -1 - (wkim_ssize)i;
        i++;
    }
    i = skip_lines(s, i);
    return i == s.n ? (wkim_ssize)i : -1 - (wkim_ssize)i;
}

wkim_ssize wk_text_base64(wkim_slice s, uint8_t *out)
{
    uint8_t *p = out;
    size_t i = 0;

    for (;;) {
        uint32_t v = 0;
        size_t have = 0;

        for (i = skip_lines(s, i); have < 4 && i < s.n && s.p[i] != '='; i = skip_lines(s, i + 1)) {
            int d = base64_value(s.p[i]);

            if (d < 0)
                return -1 - (wkim_ssize)i;
            v = v << 6 | (uint32_t)d;
            have++;
        }
        if (have == 0 && i == s.n)
            return (wkim_ssize)(p - out);
        if (have < 4) {
            wkim_ssize end = base64_padding(s, i, have);

            if (end < 0)
                return end;
            v <<= 6 * (4 - have);
        }
        *p++ = (uint8_t)(v >> 16);
        if (have > 2)
            *p++ = (uint8_t)(v >> 8 & 255);
        if (have > 3)
            *p++ = (uint8_t)(v & 255);
        if (have < 4)
            return (wkim_ssize)(p - out);
    }
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

wkim_ssize wk_text_unescape(wkim_slice s, int plus, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -1;
            out[n++] = (uint8_t)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = plus && s.p[i] == '+' ? ' ' : s.p[i];
        }
    }
    return (wkim_ssize)n;
}

void wk_text_uptime(uint64_t seconds, char out[32])
{
    unsigned long long d = seconds / 86400, h = seconds / 3600 % 24, m = seconds / 60 % 60;
    unsigned long long s = seconds % 60;

    if (d >= 365)
        snprintf(out, 32, "%lluy%llud%lluh%llum%llus", d / 365, d % 365, h, m, s);
    else if (d)
        snprintf(out, 32, "%llud%lluh%llum%llus", d, h, m, s);
    else if (h)
        snprintf(out, 32, "%lluh%llum%llus", h, m, s);
    else if (m)
        snprintf(out, 32, "%llum%llus", m, s);
    else
        snprintf(out, 32, "%llus", s);
}

void wk_text_time(uint64_t unix_ns, char out[40])
{
    time_t s = (time_t)(unix_ns / 1000000000u);
    struct tm tm;

    gmtime_r(&s, &tm);
    size_t n = strftime(out, 24, "%Y-%m-%dT%H:%M:%S", &tm);

    if (unix_ns % 1000000000u) {
        n += (size_t)snprintf(out + n, 40 - n, ".%09u", (unsigned)(unix_ns % 1000000000u));
        while (out[n - 1] == '0')
            n--;
    }
    out[n] = 'Z';
    out[n + 1] = 0;
}

int wk_text_same_secret(wkim_slice a, wkim_slice b)
{
    /* The secret b is walked once whatever a is; only its length can be learnt. */
    size_t differs = a.n ^ b.n;

    for (size_t i = 0; i < b.n; i++)
        differs |= (size_t)(uint8_t)(b.p[i] ^ (a.n ? a.p[i % a.n] : 0));
    return differs == 0;
}
