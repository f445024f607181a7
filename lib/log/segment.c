/* Segment files: creation, reuse of purged ones, the write at the end, state records. */
#include "log/internal.h"
#include <stdio.h>
#include "base/hash.h"

#define PAGE_BYTES 4096u

void wk_log_seg_name(char out[WK_LOG_NAME_BYTES], uint32_t seq)
{
    snprintf(out, WK_LOG_NAME_BYTES, "%010u.seg", seq);
}

void wk_log_spare_name(char out[WK_LOG_NAME_BYTES], uint32_t seq)
{
    snprintf(out, WK_LOG_NAME_BYTES, "%010u.old", seq);
}

/* A failed write or sync may have lost pages the kernel no longer knows about: nothing is written
 * to these files again before they were read back. */
int wk_log_broken(struct wk_log_store *l, struct wkim_error *err, int rc, const char *what)
{
    pthread_mutex_lock(&l->mu);
    l->failed = rc;
    pthread_mutex_unlock(&l->mu);
    return wk_fail(err, rc, "log: %s failed (%s); no writes until reopened", what,
                   wkim_strerror(rc));
}

int wk_log_seg_add(struct wk_log_store *l, const struct wk_log_seg *s)
{
    struct wk_log_seg *copy = wk_memdup(s, sizeof(*s));

    if (!copy)
        return WKIM_ENOMEM;
    pthread_mutex_lock(&l->mu);
    int rc = wk_log_grow(&l->segs, &l->seg_cap, l->n_segs + 1, sizeof(copy));
    if (rc == WKIM_OK)
        l->segs[l->n_segs++] = copy;
    pthread_mutex_unlock(&l->mu);
    if (rc)
        wk_free(copy);
    return rc;
}

void wk_log_seg_close(struct wk_log_store *l, struct wk_log_seg *s)
{
    l->fs.close(l->fs.user, s->fd);
    wk_free(s);
}

struct wk_log_seg *wk_log_seg_ref(struct wk_log_store *l, uint32_t seq)
{
    if (l->n_segs == 0 || seq < l->segs[0]->seq || seq - l->segs[0]->seq >= l->n_segs)
        return NULL;
    struct wk_log_seg *s = l->segs[seq - l->segs[0]->seq];
    s->refs++;
    return s;
}

void wk_log_seg_unref(struct wk_log_store *l, struct wk_log_seg *s)
{
    pthread_mutex_lock(&l->mu);
    bool last = --s->refs == 0 && s->dead;
    pthread_mutex_unlock(&l->mu);
    if (last)
        wk_log_seg_close(l, s);
}

/* Overwriting blocks that were written before needs no metadata in the sync (README: figures);
 * a fresh file gets its blocks reserved, which is the second best. */
static int file_new(struct wk_log_store *l, struct wk_log_seg *s)
{
    char name[WK_LOG_NAME_BYTES], spare[WK_LOG_NAME_BYTES];

    wk_log_seg_name(name, s->seq);
    pthread_mutex_lock(&l->mu);
    s->fresh = l->n_spares == 0;
    if (!s->fresh)
        wk_log_spare_name(spare, l->spares[--l->n_spares]);
    pthread_mutex_unlock(&l->mu);
    if (!s->fresh) {
        const int rc = l->fs.rename(l->fs.user, spare, name);
        return rc ? rc : l->fs.open(l->fs.user, name, false, &s->fd);
    }
    const int rc = l->fs.open(l->fs.user, name, true, &s->fd);
    if (rc == WKIM_OK) /* not being able to reserve is no error: the writes will tell */
        (void)l->fs.allocate(l->fs.user, s->fd, l->opt.segment_bytes);
    return rc;
}

static int head_write(struct wk_log_store *l, const struct wk_log_seg *s, uint64_t prev_end)
{
    uint8_t block[WK_LOG_DATA_OFF] = { 0 };
    const struct wk_log_seg_head h = { .version = WK_LOG_VERSION,
                                       .seq = s->seq,
                                       .salt = s->salt,
                                       .next_salt = s->next_salt,
                                       .prev_end = prev_end };
    const wkim_slice part = wk_slice(block, sizeof(block));

    wk_log_seg_head_encode(block, &h);
    wk_log_seg_head_encode(block + WK_LOG_HEAD_COPY_OFF, &h);
    l->bytes_written += sizeof(block);
    return l->fs.pwritev(l->fs.user, s->fd, &part, 1, 0);
}

int wk_log_state_reserve(struct wk_log_store *l)
{
    size_t need = WK_LOG_HEAD_BYTES + (l->n_groups + 1) * WK_LOG_STATE_BYTES;

    if (wk_log_grow(&l->scratch, &l->scratch_cap, need, 1) ||
        wk_log_grow(&l->parts, &l->part_cap, 2, sizeof(*l->parts)))
        return WKIM_ENOMEM;
    return WKIM_OK;
}

