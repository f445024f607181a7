#include "client.h"

static void the_answered_version_is_the_lower_one_and_decides_the_layout(void **state)
{
    (void)state;
    for (unsigned offered = 0; offered < 256; offered = offered == 7 ? 255 : offered + 1) {
        for (uint8_t max = 5; max <= 6; max++) {
            struct client c;
            client_init(&c, true, 5);
            wk_session_free(c.s);
            c.version = (uint8_t)offered;
            c.opt.version_max = max;
            assert_int_equal(wk_session_new(&c.s, &c.opt, &client_events, &c), WKIM_OK);
            const struct wk_packet p = login(&c);
            const unsigned v = offered < max ? offered : max;
            assert_int_equal(wk_session_version(c.s), v);
            assert_int_equal(p.u.connack.has_server_version, offered > 3);
            assert_int_equal(p.u.connack.server_version, offered > 3 ? v : 0);
            assert_int_equal(p.u.connack.node_id, offered > 3 ? 1001 : 0);
            assert_int_equal(p.u.connack.time_diff, 1000);
            assert_int_equal(p.u.connack.server_key.n, 44);
            client_fini(&c);
        }
    }
}

static void without_encryption_key_and_salt_are_empty(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 4);
    const struct wk_packet connect = { .type = WK_PACKET_CONNECT,
                                       .u.connect = { .version = 4, .uid = WK_LIT("u") } };
    assert_int_equal(feed_packet(&c, &connect), WKIM_OK);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_CONNACK);
    assert_int_equal(p.u.connack.reason, 1);
    assert_int_equal(p.u.connack.server_key.n, 0);
    assert_int_equal(p.u.connack.salt.n, 0);
    assert_int_equal(p.u.connack.time_diff, 1700000000000);
    client_fini(&c);
}

static void every_connection_has_keys_of_its_own(void **state)
{
    (void)state;
    struct client a, b;
    client_init(&a, true, 5);
    client_init(&b, true, 5);
    b.pair = a.pair;
    (void)login(&a);
    (void)login(&b);
    assert_memory_not_equal(&a.cipher, &b.cipher, sizeof(a.cipher));
    client_fini(&a);
    client_fini(&b);
}

static void an_unusable_client_key_is_refused_with_its_reason(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint8_t reason;
    } cases[] = {
        { "", WKIM_REASON_CLIENT_KEY_EMPTY },
        { "not base64 at all!", WKIM_REASON_AUTH_FAIL },
        { "AAAA", WKIM_REASON_AUTH_FAIL },
        { "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", WKIM_REASON_AUTH_FAIL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct client c;
        client_init(&c, true, 5);
        c.verdict = VERDICT_LATER;
        const struct wk_packet connect = {
            .type = WK_PACKET_CONNECT,
            .u.connect = { .version = 5, .uid = WK_LIT("u"), .client_key = wk_str(cases[i].key) }
        };
        assert_int_equal(feed_packet(&c, &connect), WKIM_OK);
        assert_int_equal(wk_session_key_check(c.s, &connect.u.connect), cases[i].reason);
        assert_int_equal(wk_session_accept(c.s, 1), WKIM_ECRYPTO);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_CONNACK);
        assert_int_equal(p.u.connack.reason, cases[i].reason);
        assert_int_equal(p.u.connack.time_diff, 0);
        assert_int_equal(p.u.connack.server_version, 5);
        assert_int_equal(p.u.connack.node_id, 1001);
        assert_int_equal(p.u.connack.server_key.n + p.u.connack.salt.n, 0);
        expect_nothing(&c);
        client_fini(&c);
    }
}

