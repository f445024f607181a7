/* Filling a wkim_error, and assertions that stay on in release. */
#ifndef WK_BASE_ERROR_H
#define WK_BASE_ERROR_H
#include <wkim/error.h>

/* Write code and text into *err (may be NULL) and return code. */
int wk_fail(struct wkim_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Invariants of ours.  Client or operator input is never asserted. */
_Noreturn void wk_assert_fail(const char *expr, const char *file, int line);
#define WK_ASSERT(x) ((x) ? (void)0 : wk_assert_fail(#x, __FILE__, __LINE__))
#endif
