/* Subscribers, allow and deny lists: what they hold and what their changes mean for
 * conversations. */
#include "../im_test.h"

/* "a b c": uids of a list, from `after` on. */
static const char *members(uint8_t type, const char *id, uint8_t list, const char *after,
                           uint32_t limit, bool *more)
{
    static char out[512];
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, type, wk_str(id));
    wk_buf_u8(&b, list);
    wk_buf_str(&b, wk_str(after));
    wk_buf_u32(&b, limit);
    struct cl_answer a = cl_do(&c, IM_LIST_GET, cl_slot(&c, id), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    size_t at = 0;
    out[0] = 0;
    assert_int_equal(a.code, WKIM_OK);
    while (wk_cursor_left(&cur) && !cur.bad) {
        wkim_slice uid = wk_cursor_str(&cur);
        (void)wk_cursor_bytes(&cur, 24);
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", at ? " " : "", (int)uid.n,
                               (const char *)uid.p);
    }
    assert_false(cur.bad);
    if (more)
        *more = a.number[1];
    cl_answer_fini(&a);
    return out;
}

static void expect_list(uint8_t list, const char *uids)
{
    assert_string_equal(members(GROUP, "g", list, "", 0, NULL), uids);
    cl_restart(&c, true);
    assert_string_equal(members(GROUP, "g", list, "", 0, NULL), uids);
}

static int change(uint8_t list, uint8_t op, const char *uids)
{
    return cl_list(&c, GROUP, "g", list, op, uids);
}

static void add_and_remove_are_idempotent(void **state)
{
    (void)state;
    for (uint8_t list = WK_LIST_SUBSCRIBER; list <= WK_LIST_DENY; list++) {
        assert_int_equal(change(list, WKIM_LIST_ADD, "b a c b"), WKIM_OK);
        assert_int_equal(change(list, WKIM_LIST_ADD, "a"), WKIM_OK);
        expect_list(list, "a b c");
        assert_int_equal(change(list, WKIM_LIST_REMOVE, "b nobody"), WKIM_OK);
        expect_list(list, "a c");
    }
}

static void set_replaces_and_clear_empties(void **state)
{
    (void)state;
    for (uint8_t list = WK_LIST_SUBSCRIBER; list <= WK_LIST_DENY; list++) {
        assert_int_equal(change(list, WKIM_LIST_ADD, "a b c"), WKIM_OK);
        assert_int_equal(change(list, WKIM_LIST_SET, "c d"), WKIM_OK);
        expect_list(list, "c d");
        assert_int_equal(change(list, WKIM_LIST_CLEAR, ""), WKIM_OK);
        expect_list(list, "");
        assert_int_equal(change(list, WKIM_LIST_SET, ""), WKIM_OK);
        expect_list(list, "");
    }
}

static void blank_uids_never_enter_a_list(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
    wk_buf_u8(&b, WKIM_LIST_ADD);
    wk_buf_u64(&b, 1);
    wk_buf_str(&b, wk_str("ok"));
    wk_buf_str(&b, wk_str(" "));
    assert_int_equal(cl_do_code(&c, IM_LIST_CHANGE, cl_slot(&c, "g"), &b), WKIM_EINVAL);
    expect_list(WK_LIST_SUBSCRIBER, "");
}

static void a_list_is_read_in_pages(void **state)
{
    (void)state;
    bool more;

    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b c d e"), WKIM_OK);
    assert_string_equal(members(GROUP, "g", WK_LIST_SUBSCRIBER, "", 2, &more), "a b");
    assert_true(more);
    assert_string_equal(members(GROUP, "g", WK_LIST_SUBSCRIBER, "b", 2, &more), "c d");
    assert_true(more);
    assert_string_equal(members(GROUP, "g", WK_LIST_SUBSCRIBER, "d", 2, &more), "e");
    assert_false(more);
}

static void adding_subscribers_creates_the_channel_and_counts(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    assert_int_equal(cl_do_code(&c, IM_CHANNEL_GET, cl_slot(&c, "g"), &b), WKIM_ENOTFOUND);
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b"), WKIM_OK);
    im_channel_key_encode(&b, GROUP, wk_str("g"));
    struct cl_answer a = cl_do(&c, IM_CHANNEL_GET, cl_slot(&c, "g"), &b);
    assert_int_equal(a.code, WKIM_OK);
    assert_int_equal(a.number[0], 2);
    cl_answer_fini(&a);
}

static void removing_a_subscriber_removes_its_conversation(void **state)
{
    (void)state;
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 1);
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, "b"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 0);
    assert_int_equal(cl_conversations(&c, "a"), 1);
}

static void a_set_removes_and_makes_conversations_and_keeps_the_rest(void **state)
{
    (void)state;
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b"), WKIM_OK);
    assert_int_equal(cl_text(&c, "a", GROUP, "g", "x", NULL), OK);
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_SET, "b c"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "a"), 0);
    assert_int_equal(cl_conversations(&c, "c"), 1);
    assert_int_equal(cl_conversation(&c, "b", GROUP, "g").unread, 1); /* its position was kept */
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_CLEAR, ""), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 0);
    assert_int_equal(cl_conversations(&c, "c"), 0);
}

