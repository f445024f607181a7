#include "crypto/crypto.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "crypto/internal.h"
#include "json.h"
#include "oom.h"

/* Each test runs with the CPU's instructions and without them. */
struct fixture {
    struct wk_crypto *crypto;
    struct wk_cipher cipher;
};
static bool with_cpu;

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_int_equal(wk_crypto_new(&f->crypto), WKIM_OK);
    wk_crypto_restrict(f->crypto, with_cpu, with_cpu);
    memcpy(f->cipher.key, "6f67c1b0369c6cbc", 16);
    memcpy(f->cipher.iv, "31aB87mxYeTD8Jsj", 16);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    wk_crypto_free(f->crypto);
    free(f);
    return oom_live() == 0 ? 0 : -1;
}

static uint8_t sign_input[1 << 20];

/* Parts joined must equal the recorded sign string, and give the recorded key. */
static void check_key(struct fixture *f, const struct wk_cipher *k, const json_t *rec,
                      const wkim_slice *parts, size_t n)
{
    const size_t want = json_hex(sign_input, sizeof(sign_input), rec, "signInputHex");
    struct wk_buf joined = WK_BUF_INIT;
    for (size_t i = 0; i < n; i++)
        wk_buf_bytes(&joined, parts[i].p, parts[i].n);
    assert_true(wk_slice_eq(wk_buf_slice(&joined), wk_slice(sign_input, want)));

    char key[33] = { 0 };
    assert_int_equal(wk_msg_key(f->crypto, k, parts, n, key), WKIM_OK);
    assert_string_equal(key, json_text(rec, "msgKey", NULL));
    memset(key, 0, sizeof(key));
    const wkim_slice whole = wk_buf_slice(&joined);
    assert_int_equal(wk_msg_key(f->crypto, k, &whole, 1, key), WKIM_OK);
    assert_string_equal(key, json_text(rec, "msgKey", NULL));

    if (json_object_get(rec, "signCipherBase64")) {
        struct wk_buf sealed = WK_BUF_INIT;
        assert_int_equal(wk_seal(f->crypto, k, whole, &sealed), WKIM_OK);
        assert_true(wk_slice_eq(wk_buf_slice(&sealed),
                                wk_str(json_text(rec, "signCipherBase64", NULL))));
        wk_buf_fini(&sealed);
    }
    wk_buf_fini(&joined);
}

static wkim_slice member(const json_t *rec, const char *key)
{
    size_t n;
    const char *p = json_text(rec, key, &n);
    return wk_slice(p, n);
}

static void check_send_and_recv(struct fixture *f, const struct wk_cipher *k, const json_t *m,
                                wkim_slice payload)
{
    char a[24], b[24], c[24], d[24];
    const json_t *send = json_member(m, "send"), *recv = json_member(m, "recv");
    snprintf(a, sizeof(a), "%" PRId64, json_int(send, "clientSeq"));
    snprintf(b, sizeof(b), "%" PRId64, json_int(send, "channelType"));
    const wkim_slice s[] = { wk_str(a), member(send, "clientMsgNo"), member(send, "channelId"),
                             wk_str(b), payload };
    check_key(f, k, send, s, 5);
    snprintf(a, sizeof(a), "%" PRId64, json_int(recv, "messageId"));
    snprintf(b, sizeof(b), "%" PRId64, json_int(recv, "messageSeq"));
    snprintf(c, sizeof(c), "%" PRId64, json_int(recv, "timestamp"));
    snprintf(d, sizeof(d), "%" PRId64, json_int(recv, "channelType"));
    const wkim_slice r[] = { wk_str(a),
                             wk_str(b),
                             member(recv, "clientMsgNo"),
                             wk_str(c),
                             member(recv, "fromUid"),
                             member(recv, "channelId"),
                             wk_str(d),
                             payload };
    check_key(f, k, recv, r, 8);
}

static void recorded_messages_are_reproduced(void **state)
{
    struct fixture *f = *state;
    json_t *root = vector_load("crypto.json"), *s, *m;
    size_t i, j, count = 0;
    static uint8_t plain[1 << 20];
    json_array_foreach(json_member(root, "sessions"), i, s) {
        struct wk_cipher k;
        memcpy(k.key, json_text(s, "aesKey", NULL), 16);
        memcpy(k.iv, json_text(s, "salt", NULL), 16);
        json_array_foreach(json_member(s, "messages"), j, m) {
            const size_t n = json_hex(plain, sizeof(plain), m, "plainHex");
            const wkim_slice text = member(m, "cipherBase64");
            struct wk_buf b = WK_BUF_INIT;
            assert_int_equal(wk_seal(f->crypto, &k, wk_slice(plain, n), &b), WKIM_OK);
            assert_true(wk_slice_eq(wk_buf_slice(&b), text));
            assert_int_equal(text.n, WK_SEALED_LEN(n));
            wk_buf_clear(&b);
            assert_int_equal(wk_open(f->crypto, &k, text, &b), WKIM_OK);
            assert_true(wk_slice_eq(wk_buf_slice(&b), wk_slice(plain, n)));
            wk_buf_fini(&b);
            check_send_and_recv(f, &k, m, text);
            count++;
        }
    }
    assert_int_equal(count, 90);
    json_decref(root);
}

