/* Sending through the library: ids made before, numbers of refusals, held calls, own messages. */
#include "node_test.h"

static struct test_node t;

static int setup(void **state)
{
    (void)state;
    tmpdir_new(&t.dir);
    node_start(&t, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    node_stop(&t);
    tmpdir_remove(&t.dir);
    return 0;
}

static wkim_send group_send(const char *from, const char *to, const char *no)
{
    return (wkim_send){ .size = sizeof(wkim_send),
                        .from_uid = text(from),
                        .channel_id = text(to),
                        .channel_type = WKIM_CHANNEL_GROUP,
                        .client_msg_no = text(no),
                        .payload = text("hello") };
}

static int64_t own_seq(const char *uid, const char *channel, int64_t *last)
{
    assert_int_equal(wkim_message_own(t.n, text(uid), text(channel), WKIM_CHANNEL_GROUP, t.q, NULL),
                     WKIM_OK);
    wkim_reply *r = take_reply(t.q);
    int64_t own = wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ);

    assert_int_equal(wkim_reply_code(r), WKIM_OK);
    *last = wkim_reply_number(r, WKIM_NUMBER_TOTAL);
    wkim_reply_free(r);
    return own;
}

static void an_id_made_before_is_the_id_of_the_message(void **state)
{
    (void)state;
    int64_t a = wkim_message_id_make(t.n), b = wkim_message_id_make(t.n);
    wkim_send s = group_send("u1", "g1", "n1");

    assert_true(a > 0 && b > a);
    s.message_id = b;
    assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    wkim_reply *r = take_reply(t.q);

    assert_int_equal(wkim_reply_code(r), WKIM_OK);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_ID), b);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ), 1);
    wkim_reply_free(r);
    s.message_id = -1;
    assert_int_not_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    assert_int_equal(wkim_message_id_make(NULL), 0);
}

static void a_caller_of_the_older_struct_gets_an_id_made(void **state)
{
    (void)state;
    wkim_send s = group_send("u1", "g1", "n1");

    s.size = offsetof(wkim_send, message_id);
    s.message_id = 7;
    assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    wkim_reply *r = take_reply(t.q);

    assert_true(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_ID) > 7);
    wkim_reply_free(r);
}

static void a_refused_send_tells_its_id_and_client_msg_no(void **state)
{
    (void)state;
    wkim_send s = group_send("u1", "banned", "my-no");
    wkim_slice no;

    assert_int_equal(wkim_channel_set(t.n, text("banned"), WKIM_CHANNEL_GROUP, WKIM_CHANNEL_BAN,
                                      t.q, NULL),
                     WKIM_OK);
    assert_int_equal(take_code(t.q), WKIM_OK);
    s.message_id = wkim_message_id_make(t.n);
    assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    wkim_reply *r = take_reply(t.q);

    assert_int_equal(wkim_reply_code(r), WKIM_EDENIED);
    assert_int_equal(wkim_reply_reason(r), WKIM_REASON_BAN);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_ID), s.message_id);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ), 0);
    assert_int_equal(wkim_reply_string(r, 0, &no), WKIM_OK);
    assert_int_equal(no.n, 5);
    assert_memory_equal(no.p, "my-no", 5);
    wkim_reply_free(r);
}

static void held_calls_are_answered_after_the_release(void **state)
{
    (void)state;
    wkim_calls_hold();
    for (int i = 0; i < 5; i++) {
        const wkim_send s = group_send("u1", "g1", "n");

        assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    }
    wkim_calls_release();
    for (int i = 0; i < 5; i++)
        assert_int_equal(take_code(t.q), WKIM_OK);
}

static void own_tells_the_newest_message_of_the_user(void **state)
{
    (void)state;
    static const char *const from[] = { "u1", "u2", "u1", "u3" };
    static const char *const numbers[] = { "a", "b", "c", "d" };
    int64_t last;

    assert_int_equal(own_seq("u1", "g1", &last), 0);
    assert_int_equal(last, 0);
    for (int i = 0; i < 4; i++) {
        const wkim_send s = group_send(from[i], "g1", numbers[i]);

        assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
        assert_int_equal(take_code(t.q), WKIM_OK);
    }
    assert_int_equal(own_seq("u1", "g1", &last), 3);
    assert_int_equal(last, 4);
    assert_int_equal(own_seq("u2", "g1", &last), 2);
    assert_int_equal(own_seq("nobody", "g1", &last), 0);
    assert_int_equal(last, 4);
    assert_int_equal(wkim_message_own(t.n, text(""), text("g1"), WKIM_CHANNEL_GROUP, t.q, NULL),
                     WKIM_EINVAL);
}

static void a_range_without_limit_has_the_default(void **state)
{
    (void)state;
    wkim_message_range range = { .size = sizeof(range),
                                 .login_uid = text("u1"),
                                 .channel_id = text("g1"),
                                 .channel_type = WKIM_CHANNEL_GROUP,
                                 .limit = -1 };

    wkim_calls_hold();
    for (int i = 0; i < WKIM_SYNC_LIMIT_DEFAULT + 1; i++) {
        char no[16];

        snprintf(no, sizeof(no), "n%d", i);
        const wkim_send s = group_send("u1", "g1", no);

        assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
    }
    wkim_calls_release();
    for (int i = 0; i < WKIM_SYNC_LIMIT_DEFAULT + 1; i++)
        assert_int_equal(take_code(t.q), WKIM_OK);
    assert_int_equal(wkim_message_sync(t.n, &range, t.q, NULL), WKIM_OK);
    wkim_reply *r = take_reply(t.q);
    wkim_message m;

    assert_int_equal(wkim_reply_messages(r), WKIM_SYNC_LIMIT_DEFAULT);
    assert_int_equal(wkim_reply_message(r, 0, &m), WKIM_OK);
    assert_int_equal(m.message_seq, 2);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MORE), 1);
    wkim_reply_free(r);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(an_id_made_before_is_the_id_of_the_message),
        T(a_caller_of_the_older_struct_gets_an_id_made),
        T(a_refused_send_tells_its_id_and_client_msg_no),
        T(held_calls_are_answered_after_the_release),
        T(own_tells_the_newest_message_of_the_user),
        T(a_range_without_limit_has_the_default),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
