#include "base/hash.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/clock.h"

static void checksums_have_their_published_values(void **state)
{
    (void)state;
    const wkim_slice digits = WK_LIT("123456789");
    assert_int_equal(wk_crc32_ieee(digits), 0xcbf43926);
    assert_int_equal(wk_crc32_ieee(wk_slice(NULL, 0)), 0);
    assert_int_equal(wk_crc32c(0, digits.p, digits.n), 0xe3069283);
    assert_int_equal(wk_crc32c_table(0, digits.p, digits.n), 0xe3069283);
    uint8_t zeros[32] = { 0 };
    assert_int_equal(wk_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_true(wk_fnv1a64(wk_slice(NULL, 0)) == 0xcbf29ce484222325ULL);
    assert_true(wk_fnv1a64(WK_LIT("a")) == 0xaf63dc4c8601ec8cULL);
    assert_true(wk_fnv1a64(WK_LIT("foobar")) == 0x85944171f73967e8ULL);
}

/* Bit by bit, straight from the definition. */
static uint32_t slow_crc(uint32_t poly, const uint8_t *p, size_t n)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (crc & 1 ? poly : 0);
    }
    return ~crc;
}

static void checksums_agree_for_every_length_and_split(void **state)
{
    (void)state;
    struct wk_rng rng;
    uint8_t data[300];
    wk_rng_seed(&rng, 3);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)wk_rng_next(&rng);
    for (size_t n = 0; n <= sizeof(data) - 8; n++) {
        const uint8_t *p = data + n % 8;
        const uint32_t want = slow_crc(0x82f63b78, p, n);
        assert_int_equal(wk_crc32c(0, p, n), want);
        assert_int_equal(wk_crc32c_table(0, p, n), want);
        assert_int_equal(wk_crc32_ieee(wk_slice(p, n)), slow_crc(0xedb88320, p, n));
        const size_t cut = (size_t)wk_rng_below(&rng, n + 1);
        assert_int_equal(wk_crc32c(wk_crc32c(0, p, cut), p + cut, n - cut), want);
    }
}

static void hash64_is_the_same_for_ever(void **state)
{
    (void)state;
    uint8_t data[100];
    uint64_t all = 0;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    for (size_t n = 0; n <= sizeof(data); n++)
        all = all * 31 + wk_hash64(data, n, n * 3);
    assert_true(wk_hash64("", 0, 0) == 0x03d2553097db343cULL);
    assert_true(wk_hash64("g1", 2, 1) == 0xf4256b9d853c59abULL);
    assert_true(all == 0xcaa0792a8c84699aULL);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Keys that differ little must not collide in 64 bits, nor crowd in the low bits. */
static void near_keys_spread(void **state)
{
    (void)state;
    enum { N = 60000, BUCKETS = 4096 };
    uint64_t *h = malloc(N * sizeof(*h));
    for (size_t len = 4; len <= 68; len += 8) {
        uint32_t load[BUCKETS] = { 0 };
        uint8_t key[68] = { 0 };
        for (uint32_t i = 0; i < N; i++) {
            key[0] = (uint8_t)i;
            key[len / 2] = (uint8_t)(i >> 8);
            key[len - 1] = (uint8_t)(i >> 16);
            h[i] = wk_hash64(key, len, 42);
            load[h[i] % BUCKETS]++;
        }
        qsort(h, N, sizeof(*h), by_value);
        for (size_t i = 1; i < N; i++)
            assert_true(h[i] != h[i - 1]);
        double chi = 0;
        for (size_t i = 0; i < BUCKETS; i++) {
            const double want = (double)N / BUCKETS, d = (double)load[i] - want;
            chi += d * d / want;
        }
        /* Mean 4095, standard deviation about 90: five of them either way. */
        assert_true(chi > 3640 && chi < 4550);
    }
    free(h);
}

/* Every input bit and every seed bit changes each output bit about half of the time. */
static void one_bit_changes_half_of_the_result(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, 3, 4, 7, 8, 12, 16, 17, 24, 32, 33, 48, 64, 65, 100 };
    struct wk_rng rng;
    wk_rng_seed(&rng, 11);
    for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
        const size_t n = lengths[l];
        uint32_t flips[64] = { 0 }, rounds = 0;
        for (int r = 0; r < 20; r++) {
            uint8_t key[100];
            for (size_t i = 0; i < n; i++)
                key[i] = (uint8_t)wk_rng_next(&rng);
            const uint64_t seed = wk_rng_next(&rng), before = wk_hash64(key, n, seed);
            for (size_t bit = 0; bit < n * 8 + 64; bit++) {
                uint64_t s = seed;
                if (bit < n * 8)
                    key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                else
                    s ^= 1ULL << (bit - n * 8);
                const uint64_t d = before ^ wk_hash64(key, n, s);
                if (bit < n * 8)
                    key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_true(d != 0);
                for (int k = 0; k < 64; k++)
                    flips[k] += (uint32_t)(d >> k & 1);
                rounds++;
            }
        }
        for (int k = 0; k < 64; k++) {
            const double share = (double)flips[k] / rounds;
            assert_true(share > 0.44 && share < 0.56);
        }
    }
}

/* Words equal to the constants of the function must not cancel what stands beside them. */
static void constants_in_the_input_do_not_collide(void **state)
{
    (void)state;
    static const uint64_t k[] = { 0x6a09e667f3bcc909ULL, 0xbb67ae8584caa73bULL,
                                  0x3c6ef372fe94f82bULL, 0xa54ff53a5f1d36f1ULL, 0, UINT64_MAX };
    for (size_t i = 0; i < sizeof(k) / sizeof(k[0]); i++) {
        for (size_t at = 0; at < 4; at++) {
            uint64_t words[4] = { 1, 2, 3, 4 };
            words[at] = k[i];
            const uint64_t h = wk_hash64(words, sizeof(words), 0);
            for (size_t other = 0; other < 4; other++) {
                uint64_t changed[4];
                memcpy(changed, words, sizeof(words));
                changed[other] ^= 1;
                assert_true(wk_hash64(changed, sizeof(changed), 0) != h);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_have_their_published_values),
        cmocka_unit_test(checksums_agree_for_every_length_and_split),
        cmocka_unit_test(hash64_is_the_same_for_ever),
        cmocka_unit_test(near_keys_spread),
        cmocka_unit_test(one_bit_changes_half_of_the_result),
        cmocka_unit_test(constants_in_the_input_do_not_collide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
