#include "session/sealer.h"
#include "base/error.h"
#include "session/state.h"

#define BATCH 64u

struct wk_sealer {
    struct wk_crypto *crypto;
    uint32_t n, n_held;
    struct waiting {
        struct wk_session *session;
        size_t sealed_at, key_at;   /* in session->out */
        wkim_slice plain;
        struct wk_recv_prefix prefix;
    } waiting[BATCH];
    struct wk_seal_job jobs[BATCH];
    struct wk_blob *held[BATCH + 1];
};

int wk_sealer_new(struct wk_sealer **out, struct wk_crypto *crypto)
{
    struct wk_sealer *z = wk_calloc(1, sizeof(*z));

    if (!z)
        return WKIM_ENOMEM;
    z->crypto = crypto;
    *out = z;
    return WKIM_OK;
}

void wk_sealer_free(struct wk_sealer *z)
{
    if (!z)
        return;
    wk_sealer_run(z);
    wk_free(z);
}

void wk_sealer_hold(struct wk_sealer *z, struct wk_blob *b)
{
    if (z->n_held && z->held[z->n_held - 1] == b)
        return;
    if (z->n_held > BATCH)
        wk_sealer_run(z);
    z->held[z->n_held++] = wk_blob_ref(b);
}

/* Without its seal a frame must not leave: the connections concerned end. */
static void give_up(struct wk_sealer *z)
{
    for (uint32_t i = 0; i < z->n; i++) {
        struct wk_session *s = z->waiting[i].session;
        s->unsealed = 0;
        s->state = WK_SESSION_CLOSING;
        wk_buf_clear(&s->out);
        s->out_head = 0;
    }
}

void wk_sealer_run(struct wk_sealer *z)
{
    for (uint32_t i = 0; i < z->n; i++) {
        struct waiting *w = &z->waiting[i];
        z->jobs[i] = (struct wk_seal_job){ .cipher = &w->session->cipher,
                                           .plain = w->plain,
                                           .prefix = w->prefix.parts,
                                           .n_prefix = WK_RECV_PREFIX_PARTS,
                                           .sealed = (char *)w->session->out.p + w->sealed_at };
    }
    if (z->n && wk_seal_many(z->crypto, z->jobs, z->n) != WKIM_OK) {
        give_up(z);
    } else {
        for (uint32_t i = 0; i < z->n; i++) {
            struct waiting *w = &z->waiting[i];
            memcpy(w->session->out.p + w->key_at, z->jobs[i].msg_key, sizeof(z->jobs[i].msg_key));
            w->session->unsealed--;
        }
    }
    z->n = 0;
    while (z->n_held)
        wk_blob_unref(z->held[--z->n_held]);
}

void wk_sealer_add(struct wk_sealer *z, struct wk_session *s, size_t sealed_at, size_t key_at,
                   wkim_slice plain, const struct wk_recv *r)
{
    WK_ASSERT(z->n < BATCH);
    struct waiting *w = &z->waiting[z->n++];

    w->session = s;
    w->sealed_at = sealed_at;
    w->key_at = key_at;
    w->plain = plain;
    wk_recv_prefix_make(&w->prefix, r);
    s->unsealed++;
    if (z->n == BATCH)
        wk_sealer_run(z);
}
