/* The client's side of a gRPC connection against a server in memory, and the frames of its
 * messages. */
#include "../../../server/out/grpc_conn.c"
#include "../../../server/out/grpc_message.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* ---- the other side -------------------------------------------------------------------------- */

struct peer {
    nghttp2_session *session;
    uint8_t body[1 << 20];
    size_t n_body;
    char path[64], signature[16], authority[32], timeout[16];
    int32_t stream;
    bool whole;
    const uint8_t *answer;
    size_t n_answer, sent;
    const char *status; /* of grpc, in the trailers */
};

static int peer_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
                       size_t name_n, const uint8_t *value, size_t n, uint8_t flags, void *user)
{
    struct peer *p = user;
    char *to = is(name, name_n, ":path")            ? p->path
               : is(name, name_n, "x-wk-signature") ? p->signature
               : is(name, name_n, ":authority")     ? p->authority
               : is(name, name_n, "grpc-timeout")   ? p->timeout
                                                    : NULL;

    (void)s;
    (void)f;
    (void)flags;
    if (to)
        (void)snprintf(to, 16 + (to == p->path ? 48 : 0), "%.*s", (int)n, (const char *)value);
    return 0;
}

static int peer_data(nghttp2_session *s, uint8_t flags, int32_t stream, const uint8_t *data,
                     size_t n, void *user)
{
    struct peer *p = user;

    (void)s;
    (void)flags;
    p->stream = stream;
    assert_true(p->n_body + n <= sizeof(p->body));
    memcpy(p->body + p->n_body, data, n);
    p->n_body += n;
    return 0;
}

static int peer_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
    struct peer *p = user;

    (void)s;
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM && f->hd.stream_id)
        p->whole = true;
    return 0;
}

static ssize_t peer_read(nghttp2_session *s, int32_t stream, uint8_t *out, size_t cap,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct peer *p = user;
    size_t n = p->n_answer - p->sent < cap ? p->n_answer - p->sent : cap;
    nghttp2_nv trailer = header("grpc-status", p->status ? p->status : "0");

    (void)source;
    memcpy(out, p->answer + p->sent, n);
    p->sent += n;
    if (p->sent < p->n_answer)
        return (ssize_t)n;
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (p->status) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        assert_int_equal(nghttp2_submit_trailer(s, stream, &trailer, 1), 0);
    }
    return (ssize_t)n;
}

static void peer_answer(struct peer *p, const void *bytes, size_t n, const char *status)
{
    nghttp2_nv h[] = { header(":status", "200"), header("content-type", "application/grpc+proto") };
    nghttp2_data_provider body = { .read_callback = peer_read };

    p->answer = bytes;
    p->n_answer = n;
    p->sent = 0;
    p->status = status;
    assert_int_equal(nghttp2_submit_response(p->session, p->stream, h, 2, &body), 0);
}

/* ---- both together --------------------------------------------------------------------------- */

struct pair {
    struct wk_grpc_conn *g;
    struct peer peer;
    int results[3];
    char why[WK_GRPC_REASON_MAX];
};

static void note(void *user, struct wk_grpc_call *c, enum wk_grpc_result result, const char *why)
{
    struct pair *p = user;

    (void)c;
    p->results[result]++;
    (void)snprintf(p->why, sizeof(p->why), "%s", why);
}

static int setup(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));
    nghttp2_session_callbacks *cb;

    assert_non_null(p);
    assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
    nghttp2_session_callbacks_set_on_header_callback(cb, peer_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, peer_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, peer_frame);
    assert_int_equal(nghttp2_session_server_new(&p->peer.session, cb, &p->peer), 0);
    nghttp2_session_callbacks_del(cb);
    assert_int_equal(nghttp2_submit_settings(p->peer.session, 0, NULL, 0), 0);
    assert_int_equal(wk_grpc_conn_new(&p->g, "host:1", note, p), WKIM_OK);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;

    wk_grpc_conn_free(p->g, "the end");
    nghttp2_session_del(p->peer.session);
    free(p);
    return 0;
}

/* Carries bytes both ways, `step` at a time, until nobody has anything to say. */
static int carry(struct pair *p, size_t step)
{
    bool more = true;

    while (more) {
        const uint8_t *out;
        wkim_ssize n = wk_grpc_conn_drain(p->g, &out);

        more = n > 0;
        if (n < 0)
            return -1;
        if (n > 0)
            assert_int_equal(nghttp2_session_mem_recv(p->peer.session, out, (size_t)n), n);
        ssize_t back = nghttp2_session_mem_send(p->peer.session, &out);

        assert_true(back >= 0);
        more = more || back > 0;
        for (size_t at = 0, part; at < (size_t)back; at += part) {
            part = (size_t)back - at < step ? (size_t)back - at : step;
            if (wk_grpc_conn_feed(p->g, out + at, part) != 0)
                return -1;
        }
    }
    return 0;
}

