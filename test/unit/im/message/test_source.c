/* SENDs of a node with a data source: who waits for what, in which order they go on, what becomes
 * of the members.  The data source is a table in this file. */
#include "../im_test.h"
#include <stdlib.h>

#define ENTRIES 64
#define SUBS IM_SOURCE_SUBSCRIBERS

struct entry {
    int cmd;
    char id[32];
    int rc;          /* WKIM_EAGAIN: not answered yet */
    uint32_t flags;
    struct im_members *m;
};

static struct {
    struct entry e[ENTRIES];
    size_t n;
    uint64_t moment;
    unsigned system_asked, asked, forgotten;
    char last_forgotten[32];
    bool no_peek;
} src;
static struct entry *entry(int cmd, wkim_slice id)
{
    for (size_t i = 0; i < src.n; i++) {
        if (src.e[i].cmd == cmd && wk_slice_eq(wk_str(src.e[i].id), id))
            return &src.e[i];
    }
    assert_true(src.n < ENTRIES);
    struct entry *e = &src.e[src.n++];
    *e = (struct entry){ .cmd = cmd, .rc = WKIM_EAGAIN };
    snprintf(e->id, sizeof(e->id), "%.*s", (int)id.n, (const char *)id.p);
    return e;
}

static void ask_system(void *user, uint32_t shard)
{
    (void)user, (void)shard;
    src.system_asked++;
}

static uint64_t mark(void *user, uint32_t shard)
{
    (void)user, (void)shard;
    return ++src.moment;
}

static int get(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id, uint64_t since,
               struct im_source_known *out)
{
    struct entry *e = entry(cmd, id);
    (void)user, (void)slot, (void)type, (void)since;

    src.asked++;
    *out = (struct im_source_known){ e->m ? im_members_ref(e->m) : NULL, e->flags };
    if (e->rc != WKIM_OK) {
        im_members_unref(out->members);
        out->members = NULL;
    }
    return e->rc;
}

static bool peek(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id,
                 struct im_source_known *out)
{
    struct entry *e = entry(cmd, id);
    (void)user, (void)slot, (void)type;

    *out = (struct im_source_known){ e->m ? im_members_ref(e->m) : NULL, e->flags };
    if (src.no_peek) {
        im_members_unref(out->members);
        out->members = NULL;
    }
    return out->members != NULL;
}

static void forget(void *user, uint32_t slot, uint8_t type, wkim_slice id)
{
    (void)user, (void)slot, (void)type;
    src.forgotten++;
    snprintf(src.last_forgotten, sizeof(src.last_forgotten), "%.*s", (int)id.n, (const char *)id.p);
}

static void drop(void *user, uint32_t slot)
{
    (void)user, (void)slot;
}

static const struct im_source_options options = { true, true, true, ask_system, mark,
                                                  get,  peek, forget, drop };

static struct im_members *members(const char *uids)
{
    struct wk_buf b = WK_BUF_INIT;
    struct im_members *m;

    while (*uids) {
        size_t n = strcspn(uids, " ");
        wk_buf_str(&b, wk_slice(uids, n));
        uids += n + (uids[n] == ' ');
    }
    assert_int_equal(im_members_build(&m, c.cluster, wk_buf_slice(&b)), WKIM_OK);
    wk_buf_fini(&b);
    return m;
}

/* Posts run; SENDs may go on waiting, which cl_settle would not allow. */
static void spin(void)
{
    for (int i = 0; i < 20; i++) {
        for (uint32_t s = 0; s < c.opt.shards; s++)
            cl_poll(&c, s);
    }
}

/* The answer is known from now on; who waits is not told yet. */
static void set(int cmd, const char *id, int rc, const char *uids, uint32_t flags)
{
    struct entry *e = entry(cmd, wk_str(id));

    im_members_unref(e->m);
    e->m = uids ? members(uids) : NULL;
    e->rc = rc;
    e->flags = flags;
}

static void tell(uint8_t type, const char *id)
{
    uint32_t shard = cl_shard_index(&c, id);

    for (uint32_t i = 0; i < c.opt.shards; i++)
        c.shards[i].owner_thread = 0;
    wk_shard_own(&c.shards[shard]);
    im_source_answered(c.im, cl_slot(&c, id), type, wk_str(id));
    spin();
}

