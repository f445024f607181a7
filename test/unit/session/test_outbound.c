/* What the server decides, as the client sees it. */
#include "client.h"

static struct wk_record message(wkim_slice payload)
{
    return (struct wk_record){ .setting = 0x80,
                               .channel_type = 1,
                               .message_id = 1234567890123,
                               .message_seq = 77,
                               .timestamp_ms = 1700000000999,
                               .expire_s = 60,
                               .channel_id = WK_LIT("stored@id"),
                               .from_uid = WK_LIT("stored-from"),
                               .client_msg_no = WK_LIT("no"),
                               .payload = payload };
}

static void a_recv_is_sealed_and_signed_for_its_receiver(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= 6; v++) {
        struct client c;
        client_init(&c, true, v);
        (void)login(&c);
        const struct wk_record r = message(WK_LIT("hello"));
        assert_int_equal(wk_session_recv(c.s, &r, WK_LIT("from"), WK_LIT("chan"), 0x0f), WKIM_OK);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_RECV);
        struct wk_buf plain = WK_BUF_INIT;
        open_recv(&c, &p, &plain);
        assert_true(wk_slice_eq(wk_buf_slice(&plain), WK_LIT("hello")));
        wk_buf_fini(&plain);
        assert_int_equal(p.flags, 0x0f);
        assert_int_equal(p.u.recv.setting, 0x80);
        assert_int_equal(p.u.recv.timestamp, 1700000000);
        assert_int_equal(p.u.recv.expire, v >= 3 ? 60 : 0);
        assert_int_equal(p.u.recv.message_seq, 77);
        assert_true(wk_slice_eq(p.u.recv.from_uid, WK_LIT("from")));
        assert_true(wk_slice_eq(p.u.recv.channel_id, WK_LIT("chan")));
        expect_nothing(&c);
        client_fini(&c);
    }
}

static void sealing_works_for_every_payload_length(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    uint8_t payload[600];
    for (size_t n = 0; n <= sizeof(payload); n++) {
        memset(payload, (int)n, sizeof(payload));
        const struct wk_record r = message(wk_slice(payload, n));
        assert_int_equal(wk_session_recv(c.s, &r, NONE, WK_LIT("c"), 0), WKIM_OK);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_RECV);
        struct wk_buf plain = WK_BUF_INIT;
        open_recv(&c, &p, &plain);
        assert_true(wk_slice_eq(wk_buf_slice(&plain), r.payload));
        wk_buf_fini(&plain);
    }
    client_fini(&c);
}

static void without_encryption_a_recv_is_plain_and_unsigned(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    const struct wk_record r = message(WK_LIT("hello"));
    assert_int_equal(wk_session_recv(c.s, &r, WK_LIT("f"), WK_LIT("c"), 0), WKIM_OK);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_RECV);
    assert_true(wk_slice_eq(p.u.recv.payload, WK_LIT("hello")));
    assert_int_equal(p.u.recv.msg_key.n, 0);
    client_fini(&c);
}

static void stream_fields_go_to_versions_2_to_4_only(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= 6; v++) {
        struct client c;
        client_init(&c, true, v);
        (void)login(&c);
        struct wk_record r = message(WK_LIT("x"));
        r.setting = WKIM_SETTING_STREAM | WKIM_SETTING_TOPIC;
        r.stream_no = WK_LIT("stream");
        r.topic = WK_LIT("topic");
        assert_int_equal(wk_session_recv(c.s, &r, WK_LIT("f"), WK_LIT("c"), 0), WKIM_OK);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_RECV);
        const bool has = v >= 2 && v <= 4;
        assert_int_equal(p.u.recv.setting, r.setting);
        assert_int_equal(p.u.recv.stream_flag, 0);
        assert_int_equal(p.u.recv.stream_id, has ? 1234567890123 : 0);
        assert_true(wk_slice_eq(p.u.recv.stream_no, has ? WK_LIT("stream") : NONE));
        assert_true(wk_slice_eq(p.u.recv.topic, WK_LIT("topic")));
        client_fini(&c);
    }
}

