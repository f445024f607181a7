/* Dead letters: what is kept, found again after a restart, bounded. */
#include "../../../server/out/dead.c"
#include "../../../server/out/dead_file.c"
#include "../../../server/out/dead_line.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char folder[64];
static int warnings;

void wk_log_say(struct wk_log_file *l, int level, const char *event, const char *fmt, ...)
{
    (void)l;
    (void)level;
    (void)event;
    (void)fmt;
    warnings++;
}

static int setup(void **state)
{
    (void)snprintf(folder, sizeof(folder), "/tmp/wkim-dead-XXXXXX");
    warnings = 0;
    *state = mkdtemp(folder);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    char path[512];
    DIR *in = opendir(folder);
    const struct dirent *e;

    (void)state;
    while (in && (e = readdir(in))) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        (void)unlink(path);
    }
    if (in)
        (void)closedir(in);
    return rmdir(folder);
}

static struct wk_dead *open_dead(uint64_t bytes_max)
{
    struct wk_dead *d = NULL;
    wkim_error err;

    assert_int_equal(wk_dead_open(&d, folder, bytes_max, NULL, &err), WKIM_OK);
    return d;
}

static wkim_slice text(const char *s)
{
    return (wkim_slice){ (const uint8_t *)s, strlen(s) };
}

static int add_letter(struct wk_dead *d, const char *event, const char *body)
{
    wkim_hook_request r = { .size = sizeof(r),
                            .event = text(event),
                            .body = text(body),
                            .delivery = text("0123456789abcdef"),
                            .attempt = 5,
                            .items = 2,
                            .dead = 1 };

    return wk_dead_add(d, &r, 1700000000);
}

static void expect(struct wk_dead *d, uint64_t id, const char *event, const char *body)
{
    struct wk_dead_item item;
    char *got = NULL;

    assert_int_equal(wk_dead_get(d, id, &item, &got), WKIM_OK);
    assert_string_equal(item.event, event);
    assert_string_equal(got, body);
    assert_int_equal(item.bytes, strlen(body));
    assert_string_equal(item.delivery, "0123456789abcdef");
    assert_int_equal(item.attempts, 5);
    assert_int_equal(item.items, 2);
    assert_int_equal(item.time_s, 1700000000);
    free(got);
}

static size_t count(struct wk_dead *d, const char *event)
{
    struct wk_dead_item items[100];
    bool more;
    size_t n = wk_dead_list(d, 0, event, items, 100, &more);

    assert_false(more);
    return n;
}

static void letters_are_there_after_a_restart_and_ids_go_on(void **state)
{
    struct wk_dead *d = open_dead(1 << 20);

    (void)state;
    assert_int_equal(add_letter(d, "msg.notify", "[1]"), WKIM_OK);
    assert_int_equal(add_letter(d, "msg.offline", "{\"body\":2}"), WKIM_OK);
    wk_dead_sync(d);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    expect(d, 1, "msg.notify", "[1]");
    expect(d, 2, "msg.offline", "{\"body\":2}");
    assert_int_equal(count(d, ""), 2);
    assert_int_equal(count(d, "msg.offline"), 1);
    assert_int_equal(count(d, "no.event"), 0);
    assert_int_equal(wk_dead_remove_all(d, ""), 2);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    assert_int_equal(count(d, ""), 0);
    assert_int_equal(add_letter(d, "msg.notify", "[3]"), WKIM_OK);
    expect(d, 3, "msg.notify", "[3]");
    wk_dead_close(d);
    assert_int_equal(warnings, 0);
}

