/* Reading one channel: its windows, lookups, expiry, purge. */
#include "../im_test.h"

static int setup_ten(void **state)
{
    fresh(state);
    for (int i = 0; i < 10; i++) {
        char no[16], text[16];
        snprintf(no, sizeof(no), "no%d", i % 9); /* no0 twice */
        snprintf(text, sizeof(text), "t%d", i);
        const struct cl_answer a = cl_send(
            &c,
            &(struct cl_send){
                .from = "u1", .type = GROUP, .to = "g", .no = no, .payload = text, .api = true });
        if (a.number[1] != (uint64_t)i + 1)
            return -1;
    }
    return 0;
}

static void expect(uint64_t start, uint64_t end, uint32_t limit, bool up, const char *seqs,
                   bool more)
{
    char got[128];
    bool got_more;

    cl_history(&c, GROUP, "g", start, end, limit, up, got, sizeof(got), &got_more);
    assert_string_equal(got, seqs);
    assert_int_equal(got_more, more);
}

static void without_bounds_the_newest_rows_come_ascending(void **state)
{
    (void)state;
    expect(0, 0, 3, false, "8,9,10", true);
    expect(0, 0, 3, true, "8,9,10", true);
    expect(0, 0, 10, false, "1,2,3,4,5,6,7,8,9,10", true); /* an exact fit says more */
    expect(0, 0, 11, false, "1,2,3,4,5,6,7,8,9,10", false);
}

static void up_takes_start_inclusive_and_end_exclusive(void **state)
{
    (void)state;
    expect(4, 0, 3, true, "4,5,6", true);
    expect(4, 7, 10, true, "4,5,6", false);
    expect(4, 7, 2, true, "4,5", true);
    expect(9, 0, 5, true, "9,10", false);
    expect(0, 3, 5, true, "1,2", false);
    expect(4, 4, 5, true, "", false);
    expect(11, 0, 5, true, "", false);
    expect(4, UINT64_MAX, 3, true, "4,5,6", true);
}

static void down_without_end_takes_the_rows_up_to_start(void **state)
{
    (void)state;
    expect(6, 0, 3, false, "4,5,6", true);
    expect(2, 0, 3, false, "1,2", false);
    expect(10, 0, 100, false, "1,2,3,4,5,6,7,8,9,10", false);
}

static void down_with_end_stops_above_it(void **state)
{
    (void)state;
    expect(6, 4, 10, false, "5,6", false);
    expect(6, 1, 3, false, "4,5,6", true);
    expect(6, 6, 3, false, "", false);
}

static void down_with_end_beyond_start_is_empty(void **state)
{
    (void)state;
    expect(4, 6, 10, false, "", false);
    expect(0, 6, 10, false, "", false);
}

static void a_window_far_beyond_the_end_is_empty(void **state)
{
    (void)state;
    expect(1000, 0, 10, false, "", false);
    expect(15, 0, 10, false, "6,7,8,9,10", false);
}

static void without_limit_nothing_comes_but_more_is_told(void **state)
{
    (void)state;
    expect(0, 0, 0, false, "", true);
    expect(4, 0, 0, true, "", true);
}

static void an_unknown_channel_is_empty(void **state)
{
    (void)state;
    char got[64];
    bool more;

    cl_history(&c, GROUP, "other", 0, 0, 10, false, got, sizeof(got), &more);
    assert_string_equal(got, "");
    assert_false(more);
}

/* seqs, ids and numbers of one request; "payload payload ..." */
static const char *lookup(uint8_t oldest, uint64_t seq, int64_t id, const char *no)
{
    static char out[256];
    struct wk_buf b = WK_BUF_INIT;
    size_t at = 0;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, oldest);
    wk_buf_varint(&b, seq != 0);
    if (seq)
        wk_buf_u64(&b, seq);
    wk_buf_varint(&b, id != 0);
    if (id)
        wk_buf_u64(&b, (uint64_t)id);
    wk_buf_varint(&b, no != NULL);
    if (no)
        wk_buf_str(&b, wk_str(no));
    struct cl_answer a = cl_do(&c, IM_MESSAGE_GET, cl_slot(&c, "g"), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    assert_int_equal(a.code, WKIM_OK);
    out[0] = 0;
    while (wk_cursor_left(&cur) && !cur.bad) {
        struct wk_record r;
        assert_int_equal(wk_record_decode(&r, wk_cursor_str(&cur)), WKIM_OK);
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", at ? " " : "",
                               (int)r.payload.n, (const char *)r.payload.p);
    }
    cl_answer_fini(&a);
    return out;
}

