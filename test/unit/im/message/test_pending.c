/* Rows of what webhooks wait for: messages, their receivers, connections; over restarts. */
#include "../im_test.h"
#include <stdlib.h>

static struct cl_conn conns[4];
static bool later;          /* nobody wants receivers now */
static unsigned told[IM_PENDINGS];
static char lists[4096];    /* "seq:uid,uid " in the order in which they came */
static uint64_t last_id;
static unsigned led; /* slots, so far */
static uint32_t last_slot;

static void on_pending(void *user, uint32_t slot, enum im_pending what)
{
    (void)user, (void)slot;
    told[what]++;
}

static void on_lead(void *user, uint32_t slot)
{
    (void)user, (void)slot;
    led++;
}

static uint32_t on_offline_row(void *user, uint32_t slot, uint64_t id)
{
    (void)user;
    last_slot = slot;
    last_id = id;
    return later ? 0 : 7;
}

static void on_offline(void *user, uint32_t slot, const struct im_offline_list *l)
{
    size_t n = strlen(lists);
    struct wk_cursor cur = wk_cursor(l->uids);
    (void)user, (void)slot;

    assert_false(l->lost);
    n += (size_t)snprintf(lists + n, sizeof(lists) - n, "%s%llu:", l->row.ticket ? "" : "?",
                          l->record ? (unsigned long long)l->record->message_seq : 0);
    for (bool first = true; wk_cursor_left(&cur); first = false) {
        wkim_slice uid = wk_cursor_str(&cur);
        n += (size_t)snprintf(lists + n, sizeof(lists) - n, "%s%.*s", first ? "" : ",", (int)uid.n,
                              (const char *)uid.p);
    }
    snprintf(lists + n, sizeof(lists) - n, " ");
}

static void tune(struct cl *cl, struct im_options *o)
{
    (void)cl;
    o->notify = o->offline = o->status = true;
    o->on_pending = on_pending;
    o->on_lead = on_lead;
    o->on_offline_row = on_offline_row;
    o->on_offline = on_offline;
}

static int setup(void **state)
{
    (void)state;
    memset(conns, 0, sizeof(conns));
    memset(told, 0, sizeof(told));
    lists[0] = 0;
    later = false;
    cl_new(&c, &(struct cl_options){ .token_auth = true, .tune = tune });
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        if (conns[i].c)
            cl_logout(&conns[i]);
    }
    cl_free(&c);
    return 0;
}

static void enter(int i, const char *uid, uint8_t flag, uint8_t level)
{
    assert_int_equal(cl_token(&c, uid, flag, level, "t"), WKIM_OK);
    assert_int_equal(cl_login(&c, &conns[i], uid, "d", flag, "t"), OK);
}

static uint64_t count(enum im_pending what)
{
    uint64_t n = 0;
    for (uint32_t s = 0; s < c.opt.slots; s++)
        n += im_pending_count(c.im, what, s);
    return n;
}

static void done(uint16_t op, uint32_t slot, uint64_t id)
{
    struct wk_buf b = WK_BUF_INIT;
    wk_buf_u64(&b, id);
    assert_int_equal(cl_do_code(&c, op, slot, &b), WKIM_OK);
}

/* Texts of the status queue of uid's slot, each followed by a blank; the number of a connection
 * counts from the first of the list. */
static const char *statuses(const char *uid)
{
    static char text[4096];
    struct wk_buf out = WK_BUF_INIT;
    unsigned long long first = 0;
    size_t n = 0;
    bool more;

    text[0] = 0;
    assert_int_equal(im_pending_read(c.im, IM_PENDING_STATUS, cl_slot(&c, uid), 0, 100, 1 << 20,
                                     &out, &more),
                     WKIM_OK);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&out));
    while (wk_cursor_left(&cur)) {
        char one[128], name[64];
        unsigned flag, on, device, all;
        unsigned long long id;
        (void)wk_cursor_u64(&cur);
        struct wk_cursor value = wk_cursor(wk_cursor_str(&cur));
        (void)wk_cursor_u64(&value);
        wkim_slice s = wk_cursor_rest(&value);
        snprintf(one, sizeof(one), "%.*s", (int)s.n, (const char *)s.p);
        assert_int_equal(
            sscanf(one, "%63[^-]-%u-%u-%llu-%u-%u", name, &flag, &on, &id, &device, &all), 6);
        first = first ? first : id;
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s-%u-%u-#%llu-%u-%u ", name, flag, on,
                              id - first, device, all);
    }
    wk_buf_fini(&out);
    return text;
}

