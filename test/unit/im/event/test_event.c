/* Events on messages in their slot: what is pushed, what reaches the log when, what survives. */
#include "../im_test.h"
#include "im/event/lane.h"

static struct cl_conn bob;

static int setup(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    add_members("g", "ann bob");
    struct cl_answer a = cl_send(
        &c,
        &(struct cl_send){
            .from = "ann", .to = "g", .type = GROUP, .no = "m1", .payload = "base", .api = true });
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    assert_int_equal(cl_login(&c, &bob, "bob", "d", 0, ""), OK);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cl_logout(&bob);
    cl_free(&c);
    return 0;
}

static char text[4096];

static int take(struct cl_answer *a)
{
    int code = a->code;

    snprintf(text, sizeof(text), "%.*s", (int)a->out.n, (const char *)a->out.p);
    cl_answer_fini(a);
    return code;
}

static int event_on(const char *no, const char *id, const char *type, const char *lane,
                    const char *delta)
{
    const struct im_event e = { .bits = delta ? IM_EVENT_TEXT : 0,
                                .channel_type = GROUP,
                                .now_ms = 5,
                                .stored_id = WK_LIT("g"),
                                .channel_id = WK_LIT("g"),
                                .client_msg_no = wk_str(no),
                                .event_id = wk_str(id),
                                .type = wk_str(type),
                                .key = wk_str(lane),
                                .delta = delta ? wk_str(delta) : wk_slice(NULL, 0),
                                .payload = delta ? WK_LIT("{}") : wk_slice(NULL, 0) };
    struct wk_buf b = WK_BUF_INIT;

    im_event_encode(&b, &e);
    struct cl_answer a = cl_do(&c, IM_EVENT, cl_slot(&c, "g"), &b);
    return take(&a);
}

static int event(const char *id, const char *type, const char *lane, const char *delta)
{
    return event_on("m1", id, type, lane, delta);
}

/* /message/eventsync; the JSON is in text. */
static void state_of(const char *no)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, WK_LIT("g"));
    wk_buf_str(&b, wk_str(no));
    wk_buf_str(&b, WK_LIT(""));
    wk_buf_u64(&b, 0);
    wk_buf_u32(&b, 0);
    wk_buf_u8(&b, 1);
    struct cl_answer a = cl_do(&c, IM_EVENT_SYNC, cl_slot(&c, "g"), &b);
    assert_int_equal(take(&a), WKIM_OK);
}

/* What a reader of the channel sees behind the message. */
static void history(void)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, WK_LIT("g"));
    wk_buf_u64(&b, 0);
    wk_buf_u64(&b, 0);
    wk_buf_u32(&b, 10);
    wk_buf_u8(&b, 0);
    wk_buf_u8(&b, 0);
    struct cl_answer a = cl_do(&c, IM_MESSAGE_SYNC, cl_slot(&c, "g"), &b);
    assert_int_equal(a.code, WKIM_OK);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    text[0] = 0;
    while (wk_cursor_left(&cur)) {
        wkim_slice e = wk_cursor_str(&cur);
        if (e.p[0] == IM_EVENTS_ENTRY)
            snprintf(text, sizeof(text), "%.*s", (int)e.n - 1, (const char *)e.p + 1);
    }
    cl_answer_fini(&a);
}

static void has(const char *part)
{
    if (!strstr(text, part))
        fail_msg("no %s in %s", part, text);
}

static void a_delta_is_answered_and_pushed_before_it_is_stored(void **state)
{
    (void)state;
    uint64_t before = cl_hash(&c);
    assert_int_equal(event("e1", "stream.delta", "main", "Hello"), WKIM_OK);
    has("\"msg_event_seq\":0,\"stream_status\":\"open\"");
    has("\"from_uid\":\"ann\"");
    cl_settle(&c);
    assert_int_equal(bob.events, 1);
    assert_int_equal(cl_hash(&c), before);
    cl_advance(&c, 1000);
    assert_int_not_equal(cl_hash(&c), before);
}

static void flushed_deltas_survive_a_crash(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "stream.delta", "main", "Hel"), WKIM_OK);
    cl_advance(&c, 1000);
    assert_int_equal(event("e2", "stream.delta", "main", "lo"), WKIM_OK);
    cl_advance(&c, 1000);
    cl_logout(&bob);
    cl_restart(&c, true);
    assert_int_equal(event("e3", "stream.close", "main", NULL), WKIM_OK);
    has("\"msg_event_seq\":1,\"stream_status\":\"closed\"");
    state_of("m1");
    has("\"text\":\"Hello\"");
}

