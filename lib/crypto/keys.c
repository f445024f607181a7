#include "crypto/crypto.h"
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include "base/clock.h"

int wk_keypair_from_private(struct wk_keypair *out, const uint8_t priv[32])
{
    size_t n = sizeof(out->pub);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, priv, 32);

    if (!key)
        return WKIM_ECRYPTO;
    memmove(out->priv, priv, 32);
    const int ok = EVP_PKEY_get_raw_public_key(key, out->pub, &n);
    EVP_PKEY_free(key);
    return ok == 1 && n == sizeof(out->pub) ? WKIM_OK : WKIM_ECRYPTO;
}

int wk_keypair_new(struct wk_keypair *out)
{
    uint8_t priv[32];

    if (wk_random_bytes(priv, sizeof(priv)) != WKIM_OK)
        return WKIM_ECRYPTO;
    const int rc = wk_keypair_from_private(out, priv);
    OPENSSL_cleanse(priv, sizeof(priv));
    return rc;
}

void wk_salt_new(char out[16])
{
    static const char alphabet[] = "0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t n = 0;

    while (n < 16) {
        uint8_t random[24];
        WK_ASSERT(wk_random_bytes(random, sizeof(random)) == WKIM_OK);
        /* 248 = 4 * 62: larger bytes would favour the first characters. */
        for (size_t i = 0; i < sizeof(random) && n < 16; i++)
            if (random[i] < 248)
                out[n++] = alphabet[random[i] % 62];
    }
}

/* The first 32 bytes of base64 text of any length, checked to its end in bounded memory. */
static int decode_public_key(uint8_t out[32], wkim_slice text)
{
    uint8_t piece[96];
    size_t have = 0;

    if (text.n % 4)
        return WKIM_ECRYPTO;
    while (text.n > 0) {
        const size_t n = text.n < 128 ? text.n : 128;
        const wkim_ssize k = wk_base64_decode(piece, text.p, n);
        /* Padding that ends a piece before the end of the text. */
        if (k < 0 || (text.n > n && (size_t)k < n / 4 * 3))
            return WKIM_ECRYPTO;
        const size_t take = (size_t)k < 32 - have ? (size_t)k : 32 - have;
        memcpy(out + have, piece, take);
        have += take;
        text = wk_slice(text.p + n, text.n - n);
    }
    return have == 32 ? WKIM_OK : WKIM_ECRYPTO;
}

/* From both halves: from the private one alone OpenSSL would work out the public one once more,
 * which costs as much as the agreement itself. */
static EVP_PKEY *import_own(const struct wk_keypair *own)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "X25519", NULL);
    OSSL_PARAM halves[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)own->pub, 32),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)own->priv, 32),
        OSSL_PARAM_construct_end(),
    };

    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, halves) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static int agree(uint8_t shared[32], const struct wk_keypair *own, const uint8_t peer[32])
{
    size_t n = 32;
    int rc = WKIM_ECRYPTO;
    EVP_PKEY *mine = import_own(own);
    EVP_PKEY *theirs = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, 32);
    EVP_PKEY_CTX *ctx = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;

    if (ctx && theirs && EVP_PKEY_derive_init(ctx) == 1 &&
        EVP_PKEY_derive_set_peer(ctx, theirs) == 1 && EVP_PKEY_derive(ctx, shared, &n) == 1 &&
        n == 32)
        rc = WKIM_OK;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(mine);

    static const uint8_t zeros[32];
    if (rc == WKIM_OK && wk_slice_eq_ct(wk_slice(shared, 32), wk_slice(zeros, 32)))
        rc = WKIM_ECRYPTO;
    return rc;
}

int wk_cipher_derive(struct wk_cipher *out, const struct wk_keypair *own, wkim_slice peer_key,
                     const char salt[16])
{
    uint8_t peer[32], shared[32];
    char text[WK_BASE64_LEN(32)], hex[32];

    if (wk_slice_blank(peer_key))
        return WKIM_EINVAL;
    int rc = decode_public_key(peer, peer_key);
    if (rc == WKIM_OK)
        rc = agree(shared, own, peer);
    if (rc != WKIM_OK)
        return rc;
    wk_base64_encode(text, shared, sizeof(shared));
    wk_md5_hex(hex, wk_slice(text, sizeof(text)));
    memcpy(out->key, hex, sizeof(out->key));
    memcpy(out->iv, salt, sizeof(out->iv));
    OPENSSL_cleanse(shared, sizeof(shared));
    OPENSSL_cleanse(text, sizeof(text));
    OPENSSL_cleanse(hex, sizeof(hex));
    return WKIM_OK;
}
