#include "crypto/crypto.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include "json.h"

static char salt[17] = "0123456789abcdef";

static void base64_of(char out[45], const uint8_t p[32])
{
    wk_base64_encode(out, p, 32);
    out[44] = '\0';
}

static void recorded_keys_are_derived_by_both_sides(void **state)
{
    (void)state;
    json_t *root = vector_load("crypto.json"), *s;
    const json_t *sessions = json_member(root, "sessions");
    size_t i;
    assert_true(json_array_size(sessions) >= 10);
    json_array_foreach(sessions, i, s) {
        uint8_t priv[32];
        char text[45];
        struct wk_keypair client, server;
        struct wk_cipher c1, c2;
        assert_int_equal(json_hex(priv, 32, s, "clientPrivHex"), 32);
        assert_int_equal(wk_keypair_from_private(&client, priv), WKIM_OK);
        assert_int_equal(json_hex(priv, 32, s, "serverPrivHex"), 32);
        assert_int_equal(wk_keypair_from_private(&server, priv), WKIM_OK);
        base64_of(text, client.pub);
        assert_string_equal(text, json_text(s, "clientKey", NULL));
        base64_of(text, server.pub);
        assert_string_equal(text, json_text(s, "serverKey", NULL));

        const char *recorded_salt = json_text(s, "salt", NULL);
        const wkim_slice client_key = wk_str(json_text(s, "clientKey", NULL));
        const wkim_slice server_key = wk_str(json_text(s, "serverKey", NULL));
        assert_int_equal(wk_cipher_derive(&c1, &server, client_key, recorded_salt), WKIM_OK);
        assert_int_equal(wk_cipher_derive(&c2, &client, server_key, recorded_salt), WKIM_OK);
        assert_memory_equal(c1.key, json_text(s, "aesKey", NULL), 16);
        assert_memory_equal(c1.iv, recorded_salt, 16);
        assert_memory_equal(&c1, &c2, sizeof(c1));
    }
    json_decref(root);
}

static void new_pairs_differ_and_agree(void **state)
{
    (void)state;
    struct wk_keypair a, b;
    struct wk_cipher ca, cb;
    char ta[45], tb[45];
    assert_int_equal(wk_keypair_new(&a), WKIM_OK);
    assert_int_equal(wk_keypair_new(&b), WKIM_OK);
    assert_memory_not_equal(a.priv, b.priv, 32);
    assert_memory_not_equal(a.pub, b.pub, 32);
    base64_of(ta, a.pub);
    base64_of(tb, b.pub);
    assert_int_equal(wk_cipher_derive(&ca, &a, wk_str(tb), salt), WKIM_OK);
    assert_int_equal(wk_cipher_derive(&cb, &b, wk_str(ta), salt), WKIM_OK);
    assert_memory_equal(&ca, &cb, sizeof(ca));
}

static void bad_peer_keys_are_refused(void **state)
{
    (void)state;
    struct wk_keypair own;
    struct wk_cipher c;
    char zero[45], low[45];
    uint8_t point[32] = { 0 };
    assert_int_equal(wk_keypair_new(&own), WKIM_OK);
    base64_of(zero, point);
    point[0] = 1; /* another point of small order */
    base64_of(low, point);
    static const char short_key[] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    const char *const bad[] = { zero, low, short_key, "AAAA", "not base64!!", "AAAAA", "====" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(wk_cipher_derive(&c, &own, wk_str(bad[i]), salt), WKIM_ECRYPTO);
    assert_int_equal(wk_cipher_derive(&c, &own, wk_str(""), salt), WKIM_EINVAL);
    assert_int_equal(wk_cipher_derive(&c, &own, wk_slice(NULL, 0), salt), WKIM_EINVAL);
    assert_int_equal(wk_cipher_derive(&c, &own, wk_str(" \t\xe3\x80\x80"), salt), WKIM_EINVAL);
}

/* Longer keys count by their first 32 bytes, but the rest has to be base64 all the same. */
static void long_peer_keys_are_cut_and_checked_to_the_end(void **state)
{
    (void)state;
    struct wk_keypair own, peer;
    struct wk_cipher want, got;
    uint8_t raw[24000];
    static char text[WK_BASE64_LEN(sizeof(raw))];
    char exact[45];
    assert_int_equal(wk_keypair_new(&own), WKIM_OK);
    assert_int_equal(wk_keypair_new(&peer), WKIM_OK);
    base64_of(exact, peer.pub);
    assert_int_equal(wk_cipher_derive(&want, &own, wk_str(exact), salt), WKIM_OK);
    memset(raw, 0x5a, sizeof(raw));
    memcpy(raw, peer.pub, 32);
    static const size_t lengths[] = { 33, 34, 95, 96, 97, 192, 193, 24000 };
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        const size_t n = WK_BASE64_LEN(lengths[i]);
        wk_base64_encode(text, raw, lengths[i]);
        assert_int_equal(wk_cipher_derive(&got, &own, wk_slice(text, n), salt), WKIM_OK);
        assert_memory_equal(&got, &want, sizeof(want));
        text[n - 4] = '!';
        assert_int_equal(wk_cipher_derive(&got, &own, wk_slice(text, n), salt), WKIM_ECRYPTO);
    }
    /* Padding at the border of a piece, with more behind it. */
    wk_base64_encode(text, raw, 192);
    text[127] = '=';
    assert_int_equal(wk_cipher_derive(&got, &own, wk_slice(text, 256), salt), WKIM_ECRYPTO);
}

static void salts_use_the_whole_alphabet(void **state)
{
    (void)state;
    int seen[256] = { 0 }, kinds = 0;
    char before[16] = { 0 };
    for (int i = 0; i < 400; i++) {
        char s[17];
        s[16] = '~';
        wk_salt_new(s);
        assert_int_equal(s[16], '~');
        assert_memory_not_equal(s, before, 16);
        memcpy(before, s, 16);
        for (int k = 0; k < 16; k++)
            seen[(uint8_t)s[k]]++;
    }
    for (int c = 0; c < 256; c++) {
        const bool allowed =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        assert_true(seen[c] == 0 || allowed);
        kinds += seen[c] > 0;
    }
    assert_int_equal(kinds, 62);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_keys_are_derived_by_both_sides),
        cmocka_unit_test(new_pairs_differ_and_agree),
        cmocka_unit_test(bad_peer_keys_are_refused),
        cmocka_unit_test(long_peer_keys_are_cut_and_checked_to_the_end),
        cmocka_unit_test(salts_use_the_whole_alphabet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