static void settled_letters_stay_away(void **state)
{
    struct wk_dead_stats s;
    struct wk_dead *d = open_dead(1 << 20);

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(add_letter(d, i % 2 ? "msg.offline" : "msg.notify", "[]"), WKIM_OK);
    assert_int_equal(wk_dead_remove(d, 3), WKIM_OK);
    assert_int_equal(wk_dead_remove(d, 3), WKIM_ENOTFOUND);
    assert_int_equal(wk_dead_remove(d, 99), WKIM_ENOTFOUND);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    assert_int_equal(wk_dead_get(d, 3, &(struct wk_dead_item){ 0 }, NULL), WKIM_ENOTFOUND);
    assert_int_equal(wk_dead_remove_all(d, "msg.offline"), 2);
    assert_int_equal(count(d, ""), 2);
    wk_dead_stats_get(d, &s);
    assert_int_equal(s.letters, 2);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    expect(d, 1, "msg.notify", "[]");
    expect(d, 5, "msg.notify", "[]");
    assert_int_equal(count(d, ""), 2);
    wk_dead_close(d);
}

static void lists_are_paged_and_oldest_first(void **state)
{
    struct wk_dead *d = open_dead(1 << 20);
    struct wk_dead_item items[3];
    uint64_t after = 0;
    size_t n, seen = 0;
    bool more;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(add_letter(d, "msg.notify", "[]"), WKIM_OK);
    do {
        n = wk_dead_list(d, after, "", items, 3, &more);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(items[i].id, ++seen);
        after = items[n - 1].id;
    } while (more);
    assert_int_equal(seen, 8);
    wk_dead_close(d);
}