static void keys_checked_before_the_verdict_are_those_that_are_used(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    c.verdict = VERDICT_LATER;
    struct wk_buf out = WK_BUF_INIT;
    put_connect(&c, &out);
    assert_int_equal(feed(&c, wk_buf_slice(&out)), WKIM_OK);
    wk_buf_fini(&out);
    const struct wk_connect unused = { 0 };
    assert_int_equal(wk_session_key_check(c.s, &unused), WKIM_REASON_SUCCESS);
    assert_int_equal(wk_session_key_check(c.s, &unused), WKIM_REASON_SUCCESS);
    assert_int_equal(wk_session_accept(c.s, 1700000000000), WKIM_OK);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_CONNACK);
    client_keys(&c, &p);
    assert_int_equal(feed_send(&c, 3, "hello", 0), WKIM_OK);
    assert_int_equal(c.sends, 1);
    client_fini(&c);
}

static void frames_behind_connect_wait_for_the_verdict(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    c.verdict = VERDICT_LATER;
    struct wk_buf out = WK_BUF_INIT;
    put_connect(&c, &out);
    put_send(&c, &out, 1, "one", 0);
    wk_buf_u8(&out, 0x70);
    put_send(&c, &out, 2, "two", 0);
    assert_int_equal(feed(&c, wk_slice(out.p, out.n - 5)), WKIM_OK);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CONNECTING);
    assert_true(wk_session_blocked(c.s));
    assert_true(wk_session_pending_in(c.s) > 0);
    expect_nothing(&c);
    assert_int_equal(c.sends, 0);
    assert_int_equal(wk_session_accept(c.s, 5), WKIM_OK);
    assert_int_equal(c.sends, 0);
    assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    assert_int_equal(c.sends, 1);
    assert_int_equal(feed(&c, wk_slice(out.p + out.n - 5, 5)), WKIM_OK);
    assert_int_equal(c.sends, 2);
    (void)expect_packet(&c, WK_PACKET_CONNACK);
    assert_int_equal(expect_packet(&c, WK_PACKET_SENDACK).u.sendack.client_seq, 1);
    (void)expect_packet(&c, WK_PACKET_PONG);
    assert_int_equal(expect_packet(&c, WK_PACKET_SENDACK).u.sendack.client_seq, 2);
    expect_nothing(&c);
    assert_int_equal(wk_session_pending_in(c.s), 0);
    wk_buf_fini(&out);
    client_fini(&c);
}

static void waiting_input_is_bounded_to_64_kib(void **state)
{
    (void)state;
    uint8_t *junk = wk_calloc(1, 65536);
    for (int over = 0; over <= 1; over++) {
        struct client c;
        client_init(&c, false, 5);
        c.verdict = VERDICT_LATER;
        struct wk_buf out = WK_BUF_INIT;
        put_connect(&c, &out);
        assert_int_equal(feed(&c, wk_buf_slice(&out)), WKIM_OK);
        assert_int_equal(feed(&c, wk_slice(junk, 65536)), WKIM_OK);
        assert_int_equal(wk_session_pending_in(c.s), 65536);
        if (over) {
            assert_int_equal(feed(&c, wk_slice(junk, 1)), WKIM_ETOOBIG);
            assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
            assert_int_equal(wk_session_pending_in(c.s), 0);
            assert_int_equal(c.closes, 1);
            expect_nothing(&c);
            assert_int_equal(wk_session_accept(c.s, 1), WKIM_ESTOPPED);
        }
        wk_buf_fini(&out);
        client_fini(&c);
    }
    wk_free(junk);
}

static void a_refused_client_gets_connack_and_nothing_else(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= 5; v++) {
        struct client c;
        client_init(&c, true, v);
        c.verdict = VERDICT_REFUSE;
        struct wk_buf out = WK_BUF_INIT;
        put_connect(&c, &out);
        wk_buf_u8(&out, 0x70);
        assert_int_equal(feed(&c, wk_buf_slice(&out)), WKIM_OK);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_CONNACK);
        assert_int_equal(p.u.connack.reason, WKIM_REASON_AUTH_FAIL);
        assert_int_equal(p.u.connack.has_server_version, v > 3);
        expect_nothing(&c);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
        assert_int_equal(c.pings, 0);
        assert_int_equal(c.closes, 0);
        wk_buf_fini(&out);
        client_fini(&c);
    }
}

