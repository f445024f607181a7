/* The n-th allocation fails while messages are deleted and histories are cut: the call is answered,
 * what was answered with success holds, the work in the background comes to its end, nothing
 * leaks. */
#define ALLOCATIONS_MAX 600
#include "oom_cluster.h"
#include <wkim/channel.h>

#define MESSAGES 6
#define GROUP    "g1"

static int setup(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .shards = 1, .slots = 2,
                                     .retention = { .on = true, .batch = 100, .trim = 1000,
                                                    .scan_ms = 1000 } });
    return 0;
}

/* The keeper's rests included. */
static void repair_all(void)
{
    restart_if_stopped();
    for (int i = 0; i < 8; i++)
        cl_advance(&c, 1200);
}

/* A node without the groups of earlier rounds: the keeper looks at each of them whenever it likes,
 * and what it allocates would be counted among this round's. */
static void start_again(void)
{
    cl_free(&c);
    (void)setup(NULL);
    for (int i = 0; i < MESSAGES; i++) {
        char number[8];
        snprintf(number, sizeof(number), "n%d", i);
        const struct cl_send s = { .from = "u", .type = WKIM_CHANNEL_GROUP, .to = GROUP,
                                   .no = number, .expire_s = i == 3 ? UINT32_MAX : 0,
                                   .api = true };
        const struct cl_answer a = cl_send(&c, &s);
        assert_int_equal(a.number[1], i + 1);
    }
}

static void expect_history(const char *seqs)
{
    char got[64];

    cl_history(&c, WKIM_CHANNEL_GROUP, GROUP, 0, 0, 100, false, got, sizeof(got), NULL);
    assert_string_equal(got, seqs);
}

/* Begins the call with the n-th allocation failing; false: that many were not made. */
static bool failing(uint64_t n, uint16_t op, struct wk_buf *in, int *code)
{
    struct cl_call call;

    cl_begin(&c, &call, op, cl_slot(&c, GROUP), in);
    oom_fail_at(n);
    struct cl_answer a = cl_take(&c, &call);
    cl_settle(&c);
    cl_advance(&c, 50); /* the keeper's steps belong to it */
    cl_advance(&c, 50);
    bool hit = oom_hit();
    oom_fail_at(0);
    cl_answer_fini(&a);
    expect_known_code(a.code, WKIM_OK);
    *code = a.code;
    return hit;
}

static void delete_messages(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        struct wk_buf b = WK_BUF_INIT;
        int code;
        start_again();
        for (int again = 0; again < 2; again++) {
            wk_buf_clear(&b);
            im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(GROUP));
            wk_buf_u8(&b, 0);
            wk_buf_varint(&b, 1);
            wk_buf_u64(&b, 2);
            wk_buf_varint(&b, 0);
            wk_buf_varint(&b, 1);
            wk_buf_str(&b, wk_str("n4"));
            if (again)
                assert_int_equal(cl_do_code(&c, IM_DELETE, cl_slot(&c, GROUP), &b), WKIM_OK);
            else
                more = failing(n, IM_DELETE, &b, &code);
            repair_all();
            if (again || code == WKIM_OK)
                expect_history("1,3,4,6");
        }
    }
    assert_false(more);
}

static void cut_a_history(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        struct wk_buf b = WK_BUF_INIT;
        int code;
        start_again();
        im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(GROUP));
        wk_buf_u64(&b, 4);
        for (int i = 0; i < 3; i++)
            wk_buf_u64(&b, 0);
        more = failing(n, IM_TRIM, &b, &code);
        repair_all();
        if (code == WKIM_OK)
            expect_history("5,6");
        b = (struct wk_buf)WK_BUF_INIT;
        im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(GROUP));
        struct cl_answer a = cl_do(&c, IM_LIMITS_GET, cl_slot(&c, GROUP), &b);
        struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
        for (int i = 0; i < 2; i++) {
            (void)wk_cursor_str(&cur);
            (void)wk_cursor_bytes(&cur, 24);
        }
        (void)wk_cursor_str(&cur);
        (void)wk_cursor_bytes(&cur, 16);
        assert_int_equal(wk_cursor_u64(&cur), 0); /* everything was erased in the end */
        assert_false(cur.bad);
        cl_answer_fini(&a);
    }
    assert_false(more);
}

static void set_limits_and_enforce_them(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        struct wk_buf b = WK_BUF_INIT;
        int code;
        start_again();
        im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, wk_str(GROUP));
        wk_buf_u8(&b, WK_KEEP_MESSAGES | WK_KEEP_BYTES);
        wk_buf_u64(&b, 0);
        wk_buf_u64(&b, 3);
        wk_buf_u64(&b, 1000000);
        more = failing(n, IM_LIMITS_SET, &b, &code);
        repair_all();
        for (int i = 0; i < 5; i++)
            cl_advance(&c, 2000);
        if (code == WKIM_OK)
            expect_history("4,5,6");
    }
    assert_false(more);
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(delete_messages),
        T(cut_a_history),
        T(set_limits_and_enforce_them),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
