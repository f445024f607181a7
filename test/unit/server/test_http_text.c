/* Text helpers of the HTTP API. */
#include "../../../server/http/text.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_base64(const char *in, const char *want, wkim_ssize result)
{
    uint8_t out[64];
    wkim_ssize n = wk_text_base64(wk_text_slice(in), out);

    assert_int_equal(n, result);
    if (n > 0)
        assert_memory_equal(out, want, (size_t)n);
}

static void base64_needs_its_padding_and_ignores_line_ends(void **state)
{
    (void)state;
    check_base64("", "", 0);
    check_base64("Zg==", "f", 1);
    check_base64("Zm8=", "fo", 2);
    check_base64("Zm9v", "foo", 3);
    check_base64("Zm9v\r\nYmFy\n", "foobar", 6);
    check_base64("Z\ng=\n=", "f", 1);
    check_base64("+/+/", "\xfb\xff\xbf", 3);
}

static void bad_base64_names_the_offset(void **state)
{
    (void)state;
    check_base64("@@", "", -1);
    check_base64("Zg", "", -3);
    check_base64("Zg=", "", -4);
    check_base64("Z===", "", -2);
    check_base64("Zm9vYg==x", "", -9);
    check_base64("Zm9v-A==", "", -5);
    check_base64("=", "", -1);
}

static void numbers_of_a_query_are_never_refused(void **state)
{
    static const struct {
        const char *text;
        uint64_t u;
        int64_t i;
    } cases[] = {
        {"", 0, 0},
        {"x", 0, 0},
        {"7x", 0, 0},
        {"-", 0, 0},
        {"0012", 12, 12},
        {"+7", 0, 7},
        {"-7", 0, -7},
        {"18446744073709551615", UINT64_MAX, INT64_MAX},
        {"99999999999999999999", UINT64_MAX, INT64_MAX},
        {"-99999999999999999999", 0, INT64_MIN},
        {"+9223372036854775808", 0, INT64_MAX},
    };

    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        assert_true(wk_text_query_u64(wk_text_slice(cases[n].text)) == cases[n].u);
        assert_true(wk_text_query_i64(wk_text_slice(cases[n].text)) == cases[n].i);
    }
}

static void numbers_parse_whole_or_not_at_all(void **state)
{
    uint64_t u = 7;
    int64_t i = 7;

    (void)state;
    assert_false(wk_text_u64(wk_text_slice(""), &u));
    assert_false(wk_text_u64(wk_text_slice("1x"), &u));
    assert_false(wk_text_u64(wk_text_slice("-1"), &u));
    assert_false(wk_text_u64(wk_text_slice("18446744073709551616"), &u));
    assert_int_equal(u, 7);
    assert_true(wk_text_u64(wk_text_slice("18446744073709551615"), &u));
    assert_true(u == UINT64_MAX);
    assert_true(wk_text_i64(wk_text_slice("-9223372036854775808"), &i));
    assert_true(i == INT64_MIN);
    assert_false(wk_text_i64(wk_text_slice("9223372036854775808"), &i));
    assert_false(wk_text_i64(wk_text_slice("-"), &i));
    assert_true(wk_text_i64(wk_text_slice("+5"), &i));
    assert_int_equal(i, 5);
}

static void check_unescape(const char *in, int plus, const char *want)
{
    uint8_t out[64];
    wkim_ssize n = wk_text_unescape(wk_text_slice(in), plus, out);

    assert_int_equal(n, strlen(want));
    assert_memory_equal(out, want, strlen(want));
}

static void percent_escapes_are_decoded_and_broken_ones_refused(void **state)
{
    uint8_t out[16];

    (void)state;
    check_unescape("a%2Fb%e7", 0, "a/b\xe7");
    check_unescape("a+b", 1, "a b");
    check_unescape("a+b", 0, "a+b");
    assert_int_equal(wk_text_unescape(wk_text_slice("%"), 0, out), -1);
    assert_int_equal(wk_text_unescape(wk_text_slice("%4"), 0, out), -1);
    assert_int_equal(wk_text_unescape(wk_text_slice("%4x"), 0, out), -1);
}

static void ids_with_reserved_characters_are_special(void **state)
{
    (void)state;
    assert_true(wk_text_special(wk_text_slice("a@b")));
    assert_true(wk_text_special(wk_text_slice("#")));
    assert_true(wk_text_special(wk_text_slice("x&")));
    assert_false(wk_text_special(wk_text_slice("群组-ü_1.2")));
    assert_true(wk_text_blank(wk_text_slice(" \t\n")));
    assert_true(wk_text_blank((wkim_slice){NULL, 0}));
    assert_false(wk_text_blank(wk_text_slice(" a ")));
}

static void uptimes_are_written_from_the_largest_unit(void **state)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } cases[] = {{0, "0s"}, {59, "59s"}, {61, "1m1s"}, {3723, "1h2m3s"}, {90061, "1d1h1m1s"},
                 {31626061, "1y1d1h1m1s"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[32];

        wk_text_uptime(cases[i].seconds, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void times_drop_zeros_at_the_end_of_the_fraction(void **state)
{
    char out[40];

    (void)state;
    wk_text_time(1795252302127143846u, out);
    assert_string_equal(out, "2026-11-21T09:11:42.127143846Z");
    wk_text_time(1795252302120000000u, out);
    assert_string_equal(out, "2026-11-21T09:11:42.12Z");
    wk_text_time(1795252302000000000u, out);
    assert_string_equal(out, "2026-11-21T09:11:42Z");
}

static void secrets_are_equal_only_when_all_bytes_are(void **state)
{
    (void)state;
    assert_true(wk_text_same_secret(wk_text_slice("mt-secret"), wk_text_slice("mt-secret")));
    assert_false(wk_text_same_secret(wk_text_slice("mt-secreT"), wk_text_slice("mt-secret")));
    assert_false(wk_text_same_secret(wk_text_slice(""), wk_text_slice("mt-secret")));
    assert_false(wk_text_same_secret((wkim_slice){NULL, 0}, wk_text_slice("m")));
    assert_false(wk_text_same_secret(wk_text_slice("aa"), wk_text_slice("aaaa")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_needs_its_padding_and_ignores_line_ends),
        cmocka_unit_test(bad_base64_names_the_offset),
        cmocka_unit_test(numbers_parse_whole_or_not_at_all),
        cmocka_unit_test(numbers_of_a_query_are_never_refused),
        cmocka_unit_test(percent_escapes_are_decoded_and_broken_ones_refused),
        cmocka_unit_test(ids_with_reserved_characters_are_special),
        cmocka_unit_test(uptimes_are_written_from_the_largest_unit),
        cmocka_unit_test(times_drop_zeros_at_the_end_of_the_fraction),
        cmocka_unit_test(secrets_are_equal_only_when_all_bytes_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
