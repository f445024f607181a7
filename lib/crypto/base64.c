#include "crypto/crypto.h"
#include "crypto/internal.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of a digit plus one; 0 marks what is not a digit. */
static const uint8_t values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,
    ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14,
    ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21,
    ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,
    ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63,
    ['/'] = 64,
};

void wk_base64_encode_scalar(char *out, const uint8_t *in, size_t n)
{
    for (; n >= 3; in += 3, out += 4, n -= 3) {
        const uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        out[0] = digits[v >> 18];
        out[1] = digits[(v >> 12) & 63];
        out[2] = digits[(v >> 6) & 63];
        out[3] = digits[v & 63];
    }
    if (n == 0)
        return;
    const uint32_t v = (uint32_t)in[0] << 16 | (n == 2 ? (uint32_t)in[1] << 8 : 0);
    out[0] = digits[v >> 18];
    out[1] = digits[(v >> 12) & 63];
    out[2] = n == 2 ? digits[(v >> 6) & 63] : '=';
    out[3] = '=';
}

wkim_ssize wk_base64_decode_scalar(uint8_t *out, const uint8_t *in, size_t n)
{
    uint8_t *at = out;

    if (n % 4)
        return WKIM_EPROTO;
    for (; n > 0; in += 4, n -= 4) {
        /* Padding may stand only at the very end: two bytes there count as digits of value 0. */
        const bool last = n == 4;
        const size_t pad = last && in[3] == '=' ? (in[2] == '=' ? 2 : 1) : 0;
        const uint32_t a = values[in[0]], b = values[in[1]];
        const uint32_t c = pad == 2 ? 1 : values[in[2]], d = pad ? 1 : values[in[3]];
        if (!a || !b || !c || !d)
            return WKIM_EPROTO;
        const uint32_t v = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
        *at++ = (uint8_t)(v >> 16);
        if (pad < 2)
            *at++ = (uint8_t)(v >> 8);
        if (pad < 1)
            *at++ = (uint8_t)v;
    }
    return at - out;
}

#if defined(__x86_64__)
static bool have_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}

/* 24 bytes a step.  Each 128-bit half holds 12 input bytes; the bytes of one group of three are
 * spread over a 32-bit word, two multiplications move the four 6-bit fields to byte borders, and a
 * small table gives the distance from a value to its character. */
__attribute__((target("avx2"))) static size_t encode_wide(char *out, const uint8_t *in, size_t n)
{
    const __m256i spread =
        _mm256_setr_epi8(1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10, 1, 0, 2, 1, 4, 3, 5,
                         4, 7, 6, 8, 7, 10, 9, 11, 10);
    const __m256i distance = _mm256_setr_epi8(
        'a' - 26, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52,
        '0' - 52, '0' - 52, '+' - 62, '/' - 63, 'A', 0, 0, 'a' - 26, '0' - 52, '0' - 52, '0' - 52,
        '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '0' - 52, '+' - 62, '/' - 63,
        'A', 0, 0);
    size_t done = 0;

    /* The upper load reads 16 bytes of which 12 are used. */
    for (; n - done >= 28; done += 24, out += 32) {
        const __m128i lo = _mm_loadu_si128((const __m128i *)(const void *)(in + done));
        const __m128i hi = _mm_loadu_si128((const __m128i *)(const void *)(in + done + 12));
        const __m256i v =
            _mm256_shuffle_epi8(_mm256_inserti128_si256(_mm256_castsi128_si256(lo), hi, 1), spread);
        const __m256i odd = _mm256_mulhi_epu16(_mm256_and_si256(v, _mm256_set1_epi32(0x0fc0fc00)),
                                               _mm256_set1_epi32(0x04000040));
        const __m256i even = _mm256_mullo_epi16(_mm256_and_si256(v, _mm256_set1_epi32(0x003f03f0)),
                                                _mm256_set1_epi32(0x01000010));
        const __m256i idx = _mm256_or_si256(odd, even);
        /* Row of the table: 0 for a-z, 1..10 for 0-9, 11 +, 12 /, 13 for A-Z. */
        const __m256i upper = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), idx);
        const __m256i row = _mm256_or_si256(_mm256_subs_epu8(idx, _mm256_set1_epi8(51)),
                                            _mm256_and_si256(upper, _mm256_set1_epi8(13)));
        _mm256_storeu_si256((__m256i *)(void *)out,
                            _mm256_add_epi8(idx, _mm256_shuffle_epi8(distance, row)));
    }
    return done;
}

/* 32 characters a step; stops at the first block that holds anything but digits.  A character is
 * a digit when the bit sets found by its low and by its high half have no bit in common. */
__attribute__((target("avx2"))) static size_t decode_wide(uint8_t *out, const uint8_t *in, size_t n)
{
    const __m256i bad_lo = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1a, 0x1b,
                      0x1b, 0x1b, 0x1a));
    const __m256i bad_hi = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10, 0x10,
                      0x10, 0x10, 0x10));
    const __m256i distance = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0));
    const __m256i squeeze = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1));
    const __m256i join = _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 3, 7);
    const __m256i slash = _mm256_set1_epi8('/'), nibble = _mm256_set1_epi8(0x0f);
    size_t done = 0;

    for (; n - done >= 32; done += 32, out += 24) {
        const __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(in + done));
        const __m256i hi = _mm256_and_si256(_mm256_srli_epi32(v, 4), nibble);
        const __m256i lo = _mm256_and_si256(v, nibble);
        if (!_mm256_testz_si256(_mm256_shuffle_epi8(bad_lo, lo), _mm256_shuffle_epi8(bad_hi, hi)))
            break;
        /* '/' shares its high half with '+' but has another distance: row 1 instead of 2. */
        const __m256i row = _mm256_add_epi8(hi, _mm256_cmpeq_epi8(v, slash));
        const __m256i six = _mm256_add_epi8(v, _mm256_shuffle_epi8(distance, row));
        const __m256i twelve = _mm256_maddubs_epi16(six, _mm256_set1_epi32(0x01400140));
        const __m256i whole = _mm256_madd_epi16(twelve, _mm256_set1_epi32(0x00011000));
        const __m256i packed =
            _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(whole, squeeze), join);
        _mm_storeu_si128((__m128i *)(void *)out, _mm256_castsi256_si128(packed));
        _mm_storel_epi64((__m128i *)(void *)(out + 16), _mm256_extracti128_si256(packed, 1));
    }
    return done;
}
#else
static bool have_avx2(void)
{
    return false;
}

static size_t encode_wide(char *out, const uint8_t *in, size_t n)
{
    (void)out, (void)in, (void)n;
    return 0;
}

static size_t decode_wide(uint8_t *out, const uint8_t *in, size_t n)
{
    (void)out, (void)in, (void)n;
    return 0;
}
#endif

void wk_base64_encode(char *out, const void *in, size_t n)
{
    size_t done = 0;

    if (n >= 28 && have_avx2())
        done = encode_wide(out, in, n);
    if (n > done)
        wk_base64_encode_scalar(out + done / 3 * 4, (const uint8_t *)in + done, n - done);
}

wkim_ssize wk_base64_decode(void *out, const void *in, size_t n)
{
    size_t done = 0;

    if (n % 4)
        return WKIM_EPROTO;
    if (n >= 32 && have_avx2())
        done = decode_wide(out, in, n);
    if (n == done)
        return (wkim_ssize)(done / 4 * 3);
    const wkim_ssize rest = wk_base64_decode_scalar((uint8_t *)out + done / 4 * 3,
                                                    (const uint8_t *)in + done, n - done);
    return rest < 0 ? rest : rest + (wkim_ssize)(done / 4 * 3);
}
