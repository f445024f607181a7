/* A whole node in the process: answers, events, sessions, kicks, retries, stopping. */
#include "node_test.h"
#include "base/clock.h"
#include <pthread.h>
#include <poll.h>

static struct test_node t;

static int setup(void **state)
{
    (void)state;
    tmpdir_new(&t.dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tmpdir_remove(&t.dir);
    return 0;
}

static bool readable(wkim_queue *q)
{
    struct pollfd p = { .fd = wkim_queue_fd(q), .events = POLLIN };
    return poll(&p, 1, 0) == 1;
}

static void every_call_is_answered_once_and_the_descriptor_tells(void **state)
{
    (void)state;
    int marks[10], seen[10] = { 0 };
    wkim_reply *r;

    node_start(&t, NULL);
    assert_int_equal(wkim_queue_next(t.q, &r, 0), WKIM_EAGAIN);
    assert_false(readable(t.q));
    for (int i = 0; i < 10; i++) {
        char no[8];
        snprintf(no, sizeof(no), "n%d", i);
        assert_int_equal(call_send(&t, "u1", "u2", no, &marks[i]), WKIM_OK);
    }
    for (int i = 0; i < 10; i++) {
        wkim_slice no;
        r = take_reply(t.q);
        assert_int_equal(wkim_reply_kind(r), WKIM_REPLY_CALL);
        assert_int_equal(wkim_reply_code(r), WKIM_OK);
        assert_int_equal(wkim_reply_reason(r), WKIM_REASON_SUCCESS);
        assert_int_equal(wkim_reply_string(r, 0, &no), WKIM_OK);
        assert_int_equal(wkim_reply_string(r, 1, &no), WKIM_ENOTFOUND);
        seen[(int *)wkim_reply_user(r) - marks]++;
        wkim_reply_free(r);
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(wkim_queue_next(t.q, &r, 0), WKIM_EAGAIN);
    assert_false(readable(t.q));
    node_stop(&t);
}

static void calls_before_the_start_and_after_the_stop_are_refused(void **state)
{
    (void)state;
    wkim_reply *r;

    node_start(&t, NULL);
    assert_int_equal(wkim_node_stop(t.n, 10000), WKIM_OK);
    assert_int_equal(call_send(&t, "u1", "u2", "", NULL), WKIM_ESTOPPED);
    assert_int_equal(wkim_channel_set(t.n, text("g"), 2, 0, t.q, NULL), WKIM_ESTOPPED);
    assert_int_equal(wkim_queue_next(t.q, &r, 0), WKIM_EAGAIN);
    node_stop(&t);
}

static void what_was_answered_is_there_after_a_restart(void **state)
{
    (void)state;
    wkim_message m;

    for (int round = 0; round < 3; round++) {
        node_start(&t, NULL);
        char no[8];
        snprintf(no, sizeof(no), "r%d", round);
        assert_int_equal(call_send(&t, "u1", "u2", no, NULL), WKIM_OK);
        wkim_reply *r = take_reply(t.q);
        assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ), round + 1);
        wkim_reply_free(r);
        wkim_message_range range = { .size = sizeof(range),
                                     .login_uid = text("u1"),
                                     .channel_id = text("u2"),
                                     .channel_type = 1,
                                     .limit = 10 };
        assert_int_equal(wkim_message_sync(t.n, &range, t.q, NULL), WKIM_OK);
        r = take_reply(t.q);
        assert_int_equal(wkim_reply_messages(r), round + 1);
        assert_int_equal(wkim_reply_message(r, (size_t)round, &m), WKIM_OK);
        assert_int_equal(m.message_seq, round + 1);
        wkim_reply_free(r);
        node_stop(&t);
    }
}

static void a_stop_right_after_the_start_is_clean(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        wkim_config *cfg;
        wkim_node *n;
        char data[600];

        tmpdir_path(&t.dir, data, sizeof(data), i % 2 ? "one" : "two");
        assert_int_equal(wkim_config_new(&cfg), WKIM_OK);
        assert_int_equal(wkim_config_set(cfg, "dataDir", data, WKIM_SOURCE_FLAG, NULL, NULL),
                         WKIM_OK);
        assert_int_equal(wkim_config_set(cfg, "limits.shards", "2", WKIM_SOURCE_FLAG, NULL, NULL),
                         WKIM_OK);
        assert_int_equal(wkim_node_new(&n, cfg, NULL), WKIM_OK);
        assert_int_equal(wkim_node_start(n, NULL), WKIM_OK);
        (void)wkim_node_stop(n, 0);
        wkim_node_free(n);
        wkim_config_free(cfg);
    }
}

