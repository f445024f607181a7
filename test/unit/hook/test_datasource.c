/* Questions to the data source: their text, their answers, how long an answer holds, what a bad
 * source cannot do.  The clock and the sender are the test's. */
#include "hook/datasource.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "base/cursor.h"
#include "base/mem.h"
#include <wkim/error.h>

#define OUT_MAX 64
#define EXPIRE 60000
#define NEGATIVE 5000
#define TIMEOUT 3000

/* A value is a counted text; `live` counts them. */
struct value {
    int refs;
    char text[32];
};
static int live;

struct world {
    struct wk_source *s;
    struct wk_source_options opt;
    _Atomic size_t bytes;
    uint64_t now, wake;
    struct wk_source_request *out[OUT_MAX];
    size_t n_out;
    unsigned answers, lines;
    char asked[256], line[512];
};
static struct world w;

static void *ref(void *v)
{
    if (v)
        ((struct value *)v)->refs++;
    return v;
}

static void unref(void *v)
{
    struct value *x = v;

    if (x && --x->refs == 0) {
        free(x);
        live--;
    }
}

static void send(void *user, struct wk_source_request *r)
{
    (void)user;
    assert_true(w.n_out < OUT_MAX);
    w.out[w.n_out++] = r;
    snprintf(w.asked, sizeof(w.asked), "%.*s", (int)r->body.n, (const char *)r->body.p);
}

static void answered(void *user, const struct wk_source_question *q)
{
    (void)user, (void)q;
    w.answers++;
}

static void wake(void *user, uint64_t at_ms)
{
    (void)user;
    w.wake = at_ms;
}

static void sink(void *user, int level, const char *room, const char *event, const char *fields)
{
    (void)user, (void)level, (void)room;
    w.lines++;
    snprintf(w.line, sizeof(w.line), "%s %s", event, fields);
}

static const struct wk_log log_sink = { WK_LOG_DEBUG, sink, NULL };

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof(w));
    w.now = 1000;
    w.opt = (struct wk_source_options){ .ops = { send, answered, wake, ref, unref },
                                        .log = &log_sink,
                                        .address = "http://h/p",
                                        .expire_ms = EXPIRE,
                                        .negative_ms = NEGATIVE,
                                        .timeout_ms = TIMEOUT,
                                        .out_max = 4,
                                        .bytes_max = 1 << 20,
                                        .bytes = &w.bytes };
    return wk_source_new(&w.s, &w.opt) == WKIM_OK ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < w.n_out; i++)
        wk_source_answer(w.s, w.out[i], w.now);
    wk_source_free(w.s);
    return live == 0 && w.bytes == 0 ? 0 : -1;
}

static struct wk_source_question question(uint8_t cmd, const char *id)
{
    return (struct wk_source_question){ .cmd = cmd, .type = 2, .slot = 7, .id = wk_str(id) };
}

static struct wk_source_request *take(void)
{
    assert_true(w.n_out > 0);
    struct wk_source_request *r = w.out[0];
    memmove(w.out, w.out + 1, --w.n_out * sizeof(w.out[0]));
    return r;
}

static void answer(const char *text, size_t bytes)
{
    struct wk_source_request *r = take();
    struct value *v = calloc(1, sizeof(*v));

    v->refs = 1;
    live++;
    snprintf(v->text, sizeof(v->text), "%s", text);
    r->status = 200;
    r->code = WKIM_OK;
    r->value = v;
    r->n = text[0] != 0;
    r->bytes = bytes;
    wk_source_answer(w.s, r, w.now);
}

static void refuse(int status)
{
    struct wk_source_request *r = take();

    r->status = status;
    wk_source_fail(r, WKIM_EIO, "HTTP status %d", status);
    wk_source_answer(w.s, r, w.now);
}