static const uint8_t success[] = { 0, 0, 0, 0, 2, 8, 1 };

static struct wk_grpc_call new_call(uint8_t **frame, const char *body)
{
    struct wk_grpc_call c = { .timeout_ms = 10000, .signature = "sig" };

    *frame = wk_grpc_request("msg.notify", (wkim_slice){ (const uint8_t *)body, strlen(body) },
                             &c.request_n);
    assert_non_null(*frame);
    c.request = *frame;
    return c;
}

static void a_call_is_the_recorded_bytes_and_success_ends_it(void **state)
{
    static const uint8_t want[] = "\0\0\0\0\x10\x0a\x0amsg.notify\x12\x02[]";

    for (size_t step = 1; step < 200; step += 7) {
        struct pair *p;
        uint8_t *frame;

        (void)teardown(state);
        assert_int_equal(setup(state), 0);
        p = *state;
        struct wk_grpc_call c = new_call(&frame, "[]");

        assert_int_equal(wk_grpc_conn_room(p->g), 0);
        assert_int_equal(carry(p, step), 0);
        assert_int_equal(wk_grpc_conn_room(p->g), WK_GRPC_STREAMS_MAX);
        assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
        assert_int_equal(carry(p, step), 0);
        assert_true(p->peer.whole);
        assert_int_equal(p->peer.n_body, sizeof(want) - 1);
        assert_memory_equal(p->peer.body, want, sizeof(want) - 1);
        assert_string_equal(p->peer.path, "/wkhook.WebhookService/SendWebhook");
        assert_string_equal(p->peer.signature, "sig");
        assert_string_equal(p->peer.authority, "host:1");
        assert_string_equal(p->peer.timeout, "10000m");
        peer_answer(&p->peer, success, sizeof(success), "0");
        assert_int_equal(carry(p, step), 0);
        assert_int_equal(p->results[WK_GRPC_OK], 1);
        assert_int_equal(wk_grpc_conn_calls(p->g), 0);
        free(frame);
    }
}

static void a_large_request_waits_for_the_windows(void **state)
{
    struct pair *p = *state;
    char *body = malloc(500001);
    uint8_t *frame;

    memset(body, '1', 500000);
    body[500000] = '\0';
    struct wk_grpc_call c = new_call(&frame, body);

    assert_int_equal(carry(p, 4096), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(carry(p, 4096), 0);
    assert_int_equal(p->peer.n_body, c.request_n);
    assert_memory_equal(p->peer.body, frame, c.request_n);
    peer_answer(&p->peer, success, sizeof(success), "0");
    assert_int_equal(carry(p, 4096), 0);
    assert_int_equal(p->results[WK_GRPC_OK], 1);
    free(frame);
    free(body);
}

static void fails_with(void **state, const void *answer, size_t n, const char *status,
                       const char *why)
{
    struct pair *p;
    uint8_t *frame;

    (void)teardown(state);
    assert_int_equal(setup(state), 0);
    p = *state;
    struct wk_grpc_call c = new_call(&frame, "[]");

    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(carry(p, 100), 0);
    peer_answer(&p->peer, answer, n, status);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(p->results[WK_GRPC_FAILED], 1);
    assert_string_equal(p->why, why);
    assert_int_equal(p->results[WK_GRPC_OK] + p->results[WK_GRPC_UNPROCESSED], 0);
    free(frame);
}

static void everything_but_success_fails(void **state)
{
    static uint8_t big[WK_GRPC_ANSWER_MAX + 1];

    fails_with(state, success, sizeof(success), "13", "grpc-status 13 ");
    fails_with(state, success, sizeof(success), NULL, "the answer ends without a grpc-status");
    fails_with(state, success, sizeof(success) - 1, "0", "the answer ends inside its message");
    fails_with(state, success, 0, "0", "the answer holds no message");
    fails_with(state, "\0\0\0\0\0", 5, "0", "the receiver answered status Error");
    fails_with(state, "\0\0\0\0\0\0", 6, "0", "the answer holds more than one message");
    fails_with(state, "\1\0\0\0\2\10\1", 7, "0", "the answer is packed, which was not asked for");
    fails_with(state, "\0\0\0\0\1\xff", 6, "0", "the answer is no EventResp");
    fails_with(state, big, sizeof(big), "0", "the answer is too big");
}

static void data_of_the_answer_means_nothing(void **state)
{
    (void)state;
    assert_null(wk_grpc_answer_check((const uint8_t *)"\0\0\0\0\x0b\x12\x07ignored\x08\x01", 16));
    assert_null(wk_grpc_answer_check((const uint8_t *)"\0\0\0\0\x04\x08\x01\x18\x05", 9));
}

static void a_reset_fails_and_a_refusal_moves_the_call(void **state)
{
    struct pair *p = *state;
    uint8_t *frame;
    struct wk_grpc_call c = new_call(&frame, "[]");

    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(
        nghttp2_submit_rst_stream(p->peer.session, 0, p->peer.stream, NGHTTP2_INTERNAL_ERROR), 0);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(p->results[WK_GRPC_FAILED], 1);
    assert_string_equal(p->why, "the receiver reset the call: INTERNAL_ERROR");
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(
        nghttp2_submit_rst_stream(p->peer.session, 0, p->peer.stream, NGHTTP2_REFUSED_STREAM), 0);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(p->results[WK_GRPC_UNPROCESSED], 1);
    free(frame);
}

static void goaway_ends_the_connection_and_returns_what_was_not_seen(void **state)
{
    struct pair *p = *state;
    uint8_t *frame;
    struct wk_grpc_call c = new_call(&frame, "[]"), late = c;

    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(nghttp2_submit_goaway(p->peer.session, 0, 0, NGHTTP2_NO_ERROR,
                                           (const uint8_t *)"b\"y\x01", 4),
                     0);
    (void)carry(p, 100);
    assert_int_equal(p->results[WK_GRPC_UNPROCESSED], 1);
    assert_true(wk_grpc_conn_closing(p->g));
    assert_int_equal(wk_grpc_conn_room(p->g), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &late), -1);
    assert_string_equal(wk_grpc_conn_why(p->g),
                        "the receiver closes the connection: NO_ERROR b?y?");
    free(frame);
}

