#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *wkim_strerror(int code)
{
#define ERR_TEXT(name, value, retry, text) \
    case value:                            \
        return text;
    switch (code) {
    case WKIM_OK:
        return "success";
        WKIM_ERR_MAP(ERR_TEXT)
    default:
        return "unknown error";
    }
#undef ERR_TEXT
}

const char *wkim_err_name(int code)
{
#define ERR_NAME(name, value, retry, text) \
    case value:                            \
        return #name;
    switch (code) {
    case WKIM_OK:
        return "OK";
        WKIM_ERR_MAP(ERR_NAME)
    default:
        return "EUNKNOWN";
    }
#undef ERR_NAME
}

int wkim_err_retryable(int code)
{
#define ERR_RETRY(name, value, retry, text) \
    case value:                             \
        return retry;
    switch (code) {
        WKIM_ERR_MAP(ERR_RETRY)
    default:
        return 0;
    }
#undef ERR_RETRY
}

int wk_fail(struct wkim_error *err, int code, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    err->code = code;
    if (vsnprintf(err->text, sizeof(err->text), fmt, ap) < 0)
        err->text[0] = '\0';
    va_end(ap);
    return code;
}

void wk_assert_fail(const char *expr, const char *file, int line)
{
    fprintf(stderr, "wkim: invariant broken: %s (%s:%d)\n", expr, file, line);
    fflush(stderr);
    abort();
}