static void a_recv_that_does_not_fit_is_too_big_and_changes_nothing(void **state)
{
    (void)state;
    uint8_t *big = wk_calloc(1, WK_FRAME_BYTES_MAX);
    for (int encrypt = 0; encrypt <= 1; encrypt++) {
        struct client c;
        client_init(&c, encrypt, 5);
        (void)login(&c);
        struct wk_record r = message(wk_slice(big, WK_FRAME_BYTES_MAX));
        assert_int_equal(wk_session_recv(c.s, &r, NONE, WK_LIT("c"), 0), WKIM_ETOOBIG);
        r.payload = wk_slice(big, 786432); /* sealed just over the limit */
        assert_int_equal(wk_session_recv(c.s, &r, NONE, WK_LIT("c"), 0),
                         encrypt ? WKIM_ETOOBIG : WKIM_OK);
        if (!encrypt)
            (void)expect_packet(&c, WK_PACKET_RECV);
        r.payload = NONE;
        assert_int_equal(wk_session_recv(c.s, &r, wk_slice(big, 32768), NONE, 0), WKIM_ETOOBIG);
        r.message_seq = 1ULL << 32;
        assert_int_equal(wk_session_recv(c.s, &r, NONE, NONE, 0), WKIM_ETOOBIG);
        expect_nothing(&c);
        assert_true(wk_session_memory(c.s) <= 700);
        assert_int_equal(wk_session_state(c.s), WK_SESSION_OPEN);
        client_fini(&c);
    }
    wk_free(big);
}

static void version_6_carries_a_64_bit_message_seq(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 6);
    (void)login(&c);
    struct wk_record r = message(WK_LIT("x"));
    r.message_seq = UINT64_MAX;
    assert_int_equal(wk_session_recv(c.s, &r, NONE, NONE, 0), WKIM_OK);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_RECV);
    assert_true(p.u.recv.message_seq == UINT64_MAX);
    struct wk_buf plain = WK_BUF_INIT;
    open_recv(&c, &p, &plain);
    wk_buf_fini(&plain);
    client_fini(&c);
}

static void a_sendack_never_cuts_a_message_seq(void **state)
{
    (void)state;
    for (uint8_t v = 5; v <= 6; v++) {
        struct client c;
        client_init(&c, false, v);
        (void)login(&c);
        c.ack_at_once = false;
        assert_int_equal(feed_send(&c, 1, "x", 0), WKIM_OK);
        assert_int_equal(wk_session_sendack(c.s, c.acks[0], 5, 1ULL << 32, 1), WKIM_OK);
        const struct wk_packet p = expect_packet(&c, WK_PACKET_SENDACK);
        assert_int_equal(p.u.sendack.reason, v == 6 ? 1 : WKIM_REASON_SYSTEM_ERROR);
        assert_true(p.u.sendack.message_seq == (v == 6 ? 1ULL << 32 : 0));
        client_fini(&c);
    }
}

static void event_goes_to_old_versions_only_when_asked(void **state)
{
    (void)state;
    const struct wk_event e = { 1700000000123, WK_LIT("e1"), WK_LIT("stream.delta"),
                                WK_LIT("{\"a\":1}") };
    for (int old = 0; old <= 1; old++) {
        for (uint8_t v = 0; v <= 6; v++) {
            struct client c;
            client_init(&c, true, v);
            wk_session_free(c.s);
            c.opt.event_to_old = old;
            assert_int_equal(wk_session_new(&c.s, &c.opt, &client_events, &c), WKIM_OK);
            (void)login(&c);
            const bool goes = old || v >= 5;
            assert_int_equal(wk_session_event(c.s, &e), goes ? WKIM_OK : WKIM_EUNSUPPORTED);
            if (goes) {
                const struct wk_packet p = expect_packet(&c, WK_PACKET_EVENT);
                assert_true(wk_slice_eq(p.u.event.data, e.data)); /* never sealed */
                assert_int_equal(p.u.event.timestamp, e.timestamp);
            }
            expect_nothing(&c);
            client_fini(&c);
        }
    }
}

