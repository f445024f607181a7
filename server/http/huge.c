#include "http/huge.h"

#include "http/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define KEY "\x01huge"
#define OPEN "{\"\\u0001huge\":\""
#define SHORT_MAX 18 /* digits that always fit */

static int is_number_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

/* Offset behind the text that begins at the quote at i. */
static size_t skip_string(wkim_slice s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        i += s.p[i] == '\\';
    return i < s.n ? i + 1 : s.n;
}

/* word stands in out and ends there, so that it can be ended with a 0 for a moment. */
static int overflows(struct wk_jsonbuf *out, size_t n)
{
    char *end = wk_jsonbuf_room(out, 1), *word = end - n;
    int64_t v;

    if (!end)
        return 0;
    *end = 0;
    if (strcspn(word, ".eE") == n)
        return n > SHORT_MAX && !wk_text_i64((wkim_slice){(const uint8_t *)word, n}, &v);
    return isinf(strtod(word, NULL));
}

void wk_huge_wrap(wkim_slice text, struct wk_jsonbuf *out)
{
    size_t i = 0;

    while (i < text.n && !out->failed) {
        size_t from = i;

        if (text.p[i] == '"') {
            i = skip_string(text, i);
        } else if (is_number_byte(text.p[i])) {
            while (i < text.n && is_number_byte(text.p[i]))
                i++;
        } else {
            i++;
        }
        wk_jsonbuf_raw(out, (const char *)text.p + from, i - from);
        if (is_number_byte(text.p[from]) && !out->failed && overflows(out, i - from)) {
            out->n -= i - from;
            wk_jsonbuf_lit(out, OPEN);
            wk_jsonbuf_raw(out, (const char *)text.p + from, i - from);
            wk_jsonbuf_lit(out, "\"}");
        }
    }
}

int wk_huge_u64(const json_t *v, uint64_t *out)
{
    const json_t *digits = json_object_get(v, KEY);

    return digits && wk_text_u64(wk_text_slice(json_string_value(digits)), out);
}