int wk_log_seg_switch(struct wk_log_store *l, struct wkim_error *err)
{
    const struct wk_log_seg *prev = l->n_segs ? wk_log_current(l) : NULL;
    struct wk_log_seg s = { .end = WK_LOG_DATA_OFF };
    int rc;

    if (wk_log_state_reserve(l))
        return wk_fail(err, WKIM_ENOMEM, "log: no memory for a segment");
    if (prev) {
        rc = wk_log_sync(l, err);
        if (rc)
            return rc;
    }
    s.seq = prev ? prev->seq + 1 : l->purged_to;
    s.salt = prev ? prev->next_salt : wk_rng_next(&l->rng);
    s.next_salt = wk_rng_next(&l->rng);
    s.crc_seed = wk_log_crc_seed(s.salt, s.seq);
    rc = file_new(l, &s);
    if (rc)
        return wk_log_broken(l, err, rc, "creating a segment");
    rc = wk_log_seg_add(l, &s);
    if (rc) {
        l->fs.close(l->fs.user, s.fd);
        return wk_log_broken(l, err, rc, "creating a segment");
    }
    rc = head_write(l, &s, prev ? wk_log_pos(prev->seq, prev->end) : 0);
    if (rc)
        return wk_log_broken(l, err, rc, "writing a segment header");
    rc = wk_log_state_write(l, true, false, NULL, err);
    if (rc == WKIM_OK)
        rc = wk_log_sync(l, err);
    if (rc)
        return rc;
    wk_log_current(l)->head_end = wk_log_current(l)->end;
    rc = l->fs.sync_dir(l->fs.user);
    return rc ? wk_log_broken(l, err, rc, "syncing the folder") : WKIM_OK;
}

/* Whole pages are written: in a file that was written before, the kernel would have to read the
 * rest of the last one from the disk first.  The zeros behind the end are written over later. */
int wk_log_flush(struct wk_log_store *l, struct wkim_error *err)
{
    static const uint8_t zeros[PAGE_BYTES];
    struct wk_log_seg *cur = wk_log_current(l);

    if (l->n_parts == 0)
        return WKIM_OK;
    const size_t over = (cur->end + l->parts_bytes) % PAGE_BYTES;
    if (over) /* the room was made with the parts */
        l->parts[l->n_parts++] = wk_slice(zeros, PAGE_BYTES - over);
    int rc = l->fs.pwritev(l->fs.user, cur->fd, l->parts, l->n_parts, cur->end);
    if (rc)
        return wk_log_broken(l, err, rc, "write");
    pthread_mutex_lock(&l->mu);
    cur->end += l->parts_bytes;
    l->bytes_written += l->parts_bytes;
    pthread_mutex_unlock(&l->mu);
    l->n_parts = 0;
    l->parts_bytes = 0;
    l->scratch_n = 0;
    return WKIM_OK;
}

static size_t lines_put(struct wk_log_store *l, uint8_t *p, bool dirty_only)
{
    struct wk_log_group_line line;
    size_t n = 0;

    for (size_t i = 0; i < l->n_groups; i++) {
        struct wk_log_group *g = l->groups[i];
        if (!g->known || (dirty_only && !g->mark_dirty))
            continue;
        wk_log_group_line(g, &line);
        wk_log_line_encode(p + n++ * WK_LOG_STATE_BYTES, &line);
        g->mark_dirty = false;
    }
    return n;
}

int wk_log_state_write(struct wk_log_store *l, bool full, bool dirty_only,
                       const struct wk_log_group_line *extra, struct wkim_error *err)
{
    struct wk_log_seg *cur = wk_log_current(l);
    size_t n = 0;

    WK_ASSERT(l->n_parts == 0 && l->scratch_n == 0);
    uint8_t *body = l->scratch + WK_LOG_HEAD_BYTES;
    if (extra)
        wk_log_line_encode(body + n++ * WK_LOG_STATE_BYTES, extra);
    if (full || dirty_only) {
        pthread_mutex_lock(&l->mu);
        n += lines_put(l, body + n * WK_LOG_STATE_BYTES, dirty_only);
        pthread_mutex_unlock(&l->mu);
    }
    const size_t len = WK_LOG_HEAD_BYTES + n * WK_LOG_STATE_BYTES;
    const struct wk_log_record r = {
        .len = (uint32_t)len,
        .group = WK_LOG_NO_GROUP,
        .kind = WK_LOG_STATE,
        .flags = (uint8_t)((full ? WK_LOG_FULL : 0) | (l->damaged ? WK_LOG_DAMAGED : 0)),
        .durable = l->durable,
        .first = l->purged_to,
        .n = (uint32_t)n,
        .body_crc = wk_crc32c(cur->crc_seed, body, n * WK_LOG_STATE_BYTES),
    };
    wk_log_record_encode(l->scratch, &r, cur->crc_seed);
    l->parts[0] = wk_slice(l->scratch, len);
    l->n_parts = 1;
    l->parts_bytes = l->scratch_n = len;
    return wk_log_flush(l, err);
}