static void the_oldest_file_makes_room_and_its_letters_are_counted(void **state)
{
    struct wk_dead_stats s;
    struct wk_dead *d = open_dead(1 << 20);
    char body[30000];

    (void)state;
    memset(body, '1', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    for (int i = 0; i < 200; i++) {
        assert_int_equal(add_letter(d, "msg.notify", body), WKIM_OK);
        wk_dead_stats_get(d, &s);
        assert_true(s.bytes <= 1 << 20);
        assert_int_equal(s.letters + s.dropped, (uint64_t)i + 1);
    }
    assert_true(s.letters > 20);
    assert_int_equal(s.lost, 0);
    expect(d, 200, "msg.notify", body);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    wk_dead_stats_get(d, &s);
    assert_int_equal(count(d, ""), s.letters);
    expect(d, 200, "msg.notify", body);
    wk_dead_close(d);
}

static void a_letter_beyond_the_limit_is_lost_aloud(void **state)
{
    struct wk_dead_stats s;
    struct wk_dead *d = open_dead(70000);
    char *body = malloc(80001);

    (void)state;
    memset(body, '1', 80000);
    body[80000] = '\0';
    assert_int_equal(add_letter(d, "msg.notify", body), WKIM_ETOOBIG);
    assert_int_equal(add_letter(d, "msg.notify", "[]"), WKIM_OK);
    wk_dead_stats_get(d, &s);
    assert_int_equal(s.lost, 1);
    assert_int_equal(s.letters, 1);
    assert_int_equal(warnings, 1);
    free(body);
    wk_dead_close(d);
}

static void a_letter_that_cannot_be_written_may_come_again(void **state)
{
    struct wk_dead_stats s;
    struct wk_dead *d = open_dead(1 << 20);
    char path[128];

    (void)state;
    /* A folder where the file should be: nobody can write it, root included. */
    (void)snprintf(path, sizeof(path), "%s/0000000000000001.jsonl", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(add_letter(d, "msg.notify", "[1]"), WKIM_EIO);
    assert_int_equal(warnings, 1);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(add_letter(d, "msg.notify", "[1]"), WKIM_OK);
    expect(d, 1, "msg.notify", "[1]");
    wk_dead_stats_get(d, &s);
    assert_int_equal(s.lost, 0);
    assert_int_equal(s.letters, 1);
    wk_dead_close(d);
}

static void file_text(const char *name, const char *how, const char *content)
{
    char path[128];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, how);
    assert_non_null(f);
    assert_true(fputs(content, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void a_line_cut_off_by_a_crash_is_removed(void **state)
{
    struct wk_dead *d = open_dead(1 << 20);

    (void)state;
    assert_int_equal(add_letter(d, "msg.notify", "[1]"), WKIM_OK);
    wk_dead_close(d);
    file_text("0000000000000001.jsonl", "a", "{\"id\":2,\"time\":1700000000,\"event\":\"msg.no");
    d = open_dead(1 << 20);
    assert_int_equal(warnings, 1);
    assert_int_equal(add_letter(d, "msg.notify", "[2]"), WKIM_OK);
    wk_dead_close(d);
    d = open_dead(1 << 20);
    assert_int_equal(warnings, 1);
    expect(d, 1, "msg.notify", "[1]");
    expect(d, 2, "msg.notify", "[2]");
    wk_dead_close(d);
}

static void strange_files_and_lines_do_no_harm(void **state)
{
    static const char head[] = ",\"time\":1,\"event\":\"msg.notify\",\"target\":0,\"attempts\":5,"
                               "\"items\":2,\"delivery\":\"0123456789abcdef\",\"body\":[]}\n";
    char lines[2048];
    struct wk_dead *d;

    (void)state;
    (void)snprintf(lines, sizeof(lines),
                   "\n}\nnonsense\n{\"id\":7%s{\"id\":7%s{\"id\":3%s"
                   "{\"id\":99999999999999999%s{\"id\":9%s{\"id\":10,\"time\":}\n",
                   head, head, head, head, head);
    file_text("0000000000000005.jsonl", "w", lines);
    file_text("0000000000000005.done", "w", "9\nx\n1\n");
    file_text("readme.jsonl", "w", "x");
    file_text("12.jsonl.old", "w", "x");
    d = open_dead(1 << 20);
    assert_int_equal(count(d, ""), 1);
    assert_int_equal(wk_dead_get(d, 7, &(struct wk_dead_item){ 0 }, NULL), WKIM_OK);
    assert_int_equal(add_letter(d, "msg.notify", "[]"), WKIM_OK);
    expect(d, 10, "msg.notify", "[]");
    wk_dead_close(d);
}

static void marks_come_back_oldest_first(void **state)
{
    struct wk_dead_stats s;
    struct wk_dead *d = open_dead(1 << 20);

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(add_letter(d, i % 2 ? "msg.offline" : "msg.notify", "[]"), WKIM_OK);
    assert_int_equal(wk_dead_next_marked(d), 0);
    assert_int_equal(wk_dead_mark(d, 4, true), WKIM_OK);
    assert_int_equal(wk_dead_next_marked(d), 4);
    assert_int_equal(wk_dead_mark_all(d, "msg.notify", true), 2);
    assert_int_equal(wk_dead_next_marked(d), 1);
    assert_int_equal(wk_dead_remove(d, 1), WKIM_OK);
    assert_int_equal(wk_dead_next_marked(d), 3);
    assert_int_equal(wk_dead_mark(d, 3, false), WKIM_OK);
    assert_int_equal(wk_dead_next_marked(d), 4);
    wk_dead_stats_get(d, &s);
    assert_int_equal(s.marked, 1);
    assert_int_equal(wk_dead_remove_all(d, ""), 3);
    wk_dead_stats_get(d, &s);
    assert_int_equal(s.marked, 0);
    assert_int_equal(wk_dead_next_marked(d), 0);
    assert_int_equal(wk_dead_mark(d, 4, true), WKIM_ENOTFOUND);
    wk_dead_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(letters_are_there_after_a_restart_and_ids_go_on, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(settled_letters_stay_away, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_are_paged_and_oldest_first, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_file_makes_room_and_its_letters_are_counted,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_letter_beyond_the_limit_is_lost_aloud, setup, teardown),
        cmocka_unit_test_setup_teardown(a_letter_that_cannot_be_written_may_come_again, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_line_cut_off_by_a_crash_is_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(strange_files_and_lines_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(marks_come_back_oldest_first, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
