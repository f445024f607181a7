/* What both back ends promise: rows come back as put, ranges hold exactly their rows. */
#include "store/store.h"
#include "base/limits.h"
#include "fixture.h"

static const struct wk_channel_key g1 = { 2, { (const uint8_t *)"g1", 2 } };

/* Scans write what they see here: "3:three 2:two " */
struct seen {
    char text[65536];
    size_t n;
    int stop_after, rows;
};

static int see(struct seen *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int see(struct seen *s, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(s->text + s->n, sizeof(s->text) - s->n, fmt, ap);
    va_end(ap);
    assert_in_range(n, 0, sizeof(s->text) - s->n - 1);
    s->n += (size_t)n;
    return ++s->rows == s->stop_after ? 7 : 0;
}

static int see_message(void *arg, uint64_t seq, wkim_slice record)
{
    return see(arg, "%llu:%.*s ", (unsigned long long)seq, (int)record.n, (const char *)record.p);
}

static int see_member(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    return see(arg, "%.*s=%llu ", (int)uid.n, (const char *)uid.p, (unsigned long long)row->id);
}

static int see_uid(void *arg, wkim_slice uid)
{
    return see(arg, "%.*s ", (int)uid.n, (const char *)uid.p);
}

static int see_conversation(void *arg, const struct wk_channel_key *ch,
                            const struct wk_row_conversation *row)
{
    return see(arg, "%d/%.*s=%llu ", ch->type, (int)ch->id.n, (const char *)ch->id.p,
               (unsigned long long)row->read_seq);
}

static int see_outbox(void *arg, uint64_t id, wkim_slice body)
{
    return see_message(arg, id, body);
}

static int see_row(void *arg, wkim_slice key, wkim_slice value)
{
    return see(arg, "%.*s=%.*s ", (int)key.n, (const char *)key.p, (int)value.n,
               (const char *)value.p);
}

static void put_messages(struct fixture *f, const struct wk_channel_key *ch, uint64_t from,
                         uint64_t to)
{
    char text[32];

    for (uint64_t i = from; i <= to; i++) {
        snprintf(text, sizeof(text), "m%llu", (unsigned long long)i);
        wk_message_put(f->txn, 5, ch, i, wk_str(text));
    }
    commit(f);
}

static void expect_scan(struct fixture *f, const struct wk_channel_key *ch, uint64_t from,
                        uint64_t to, bool descending, const char *text)
{
    struct seen s = { .n = 0 };

    assert_int_equal(wk_message_scan(f->store, 5, ch, from, to, descending, see_message, &s),
                     WKIM_OK);
    s.text[s.n] = '\0';
    assert_string_equal(s.text, text);
}

static void messages_come_back_in_both_orders(void **state)
{
    struct fixture *f = *state;

    put_messages(f, &g1, 1, 5);
    expect_scan(f, &g1, 0, UINT64_MAX, false, "1:m1 2:m2 3:m3 4:m4 5:m5 ");
    expect_scan(f, &g1, 0, UINT64_MAX, true, "5:m5 4:m4 3:m3 2:m2 1:m1 ");
    expect_scan(f, &g1, 2, 4, false, "2:m2 3:m3 4:m4 ");
    expect_scan(f, &g1, 2, 4, true, "4:m4 3:m3 2:m2 ");
    expect_scan(f, &g1, 4, 2, true, "");
    expect_scan(f, &g1, 6, UINT64_MAX, false, "");
}

static void scan_ends_when_the_callback_says_so(void **state)
{
    struct fixture *f = *state;
    struct seen s = { .stop_after = 2 };

    put_messages(f, &g1, 1, 9);
    assert_int_equal(wk_message_scan(f->store, 5, &g1, 0, UINT64_MAX, true, see_message, &s), 7);
    assert_string_equal(s.text, "9:m9 8:m8 ");
}

static void highest_seq_is_the_largest_number(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;

    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 0, &seq), WKIM_ENOTFOUND);
    put_messages(f, &g1, 1, 3);
    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 0, &seq), WKIM_OK);
    assert_int_equal(seq, 3);
    put_messages(f, &g1, UINT64_MAX, UINT64_MAX - 1); /* none */
    wk_message_put(f->txn, 5, &g1, UINT64_MAX, WK_LIT("end"));
    commit(f);
    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 0, &seq), WKIM_OK);
    assert_true(seq == UINT64_MAX);
    assert_int_equal(wk_message_last_seq(f->store, 6, &g1, 0, &seq), WKIM_ENOTFOUND);
}

