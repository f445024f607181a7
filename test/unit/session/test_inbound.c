/* What clients send after login. */
#include "client.h"

static void a_sealed_send_arrives_open(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= 6; v++) {
        struct client c;
        client_init(&c, true, v);
        (void)login(&c);
        wk_buf_clear(&c.trace);
        assert_int_equal(feed_send(&c, 42, "hello", 6), WKIM_OK);
        assert_trace(&c, "send seq=42 flags=6 type=1 setting=0 expire=0 channel=626f62/3 topic=/0 "
                         "stream=/0 plain=68656c6c6f/5\n");
        const struct wk_packet p = expect_packet(&c, WK_PACKET_SENDACK);
        assert_int_equal(p.flags, 6);
        assert_int_equal(p.u.sendack.client_seq, 42);
        assert_int_equal(p.u.sendack.message_id, 1);
        assert_int_equal(p.u.sendack.message_seq, 7);
        assert_int_equal(p.u.sendack.reason, 1);
        assert_true(wk_slice_eq(p.u.sendack.client_msg_no, v == 6 ? WK_LIT("no-1") : NONE));
        client_fini(&c);
    }
}

static void sealed_payloads_of_every_length_are_opened(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    char *text = wk_calloc(1, 4001);
    for (size_t n = 0; n <= 4000; n += n < 40 || (n > 1400 && n < 1600) ? 1 : 60) {
        memset(text, 'x', n);
        text[n] = '\0';
        wk_buf_clear(&c.trace);
        assert_int_equal(feed_send(&c, 1, text, 0), WKIM_OK);
        wk_buf_u8(&c.trace, 0);
        char want[32];
        snprintf(want, sizeof(want), "/%zu\n", n);
        assert_non_null(strstr((const char *)c.trace.p, want));
        wkim_slice frame;
        while (wk_session_next_frame(c.s, &frame))
            ;
        assert_true(wk_session_memory(c.s) <= 700);
    }
    assert_true(c.sends > 200);
    wk_free(text);
    client_fini(&c);
}

static void a_few_bytes_do_not_hold_a_large_buffer(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    json_login(&c);
    struct wk_buf in = WK_BUF_INIT;
    wk_buf_printf(&in, "{\"method\":\"send\",\"id\":\"1\",\"params\":{\"payload\":\"");
    assert_int_equal(wk_buf_reserve(&in, 400000), WKIM_OK);
    memset(in.p + in.n, 'A', 400000);
    in.n += 400000;
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(feed_text(&c, "\"}}{\"me"), WKIM_OK);
    assert_int_equal(c.sends, 1);
    assert_int_equal(wk_session_pending_in(c.s), 4);
    wkim_slice frame;
    while (wk_session_next_frame(c.s, &frame))
        ;
    assert_true(wk_session_memory(c.s) <= 700);
    wk_buf_fini(&in);
    client_fini(&c);
}

static void without_encryption_the_payload_is_plain_and_the_key_ignored(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    wk_buf_clear(&c.trace);
    const struct wk_packet p = { .type = WK_PACKET_SEND,
                                 .u.send = { .msg_key = WK_LIT("whatever"),
                                             .channel_id = WK_LIT("c") } };
    assert_int_equal(feed_packet(&c, &p), WKIM_OK);
    assert_trace(&c, "send seq=0 flags=0 type=0 setting=0 expire=0 channel=63/1 topic=/0 stream=/0 "
                     "plain=/0\n");
    client_fini(&c);
}

enum damage { WRONG_KEY, SHORT_KEY, NO_KEY, EMPTY, NOT_BASE64, NOT_BLOCKS, BAD_PADDING, PLAIN };

/* One block that does not end in a padding under this key: one in 256 does. */
static wkim_slice bad_padding(struct client *c, char text[25])
{
    struct wk_buf plain = WK_BUF_INIT;

    strcpy(text, "AAAAAAAAAAAAAAAAAAAAAA==");
    while (wk_open(c->crypto, &c->cipher, wk_str(text), &plain) == WKIM_OK)
        text[0]++;
    wk_buf_fini(&plain);
    return wk_str(text);
}

