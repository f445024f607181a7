/* Borrowed byte slices. */
#ifndef WK_BASE_SLICE_H
#define WK_BASE_SLICE_H
#include <stdbool.h>
#include <string.h>
#include <wkim/types.h>

static inline wkim_slice wk_slice(const void *p, size_t n)
{
    return (wkim_slice){ (const uint8_t *)p, n };
}
static inline wkim_slice wk_str(const char *s)
{
    return (wkim_slice){ (const uint8_t *)s, s ? strlen(s) : 0 };
}
#define WK_LIT(s) ((wkim_slice){ (const uint8_t *)(s), sizeof(s) - 1 })
static inline bool wk_slice_eq(wkim_slice a, wkim_slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}
static inline bool wk_slice_ends_with(wkim_slice a, wkim_slice tail)
{
    return a.n >= tail.n && (tail.n == 0 || memcmp(a.p + a.n - tail.n, tail.p, tail.n) == 0);
}
bool wk_slice_blank(wkim_slice a);                   /* empty or only Unicode/ASCII white space */
/* As wk_slice_eq, in a time that does not depend on the content: for tokens and digests. */
bool wk_slice_eq_ct(wkim_slice a, wkim_slice b);
bool wk_slice_has_any(wkim_slice a, const char *set); /* contains one byte of set */
#endif