static void the_highest_number_is_looked_for_from_a_number_on(void **state)
{
    struct fixture *f = *state;
    uint64_t seq = 0;

    put_messages(f, &g1, 1, 9);
    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 9, &seq), WKIM_OK);
    assert_int_equal(seq, 9);
    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 10, &seq), WKIM_ENOTFOUND);
}

static void channels_with_messages_are_found_one_by_one(void **state)
{
    struct fixture *f = *state;
    struct wk_channel_key at, found;
    struct wk_buf a = WK_BUF_INIT, b = WK_BUF_INIT;
    unsigned seen = 0, n = 0;
    char id[8];

    for (unsigned i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "c%u", i);
        const struct wk_channel_key ch = { (uint8_t)(1 + i % 3), wk_str(id) };
        put_messages(f, &ch, 1, i + 1);
    }
    put_messages(f, &(struct wk_channel_key){ 2, WK_LIT("") }, 5, 6);
    assert_int_equal(wk_message_channel_before(f->store, 4, NULL, &found, &a), WKIM_ENOTFOUND);
    int rc = wk_message_channel_before(f->store, 5, NULL, &found, &a);
    while (rc == WKIM_OK) {
        n++;
        for (unsigned i = 0; i < 20; i++) {
            snprintf(id, sizeof(id), "c%u", i);
            seen |= (unsigned)(wk_slice_eq(found.id, wk_str(id)) && found.type == 1 + i % 3) << i;
        }
        wk_buf_clear(&b);
        wk_buf_bytes(&b, found.id.p, found.id.n);
        at = (struct wk_channel_key){ found.type, wk_buf_slice(&b) };
        rc = wk_message_channel_before(f->store, 5, &at, &found, &a);
    }
    assert_int_equal(rc, WKIM_ENOTFOUND);
    assert_int_equal(n, 21);
    assert_int_equal(seen, (1u << 20) - 1);
    assert_int_equal(wk_message_channel_before(f->store, 6, NULL, &found, &a), WKIM_ENOTFOUND);
    wk_buf_fini(&a);
    wk_buf_fini(&b);
}

static void ids_that_start_alike_do_not_share_ranges(void **state)
{
    static uint8_t long_id[WK_ID_BYTES_MAX];
    struct fixture *f = *state;
    const wkim_slice ids[] = { WK_LIT(""), WK_LIT("a"), WK_LIT("a\0"), WK_LIT("ab"), WK_LIT("b"),
                               WK_LIT("\xff"), WK_LIT("\xff\xff"),
                               { long_id, sizeof(long_id) } };
    size_t n = sizeof(ids) / sizeof(ids[0]);
    char want[64];

    memset(long_id, 'a', sizeof(long_id));
    for (size_t i = 0; i < n; i++)
        put_messages(f, &(struct wk_channel_key){ 2, ids[i] }, 10 + i, 10 + i);
    for (size_t i = 0; i < n; i++) {
        struct wk_channel_key ch = { 2, ids[i] };
        snprintf(want, sizeof(want), "%zu:m%zu ", 10 + i, 10 + i);
        expect_scan(f, &ch, 0, UINT64_MAX, false, want);
        expect_scan(f, &ch, 0, UINT64_MAX, true, want);
        ch.type = 3;
        expect_scan(f, &ch, 0, UINT64_MAX, false, "");
    }
    for (size_t i = 0; i < n; i++)
        wk_member_put(f->txn, 5, &g1, WK_LIST_ALLOW, ids[i], &(struct wk_row_member){ .id = i });
    commit(f);
    struct seen s = { .n = 0 };
    assert_int_equal(wk_member_scan(f->store, 5, &g1, WK_LIST_ALLOW, wk_slice(NULL, 0), see_member,
                                    &s), WKIM_OK);
    assert_int_equal(s.rows, n);
}

