/* A segment file that was written before it is needed: overwriting blocks that were allocated and
 * written needs no metadata in the sync (README: figures).  Purged segments are as good, so only a
 * young log needs this; a log that is hardly used never pays for it. */
#include "log/internal.h"

#define TEMPORARY "prepare.tmp"
#define CHUNK_BYTES (4u << 20)
#define FIRST_NAME UINT32_C(4294967294) /* names of spares are numbers no segment will ever have */

/* The number of the next prepared file, 0 when none is wanted. */
static uint32_t wanted(struct wk_log_store *l)
{
    uint32_t name = FIRST_NAME;

    pthread_mutex_lock(&l->mu);
    if (l->failed || l->n_spares > 0 || l->prepared == WK_LOG_PREPARED_MAX ||
        wk_log_current(l)->end - WK_LOG_DATA_OFF < l->opt.segment_bytes / WK_LOG_PREPARE_PART)
        name = 0;
    else
        name -= l->prepared;
    pthread_mutex_unlock(&l->mu);
    return name;
}

/* Piece by piece with a sync each, so that the log's own syncs never wait for much. */
static int fill(struct wk_log_store *l, int fd)
{
    uint8_t *zeros = wk_calloc(1, CHUNK_BYTES);
    int rc = zeros ? WKIM_OK : WKIM_ENOMEM;

    for (uint64_t off = 0; rc == WKIM_OK && off < l->opt.segment_bytes; off += CHUNK_BYTES) {
        const uint64_t rest = l->opt.segment_bytes - off;
        const wkim_slice part = wk_slice(zeros, rest < CHUNK_BYTES ? (size_t)rest : CHUNK_BYTES);
        rc = l->fs.pwritev(l->fs.user, fd, &part, 1, off);
        if (rc == WKIM_OK)
            rc = l->fs.sync(l->fs.user, fd);
    }
    wk_free(zeros);
    return rc;
}

int wk_log_prepare(struct wk_log_store *l)
{
    char name[WK_LOG_NAME_BYTES];
    const uint32_t number = wanted(l);
    int fd;

    if (number == 0)
        return WKIM_ENOTFOUND;
    int rc = l->fs.open(l->fs.user, TEMPORARY, true, &fd);
    if (rc)
        return rc;
    (void)l->fs.allocate(l->fs.user, fd, l->opt.segment_bytes); /* in one piece where possible */
    rc = fill(l, fd);
    if (l->fs.forget) /* zeros in large pages, each of which would count as written at every sync */
        l->fs.forget(l->fs.user, fd);
    l->fs.close(l->fs.user, fd);
    wk_log_spare_name(name, number);
    if (rc == WKIM_OK)
        rc = l->fs.rename(l->fs.user, TEMPORARY, name);
    if (rc) {
        (void)l->fs.unlink(l->fs.user, TEMPORARY); /* a full disk gets its room back */
        pthread_mutex_lock(&l->mu);
        l->prepared = WK_LOG_PREPARED_MAX; /* it was a convenience: not tried again */
        pthread_mutex_unlock(&l->mu);
        return rc;
    }
    pthread_mutex_lock(&l->mu);
    l->prepared++;
    const bool keep = l->n_spares < WK_LOG_SPARES_MAX;
    if (keep)
        l->spares[l->n_spares++] = number;
    pthread_mutex_unlock(&l->mu);
    return keep ? WKIM_OK : l->fs.unlink(l->fs.user, name);
}
