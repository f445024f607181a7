/* Limits, names and version rules of the binary codec. */
#include "packets.h"

static wkim_slice filled(size_t n)
{
    uint8_t *p = wk_malloc(n);
    memset(p, 'x', n);
    return wk_slice(p, n);
}

static void drop(wkim_slice s)
{
    wk_free((void *)(uintptr_t)s.p);
}

static void a_string_over_32767_bytes_is_not_encoded(void **state)
{
    (void)state;
    const wkim_slice s = filled(32768);
    struct wk_buf out = WK_BUF_INIT;
    struct wk_packet p = { .type = WK_PACKET_DISCONNECT, .u.disconnect = { 1, s } };
    assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_ETOOBIG);
    assert_int_equal(wk_packet_size(&p, 5), WKIM_ETOOBIG);
    assert_int_equal(out.n, 0);
    p.u.disconnect.text.n = 32767;
    assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_OK);
    assert_int_equal(out.n, 1 + 3 + 1 + 2 + 32767);
    struct wk_packet back;
    assert_int_equal(wk_packet_decode(&back, wk_buf_slice(&out), 5, WK_FRAME_BYTES_MAX, NULL),
                     out.n);
    assert_int_equal(back.u.disconnect.text.n, 32767);
    wk_buf_fini(&out);
    drop(s);
}

static void a_body_of_exactly_one_mebibyte_passes_and_one_more_byte_does_not(void **state)
{
    (void)state;
    const wkim_slice s = filled(WK_FRAME_BYTES_MAX);
    struct wk_packet p = { .type = WK_PACKET_EVENT,
                           .u.event = { 0, WK_LIT("i"), WK_LIT("t"), { s.p, s.n - 14 } } };
    struct wk_buf out = WK_BUF_INIT;
    assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_OK);
    assert_int_equal(out.n, WK_FRAME_BYTES_MAX + 4);
    struct wk_packet back;
    assert_int_equal(wk_packet_decode(&back, wk_buf_slice(&out), 5, WK_FRAME_BYTES_MAX, NULL),
                     out.n);
    p.u.event.data.n++;
    assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_ETOOBIG);
    assert_int_equal(out.n, WK_FRAME_BYTES_MAX + 4);
    wk_buf_fini(&out);
    drop(s);
}

static void a_64_bit_message_seq_needs_version_6(void **state)
{
    (void)state;
    const uint64_t seq = UINT32_MAX + 1ULL;
    struct wk_packet packets[] = {
        { .type = WK_PACKET_SENDACK, .u.sendack = { .message_seq = seq } },
        { .type = WK_PACKET_RECV, .u.recv = { .message_seq = seq } },
        { .type = WK_PACKET_RECVACK, .u.recvack = { .message_seq = seq } },
    };
    for (size_t i = 0; i < 3; i++) {
        for (uint8_t v = 0; v <= 5; v++) {
            struct wk_buf out = WK_BUF_INIT;
            assert_int_equal(wk_packet_encode(&out, &packets[i], v), WKIM_ETOOBIG);
            assert_int_equal(out.n, 0);
            wk_buf_fini(&out);
        }
        struct wk_buf out = WK_BUF_INIT;
        struct wk_packet back;
        assert_int_equal(wk_packet_encode(&out, &packets[i], 6), WKIM_OK);
        assert_int_equal(wk_packet_decode(&back, wk_buf_slice(&out), 6, WK_FRAME_BYTES_MAX, NULL),
                         out.n);
        assert_true(packets_equal(&back, &packets[i]));
        wk_buf_fini(&out);
    }
}

static void version_6_appends_client_msg_no_to_sendack_only_when_there_is_one(void **state)
{
    (void)state;
    struct wk_packet p = { .type = WK_PACKET_SENDACK, .u.sendack = { .reason = 1 } };
    assert_int_equal(wk_packet_size(&p, 6), 2 + 21);
    p.u.sendack.client_msg_no = WK_LIT("abc");
    assert_int_equal(wk_packet_size(&p, 6), 2 + 21 + 5);
    assert_int_equal(wk_packet_size(&p, 5), 2 + 17);
}

static void version_5_send_with_the_stream_bit_counts_no_stream_no(void **state)
{
    (void)state;
    struct wk_packet p = { .type = WK_PACKET_SEND,
                           .u.send = { .setting = WKIM_SETTING_STREAM,
                                       .stream_no = WK_LIT("s1"),
                                       .payload = WK_LIT("p") } };
    struct wk_buf out = WK_BUF_INIT;
    assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_OK);
    assert_int_equal(out.p[1], out.n - 2);
    assert_int_equal(wk_packet_size(&p, 4), (wkim_ssize)out.n + 4);
    wk_buf_fini(&out);
}

