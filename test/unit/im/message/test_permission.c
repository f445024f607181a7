/* Who may send where, rule by rule in their order; the first hit decides. */
#include "../im_test.h"

static int from_api(const char *from, uint8_t type, const char *to)
{
    return cl_send(&c, &(struct cl_send){ .from = from, .type = type, .to = to, .api = true })
        .reason;
}

static int send_to(const char *from, uint8_t type, const char *to)
{
    return cl_text(&c, from, type, to, "x", NULL);
}

static void c0_open_types_do_not_look_at_ban_and_disband(void **state)
{
    (void)state;
    const uint8_t types[] = { WKIM_CHANNEL_CUSTOMER_SERVICE, WKIM_CHANNEL_INFO,
                              WKIM_CHANNEL_VISITORS };

    for (size_t i = 0; i < sizeof(types); i++) {
        assert_int_equal(cl_flags(&c, types[i], "u1", WKIM_CHANNEL_BAN | WKIM_CHANNEL_DISBAND),
                         WKIM_OK);
        assert_int_equal(send_to("u1", types[i], "u1"), OK);
    }
    assert_int_equal(cl_flags(&c, WKIM_CHANNEL_AGENT, "u1@bot", WKIM_CHANNEL_BAN), WKIM_OK);
    assert_int_equal(send_to("u1", WKIM_CHANNEL_AGENT, "bot"), OK);
}

static void c1_a_banned_channel_refuses_members_system_accounts_and_the_api(void **state)
{
    (void)state;
    add_members("g", "u1");
    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), OK);
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_BAN | WKIM_CHANNEL_DISBAND), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), WKIM_REASON_BAN); /* before disband */
    assert_int_equal(send_to("robot", GROUP, "g"), WKIM_REASON_BAN);
    assert_int_equal(from_api("u1", GROUP, "g"), WKIM_REASON_BAN);
}

static void c2_a_disbanded_channel_refuses_everybody(void **state)
{
    (void)state;
    add_members("g", "u1");
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_DISBAND), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), WKIM_REASON_DISBAND);
    assert_int_equal(send_to("stranger", GROUP, "g"), WKIM_REASON_DISBAND);
    assert_int_equal(from_api("u1", GROUP, "g"), WKIM_REASON_DISBAND);
}

static void c2_commands_obey_the_channel_they_belong_to(void **state)
{
    (void)state;
    const struct cl_send cmd = { .from = "u1", .type = GROUP, .to = "g", .cmd = true, .api = true };

    add_members("g", "u1");
    assert_int_equal(cl_send(&c, &cmd).reason, OK);
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_BAN), WKIM_OK);
    assert_int_equal(cl_send(&c, &cmd).reason, WKIM_REASON_BAN);
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_DISBAND), WKIM_OK);
    assert_int_equal(cl_send(&c, &cmd).reason, WKIM_REASON_DISBAND);
}

static void c1_a_banned_person_can_still_be_written_to(void **state)
{
    (void)state;
    assert_int_equal(cl_flags(&c, PERSON, "u2", WKIM_CHANNEL_BAN), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), OK);
}

static void s1_info_and_customer_service_take_messages_from_anybody(void **state)
{
    (void)state;
    assert_int_equal(send_to("stranger", WKIM_CHANNEL_INFO, "news"), OK);
    assert_int_equal(send_to("stranger", WKIM_CHANNEL_CUSTOMER_SERVICE, "v1|desk"), OK);
}

static void s2_agent_channels_are_open_to_their_two_sides(void **state)
{
    (void)state;
    assert_int_equal(send_to("u1", WKIM_CHANNEL_AGENT, "bot"), OK);
    assert_int_equal(send_to("bot", WKIM_CHANNEL_AGENT, "u1"), OK);
}

static void s3_a_visitor_may_write_to_its_own_channel_only(void **state)
{
    (void)state;
    assert_int_equal(send_to("v1", WKIM_CHANNEL_VISITORS, "v1"), OK);
    assert_int_equal(send_to("v2", WKIM_CHANNEL_VISITORS, "v1"), WKIM_REASON_NOT_SUBSCRIBER);
}

static void s4_the_api_skips_the_sender_checks(void **state)
{
    (void)state;
    assert_int_equal(from_api("stranger", GROUP, "g"), OK);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(from_api("u1", PERSON, "u2"), OK);
}

static void s5_a_system_account_may_send_anywhere(void **state)
{
    (void)state;
    assert_int_equal(send_to("robot", GROUP, "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "robot"), WKIM_OK);
    assert_int_equal(send_to("robot", PERSON, "u2"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    assert_int_equal(send_to("robot", GROUP, "g"), OK);
    assert_int_equal(send_to("robot", PERSON, "u2"), OK);
    assert_int_equal(cl_system(&c, false, "robot"), WKIM_OK);
    assert_int_equal(send_to("robot", GROUP, "g"), WKIM_REASON_NOT_SUBSCRIBER);
}

static void s6_anybody_may_write_to_a_system_account(void **state)
{
    (void)state;
    assert_int_equal(send_to("u1", PERSON, "robot"), WKIM_REASON_NOT_IN_ALLOWLIST); /* strict */
    assert_int_equal(cl_list(&c, PERSON, "robot", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "robot"), OK);
}

static void s7_the_receivers_deny_list_comes_before_its_allow_list(void **state)
{
    (void)state;
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_ALLOW, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), OK);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_REMOVE, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), OK);
}

static void s7_a_deny_list_of_one_side_does_not_bind_the_other(void **state)
{
    (void)state;
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(send_to("u2", PERSON, "u1"), OK);
}

