/* Every recorded JSON-RPC text, both directions.  Where the product deliberately differs from the
 * recording, the difference is listed here with its reason and checked as such. */
#include "packets.h"

/* ---- client to server ------------------------------------------------------------------------ */

enum difference { SAME_VERDICT, NOW_ERROR, NOW_FRAME, NOW_WAITS };

static const struct {
    const char *name;
    enum difference what;
    int32_t code;
    const char *why;
} differences[] = {
    { "connect/version-300-wraps", NOW_ERROR, -32602, "numbers beyond 8 bits are an error" },
    { "connect/deviceflag-256-wraps", NOW_ERROR, -32602, "numbers beyond 8 bits are an error" },
    { "send/channelType-300-wraps", NOW_ERROR, -32602, "numbers beyond 8 bits are an error" },
    { "send/payload-object", NOW_FRAME, 0, "a JSON value is accepted as its compact text" },
    { "recvack/messageId-number", NOW_FRAME, 0, "message ids are accepted as numbers too" },
    { "truncated", NOW_WAITS, 0, "an incomplete object is waited for" },
    { "array-batch", NOW_ERROR, -32700, "text of our own; position lost" },
};

static enum difference difference_of(const char *name, int32_t *code)
{
    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++)
        if (strcmp(differences[i].name, name) == 0) {
            *code = differences[i].code;
            return differences[i].what;
        }
    return SAME_VERDICT;
}

static wkim_ssize decode(struct wk_json_in *out, wkim_slice in, struct wk_arena *a)
{
    struct wk_json_scan scan = { 0 };
    return wk_json_decode(out, in, &scan, WK_JSON_BYTES_MAX, a);
}

static int32_t code_for(const char *message)
{
    static const struct {
        const char *prefix;
        int32_t code;
    } codes[] = {
        { "jsonrpc: invalid message structure", -32700 },
        { "jsonrpc: unknown method", -32601 },
        { "jsonrpc decode: unknown notification method", -32601 },
        { "unknown packet type: jsonrpc.GenericResponse", -32600 },
        { "unknown packet type", -32601 },
        { "jsonrpc: missing params", -32602 },
        { "jsonrpc: failed to unmarshal field: request ID", -32600 },
        { "jsonrpc: failed to unmarshal field: jsonrpc field", -32600 },
        { "jsonrpc: failed to unmarshal field", -32602 },
    };
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (strncmp(message, codes[i].prefix, strlen(codes[i].prefix)) == 0)
            return codes[i].code;
    return -32600;
}

/* The part of a message that clients may rely on: all of it, or up to the tail that quotes the
 * reference's JSON library. */
static size_t stable_prefix(const char *message)
{
    static const char *const tails[] = { " params: ", "request ID: ", "jsonrpc field: ",
                                         "combination: ", "combination)" };
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        const char *at = strstr(message, tails[i]);
        if (at)
            return (size_t)(at - message) + strlen(tails[i]);
    }
    return strlen(message);
}

static void check_error(const char *name, const json_t *reference, const struct wk_json_in *got)
{
    const char *want = member_text(reference, "message");
    if (got->kind != WK_JSON_ERROR)
        fail_msg("%s: no error", name);
    if (strncmp(got->text, want, stable_prefix(want)) != 0)
        fail_msg("%s: '%s' instead of '%s'", name, got->text, want);
    if (got->code != code_for(want))
        fail_msg("%s: code %d", name, got->code);
    json_t *reply = json_loads(member_text(reference, "errorReply"), 0, NULL);
    const char *id = member_text(reply, "id");
    if (got->has_id != (id != NULL) || (id && !wk_slice_eq(got->id, wk_str(id))))
        fail_msg("%s: id of the answer", name);
    json_decref(reply);
}

static void check_packet(const char *name, const json_t *reference, const struct wk_json_in *got,
                         struct wk_arena *a)
{
    struct wk_packet want = packet_from(a, member_text(reference, "type"),
                                        json_object_get(reference, "flags"),
                                        json_object_get(reference, "fields"));
    /* Recorded beside the fields, as version 5 has no place for it. */
    if (member_text(reference, "streamNo"))
        want.u.send.stream_no = wk_str(member_text(reference, "streamNo"));
    if (got->kind != WK_JSON_PACKET)
        fail_msg("%s: %s", name, got->text);
    if (!packets_equal(&got->packet, &want))
        fail_msg("%s: fields differ", name);
    const json_t *id = json_object_get(reference, "requestId");
    if (!wk_slice_eq(got->id, wk_slice(json_string_value(id), json_string_length(id))))
        fail_msg("%s: id", name);
    if (got->packet.type == WK_PACKET_SEND)
        assert_int_equal(got->generated_client_msg_no,
                         json_is_true(json_object_get(reference, "clientMsgNoGenerated")));
    const char *hex = member_text(reference, "binaryV5Hex");
    if (hex) {
        struct wk_buf out = WK_BUF_INIT;
        assert_int_equal(wk_packet_encode(&out, &got->packet, 5), WKIM_OK);
        assert_true(wk_slice_eq(wk_buf_slice(&out), hex_bytes(a, hex)));
        wk_buf_fini(&out);
    }
}

