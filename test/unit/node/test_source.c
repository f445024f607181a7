/* A program that is its node's data source: questions come through a queue, answers go back by a
 * call, without HTTP. */
#include <wkim/hook.h>
#include "node_test.h"

#define ADDRESS "http://user:secret@shop.example/source?key=secret"

static struct test_node t;
static char log_text[8192];

static void start(const char *timeout)
{
    const char *const settings[] = { "datasource.addr", ADDRESS,
                                     "datasource.membersOn", "true",
                                     "datasource.requestTimeout", timeout,
                                     "datasource.maxAnswer", "4KiB",
                                     NULL };

    memset(&t, 0, sizeof(t));
    tmpdir_new(&t.dir);
    assert_int_equal(wkim_queue_new(&t.questions), WKIM_OK);
    node_start(&t, settings);
}

static int setup(void **state)
{
    (void)state;
    start("10s");
    return 0;
}

static int setup_hasty(void **state)
{
    (void)state;
    start("100ms");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wkim_queue_free(t.questions); /* what is still in it counts as failed */
    node_stop(&t);
    tmpdir_remove(&t.dir);
    return 0;
}

static void begin(const char *from, const char *to)
{
    const wkim_send s = { .size = sizeof(s),
                          .from_uid = text(from),
                          .channel_id = text(to),
                          .channel_type = WKIM_CHANNEL_GROUP,
                          .payload = text("hello") };
    assert_int_equal(wkim_message_send(t.n, &s, t.q, NULL), WKIM_OK);
}

static wkim_reply *take_question(wkim_hook_request *out)
{
    wkim_reply *r = take_reply(t.questions);

    *out = (wkim_hook_request){ .size = sizeof(*out) };
    assert_int_equal(wkim_reply_kind(r), WKIM_EVENT_HOOK);
    assert_int_equal(wkim_reply_hook(r, out), WKIM_OK);
    assert_int_equal(out->target, WKIM_HOOK_DATASOURCE);
    return r;
}

static int reason(void)
{
    wkim_reply *r = take_reply(t.q);
    int v = wkim_reply_reason(r);

    wkim_reply_free(r);
    return v;
}

static bool equals(wkim_slice s, const char *want)
{
    return s.n == strlen(want) && memcmp(s.p, want, s.n) == 0;
}

static void a_question_is_answered_in_process(void **state)
{
    (void)state;
    wkim_hook_request q;
    struct client bob;

    client_login(&bob, &t, "bob", "d", "");
    begin("robot", "g");
    wkim_reply *r = take_question(&q);
    assert_true(equals(q.event, "getSubscribers"));
    assert_true(equals(q.body, "{\"cmd\":\"getSubscribers\",\"data\":{\"channel_id\":\"g\","
                               "\"channel_type\":2}}"));
    assert_true(equals(q.content_type, "application/json"));
    assert_int_equal(q.answer_max, 4096);
    assert_int_equal(q.timeout_ms, 10000);
    wkim_hook_answer_body(r, 200, text("[\"bob\"]"));
    assert_int_equal(reason(), WKIM_REASON_SUCCESS);
    client_expect(&bob, WKIM_PACKET_RECV);
    assert_true(equals(bob.p.payload, "hello"));
    client_close(&bob);
}

static void every_way_not_to_answer_is_a_failure(void **state)
{
    (void)state;
    wkim_hook_request q;
    char *big = calloc(1, 5000);

    memset(big, ' ', 4999);
    for (int way = 0; way < 7; way++) {
        char group[8];
        snprintf(group, sizeof(group), "g%d", way);
        begin("robot", group);
        wkim_reply *r = take_question(&q);
        switch (way) {
        case 0: wkim_hook_answer_body(r, 500, text("[\"bob\"]")); break;
        case 1: wkim_hook_answer_body(r, 0, text("nobody listens")); break;
        case 2: wkim_hook_answer_body(r, 200, text("{}")); break;
        case 3: wkim_hook_answer_body(r, 200, (wkim_slice){ NULL, 0 }); break;
        case 4: wkim_hook_answer_body(r, 200, text(big)); break;
        case 5: wkim_hook_answer(r, 1); break;
        default: wkim_reply_free(r); break;
        }
        assert_int_equal(reason(), WKIM_REASON_SYSTEM_ERROR);
    }
    free(big);
    char *metrics;
    assert_int_equal(wkim_node_metrics(t.n, &metrics), WKIM_OK);
    assert_non_null(strstr(metrics, "wkim_datasource_requests_total{result=\"error\"} 7\n"));
    wkim_text_free(metrics);
}