/* The answer, "?" when it was asked, "!" when there is none. */
static const char *get_since(uint8_t cmd, const char *id, uint64_t since)
{
    static char text[32];
    struct wk_source_known k;
    const struct wk_source_question q = question(cmd, id);
    int rc = wk_source_get(w.s, &q, since, w.now, &k);

    if (rc != WKIM_OK)
        return rc == WKIM_EAGAIN ? "?" : "!";
    snprintf(text, sizeof(text), "%s", k.value ? ((struct value *)k.value)->text : "");
    unref(k.value);
    return text;
}

static const char *get(const char *id)
{
    return get_since(WK_SOURCE_SUBSCRIBERS, id, wk_source_mark(w.s));
}

/* ---- text ------------------------------------------------------------------------------------ */

static void a_question_is_the_json_of_the_reference(void **state)
{
    (void)state;
    struct wk_buf b = WK_BUF_INIT;
    struct wk_source_question q = question(WK_SOURCE_DENY, "g\"\n\xe4\xb8\xad");

    wk_source_request_text(&b, &q);
    wk_buf_u8(&b, 0);
    assert_string_equal((char *)b.p, "{\"cmd\":\"getBlacklist\",\"data\":{\"channel_id\":\"g\\\"\\n"
                                     "\xe4\xb8\xad\",\"channel_type\":2}}");
    wk_buf_clear(&b);
    q.cmd = WK_SOURCE_SYSTEM;
    wk_source_request_text(&b, &q);
    wk_buf_u8(&b, 0);
    assert_string_equal((char *)b.p, "{\"cmd\":\"getSystemUIDs\",\"data\":{}}");
    wk_buf_fini(&b);
}

/* "a,b" of an answer, or the reason in brackets. */
static const char *uids_of(const char *body, uint32_t *skipped)
{
    static char text[512];
    struct wk_buf b = WK_BUF_INIT;
    char why[WK_SOURCE_WHY_BYTES] = "";
    uint32_t n, left;
    int rc = wk_source_parse_uids(&b, wk_str(body), &n, skipped ? skipped : &left, why);
    size_t at = 0;

    text[0] = 0;
    struct wk_cursor c = wk_cursor(wk_buf_slice(&b));
    for (uint32_t i = 0; rc == WKIM_OK && i < n; i++) {
        wkim_slice uid = wk_cursor_str(&c);
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i ? "," : "", (int)uid.n,
                               (const char *)uid.p);
    }
    if (rc != WKIM_OK)
        snprintf(text, sizeof(text), "[%s]", why);
    else
        assert_int_equal(wk_cursor_left(&c), 0);
    wk_buf_fini(&b);
    return text;
}

static void lists_are_read_as_json(void **state)
{
    (void)state;
    assert_string_equal(uids_of("[]", NULL), "");
    assert_string_equal(uids_of(" null\n", NULL), "");
    assert_string_equal(uids_of("\t[ \"a\" , \"b\"\r\n]", NULL), "a,b");
    assert_string_equal(uids_of("[\"\\u4e2d\\ud83d\\ude00\\\"\\\\\"]", NULL),
                        "\xe4\xb8\xad\xf0\x9f\x98\x80\"\\");
}

static void what_cannot_be_a_uid_is_left_out_and_counted(void **state)
{
    (void)state;
    uint32_t skipped;

    assert_string_equal(uids_of("[\"\",\" \",\"a@b\",\"c#\",\"d&\",\"\\u3000\",\"ok\"]", &skipped),
                        "ok");
    assert_int_equal(skipped, 6);
    char *body = malloc(30010);
    memset(body, 'x', 30010);
    memcpy(body, "[\"", 2);
    memcpy(body + 30000, "\",\"u\"]", 7);
    assert_string_equal(uids_of(body, &skipped), "u");
    assert_int_equal(skipped, 1);
    free(body);
}