/* ---- messages -------------------------------------------------------------------------------- */

static void a_stored_message_leaves_a_row_of_each_queue(void **state)
{
    (void)state;
    assert_int_equal(cl_text(&c, "a", PERSON, "b", "hi", NULL), OK);
    cl_settle(&c);
    assert_int_equal(count(IM_PENDING_NOTIFY), 1);
    assert_int_equal(count(IM_PENDING_OFFLINE), 1);
    assert_int_equal(told[IM_PENDING_NOTIFY], 1);
    assert_string_equal(lists, "1:b ");
    cl_restart(&c, true);
    assert_int_equal(count(IM_PENDING_OFFLINE), 1);
    done(IM_NOTIFY_DONE, last_slot, last_id);
    assert_int_equal(count(IM_PENDING_NOTIFY), 0);
    done(IM_OFFLINE_DONE, last_slot, last_id);
    done(IM_OFFLINE_DONE, last_slot, last_id); /* once more does no harm */
    assert_int_equal(count(IM_PENDING_OFFLINE), 0);
}

static void a_message_that_is_not_stored_has_a_list_without_a_row(void **state)
{
    (void)state;
    struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "a",
                                                        .type = PERSON,
                                                        .to = "b",
                                                        .payload = "x",
                                                        .flags = WKIM_FLAG_NO_PERSIST });
    cl_answer_fini(&a);
    cl_settle(&c);
    assert_int_equal(count(IM_PENDING_OFFLINE) + count(IM_PENDING_NOTIFY), 0);
    assert_string_equal(lists, "?0:b ");
}

static void who_has_an_online_master_device_is_not_away(void **state)
{
    (void)state;
    add_members("g", "a b c d");
    enter(0, "b", 0, WKIM_DEVICE_MASTER);
    enter(1, "c", 1, WKIM_DEVICE_SLAVE);
    assert_int_equal(cl_text(&c, "a", GROUP, "g", "hi", NULL), OK);
    cl_settle(&c);
    assert_true(strstr(lists, "1:") == lists && !strchr(lists, 'b') && strchr(lists, 'c') &&
                strchr(lists, 'd') && !strchr(lists, 'a'));
    enter(2, "c", 0, WKIM_DEVICE_MASTER);
    enter(3, "d", 0, WKIM_DEVICE_MASTER);
    lists[0] = 0;
    assert_int_equal(cl_text(&c, "a", GROUP, "g", "hi", NULL), OK);
    cl_settle(&c);
    assert_string_equal(lists, "2: "); /* nobody: the row can go */
}

/* Rows of the offline queue of a slot, asked for again. */
static unsigned ask_again(uint32_t slot)
{
    struct wk_buf out = WK_BUF_INIT;
    unsigned n = 0;
    bool more;

    assert_int_equal(
        im_pending_read(c.im, IM_PENDING_OFFLINE, slot, 0, 100, 1 << 20, &out, &more), WKIM_OK);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&out));
    for (; wk_cursor_left(&cur); n++) {
        struct im_offline_row row = { .ticket = 9, .id = wk_cursor_u64(&cur) };
        wkim_slice value = wk_cursor_str(&cur);
        if (!value.n)
            continue;
        wk_shard_own(wk_cluster_shard_of(c.cluster, slot));
        assert_int_equal(im_offline_again(c.im, slot, &row, value), WKIM_OK);
    }
    wk_buf_fini(&out);
    cl_settle(&c);
    return n;
}

static void receivers_are_looked_up_again_after_a_crash(void **state)
{
    (void)state;
    later = true;
    add_members("g", "a b c");
    for (int i = 0; i < 3; i++)
        assert_int_equal(cl_text(&c, "a", GROUP, "g", "hi", NULL), OK);
    assert_string_equal(lists, "");
    cl_crash(&c);
    cl_up(&c);
    enter(0, "b", 0, WKIM_DEVICE_MASTER);
    assert_int_equal(ask_again(cl_slot(&c, "g")), 3);
    assert_string_equal(lists, "1:c 2:c 3:c ");
    assert_int_equal(conns[0].n_pushes, 0); /* nothing is delivered a second time */
}

