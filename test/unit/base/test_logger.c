#include "base/logger.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/clock.h"

static char seen[4096];
static int calls;

static void sink(void *user, int level, const char *room, const char *event, const char *fields)
{
    assert_ptr_equal(user, &calls);
    calls++;
    snprintf(seen, sizeof(seen), "%d %s %s %s", level, room, event, fields);
}

static void events_below_the_level_are_dropped(void **state)
{
    (void)state;
    const struct wk_log log = { WK_LOG_INFO, sink, &calls };
    calls = 0;
    wk_log(&log, WK_LOG_DEBUG, "raft", "x", "a=%d", 1);
    wk_log(NULL, WK_LOG_ERROR, "raft", "x", "a=%d", 1);
    assert_int_equal(calls, 0);
    wk_log(&log, WK_LOG_INFO, "raft", "leader_changed", "slot=%u term=%llu", 3u, 9ULL);
    assert_int_equal(calls, 1);
    assert_string_equal(seen, "2 raft leader_changed slot=3 term=9");
}

static void fields_too_long_are_cut_with_balanced_quotes(void **state)
{
    (void)state;
    const struct wk_log log = { WK_LOG_INFO, sink, &calls };
    char text[4000];
    for (size_t shift = 0; shift < 8; shift++) {
        memset(text, 'x', sizeof(text));
        for (size_t i = 2000 + shift; i < 2060; i += 2)
            memcpy(text + i, "\\\"", 2);
        text[sizeof(text) - 1] = '\0';
        wk_log(&log, WK_LOG_WARN, "r", "e", "a=\"%s\"", text);
        assert_true(strlen(seen) > 2000 && strlen(seen) < 2060);
        assert_string_equal(seen + strlen(seen) - 4, "...\"");
    }
    memset(text, 'y', sizeof(text) - 1);
    wk_log(&log, WK_LOG_WARN, "r", "e", "a=%s", text);
    assert_string_equal(seen + strlen(seen) - 4, "y...");
}

static void quote_is(const char *in, size_t n, const char *want)
{
    char out[64];
    assert_string_equal(wk_log_quote(out, sizeof(out), in, n), want);
}

static void plain_values_stay_plain(void **state)
{
    (void)state;
    quote_is("u1", 2, "u1");
    quote_is("\xe5\xa5\xbd", 3, "\xe5\xa5\xbd");
    quote_is("a:b/c@d", 7, "a:b/c@d");
}

static void everything_else_is_quoted_and_escaped(void **state)
{
    (void)state;
    quote_is("", 0, "\"\"");
    quote_is(NULL, 0, "\"\"");
    quote_is("a b", 3, "\"a b\"");
    quote_is("a=b", 3, "\"a=b\"");
    quote_is("a\"b\\", 4, "\"a\\\"b\\\\\"");
    quote_is("a\nb\rc\td", 7, "\"a\\nb\\rc\\td\"");
    quote_is("\0\x1b\x7f", 3, "\"\\x00\\x1b\\x7f\"");
    quote_is("\xff\xc3", 2, "\"\\xff\\xc3\"");
    quote_is("\xc2\x9b", 2, "\"\\xc2\\x9b\""); /* a control character in UTF-8 */
    quote_is("\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\"");
    quote_is("\xe5\xa5", 2, "\"\\xe5\\xa5\"");
    quote_is("\xc0\xaf", 2, "\"\\xc0\\xaf\"");
    quote_is("\xf0\x9f\x98\x80 ", 5, "\"\xf0\x9f\x98\x80 \"");
}

static void long_values_are_cut_within_the_room(void **state)
{
    (void)state;
    char out[64];
    assert_string_equal(wk_log_quote(out, 10, "0123456789", 10), "\"0123...\"");
    assert_string_equal(wk_log_quote(out, 11, "0123456789", 10), "0123456789");
    assert_string_equal(wk_log_quote(out, 10, "a\n\n\n\n\n", 6), "\"a\\n...\"");
    assert_string_equal(wk_log_quote(out, 10, "a 23456", 7), "\"a 23456\"");
    assert_string_equal(wk_log_quote(out, 1, "abc", 3), "");
    assert_string_equal(wk_log_quote(out, 3, "abc", 3), "\".");
    assert_string_equal(wk_log_quote(NULL, 0, "abc", 3), "");
}

/* Any bytes, any room: terminated, one line, balanced quotes, nothing written behind the end. */
static void any_input_gives_one_safe_value(void **state)
{
    (void)state;
    static const char awkward[] = "a\\\" \xe5\xa5\xbd";
    struct wk_rng r;
    wk_rng_seed(&r, 77);
    for (int round = 0; round < 20000; round++) {
        char in[40], out[80];
        const size_t n = (size_t)wk_rng_below(&r, sizeof(in) + 1);
        const size_t cap = (size_t)wk_rng_below(&r, 72) + 1;
        for (size_t i = 0; i < n; i++)
            in[i] = round % 2 ? (char)wk_rng_next(&r) : awkward[wk_rng_below(&r, 7)];
        memset(out, '~', sizeof(out));
        wk_log_quote(out, cap, in, n);
        const size_t len = strnlen(out, cap);
        assert_true(len < cap);
        assert_int_equal(out[cap], '~');
        for (size_t i = 0; i < len; i++)
            assert_true((uint8_t)out[i] >= 0x20 && out[i] != 0x7f);
        if (cap < 6)
            continue;
        size_t i = 0;
        if (out[0] != '"') {
            assert_null(strpbrk(out, " \"\\="));
            continue;
        }
        for (i = 1; out[i] && out[i] != '"'; i++)
            i += out[i] == '\\';
        assert_int_equal(i, len - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_below_the_level_are_dropped),
        cmocka_unit_test(fields_too_long_are_cut_with_balanced_quotes),
        cmocka_unit_test(plain_values_stay_plain),
        cmocka_unit_test(everything_else_is_quoted_and_escaped),
        cmocka_unit_test(long_values_are_cut_within_the_room),
        cmocka_unit_test(any_input_gives_one_safe_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