static void anything_else_is_refused_with_its_place(void **state)
{
    (void)state;
    const char *const bad[][2] = {
        { "", "[the answer is no list of texts]" },
        { "{\"a\":1}", "[the answer is no list of texts]" },
        { "\"a\"", "[the answer is no list of texts]" },
        { "[1]", "[byte 1: an item is no text]" },
        { "[\"a\",]", "[byte 5: an item is no text]" },
        { "[\"a\" \"b\"]", "[byte 5: the list does not go on]" },
        { "[\"a\"", "[byte 4: the list does not go on]" },
        { "[\"a", "[the text at byte 2 does not end or is no UTF-8]" },
        { "[\"\xff\"]", "[the text at byte 2 does not end or is no UTF-8]" },
        { "[\"a\nb\"]", "[the text at byte 2 does not end or is no UTF-8]" },
        { "[\"\\ud83d\"]", "[the text at byte 2 has a wrong escape]" },
        { "[\"\\q\"]", "[the text at byte 2 has a wrong escape]" },
        { "[\"\\u0000\"]", "[the text at byte 2 has a wrong escape]" },
        { "[\"a\"] x", "[byte 6: more than one value]" },
        { "[[\"a\"]]", "[byte 1: an item is no text]" },
        { "nul", "[the answer is no list of texts]" },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_string_equal(uids_of(bad[i][0], NULL), bad[i][1]);
}

static int info_of(const char *body, uint32_t *flags)
{
    char why[WK_SOURCE_WHY_BYTES];
    return wk_source_parse_info(flags, wk_str(body), why);
}

static void channel_info_is_three_integers(void **state)
{
    (void)state;
    uint32_t f;

    assert_int_equal(info_of("{\"large\":1,\"ban\":0,\"disband\":1}", &f), WKIM_OK);
    assert_int_equal(f, WK_SOURCE_LARGE | WK_SOURCE_DISBAND);
    assert_int_equal(info_of("{\"ban\":1,\"more\":[]}", &f), WKIM_OK);
    assert_int_equal(f, WK_SOURCE_BAN);
    assert_int_equal(info_of("null", &f), WKIM_OK);
    assert_int_equal(f, 0);
    assert_int_equal(info_of("{\"ban\":\"1\"}", &f), WKIM_EPROTO);
    assert_int_equal(info_of("{\"ban\":true}", &f), WKIM_EPROTO);
    assert_int_equal(info_of("[]", &f), WKIM_EPROTO);
    assert_int_equal(info_of("", &f), WKIM_EPROTO);
    char *big = malloc(70001);
    memset(big, ' ', 70000);
    big[70000] = 0;
    assert_int_equal(info_of(big, &f), WKIM_ETOOBIG);
    free(big);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void a_question_is_asked_once_for_all_who_wait(void **state)
{
    (void)state;
    assert_string_equal(get("g"), "?");
    assert_string_equal(get("g"), "?");
    assert_int_equal(w.n_out, 1);
    assert_string_equal(
        w.asked, "{\"cmd\":\"getSubscribers\",\"data\":{\"channel_id\":\"g\",\"channel_type\":2}}");
    assert_int_equal(w.wake, 1000 + TIMEOUT);
    answer("ann", 100);
    assert_int_equal(w.answers, 1);
    assert_string_equal(get("g"), "ann");
    assert_string_equal(get_since(WK_SOURCE_DENY, "g", 0), "?"); /* another question */
}

static void an_answer_holds_until_it_expires(void **state)
{
    (void)state;
    (void)get("g");
    answer("ann", 100);
    w.now += EXPIRE - 1;
    assert_string_equal(get("g"), "ann");
    w.now++;
    assert_string_equal(get("g"), "?");
    answer("bob", 100);
    assert_string_equal(get("g"), "bob");
}

static void an_empty_list_of_subscribers_holds_shortly(void **state)
{
    (void)state;
    (void)get("g");
    answer("", 100);
    w.now += NEGATIVE;
    assert_string_equal(get("g"), "?");
    (void)get_since(WK_SOURCE_DENY, "g", 0);
    answer("ann", 100);
    answer("", 100); /* nobody is denied: the usual case */
    w.now += NEGATIVE;
    assert_string_equal(get_since(WK_SOURCE_DENY, "g", wk_source_mark(w.s)), "");
}

static void what_came_while_one_waited_counts_as_fresh(void **state)
{
    (void)state;
    uint64_t since = wk_source_mark(w.s);

    (void)get_since(WK_SOURCE_SUBSCRIBERS, "g", since);
    answer("ann", 100);
    w.now += EXPIRE * 2; /* another answer took so long */
    assert_string_equal(get_since(WK_SOURCE_SUBSCRIBERS, "g", since), "ann");
    assert_string_equal(get("g"), "?");
}

static void a_failure_holds_shortly_and_then_is_asked_again(void **state)
{
    (void)state;
    uint64_t since = wk_source_mark(w.s);

    (void)get_since(WK_SOURCE_SUBSCRIBERS, "g", since);
    refuse(500);
    assert_int_equal(w.answers, 1);
    assert_string_equal(get("g"), "!");
    w.now += NEGATIVE;
    assert_string_equal(get_since(WK_SOURCE_SUBSCRIBERS, "g", since), "!"); /* its own failure */
    assert_int_equal(w.n_out, 0);
    assert_string_equal(get("g"), "?");
    answer("ann", 100);
    assert_string_equal(get("g"), "ann");
}

static void the_last_answer_serves_while_the_source_fails(void **state)
{
    (void)state;
    (void)get("g");
    answer("ann", 100);
    w.now += EXPIRE;
    assert_string_equal(get("g"), "?"); /* the first time it is waited for */
    refuse(503);
    assert_string_equal(get("g"), "ann");
    w.now += NEGATIVE;
    assert_string_equal(get("g"), "ann"); /* asked again, nobody waits */
    assert_int_equal(w.n_out, 1);
    answer("bob", 100);
    assert_string_equal(get("g"), "bob");
}

static void a_system_question_is_asked_again_at_once_and_never_expires(void **state)
{
    (void)state;
    assert_string_equal(get_since(WK_SOURCE_SYSTEM, "", wk_source_mark(w.s)), "?");
    refuse(500);
    assert_string_equal(get_since(WK_SOURCE_SYSTEM, "", wk_source_mark(w.s)), "?");
    answer("robot", 100);
    w.now += 1000ull * EXPIRE;
    assert_string_equal(get_since(WK_SOURCE_SYSTEM, "", wk_source_mark(w.s)), "robot");
}

/* ---- changes --------------------------------------------------------------------------------- */

static void a_changed_channel_is_asked_again(void **state)
{
    (void)state;
    (void)get("g");
    (void)get("other");
    answer("ann", 100);
    answer("x", 100);
    wk_source_forget(w.s, 3, wk_str("g"));
    assert_string_equal(get("g"), "ann"); /* another type */
    wk_source_forget(w.s, 2, wk_str("g"));
    assert_string_equal(get("g"), "?");
    assert_string_equal(get("other"), "x");
    refuse(500);
    assert_string_equal(get("g"), "ann"); /* better than nothing */
}

static void an_answer_from_before_the_change_is_not_used(void **state)
{
    (void)state;
    (void)get("g");
    wk_source_forget(w.s, 2, wk_str("g"));
    answer("old", 100);
    assert_int_equal(w.answers, 0);
    assert_string_equal(get("g"), "?");
    answer("new", 100);
    assert_string_equal(get("g"), "new");
    wk_source_forget(w.s, 2, wk_str("g"));
    (void)get("g");
    for (int i = 0; i < 3; i++) { /* it changes all the time: that is no reason to ask for ever */
        wk_source_forget(w.s, 2, wk_str("g"));
        answer("old", 100);
    }
    wk_source_forget(w.s, 2, wk_str("g"));
    answer("enough", 100);
    assert_string_equal(get("g"), "enough");
    assert_int_equal(w.n_out, 0);
}

static void the_answers_of_a_slot_go_with_it(void **state)
{
    (void)state;
    (void)get("g");
    answer("ann", 100);
    (void)get("h");
    wk_source_drop_slot(w.s, 7);
    struct wk_source_known k;
    const struct wk_source_question q = question(WK_SOURCE_SUBSCRIBERS, "g");
    assert_false(wk_source_peek(w.s, &q, &k));
    answer("late", 100); /* of h: nobody wants it */
    assert_int_equal(w.answers, 1);
    assert_string_equal(get("h"), "?");
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void no_more_requests_than_allowed_are_under_way(void **state)
{
    (void)state;
    char id[16];

    for (int i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "g%d", i);
        (void)get(id);
    }
    assert_int_equal(w.n_out, 4);
    answer("ann", 100);
    assert_int_equal(w.n_out, 4);
    for (int i = 0; i < 9; i++)
        answer("ann", 100);
    assert_string_equal(get("g9"), "ann");
}

static void a_hanging_source_is_given_up_and_its_late_answers_are_nobodys(void **state)
{
    (void)state;
    char id[16];

    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "g%d", i);
        (void)get(id);
    }
    wk_source_run(w.s, w.now + TIMEOUT - 1);
    assert_int_equal(w.answers, 0);
    w.now += TIMEOUT;
    wk_source_run(w.s, w.now);
    assert_int_equal(w.answers, 6); /* also those that were never sent */
    assert_string_equal(get("g0"), "!");
    (void)get("new");
    assert_int_equal(w.n_out, 4); /* the four that hang still count */
    answer("late", 100);
    assert_string_equal(get("g0"), "!");
    assert_int_equal(w.n_out, 4);
    assert_int_equal(wk_source_counts(w.s)->results[2], 6);
}

