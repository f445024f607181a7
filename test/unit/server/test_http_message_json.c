/* The message object of the HTTP API. */
#include "../../../server/http/jsonbuf.c"
#include "../../../server/http/message_json.c"
#include "../../../server/http/text.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check_channel(const char *stored, uint8_t type, const char *from, const char *want)
{
    wkim_slice shown = wk_message_json_from(wk_text_slice(from));
    wkim_slice id = wk_message_json_channel(wk_text_slice(stored), type, shown);

    assert_int_equal(id.n, strlen(want));
    assert_memory_equal(id.p, want, id.n);
}

static void person_channels_show_the_last_part_that_is_not_the_sender(void **state)
{
    (void)state;
    check_channel("u2@u1", WKIM_CHANNEL_PERSON, "u1", "u2");
    check_channel("u2@u1", WKIM_CHANNEL_PERSON, "u2", "u1");
    check_channel("u1@____system", WKIM_CHANNEL_PERSON, "____system", "____system");
    check_channel("u1@u1", WKIM_CHANNEL_PERSON, "u1", "u1@u1");
    check_channel("b@a____cmd", WKIM_CHANNEL_PERSON, "a", "a____cmd");
    check_channel("plain", WKIM_CHANNEL_PERSON, "x", "plain");
    check_channel("", WKIM_CHANNEL_PERSON, "x", "");
}

static void other_channels_show_their_stored_id(void **state)
{
    (void)state;
    check_channel("g1", WKIM_CHANNEL_GROUP, "u1", "g1");
    check_channel("u1@agent1", WKIM_CHANNEL_AGENT, "u1", "u1@agent1");
    check_channel("cmdg____cmd", WKIM_CHANNEL_GROUP, "u1", "cmdg____cmd");
}

static void check_message(const wkim_message *m, const char *want)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_message_json(&b, m);
    wk_jsonbuf_char(&b, 0);
    assert_false(b.failed);
    assert_string_equal(b.p, want);
    wk_jsonbuf_fini(&b);
}

static wkim_message sample(void)
{
    return (wkim_message){.message_id = 2124068225539805184,
                          .message_seq = 3,
                          .timestamp_ms = 1795252302999,
                          .flags = WKIM_FLAG_RED_DOT,
                          .channel_type = WKIM_CHANNEL_GROUP,
                          .channel_id = wk_text_slice("g1"),
                          .from_uid = wk_text_slice("u2"),
                          .client_msg_no = wk_text_slice("g1-01"),
                          .payload = wk_text_slice("cg1")};
}

static void a_message_has_every_member_of_the_reference(void **state)
{
    const wkim_message m = sample();

    (void)state;
    check_message(&m,
                  "{\"header\":{\"no_persist\":0,\"red_dot\":1,\"sync_once\":0},\"setting\":0,"
                  "\"message_id\":2124068225539805184,\"message_idstr\":\"2124068225539805184\","
                  "\"client_msg_no\":\"g1-01\",\"message_seq\":3,\"from_uid\":\"u2\","
                  "\"channel_id\":\"g1\",\"channel_type\":2,\"expire\":0,"
                  "\"timestamp\":1795252302,\"payload\":\"Y2cx\"}");
}

static void a_topic_is_shown_and_the_system_account_is_blank(void **state)
{
    wkim_message m = sample();

    (void)state;
    m.topic = wk_text_slice("t\"");
    m.from_uid = wk_text_slice("____system");
    m.setting = WKIM_SETTING_TOPIC;
    m.expire_s = 3600;
    check_message(&m,
                  "{\"header\":{\"no_persist\":0,\"red_dot\":1,\"sync_once\":0},\"setting\":8,"
                  "\"message_id\":2124068225539805184,\"message_idstr\":\"2124068225539805184\","
                  "\"client_msg_no\":\"g1-01\",\"message_seq\":3,\"from_uid\":\"\","
                  "\"channel_id\":\"g1\",\"channel_type\":2,\"topic\":\"t\\\"\",\"expire\":3600,"
                  "\"timestamp\":1795252302,\"payload\":\"Y2cx\"}");
}

static void the_largest_figures_fit_the_reserved_room(void **state)
{
    char controls[300];
    wkim_message m = sample();
    struct wk_jsonbuf b;

    (void)state;
    memset(controls, 1, sizeof(controls));
    m.message_id = INT64_MIN;
    m.message_seq = UINT64_MAX;
    m.timestamp_ms = UINT64_MAX;
    m.expire_s = UINT32_MAX;
    m.setting = m.channel_type = 255;
    m.channel_id = m.from_uid = m.client_msg_no = m.topic = m.payload =
        (wkim_slice){(const uint8_t *)controls, sizeof(controls)};
    wk_jsonbuf_init(&b);
    wk_message_json(&b, &m);
    assert_false(b.failed);
    assert_true(b.n < FIXED_MAX + WK_JSON_BASE64_MAX(m.payload.n) +
                          WK_JSON_STR_MAX(4 * sizeof(controls)));
    wk_jsonbuf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(person_channels_show_the_last_part_that_is_not_the_sender),
        cmocka_unit_test(other_channels_show_their_stored_id),
        cmocka_unit_test(a_message_has_every_member_of_the_reference),
        cmocka_unit_test(a_topic_is_shown_and_the_system_account_is_blank),
        cmocka_unit_test(the_largest_figures_fit_the_reserved_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
