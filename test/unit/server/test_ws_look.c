/* What a WebSocket client sends, followed from its request into its frames. */
#include "../../../server/listen/ws_look.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define REQUEST "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define MASK "\1\2\3\4"

struct bytes {
    uint8_t p[140000];
    size_t n;
};

static void put(struct bytes *b, const void *p, size_t n)
{
    assert_true(b->n + n <= sizeof(b->p));
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

static void put_frame(struct bytes *b, int mask, uint64_t length)
{
    uint8_t head[10] = { 0x82 };
    size_t n = length < 126 ? 0 : length < 65536 ? 2 : 8;

    head[1] = (uint8_t)((mask ? 0x80 : 0) | (n == 0 ? length : n == 2 ? 126 : 127));
    for (size_t i = 0; i < n; i++)
        head[2 + i] = (uint8_t)(length >> 8 * (n - 1 - i));
    put(b, head, 2 + n);
    if (mask)
        put(b, MASK, 4);
    for (uint64_t i = 0; i < length; i++)
        put(b, "\x82", 1); /* reads as an unmasked frame when the place is wrong */
}

/* The verdict of the whole in pieces of `step`; *at: where the last frame in it began. */
static enum wk_ws_verdict look_in_steps(const struct bytes *b, size_t step, size_t *at)
{
    struct wk_ws_look l = { 0 };

    *at = b->n;
    for (size_t i = 0; i < b->n; i += step) {
        size_t n = b->n - i < step ? b->n - i : step, frame;
        enum wk_ws_verdict v = wk_ws_look(&l, b->p + i, n, &frame);

        if (frame < n)
            *at = i + frame;
        if (v != WK_WS_FINE) {
            assert_int_equal(l.at, WK_WS_LOOK_REFUSED);
            return v;
        }
    }
    return WK_WS_FINE;
}

static void expect_in_any_pieces(const struct bytes *b, enum wk_ws_verdict want, size_t want_at)
{
    static const size_t steps[] = { 1, 2, 3, 5, 7, 64, 1000, sizeof(b->p) };

    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        size_t at;

        assert_int_equal(look_in_steps(b, steps[i], &at), want);
        if (want == WK_WS_UNMASKED)
            assert_int_equal(at, want_at);
    }
}

static void expect_text(const char *text, enum wk_ws_verdict want)
{
    struct bytes *b = calloc(1, sizeof(*b));

    put(b, text, strlen(text));
    expect_in_any_pieces(b, want, 0);
    free(b);
}

static void requests_begin_with_a_method(void **state)
{
    (void)state;
    expect_text(REQUEST, WK_WS_FINE);
    expect_text("OPTIONS * HTTP/1.1\r\n\r\n", WK_WS_FINE);
    expect_text("GE", WK_WS_FINE);
    expect_text("get / HTTP/1.1\r\n\r\n", WK_WS_NOT_HTTP);
    expect_text("GETS / HTTP/1.1\r\n\r\n", WK_WS_NOT_HTTP);
    expect_text("OPTIONSX", WK_WS_NOT_HTTP);
    expect_text(" / HTTP/1.1\r\n\r\n", WK_WS_NOT_HTTP);
    expect_text("\x10\x4b\x04", WK_WS_NOT_HTTP);
    expect_text("{\"jsonrpc\"", WK_WS_NOT_HTTP);
    expect_text("PRI * HTTP/2.0\r\n\r\n", WK_WS_NOT_HTTP);
}

static void long_requests_are_refused(void **state)
{
    struct bytes *b = calloc(1, sizeof(*b));

    (void)state;
    put(b, "GET /", 5);
    while (b->n < 4 + WK_WS_REQUEST_BYTES_MAX)
        put(b, "a", 1);
    expect_in_any_pieces(b, WK_WS_FINE, 0);
    put(b, "a", 1);
    expect_in_any_pieces(b, WK_WS_TOO_LONG, 0);
    free(b);
}

static void masked_frames_of_all_lengths_pass(void **state)
{
    static const uint64_t lengths[] = { 0, 1, 125, 126, 127, 255, 256, 65535, 65536 };
    struct bytes *b = calloc(1, sizeof(*b));

    (void)state;
    put(b, REQUEST, sizeof(REQUEST) - 1);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
        put_frame(b, 1, lengths[i]);
    expect_in_any_pieces(b, WK_WS_FINE, 0);
    free(b);
}

static void an_unmasked_frame_is_found_behind_any_other(void **state)
{
    static const uint64_t lengths[] = { 0, 1, 125, 126, 4000, 65535, 65536 };

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct bytes *b = calloc(1, sizeof(*b));
        size_t at;

        put(b, REQUEST, sizeof(REQUEST) - 1);
        put_frame(b, 1, lengths[i]);
        at = b->n;
        put_frame(b, 0, 5);
        put_frame(b, 1, 5);
        expect_in_any_pieces(b, WK_WS_UNMASKED, at);
        free(b);
    }
}

static void an_impossible_length_is_followed_without_overflow(void **state)
{
    static const uint8_t frame[] = { 0x82, 0xff, 255, 255, 255, 255, 255, 255,
                                     255,  255,  0,   0,   0,   0,   0 };
    struct bytes *b = calloc(1, sizeof(*b));

    (void)state;
    put(b, REQUEST, sizeof(REQUEST) - 1);
    put(b, frame, sizeof(frame));
    expect_in_any_pieces(b, WK_WS_FINE, 0);
    free(b);
}

static void the_request_ends_at_its_empty_line(void **state)
{
    static const char text[] = REQUEST "\x89\x80";
    struct wk_ws_look l = { 0 };
    size_t frame, n = sizeof(REQUEST) - 1;

    (void)state;
    assert_int_equal(wk_ws_look_request(&l, (const uint8_t *)text, sizeof(text) - 1), n);
    assert_int_equal(wk_ws_look_request(&l, (const uint8_t *)text, 5), 5);
    assert_int_equal(wk_ws_look(&l, (const uint8_t *)text, 20, &frame), WK_WS_FINE);
    assert_int_equal(wk_ws_look_request(&l, (const uint8_t *)text + 20, sizeof(text) - 21), n - 20);
    assert_int_equal(wk_ws_look(&l, (const uint8_t *)text + 20, n - 20, &frame), WK_WS_FINE);
    assert_int_equal(l.at, WK_WS_LOOK_FRAME);
    assert_int_equal(wk_ws_look_request(&l, (const uint8_t *)"GET", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_begin_with_a_method),
        cmocka_unit_test(long_requests_are_refused),
        cmocka_unit_test(masked_frames_of_all_lengths_pass),
        cmocka_unit_test(an_unmasked_frame_is_found_behind_any_other),
        cmocka_unit_test(an_impossible_length_is_followed_without_overflow),
        cmocka_unit_test(the_request_ends_at_its_empty_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