static void answers_make_room_oldest_first(void **state)
{
    (void)state;
    char id[16];

    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof(id), "g%d", i);
        (void)get(id);
        answer("ann", 300000);
        (void)get("g0"); /* in use */
    }
    assert_true(w.bytes <= w.opt.bytes_max);
    assert_string_equal(get("g0"), "ann");
    assert_string_equal(get("g3"), "ann");
    assert_string_equal(get("g1"), "?");
    (void)get("huge");
    answer("x", 1);
    answer("ann", 4 << 20); /* more than all: used, alone */
    assert_string_equal(get("huge"), "ann");
    assert_true(wk_source_counts(w.s)->evicted >= 3);
}

static void failures_are_said_once_in_a_while(void **state)
{
    (void)state;
    char id[16];

    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "g\"%d", i);
        (void)get(id);
        refuse(500);
    }
    assert_int_equal(w.lines, 1);
    assert_string_equal(w.line, "datasource_failed key=datasource.addr url=\"http://h/p\" "
                                "cmd=getSubscribers channel=\"g\\\"0\" type=2 status=500 "
                                "reason=\"HTTP status 500\" unlogged=0");
    w.now += 10000;
    (void)get("h");
    refuse(404);
    assert_int_equal(w.lines, 2);
    assert_non_null(strstr(w.line, "unlogged=19"));
}

