/* The n-th allocation fails, for every n: a call is answered all the same, what was acknowledged is
 * there, a slot that had to stop comes back with a restart, and nothing leaks. */
#include "oom_cluster.h"
#include <wkim/channel.h>

static unsigned pair_no;

static struct wk_buf request(void)
{
    return (struct wk_buf)WK_BUF_INIT;
}

/* Sends to a new pair each time: permission, number, rows, two conversations, a delivery. */
static void send_and_deliver(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char from[24], to[24];
        struct cl_call call;
        snprintf(from, sizeof(from), "a%u", ++pair_no);
        snprintf(to, sizeof(to), "b%u", pair_no);
        const struct cl_send s = {
            .from = from, .type = WKIM_CHANNEL_PERSON, .to = to, .no = "n", .payload = "hello"
        };
        cl_send_begin(&c, &call, &s);
        struct cl_answer a = take_failing(&call, n, &more, WKIM_EDENIED);
        cl_answer_fini(&a);
        if (!more)
            assert_int_equal(a.code, WKIM_OK);
        repair();
        /* The same once more: first or again, it is message 1 and nothing follows it. */
        const struct cl_answer again = cl_send(&c, &s);
        assert_int_equal(again.code, WKIM_OK);
        assert_int_equal(again.number[1], 1);
        if (a.code == WKIM_OK)
            assert_int_equal(again.number[0], a.number[0]);
        cl_advance(&c, 2000);
        assert_int_equal(cl_conversations(&c, to), 1);
        assert_int_equal(cl_conversation(&c, to, WKIM_CHANNEL_PERSON, from).unread, 1);
    }
    assert_false(more);
}

static void change_a_list(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char group[24];
        struct cl_call call;
        struct wk_buf b = request();
        snprintf(group, sizeof(group), "g%u", ++pair_no);
        im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(group));
        wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
        wk_buf_u8(&b, WKIM_LIST_ADD);
        wk_buf_u64(&b, c.wall_ms);
        wk_buf_str(&b, wk_str("u1"));
        wk_buf_str(&b, wk_str("u2"));
        cl_begin(&c, &call, IM_LIST_CHANGE, cl_slot(&c, group), &b);
        const int code = take_failing_code(&call, n, &more, WKIM_EDENIED);
        repair();
        if (code == WKIM_OK)
            assert_int_equal(cl_text(&c, "u2", WKIM_CHANNEL_GROUP, group, "x", NULL),
                             WKIM_REASON_SUCCESS);
        assert_int_equal(
            cl_list(&c, WKIM_CHANNEL_GROUP, group, WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, "u1 u2"),
            WKIM_OK);
        assert_int_equal(cl_text(&c, "u1", WKIM_CHANNEL_GROUP, group, "x", NULL),
                         WKIM_REASON_SUCCESS);
        assert_int_equal(cl_text(&c, "u3", WKIM_CHANNEL_GROUP, group, "x", NULL),
                         WKIM_REASON_NOT_SUBSCRIBER);
    }
    assert_false(more);
}

static void read_conversations_and_history(void **state)
{
    (void)state;
    assert_int_equal(cl_text(&c, "r1", WKIM_CHANNEL_PERSON, "r2", "x", NULL), WKIM_REASON_SUCCESS);
    for (int kind = 0; kind < 3; kind++) {
        bool more = true;
        for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
            struct cl_call call;
            struct wk_buf b = request();
            cl_settle(&c); /* what the message left to be done is not what is meant to fail */
            if (kind == 0) {
                wk_buf_str(&b, wk_str("r2"));
                wk_buf_u64(&b, 0);
                wk_buf_u32(&b, 10);
                wk_buf_bytes(&b, "\0\0\0\0\0\0\0\0\0\0\0", 11);
                cl_begin(&c, &call, IM_CONV_SYNC, cl_slot(&c, "r2"), &b);
            } else if (kind == 1) {
                wk_buf_str(&b, wk_str("r2"));
                wk_buf_u32(&b, 10);
                wk_buf_u64(&b, 0);
                wk_buf_bytes(&b, "\0\0\0", 3); /* from the first, none named */
                cl_begin(&c, &call, IM_CONV_LIST, cl_slot(&c, "r2"), &b);
            } else {
                struct wk_buf sid = request();
                im_stored_id(&sid, WKIM_CHANNEL_PERSON, wk_str("r1"), wk_str("r2"));
                im_channel_key_encode(&b, WKIM_CHANNEL_PERSON, wk_buf_slice(&sid));
                wk_buf_u64(&b, 0);
                wk_buf_u64(&b, 0);
                wk_buf_u32(&b, 10);
                wk_buf_u8(&b, 0);
                uint32_t slot = wk_cluster_slot_of(c.cluster, wk_buf_slice(&sid));
                wk_buf_fini(&sid);
                cl_begin(&c, &call, IM_MESSAGE_SYNC, slot, &b);
            }
            oom_fail_at(n);
            struct cl_answer a = cl_take(&c, &call);
            more = oom_hit();
            oom_fail_at(0);
            /* never half an answer */
            assert_true(a.code == WKIM_ENOMEM || (a.code == WKIM_OK && a.out.n > 10));
            cl_answer_fini(&a);
            assert_int_equal(wk_cluster_ready(c.cluster), c.opt.slots); /* reading stops no slot */
        }
        assert_false(more);
    }
}

static void leave_a_group(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char group[24];
        struct cl_call call;
        struct wk_buf b = request();
        snprintf(group, sizeof(group), "v%u", ++pair_no);
        assert_int_equal(
            cl_list(&c, WKIM_CHANNEL_GROUP, group, WK_LIST_SUBSCRIBER, WKIM_LIST_ADD, group),
            WKIM_OK);
        assert_int_equal(cl_conversations(&c, group), 1); /* of the uid with the same name */
        im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(group));
        wk_buf_u8(&b, WK_LIST_SUBSCRIBER);
        wk_buf_u8(&b, WKIM_LIST_REMOVE);
        wk_buf_u64(&b, c.wall_ms);
        wk_buf_str(&b, wk_str(group));
        cl_begin(&c, &call, IM_LIST_CHANGE, cl_slot(&c, group), &b);
        (void)take_failing_code(&call, n, &more, WKIM_EDENIED);
        repair();
        assert_int_equal(
            cl_list(&c, WKIM_CHANNEL_GROUP, group, WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, group),
            WKIM_OK);
        cl_advance(&c, 2000);
        assert_int_equal(cl_conversations(&c, group), 0);
    }
    assert_false(more);
}

static void log_in(void **state)
{
    (void)state;
    bool more = true;

    /* the first is the request of the fixture */
    for (uint64_t n = 2; more && n < ALLOCATIONS_MAX; n++) {
        char uid[24];
        struct cl_conn conn;
        snprintf(uid, sizeof(uid), "l%u", ++pair_no);
        oom_fail_at(n + 1); /* the second as well */
        int reason = cl_login(&c, &conn, uid, "d", 0, NULL);
        more = oom_hit();
        oom_fail_at(0);
        assert_true(reason == WKIM_REASON_SUCCESS || (more && reason == WKIM_REASON_SYSTEM_ERROR));
        assert_int_equal(conn.im.registered, reason == WKIM_REASON_SUCCESS);
        cl_logout(&conn);
    }
    assert_false(more);
}

static int setup(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .shards = 1, .slots = 2 });
    return 0;
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(send_and_deliver),
        T(change_a_list),
        T(leave_a_group),
        T(read_conversations_and_history),
        T(log_in),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
