#include "base/cursor.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "base/buf.h"

static void reading_past_the_end_yields_zero_and_stays_bad(void **state)
{
    (void)state;
    struct wk_cursor c = wk_cursor(WK_LIT("\x01\x02\x03"));
    assert_int_equal(wk_cursor_u16(&c), 0x0102);
    assert_int_equal(wk_cursor_u16(&c), 0);
    assert_true(c.bad);
    /* One byte is left, but a cursor that went bad gives nothing more. */
    assert_int_equal(wk_cursor_u8(&c), 0);
    assert_int_equal(wk_cursor_rest(&c).n, 0);
    assert_true(c.bad);
}

static void an_empty_input_is_bad_at_the_first_read_only(void **state)
{
    (void)state;
    struct wk_cursor c = wk_cursor(wk_slice(NULL, 0));
    assert_int_equal(wk_cursor_rest(&c).n, 0);
    assert_int_equal(wk_cursor_bytes(&c, 0).n, 0);
    assert_false(c.bad);
    assert_int_equal(wk_cursor_u8(&c), 0);
    assert_true(c.bad);
}

static void every_varint_comes_back(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t d = 0; d <= 2; d++) {
            const uint64_t v = (1ULL << bit) + d - 1;
            struct wk_buf b = WK_BUF_INIT;
            wk_buf_varint(&b, v);
            struct wk_cursor c = wk_cursor(wk_buf_slice(&b));
            assert_true(wk_cursor_varint(&c) == v);
            assert_false(c.bad);
            assert_int_equal(wk_cursor_left(&c), 0);
            for (size_t cut = 0; cut < b.n; cut++) {
                c = wk_cursor(wk_slice(b.p, cut));
                assert_true(wk_cursor_varint(&c) == 0);
                assert_true(c.bad);
            }
            wk_buf_fini(&b);
        }
    }
}

static void a_varint_beyond_64_bits_is_bad(void **state)
{
    (void)state;
    static const char *const bad[] = { "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81",
                                       "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80" };
    for (size_t i = 0; i < 3; i++) {
        struct wk_cursor c = wk_cursor(wk_slice(bad[i], 11));
        assert_true(wk_cursor_varint(&c) == 0);
        assert_true(c.bad);
    }
    struct wk_cursor c = wk_cursor(wk_slice("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10));
    assert_true(wk_cursor_varint(&c) == UINT64_MAX);
}

static void strings_longer_than_the_input_are_bad(void **state)
{
    (void)state;
    struct wk_cursor c = wk_cursor(WK_LIT("\x00\x04"
                                          "abc"));
    assert_int_equal(wk_cursor_str16(&c).n, 0);
    assert_true(c.bad);
    c = wk_cursor(WK_LIT("\x04"
                         "abc"));
    assert_int_equal(wk_cursor_str(&c).n, 0);
    assert_true(c.bad);
    c = wk_cursor(WK_LIT("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                         "abc"));
    assert_int_equal(wk_cursor_str(&c).n, 0);
    assert_true(c.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_past_the_end_yields_zero_and_stays_bad),
        cmocka_unit_test(an_empty_input_is_bad_at_the_first_read_only),
        cmocka_unit_test(every_varint_comes_back),
        cmocka_unit_test(a_varint_beyond_64_bits_is_bad),
        cmocka_unit_test(strings_longer_than_the_input_are_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