static void sixty_four_kilobytes_are_flushed_at_once(void **state)
{
    static char big[40001];
    (void)state;

    memset(big, 'x', sizeof(big) - 1);
    uint64_t before = cl_hash(&c);
    struct im_event e = { .bits = IM_EVENT_TEXT,
                          .channel_type = GROUP,
                          .stored_id = WK_LIT("g"),
                          .channel_id = WK_LIT("g"),
                          .client_msg_no = WK_LIT("m1"),
                          .event_id = WK_LIT("e"),
                          .type = WK_LIT("stream.delta"),
                          .key = WK_LIT("main"),
                          .delta = wk_str(big),
                          .payload = wk_str(big) };
    for (int i = 0; i < 2; i++) {
        struct wk_buf b = WK_BUF_INIT;
        assert_int_equal(cl_hash(&c), before);
        im_event_encode(&b, &e);
        assert_int_equal(cl_do_code(&c, IM_EVENT, cl_slot(&c, "g"), &b), WKIM_OK);
        cl_settle(&c);
    }
    assert_int_not_equal(cl_hash(&c), before);
}

static void an_ended_lane_stays_ended_also_after_a_restart(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "stream.close", "main", NULL), WKIM_OK);
    cl_settle(&c);
    assert_int_equal(bob.events, 1);
    assert_int_equal(event("e1", "stream.close", "main", NULL), WKIM_OK); /* again */
    assert_int_equal(event("e2", "stream.error", "main", NULL), WKIM_OK); /* too late */
    has("\"msg_event_seq\":1,\"stream_status\":\"closed\"");
    cl_settle(&c);
    assert_int_equal(bob.events, 1);
    cl_logout(&bob);
    cl_restart(&c, true);
    assert_int_equal(event("e3", "stream.delta", "main", "late"), WKIM_OK);
    has("\"msg_event_seq\":1,\"stream_status\":\"closed\"");
}

static void a_late_delta_is_refused_while_another_lane_is_open(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "stream.delta", "aux", "x"), WKIM_OK);
    assert_int_equal(event("e2", "stream.close", "main", NULL), WKIM_OK);
    assert_int_equal(event("e3", "stream.delta", "main", "late"), WKIM_EDENIED);
}

static void no_delta_comes_after_the_finish(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "stream.finish", "main", NULL), WKIM_OK);
    has("\"event_key\":\"__finish__\"");
    assert_int_equal(event("e2", "stream.delta", "new", "x"), WKIM_EDENIED);
}

static void numbers_run_over_all_lanes(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "custom", "a", NULL), WKIM_OK);
    assert_int_equal(event("e2", "custom", "b", NULL), WKIM_OK);
    has("\"msg_event_seq\":2");
    cl_logout(&bob);
    cl_restart(&c, true);
    assert_int_equal(event("e3", "custom", "c", NULL), WKIM_OK);
    has("\"msg_event_seq\":3");
}

static void an_unknown_message_has_no_events(void **state)
{
    (void)state;
    assert_int_equal(event_on("nosuch", "e1", "stream.delta", "main", "x"), WKIM_ENOTFOUND);
    assert_int_equal(event_on("nosuch", "e1", "custom", "main", NULL), WKIM_ENOTFOUND);
    state_of("nosuch");
    has("\"events\":[]");
}

static void a_refused_write_is_not_answered_as_stored(void **state)
{
    (void)state;
    c.dead = true;
    assert_int_not_equal(event("e1", "stream.close", "main", NULL), WKIM_OK);
    assert_string_equal(text, "");
    cl_settle(&c);
    assert_int_equal(bob.events, 0);
    c.dead = false;
}

