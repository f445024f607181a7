#include "crypto/crypto.h"
#include "crypto/internal.h"

/* With fewer jobs than this the lanes are not worth their cost. */
#define LANES_WORTH_IT 3

/* Read the next piece of every lane and encrypt them together.  n[l] is the length of the piece, 0
 * for a lane that is through; returns the largest. */
static size_t lanes_encrypt(struct wk_lanes *s, struct wk_gather g[WK_LANES], size_t n[WK_LANES])
{
    uint8_t *p[WK_LANES];
    size_t max = 0;

    for (int l = 0; l < WK_LANES; l++) {
        p[l] = s->piece[l];
        n[l] = wk_gather_piece(&g[l], s->piece[l]);
        if (n[l] > max)
            max = n[l];
    }
    /* A shorter lane runs on over stale bytes: it has no next piece that could notice. */
    wk_aesni_cbc_encrypt_lanes(s->key, s->iv, p, max / 16);
    return max;
}

static void lanes_seal(struct wk_lanes *s, struct wk_gather g[WK_LANES],
                       struct wk_seal_job *jobs, size_t n_jobs)
{
    size_t n[WK_LANES];
    char *out[WK_LANES];

    for (size_t l = 0; l < n_jobs; l++)
        out[l] = jobs[l].sealed;
    while (lanes_encrypt(s, g, n) > 0) {
        for (size_t l = 0; l < n_jobs; l++) {
            if (n[l] == 0)
                continue;
            wk_base64_encode(out[l], s->piece[l], n[l]);
            out[l] += WK_BASE64_LEN(n[l]);
        }
    }
}

/* Text of a piece into t; the last piece gets the MD5 padding.  Returns the number of blocks. */
static size_t text_blocks(uint8_t *t, const uint8_t *piece, size_t n, bool last, uint64_t *total)
{
    size_t k = WK_BASE64_LEN(n);

    wk_base64_encode((char *)t, piece, n);
    *total += k;
    if (!last)
        return k / 64;
    const size_t end = (k + 1 + 8 + 63) / 64 * 64;
    memset(t + k, 0, end - k);
    t[k] = 0x80;
    for (size_t i = 0; i < 8; i++)
        t[end - 8 + i] = (uint8_t)((*total * 8) >> (8 * i));
    return end / 64;
}

static void lanes_sign(struct wk_lanes *s, struct wk_gather g[WK_LANES],
                       char *const msg_key[WK_LANES], size_t n_jobs)
{
    uint32_t state[4][WK_LANES];
    uint64_t total[WK_LANES] = { 0 };
    const uint8_t *text[WK_LANES];
    size_t n[WK_LANES];

    for (int l = 0; l < WK_LANES; l++)
        text[l] = s->text[l];
    wk_md5_lanes_init(state);
    while (lanes_encrypt(s, g, n) > 0) {
        size_t blocks[WK_LANES] = { 0 };
        for (size_t l = 0; l < n_jobs; l++)
            if (n[l] > 0)
                blocks[l] = text_blocks(s->text[l], s->piece[l], n[l],
                                        g[l].left == 0 && g[l].pad == 0, &total[l]);
        wk_md5_lanes_update(state, text, blocks);
    }
    for (size_t l = 0; l < n_jobs; l++) {
        uint8_t digest[16];
        for (size_t i = 0; i < 16; i++)
            digest[i] = (uint8_t)(state[i / 4][l] >> (8 * (i % 4)));
        wk_hex_lower(msg_key[l], digest, sizeof(digest));
    }
}

/* At most WK_LANES jobs together. */
static int lanes_run(struct wk_lanes *s, struct wk_seal_job *jobs, size_t n_jobs)
{
    struct wk_gather g[WK_LANES] = { 0 };
    char *msg_key[WK_LANES];

    for (size_t l = 0; l < n_jobs; l++) {
        wk_aesni_expand(&s->key[l], jobs[l].cipher->key);
        memcpy(s->iv[l], jobs[l].cipher->iv, 16);
        const int rc = wk_gather_init(&g[l], NULL, 0, jobs[l].plain);
        if (rc != WKIM_OK)
            return rc;
    }
    lanes_seal(s, g, jobs, n_jobs);

    for (size_t l = 0; l < n_jobs; l++) {
        struct wk_seal_job *j = &jobs[l];
        msg_key[l] = j->msg_key;
        memcpy(s->iv[l], j->cipher->iv, 16);
        const int rc = wk_gather_init(&g[l], j->prefix, j->n_prefix,
                                      wk_slice(j->sealed, WK_SEALED_LEN(j->plain.n)));
        if (rc != WKIM_OK)
            return rc;
    }
    lanes_sign(s, g, msg_key, n_jobs);
    return WKIM_OK;
}

static int lanes_check(struct wk_lanes *s, struct wk_sign_job *jobs, size_t n_jobs)
{
    struct wk_gather g[WK_LANES] = { 0 };
    char *msg_key[WK_LANES];

    for (size_t l = 0; l < n_jobs; l++) {
        struct wk_sign_job *j = &jobs[l];
        msg_key[l] = j->msg_key;
        if (l > 0 && j->cipher == jobs[l - 1].cipher)
            s->key[l] = s->key[l - 1];
        else
            wk_aesni_expand(&s->key[l], j->cipher->key);
        memcpy(s->iv[l], j->cipher->iv, 16);
        const int rc = wk_gather_init(&g[l], j->prefix, j->n_prefix, j->sealed);
        if (rc != WKIM_OK)
            return rc;
    }
    lanes_sign(s, g, msg_key, n_jobs);
    return WKIM_OK;
}

static int one_run(struct wk_crypto *c, struct wk_seal_job *j)
{
    const int rc = wk_seal_into(c, j->cipher, j->plain, j->sealed);

    if (rc != WKIM_OK)
        return rc;
    return wk_msg_key_tail(c, j->cipher, j->prefix, j->n_prefix,
                           wk_slice(j->sealed, WK_SEALED_LEN(j->plain.n)), j->msg_key);
}

int wk_seal_many(struct wk_crypto *c, struct wk_seal_job *jobs, size_t n)
{
    int rc = WKIM_OK;

    while (rc == WKIM_OK && n > 0) {
        size_t k = n < WK_LANES ? n : WK_LANES;
        if (c->use_lanes && k >= LANES_WORTH_IT) {
            rc = lanes_run(&c->lanes, jobs, k);
        } else {
            k = 1;
            rc = one_run(c, jobs);
        }
        jobs += k;
        n -= k;
    }
    return rc;
}

int wk_sign_many(struct wk_crypto *c, struct wk_sign_job *jobs, size_t n)
{
    int rc = WKIM_OK;

    while (rc == WKIM_OK && n > 0) {
        size_t k = n < WK_LANES ? n : WK_LANES;
        if (c->use_lanes && k >= LANES_WORTH_IT) {
            rc = lanes_check(&c->lanes, jobs, k);
        } else {
            k = 1;
            rc = wk_msg_key_tail(c, jobs->cipher, jobs->prefix, jobs->n_prefix, jobs->sealed,
                                 jobs->msg_key);
        }
        jobs += k;
        n -= k;
    }
    return rc;
}