static void sendacks_may_come_in_any_order(void **state)
{
    (void)state;
    for (uint8_t v = 5; v <= 6; v++) {
        struct client c;
        client_init(&c, true, v);
        (void)login(&c);
        c.ack_at_once = false;
        for (uint32_t i = 0; i < 300; i++)
            assert_int_equal(feed_send(&c, 1000 + i, "x", (uint8_t)(i & 15)), WKIM_OK);
        assert_int_equal(c.n_acks, 300);
        for (uint32_t k = 0; k < 300; k++) {
            const uint32_t i = k * 7 % 300;
            assert_int_equal(wk_session_sendack(c.s, c.acks[i], i, i, 1), WKIM_OK);
            const struct wk_packet p = expect_packet(&c, WK_PACKET_SENDACK);
            assert_int_equal(p.u.sendack.client_seq, 1000 + i);
            assert_int_equal(p.u.sendack.message_id, i);
            assert_int_equal(p.flags, i & 15);
        }
        assert_int_equal(wk_session_sendack(c.s, c.acks[0], 1, 1, 1), WKIM_EINVAL);
        assert_true(wk_session_memory(c.s) <= 700);
        client_fini(&c);
    }
}

static void too_many_unanswered_sends_hold_the_input_until_half_are_answered(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    (void)login(&c);
    c.ack_at_once = false;
    struct wk_buf in = WK_BUF_INIT;
    for (uint32_t i = 0; i < WK_CONN_INFLIGHT_SENDS_MAX + 3; i++)
        put_send(&c, &in, i, "x", 0);
    assert_int_equal(feed(&c, wk_buf_slice(&in)), WKIM_OK);
    assert_int_equal(c.n_acks, WK_CONN_INFLIGHT_SENDS_MAX);
    assert_true(wk_session_blocked(c.s));
    const size_t half = WK_CONN_INFLIGHT_SENDS_MAX / 2;
    for (size_t i = 0; i + 1 < half; i++)
        assert_int_equal(wk_session_sendack(c.s, c.acks[i], 1, 1, 1), WKIM_OK);
    assert_int_equal(c.n_acks, WK_CONN_INFLIGHT_SENDS_MAX);
    assert_int_equal(wk_session_sendack(c.s, c.acks[half], 1, 1, 1), WKIM_OK);
    assert_int_equal(c.n_acks, WK_CONN_INFLIGHT_SENDS_MAX + 3);
    assert_false(wk_session_blocked(c.s));
    assert_int_equal(wk_session_pending_in(c.s), 0);
    wk_buf_fini(&in);
    client_fini(&c);
}

static void an_unknown_ack_is_refused(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 6);
    (void)login(&c);
    assert_int_equal(wk_session_sendack(c.s, 1ULL << 63, 1, 1, 1), WKIM_EINVAL);
    assert_int_equal(wk_session_sendack(c.s, 0, 1, 1, 1), WKIM_EINVAL);
    c.ack_at_once = false;
    assert_int_equal(feed_send(&c, 1, "x", 0), WKIM_OK);
    assert_int_equal(wk_session_sendack(c.s, c.acks[0] + 1, 1, 1, 1), WKIM_EINVAL);
    assert_int_equal(wk_session_sendack(c.s, c.acks[0] + (1 << 16), 1, 1, 1), WKIM_EINVAL);
    assert_int_equal(wk_session_sendack(c.s, c.acks[0], 1, 1, 1), WKIM_OK);
    assert_int_equal(wk_session_sendack(c.s, c.acks[0], 1, 1, 1), WKIM_EINVAL);
    client_fini(&c);
}

