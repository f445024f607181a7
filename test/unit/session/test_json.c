/* JSON-RPC clients through the session. */
#include "client.h"

#define CONNECT "{\"method\":\"connect\",\"id\":\"c1\",\"params\":{\"uid\":\"u\",\"token\":\"t\"}}"
#define CONNECTED                                                                      \
    "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"result\":{\"serverVersion\":5,\"timeDiff\":" \
    "1700000000000,\"reasonCode\":1,\"nodeId\":1001}}"
#define PING "{\"method\":\"ping\",\"id\":\"p1\",\"params\":{}}"
#define PONG "{\"jsonrpc\":\"2.0\",\"id\":\"p1\",\"result\":{}}"
#define SEND                                                                                       \
    "{\"method\":\"send\",\"id\":\"s1\",\"params\":{\"channelId\":\"c\",\"payload\":\"eA==\"}}"
#define SENT                                                                                       \
    "{\"jsonrpc\":\"2.0\",\"id\":\"s1\",\"result\":{\"messageId\":\"1\",\"messageSeq\":7,"         \
    "\"reasonCode\":1}}"

static void requests_glued_to_connect_are_answered_in_order(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    assert_int_equal(feed_text(&c, CONNECT PING " \n" SEND PING), WKIM_OK);
    expect_text(&c, CONNECTED);
    expect_text(&c, PONG);
    expect_text(&c, SENT);
    expect_text(&c, PONG);
    expect_nothing(&c);
    client_fini(&c);
}

static void requests_behind_connect_wait_for_the_verdict(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    c.verdict = VERDICT_LATER;
    assert_int_equal(feed_text(&c, CONNECT PING SEND), WKIM_OK);
    expect_nothing(&c);
    assert_int_equal(feed_text(&c, PING), WKIM_OK);
    const struct wk_connect unused = { 0 };
    assert_int_equal(wk_session_key_check(c.s, &unused), WKIM_REASON_SUCCESS);
    assert_int_equal(wk_session_accept(c.s, 1700000000000), WKIM_OK);
    assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    expect_text(&c, CONNECTED);
    expect_text(&c, PONG);
    expect_text(&c, SENT);
    expect_text(&c, PONG);
    expect_nothing(&c);
    client_fini(&c);
}

static void a_refused_connect_is_an_error_with_the_reason(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    c.verdict = VERDICT_REFUSE;
    assert_int_equal(feed_text(&c, CONNECT PING), WKIM_OK);
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"id\":\"c1\",\"error\":{\"code\":2,\"message\":"
                    "\"ReasonAuthFail\"}}");
    expect_nothing(&c);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    client_fini(&c);
}

static void a_connect_that_is_wrong_is_told_so_and_closed(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    assert_int_equal(feed_text(&c, "{\"method\":\"connect\",\"id\":\"1\"}"), WKIM_EPROTO);
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"id\":\"1\",\"error\":{\"code\":-32602,\"message\":"
                    "\"jsonrpc: missing params field: method connect\"}}");
    expect_nothing(&c);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    assert_int_equal(c.closes, 1);
    client_fini(&c);
}

static void an_incomplete_object_is_waited_for_silently(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    for (const char *p = CONNECT PING; *p; p++)
        assert_int_equal(feed(&c, wk_slice(p, 1)), WKIM_OK);
    expect_text(&c, CONNECTED);
    expect_text(&c, PONG);
    expect_nothing(&c);
    client_fini(&c);
}

static void a_bad_request_is_answered_and_does_not_poison_what_follows(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "{\"method\":\"nope\",\"id\":\"x\"}",
          "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32601,\"message\":\"jsonrpc: "
          "unknown method: nope\"}}" },
        { "{\"method\":\"ping\",\"id\":7}",
          "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"jsonrpc: failed to "
          "unmarshal field: request ID: not a string\"}}" },
        { "{\"method\":\"subscribe\",\"id\":\"x\",\"params\":{}}",
          "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32601,\"message\":\"unknown "
          "packet type: jsonrpc.SubscribeRequest\"}}" },
        { "{\"method\":\"send\",\"id\":\"x\",\"params\":{\"payload\":\"?\"}}",
          "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"error\":{\"code\":-32602,\"message\":\"jsonrpc: "
          "failed to unmarshal field: send params: payload: illegal base64 data\"}}" },
    };
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[600];
        snprintf(text, sizeof(text), PING "%s" PING, cases[i].in);
        assert_int_equal(feed_text(&c, text), WKIM_OK);
        expect_text(&c, PONG);
        expect_text(&c, cases[i].out);
        expect_text(&c, PONG);
        expect_nothing(&c);
    }
    assert_int_equal(wk_session_state(c.s), WK_SESSION_OPEN);
    client_fini(&c);
}