static void ids_beyond_the_limit_fail_the_commit(void **state)
{
    static uint8_t id[WK_ID_BYTES_MAX + 1];
    struct fixture *f = *state;
    struct wk_channel_key big = { 2, { id, sizeof(id) } };
    uint64_t seq;

    wk_message_put(f->txn, 5, &g1, 1, WK_LIT("x"));
    wk_message_put(f->txn, 5, &big, 1, WK_LIT("x"));
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_ETOOBIG);
    assert_int_equal(wk_message_last_seq(f->store, 5, &g1, 0, &seq), WKIM_ENOTFOUND);
    assert_int_equal(wk_message_last_seq(f->store, 5, &big, 0, &seq), WKIM_ETOOBIG);
    wk_message_put(f->txn, 65536, &g1, 1, WK_LIT("x"));
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_EINVAL);
    wk_message_put(f->txn, 65535, &g1, 1, WK_LIT("x"));
    commit(f); /* the transaction is clean again */
    assert_int_equal(wk_message_last_seq(f->store, 65535, &g1, 0, &seq), WKIM_OK);
}

static void deleted_ranges_are_exact(void **state)
{
    struct fixture *f = *state;
    struct wk_channel_key g10 = { 2, WK_LIT("g10") };
    struct wk_buf out = WK_BUF_INIT;

    put_messages(f, &g1, 1, 8);
    put_messages(f, &g10, 1, 2);
    wk_message_delete_range(f->txn, 5, &g1, 3, 5);
    wk_message_delete_range(f->txn, 5, &g1, 8, 7);
    wk_message_delete(f->txn, 5, &g1, 1);
    commit(f);
    expect_scan(f, &g1, 0, UINT64_MAX, false, "2:m2 6:m6 7:m7 8:m8 ");
    assert_int_equal(wk_message_get(f->store, 5, &g1, 4, &out), WKIM_ENOTFOUND);
    wk_message_put(f->txn, 5, &g1, 4, WK_LIT("again"));
    commit(f);
    expect_scan(f, &g1, 3, 5, false, "4:again ");
    wk_message_delete_range(f->txn, 5, &g1, 0, UINT64_MAX);
    wk_message_put(f->txn, 5, &g1, 9, WK_LIT("new"));
    commit(f);
    expect_scan(f, &g1, 0, UINT64_MAX, true, "9:new ");
    expect_scan(f, &g10, 0, UINT64_MAX, true, "2:m2 1:m1 ");
    wk_buf_fini(&out);
}

static void last_operation_on_a_key_wins_inside_a_transaction(void **state)
{
    struct fixture *f = *state;
    struct wk_buf out = WK_BUF_INIT;

    wk_value_put(f->txn, 1, WK_LIT("a"), WK_LIT("1"));
    wk_value_put(f->txn, 1, WK_LIT("a"), WK_LIT("2"));
    wk_message_put(f->txn, 5, &g1, 1, WK_LIT("x"));
    wk_message_delete(f->txn, 5, &g1, 1);
    commit(f);
    wk_buf_bytes(&out, "<", 1);
    assert_int_equal(wk_value_get(f->store, 1, WK_LIT("a"), &out), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&out), WK_LIT("<2")));
    expect_scan(f, &g1, 0, UINT64_MAX, false, "");
    wk_buf_fini(&out);
}

static void cleared_transaction_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct wk_row_applied a;

    wk_applied_put(f->txn, 3, &(struct wk_row_applied){ 7, 2 });
    assert_true(wk_txn_bytes(f->txn) > 0);
    wk_txn_clear(f->txn);
    assert_int_equal(wk_txn_bytes(f->txn), 0);
    commit(f);
    assert_int_equal(wk_applied_get(f->store, 3, &a), WKIM_ENOTFOUND);
    wk_applied_put(f->txn, 3, &(struct wk_row_applied){ 8, 2 });
    commit(f);
    assert_int_equal(wk_applied_get(f->store, 3, &a), WKIM_OK);
    assert_int_equal(a.index, 8);
    assert_int_equal(a.term, 2);
}

