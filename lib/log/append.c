/* One call of wk_log_append: plan (validate, reserve memory), gather and write, publish.  After the
 * plan nothing can fail but the disk. */
#include "log/internal.h"
#include "base/hash.h"

#define GROUPS_MAX 65536 /* a state record lists all of them */

/* Entries of one record starting at `from`, and the bytes behind the record header. */
static uint32_t record_extent(const struct wk_log_batch *b, uint32_t from, size_t *bytes,
                              uint32_t *runs)
{
    size_t total = WK_LOG_HEAD_BYTES + WK_LOG_HARD_BYTES;
    uint32_t n = 0;

    *runs = 0;
    for (uint32_t i = from; i < b->n_entries && n < WK_LOG_RECORD_ENTRIES_MAX; i++, n++) {
        const struct wk_log_entry *e = &b->entries[i];
        size_t add = WK_LOG_WORD_BYTES + (e->data ? e->data->n : 0);
        bool run = n == 0 || e->term != e[-1].term;
        if (run)
            add += WK_LOG_RUN_BYTES;
        if (n > 0 && total + add > WK_LOG_RECORD_BYTES_MAX)
            break;
        total += add;
        *runs += run;
    }
    *bytes = total;
    return n;
}

static int group_check(const struct wk_log_group *g, const struct wk_log_batch *b,
                       struct wkim_error *err)
{
    const struct wk_log_entry *e = b->entries;

    if (g->code)
        return wk_fail(err, g->code, "log: group %u is damaged and needs a reset", g->id);
    if (b->n_entries == 0)
        return WKIM_OK;
    if (e->index < g->first || e->index > g->v_last + 1)
        return wk_fail(err, WKIM_EINVAL, "log: group %u: entry %llu does not follow %llu..%llu",
                       g->id, (unsigned long long)e->index, (unsigned long long)g->first,
                       (unsigned long long)g->v_last);
    if (g->n_nodes > 0 && e->index + b->n_entries - g->rel_base > UINT32_MAX)
        return wk_fail(err, WKIM_ETOOBIG, "log: group %u retains too many entries", g->id);
    for (uint32_t i = 0; i < b->n_entries; i++) {
        if (e[i].index != e[0].index + i)
            return wk_fail(err, WKIM_EINVAL, "log: group %u: entries are not consecutive", g->id);
        if (e[i].data && e[i].data->n > WK_LOG_ENTRY_BYTES_MAX)
            return wk_fail(err, WKIM_ETOOBIG, "log: group %u: entry of %u bytes", g->id,
                           e[i].data->n);
    }
    return WKIM_OK;
}

static struct wk_log_group *plan_group(struct wk_log_store *l, uint32_t id,
                                       struct wkim_error *err)
{
    struct wk_log_group *g = wk_log_group_get(l, id);

    if ((!g || !g->known) &&
        (l->damaged || id == WK_LOG_NO_GROUP || l->n_groups >= GROUPS_MAX)) {
        wk_fail(err, l->damaged ? WKIM_ECORRUPT : WKIM_EINVAL, "log: group %u refused", id);
        return NULL;
    }
    if (!g)
        g = wk_log_group_make(l, id);
    if (!g) {
        wk_fail(err, WKIM_ENOMEM, "log: no memory for group %u", id);
        return NULL;
    }
    if (g->call != l->call) {
        g->call = l->call;
        g->v_last = g->last;
        g->v_recno = g->recno;
        g->v_commit = g->hard_commit;
        g->v_nodes = g->v_runs = g->v_entries = 0;
    }
    return g;
}

static int plan_batch(struct wk_log_store *l, const struct wk_log_batch *b, uint64_t *total,
                      struct wkim_error *err)
{
    struct wkim_error why = { 0 };
    struct wk_log_group *g = plan_group(l, b->group, &why);
    size_t bytes;
    uint32_t runs, n;