static void a_syntax_error_or_another_protocol_ends_the_session(void **state)
{
    (void)state;
    static const char *const inputs[] = { "{\"method\":,}", "[" PING "]", "p", "\x80", "}" };
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        struct client c;
        client_init(&c, true, 5);
        json_login(&c);
        assert_int_equal(feed_text(&c, PING), WKIM_OK);
        assert_int_equal(feed_text(&c, inputs[i]), WKIM_EPROTO);
        expect_text(&c, PONG);
        wkim_slice frame;
        assert_int_equal(wk_session_next_frame(c.s, &frame), 1);
        assert_non_null(memmem(frame.p, frame.n, "\"code\":-32700", 13));
        expect_nothing(&c);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
        assert_int_equal(c.closes, 1);
        client_fini(&c);
    }
}

static void a_message_over_the_limit_is_told_so_and_closed(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    const size_t n = WK_JSON_BYTES_MAX;
    char *big = wk_malloc(n);
    memset(big, ' ', n);
    big[0] = '{';
    assert_int_equal(feed(&c, wk_slice(big, n)), WKIM_OK);
    assert_int_equal(feed_text(&c, " "), WKIM_ETOOBIG);
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32600,\"message\":\"message too "
                    "large\"}}");
    expect_nothing(&c);
    client_fini(&c);

    client_init(&c, true, 5);
    assert_int_equal(feed(&c, wk_slice(big, WK_INBOUND_BYTES_BEFORE_LOGIN_MAX)), WKIM_OK);
    assert_int_equal(feed_text(&c, " "), WKIM_ETOOBIG);
    expect_nothing(&c); /* nothing is said before login */
    wk_free(big);
    client_fini(&c);
}

static void the_largest_payload_fits_in_base64(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    const size_t n = (size_t)WK_FRAME_BYTES_MAX / 3 * 4;
    struct wk_buf in = WK_BUF_INIT;
    wk_buf_printf(&in, "{\"method\":\"send\",\"id\":\"s1\",\"params\":{\"payload\":\"");
    assert_int_equal(wk_buf_reserve(&in, n), WKIM_OK);
    memset(in.p + in.n, 'A', n);
    in.n += n;
    wk_buf_printf(&in, "\"}}");
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.sends, 1);
    expect_text(&c, SENT);
    wk_buf_fini(&in);
    client_fini(&c);
}

static void blanks_between_objects_take_no_memory(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(feed_text(&c, " \r\n\t"), WKIM_OK);
    assert_int_equal(wk_session_pending_in(c.s), 0);
    client_fini(&c);
}

static void sendacks_find_their_request_in_any_order(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    c.ack_at_once = false;
    for (int i = 0; i < 100; i++) {
        char text[200];
        snprintf(text, sizeof(text),
                 "{\"method\":\"send\",\"id\":\"id-%d\",\"params\":{\"header\":{\"redDot\":%s}}}",
                 i, i & 1 ? "true" : "false");
        assert_int_equal(feed_text(&c, text), WKIM_OK);
    }
    for (int k = 0; k < 100; k++) {
        const int i = k * 37 % 100;
        char text[200];
        assert_int_equal(wk_session_sendack(c.s, c.acks[i], i, 3, 13), WKIM_OK);
        snprintf(text, sizeof(text),
                 "{\"jsonrpc\":\"2.0\",\"id\":\"id-%d\",\"result\":{%s\"messageId\":\"%d\","
                 "\"messageSeq\":3,\"reasonCode\":13}}",
                 i, i & 1 ? "\"header\":{\"redDot\":true}," : "", i);
        expect_text(&c, text);
    }
    expect_nothing(&c);
    assert_true(wk_session_memory(c.s) <= 700);
    client_fini(&c);
}

static void long_ids_hold_the_input_before_they_fill_the_memory(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    c.ack_at_once = false;
    char *text = malloc(5000);
    memset(text, 'i', 4999);
    memcpy(text, "{\"method\":\"send\",\"params\":{},\"id\":\"", 35);
    memcpy(text + 4100, "\"}", 3);
    for (int i = 0; i < 400; i++)
        assert_int_equal(feed_text(&c, text), WKIM_OK);
    assert_true(c.n_acks > 200 && c.n_acks < 300);
    assert_true(wk_session_blocked(c.s));
    for (size_t i = 0; i < c.n_acks; i++)
        assert_int_equal(wk_session_sendack(c.s, c.acks[i], 1, 1, 1), WKIM_OK);
    assert_int_equal(c.n_acks, 400);
    assert_false(wk_session_blocked(c.s));
    free(text);
    client_fini(&c);
}

