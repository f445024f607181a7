/* Deleting messages: single ones, up to a number, by limits, by time; what readers see of it, that
 * rows really go and numbers never come back. */
#include "im/event/lane.h"
#include "im/internal.h"
#include "store/store.h"
#include "../im_test.h"

static struct cl_options with_limits(uint64_t age_s, uint64_t messages, uint64_t bytes)
{
    return (struct cl_options){ .retention = { .on = true, .batch = 3, .trim = 4, .scan_ms = 60000,
                                               .keep = { 0, age_s, messages, bytes } } };
}

static uint64_t put(const char *group, const char *no, const char *text)
{
    const struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "u1", .type = GROUP,
                                                              .to = group, .no = no,
                                                              .payload = text, .api = true });
    assert_int_equal(a.code, WKIM_OK);
    return a.number[1];
}

static void put_from(const char *group, unsigned i, unsigned n)
{
    char no[16], text[16];

    for (n += i; i < n; i++) {
        snprintf(no, sizeof(no), "n%u", i);
        snprintf(text, sizeof(text), "t%u", i);
        put(group, no, text);
    }
}

static void put_many(const char *group, unsigned n)
{
    put_from(group, 0, n);
}

static const char *history(const char *group)
{
    static char got[512];

    cl_history(&c, GROUP, group, 0, 0, 100, false, got, sizeof(got), NULL);
    return got;
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

/* The request of a look-up or a deletion: one seq, id or number, each left out when zero. */
static void named(struct wk_buf *b, const char *group, uint64_t seq, int64_t id, const char *no)
{
    im_channel_key_encode(b, GROUP, wk_str(group));
    wk_buf_u8(b, 0);
    wk_buf_varint(b, seq != 0);
    if (seq)
        wk_buf_u64(b, seq);
    wk_buf_varint(b, id != 0);
    if (id)
        wk_buf_u64(b, (uint64_t)id);
    wk_buf_varint(b, no != NULL);
    if (no)
        wk_buf_str(b, wk_str(no));
}

static uint64_t remove_one(const char *group, uint64_t seq, int64_t id, const char *no)
{
    struct wk_buf b = WK_BUF_INIT;

    named(&b, group, seq, id, no);
    struct cl_answer a = cl_do(&c, IM_DELETE, cl_slot(&c, group), &b);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    return a.number[0];
}

static bool found(const char *group, uint64_t seq, int64_t id, const char *no)
{
    struct wk_buf b = WK_BUF_INIT;

    named(&b, group, seq, id, no);
    struct cl_answer a = cl_do(&c, IM_MESSAGE_GET, cl_slot(&c, group), &b);
    assert_int_equal(a.code, WKIM_OK);
    bool any = a.out.n != 0;
    cl_answer_fini(&a);
    return any;
}

static uint64_t trim(const char *group, uint64_t through)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str(group));
    wk_buf_u64(&b, through);
    for (int i = 0; i < 3; i++)
        wk_buf_u64(&b, 0);
    struct cl_answer a = cl_do(&c, IM_TRIM, cl_slot(&c, group), &b);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    return a.number[0];
}

