/* Row codecs against bytes nobody of us wrote: every value is cut, extended and altered in place
 * below the typed calls, and must come back as it was, as WKIM_ECORRUPT, or as another valid row;
 * never as a read outside the value (the sanitizers watch). */
#include "store/txn.h"
#include "fixture.h"

static const struct wk_channel_key g1 = { 2, { (const uint8_t *)"g1", 2 } };

static int ignore_member(void *arg, wkim_slice uid, const struct wk_row_member *row)
{
    (void)arg;
    (void)uid;
    (void)row;
    return 0;
}

static int ignore_message(void *arg, uint64_t seq, wkim_slice record)
{
    (void)arg;
    (void)seq;
    (void)record;
    return 0;
}

static int ignore_conversation(void *arg, const struct wk_channel_key *ch,
                               const struct wk_row_conversation *row)
{
    (void)arg;
    (void)ch;
    (void)row;
    return 0;
}

static int ignore_uid(void *arg, wkim_slice uid)
{
    (void)arg;
    (void)uid;
    return 0;
}

static int ignore_row(void *arg, wkim_slice key, wkim_slice value)
{
    (void)arg;
    (void)key;
    (void)value;
    return 0;
}

static void put_all(struct wk_txn *t)
{
    struct wk_row_channel ch = { .ban = true, .last_seq_floor = 1000, .updated_ms = UINT64_MAX };

    wk_message_put(t, 5, &g1, 1, WK_LIT("record"));
    wk_sent_put(t, 5, &g1, WK_LIT("u"), 300);
    wk_channel_put(t, 5, &g1, &ch);
    wk_member_put(t, 5, &g1, 1, WK_LIT("u"), &(struct wk_row_member){ 1, 2, 3, 300 });
    wk_device_put(t, 5, WK_LIT("u"), &(struct wk_row_device){ 1, 1, WK_LIT("tok"), 5, 600 });
    wk_system_uid_put(t, 5, WK_LIT("s"));
    wk_conversation_put(t, 5, WK_LIT("u"), &g1,
                        &(struct wk_row_conversation){ 1, true, 300, 2, 3, -4, 5, 6, true });
    wk_outbox_put(t, 5, 1, WK_LIT("body"));
    wk_applied_put(t, 5, &(struct wk_row_applied){ 3, 4 });
    wk_value_put(t, 5, WK_LIT("name"), WK_LIT("value"));
    wk_row_put(t, 5, 64, WK_LIT("k"), WK_LIT("v"));
}

/* Reads every row through its typed call; codes go to rc[], which has room for 16. */
static size_t read_all(struct wk_store *s, int *rc)
{
    struct wk_buf b = WK_BUF_INIT;
    uint64_t seq;
    struct wk_row_channel ch;
    struct wk_row_member m;
    struct wk_row_device d;
    struct wk_row_conversation c;
    struct wk_row_applied a;
    size_t n = 0;

    rc[n++] = wk_message_get(s, 5, &g1, 1, &b);
    rc[n++] = wk_message_scan(s, 5, &g1, 0, UINT64_MAX, false, ignore_message, NULL);
    rc[n++] = wk_sent_get(s, 5, &g1, WK_LIT("u"), &seq);
    rc[n++] = wk_channel_get(s, 5, &g1, &ch);
    rc[n++] = wk_member_get(s, 5, &g1, 1, WK_LIT("u"), &m);
    rc[n++] = wk_member_scan(s, 5, &g1, 1, wk_slice(NULL, 0), ignore_member, NULL);
    rc[n++] = wk_device_get(s, 5, WK_LIT("u"), 1, &d, &b);
    rc[n++] = wk_system_uid_scan(s, 5, ignore_uid, NULL);
    rc[n++] = wk_conversation_get(s, 5, WK_LIT("u"), &g1, &c);
    rc[n++] = wk_conversation_scan(s, 5, WK_LIT("u"), ignore_conversation, NULL);
    rc[n++] = wk_outbox_scan(s, 5, 0, ignore_message, NULL);
    rc[n++] = wk_applied_get(s, 5, &a);
    rc[n++] = wk_value_get(s, 5, WK_LIT("name"), &b);
    rc[n++] = wk_row_scan(s, 5, 64, wk_slice(NULL, 0), wk_slice(NULL, 0), ignore_row, NULL);
    wk_buf_fini(&b);
    return n;
}