static void receivers_whose_slot_is_not_open_yet_are_away(void **state)
{
    char uid[16], expected[64];
    struct wk_buf pair = WK_BUF_INIT;
    (void)state;
    later = true;
    /* The messages of the pair live on the first shard, the receiver on the second. */
    for (unsigned i = 0;; i++) {
        cl_name_on(&c, uid, sizeof(uid), "u", 1, i);
        wk_buf_clear(&pair);
        im_stored_id(&pair, PERSON, wk_str(uid), wk_str("a"));
        if (wk_cluster_slot_of(c.cluster, wk_buf_slice(&pair)) % c.opt.shards == 0)
            break;
    }
    wk_buf_fini(&pair);
    assert_int_equal(cl_text(&c, "a", PERSON, uid, "hi", NULL), OK);
    cl_down(&c, true);
    led = 0;
    assert_int_equal(cl_try_up(&c), WKIM_OK);
    while (led < c.opt.slots / c.opt.shards) /* all of the first shard, none of the second */
        (void)cl_poll(&c, 0);
    assert_int_equal(ask_again(last_slot), 1);
    snprintf(expected, sizeof(expected), "1:%s ", uid);
    assert_string_equal(lists, expected);
}

static void receivers_that_the_sender_named_are_in_the_row(void **state)
{
    static const char *const named[] = { "x", "y", "x", NULL };
    (void)state;
    later = true;
    struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "a",
                                                        .type = WKIM_CHANNEL_TEMP,
                                                        .to = "t",
                                                        .payload = "x",
                                                        .api = true,
                                                        .cmd = true,
                                                        .list = named });
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
    cl_restart(&c, true);
    assert_int_equal(ask_again(last_slot), 1);
    assert_string_equal(lists, "1:x,y ");
}

static void a_row_whose_message_is_gone_does_not_stop_the_others(void **state)
{
    struct wk_txn *txn;
    (void)state;
    later = true;
    add_members("g", "a b");
    for (int i = 0; i < 3; i++)
        assert_int_equal(cl_text(&c, "a", GROUP, "g", "hi", NULL), OK);
    const struct wk_channel_key key = { GROUP, wk_str("g") };
    assert_int_equal(wk_txn_new(&txn, c.store), WKIM_OK);
    wk_message_delete(txn, cl_slot(&c, "g"), &key, 2);
    assert_int_equal(wk_txn_commit(txn, NULL), WKIM_OK);
    wk_txn_free(txn);
    assert_int_equal(ask_again(cl_slot(&c, "g")), 3);
    assert_string_equal(lists, "1:b 3:b ");
}

static void a_damaged_row_has_nobody_to_tell(void **state)
{
    (void)state;
    wk_shard_own(wk_cluster_shard_of(c.cluster, 0));
    assert_int_equal(
        im_offline_again(c.im, 0, &(struct im_offline_row){ 1, 2 }, wk_str("\1nonsense")), WKIM_OK);
    assert_string_equal(lists, "0: ");
}

/* ---- connections ----------------------------------------------------------------------------- */

static void a_connection_that_comes_and_goes_leaves_both_texts(void **state)
{
    (void)state;
    enter(0, "u", 1, WKIM_DEVICE_SLAVE);
    assert_string_equal(statuses("u"), "u-1-1-#0-1-1 ");
    assert_int_equal(told[IM_PENDING_STATUS], 1);
    enter(1, "u", 0, WKIM_DEVICE_SLAVE);
    cl_logout(&conns[0]);
    cl_settle(&c);
    cl_logout(&conns[1]);
    cl_settle(&c);
    assert_string_equal(statuses("u"), "u-1-1-#0-1-1 u-0-1-#1-1-2 u-1-0-#0-0-1 u-0-0-#1-0-0 ");
    cl_restart(&c, true);
    assert_string_equal(statuses("u"), "u-1-1-#0-1-1 u-0-1-#1-1-2 u-1-0-#0-0-1 u-0-0-#1-0-0 ");
}

static void a_crash_ends_every_connection_once(void **state)
{
    static const char *const all = "u-0-1-#0-1-1 u-1-1-#1-1-2 u-1-1-#2-2-3 "
                                   "u-0-0-#0-0-2 u-1-0-#1-1-1 u-1-0-#2-0-0 ";
    (void)state;
    enter(0, "u", 0, WKIM_DEVICE_SLAVE);
    assert_int_equal(cl_token(&c, "u", 1, WKIM_DEVICE_SLAVE, "t"), WKIM_OK);
    assert_int_equal(cl_login(&c, &conns[1], "u", "e", 1, "t"), OK);
    assert_int_equal(cl_login(&c, &conns[2], "u", "f", 1, "t"), OK);
    cl_crash(&c);
    cl_up(&c);
    assert_string_equal(statuses("u"), all);
    cl_crash(&c);
    cl_up(&c);
    assert_string_equal(statuses("u"), all);
    cl_restart(&c, true);
    assert_string_equal(statuses("u"), all);
}