    if (!g)
        return wk_fail(err, why.code, "%s", why.text);
    int rc = group_check(g, b, err);
    if (rc)
        return rc;
    for (uint32_t from = 0; from < b->n_entries || from == 0; from += n) {
        n = record_extent(b, from, &bytes, &runs);
        if (wk_log_grow(&l->pending, &l->pending_cap, l->n_pending + 1, sizeof(*l->pending)))
            return wk_fail(err, WKIM_ENOMEM, "log: no memory for an append");
        l->pending[l->n_pending++] = (struct wk_log_pending){
            .group = g, .batch = b, .from = from, .n = n, .last = from + n >= b->n_entries
        };
        *total += bytes + 8;
        g->v_runs += runs;
        g->v_nodes++;
        if (n == 0)
            break;
    }
    g->v_entries += b->n_entries;
    if (b->n_entries > 0)
        g->v_last = b->entries[b->n_entries - 1].index;
    if (wk_log_group_reserve(g, g->v_nodes, g->v_runs, g->v_entries))
        return wk_fail(err, WKIM_ENOMEM, "log: no memory for the index of group %u", g->id);
    return WKIM_OK;
}

static int plan(struct wk_log_store *l, const struct wk_log_batch *batches, size_t n,
                struct wkim_error *err)
{
    uint64_t total = 0;
    int rc = WKIM_OK;

    l->call++;
    l->n_pending = 0;
    pthread_mutex_lock(&l->mu);
    for (size_t i = 0; rc == WKIM_OK && i < n; i++) {
        rc = plan_batch(l, &batches[i], &total, err);
        if (rc == WKIM_OK && total > WK_LOG_CALL_BYTES_MAX)
            rc = wk_fail(err, WKIM_ETOOBIG, "log: more than 2 GiB in one append");
    }
    if (rc == WKIM_OK && wk_log_cache_reserve(l, n))
        rc = wk_fail(err, WKIM_ENOMEM, "log: no memory for the cache queue");
    pthread_mutex_unlock(&l->mu);
    return rc;
}

static void part_add(struct wk_log_store *l, const void *p, size_t n)
{
    wkim_slice *last = l->n_parts ? &l->parts[l->n_parts - 1] : NULL;

    if (n == 0)
        return;
    if (last && last->p + last->n == (const uint8_t *)p)
        last->n += n;
    else
        l->parts[l->n_parts++] = wk_slice(p, n);
    l->parts_bytes += n;
}

/* Header, tables and small entries are laid out in the scratch memory; large entries stay where
 * they are.  Returns the checksum of the body. */
static uint32_t gather_body(struct wk_log_store *l, const struct wk_log_pending *p, uint8_t *start,
                            uint8_t *at, uint32_t seed)
{
    const struct wk_log_entry *e = p->batch->entries ? p->batch->entries + p->from : NULL;
    uint32_t crc = wk_crc32c(seed, start + WK_LOG_HEAD_BYTES,
                             (size_t)(at - start) - WK_LOG_HEAD_BYTES);
    uint8_t *chunk = start, *crc_from = at;

    for (uint32_t i = 0; i < p->n; i++) {
        const size_t n = e[i].data ? e[i].data->n : 0;
        if (n <= WK_LOG_COPY_BYTES_MAX) {
            if (n > 0)
                memcpy(at, e[i].data->p, n);
            at += n;
            continue;
        }
        crc = wk_crc32c(crc, crc_from, (size_t)(at - crc_from));
        crc = wk_crc32c(crc, e[i].data->p, n);
        part_add(l, chunk, (size_t)(at - chunk));
        part_add(l, e[i].data->p, n);
        chunk = crc_from = at;
    }
    crc = wk_crc32c(crc, crc_from, (size_t)(at - crc_from));
    const size_t pad = (size_t)(wk_log_align(p->len) - p->len);
    memset(at, 0, pad);
    at += pad;
    part_add(l, chunk, (size_t)(at - chunk));
    l->scratch_n = (size_t)(at - l->scratch);
    return crc;
}