static void a_client_that_does_not_read_is_closed_at_the_bound(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    wk_session_free(c.s);
    c.opt.outbound_bytes_max = 2000;
    assert_int_equal(wk_session_new(&c.s, &c.opt, &client_events, &c), WKIM_OK);
    (void)login(&c);
    const struct wk_record r = message(WK_LIT("0123456789012345678901234567890123456789"));
    int rc = WKIM_OK;
    size_t n = 0;
    for (; n < 100 && rc == WKIM_OK; n++) {
        rc = wk_session_recv(c.s, &r, WK_LIT("f"), WK_LIT("c"), 0);
        assert_true(wk_session_out(c.s).n <= 2000);
    }
    assert_int_equal(rc, WKIM_EBUSY);
    assert_true(n > 5);
    assert_int_equal(wk_session_state(c.s), WK_SESSION_CLOSING);
    assert_int_equal(wk_session_out(c.s).n, 0); /* no DISCONNECT, nothing to drain */
    assert_int_equal(wk_session_recv(c.s, &r, NONE, NONE, 0), WKIM_ESTOPPED);
    client_fini(&c);
}

static void answers_to_pings_count_as_output_too(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    wk_session_free(c.s);
    c.opt.outbound_bytes_max = 100;
    assert_int_equal(wk_session_new(&c.s, &c.opt, &client_events, &c), WKIM_OK);
    (void)login(&c);
    uint8_t pings[101];
    memset(pings, 0x70, sizeof(pings));
    assert_int_equal(feed(&c, wk_slice(pings, 101)), WKIM_EBUSY);
    assert_int_equal(c.closes, 1);
    assert_int_equal(c.close_code, WKIM_EBUSY);
    client_fini(&c);
}

static void the_stream_view_and_the_frames_have_the_same_bytes(void **state)
{
    (void)state;
    struct client a, b;
    client_init(&a, false, 5);
    client_init(&b, false, 5);
    (void)login(&a);
    (void)login(&b);
    const struct wk_record r = message(WK_LIT("hello"));
    struct wk_buf stream = WK_BUF_INIT, frames = WK_BUF_INIT;
    for (int i = 0; i < 500; i++) {
        struct client *both[] = { &a, &b };
        for (int k = 0; k < 2; k++) {
            assert_int_equal(wk_session_recv(both[k]->s, &r, WK_LIT("f"), WK_LIT("c"), 0), WKIM_OK);
            assert_int_equal(feed_text(both[k], "p"), WKIM_OK); /* 0x70, PING */
        }
        const wkim_slice out = wk_session_out(a.s);
        const size_t part = i % 7 ? out.n / 3 : out.n;
        wk_buf_bytes(&stream, out.p, part);
        wk_session_out_consume(a.s, part);
        wkim_slice frame;
        for (int k = 0; k < i % 5 && wk_session_next_frame(b.s, &frame); k++) {
            assert_int_equal(wk_frame_extent(frame), frame.n);
            wk_buf_bytes(&frames, frame.p, frame.n);
        }
    }
    const wkim_slice rest = wk_session_out(a.s);
    wk_buf_bytes(&stream, rest.p, rest.n);
    wk_session_out_consume(a.s, rest.n);
    wkim_slice frame;
    while (wk_session_next_frame(b.s, &frame))
        wk_buf_bytes(&frames, frame.p, frame.n);
    assert_true(stream.n > 500);
    assert_true(wk_slice_eq(wk_buf_slice(&stream), wk_buf_slice(&frames)));
    wk_buf_fini(&stream);
    wk_buf_fini(&frames);
    client_fini(&a);
    client_fini(&b);
}