static void a_second_node_in_the_same_folder_is_refused(void **state)
{
    (void)state;
    wkim_config *cfg;
    wkim_node *n;
    wkim_error err = { 0, "" };
    char data[600];

    node_start(&t, NULL);
    tmpdir_path(&t.dir, data, sizeof(data), "data");
    assert_int_equal(wkim_config_new(&cfg), WKIM_OK);
    assert_int_equal(wkim_config_set(cfg, "dataDir", data, WKIM_SOURCE_FLAG, NULL, NULL), WKIM_OK);
    assert_int_equal(wkim_node_new(&n, cfg, NULL), WKIM_OK);
    assert_int_equal(wkim_node_start(n, &err), WKIM_EBUSY);
    assert_non_null(strstr(err.text, "in use by pid"));
    wkim_node_free(n);
    wkim_config_free(cfg);
    node_stop(&t);
}

static void a_message_reaches_the_receiver_and_its_sender_is_answered(void **state)
{
    (void)state;
    struct client a, b;

    node_start(&t, NULL);
    client_login(&a, &t, "alice", "d", "");
    client_login(&b, &t, "bob", "d", "");
    for (uint32_t i = 1; i <= 20; i++)
        assert_int_equal(client_send(&a, "bob", i), WKIM_OK);
    for (uint32_t i = 1; i <= 20; i++) {
        /* In order, although the first waits for the conversations it makes. */
        client_expect(&a, WKIM_PACKET_SENDACK);
        assert_int_equal(a.p.client_seq, i);
        assert_int_equal(a.p.message_seq, i);
        assert_int_equal(a.p.reason, WKIM_REASON_SUCCESS);
        client_expect(&b, WKIM_PACKET_RECV);
        assert_int_equal(b.p.message_seq, i);
        assert_int_equal(client_ack(&b, b.p.message_id, b.p.message_seq), WKIM_OK);
    }
    client_close(&a);
    client_close(&b);
    node_stop(&t);
}

static void a_kicked_connection_is_told_refused_and_closed(void **state)
{
    (void)state;
    struct client old, fresh;

    node_start(&t, (const char *const[]){ "tokenAuthOn", "true", NULL });
    assert_int_equal(
        wkim_user_token_set(t.n, text("u"), text("t"), 0, WKIM_DEVICE_MASTER, t.q, NULL), WKIM_OK);
    assert_int_equal(take_code(t.q), WKIM_OK);
    client_login(&old, &t, "u", "one", "t");
    client_login(&fresh, &t, "u", "two", "t");
    client_expect(&old, WKIM_PACKET_DISCONNECT);
    assert_int_equal(old.p.reason, WKIM_REASON_KICK);
    assert_int_equal(client_send(&old, "x", 1), WKIM_OK);
    client_expect(&old, WKIM_PACKET_SENDACK);
    assert_int_equal(old.p.reason, WKIM_REASON_KICK);
    assert_int_equal(client_get(&old, 10), WKIM_ESTOPPED);
    assert_int_equal(wkim_message_last(t.n, text("u"), text("x"), 1, 0, t.q, NULL), WKIM_OK);
    wkim_reply *r = take_reply(t.q);
    assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ), 0);
    wkim_reply_free(r);
    client_close(&old);
    client_close(&fresh);
    node_stop(&t);
}

static const char *const fast_retry[] = { "messageRetry.interval",
                                          "1s",
                                          "messageRetry.scanInterval",
                                          "100ms",
                                          "messageRetry.maxCount",
                                          "2",
                                          NULL };

static void an_unacknowledged_message_is_sent_again_with_the_dup_flag(void **state)
{
    (void)state;
    struct client b;

    node_start(&t, fast_retry);
    client_login(&b, &t, "bob", "d", "");
    assert_int_equal(call_send(&t, "alice", "bob", "", NULL), WKIM_OK);
    assert_int_equal(take_code(t.q), WKIM_OK);
    client_expect(&b, WKIM_PACKET_RECV);
    const int64_t id = b.p.message_id;
    const uint64_t first_ms = wk_now_us() / 1000;
    assert_int_equal(b.p.flags & WKIM_FLAG_DUP, 0);
    for (int i = 0; i < 2; i++) { /* maxCount, then no more */
        client_expect(&b, WKIM_PACKET_RECV);
        assert_int_equal(b.p.message_id, id);
        assert_int_equal(b.p.flags & WKIM_FLAG_DUP, WKIM_FLAG_DUP);
    }
    assert_true(wk_now_us() / 1000 - first_ms >= 1900); /* not before its second is over */
    assert_int_equal(client_get(&b, 2), WKIM_ETIMEOUT);
    client_close(&b);
    node_stop(&t);
}