static void a_cancelled_call_is_done_once_and_its_late_answer_ignored(void **state)
{
    struct pair *p = *state;
    uint8_t *frame;
    struct wk_grpc_call c = new_call(&frame, "[]");

    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    wk_grpc_conn_cancel(p->g, &c, "too late"); /* nothing of it was sent */
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(wk_grpc_conn_start(p->g, &c), 0);
    assert_int_equal(carry(p, 100), 0);
    peer_answer(&p->peer, success, sizeof(success), "0");
    wk_grpc_conn_cancel(p->g, &c, "too late");
    memset(&c, 0xff, sizeof(c)); /* the caller's again */
    free(frame);
    assert_int_equal(carry(p, 100), 0);
    assert_int_equal(p->results[WK_GRPC_FAILED], 2);
    assert_string_equal(p->why, "too late");
}

static void pings_are_answered_both_ways(void **state)
{
    struct pair *p = *state;

    wk_grpc_conn_ping(p->g);
    assert_true(wk_grpc_conn_pinging(p->g));
    assert_int_equal(nghttp2_submit_ping(p->peer.session, 0, NULL), 0);
    assert_int_equal(carry(p, 3), 0);
    assert_false(wk_grpc_conn_pinging(p->g));
}

static void calls_under_way_fail_with_the_connection(void **state)
{
    struct pair *p = *state;
    struct wk_grpc_call c[WK_GRPC_STREAMS_MAX];
    uint8_t *frame[WK_GRPC_STREAMS_MAX];

    assert_int_equal(carry(p, 100), 0);
    for (size_t i = 0; i < WK_GRPC_STREAMS_MAX; i++) {
        c[i] = new_call(&frame[i], "[]");
        assert_int_equal(wk_grpc_conn_start(p->g, &c[i]), 0);
    }
    assert_int_equal(wk_grpc_conn_room(p->g), 0);
    wk_grpc_conn_free(p->g, "gone");
    p->g = NULL;
    assert_int_equal(p->results[WK_GRPC_FAILED], WK_GRPC_STREAMS_MAX);
    assert_string_equal(p->why, "gone");
    for (size_t i = 0; i < WK_GRPC_STREAMS_MAX; i++)
        free(frame[i]);
}

static void another_protocol_breaks_the_connection(void **state)
{
    static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    struct pair *p = *state;
    const uint8_t *out;
    int rc = wk_grpc_conn_feed(p->g, (const uint8_t *)http1, sizeof(http1) - 1);
    wkim_ssize n;

    while (rc == 0 && (n = wk_grpc_conn_drain(p->g, &out)) != 0)
        rc = n < 0 ? -1 : 0;
    assert_int_equal(rc, -1);
    assert_true(wk_grpc_conn_closing(p->g));
    assert_true(*wk_grpc_conn_why(p->g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_call_is_the_recorded_bytes_and_success_ends_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_large_request_waits_for_the_windows, setup, teardown),
        cmocka_unit_test_setup_teardown(everything_but_success_fails, setup, teardown),
        cmocka_unit_test(data_of_the_answer_means_nothing),
        cmocka_unit_test_setup_teardown(a_reset_fails_and_a_refusal_moves_the_call, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(goaway_ends_the_connection_and_returns_what_was_not_seen,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_cancelled_call_is_done_once_and_its_late_answer_ignored,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(pings_are_answered_both_ways, setup, teardown),
        cmocka_unit_test_setup_teardown(calls_under_way_fail_with_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(another_protocol_breaks_the_connection, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
