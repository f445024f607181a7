/* However the input of a session is cut, the events and the output are the same. */
#include "../unit/session/client.h"

/* Everything the session said and wrote for `in` fed in pieces of 1 .. step_max bytes (0: at
 * once). */
static void play(struct wk_buf *seen, wkim_slice in, size_t step_max, uint64_t seed, bool encrypt)
{
    struct client c;
    client_init(&c, encrypt, 5);
    struct wk_rng rng;
    wk_rng_seed(&rng, seed);
    for (size_t at = 0; at < in.n;) {
        size_t n = step_max ? 1 + (size_t)wk_rng_below(&rng, step_max) : in.n;
        n = n < in.n - at ? n : in.n - at;
        (void)feed(&c, wk_slice(in.p + at, n));
        at += n;
    }
    wk_buf_bytes(seen, c.trace.p, c.trace.n);
    wkim_slice frame;
    while (wk_session_next_frame(c.s, &frame)) {
        /* The server key and the salt are random. */
        const bool connack = !wk_session_is_json(c.s) && frame.p[0] >> 4 == WK_PACKET_CONNACK;
        wk_buf_bytes(seen, frame.p, connack && encrypt ? 4 : frame.n);
        wk_buf_u8(seen, '\n');
    }
    wk_buf_printf(seen, "state %u pending %zu", wk_session_state(c.s), wk_session_pending_in(c.s));
    client_fini(&c);
}

static void compare_cuts(wkim_slice in, uint64_t seed, bool encrypt)
{
    struct wk_buf whole = WK_BUF_INIT;
    play(&whole, in, 0, seed, encrypt);
    static const size_t steps[] = { 1, 2, 3, 7, 50, 1000 };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct wk_buf cut = WK_BUF_INIT;
        play(&cut, in, steps[i], seed + i, encrypt);
        if (!wk_slice_eq(wk_buf_slice(&whole), wk_buf_slice(&cut)))
            fail_msg("seed %llu, pieces up to %zu:\n%.*s\ninstead of\n%.*s",
                     (unsigned long long)seed, steps[i], (int)cut.n, (const char *)cut.p,
                     (int)whole.n, (const char *)whole.p);
        wk_buf_fini(&cut);
    }
    wk_buf_fini(&whole);
}

static void binary_input(struct maker *m, struct wk_buf *in, bool damage)
{
    struct client c;
    client_init(&c, false, 5);
    put_connect(&c, in);
    for (uint64_t left = wk_rng_below(&m->rng, 30); left; left--) {
        const struct wk_packet p = make_packet(m, (uint8_t)(1 + wk_rng_below(&m->rng, 12)), 5);
        if (p.type != WK_PACKET_DISCONNECT || wk_rng_below(&m->rng, 8) == 0)
            put_packet(in, &p, 5);
    }
    if (damage)
        in->p[wk_rng_below(&m->rng, in->n)] ^= (uint8_t)(1u << wk_rng_below(&m->rng, 8));
    client_fini(&c);
}

static void binary_sessions_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct maker m = { .a = &a };
        wk_rng_seed(&m.rng, seed);
        struct wk_buf in = WK_BUF_INIT;
        binary_input(&m, &in, seed % 3 == 0);
        compare_cuts(wk_buf_slice(&in), seed, seed % 2);
        wk_buf_fini(&in);
        wk_arena_reset(&a);
    }
    wk_arena_fini(&a);
}

