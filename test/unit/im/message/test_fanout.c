/* Deliveries to large groups: in pieces, in order, safe against changes of the members. */
#include "../im_test.h"

#define MANY 20000

static void join(unsigned from, unsigned n)
{
    char *uids = wk_malloc((size_t)n * 16);
    size_t at = 0;

    assert_non_null(uids);
    for (unsigned i = from; i < from + n; i++)
        at += (size_t)sprintf(uids + at, "%sm%06u", at ? " " : "", i);
    add_members("g", uids);
    wk_free(uids);
}

static int setup(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    join(0, MANY);
    return 0;
}

static void begin_send(struct cl_call *call, const char *text)
{
    cl_send_begin(
        &c, call,
        &(struct cl_send){
            .from = IM_SYSTEM_UID, .type = GROUP, .to = "g", .payload = text, .api = true });
}

static void finish_send(struct cl_call *call)
{
    struct cl_answer a = cl_take(&c, call);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

static void enter(struct cl_conn *conn, unsigned i)
{
    char uid[16];

    snprintf(uid, sizeof(uid), "m%06u", i);
    assert_int_equal(cl_login(&c, conn, uid, "d", 0, NULL), OK);
}

static void a_large_group_is_delivered_in_pieces(void **state)
{
    (void)state;
    struct cl_conn first, last;
    struct cl_call call;
    unsigned rounds_between = 0;
    uint32_t shard = c.opt.shards;
    unsigned a = 0, b = MANY - 1;

    /* Two members of one shard, at the two ends of the list. */
    while (cl_shard_index(&c, "m000000") != shard)
        shard = cl_shard_index(&c, "m000000");
    for (char uid[16];; b--) {
        snprintf(uid, sizeof(uid), "m%06u", b);
        if (cl_shard_index(&c, uid) == shard)
            break;
    }
    enter(&first, a);
    enter(&last, b);
    begin_send(&call, "x");
    while (!last.n_pushes) {
        for (uint32_t s = 0; s < c.opt.shards; s++)
            (void)cl_poll(&c, s);
        rounds_between += first.n_pushes && !last.n_pushes;
    }
    assert_int_equal(first.n_pushes, 1);
    assert_true(rounds_between >= 1);
    finish_send(&call);
    cl_logout(&first);
    cl_logout(&last);
}

static void everybody_gets_every_message_once_and_in_order(void **state)
{
    (void)state;
    static struct cl_conn conns[100];
    struct cl_call calls[5];

    for (unsigned i = 0; i < 100; i++)
        enter(&conns[i], i * (MANY / 100));
    for (int m = 0; m < 5; m++)
        begin_send(&calls[m], "x");
    for (int m = 0; m < 5; m++)
        finish_send(&calls[m]);
    cl_settle(&c);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(conns[i].n_pushes, 5);
        for (unsigned m = 0; m < 5; m++)
            assert_int_equal(conns[i].pushes[m].seq, m + 1);
        cl_logout(&conns[i]);
    }
}

static void begin_change(struct cl_call *call, uint8_t op, const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, GROUP, wk_str("g"));
    wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
    wk_buf_u8(&b, op);
    wk_buf_u64(&b, c.wall_ms);
    if (uid)
        wk_buf_str(&b, wk_str(uid));
    cl_begin(&c, call, IM_LIST_CHANGE, cl_slot(&c, "g"), &b);
}

/* Only the group's own shard runs until the call is answered. */
static void run_home(struct cl_call *call)
{
    while (!call->done)
        (void)cl_poll(&c, cl_shard_index(&c, "g"));
    struct cl_answer a = cl_take(&c, call);
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

/* The last member of the list that lives on `shard`. */
static void enter_last(struct cl_conn *conn, uint32_t shard)
{
    for (unsigned i = MANY - 1;; i--) {
        char uid[16];
        snprintf(uid, sizeof(uid), "m%06u", i);
        if (cl_shard_index(&c, uid) == shard) {
            enter(conn, i);
            return;
        }
    }
}

/* The deliveries to the other shard go on with the members of their time; the conversations of
 * those who leave are on that shard, too, so the change is left unanswered here. */
static void members_may_change_during_a_delivery(void **state)
{
    (void)state;
    struct cl_conn last;
    struct cl_call send, change;

    enter_last(&last, 1 - cl_shard_index(&c, "g"));
    begin_send(&send, "x");
    run_home(&send);
    assert_int_equal(last.n_pushes, 0);
    begin_change(&change, WKIM_LIST_CLEAR, NULL);
    finish_send(&change);
    cl_settle(&c);
    assert_int_equal(last.n_pushes, 1);
    begin_send(&send, "y");
    finish_send(&send);
    cl_settle(&c);
    assert_int_equal(last.n_pushes, 1); /* no member any more */
    cl_logout(&last);
}

static void a_member_may_go_away_during_a_delivery(void **state)
{
    (void)state;
    static struct cl_conn conns[50];
    struct cl_call send;

    for (unsigned i = 0; i < 50; i++)
        enter(&conns[i], MANY - 1 - i);
    begin_send(&send, "x");
    while (!send.done)
        for (uint32_t s = 0; s < c.opt.shards; s++)
            (void)cl_poll(&c, s);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(conns[i].n_pushes <= 1);
        cl_logout(&conns[i]);
    }
    finish_send(&send);
    cl_settle(&c);
}

