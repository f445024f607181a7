#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wkim/config.h>
#include <wkim/mem.h>
#include "config/config.h"

static wkim_config *fresh(void)
{
    wkim_config *c = NULL;

    assert_int_equal(wkim_config_new(&c), WKIM_OK);
    return c;
}

static int set_file(wkim_config *c, const char *key, const char *value)
{
    return wkim_config_set(c, key, value, WKIM_SOURCE_FILE, "wk.yaml:3", NULL);
}

static void every_default_is_what_the_table_says(void **state)
{
    wkim_config *c = fresh();
    const char *key, *type, *def, *text;
    size_t i;
    int effect;

    (void)state;
    for (i = 0; wkim_config_key(i, &key, &type, &def, &text, &effect); i++) {
        assert_non_null(wkim_config_get(c, key));
        assert_false(wkim_config_is_set(c, key));
        assert_true(*type && *text);
        for (size_t j = 0; j < i; j++) {
            const char *other;

            (void)wkim_config_key(j, &other, NULL, NULL, NULL, NULL);
            assert_string_not_equal(key, other);
        }
    }
    assert_true(i > 150);
    assert_string_equal(wkim_config_get(c, "wsAddr"), "ws://0.0.0.0:5200");
    assert_int_equal(wkim_config_int(c, "cluster.nodeId"), 1001);
    assert_int_equal(wkim_config_int(c, "connIdleTime"), 180000);
    assert_int_equal(wkim_config_int(c, "jwt.expire"), 2592000000);
    assert_int_equal(wkim_config_int(c, "db.memTableSize"), 16777216);
    assert_int_equal(wkim_config_int(c, "whitelistOffOfPerson"), 1);
    assert_null(wkim_config_get(c, "no.such.key"));
    wkim_config_free(c);
}

static void a_stronger_source_wins_in_any_order_of_calls(void **state)
{
    static const int order[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3},
                                    {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};
    static const char *const values[] = {"", "11s", "12s", "13s"};
    static const char *const lists[] = {"", "msg.notify", "msg.offline user.onlinestatus", "x"};

    (void)state;
    for (int o = 0; o < 6; o++) {
        wkim_config *c = fresh();
        const char *item;

        for (int i = 0; i < 3; i++) {
            int source = order[o][i];

            assert_int_equal(wkim_config_set(c, "tag.expire", values[source], source, NULL, NULL),
                             0);
            assert_int_equal(
                wkim_config_set(c, "webhook.focusEvents", lists[source], source, NULL, NULL), 0);
        }
        assert_int_equal(wkim_config_int(c, "tag.expire"), 13000);
        assert_int_equal(wkim_config_list(c, "webhook.focusEvents", 0, &item), 1);
        assert_string_equal(item, "x");
        wkim_config_free(c);
    }
}

static void keys_are_case_insensitive(void **state)
{
    wkim_config *c = fresh();

    (void)state;
    assert_int_equal(set_file(c, "CLUSTER.nodeid", "7"), WKIM_OK);
    assert_int_equal(wkim_config_int(c, "cluster.NODEID"), 7);
    assert_true(wkim_config_is_set(c, "cluster.nodeId"));
    wkim_config_free(c);
}

struct text_case {
    const char *key, *text;
    int64_t number;     /* when reason is NULL */
    const char *reason; /* behind "config: key: ", up to " [wk.yaml:3]" */
};