static void check_client_text(const json_t *v, struct wk_arena *a)
{
    const char *name = member_text(v, "name");
    const json_t *text = json_object_get(v, "json"), *reference = json_object_get(v, "reference");
    const wkim_slice in = wk_slice(json_string_value(text), json_string_length(text));
    struct wk_json_in got;
    int32_t code = 0;
    const enum difference what = difference_of(name, &code);
    const wkim_ssize used = decode(&got, in, a);
    if (used != (what == NOW_WAITS ? 0 : (wkim_ssize)in.n))
        fail_msg("%s: %lld of %zu bytes used", name, (long long)used, in.n);
    if (what == NOW_WAITS)
        return;
    if (what == NOW_ERROR) {
        assert_int_equal(got.kind, WK_JSON_ERROR);
        assert_int_equal(got.code, code);
    } else if (what == NOW_FRAME) {
        assert_int_equal(got.kind, WK_JSON_PACKET);
    } else if (strcmp(member_text(reference, "verdict"), "frame") == 0) {
        check_packet(name, reference, &got, a);
    } else {
        check_error(name, reference, &got);
    }
}

static void every_recorded_client_text_is_understood(void **state)
{
    (void)state;
    assert_int_equal(each_vector("jsonrpc.json", "clientToServer", check_client_text), 73);
}

static void every_listed_difference_is_a_recorded_case(void **state)
{
    (void)state;
    json_t *root = vectors_load("jsonrpc.json");
    size_t i, found = 0;
    json_t *v;
    int32_t code;
    json_array_foreach(json_object_get(root, "clientToServer"), i, v)
        found += difference_of(member_text(v, "name"), &code) != SAME_VERDICT;
    assert_int_equal(found, sizeof(differences) / sizeof(differences[0]));
    json_decref(root);
}

/* ---- server to client ------------------------------------------------------------------------ */

/* Texts that are not the recorded ones, with the text that is written instead. */
static const struct {
    const char *name, *from, *to;
    const char *why;
} rewrites[] = {
    { "recv/nil-payload", "\"payload\":null", "\"payload\":\"\"",
      "no difference is kept between no payload and an empty one" },
    { "event/reqid", "\"header\":{\"end\":true},", "", "End is no flag of the packet" },
    { "pong", "}", ",\"result\":{}}", "client libraries need a result" },
    { "pong/no-id", "}", ",\"result\":{}}", "client libraries need a result" },
};

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    char *out = malloc(strlen(text) + strlen(to) + 1);
    assert_non_null(out);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return out;
}

static char *expected_text(const json_t *v)
{
    const char *name = member_text(v, "name");
    char *text = replaced(member_text(v, "json"), "", "");
    for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++) {
        if (strcmp(rewrites[i].name, name) != 0)
            continue;
        char *next = replaced(text, rewrites[i].from, rewrites[i].to);
        free(text);
        text = next;
    }
    /* A recv always has its header: a client library drops the connection without it. */
    if (strcmp(member_text(v, "type"), "RECV") == 0 && !strstr(text, "\"header\"")) {
        char *next = replaced(text, "\"params\":{", "\"params\":{\"header\":{},");
        free(text);
        text = next;
    }
    return text;
}

/* What the recorded texts show beyond the fields of the frame. */
static void complete(const char *name, struct wk_packet *p)
{
    if (strcmp(name, "connack/timeDiff-0-v3") == 0)
        p->u.connack.server_version = 3;
    if (strcmp(name, "recv/all") == 0) {
        p->u.recv.stream_no = WK_LIT("dpRkfH");
        p->u.recv.stream_flag = 2;
    }
    if (strcmp(name, "recv/invalid-utf8") == 0)
        p->u.recv.channel_id = WK_LIT("a\xff"
                                      "b");
}

static void check_server_text(const json_t *v, struct wk_arena *a)
{
    const char *name = member_text(v, "name");
    struct wk_packet p = packet_from(a, member_text(v, "type"), json_object_get(v, "flags"),
                                     json_object_get(v, "fields"));
    complete(name, &p);
    const char *id = member_text(v, "requestId");
    const bool answer = p.type == WK_PACKET_CONNACK || p.type == WK_PACKET_SENDACK ||
                        p.type == WK_PACKET_PONG;
    struct wk_buf out = WK_BUF_INIT;
    const int rc = wk_json_encode(&out, &p, answer, wk_str(id));
    if (member_text(v, "error")) {
        assert_int_equal(rc, WKIM_EUNSUPPORTED);
        return;
    }
    assert_int_equal(rc, WKIM_OK);
    char *want = expected_text(v);
    if (!wk_slice_eq(wk_buf_slice(&out), wk_str(want)))
        fail_msg("%s:\n%.*s instead of\n%s", name, (int)out.n, (const char *)out.p, want);
    free(want);
    assert_int_equal(wk_json_extent(wk_buf_slice(&out)), out.n);
    wk_buf_fini(&out);
}

static void every_recorded_server_text_is_written(void **state)
{
    (void)state;
    assert_int_equal(each_vector("jsonrpc.json", "serverToClient", check_server_text), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_client_text_is_understood),
        cmocka_unit_test(every_listed_difference_is_a_recorded_case),
        cmocka_unit_test(every_recorded_server_text_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