/* number[0]: the highest number; the newest message's number, 0: none */
static uint64_t last(const char *group, uint64_t *newest)
{
    struct wk_buf b = WK_BUF_INIT;
    struct wk_record r;

    im_channel_key_encode(&b, GROUP, wk_str(group));
    wk_buf_u8(&b, 1);
    struct cl_answer a = cl_do(&c, IM_MESSAGE_LAST, cl_slot(&c, group), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    assert_int_equal(a.code, WKIM_OK);
    if (newest) {
        *newest = 0;
        if (a.out.n) {
            assert_int_equal(wk_record_decode(&r, wk_cursor_str(&cur)), WKIM_OK);
            *newest = r.message_seq;
        }
    }
    cl_answer_fini(&a);
    return a.number[0];
}

static int count_row(void *arg, uint64_t seq, wkim_slice record)
{
    (void)seq;
    (void)record;
    ++*(unsigned *)arg;
    return 0;
}

/* Rows that are physically there. */
static unsigned stored(const char *group)
{
    const struct wk_channel_key key = { GROUP, wk_str(group) };
    unsigned n = 0;

    assert_int_equal(wk_message_scan(c.store, cl_slot(&c, group), &key, 0, UINT64_MAX, false,
                                     count_row, &n), WKIM_OK);
    return n;
}

static int count_any(void *arg, wkim_slice key, wkim_slice value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned rows_of(const char *group, uint8_t table)
{
    unsigned n = 0;

    assert_int_equal(wk_row_scan(c.store, cl_slot(&c, group), table, wk_slice(NULL, 0),
                                 wk_slice(NULL, 0), count_any, &n), WKIM_OK);
    return n;
}

static bool nothing_to_erase(void *arg)
{
    const char *group = arg;

    c.now_ms += 5; /* rests between the pieces pass */
    return rows_of(group, IM_TABLE_ERASE) == 0;
}

static void erased(const char *group)
{
    cl_until(&c, nothing_to_erase, (void *)(uintptr_t)group);
}

/* ---- single messages ------------------------------------------------------------------------- */

static void a_deleted_message_is_gone_for_every_reader(void **state)
{
    (void)state;
    put_many("g", 10);
    assert_int_equal(remove_one("g", 4, 0, NULL), 1);
    assert_int_equal(remove_one("g", 0, 6, NULL), 1); /* ids of the fixture count from 1 */
    assert_int_equal(remove_one("g", 0, 0, "n7"), 1);
    assert_int_equal(remove_one("g", 4, 0, NULL), 0);
    for (int wipe = 0; wipe < 3; wipe++) {
        assert_string_equal(history("g"), "1,2,3,5,7,9,10");
        assert_false(found("g", 4, 0, NULL));
        assert_false(found("g", 0, 6, NULL));
        assert_false(found("g", 0, 0, "n7"));
        assert_true(found("g", 5, 0, NULL));
        assert_int_equal(stored("g"), 7);
        cl_restart(&c, wipe == 1);
    }
}

static void one_named_three_times_is_deleted_once(void **state)
{
    (void)state;
    put_many("g", 3);
    assert_int_equal(remove_one("g", 2, 2, "n1"), 1);
    assert_string_equal(history("g"), "1,3");
}

static void pulling_goes_over_holes(void **state)
{
    (void)state;
    put_many("g", 20);
    for (uint64_t seq = 8; seq <= 15; seq++)
        assert_int_equal(remove_one("g", seq, 0, NULL), 1);
    expect(0, 0, 7, false, "6,7,16,17,18,19,20", true);
    expect(15, 0, 3, false, "5,6,7", true);  /* down, from within the hole */
    expect(17, 0, 4, false, "6,7,16,17", true);
    expect(17, 7, 4, false, "16,17", false); /* the end stands in front of the hole */
    expect(7, 0, 10, false, "1,2,3,4,5,6,7", false);
    expect(6, 0, 3, true, "6,7,16", true);   /* up */
    expect(8, 16, 3, true, "", false);
    expect(9, 0, 100, true, "16,17,18,19,20", false);
    expect(22, 0, 4, false, "19,20", false); /* ahead of the end the window counts numbers */
    expect(22, 0, 8, false, "7,16,17,18,19,20", false);
}

static void the_highest_number_outlives_its_message(void **state)
{
    (void)state;
    uint64_t newest;

    put_many("g", 3);
    assert_int_equal(remove_one("g", 3, 0, NULL), 1);
    for (int wipe = 0; wipe < 2; wipe++) {
        assert_int_equal(last("g", &newest), 3);
        assert_int_equal(newest, 2);
        cl_restart(&c, wipe);
    }
    assert_int_equal(put("g", "again", "x"), 4);
}

static void unread_does_not_count_the_deleted(void **state)
{
    (void)state;
    add_members("g", "u2");
    put_many("g", 10);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 10);
    remove_one("g", 4, 0, NULL);
    remove_one("g", 10, 0, NULL);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 8);
    assert_int_equal(cl_conv_move(&c, "u2", GROUP, "g", IM_CONV_SET, 5), WKIM_OK);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 4); /* 6..9 of 6..10 */
    trim("g", 7);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 2);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").last_seq, 9);
    assert_int_equal(cl_conv_move(&c, "u2", GROUP, "g", IM_CONV_CLEAR, 0), WKIM_OK);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 0);
    put("g", "new", "x");
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 1);
}

