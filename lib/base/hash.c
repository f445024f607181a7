#include "base/hash.h"
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

static uint64_t read32le(const uint8_t *p)
{
    return (uint64_t)p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

static uint64_t read64le(const uint8_t *p)
{
    return read32le(p) | read32le(p + 4) << 32;
}

/* ---- CRC-32 ---------------------------------------- */

/* A CRC table is linear: the entry of a byte is the XOR of the entries of its bits, so eight
 * constants give a whole constant table, without an initialiser at run time. */
#define CRC_1(i, a, b, c, d, e, f, g, h)                                                     \
    (((i) & 1 ? (a) : 0) ^ ((i) & 2 ? (b) : 0) ^ ((i) & 4 ? (c) : 0) ^ ((i) & 8 ? (d) : 0) ^ \
     ((i) & 16 ? (e) : 0) ^ ((i) & 32 ? (f) : 0) ^ ((i) & 64 ? (g) : 0) ^ ((i) & 128 ? (h) : 0))
#define CRC_4(i, ...)                                                                \
    CRC_1(i, __VA_ARGS__), CRC_1((i) + 1, __VA_ARGS__), CRC_1((i) + 2, __VA_ARGS__), \
        CRC_1((i) + 3, __VA_ARGS__)
#define CRC_16(i, ...)                                                               \
    CRC_4(i, __VA_ARGS__), CRC_4((i) + 4, __VA_ARGS__), CRC_4((i) + 8, __VA_ARGS__), \
        CRC_4((i) + 12, __VA_ARGS__)
#define CRC_64(i, ...)                                                                     \
    CRC_16(i, __VA_ARGS__), CRC_16((i) + 16, __VA_ARGS__), CRC_16((i) + 32, __VA_ARGS__), \
        CRC_16((i) + 48, __VA_ARGS__)
#define CRC_ROW(...)                                                                         \
    {                                                                                        \
        CRC_64(0, __VA_ARGS__), CRC_64(64, __VA_ARGS__), CRC_64(128, __VA_ARGS__),           \
            CRC_64(192, __VA_ARGS__)                                                         \
    }

/* Row k: a byte followed by k zero bytes.  Reflected polynomials 0xedb88320 and 0x82f63b78. */
static const uint32_t ieee_table[8][256] = {
    CRC_ROW(0x77073096, 0xee0e612c, 0x076dc419, 0x0edb8832,
            0x1db71064, 0x3b6e20c8, 0x76dc4190, 0xedb88320),
    CRC_ROW(0x191b3141, 0x32366282, 0x646cc504, 0xc8d98a08,
            0x4ac21251, 0x958424a2, 0xf0794f05, 0x3b83984b),
    CRC_ROW(0x01c26a37, 0x0384d46e, 0x0709a8dc, 0x0e1351b8,
            0x1c26a370, 0x384d46e0, 0x709a8dc0, 0xe1351b80),
    CRC_ROW(0xb8bc6765, 0xaa09c88b, 0x8f629757, 0xc5b428ef,
            0x5019579f, 0xa032af3e, 0x9b14583d, 0xed59b63b),
    CRC_ROW(0x3d6029b0, 0x7ac05360, 0xf580a6c0, 0x30704bc1,
            0x60e09782, 0xc1c12f04, 0x58f35849, 0xb1e6b092),
    CRC_ROW(0xcb5cd3a5, 0x4dc8a10b, 0x9b914216, 0xec53826d,
            0x03d6029b, 0x07ac0536, 0x0f580a6c, 0x1eb014d8),
    CRC_ROW(0xa6770bb4, 0x979f1129, 0xf44f2413, 0x33ef4e67,
            0x67de9cce, 0xcfbd399c, 0x440b7579, 0x8816eaf2),
    CRC_ROW(0xccaa009e, 0x4225077d, 0x844a0efa, 0xd3e51bb5,
            0x7cbb312b, 0xf9766256, 0x299dc2ed, 0x533b85da),
};
static const uint32_t castagnoli_table[8][256] = {
    CRC_ROW(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf,
            0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    CRC_ROW(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8,
            0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    CRC_ROW(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5,
            0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    CRC_ROW(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6,
            0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    CRC_ROW(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91,
            0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    CRC_ROW(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f,
            0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    CRC_ROW(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53,
            0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    CRC_ROW(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da,
            0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

/* Eight bytes a step; crc is the inverted register. */
static uint32_t crc_by_table(const uint32_t t[8][256], uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        const uint64_t v = read64le(p) ^ crc;
        crc = t[7][v & 255] ^ t[6][(v >> 8) & 255] ^ t[5][(v >> 16) & 255] ^
              t[4][(v >> 24) & 255] ^ t[3][(v >> 32) & 255] ^ t[2][(v >> 40) & 255] ^
              t[1][(v >> 48) & 255] ^ t[0][v >> 56];
    }
    for (; n > 0; p++, n--)
        crc = (crc >> 8) ^ t[0][(crc ^ *p) & 255];
    return crc;
}

uint32_t wk_crc32_ieee(wkim_slice s)
{
    return ~crc_by_table(ieee_table, UINT32_MAX, s.p, s.n);
}

#if defined(__x86_64__)
static bool have_crc_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t crc_by_cpu(uint32_t crc, const uint8_t *p,
                                                             size_t n)
{
    uint64_t wide = crc;

    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        wide = _mm_crc32_u64(wide, v);
    }
    crc = (uint32_t)wide;
    for (; n > 0; p++, n--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}
#else
static bool have_crc_instruction(void)
{
    return false;
}

static uint32_t crc_by_cpu(uint32_t crc, const uint8_t *p, size_t n)
{
    return crc_by_table(castagnoli_table, crc, p, n);
}
#endif

uint32_t wk_crc32c(uint32_t crc, const void *p, size_t n)
{
    if (have_crc_instruction())
        return ~crc_by_cpu(~crc, p, n);
    return ~crc_by_table(castagnoli_table, ~crc, p, n);
}

uint32_t wk_crc32c_table(uint32_t crc, const void *p, size_t n)
{
    return ~crc_by_table(castagnoli_table, ~crc, p, n);
}

/* ---- FNV-1a ---------------------------------------- */

uint64_t wk_fnv1a64(wkim_slice s)
{
    uint64_t h = 0xcbf29ce484222325ULL;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * 0x100000001b3ULL;
    return h;
}

/* ---- hash of keys ---------------------------------------- */

/* Odd constants with bits in no pattern (fractional parts of square roots of primes). */
#define HASH_K0 0x6a09e667f3bcc909ULL
#define HASH_K1 0xbb67ae8584caa73bULL
#define HASH_K2 0x3c6ef372fe94f82bULL
#define HASH_K3 0xa54ff53a5f1d36f1ULL

/* Full 64 x 64 bit product, both halves folded together. */
static uint64_t mul_fold(uint64_t a, uint64_t b)
{
    const unsigned __int128 p = (unsigned __int128)a * b;

    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* Every factor made from input is masked with a value that depends on the seed, so that nobody who
 * does not know the seed can choose input that makes a product zero. */
uint64_t wk_hash64(const void *p, size_t n, uint64_t seed)
{
    const uint8_t *in = p;
    const uint64_t m0 = mul_fold(seed ^ HASH_K0, HASH_K1);
    const uint64_t m1 = mul_fold(seed ^ HASH_K2, HASH_K3);
    uint64_t acc = m0 ^ (uint64_t)n, acc2 = m1, a = 0, b = 0;
    size_t left = n;

    for (; left > 32; in += 32, left -= 32) {
        acc = mul_fold(read64le(in) ^ m1, read64le(in + 8) ^ acc);
        acc2 = mul_fold(read64le(in + 16) ^ m0, read64le(in + 24) ^ acc2);
    }
    if (left > 16) {
        acc = mul_fold(read64le(in) ^ m1, read64le(in + 8) ^ acc);
        in += 16;
        left -= 16;
    }
    if (left >= 8) {
        a = read64le(in);
        b = read64le(in + left - 8);
    } else if (left >= 4) {
        a = read32le(in);
        b = read32le(in + left - 4);
    } else if (left > 0) {
        a = (uint64_t)in[0] | (uint64_t)in[left / 2] << 8 | (uint64_t)in[left - 1] << 16;
    }
    acc = mul_fold(a ^ m1, b ^ acc ^ (acc2 << 1 | acc2 >> 63));
    return mul_fold(acc ^ HASH_K2, m0 ^ (uint64_t)n ^ acc2);
}
