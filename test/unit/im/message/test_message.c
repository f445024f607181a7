/* Numbers, idempotency, ids, delivery to the right devices. */
#include "base/hash.h"
#include "../im_test.h"

static struct cl_answer say(const char *from, const char *to, const char *no, const char *payload)
{
    return cl_send(&c, &(struct cl_send){
                           .from = from, .type = PERSON, .to = to, .no = no, .payload = payload });
}

static void numbers_have_no_gaps_over_batches_and_restarts(void **state)
{
    (void)state;
    struct cl_call calls[50];
    uint64_t expected = 0;

    add_members("g", "u1");
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 50; i++) /* all of one round: one entry or a few */
            cl_send_begin(
                &c, &calls[i],
                &(struct cl_send){ .from = "u1", .type = GROUP, .to = "g", .payload = "x" });
        for (int i = 0; i < 50; i++) {
            struct cl_answer a = cl_take(&c, &calls[i]);
            cl_answer_fini(&a);
            assert_int_equal(a.code, WKIM_OK);
            assert_int_equal(a.number[1], ++expected);
        }
        assert_int_equal(cl_text(&c, "u2", GROUP, "g", "refused", NULL),
                         WKIM_REASON_NOT_SUBSCRIBER);
        cl_restart(&c, round % 2);
    }
    char seqs[64];
    cl_history(&c, GROUP, "g", expected, 0, 3, false, seqs, sizeof(seqs), NULL);
    assert_string_equal(seqs, "298,299,300");
}

static void channels_count_on_their_own(void **state)
{
    (void)state;
    assert_int_equal(say("u1", "u2", "", "a").number[1], 1);
    assert_int_equal(say("u1", "u3", "", "a").number[1], 1);
    assert_int_equal(say("u2", "u1", "", "b").number[1], 2); /* one channel for both directions */
}

static void same_number_and_payload_is_answered_as_before(void **state)
{
    (void)state;
    const struct cl_answer a = say("u1", "u2", "no-1", "hello");
    const struct cl_answer b = say("u1", "u2", "no-1", "hello");

    assert_int_equal(b.code, WKIM_OK);
    assert_int_equal(b.reason, OK);
    assert_int_equal(b.number[0], a.number[0]);
    assert_int_equal(b.number[1], a.number[1]);
    assert_int_equal(say("u1", "u2", "no-2", "hello").number[1], 2);
}

static void same_number_and_other_payload_or_sender_is_a_new_message(void **state)
{
    (void)state;
    assert_int_equal(say("u1", "u2", "no-1", "hello").number[1], 1);
    assert_int_equal(say("u1", "u2", "no-1", "other").number[1], 2);
    assert_int_equal(say("u2", "u1", "no-1", "hello").number[1], 3);
    assert_int_equal(say("u1", "u2", "no-1", "other").number[1], 2); /* each is known on its own */
    assert_int_equal(say("u1", "u2", "no-1", "hello").number[1], 1);
}

static void a_resend_in_the_same_batch_is_one_message(void **state)
{
    (void)state;
    const struct cl_send s = {
        .from = "u1", .type = PERSON, .to = "u2", .no = "n", .payload = "p"
    };
    const struct cl_send other = {
        .from = "u1", .type = PERSON, .to = "u2", .no = "n", .payload = "q"
    };
    struct cl_call calls[4];
    struct cl_answer a[4];

    cl_send_begin(&c, &calls[0], &s);
    cl_send_begin(&c, &calls[1], &s);
    cl_send_begin(&c, &calls[2], &other);
    cl_send_begin(&c, &calls[3], &other);
    for (int i = 0; i < 4; i++) {
        a[i] = cl_take(&c, &calls[i]);
        cl_answer_fini(&a[i]);
        assert_int_equal(a[i].code, WKIM_OK);
    }
    assert_int_equal(a[0].number[1], 1);
    assert_int_equal(a[1].number[1], 1);
    assert_int_equal(a[1].number[0], a[0].number[0]);
    assert_int_equal(a[2].number[1], 2);
    assert_int_equal(a[3].number[1], 2);
}

static void a_resend_after_a_restart_is_one_message(void **state)
{
    (void)state;
    for (int wipe = 0; wipe < 2; wipe++) {
        const char *no = wipe ? "b" : "a";
        const struct cl_answer first = say("u1", "u2", no, "hello");
        cl_restart(&c, wipe);
        const struct cl_answer again = say("u1", "u2", no, "hello");
        assert_int_equal(again.number[0], first.number[0]);
        assert_int_equal(again.number[1], first.number[1]);
    }
}

