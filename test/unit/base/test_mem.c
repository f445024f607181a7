#include "base/mem.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "oom.h"

static void size_zero_is_a_real_block(void **state)
{
    (void)state;
    void *a = wk_malloc(0), *b = wk_calloc(0, 8), *c = wk_memdup(NULL, 0);
    char *d = wk_strdup_n(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_string_equal(d, "");
    a = wk_realloc(a, 0);
    assert_non_null(a);
    wk_free(a);
    wk_free(b);
    wk_free(c);
    wk_free(d);
    wk_free(NULL);
    assert_int_equal(oom_live(), 0);
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    assert_null(wk_calloc(SIZE_MAX / 2, 3));
    assert_null(wk_strdup_n("x", SIZE_MAX));
    struct wk_arena a;
    wk_arena_init(&a, 0);
    assert_null(wk_arena_alloc(&a, SIZE_MAX));
    assert_null(wk_arena_alloc(&a, SIZE_MAX - 40));
    wk_arena_fini(&a);
    assert_int_equal(oom_live(), 0);
}

static void calloc_clears_and_copies_are_copies(void **state)
{
    (void)state;
    uint8_t *z = wk_calloc(3, 7);
    for (int i = 0; i < 21; i++)
        assert_int_equal(z[i], 0);
    char src[] = "abc";
    char *s = wk_strdup_n(src, 2), *m = wk_memdup(src, 3);
    src[0] = 'x';
    assert_string_equal(s, "ab");
    assert_memory_equal(m, "abc", 3);
    wk_free(z);
    wk_free(s);
    wk_free(m);
}

static void arena_blocks_are_aligned_and_disjoint(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    for (int round = 0; round < 3; round++) {
        uint8_t *blocks[400];
        for (size_t i = 0; i < 400; i++) {
            const size_t n = i % 50 == 49 ? 100000 : i * 3;
            blocks[i] = wk_arena_alloc(&a, n);
            assert_non_null(blocks[i]);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            memset(blocks[i], (int)i, n);
        }
        for (size_t i = 0; i < 400; i++) {
            const size_t n = i % 50 == 49 ? 100000 : i * 3;
            for (size_t k = 0; k < n; k++)
                assert_int_equal(blocks[i][k], (uint8_t)i);
        }
        wk_arena_reset(&a);
        assert_int_equal(a.bytes, 0);
        assert_int_equal(oom_live(), 1);
        assert_true(oom_live_bytes() <= 70000);
    }
    assert_memory_equal(wk_arena_dup(&a, "hello", 5), "hello", 5);
    assert_int_equal(oom_live(), 1);
    wk_arena_fini(&a);
    assert_int_equal(oom_live(), 0);
}

static void arena_limit_is_exact_and_comes_back_at_reset(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 64);
    assert_non_null(wk_arena_alloc(&a, 48));
    assert_null(wk_arena_alloc(&a, 17));
    assert_non_null(wk_arena_alloc(&a, 16));
    assert_null(wk_arena_alloc(&a, 0));
    wk_arena_reset(&a);
    assert_non_null(wk_arena_alloc(&a, 64));
    wk_arena_reset(&a);
    assert_null(wk_arena_alloc(&a, 65));
    wk_arena_fini(&a);
}

static void arena_survives_a_failed_chunk(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    oom_fail_at(1);
    assert_null(wk_arena_alloc(&a, 10));
    assert_true(oom_hit());
    assert_int_equal(a.bytes, 0);
    oom_fail_at(0);
    uint8_t *p = wk_arena_alloc(&a, 10);
    assert_non_null(p);
    oom_fail_at(1);
    assert_null(wk_arena_alloc(&a, 5000));
    oom_fail_at(0);
    assert_ptr_equal(wk_arena_alloc(&a, 1), p + 16);
    wk_arena_fini(&a);
    assert_int_equal(oom_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_zero_is_a_real_block),
        cmocka_unit_test(sizes_that_overflow_are_refused),
        cmocka_unit_test(calloc_clears_and_copies_are_copies),
        cmocka_unit_test(arena_blocks_are_aligned_and_disjoint),
        cmocka_unit_test(arena_limit_is_exact_and_comes_back_at_reset),
        cmocka_unit_test(arena_survives_a_failed_chunk),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