static void messages_are_found_by_seq_id_and_number_in_this_order(void **state)
{
    (void)state;
    assert_string_equal(lookup(0, 3, 0, NULL), "t2");
    assert_string_equal(lookup(0, 0, 5, NULL), "t4"); /* the fixture's ids count from 1 */
    assert_string_equal(lookup(0, 0, 0, "no4"), "t4");
    assert_string_equal(lookup(0, 3, 5, "no6"), "t2 t4 t6");
    assert_string_equal(lookup(0, 99, 999, "none"), "");
}

static void a_repeated_number_means_the_newest_or_the_oldest(void **state)
{
    (void)state;
    assert_string_equal(lookup(0, 0, 0, "no0"), "t9");
    assert_string_equal(lookup(1, 0, 0, "no0"), "t0");
}

static uint64_t last(void)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, 0);
    struct cl_answer a = cl_do(&c, IM_MESSAGE_LAST, cl_slot(&c, "g"), &b);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    return a.number[0];
}

static void the_last_number_is_zero_for_an_unknown_channel(void **state)
{
    (void)state;
    assert_int_equal(last(), 0);
    assert_int_equal(
        cl_send(&c, &(struct cl_send){ .from = "u", .type = GROUP, .to = "g", .api = true })
            .number[1],
        1);
    assert_int_equal(last(), 1);
}

/* The fixture's clock stands in the past, so that a message with a time limit is over at once. */
static void expired_messages_are_not_shown(void **state)
{
    (void)state;
    const struct cl_send keep = {
        .from = "u1", .type = GROUP, .to = "g", .payload = "keep", .api = true
    };
    const struct cl_send over = {
        .from = "u1", .type = GROUP, .to = "g", .payload = "over", .api = true, .expire_s = 60
    };
    const struct cl_send far = { .from = "u1",
                                 .type = GROUP,
                                 .to = "g",
                                 .payload = "far",
                                 .api = true,
                                 .expire_s = UINT32_MAX };

    (void)cl_send(&c, &keep);
    (void)cl_send(&c, &over);
    (void)cl_send(&c, &far);
    expect(0, 0, 10, false, "1,3", false);
    expect(0, 0, 2, false, "1,3", true); /* the hidden one does not take a place */
    assert_string_equal(lookup(0, 2, 0, NULL), "");
    assert_string_equal(lookup(0, 3, 0, NULL), "far");
}

static int delete_channel(bool purge)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, purge);
    wk_buf_u64(&b, c.wall_ms);
    return cl_do_code(&c, IM_CHANNEL_DELETE, cl_slot(&c, "g"), &b);
}

static void delete_disbands_and_keeps_the_messages(void **state)
{
    (void)state;
    assert_int_equal(delete_channel(false), WKIM_OK);
    assert_int_equal(cl_text(&c, "u1", GROUP, "g", "x", NULL), WKIM_REASON_DISBAND);
    expect(0, 0, 2, false, "9,10", true);
}

static void purge_deletes_everything_but_the_counter(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    assert_int_equal(cl_conversations(&c, "u2"), 1);
    assert_int_equal(delete_channel(true), WKIM_OK);
    for (int wipe = 0; wipe < 2; wipe++) {
        expect(0, 0, 10, false, "", false);
        assert_int_equal(cl_conversations(&c, "u2"), 0);
        assert_string_equal(lookup(0, 0, 0, "no3"), "");
        cl_restart(&c, wipe);
    }
    assert_int_equal(cl_flags(&c, GROUP, "g", 0), WKIM_OK); /* founded again */
    assert_int_equal(cl_text(&c, "u1", GROUP, "g", "x", NULL), WKIM_REASON_NOT_SUBSCRIBER);
    const struct cl_answer a = cl_send(
        &c,
        &(struct cl_send){
            .from = "u1", .type = GROUP, .to = "g", .no = "no3", .payload = "t3", .api = true });
    assert_int_equal(a.number[1], 11);
    cl_restart(&c, true);
    assert_int_equal(last(), 11);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
#define TEN(f) cmocka_unit_test_setup_teardown(f, setup_ten, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEN(without_bounds_the_newest_rows_come_ascending),
        TEN(up_takes_start_inclusive_and_end_exclusive),
        TEN(down_without_end_takes_the_rows_up_to_start),
        TEN(down_with_end_stops_above_it),
        TEN(down_with_end_beyond_start_is_empty),
        TEN(a_window_far_beyond_the_end_is_empty),
        TEN(without_limit_nothing_comes_but_more_is_told),
        T(an_unknown_channel_is_empty),
        TEN(messages_are_found_by_seq_id_and_number_in_this_order),
        TEN(a_repeated_number_means_the_newest_or_the_oldest),
        T(the_last_number_is_zero_for_an_unknown_channel),
        T(expired_messages_are_not_shown),
        TEN(delete_disbands_and_keeps_the_messages),
        TEN(purge_deletes_everything_but_the_counter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
