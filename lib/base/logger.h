/* Structured log events to a sink.  Never payloads, tokens or keys.  Not used in raft/, proto/,
 * session/: they return events. */
#ifndef WK_BASE_LOGGER_H
#define WK_BASE_LOGGER_H
#include <stddef.h>
#include <stdint.h>

enum wk_log_level { WK_LOG_DEBUG = 1, WK_LOG_INFO = 2, WK_LOG_WARN = 3, WK_LOG_ERROR = 4 };

/* `fields` is already formatted as key=value pairs separated by one blank, values with blanks or
 * quotes are quoted.  Called from any thread. */
typedef void (*wk_log_sink)(void *user, int level, const char *room, const char *event,
                            const char *fields);
struct wk_log {
    _Atomic int level; /* events below it are dropped; may be changed at any time */
    wk_log_sink sink;
    void *user;
};
/* fmt gives the fields, for instance "slot=%u term=%llu".  log may be NULL (dropped). */
void wk_log(const struct wk_log *log, int level, const char *room, const char *event,
            const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* Quote an untrusted string for a field value into out (always NUL-terminated, cut with "..."). */
const char *wk_log_quote(char *out, size_t cap, const void *p, size_t n);
#endif