static void feed_damaged(struct client *c, enum damage what)
{
    struct wk_buf sealed = WK_BUF_INIT;
    char key[32], text[25];
    assert_int_equal(wk_seal(c->crypto, &c->cipher, WK_LIT("hello"), &sealed), WKIM_OK);
    wkim_slice payload = wk_buf_slice(&sealed);
    if (what == EMPTY)
        payload = NONE;
    else if (what == NOT_BASE64 || what == PLAIN)
        payload = WK_LIT("{\"type\":1}");
    else if (what == NOT_BLOCKS)
        payload = WK_LIT("YWJj");
    else if (what == BAD_PADDING)
        payload = bad_padding(c, text);
    const wkim_slice parts[] = { WK_LIT("9"), WK_LIT("no"), WK_LIT("bob"), WK_LIT("1"), payload };
    assert_int_equal(wk_msg_key(c->crypto, &c->cipher, parts, 5, key), WKIM_OK);
    key[31] ^= what == WRONG_KEY;
    const struct wk_packet p = {
        .type = WK_PACKET_SEND,
        .flags = 9,
        .u.send = { .setting = what == PLAIN ? 0x10 : 0, /* noEncrypt has no effect */
                    .client_seq = 9,
                    .client_msg_no = WK_LIT("no"),
                    .channel_id = WK_LIT("bob"),
                    .channel_type = 1,
                    .msg_key = wk_slice(key, what == NO_KEY || what == PLAIN ? 0
                                             : what == SHORT_KEY             ? 31
                                                                             : 32),
                    .payload = payload }
    };
    assert_int_equal(feed_packet(c, &p), WKIM_OK);
    wk_buf_fini(&sealed);
}

static void a_send_that_cannot_be_opened_is_answered_with_9(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    for (enum damage what = WRONG_KEY; what <= PLAIN; what++) {
        wk_buf_clear(&c.trace);
        feed_damaged(&c, what);
        assert_trace(&c, "refused seq=9 reason=9\n");
        const struct wk_packet p = expect_packet(&c, WK_PACKET_SENDACK);
        assert_int_equal(p.flags, 9);
        assert_int_equal(p.u.sendack.reason, 9);
        assert_int_equal(p.u.sendack.client_seq, 9);
        assert_int_equal(p.u.sendack.message_id, what + 1);
        assert_int_equal(p.u.sendack.message_seq, 0);
        expect_nothing(&c);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_OPEN);
    }
    assert_int_equal(feed_send(&c, 10, "still works", 0), WKIM_OK);
    assert_int_equal(c.sends, 1);
    client_fini(&c);
}

static void ping_is_answered_whatever_its_flags(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    for (uint8_t flags = 0; flags < 16; flags++) {
        const uint8_t byte = (uint8_t)(0x70 | flags);
        assert_int_equal(feed(&c, wk_slice(&byte, 1)), WKIM_OK);
        assert_int_equal(expect_packet(&c, WK_PACKET_PONG).flags, 0);
    }
    assert_int_equal(c.pings, 16);
    client_fini(&c);
}

static void recvack_comes_with_its_flags(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    wk_buf_clear(&c.trace);
    const struct wk_packet p = { .type = WK_PACKET_RECVACK, .flags = 5, .u.recvack = { -3, 8 } };
    assert_int_equal(feed_packet(&c, &p), WKIM_OK);
    assert_trace(&c, "recvack id=-3 seq=8 flags=5\n");
    expect_nothing(&c);
    client_fini(&c);
}

struct row {
    const char *bytes;
    size_t n;
    int code;
    uint8_t reason;
    const char *text;
};

static void malformed_input_is_answered_with_disconnect(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "\x00", 1, WKIM_EUNSUPPORTED, 20, "unsupported frame type 0" },
        { "\x00\x02\x01\x02", 4, WKIM_EUNSUPPORTED, 20, "unsupported frame type 0" },
        { "\xd0", 1, WKIM_EUNSUPPORTED, 20, "unsupported frame type 13" },
        { "\xe5", 1, WKIM_EUNSUPPORTED, 20, "unsupported frame type 14" },
        { "\xff", 1, WKIM_EUNSUPPORTED, 20, "unsupported frame type 15" },
        { "\x30\x00", 2, WKIM_EPROTO, 9, "malformed frame: send.setting" },
        { "\x60\x03\x00\x00\x00", 5, WKIM_EPROTO, 9, "malformed frame: recvack.messageId" },
        { "\x90\x05\x0c\x80\x00\x61\x62", 7, WKIM_EPROTO, 9, "malformed frame: disconnect.reason" },
        { "\x90\x05\x0c\x00\x03\x61\x62", 7, WKIM_EPROTO, 9, "malformed frame: disconnect.reason" },
        { "\x30\x81\x80\x40", 4, WKIM_ETOOBIG, 9, "frame too large" },
        { "\x30\xff\xff\xff\xff", 5, WKIM_ETOOBIG, 9, "frame too large" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct client c;
        client_init(&c, true, 5);
        (void)login(&c);
        struct wk_buf in = WK_BUF_INIT;
        wk_buf_u8(&in, 0x70); /* what stands before still counts */
        wk_buf_bytes(&in, rows[i].bytes, rows[i].n);
        wk_buf_u8(&in, 0x70); /* what follows does not */
        assert_int_equal(feed(&c, wk_buf_slice(&in)), rows[i].code);
        (void)expect_packet(&c, WK_PACKET_PONG);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_DISCONNECT);
        assert_int_equal(p.u.disconnect.reason, rows[i].reason);
        assert_true(wk_slice_eq(p.u.disconnect.text, wk_str(rows[i].text)));
        expect_nothing(&c);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
        assert_int_equal(c.closes, 1);
        assert_int_equal(c.close_code, rows[i].code);
        assert_string_equal(c.close_text, rows[i].text);
        assert_int_equal(c.pings, 1);
        wk_buf_fini(&in);
        client_fini(&c);
    }
}

