#include "http/auth/password.h"

#include "http/text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SALT_BYTES 16u
#define HASH_BYTES 32u
#define BYTES_MAX ((uint64_t)64 << 20) /* of memory for one check */
#define LN_DEFAULT 14
#define R_DEFAULT 8
#define P_DEFAULT 1

struct parsed {
    unsigned ln, r, p;
    uint8_t salt[64], hash[64];
    size_t salt_n, hash_n;
};

/* 1 to 64 bytes in hexadecimal; their number, 0 when it is something else. */
static size_t read_hex(wkim_slice text, uint8_t out[64])
{
    if (text.n == 0 || text.n % 2 || text.n > 128)
        return 0;
    for (size_t i = 0; i < text.n; i++) {
        int c = text.p[i], v = c >= '0' && c <= '9'   ? c - '0'
                               : c >= 'a' && c <= 'f' ? c - 'a' + 10
                               : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                      : -1;

        if (v < 0)
            return 0;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return text.n / 2;
}

static int read_number(wkim_slice *left, unsigned max, unsigned *out)
{
    wkim_slice part, rest;
    uint64_t v = 0;

    if (!wk_text_split(*left, '.', &part, &rest) || !wk_text_u64(part, &v) || v == 0 || v > max)
        return 0;
    *out = (unsigned)v;
    *left = rest;
    return 1;
}

static int parse(const char *stored, struct parsed *out)
{
    wkim_slice left = wk_text_slice(stored), salt, hash;
    const size_t scheme = sizeof(WK_PASSWORD_SCHEME) - 1;

    if (left.n < scheme || memcmp(left.p, WK_PASSWORD_SCHEME, scheme) != 0)
        return 0;
    left = (wkim_slice){left.p + scheme, left.n - scheme};
    if (!read_number(&left, 20, &out->ln) || !read_number(&left, 32, &out->r) ||
        !read_number(&left, 16, &out->p) || !wk_text_split(left, '.', &salt, &hash))
        return 0;
    out->salt_n = read_hex(salt, out->salt);
    out->hash_n = read_hex(hash, out->hash);
    return out->salt_n && out->hash_n >= 16 && ((uint64_t)128 * out->r << out->ln) <= BYTES_MAX;
}

static int derive(const struct parsed *h, wkim_slice password, uint8_t *out, size_t n)
{
    return EVP_PBE_scrypt(password.n ? (const char *)password.p : "", password.n, h->salt,
                          h->salt_n, (uint64_t)1 << h->ln, h->r, h->p, 2 * BYTES_MAX, out,
                          n) == 1;
}

int wk_password_hashed(const char *stored)
{
    struct parsed h;

    return parse(stored, &h);
}

int wk_password_is(const char *stored, wkim_slice given)
{
    uint8_t got[64];
    struct parsed h;

    if (strncmp(stored, WK_PASSWORD_SCHEME, sizeof(WK_PASSWORD_SCHEME) - 1) != 0)
        return wk_text_same_secret(given, wk_text_slice(stored));
    return parse(stored, &h) && derive(&h, given, got, h.hash_n) &&
           wk_text_same_secret((wkim_slice){got, h.hash_n}, (wkim_slice){h.hash, h.hash_n});
}

int wk_password_hash(wkim_slice password, char out[WK_PASSWORD_HASH_MAX])
{
    struct parsed h = {.ln = LN_DEFAULT, .r = R_DEFAULT, .p = P_DEFAULT, .salt_n = SALT_BYTES};
    size_t at;

    if (getrandom(h.salt, SALT_BYTES, 0) != (ssize_t)SALT_BYTES ||
        !derive(&h, password, h.hash, HASH_BYTES))
        return -1;
    at = (size_t)snprintf(out, WK_PASSWORD_HASH_MAX, WK_PASSWORD_SCHEME "%u.%u.%u.", h.ln, h.r,
                          h.p);
    for (size_t i = 0; i < SALT_BYTES + HASH_BYTES; i++) {
        if (i == SALT_BYTES)
            out[at++] = '.';
        at += (size_t)snprintf(out + at, WK_PASSWORD_HASH_MAX - at, "%02x",
                               i < SALT_BYTES ? h.salt[i] : h.hash[i - SALT_BYTES]);
    }
    return 0;
}