static void s8_strict_mode_asks_the_receivers_allow_list(void **state)
{
    (void)state;
    assert_int_equal(send_to("u1", PERSON, "u2"), WKIM_REASON_NOT_IN_ALLOWLIST);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_ALLOW, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), OK);
    assert_int_equal(send_to("u2", PERSON, "u1"), WKIM_REASON_NOT_IN_ALLOWLIST);
}

static void s8_allow_stranger_satisfies_strict_mode_but_not_the_deny_list(void **state)
{
    (void)state;
    assert_int_equal(cl_flags(&c, PERSON, "u2", WKIM_CHANNEL_ALLOW_STRANGER), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), OK);
    assert_int_equal(cl_list(&c, PERSON, "u2", WK_LIST_DENY, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", PERSON, "u2"), WKIM_REASON_IN_DENYLIST);
}

static void s9_a_groups_deny_list_is_checked_before_membership(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    assert_int_equal(cl_list(&c, GROUP, "g", WK_LIST_DENY, WKIM_LIST_ADD, "u1 stranger"), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(send_to("stranger", GROUP, "g"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(send_to("u2", GROUP, "g"), OK);
}

static void s10_only_subscribers_may_send_to_a_group(void **state)
{
    (void)state;
    assert_int_equal(send_to("u1", GROUP, "unknown"), WKIM_REASON_NOT_SUBSCRIBER);
    add_members("g", "u1");
    assert_int_equal(send_to("u2", GROUP, "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(send_to("u1", GROUP, "g"), OK);
    assert_int_equal(send_to("u1", 77, "other"), WKIM_REASON_NOT_SUBSCRIBER); /* unknown type */
    assert_int_equal(send_to("u1", 0, "zero"), WKIM_REASON_CHANNEL_TYPE);
}

static void s11_a_groups_allow_list_binds_once_it_is_not_empty(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    assert_int_equal(send_to("u2", GROUP, "g"), OK);
    assert_int_equal(cl_list(&c, GROUP, "g", WK_LIST_ALLOW, WKIM_LIST_ADD, "u1"), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), OK);
    assert_int_equal(send_to("u2", GROUP, "g"), WKIM_REASON_NOT_IN_ALLOWLIST);
    assert_int_equal(cl_list(&c, GROUP, "g", WK_LIST_ALLOW, WKIM_LIST_CLEAR, ""), WKIM_OK);
    assert_int_equal(send_to("u2", GROUP, "g"), OK);
}

static void send_ban_of_a_group_stops_members_but_not_system_and_api(void **state)
{
    (void)state;
    add_members("g", "u1");
    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_SEND_BAN), WKIM_OK);
    assert_int_equal(send_to("u1", GROUP, "g"), WKIM_REASON_SEND_BAN);
    assert_int_equal(send_to("robot", GROUP, "g"), OK);
    assert_int_equal(from_api("u1", GROUP, "g"), OK);
}

static void send_ban_of_an_open_channel_stops_everybody_but_system_and_api(void **state)
{
    (void)state;
    const uint8_t types[] = { WKIM_CHANNEL_CUSTOMER_SERVICE, WKIM_CHANNEL_INFO,
                              WKIM_CHANNEL_VISITORS };

    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    for (size_t i = 0; i < sizeof(types); i++) {
        assert_int_equal(cl_flags(&c, types[i], "u1", WKIM_CHANNEL_SEND_BAN), WKIM_OK);
        assert_int_equal(send_to("u1", types[i], "u1"), WKIM_REASON_SEND_BAN);
        assert_int_equal(send_to("robot", types[i], "u1"), OK);
        assert_int_equal(from_api("u1", types[i], "u1"), OK);
    }
}

static void a_refused_message_is_not_stored_and_keeps_its_id(void **state)
{
    (void)state;
    const struct cl_answer a =
        cl_send(&c, &(struct cl_send){ .from = "u2", .type = GROUP, .to = "g", .payload = "no" });
    char seqs[64];

    assert_int_equal(a.code, WKIM_EDENIED);
    assert_int_not_equal(a.number[0], 0);
    assert_int_equal(a.number[1], 0);
    cl_history(&c, GROUP, "g", 0, 0, 10, false, seqs, sizeof(seqs), NULL);
    assert_string_equal(seqs, "");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
#define S(f) cmocka_unit_test_setup_teardown(f, fresh_strict, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(c0_open_types_do_not_look_at_ban_and_disband),
        T(c1_a_banned_channel_refuses_members_system_accounts_and_the_api),
        T(c2_a_disbanded_channel_refuses_everybody),
        T(c2_commands_obey_the_channel_they_belong_to),
        T(c1_a_banned_person_can_still_be_written_to),
        T(s1_info_and_customer_service_take_messages_from_anybody),
        T(s2_agent_channels_are_open_to_their_two_sides),
        T(s3_a_visitor_may_write_to_its_own_channel_only),
        T(s4_the_api_skips_the_sender_checks),
        T(s5_a_system_account_may_send_anywhere),
        S(s6_anybody_may_write_to_a_system_account),
        S(s7_the_receivers_deny_list_comes_before_its_allow_list),
        T(s7_a_deny_list_of_one_side_does_not_bind_the_other),
        S(s8_strict_mode_asks_the_receivers_allow_list),
        S(s8_allow_stranger_satisfies_strict_mode_but_not_the_deny_list),
        T(s9_a_groups_deny_list_is_checked_before_membership),
        T(s10_only_subscribers_may_send_to_a_group),
        T(s11_a_groups_allow_list_binds_once_it_is_not_empty),
        T(send_ban_of_a_group_stops_members_but_not_system_and_api),
        T(send_ban_of_an_open_channel_stops_everybody_but_system_and_api),
        T(a_refused_message_is_not_stored_and_keeps_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