static void a_channel_id_beyond_the_limit_is_not_asked(void **state)
{
    (void)state;
    char *id = calloc(1, 10000);

    memset(id, 'x', 9999);
    assert_string_equal(get(id), "!");
    assert_int_equal(w.n_out, 0);
    free(id);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_question_is_the_json_of_the_reference),
        T(lists_are_read_as_json),
        T(what_cannot_be_a_uid_is_left_out_and_counted),
        T(anything_else_is_refused_with_its_place),
        T(channel_info_is_three_integers),
        T(a_question_is_asked_once_for_all_who_wait),
        T(an_answer_holds_until_it_expires),
        T(an_empty_list_of_subscribers_holds_shortly),
        T(what_came_while_one_waited_counts_as_fresh),
        T(a_failure_holds_shortly_and_then_is_asked_again),
        T(the_last_answer_serves_while_the_source_fails),
        T(a_system_question_is_asked_again_at_once_and_never_expires),
        T(a_changed_channel_is_asked_again),
        T(an_answer_from_before_the_change_is_not_used),
        T(the_answers_of_a_slot_go_with_it),
        T(no_more_requests_than_allowed_are_under_way),
        T(a_hanging_source_is_given_up_and_its_late_answers_are_nobodys),
        T(answers_make_room_oldest_first),
        T(failures_are_said_once_in_a_while),
        T(a_channel_id_beyond_the_limit_is_not_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