static void sent_positions_are_per_channel_and_uid(void **state)
{
    struct fixture *f = *state;
    struct wk_channel_key ab = { 2, WK_LIT("ab") }, a = { 2, WK_LIT("a") };
    uint64_t seq = 0;

    wk_sent_put(f->txn, 5, &ab, WK_LIT("c"), 1);
    wk_sent_put(f->txn, 5, &a, WK_LIT("bc"), 2);
    wk_sent_put(f->txn, 5, &a, WK_LIT(""), UINT64_MAX);
    commit(f);
    assert_int_equal(wk_sent_get(f->store, 5, &ab, WK_LIT("c"), &seq), WKIM_OK);
    assert_int_equal(seq, 1);
    assert_int_equal(wk_sent_get(f->store, 5, &a, WK_LIT("bc"), &seq), WKIM_OK);
    assert_int_equal(seq, 2);
    assert_int_equal(wk_sent_get(f->store, 5, &a, WK_LIT(""), &seq), WKIM_OK);
    assert_true(seq == UINT64_MAX);
    assert_int_equal(wk_sent_get(f->store, 5, &a, WK_LIT("b"), &seq), WKIM_ENOTFOUND);
}

static void channel_rows_keep_every_field(void **state)
{
    struct fixture *f = *state;
    struct wk_row_channel got;

    for (int bit = 0; bit < 7; bit++) {
        struct wk_row_channel row = { bit == 0, bit == 1, bit == 2, bit == 3, bit == 4, bit == 5,
                                      bit == 6, UINT64_MAX, 2, 3, 4, 5, 6, 7, UINT64_MAX - 1,
                                      8, 9, 10, UINT64_MAX, { 5, 11, 12, 13 } };
        wk_channel_put(f->txn, 5, &g1, &row);
        commit(f);
        memset(&got, 0, sizeof(got));
        assert_int_equal(wk_channel_get(f->store, 5, &g1, &got), WKIM_OK);
        assert_int_equal(got.ban, row.ban);
        assert_int_equal(got.large, row.large);
        assert_int_equal(got.disband, row.disband);
        assert_int_equal(got.send_ban, row.send_ban);
        assert_int_equal(got.allow_stranger, row.allow_stranger);
        assert_int_equal(got.exists, row.exists);
        assert_int_equal(got.conversations, row.conversations);
        assert_memory_equal(&got.last_seq_floor, &row.last_seq_floor, 12 * sizeof(uint64_t));
        assert_int_equal(got.keep.set, row.keep.set);
        assert_memory_equal(&got.keep.age_s, &row.keep.age_s, 3 * sizeof(uint64_t));
    }
    assert_int_equal(wk_channel_get(f->store, 6, &g1, &got), WKIM_ENOTFOUND);
}

static void members_are_listed_by_uid_after_a_position(void **state)
{
    struct fixture *f = *state;
    static const char *const uids[] = { "b", "a", "c", "ab", "ca" };
    struct wk_row_member row = { 9, 1, 2, UINT64_MAX }, got;
    struct seen s = { .n = 0 }, t = { .n = 0 }, u = { .n = 0 };

    for (uint64_t i = 0; i < 5; i++) {
        row.id = i;
        wk_member_put(f->txn, 5, &g1, WK_LIST_SUBSCRIBER, wk_str(uids[i]), &row);
    }
    wk_member_put(f->txn, 5, &g1, WK_LIST_DENY, WK_LIT("x"), &row);
    wk_member_delete(f->txn, 5, &g1, WK_LIST_SUBSCRIBER, WK_LIT("ca"));
    commit(f);
    wk_member_scan(f->store, 5, &g1, WK_LIST_SUBSCRIBER, wk_slice(NULL, 0), see_member, &s);
    assert_string_equal(s.text, "a=1 ab=3 b=0 c=2 ");
    wk_member_scan(f->store, 5, &g1, WK_LIST_SUBSCRIBER, WK_LIT("ab"), see_member, &t);
    assert_string_equal(t.text, "b=0 c=2 ");
    assert_int_equal(wk_member_get(f->store, 5, &g1, WK_LIST_SUBSCRIBER, WK_LIT("ab"), &got),
                     WKIM_OK);
    assert_int_equal(got.id, 3);
    assert_int_equal(got.created_ms, 1);
    assert_int_equal(got.updated_ms, 2);
    assert_true(got.join_seq == UINT64_MAX);
    wk_member_delete_all(f->txn, 5, &g1, WK_LIST_SUBSCRIBER);
    commit(f);
    wk_member_scan(f->store, 5, &g1, WK_LIST_SUBSCRIBER, wk_slice(NULL, 0), see_member, &u);
    assert_int_equal(u.rows, 0);
    assert_int_equal(wk_member_get(f->store, 5, &g1, WK_LIST_DENY, WK_LIT("x"), &got), WKIM_OK);
}