/* A delivery in pieces must not be overtaken by the next one, which is short. */
static void a_shrinking_group_keeps_the_order(void **state)
{
    (void)state;
    const uint32_t home = cl_shard_index(&c, "g");
    struct cl_conn last;
    struct cl_call first, change, second;

    enter_last(&last, 1 - home);
    begin_send(&first, "1");
    run_home(&first);
    begin_change(&change, WKIM_LIST_SET, last.uid);
    /* The row of the outbox tells that the members have changed. */
    while (cl_outbox(&c, cl_slot(&c, "g")) == 0)
        (void)cl_poll(&c, home);
    begin_send(&second, "2");
    run_home(&second);
    assert_int_equal(last.n_pushes, 0);
    finish_send(&change);
    cl_settle(&c);
    assert_int_equal(last.n_pushes, 2);
    assert_int_equal(last.pushes[0].seq, 1);
    assert_int_equal(last.pushes[1].seq, 2);
    cl_logout(&last);
}

/* Stopping in the middle: what was not delivered is given back. */
static void a_delivery_may_be_cut_off_by_the_end(void **state)
{
    (void)state;
    struct cl_call first, second;

    begin_send(&first, "1");
    run_home(&first);
    begin_send(&second, "2");
    run_home(&second);
    cl_free(&c);
    cl_new(&c, NULL);
}

static void listed_receivers_get_it_whoever_subscribes(void **state)
{
    (void)state;
    static const char *const list[] = { "x1", "x2", NULL };
    struct cl_conn x1, x3;

    assert_int_equal(cl_login(&c, &x1, "x1", "d", 0, NULL), OK);
    assert_int_equal(cl_login(&c, &x3, "x3", "d", 0, NULL), OK);
    (void)cl_send(&c, &(struct cl_send){ .from = IM_SYSTEM_UID,
                                         .type = WKIM_CHANNEL_TEMP,
                                         .to = "77",
                                         .cmd = true,
                                         .api = true,
                                         .list = list,
                                         .payload = "p" });
    cl_settle(&c);
    assert_int_equal(x1.n_pushes, 1);
    assert_string_equal(x1.pushes[0].channel, "77" IM_CMD_SUFFIX);
    assert_int_equal(x3.n_pushes, 0);
    cl_logout(&x1);
    cl_logout(&x3);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, gone)

static void one_kilobyte(struct cl *cl, struct im_options *o)
{
    (void)cl;
    o->fanout_bytes_max = 1024;
}

static int setup_small_backlog(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .tune = one_kilobyte });
    join(0, MANY);
    add_members("small", "ann bob");
    return 0;
}

/* Memory has a bound: SENDs to long lists are refused until receivers were told of earlier ones;
 * those to short ones are not. */
static void no_more_is_taken_for_long_lists_than_may_wait(void **state)
{
    char text[1500];
    struct cl_conn last;
    struct cl_call call;
    (void)state;

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    enter_last(&last, 1 - cl_shard_index(&c, "g"));
    begin_send(&call, text);
    run_home(&call);
    begin_send(&call, "y");
    while (!call.done)
        (void)cl_poll(&c, cl_shard_index(&c, "g"));
    struct cl_answer a = cl_take(&c, &call);
    assert_int_equal(a.code, WKIM_EDENIED);
    assert_int_equal(a.reason, WKIM_REASON_RATE_LIMIT);
    cl_answer_fini(&a);
    assert_int_equal(cl_text(&c, "ann", GROUP, "small", "x", NULL), OK);
    cl_settle(&c);
    assert_int_equal(last.n_pushes, 1);
    begin_send(&call, "z");
    finish_send(&call);
    cl_settle(&c);
    assert_int_equal(last.n_pushes, 2);
    cl_logout(&last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_large_group_is_delivered_in_pieces),
        T(everybody_gets_every_message_once_and_in_order),
        T(members_may_change_during_a_delivery),
        T(a_member_may_go_away_during_a_delivery),
        T(a_shrinking_group_keeps_the_order),
        T(a_delivery_may_be_cut_off_by_the_end),
        T(listed_receivers_get_it_whoever_subscribes),
        cmocka_unit_test_setup_teardown(no_more_is_taken_for_long_lists_than_may_wait,
                                        setup_small_backlog, gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