static void readers_see_memory_and_what_was_stored(void **state)
{
    (void)state;
    struct im_send_head h = { .bits = IM_SEND_API };
    const struct wk_record r = { .setting = WKIM_SETTING_STREAM,
                                 .channel_type = GROUP,
                                 .message_id = 5,
                                 .channel_id = WK_LIT("g"),
                                 .from_uid = WK_LIT("ann"),
                                 .client_msg_no = WK_LIT("m2"),
                                 .payload = WK_LIT("p") };
    struct wk_buf b = WK_BUF_INIT;
    im_send_encode(&b, &h, &r);
    assert_int_equal(cl_do_code(&c, IM_SEND, cl_slot(&c, "g"), &b), WKIM_OK);
    history();
    assert_string_equal(text, "");
    assert_int_equal(event_on("m2", "e1", "stream.delta", "main", "Hi"), WKIM_OK);
    history();
    has("\"open_event_count\":1");
    has("\"stream_data\":\"SGk=\"");
    cl_advance(&c, 1000);
    cl_logout(&bob);
    cl_restart(&c, true);
    history();
    has("\"stream_data\":\"SGk=\"");
    has("\"status\":\"open\"");
}

static void an_idle_stream_leaves_memory_and_goes_on_from_the_store(void **state)
{
    (void)state;
    assert_int_equal(event("e1", "stream.delta", "main", "Hel"), WKIM_OK);
    for (int i = 0; i < 10; i++)
        cl_advance(&c, 10000);
    uint64_t rows = cl_hash(&c);
    assert_int_equal(event("e2", "stream.delta", "main", "lo"), WKIM_OK);
    assert_int_equal(cl_hash(&c), rows);
    assert_int_equal(event("e3", "stream.close", "main", NULL), WKIM_OK);
    state_of("m1");
    has("\"text\":\"Hello\"");
}

static void more_streams_than_the_limit_push_out_the_oldest(void **state)
{
    (void)state;
    for (int i = 0; i < 150; i++) {
        char no[16];
        snprintf(no, sizeof(no), "n%d", i);
        const struct cl_send s = {
            .from = "ann", .to = "g", .type = GROUP, .no = no, .payload = "p", .api = true
        };
        struct cl_answer a = cl_send(&c, &s);
        assert_int_equal(a.code, WKIM_OK);
        cl_answer_fini(&a);
        assert_int_equal(event_on(no, "e1", "stream.delta", "main", no), WKIM_OK);
        if (i % 50 == 49)
            cl_advance(&c, 1000); /* what is in the log may leave memory */
    }
    assert_int_equal(event_on("n0", "e2", "stream.close", "main", NULL), WKIM_OK);
    state_of("n0");
    has("\"text\":\"n0\"");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void put_lane(uint64_t first, uint64_t end)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, WK_LIT("lane"));
    wk_buf_str(&b, WK_LIT("row"));
    wk_buf_u64(&b, first);
    wk_buf_u64(&b, end);
    assert_int_equal(cl_do_code(&c, IM_EVENT_PUT, 0, &b), WKIM_OK);
}

/* Found by fuzzing: a command that named 2^20 pieces took half a minute to apply. */
static void any_number_of_pieces_is_dropped_at_once(void **state)
{
    struct wk_buf b = WK_BUF_INIT, key = WK_BUF_INIT;

    (void)state;
    put_lane(0, 0);
    const uint64_t without = cl_hash(&c);
    for (uint64_t i = 0; i < 3; i++) {
        wk_buf_clear(&key);
        wk_buf_bytes(&key, (const uint8_t *)"lane", 4);
        wk_buf_u64(&key, i);
        wk_buf_str(&b, wk_buf_slice(&key));
        wk_buf_str(&b, WK_LIT("piece"));
    }
    wk_buf_fini(&key);
    assert_int_equal(cl_do_code(&c, IM_EVENT_CHUNKS, 0, &b), WKIM_OK);
    put_lane(0, 2);
    assert_int_not_equal(cl_hash(&c), without);
    put_lane(2, UINT64_MAX);
    assert_int_equal(cl_hash(&c), without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_delta_is_answered_and_pushed_before_it_is_stored),
        T(flushed_deltas_survive_a_crash),
        T(sixty_four_kilobytes_are_flushed_at_once),
        T(an_ended_lane_stays_ended_also_after_a_restart),
        T(a_late_delta_is_refused_while_another_lane_is_open),
        T(no_delta_comes_after_the_finish),
        T(numbers_run_over_all_lanes),
        T(an_unknown_message_has_no_events),
        T(a_refused_write_is_not_answered_as_stored),
        T(readers_see_memory_and_what_was_stored),
        T(an_idle_stream_leaves_memory_and_goes_on_from_the_store),
        T(more_streams_than_the_limit_push_out_the_oldest),
        T(any_number_of_pieces_is_dropped_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