/* Writes all rows again with each value passed through change(). */
static void write_changed(struct fixture *f, void (*change)(struct wk_buf *value, uint64_t arg),
                          uint64_t arg)
{
    struct wk_buf ops = WK_BUF_INIT, value = WK_BUF_INIT;
    struct wk_op op;
    wkim_slice k, v;

    put_all(f->txn);
    wkim_slice in = wk_buf_slice(&f->txn->ops);
    while (wk_op_next(&in, &op, &k, &v)) {
        wk_buf_clear(&value);
        wk_buf_bytes(&value, v.p, v.n);
        change(&value, arg);
        op.value_bytes = (uint32_t)value.n;
        wk_buf_bytes(&ops, &op, sizeof(op));
        wk_buf_bytes(&ops, k.p, k.n);
        wk_buf_bytes(&ops, value.p, value.n);
    }
    wk_txn_clear(f->txn);
    assert_false(ops.oom || value.oom);
    assert_int_equal(f->store->ops->write(f->store->self, f->txn->batch, wk_buf_slice(&ops), NULL),
                     WKIM_OK);
    wk_buf_fini(&ops);
    wk_buf_fini(&value);
}

static void cut(struct wk_buf *value, uint64_t n)
{
    if (value->n > n)
        value->n = n;
}

static void set_format(struct wk_buf *value, uint64_t format)
{
    value->p[0] = (uint8_t)format;
}

static void flip(struct wk_buf *value, uint64_t at)
{
    value->p[at / 8 % value->n] ^= (uint8_t)(1 << at % 8);
}

static void fill(struct wk_buf *value, uint64_t n)
{
    value->n = 1;
    for (uint64_t i = 0; i < n; i++)
        wk_buf_u8(value, 0xff);
}

static void empty_values_are_corrupt(void **state)
{
    struct fixture *f = *state;
    int rc[16];

    write_changed(f, cut, 0);
    size_t n = read_all(f->store, rc);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(rc[i], WKIM_ECORRUPT);
}

static void unknown_row_formats_are_corrupt(void **state)
{
    struct fixture *f = *state;
    int rc[16];

    for (uint64_t format = 0; format < 256; format += 17) {
        write_changed(f, set_format, format == 1 ? 2 : format);
        size_t n = read_all(f->store, rc);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(rc[i], WKIM_ECORRUPT);
    }
}

static void cut_fixed_rows_are_corrupt(void **state)
{
    struct fixture *f = *state;
    int rc[16];

    for (uint64_t n = 1; n < 4; n++) {
        write_changed(f, cut, n);
        read_all(f->store, rc);
        /* channel, member, member scan, device, conversation, its scan, applied */
        static const int fixed[] = { 3, 4, 5, 6, 8, 9, 11 };
        for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
            assert_int_equal(rc[fixed[i]], WKIM_ECORRUPT);
    }
}

static void altered_rows_decode_or_are_corrupt(void **state)
{
    struct fixture *f = *state;
    int rc[16];
    bool seen_corrupt = false;

    for (uint64_t at = 0; at < 40 * 8; at++) {
        write_changed(f, flip, at);
        size_t n = read_all(f->store, rc);
        for (size_t i = 0; i < n; i++) {
            assert_true(rc[i] == WKIM_OK || rc[i] == WKIM_ECORRUPT);
            seen_corrupt |= rc[i] == WKIM_ECORRUPT;
        }
    }
    assert_true(seen_corrupt);
}

/* Only channels have come as far as format 2; what it added is eight bytes here. */
static void as_format_1(struct wk_buf *value, uint64_t arg)
{
    (void)arg;
    if (value->p[0] != 2)
        return;
    value->p[0] = 1;
    value->n -= 8;
}

static void channels_of_format_1_are_read(void **state)
{
    struct fixture *f = *state;
    struct wk_row_channel got;

    write_changed(f, as_format_1, 0);
    assert_int_equal(wk_channel_get(f->store, 5, &g1, &got), WKIM_OK);
    assert_true(got.ban);
    assert_int_equal(got.last_seq_floor, 1000);
    assert_true(got.updated_ms == UINT64_MAX);
    assert_int_equal(got.erased_to, 0);
    assert_int_equal(got.keep.set, 0);
}

static void endless_numbers_are_corrupt(void **state)
{
    struct fixture *f = *state;
    int rc[16];

    for (uint64_t n = 1; n < 60; n++) {
        write_changed(f, fill, n);
        read_all(f->store, rc);
        static const int numbers[] = { 2, 3, 4, 6, 7, 9 };
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
            assert_int_equal(rc[numbers[i]], WKIM_ECORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(empty_values_are_corrupt),
        BOTH(unknown_row_formats_are_corrupt),
        BOTH(cut_fixed_rows_are_corrupt),
        BOTH(altered_rows_decode_or_are_corrupt),
        BOTH(channels_of_format_1_are_read),
        BOTH(endless_numbers_are_corrupt),
    };
    return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
