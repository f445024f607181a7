#include "config/config.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/error.h"

#define SHOWN 96 /* bytes of a bad value that a message repeats */

static int refuse(char *reason, size_t cap, const char *text, const char *why)
{
    (void)snprintf(reason, cap, "\"%.*s\" %s", SHOWN, text, why);
    return WKIM_ECONFIG;
}

static int parse_bool(const char *text, int64_t *num, char *reason, size_t cap)
{
    static const char *const yes[] = {"true", "1", "t", "yes", "on"};
    static const char *const no[] = {"false", "0", "f", "no", "off"};

    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (strcasecmp(text, yes[i]) == 0) {
            *num = 1;
            return WKIM_OK;
        }
        if (strcasecmp(text, no[i]) == 0) {
            *num = 0;
            return WKIM_OK;
        }
    }
    return refuse(reason, cap, text, "is not a bool (write true or false)");
}

/* Digits at *p; false when there are none or they do not fit. */
static bool digits(const char **p, int64_t *out)
{
    const char *s = *p;
    int64_t v = 0;

    if (!isdigit((unsigned char)*s))
        return false;
    for (; isdigit((unsigned char)*s); s++) {
        if (__builtin_mul_overflow(v, (int64_t)10, &v) ||
            __builtin_add_overflow(v, (int64_t)(*s - '0'), &v))
            return false;
    }
    *p = s;
    *out = v;
    return true;
}

static bool size_unit(const char *s, int64_t *factor)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1},          {"b", 1},        {"k", 1 << 10},  {"kb", 1 << 10},
                 {"kib", 1 << 10}, {"m", 1 << 20},  {"mb", 1 << 20}, {"mib", 1 << 20},
                 {"g", 1 << 30},   {"gb", 1 << 30}, {"gib", 1 << 30}};

    while (*s == ' ')
        s++;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcasecmp(s, units[i].name) == 0) {
            *factor = units[i].factor;
            return true;
        }
    }
    return false;
}

static int parse_number(const char *text, int64_t *num, bool size, char *reason, size_t cap)
{
    const char *s = text;
    bool negative = *s == '-';
    int64_t v, factor;

    if (*s == '-' || *s == '+')
        s++;
    if (!digits(&s, &v) || !size_unit(s, &factor) || __builtin_mul_overflow(v, factor, &v))
        return refuse(reason, cap, text,
                      size ? "is not a size (for example 1048576, 64KB or 16MiB)"
                           : "is not a whole number (for example 100)");
    *num = negative ? -v : v;
    return WKIM_OK;
}

/* Nanoseconds of the unit at *p, which is moved behind it; 0: no unit. */
static int64_t duration_unit(const char **p)
{
    static const struct {
        const char *name;
        int64_t ns;
    } units[] = {{"ns", 1},
                 {"us", 1000},
                 {"\xc2\xb5s", 1000},
                 {"\xce\xbcs", 1000},
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", 60000000000},
                 {"h", 3600000000000},
                 {"d", 86400000000000},
                 {"w", 604800000000000}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        size_t n = strlen(units[i].name);

        if (strncmp(*p, units[i].name, n) == 0) {
            *p += n;
            return units[i].ns;
        }
    }
    return 0;
}

/* One "1.5h" at *p added to *total (ns). */
static bool duration_part(const char **p, int64_t *total)
{
    int64_t whole = 0, fraction = 0, scale = 1, unit;
    bool seen = false;

    if (isdigit((unsigned char)**p)) {
        if (!digits(p, &whole))
            return false;
        seen = true;
    }
    if (**p == '.') {
        (*p)++;
        for (; isdigit((unsigned char)**p); (*p)++, seen = true) {
            if (scale < 1000000) { /* finer digits are below a millisecond of a week */
                fraction = fraction * 10 + (**p - '0');
                scale *= 10;
            }
        }
    }
    unit = seen ? duration_unit(p) : 0;
    if (unit == 0)
        return false;
    /* Dividing first keeps the fraction within 64 bits for the long units. */
    fraction = unit >= scale ? unit / scale * fraction : unit * fraction / scale;
    return !__builtin_mul_overflow(whole, unit, &whole) &&
           !__builtin_add_overflow(whole, fraction, &whole) &&
           !__builtin_add_overflow(*total, whole, total);
}

