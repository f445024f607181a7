/* JSON-RPC beyond the recorded texts: cuts, limits, repair of text, payload forms. */
#include "packets.h"
#include "proto/json_text.h"

static struct wk_arena arena;

static int setup(void **state)
{
    (void)state;
    wk_arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wk_arena_fini(&arena);
    return 0;
}

static wkim_ssize decode_n(struct wk_json_in *out, const char *text, size_t n)
{
    struct wk_json_scan scan = { 0 };
    return wk_json_decode(out, wk_slice(text, n), &scan, WK_JSON_BYTES_MAX, &arena);
}

static struct wk_json_in decoded(const char *text)
{
    struct wk_json_in out;
    assert_int_equal(decode_n(&out, text, strlen(text)), strlen(text));
    return out;
}

#define SEND(params) "{\"method\":\"send\",\"id\":\"1\",\"params\":{" params "}}"

static void assert_payload(const char *text, const char *payload)
{
    const struct wk_json_in in = decoded(text);
    if (in.kind != WK_JSON_PACKET)
        fail_msg("%s: %s", text, in.text);
    if (!wk_slice_eq(in.packet.u.send.payload, wk_str(payload)))
        fail_msg("%s: %.*s", text, (int)in.packet.u.send.payload.n,
                 (const char *)in.packet.u.send.payload.p);
}

static void payload_takes_base64_bytes_or_any_json_value(void **state)
{
    (void)state;
    assert_payload(SEND("\"payload\":\"aGVs\\nbG8=\""), "hello");
    assert_payload(SEND("\"payload\":[104,105]"), "hi");
    assert_payload(SEND("\"payload\":[]"), "");
    assert_payload(SEND("\"payload\": { \"type\" : 1 ,\n \"x\" : [ 1.10 , \"a b\" ] } "),
                   "{\"type\":1,\"x\":[1.10,\"a b\"]}");
    assert_payload(SEND("\"payload\":[ \"a\", 1 ]"), "[\"a\",1]");
    assert_payload(SEND("\"payload\": 1234567890123456789012 ,\"channelId\":\"c\""),
                   "1234567890123456789012");
    assert_payload(SEND("\"PayLoad\":true"), "true");
    assert_payload(SEND("\"payload\":{\"payload\":{\"params\":{}}},\"x\":{\"payload\":7}"),
                   "{\"payload\":{\"params\":{}}}");
}

static void payload_that_is_no_bytes_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        SEND("\"payload\":[256]"),      SEND("\"payload\":[-1]"),
        SEND("\"payload\":\"a\""),      SEND("\"payload\":\"ab=c\""),
        SEND("\"payload\":\"====\""),   SEND("\"payload\":\"aa==aaaa\""),
        SEND("\"payload\":\"aaa\""),    SEND("\"payload\":\"aGVsbG8=\\u0000\""),
        SEND("\"pay\\u006coad\":{}"),
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const struct wk_json_in in = decoded(texts[i]);
        if (in.kind != WK_JSON_ERROR || in.code != -32602 || in.fatal)
            fail_msg("%s: taken", texts[i]);
        assert_true(strncmp(in.text, "jsonrpc: failed to unmarshal field: send params: ", 49) == 0);
    }
}

static void base64_goes_both_ways(void **state)
{
    (void)state;
    uint8_t in[64], text[WK_JSON_BASE64_LEN(64)], back[64];
    for (size_t n = 0; n <= sizeof(in); n++) {
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)(i * 37 + n);
        wk_json_base64_encode(text, wk_slice(in, n));
        assert_int_equal(wk_json_base64_decode(back, wk_slice(text, WK_JSON_BASE64_LEN(n))), n);
        assert_memory_equal(back, in, n);
    }
}

static void text_the_parser_would_refuse_is_repaired(void **state)
{
    (void)state;
    struct wk_json_in in = decoded(SEND("\"channelId\":\"a\xff"
                                        "b\xed\xa0\x80\""));
    assert_int_equal(in.kind, WK_JSON_PACKET);
    assert_true(wk_slice_eq(in.packet.u.send.channel_id,
                            wk_str("a\xef\xbf\xbd"
                                   "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")));
    in = decoded(SEND("\"channelId\":\"\\ud800x\\udc00\\ud83d\\ude00\\ud83d\""));
    assert_int_equal(in.kind, WK_JSON_PACKET);
    assert_true(wk_slice_eq(in.packet.u.send.channel_id,
                            wk_str("\xef\xbf\xbdx\xef\xbf\xbd\xf0\x9f\x98\x80\xef\xbf\xbd")));
    in = decoded(
        "{\"method\":\"ping\",\"id\":\"1\",\"x\":[1e999,-123456789012345678901234567890,1.5]}");
    assert_int_equal(in.kind, WK_JSON_PACKET);
}