static void tell_system(const char *uids, bool slow)
{
    im_source_system(c.im, uids ? members(uids) : NULL, slow);
    spin();
}

/* Everything about a group at once. */
static void group(const char *id, const char *subs, const char *deny, const char *allow,
                  uint32_t flags)
{
    set(IM_SOURCE_SUBSCRIBERS, id, WKIM_OK, subs, 0);
    set(IM_SOURCE_DENY, id, WKIM_OK, deny, 0);
    set(IM_SOURCE_ALLOW, id, WKIM_OK, allow, 0);
    set(IM_SOURCE_INFO, id, WKIM_OK, NULL, flags);
}

static void wipe_source(void)
{
    for (size_t i = 0; i < src.n; i++)
        im_members_unref(src.e[i].m);
    memset(&src, 0, sizeof(src));
}

static int setup(void **state)
{
    (void)state;
    memset(&src, 0, sizeof(src));
    cl_new(&c, &(struct cl_options){ .source = &options });
    return 0;
}

static int setup_told(void **state)
{
    int rc = setup(state);
    tell_system("robot", false);
    return rc;
}

static int teardown(void **state)
{
    (void)state;
    cl_free(&c);
    wipe_source();
    return 0;
}

static int send_to(const char *from, const char *to)
{
    return cl_text(&c, from, GROUP, to, "x", NULL);
}

static void begin(struct cl_call *call, const char *from, uint8_t type, const char *to)
{
    cl_send_begin(&c, call, &(struct cl_send){ .from = from, .type = type, .to = to });
    spin();
}

