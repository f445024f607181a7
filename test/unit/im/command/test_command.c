/* Commands for users who are away: who gets them, what an acknowledgement means, what survives. */
#include "../im_test.h"

static void command(const char *from, uint8_t type, const char *to, const char *payload)
{
    struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = from,
                                                        .to = to,
                                                        .type = type,
                                                        .flags = WKIM_FLAG_SYNC_ONCE,
                                                        .payload = payload,
                                                        .api = true,
                                                        .cmd = true });
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

static void command_to(const char *const *list, const char *payload)
{
    struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "boss",
                                                        .to = "7____cmd",
                                                        .type = WKIM_CHANNEL_TEMP,
                                                        .flags = WKIM_FLAG_SYNC_ONCE,
                                                        .payload = payload,
                                                        .api = true,
                                                        .list = list });
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

/* The payloads that wait for a user: "c1 c2". */
static const char *sync_n(const char *uid, uint32_t limit)
{
    static char out[512];
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u32(&b, limit);
    struct cl_answer a = cl_do(&c, IM_CMD_SYNC, cl_slot(&c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    size_t at = 0;
    out[0] = 0;
    assert_int_equal(a.code, WKIM_OK);
    while (wk_cursor_left(&cur)) {
        struct wk_record r;
        assert_int_equal(wk_record_decode(&r, wk_cursor_str(&cur)), WKIM_OK);
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", at ? " " : "",
                               (int)r.payload.n, (const char *)r.payload.p);
    }
    cl_answer_fini(&a);
    return out;
}

static const char *sync_all(const char *uid)
{
    return sync_n(uid, 0);
}

static void ack(const char *uid, uint64_t number)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u64(&b, number);
    wk_buf_u64(&b, 1);
    assert_int_equal(cl_do_code(&c, IM_CMD_ACK, cl_slot(&c, uid), &b), WKIM_OK);
}

static void both_of_a_pair_get_a_command_until_they_acknowledge_it(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    assert_string_equal(sync_all("bob"), "c1");
    assert_string_equal(sync_all("ann"), "c1"); /* the sender's other devices */
    ack("bob", 1);
    assert_string_equal(sync_all("bob"), "");
    assert_string_equal(sync_all("ann"), "c1");
    command("ann", PERSON, "bob", "c2");
    assert_string_equal(sync_all("bob"), "c2");
}

static void commands_make_no_conversation(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    assert_false(cl_conversation(&c, "bob", PERSON, "ann").found);
}

static void positions_survive_a_crash(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    assert_string_equal(sync_all("bob"), "c1");
    cl_restart(&c, true);
    ack("bob", 1); /* what was handed out is remembered */
    cl_restart(&c, true);
    assert_string_equal(sync_all("bob"), "");
    assert_string_equal(sync_all("ann"), "c1");
}

static void an_acknowledgement_without_a_sync_means_nothing(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    ack("bob", 1);
    assert_string_equal(sync_all("bob"), "c1");
}

static void only_what_was_handed_out_is_acknowledged(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    command("ann", PERSON, "bob", "c2");
    command("ann", PERSON, "bob", "c3");
    assert_string_equal(sync_n("bob", 2), "c1 c2");
    ack("bob", 77);
    assert_string_equal(sync_all("bob"), "c3");
}

static void an_acknowledgement_means_the_answer_that_ends_with_its_number(void **state)
{
    (void)state;
    command("ann", PERSON, "bob", "c1");
    assert_string_equal(sync_all("bob"), "c1"); /* one device */
    command("ann", PERSON, "bob", "c2");
    assert_string_equal(sync_all("bob"), "c1 c2"); /* another one */
    ack("bob", 1);
    assert_string_equal(sync_all("bob"), "c2");
}

static void members_who_join_later_get_what_is_sent_from_then_on(void **state)
{
    (void)state;
    add_members("g", "ann bob");
    command("ann", GROUP, "g", "c1");
    add_members("g", "eve");
    assert_string_equal(sync_all("eve"), "");
    command("ann", GROUP, "g", "c2");
    assert_string_equal(sync_all("eve"), "c2");
    assert_string_equal(sync_all("bob"), "c1 c2");
}

static void members_who_left_get_nothing(void **state)
{
    (void)state;
    add_members("g", "ann bob");
    command("ann", GROUP, "g", "c1");
    assert_int_equal(cl_list(&c, GROUP, "g", WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, "bob"), WKIM_OK);
    command("ann", GROUP, "g", "c2");
    assert_string_equal(sync_all("bob"), "");
    assert_string_equal(sync_all("ann"), "c1 c2");
}

static void a_named_list_is_reached_and_its_rows_go_with_the_last_acknowledgement(void **state)
{
    const char *const list[] = { "bob", "eve", NULL };
    struct wk_row_conversation row;
    (void)state;

    command_to(list, "c1");
    command_to(list, "c2");
    assert_string_equal(sync_n("bob", 1), "c1");
    ack("bob", 1);
    assert_string_equal(sync_all("bob"), "c2");
    ack("bob", 2);
    assert_string_equal(sync_all("bob"), "");
    cl_settle(&c);
    const struct wk_channel_key key = { WKIM_CHANNEL_TEMP, WK_LIT("7____cmd") };
    assert_int_equal(wk_conversation_get(c.store, cl_slot(&c, "bob"), WK_LIT("bob"), &key, &row),
                     WKIM_ENOTFOUND);
    assert_string_equal(sync_all("eve"), "c1 c2");
    command_to(list, "c3");
    assert_string_equal(sync_all("bob"), "c3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(both_of_a_pair_get_a_command_until_they_acknowledge_it,
                                        fresh, gone),
        cmocka_unit_test_setup_teardown(commands_make_no_conversation, fresh, gone),
        cmocka_unit_test_setup_teardown(positions_survive_a_crash, fresh, gone),
        cmocka_unit_test_setup_teardown(an_acknowledgement_without_a_sync_means_nothing, fresh,
                                        gone),
        cmocka_unit_test_setup_teardown(only_what_was_handed_out_is_acknowledged, fresh, gone),
        cmocka_unit_test_setup_teardown(
            an_acknowledgement_means_the_answer_that_ends_with_its_number, fresh, gone),
        cmocka_unit_test_setup_teardown(members_who_join_later_get_what_is_sent_from_then_on, fresh,
                                        gone),
        cmocka_unit_test_setup_teardown(members_who_left_get_nothing, fresh, gone),
        cmocka_unit_test_setup_teardown(
            a_named_list_is_reached_and_its_rows_go_with_the_last_acknowledgement, fresh, gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