static void values_are_read_or_refused_with_a_reason(void **state)
{
    static const struct text_case cases[] = {
        {"connIdleTime", "1d12h", 129600000, NULL},
        {"connIdleTime", "1w", 604800000, NULL},
        {"connIdleTime", "1h30m", 5400000, NULL},
        {"connIdleTime", "1.5h", 5400000, NULL},
        {"connIdleTime", " 500ms ", 500, NULL},
        {"connIdleTime", "1us", 1, NULL},
        {"connIdleTime", "1000000", 1, NULL},
        {"connIdleTime", "180000000000", 180000, NULL},
        {"connIdleTime", "90", 0, "\"90\" has no unit (write 90s, 90ms \xe2\x80\xa6)"},
        {"connIdleTime", "-3s", 0, "\"-3s\" is negative, a duration must not be"},
        {"connIdleTime", "5x", 0, "\"5x\" is not a duration (for example 90s, 5m or 1d12h)"},
        {"conversation.syncInterval", "abc", 0,
         "\"abc\" is not a duration (for example 90s, 5m or 1d12h)"},
        {"connIdleTime", "99999999999999999999s", 0,
         "\"99999999999999999999s\" is not a duration (for example 90s, 5m or 1d12h)"},
        {"db.memTableSize", "32MB", 33554432, NULL},
        {"db.memTableSize", "2 gib", 2147483648, NULL},
        {"db.memTableSize", "1TB", 0, "\"1TB\" is not a size (for example 1048576, 64KB or 16MiB)"},
        {"db.memTableSize", "1", 0, "1 is out of range 1048576..4294967296"},
        {"messageRetry.maxCount", "many", 0, "\"many\" is not a whole number (for example 100)"},
        {"messageRetry.maxCount", "1.5", 0, "\"1.5\" is not a whole number (for example 100)"},
        {"cluster.slotCount", "-5", 0, "-5 is out of range 1..4096"},
        {"cluster.nodeId", "2000", 0, "2000 is out of range 1..1023"},
        {"cluster.nodeId", "0", 0, "must be 1..1023"},
        {"cluster.role", "x", 0, "\"x\" is not one of replica, proxy"},
        {"mode", "RELEASE", 1, NULL},
        {"mode", "x", 0, "\"x\" is not one of debug, release, bench, test"},
        {"tokenAuthOn", "Yes", 1, NULL},
        {"tokenAuthOn", "T", 1, NULL},
        {"whitelistOffOfPerson", "off", 0, NULL},
        {"tokenAuthOn", "maybe", 0, "\"maybe\" is not a bool (write true or false)"},
        {"logger.level", "warn", 3, NULL},
        {"logger.level", "4", 4, NULL},
        {"logger.level", "5", 0, "\"5\" is not one of 0, 1, 2, 3, 4, debug, info, warn, error"},
        {"httpAddr", "abc", 0, "\"abc\" is not host:port (for example 0.0.0.0:5001)"},
        {"httpAddr", ":99999", 0, "\":99999\" is not host:port (for example 0.0.0.0:5001)"},
        {"httpAddr", "::1:80", 0, "\"::1:80\" is not host:port (for example 0.0.0.0:5001)"},
        {"addr", "http://1.2.3.4:5", 0, "\"http://1.2.3.4:5\" is not tcp://host:port"},
        {"webhook.httpAddr", "ftp://x", 0,
         "\"ftp://x\" is not a URL (for example http://127.0.0.1:8090/hook)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct text_case *t = &cases[i];
        wkim_config *c = fresh();
        wkim_error err = {0};
        int rc = wkim_config_set(c, t->key, t->text, WKIM_SOURCE_FILE, "wk.yaml:3", &err);

        if (t->reason) {
            char expected[300];

            (void)snprintf(expected, sizeof(expected), "config: %s: %s [wk.yaml:3]", t->key,
                           t->reason);
            assert_int_equal(rc, WKIM_ECONFIG);
            assert_string_equal(err.text, expected);
            assert_false(wkim_config_is_set(c, t->key));
        } else {
            assert_int_equal(rc, WKIM_OK);
            assert_int_equal(wkim_config_int(c, t->key), t->number);
            assert_true(wkim_config_is_set(c, t->key));
        }
        wkim_config_free(c);
    }
}

static void addresses_are_accepted_with_and_without_scheme(void **state)
{
    static const char *const good[] = {"tcp://0.0.0.0:5100", "0.0.0.0:5100", ":5100", "[::1]:5100",
                                       "TCP://[::]:0"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        wkim_config *c = fresh();

        assert_int_equal(set_file(c, "addr", good[i]), WKIM_OK);
        assert_string_equal(wkim_config_get(c, "addr"), good[i]);
        wkim_config_free(c);
    }
}

static void lists_split_on_blanks_and_on_commas_outside_brackets(void **state)
{
    wkim_config *c = fresh();
    const char *item;

    (void)state;
    assert_int_equal(set_file(c, "auth.users", "guest:guest:[slot:r,tag:r], admin:pwd:*"), WKIM_OK);
    assert_int_equal(wkim_config_list(c, "auth.users", 1, &item), 2);
    assert_string_equal(item, "admin:pwd:*");
    (void)wkim_config_list(c, "auth.users", 0, &item);
    assert_string_equal(item, "guest:guest:[slot:r,tag:r]");
    assert_int_equal(wkim_config_list(c, "auth.users", 2, &item), 2);
    assert_null(item);
    assert_string_equal(wkim_config_get(c, "auth.users"), "guest:guest:[slot:r,tag:r] admin:pwd:*");
    wkim_config_free(c);
}

static void added_items_replace_weaker_sources_and_join_their_own(void **state)
{
    wkim_config *c = fresh();

    (void)state;
    assert_int_equal(wkim_config_add(c, "cluster.initNodes", "1@a", WKIM_SOURCE_FILE, NULL, NULL),
                     0);
    assert_int_equal(wkim_config_add(c, "cluster.initNodes", "2@b", WKIM_SOURCE_FILE, NULL, NULL),
                     0);
    assert_string_equal(wkim_config_get(c, "cluster.initNodes"), "1@a 2@b");
    assert_int_equal(wkim_config_add(c, "cluster.initNodes", "3@c:1", WKIM_SOURCE_ENV, NULL, NULL),
                     0);
    assert_string_equal(wkim_config_get(c, "cluster.initNodes"), "3@c:1");
    assert_int_equal(wkim_config_add(c, "cluster.initNodes", "4@d", WKIM_SOURCE_FILE, NULL, NULL),
                     0);
    assert_string_equal(wkim_config_get(c, "cluster.initNodes"), "3@c:1");
    assert_int_equal(wkim_config_add(c, "addr", "1@a", WKIM_SOURCE_FILE, NULL, NULL), WKIM_ECONFIG);
    wkim_config_free(c);
}

static void bad_items_are_named_by_index_and_never_show_a_password(void **state)
{
    static const struct {
        const char *key, *value, *text;
    } cases[] = {
        {"cluster.initNodes", "1@a 2@b:70000",
         "config: cluster.initNodes[1]: \"2@b:70000\" must be "
         "nodeId@host[:port] [wk.yaml:3]"},
        {"cluster.initNodes", "bad",
         "config: cluster.initNodes[0]: \"bad\" must be "
         "nodeId@host[:port] [wk.yaml:3]"},
        {"auth.users", "admin:secret",
         "config: auth.users[0]: \"admin:***\" must be name:password:* or "
         "name:password:[resource:actions,\xe2\x80\xa6] [wk.yaml:3]"},
        {"auth.users", "a:b:* admin:secret:r",
         "config: auth.users[1]: permission \"r\" must be * or [resource:actions] [wk.yaml:3]"},
        {"proxyProtocol.trusted", "10.0.0.0/33",
         "config: proxyProtocol.trusted[0]: \"10.0.0.0/33\" must be an address or address/bits "
         "(for example 10.0.0.0/8) [wk.yaml:3]"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        wkim_config *c = fresh();
        wkim_error err = {0};

        assert_int_equal(
            wkim_config_set(c, cases[i].key, cases[i].value, WKIM_SOURCE_FILE, "wk.yaml:3", &err),
            WKIM_ECONFIG);
        assert_string_equal(err.text, cases[i].text);
        assert_null(strstr(err.text, "secret"));
        wkim_config_free(c);
    }
}

static void an_unknown_key_is_answered_with_the_nearest_one(void **state)
{
    wkim_config *c = fresh();
    wkim_error err = {0};

    (void)state;
    assert_int_equal(
        wkim_config_set(c, "cluster.nodeid2", "1", WKIM_SOURCE_FILE, "wk.yaml:12", &err),
        WKIM_ENOTFOUND);
    assert_string_equal(err.text, "config: unknown key \"cluster.nodeid2\" at wk.yaml:12 (did you "
                                  "mean \"cluster.nodeId\"?)");
    assert_int_equal(wkim_config_set(c, "zzzzzz", "1", WKIM_SOURCE_FLAG, NULL, &err),
                     WKIM_ENOTFOUND);
    assert_string_equal(err.text, "config: unknown key \"zzzzzz\" at flag");
    wkim_config_free(c);
}

static void defaults_follow_the_keys_they_depend_on(void **state)
{
    wkim_config *c = fresh();

    (void)state;
    assert_int_equal(wkim_config_int(c, "demo.on"), 1);
    assert_int_equal(set_file(c, "rootDir", "/srv/im"), WKIM_OK);
    assert_string_equal(wkim_config_get(c, "dataDir"), "/srv/im/data");
    assert_string_equal(wkim_config_get(c, "plugin.socketPath"), "/srv/im/run/wukongim.sock");
    assert_int_equal(set_file(c, "dataDir", "/data"), WKIM_OK);
    assert_int_equal(set_file(c, "rootDir", "/other"), WKIM_OK);
    assert_string_equal(wkim_config_get(c, "dataDir"), "/data");
    assert_int_equal(set_file(c, "mode", "release"), WKIM_OK);
    assert_int_equal(wkim_config_int(c, "demo.on"), 0);
    assert_int_equal(set_file(c, "demo.on", "true"), WKIM_OK);
    assert_int_equal(wkim_config_int(c, "demo.on"), 1);
    assert_int_equal(set_file(c, "tokenAuthOn", "true"), WKIM_OK);
    assert_int_equal(set_file(c, "stress", "true"), WKIM_OK);
    assert_int_equal(wkim_config_int(c, "tokenAuthOn"), 0);
    wkim_config_free(c);
}

static void old_names_give_way_to_the_real_ones(void **state)
{
    wkim_config *c = fresh();

    (void)state;
    assert_int_equal(set_file(c, "monitor.addr", "127.0.0.1:1"), WKIM_OK);
    assert_string_equal(wkim_config_get(c, "manager.addr"), "127.0.0.1:1");
    assert_int_equal(set_file(c, "manager.addr", "127.0.0.1:2"), WKIM_OK);
    assert_int_equal(set_file(c, "monitor.addr", "127.0.0.1:3"), WKIM_OK);
    assert_string_equal(wkim_config_get(c, "manager.addr"), "127.0.0.1:2");
    wkim_config_free(c);
}

struct reports {
    char text[8192];
    int warnings;
};

static void collect(void *user, int level, const char *text)
{
    struct reports *r = user;

    r->warnings += level == 0;
    (void)snprintf(r->text + strlen(r->text), sizeof(r->text) - strlen(r->text), "%d %s\n", level,
                   text);
}

static int check(const wkim_config *c, struct reports *r)
{
    memset(r, 0, sizeof(*r));
    return wkim_config_check(c, collect, r);
}

static void an_explicit_zero_is_honoured_or_reported(void **state)
{
    wkim_config *c = fresh();
    struct reports r;

    (void)state;
    assert_int_equal(set_file(c, "messageRetry.maxCount", "0"), WKIM_OK);
    assert_int_equal(set_file(c, "channel.subscriberCompressOfCount", "0"), WKIM_OK);
    assert_int_equal(set_file(c, "managerUID", ""), WKIM_OK);
    assert_int_equal(wkim_config_int(c, "messageRetry.maxCount"), 5);
    assert_false(wkim_config_is_set(c, "messageRetry.maxCount"));
    assert_true(wkim_config_is_set(c, "channel.subscriberCompressOfCount"));
    assert_int_equal(check(c, &r), 0);
    assert_non_null(strstr(r.text, "0 config: messageRetry.maxCount: 0 is treated as \"not set\" "
                                   "(default 5) [wk.yaml:3]\n"));
    assert_non_null(strstr(r.text, "0 config: managerUID: \"\" is treated as \"not set\" (default "
                                   "____manager) [wk.yaml:3]\n"));
    assert_null(strstr(r.text, "CompressOfCount"));
    wkim_config_free(c);
}

/* Each row breaks one rule across keys; the good configuration breaks none. */
static void rules_across_keys_name_key_reason_and_source(void **state)
{
    static const struct {
        const char *key, *value, *text;
    } rows[] = {
        {"manager.addr", "0.0.0.0:5001",
         "1 config: manager.addr and httpAddr both use 0.0.0.0:5001 [wk.yaml:3]\n"},
        {"manager.addr", "127.0.0.1:5001",
         "1 config: manager.addr and httpAddr both use 0.0.0.0:5001 [wk.yaml:3]\n"},
        {"wssAddr", "wss://0.0.0.0:5210",
         "1 config: wssAddr: needs wssConfig.certFile and wssConfig.keyFile [wk.yaml:3]\n"},
        {"wssConfig.certFile", "/c.pem",
         "1 config: wssConfig.certFile: needs wssConfig.keyFile too [wk.yaml:3]\n"},
        {"cluster.initNodes", "1002@b",
         "1 config: cluster.initNodes: does not contain this node (cluster.nodeId 1001) "
         "[wk.yaml:3]\n"},
        {"cluster.initNodes", "1001@b 1001@c",
         "1 config: cluster.initNodes[1]: node 1001 is listed twice [wk.yaml:3]\n"},
        {"cluster.seed", "1001@b:1",
         "1 config: cluster.serverAddr: required when cluster.initNodes or cluster.seed is set "
         "[default]\n"},
        {"cluster.initNodes", "1001@a 1002@b",
         "1 config: cluster.apiUrl: required in a cluster (other nodes forward HTTP requests to "
         "it) [default]\n"},
        {"auth.users", "a:b:* a:c:*", "1 config: auth.users: duplicate user \"a\" [wk.yaml:3]\n"},
        {"auth.users", "____manager:b:[*:r]",
         "1 config: auth.users[0]: the name \"____manager\" is taken by managerUID [wk.yaml:3]\n"},
        {"jwt.secret", "secret_wukongim",
         "0 config: jwt.secret: is the published default, anybody can sign console tokens (leave "
         "it empty to have one made) [wk.yaml:3]\n"},
        {"mode", "release",
         "0 config: tokenAuthOn is false: any client may connect as any uid "
         "[default]\n"},
        {"auth.users", "a:b:[slots:r]",
         "0 config: auth.users[0]: unknown resource \"slots\" (known:"},
        {"webhook.focusEvents", "msg.offlin", "0 config: webhook.focusEvents[0]: unknown event"},
        {"datasource.membersOn", "true",
         "1 config: datasource.addr: required when datasource.membersOn is true"},
        {"timingWheelSize", "7",
         "0 config: timingWheelSize: has no effect (timers here have no wheel) [wk.yaml:3]\n"},
    };
    struct reports r;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        wkim_config *c = fresh();

        assert_int_equal(check(c, &r), 0);
        assert_null(strstr(r.text, rows[i].text));
        assert_int_equal(set_file(c, rows[i].key, rows[i].value), WKIM_OK);
        assert_int_equal(check(c, &r) > 0, rows[i].text[0] == '1');
        assert_non_null(strstr(r.text, rows[i].text));
        wkim_config_free(c);
    }
}

/* Files in the field hold keys that never did anything; warning of each would hide the others. */
static void keys_without_effect_in_version_2_are_no_warning(void **state)
{
    static const char *const rows[][2] = {
        {"deadlockCheck", "true"}, {"auth.kind", "jwt"},      {"reactor.user.subCount", "3"},
        {"ginMode", "debug"},      {"trace.endpoint", "x:1"}, {"conversation.cacheExpire", "1d"}};
    wkim_config *c = fresh();
    struct reports plain, r;

    (void)state;
    assert_int_equal(check(c, &plain), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(set_file(c, rows[i][0], rows[i][1]), WKIM_OK);
    assert_int_equal(check(c, &r), 0);
    assert_string_equal(r.text, plain.text);
    wkim_config_free(c);
}

/* The published example file holds a list with one empty item. */
static void an_empty_item_is_no_item(void **state)
{
    wkim_config *c = fresh();

    (void)state;
    assert_int_equal(
        wkim_config_add(c, "cluster.initNodes", "", WKIM_SOURCE_FILE, "wk.yaml:3", NULL), WKIM_OK);
    assert_int_equal(
        wkim_config_add(c, "cluster.initNodes", " 1001@a ", WKIM_SOURCE_FILE, "wk.yaml:4", NULL),
        WKIM_OK);
    assert_int_equal(wkim_config_list(c, "cluster.initNodes", 0, NULL), 1);
    assert_string_equal(wkim_config_get(c, "cluster.initNodes"), "1001@a");
    wkim_config_free(c);
}

static long countdown; /* allocations until one fails, < 0: never */

static void *failing_malloc(size_t n, void *user)
{
    (void)user;
    return countdown-- == 0 ? NULL : malloc(n);
}
static void *failing_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    return countdown-- == 0 ? NULL : calloc(count, n);
}
static void *failing_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return countdown-- == 0 ? NULL : realloc(p, n);
}
static void plain_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static int scenario(void)
{
    wkim_config *c = NULL, *copy = NULL;
    int rc = wkim_config_new(&c);

    if (rc == WKIM_OK)
        rc = set_file(c, "rootDir", "/srv/im");
    if (rc == WKIM_OK)
        rc = set_file(c, "mode", "release");
    if (rc == WKIM_OK)
        rc = set_file(c, "cluster.initNodes", "1001@a,1002@b 1003@c");
    if (rc == WKIM_OK)
        rc = wkim_config_add(c, "cluster.initNodes", "4@d", WKIM_SOURCE_FILE, "wk.yaml:9", NULL);
    if (rc == WKIM_OK)
        rc = wk_config_clone(&copy, c);
    if (rc == WKIM_OK) {
        assert_string_equal(wkim_config_get(copy, "cluster.initNodes"), "1001@a 1002@b 1003@c 4@d");
        assert_string_equal(wkim_config_get(copy, "dataDir"), "/srv/im/data");
    } else if (c) {
        assert_non_null(wkim_config_get(c, "rootDir")); /* still whole */
    }
    wkim_config_free(copy);
    wkim_config_free(c);
    return rc;
}