static uint8_t *tables_put(const struct wk_log_pending *p, uint8_t *at, uint32_t *n_runs)
{
    const struct wk_log_batch *b = p->batch;
    uint32_t run_from = p->from;

    if (b->has_hard) {
        const uint64_t commit = p->last ? b->hard_commit : p->group->v_commit;
        wk_log_put64(at, b->hard_term);
        wk_log_put64(at + 8, b->hard_vote);
        wk_log_put64(at + 16, commit);
        p->group->v_commit = commit;
        at += WK_LOG_HARD_BYTES;
    }
    *n_runs = 0;
    for (uint32_t i = p->from; i < p->from + p->n; i++) {
        if (i + 1 < p->from + p->n && b->entries[i + 1].term == b->entries[i].term)
            continue;
        wk_log_put64(at, b->entries[i].term);
        wk_log_put32(at + 8, i + 1 - run_from);
        at += WK_LOG_RUN_BYTES;
        run_from = i + 1;
        ++*n_runs;
    }
    for (uint32_t i = p->from; i < p->from + p->n; i++, at += WK_LOG_WORD_BYTES) {
        const struct wk_log_entry *e = &b->entries[i];
        wk_log_put32(at, (e->data ? e->data->n : 0) | (uint32_t)e->type << 24);
    }
    return at;
}

/* Memory the record needs in the scratch, and its number of parts. */
static void record_need(const struct wk_log_pending *p, size_t *scratch, size_t *parts)
{
    *scratch = WK_LOG_HEAD_BYTES + WK_LOG_HARD_BYTES + 8 +
               (size_t)p->n * (WK_LOG_RUN_BYTES + WK_LOG_WORD_BYTES);
    *parts = 2;
    for (uint32_t i = p->from; i < p->from + p->n; i++) {
        const size_t n = p->batch->entries[i].data ? p->batch->entries[i].data->n : 0;
        if (n > WK_LOG_COPY_BYTES_MAX)
            *parts += 2;
        else
            *scratch += n;
    }
}

static int record_write(struct wk_log_store *l, struct wk_log_pending *p, struct wkim_error *err)
{
    const struct wk_log_seg *cur = wk_log_current(l);
    size_t need, parts;
    uint32_t n_runs = 0;

    record_need(p, &need, &parts);
    if (l->scratch_n > 0 &&
        (l->scratch_n + need > WK_LOG_SCRATCH_BYTES || l->scratch_n + need > l->scratch_cap)) {
        int rc = wk_log_flush(l, err);
        if (rc)
            return rc;
    }
    size_t cap_want = need > WK_LOG_SCRATCH_BYTES ? need : WK_LOG_SCRATCH_BYTES;
    if ((l->scratch_n == 0 && wk_log_grow(&l->scratch, &l->scratch_cap, cap_want, 1)) ||
        wk_log_grow(&l->parts, &l->part_cap, l->n_parts + parts + 1, sizeof(*l->parts)))
        return wk_fail(err, WKIM_ENOMEM, "log: no memory for an append");
    uint8_t *start = l->scratch + l->scratch_n;
    uint8_t *at = tables_put(p, start + WK_LOG_HEAD_BYTES, &n_runs);
    size_t data = 0;
    for (uint32_t i = p->from; i < p->from + p->n; i++)
        data += p->batch->entries[i].data ? p->batch->entries[i].data->n : 0;
    p->len = (uint32_t)((size_t)(at - start) + data);
    p->pos = wk_log_pos(cur->seq, cur->end + l->parts_bytes);
    const uint32_t crc = gather_body(l, p, start, at, cur->crc_seed);
    const struct wk_log_record r = {
        .len = p->len,
        .group = p->group->id,
        .kind = WK_LOG_BATCH,
        .flags = p->batch->has_hard ? WK_LOG_HAS_HARD : 0,
        .recno = ++p->group->v_recno,
        .durable = l->durable,
        .first = p->n ? p->batch->entries[p->from].index : 0,
        .n = p->n,
        .n_runs = n_runs,
        .body_crc = crc,
    };
    wk_log_record_encode(start, &r, cur->crc_seed);
    return WKIM_OK;
}

