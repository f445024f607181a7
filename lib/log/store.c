/* Opening, closing and asking. */
#include "log/internal.h"

int wk_log_open(struct wk_log_store **out, const struct wk_fs *fs,
                const struct wk_log_options *opt, struct wkim_error *err)
{
    struct wk_log_store *l = wk_calloc(1, sizeof(*l));
    uint64_t salt = opt->salt;

    if (!l)
        return wk_fail(err, WKIM_ENOMEM, "log: no memory");
    if (opt->segment_bytes < WK_LOG_DATA_OFF * 2 || opt->segment_bytes > WK_LOG_SEGMENT_BYTES_MAX ||
        (salt == 0 && wk_random_bytes(&salt, sizeof(salt)) != WKIM_OK)) {
        wk_free(l);
        return wk_fail(err, WKIM_EINVAL, "log: segment_bytes must be 8 KiB to 1 GiB");
    }
    pthread_mutex_init(&l->mu, NULL);
    l->fs = *fs;
    l->opt = *opt;
    l->purged_to = 1;
    wk_rng_seed(&l->rng, salt);
    int rc = wk_log_recover(l, err);
    if (rc) {
        l->failed = rc;
        wk_log_close(l);
        return rc;
    }
    *out = l;
    return WKIM_OK;
}

void wk_log_close(struct wk_log_store *l)
{
    if (!l)
        return;
    /* The last record tells the next start that everything before it had been synced: damage in
     * the last round is then seen as damage and not taken for a torn tail. */
    if (!l->failed && wk_log_sync(l, NULL) == WKIM_OK && wk_log_state_reserve(l) == WKIM_OK &&
        wk_log_state_write(l, false, true, NULL, NULL) == WKIM_OK)
        (void)wk_log_sync(l, NULL);
    for (size_t i = 0; i < l->n_groups; i++)
        wk_log_group_free(l, l->groups[i]);
    for (size_t i = 0; i < l->n_segs; i++)
        wk_log_seg_close(l, l->segs[i]);
    pthread_mutex_destroy(&l->mu);
    wk_free(l->groups);
    wk_free(l->table);
    wk_free(l->segs);
    wk_free(l->fifo);
    wk_free(l->scratch);
    wk_free(l->parts);
    wk_free(l->pending);
    wk_free(l);
}

static void state_of(const struct wk_log_group *g, struct wk_log_group_state *out)
{
    *out = (struct wk_log_group_state){ .group = g->id,
                                        .code = g->code,
                                        .hard_term = g->hard_term,
                                        .hard_vote = g->hard_vote,
                                        .hard_commit = g->hard_commit,
                                        .first_index = g->first,
                                        .last_index = g->last,
                                        .base_term = g->base_term };
}

int wk_log_group(const struct wk_log_store *cl, size_t i, struct wk_log_group_state *out)
{
    struct wk_log_store *l = (struct wk_log_store *)(uintptr_t)cl; /* only the mutex is touched */
    int rc = WKIM_ENOTFOUND;

    pthread_mutex_lock(&l->mu);
    for (size_t at = 0; at < l->n_groups; at++) {
        if (!l->groups[at]->known || i-- > 0)
            continue;
        state_of(l->groups[at], out);
        rc = WKIM_OK;
        break;
    }
    pthread_mutex_unlock(&l->mu);
    return rc;
}

int wk_log_group_find(const struct wk_log_store *cl, uint32_t group,
                      struct wk_log_group_state *out)
{
    struct wk_log_store *l = (struct wk_log_store *)(uintptr_t)cl;
    int rc = WKIM_OK;

    pthread_mutex_lock(&l->mu);
    const struct wk_log_group *g = wk_log_group_get(l, group);
    if (g && g->known)
        state_of(g, out);
    else if (l->damaged)
        *out = (struct wk_log_group_state){ .group = group, .code = WKIM_ECORRUPT,
                                            .first_index = 1 };
    else
        rc = WKIM_ENOTFOUND;
    pthread_mutex_unlock(&l->mu);
    return rc;
}

int wk_log_term(const struct wk_log_store *cl, uint32_t group, uint64_t index, uint64_t *term)
{
    struct wk_log_store *l = (struct wk_log_store *)(uintptr_t)cl;

    pthread_mutex_lock(&l->mu);
    const struct wk_log_group *g = wk_log_group_get(l, group);
    int rc = g && g->known ? wk_log_group_term(g, index, term) : WKIM_ENOTFOUND;
    pthread_mutex_unlock(&l->mu);
    return rc;
}

void wk_log_stats(const struct wk_log_store *cl, struct wk_log_stats *out)
{
    struct wk_log_store *l = (struct wk_log_store *)(uintptr_t)cl;

    pthread_mutex_lock(&l->mu);
    *out = (struct wk_log_stats){ .bytes_written = l->bytes_written,
                                  .syncs = l->syncs,
                                  .segments = l->n_segs,
                                  .cache_bytes = l->cache_bytes };
    for (size_t i = 0; i < l->n_segs; i++)
        out->live_bytes += l->segs[i]->end;
    pthread_mutex_unlock(&l->mu);
}
