/* Who is connected: login, kicks, online rows, tokens, system accounts. */
#include "../im_test.h"

static struct cl_conn conns[4];

static int setup(void **state)
{
    (void)state;
    memset(conns, 0, sizeof(conns));
    cl_new(&c, &(struct cl_options){ .token_auth = true });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        if (conns[i].c)
            cl_logout(&conns[i]);
    }
    cl_free(&c);
    return 0;
}

static void enter(int i, const char *uid, const char *device, uint8_t flag, const char *token)
{
    assert_int_equal(cl_login(&c, &conns[i], uid, device, flag, token), OK);
}

static void token(const char *uid, uint8_t flag, uint8_t level)
{
    assert_int_equal(cl_token(&c, uid, flag, level, "t"), WKIM_OK);
}

static void a_master_kicks_other_devices_of_its_flag_with_a_text(void **state)
{
    (void)state;
    token("u", 0, WKIM_DEVICE_MASTER);
    token("u", 1, WKIM_DEVICE_SLAVE);
    enter(0, "u", "old", 0, "t");
    enter(1, "u", "web", 1, "t");
    enter(2, "u", "new", 0, "t");
    assert_int_equal(conns[0].kicks, 1);
    assert_int_equal(conns[0].kick_reason, WKIM_REASON_KICK);
    assert_string_equal(conns[0].kick_text, "login in other device");
    assert_false(conns[0].kick_silent);
    assert_int_equal(conns[0].kick_delay, 2000);
    assert_true(conns[0].im.kicked);
    assert_int_equal(conns[1].kicks, 0); /* other flags are never touched */
    assert_int_equal(conns[2].kicks, 0);
    assert_int_equal(conns[2].im.level, WKIM_DEVICE_MASTER);
}

static void a_master_replaces_its_own_device_without_a_word(void **state)
{
    (void)state;
    token("u", 0, WKIM_DEVICE_MASTER);
    enter(0, "u", "d", 0, "t");
    enter(1, "u", "d", 0, "t");
    assert_int_equal(conns[0].kicks, 1);
    assert_true(conns[0].kick_silent);
    assert_int_equal(conns[1].kicks, 0);
}

static void a_slave_leaves_other_devices_alone(void **state)
{
    (void)state;
    token("u", 1, WKIM_DEVICE_SLAVE);
    enter(0, "u", "one", 1, "t");
    enter(1, "u", "two", 1, "t");
    assert_int_equal(conns[0].kicks, 0);
    enter(2, "u", "one", 1, "t");
    assert_int_equal(conns[0].kicks, 1);
    assert_true(conns[0].kick_silent);
    assert_int_equal(conns[1].kicks, 0);
}

static void a_kicked_connection_receives_until_it_is_closed(void **state)
{
    (void)state;
    token("u", 0, WKIM_DEVICE_MASTER);
    enter(0, "u", "old", 0, "t");
    enter(1, "u", "new", 0, "t");
    assert_int_equal(cl_text(&c, "x", PERSON, "u", "hi", NULL), OK);
    cl_settle(&c);
    assert_int_equal(conns[0].n_pushes, 1);
    assert_int_equal(conns[1].n_pushes, 1);
}

static void a_new_master_token_kicks_everybody_of_the_flag(void **state)
{
    (void)state;
    token("u", 0, WKIM_DEVICE_SLAVE);
    token("u", 1, WKIM_DEVICE_SLAVE);
    enter(0, "u", "a", 0, "t");
    enter(1, "u", "b", 0, "t");
    enter(2, "u", "c", 1, "t");
    token("u", 0, WKIM_DEVICE_SLAVE);
    assert_int_equal(conns[0].kicks, 0); /* level 0 kicks nobody */
    token("u", 0, WKIM_DEVICE_MASTER);
    assert_int_equal(conns[0].kicks, 1);
    assert_int_equal(conns[1].kicks, 1);
    assert_int_equal(conns[2].kicks, 0);
    assert_string_equal(conns[0].kick_text, "账号在其他设备上登录");
    assert_int_equal(conns[0].kick_delay, 10000);
}

static void quit(const char *uid, int flag)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u32(&b, (uint32_t)flag);
    wk_buf_u64(&b, c.wall_ms);
    assert_int_equal(cl_do_code(&c, IM_DEVICE_QUIT, cl_slot(&c, uid), &b), WKIM_OK);
}

