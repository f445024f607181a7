/* The header a load balancer puts before the first byte. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include "proto/proxy.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static wkim_ssize decode(struct wk_proxy_header *h, wkim_slice in)
{
    memset(h, 0xa5, sizeof(*h));
    return wk_proxy_decode(h, in);
}

static void expect_source(wkim_slice in, wkim_ssize used, const char *source)
{
    struct wk_proxy_header h;

    assert_int_equal(decode(&h, in), used);
    assert_int_equal(h.has_source, source != NULL);
    if (source)
        assert_string_equal(h.source, source);
}

static void expect_refused(const char *line)
{
    struct wk_proxy_header h;

    if (decode(&h, wk_str(line)) != WKIM_EPROTO)
        fail_msg("taken: %s", line);
    assert_false(h.has_source);
}

/* A version 2 header with `n` bytes of addresses, of which the first are `addresses`. */
static wkim_slice v2(uint8_t *out, uint8_t command, uint8_t family, const void *addresses,
                     size_t have, size_t n)
{
    memcpy(out, SIGNATURE, 12);
    out[12] = command;
    out[13] = family;
    out[14] = (uint8_t)(n >> 8);
    out[15] = (uint8_t)n;
    memset(out + 16, 0, n);
    if (have)
        memcpy(out + 16, addresses, have);
    return wk_slice(out, 16 + n);
}

static void text_header_tells_the_source_and_leaves_the_rest(void **state)
{
    (void)state;
    expect_source(WK_LIT("PROXY TCP4 192.0.2.7 10.0.0.1 56324 5100\r\nhello"), 42,
                  "192.0.2.7:56324");
    expect_source(WK_LIT("PROXY TCP6 2001:db8::1 ::1 4660 1\r\n"), 35, "2001:db8::1:4660");
    expect_source(WK_LIT("PROXY UNKNOWN\r\n"), 15, NULL);
    expect_source(WK_LIT("PROXY UNKNOWN ff::1 ff::2 1 2\r\nx"), 31, NULL);
}

static void malformed_text_headers_are_refused(void **state)
{
    static const char *const bad[] = {
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324 5100\n",         /* no carriage return */
        "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",            /* one port */
        "PROXY TCP4 192.0.2.7 10.0.0.1 65536 5100\r\n",       /* port out of range */
        "PROXY TCP4 192.0.2.7 10.0.0.1 -1 5100\r\n",          /* port below zero */
        "PROXY TCP4 192.0.2.7 10.0.0.1 12x 5100\r\n",         /* port with a letter */
        "PROXY TCP4 192.0.2.777 10.0.0.1 1 2\r\n",            /* no address */
        "PROXY TCP4 2001:db8::1 ::1 1 2\r\n",                 /* address of another family */
        "PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",              /* and the other way round */
        "PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",              /* unknown family */
        "PROXY UNKNOWNX\r\n",                                 /* no word boundary */
        "PROXY \r\n",                                         /* nothing */
    };
    (void)state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect_refused(bad[i]);
}

static void text_header_of_more_than_107_bytes_is_refused(void **state)
{
    char line[128];
    struct wk_proxy_header h;
    (void)state;

    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    for (size_t n = 6; n < 107; n++)
        assert_int_equal(decode(&h, wk_slice(line, n)), 0);
    assert_int_equal(decode(&h, wk_slice(line, 107)), WKIM_EPROTO);
    line[105] = '\r';
    line[106] = '\n';
    assert_int_equal(decode(&h, wk_slice(line, sizeof(line))), 107);
}

static void binary_header_tells_the_source(void **state)
{
    uint8_t b[64];
    static const uint8_t four[] = { 192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x13, 0xec };
    uint8_t six[36] = { 0x20, 0x01, 0x0d, 0xb8 };
    (void)state;

    six[15] = 1;
    six[31] = 1;
    six[32] = 0x12;
    six[33] = 0x34;
    expect_source(v2(b, 0x21, 0x11, four, 12, 12), 28, "192.0.2.7:56324");
    expect_source(v2(b, 0x21, 0x11, four, 12, 20), 36, "192.0.2.7:56324"); /* extensions behind */
    expect_source(v2(b, 0x21, 0x21, six, 36, 36), 52, "2001:db8::1:4660");
}

