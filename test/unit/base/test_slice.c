#include "base/slice.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

static void blank_knows_every_unicode_space(void **state)
{
    (void)state;
    static const char *const blank[] = { "", " ", "\t\n\v\f\r ", "\xc2\x85", "\xc2\xa0",
        "\xe1\x9a\x80", "\xe2\x80\x80", "\xe2\x80\x8a", "\xe2\x80\xa8\xe2\x80\xa9",
        "\xe2\x80\xaf", "\xe2\x81\x9f", " \xe3\x80\x80 " };
    for (size_t i = 0; i < sizeof(blank) / sizeof(blank[0]); i++)
        assert_true(wk_slice_blank(wk_str(blank[i])));
    assert_true(wk_slice_blank(wk_slice(NULL, 0)));
}

static void anything_else_is_not_blank(void **state)
{
    (void)state;
    static const char *const full[] = { "a", " a ", "\x08", "\x0e", "\x1f", "\xc2\x86", "\xc2",
        "\xe2\x80", "\xe2\x80\x8b", "\xe3\x80\x81", "  \xe3\x80", "\x85", "\xa0", "\x7f" };
    for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++)
        assert_false(wk_slice_blank(wk_str(full[i])));
    assert_false(wk_slice_blank(wk_slice("\0", 1)));
}

static void has_any_looks_at_bytes(void **state)
{
    (void)state;
    assert_true(wk_slice_has_any(WK_LIT("a@b"), "@#&"));
    assert_true(wk_slice_has_any(WK_LIT("a\0&"), "@#&"));
    assert_false(wk_slice_has_any(WK_LIT("ab\0c"), "@#&"));
    assert_false(wk_slice_has_any(WK_LIT("abc"), ""));
    assert_false(wk_slice_has_any(wk_slice(NULL, 0), "@"));
}

static void equality_and_tail(void **state)
{
    (void)state;
    assert_true(wk_slice_eq(WK_LIT("ab"), WK_LIT("ab")));
    assert_false(wk_slice_eq(WK_LIT("ab"), WK_LIT("ac")));
    assert_false(wk_slice_eq(WK_LIT("ab"), WK_LIT("abc")));
    assert_true(wk_slice_eq(wk_slice(NULL, 0), wk_str("")));
    assert_true(wk_slice_eq(wk_str(NULL), wk_str("")));
    assert_true(wk_slice_ends_with(WK_LIT("x___vstr"), WK_LIT("___vstr")));
    assert_true(wk_slice_ends_with(WK_LIT("x"), wk_slice(NULL, 0)));
    assert_false(wk_slice_ends_with(WK_LIT("vstr"), WK_LIT("___vstr")));
}

static void comparison_sees_every_bit(void **state)
{
    (void)state;
    uint8_t a[33], b[33];
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = b[i] = (uint8_t)(i * 5);
    assert_true(wk_slice_eq_ct(wk_slice(a, 33), wk_slice(b, 33)));
    assert_true(wk_slice_eq_ct(wk_slice(NULL, 0), wk_slice(NULL, 0)));
    assert_false(wk_slice_eq_ct(wk_slice(a, 33), wk_slice(b, 32)));
    for (size_t bit = 0; bit < sizeof(a) * 8; bit++) {
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(wk_slice_eq_ct(wk_slice(a, 33), wk_slice(b, 33)));
        b[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blank_knows_every_unicode_space),
        cmocka_unit_test(anything_else_is_not_blank),
        cmocka_unit_test(has_any_looks_at_bytes),
        cmocka_unit_test(equality_and_tail),
        cmocka_unit_test(comparison_sees_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
