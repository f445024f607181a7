/* Bodies against the recorded ones: every recorded message is turned back into a stored record and
 * must come out as the very same text. */
#include "hook/hook.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <zlib.h>
#include "../../support/json.h"
#include "base/cursor.h"
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

/* ---- gzip ------------------------------------------------------------------------------------ */

static void check_gzip(wkim_slice text)
{
    struct wk_buf packed = WK_BUF_INIT;
    uint8_t *out = malloc(text.n + 1);
    z_stream z = { 0 };

    wk_buf_u8(&packed, 'x'); /* the stream is appended */
    assert_int_equal(wk_gzip(&packed, text), WKIM_OK);
    assert_int_equal(packed.p[0], 'x');
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    z.next_in = packed.p + 1;
    z.avail_in = (unsigned)packed.n - 1;
    z.next_out = out;
    z.avail_out = (unsigned)text.n + 1;
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END); /* whole, its checksum right */
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(z.total_out, text.n);
    assert_memory_equal(out, text.n ? text.p : out, text.n);
    inflateEnd(&z);
    free(out);
    wk_buf_fini(&packed);
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
