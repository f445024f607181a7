/* The n-th allocation fails, for every n: no crash, no leak, and either the right bytes come out or
 * the session is closed. */
#include "client.h"

static size_t left, live;
static bool armed;

static bool fails(void)
{
    if (!armed)
        return false;
    if (left == 0)
        return true;
    left--;
    return false;
}

static void *t_malloc(size_t n, void *user)
{
    (void)user;
    void *p = fails() ? NULL : malloc(n);
    live += p != NULL;
    return p;
}
static void *t_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    void *p = fails() ? NULL : calloc(count, n);
    live += p != NULL;
    return p;
}
static void *t_realloc(void *p, size_t n, void *user)
{
    (void)user;
    if (fails())
        return NULL;
    live += p == NULL;
    return realloc(p, n);
}
static void t_free(void *p, void *user)
{
    (void)user;
    live -= p != NULL;
    free(p);
}
static void *j_malloc(size_t n) { return t_malloc(n, NULL); }
static void j_free(void *p) { t_free(p, NULL); }

static const wkim_mem counting = { t_malloc, t_calloc, t_realloc, t_free, NULL };

static int setup(void **state)
{
    (void)state;
    wkim_mem_set(&counting);
    json_set_alloc_funcs(j_malloc, j_free);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_set_alloc_funcs(malloc, free);
    wkim_mem_set(NULL);
    return 0;
}

/* Events without a trace of their own, as that would allocate too. */
struct user {
    struct wk_session *s;
    uint64_t acks[16];
    size_t n_acks, closes;
};

static void on_connect(void *u, const struct wk_connect *c, bool json)
{
    (void)c;
    (void)json;
    (void)wk_session_accept(((struct user *)u)->s, 1);
}
static void on_send(void *u, const struct wk_send *m, uint8_t flags, wkim_slice plain, uint64_t ack)
{
    struct user *x = u;
    (void)m;
    (void)flags;
    (void)plain;
    x->acks[x->n_acks++] = ack;
}
static void on_send_refused(void *u, const struct wk_send *m, uint64_t ack)
{
    on_send(u, m, 0, wk_slice(NULL, 0), ack);
}
static void on_close(void *u, int code, const char *text)
{
    (void)code;
    (void)text;
    ((struct user *)u)->closes++;
}

static const struct wk_session_events events = { on_connect, on_send, on_send_refused,
                                                 NULL,       NULL,    on_close };

/* Whole conversation; true when it went to its end without running out of memory. */
static bool conversation(struct wk_session_options *opt, const wkim_slice *inputs, size_t n)
{
    struct user u = { 0 };
    if (wk_session_new(&u.s, opt, &events, &u))
        return false;
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++)
        ok = wk_session_feed(u.s, inputs[i], 0, 0) == WKIM_OK &&
             wk_session_state(u.s) != WK_SESSION_CLOSING;
    for (size_t i = u.n_acks; i-- > 0;) {
        const int rc = wk_session_sendack(u.s, u.acks[i], 1, 2, 1);
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM);
        if (rc)
            assert_int_equal(wk_session_state(u.s), WK_SESSION_CLOSING);
        ok = ok && rc == WKIM_OK;
    }
    static const uint8_t big[3000];
    const struct wk_record r = { .payload = { big, sizeof(big) }, .client_msg_no = WK_LIT("n") };
    const struct wk_event e = { 1, WK_LIT("i"), WK_LIT("t"), { big, sizeof(big) } };
    if (wk_session_state(u.s) == WK_SESSION_OPEN) {
        size_t before = wk_session_out(u.s).n;
        int rc = wk_session_recv(u.s, &r, WK_LIT("f"), WK_LIT("c"), 0);
        assert_true(rc == WKIM_OK || (rc == WKIM_ENOMEM && wk_session_out(u.s).n == before));
        ok = ok && rc == WKIM_OK;
        before = wk_session_out(u.s).n;
        rc = wk_session_event(u.s, &e);
        assert_true(rc == WKIM_OK || (rc == WKIM_ENOMEM && wk_session_out(u.s).n == before));
        ok = ok && rc == WKIM_OK;
        wk_session_disconnect(u.s, 12, WK_LIT("bye"));
    }
    /* Whatever is queued is whole frames. */
    wkim_slice frame;
    size_t frames = 0;
    while (wk_session_next_frame(u.s, &frame))
        frames++;
    assert_true(!ok || frames >= 4);
    assert_true(u.closes <= 1);
    wk_session_free(u.s);
    return ok;
}

static void every_failure(struct wk_session_options *opt, const wkim_slice *inputs, size_t n)
{
    size_t failures = 0;
    const size_t live_before = live;
    for (size_t at = 0;; at++) {
        left = at;
        armed = true;
        const bool ok = conversation(opt, inputs, n);
        const bool ran_out = left == 0;
        armed = false;
        assert_int_equal(live, live_before);
        if (ok && !ran_out)
            break;
        if (!ok)
            failures++;
        assert_true(at < 5000);
    }
    assert_true(failures > 5);
}

static void a_binary_conversation_survives_every_failure(void **state)
{
    (void)state;
    for (int version = 5; version <= 6; version++) {
        struct client c;
        client_init(&c, false, (uint8_t)version);
        struct wk_buf connect = WK_BUF_INIT, rest = WK_BUF_INIT;
        put_connect(&c, &connect);
        put_send(&c, &rest, 1, "one", 0);
        put_send(&c, &rest, 2, "two", 0);
        wk_buf_u8(&rest, 0x70);
        const wkim_slice inputs[] = { wk_slice(connect.p, 10),
                                      wk_slice(connect.p + 10, connect.n - 10),
                                      wk_slice(rest.p, 7), wk_slice(rest.p + 7, rest.n - 7) };
        every_failure(&c.opt, inputs, 4);
        wk_buf_fini(&connect);
        wk_buf_fini(&rest);
        client_fini(&c);
    }
}

static void a_sealed_conversation_survives_every_failure(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    struct wk_buf in = WK_BUF_INIT;
    put_connect(&c, &in);
    for (uint32_t i = 0; i < 3; i++)
        put_send(&c, &in, i, "keys of another connection", 0);
    const wkim_slice inputs[] = { wk_buf_slice(&in) };
    every_failure(&c.opt, inputs, 1);
    wk_buf_fini(&in);
    client_fini(&c);
}

static void a_json_conversation_survives_every_failure(void **state)
{
    (void)state;
    struct client c;
    client_init(&c, true, 5);
    const wkim_slice inputs[] = {
        WK_LIT("{\"method\":\"connect\",\"id\":\"c\",\"par"),
        WK_LIT("ams\":{\"uid\":\"u\xff\"}}"),
        WK_LIT("{\"method\":\"send\",\"id\":\"1\",\"params\":{\"payload\":{\"a\":1},\"topic\":"
               "\"t\"}}"),
        WK_LIT("{\"method\":\"send\",\"id\":\"2\",\"params\":{\"payload\":[1,2,3]}}"),
        WK_LIT("{\"method\":\"nope\",\"id\":\"3\"}{\"method\":\"ping\",\"id\":\"4\"}"),
    };
    every_failure(&c.opt, inputs, sizeof(inputs) / sizeof(inputs[0]));
    client_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_binary_conversation_survives_every_failure, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_sealed_conversation_survives_every_failure, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_json_conversation_survives_every_failure, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