static void publish(struct wk_log_store *l, const struct wk_log_pending *p)
{
    const struct wk_log_batch *b = p->batch;
    struct wk_log_group *g = p->group;

    pthread_mutex_lock(&l->mu);
    g->known = true;
    g->recno++;
    if (b->has_hard) {
        g->hard_term = b->hard_term;
        g->hard_vote = b->hard_vote;
        g->hard_commit = b->hard_commit;
    }
    if (p->n > 0) {
        wk_log_group_truncate(l, g, b->entries[p->from].index);
        wk_log_group_node(g, p->pos, b->entries[p->from].index, p->len);
        for (uint32_t i = p->from; i < p->from + p->n; i++) {
            wk_log_group_run(g, b->entries[i].index, b->entries[i].term);
            g->last = b->entries[i].index;
            wk_log_cache_put(l, g, &b->entries[i]);
        }
        if (p->last)
            wk_log_cache_note(l, g);
    }
    pthread_mutex_unlock(&l->mu);
}

/* Many groups and small segments: what opens a segment must not outweigh what follows. */
static bool segment_full(const struct wk_log_store *l)
{
    const struct wk_log_seg *cur = wk_log_current(l);

    return cur->end >= l->opt.segment_bytes && cur->end >= cur->head_end * 2;
}

/* A spare is written faster than a fresh file: most of a segment is worth an early switch. */
static bool segment_slow(struct wk_log_store *l)
{
    const struct wk_log_seg *cur = wk_log_current(l);

    if (!cur->fresh || cur->end > l->opt.segment_bytes / 2 || cur->end < cur->head_end * 2)
        return false;
    pthread_mutex_lock(&l->mu);
    const bool spare = l->n_spares > 0;
    pthread_mutex_unlock(&l->mu);
    return spare;
}

int wk_log_append(struct wk_log_store *l, const struct wk_log_batch *batches, size_t n,
                  struct wkim_error *err)
{
    int rc;

    if (l->failed)
        return wk_fail(err, l->failed, "log: refuses writes after a failure");
    if (segment_full(l) || segment_slow(l)) {
        rc = wk_log_seg_switch(l, err);
        if (rc)
            return rc;
    }
    rc = plan(l, batches, n, err);
    if (rc)
        return rc;
    const uint64_t start = wk_log_current(l)->end;
    for (size_t i = 0; rc == WKIM_OK && i < l->n_pending; i++)
        rc = record_write(l, &l->pending[i], err);
    if (rc == WKIM_OK)
        rc = wk_log_flush(l, err);
    if (rc) {
        l->n_parts = l->scratch_n = l->parts_bytes = 0;
        if (!l->failed && wk_log_current(l)->end != start) /* half of the call is in the file */
            return wk_log_broken(l, err, rc, "append");
        return rc;
    }
    for (size_t i = 0; i < l->n_pending; i++)
        publish(l, &l->pending[i]);
    return WKIM_OK;
}

int wk_log_sync(struct wk_log_store *l, struct wkim_error *err)
{
    const struct wk_log_seg *cur = wk_log_current(l);
    const uint64_t pos = wk_log_pos(cur->seq, cur->end);

    if (l->failed)
        return wk_fail(err, l->failed, "log: refuses writes after a failure");
    if (pos == l->durable)
        return WKIM_OK;
    int rc = l->fs.sync(l->fs.user, cur->fd);
    if (rc)
        return wk_log_broken(l, err, rc, "sync");
    l->durable = pos;
    pthread_mutex_lock(&l->mu);
    l->syncs++;
    pthread_mutex_unlock(&l->mu);
    return WKIM_OK;
}
