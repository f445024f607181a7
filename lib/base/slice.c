#include "base/slice.h"

/* Length in bytes of the white space character (Unicode White_Space) at the start, 0 when the first
 * character is something else. */
static size_t space_len(const uint8_t *p, size_t n)
{
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (n >= 2 && p[0] == 0xc2)
        return p[1] == 0x85 || p[1] == 0xa0 ? 2 : 0;
    if (n < 3 || (p[0] & 0xf0) != 0xe0)
        return 0;

    const uint32_t c = ((uint32_t)p[0] << 16) | ((uint32_t)p[1] << 8) | p[2];
    const bool is_space = c == 0xe19a80 /* U+1680 */ ||
                          (c >= 0xe28080 && c <= 0xe2808a) /* U+2000..200A */ ||
                          c == 0xe280a8 || c == 0xe280a9 /* U+2028, U+2029 */ ||
                          c == 0xe280af /* U+202F */ || c == 0xe2819f /* U+205F */ ||
                          c == 0xe38080 /* U+3000 */;
    return is_space ? 3 : 0;
}

bool wk_slice_blank(wkim_slice a)
{
    size_t i = 0;

    while (i < a.n) {
        const size_t k = space_len(a.p + i, a.n - i);
        if (k == 0)
            return false;
        i += k;
    }
    return true;
}

bool wk_slice_eq_ct(wkim_slice a, wkim_slice b)
{
    volatile uint8_t diff = 0;

    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        diff |= (uint8_t)(a.p[i] ^ b.p[i]);
    return diff == 0;
}

bool wk_slice_has_any(wkim_slice a, const char *set)
{
    if (a.n == 0)
        return false;
    for (; *set; set++)
        if (memchr(a.p, *set, a.n))
            return true;
    return false;
}