static void users_and_devices_keep_their_texts(void **state)
{
    struct fixture *f = *state;
    struct wk_row_device d = { 1, 1, WK_LIT("token-1"), 5, 6 }, got;
    struct wk_buf text = WK_BUF_INIT;
    struct seen s = { .n = 0 };

    wk_device_put(f->txn, 5, WK_LIT("u"), &d);
    d.flag = 2;
    d.token = wk_slice(NULL, 0);
    wk_device_put(f->txn, 5, WK_LIT("u"), &d);
    wk_system_uid_put(f->txn, 5, WK_LIT("s2"));
    wk_system_uid_put(f->txn, 5, WK_LIT("s1"));
    wk_system_uid_put(f->txn, 5, WK_LIT("s3"));
    wk_system_uid_delete(f->txn, 5, WK_LIT("s3"));
    wk_system_uid_put(f->txn, 6, WK_LIT("other"));
    commit(f);
    assert_int_equal(wk_device_get(f->store, 5, WK_LIT("u"), 1, &got, &text), WKIM_OK);
    assert_int_equal(got.flag, 1);
    assert_int_equal(got.level, 1);
    assert_int_equal(got.updated_ms, 6);
    assert_true(wk_slice_eq(got.token, WK_LIT("token-1")));
    assert_int_equal(wk_device_get(f->store, 5, WK_LIT("u"), 2, &got, &text), WKIM_OK);
    assert_int_equal(got.token.n, 0);
    assert_int_equal(wk_device_get(f->store, 5, WK_LIT("u"), 3, &got, &text), WKIM_ENOTFOUND);
    wk_system_uid_scan(f->store, 5, see_uid, &s);
    assert_string_equal(s.text, "s1 s2 ");
    wk_buf_fini(&text);
}

static void conversations_of_a_uid_are_listed(void **state)
{
    struct fixture *f = *state;
    struct wk_channel_key p = { 1, WK_LIT("u2@u1") };
    struct wk_row_conversation row = { 1, true, 10, 11, 12, INT64_MIN, 13, 14, true }, got;
    struct seen s = { .n = 0 };

    wk_conversation_put(f->txn, 5, WK_LIT("u1"), &g1, &row);
    row.read_seq = 20;
    row.unread_shift = -3;
    wk_conversation_put(f->txn, 5, WK_LIT("u1"), &p, &row);
    wk_conversation_put(f->txn, 5, WK_LIT("u"), &p, &row);
    wk_conversation_put(f->txn, 5, WK_LIT("u10"), &p, &row);
    commit(f);
    assert_int_equal(wk_conversation_scan(f->store, 5, WK_LIT("u1"), see_conversation, &s),
                     WKIM_OK);
    assert_string_equal(s.text, "1/u2@u1=20 2/g1=10 ");
    assert_int_equal(wk_conversation_get(f->store, 5, WK_LIT("u1"), &g1, &got), WKIM_OK);
    assert_true(got.kind == 1 && got.deleted && got.read_seq == 10 && got.deleted_seq == 11);
    assert_true(got.join_seq == 12 && got.created_ms == 13 && got.updated_ms == 14);
    assert_true(got.unread_shift == INT64_MIN);
    assert_int_equal(wk_conversation_get(f->store, 5, WK_LIT("u1"), &p, &got), WKIM_OK);
    assert_true(got.unread_shift == -3);
    assert_true(got.activated);
    wk_conversation_delete(f->txn, 5, WK_LIT("u1"), &p);
    commit(f);
    assert_int_equal(wk_conversation_get(f->store, 5, WK_LIT("u1"), &p, &got), WKIM_ENOTFOUND);
}

