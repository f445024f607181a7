#include "crypto/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/clock.h"
#include "crypto/internal.h"

/* Nanoseconds per operation of the payload path; one line per CPU level and payload size. */

#define JOBS 64
#define RUN_US 200000

struct bench {
    struct wk_crypto *crypto;
    struct wk_cipher ciphers[JOBS];
    struct wk_seal_job jobs[JOBS];
    wkim_slice prefix[1];
    wkim_slice plain;
    struct wk_buf sealed, out;
    char key[32];
    size_t turn;
};

static void must(int rc)
{
    if (rc != WKIM_OK) {
        fprintf(stderr, "failed: %s\n", wkim_strerror(rc));
        exit(1);
    }
}

/* Every call uses another connection's key, as a fan-out does. */
static const struct wk_cipher *next_cipher(struct bench *b)
{
    return &b->ciphers[b->turn++ % JOBS];
}

static size_t run_seal(struct bench *b)
{
    wk_buf_clear(&b->out);
    must(wk_seal(b->crypto, next_cipher(b), b->plain, &b->out));
    return 1;
}

static size_t run_open(struct bench *b)
{
    wk_buf_clear(&b->out);
    must(wk_open(b->crypto, &b->ciphers[0], wk_buf_slice(&b->sealed), &b->out));
    return 1;
}

static size_t run_msg_key(struct bench *b)
{
    const wkim_slice parts[2] = { b->prefix[0], wk_buf_slice(&b->sealed) };

    must(wk_msg_key(b->crypto, next_cipher(b), parts, 2, b->key));
    return 1;
}

/* What one delivery costs: payload and key. */
static size_t run_seal_and_key(struct bench *b)
{
    const struct wk_cipher *k = next_cipher(b);

    wk_buf_clear(&b->out);
    must(wk_seal(b->crypto, k, b->plain, &b->out));
    const wkim_slice parts[2] = { b->prefix[0], wk_buf_slice(&b->out) };
    must(wk_msg_key(b->crypto, k, parts, 2, b->key));
    return 1;
}

static size_t run_seal_many(struct bench *b)
{
    must(wk_seal_many(b->crypto, b->jobs, JOBS));
    return JOBS;
}

static double measure(struct bench *b, size_t (*run)(struct bench *))
{
    double best = 1e18;

    for (int i = 0; i < 3; i++) {
        uint64_t end = wk_now_us() + RUN_US / 3, start = wk_now_us(), n = 0;
        do {
            for (int k = 0; k < 16; k++)
                n += run(b);
        } while (wk_now_us() < end);
        const double ns = (double)(wk_now_us() - start) * 1000 / (double)n;
        if (ns < best)
            best = ns;
    }
    return best;
}

static void bench_size(struct bench *b, const char *level, size_t n)
{
    static uint8_t plain[1024];

    b->plain = wk_slice(plain, n);
    wk_buf_clear(&b->sealed);
    must(wk_seal(b->crypto, &b->ciphers[0], b->plain, &b->sealed));
    for (size_t i = 0; i < JOBS; i++) {
        free(b->jobs[i].sealed);
        b->jobs[i] = (struct wk_seal_job){ .cipher = &b->ciphers[i],
                                           .plain = b->plain,
                                           .prefix = b->prefix,
                                           .n_prefix = 1,
                                           .sealed = malloc(WK_SEALED_LEN(n)) };
        if (!b->jobs[i].sealed)
            must(WKIM_ENOMEM);
    }
    printf("%-10s %5zu B: seal %6.0f  open %6.0f  msg_key %6.0f  seal+msg_key %6.0f  "
           "seal_many %6.0f ns\n",
           level, n, measure(b, run_seal), measure(b, run_open), measure(b, run_msg_key),
           measure(b, run_seal_and_key), measure(b, run_seal_many));
}

int main(void)
{
    static struct bench b;
    static const size_t sizes[] = { 64, 256, 1024 };
    static const char *const levels[] = { "portable", "one lane", "lanes" };

    must(wk_crypto_new(&b.crypto));
    must(wk_random_bytes(b.ciphers, sizeof(b.ciphers)));
    b.prefix[0] = WK_LIT("75156646189216562318987864100c1fM_iyDpg3OQUkWBg46ueuZgQkGxZ8thTX"
                         "1703804246user-000123group-42-2");
    for (int level = 0; level < 3; level++) {
        wk_crypto_restrict(b.crypto, level > 0, level > 1);
        for (size_t i = 0; i < 3; i++)
            bench_size(&b, levels[level], sizes[i]);
    }
    for (size_t i = 0; i < JOBS; i++)
        free(b.jobs[i].sealed);
    wk_buf_fini(&b.sealed);
    wk_buf_fini(&b.out);
    wk_crypto_free(b.crypto);
    return 0;
}