static void numbers_that_are_no_integers_of_their_width_are_refused(void **state)
{
    (void)state;
    static const char *const values[] = { "1.0", "1e2", "-1", "4294967296", "99999999999999999999",
                                          "\"1\"", "true", "[]", "{}" };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), SEND("\"expire\":%s"), values[i]);
        const struct wk_json_in in = decoded(text);
        assert_int_equal(in.kind, WK_JSON_ERROR);
        assert_int_equal(in.code, -32602);
        assert_string_not_equal(in.text, "");
    }
    assert_int_equal(decoded(SEND("\"expire\":4294967295")).packet.u.send.expire, UINT32_MAX);
    assert_int_equal(decoded(SEND("\"expire\":null")).kind, WK_JSON_PACKET);
}

static void headers_and_settings_are_objects_of_booleans(void **state)
{
    (void)state;
    const struct wk_json_in in = decoded(SEND(
        "\"header\":{\"NOPERSIST\":true,\"dup\":true,\"redDot\":false,\"x\":3},\"setting\":"
        "{\"receipt\":true,\"stream\":true,\"topic\":null},\"topic\":\"t\",\"streamNo\":\"s\""));
    assert_int_equal(in.packet.flags, WKIM_FLAG_NO_PERSIST | WKIM_FLAG_DUP);
    assert_int_equal(in.packet.u.send.setting, 0x82);
    assert_int_equal(in.packet.u.send.topic.n, 1); /* also while its bit is not set */
    assert_int_equal(in.packet.u.send.stream_no.n, 1);
    assert_int_equal(decoded(SEND("\"header\":[]")).kind, WK_JSON_ERROR);
    assert_int_equal(decoded(SEND("\"header\":{\"dup\":1}")).kind, WK_JSON_ERROR);
    assert_int_equal(decoded(SEND("\"header\":{\"end\":\"x\"}")).kind, WK_JSON_ERROR);
    assert_int_equal(decoded(SEND("\"setting\":{\"signal\":\"x\"}")).kind, WK_JSON_ERROR);
}

static void recvack_takes_ids_as_text_or_number(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t id;
    } cases[] = { { "\"9223372036854775807\"", INT64_MAX },
                  { "9223372036854775807", INT64_MAX },
                  { "\"-5\"", -5 },
                  { "\"9223372036854775808\"", 0 },
                  { "9223372036854775808", 0 },
                  { "\" 1\"", 0 },
                  { "\"1x\"", 0 },
                  { "\"\"", 0 },
                  { "null", 0 } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "{\"method\":\"recvack\",\"params\":{\"messageId\":%s}}",
                 cases[i].text);
        const struct wk_json_in in = decoded(text);
        assert_int_equal(in.kind, WK_JSON_PACKET);
        assert_int_equal(in.packet.u.recvack.message_id, cases[i].id);
    }
    assert_int_equal(decoded("{\"method\":\"recvack\",\"params\":{\"messageId\":[]}}").kind,
                     WK_JSON_ERROR);
}

static void strings_longer_than_the_binary_form_allows_are_refused(void **state)
{
    (void)state;
    char *text = malloc(40000 + 200);
    char *uid = malloc(32769);
    memset(uid, 'u', 32768);
    for (size_t n = 32767; n <= 32768; n++) {
        sprintf(text, "{\"method\":\"connect\",\"id\":\"1\",\"params\":{\"uid\":\"%.*s\"}}", (int)n,
                uid);
        assert_int_equal(decoded(text).kind, n == 32767 ? WK_JSON_PACKET : WK_JSON_ERROR);
    }
    for (size_t n = 4096; n <= 4097; n++) {
        sprintf(text, "{\"method\":\"ping\",\"id\":\"%.*s\"}", (int)n, uid);
        assert_int_equal(decoded(text).kind, n == 4096 ? WK_JSON_PACKET : WK_JSON_ERROR);
    }
    free(uid);
    free(text);
}

