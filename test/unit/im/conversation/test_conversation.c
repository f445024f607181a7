/* Conversation rows, unread counts and the outbox that makes rows in other slots. */
#include "../im_test.h"

static void say(const char *from, const char *to)
{
    assert_int_equal(cl_text(&c, from, PERSON, to, "x", NULL), OK);
}

static void say_group(const char *from, const char *group)
{
    assert_int_equal(cl_text(&c, from, GROUP, group, "x", NULL), OK);
}

static void expect_unread(const char *uid, uint8_t type, const char *peer, uint64_t unread)
{
    const struct cl_conversation v = cl_conversation(&c, uid, type, peer);

    assert_true(v.found);
    assert_int_equal(v.unread, unread);
}

static void the_first_message_makes_both_conversations_before_it_is_answered(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        char from[16], to[16];
        snprintf(from, sizeof(from), "a%u", i);
        snprintf(to, sizeof(to), "b%u", i);
        say(from, to);
        /* Nothing else runs between: the rows must be there already. */
        assert_int_equal(cl_conversations(&c, from), 1);
        assert_int_equal(cl_conversations(&c, to), 1);
        expect_unread(to, PERSON, from, 1);
        expect_unread(from, PERSON, to, 0);
    }
}

static void the_outbox_is_empty_once_its_effects_are_done(void **state)
{
    (void)state;
    say("u1", "u2");
    cl_settle(&c);
    for (uint32_t s = 0; s < c.opt.slots; s++)
        assert_int_equal(cl_outbox(&c, s), 0);
}

/* The pair lives on shard 0, both people on shard 1, which does not run until the process died. */
static void the_outbox_is_run_again_after_a_crash_between_slots(void **state)
{
    (void)state;
    char a[16], b[16], pair[40];
    struct wk_buf sid = WK_BUF_INIT;
    struct cl_call call;
    struct wk_record r;
    struct wk_buf in = WK_BUF_INIT;

    for (unsigned n = 0;; n++) {
        cl_name_on(&c, a, sizeof(a), "a", 1, n);
        cl_name_on(&c, b, sizeof(b), "b", 1, n / 2);
        wk_buf_clear(&sid);
        im_stored_id(&sid, PERSON, wk_str(a), wk_str(b));
        snprintf(pair, sizeof(pair), "%.*s", (int)sid.n, (const char *)sid.p);
        if (cl_shard_index(&c, pair) == 0)
            break;
    }
    r = (struct wk_record){ .channel_type = PERSON,
                            .message_id = 1,
                            .channel_id = wk_buf_slice(&sid),
                            .from_uid = wk_str(a),
                            .payload = wk_str("x") };
    im_send_encode(&in, &(struct im_send_head){ .bits = IM_SEND_API }, &r);
    cl_begin(&c, &call, IM_SEND, cl_slot(&c, pair), &in);
    for (unsigned i = 0; cl_outbox(&c, cl_slot(&c, pair)) == 0; i++) {
        (void)cl_poll(&c, 0);
        assert_true(i < 100000000);
    }
    assert_false(call.done);
    cl_crash(&c);
    assert_true(call.done);
    wk_call_fini(&call.call);
    cl_up(&c);
    /* the other slot may have become ready later: the effect is tried again */
    cl_advance(&c, 1000);
    assert_int_equal(cl_outbox(&c, cl_slot(&c, pair)), 0);
    assert_int_equal(cl_conversations(&c, a), 1);
    expect_unread(b, PERSON, a, 1);
    wk_buf_fini(&sid);
}

static void unread_is_what_came_after_the_read_position(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        say("u1", "u2");
    expect_unread("u2", PERSON, "u1", 5);
    assert_int_equal(cl_conv_move(&c, "u2", PERSON, "u1", IM_CONV_CLEAR, 0), WKIM_OK);
    expect_unread("u2", PERSON, "u1", 0);
    say("u1", "u2");
    expect_unread("u2", PERSON, "u1", 1);
}

static void own_messages_count_as_read(void **state)
{
    (void)state;
    say("u1", "u2");
    say("u1", "u2");
    say("u2", "u1");
    expect_unread("u2", PERSON, "u1", 0);
    expect_unread("u1", PERSON, "u2", 1);
    say("u1", "u2");
    expect_unread("u2", PERSON, "u1", 1);
    expect_unread("u1", PERSON, "u2", 0);
}