static int parse_duration(const char *text, int64_t *num, char *reason, size_t cap)
{
    static const char form[] = "is not a duration (for example 90s, 5m or 1d12h)";
    const char *s = text;
    int64_t ns = 0;
    bool negative = *s == '-';

    if (*s == '-' || *s == '+')
        s++;
    if (*s && strspn(s, "0123456789") == strlen(s)) {
        if (!digits(&s, &ns))
            return refuse(reason, cap, text, form);
        if (!negative && ns > 0 && ns < 1000000) {
            (void)snprintf(reason, cap, "\"%.*s\" has no unit (write %.*ss, %.*sms \xe2\x80\xa6)",
                           SHOWN, text, 20, text, 20, text);
            return WKIM_ECONFIG;
        }
    } else {
        do {
            if (!duration_part(&s, &ns))
                return refuse(reason, cap, text, form);
        } while (*s);
    }
    if (negative && ns != 0)
        return refuse(reason, cap, text, "is negative, a duration must not be");
    *num = ns / 1000000 + (ns % 1000000 != 0);
    return WKIM_OK;
}

static int parse_choice(const struct wk_config_key *k, const char *text, int64_t *num, char *reason,
                        size_t cap)
{
    char words[128];
    size_t n = 0;
    int64_t index = 0;

    for (const char *w = k->extra; *w; index++) {
        size_t len = strcspn(w, " ");

        if (strlen(text) == len && strncasecmp(text, w, len) == 0) {
            *num = index;
            return WKIM_OK;
        }
        n += (size_t)snprintf(words + n, sizeof(words) - n, "%s%.*s", index ? ", " : "", (int)len,
                              w);
        WK_ASSERT(n < sizeof(words));
        w += len + (w[len] == ' ');
    }
    (void)snprintf(reason, cap, "\"%.*s\" is not one of %s", SHOWN, text, words);
    return WKIM_ECONFIG;
}

static int parse_level(const char *text, int64_t *num, char *reason, size_t cap)
{
    static const char *const words[] = {"", "debug", "info", "warn", "error"};

    if (text[0] >= '0' && text[0] <= '4' && text[1] == '\0') {
        *num = text[0] - '0';
        return WKIM_OK;
    }
    for (int i = 1; i < 5; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *num = i;
            return WKIM_OK;
        }
    }
    return refuse(reason, cap, text, "is not one of 0, 1, 2, 3, 4, debug, info, warn, error");
}

int wk_config_hostport(const char *text, char *host, size_t cap, unsigned *port)
{
    const char *colon = strrchr(text, ':');
    const char *end = colon;
    const char *start = text;
    const char *digit;
    int64_t value;

    if (!colon)
        return -1;
    if (*text == '[') {
        if (colon == text || colon[-1] != ']')
            return -1;
        start++;
        end--;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return -1; /* an IPv6 address needs brackets */
    }
    for (const char *p = start; p < end; p++)
        if (isspace((unsigned char)*p) || *p == '/' || *p == '[' || *p == ']' || *p == '@')
            return -1;
    digit = colon + 1;
    if (!digits(&digit, &value) || *digit || value > 65535 || (size_t)(end - start) >= cap)
        return -1;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = (unsigned)value;
    return 0;
}

/* The text behind an optional "scheme://", NULL when another scheme is given. */
static const char *behind_scheme(const char *text, const char *scheme)
{
    const char *sep = strstr(text, "://");
    size_t n = strlen(scheme);

    if (!sep)
        return text;
    if ((size_t)(sep - text) != n || strncasecmp(text, scheme, n) != 0)
        return NULL;
    return sep + 3;
}

static int parse_listen(const struct wk_config_key *k, const char *text, char *reason, size_t cap)
{
    const char *rest = behind_scheme(text, k->extra);
    char host[256];
    unsigned port;

    if (rest && wk_config_hostport(rest, host, sizeof(host), &port) == 0)
        return WKIM_OK;
    (void)snprintf(reason, cap, "\"%.*s\" is not %s://host:port", SHOWN, text, k->extra);
    return WKIM_ECONFIG;
}