static void a_number_may_be_sent_again_after_its_message_was_deleted(void **state)
{
    (void)state;
    put_many("g", 3);
    assert_int_equal(put("g", "n1", "t1"), 2); /* idempotent */
    remove_one("g", 2, 0, NULL);
    assert_int_equal(put("g", "n1", "t1"), 4);
    assert_int_equal(put("g", "n1", "t1"), 4);
    trim("g", 4);
    assert_int_equal(put("g", "n1", "t1"), 5);
    cl_restart(&c, true);
    assert_int_equal(put("g", "n1", "t1"), 5);
}

/* The rows must be the same whether the commands are applied one by one or all in one round. */
static void replayed_in_one_round_the_rows_are_the_same(void **state)
{
    (void)state;
    put_many("g", 200); /* more than a block of fingerprints */
    for (uint64_t seq = 120; seq < 140; seq += 3)
        remove_one("g", seq, 0, NULL);
    put("g", "n119", "t119");
    trim("g", 126);
    put("g", "n120", "t120");
    erased("g");
    put_many("g", 100);
    remove_one("g", 202, 0, NULL);
    cl_settle(&c);
    uint64_t before = cl_hash(&c);
    cl_restart(&c, true);
    assert_true(cl_hash(&c) == before);
    uint64_t seq = put("g", "n121", "t121"); /* its first sending is below the floor */
    assert_int_equal(seq, last("g", NULL));
}

/* ---- up to a number -------------------------------------------------------------------------- */

static void a_history_is_cut_up_to_a_number(void **state)
{
    (void)state;
    uint64_t newest;

    put_many("g", 300);
    assert_int_equal(trim("g", 290), 290);
    expect(0, 0, 100, false, "291,292,293,294,295,296,297,298,299,300", false); /* at once */
    expect(1, 0, 3, true, "291,292,293", true);
    expect(290, 0, 5, false, "", false);
    expect(292, 0, 5, false, "291,292", false);
    assert_false(found("g", 290, 0, NULL));
    assert_false(found("g", 0, 290, NULL));
    assert_false(found("g", 0, 0, "n288"));
    assert_true(found("g", 0, 0, "n290"));
    assert_int_equal(trim("g", 5), 290); /* the floor never falls */
    erased("g");
    assert_int_equal(stored("g"), 10);
    assert_int_equal(rows_of("g", IM_TABLE_MSGNO), 0); /* 257..300 are no whole block */
    assert_int_equal(last("g", &newest), 300);
    assert_int_equal(newest, 300);
}

static void numbers_go_on_when_everything_is_deleted(void **state)
{
    (void)state;
    uint64_t newest;

    put_many("g", 30);
    assert_int_equal(trim("g", UINT64_MAX), 30);
    erased("g");
    for (int wipe = 0; wipe < 3; wipe++) {
        assert_string_equal(history("g"), "");
        assert_int_equal(stored("g"), 0);
        assert_int_equal(last("g", &newest), 30);
        assert_int_equal(newest, 0);
        cl_restart(&c, wipe == 1);
    }
    assert_int_equal(put("g", "n1", "t1"), 31);
    assert_int_equal(trim("other", 9), 0); /* nothing was there */
}

static void erasing_goes_on_after_a_crash(void **state)
{
    (void)state;
    put_many("g", 100);
    trim("g", 90);
    assert_int_equal(rows_of("g", IM_TABLE_ERASE), 1);
    cl_crash(&c);
    cl_up(&c);
    erased("g");
    assert_int_equal(stored("g"), 10);
    expect(0, 0, 3, false, "98,99,100", true);
}

static void holes_go_with_the_history_around_them(void **state)
{
    (void)state;
    put_many("g", 20);
    for (uint64_t seq = 5; seq <= 15; seq += 2)
        remove_one("g", seq, 0, NULL);
    assert_int_equal(rows_of("g", IM_TABLE_HOLE), 6);
    trim("g", 12);
    erased("g");
    assert_int_equal(rows_of("g", IM_TABLE_HOLE), 2);
    assert_string_equal(history("g"), "14,16,17,18,19,20");
}

