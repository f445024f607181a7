/* Bodies against the recorded ones: every recorded message is turned back into a stored record and
 * must come out as the very same text. */
#include "hook/hook.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../../support/json.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"
#include "wkim/types.h"

/* Texts that records of one body borrow. */
struct texts {
    char buf[64][512];
    size_t n;
};

static wkim_slice keep(struct texts *t, const char *fmt, const char *a, const char *b)
{
    char *to = t->buf[t->n++ % 64];
    int n = snprintf(to, sizeof(t->buf[0]), fmt, a, b);
    assert_in_range(n, 0, sizeof(t->buf[0]) - 1);
    return wk_slice(to, (size_t)n);
}

static wkim_slice decode_base64(struct texts *t, const char *in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t *to = (uint8_t *)t->buf[t->n++ % 64];
    uint32_t acc = 0;
    size_t n = 0, bits = 0;

    for (; *in && *in != '='; in++) {
        acc = acc << 6 | (uint32_t)(strchr(digits, *in) - digits);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            to[n++] = (uint8_t)(acc >> bits);
        }
    }
    return wk_slice(to, n);
}

/* The record whose body `m` is.  The stored id of a pair is joined, commands keep their suffix. */
static struct wk_record record_of(struct texts *t, const json_t *m, bool offline)
{
    const json_t *h = json_member(m, "header");
    const char *from = json_text(m, "from_uid", NULL), *channel = json_text(m, "channel_id", NULL);
    const char *cmd = strstr(channel, "____cmd");
    struct wk_record r = {.message_id = json_int(m, "message_id"),
                          .message_seq = (uint64_t)json_int(m, "message_seq"),
                          .channel_type = (uint8_t)json_int(m, "channel_type"),
                          .setting = (uint8_t)json_int(m, "setting"),
                          .expire_s = (uint32_t)json_int(m, "expire"),
                          .timestamp_ms = (uint64_t)json_int(m, "timestamp") * 1000 + 999};

    r.flags = (uint8_t)(json_int(h, "no_persist") * WKIM_FLAG_NO_PERSIST |
                        json_int(h, "red_dot") * WKIM_FLAG_RED_DOT |
                        json_int(h, "sync_once") * WKIM_FLAG_SYNC_ONCE);
    r.from_uid = keep(t, "%s%s", from, *from || offline ? "" : "____system");
    r.client_msg_no = keep(t, "%s%s", json_text(m, "client_msg_no", NULL), "");
    if (json_object_get(m, "topic"))
        r.topic = keep(t, "%s%s", json_text(m, "topic", NULL), "");
    if (r.channel_type == WKIM_CHANNEL_PERSON && cmd) {
        char uid[256];
        (void)snprintf(uid, sizeof(uid), "%.*s", (int)(cmd - channel), channel);
        r.channel_id = keep(t, "%s@%s____cmd", from, uid);
    } else if (r.channel_type == WKIM_CHANNEL_PERSON) {
        r.channel_id = keep(t, "%s@%s", channel, from);
    } else {
        r.channel_id = keep(t, "%s%s", channel, "");
    }
    r.payload = decode_base64(t, json_text(m, "payload", NULL));
    return r;
}

static void expect_body(struct wk_webhook_request *q, const char *expected)
{
    assert_int_equal(wk_webhook_body(q), WKIM_OK);
    wk_buf_u8(&q->body, 0);
    assert_string_equal((const char *)q->body.p, expected);
    wk_buf_fini(&q->body);
    wk_buf_fini(&q->items);
}

static void check_notify(const char *text)
{
    json_t *all = json_loads(text, 0, NULL);
    struct wk_webhook_request q = {.event = WK_WEBHOOK_NOTIFY};
    struct texts *t = calloc(1, sizeof(*t));

    for (size_t i = 0; i < json_array_size(all); i++) {
        struct wk_buf row = WK_BUF_INIT;
        t->n = 0;
        struct wk_record r = record_of(t, json_array_get(all, i), false);
        wk_record_encode(&row, &r);
        wk_buf_str(&q.items, wk_buf_slice(&row));
        wk_buf_fini(&row);
    }
    expect_body(&q, text);
    free(t);
    json_decref(all);
}

static void check_offline(const char *text)
{
    json_t *m = json_loads(text, 0, NULL);
    struct texts *t = calloc(1, sizeof(*t));
    struct wk_webhook_request q = {.event = WK_WEBHOOK_OFFLINE, .node_id = 1001};
    const json_t *uids = json_object_get(m, "to_uids");

    q.record = record_of(t, m, true);
    for (size_t i = 0; i < json_array_size(uids); i++) {
        wk_buf_str(&q.items, wk_str(json_string_value(json_array_get(uids, i))));
        q.n_items++;
    }
    expect_body(&q, text);
    free(t);
    json_decref(m);
}

static void recorded_bodies_come_out_unchanged(void **state)
{
    json_t *all = vector_load_lines("webhooks.jsonl");
    size_t notify = 0, offline = 0;
    (void)state;

    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *v = json_array_get(all, i);
        const char *name = json_text(v, "name", NULL),
                   *body = json_string_value(json_object_get(v, "body"));
        if (!body || strstr(name, "defect") || strstr(name, "datasource"))
            continue;
        if (strstr(name, "msg.notify") || strncmp(name, "notify", 6) == 0) {
            check_notify(body);
            notify++;
        } else if (strstr(name, "offline ") == name || strstr(name, "msg.offline")) {
            check_offline(body);
            offline++;
        }
    }
    assert_in_range(notify, 9, 100);
    assert_in_range(offline, 8, 100);
    json_decref(all);
}

