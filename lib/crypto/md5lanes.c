#include "crypto/internal.h"

/* Written with the compiler's vectors instead of one CPU's intrinsics: the same lines are compiled
 * for each instruction set below, and the best is chosen at run time.  Element i is lane i. */
typedef uint32_t vec __attribute__((vector_size(32)));
#define INLINE static inline __attribute__((always_inline))

/* floor(2^32 * |sin(i + 1)|) */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a,
    0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be,
    0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340,
    0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8,
    0x676f02d9, 0x8d2a4c8a, 0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c,
    0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa,
    0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92,
    0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1,
    0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* The round functions of RFC 1321, arranged so that b, which is known last, is used last. */
#define MIX_F(b, c, d) (((c ^ d) & b) ^ d)
#define MIX_G(b, c, d) ((~d & c) | (d & b))
#define MIX_H(b, c, d) ((c ^ d) ^ b)
#define MIX_I(b, c, d) ((~d | b) ^ c)

#define ONE(mix, a, b, c, d, word, i, shift)          \
    a = (a + (w[word] + sines[i])) + mix(b, c, d);    \
    a = ((a << (shift)) | (a >> (32 - (shift)))) + b
#define FOUR(mix, i, w0, w1, w2, w3, s0, s1, s2, s3) \
    do {                                             \
        ONE(mix, a, b, c, d, w0, (i), s0);           \
        ONE(mix, d, a, b, c, w1, (i) + 1, s1);       \
        ONE(mix, c, d, a, b, w2, (i) + 2, s2);       \
        ONE(mix, b, c, d, a, w3, (i) + 3, s3);       \
    } while (0)