static void the_error_names_the_field(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } cases[] = {
        { "\x30\x05\x00\x00\x00\x00\x01", 7, "malformed frame: send.clientMsgNo" },
        { "\x30\x09\x00\x00\x00\x00\x01\x00\x00\x80\x00", 11, "malformed frame: send.channelId" },
        { "\x60\x01\x00", 3, "malformed frame: recvack.messageId" },
        { "\xd0", 1, "unsupported frame type 13" },
        { "\x00", 1, "unsupported frame type 0" },
        { "\x30\xff\xff\xff\xff", 5, "frame too large" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wk_packet p;
        struct wkim_error err;
        assert_true(wk_packet_decode(&p, wk_slice(cases[i].bytes, cases[i].n), 5,
                                     WK_FRAME_BYTES_MAX, &err) < 0);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void the_length_limit_is_the_callers(void **state)
{
    (void)state;
    struct wk_packet p;
    const wkim_slice head = WK_LIT("\x10\x80\x80\x04");
    assert_int_equal(wk_packet_decode(&p, head, 5, 65536, NULL), 0);
    assert_int_equal(wk_packet_decode(&p, head, 5, 65535, NULL), WKIM_ETOOBIG);
}

static void types_that_are_no_packet_are_not_encoded(void **state)
{
    (void)state;
    for (unsigned t = 0; t < 256; t = t == 0 ? 13 : t + 1) {
        const struct wk_packet p = { .type = (uint8_t)t };
        struct wk_buf out = WK_BUF_INIT;
        assert_int_equal(wk_packet_encode(&out, &p, 5), WKIM_EUNSUPPORTED);
        assert_int_equal(wk_packet_size(&p, 5), WKIM_EUNSUPPORTED);
        assert_int_equal(out.n, 0);
        wk_buf_fini(&out);
    }
}

static void recv_head_and_payload_give_the_same_bytes_as_the_whole(void **state)
{
    (void)state;
    for (uint8_t v = 0; v <= 6; v++) {
        struct wk_packet p = { .type = WK_PACKET_RECV,
                               .flags = 6,
                               .u.recv = { .setting = 0x0a,
                                           .msg_key = WK_LIT("0123"),
                                           .from_uid = WK_LIT("u"),
                                           .channel_id = WK_LIT("c"),
                                           .stream_no = WK_LIT("no"),
                                           .topic = WK_LIT("t"),
                                           .payload = WK_LIT("payload") } };
        struct wk_buf whole = WK_BUF_INIT, parts = WK_BUF_INIT;
        size_t at = 0;
        wk_buf_u8(&whole, 0);
        wk_buf_u8(&parts, 0);
        assert_int_equal(wk_packet_encode(&whole, &p, v), WKIM_OK);
        assert_int_equal(wk_recv_encode_head(&parts, &p.u.recv, 6, v, 7, &at), WKIM_OK);
        wk_buf_bytes(&parts, "payload", 7);
        assert_true(wk_slice_eq(wk_buf_slice(&whole), wk_buf_slice(&parts)));
        assert_memory_equal(parts.p + at, "0123", 4);
        assert_int_equal(wk_recv_encode_head(&parts, &p.u.recv, 6, v, SIZE_MAX, &at),
                         WKIM_ETOOBIG);
        wk_buf_fini(&whole);
        wk_buf_fini(&parts);
    }
}

static void negotiation_takes_the_lower_version(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        assert_int_equal(wk_proto_negotiate((uint8_t)v, 5), v < 5 ? v : 5);
        assert_int_equal(wk_proto_negotiate((uint8_t)v, 6), v < 6 ? v : 6);
    }
}

static void names_are_those_of_the_reference(void **state)
{
    (void)state;
    assert_string_equal(wk_packet_type_name(3), "SEND");
    assert_string_equal(wk_packet_type_name(12), "EVENT");
    assert_string_equal(wk_packet_type_name(13), "UNKNOWN");
    assert_string_equal(wk_packet_type_name(255), "UNKNOWN");
    assert_string_equal(wk_reason_name(2), "ReasonAuthFail");
    assert_string_equal(wk_reason_name(15), "ReasonSystemError");
    assert_string_equal(wk_reason_name(19), "ReasonBan");
    for (unsigned r = 0; r < 256; r++)
        assert_non_null(wk_reason_name((uint8_t)r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_string_over_32767_bytes_is_not_encoded),
        cmocka_unit_test(a_body_of_exactly_one_mebibyte_passes_and_one_more_byte_does_not),
        cmocka_unit_test(a_64_bit_message_seq_needs_version_6),
        cmocka_unit_test(version_6_appends_client_msg_no_to_sendack_only_when_there_is_one),
        cmocka_unit_test(version_5_send_with_the_stream_bit_counts_no_stream_no),
        cmocka_unit_test(the_error_names_the_field),
        cmocka_unit_test(the_length_limit_is_the_callers),
        cmocka_unit_test(types_that_are_no_packet_are_not_encoded),
        cmocka_unit_test(recv_head_and_payload_give_the_same_bytes_as_the_whole),
        cmocka_unit_test(negotiation_takes_the_lower_version),
        cmocka_unit_test(names_are_those_of_the_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
