#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "base/error.h"
#include "proto/event_payload.h"

static struct wk_arena arena;

static struct wk_event_payload read_ok(const char *json)
{
    struct wk_event_payload p;

    assert_int_equal(wk_event_payload_read(&p, wk_str(json), &arena), WKIM_OK);
    return p;
}

static void assert_slice(wkim_slice s, const char *text)
{
    assert_true(wk_slice_eq(s, wk_str(text)));
}

static void a_text_delta_gives_its_text(void **state)
{
    (void)state;
    struct wk_event_payload p = read_ok("{\"kind\":\"text\",\"delta\":\"a\\n\\u00e9\"}");
    assert_true(p.text);
    assert_false(p.text_snapshot);
    assert_slice(p.delta, "a\n\xc3\xa9");
}

static void other_payloads_are_no_text(void **state)
{
    (void)state;
    assert_false(read_ok("{\"kind\":\"tool\",\"delta\":\"a\"}").text);
    assert_false(read_ok("{\"kind\":\"text\",\"delta\":1}").text);
    assert_false(read_ok("[1]").text);
    assert_false(read_ok("\"text\"").text);
    assert_false(read_ok("").text);
    assert_false(read_ok("{\"kind\":\"text\",\"text\":\"t\",\"more\":1}").text_snapshot);
    assert_true(read_ok("{\"kind\":\"text\",\"text\":\"t\"}").text_snapshot);
}

static void end_reason_is_a_number_or_a_numeric_text(void **state)
{
    (void)state;
    assert_int_equal(read_ok("{\"end_reason\":2}").end_reason, 2);
    assert_int_equal(read_ok("{\"end_reason\":\"3\"}").end_reason, 3);
    assert_int_equal(read_ok("{\"end_reason\":255}").end_reason, 255);
    assert_int_equal(read_ok("{\"end_reason\":256}").end_reason, 0);
    assert_int_equal(read_ok("{\"end_reason\":-1}").end_reason, 0);
    assert_int_equal(read_ok("{\"end_reason\":\"3x\"}").end_reason, 0);
    assert_int_equal(read_ok("{\"end_reason\":\" 3\"}").end_reason, 0);
}

static void snapshot_and_error_are_taken_out(void **state)
{
    (void)state;
    struct wk_event_payload p = read_ok("{\"snapshot\":{ \"z\" : 1 },\"error\":\"boom\"}");
    assert_slice(p.snapshot, "{\"z\":1}");
    assert_false(p.snapshot_text);
    assert_slice(p.error, "boom");
    p = read_ok("{\"snapshot\":{\"kind\":\"text\",\"text\":\"t\"},\"error\":1}");
    assert_true(p.snapshot_text);
    assert_slice(p.snapshot, "t");
    assert_int_equal(p.error.n, 0);
}

static void what_is_no_json_is_refused(void **state)
{
    struct wk_event_payload p;
    (void)state;

    assert_int_equal(wk_event_payload_read(&p, WK_LIT("{"), &arena), WKIM_EPROTO);
    assert_int_equal(wk_event_payload_read(&p, WK_LIT("{} x"), &arena), WKIM_EPROTO);
    assert_int_equal(wk_event_payload_read(&p, WK_LIT("\"\xff\""), &arena), WKIM_EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_delta_gives_its_text),
        cmocka_unit_test(other_payloads_are_no_text),
        cmocka_unit_test(end_reason_is_a_number_or_a_numeric_text),
        cmocka_unit_test(snapshot_and_error_are_taken_out),
        cmocka_unit_test(what_is_no_json_is_refused),
    };

    wk_arena_init(&arena, 0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wk_arena_fini(&arena);
    return failed;
}