static void a_purged_channel_loses_its_commands_too(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    put_many("g", 5);
    assert_int_equal(cl_send(&c, &(struct cl_send){ .from = "u1", .type = GROUP, .to = "g",
                                                    .cmd = true, .api = true })
                         .number[1], 1);
    struct wk_buf b = WK_BUF_INIT;
    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, 1);
    wk_buf_u64(&b, c.wall_ms);
    assert_int_equal(cl_do_code(&c, IM_CHANNEL_DELETE, cl_slot(&c, "g"), &b), WKIM_OK);
    erased("g");
    assert_int_equal(stored("g"), 0);
    const struct wk_channel_key cmd = { GROUP, WK_LIT("g" IM_CMD_SUFFIX) };
    unsigned n = 0;
    assert_int_equal(wk_message_scan(c.store, cl_slot(&c, "g"), &cmd, 0, UINT64_MAX, false,
                                     count_row, &n), WKIM_OK);
    assert_int_equal(n, 0);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void put_stream(const char *group, const char *no)
{
    struct wk_buf b = WK_BUF_INIT;
    struct wk_record r = { .setting = WKIM_SETTING_STREAM, .channel_type = GROUP,
                           .message_id = ++c.next_id, .channel_id = wk_str(group),
                           .from_uid = WK_LIT("u1"), .client_msg_no = wk_str(no),
                           .payload = WK_LIT("base") };
    struct im_send_head h = { .bits = IM_SEND_API };

    im_send_encode(&b, &h, &r);
    assert_int_equal(cl_do_code(&c, IM_SEND, cl_slot(&c, group), &b), WKIM_OK);
}

static int event(const char *group, const char *no, const char *id, const char *type)
{
    const struct im_event e = { .channel_type = GROUP, .stored_id = wk_str(group),
                                .channel_id = wk_str(group), .from_uid = WK_LIT("u1"),
                                .client_msg_no = wk_str(no), .event_id = wk_str(id),
                                .type = wk_str(type), .key = WK_LIT("main"),
                                .bits = IM_EVENT_TEXT, .delta = WK_LIT("x"),
                                .payload = WK_LIT("{\"kind\":\"text\",\"delta\":\"x\"}") };
    struct wk_buf b = WK_BUF_INIT;

    im_event_encode(&b, &e);
    return cl_do_code(&c, IM_EVENT, cl_slot(&c, group), &b);
}

static void events_go_with_their_message(void **state)
{
    (void)state;
    for (int how = 0; how < 2; how++) {
        char group[8];
        snprintf(group, sizeof(group), "e%d", how);
        put_stream(group, "s1");
        put_stream(group, "s2");
        assert_int_equal(event(group, "s1", "1", "stream.snapshot"), WKIM_OK);
        assert_int_equal(event(group, "s1", "2", "stream.delta"), WKIM_OK);
        assert_int_equal(event(group, "s2", "3", "stream.snapshot"), WKIM_OK);
        cl_advance(&c, 1000); /* the delta is in the log */
        assert_int_equal(rows_of(group, IM_TABLE_LANE), 2);
        assert_int_equal(rows_of(group, IM_TABLE_CHUNK), 1);
        if (how)
            trim(group, 1);
        else
            remove_one(group, 1, 0, NULL);
        if (how)
            erased(group);
        cl_settle(&c);
        assert_int_equal(rows_of(group, IM_TABLE_LANE), 1);
        assert_int_equal(rows_of(group, IM_TABLE_CHUNK), 0);
        assert_int_equal(event(group, "s1", "4", "stream.delta"), WKIM_ENOTFOUND);
        assert_int_equal(event(group, "s2", "5", "stream.delta"), WKIM_OK);
        trim(group, UINT64_MAX);
        erased(group);
        cl_settle(&c);
        assert_int_equal(rows_of(group, IM_TABLE_LANE), 0);
    }
}

