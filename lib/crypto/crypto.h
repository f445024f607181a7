/* Key agreement and payload sealing of the client protocol, base64, digests.
 * Pure functions; the scratch object is used by one thread at a time (one per shard). */
#ifndef WK_CRYPTO_CRYPTO_H
#define WK_CRYPTO_CRYPTO_H
#include "base/buf.h"
#include "base/error.h"

#define WK_BASE64_LEN(n) (((n) + 2) / 3 * 4)
#define WK_SEALED_LEN(n) WK_BASE64_LEN(((n) / 16 + 1) * 16) /* bytes of E(x), n = bytes of x */

/* Standard alphabet with padding. `out` has WK_BASE64_LEN(n) bytes. */
void wk_base64_encode(char *out, const void *in, size_t n);
/* Strict: padding required, no white space (unused bits of the last digit are not looked at).
 * Bytes written to out (at most n/4*3, also touched on failure) or WKIM_EPROTO. */
wkim_ssize wk_base64_decode(void *out, const void *in, size_t n);
void wk_md5(uint8_t out[16], wkim_slice in);
void wk_md5_hex(char out[32], wkim_slice in); /* lower case, no NUL */

struct wk_keypair {
    uint8_t priv[32], pub[32];
};
int wk_keypair_new(struct wk_keypair *out); /* kernel randomness; WKIM_OK or WKIM_ECRYPTO */
int wk_keypair_from_private(struct wk_keypair *out, const uint8_t priv[32]);
void wk_salt_new(char out[16]);             /* 16 characters of [0-9a-zA-Z], kernel randomness */

/* Keys of one connection. */
struct wk_cipher {
    uint8_t key[16], iv[16];
};
/* client_key is the base64 text of the peer's public key: WKIM_EINVAL when blank; WKIM_ECRYPTO when
 * not base64, under 32 bytes (longer: first 32 are used) or all-zero shared secret. */
int wk_cipher_derive(struct wk_cipher *out, const struct wk_keypair *own, wkim_slice peer_key,
                     const char salt[16]);

/* Reusable OpenSSL contexts and buffers. */
struct wk_crypto;
int wk_crypto_new(struct wk_crypto **out);
void wk_crypto_free(struct wk_crypto *c);

/* E(x) = base64(AES-128-CBC-PKCS7(x)); appended to out. WKIM_OK, ENOMEM, ECRYPTO. */
int wk_seal(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice plain, struct wk_buf *out);
/* Inverse; WKIM_ECRYPTO for all that is not a proper sealing (empty, bad base64, bad padding). */
int wk_open(struct wk_crypto *c, const struct wk_cipher *k, wkim_slice sealed, struct wk_buf *out);
/* msgKey = MD5hex(E(parts joined)). */
int wk_msg_key(struct wk_crypto *c, const struct wk_cipher *k, const wkim_slice *parts, size_t n,
               char out[32]);

/* One copy of a message for one recipient: sealed = E(plain) under this recipient's keys, and
 * msg_key = MD5hex(E(prefix parts joined, then sealed)).  All pointers are borrowed until the call
 * returns; jobs may share everything but `sealed`. */
struct wk_seal_job {
    const struct wk_cipher *cipher;
    wkim_slice plain;
    const wkim_slice *prefix; /* sign string in front of the sealed payload */
    size_t n_prefix;
    char *sealed;     /* out: WK_SEALED_LEN(plain.n) bytes, not terminated, not inside any input */
    char msg_key[32]; /* out */
};
/* Same results as wk_seal + wk_msg_key for each job, several jobs at a time where the CPU can;
 * fastest when neighbours have about the same length.  Allocates nothing.  WKIM_OK, or ECRYPTO:
 * then no output may be used. */
int wk_seal_many(struct wk_crypto *c, struct wk_seal_job *jobs, size_t n);

/* One sealed payload whose msgKey is to be known: msg_key = MD5hex(E(prefix parts joined, then
 * sealed)).  Pointers are borrowed until the call returns. */
struct wk_sign_job {
    const struct wk_cipher *cipher;
    const wkim_slice *prefix;
    size_t n_prefix;
    wkim_slice sealed;
    char msg_key[32]; /* out */
};
/* As wk_msg_key for each job; the rest as wk_seal_many. */
int wk_sign_many(struct wk_crypto *c, struct wk_sign_job *jobs, size_t n);
#endif
