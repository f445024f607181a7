/* One log event as text. */
#ifndef WK_SERVER_LOG_LINE_H
#define WK_SERVER_LOG_LINE_H

#include <stddef.h>

struct wk_log_line {
    int level;
    const char *time; /* ISO 8601, UTC */
    const char *room, *event;
    const char *fields; /* "key=value key=\"quoted value\"" */
};

/* A value for `fields`, in out: quotes and backslashes escaped, no line breaks, cut at cap. */
const char *wk_log_line_quote(const char *text, char *out, size_t cap);
/* Both end with a newline; they return the bytes written, 0 when cap is too small. */
size_t wk_log_line_json(const struct wk_log_line *line, char *out, size_t cap);
size_t wk_log_line_text(const struct wk_log_line *line, char *out, size_t cap);

#endif