static void json_sessions_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"method\":\"ping\",\"id\":\"p\"}",
        " \r\n\t",
        "{\"method\":\"send\",\"id\":\"s\",\"params\":{\"payload\":\"eA==\",\"channelId\":\"}\"}}",
        "{\"method\":\"send\",\"id\":\"s\",\"params\":{\"payload\":{\"a\":[1,\"\\\"]\"]}}}",
        "{\"method\":\"recvack\",\"params\":{\"messageId\":\"1\"}}",
        "{\"method\":\"nope\",\"id\":\"x\"}",
        "{\"id\":7,\"method\":\"ping\"}",
        "{\"method\":\"send\",\"id\":\"\xff\",\"params\":{\"topic\":\"\\ud800\"}}",
        "{}",
    };
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct wk_rng rng;
        wk_rng_seed(&rng, seed);
        struct wk_buf in = WK_BUF_INIT;
        wk_buf_printf(&in, " {\"method\":\"connect\",\"id\":\"c\",\"params\":{\"uid\":\"u\"}}");
        for (uint64_t left = wk_rng_below(&rng, 20); left; left--) {
            const char *text = texts[wk_rng_below(&rng, sizeof(texts) / sizeof(texts[0]))];
            wk_buf_bytes(&in, text, strlen(text));
        }
        if (seed % 4 == 0) /* to a clean end, or with one damaged byte */
            wk_buf_printf(&in, "{\"method\":\"disconnect\",\"id\":\"d\",\"params\":{}}{}");
        if (seed % 3 == 0)
            in.p[wk_rng_below(&rng, in.n)] = (uint8_t)"{}[]\",:x"[wk_rng_below(&rng, 8)];
        compare_cuts(wk_buf_slice(&in), seed, true);
        wk_buf_fini(&in);
    }
}

static void random_bytes_do_no_harm_and_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, false, 5);
    struct wk_buf connect = WK_BUF_INIT;
    put_connect(&c, &connect);
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct wk_rng rng;
        wk_rng_seed(&rng, seed);
        struct wk_buf in = WK_BUF_INIT;
        if (seed % 4)
            wk_buf_bytes(&in, connect.p, connect.n);
        for (uint64_t left = wk_rng_below(&rng, 200); left; left--)
            wk_buf_u8(&in, (uint8_t)wk_rng_next(&rng));
        compare_cuts(wk_buf_slice(&in), seed, seed % 2);
        wk_buf_fini(&in);
    }
    wk_buf_fini(&connect);
    client_fini(&c);
}

static void recorded_streams_do_not_depend_on_the_cuts(void **state)
{
    (void)state;
    json_t *root = vectors_load("wkproto.json");
    struct wk_arena a;
    wk_arena_init(&a, 0);
    size_t i, k;
    json_t *v, *cut;
    json_array_foreach(json_object_get(root, "streams"), i, v) {
        struct client c;
        client_init(&c, false, (uint8_t)member_int(v, "version"));
        const wkim_slice stream = hex_bytes(&a, member_text(v, "hex"));
        struct wk_buf in = WK_BUF_INIT;
        put_connect(&c, &in);
        const size_t head = in.n;
        wk_buf_bytes(&in, stream.p, stream.n);
        /* The cuts of the recording against the whole at once. */
        struct client whole, parts;
        client_init(&whole, false, c.version);
        client_init(&parts, false, c.version);
        (void)feed(&whole, wk_buf_slice(&in));
        (void)feed(&parts, wk_slice(in.p, head));
        size_t at = 0;
        json_array_foreach(json_object_get(v, "readCuts"), k, cut) {
            const size_t to = (size_t)json_integer_value(cut);
            (void)feed(&parts, wk_slice(stream.p + at, to - at));
            at = to;
        }
        (void)feed(&parts, wk_slice(stream.p + at, stream.n - at));
        assert_true(wk_slice_eq(wk_buf_slice(&whole.trace), wk_buf_slice(&parts.trace)));
        assert_true(wk_slice_eq(wk_session_out(whole.s), wk_session_out(parts.s)));
        client_fini(&whole);
        client_fini(&parts);
        compare_cuts(wk_buf_slice(&in), i, false);
        wk_buf_fini(&in);
        client_fini(&c);
        wk_arena_reset(&a);
    }
    wk_arena_fini(&a);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_sessions_do_not_depend_on_the_cuts),
        cmocka_unit_test(json_sessions_do_not_depend_on_the_cuts),
        cmocka_unit_test(random_bytes_do_no_harm_and_do_not_depend_on_the_cuts),
        cmocka_unit_test(recorded_streams_do_not_depend_on_the_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