static void a_send_without_client_msg_no_gets_one(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    uint8_t first[33];
    assert_int_equal(feed_text(&c, SEND), WKIM_OK);
    assert_int_equal(c.made_no.n, 33);
    memcpy(first, c.made_no.p, 33);
    for (size_t i = 0; i < 33; i++)
        assert_true((first[i] >= '0' && first[i] <= '9') ||
                    (i < 32 && first[i] >= 'a' && first[i] <= 'f'));
    assert_int_equal(feed_text(&c, SEND), WKIM_OK);
    assert_memory_not_equal(first, c.made_no.p, 33);
    client_fini(&c);
}

static void recv_and_event_are_plain_notifications(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    const struct wk_record r = { .channel_type = 2,
                                 .message_id = 9007199254740993,
                                 .message_seq = 5000000000,
                                 .timestamp_ms = 1700000000999,
                                 .payload = WK_LIT("{\"type\":1}") };
    assert_int_equal(wk_session_recv(c.s, &r, WK_LIT("f"), WK_LIT("c"), 0), WKIM_OK);
    expect_text(&c,
                "{\"jsonrpc\":\"2.0\",\"method\":\"recv\",\"params\":{\"header\":{},"
                "\"messageId\":\"9007199254740993\",\"messageSeq\":5000000000,\"timestamp\":"
                "1700000000,\"channelId\":\"c\",\"channelType\":2,\"fromUid\":\"f\",\"payload\":"
                "\"eyJ0eXBlIjoxfQ==\"}}");
    const struct wk_event e = { 12, WK_LIT("i"), WK_LIT("t"), WK_LIT("{}") };
    assert_int_equal(wk_session_event(c.s, &e), WKIM_OK);
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"id\":\"i\",\"type\":"
                    "\"t\",\"timestamp\":12,\"data\":\"{}\"}}");
    wk_session_disconnect(c.s, 12, WK_LIT("login in other device"));
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"method\":\"disconnect\",\"params\":{\"reasonCode\":12,"
                    "\"reason\":\"login in other device\"}}");
    expect_nothing(&c);
    client_fini(&c);
}

static void disconnect_is_answered_and_closes(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    assert_int_equal(feed_text(&c, "{\"method\":\"disconnect\",\"id\":\"d\",\"params\":{}}" PING),
                     WKIM_OK);
    expect_text(&c, "{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"result\":{}}");
    expect_nothing(&c);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    assert_int_equal(c.closes, 1);
    assert_int_equal(c.close_code, WKIM_OK);
    client_fini(&c);
}

static void recvack_and_a_second_connect_get_no_answer(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    json_login(&c);
    wk_buf_clear(&c.trace);
    assert_int_equal(feed_text(&c, "{\"method\":\"recvack\",\"params\":{\"header\":{\"syncOnce\":"
                                   "true},\"messageId\":\"12\",\"messageSeq\":3}}" CONNECT),
                     WKIM_OK);
    assert_trace(&c, "recvack id=12 seq=3 flags=4\n");
    expect_nothing(&c);
    client_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_glued_to_connect_are_answered_in_order),
        cmocka_unit_test(requests_behind_connect_wait_for_the_verdict),
        cmocka_unit_test(a_refused_connect_is_an_error_with_the_reason),
        cmocka_unit_test(a_connect_that_is_wrong_is_told_so_and_closed),
        cmocka_unit_test(an_incomplete_object_is_waited_for_silently),
        cmocka_unit_test(a_bad_request_is_answered_and_does_not_poison_what_follows),
        cmocka_unit_test(a_syntax_error_or_another_protocol_ends_the_session),
        cmocka_unit_test(a_message_over_the_limit_is_told_so_and_closed),
        cmocka_unit_test(the_largest_payload_fits_in_base64),
        cmocka_unit_test(blanks_between_objects_take_no_memory),
        cmocka_unit_test(sendacks_find_their_request_in_any_order),
        cmocka_unit_test(long_ids_hold_the_input_before_they_fill_the_memory),
        cmocka_unit_test(a_send_without_client_msg_no_gets_one),
        cmocka_unit_test(recv_and_event_are_plain_notifications),
        cmocka_unit_test(disconnect_is_answered_and_closes),
        cmocka_unit_test(recvack_and_a_second_connect_get_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