static void every_length_comes_back_and_is_appended(void **state)
{
    struct fixture *f = *state;
    static uint8_t plain[3000];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 31 + i / 256);
    for (size_t n = 0; n <= sizeof(plain); n += n < 100 ? 1 : n % 96 < 2 || n % 96 > 93 ? 1 : 7) {
        struct wk_buf sealed = WK_BUF_INIT, opened = WK_BUF_INIT;
        wk_buf_bytes(&sealed, "head", 4);
        wk_buf_bytes(&opened, "HEAD", 4);
        assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(plain, n), &sealed), WKIM_OK);
        assert_int_equal(sealed.n, 4 + WK_SEALED_LEN(n));
        assert_memory_equal(sealed.p, "head", 4);
        assert_int_equal(
            wk_open(f->crypto, &f->cipher, wk_slice(sealed.p + 4, sealed.n - 4), &opened), WKIM_OK);
        assert_int_equal(opened.n, 4 + n);
        assert_memory_equal(opened.p, "HEAD", 4);
        assert_memory_equal(opened.p + 4, plain, n);

        char direct[32], hex[32];
        const wkim_slice part = wk_slice(plain, n);
        assert_int_equal(wk_msg_key(f->crypto, &f->cipher, &part, 1, direct), WKIM_OK);
        wk_md5_hex(hex, wk_slice(sealed.p + 4, sealed.n - 4));
        assert_memory_equal(direct, hex, 32);
        wk_buf_fini(&sealed);
        wk_buf_fini(&opened);
    }
}

/* E of arbitrary whole blocks, made by cutting the padding block off a proper sealing: what comes
 * out of the decryption then ends with any byte we like. */
static void seal_raw(struct fixture *f, const uint8_t *blocks, size_t n, struct wk_buf *out)
{
    struct wk_buf sealed = WK_BUF_INIT;
    uint8_t raw[256];
    assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(blocks, n), &sealed), WKIM_OK);
    assert_true(wk_base64_decode(raw, sealed.p, sealed.n) == (wkim_ssize)n + 16);
    assert_int_equal(wk_buf_reserve(out, WK_BASE64_LEN(n)), WKIM_OK);
    wk_base64_encode((char *)out->p + out->n, raw, n);
    out->n += WK_BASE64_LEN(n);
    wk_buf_fini(&sealed);
}

static void only_proper_padding_opens(void **state)
{
    struct fixture *f = *state;
    for (unsigned last = 0; last < 256; last++) {
        for (int broken = 0; broken < 2; broken++) {
            struct wk_buf sealed = WK_BUF_INIT, out = WK_BUF_INIT;
            uint8_t block[32];
            const bool padding = last >= 1 && last <= 16;
            memset(block, 'x', sizeof(block));
            for (size_t i = 0; padding && i < last; i++)
                block[31 - i] = (uint8_t)last;
            block[31] = (uint8_t)last;
            if (broken && padding && last > 1)
                block[32 - last] ^= 1;
            seal_raw(f, block, sizeof(block), &sealed);
            const bool good = padding && !(broken && last > 1);
            assert_int_equal(wk_open(f->crypto, &f->cipher, wk_buf_slice(&sealed), &out),
                             good ? WKIM_OK : WKIM_ECRYPTO);
            assert_int_equal(out.n, good ? 32 - last : 0);
            wk_buf_fini(&sealed);
            wk_buf_fini(&out);
        }
    }
}

static void malformed_sealings_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = { "", "A", "AAAA", "====", "AAAAAAAAAAAAAAAAAAAAA===",
        "AAAAAAAAAAAAAAAAAAAAAAAA", "iyeQbGEPCiQwco4D4S4Hcw", "iyeQbGEPCiQwco4D4S4Hcw==\n",
        "iyeQbGEPCiQwco4D4S4Hc===", "iyeQ bGEPCiQwco4D4S4Hcw=", "iyeQbGEPCiQwco4D4S4Hcw==AAAA" };
    struct wk_buf out = WK_BUF_INIT;
    wk_buf_bytes(&out, "kept", 4);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(wk_open(f->crypto, &f->cipher, wk_str(bad[i]), &out), WKIM_ECRYPTO);
        assert_true(wk_slice_eq(wk_buf_slice(&out), WK_LIT("kept")));
        assert_false(out.oom);
    }
    assert_int_equal(wk_open(f->crypto, &f->cipher, WK_LIT("iyeQbGEPCiQwco4D4S4Hcw=="), &out),
                     WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&out), WK_LIT("keptx")));
    wk_buf_fini(&out);
}

