#include "base/clock.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"

static void monotonic_clock_does_not_go_back(void **state)
{
    (void)state;
    uint64_t last_us = wk_now_us(), last_ms = wk_now_ms();
    for (int i = 0; i < 1000; i++) {
        const uint64_t us = wk_now_us(), ms = wk_now_ms();
        assert_true(us >= last_us && ms >= last_ms);
        last_us = us;
        last_ms = ms;
    }
    assert_true(last_us / 1000 <= wk_now_ms());
    assert_true(wk_wall_ms() > 1700000000000ULL);
}

static void kernel_randomness_fills_every_byte(void **state)
{
    (void)state;
    uint8_t seen[1000] = { 0 }, p[1000];
    for (int round = 0; round < 20; round++) {
        memset(p, 0, sizeof(p));
        assert_int_equal(wk_random_bytes(p, sizeof(p)), WKIM_OK);
        for (size_t i = 0; i < sizeof(p); i++)
            seen[i] |= p[i];
    }
    for (size_t i = 0; i < sizeof(seen); i++)
        assert_int_not_equal(seen[i], 0);
    assert_int_equal(wk_random_bytes(p, 0), WKIM_OK);
}

static void same_seed_same_stream(void **state)
{
    (void)state;
    struct wk_rng a, b, c;
    wk_rng_seed(&a, 1);
    wk_rng_seed(&b, 1);
    wk_rng_seed(&c, 2);
    int equal = 0;
    for (int i = 0; i < 1000; i++) {
        const uint64_t v = wk_rng_next(&a);
        assert_true(v == wk_rng_next(&b));
        equal += v == wk_rng_next(&c);
    }
    assert_int_equal(equal, 0);
    wk_rng_seed(&a, 0);
    assert_true(a.s[0] | a.s[1] | a.s[2] | a.s[3]);
}

static void below_is_bounded_and_even(void **state)
{
    (void)state;
    struct wk_rng r;
    int count[7] = { 0 };
    wk_rng_seed(&r, 5);
    for (int i = 0; i < 70000; i++) {
        const uint64_t v = wk_rng_below(&r, 7);
        assert_true(v < 7);
        count[v]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(count[i], 9500, 10500);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(wk_rng_below(&r, 1), 0);
        assert_true(wk_rng_below(&r, (1ULL << 63) + 1) <= 1ULL << 63);
    }
}

static void snowflake_is_laid_out_as_documented(void **state)
{
    (void)state;
    struct wk_snowflake s;
    wk_snowflake_init(&s, 1001, 3, 8);
    const uint64_t id = (uint64_t)wk_snowflake_next(&s, WK_SNOWFLAKE_EPOCH_MS + 5000);
    assert_int_equal(id >> 22, 5000);
    assert_int_equal((id >> 12) & 1023, 1001);
    assert_int_equal(id & 4095, 3);
    assert_int_equal((uint64_t)wk_snowflake_next(&s, WK_SNOWFLAKE_EPOCH_MS + 5000) & 4095, 11);
}

static void snowflake_never_goes_back_whatever_the_clock_does(void **state)
{
    (void)state;
    struct wk_rng r;
    struct wk_snowflake s;
    wk_rng_seed(&r, 9);
    wk_snowflake_init(&s, 1023, 0, 3);
    uint64_t wall = WK_SNOWFLAKE_EPOCH_MS;
    int64_t last = 0;
    for (int i = 0; i < 200000; i++) {
        switch (wk_rng_below(&r, 100)) {
        case 0:
            wall -= wk_rng_below(&r, 3000);
            break;
        case 1:
            wall += wk_rng_below(&r, 3000);
            break;
        case 2:
            wall = i % 2 ? 0 : wall;
            break;
        default:
            break;
        }
        const int64_t id = wk_snowflake_next(&s, wall);
        assert_true(id > last);
        assert_true(wall < WK_SNOWFLAKE_EPOCH_MS ||
                    (uint64_t)id >> 22 >= wall - WK_SNOWFLAKE_EPOCH_MS);
        last = id;
        if (wall < WK_SNOWFLAKE_EPOCH_MS)
            wall = WK_SNOWFLAKE_EPOCH_MS + 1000;
    }
}

static int by_value(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void lanes_of_one_node_never_collide(void **state)
{
    (void)state;
    static const uint32_t lane_counts[] = { 1, 2, 3, 7, 64, 4096 };
    for (size_t c = 0; c < sizeof(lane_counts) / sizeof(lane_counts[0]); c++) {
        const uint32_t lanes = lane_counts[c], used = lanes > 7 ? 7 : lanes;
        const size_t each = 6000;
        int64_t *ids = malloc(used * each * sizeof(*ids));
        size_t n = 0;
        for (uint32_t k = 0; k < used; k++) {
            struct wk_snowflake s;
            /* The last lanes are the ones that could run over the 12 bits. */
            wk_snowflake_init(&s, 5, lanes - used + k, lanes);
            for (size_t i = 0; i < each; i++)
                ids[n++] = wk_snowflake_next(&s, WK_SNOWFLAKE_EPOCH_MS + 77 + i / 900);
        }
        qsort(ids, n, sizeof(*ids), by_value);
        for (size_t i = 1; i < n; i++)
            assert_true(ids[i] != ids[i - 1]);
        for (size_t i = 0; i < n; i++)
            assert_int_equal((ids[i] >> 12) & 1023, 5);
        free(ids);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_clock_does_not_go_back),
        cmocka_unit_test(kernel_randomness_fills_every_byte),
        cmocka_unit_test(same_seed_same_stream),
        cmocka_unit_test(below_is_bounded_and_even),
        cmocka_unit_test(snowflake_is_laid_out_as_documented),
        cmocka_unit_test(snowflake_never_goes_back_whatever_the_clock_does),
        cmocka_unit_test(lanes_of_one_node_never_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