static void a_program_that_never_answers_holds_nobody_for_long(void **state)
{
    (void)state;
    wkim_hook_request q;

    begin("robot", "g");
    wkim_reply *late = take_question(&q);
    assert_int_equal(reason(), WKIM_REASON_SYSTEM_ERROR);
    wkim_hook_answer_body(late, 200, text("[\"bob\"]")); /* nobody waits for it any more */
    begin("robot", "h");
    wkim_hook_answer_body(take_question(&q), 200, text("[]"));
    assert_int_equal(reason(), WKIM_REASON_SUCCESS);
}

static void a_struct_of_an_older_version_gets_what_it_knows(void **state)
{
    (void)state;
    wkim_hook_request q = { .size = offsetof(wkim_hook_request, answer_max), .answer_max = 77 };

    begin("robot", "g");
    wkim_reply *r = take_reply(t.questions);
    assert_int_equal(wkim_reply_hook(r, &q), WKIM_OK);
    assert_true(equals(q.event, "getSubscribers"));
    assert_int_equal(q.answer_max, 77);
    wkim_hook_answer_body(r, 200, text("[]"));
    assert_int_equal(reason(), WKIM_REASON_SUCCESS);
}

static void log_line(void *user, int level, const char *room, const char *event, const char *fields)
{
    size_t n = strlen(log_text);
    (void)user, (void)level, (void)room;
    if (strcmp(event, "datasource_failed") == 0)
        snprintf(log_text + n, sizeof(log_text) - n, "%s\n", fields);
}

static wkim_node *node_with_address(struct tmpdir *dir)
{
    wkim_config *cfg;
    wkim_node *n;
    char data[600];

    tmpdir_new(dir);
    assert_int_equal(wkim_config_new(&cfg), WKIM_OK);
    const char *const settings[] = { "dataDir", tmpdir_path(dir, data, sizeof(data), "data"),
                                     "datasource.addr", ADDRESS,
                                     "datasource.membersOn", "true",
                                     "cluster.slotCount", "2",
                                     "limits.shards", "1", NULL };
    for (const char *const *s = settings; *s; s += 2)
        assert_int_equal(wkim_config_set(cfg, s[0], s[1], WKIM_SOURCE_FLAG, NULL, NULL), WKIM_OK);
    assert_int_equal(wkim_node_new(&n, cfg, NULL), WKIM_OK);
    wkim_config_free(cfg);
    return n;
}

static void a_node_whose_questions_nobody_carries_does_not_start(void **state)
{
    (void)state;
    struct tmpdir dir;
    wkim_error err = { 0 };
    wkim_node *n = node_with_address(&dir);

    assert_int_equal(wkim_node_start(n, &err), WKIM_ECONFIG);
    assert_non_null(strstr(err.text, "datasource.addr"));
    assert_non_null(strstr(err.text, "wkim_node_datasource"));
    wkim_node_free(n);
    tmpdir_remove(&dir);
}

static void the_log_names_the_address_without_its_secrets(void **state)
{
    (void)state;
    wkim_node *n = node_with_address(&t.dir);

    log_text[0] = 0;
    t.n = n;
    wkim_node_set_log(n, WKIM_LOG_WARN, log_line, NULL);
    assert_int_equal(wkim_queue_new(&t.questions), WKIM_OK);
    assert_int_equal(wkim_queue_new(&t.q), WKIM_OK);
    assert_int_equal(wkim_node_datasource(n, t.questions), WKIM_OK);
    assert_int_equal(wkim_node_start(n, NULL), WKIM_OK);
    assert_int_equal(wkim_node_wait_ready(n, 20000), WKIM_OK);
    assert_int_equal(wkim_node_datasource(n, t.questions), WKIM_EINVAL); /* too late */
    begin("robot", "g");
    wkim_hook_answer_body(take_reply(t.questions), 0, text("refused \"so\""));
    assert_int_equal(reason(), WKIM_REASON_SYSTEM_ERROR);
    (void)teardown(NULL);
    assert_non_null(strstr(log_text, "key=datasource.addr url=\"http://shop.example/source\" "
                                     "cmd=getSubscribers channel=g type=2 status=0 "
                                     "reason=\"refused \\\"so\\\"\""));
    assert_null(strstr(log_text, "secret"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_question_is_answered_in_process),
        T(every_way_not_to_answer_is_a_failure),
        cmocka_unit_test_setup_teardown(a_program_that_never_answers_holds_nobody_for_long,
                                        setup_hasty, teardown),
        T(a_struct_of_an_older_version_gets_what_it_knows),
        cmocka_unit_test(a_node_whose_questions_nobody_carries_does_not_start),
        cmocka_unit_test(the_log_names_the_address_without_its_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
