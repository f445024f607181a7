#include "log_line.h"

#include <stdio.h>
#include <string.h>

struct writer {
    char *p;
    size_t n, cap;
    int full;
};

static void put(struct writer *w, const char *p, size_t n)
{
    if (w->full || n > w->cap - w->n) {
        w->full = 1;
        return;
    }
    memcpy(w->p + w->n, p, n);
    w->n += n;
}

static void put_text(struct writer *w, const char *s)
{
    put(w, s, strlen(s));
}

static void put_escaped(struct writer *w, unsigned char c)
{
    char hex[8];

    if (c == '"' || c == '\\') {
        put(w, "\\", 1);
        put(w, (const char *)&c, 1);
    } else if (c < 0x20 || c == 0x7f) {
        (void)snprintf(hex, sizeof(hex), "\\u%04x", c);
        put(w, hex, 6);
    } else {
        put(w, (const char *)&c, 1);
    }
}

static void put_json(struct writer *w, const char *p, size_t n)
{
    put(w, "\"", 1);
    for (size_t i = 0; i < n; i++)
        put_escaped(w, (unsigned char)p[i]);
    put(w, "\"", 1);
}

static int is_number(const char *p, size_t n)
{
    size_t digits = strspn(p, "0123456789");

    return n > 0 && n < 16 && digits >= n && (*p != '0' || n == 1);
}

/* Length of the quoted value at p, with both quotes. */
static size_t quoted_length(const char *p)
{
    size_t n = 1;

    while (p[n] && p[n] != '"')
        n += p[n] == '\\' && p[n + 1] ? 2 : 1;
    return p[n] == '"' ? n + 1 : n;
}

/* The quoting of fields escapes quotes and backslashes by a backslash. */
static void put_unquoted(struct writer *w, const char *p, size_t n)
{
    put(w, "\"", 1);
    for (size_t i = 1; i + 1 < n; i++) {
        if (p[i] == '\\' && i + 2 < n && (p[i + 1] == '"' || p[i + 1] == '\\'))
            i++;
        put_escaped(w, (unsigned char)p[i]);
    }
    put(w, "\"", 1);
}

const char *wk_log_line_quote(const char *text, char *out, size_t cap)
{
    size_t n = 0;

    out[n++] = '"';
    for (; *text && n + 4 < cap; text++) {
        if (*text == '"' || *text == '\\')
            out[n++] = '\\';
        out[n++] = *text == '\n' || *text == '\r' ? ' ' : *text;
    }
    out[n++] = '"';
    out[n] = '\0';
    return out;
}

static void put_fields(struct writer *w, const char *p)
{
    while (*p) {
        size_t key = strcspn(p, "= "), n;

        if (key && p[key] == '=') {
            put(w, ",", 1);
            put_json(w, p, key);
            put(w, ":", 1);
            p += key + 1;
            n = *p == '"' ? quoted_length(p) : strcspn(p, " ");
            if (*p == '"')
                put_unquoted(w, p, n);
            else if (is_number(p, n))
                put(w, p, n);
            else
                put_json(w, p, n);
            p += n;
        } else {
            p += key;
        }
        while (*p == ' ')
            p++;
    }
}

static const char *level_name(int level)
{
    static const char *const names[] = {"debug", "debug", "info", "warn", "error"};

    return names[level < 0 || level > 4 ? 4 : level];
}

size_t wk_log_line_json(const struct wk_log_line *line, char *out, size_t cap)
{
    struct writer w = {out, 0, cap, 0};

    put_text(&w, "{\"level\":\"");
    put_text(&w, level_name(line->level));
    put_text(&w, "\",\"time\":\"");
    put_text(&w, line->time);
    put_text(&w, "\",\"msg\":");
    put_json(&w, line->event, strlen(line->event));
    put_text(&w, ",\"room\":");
    put_json(&w, line->room, strlen(line->room));
    put_fields(&w, line->fields);
    put_text(&w, "}\n");
    return w.full ? 0 : w.n;
}

size_t wk_log_line_text(const struct wk_log_line *line, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s %-5s %s %s%s%s\n", line->time, level_name(line->level),
                     line->room, line->event, *line->fields ? " " : "", line->fields);

    return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}
