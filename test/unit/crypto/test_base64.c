#include "crypto/crypto.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "base/clock.h"
#include "crypto/internal.h"

static void known_answers(void **state)
{
    (void)state;
    static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
        { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "+/+/" } };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[16] = { 0 }, plain[16] = { 0 };
        const size_t n = strlen(pairs[i][0]), m = strlen(pairs[i][1]);
        wk_base64_encode(text, pairs[i][0], n);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(WK_BASE64_LEN(n), m);
        assert_int_equal(wk_base64_decode(plain, pairs[i][1], m), n);
        assert_memory_equal(plain, pairs[i][0], n);
    }
}

/* Every length, with guards: the wide and the plain code agree and touch nothing beside. */
static void wide_and_plain_code_agree(void **state)
{
    (void)state;
    struct wk_rng r;
    uint8_t in[400], back[402];
    char wide[540], plain[540];
    wk_rng_seed(&r, 1);
    for (size_t n = 0; n <= sizeof(in); n++) {
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)wk_rng_next(&r);
        const size_t m = WK_BASE64_LEN(n);
        memset(wide, '~', sizeof(wide));
        memset(back, '~', sizeof(back));
        wk_base64_encode(wide + 1, in, n);
        wk_base64_encode_scalar(plain, in, n);
        assert_memory_equal(wide + 1, plain, m);
        assert_true(wide[0] == '~' && wide[m + 1] == '~');
        assert_int_equal(wk_base64_decode(back + 1, wide + 1, m), n);
        assert_memory_equal(back + 1, in, n);
        assert_true(back[0] == '~' && back[n + 1] == '~');
        assert_int_equal(wk_base64_decode_scalar(back, (const uint8_t *)plain, m), n);
        assert_memory_equal(back, in, n);
    }
}

static bool is_digit64(int c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
}

/* Each of the 256 bytes at each place of a text long enough for the wide code. */
static void every_foreign_byte_is_refused_at_every_place(void **state)
{
    (void)state;
    enum { N = 100 };
    char text[N], out[N];
    for (size_t at = 0; at < N; at++) {
        for (int c = 0; c < 256; c++) {
            memset(text, 'A', N);
            text[at] = (char)c;
            const bool good = is_digit64(c) || (c == '=' && at == N - 1);
            const wkim_ssize n = wk_base64_decode(out, text, N);
            if (good)
                assert_int_equal(n, c == '=' ? N / 4 * 3 - 1 : N / 4 * 3);
            else
                assert_int_equal(n, WKIM_EPROTO);
        }
    }
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "A", "AA", "AAA", "AAAAA", "=AAA", "A=AA", "A===", "====",
        "AA=A", "AA==AAAA", "AAA=AAAA", "AAA ", "AA\nA", "AAAA\n", "A-AA", "A_AA", " AAAA" };
    char out[16];
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(wk_base64_decode(out, bad[i], strlen(bad[i])), WKIM_EPROTO);
    assert_int_equal(wk_base64_decode(out, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(wide_and_plain_code_agree),
        cmocka_unit_test(every_foreign_byte_is_refused_at_every_place),
        cmocka_unit_test(malformed_text_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