static void an_event_on_its_way_goes_with_its_message(void **state)
{
    (void)state;
    struct cl_call del, ev[20];
    struct wk_buf b = WK_BUF_INIT;
    char id[8];

    put_stream("g", "s1");
    assert_int_equal(event("g", "s1", "0", "stream.snapshot"), WKIM_OK);
    for (int i = 0; i < 20; i++) { /* before, between and behind */
        snprintf(id, sizeof(id), "%d", i + 1);
        const struct im_event e = { .channel_type = GROUP, .stored_id = WK_LIT("g"),
                                    .channel_id = WK_LIT("g"), .from_uid = WK_LIT("u1"),
                                    .client_msg_no = WK_LIT("s1"), .event_id = wk_str(id),
                                    .type = WK_LIT("note"), .key = WK_LIT("main") };
        struct wk_buf eb = WK_BUF_INIT;
        if (i == 10) {
            named(&b, "g", 1, 0, NULL);
            cl_begin(&c, &del, IM_DELETE, cl_slot(&c, "g"), &b);
        }
        im_event_encode(&eb, &e);
        cl_begin(&c, &ev[i], IM_EVENT, cl_slot(&c, "g"), &eb);
        cl_poll(&c, cl_shard_index(&c, "g"));
    }
    struct cl_answer a = cl_take(&c, &del);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    for (int i = 0; i < 20; i++) {
        a = cl_take(&c, &ev[i]);
        cl_answer_fini(&a);
    }
    cl_advance(&c, 2000);
    assert_int_equal(rows_of("g", IM_TABLE_LANE), 0);
    cl_restart(&c, true);
    assert_int_equal(rows_of("g", IM_TABLE_LANE), 0);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void run_with(uint64_t age_s, uint64_t messages, uint64_t bytes)
{
    const struct cl_options opt = with_limits(age_s, messages, bytes);

    cl_free(&c);
    cl_new(&c, &opt);
}

/* Enough time for a pass over all slots and for erasing what it found. */
static void pass(void)
{
    for (int i = 0; i < 100; i++)
        cl_advance(&c, 1600);
}

static int set_limits(const char *group, uint8_t set, uint64_t age_s, uint64_t messages,
                      uint64_t bytes)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str(group));
    wk_buf_u8(&b, set);
    wk_buf_u64(&b, age_s);
    wk_buf_u64(&b, messages);
    wk_buf_u64(&b, bytes);
    return cl_do_code(&c, IM_LIMITS_SET, cl_slot(&c, group), &b);
}

static void the_newest_messages_stay(void **state)
{
    (void)state;
    run_with(0, 5, 0);
    for (int g = 0; g < 12; g++) {
        char group[8];
        snprintf(group, sizeof(group), "g%d", g);
        put_many(group, (unsigned)g);
    }
    pass();
    for (int g = 0; g < 12; g++) {
        char group[8];
        snprintf(group, sizeof(group), "g%d", g);
        assert_int_equal(stored(group), g < 5 ? g : 5);
        assert_int_equal(last(group, NULL), g);
    }
    assert_string_equal(history("g11"), "7,8,9,10,11");
}

static void old_messages_go(void **state)
{
    (void)state;
    run_with(3600, 0, 0);
    put_many("g", 10);
    put_many("h", 3);
    cl_advance(&c, 3000000);
    put_from("g", 10, 4);
    pass();
    assert_int_equal(stored("g"), 14);
    cl_advance(&c, 600000);
    pass();
    assert_string_equal(history("g"), "11,12,13,14");
    assert_int_equal(stored("g"), 4);
    assert_int_equal(stored("h"), 0);
    assert_int_equal(put("h", "x", "x"), 4);
}

static void a_channel_stays_below_its_size(void **state)
{
    (void)state;
    char text[2000];
    uint64_t before;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    run_with(0, 0, 100000);
    for (int i = 0; i < 200; i++)
        put("g", NULL, text);
    pass();
    before = stored("g");
    assert_in_range(before, 47, 50);
    for (int i = 0; i < 10; i++)
        put("g", NULL, text);
    pass();
    assert_int_equal(stored("g"), before);
    put_many("g", 20); /* small ones */
    pass();
    assert_in_range(stored("g"), before + 15, before + 20);
    remove_one("g", last("g", NULL), 0, NULL);
    put_from("g", 20, 1);
    cl_restart(&c, true);
    pass();
    assert_in_range(stored("g"), before + 15, before + 20);
}

