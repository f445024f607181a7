/* Random packets of every type and version come back as they went, whatever the cuts; random and
 * damaged bytes never do harm. */
#include "../unit/proto/packets.h"
#include "proto/record.h"

static void decoding_what_was_encoded_gives_the_packet(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    struct maker m = { .a = &a };
    wk_rng_seed(&m.rng, 1);
    for (int round = 0; round < 400; round++) {
        for (uint8_t v = 0; v <= 6; v++) {
            for (uint8_t type = WK_PACKET_CONNECT; type <= WK_PACKET_EVENT; type++) {
                const struct wk_packet p = make_packet(&m, type, v);
                struct wk_buf out = WK_BUF_INIT;
                struct wk_packet back;
                assert_int_equal(wk_packet_encode(&out, &p, v), WKIM_OK);
                assert_int_equal(out.n, wk_packet_size(&p, v));
                assert_int_equal(wk_frame_extent(wk_buf_slice(&out)), out.n);
                assert_int_equal(
                    wk_packet_decode(&back, wk_buf_slice(&out), v, WK_FRAME_BYTES_MAX, NULL),
                    out.n);
                assert_true(packets_equal(&p, &back));
                /* Cut anywhere, it is incomplete and not an error. */
                const size_t cut = (size_t)wk_rng_below(&m.rng, out.n);
                assert_int_equal(
                    wk_packet_decode(&back, wk_slice(out.p, cut), v, WK_FRAME_BYTES_MAX, NULL), 0);
                wk_buf_fini(&out);
            }
        }
        wk_arena_reset(&a);
    }
    wk_arena_fini(&a);
}

/* One byte changed: what is still taken encodes again to a frame that decodes to the same. */
static void damaged_frames_are_refused_or_understood_stably(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    struct maker m = { .a = &a };
    wk_rng_seed(&m.rng, 2);
    size_t taken = 0, refused = 0;
    for (int round = 0; round < 20000; round++) {
        const uint8_t v = (uint8_t)wk_rng_below(&m.rng, 7);
        const uint8_t type = (uint8_t)(1 + wk_rng_below(&m.rng, 12));
        const struct wk_packet p = make_packet(&m, type, v);
        struct wk_buf out = WK_BUF_INIT, again = WK_BUF_INIT;
        struct wk_packet got, back;
        assert_int_equal(wk_packet_encode(&out, &p, v), WKIM_OK);
        out.p[wk_rng_below(&m.rng, out.n)] ^= (uint8_t)(1u << wk_rng_below(&m.rng, 8));
        const wkim_ssize used =
            wk_packet_decode(&got, wk_buf_slice(&out), v, WK_FRAME_BYTES_MAX, NULL);
        if (used > 0) {
            taken++;
            assert_true((size_t)used <= out.n);
            assert_int_equal(wk_packet_encode(&again, &got, v), WKIM_OK);
            assert_int_equal(
                wk_packet_decode(&back, wk_buf_slice(&again), v, WK_FRAME_BYTES_MAX, NULL),
                again.n);
            /* In CONNACK only one of the flag bits means something. */
            if (got.type == WK_PACKET_CONNACK)
                got.flags &= 1;
            assert_true(packets_equal(&got, &back));
        } else if (used < 0) {
            refused++;
        }
        wk_buf_fini(&out);
        wk_buf_fini(&again);
        wk_arena_reset(&a);
    }
    assert_true(taken > 1000 && refused > 1000);
    wk_arena_fini(&a);
}

static void random_records_come_back_as_they_went(void **state)
{
    (void)state;
    struct wk_arena a;
    wk_arena_init(&a, 0);
    struct maker maker = { .a = &a }, *m = &maker;
    wk_rng_seed(&m->rng, 3);
    for (int round = 0; round < 3000; round++) {
        const struct wk_record r = { .flags = M_U8,
                                     .setting = M_U8,
                                     .channel_type = M_U8,
                                     .message_id = M_I64,
                                     .message_seq = wk_rng_next(&m->rng),
                                     .timestamp_ms = wk_rng_next(&m->rng),
                                     .expire_s = M_U32,
                                     .client_seq = M_U32,
                                     .channel_id = make_str(m),
                                     .from_uid = make_str(m),
                                     .client_msg_no = make_str(m),
                                     .topic = make_str(m),
                                     .stream_no = make_str(m),
                                     .payload = make_bytes(m, 500) };
        struct wk_buf out = WK_BUF_INIT, again = WK_BUF_INIT;
        struct wk_record back;
        wk_record_encode(&out, &r);
        assert_int_equal(out.n, wk_record_size(&r));
        assert_int_equal(wk_record_decode(&back, wk_buf_slice(&out)), WKIM_OK);
        wk_record_encode(&again, &back);
        assert_true(wk_slice_eq(wk_buf_slice(&out), wk_buf_slice(&again)));
        assert_true(back.message_seq == r.message_seq && back.expire_s == r.expire_s);
        wk_buf_fini(&out);
        wk_buf_fini(&again);
        wk_arena_reset(&a);
    }
    wk_arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_what_was_encoded_gives_the_packet),
        cmocka_unit_test(damaged_frames_are_refused_or_understood_stably),
        cmocka_unit_test(random_records_come_back_as_they_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