static void any_failing_allocation_is_reported_and_leaves_a_whole_object(void **state)
{
    const wkim_mem mem = {failing_malloc, failing_calloc, failing_realloc, plain_free, NULL};
    int rc = WKIM_ENOMEM;
    long n;

    (void)state;
    wkim_mem_set(&mem);
    for (n = 0; rc != WKIM_OK && n < 1000; n++) {
        countdown = n;
        rc = scenario();
        assert_true(rc == WKIM_OK || rc == WKIM_ENOMEM);
    }
    countdown = -1;
    wkim_mem_set(NULL);
    assert_int_equal(rc, WKIM_OK);
    assert_true(n > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_default_is_what_the_table_says),
        cmocka_unit_test(a_stronger_source_wins_in_any_order_of_calls),
        cmocka_unit_test(keys_are_case_insensitive),
        cmocka_unit_test(values_are_read_or_refused_with_a_reason),
        cmocka_unit_test(addresses_are_accepted_with_and_without_scheme),
        cmocka_unit_test(lists_split_on_blanks_and_on_commas_outside_brackets),
        cmocka_unit_test(added_items_replace_weaker_sources_and_join_their_own),
        cmocka_unit_test(bad_items_are_named_by_index_and_never_show_a_password),
        cmocka_unit_test(an_unknown_key_is_answered_with_the_nearest_one),
        cmocka_unit_test(defaults_follow_the_keys_they_depend_on),
        cmocka_unit_test(old_names_give_way_to_the_real_ones),
        cmocka_unit_test(an_explicit_zero_is_honoured_or_reported),
        cmocka_unit_test(rules_across_keys_name_key_reason_and_source),
        cmocka_unit_test(keys_without_effect_in_version_2_are_no_warning),
        cmocka_unit_test(an_empty_item_is_no_item),
        cmocka_unit_test(any_failing_allocation_is_reported_and_leaves_a_whole_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