static void what_only_servers_send_and_a_second_connect_have_no_effect(void **state)
{
    (void)state;
    static const uint8_t types[] = { WK_PACKET_CONNECT, WK_PACKET_CONNACK, WK_PACKET_SENDACK,
                                     WK_PACKET_RECV,    WK_PACKET_PONG,    WK_PACKET_SUB,
                                     WK_PACKET_SUBACK,  WK_PACKET_EVENT };
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    wk_buf_clear(&c.trace);
    for (size_t i = 0; i < sizeof(types); i++) {
        const struct wk_packet p = { .type = types[i] };
        assert_int_equal(feed_packet(&c, &p), WKIM_OK);
        expect_nothing(&c);
    }
    assert_trace(&c, "");
    assert_int_equal(feed_send(&c, 1, "x", 0), WKIM_OK);
    assert_int_equal(c.sends, 1);
    client_fini(&c);
}

static void disconnect_of_the_client_closes(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    const struct wk_packet p = { .type = WK_PACKET_DISCONNECT };
    assert_int_equal(feed_packet(&c, &p), WKIM_OK);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    assert_int_equal(c.closes, 1);
    assert_int_equal(c.close_code, WKIM_OK);
    expect_nothing(&c);
    client_fini(&c);
}

static void trailing_bytes_after_the_last_field_are_ignored(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    wk_buf_clear(&c.trace);
    assert_int_equal(
        feed(&c, wk_slice("\x60\x0e\0\0\0\0\0\0\0\x01\0\0\0\x02\xde\xad\x70", 17)), WKIM_OK);
    assert_trace(&c, "recvack id=1 seq=2 flags=0\nping\n");
    client_fini(&c);
}

static void a_frame_of_one_mebibyte_is_taken_in_pieces(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    const size_t n = WK_FRAME_BYTES_MAX - 16;
    uint8_t *payload = wk_calloc(1, n);
    struct wk_buf wire = WK_BUF_INIT;
    const struct wk_packet p = { .type = WK_PACKET_SEND, .u.send = { .payload = { payload, n } } };
    put_packet(&wire, &p, 5);
    assert_int_equal(wire.n, WK_FRAME_BYTES_MAX + 4);
    wk_buf_u8(&wire, 0x70);
    for (size_t at = 0; at < wire.n; at += 4096) {
        const size_t step = wire.n - at < 4096 ? wire.n - at : 4096;
        assert_int_equal(feed(&c, wk_slice(wire.p + at, step)), WKIM_OK);
        /* Memory follows the bytes that came, not the length that was announced. */
        assert_true(wk_session_memory(c.s) <= 2 * (at + step) + 1024);
    }
    assert_int_equal(c.sends, 1);
    assert_int_equal(c.pings, 1);
    wk_buf_fini(&wire);
    wk_free(payload);
    client_fini(&c);
}

static void a_paused_session_keeps_its_input(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    c.pause_after_send = true;
    struct wk_buf in = WK_BUF_INIT;
    for (uint32_t i = 0; i < 3; i++)
        put_send(&c, &in, i, "x", 0);
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.sends, 1);
    assert_true(wk_session_blocked(c.s));
    assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    assert_int_equal(c.sends, 1);
    wk_session_pause(c.s, false);
    assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    assert_int_equal(c.sends, 2);
    c.pause_after_send = false;
    wk_session_pause(c.s, false);
    assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    assert_int_equal(c.sends, 3);
    assert_int_equal(wk_session_pending_in(c.s), 0);
    wk_buf_fini(&in);
    client_fini(&c);
}

