/* The one-shot interface costs an allocation and a table look-up for each digest; the plain
 * functions do not, and are only marked as deprecated. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/crypto.h"
#include "crypto/internal.h"

void wk_md5_init(MD5_CTX *c)
{
    WK_ASSERT(MD5_Init(c) == 1);
}

void wk_md5_update(MD5_CTX *c, const void *p, size_t n)
{
    if (n > 0)
        WK_ASSERT(MD5_Update(c, p, n) == 1);
}

void wk_hex_lower(char *out, const uint8_t *p, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[p[i] >> 4];
        out[2 * i + 1] = hex[p[i] & 15];
    }
}

void wk_md5_final_hex(MD5_CTX *c, char out[32])
{
    uint8_t digest[16];

    WK_ASSERT(MD5_Final(digest, c) == 1);
    wk_hex_lower(out, digest, sizeof(digest));
}

void wk_md5(uint8_t out[16], wkim_slice in)
{
    MD5_CTX c;

    wk_md5_init(&c);
    wk_md5_update(&c, in.p, in.n);
    WK_ASSERT(MD5_Final(out, &c) == 1);
}

void wk_md5_hex(char out[32], wkim_slice in)
{
    uint8_t digest[16];

    wk_md5(digest, in);
    wk_hex_lower(out, digest, sizeof(digest));
}