static void a_verdict_of_close_says_nothing(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    c.verdict = VERDICT_CLOSE;
    struct wk_buf out = WK_BUF_INIT;
    put_connect(&c, &out);
    assert_int_equal(feed(&c, wk_buf_slice(&out)), WKIM_OK);
    expect_nothing(&c);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    wk_buf_fini(&out);
    client_fini(&c);
}

static void anything_but_connect_first_is_a_plain_close(void **state)
{
    (void)state;
    static const struct {
        const char *p;
        size_t n;
    } inputs[] = {
        { "\x70", 1 },         { "\x00", 1 },         { "\xd0", 1 },
        { "\x60\x0c\0\0\0\0\0\0\0\0\0\0\0\0", 14 },   { "\x10\x01\x05", 3 },
        { "\x10\x81\x80\x04", 4 } /* CONNECT of 65537 bytes */,
        { " \n\x70", 3 },      { "\x10\xff\xff\xff\xff", 5 },
        { "{\"method\":\"ping\",\"id\":\"1\"}", 26 },
        { "{\"method\":\"connect\",\"params\":{}}", 32 },
        { "{]", 2 },
    };
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        struct client c;
        client_init(&c, true, 5);
        const int rc = feed(&c, wk_slice(inputs[i].p, inputs[i].n));
        if (rc >= 0)
            fail_msg("input %zu: %d", i, rc);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
        expect_nothing(&c);
        assert_int_equal(c.closes, 1);
        assert_int_equal(c.close_code, rc);
        assert_int_equal(feed_text(&c, "more"), WKIM_OK);
        assert_int_equal(c.closes, 1);
        client_fini(&c);
    }
}

static void the_wire_form_is_decided_once_on_the_first_byte_that_is_not_blank(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    assert_int_equal(feed_text(&c, " \t"), WKIM_OK);
    assert_int_equal(feed_text(&c, "\r\n"), WKIM_OK);
    assert_int_equal(wk_session_pending_in(c.s), 0);
    json_login(&c);
    assert_true(wk_session_is_json(c.s));
    client_fini(&c);

    client_init(&c, true, 5);
    (void)login(&c);
    assert_false(wk_session_is_json(c.s));
    assert_int_equal(feed_text(&c, "{"), WKIM_OK); /* PING with other flag bits */
    (void)expect_packet(&c, WK_PACKET_PONG);
    client_fini(&c);
}

static void json_can_be_switched_off(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    wk_session_free(c.s);
    c.opt.allow_json = false;
    assert_int_equal(wk_session_new(&c.s, &c.opt, &client_events, &c), WKIM_OK);
    assert_int_equal(feed_text(&c, "{\"method\":\"connect\"}"), WKIM_EPROTO);
    assert_false(wk_session_is_json(c.s));
    client_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answered_version_is_the_lower_one_and_decides_the_layout),
        cmocka_unit_test(without_encryption_key_and_salt_are_empty),
        cmocka_unit_test(every_connection_has_keys_of_its_own),
        cmocka_unit_test(an_unusable_client_key_is_refused_with_its_reason),
        cmocka_unit_test(keys_checked_before_the_verdict_are_those_that_are_used),
        cmocka_unit_test(frames_behind_connect_wait_for_the_verdict),
        cmocka_unit_test(waiting_input_is_bounded_to_64_kib),
        cmocka_unit_test(a_refused_client_gets_connack_and_nothing_else),
        cmocka_unit_test(a_verdict_of_close_says_nothing),
        cmocka_unit_test(anything_but_connect_first_is_a_plain_close),
        cmocka_unit_test(the_wire_form_is_decided_once_on_the_first_byte_that_is_not_blank),
        cmocka_unit_test(json_can_be_switched_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