static void a_channels_own_limits_hold_before_the_nodes(void **state)
{
    (void)state;
    run_with(0, 5, 0);
    put_many("a", 20);
    put_many("b", 20);
    put_many("z", 20);
    assert_int_equal(set_limits("a", WK_KEEP_MESSAGES, 0, 0, 0), WKIM_OK); /* none */
    assert_int_equal(set_limits("b", WK_KEEP_MESSAGES | WK_KEEP_AGE, 0, 2, 0), WKIM_OK);
    pass();
    assert_int_equal(stored("a"), 20);
    assert_int_equal(stored("b"), 2);
    assert_int_equal(stored("z"), 5);
    assert_int_equal(set_limits("a", 0, 0, 0, 0), WKIM_OK);
    cl_restart(&c, true);
    pass();
    assert_int_equal(stored("a"), 5);
}

static void limits_do_nothing_while_retention_is_off(void **state)
{
    (void)state;
    put_many("g", 20);
    assert_int_equal(set_limits("g", WK_KEEP_MESSAGES, 0, 1, 0), WKIM_OK);
    pass();
    assert_int_equal(stored("g"), 20);
}

static void over(const char *group, uint32_t expire_s)
{
    assert_int_equal(cl_send(&c, &(struct cl_send){ .from = "u1", .type = GROUP, .to = group,
                                                    .payload = "over", .api = true,
                                                    .expire_s = expire_s })
                         .code, WKIM_OK);
}

static void messages_leave_the_store_when_their_time_is_over(void **state)
{
    (void)state;
    run_with(0, 0, 0);
    add_members("g", "u2");
    put_many("g", 3);
    over("g", 60);
    over("g", 600);
    over("g", 100000);
    put_from("g", 3, 1);
    assert_int_equal(rows_of("g", IM_TABLE_EXPIRY), 3);
    remove_one("g", 5, 0, NULL); /* before its time */
    pass();
    cl_advance(&c, 600000);
    pass();
    assert_int_equal(stored("g"), 5);
    assert_int_equal(rows_of("g", IM_TABLE_EXPIRY), 1);
    assert_int_equal(rows_of("g", IM_TABLE_HOLE), 2);
    assert_int_equal(cl_conversation(&c, "u2", GROUP, "g").unread, 5);
    cl_advance(&c, 100000000);
    pass();
    assert_string_equal(history("g"), "1,2,3,7");
    assert_int_equal(rows_of("g", IM_TABLE_EXPIRY), 0);
}

static void holes_at_the_beginning_are_cut_off(void **state)
{
    (void)state;
    run_with(0, 0, 0);
    put_many("g", 10);
    for (uint64_t seq = 1; seq <= 4; seq++)
        remove_one("g", seq, 0, NULL);
    remove_one("g", 7, 0, NULL);
    pass();
    assert_int_equal(rows_of("g", IM_TABLE_HOLE), 1);
    assert_string_equal(history("g"), "5,6,8,9,10");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_deleted_message_is_gone_for_every_reader),
        T(one_named_three_times_is_deleted_once),
        T(pulling_goes_over_holes),
        T(the_highest_number_outlives_its_message),
        T(unread_does_not_count_the_deleted),
        T(a_number_may_be_sent_again_after_its_message_was_deleted),
        T(replayed_in_one_round_the_rows_are_the_same),
        T(a_history_is_cut_up_to_a_number),
        T(numbers_go_on_when_everything_is_deleted),
        T(erasing_goes_on_after_a_crash),
        T(holes_go_with_the_history_around_them),
        T(a_purged_channel_loses_its_commands_too),
        T(events_go_with_their_message),
        T(an_event_on_its_way_goes_with_its_message),
        T(the_newest_messages_stay),
        T(old_messages_go),
        T(a_channel_stays_below_its_size),
        T(a_channels_own_limits_hold_before_the_nodes),
        T(limits_do_nothing_while_retention_is_off),
        T(messages_leave_the_store_when_their_time_is_over),
        T(holes_at_the_beginning_are_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
