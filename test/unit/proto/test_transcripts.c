/* Conversations recorded on the wire between clients and the reference server. */
#include "packets.h"

static wkim_slice uid_of(const json_t *frame)
{
    const char *uid = member_text(frame, "uid");
    return wk_str(uid);
}

/* False for a step that shows a part of a frame only: its other part is another step. */
static bool whole_frames(wkim_slice in)
{
    while (in.n) {
        const size_t n = wk_frame_extent(in);
        if (n > in.n)
            return false;
        in = wk_slice(in.p + n, in.n - n);
    }
    return true;
}

/* The frames of one recorded read or write, and their bytes again. */
static size_t check_step(const json_t *decoded, wkim_slice in, uint8_t version)
{
    size_t i, n = 0;
    json_t *frame;
    json_array_foreach(decoded, i, frame) {
        struct wk_packet p;
        const wkim_ssize used = wk_packet_decode(&p, in, version, WK_FRAME_BYTES_MAX, NULL);
        if (used <= 0)
            fail_msg("%s: not taken", member_text(frame, "type"));
        assert_string_equal(wk_packet_type_name(p.type), member_text(frame, "type"));
        assert_int_equal(p.flags, member_int(frame, "flags"));
        if (p.type == WK_PACKET_CONNECT)
            assert_true(wk_slice_eq(p.u.connect.uid, uid_of(frame)));
        if (p.type == WK_PACKET_CONNACK)
            assert_int_equal(p.u.connack.reason, member_int(frame, "reasonCode"));
        if (p.type == WK_PACKET_SENDACK) {
            assert_int_equal(p.u.sendack.reason, member_int(frame, "reasonCode"));
            assert_int_equal(p.u.sendack.client_seq, member_int(frame, "clientSeq"));
        }
        struct wk_buf out = WK_BUF_INIT;
        assert_int_equal(wk_packet_encode(&out, &p, version), WKIM_OK);
        assert_true(wk_slice_eq(wk_buf_slice(&out), wk_slice(in.p, (size_t)used)));
        wk_buf_fini(&out);
        in = wk_slice(in.p + used, in.n - (size_t)used);
        n++;
    }
    return n;
}

static bool all_frames(const json_t *decoded)
{
    size_t i;
    json_t *frame;
    if (!json_is_array(decoded) || json_array_size(decoded) == 0)
        return false;
    json_array_foreach(decoded, i, frame)
        if (!member_text(frame, "type"))
            return false;
    return true;
}

/* Steps whose bytes are exactly the listed frames: on TCP, not cut short, no damaged input. */
static bool usable(const json_t *scenario, const json_t *step)
{
    const char *name = member_text(scenario, "name");
    const json_t *conn = json_object_get(json_object_get(scenario, "conns"),
                                         member_text(step, "conn"));
    return all_frames(json_object_get(step, "decoded")) && member_text(step, "hex") &&
           !json_object_get(step, "hexTruncatedTotal") &&
           strcmp(member_text(conn, "transport"), "tcp") == 0 &&
           !strstr(name, "malformed") && !strstr(name, "oversize") && !strstr(name, "proxy");
}

static size_t check_scenario(const json_t *scenario, struct wk_arena *a)
{
    size_t i, n = 0;
    json_t *step;
    uint8_t versions[256]; /* by the connection's label: a letter, or a letter and a digit */
    memset(versions, 5, sizeof(versions));
    json_array_foreach(json_object_get(scenario, "steps"), i, step) {
        if (!usable(scenario, step))
            continue;
        const json_t *first = json_array_get(json_object_get(step, "decoded"), 0);
        const char *conn = member_text(step, "conn");
        const size_t label = (size_t)(conn[0] * 10 + (conn[1] ? conn[1] - '0' + 1 : 0)) % 256;
        if (strcmp(member_text(first, "type"), "CONNECT") == 0)
            versions[label] = wk_proto_negotiate((uint8_t)member_int(first, "version"), 5);
        const wkim_slice in = hex_bytes(a, member_text(step, "hex"));
        if (!whole_frames(in))
            continue;
        n += check_step(json_object_get(step, "decoded"), in, versions[label]);
    }
    return n;
}

static void recorded_conversations_decode_and_encode_to_the_same_bytes(void **state)
{
    (void)state;
    char path[512], *line = NULL;
    size_t cap = 0, frames = 0, scenarios = 0;
    const char *dir = getenv("WKIM_VECTORS");
    snprintf(path, sizeof(path), "%s/transcripts-wire.jsonl", dir ? dir : "test/vectors");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct wk_arena a;
    wk_arena_init(&a, 0);
    while (getline(&line, &cap, f) > 0) {
        json_t *scenario = json_loads(line, JSON_ALLOW_NUL, NULL);
        assert_non_null(scenario);
        frames += check_scenario(scenario, &a);
        scenarios++;
        json_decref(scenario);
        wk_arena_reset(&a);
    }
    wk_arena_fini(&a);
    free(line);
    fclose(f);
    assert_int_equal(scenarios, 123);
    assert_true(frames > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_conversations_decode_and_encode_to_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