static void objects_over_the_limits_are_too_big(void **state)
{
    (void)state;
    char text[200] = "{\"method\":\"ping\",\"id\":\"1\",\"x\":";
    struct wk_json_in in;
    struct wk_json_scan scan = { 0 };
    const size_t n = strlen(text);
    /* The object itself is level 1. */
    memset(text + n, '[', 31);
    memset(text + n + 31, ']', 31);
    strcpy(text + n + 62, "}");
    assert_int_equal(decode_n(&in, text, strlen(text)), strlen(text));
    assert_int_equal(in.kind, WK_JSON_PACKET);
    memset(text + n, '[', 32);
    assert_int_equal(decode_n(&in, text, n + 32), WKIM_ETOOBIG);

    const char *ping = "{\"method\":\"ping\",\"id\":\"1\"}";
    assert_int_equal(wk_json_decode(&in, wk_str(ping), &scan, strlen(ping), &arena), strlen(ping));
    assert_int_equal(wk_json_decode(&in, wk_str(ping), &scan, strlen(ping) - 1, &arena),
                     WKIM_ETOOBIG);
}

static void any_cut_gives_the_same_object(void **state)
{
    (void)state;
    static const char text[] = " \n" SEND("\"payload\":\"eA==\",\"channelId\":\"}{\\\"]\\\\\"") "{";
    const size_t whole = sizeof(text) - 2;
    for (size_t cut = 0; cut < whole; cut++) {
        struct wk_json_scan scan = { 0 };
        struct wk_json_in in;
        assert_int_equal(wk_json_decode(&in, wk_slice(text, cut), &scan, 1000, &arena), 0);
        assert_int_equal(wk_json_decode(&in, wk_slice(text, sizeof(text) - 1), &scan, 1000, &arena),
                         whole);
        assert_int_equal(in.kind, WK_JSON_PACKET);
        assert_true(wk_slice_eq(in.packet.u.send.channel_id, wk_str("}{\"]\\")));
    }
    struct wk_json_scan scan = { 0 };
    struct wk_json_in in;
    for (size_t n = 0; n < whole; n++)
        assert_int_equal(wk_json_decode(&in, wk_slice(text, n), &scan, 1000, &arena), 0);
    assert_int_equal(wk_json_decode(&in, wk_slice(text, whole), &scan, 1000, &arena), whole);
    assert_int_equal(in.kind, WK_JSON_PACKET);
}

static void syntax_errors_are_fatal_and_others_are_not(void **state)
{
    (void)state;
    static const char *const fatal[] = { "{]", "{\"a\"}", "{\"a\":tru}", "{\"a\":01}", "{'a':1}",
                                         "[1]", "x", "{\"a\":1,}", "{\"a\\u0000\":1}",
                                         "{\"a\":\"\n\"}", "{\"a\":-}", "{\"a\":\"\\x\"}",
                                         /* never whole, and yet not waited for */
                                         "{\"a\":{\"b\":1}{", "{\"a\" \"b\"", "{\"a\":[1 2", "{a",
                                         "{\"a\":[}", "{\"a\":{]", "{,", "{\"a\":1,,", "{\"a\"::",
                                         "{\"a\":1 \"", "{\"a\":[1,]", "{\"a\":\"b\"c" };
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
        struct wk_json_in in;
        if (decode_n(&in, fatal[i], strlen(fatal[i])) <= 0)
            fail_msg("%s: waits", fatal[i]);
        if (in.kind != WK_JSON_ERROR || in.code != -32700 || !in.fatal)
            fail_msg("%s: %d %s", fatal[i], in.code, in.text);
    }
    static const char *const mild[] = { "{}", "{\"id\":7}", "{\"method\":\"nope\",\"id\":\"\"}",
                                        "{\"jsonrpc\":\"\",\"method\":\"ping\",\"id\":\"1\"}",
                                        "{\"method\":7,\"id\":\"1\"}",
                                        "{\"method\":\"\",\"id\":\"1\"}",
                                        "{\"id\":null,\"result\":{}}" };
    for (size_t i = 0; i < sizeof(mild) / sizeof(mild[0]); i++) {
        const struct wk_json_in in = decoded(mild[i]);
        assert_int_equal(in.kind, WK_JSON_ERROR);
        assert_false(in.fatal);
    }
}