static void damaged_sealings_never_crash(void **state)
{
    struct fixture *f = *state;
    struct wk_rng r;
    struct wk_buf sealed = WK_BUF_INIT, out = WK_BUF_INIT;
    wk_rng_seed(&r, 31);
    int refused = 0;
    for (int round = 0; round < 3000; round++) {
        uint8_t plain[200];
        const size_t n = (size_t)wk_rng_below(&r, sizeof(plain));
        memset(plain, round, n);
        wk_buf_clear(&sealed);
        wk_buf_clear(&out);
        assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(plain, n), &sealed), WKIM_OK);
        sealed.p[wk_rng_below(&r, sealed.n)] = (uint8_t)wk_rng_next(&r);
        const size_t keep = sealed.n - (size_t)wk_rng_below(&r, 8);
        const int rc = wk_open(f->crypto, &f->cipher, wk_slice(sealed.p, keep), &out);
        assert_true(rc == WKIM_OK || rc == WKIM_ECRYPTO);
        assert_true(rc == WKIM_OK || out.n == 0);
        refused += rc != WKIM_OK;
    }
    assert_true(refused > 1500);
    wk_buf_fini(&sealed);
    wk_buf_fini(&out);
}

static void failed_allocations_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct wk_buf out = WK_BUF_INIT;
    uint8_t plain[500] = { 1 };
    struct wk_crypto *none = f->crypto;
    oom_fail_from(1);
    assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(plain, 500), &out), WKIM_ENOMEM);
    assert_int_equal(out.n, 0);
    assert_int_equal(
        wk_open(f->crypto, &f->cipher, WK_LIT("iyeQbGEPCiQwco4D4S4Hcw=="), &out), WKIM_ENOMEM);
    assert_int_equal(out.n, 0);
    assert_int_equal(wk_crypto_new(&none), WKIM_ENOMEM);
    assert_null(none);
    oom_fail_at(0);
    assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(plain, SIZE_MAX), &out), WKIM_ENOMEM);
    assert_int_equal(wk_buf_reserve(&out, WK_SEALED_LEN(500)), WKIM_OK);
    oom_fail_from(1);
    assert_int_equal(wk_seal(f->crypto, &f->cipher, wk_slice(plain, 500), &out), WKIM_OK);
    char key[32];
    const wkim_slice part = wk_slice(plain, 500);
    assert_int_equal(wk_msg_key(f->crypto, &f->cipher, &part, 1, key), WKIM_OK);
    assert_int_equal(oom_count(), 0);
    oom_fail_at(0);
    wk_buf_fini(&out);
}

static void keys_do_not_leak_into_the_next_call(void **state)
{
    struct fixture *f = *state;
    struct wk_cipher other = f->cipher;
    struct wk_buf a = WK_BUF_INIT, b = WK_BUF_INIT, c = WK_BUF_INIT;
    other.key[0] ^= 1;
    assert_int_equal(wk_seal(f->crypto, &f->cipher, WK_LIT("message"), &a), WKIM_OK);
    assert_int_equal(wk_seal(f->crypto, &other, WK_LIT("message"), &b), WKIM_OK);
    assert_int_equal(wk_seal(f->crypto, &f->cipher, WK_LIT("message"), &c), WKIM_OK);
    assert_true(wk_slice_eq(wk_buf_slice(&a), wk_buf_slice(&c)));
    assert_false(wk_slice_eq(wk_buf_slice(&a), wk_buf_slice(&b)));
    wk_buf_fini(&a);
    wk_buf_fini(&b);
    wk_buf_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(recorded_messages_are_reproduced, setup, teardown),
        cmocka_unit_test_setup_teardown(every_length_comes_back_and_is_appended, setup, teardown),
        cmocka_unit_test_setup_teardown(only_proper_padding_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(malformed_sealings_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_sealings_never_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(failed_allocations_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_do_not_leak_into_the_next_call, setup, teardown),
    };
    oom_install();
    with_cpu = false;
    const int failed = cmocka_run_group_tests_name("without_cpu_help", tests, NULL, NULL);
    with_cpu = true;
    return failed + cmocka_run_group_tests_name("with_cpu_help", tests, NULL, NULL);
}
