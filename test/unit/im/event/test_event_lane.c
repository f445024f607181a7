/* The lane of events on a message: what each event does, and its rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "im/event/lane.h"

static struct im_event text(const char *s)
{
    return (struct im_event){ .bits = IM_EVENT_TEXT, .delta = wk_str(s), .payload = WK_LIT("{}") };
}

static struct im_event other(const char *id, const char *payload)
{
    return (struct im_event){ .event_id = wk_str(id), .payload = wk_str(payload), .now_ms = 7 };
}

static void assert_snapshot(const struct im_lane *l, const char *s)
{
    assert_true(wk_slice_eq(wk_buf_slice(&l->snapshot), wk_str(s)));
}

static void add(struct im_lane *l, const char *s)
{
    struct im_event e = text(s);
    assert_int_equal(im_lane_delta(l, &e), WKIM_OK);
}

static void text_deltas_append_and_open_the_lane(void **state)
{
    struct im_lane l = { 0 };
    (void)state;

    add(&l, "Hel");
    add(&l, "lo");
    assert_snapshot(&l, "Hello");
    assert_true(l.text);
    assert_int_equal(l.status, IM_LANE_OPEN);
    assert_int_equal(l.seq, 0);
    im_lane_fini(&l);
}

static void other_deltas_replace(void **state)
{
    struct im_lane l = { 0 };
    struct im_event e = other("e", "{\"a\":1}");
    (void)state;

    add(&l, "text");
    assert_int_equal(im_lane_delta(&l, &e), WKIM_OK);
    assert_snapshot(&l, "{\"a\":1}");
    assert_false(l.text);
    add(&l, "again");
    assert_snapshot(&l, "again");
    im_lane_fini(&l);
}

static void close_keeps_the_text_and_the_reason(void **state)
{
    struct im_lane l = { 0 };
    struct im_event e = other("e1", "{}");
    (void)state;

    add(&l, "text");
    e.end_reason = 2;
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CLOSE, 4), WKIM_OK);
    assert_true(im_lane_terminal(&l));
    assert_int_equal(l.end_reason, 2);
    assert_int_equal(l.seq, 4);
    assert_int_equal(l.occurred_ms, 7);
    assert_false(l.unsaved);
    assert_snapshot(&l, "text");
    im_lane_fini(&l);
}

static void a_snapshot_of_the_payload_counts_only_without_an_own_one(void **state)
{
    struct im_lane l = { 0 }, m = { 0 };
    struct im_event e = other("e1", "{}");
    (void)state;

    e.snapshot = WK_LIT("{\"z\":1}");
    add(&l, "text");
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CANCEL, 1), WKIM_OK);
    assert_snapshot(&l, "text");
    assert_int_equal(im_lane_store(&m, &e, IM_EVENT_CANCEL, 1), WKIM_OK);
    assert_snapshot(&m, "{\"z\":1}");
    assert_int_equal(m.status, IM_LANE_CANCELLED);
    im_lane_fini(&l);
    im_lane_fini(&m);
}

static void custom_events_and_snapshots_leave_the_status(void **state)
{
    struct im_lane l = { 0 };
    struct im_event e = other("e1", "{\"a\":1}");
    (void)state;

    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CUSTOM, 1), WKIM_OK);
    assert_int_equal(l.status, IM_LANE_NONE);
    assert_false(l.has_snapshot);
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_SNAPSHOT, 2), WKIM_OK);
    assert_int_equal(l.status, IM_LANE_NONE);
    assert_snapshot(&l, "{\"a\":1}");
    im_lane_fini(&l);
}

static void a_snapshot_beyond_the_limit_is_refused_and_nothing_changes(void **state)
{
    struct im_lane l = { 0 };
    struct wk_buf big = WK_BUF_INIT;
    (void)state;

    assert_int_equal(wk_buf_reserve(&big, IM_SNAPSHOT_BYTES_MAX), WKIM_OK);
    memset(big.p, 'x', IM_SNAPSHOT_BYTES_MAX);
    add(&l, "text");
    struct im_event e = { .bits = IM_EVENT_TEXT,
                          .delta = wk_slice(big.p, IM_SNAPSHOT_BYTES_MAX - 3) };
    assert_int_equal(im_lane_delta(&l, &e), WKIM_ETOOBIG);
    assert_snapshot(&l, "text");
    e.delta.n--;
    assert_int_equal(im_lane_delta(&l, &e), WKIM_OK);
    assert_int_equal(l.snapshot.n, IM_SNAPSHOT_BYTES_MAX);
    wk_buf_fini(&big);
    im_lane_fini(&l);
}

/* What a flush does: the piece is taken and counted as saved. */
static void flush(struct im_lane *l, struct wk_buf *out)
{
    im_lane_chunk_encode(out, l);
    l->chunk_next++;
    l->unsaved = l->unsaved_whole = false;
}