static void receivers_of_a_temporary_channel_get_no_conversation(void **state)
{
    (void)state;
    assert_int_equal(cl_list(&c, WKIM_CHANNEL_TEMP, "t", WK_LIST_SUBSCRIBER, WKIM_LIST_SET, "a b"),
                     WKIM_OK);
    assert_int_equal(cl_conversations(&c, "a"), 0);
    assert_int_equal(cl_list(&c, WKIM_CHANNEL_TEMP, "t", WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "c"),
                     WKIM_OK);
    assert_int_equal(cl_conversations(&c, "c"), 1); /* who is added takes part */
}

static void the_deny_list_takes_the_conversation_and_gives_it_back_as_read(void **state)
{
    (void)state;
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b"), WKIM_OK);
    assert_int_equal(cl_text(&c, "a", GROUP, "g", "x", NULL), OK);
    assert_int_equal(change(WK_LIST_DENY, WKIM_LIST_ADD, "b"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 0);
    assert_int_equal(change(WK_LIST_DENY, WKIM_LIST_REMOVE, "b"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 1);
    const struct cl_conversation v = cl_conversation(&c, "b", GROUP, "g");
    assert_true(v.found);
    assert_int_equal(v.unread, 0);
}

static void who_takes_no_part_gets_no_conversation_from_the_deny_list(void **state)
{
    (void)state;
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "a b"), WKIM_OK);
    assert_int_equal(cl_text(&c, "a", GROUP, "g", "x", NULL), OK);
    assert_int_equal(change(WK_LIST_DENY, WKIM_LIST_ADD, "b x"), WKIM_OK);
    assert_int_equal(change(WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, "b"), WKIM_OK);
    assert_int_equal(change(WK_LIST_DENY, WKIM_LIST_REMOVE, "b x"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "b"), 0);
    assert_int_equal(cl_conversations(&c, "x"), 0);
    assert_int_equal(cl_list(&c, WKIM_CHANNEL_VISITORS, "v", WK_LIST_DENY, WKIM_LIST_ADD, "v"),
                     WKIM_OK);
    assert_int_equal(cl_list(&c, WKIM_CHANNEL_VISITORS, "v", WK_LIST_DENY, WKIM_LIST_REMOVE, "v"),
                     WKIM_OK);
    assert_int_equal(cl_conversations(&c, "v"), 1);
}

static void a_persons_allow_list_makes_both_conversations(void **state)
{
    (void)state;
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_ALLOW, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u1"), 1);
    assert_int_equal(cl_conversations(&c, "u2"), 1);
    assert_int_equal(cl_text(&c, "u1", PERSON, "u2", "x", NULL), OK);
    assert_int_equal(cl_conversation(&c, "u2", PERSON, "u1").unread, 1);
}

static void owners_of_an_allow_list_get_no_conversation_with_themselves(void **state)
{
    (void)state;
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_ALLOW, WKIM_LIST_ADD, "u2 u1"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u2"), 1);
    assert_int_equal(cl_conversations(&c, "u1"), 1);
}

static void a_persons_deny_list_leaves_conversations_alone(void **state)
{
    (void)state;
    assert_int_equal(cl_text(&c, "u1", PERSON, "u2", "x", NULL), OK);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u1"), 1);
    assert_int_equal(cl_conversations(&c, "u2"), 1);
    assert_int_equal(cl_text(&c, "u2", PERSON, "u1", "the way back is open", NULL), OK);
    assert_int_equal(cl_conversation(&c, "u1", PERSON, "u2").unread, 1);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u3"), WKIM_OK);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_REMOVE, "u3"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u3"), 0);
}

static void channels_beyond_the_cache_are_read_again(void **state)
{
    (void)state;
    char group[16];

    cl_free(&c);
    cl_new(&c, &(struct cl_options){ .slots = 1, .shards = 1, .idle_channels_max = 2 });
    for (int i = 0; i < 20; i++) {
        snprintf(group, sizeof(group), "g%d", i);
        add_members(group, "u1");
        assert_int_equal(cl_text(&c, "u1", GROUP, group, "x", NULL), OK);
    }
    for (int i = 0; i < 20; i++) {
        uint64_t seq;
        snprintf(group, sizeof(group), "g%d", i);
        assert_int_equal(cl_text(&c, "u1", GROUP, group, "x", &seq), OK);
        assert_int_equal(seq, 2);
        assert_int_equal(cl_text(&c, "u2", GROUP, group, "x", NULL), WKIM_REASON_NOT_SUBSCRIBER);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(add_and_remove_are_idempotent),
        T(set_replaces_and_clear_empties),
        T(blank_uids_never_enter_a_list),
        T(a_list_is_read_in_pages),
        T(adding_subscribers_creates_the_channel_and_counts),
        T(removing_a_subscriber_removes_its_conversation),
        T(a_set_removes_and_makes_conversations_and_keeps_the_rest),
        T(receivers_of_a_temporary_channel_get_no_conversation),
        T(the_deny_list_takes_the_conversation_and_gives_it_back_as_read),
        T(who_takes_no_part_gets_no_conversation_from_the_deny_list),
        cmocka_unit_test_setup_teardown(a_persons_allow_list_makes_both_conversations, fresh_strict,
                                        gone),
        cmocka_unit_test_setup_teardown(
            owners_of_an_allow_list_get_no_conversation_with_themselves, fresh_strict, gone),
        T(a_persons_deny_list_leaves_conversations_alone),
        T(channels_beyond_the_cache_are_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
