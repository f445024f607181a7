#include "base/buf.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "base/cursor.h"
#include "base/error.h"
#include "oom.h"

static void append_all(struct wk_buf *b)
{
    wk_buf_u8(b, 0xab);
    wk_buf_u16(b, 0x1234);
    wk_buf_u32(b, 0x89abcdef);
    wk_buf_u64(b, 0x0123456789abcdefULL);
    wk_buf_varint(b, 300);
    wk_buf_str16(b, WK_LIT("hey"));
    wk_buf_str(b, WK_LIT("you"));
    wk_buf_bytes(b, "!!", 2);
    wk_buf_printf(b, "n=%d", 42);
    for (int i = 0; i < 40; i++)
        wk_buf_printf(b, "%08d", i);
}

static void integers_are_big_endian(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    append_all(&b);
    static const uint8_t head[] = { 0xab, 0x12, 0x34, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45,
        0x67, 0x89, 0xab, 0xcd, 0xef, 0xac, 0x02, 0, 3, 'h', 'e', 'y', 3, 'y', 'o', 'u', '!', '!',
        'n', '=', '4', '2', '0', '0' };
    assert_memory_equal(b.p, head, sizeof(head));
    assert_int_equal(b.n, 32 + 320);
    assert_false(b.oom);
    wk_buf_fini(&b);
    assert_int_equal(oom_live(), 0);
}

static void numbers_are_written_as_printf_would(void **state)
{
    (void)state;
    static const uint64_t v[] = { 0, 9, 10, 1023, 4294967296, 9007199254740993, UINT64_MAX };
    struct wk_buf b = WK_BUF_INIT, want = WK_BUF_INIT;

    for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        wk_buf_decimal(&b, v[i]);
        wk_buf_u8(&b, ' ');
        wk_buf_printf(&want, "%llu ", (unsigned long long)v[i]);
    }
    assert_true(wk_slice_eq(wk_buf_slice(&b), wk_buf_slice(&want)));
    wk_buf_fini(&b);
    wk_buf_fini(&want);
}

static void what_is_written_can_be_read_back(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    append_all(&b);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&b));
    assert_int_equal(wk_cursor_u8(&c), 0xab);
    assert_int_equal(wk_cursor_u16(&c), 0x1234);
    assert_int_equal(wk_cursor_u32(&c), 0x89abcdef);
    assert_true(wk_cursor_u64(&c) == 0x0123456789abcdefULL);
    assert_int_equal(wk_cursor_varint(&c), 300);
    assert_true(wk_slice_eq(wk_cursor_str16(&c), WK_LIT("hey")));
    assert_true(wk_slice_eq(wk_cursor_str(&c), WK_LIT("you")));
    assert_true(wk_slice_eq(wk_cursor_bytes(&c, 6), WK_LIT("!!n=42")));
    assert_int_equal(wk_cursor_rest(&c).n, 320);
    assert_false(c.bad);
    assert_int_equal(wk_cursor_left(&c), 0);
    wk_buf_fini(&b);
}

static void any_failed_allocation_leaves_a_prefix_and_the_flag(void **state)
{
    (void)state;
    struct wk_buf whole = WK_BUF_INIT;
    oom_fail_at(0);
    append_all(&whole);
    const uint64_t n = oom_count();
    assert_true(n >= 3);
    for (uint64_t i = 1; i <= n; i++) {
        struct wk_buf b = WK_BUF_INIT;
        /* A growth that cannot double tries the bare need, so both have to fail. */
        oom_fail_from(i);
        append_all(&b);
        assert_true(b.oom);
        assert_true(b.n < whole.n);
        if (b.n)
            assert_memory_equal(b.p, whole.p, b.n);
        oom_fail_at(0);
        wk_buf_clear(&b);
        append_all(&b);
        assert_false(b.oom);
        assert_true(wk_slice_eq(wk_buf_slice(&b), wk_buf_slice(&whole)));
        wk_buf_fini(&b);
    }
    wk_buf_fini(&whole);
    assert_int_equal(oom_live(), 0);
}

static void growth_is_geometric(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    oom_fail_at(0);
    for (int i = 0; i < 1000000; i++)
        wk_buf_u8(&b, (uint8_t)i);
    assert_true(oom_count() <= 16);
    assert_int_equal(b.n, 1000000);
    assert_true(b.cap < 2100000);
    wk_buf_fini(&b);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    wk_buf_u8(&b, 1);
    assert_int_equal(wk_buf_reserve(&b, SIZE_MAX), WKIM_ENOMEM);
    assert_int_equal(wk_buf_reserve(&b, PTRDIFF_MAX), WKIM_ENOMEM);
    assert_int_equal(b.n, 1);
    assert_false(b.oom);
    wk_buf_str16(&b, wk_slice("", 65536));
    assert_true(b.oom);
    assert_int_equal(b.n, 1);
    wk_buf_fini(&b);
}

static void reserve_makes_the_next_appends_free(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    assert_int_equal(wk_buf_reserve(&b, 1000), WKIM_OK);
    oom_fail_at(1);
    for (int i = 0; i < 125; i++)
        wk_buf_u64(&b, 1);
    assert_int_equal(oom_count(), 0);
    assert_false(b.oom);
    oom_fail_at(0);
    wk_buf_fini(&b);
}

static void consume_drops_from_the_front(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    wk_buf_consume(&b, 0);
    wk_buf_bytes(&b, "abcdef", 6);
    wk_buf_consume(&b, 2);
    assert_true(wk_slice_eq(wk_buf_slice(&b), WK_LIT("cdef")));
    wk_buf_consume(&b, 4);
    assert_int_equal(b.n, 0);
    wk_buf_bytes(&b, "x", 1);
    assert_true(wk_slice_eq(wk_buf_slice(&b), WK_LIT("x")));
    wk_buf_fini(&b);
}

static void printf_that_fits_exactly_keeps_its_last_character(void **state)
{
    (void)state;
    for (int pad = 0; pad < 140; pad++) {
        struct wk_buf b = WK_BUF_INIT;
        for (int i = 0; i < pad; i++)
            wk_buf_u8(&b, 'p');
        wk_buf_printf(&b, "%s", "0123456789");
        assert_int_equal(b.n, pad + 10);
        assert_memory_equal(b.p + pad, "0123456789", 10);
        wk_buf_fini(&b);
    }
    assert_int_equal(oom_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(numbers_are_written_as_printf_would),
        cmocka_unit_test(what_is_written_can_be_read_back),
        cmocka_unit_test(any_failed_allocation_leaves_a_prefix_and_the_flag),
        cmocka_unit_test(growth_is_geometric),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(reserve_makes_the_next_appends_free),
        cmocka_unit_test(consume_drops_from_the_front),
        cmocka_unit_test(printf_that_fits_exactly_keeps_its_last_character),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
