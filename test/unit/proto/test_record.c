#include "packets.h"
#include "proto/record.h"
#include "base/limits.h"
#include <wkim/types.h>

static struct wk_record sample(void)
{
    return (struct wk_record){ .flags = 5,
                               .setting = 0x8a,
                               .channel_type = 2,
                               .message_id = -7,
                               .message_seq = 1ULL << 40,
                               .timestamp_ms = 1700000000123,
                               .expire_s = 60,
                               .client_seq = 9,
                               .channel_id = WK_LIT("channel"),
                               .from_uid = WK_LIT("from"),
                               .client_msg_no = WK_LIT("no"),
                               .topic = WK_LIT("t"),
                               .stream_no = WK_LIT("s"),
                               .payload = WK_LIT("payload \x00 bytes") };
}

static bool records_equal(const struct wk_record *a, const struct wk_record *b)
{
    return a->flags == b->flags && a->setting == b->setting &&
           a->channel_type == b->channel_type && a->message_id == b->message_id &&
           a->message_seq == b->message_seq && a->timestamp_ms == b->timestamp_ms &&
           a->expire_s == b->expire_s && a->client_seq == b->client_seq &&
           wk_slice_eq(a->channel_id, b->channel_id) && wk_slice_eq(a->from_uid, b->from_uid) &&
           wk_slice_eq(a->client_msg_no, b->client_msg_no) && wk_slice_eq(a->topic, b->topic) &&
           wk_slice_eq(a->stream_no, b->stream_no) && wk_slice_eq(a->payload, b->payload);
}

static void a_record_comes_back_as_it_went(void **state)
{
    (void)state;
    const struct wk_record r = sample();
    struct wk_record back;
    struct wk_buf out = WK_BUF_INIT;
    wk_record_encode(&out, &r);
    assert_int_equal(out.n, wk_record_size(&r));
    assert_int_equal(wk_record_decode(&back, wk_buf_slice(&out)), WKIM_OK);
    assert_true(records_equal(&r, &back));
    wk_buf_fini(&out);
}

/* The layout is on disk: these bytes may not change without a new format number. */
static void the_layout_is_fixed(void **state)
{
    (void)state;
    static const uint8_t want[] = {
        1,    1, 2, 3,                               /* format, flags, setting, channel type */
        0,    0, 0, 0, 0,    0,    0,    4,          /* message_id */
        0,    0, 0, 0, 0,    0,    0,    5,          /* message_seq */
        0,    0, 1, 0x8b, 0xcf, 0xe5, 0x68, 0,       /* timestamp */
        0,    0, 0, 6, 0,    0,    0,    7,          /* expire, client_seq */
        0,    1, 'c', 0, 1,  'f',  0,    1, 'n', 0, 1, 't', 0, 1, 's', 'p'
    };
    const struct wk_record r = { .flags = 1,
                                 .setting = 2,
                                 .channel_type = 3,
                                 .message_id = 4,
                                 .message_seq = 5,
                                 .timestamp_ms = 1700000000000,
                                 .expire_s = 6,
                                 .client_seq = 7,
                                 .channel_id = WK_LIT("c"),
                                 .from_uid = WK_LIT("f"),
                                 .client_msg_no = WK_LIT("n"),
                                 .topic = WK_LIT("t"),
                                 .stream_no = WK_LIT("s"),
                                 .payload = WK_LIT("p") };
    struct wk_buf out = WK_BUF_INIT;
    wk_record_encode(&out, &r);
    assert_int_equal(out.n, sizeof(want));
    assert_memory_equal(out.p, want, sizeof(want));
    wk_buf_fini(&out);
}

static void patching_changes_sequence_and_timestamp_only(void **state)
{
    (void)state;
    struct wk_record r = sample(), back;
    struct wk_buf out = WK_BUF_INIT;
    wk_record_encode(&out, &r);
    r.message_seq = 0x0102030405060708;
    r.timestamp_ms = 0x1112131415161718;
    wk_record_patch(out.p, r.message_seq, r.timestamp_ms);
    assert_int_equal(wk_record_decode(&back, wk_buf_slice(&out)), WKIM_OK);
    assert_true(records_equal(&r, &back));
    wk_buf_fini(&out);
}

static void a_cut_record_is_refused(void **state)
{
    (void)state;
    struct wk_record r = sample(), back;
    r.payload = wk_slice(NULL, 0);
    struct wk_buf out = WK_BUF_INIT;
    wk_record_encode(&out, &r);
    for (size_t n = 0; n < out.n; n++)
        assert_int_equal(wk_record_decode(&back, wk_slice(out.p, n)), WKIM_EPROTO);
    assert_int_equal(wk_record_decode(&back, wk_buf_slice(&out)), WKIM_OK);
    wk_buf_fini(&out);
}

static void another_format_is_a_newer_version(void **state)
{
    (void)state;
    struct wk_record back;
    assert_int_equal(wk_record_decode(&back, WK_LIT("\x02")), WKIM_EVERSION);
    assert_int_equal(wk_record_decode(&back, WK_LIT("\x00zzzz")), WKIM_EVERSION);
}

/* The largest payload that fits, by asking. */
static size_t largest(const struct wk_record *r, bool sealed, uint8_t version)
{
    size_t low = 0, high = 2 << 20;

    while (low < high) {
        const size_t mid = low + (high - low + 1) / 2;
        if (wk_record_fits(r, r->channel_id, mid, sealed, version))
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

static void what_fits_is_what_one_frame_holds(void **state)
{
    (void)state;
    const struct wk_record r = { .channel_id = WK_LIT("cc"), .from_uid = WK_LIT("from"),
                                 .client_msg_no = WK_LIT("n") };
    struct wk_record stream = r;
    /* setting, key, from, channel (as long as the uid), type, expire, number, id, seq, time */
    const size_t fixed = 1 + 2 + 6 + 6 + 1 + 4 + 3 + 8 + 4 + 4;

    assert_int_equal(largest(&r, false, 5), WK_FRAME_BYTES_MAX - fixed);
    assert_int_equal(largest(&r, true, 5), WK_FRAME_BYTES_MAX - fixed - 32);
    assert_int_equal(largest(&r, false, 6), WK_FRAME_BYTES_MAX - fixed - 4);
    stream.setting = WKIM_SETTING_STREAM;
    stream.stream_no = WK_LIT("s");
    assert_int_equal(largest(&stream, false, 5), WK_FRAME_BYTES_MAX - fixed - 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_went),
        cmocka_unit_test(the_layout_is_fixed),
        cmocka_unit_test(patching_changes_sequence_and_timestamp_only),
        cmocka_unit_test(a_cut_record_is_refused),
        cmocka_unit_test(another_format_is_a_newer_version),
        cmocka_unit_test(what_fits_is_what_one_frame_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
