/* Pages of conversations, changes since, tombstones, activation, command bindings. */
#include "../im_test.h"
#include <wkim/conversation.h>

static char next_id[300]; /* where the page ended; empty: it was the last */
static uint8_t next_type;
static uint64_t kept_since;

static int setup(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    next_id[0] = 0;
    return 0;
}

/* "g1 -g2 ?g3": what is there, what went, what could not be read; sorted as told. */
static const char *page(const char *uid, uint32_t limit, uint64_t since, bool go_on)
{
    static char out[4096];
    struct wk_buf b = WK_BUF_INIT;
    struct im_conv_row row;
    size_t at = 0;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u32(&b, limit);
    wk_buf_u64(&b, since);
    im_channel_key_encode(&b, go_on ? next_type : 0, wk_str(go_on ? next_id : ""));
    wk_buf_varint(&b, 0);
    struct cl_answer a = cl_do(&c, IM_CONV_LIST, cl_slot(&c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    assert_int_equal(a.code, WKIM_OK);
    kept_since = a.number[1];
    struct wk_cursor next = wk_cursor(wk_cursor_str(&cur));
    struct wk_channel_key key = { 0 };
    if (wk_cursor_left(&next))
        im_channel_key_decode(&next, &key);
    next_type = key.type;
    snprintf(next_id, sizeof(next_id), "%.*s", (int)key.id.n, (const char *)key.id.p);
    out[0] = 0;
    while (wk_cursor_left(&cur)) {
        assert_int_equal(im_conv_row_decode(&row, &cur), WKIM_OK);
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%s%.*s", at ? " " : "",
                               row.state == WKIM_CONVERSATION_LIVE      ? ""
                               : row.state == WKIM_CONVERSATION_DELETED ? "-"
                                                                        : "?",
                               (int)row.channel_id.n, (const char *)row.channel_id.p);
    }
    cl_answer_fini(&a);
    return out;
}

static const char *all(const char *uid)
{
    return page(uid, 0, 0, false);
}

static const char *since(const char *uid, uint64_t ms)
{
    return page(uid, 0, ms, false);
}

static void say(const char *group)
{
    assert_int_equal(cl_text(&c, "boss", GROUP, group, "x", NULL), OK);
}

static void member(const char *group, const char *uid)
{
    char both[64];

    snprintf(both, sizeof(both), "boss %s", uid);
    add_members(group, both);
}

static void pages_go_through_every_conversation_once_whatever_comes_in_between(void **state)
{
    (void)state;
    char found[4096] = "";
    unsigned pages = 0;

    for (int i = 0; i < 9; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        member(name, "u1");
        say(name);
    }
    bool go_on = false;
    do {
        const char *text = page("u1", 4, 0, go_on);
        snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s ", text);
        say("g0"); /* the newest conversation is one of a page that was read */
        go_on = true;
        pages++;
    } while (next_id[0]);
    assert_int_equal(pages, 3);
    assert_string_equal(found, "g0 g1 g2 g3 g4 g5 g6 g7 g8 ");
}

static void a_list_since_then_tells_what_changed_and_what_went(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        member(name, "u1");
        say(name);
    }
    cl_advance(&c, 1000);
    uint64_t then = c.wall_ms;
    assert_string_equal(since("u1", then), "");
    cl_advance(&c, 1000);
    say("g1");
    assert_string_equal(since("u1", then), "g1");
    assert_int_equal(cl_list(&c, GROUP, "g2", WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, "u1"), WKIM_OK);
    assert_string_equal(since("u1", then), "-g2 g1");
    assert_int_equal(cl_conv_move(&c, "u1", GROUP, "g0", IM_CONV_HIDE, 0), WKIM_OK);
    assert_string_equal(since("u1", then), "-g2 -g0 g1");
    assert_string_equal(all("u1"), "g1");
    cl_restart(&c, true); /* also after the log was read again */
    assert_string_equal(since("u1", then), "-g2 -g0 g1");
    member("g2", "u1");
    say("g2");
    say("g0");
    assert_string_equal(since("u1", then), "g0 g1 g2");
    assert_int_equal(kept_since, 0);
}