static void rows_and_pieces_give_the_lane_back(void **state)
{
    struct im_lane l = { 0 }, back = { 0 };
    struct wk_buf row = WK_BUF_INIT, one = WK_BUF_INIT, two = WK_BUF_INIT;
    struct im_event e = other("e1", "{}");
    (void)state;

    e.bits = IM_EVENT_TEXT_WHOLE;
    e.delta = WK_LIT("snap");
    e.from_uid = WK_LIT("bot");
    e.visibility = WK_LIT("private");
    e.message_id = 99;
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_SNAPSHOT, 5), WKIM_OK);
    im_lane_row_encode(&row, &l);
    add(&l, "-a");
    add(&l, "-b");
    flush(&l, &one);
    add(&l, "-c");
    flush(&l, &two);
    assert_int_equal(im_lane_row_decode(&back, wk_buf_slice(&row)), WKIM_OK);
    assert_snapshot(&back, "snap");
    assert_int_equal(im_lane_chunk_apply(&back, 0, wk_buf_slice(&one)), WKIM_OK);
    assert_int_equal(im_lane_chunk_apply(&back, 1, wk_buf_slice(&two)), WKIM_OK);
    assert_snapshot(&back, "snap-a-b-c");
    assert_int_equal(back.status, IM_LANE_OPEN);
    assert_int_equal(back.seq, 5);
    assert_int_equal(back.chunk_next, 2);
    assert_int_equal(back.message_id, 99);
    assert_true(wk_slice_eq(wk_buf_slice(&back.from_uid), WK_LIT("bot")));
    im_lane_fini(&l);
    im_lane_fini(&back);
    wk_buf_fini(&row);
    wk_buf_fini(&one);
    wk_buf_fini(&two);
}

static void an_event_of_another_type_keeps_its_payload_until_the_next(void **state)
{
    struct im_lane l = { 0 }, back = { 0 };
    struct wk_buf row = WK_BUF_INIT;
    struct im_event e = other("e1", "{\"a\":1}");
    (void)state;

    add(&l, "text");
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CUSTOM, 1), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&l.kept), WK_LIT("{\"a\":1}")));
    assert_snapshot(&l, "text");
    im_lane_row_encode(&row, &l);
    assert_int_equal(im_lane_row_decode(&back, wk_buf_slice(&row)), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&back.kept), WK_LIT("{\"a\":1}")));
    im_lane_fini(&back);
    /* As written before payloads were kept. */
    back = (struct im_lane){ 0 };
    row.p[0] = 1;
    assert_int_equal(im_lane_row_decode(&back, wk_slice(row.p, row.n - 1 - l.kept.n)), WKIM_OK);
    assert_snapshot(&back, "text");
    assert_int_equal(back.kept.n, 0);
    im_lane_fini(&back);
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CLOSE, 2), WKIM_OK);
    assert_int_equal(l.kept.n, 0);
    im_lane_fini(&l);
    wk_buf_fini(&row);
}

static void pieces_before_the_stored_event_are_ignored(void **state)
{
    struct im_lane l = { 0 }, back = { 0 };
    struct wk_buf row = WK_BUF_INIT, old = WK_BUF_INIT;
    struct im_event e = other("e1", "{}");
    (void)state;

    add(&l, "early");
    flush(&l, &old);
    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CLOSE, 1), WKIM_OK);
    im_lane_row_encode(&row, &l);
    assert_int_equal(im_lane_row_decode(&back, wk_buf_slice(&row)), WKIM_OK);
    assert_int_equal(im_lane_chunk_apply(&back, 0, wk_buf_slice(&old)), WKIM_OK);
    assert_int_equal(back.status, IM_LANE_CLOSED);
    assert_snapshot(&back, "early");
    im_lane_fini(&l);
    im_lane_fini(&back);
    wk_buf_fini(&row);
    wk_buf_fini(&old);
}

static void cut_rows_are_damage(void **state)
{
    struct im_lane l = { 0 };
    struct wk_buf row = WK_BUF_INIT;
    struct im_event e = other("e1", "{}");
    (void)state;

    assert_int_equal(im_lane_store(&l, &e, IM_EVENT_CLOSE, 1), WKIM_OK);
    im_lane_row_encode(&row, &l);
    for (size_t n = 0; n < row.n; n++) {
        struct im_lane back = { 0 };
        assert_int_equal(im_lane_row_decode(&back, wk_slice(row.p, n)), WKIM_ECORRUPT);
        im_lane_fini(&back);
    }
    im_lane_fini(&l);
    wk_buf_fini(&row);
}

static void requests_survive_their_coding(void **state)
{
    const struct im_event e = { .bits = 5,
                                .end_reason = 9,
                                .channel_type = 2,
                                .message_id = -1,
                                .occurred_ms = 3,
                                .now_ms = 4,
                                .stored_id = WK_LIT("g"),
                                .error = WK_LIT("boom"),
                                .payload = WK_LIT("{}") };
    struct im_event back;
    struct wk_buf b = WK_BUF_INIT;
    (void)state;

    im_event_encode(&b, &e);
    assert_int_equal(im_event_decode(&back, wk_buf_slice(&b)), WKIM_OK);
    assert_int_equal(back.bits, 5);
    assert_int_equal(back.end_reason, 9);
    assert_int_equal(back.message_id, -1);
    assert_true(wk_slice_eq(back.stored_id, e.stored_id));
    assert_true(wk_slice_eq(back.error, e.error));
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(im_event_decode(&back, wk_slice(b.p, n)), WKIM_EPROTO);
    wk_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_deltas_append_and_open_the_lane),
        cmocka_unit_test(other_deltas_replace),
        cmocka_unit_test(close_keeps_the_text_and_the_reason),
        cmocka_unit_test(a_snapshot_of_the_payload_counts_only_without_an_own_one),
        cmocka_unit_test(custom_events_and_snapshots_leave_the_status),
        cmocka_unit_test(a_snapshot_beyond_the_limit_is_refused_and_nothing_changes),
        cmocka_unit_test(rows_and_pieces_give_the_lane_back),
        cmocka_unit_test(an_event_of_another_type_keeps_its_payload_until_the_next),
        cmocka_unit_test(pieces_before_the_stored_event_are_ignored),
        cmocka_unit_test(cut_rows_are_damage),
        cmocka_unit_test(requests_survive_their_coding),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
