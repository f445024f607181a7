#include "crypto/crypto.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "base/mem.h"
#include "crypto/internal.h"

int wk_crypto_new(struct wk_crypto **out)
{
    struct wk_crypto *c = wk_calloc(1, sizeof(*c));

    *out = NULL;
    if (!c)
        return WKIM_ENOMEM;
    /* Fetched once: a fetch walks the provider tables under a lock. */
    c->evp_cipher = EVP_CIPHER_fetch(NULL, "AES-128-CBC", NULL);
    c->evp_encrypt = EVP_CIPHER_CTX_new();
    c->evp_decrypt = EVP_CIPHER_CTX_new();
    if (!c->evp_cipher || !c->evp_encrypt || !c->evp_decrypt ||
        EVP_EncryptInit_ex2(c->evp_encrypt, c->evp_cipher, NULL, NULL, NULL) != 1 ||
        EVP_DecryptInit_ex2(c->evp_decrypt, c->evp_cipher, NULL, NULL, NULL) != 1) {
        wk_crypto_free(c);
        return WKIM_ECRYPTO;
    }
    EVP_CIPHER_CTX_set_padding(c->evp_encrypt, 0);
    EVP_CIPHER_CTX_set_padding(c->evp_decrypt, 0);
    wk_crypto_restrict(c, true, true);
    *out = c;
    return WKIM_OK;
}

void wk_crypto_free(struct wk_crypto *c)
{
    if (!c)
        return;
    EVP_CIPHER_CTX_free(c->evp_encrypt);
    EVP_CIPHER_CTX_free(c->evp_decrypt);
    EVP_CIPHER_free(c->evp_cipher);
    OPENSSL_cleanse(c, sizeof(*c));
    wk_free(c);
}

void wk_crypto_restrict(struct wk_crypto *c, bool aesni, bool lanes)
{
    c->use_aesni = aesni && wk_aesni_usable();
    c->use_lanes = lanes && c->use_aesni && wk_md5_lanes_usable();
    c->key_valid = false;
}

/* ---- reading joined parts ---------------------------------------- */

int wk_gather_init(struct wk_gather *g, const wkim_slice *parts, size_t n_parts, wkim_slice tail)
{
    *g = (struct wk_gather){ parts, n_parts, tail, 0, 0, tail.n, 0 };
    for (size_t i = 0; i < n_parts; i++)
        if (__builtin_add_overflow(g->left, parts[i].n, &g->left))
            return WKIM_ECRYPTO;
    g->pad = (uint8_t)(16 - g->left % 16);
    return WKIM_OK;
}

size_t wk_gather_piece(struct wk_gather *g, uint8_t out[WK_PIECE_BYTES])
{
    size_t n = 0;

    while (n < WK_PIECE_BYTES && g->left > 0) {
        const wkim_slice s = g->part < g->n_parts ? g->parts[g->part] : g->tail;
        size_t k = s.n - g->at;
        if (k > WK_PIECE_BYTES - n)
            k = WK_PIECE_BYTES - n;
        if (k > 0)
            memcpy(out + n, s.p + g->at, k);
        n += k;
        g->at += k;
        g->left -= k;
        if (g->at == s.n) {
            g->part++;
            g->at = 0;
        }
    }
    /* Pieces are whole blocks, so the padding fits in entirely or not at all. */
    if (n < WK_PIECE_BYTES && g->pad > 0) {
        memset(out + n, g->pad, g->pad);
        n += g->pad;
        g->pad = 0;
    }
    return n;
}

/* ---- one stream ---------------------------------------- */

/* Begin with these keys.  Sealing and signing of one message come one after the other with the same
 * key, so the last expansion is kept. */
static int cipher_begin(struct wk_crypto *c, const struct wk_cipher *k, bool encrypt)
{
    if (c->use_aesni) {
        if (!c->key_valid || memcmp(c->key_bytes, k->key, 16) != 0) {
            wk_aesni_expand(&c->key, k->key);
            memcpy(c->key_bytes, k->key, 16);
            c->key_valid = true;
        }
        return WKIM_OK;
    }
    const int ok = encrypt ? EVP_EncryptInit_ex2(c->evp_encrypt, NULL, k->key, k->iv, NULL)
                           : EVP_DecryptInit_ex2(c->evp_decrypt, NULL, k->key, k->iv, NULL);
    return ok == 1 ? WKIM_OK : WKIM_ECRYPTO;
}