static void device_quit_empties_the_token_and_kicks(void **state)
{
    (void)state;
    token("u", 0, 0);
    token("u", 1, 0);
    enter(0, "u", "a", 0, "t");
    enter(1, "u", "b", 1, "t");
    quit("u", 1);
    assert_int_equal(conns[0].kicks, 0);
    assert_int_equal(conns[1].kicks, 1);
    assert_string_equal(conns[1].kick_text, "");
    assert_int_equal(cl_login(&c, &conns[2], "u", "c", 1, "t"), WKIM_REASON_AUTH_FAIL);
    quit("u", -1);
    assert_int_equal(conns[0].kicks, 1);
    assert_int_equal(cl_login(&c, &conns[2], "u", "c", 0, "t"), WKIM_REASON_AUTH_FAIL);
}

static void a_device_without_a_token_does_not_quit(void **state)
{
    (void)state;
    cl_free(&c);
    cl_new(&c, NULL);
    enter(0, "u", "a", 0, "");
    quit("u", 0);
    quit("u", -1);
    assert_int_equal(conns[0].kicks, 0);
    token("u", 0, 0);
    quit("u", -1);
    assert_int_equal(conns[0].kicks, 1);
}

static void tokens_are_checked_except_for_visitors(void **state)
{
    (void)state;
    token("u", 0, 0);
    assert_int_equal(cl_login(&c, &conns[0], "u", "d", 0, "wrong"), WKIM_REASON_AUTH_FAIL);
    assert_int_equal(cl_login(&c, &conns[0], "u", "d", 0, ""), WKIM_REASON_AUTH_FAIL);
    /* per flag */
    assert_int_equal(cl_login(&c, &conns[0], "u", "d", 1, "t"), WKIM_REASON_AUTH_FAIL);
    assert_int_equal(cl_login(&c, &conns[0], "stranger", "d", 0, "t"), WKIM_REASON_AUTH_FAIL);
    assert_false(conns[0].im.registered);
    enter(0, "v___vstr", "d", 0, "");
    assert_int_equal(conns[0].im.level, WKIM_DEVICE_SLAVE);
}

static void tokens_survive_a_restart(void **state)
{
    (void)state;
    token("u", 0, WKIM_DEVICE_MASTER);
    cl_restart(&c, true);
    enter(0, "u", "d", 0, "t");
    assert_int_equal(conns[0].im.level, WKIM_DEVICE_MASTER);
}

static void a_banned_user_cannot_log_in_or_get_a_token(void **state)
{
    (void)state;
    token("u", 0, 0);
    assert_int_equal(cl_flags(&c, PERSON, "u", WKIM_CHANNEL_BAN), WKIM_OK);
    assert_int_equal(cl_login(&c, &conns[0], "u", "d", 0, "t"), WKIM_REASON_BAN);
    assert_int_equal(cl_token(&c, "u", 0, 0, "t"), WKIM_EDENIED);
}

static void nobody_logs_in_as_the_system_or_its_device(void **state)
{
    (void)state;
    assert_int_equal(cl_login(&c, &conns[0], IM_SYSTEM_UID, "d", 0, ""), WKIM_REASON_AUTH_FAIL);
    token("u", 0, 0);
    assert_int_equal(cl_login(&c, &conns[0], "u", IM_SYSTEM_DEVICE, 0, "t"), WKIM_REASON_AUTH_FAIL);
    const char *bad[] = { "", " ", "a@b", "a#b", "a&b" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cl_login(&c, &conns[0], bad[i], "d", 0, "t"), WKIM_REASON_AUTH_FAIL);
}

static void send_ban_reaches_open_connections(void **state)
{
    (void)state;
    token("u", 0, 0);
    enter(0, "u", "d", 0, "t");
    assert_false(conns[0].im.send_ban);
    assert_int_equal(cl_flags(&c, PERSON, "u", WKIM_CHANNEL_SEND_BAN), WKIM_OK);
    assert_true(conns[0].im.send_ban);
    enter(1, "u", "e", 0, "t");
    assert_true(conns[1].im.send_ban);
    assert_int_equal(cl_flags(&c, PERSON, "u", 0), WKIM_OK);
    assert_false(conns[0].im.send_ban);
}