static void a_resend_is_not_delivered_again(void **state)
{
    (void)state;
    struct cl_conn u2;

    assert_int_equal(cl_login(&c, &u2, "u2", "d", 0, NULL), OK);
    say("u1", "u2", "n", "p");
    say("u1", "u2", "n", "p");
    cl_settle(&c);
    assert_int_equal(u2.n_pushes, 1);
    cl_logout(&u2);
}

static void without_a_client_number_every_send_is_a_message(void **state)
{
    (void)state;
    assert_int_equal(say("u1", "u2", "", "p").number[1], 1);
    assert_int_equal(say("u1", "u2", "", "p").number[1], 2);
}

static void idempotency_can_be_switched_off(void **state)
{
    (void)state;
    cl_free(&c);
    cl_new(&c, &(struct cl_options){ .not_idempotent = true });
    assert_int_equal(say("u1", "u2", "n", "p").number[1], 1);
    assert_int_equal(say("u1", "u2", "n", "p").number[1], 2);
    c.opt.not_idempotent = false; /* what the log did then stays as it was */
    cl_restart(&c, true);
    assert_int_equal(say("u1", "u2", "n2", "p").number[1], 3);
    assert_int_equal(say("u1", "u2", "n2", "p").number[1], 3);
    c.opt.not_idempotent = true;
    cl_restart(&c, true);
    assert_int_equal(say("u1", "u2", "", "p").number[1], 4);
}

static void stored(char out[64], const char *a, const char *b)
{
    struct wk_buf sid = WK_BUF_INIT;

    im_stored_id(&sid, PERSON, wk_str(a), wk_str(b));
    snprintf(out, 64, "%.*s", (int)sid.n, (const char *)sid.p);
    wk_buf_fini(&sid);
}

/* "plumless" and "buckeroo" are a well known pair with equal CRC-32. */
static void uids_with_equal_crc_share_one_channel(void **state)
{
    (void)state;
    char one[64], two[64];

    assert_int_equal(wk_crc32_ieee(wk_str("plumless")), wk_crc32_ieee(wk_str("buckeroo")));
    stored(one, "plumless", "buckeroo");
    stored(two, "buckeroo", "plumless");
    assert_string_equal(one, "plumless@buckeroo");
    assert_string_equal(two, one);
    assert_int_equal(say("plumless", "buckeroo", "", "a").number[1], 1);
    assert_int_equal(say("buckeroo", "plumless", "", "b").number[1], 2);
}

static void the_greater_crc_comes_first_in_a_person_id(void **state)
{
    (void)state;
    char one[64], two[64];
    const bool first = wk_crc32_ieee(wk_str("u1")) > wk_crc32_ieee(wk_str("u2"));

    stored(one, "u1", "u2");
    stored(two, "u2", "u1");
    assert_string_equal(one, first ? "u1@u2" : "u2@u1");
    assert_string_equal(two, one);
}

static void no_persist_is_delivered_and_not_stored(void **state)
{
    (void)state;
    struct cl_conn u2;

    assert_int_equal(cl_login(&c, &u2, "u2", "d", 0, NULL), OK);
    const struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "u1",
                                                              .type = PERSON,
                                                              .to = "u2",
                                                              .payload = "p",
                                                              .flags = WKIM_FLAG_NO_PERSIST });
    cl_settle(&c);
    assert_int_equal(a.reason, OK);
    assert_int_equal(a.number[1], 0);
    assert_int_equal(u2.n_pushes, 1);
    assert_int_equal(u2.pushes[0].seq, 0);
    assert_int_equal(cl_conversations(&c, "u2"), 0);
    assert_int_equal(say("u1", "u2", "", "p").number[1], 1);
    cl_logout(&u2);
}