static void outbox_is_read_in_order_from_a_number(void **state)
{
    struct fixture *f = *state;
    struct seen s = { .n = 0 };

    for (uint64_t i = 0; i < 5; i++)
        wk_outbox_put(f->txn, 5, i << 16 | 1, WK_LIT("b"));
    wk_outbox_put(f->txn, 5, UINT64_MAX, WK_LIT(""));
    wk_outbox_delete(f->txn, 5, 3 << 16 | 1);
    commit(f);
    assert_int_equal(wk_outbox_scan(f->store, 5, 2 << 16, see_outbox, &s), WKIM_OK);
    assert_string_equal(s.text, "131073:b 262145:b 18446744073709551615: ");
}

static void generic_rows_are_read_by_prefix(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = { "a", "a1", "a2", "a3", "b", "" };
    struct seen s = { .n = 0 }, t = { .n = 0 }, u = { .n = 0 };
    struct wk_buf out = WK_BUF_INIT;

    for (size_t i = 0; i < 6; i++)
        wk_row_put(f->txn, 5, 64, wk_str(keys[i]), WK_LIT("v"));
    wk_row_put(f->txn, 5, 65, WK_LIT("a9"), WK_LIT("other table"));
    wk_row_delete(f->txn, 5, 64, WK_LIT("a2"));
    commit(f);
    wk_row_scan(f->store, 5, 64, WK_LIT("a"), wk_slice(NULL, 0), see_row, &s);
    assert_string_equal(s.text, "a=v a1=v a3=v ");
    wk_row_scan(f->store, 5, 64, WK_LIT("a"), WK_LIT("a1"), see_row, &t);
    assert_string_equal(t.text, "a1=v a3=v ");
    wk_row_scan(f->store, 5, 64, wk_slice(NULL, 0), wk_slice(NULL, 0), see_row, &u);
    assert_int_equal(u.rows, 5);
    assert_int_equal(wk_row_get(f->store, 5, 65, WK_LIT("a9"), &out), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&out), WK_LIT("other table")));
    assert_int_equal(wk_row_get(f->store, 5, 63, WK_LIT("a"), &out), WKIM_EINVAL);
    wk_row_put(f->txn, 5, 1, WK_LIT("a"), WK_LIT("v"));
    assert_int_equal(wk_txn_commit(f->txn, NULL), WKIM_EINVAL);
    wk_buf_fini(&out);
}

static void put_numbered(struct fixture *f, unsigned from, unsigned to)
{
    char key[16];

    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof(key), "k%05u", i);
        wk_row_put(f->txn, 5, 64, wk_str(key), WK_LIT("v"));
    }
}

static int count_rows(void *arg, wkim_slice key, wkim_slice value)
{
    (void)key;
    (void)value;
    ++*(unsigned *)arg;
    return 0;
}

/* Short ranges and long ones are deleted by different means. */
static void a_prefix_takes_its_rows_however_many_they_are(void **state)
{
    struct fixture *f = *state;

    for (unsigned n = 10; n <= 10000; n *= 10) {
        unsigned left = 0;
        put_numbered(f, 0, n - 5);
        wk_row_put(f->txn, 5, 64, WK_LIT("j"), WK_LIT("v"));
        wk_row_put(f->txn, 5, 64, WK_LIT("l"), WK_LIT("v"));
        wk_row_put(f->txn, 5, 65, WK_LIT("k1"), WK_LIT("v"));
        commit(f);
        put_numbered(f, n - 5, n); /* in the same transaction */
        wk_row_delete_prefix(f->txn, 5, 64, WK_LIT("k"));
        put_numbered(f, 3, 5);     /* behind it */
        commit(f);
        assert_int_equal(wk_row_scan(f->store, 5, 64, wk_slice(NULL, 0), wk_slice(NULL, 0),
                                     count_rows, &left), WKIM_OK);
        assert_int_equal(left, 4);
        assert_int_equal(wk_row_scan(f->store, 5, 65, wk_slice(NULL, 0), wk_slice(NULL, 0),
                                     count_rows, &left), WKIM_OK);
        assert_int_equal(left, 5);
    }
}