/* One piece in place. */
static int encrypt_piece(struct wk_crypto *c, uint8_t iv[16], uint8_t *p, size_t n)
{
    int out = 0;

    if (c->use_aesni) {
        wk_aesni_cbc_encrypt(&c->key, iv, p, n / 16);
        return WKIM_OK;
    }
    const int ok = EVP_EncryptUpdate(c->evp_encrypt, p, &out, p, (int)n);
    return ok == 1 && (size_t)out == n ? WKIM_OK : WKIM_ECRYPTO;
}

int wk_seal_into(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice plain, char *out)
{
    struct wk_gather g;
    uint8_t iv[16];
    int rc = wk_gather_init(&g, NULL, 0, plain);

    if (rc == WKIM_OK)
        rc = cipher_begin(c, k, true);
    memcpy(iv, k->iv, sizeof(iv));
    while (rc == WKIM_OK) {
        const size_t n = wk_gather_piece(&g, c->piece);
        if (n == 0)
            break;
        rc = encrypt_piece(c, iv, c->piece, n);
        wk_base64_encode(out, c->piece, n);
        out += WK_BASE64_LEN(n);
    }
    return rc;
}

int wk_seal(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice plain, struct wk_buf *out)
{
    if (plain.n > SIZE_MAX / 4)
        return WKIM_ENOMEM;
    const size_t n = WK_SEALED_LEN(plain.n);
    if (wk_buf_reserve(out, n) != WKIM_OK)
        return WKIM_ENOMEM;
    const int rc = wk_seal_into(c, k, plain, (char *)out->p + out->n);
    if (rc == WKIM_OK)
        out->n += n;
    return rc;
}

int wk_msg_key_tail(struct wk_crypto *c, const struct wk_cipher *k, const wkim_slice *parts,
                    size_t n, wkim_slice tail, char out[32])
{
    struct wk_gather g;
    MD5_CTX md5;
    uint8_t iv[16];
    int rc = wk_gather_init(&g, parts, n, tail);

    if (rc == WKIM_OK)
        rc = cipher_begin(c, k, true);
    memcpy(iv, k->iv, sizeof(iv));
    wk_md5_init(&md5);
    while (rc == WKIM_OK) {
        const size_t len = wk_gather_piece(&g, c->piece);
        if (len == 0)
            break;
        rc = encrypt_piece(c, iv, c->piece, len);
        wk_base64_encode(c->text, c->piece, len);
        wk_md5_update(&md5, c->text, WK_BASE64_LEN(len));
    }
    if (rc == WKIM_OK)
        wk_md5_final_hex(&md5, out);
    return rc;
}

int wk_msg_key(struct wk_crypto *c, const struct wk_cipher *k, const wkim_slice *parts, size_t n,
               char out[32])
{
    return wk_msg_key_tail(c, k, parts, n, wk_slice(NULL, 0), out);
}

/* ---- opening ---------------------------------------- */

static int decrypt(struct wk_crypto *c, const struct wk_cipher *k, uint8_t *p, size_t n)
{
    int out = 0;

    if (cipher_begin(c, k, false) != WKIM_OK)
        return WKIM_ECRYPTO;
    if (c->use_aesni) {
        wk_aesni_cbc_decrypt(&c->key, k->iv, p, n / 16);
        return WKIM_OK;
    }
    if (n > INT32_MAX)
        return WKIM_ECRYPTO;
    const int ok = EVP_DecryptUpdate(c->evp_decrypt, p, &out, p, (int)n);
    return ok == 1 && (size_t)out == n ? WKIM_OK : WKIM_ECRYPTO;
}

/* Bytes of PKCS#7 padding at the end of p, 0 when it is not a padding. */
static size_t padding_of(const uint8_t *p, size_t n)
{
    const uint8_t pad = p[n - 1];
    uint8_t diff = 0;

    if (pad == 0 || pad > 16)
        return 0;
    for (size_t i = n - pad; i < n; i++)
        diff |= (uint8_t)(p[i] ^ pad);
    return diff == 0 ? pad : 0;
}

int wk_open(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice sealed, struct wk_buf *out)
{
    if (sealed.n == 0 || sealed.n % 4)
        return WKIM_ECRYPTO;
    if (wk_buf_reserve(out, sealed.n / 4 * 3) != WKIM_OK)
        return WKIM_ENOMEM;
    uint8_t *at = out->p + out->n;
    const wkim_ssize n = wk_base64_decode(at, sealed.p, sealed.n);
    if (n <= 0 || n % 16)
        return WKIM_ECRYPTO;
    const int rc = decrypt(c, k, at, (size_t)n);
    if (rc != WKIM_OK)
        return rc;
    const size_t pad = padding_of(at, (size_t)n);
    if (pad == 0)
        return WKIM_ECRYPTO;
    out->n += (size_t)n - pad;
    return WKIM_OK;
}
