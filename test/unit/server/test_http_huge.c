/* Numbers of a body that no 64 bits hold. */
#include "../../../server/http/huge.c"
#include "../../../server/http/jsonbuf.c"
#include "../../../server/http/text.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check(const char *text, const char *want)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_huge_wrap(wk_text_slice(text), &b);
    assert_false(b.failed);
    assert_int_equal(b.n, strlen(want));
    assert_memory_equal(b.p, want, b.n);
    wk_jsonbuf_fini(&b);
}

static void what_fits_stays_as_it_is(void **state)
{
    (void)state;
    check(" ", " ");
    check("[1,-2,0.5,1e3,9223372036854775807,-9223372036854775808]",
          "[1,-2,0.5,1e3,9223372036854775807,-9223372036854775808]");
    check("{\"99999999999999999999\":\"1e999 \\\" 99999999999999999999\"}",
          "{\"99999999999999999999\":\"1e999 \\\" 99999999999999999999\"}");
    check("\"never ends 99999999999999999999", "\"never ends 99999999999999999999");
    check("\"\\", "\"\\");
    check("[-,+e.,1e400x", "[-,+e.,{\"\\u0001huge\":\"1e400\"}x");
}

static void what_does_not_fit_is_wrapped(void **state)
{
    (void)state;
    check("9223372036854775808", "{\"\\u0001huge\":\"9223372036854775808\"}");
    check("[1e400,-1e400]", "[{\"\\u0001huge\":\"1e400\"},{\"\\u0001huge\":\"-1e400\"}]");
}

static uint64_t number(const char *text, int want)
{
    struct wk_jsonbuf b;
    uint64_t v = 7;

    wk_jsonbuf_init(&b);
    wk_huge_wrap(wk_text_slice(text), &b);
    json_t *o = json_loadb(b.p, b.n, JSON_DECODE_ANY, NULL);
    assert_non_null(o);
    assert_int_equal(wk_huge_u64(o, &v), want);
    json_decref(o);
    wk_jsonbuf_fini(&b);
    return v;
}

static void only_a_wrapped_uint64_is_a_number(void **state)
{
    (void)state;
    assert_true(number("18446744073709551615", 1) == UINT64_MAX);
    assert_int_equal(number("18446744073709551616", 0), 7);
    assert_int_equal(number("-9223372036854775809", 0), 7);
    assert_int_equal(number("1e400", 0), 7);
    assert_int_equal(number("5", 0), 7);
    assert_int_equal(number("{\"\\u0001huge\":5}", 0), 7);
    assert_int_equal(number("[]", 0), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_stays_as_it_is),
        cmocka_unit_test(what_does_not_fit_is_wrapped),
        cmocka_unit_test(only_a_wrapped_uint64_is_a_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
