/* Changes of long lists: many small commands, one answer, the same outcome. */
#include "../im_test.h"

#define MANY 3000

/* uids from, from + step ... below to, in the order of their numbers backwards */
static int change(uint8_t op, unsigned from, unsigned to, unsigned step)
{
    char *uids = wk_malloc((size_t)MANY * 8 + 1);
    size_t at = 0;

    assert_non_null(uids);
    uids[0] = 0;
    for (unsigned i = to; i-- > from;) {
        if ((i - from) % step == 0)
            at += (size_t)sprintf(uids + at, "%sm%05u", at ? " " : "", i);
    }
    int code = cl_list(&c, GROUP, "g", WK_LIST_SUBSCRIBER, op, uids);
    wk_free(uids);
    return code;
}

static uint32_t listed(wkim_slice *last)
{
    static char room[16];
    struct wk_buf b = WK_BUF_INIT;
    uint32_t n = 0;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
    wk_buf_str(&b, wk_str(""));
    wk_buf_u32(&b, 0);
    struct cl_answer a = cl_do(&c, IM_LIST_GET, cl_slot(&c, "g"), &b);
    assert_int_equal(a.code, WKIM_OK);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    for (; wk_cursor_left(&cur); n++) {
        wkim_slice uid = wk_cursor_str(&cur);
        memcpy(room, uid.p, uid.n);
        *last = wk_slice((uint8_t *)room, uid.n);
        (void)wk_cursor_bytes(&cur, 24);
    }
    cl_answer_fini(&a);
    return n;
}

static void expect(uint32_t n, const char *last)
{
    wkim_slice uid = wk_str("");

    for (int again = 0; again < 2; again++) {
        assert_int_equal(listed(&uid), n);
        assert_true(wk_slice_eq(uid, wk_str(n ? last : "")));
        if (!again)
            cl_restart(&c, true);
        uid = wk_str("");
    }
    cl_advance(&c, 1000); /* effects that met a slot which did not serve yet are repeated */
    assert_int_equal(cl_outbox(&c, cl_slot(&c, "g")), 0);
}

static void all_are_added_with_their_conversations(void **state)
{
    (void)state;
    assert_int_equal(change(WKIM_LIST_ADD, 0, MANY, 1), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "m00000"), 1);
    assert_int_equal(cl_conversations(&c, "m02999"), 1);
    expect(MANY, "m02999");
}

static void a_set_keeps_those_it_names(void **state)
{
    (void)state;
    assert_int_equal(change(WKIM_LIST_ADD, 0, 2000, 1), WKIM_OK);
    assert_int_equal(change(WKIM_LIST_SET, 1000, MANY, 1), WKIM_OK);
    expect(2000, "m02999");
    assert_int_equal(cl_conversations(&c, "m00999"), 0);
    assert_int_equal(cl_conversations(&c, "m01000"), 1);
    assert_int_equal(change(WKIM_LIST_SET, 1500, 1501, 1), WKIM_OK);
    expect(1, "m01500");
    assert_int_equal(cl_conversations(&c, "m02999"), 0);
}

static void all_are_removed(void **state)
{
    (void)state;
    assert_int_equal(change(WKIM_LIST_ADD, 0, MANY, 1), WKIM_OK);
    assert_int_equal(change(WKIM_LIST_REMOVE, 0, MANY, 2), WKIM_OK);
    expect(MANY / 2, "m02999");
    assert_int_equal(change(WKIM_LIST_CLEAR, 0, 0, 1), WKIM_OK);
    expect(0, "");
    assert_int_equal(cl_conversations(&c, "m00001"), 0);
}

static void begin_to_add_all(struct cl_call *call)
{
    struct wk_buf b = WK_BUF_INIT;
    char uid[16];

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
    wk_buf_u8(&b, WKIM_LIST_ADD);
    wk_buf_u64(&b, c.wall_ms);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(uid, sizeof(uid), "m%05u", i);
        wk_buf_str(&b, wk_str(uid));
    }
    cl_begin(&c, call, IM_LIST_CHANGE, cl_slot(&c, "g"), &b);
}

static void others_are_served_between_the_pieces(void **state)
{
    struct cl_call call;
    (void)state;

    add_members("h", "ann bob");
    begin_to_add_all(&call);
    assert_int_equal(cl_text(&c, "ann", GROUP, "h", "x", NULL), OK);
    assert_false(call.done);
    struct cl_answer a = cl_take(&c, &call);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    expect(MANY, "m02999");
}

/* A crash between the pieces: what was answered is there, asking again completes it. */
static void a_crash_leaves_a_list_that_can_be_completed(void **state)
{
    struct cl_call call;
    wkim_slice last;
    (void)state;

    begin_to_add_all(&call);
    assert_int_equal(cl_text(&c, "x", PERSON, "y", "x", NULL), OK);
    assert_false(call.done);
    cl_crash(&c);
    assert_true(call.done);
    struct cl_answer a = cl_take(&c, &call);
    assert_int_not_equal(a.code, WKIM_OK); /* nobody was told that it was done */
    cl_answer_fini(&a);
    cl_up(&c);
    cl_settle(&c);
    assert_true(listed(&last) < MANY);
    assert_int_equal(change(WKIM_LIST_ADD, 0, MANY, 1), WKIM_OK);
    expect(MANY, "m02999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_are_added_with_their_conversations, fresh, gone),
        cmocka_unit_test_setup_teardown(a_set_keeps_those_it_names, fresh, gone),
        cmocka_unit_test_setup_teardown(all_are_removed, fresh, gone),
        cmocka_unit_test_setup_teardown(others_are_served_between_the_pieces, fresh, gone),
        cmocka_unit_test_setup_teardown(a_crash_leaves_a_list_that_can_be_completed, fresh,
                                        gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