static void named_receivers_hide_the_made_up_channel(void **state)
{
    struct wk_webhook_request q = {.event = WK_WEBHOOK_OFFLINE, .list = true};
    (void)state;

    q.record = (struct wk_record){.channel_id = WK_LIT("123____cmd"), .channel_type = 8};
    assert_int_equal(wk_webhook_body(&q), WKIM_OK);
    wk_buf_u8(&q.body, 0);
    assert_non_null(strstr((char *)q.body.p, "\"channel_id\":\"\""));
    wk_buf_fini(&q.body);
}

static void text_is_escaped_as_the_reference_does(void **state)
{
    struct wk_webhook_request q = {.event = WK_WEBHOOK_OFFLINE};
    (void)state;

    q.record = (struct wk_record){
        .channel_type = 2, .topic = WK_LIT("\"\\\n\x01<&>\xe2\x80\xa9\xe4\xb8\xad\xff\xe4\xb8")};
    assert_int_equal(wk_webhook_body(&q), WKIM_OK);
    wk_buf_u8(&q.body, 0);
    assert_non_null(strstr(
        (char *)q.body.p,
        "\"topic\":"
        "\"\\\"\\\\\\n\\u0001\\u003c\\u0026\\u003e\\u2029\xe4\xb8\xad\\ufffd\\ufffd\\ufffd\""));
    json_t *parsed = json_loads((char *)q.body.p, 0, NULL);
    assert_non_null(parsed);
    json_decref(parsed);
    wk_buf_fini(&q.body);
}

/* ---- gzip: an inflater for one block of fixed codes ------------------------------------------ */

struct in {
    const uint8_t *p;
    size_t n, at;
};

static unsigned bits(struct in *in, unsigned n)
{
    unsigned v = 0;

    for (unsigned i = 0; i < n; i++, in->at++) {
        assert_true(in->at / 8 < in->n);
        v |= ((unsigned)in->p[in->at / 8] >> in->at % 8 & 1u) << i;
    }
    return v;
}

static unsigned symbol(struct in *in)
{
    unsigned v = 0;

    for (unsigned n = 1; n <= 9; n++) {
        v = v << 1 | bits(in, 1);
        if (n == 7 && v < 24)
            return 256 + v;
        if (n == 8 && v >= 0x30 && v < 0xc0)
            return v - 0x30;
        if (n == 8 && v >= 0xc0 && v < 0xc8)
            return 280 + v - 0xc0;
        if (n == 9)
            return 144 + v - 0x190;
    }
    return 0;
}

static void copy_match(struct in *in, struct wk_buf *out, unsigned s)
{
    static const uint16_t base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                      15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                      67, 83, 99, 115, 131, 163, 195, 227, 258};
    unsigned c = s - 257, length, d = 0;

    assert_in_range(c, 0, 28);
    length = base[c] + (c == 28 || c < 8 ? 0 : bits(in, (c - 4) / 4));
    for (int i = 0; i < 5; i++)
        d = d << 1 | bits(in, 1);
    assert_in_range(d, 0, 29);
    unsigned distance = d < 4 ? d + 1 : ((2 + d % 2) << (d / 2 - 1)) + bits(in, d / 2 - 1) + 1;
    assert_true(distance <= out->n);
    for (unsigned i = 0; i < length; i++)
        wk_buf_u8(out, out->p[out->n - distance]);
}

static void check_gzip(wkim_slice text)
{
    struct wk_buf packed = WK_BUF_INIT, out = WK_BUF_INIT;

    assert_int_equal(wk_gzip(&packed, text), WKIM_OK);
    assert_true(packed.n >= 18 && packed.p[0] == 0x1f && packed.p[1] == 0x8b && packed.p[2] == 8);
    struct in in = {packed.p + 10, packed.n - 18, 0};
    assert_int_equal(bits(&in, 3), 3);
    for (unsigned s; (s = symbol(&in)) != 256;) {
        if (s < 256)
            wk_buf_u8(&out, (uint8_t)s);
        else
            copy_match(&in, &out, s);
    }
    assert_int_equal((in.at + 7) / 8, in.n);
    assert_int_equal(out.n, text.n);
    assert_memory_equal(out.p ? out.p : (const uint8_t *)"", text.n ? text.p : (const uint8_t *)"",
                        text.n);
    uint32_t tail[2];
    memcpy(tail, packed.p + packed.n - 8, 8);
    assert_int_equal(tail[0], wk_crc32_ieee(text));
    assert_int_equal(tail[1], (uint32_t)text.n);
    wk_buf_fini(&packed);
    wk_buf_fini(&out);
}

static void packed_lists_unpack_to_the_same_text(void **state)
{
    struct wk_buf b = WK_BUF_INIT;
    (void)state;

    check_gzip(WK_LIT(""));
    check_gzip(WK_LIT("[]"));
    for (unsigned i = 0; i < 20000; i++)
        wk_buf_printf(&b, "\"user-%u\",", i * 7919 % 50000);
    check_gzip(wk_buf_slice(&b));
    wk_buf_clear(&b);
    for (unsigned i = 0; i < 100000; i++)
        wk_buf_u8(&b, (uint8_t)(i < 40000 ? 'a' : i * i * 2654435761u >> 24));
    for (size_t n = 0; n < b.n; n += 1 + n / 3)
        check_gzip(wk_slice(b.p, n));
    check_gzip(wk_buf_slice(&b));
    wk_buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_bodies_come_out_unchanged),
        cmocka_unit_test(named_receivers_hide_the_made_up_channel),
        cmocka_unit_test(text_is_escaped_as_the_reference_does),
        cmocka_unit_test(packed_lists_unpack_to_the_same_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