static void generic_rows_of_a_range_are_deleted_whatever_its_width(void **state)
{
    struct fixture *f = *state;
    static const char *const keys[] = { "a", "a1", "a2", "a3", "b", "" };
    static const uint8_t last[8] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    struct seen s = { .n = 0 }, t = { .n = 0 };

    for (size_t i = 0; i < 6; i++)
        wk_row_put(f->txn, 5, 64, wk_str(keys[i]), WK_LIT("v"));
    wk_row_put(f->txn, 5, 65, WK_LIT("a2"), WK_LIT("v"));
    wk_row_delete_range(f->txn, 5, 64, WK_LIT("a1"), WK_LIT("a3"));
    commit(f);
    wk_row_scan(f->store, 5, 64, WK_LIT("a"), wk_slice(NULL, 0), see_row, &s);
    assert_string_equal(s.text, "a=v a3=v ");
    wk_row_delete_range(f->txn, 5, 64, wk_slice(NULL, 0), wk_slice(last, sizeof(last)));
    commit(f);
    wk_row_scan(f->store, 5, 64, wk_slice(NULL, 0), wk_slice(NULL, 0), see_row, &t);
    wk_row_scan(f->store, 5, 65, wk_slice(NULL, 0), wk_slice(NULL, 0), see_row, &t);
    assert_string_equal(t.text, "a2=v ");
}

static int count_up(void *arg, uint64_t seq, wkim_slice record)
{
    uint64_t *next = arg;

    assert_int_equal(seq, *next);
    assert_int_equal(record.n, 3000);
    ++*next;
    return 0;
}

static int count_down(void *arg, uint64_t seq, wkim_slice record)
{
    uint64_t *next = arg;

    (void)record;
    assert_int_equal(seq, *next);
    --*next;
    return 0;
}

static void long_scans_miss_and_repeat_nothing(void **state)
{
    static uint8_t body[3000];
    struct fixture *f = *state;
    uint64_t next = 1, down = 2000;

    for (uint64_t i = 1; i <= 2000; i++)
        wk_message_put(f->txn, 5, &g1, i, wk_slice(body, sizeof(body)));
    commit(f);
    assert_int_equal(wk_message_scan(f->store, 5, &g1, 0, UINT64_MAX, false, count_up, &next), 0);
    assert_int_equal(next, 2001);
    assert_int_equal(wk_message_scan(f->store, 5, &g1, 0, UINT64_MAX, true, count_down, &down), 0);
    assert_int_equal(down, 0);
}

static int delete_seen(void *arg, uint64_t seq, wkim_slice record)
{
    struct fixture *f = arg;

    (void)record;
    wk_message_delete(f->txn, 5, &g1, seq);
    return wk_txn_commit(f->txn, NULL);
}

static void callback_of_a_scan_may_commit(void **state)
{
    struct fixture *f = *state;

    put_messages(f, &g1, 1, 600);
    assert_int_equal(wk_message_scan(f->store, 5, &g1, 0, UINT64_MAX, false, delete_seen, f), 0);
    expect_scan(f, &g1, 0, UINT64_MAX, false, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(messages_come_back_in_both_orders),
        BOTH(scan_ends_when_the_callback_says_so),
        BOTH(highest_seq_is_the_largest_number),
        BOTH(the_highest_number_is_looked_for_from_a_number_on),
        BOTH(channels_with_messages_are_found_one_by_one),
        BOTH(ids_that_start_alike_do_not_share_ranges),
        BOTH(ids_beyond_the_limit_fail_the_commit),
        BOTH(deleted_ranges_are_exact),
        BOTH(last_operation_on_a_key_wins_inside_a_transaction),
        BOTH(cleared_transaction_leaves_nothing),
        BOTH(sent_positions_are_per_channel_and_uid),
        BOTH(channel_rows_keep_every_field),
        BOTH(members_are_listed_by_uid_after_a_position),
        BOTH(users_and_devices_keep_their_texts),
        BOTH(conversations_of_a_uid_are_listed),
        BOTH(outbox_is_read_in_order_from_a_number),
        BOTH(generic_rows_are_read_by_prefix),
        BOTH(a_prefix_takes_its_rows_however_many_they_are),
        BOTH(generic_rows_of_a_range_are_deleted_whatever_its_width),
        BOTH(long_scans_miss_and_repeat_nothing),
        BOTH(callback_of_a_scan_may_commit),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
