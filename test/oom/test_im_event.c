/* The n-th allocation fails during a command or an event, for every n: each call is answered, what
 * was acknowledged is there, and nothing leaks. */
#include "oom_cluster.h"
#include "im/event/lane.h"

/* Answer of one call whose n-th allocation fails; *hit: it had that many. */
static int failing(uint16_t op, const char *key, struct wk_buf *in, uint64_t n, bool *hit)
{
    struct cl_call call;

    cl_begin(&c, &call, op, cl_slot(&c, key), in);
    const int code = take_failing_code(&call, n, hit, WKIM_ENOTLEADER);
    repair();
    return code;
}

static struct wk_buf event(const char *no, const char *type, const char *delta)
{
    const struct im_event e = { .bits = delta ? IM_EVENT_TEXT : 0,
                                .channel_type = WKIM_CHANNEL_GROUP,
                                .stored_id = WK_LIT("g"),
                                .channel_id = WK_LIT("g"),
                                .client_msg_no = wk_str(no),
                                .event_id = wk_str(type),
                                .type = wk_str(type),
                                .key = WK_LIT("main"),
                                .delta = delta ? wk_str(delta) : wk_slice(NULL, 0),
                                .payload = WK_LIT("{}") };
    struct wk_buf b = WK_BUF_INIT;

    im_event_encode(&b, &e);
    return b;
}

static void message(const char *no)
{
    const struct cl_send s = {
        .from = "ann", .to = "g", .type = WKIM_CHANNEL_GROUP, .no = no, .payload = "p", .api = true
    };
    struct cl_answer a = cl_send(&c, &s);

    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

static void state_of(const char *no, char *out, size_t cap)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, WKIM_CHANNEL_GROUP, WK_LIT("g"));
    wk_buf_str(&b, wk_str(no));
    wk_buf_str(&b, WK_LIT(""));
    wk_buf_u64(&b, 0);
    wk_buf_u32(&b, 0);
    wk_buf_u8(&b, 1);
    struct cl_answer a = cl_do(&c, IM_EVENT_SYNC, cl_slot(&c, "g"), &b);
    assert_int_equal(a.code, WKIM_OK);
    snprintf(out, cap, "%.*s", (int)a.out.n, (const char *)a.out.p);
    cl_answer_fini(&a);
}

static void deltas_and_their_end(void **state)
{
    bool more = true;
    (void)state;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char no[24], text[512];
        bool hit;
        snprintf(no, sizeof(no), "m%u", (unsigned)n);
        message(no);
        struct wk_buf b = event(no, "stream.delta", "Hello");
        int delta = failing(IM_EVENT, "g", &b, n, &more);
        b = event(no, "stream.close", NULL);
        int end = failing(IM_EVENT, "g", &b, n, &hit);
        more |= hit;
        cl_restart(&c, true);
        state_of(no, text, sizeof(text));
        if (end == WKIM_OK)
            assert_non_null(strstr(text, "\"stream.close\""));
        if (end == WKIM_OK && delta == WKIM_OK)
            assert_non_null(strstr(text, "Hello"));
    }
    assert_false(more);
}

static struct wk_buf sync_request(void)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, WK_LIT("bob"));
    wk_buf_u32(&b, 0);
    return b;
}

static size_t waiting(void)
{
    struct wk_buf b = sync_request();
    struct cl_answer a = cl_do(&c, IM_CMD_SYNC, cl_slot(&c, "bob"), &b);
    size_t n = a.out.n;

    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    return n;
}

static void commands_until_their_acknowledgement(void **state)
{
    bool more = true;
    (void)state;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        bool hit;
        const struct cl_send s = { .from = "ann",
                                   .to = "bob",
                                   .type = WKIM_CHANNEL_PERSON,
                                   .payload = "p",
                                   .flags = WKIM_FLAG_SYNC_ONCE,
                                   .api = true,
                                   .cmd = true };
        struct cl_answer a = cl_send(&c, &s);
        assert_int_equal(a.code, WKIM_OK);
        cl_answer_fini(&a);
        struct wk_buf b = sync_request();
        (void)failing(IM_CMD_SYNC, "bob", &b, n, &more);
        assert_true(waiting() > 0);
        wk_buf_str(&b, WK_LIT("bob"));
        wk_buf_u64(&b, 1000);
        wk_buf_u64(&b, 1);
        int code = failing(IM_CMD_ACK, "bob", &b, n, &hit);
        more |= hit;
        if (code == WKIM_OK)
            assert_int_equal(waiting(), 0);
    }
    assert_false(more);
}

static int setup(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    return 0;
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(deltas_and_their_end),
        T(commands_until_their_acknowledgement),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
