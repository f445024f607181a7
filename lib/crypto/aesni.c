#include "crypto/internal.h"
#if defined(__x86_64__)
#include <immintrin.h>

#define AES_TARGET __attribute__((target("aes,avx")))

bool wk_aesni_usable(void)
{
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("avx");
}

AES_TARGET static inline __m128i load(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

AES_TARGET static inline void store(void *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

/* The next round key: word i is the XOR of words 0..i of the last one and the assist word. */
AES_TARGET static inline __m128i next_key(__m128i key, __m128i assist)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, _mm_shuffle_epi32(assist, 0xff));
}

#define EXPAND(i, constant)                                        \
    key = next_key(key, _mm_aeskeygenassist_si128(key, constant)); \
    store(k->round[i], key)

AES_TARGET void wk_aesni_expand(struct wk_aes_key *k, const uint8_t bytes[16])
{
    __m128i key = load(bytes);

    store(k->round[0], key);
    EXPAND(1, 0x01);
    EXPAND(2, 0x02);
    EXPAND(3, 0x04);
    EXPAND(4, 0x08);
    EXPAND(5, 0x10);
    EXPAND(6, 0x20);
    EXPAND(7, 0x40);
    EXPAND(8, 0x80);
    EXPAND(9, 0x1b);
    EXPAND(10, 0x36);
}

AES_TARGET void wk_aesni_cbc_encrypt(const struct wk_aes_key *k, uint8_t iv[16], uint8_t *p,
                                     size_t blocks)
{
    __m128i r[11], s = load(iv);

    for (int i = 0; i < 11; i++)
        r[i] = load(k->round[i]);
    for (; blocks > 0; blocks--, p += 16) {
        s = _mm_xor_si128(s, _mm_xor_si128(load(p), r[0]));
        for (int i = 1; i < 10; i++)
            s = _mm_aesenc_si128(s, r[i]);
        s = _mm_aesenclast_si128(s, r[10]);
        store(p, s);
    }
    store(iv, s);
}

#define EACH_LANE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

AES_TARGET void wk_aesni_cbc_encrypt_lanes(const struct wk_aes_key k[WK_LANES],
                                           uint8_t iv[WK_LANES][16], uint8_t *const p[WK_LANES],
                                           size_t blocks)
{
#define LANE_LOAD(l) __m128i s##l = load(iv[l]);
#define LANE_BEGIN(l) \
    s##l = _mm_xor_si128(s##l, _mm_xor_si128(load(p[l] + at), load(k[l].round[0])));
#define LANE_ROUND(l) s##l = _mm_aesenc_si128(s##l, load(k[l].round[i]));
#define LANE_LAST(l) s##l = _mm_aesenclast_si128(s##l, load(k[l].round[10]));
#define LANE_PUT(l) store(p[l] + at, s##l);
#define LANE_KEEP(l) store(iv[l], s##l);
    EACH_LANE(LANE_LOAD)
    for (size_t at = 0; at < blocks * 16; at += 16) {
        EACH_LANE(LANE_BEGIN)
        for (int i = 1; i < 10; i++) {
            EACH_LANE(LANE_ROUND)
        }
        EACH_LANE(LANE_LAST)
        EACH_LANE(LANE_PUT)
    }
    EACH_LANE(LANE_KEEP)
#undef LANE_LOAD
#undef LANE_BEGIN
#undef LANE_ROUND
#undef LANE_LAST
#undef LANE_PUT
#undef LANE_KEEP
}

AES_TARGET static inline __m128i decrypt_block(const __m128i r[11], __m128i s)
{
    s = _mm_xor_si128(s, r[10]);
    for (int i = 9; i > 0; i--)
        s = _mm_aesdec_si128(s, r[i]);
    return _mm_aesdeclast_si128(s, r[0]);
}

AES_TARGET void wk_aesni_cbc_decrypt(const struct wk_aes_key *k, const uint8_t iv[16], uint8_t *p,
                                     size_t blocks)
{
    __m128i r[11], before = load(iv);

    r[0] = load(k->round[0]);
    for (int i = 1; i < 10; i++)
        r[i] = _mm_aesimc_si128(load(k->round[i]));
    r[10] = load(k->round[10]);
    /* The blocks do not wait for each other here, four of them fill the unit well enough. */
    for (; blocks >= 4; blocks -= 4, p += 64) {
        const __m128i a = load(p), b = load(p + 16), c = load(p + 32), d = load(p + 48);
        __m128i s0 = _mm_xor_si128(a, r[10]), s1 = _mm_xor_si128(b, r[10]);
        __m128i s2 = _mm_xor_si128(c, r[10]), s3 = _mm_xor_si128(d, r[10]);
        for (int i = 9; i > 0; i--) {
            s0 = _mm_aesdec_si128(s0, r[i]);
            s1 = _mm_aesdec_si128(s1, r[i]);
            s2 = _mm_aesdec_si128(s2, r[i]);
            s3 = _mm_aesdec_si128(s3, r[i]);
        }
        store(p, _mm_xor_si128(_mm_aesdeclast_si128(s0, r[0]), before));
        store(p + 16, _mm_xor_si128(_mm_aesdeclast_si128(s1, r[0]), a));
        store(p + 32, _mm_xor_si128(_mm_aesdeclast_si128(s2, r[0]), b));
        store(p + 48, _mm_xor_si128(_mm_aesdeclast_si128(s3, r[0]), c));
        before = d;
    }
    for (; blocks > 0; blocks--, p += 16) {
        const __m128i a = load(p);
        store(p, _mm_xor_si128(decrypt_block(r, a), before));
        before = a;
    }
}
#else
bool wk_aesni_usable(void)
{
    return false;
}

void wk_aesni_expand(struct wk_aes_key *k, const uint8_t key[16])
{
    (void)k, (void)key;
    WK_ASSERT(false);
}

void wk_aesni_cbc_encrypt(const struct wk_aes_key *k, uint8_t iv[16], uint8_t *p, size_t blocks)
{
    (void)k, (void)iv, (void)p, (void)blocks;
    WK_ASSERT(false);
}

void wk_aesni_cbc_decrypt(const struct wk_aes_key *k, const uint8_t iv[16], uint8_t *p,
                          size_t blocks)
{
    (void)k, (void)iv, (void)p, (void)blocks;
    WK_ASSERT(false);
}

void wk_aesni_cbc_encrypt_lanes(const struct wk_aes_key k[WK_LANES], uint8_t iv[WK_LANES][16],
                                uint8_t *const p[WK_LANES], size_t blocks)
{
    (void)k, (void)iv, (void)p, (void)blocks;
    WK_ASSERT(false);
}
#endif
