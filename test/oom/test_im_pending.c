/* The n-th allocation fails while a message or a connection leaves its rows: what was answered has
 * them, and each connection that was told of is told of twice. */
#include "oom_cluster.h"
#include <stdlib.h>

static unsigned uid_no;
static unsigned listed, lost; /* lists that came, lists that are to be asked for again */

static uint32_t on_offline_row(void *user, uint32_t slot, uint64_t id)
{
    (void)user, (void)slot, (void)id;
    return 1;
}

static void on_offline(void *user, uint32_t slot, const struct im_offline_list *l)
{
    (void)user, (void)slot;
    lost += l->lost;
    listed += !l->lost && l->uids.n;
}

static void tune(struct cl *cl, struct im_options *o)
{
    (void)cl;
    o->notify = o->offline = o->status = true;
    o->on_offline_row = on_offline_row;
    o->on_offline = on_offline;
}

static void drop_rows(uint32_t slot, enum im_pending what, uint16_t op, struct wk_buf *texts)
{
    struct wk_buf out = WK_BUF_INIT, ids = WK_BUF_INIT;
    bool more;

    assert_int_equal(im_pending_read(c.im, what, slot, 0, 1000, 1 << 20, &out, &more), WKIM_OK);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&out));
    while (wk_cursor_left(&cur)) {
        wk_buf_u64(&ids, wk_cursor_u64(&cur));
        struct wk_cursor value = wk_cursor(wk_cursor_str(&cur));
        (void)wk_cursor_u64(&value);
        wk_buf_str(texts, wk_cursor_rest(&value));
    }
    assert_int_equal(cl_do_code(&c, op, slot, &ids), WKIM_OK);
    wk_buf_fini(&out);
}

/* How often the texts say that a connection of uid came (1) or went (0). */
static unsigned said(const struct wk_buf *texts, const char *uid, int online)
{
    struct wk_cursor cur = wk_cursor(wk_buf_slice(texts));
    char start[40];
    unsigned n = 0;

    size_t len = (size_t)snprintf(start, sizeof(start), "%s-0-%d-", uid, online);
    while (wk_cursor_left(&cur)) {
        wkim_slice s = wk_cursor_str(&cur);
        n += s.n > len && memcmp(s.p, start, len) == 0;
    }
    return n;
}

static void log_in_and_out(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 2; more && n < ALLOCATIONS_MAX; n++) {
        struct wk_buf texts = WK_BUF_INIT;
        char uid[24];
        struct cl_conn conn;
        snprintf(uid, sizeof(uid), "l%u", ++uid_no);
        oom_fail_at(n + 1);
        int reason = cl_login(&c, &conn, uid, "d", 0, NULL);
        assert_int_equal(conn.im.registered, reason == WKIM_REASON_SUCCESS);
        cl_logout(&conn); /* the failure may come here, too */
        cl_settle(&c);
        more = oom_hit();
        oom_fail_at(0);
        repair();
        drop_rows(cl_slot(&c, uid), IM_PENDING_STATUS, IM_STATUS_DONE, &texts);
        if (reason == WKIM_REASON_SUCCESS)
            assert_int_equal(said(&texts, uid, 1), 1);
        assert_int_equal(said(&texts, uid, 1), said(&texts, uid, 0));
        wk_buf_fini(&texts);
    }
    assert_false(more);
}

static void send_to_somebody_who_is_away(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char from[24], to[24];
        struct cl_call call;
        struct wk_buf texts = WK_BUF_INIT;
        snprintf(from, sizeof(from), "a%u", ++uid_no);
        snprintf(to, sizeof(to), "b%u", uid_no);
        const struct cl_send s = { .from = from, .type = 1, .to = to, .payload = "hello" };
        listed = lost = 0;
        cl_send_begin(&c, &call, &s);
        const int code = take_failing_code(&call, n, &more, WKIM_EDENIED);
        if (code == WKIM_OK)
            assert_int_equal(listed + lost, 1);
        repair();
        uint64_t rows = 0;
        for (uint32_t i = 0; i < c.opt.slots; i++) {
            uint64_t here = im_pending_count(c.im, IM_PENDING_OFFLINE, i);
            assert_int_equal(im_pending_count(c.im, IM_PENDING_NOTIFY, i), here);
            rows += here;
            if (here) {
                drop_rows(i, IM_PENDING_OFFLINE, IM_OFFLINE_DONE, &texts);
                drop_rows(i, IM_PENDING_NOTIFY, IM_NOTIFY_DONE, &texts);
            }
        }
        assert_true(rows == 1 || (rows == 0 && code != WKIM_OK));
        wk_buf_fini(&texts);
    }
    assert_false(more);
}

static int setup(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .shards = 1, .slots = 2, .tune = tune });
    return 0;
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(log_in_and_out),
        T(send_to_somebody_who_is_away),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