static void an_acknowledged_message_is_not_sent_again(void **state)
{
    (void)state;
    struct client b;

    node_start(&t, fast_retry);
    client_login(&b, &t, "bob", "d", "");
    assert_int_equal(call_send(&t, "alice", "bob", "", NULL), WKIM_OK);
    assert_int_equal(take_code(t.q), WKIM_OK);
    client_expect(&b, WKIM_PACKET_RECV);
    assert_int_equal(client_ack(&b, b.p.message_id, b.p.message_seq), WKIM_OK);
    assert_int_equal(client_get(&b, 2), WKIM_ETIMEOUT);
    client_close(&b);
    node_stop(&t);
}

static void a_client_that_never_acknowledges_is_closed_at_the_bound(void **state)
{
    (void)state;
    struct client b;
    int got = 0, rc;

    node_start(&t, (const char *const[]){ "limits.maxUnacked", "16", NULL });
    client_login(&b, &t, "bob", "d", "");
    for (int i = 0; i < 40; i++) {
        assert_int_equal(call_send(&t, "alice", "bob", "", NULL), WKIM_OK);
        assert_int_equal(take_code(t.q), WKIM_OK);
    }
    while ((rc = client_get(&b, 10)) == 1)
        got++;
    assert_int_equal(rc, WKIM_ESTOPPED);
    assert_in_range(got, 16, 17);
    client_close(&b);
    node_stop(&t);
}

static void events_drop_the_oldest_beyond_their_bound(void **state)
{
    (void)state;
    wkim_queue *events;
    wkim_reply *r;
    wkim_message m;

    node_start(&t, NULL);
    assert_int_equal(wkim_queue_new(&events), WKIM_OK);
    assert_int_equal(wkim_node_events(t.n, events, 1u << WKIM_EVENT_MESSAGE, 5), WKIM_OK);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(call_send(&t, "u1", "u2", "", NULL), WKIM_OK);
        assert_int_equal(take_code(t.q), WKIM_OK);
    }
    for (uint64_t seq = 16; seq <= 20; seq++) {
        r = take_reply(events);
        assert_int_equal(wkim_reply_kind(r), WKIM_EVENT_MESSAGE);
        assert_int_equal(wkim_reply_message(r, 0, &m), WKIM_OK);
        assert_int_equal(m.message_seq, seq);
        wkim_reply_free(r);
    }
    assert_int_equal(wkim_queue_next(events, &r, 0), WKIM_EAGAIN);
    assert_int_equal(wkim_node_events(t.n, NULL, 0, 0), WKIM_OK);
    wkim_queue_free(events);
    node_stop(&t);
}

static void online_events_carry_the_counts(void **state)
{
    (void)state;
    wkim_queue *events;
    struct client a, b;
    const int64_t expected[3][2] = { { 1, 1 }, { 1, 2 }, { 0, 1 } };

    node_start(&t, NULL);
    assert_int_equal(wkim_queue_new(&events), WKIM_OK);
    assert_int_equal(wkim_node_events(t.n, events, 1u << WKIM_EVENT_ONLINE, 100), WKIM_OK);
    client_login(&a, &t, "u", "one", "");
    client_login(&b, &t, "u", "two", "");
    client_close(&a);
    for (int i = 0; i < 3; i++) {
        wkim_reply *r = take_reply(events);
        assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_ONLINE), expected[i][0]);
        assert_int_equal(wkim_reply_number(r, WKIM_NUMBER_USER_COUNT), expected[i][1]);
        wkim_reply_free(r);
    }
    client_close(&b);
    node_stop(&t);
    wkim_queue_free(events);
}

