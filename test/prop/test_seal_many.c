#include "crypto/crypto.h"
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "crypto/internal.h"
#include "oom.h"

#define JOBS_MAX 21
#define PARTS_MAX 5
#define PLAIN_MAX 5000

struct world {
    struct wk_rng rng;
    struct wk_crypto *crypto;
    uint8_t data[PLAIN_MAX + 64];
    struct wk_cipher ciphers[JOBS_MAX];
    wkim_slice parts[JOBS_MAX][PARTS_MAX];
    struct wk_seal_job jobs[JOBS_MAX];
    char *sealed[JOBS_MAX];
};

static size_t below(struct world *w, size_t n)
{
    return (size_t)wk_rng_below(&w->rng, n);
}

/* Mostly short, sometimes around the borders of blocks and pieces, sometimes long. */
static size_t any_length(struct world *w)
{
    static const size_t edges[] = { 0, 15, 16, 17, 47, 48, 49, 751, 752, 753, 767, 768, 769, 1535,
                                    1536, 1537 };
    switch (below(w, 6)) {
    case 0:
        return edges[below(w, sizeof(edges) / sizeof(edges[0]))];
    case 1:
        return below(w, PLAIN_MAX);
    default:
        return below(w, 300);
    }
}

static wkim_slice any_slice(struct world *w, size_t n)
{
    return n == 0 && below(w, 2) ? wk_slice(NULL, 0) : wk_slice(w->data + below(w, 64), n);
}

static void jobs_make(struct world *w, size_t n)
{
    const bool same_length = below(w, 2);
    const size_t common = any_length(w);

    for (size_t i = 0; i < n; i++) {
        struct wk_seal_job *j = &w->jobs[i];
        for (size_t k = 0; k < 16; k++) {
            w->ciphers[i].key[k] = (uint8_t)wk_rng_next(&w->rng);
            w->ciphers[i].iv[k] = (uint8_t)wk_rng_next(&w->rng);
        }
        j->cipher = &w->ciphers[below(w, 4) ? i : 0];
        j->plain = any_slice(w, same_length ? common : any_length(w));
        j->n_prefix = below(w, PARTS_MAX + 1);
        for (size_t k = 0; k < j->n_prefix; k++)
            w->parts[i][k] = any_slice(w, below(w, 20) ? below(w, 40) : any_length(w));
        j->prefix = w->parts[i];
        /* Exactly as long as promised, so that a sanitizer sees one byte too many. */
        w->sealed[i] = malloc(WK_SEALED_LEN(j->plain.n));
        j->sealed = w->sealed[i];
    }
}

static void jobs_check(struct world *w, struct wk_crypto *plain, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct wk_seal_job *j = &w->jobs[i];
        struct wk_buf want = WK_BUF_INIT;
        wkim_slice parts[PARTS_MAX + 1];
        char key[32];
        assert_int_equal(wk_seal(plain, j->cipher, j->plain, &want), WKIM_OK);
        const wkim_slice got = wk_slice(j->sealed, WK_SEALED_LEN(j->plain.n));
        assert_true(wk_slice_eq(wk_buf_slice(&want), got));
        for (size_t k = 0; k < j->n_prefix; k++)
            parts[k] = j->prefix[k];
        parts[j->n_prefix] = wk_buf_slice(&want);
        assert_int_equal(wk_msg_key(plain, j->cipher, parts, j->n_prefix + 1, key), WKIM_OK);
        assert_memory_equal(j->msg_key, key, 32);
        wk_buf_fini(&want);
        free(w->sealed[i]);
    }
}

/* The receiving side: the keys of what was sealed are found again. */
static void signs_check(struct world *w, size_t n)
{
    static struct wk_sign_job signs[JOBS_MAX];

    for (size_t i = 0; i < n; i++) {
        const struct wk_seal_job *j = &w->jobs[i];
        signs[i] = (struct wk_sign_job){ .cipher = j->cipher,
                                         .prefix = j->prefix,
                                         .n_prefix = j->n_prefix,
                                         .sealed = wk_slice(j->sealed, WK_SEALED_LEN(j->plain.n)) };
    }
    assert_int_equal(wk_sign_many(w->crypto, signs, n), WKIM_OK);
    for (size_t i = 0; i < n; i++)
        assert_memory_equal(signs[i].msg_key, w->jobs[i].msg_key, 32);
}

/* The comparison runs on OpenSSL's cipher alone, so that the two sides share no code but base64. */
static void run_seeds(bool aesni, bool lanes)
{
    static struct world w;
    struct wk_crypto *plain;
    assert_int_equal(wk_crypto_new(&plain), WKIM_OK);
    wk_crypto_restrict(plain, false, false);
    assert_int_equal(wk_crypto_new(&w.crypto), WKIM_OK);
    wk_crypto_restrict(w.crypto, aesni, lanes);
    for (uint64_t seed = 1; seed <= 400; seed++) {
        wk_rng_seed(&w.rng, seed);
        for (size_t i = 0; i < sizeof(w.data); i++)
            w.data[i] = (uint8_t)wk_rng_next(&w.rng);
        const size_t n = below(&w, JOBS_MAX + 1);
        jobs_make(&w, n);
        oom_fail_from(1);
        assert_int_equal(wk_seal_many(w.crypto, w.jobs, n), WKIM_OK);
        signs_check(&w, n);
        assert_int_equal(oom_count(), 0);
        oom_fail_at(0);
        jobs_check(&w, plain, n);
    }
    wk_crypto_free(w.crypto);
    wk_crypto_free(plain);
    assert_int_equal(oom_live(), 0);
}

static void lanes_agree_with_one_at_a_time(void **state)
{
    (void)state;
    run_seeds(true, true);
}

static void cpu_instructions_without_lanes_agree(void **state)
{
    (void)state;
    run_seeds(true, false);
}

static void portable_code_agrees(void **state)
{
    (void)state;
    run_seeds(false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes_agree_with_one_at_a_time),
        cmocka_unit_test(cpu_instructions_without_lanes_agree),
        cmocka_unit_test(portable_code_agrees),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