static void a_kick_is_flushed_and_nothing_follows_it(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    (void)login(&c);
    wk_session_disconnect(c.s, WKIM_REASON_KICK, WK_LIT("login in other device"));
    const struct wk_record r = message(WK_LIT("x"));
    const struct wk_event e = { 0 };
    assert_int_equal(wk_session_recv(c.s, &r, NONE, NONE, 0), WKIM_ESTOPPED);
    assert_int_equal(wk_session_event(c.s, &e), WKIM_ESTOPPED);
    assert_int_equal(feed_send(&c, 1, "x", 0), WKIM_OK);
    assert_int_equal(c.sends, 0);
    wk_session_disconnect(c.s, 1, NONE);
    const struct wk_packet p = expect_packet(&c, WK_PACKET_DISCONNECT);
    assert_int_equal(p.u.disconnect.reason, 12);
    assert_true(wk_slice_eq(p.u.disconnect.text, WK_LIT("login in other device")));
    expect_nothing(&c);
    assert_int_equal(c.closes, 0);
    client_fini(&c);
}

static void an_idle_open_session_holds_at_most_700_bytes(void **state)
{
    (void)state;
    for (int form = 0; form < 4; form++) {
        struct client c;
        client_init(&c, form != 1, form == 2 ? 6 : 5);
        if (form == 3)
            json_login(&c);
        else
            (void)login(&c);
        assert_true(wk_session_memory(c.s) <= 700);
        const struct wk_record r = message(WK_LIT("hello"));
        for (int i = 0; i < 10; i++) {
            assert_int_equal(wk_session_recv(c.s, &r, WK_LIT("f"), WK_LIT("c"), 0), WKIM_OK);
            if (form == 3)
                assert_int_equal(feed_text(&c, "{\"method\":\"send\",\"id\":\"1\",\"params\":{}} "),
                                 WKIM_OK);
            else
                assert_int_equal(feed_send(&c, 1, "x", 0), WKIM_OK);
        }
        assert_true(wk_session_memory(c.s) > 700);
        wkim_slice frame;
        while (wk_session_next_frame(c.s, &frame))
            ;
        assert_true(wk_session_memory(c.s) <= 700);
        client_fini(&c);
    }
}

static void a_session_moves_to_another_thread_with_its_keys(void **state)
{
    (void)state;
    struct client c, other;
    client_init(&c, true, 5);
    client_init(&other, true, 5);
    (void)login(&c);
    wk_session_rebind(c.s, other.crypto, NULL, &other);
    wk_session_free(other.s);
    other.s = c.s;
    assert_int_equal(feed_send(&c, 1, "hello", 0), WKIM_OK);
    assert_int_equal(c.sends, 0);
    assert_int_equal(other.sends, 1);
    other.s = NULL;
    client_fini(&other);
    client_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recv_is_sealed_and_signed_for_its_receiver),
        cmocka_unit_test(sealing_works_for_every_payload_length),
        cmocka_unit_test(without_encryption_a_recv_is_plain_and_unsigned),
        cmocka_unit_test(stream_fields_go_to_versions_2_to_4_only),
        cmocka_unit_test(a_recv_that_does_not_fit_is_too_big_and_changes_nothing),
        cmocka_unit_test(version_6_carries_a_64_bit_message_seq),
        cmocka_unit_test(a_sendack_never_cuts_a_message_seq),
        cmocka_unit_test(event_goes_to_old_versions_only_when_asked),
        cmocka_unit_test(sendacks_may_come_in_any_order),
        cmocka_unit_test(too_many_unanswered_sends_hold_the_input_until_half_are_answered),
        cmocka_unit_test(an_unknown_ack_is_refused),
        cmocka_unit_test(a_client_that_does_not_read_is_closed_at_the_bound),
        cmocka_unit_test(answers_to_pings_count_as_output_too),
        cmocka_unit_test(the_stream_view_and_the_frames_have_the_same_bytes),
        cmocka_unit_test(a_kick_is_flushed_and_nothing_follows_it),
        cmocka_unit_test(an_idle_open_session_holds_at_most_700_bytes),
        cmocka_unit_test(a_session_moves_to_another_thread_with_its_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