static size_t online(const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;
    size_t n = 0;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u64(&b, 7);
    struct cl_answer a = cl_do(&c, IM_ONLINE, cl_slot(&c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    assert_int_equal(a.code, WKIM_OK);
    for (; wk_cursor_left(&cur) && !cur.bad; n++) {
        assert_true(wk_slice_eq(wk_cursor_str(&cur), wk_str(uid)));
        (void)wk_cursor_u64(&cur);
        assert_int_equal(wk_cursor_u64(&cur), 7); /* the position in the request */
        (void)wk_cursor_u64(&cur);
    }
    assert_false(cur.bad);
    cl_answer_fini(&a);
    return n;
}

static void online_has_a_row_per_connection(void **state)
{
    (void)state;
    token("u", 0, 0);
    token("u", 1, 0);
    assert_int_equal(online("u"), 0);
    enter(0, "u", "a", 0, "t");
    enter(1, "u", "b", 1, "t");
    assert_int_equal(online("u"), 2);
    cl_logout(&conns[0]);
    assert_int_equal(online("u"), 1);
    assert_int_equal(online("nobody"), 0);
    token("u", 1, WKIM_DEVICE_MASTER); /* kicks: no longer counted */
    assert_int_equal(online("u"), 0);
}

static void one_connection_can_be_kicked(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;

    token("u", 0, 0);
    enter(0, "u", "a", 0, "t");
    enter(1, "u", "b", 0, "t");
    wk_buf_str(&b, wk_str("u"));
    wk_buf_u64(&b, conns[1].im.id);
    wk_buf_u8(&b, 0);
    assert_int_equal(cl_do_code(&c, IM_CONN_KICK, cl_slot(&c, "u"), &b), WKIM_OK);
    assert_int_equal(conns[0].kicks, 0);
    assert_int_equal(conns[1].kicks, 1);
    assert_string_equal(conns[1].kick_text, "server kick");
}

static void system_accounts_are_known_on_every_shard_also_after_a_restart(void **state)
{
    (void)state;
    cl_free(&c);
    cl_new(&c, &(struct cl_options){ .shards = 4 });
    assert_int_equal(cl_system(&c, true, "robot other"), WKIM_OK);
    assert_int_equal(cl_system(&c, false, "other"), WKIM_OK);
    for (int wipe = 0; wipe < 2; wipe++) {
        for (uint32_t s = 0; s < 4; s++) {
            assert_true(im_is_system(c.im, s, wk_str("robot")));
            assert_true(im_is_system(c.im, s, wk_str(IM_SYSTEM_UID)));
            assert_false(im_is_system(c.im, s, wk_str("other")));
        }
        cl_restart(&c, wipe);
        cl_settle(&c);
    }
    struct wk_buf b = WK_BUF_INIT;
    struct cl_answer a = cl_do(&c, IM_SYSTEM_LIST, 0, &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    assert_true(wk_slice_eq(wk_cursor_str(&cur), wk_str("robot")));
    assert_int_equal(wk_cursor_left(&cur), 24);
    cl_answer_fini(&a);
}

static void quit_begin(struct cl_call *call, const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u32(&b, (uint32_t)-1);
    wk_buf_u64(&b, 1);
    cl_begin(&c, call, IM_DEVICE_QUIT, cl_slot(&c, uid), &b);
}

static void token_begin(struct cl_call *call, const char *uid, const char *text)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u8(&b, 0);
    wk_buf_u8(&b, 0);
    wk_buf_str(&b, wk_str(text));
    wk_buf_u64(&b, 1);
    cl_begin(&c, call, IM_TOKEN_SET, cl_slot(&c, uid), &b);
}

/* A log that is read again puts into one round what was answered in two. */
static void a_token_ends_also_when_it_was_set_in_the_same_round(void **state)
{
    (void)state;
    struct cl_call set, quit, again;
    struct cl_conn conn;

    cl_free(&c);
    cl_new(&c, &(struct cl_options){ .shards = 2, .slots = 8, .token_auth = true });
    token_begin(&set, "r1", "t1");
    quit_begin(&quit, "r1");
    token_begin(&again, "r2", "t2");
    struct cl_answer a = cl_take(&c, &set), b = cl_take(&c, &quit), d = cl_take(&c, &again);
    assert_true(a.code == WKIM_OK && b.code == WKIM_OK && d.code == WKIM_OK);
    cl_answer_fini(&a);
    cl_answer_fini(&b);
    cl_answer_fini(&d);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cl_login(&c, &conn, "r1", "d", 0, "t1"), WKIM_REASON_AUTH_FAIL);
        assert_int_equal(cl_login(&c, &conn, "r2", "d", 0, "t2"), WKIM_REASON_SUCCESS);
        cl_logout(&conn);
        cl_restart(&c, true);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_master_kicks_other_devices_of_its_flag_with_a_text),
        T(a_token_ends_also_when_it_was_set_in_the_same_round),
        T(a_master_replaces_its_own_device_without_a_word),
        T(a_slave_leaves_other_devices_alone),
        T(a_kicked_connection_receives_until_it_is_closed),
        T(a_new_master_token_kicks_everybody_of_the_flag),
        T(device_quit_empties_the_token_and_kicks),
        T(a_device_without_a_token_does_not_quit),
        T(tokens_are_checked_except_for_visitors),
        T(tokens_survive_a_restart),
        T(a_banned_user_cannot_log_in_or_get_a_token),
        T(nobody_logs_in_as_the_system_or_its_device),
        T(send_ban_reaches_open_connections),
        T(online_has_a_row_per_connection),
        T(one_connection_can_be_kicked),
        T(system_accounts_are_known_on_every_shard_also_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