static void input_kept_while_paused_is_bounded(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    wk_session_pause(c.s, true);
    const size_t n = WK_INBOUND_BYTES_MAX;
    uint8_t *pings = wk_malloc(n);
    memset(pings, 0x70, n);
    assert_int_equal(feed(&c, wk_slice(pings, n)), WKIM_OK);
    assert_int_equal(feed(&c, wk_slice(pings, 1)), WKIM_ETOOBIG);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    assert_int_equal(wk_session_pending_in(c.s), 0);
    assert_int_equal(c.pings, 0);
    wk_free(pings);
    client_fini(&c);
}

static void a_kick_inside_a_callback_stops_the_input(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    c.disconnect_on_send = true;
    struct wk_buf in = WK_BUF_INIT;
    put_send(&c, &in, 1, "x", 0);
    put_send(&c, &in, 2, "x", 0);
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.sends, 1);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_DISCONNECT);
    assert_int_equal(p.u.disconnect.reason, 12);
    expect_nothing(&c); /* no SENDACK behind it */
    assert_int_equal(c.closes, 0);
    wk_buf_fini(&in);
    client_fini(&c);
}

/* Several encrypted SENDs of one read are checked side by side; nobody may notice. */
static void sealed_sends_of_one_read_keep_their_order_and_their_own_verdict(void **state)
{
    (void)state;
    enum { SENDS = 21, DAMAGED = 9, PING_AFTER = 13 };
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    struct wk_buf in = WK_BUF_INIT;
    char text[SENDS * 40 + 1];
    for (uint32_t i = 0; i < SENDS; i++) {
        memset(text, 'a' + (int)i, i * 40);
        text[i * 40] = '\0';
        put_send(&c, &in, i, text, 0);
        if (i == DAMAGED)
            in.p[in.n - 1] ^= 4; /* the last digit of the payload */
        if (i == PING_AFTER)
            wk_buf_u8(&in, 0x70);
    }
    wk_buf_clear(&c.trace);
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.sends, SENDS - 1);
    assert_int_equal(c.pings, 1);
    wk_buf_u8(&c.trace, 0);
    const char *at = (const char *)c.trace.p;
    for (uint32_t i = 0; i < SENDS; i++) {
        char line[32];
        snprintf(line, sizeof(line), "%s seq=%u ", i == DAMAGED ? "refused" : "send", i);
        assert_memory_equal(at, line, strlen(line));
        at = strchr(at, '\n') + 1;
        if (i == PING_AFTER && strncmp(at, "ping", 4) == 0)
            at = strchr(at, '\n') + 1;
    }
    wk_buf_fini(&in);
    client_fini(&c);
}

static void a_sealed_send_that_stops_the_input_leaves_the_rest_for_later(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    struct wk_buf in = WK_BUF_INIT;
    for (uint32_t i = 0; i < 6; i++)
        put_send(&c, &in, i, "x", 0);
    c.pause_after_send = true;
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    for (size_t i = 1; i <= 6; i++) {
        assert_int_equal(c.sends, i);
        wk_session_pause(c.s, false);
        assert_int_equal(wk_session_resume(c.s, 0, 0), WKIM_OK);
    }
    c.pause_after_send = false;
    c.disconnect_on_send = true;
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.sends, 7);
    wk_buf_fini(&in);
    client_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sealed_send_arrives_open),
        cmocka_unit_test(sealed_payloads_of_every_length_are_opened),
        cmocka_unit_test(a_few_bytes_do_not_hold_a_large_buffer),
        cmocka_unit_test(without_encryption_the_payload_is_plain_and_the_key_ignored),
        cmocka_unit_test(a_send_that_cannot_be_opened_is_answered_with_9),
        cmocka_unit_test(ping_is_answered_whatever_its_flags),
        cmocka_unit_test(recvack_comes_with_its_flags),
        cmocka_unit_test(malformed_input_is_answered_with_disconnect),
        cmocka_unit_test(what_only_servers_send_and_a_second_connect_have_no_effect),
        cmocka_unit_test(disconnect_of_the_client_closes),
        cmocka_unit_test(trailing_bytes_after_the_last_field_are_ignored),
        cmocka_unit_test(a_frame_of_one_mebibyte_is_taken_in_pieces),
        cmocka_unit_test(a_paused_session_keeps_its_input),
        cmocka_unit_test(input_kept_while_paused_is_bounded),
        cmocka_unit_test(a_kick_inside_a_callback_stops_the_input),
        cmocka_unit_test(sealed_sends_of_one_read_keep_their_order_and_their_own_verdict),
        cmocka_unit_test(a_sealed_send_that_stops_the_input_leaves_the_rest_for_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