static void answers_have_a_result_and_an_id_only_when_there_is_one(void **state)
{
    (void)state;
    static const struct {
        struct wk_packet p;
        bool has_id;
        const char *id, *text;
    } cases[] = {
        { { .type = WK_PACKET_DISCONNECT }, true, "d",
          "{\"jsonrpc\":\"2.0\",\"id\":\"d\",\"result\":{}}" },
        { { .type = WK_PACKET_DISCONNECT }, true, "", "{\"jsonrpc\":\"2.0\",\"result\":{}}" },
        { { .type = WK_PACKET_DISCONNECT }, false, "",
          "{\"jsonrpc\":\"2.0\",\"method\":\"disconnect\",\"params\":{\"reasonCode\":0}}" },
        { { .type = WK_PACKET_PONG }, true, "\xff<",
          "{\"jsonrpc\":\"2.0\",\"id\":\"\\ufffd\\u003c\",\"result\":{}}" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wk_buf out = WK_BUF_INIT;
        assert_int_equal(wk_json_encode(&out, &cases[i].p, cases[i].has_id, wk_str(cases[i].id)),
                         WKIM_OK);
        assert_true(wk_slice_eq(wk_buf_slice(&out), wk_str(cases[i].text)));
        wk_buf_fini(&out);
    }
    struct wk_buf out = WK_BUF_INIT;
    assert_int_equal(wk_json_error(&out, true, WK_LIT("e"), -32601, "no \"x\""), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&out),
                            wk_str("{\"jsonrpc\":\"2.0\",\"id\":\"e\",\"error\":{\"code\":-32601,"
                                   "\"message\":\"no \\\"x\\\"\"}}")));
    wk_buf_fini(&out);
}

static void a_message_over_the_limit_is_taken_back(void **state)
{
    (void)state;
    const size_t n = WK_JSON_BYTES_MAX;
    uint8_t *p = wk_calloc(1, n);
    const struct wk_packet recv = { .type = WK_PACKET_RECV, .u.recv = { .payload = { p, n } } };
    struct wk_buf out = WK_BUF_INIT;
    wk_buf_u8(&out, '!');
    assert_int_equal(wk_json_encode(&out, &recv, false, wk_slice(NULL, 0)), WKIM_ETOOBIG);
    assert_int_equal(out.n, 1);
    wk_buf_fini(&out);
    wk_free(p);
}

static void random_texts_survive_writing_and_parsing(void **state)
{
    (void)state;
    struct maker m = { .a = &arena };
    wk_rng_seed(&m.rng, 7);
    for (int i = 0; i < 2000; i++) {
        m.text_only = i & 1;
        struct wk_packet p = make_packet(&m, WK_PACKET_RECV, 5);
        struct wk_buf out = WK_BUF_INIT;
        assert_int_equal(wk_json_encode(&out, &p, false, wk_slice(NULL, 0)), WKIM_OK);
        json_t *root = json_loadb((const char *)out.p, out.n, JSON_ALLOW_NUL, NULL);
        assert_non_null(root);
        const json_t *params = json_object_get(root, "params");
        const json_t *from = json_object_get(params, "fromUid");
        if (m.text_only)
            assert_true(wk_slice_eq(wk_slice(json_string_value(from), json_string_length(from)),
                                    p.u.recv.from_uid));
        assert_int_equal(wk_json_extent(wk_buf_slice(&out)), out.n);
        json_decref(root);
        wk_buf_fini(&out);
        wk_arena_reset(&arena);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(payload_takes_base64_bytes_or_any_json_value),
        T(payload_that_is_no_bytes_is_refused),
        T(base64_goes_both_ways),
        T(text_the_parser_would_refuse_is_repaired),
        T(numbers_that_are_no_integers_of_their_width_are_refused),
        T(headers_and_settings_are_objects_of_booleans),
        T(recvack_takes_ids_as_text_or_number),
        T(strings_longer_than_the_binary_form_allows_are_refused),
        T(objects_over_the_limits_are_too_big),
        T(any_cut_gives_the_same_object),
        T(syntax_errors_are_fatal_and_others_are_not),
        T(answers_have_a_result_and_an_id_only_when_there_is_one),
        T(a_message_over_the_limit_is_taken_back),
        T(random_texts_survive_writing_and_parsing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