static void deletions_beyond_the_bound_ask_for_a_new_list(void **state)
{
    (void)state;
    cl_advance(&c, 1000);
    uint64_t then = c.wall_ms;
    for (int i = 0; i < 300; i++) {
        char name[16];
        snprintf(name, sizeof(name), "g%d", i);
        member(name, "u1");
        if (i == 290)
            cl_advance(&c, 1000);
        assert_int_equal(cl_list(&c, GROUP, name, WK_LIST_SUBSCRIBER, WKIM_LIST_REMOVE, "u1"),
                         WKIM_OK);
    }
    assert_string_equal(since("u1", then - 500), "");
    assert_true(kept_since >= then); /* the caller sees that its coverage is older */
    const char *late = since("u1", c.wall_ms - 1);
    size_t n = *late != 0;
    for (const char *p = late; *p; p++)
        n += *p == ' ';
    assert_int_equal(n, 10);
}

static void an_activated_conversation_is_shown_without_a_message_until_it_is_hidden(void **state)
{
    (void)state;
    member("quiet", "u1");
    assert_string_equal(all("u1"), "");
    assert_int_equal(cl_conv_move(&c, "u1", GROUP, "quiet", IM_CONV_SHOW, 0), WKIM_OK);
    assert_int_equal(cl_conv_move(&c, "u1", PERSON, "u2", IM_CONV_SHOW, 0), WKIM_OK);
    assert_string_equal(all("u1"), "u2 quiet");
    cl_restart(&c, false);
    assert_string_equal(all("u1"), "u2 quiet");
    assert_int_equal(cl_conv_move(&c, "u1", GROUP, "quiet", IM_CONV_HIDE, 0), WKIM_OK);
    assert_string_equal(all("u1"), "u2");
}

static size_t commands(const char *uid)
{
    struct wk_buf b = WK_BUF_INIT;
    size_t n = 0;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u32(&b, 0);
    struct cl_answer a = cl_do(&c, IM_CMD_SYNC, cl_slot(&c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    for (; wk_cursor_left(&cur) && !cur.bad; n++)
        (void)wk_cursor_str(&cur);
    cl_answer_fini(&a);
    return n;
}

static void command(const char *group)
{
    struct cl_answer a = cl_send(&c, &(struct cl_send){ .from = "boss", .to = group, .type = GROUP,
                                                        .flags = WKIM_FLAG_SYNC_ONCE,
                                                        .payload = "c", .api = true, .cmd = true });
    assert_int_equal(a.code, WKIM_OK);
    cl_answer_fini(&a);
}

static void bind_commands(const char *uid, uint8_t kind)
{
    assert_int_equal(cl_conv_move(&c, uid, GROUP, "g____cmd", kind, 0), WKIM_OK);
}

static void who_is_bound_gets_the_commands_sent_from_then_on(void **state)
{
    (void)state;
    member("g", "u1");
    command("g");
    bind_commands("guest", IM_CONV_SHOW);
    assert_int_equal(commands("guest"), 0);
    command("g");
    assert_int_equal(commands("guest"), 1);
    assert_int_equal(commands("u1"), 2);
    bind_commands("guest", IM_CONV_SHOW); /* again: positions stay */
    assert_int_equal(commands("guest"), 1);
    assert_string_equal(all("guest"), ""); /* commands are no conversation */
    bind_commands("guest", IM_CONV_DROP);
    command("g");
    assert_int_equal(commands("guest"), 0);
    bind_commands("guest", IM_CONV_DROP);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pages_go_through_every_conversation_once_whatever_comes_in_between),
        T(a_list_since_then_tells_what_changed_and_what_went),
        T(deletions_beyond_the_bound_ask_for_a_new_list),
        T(an_activated_conversation_is_shown_without_a_message_until_it_is_hidden),
        T(who_is_bound_gets_the_commands_sent_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
