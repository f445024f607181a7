/* Every recorded frame, stream and malformed input of the reference's codec. */
#include "packets.h"

static void check_frame(const json_t *v, struct wk_arena *a)
{
    const char *name = member_text(v, "name");
    const uint8_t version = (uint8_t)member_int(v, "version");
    const wkim_slice wire = hex_bytes(a, member_text(v, "hex"));
    const struct wk_packet want = packet_from(a, member_text(v, "type"),
                                              json_object_get(v, "flags"),
                                              json_object_get(v, "fields"));
    struct wk_packet got;
    struct wkim_error err = { 0 };
    assert_int_equal(member_int(v, "len"), wire.n);
    if (wk_packet_decode(&got, wire, version, WK_FRAME_BYTES_MAX, &err) != (wkim_ssize)wire.n)
        fail_msg("%s: %s", name, err.text);
    if (!packets_equal(&got, &want))
        fail_msg("%s: decoded fields differ", name);

    struct wk_buf out = WK_BUF_INIT;
    assert_int_equal(wk_packet_size(&want, version), wire.n);
    assert_int_equal(wk_packet_encode(&out, &want, version), WKIM_OK);
    if (!wk_slice_eq(wk_buf_slice(&out), wire))
        fail_msg("%s: encoded bytes differ", name);
    wk_buf_fini(&out);
}

static void every_recorded_frame_decodes_and_encodes_to_the_same(void **state)
{
    (void)state;
    assert_int_equal(each_vector("wkproto.json", "frames", check_frame), 415);
}

static void check_parts(const json_t *v, struct wk_arena *a)
{
    const wkim_slice wire = hex_bytes(a, member_text(v, "hex"));
    const size_t step = wire.n > 2000 ? wire.n / 200 : 1;

    for (size_t n = 0; n < wire.n; n += step) {
        struct wk_packet p;
        /* A copy of its own length, so that a sanitizer sees a read beyond it. */
        uint8_t *part = wk_memdup(wire.p, n);
        assert_int_equal(wk_packet_decode(&p, wk_slice(part, n),
                                          (uint8_t)member_int(v, "version"), WK_FRAME_BYTES_MAX,
                                          NULL),
                         0);
        assert_true(wk_frame_extent(wk_slice(part, n)) > n);
        assert_true(wk_frame_extent(wk_slice(part, n)) <= wire.n);
        wk_free(part);
    }
    assert_int_equal(wk_frame_extent(wire), wire.n);
}

static void a_recorded_frame_is_never_whole_before_its_last_byte(void **state)
{
    (void)state;
    assert_int_equal(each_vector("wkproto.json", "frames", check_parts), 415);
}

static void check_stream(const json_t *v, struct wk_arena *a)
{
    wkim_slice in = hex_bytes(a, member_text(v, "hex"));
    const uint8_t version = (uint8_t)member_int(v, "version");
    size_t i;
    json_t *f;

    json_array_foreach(json_object_get(v, "frames"), i, f) {
        const struct wk_packet want = packet_from(a, member_text(f, "type"),
                                                  json_object_get(f, "flags"),
                                                  json_object_get(f, "fields"));
        struct wk_packet got;
        const wkim_ssize used = wk_packet_decode(&got, in, version, WK_FRAME_BYTES_MAX, NULL);
        assert_int_equal(used, member_int(f, "len"));
        assert_true(packets_equal(&got, &want));
        in = wk_slice(in.p + used, in.n - (size_t)used);
    }
    assert_int_equal(in.n, 0);
}

static void every_recorded_stream_splits_into_its_frames(void **state)
{
    (void)state;
    assert_int_equal(each_vector("wkproto.json", "streams", check_stream), 12);
}

static wkim_slice malformed_bytes(const json_t *v, struct wk_arena *a)
{
    if (member_text(v, "hex"))
        return hex_bytes(a, member_text(v, "hex"));
    const wkim_slice head = hex_bytes(a, member_text(v, "hexHead"));
    const size_t total = (size_t)member_int(v, "totalLen");
    uint8_t *p = wk_arena_alloc(a, total);
    memset(p, hex_bytes(a, member_text(v, "fillByte")).p[0], total);
    memcpy(p, head.p, head.n);
    return wk_slice(p, total);
}

static void check_malformed(const json_t *v, struct wk_arena *a)
{
    const char *name = member_text(v, "name"), *expect = member_text(v, "expect");
    const json_t *reference = json_object_get(v, "reference");
    struct wk_packet p;
    struct wkim_error err = { 0 };
    const wkim_ssize got = wk_packet_decode(&p, malformed_bytes(v, a),
                                            (uint8_t)member_int(v, "version"), WK_FRAME_BYTES_MAX,
                                            &err);
    if (strcmp(expect, "need_more") == 0 && got != 0)
        fail_msg("%s: %lld instead of more", name, (long long)got);
    if (strcmp(expect, "error") == 0 && (got >= 0 || err.code != got || !err.text[0]))
        fail_msg("%s: %lld instead of an error", name, (long long)got);
    if (strcmp(expect, "frame") == 0) {
        struct wk_packet want = packet_from(a, member_text(reference, "type"),
                                            json_object_get(reference, "flags"),
                                            json_object_get(reference, "fields"));
        /* The file is JSON and shows these two bytes as U+FFFD; strings are kept as they come. */
        if (strcmp(name, "string-invalid-utf8") == 0)
            want.u.disconnect.text = WK_LIT("\xff\xfe");
        if (got != member_int(reference, "consumed"))
            fail_msg("%s: %lld bytes used", name, (long long)got);
        /* PING and PONG carry whatever low nibble came. */
        if (want.type != WK_PACKET_PING && want.type != WK_PACKET_PONG &&
            !packets_equal(&p, &want))
            fail_msg("%s: fields differ", name);
        assert_int_equal(p.type, want.type);
    }
    const char *class = member_text(reference, "class");
    if (class && strcmp(expect, "error") == 0)
        assert_int_equal(got, strcmp(class, "too_large") == 0          ? WKIM_ETOOBIG
                              : strcmp(class, "unsupported_type") == 0 ? WKIM_EUNSUPPORTED
                                                                       : WKIM_EPROTO);
}

static void every_recorded_malformed_input_gets_the_expected_verdict(void **state)
{
    (void)state;
    assert_int_equal(each_vector("wkproto.json", "malformed", check_malformed), 310);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recorded_frame_decodes_and_encodes_to_the_same),
        cmocka_unit_test(a_recorded_frame_is_never_whole_before_its_last_byte),
        cmocka_unit_test(every_recorded_stream_splits_into_its_frames),
        cmocka_unit_test(every_recorded_malformed_input_gets_the_expected_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
