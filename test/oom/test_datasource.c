/* The n-th allocation fails, for every n, on the way of a question and its answer, and on the way
 * of a SEND that needs them: it is answered all the same, and nothing leaks. */
#include "oom_cluster.h"
#include <wkim/channel.h>
#include "hook/datasource.h"

#define TEXT "[\"ann\",\"bob\",\"c\\u00e9\",\"\",\"ann\"]"

/* ---- the machine ----------------------------------------------------------------------------- */

static struct wk_source_request *out;

static void send(void *user, struct wk_source_request *r)
{
    (void)user;
    out = r;
}

static void answered(void *user, const struct wk_source_question *q)
{
    (void)user, (void)q;
}

static void wake(void *user, uint64_t at_ms)
{
    (void)user, (void)at_ms;
}

static void *ref(void *v)
{
    return v ? im_members_ref(v) : NULL;
}

static void unref(void *v)
{
    im_members_unref(v);
}

static void take_answer(struct wk_source_request *r)
{
    struct wk_buf uids = WK_BUF_INIT;
    struct im_members *m = NULL;

    r->code = wk_source_parse_uids(&uids, WK_LIT(TEXT), &r->n, &r->skipped, r->why);
    if (r->code == WKIM_OK)
        r->code = im_members_build(&m, c.cluster, wk_buf_slice(&uids));
    r->value = m;
    r->bytes = m ? im_members_bytes(m) : 0;
    wk_buf_fini(&uids);
}

static int ask(struct wk_source *s, struct wk_source_known *known)
{
    const struct wk_source_question q = { .cmd = WK_SOURCE_SUBSCRIBERS, .type = 2,
                                          .id = WK_LIT("g") };
    int rc = wk_source_get(s, &q, wk_source_mark(s), 1000, known);

    if (rc != WKIM_EAGAIN)
        return rc;
    take_answer(out);
    wk_source_answer(s, out, 1000);
    return wk_source_get(s, &q, wk_source_mark(s), 1000, known);
}

static void a_question_and_its_answer(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        _Atomic size_t bytes = 0;
        const struct wk_source_options o = { .ops = { send, answered, wake, ref, unref },
                                             .address = "http://h",
                                             .expire_ms = 1000,
                                             .negative_ms = 10,
                                             .timeout_ms = 100,
                                             .out_max = 4,
                                             .bytes_max = 1 << 20,
                                             .bytes = &bytes };
        struct wk_source_known known = { 0 };
        struct wk_source *s;
        oom_fail_at(n);
        int rc = wk_source_new(&s, &o);
        if (rc == WKIM_OK) {
            rc = ask(s, &known);
            assert_int_equal(known.value != NULL, rc == WKIM_OK);
            unref(known.value);
            wk_source_free(s);
        }
        more = oom_hit();
        oom_fail_at(0);
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM || rc == WKIM_EIO);
        assert_int_equal(bytes, 0);
        assert_true(more || rc == WKIM_OK);
    }
    assert_false(more);
}

/* ---- a SEND ---------------------------------------------------------------------------------- */

static bool known; /* the table below has answers */
static uint64_t moment;

static void ask_system(void *user, uint32_t shard)
{
    (void)user, (void)shard;
}

static uint64_t mark(void *user, uint32_t shard)
{
    (void)user, (void)shard;
    return ++moment;
}

static bool peek(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id,
                 struct im_source_known *o)
{
    struct wk_buf b = WK_BUF_INIT;
    (void)user, (void)slot, (void)type, (void)id;

    *o = (struct im_source_known){ 0 };
    if (!known)
        return false;
    if (cmd == IM_SOURCE_SUBSCRIBERS) {
        wk_buf_str(&b, WK_LIT("ann"));
        wk_buf_str(&b, WK_LIT("bob"));
    }
    int rc = b.oom ? WKIM_ENOMEM : im_members_build(&o->members, c.cluster, wk_buf_slice(&b));
    wk_buf_fini(&b);
    return rc == WKIM_OK;
}

static int get(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id, uint64_t since,
               struct im_source_known *o)
{
    (void)since;
    if (peek(user, slot, cmd, type, id, o))
        return WKIM_OK;
    return known ? WKIM_ENOMEM : WKIM_EAGAIN;
}

static void forget(void *user, uint32_t slot, uint8_t type, wkim_slice id)
{
    (void)user, (void)slot, (void)type, (void)id;
}

static void drop(void *user, uint32_t slot)
{
    (void)user, (void)slot;
}

static const struct im_source_options options = { true, true, false, ask_system, mark,
                                                  get,  peek, forget, drop };

static void tell(const char *group)
{
    struct wk_buf b = WK_BUF_INIT;
    struct im_members *nobody = NULL;

    known = true;
    for (uint32_t i = 0; i < c.opt.shards; i++)
        c.shards[i].owner_thread = 0;
    wk_shard_own(&c.shards[cl_shard_index(&c, group)]);
    if (im_members_build(&nobody, c.cluster, wk_buf_slice(&b)) == WKIM_OK)
        im_source_system(c.im, nobody, false);
    else
        im_source_system(c.im, NULL, true);
    im_source_answered(c.im, cl_slot(&c, group), WKIM_CHANNEL_GROUP, wk_str(group));
}

static void a_send_that_waits(void **state)
{
    (void)state;
    bool more = true;

    for (uint64_t n = 1; more && n < ALLOCATIONS_MAX; n++) {
        char group[24];
        struct cl_call call;
        snprintf(group, sizeof(group), "g%u", (unsigned)n);
        const struct cl_send s = { .from = "ann", .type = WKIM_CHANNEL_GROUP, .to = group };
        known = false;
        cl_send_begin(&c, &call, &s);
        oom_fail_at(n);
        for (uint32_t i = 0; i < c.opt.shards; i++)
            (void)cl_poll(&c, i);
        tell(group);
        struct cl_answer a = cl_take(&c, &call);
        cl_settle(&c);
        more = oom_hit();
        oom_fail_at(0);
        cl_answer_fini(&a);
        assert_true(a.code == WKIM_OK || a.code == WKIM_EDENIED || a.code == WKIM_ENOMEM ||
                    a.code == WKIM_EIO || a.code == WKIM_EBUSY);
        if (!more)
            assert_int_equal(a.code, WKIM_OK);
        if (wk_cluster_ready(c.cluster) != c.opt.slots) {
            cl_restart(&c, true);
            tell(group);
        }
        repair();
        assert_int_equal(im_source_counts(c.im).waiting, 0);
        assert_int_equal(cl_send(&c, &s).reason, WKIM_REASON_SUCCESS);
        cl_advance(&c, 2000);
        assert_true(cl_conversation(&c, "bob", WKIM_CHANNEL_GROUP, group).found);
    }
    assert_false(more);
}

static int setup(void **state)
{
    (void)state;
    cl_new(&c, &(struct cl_options){ .shards = 1, .slots = 2, .source = &options });
    return 0;
}

int main(void)
{
    oom_install();
    const struct CMUnitTest tests[] = {
        T(a_question_and_its_answer),
        T(a_send_that_waits),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
