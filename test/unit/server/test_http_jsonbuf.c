/* JSON writer of the HTTP API. */
#include "../../../server/http/jsonbuf.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

static wkim_slice bytes(const char *p, size_t n)
{
    return (wkim_slice){(const uint8_t *)p, n};
}

static void check_string(const char *in, size_t n, const char *want)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_str(&b, bytes(in, n));
    assert_false(b.failed);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
    wk_jsonbuf_fini(&b);
}

static void strings_are_quoted_and_escaped(void **state)
{
    (void)state;
    check_string("", 0, "\"\"");
    check_string("abc", 3, "\"abc\"");
    check_string("eight by and more than that", 27, "\"eight by and more than that\"");
    check_string("a\"b\\c\n\r\t\x01", 9, "\"a\\\"b\\\\c\\n\\r\\t\\u0001\"");
    check_string("1234567\"90123456\\", 17, "\"1234567\\\"90123456\\\\\"");
    check_string("nul\0in", 6, "\"nul\\u0000in\"");
    check_string("\x7f", 1, "\"\x7f\"");
}

static void utf8_passes_and_other_bytes_become_replacement_characters(void **state)
{
    (void)state;
    check_string("群组-ü 🌏", strlen("群组-ü 🌏"), "\"群组-ü 🌏\"");
    check_string("\xff", 1, "\"\xEF\xBF\xBD\"");
    check_string("\xc0\xaf", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");                 /* overlong */
    check_string("\xed\xa0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* surrogate */
    check_string("a\xe7\xbe", 3, "\"a\xEF\xBF\xBD\xEF\xBF\xBD\"");               /* cut off */
    check_string("\xf4\x90\x80\x80", 4,
                 "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* beyond U+10FFFF */
}

static void every_byte_at_every_place_of_a_word_is_written_right(void **state)
{
    (void)state;
    for (int c = 0; c < 128; c++) {
        for (size_t at = 0; at < 9; at++) {
            char in[9], want[32];
            size_t n = 0;

            memset(in, 'x', sizeof(in));
            in[at] = (char)c;
            want[n++] = '"';
            for (size_t i = 0; i < sizeof(in); i++) {
                uint8_t d = (uint8_t)in[i];

                if (d == '"' || d == '\\')
                    n += (size_t)sprintf(want + n, "\\%c", d);
                else if (d == '\n' || d == '\r' || d == '\t')
                    n += (size_t)sprintf(want + n, "\\%c", d == '\n' ? 'n' : d == '\r' ? 'r' : 't');
                else if (d < 0x20)
                    n += (size_t)sprintf(want + n, "\\u%04x", d);
                else
                    want[n++] = (char)d;
            }
            want[n++] = '"';
            want[n] = 0;
            check_string(in, sizeof(in), want);
        }
    }
}

static void numbers_are_written_in_full_range(void **state)
{
    struct wk_jsonbuf b;

    (void)state;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_i64(&b, INT64_MIN);
    wk_jsonbuf_char(&b, ',');
    wk_jsonbuf_i64(&b, INT64_MAX);
    wk_jsonbuf_char(&b, ',');
    wk_jsonbuf_u64(&b, UINT64_MAX);
    wk_jsonbuf_char(&b, ',');
    wk_jsonbuf_i64(&b, 0);
    wk_jsonbuf_char(&b, 0);
    assert_string_equal(b.p, "-9223372036854775808,9223372036854775807,18446744073709551615,0");
    wk_jsonbuf_fini(&b);
}

static void base64_has_padding_for_every_length(void **state)
{
    static const char *const want[] = {"\"\"",         "\"Zg==\"",     "\"Zm8=\"",    "\"Zm9v\"",
                                       "\"Zm9vYg==\"", "\"Zm9vYmE=\"", "\"Zm9vYmFy\""};

    (void)state;
    for (size_t n = 0; n < 7; n++) {
        char out[WK_JSON_BASE64_MAX(6)];
        char *end = wk_json_put_base64(out, bytes("foobar", n));

        assert_int_equal(end - out, strlen(want[n]));
        assert_memory_equal(out, want[n], strlen(want[n]));
    }
}

static void buffer_grows_and_chops_only_the_named_byte(void **state)
{
    struct wk_jsonbuf b;

    (void)state;
    wk_jsonbuf_init(&b);
    wk_jsonbuf_chop(&b, ',');
    assert_int_equal(b.n, 0);
    for (int i = 0; i < 10000; i++)
        wk_jsonbuf_lit(&b, "abc,");
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_chop(&b, ',');
    assert_int_equal(b.n, 39999);
    assert_memory_equal(b.p + b.n - 7, "abc,abc", 7);
    wk_jsonbuf_fini(&b);
    assert_null(b.p);
}

static void a_size_beyond_memory_is_remembered_as_failure(void **state)
{
    struct wk_jsonbuf b;

    (void)state;
    wk_jsonbuf_init(&b);
    assert_null(wk_jsonbuf_room(&b, SIZE_MAX / 2));
    assert_true(b.failed);
    wk_jsonbuf_lit(&b, "nothing is written any more");
    assert_int_equal(b.n, 0);
    wk_jsonbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_quoted_and_escaped),
        cmocka_unit_test(utf8_passes_and_other_bytes_become_replacement_characters),
        cmocka_unit_test(every_byte_at_every_place_of_a_word_is_written_right),
        cmocka_unit_test(numbers_are_written_in_full_range),
        cmocka_unit_test(base64_has_padding_for_every_length),
        cmocka_unit_test(buffer_grows_and_chops_only_the_named_byte),
        cmocka_unit_test(a_size_beyond_memory_is_remembered_as_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