static void health_checks_and_other_families_have_no_source(void **state)
{
    uint8_t b[256];
    (void)state;

    expect_source(v2(b, 0x20, 0x00, NULL, 0, 0), 16, NULL);   /* LOCAL */
    expect_source(v2(b, 0x20, 0x11, NULL, 0, 12), 28, NULL);  /* LOCAL with addresses */
    expect_source(v2(b, 0x21, 0x31, NULL, 0, 216), 232, NULL); /* Unix socket */
    expect_source(v2(b, 0x21, 0x00, NULL, 0, 0), 16, NULL);   /* unspecified */
}

static void malformed_binary_headers_are_refused(void **state)
{
    static uint8_t b[16 + WK_PROXY_BYTES_MAX];
    struct wk_proxy_header h;
    (void)state;

    assert_int_equal(decode(&h, v2(b, 0x11, 0x11, NULL, 0, 12)), WKIM_EPROTO); /* version 1 */
    assert_int_equal(decode(&h, v2(b, 0x22, 0x11, NULL, 0, 12)), WKIM_EPROTO); /* command 2 */
    assert_int_equal(decode(&h, v2(b, 0x21, 0x11, NULL, 0, 11)), WKIM_EPROTO); /* IPv4 too short */
    assert_int_equal(decode(&h, v2(b, 0x21, 0x21, NULL, 0, 35)), WKIM_EPROTO); /* IPv6 too short */
    assert_int_equal(decode(&h, v2(b, 0x21, 0x11, NULL, 0, WK_PROXY_BYTES_MAX - 16)),
                     WK_PROXY_BYTES_MAX);
    assert_int_equal(decode(&h, v2(b, 0x21, 0x11, NULL, 0, WK_PROXY_BYTES_MAX - 15)), WKIM_EPROTO);
}

static void every_cut_waits_for_more(void **state)
{
    uint8_t b[64];
    struct wk_proxy_header h;
    const wkim_slice text = WK_LIT("PROXY TCP4 192.0.2.7 10.0.0.1 56324 5100\r\n");
    const wkim_slice binary = v2(b, 0x21, 0x11, "\1\2\3\4\5\6\7\10\11\12\13\14", 12, 12);
    (void)state;

    for (size_t n = 0; n < text.n; n++)
        assert_int_equal(decode(&h, wk_slice(text.p, n)), 0);
    for (size_t n = 0; n < binary.n; n++)
        assert_int_equal(decode(&h, wk_slice(binary.p, n)), 0);
}

static void other_first_bytes_are_no_header(void **state)
{
    struct wk_proxy_header h;
    (void)state;

    assert_int_equal(decode(&h, WK_LIT("\x10\x2a")), WKIM_ENOTFOUND); /* CONNECT */
    assert_int_equal(decode(&h, WK_LIT("{\"jsonrpc\"")), WKIM_ENOTFOUND);
    assert_int_equal(decode(&h, WK_LIT("PROXIES ")), WKIM_ENOTFOUND);
    assert_int_equal(decode(&h, WK_LIT("\r\n\r\nX")), WKIM_ENOTFOUND);
    assert_int_equal(decode(&h, WK_LIT("Proxy TCP4")), WKIM_ENOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_header_tells_the_source_and_leaves_the_rest),
        cmocka_unit_test(malformed_text_headers_are_refused),
        cmocka_unit_test(text_header_of_more_than_107_bytes_is_refused),
        cmocka_unit_test(binary_header_tells_the_source),
        cmocka_unit_test(health_checks_and_other_families_have_no_source),
        cmocka_unit_test(malformed_binary_headers_are_refused),
        cmocka_unit_test(every_cut_waits_for_more),
        cmocka_unit_test(other_first_bytes_are_no_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
