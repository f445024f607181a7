/* Compaction marks, deletion of segments nobody needs, restart of a group after a snapshot. */
#include "log/internal.h"

int wk_log_compact(struct wk_log_store *l, uint32_t group, uint64_t index)
{
    uint64_t term;
    int rc = WKIM_OK;

    pthread_mutex_lock(&l->mu);
    struct wk_log_group *g = wk_log_group_get(l, group);
    if (!g || !g->known)
        rc = WKIM_ENOTFOUND;
    else if (g->code)
        rc = g->code;
    else if (index >= g->first) {
        if (index > g->last)
            index = g->last;
        rc = wk_log_group_term(g, index, &term);
        if (rc == WKIM_OK)
            wk_log_group_front(l, g, index + 1, term);
    }
    pthread_mutex_unlock(&l->mu);
    return rc;
}

/* Oldest segment that holds an entry somebody may still ask for. */
static uint32_t oldest_needed(struct wk_log_store *l)
{
    uint32_t seq;

    pthread_mutex_lock(&l->mu);
    seq = wk_log_current(l)->seq;
    for (size_t i = 0; i < l->n_groups; i++) {
        const struct wk_log_group *g = l->groups[i];
        if (g->n_nodes > 0 && wk_log_pos_seq(g->nodes[g->node_head].pos) < seq)
            seq = wk_log_pos_seq(g->nodes[g->node_head].pos);
    }
    pthread_mutex_unlock(&l->mu);
    return seq;
}

/* A purged file is kept for reuse when no reader holds it and it has the common size. */
static int remove_file(struct wk_log_store *l, const struct wk_log_seg *s, bool reuse)
{
    char name[WK_LOG_NAME_BYTES], spare[WK_LOG_NAME_BYTES];

    wk_log_seg_name(name, s->seq);
    pthread_mutex_lock(&l->mu);
    if (l->n_spares == WK_LOG_SPARES_MAX || s->end < l->opt.segment_bytes ||
        s->end > l->opt.segment_bytes * 2)
        reuse = false;
    pthread_mutex_unlock(&l->mu);
    if (!reuse)
        return l->fs.unlink(l->fs.user, name);
    wk_log_spare_name(spare, s->seq);
    int rc = l->fs.rename(l->fs.user, name, spare);
    if (rc)
        return rc;
    pthread_mutex_lock(&l->mu);
    const bool room = l->n_spares < WK_LOG_SPARES_MAX; /* wk_log_prepare may have been first */
    if (room)
        l->spares[l->n_spares++] = s->seq;
    pthread_mutex_unlock(&l->mu);
    return room ? WKIM_OK : l->fs.unlink(l->fs.user, spare);
}

static int remove_oldest(struct wk_log_store *l)
{
    struct wk_log_seg *s = l->segs[0];

    pthread_mutex_lock(&l->mu);
    const bool busy = s->refs > 0;
    memmove(l->segs, l->segs + 1, (l->n_segs - 1) * sizeof(struct wk_log_seg *));
    l->n_segs--;
    s->dead = true;
    pthread_mutex_unlock(&l->mu);
    int rc = remove_file(l, s, !busy);
    if (!busy)
        wk_log_seg_close(l, s);
    return rc;
}

wkim_ssize wk_log_purge(struct wk_log_store *l, struct wkim_error *err)
{
    const uint32_t keep = oldest_needed(l);
    wkim_ssize n = 0;
    int rc;

    if (keep == l->segs[0]->seq)
        return 0;
    if (l->failed)
        return wk_fail(err, l->failed, "log: refuses writes after a failure");
    if (wk_log_state_reserve(l))
        return wk_fail(err, WKIM_ENOMEM, "log: no memory to purge");
    const uint32_t before = l->purged_to;
    l->purged_to = keep;
    rc = wk_log_state_write(l, false, true, NULL, err);
    if (rc == WKIM_OK)
        rc = wk_log_sync(l, err);
    if (rc) {
        l->purged_to = before;
        return rc;
    }
    for (; rc == WKIM_OK && l->segs[0]->seq < keep; n++)
        rc = remove_oldest(l);
    if (rc == WKIM_OK)
        rc = l->fs.sync_dir(l->fs.user);
    return rc ? wk_log_broken(l, err, rc, "deleting a segment") : n;
}

int wk_log_reset(struct wk_log_store *l, uint32_t group, uint64_t index, uint64_t term,
                 struct wkim_error *err)
{
    struct wk_log_group_line line;

    if (l->failed)
        return wk_fail(err, l->failed, "log: refuses writes after a failure");
    pthread_mutex_lock(&l->mu);
    struct wk_log_group *g = group == WK_LOG_NO_GROUP ? NULL : wk_log_group_make(l, group);
    pthread_mutex_unlock(&l->mu);
    if (!g || wk_log_state_reserve(l))
        return wk_fail(err, WKIM_ENOMEM, "log: no memory to reset group %u", group);
    wk_log_group_line(g, &line);
    line.flags = WK_LOG_STATE_RESET;
    line.recno++; /* so that a lost reset shows */
    line.first = index + 1;
    line.last = index;
    line.base_term = term;
    line.hard_commit = line.hard_commit > index ? line.hard_commit : index;
    if (line.hard_term < term) { /* the log is never of a later term than the hard state */
        line.hard_term = term;
        line.hard_vote = 0;
    }
    int rc = wk_log_state_write(l, false, false, &line, err);
    if (rc == WKIM_OK)
        rc = wk_log_sync(l, err);
    if (rc)
        return rc;
    pthread_mutex_lock(&l->mu);
    wk_log_group_restart(l, g, index, term);
    g->recno = line.recno;
    g->hard_term = line.hard_term;
    g->hard_vote = line.hard_vote;
    g->hard_commit = line.hard_commit;
    g->mark_dirty = false;
    pthread_mutex_unlock(&l->mu);
    return WKIM_OK;
}