static void set_unread_is_exact_up_and_down(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++)
        say("u1", "u2");
    const uint64_t wanted[] = { 3, 5, 1, 6, 0, 2 };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        assert_int_equal(cl_conv_move(&c, "u2", PERSON, "u1", IM_CONV_SET, wanted[i]), WKIM_OK);
        expect_unread("u2", PERSON, "u1", wanted[i]);
    }
    say("u1", "u2");
    expect_unread("u2", PERSON, "u1", 3);
}

static void set_unread_counts_also_when_the_last_message_is_ones_own(void **state)
{
    (void)state;
    say("u1", "u2");
    say("u2", "u1");
    assert_int_equal(cl_conv_move(&c, "u2", PERSON, "u1", IM_CONV_SET, 2), WKIM_OK);
    expect_unread("u2", PERSON, "u1", 2);
    say("u2", "u1"); /* a new own message reads everything */
    expect_unread("u2", PERSON, "u1", 0);
}

static void a_deleted_conversation_hides_until_the_next_message(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        say("u1", "u2");
    assert_int_equal(cl_conv_move(&c, "u2", PERSON, "u1", IM_CONV_HIDE, 0), WKIM_OK);
    assert_false(cl_conversation(&c, "u2", PERSON, "u1").found);
    assert_true(cl_conversation(&c, "u1", PERSON, "u2").found);
    say("u1", "u2");
    const struct cl_conversation v = cl_conversation(&c, "u2", PERSON, "u1");
    assert_true(v.found);
    assert_int_equal(v.unread, 1); /* what was hidden is not unread */
    assert_int_equal(v.n_recents, 1);
}

static void clearing_a_channel_without_messages_makes_no_row(void **state)
{
    (void)state;
    assert_int_equal(cl_conv_move(&c, "u1", PERSON, "u9", IM_CONV_CLEAR, 0), WKIM_OK);
    assert_int_equal(cl_conv_move(&c, "u1", PERSON, "u9", IM_CONV_HIDE, 0), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u1"), 0);
}

static void a_new_subscriber_starts_with_everything_read(void **state)
{
    (void)state;
    add_members("g", "u1");
    say_group("u1", "g");
    say_group("u1", "g");
    add_members("g", "u2");
    assert_int_equal(cl_conversations(&c, "u2"), 1);
    say_group("u1", "g");
    expect_unread("u2", GROUP, "g", 1);
}

static void adding_a_member_again_keeps_its_positions(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    say_group("u1", "g");
    say_group("u1", "g");
    add_members("g", "u2");
    expect_unread("u2", GROUP, "g", 2);
}

static void live_channels_make_no_conversations(void **state)
{
    (void)state;
    assert_int_equal(
        cl_list(&c, WKIM_CHANNEL_LIVE, "show", WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(cl_conversations(&c, "u1"), 0);
}

static void a_visitor_gets_a_conversation_too(void **state)
{
    (void)state;
    assert_int_equal(cl_text(&c, "v1", WKIM_CHANNEL_VISITORS, "v1", "help", NULL), OK);
    assert_int_equal(cl_conversations(&c, "v1"), 1);
}

static void positions_survive_a_restart(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        say("u1", "u2");
    assert_int_equal(cl_conv_move(&c, "u2", PERSON, "u1", IM_CONV_SET, 2), WKIM_OK);
    for (int wipe = 0; wipe < 2; wipe++) {
        cl_restart(&c, wipe);
        expect_unread("u2", PERSON, "u1", 2);
        expect_unread("u1", PERSON, "u2", 0);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_first_message_makes_both_conversations_before_it_is_answered),
        T(the_outbox_is_empty_once_its_effects_are_done),
        T(the_outbox_is_run_again_after_a_crash_between_slots),
        T(unread_is_what_came_after_the_read_position),
        T(own_messages_count_as_read),
        T(set_unread_is_exact_up_and_down),
        T(set_unread_counts_also_when_the_last_message_is_ones_own),
        T(a_deleted_conversation_hides_until_the_next_message),
        T(clearing_a_channel_without_messages_makes_no_row),
        T(a_new_subscriber_starts_with_everything_read),
        T(adding_a_member_again_keeps_its_positions),
        T(live_channels_make_no_conversations),
        T(a_visitor_gets_a_conversation_too),
        T(positions_survive_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
