/* The load client's histogram and message_seq check: figures nobody can trust are worth nothing. */
#include "../../perf/wkload/histogram.h"
#include "../../perf/wkload/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct histogram one, two;

static void every_bucket_holds_the_values_up_to_its_upper_bound(void **state)
{
    (void)state;
    for (uint32_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        assert_int_equal(histogram_index(histogram_upper(i)), i);
        assert_int_equal(histogram_index(histogram_upper(i) + 1), i + 1);
    }
}

static void a_bucket_is_at_most_a_64th_of_its_value_wide(void **state)
{
    (void)state;
    for (uint32_t i = 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_upper(i - 1) + 1;
        assert_true((histogram_upper(i) - low) * 64 <= low);
    }
}

static void values_beyond_the_range_fall_into_the_last_bucket(void **state)
{
    (void)state;
    assert_int_equal(histogram_index(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    histogram_reset(&one);
    histogram_add(&one, UINT64_MAX / 2);
    assert_int_equal(one.max, UINT64_MAX / 2);
}

static void percentiles_of_a_known_series(void **state)
{
    (void)state;
    histogram_reset(&one);
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(&one, v);
    assert_int_equal(histogram_percentile(&one, 0), 1);
    assert_int_equal(histogram_percentile(&one, 50), 50);
    assert_int_equal(histogram_percentile(&one, 99), 99);
    assert_int_equal(histogram_percentile(&one, 99.9), 100);
    assert_int_equal(histogram_percentile(&one, 100), 100);
    assert_true(histogram_mean(&one) > 50.4 && histogram_mean(&one) < 50.6);
}

static void a_percentile_is_never_above_the_maximum(void **state)
{
    (void)state;
    histogram_reset(&one);
    histogram_add(&one, 1000001);
    assert_int_equal(histogram_percentile(&one, 50), 1000001);
    assert_int_equal(histogram_percentile(&one, 100), 1000001);
}

static void an_empty_histogram_has_zeros(void **state)
{
    (void)state;
    histogram_reset(&one);
    assert_int_equal(histogram_percentile(&one, 99), 0);
    assert_true(histogram_mean(&one) <= 0.0);
}

static void merged_histograms_equal_one_that_saw_everything(void **state)
{
    struct histogram all;

    (void)state;
    histogram_reset(&one);
    histogram_reset(&two);
    histogram_reset(&all);
    for (uint64_t v = 3; v < 5000000; v = v * 5 / 4 + 1) {
        histogram_add(v % 2 ? &one : &two, v);
        histogram_add(&all, v);
    }
    histogram_merge(&one, &two);
    assert_memory_equal(&one, &all, sizeof(all));
    histogram_reset(&two);
    histogram_merge(&one, &two);
    assert_memory_equal(&one, &all, sizeof(all));
}

static void a_strict_sequence_reports_gaps_and_repeats(void **state)
{
    struct sequence s;

    (void)state;
    assert_int_equal(sequence_init(&s, 0), 0);
    assert_int_equal(sequence_add(&s, 1), SEQUENCE_OK);
    assert_int_equal(sequence_add(&s, 2), SEQUENCE_OK);
    assert_int_equal(sequence_add(&s, 2), SEQUENCE_REPEAT);
    assert_int_equal(sequence_add(&s, 5), SEQUENCE_GAP);
    assert_int_equal(sequence_add(&s, 4), SEQUENCE_REPEAT);
    assert_int_equal(sequence_add(&s, 6), SEQUENCE_OK);
    assert_int_equal(sequence_missing(&s), 2);
    sequence_fini(&s);
}

static void a_strict_sequence_starts_at_one(void **state)
{
    struct sequence s;

    (void)state;
    assert_int_equal(sequence_init(&s, 0), 0);
    assert_int_equal(sequence_add(&s, 3), SEQUENCE_GAP);
    assert_int_equal(sequence_missing(&s), 2);
    sequence_fini(&s);
}

static void a_mixed_sequence_takes_any_order_and_names_what_is_missing(void **state)
{
    struct sequence s;

    (void)state;
    assert_int_equal(sequence_init(&s, 1), 0);
    for (uint64_t base = 0; base < 4 * SEQUENCE_AHEAD; base += 4) { /* the ring is used again */
        assert_int_equal(sequence_add(&s, base + 3), SEQUENCE_OK);
        assert_int_equal(sequence_add(&s, base + 3), SEQUENCE_REPEAT);
        assert_int_equal(sequence_add(&s, base + 1), SEQUENCE_OK);
        assert_int_equal(sequence_missing(&s), 1);
        assert_int_equal(sequence_add(&s, base + 2), SEQUENCE_OK);
        assert_int_equal(sequence_add(&s, base + 1), SEQUENCE_REPEAT);
        assert_int_equal(sequence_missing(&s), 0);
        assert_int_equal(sequence_add(&s, base + 4), SEQUENCE_OK);
    }
    assert_int_equal(s.low, 4 * SEQUENCE_AHEAD);
    sequence_fini(&s);
}

static void a_mixed_sequence_cannot_run_past_its_ring(void **state)
{
    struct sequence s;

    (void)state;
    assert_int_equal(sequence_init(&s, 1), 0);
    assert_int_equal(sequence_add(&s, SEQUENCE_AHEAD), SEQUENCE_FAR);
    assert_int_equal(sequence_add(&s, SEQUENCE_AHEAD - 1), SEQUENCE_OK);
    assert_int_equal(sequence_missing(&s), SEQUENCE_AHEAD - 2);
    sequence_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bucket_holds_the_values_up_to_its_upper_bound),
        cmocka_unit_test(a_bucket_is_at_most_a_64th_of_its_value_wide),
        cmocka_unit_test(values_beyond_the_range_fall_into_the_last_bucket),
        cmocka_unit_test(percentiles_of_a_known_series),
        cmocka_unit_test(a_percentile_is_never_above_the_maximum),
        cmocka_unit_test(an_empty_histogram_has_zeros),
        cmocka_unit_test(merged_histograms_equal_one_that_saw_everything),
        cmocka_unit_test(a_strict_sequence_reports_gaps_and_repeats),
        cmocka_unit_test(a_strict_sequence_starts_at_one),
        cmocka_unit_test(a_mixed_sequence_takes_any_order_and_names_what_is_missing),
        cmocka_unit_test(a_mixed_sequence_cannot_run_past_its_ring),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