static void a_queue_may_go_while_calls_are_under_way(void **state)
{
    (void)state;
    node_start(&t, NULL);
    for (int round = 0; round < 20; round++) {
        wkim_queue *q = t.q;
        for (int i = 0; i < 20; i++)
            assert_int_equal(call_send(&t, "u1", "u2", "", NULL), WKIM_OK);
        wkim_queue_free(q);
        assert_int_equal(wkim_queue_new(&t.q), WKIM_OK);
    }
    node_stop(&t);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define SENDS 1500

struct pair {
    struct client a, b;
    char from[16], to[16];
    uint32_t acks, recvs;
    bool in_order;
};

/* One thread per pair drives both ends; the pairs meet in the node only. */
static void *chat(void *arg)
{
    struct pair *p = arg;
    uint64_t last = 0;

    p->in_order = true;
    for (uint32_t i = 1; i <= SENDS; i++) {
        if (client_send(&p->a, p->to, i) != WKIM_OK)
            return NULL;
        while (i - p->recvs > 200 || (i == SENDS && p->recvs < SENDS)) {
            if (client_get(&p->b, 20) != 1)
                return NULL;
            p->in_order &= p->b.p.message_seq == ++last;
            p->recvs++;
            if (client_ack(&p->b, p->b.p.message_id, p->b.p.message_seq) != WKIM_OK)
                return NULL;
        }
    }
    while (p->acks < SENDS && client_get(&p->a, 20) == 1)
        p->acks++;
    return NULL;
}

static void two_threads_feed_and_drain_sessions_at_once(void **state)
{
    (void)state;
    static struct pair pairs[2];
    pthread_t th[2];

    node_start(&t, NULL);
    for (int i = 0; i < 2; i++) {
        memset(&pairs[i], 0, sizeof(pairs[i]));
        snprintf(pairs[i].from, sizeof(pairs[i].from), "from%d", i);
        snprintf(pairs[i].to, sizeof(pairs[i].to), "to%d", i);
        client_login(&pairs[i].a, &t, pairs[i].from, "d", "");
        client_login(&pairs[i].b, &t, pairs[i].to, "d", "");
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&th[i], NULL, chat, &pairs[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(th[i], NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pairs[i].acks, SENDS);
        assert_int_equal(pairs[i].recvs, SENDS);
        assert_true(pairs[i].in_order);
        client_close(&pairs[i].a);
        client_close(&pairs[i].b);
    }
    node_stop(&t);
}

struct caller {
    struct test_node *t;
    uint32_t accepted;
    struct client *clients;
};

static void *keep_calling(void *arg)
{
    struct caller *c = arg;

    while (call_send(c->t, "u1", "u2", "", NULL) == WKIM_OK)
        c->accepted++;
    return NULL;
}

static void *keep_connecting(void *arg)
{
    struct caller *c = arg;
    struct client x;

    while (client_open(&x, c->t) == WKIM_OK) {
        const wkim_packet p = {
            .type = WKIM_PACKET_CONNECT, .version = 5, .uid = text("guest"), .device_id = text("d")
        };
        (void)client_put(&x, &p);
        (void)client_get(&x, 1);
        client_close(&x);
        c->accepted++;
    }
    sem_destroy(&x.ready);
    return NULL;
}

/* Every accepted call is answered, every session ends. */
static void stop_with_calls_and_connections_under_way(void **state)
{
    (void)state;
    pthread_t th[2];
    struct caller calls = { .t = &t }, conns = { .t = &t };
    struct client open_one;
    uint32_t answered = 0;
    wkim_reply *r;

    node_start(&t, NULL);
    client_login(&open_one, &t, "u2", "d", "");
    assert_int_equal(pthread_create(&th[0], NULL, keep_calling, &calls), 0);
    assert_int_equal(pthread_create(&th[1], NULL, keep_connecting, &conns), 0);
    for (; answered < 200; answered++)
        wkim_reply_free(take_reply(t.q));
    assert_int_equal(wkim_node_stop(t.n, 20000), WKIM_OK);
    pthread_join(th[0], NULL);
    pthread_join(th[1], NULL);
    while (wkim_queue_next(t.q, &r, 0) == WKIM_OK) {
        wkim_reply_free(r);
        answered++;
    }
    assert_int_equal(answered, calls.accepted);
    int rc;
    while ((rc = client_get(&open_one, 10)) == 1)
        ;
    assert_int_equal(rc, WKIM_ESTOPPED);
    client_close(&open_one);
    wkim_queue_free(t.q);
    wkim_node_free(t.n);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_call_is_answered_once_and_the_descriptor_tells),
        T(calls_before_the_start_and_after_the_stop_are_refused),
        T(what_was_answered_is_there_after_a_restart),
        T(a_stop_right_after_the_start_is_clean),
        T(a_second_node_in_the_same_folder_is_refused),
        T(a_message_reaches_the_receiver_and_its_sender_is_answered),
        T(a_kicked_connection_is_told_refused_and_closed),
        T(an_unacknowledged_message_is_sent_again_with_the_dup_flag),
        T(an_acknowledged_message_is_not_sent_again),
        T(a_client_that_never_acknowledges_is_closed_at_the_bound),
        T(events_drop_the_oldest_beyond_their_bound),
        T(online_events_carry_the_counts),
        T(a_queue_may_go_while_calls_are_under_way),
        T(two_threads_feed_and_drain_sessions_at_once),
        T(stop_with_calls_and_connections_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