static int reason_of(struct cl_call *call)
{
    struct cl_answer a = cl_take(&c, call);
    cl_answer_fini(&a);
    return a.reason;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void sends_of_a_channel_wait_and_keep_their_order(void **state)
{
    (void)state;
    struct cl_call calls[5], other;

    for (int i = 0; i < 5; i++)
        begin(&calls[i], i == 3 ? "eve" : "ann", GROUP, "g");
    group("h", "ann", "", "", 0);
    begin(&other, "ann", GROUP, "h");
    assert_int_equal(reason_of(&other), OK); /* nobody else is held up */
    for (int i = 0; i < 5; i++)
        assert_false(calls[i].done);
    assert_int_equal(im_source_counts(c.im).waiting, 5);
    set(SUBS, "g", WKIM_OK, "ann", 0);
    tell(GROUP, "g");
    assert_false(calls[0].done); /* the others are missing */
    group("g", "ann", "", "", 0);
    tell(GROUP, "g");
    for (uint64_t i = 0, seq = 1; i < 5; i++) {
        struct cl_answer a = cl_take(&c, &calls[i]);
        assert_int_equal(a.reason, i == 3 ? WKIM_REASON_NOT_SUBSCRIBER : OK);
        assert_int_equal(a.number[1], i == 3 ? 0 : seq++);
        cl_answer_fini(&a);
    }
    assert_int_equal(im_source_counts(c.im).waiting, 0);
}

static void who_comes_later_does_not_overtake(void **state)
{
    (void)state;
    struct cl_call first, second;

    begin(&first, "ann", GROUP, "g");
    group("g", "ann", "", "", 0); /* known, but the first was not told */
    begin(&second, "ann", GROUP, "g");
    assert_false(second.done);
    tell(GROUP, "g");
    struct cl_answer a = cl_take(&c, &first), b = cl_take(&c, &second);
    assert_int_equal(a.number[1], 1);
    assert_int_equal(b.number[1], 2);
    cl_answer_fini(&a);
    cl_answer_fini(&b);
}

static void too_many_waiting_sends_are_refused_and_counted(void **state)
{
    (void)state;
    enum { N = 10001 };
    struct cl_call *calls = calloc(N, sizeof(*calls));

    for (int i = 0; i < N; i++)
        cl_send_begin(&c, &calls[i], &(struct cl_send){ .from = "ann", .type = GROUP, .to = "g" });
    assert_int_equal(reason_of(&calls[N - 1]), WKIM_REASON_SYSTEM_ERROR);
    assert_int_equal(im_source_counts(c.im).refused, 1);
    set(SUBS, "g", WKIM_EIO, NULL, 0);
    set(IM_SOURCE_DENY, "g", WKIM_EIO, NULL, 0);
    set(IM_SOURCE_ALLOW, "g", WKIM_EIO, NULL, 0);
    set(IM_SOURCE_INFO, "g", WKIM_EIO, NULL, 0);
    tell(GROUP, "g");
    for (int i = 0; i < N - 1; i++)
        assert_int_equal(reason_of(&calls[i]), WKIM_REASON_SYSTEM_ERROR);
    assert_int_equal(im_source_counts(c.im).waiting, 0);
    free(calls);
}

static void a_slot_that_closes_answers_who_waits(void **state)
{
    (void)state;
    struct cl_call call;

    begin(&call, "ann", GROUP, "g");
    cl_crash(&c);
    assert_true(call.done);
    assert_int_equal(call.call.code, WKIM_ENOTLEADER);
    wk_call_fini(&call.call);
    cl_up(&c);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static void lists_and_flags_of_the_source_decide_first_hit_first(void **state)
{
    (void)state;
    group("g", "ann bob bad", "bad", "ann", 0);
    group("banned", "ann", "", "", IM_SOURCE_BAN | IM_SOURCE_DISBAND);
    group("over", "ann", "", "", IM_SOURCE_DISBAND);
    assert_int_equal(send_to("ann", "g"), OK);
    assert_int_equal(send_to("bad", "g"), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(send_to("eve", "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(send_to("bob", "g"), WKIM_REASON_NOT_IN_ALLOWLIST);
    assert_int_equal(send_to("robot", "g"), OK);
    assert_int_equal(send_to("robot", "banned"), WKIM_REASON_BAN);
    assert_int_equal(send_to("ann", "over"), WKIM_REASON_DISBAND);
    /* the stored lists do not count, the operator's ban does */
    add_members("g", "eve");
    assert_int_equal(send_to("eve", "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(cl_flags(&c, GROUP, "g", WKIM_CHANNEL_BAN), WKIM_OK);
    assert_int_equal(send_to("ann", "g"), WKIM_REASON_BAN);
}

static void what_cannot_be_known_is_a_system_error(void **state)
{
    (void)state;
    group("g", "ann", "", "", 0);
    set(IM_SOURCE_ALLOW, "g", WKIM_EIO, NULL, 0);
    assert_int_equal(send_to("ann", "g"), WKIM_REASON_SYSTEM_ERROR);
    assert_int_equal(send_to("eve", "g"), WKIM_REASON_NOT_SUBSCRIBER); /* decided before */
    assert_int_equal(send_to("robot", "g"), OK);                       /* needs no list */
    set(SUBS, "g", WKIM_EIO, NULL, 0);
    assert_int_equal(send_to("robot", "g"), WKIM_REASON_SYSTEM_ERROR); /* but receivers */
    group("h", "ann", "", "", 0);
    set(IM_SOURCE_INFO, "h", WKIM_EIO, NULL, 0);
    assert_int_equal(send_to("ann", "h"), WKIM_REASON_SYSTEM_ERROR);
}

static void a_person_has_the_lists_of_the_receiver(void **state)
{
    (void)state;
    set(IM_SOURCE_DENY, "bob", WKIM_OK, "ann", 0);
    set(IM_SOURCE_DENY, "cat", WKIM_OK, "", 0);
    assert_int_equal(cl_text(&c, "ann", PERSON, "bob", "x", NULL), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(cl_text(&c, "ann", PERSON, "cat", "x", NULL), OK);
    for (size_t i = 0; i < src.n; i++)
        assert_int_equal(src.e[i].cmd, IM_SOURCE_DENY); /* nothing else is asked */
}

static void named_receivers_and_agents_ask_nobody(void **state)
{
    (void)state;
    const char *const list[] = { "u1", "u2", NULL };

    assert_int_equal(
        cl_send(&c, &(struct cl_send){ .from = "____system", .type = WKIM_CHANNEL_TEMP,
                                       .to = "123", .api = true, .list = list, .cmd = true })
            .reason,
        OK);
    assert_int_equal(cl_text(&c, "ann", WKIM_CHANNEL_AGENT, "bot", "x", NULL), OK);
    assert_int_equal(src.asked, 0);
}

static void every_write_to_the_channel_is_told(void **state)
{
    (void)state;
    group("g", "ann", "", "", 0);
    assert_int_equal(send_to("ann", "g"), OK);
    assert_int_equal(src.forgotten, 0);
    add_members("g", "x");
    assert_int_equal(cl_flags(&c, GROUP, "g", 0), WKIM_OK);
    assert_int_equal(cl_list(&c, PERSON, "bob", WK_LIST_DENY, WKIM_LIST_ADD, "z"), WKIM_OK);
    assert_int_equal(src.forgotten, 3);
    assert_string_equal(src.last_forgotten, "bob");
}

/* ---- system accounts ------------------------------------------------------------------------- */

static void system_accounts_are_asked_at_the_first_check(void **state)
{
    (void)state;
    struct cl_call a, b;

    set(IM_SOURCE_DENY, "bob", WKIM_OK, "robot", 0);
    set(IM_SOURCE_DENY, "cat", WKIM_OK, "robot", 0);
    assert_int_equal(src.system_asked, 0);
    begin(&a, "robot", PERSON, "bob");
    begin(&b, "robot", PERSON, "cat");
    assert_false(a.done || b.done);
    assert_in_range(src.system_asked, 1, 2); /* at most once per shard; the node joins them */
    tell_system("robot", false);
    assert_int_equal(reason_of(&a), OK);
    assert_int_equal(reason_of(&b), OK);
    unsigned before = src.system_asked;
    assert_int_equal(cl_text(&c, "ann", PERSON, "robot", "x", NULL), OK);
    assert_int_equal(src.system_asked, before);
}

static void without_an_answer_the_sender_is_an_ordinary_one_and_the_next_check_asks(void **state)
{
    (void)state;
    struct cl_call a;

    set(IM_SOURCE_DENY, "bob", WKIM_OK, "robot", 0);
    for (int i = 1; i <= 3; i++) {
        begin(&a, "robot", PERSON, "bob");
        assert_int_equal(src.system_asked, i);
        tell_system(NULL, false);
        assert_int_equal(reason_of(&a), WKIM_REASON_IN_DENYLIST);
    }
    begin(&a, "robot", PERSON, "bob");
    tell_system(NULL, true); /* it took long: the next ones do not wait, but ask */
    assert_int_equal(reason_of(&a), WKIM_REASON_IN_DENYLIST);
    begin(&a, "robot", PERSON, "bob");
    assert_int_equal(reason_of(&a), WKIM_REASON_IN_DENYLIST);
    assert_int_equal(src.system_asked, 5);
    tell_system("robot", false);
    assert_int_equal(cl_text(&c, "robot", PERSON, "bob", "x", NULL), OK);
}

static void changes_by_the_api_go_on_top_of_the_answer(void **state)
{
    (void)state;
    group("g", "ann", "", "", 0);
    assert_int_equal(cl_system(&c, true, "new"), WKIM_OK);
    assert_int_equal(cl_system(&c, false, "gone"), WKIM_OK);
    tell_system("robot gone", false);
    assert_int_equal(send_to("new", "g"), OK);
    assert_int_equal(send_to("gone", "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(send_to("robot", "g"), OK);
    assert_int_equal(cl_system(&c, false, "robot"), WKIM_OK);
    assert_int_equal(send_to("robot", "g"), WKIM_REASON_NOT_SUBSCRIBER);
    assert_int_equal(cl_system(&c, true, "robot gone"), WKIM_OK);
    assert_int_equal(send_to("robot", "g"), OK);
    assert_int_equal(send_to("gone", "g"), OK);
    cl_restart(&c, false); /* stored ones are not loaded */
    tell_system("", false);
    assert_int_equal(send_to("robot", "g"), WKIM_REASON_NOT_SUBSCRIBER);
}

/* ---- members --------------------------------------------------------------------------------- */

static void members_of_the_source_get_the_message_and_a_conversation(void **state)
{
    (void)state;
    struct cl_conn bob;

    assert_int_equal(cl_login(&c, &bob, "bob", "d", 0, NULL), OK);
    group("g", "ann bob", "", "", 0);
    assert_int_equal(send_to("ann", "g"), OK);
    cl_settle(&c);
    assert_int_equal(bob.n_pushes, 1);
    assert_int_equal(cl_conversation(&c, "bob", GROUP, "g").unread, 1);
    assert_int_equal(cl_conversations(&c, "ann"), 1);
    group("g", "ann cat", "", "", 0); /* bob left, cat came */
    assert_int_equal(send_to("ann", "g"), OK);
    cl_settle(&c);
    assert_int_equal(bob.n_pushes, 1);
    assert_int_equal(cl_conversations(&c, "bob"), 0);
    assert_int_equal(cl_conversation(&c, "cat", GROUP, "g").unread, 1);
    group("g", "", "", "", 0); /* a slip: nobody's position is dropped for it */
    assert_int_equal(send_to("robot", "g"), OK);
    assert_int_equal(cl_conversations(&c, "cat"), 1);
    cl_logout(&bob);
}

static void large_channels_keep_no_conversations(void **state)
{
    (void)state;
    group("huge", "ann bob", "", "", IM_SOURCE_LARGE);
    assert_int_equal(send_to("ann", "huge"), OK);
    assert_int_equal(cl_conversations(&c, "bob"), 0);
    struct wk_buf all = WK_BUF_INIT;
    char uid[16];
    group("many", "", "", "", 0);
    for (int i = 0; i < 100001; i++) {
        snprintf(uid, sizeof(uid), "u%d", i);
        wk_buf_str(&all, wk_str(uid));
    }
    struct entry *e = entry(SUBS, wk_str("many"));
    im_members_unref(e->m);
    assert_int_equal(im_members_build(&e->m, c.cluster, wk_buf_slice(&all)), WKIM_OK);
    wk_buf_fini(&all);
    assert_int_equal(send_to("u5", "many"), OK);
    assert_int_equal(cl_conversations(&c, "u7"), 0);
}

static void what_is_written_is_the_same_when_the_log_is_applied_again(void **state)
{
    (void)state;
    const struct cl_send cmd = { .from = "ann", .to = "g", .type = GROUP, .cmd = true,
                                 .api = true };

    group("g", "ann bob", "", "", 0);
    assert_int_equal(send_to("ann", "g"), OK);
    assert_int_equal(cl_send(&c, &cmd).reason, OK);
    group("g", "ann cat", "", "", 0);
    assert_int_equal(cl_send(&c, &cmd).reason, OK);
    cl_settle(&c);
    uint64_t before = cl_hash(&c);
    wipe_source(); /* and nobody is asked for it */
    cl_restart(&c, true);
    assert_int_equal(cl_hash(&c), before);
    assert_int_equal(src.asked, 0);
}

/* Memory was short: between the check and the delivery the answer was dropped. */
static void receivers_on_record_serve_when_the_answer_is_gone(void **state)
{
    (void)state;
    struct cl_conn bob;

    group("g", "ann bob", "", "", 0);
    assert_int_equal(send_to("ann", "g"), OK);
    assert_int_equal(cl_login(&c, &bob, "bob", "d", 0, NULL), OK);
    src.no_peek = true;
    assert_int_equal(send_to("ann", "g"), OK);
    cl_settle(&c);
    assert_int_equal(bob.n_pushes, 1);
    group("h", "ann bob", "", "", IM_SOURCE_LARGE); /* not on record */
    assert_int_equal(send_to("ann", "h"), OK);
    cl_settle(&c);
    assert_int_equal(bob.n_pushes, 1);
    assert_int_equal(im_source_counts(c.im).lost, 1);
    cl_logout(&bob);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TOLD(f) cmocka_unit_test_setup_teardown(f, setup_told, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOLD(sends_of_a_channel_wait_and_keep_their_order),
        TOLD(who_comes_later_does_not_overtake),
        TOLD(too_many_waiting_sends_are_refused_and_counted),
        TOLD(a_slot_that_closes_answers_who_waits),
        TOLD(lists_and_flags_of_the_source_decide_first_hit_first),
        TOLD(what_cannot_be_known_is_a_system_error),
        TOLD(a_person_has_the_lists_of_the_receiver),
        TOLD(named_receivers_and_agents_ask_nobody),
        TOLD(every_write_to_the_channel_is_told),
        T(system_accounts_are_asked_at_the_first_check),
        T(without_an_answer_the_sender_is_an_ordinary_one_and_the_next_check_asks),
        T(changes_by_the_api_go_on_top_of_the_answer),
        TOLD(members_of_the_source_get_the_message_and_a_conversation),
        TOLD(large_channels_keep_no_conversations),
        TOLD(what_is_written_is_the_same_when_the_log_is_applied_again),
        TOLD(receivers_on_record_serve_when_the_answer_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