/* What follows the host of a URL: nothing, or a port. */
static bool url_port(const char *text)
{
    int64_t port;

    if (*text != ':' || text[1] == '\0' || strchr("/?#", text[1]))
        return *text == '\0' || strchr(":/?#", *text);
    text++;
    return digits(&text, &port) && port > 0 && port <= 65535 &&
           (*text == '\0' || strchr("/?#", *text));
}

static int parse_url(const char *text, char *reason, size_t cap)
{
    const char *host = strncasecmp(text, "http://", 7) == 0    ? text + 7
                       : strncasecmp(text, "https://", 8) == 0 ? text + 8
                                                               : "";
    const char *at = memchr(host, '@', strcspn(host, "/?#"));
    size_t n;

    host = at ? at + 1 : host;
    n = *host == '[' ? strcspn(host, "]/?#") : strcspn(host, ":/?#");
    n += host[n] == ']';
    if (n && !strpbrk(text, " \t\r\n") && url_port(host + n))
        return WKIM_OK;
    at = strrchr(text, '@'); /* a password before it is not repeated */
    (void)snprintf(reason, cap,
                   "\"%s%.*s\" is not a URL (for example http://127.0.0.1:8090/hook)",
                   at ? "***" : "", SHOWN, at ? at : text);
    return WKIM_ECONFIG;
}

/* A bound in the words of the key's kind. */
static const char *bound(const struct wk_config_key *k, int64_t v, char out[32])
{
    if (k->kind == WK_CONFIG_DURATION)
        (void)snprintf(out, 32, v % 1000 == 0 ? "%llds" : "%lldms",
                       (long long)(v % 1000 == 0 ? v / 1000 : v));
    else
        (void)snprintf(out, 32, "%lld", (long long)v);
    return out;
}

static int check_range(const struct wk_config_key *k, const char *text, int64_t v, char *reason,
                       size_t cap)
{
    char lo[32], hi[32];

    if (v == 0 && (k->flags & WK_CONFIG_ZERO_REFUSED)) {
        (void)snprintf(reason, cap, "must be %s..%s", bound(k, k->min, lo), bound(k, k->max, hi));
        return WKIM_ECONFIG;
    }
    if (v == 0 || (v >= k->min && (k->max == 0 || v <= k->max)))
        return WKIM_OK;
    if (k->max)
        (void)snprintf(reason, cap, "%.*s is out of range %s..%s", SHOWN, text,
                       bound(k, k->min, lo), bound(k, k->max, hi));
    else
        (void)snprintf(reason, cap, "%.*s is too small, at least %s", SHOWN, text,
                       bound(k, k->min, lo));
    return WKIM_ECONFIG;
}

int wk_config_value_parse(const struct wk_config_key *k, const char *text, int64_t *num,
                          char *reason, size_t cap)
{
    char host[256];
    unsigned port;
    int rc = WKIM_OK;

    *num = 0;
    if (*text == '\0')
        return WKIM_OK;
    switch ((enum wk_config_kind)k->kind) {
    case WK_CONFIG_BOOL:
        return parse_bool(text, num, reason, cap);
    case WK_CONFIG_INT:
    case WK_CONFIG_SIZE:
        rc = parse_number(text, num, k->kind == WK_CONFIG_SIZE, reason, cap);
        return rc ? rc : check_range(k, text, *num, reason, cap);
    case WK_CONFIG_DURATION:
        rc = parse_duration(text, num, reason, cap);
        return rc ? rc : check_range(k, text, *num, reason, cap);
    case WK_CONFIG_CHOICE:
        return parse_choice(k, text, num, reason, cap);
    case WK_CONFIG_LEVEL:
        return parse_level(text, num, reason, cap);
    case WK_CONFIG_LISTEN:
        return parse_listen(k, text, reason, cap);
    case WK_CONFIG_HOSTPORT:
        if (wk_config_hostport(text, host, sizeof(host), &port) != 0)
            return refuse(reason, cap, text, "is not host:port (for example 0.0.0.0:5001)");
        return WKIM_OK;
    case WK_CONFIG_URL:
        return parse_url(text, reason, cap);
    case WK_CONFIG_TEXT:
    case WK_CONFIG_SECRET:
    case WK_CONFIG_PATH:
    case WK_CONFIG_LIST:
        return WKIM_OK;
    }
    return WKIM_OK;
}
