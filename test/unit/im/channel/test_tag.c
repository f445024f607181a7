/* Receiver tags, and which plugins a uid is bound to. */
#include "../im_test.h"

static char out[4096];

static const char *tags(const char *slot_of, const char *key, uint8_t type, const char *id,
                        bool drop)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(key));
    wk_buf_u8(&b, type);
    wk_buf_str(&b, wk_str(id));
    wk_buf_u8(&b, drop);
    struct cl_answer a = cl_do(&c, IM_TAGS, cl_slot(&c, slot_of), &b);
    assert_int_equal(a.code, WKIM_OK);
    snprintf(out, sizeof(out), "%.*s", (int)a.out.n, (const char *)a.out.p);
    cl_answer_fini(&a);
    return out;
}

static void say(const char *group)
{
    assert_int_equal(cl_text(&c, "u1", GROUP, group, "x", NULL), OK);
}

static void a_tag_comes_with_a_message_and_shows_the_receivers_with_their_slots(void **state)
{
    (void)state;
    char want[128];

    add_members("g", "u1 u2 u3");
    assert_string_equal(tags("g", "", GROUP, "g", false), "");
    say("g");
    say("g");
    tags("g", "", GROUP, "g", false);
    snprintf(want, sizeof(want),
             "\"uid_count\":3,\"uids\":[\"u1\",\"u2\",\"u3\"],\"slot_ids\":[%u,%u,%u]",
             cl_slot(&c, "u1"), cl_slot(&c, "u2"), cl_slot(&c, "u3"));
    assert_non_null(strstr(out, want));
    assert_non_null(strstr(out, "\"uses\":2"));
    char key[33];
    snprintf(key, sizeof(key), "%.32s", strstr(out, "\"key\":\"") + 7);
    assert_non_null(strstr(tags("g", key, 0, "", false), want));
    assert_string_equal(tags("g", "0123", 0, "", false), "");
    add_members("g", "u4");
    assert_null(strstr(tags("g", "", GROUP, "g", false), key)); /* another list, another key */
}

static void a_removed_tag_is_made_again_by_the_next_message(void **state)
{
    (void)state;
    add_members("g", "u1 u2");
    say("g");
    tags("g", "", GROUP, "g", true);
    assert_string_equal(tags("g", "", GROUP, "g", false), "");
    say("g");
    assert_non_null(strstr(tags("g", "", GROUP, "g", false), "[\"u1\",\"u2\"]"));
}

static void a_tag_that_nobody_used_for_long_is_gone(void **state)
{
    (void)state;
    add_members("g", "u1");
    say("g");
    cl_advance(&c, 19 * 60 * 1000);
    assert_string_not_equal(tags("g", "", GROUP, "g", false), "");
    cl_advance(&c, 2 * 60 * 1000);
    assert_string_equal(tags("g", "", GROUP, "g", false), "");
    say("g");
    assert_string_not_equal(tags("g", "", GROUP, "g", false), "");
}

static void the_tag_of_two_persons_is_the_two(void **state)
{
    (void)state;
    assert_int_equal(cl_text(&c, "u1", PERSON, "u2", "x", NULL), OK);
    assert_non_null(strstr(tags("u2@u1", "", PERSON, "u2@u1", false), "[\"u2\",\"u1\"]"));
}

static void plugin(const char *uid, uint8_t kind, const char *no)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_u8(&b, kind);
    wk_buf_str(&b, wk_str(no));
    wk_buf_u64(&b, c.wall_ms);
    assert_int_equal(cl_do_code(&c, IM_PLUGIN_BIND, cl_slot(&c, uid), &b), WKIM_OK);
}

/* "u1=p1 u1=p2" */
static const char *plugins(const char *uid, const char *no)
{
    struct wk_buf b = WK_BUF_INIT;
    size_t at = 0;

    wk_buf_str(&b, wk_str(uid));
    wk_buf_str(&b, wk_str(no));
    struct cl_answer a = cl_do(&c, IM_PLUGIN_BINDINGS, cl_slot(&c, uid), &b);
    struct wk_cursor cur = wk_cursor(wk_buf_slice(&a.out));
    out[0] = 0;
    for (int i = 0; wk_cursor_left(&cur); i++) {
        wkim_slice s = wk_cursor_str(&cur);
        (void)wk_cursor_bytes(&cur, 24);
        at += (size_t)snprintf(out + at, sizeof(out) - at, "%s%.*s", !i ? "" : i % 2 ? "=" : " ",
                               (int)s.n, (const char *)s.p);
    }
    cl_answer_fini(&a);
    return out;
}

static void bindings_are_added_removed_replaced_and_kept(void **state)
{
    (void)state;
    plugin("u1", IM_PLUGIN_ADD, "p1");
    plugin("u1", IM_PLUGIN_ADD, "p2");
    plugin("u1", IM_PLUGIN_ADD, "p1");
    plugin("u10", IM_PLUGIN_ADD, "p9");
    assert_string_equal(plugins("u1", ""), "u1=p1 u1=p2");
    assert_string_equal(plugins("u1", "p2"), "u1=p2");
    plugin("u1", IM_PLUGIN_UNBIND, "p1");
    cl_restart(&c, true);
    assert_string_equal(plugins("u1", ""), "u1=p2");
    plugin("u1", IM_PLUGIN_SET, "p3");
    assert_string_equal(plugins("u1", ""), "u1=p3");
    plugin("u1", IM_PLUGIN_SET, "");
    assert_string_equal(plugins("u1", ""), "");
    assert_string_equal(plugins("u10", ""), "u10=p9");
}

#define T(f) cmocka_unit_test_setup_teardown(f, fresh, gone)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_tag_comes_with_a_message_and_shows_the_receivers_with_their_slots),
        T(a_removed_tag_is_made_again_by_the_next_message),
        T(a_tag_that_nobody_used_for_long_is_gone),
        T(the_tag_of_two_persons_is_the_two),
        T(bindings_are_added_removed_replaced_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