static void a_login_after_a_crash_comes_behind_what_the_crash_ended(void **state)
{
    (void)state;
    enter(0, "u", 0, WKIM_DEVICE_SLAVE);
    cl_crash(&c);
    cl_up(&c);
    enter(1, "u", 0, WKIM_DEVICE_SLAVE);
    assert_string_equal(statuses("u"), "u-0-1-#0-1-1 u-0-0-#0-0-0 u-0-1-#1-1-1 ");
}

static void a_connection_that_goes_before_its_login_is_answered_has_both_texts(void **state)
{
    struct cl_call call;
    (void)state;
    assert_int_equal(cl_token(&c, "u", 0, WKIM_DEVICE_SLAVE, "t"), WKIM_OK);
    cl_login_begin(&c, &conns[0], &call, "u", "d", 0, "t");
    while (!conns[0].im.registered)
        (void)cl_poll(&c, cl_shard_index(&c, "u"));
    if (!call.done)
        assert_true(conns[0].im.coming);
    cl_logout(&conns[0]);
    assert_int_equal(cl_login_end(&c, &call), OK);
    cl_settle(&c);
    assert_string_equal(statuses("u"), "u-0-1-#0-1-1 u-0-0-#0-0-0 ");
}

static void a_login_that_cannot_be_written_is_refused(void **state)
{
    (void)state;
    assert_int_equal(cl_token(&c, "u", 0, WKIM_DEVICE_SLAVE, "t"), WKIM_OK);
    atomic_store(&c.dead, true);
    assert_true(cl_login(&c, &conns[0], "u", "d", 0, "t") < 0);
    assert_false(conns[0].im.registered);
    atomic_store(&c.dead, false);
    cl_restart(&c, true);
    /* What the disk refused was never said, or it is taken back. */
    const char *text = statuses("u");
    if (*text)
        assert_string_equal(text, "u-0-1-#0-1-1 u-0-0-#0-0-0 ");
}

static void a_command_with_an_impossible_uid_changes_nothing(void **state)
{
    struct wk_buf b = WK_BUF_INIT;
    (void)state;
    for (int i = 0; i < 42; i++)
        wk_buf_u8(&b, 1);
    wk_buf_varint(&b, 9000);
    for (int i = 0; i < 9000; i++)
        wk_buf_u8(&b, 'x');
    uint64_t before = cl_hash(&c);
    assert_int_equal(cl_do_code(&c, IM_STATUS, 0, &b), WKIM_OK);
    assert_true(cl_hash(&c) == before);
    assert_int_equal(wk_cluster_ready(c.cluster), c.opt.slots);
}

static void older_devices_are_kicked_when_the_login_counts(void **state)
{
    struct cl_call call[2];
    (void)state;
    enter(0, "u", 0, WKIM_DEVICE_MASTER);
    cl_login_begin(&c, &conns[1], &call[0], "u", "d", 0, "t");
    cl_login_begin(&c, &conns[2], &call[1], "u", "d", 0, "t");
    assert_int_equal(cl_login_end(&c, &call[0]), OK);
    assert_int_equal(cl_login_end(&c, &call[1]), OK);
    assert_int_equal(conns[0].kicks, 1);
    assert_int_equal(conns[1].kicks, 1);
    assert_int_equal(conns[2].kicks, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_stored_message_leaves_a_row_of_each_queue),
        T(a_message_that_is_not_stored_has_a_list_without_a_row),
        T(who_has_an_online_master_device_is_not_away),
        T(receivers_are_looked_up_again_after_a_crash),
        T(receivers_whose_slot_is_not_open_yet_are_away),
        T(receivers_that_the_sender_named_are_in_the_row),
        T(a_row_whose_message_is_gone_does_not_stop_the_others),
        T(a_damaged_row_has_nobody_to_tell),
        T(a_connection_that_comes_and_goes_leaves_both_texts),
        T(a_crash_ends_every_connection_once),
        T(a_login_after_a_crash_comes_behind_what_the_crash_ended),
        T(a_connection_that_goes_before_its_login_is_answered_has_both_texts),
        T(a_login_that_cannot_be_written_is_refused),
        T(a_command_with_an_impossible_uid_changes_nothing),
        T(older_devices_are_kicked_when_the_login_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