static void each_side_sees_the_other_as_the_channel(void **state)
{
    (void)state;
    struct cl_conn sender, phone, peer;

    assert_int_equal(cl_login(&c, &sender, "u1", "web", 1, NULL), OK);
    assert_int_equal(cl_login(&c, &phone, "u1", "phone", 0, NULL), OK);
    assert_int_equal(cl_login(&c, &peer, "u2", "d", 0, NULL), OK);
    (void)cl_send(&c, &(struct cl_send){ .from = "u1",
                                         .type = PERSON,
                                         .to = "u2",
                                         .payload = "p",
                                         .flags = WKIM_FLAG_RED_DOT,
                                         .conn_id = sender.im.id });
    cl_settle(&c);
    assert_int_equal(sender.n_pushes, 0); /* the sending connection is skipped */
    assert_int_equal(phone.n_pushes, 1);
    assert_string_equal(phone.pushes[0].channel, "u2");
    assert_int_equal(phone.pushes[0].flags & WKIM_FLAG_RED_DOT, 0);
    assert_int_equal(peer.n_pushes, 1);
    assert_string_equal(peer.pushes[0].channel, "u1");
    assert_string_equal(peer.pushes[0].from, "u1");
    assert_int_equal(peer.pushes[0].flags & WKIM_FLAG_RED_DOT, WKIM_FLAG_RED_DOT);
    cl_logout(&sender);
    cl_logout(&phone);
    cl_logout(&peer);
}

static void a_message_to_oneself_arrives_once(void **state)
{
    (void)state;
    struct cl_conn web, phone;

    assert_int_equal(cl_login(&c, &web, "u1", "web", 1, NULL), OK);
    assert_int_equal(cl_login(&c, &phone, "u1", "phone", 0, NULL), OK);
    (void)cl_send(
        &c, &(struct cl_send){
                .from = "u1", .type = PERSON, .to = "u1", .payload = "p", .conn_id = web.im.id });
    cl_settle(&c);
    assert_int_equal(phone.n_pushes, 1);
    assert_int_equal(web.n_pushes, 0);
    cl_logout(&web);
    cl_logout(&phone);
}

static void the_system_sender_is_shown_empty_and_gets_no_copy(void **state)
{
    (void)state;
    struct cl_conn u1;

    add_members("g", "u1");
    assert_int_equal(cl_login(&c, &u1, "u1", "d", 0, NULL), OK);
    (void)cl_send(
        &c, &(struct cl_send){
                .from = IM_SYSTEM_UID, .type = GROUP, .to = "g", .payload = "p", .api = true });
    cl_settle(&c);
    assert_int_equal(u1.n_pushes, 1);
    assert_string_equal(u1.pushes[0].from, "");
    assert_string_equal(u1.pushes[0].channel, "g");
    cl_logout(&u1);
}

static void a_command_is_shown_without_its_suffix_and_counts_on_its_own(void **state)
{
    (void)state;
    struct cl_conn u1;
    const struct cl_send cmd = { .from = IM_SYSTEM_UID,
                                 .type = GROUP,
                                 .to = "g",
                                 .payload = "p",
                                 .api = true,
                                 .cmd = true,
                                 .flags = WKIM_FLAG_SYNC_ONCE };

    add_members("g", "u1");
    assert_int_equal(cl_login(&c, &u1, "u1", "d", 0, NULL), OK);
    assert_int_equal(cl_text(&c, "u1", GROUP, "g", "x", NULL), OK);
    assert_int_equal(cl_send(&c, &cmd).number[1], 1);
    cl_settle(&c);
    assert_int_equal(u1.n_pushes, 2);
    assert_string_equal(u1.pushes[1].channel, "g");
    assert_int_equal(u1.pushes[1].flags & WKIM_FLAG_SYNC_ONCE, WKIM_FLAG_SYNC_ONCE);
    cl_logout(&u1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(numbers_have_no_gaps_over_batches_and_restarts),
        T(channels_count_on_their_own),
        T(same_number_and_payload_is_answered_as_before),
        T(same_number_and_other_payload_or_sender_is_a_new_message),
        T(a_resend_in_the_same_batch_is_one_message),
        T(a_resend_after_a_restart_is_one_message),
        T(a_resend_is_not_delivered_again),
        T(without_a_client_number_every_send_is_a_message),
        T(idempotency_can_be_switched_off),
        T(uids_with_equal_crc_share_one_channel),
        T(the_greater_crc_comes_first_in_a_person_id),
        T(no_persist_is_delivered_and_not_stored),
        T(each_side_sees_the_other_as_the_channel),
        T(a_message_to_oneself_arrives_once),
        T(the_system_sender_is_shown_empty_and_gets_no_copy),
        T(a_command_is_shown_without_its_suffix_and_counts_on_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
