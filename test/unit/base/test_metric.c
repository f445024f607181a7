#include "base/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static char *text_of(struct wk_buf *b)
{
    wk_buf_u8(b, 0);
    assert_false(b->oom);
    return (char *)b->p;
}

static void a_value_falls_into_the_first_bucket_that_holds_it(void **state)
{
    struct wk_histogram h = { 0 };
    (void)state;

    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 0);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 500);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 501);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 10000000);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 10000001);
    assert_int_equal(h.bucket[0], 2);
    assert_int_equal(h.bucket[1], 1);
    assert_int_equal(h.bucket[13], 1);
    assert_int_equal(h.bucket[14], 1);
    assert_int_equal(h.sum, 20001002);
    memset(&h, 0, sizeof(h));
    wk_histogram_add(&h, WK_BOUNDS_MS, 0);
    wk_histogram_add(&h, WK_BOUNDS_MS, 20000000);
    assert_int_equal(h.bucket[0], 1);
    assert_int_equal(h.bucket[15], 1);
}

static void sums_are_word_by_word(void **state)
{
    uint64_t a[3] = { 1, 2, 3 }, b[3] = { 10, 20, UINT64_MAX };
    (void)state;

    wk_metric_sum(a, b, sizeof(a));
    assert_int_equal(a[0], 11);
    assert_int_equal(a[1], 22);
    assert_int_equal(a[2], 2);
}

static const char *only_odd(unsigned i, uint64_t value, char *room, size_t n)
{
    (void)value;
    (void)room;
    (void)n;
    return i % 2 ? "way=\"odd\"" : NULL;
}

static void values_are_told_exactly(void **state)
{
    const uint64_t v[2] = { 7, 1234567 };
    struct wk_buf b = WK_BUF_INIT;
    struct wk_metric m = { "a_total", "Help.", 0, only_odd, 2, WK_COUNTER, 0, 1000 };
    (void)state;

    wk_metric_put(&b, &m, v);
    assert_string_equal(text_of(&b), "# HELP a_total Help.\n# TYPE a_total counter\n"
                                     "a_total{way=\"odd\"} 1234.567\n");
    wk_buf_clear(&b);
    m = (struct wk_metric){ "g", "Help.", 0, NULL, 1, WK_GAUGE, 0, 1 };
    wk_metric_put(&b, &m, v);
    assert_string_equal(text_of(&b), "# HELP g Help.\n# TYPE g gauge\ng 7\n");
    wk_buf_fini(&b);
}

static void buckets_are_told_cumulated(void **state)
{
    struct wk_histogram h = { 0 };
    struct wk_buf b = WK_BUF_INIT;
    const struct wk_metric m = { "t", "Help.", 0, NULL, 1, WK_HISTOGRAM, WK_BOUNDS_SECONDS, 1 };
    (void)state;

    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 400);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 600);
    wk_histogram_add(&h, WK_BOUNDS_SECONDS, 60000000);
    wk_metric_put(&b, &m, &h);
    const char *text = text_of(&b);
    assert_non_null(strstr(text, "t_bucket{le=\"0.0005\"} 1\n"));
    assert_non_null(strstr(text, "t_bucket{le=\"0.001\"} 2\n"));
    assert_non_null(strstr(text, "t_bucket{le=\"10\"} 2\n"));
    assert_non_null(strstr(text, "t_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "t_sum 60.001\nt_count 3\n"));
    wk_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_falls_into_the_first_bucket_that_holds_it),
        cmocka_unit_test(sums_are_word_by_word),
        cmocka_unit_test(values_are_told_exactly),
        cmocka_unit_test(buckets_are_told_cumulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