INLINE void round_f(vec v[4], const vec w[16])
{
    vec a = v[0], b = v[1], c = v[2], d = v[3];

    FOUR(MIX_F, 0, 0, 1, 2, 3, 7, 12, 17, 22);
    FOUR(MIX_F, 4, 4, 5, 6, 7, 7, 12, 17, 22);
    FOUR(MIX_F, 8, 8, 9, 10, 11, 7, 12, 17, 22);
    FOUR(MIX_F, 12, 12, 13, 14, 15, 7, 12, 17, 22);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

INLINE void round_g(vec v[4], const vec w[16])
{
    vec a = v[0], b = v[1], c = v[2], d = v[3];

    FOUR(MIX_G, 16, 1, 6, 11, 0, 5, 9, 14, 20);
    FOUR(MIX_G, 20, 5, 10, 15, 4, 5, 9, 14, 20);
    FOUR(MIX_G, 24, 9, 14, 3, 8, 5, 9, 14, 20);
    FOUR(MIX_G, 28, 13, 2, 7, 12, 5, 9, 14, 20);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

INLINE void round_h(vec v[4], const vec w[16])
{
    vec a = v[0], b = v[1], c = v[2], d = v[3];

    FOUR(MIX_H, 32, 5, 8, 11, 14, 4, 11, 16, 23);
    FOUR(MIX_H, 36, 1, 4, 7, 10, 4, 11, 16, 23);
    FOUR(MIX_H, 40, 13, 0, 3, 6, 4, 11, 16, 23);
    FOUR(MIX_H, 44, 9, 12, 15, 2, 4, 11, 16, 23);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

INLINE void round_i(vec v[4], const vec w[16])
{
    vec a = v[0], b = v[1], c = v[2], d = v[3];

    FOUR(MIX_I, 48, 0, 7, 14, 5, 6, 10, 15, 21);
    FOUR(MIX_I, 52, 12, 3, 10, 1, 6, 10, 15, 21);
    FOUR(MIX_I, 56, 8, 15, 6, 13, 6, 10, 15, 21);
    FOUR(MIX_I, 60, 4, 11, 2, 9, 6, 10, 15, 21);
    v[0] = a, v[1] = b, v[2] = c, v[3] = d;
}

#define LOW_PAIRS(x, y) __builtin_shufflevector(x, y, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH_PAIRS(x, y) __builtin_shufflevector(x, y, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_QUADS(x, y) __builtin_shufflevector(x, y, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_QUADS(x, y) __builtin_shufflevector(x, y, 2, 3, 10, 11, 6, 7, 14, 15)

/* w[i] of all lanes from 32 bytes of each lane: an 8 x 8 transposition of 32-bit words. */
INLINE void load_words(vec w[8], const uint8_t *const p[WK_LANES], size_t at)
{
    vec in[8], pair[8], quad[8];

    for (int l = 0; l < 8; l++)
        memcpy(&in[l], p[l] + at, sizeof(vec));
    for (int l = 0; l < 8; l += 2) {
        pair[l] = LOW_PAIRS(in[l], in[l + 1]);
        pair[l + 1] = HIGH_PAIRS(in[l], in[l + 1]);
    }
    for (int l = 0; l < 8; l += 4) {
        quad[l] = LOW_QUADS(pair[l], pair[l + 2]);
        quad[l + 1] = HIGH_QUADS(pair[l], pair[l + 2]);
        quad[l + 2] = LOW_QUADS(pair[l + 1], pair[l + 3]);
        quad[l + 3] = HIGH_QUADS(pair[l + 1], pair[l + 3]);
    }
    for (int i = 0; i < 4; i++) {
        w[i] = __builtin_shufflevector(quad[i], quad[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        w[i + 4] = __builtin_shufflevector(quad[i], quad[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

INLINE void update(uint32_t state[4][WK_LANES], const uint8_t *const p[WK_LANES],
                   const size_t blocks[WK_LANES])
{
    vec v[4], last;
    uint32_t max = 0;

    for (int l = 0; l < WK_LANES; l++) {
        last[l] = (uint32_t)blocks[l];
        if (last[l] > max)
            max = last[l];
    }
    memcpy(v, state, sizeof(v));
    for (uint32_t k = 0; k < max; k++) {
        vec w[16], n[4] = { v[0], v[1], v[2], v[3] };
        load_words(w, p, (size_t)k * 64);
        load_words(w + 8, p, (size_t)k * 64 + 32);
        round_f(n, w);
        round_g(n, w);
        round_h(n, w);
        round_i(n, w);
        /* A lane that has had its last block keeps its state. */
        const vec on = (vec)(last > k);
        for (int i = 0; i < 4; i++)
            v[i] += on & n[i];
    }
    memcpy(state, v, sizeof(v));
}

void wk_md5_lanes_init(uint32_t state[4][WK_LANES])
{
    static const uint32_t start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };

    for (int i = 0; i < 4; i++)
        for (int l = 0; l < WK_LANES; l++)
            state[i][l] = start[i];
}

#if defined(__x86_64__)
bool wk_md5_lanes_usable(void)
{
    return __builtin_cpu_supports("avx2");
}

/* Has rotation and three-operand logic, a third of the work. */
__attribute__((target("avx2,avx512f,avx512vl"))) static void
update_avx512(uint32_t state[4][WK_LANES], const uint8_t *const p[WK_LANES],
              const size_t blocks[WK_LANES])
{
    update(state, p, blocks);
}

__attribute__((target("avx2"))) static void update_avx2(uint32_t state[4][WK_LANES],
                                                        const uint8_t *const p[WK_LANES],
                                                        const size_t blocks[WK_LANES])
{
    update(state, p, blocks);
}

void wk_md5_lanes_update(uint32_t state[4][WK_LANES], const uint8_t *const p[WK_LANES],
                         const size_t blocks[WK_LANES])
{
    if (__builtin_cpu_supports("avx512vl"))
        update_avx512(state, p, blocks);
    else
        update_avx2(state, p, blocks);
}
#else
bool wk_md5_lanes_usable(void)
{
    return false;
}

void wk_md5_lanes_update(uint32_t state[4][WK_LANES], const uint8_t *const p[WK_LANES],
                         const size_t blocks[WK_LANES])
{
    (void)state, (void)p, (void)blocks;
    WK_ASSERT(false);
}
#endif
