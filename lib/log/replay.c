/* What a record found at open does to the index, and which groups damage concerns: records of a
 * group are numbered, so a group that goes on without a gap behind a damaged place lost nothing. */
#include "log/internal.h"

static struct wk_log_group *group_of(struct wk_log_replay *y, uint32_t id)
{
    struct wk_log_group *g = wk_log_group_make(y->l, id);

    if (!g || wk_log_group_reserve(g, 1, 0, 0)) {
        y->rc = WKIM_ENOMEM;
        return NULL;
    }
    return g;
}

static bool entries_replay(struct wk_log_replay *y, struct wk_log_group *g,
                           const struct wk_log_record *r, const struct wk_log_body *b,
                           uint64_t pos)
{
    uint64_t index = r->first;

    if (r->first < g->first || r->first > g->last + 1 || r->first == 0)
        return false;
    if (wk_log_group_reserve(g, 1, b->n_runs, 0)) {
        y->rc = WKIM_ENOMEM;
        return true;
    }
    wk_log_group_truncate(y->l, g, r->first);
    if (g->n_nodes > 0 && r->first - g->rel_base > UINT32_MAX)
        return false;
    wk_log_group_node(g, pos, r->first, r->len);
    for (uint32_t i = 0; i < b->n_runs; i++) {
        const uint8_t *at = b->runs + (size_t)i * WK_LOG_RUN_BYTES;
        wk_log_group_run(g, index, wk_log_get64(at));
        index += wk_log_get32(at + 8);
    }
    g->last = index - 1;
    g->cache_first = index;
    return true;
}

static void replay_batch(struct wk_log_replay *y, const struct wk_log_record *r, uint64_t pos,
                         const uint8_t *p)
{
    struct wk_log_group *g = group_of(y, r->group);
    struct wk_log_body b;

    if (!g)
        return;
    if (r->recno != g->recno + 1)
        g->code = WKIM_ECORRUPT;
    g->known = true;
    g->recno = r->recno;
    if (!wk_log_body_decode(&b, r, p)) {
        g->code = WKIM_ECORRUPT;
        return;
    }
    if (b.hard) {
        g->hard_term = wk_log_get64(b.hard);
        g->hard_vote = wk_log_get64(b.hard + 8);
        g->hard_commit = wk_log_get64(b.hard + 16);
    }
    if (g->code == WKIM_OK && r->n > 0 && !entries_replay(y, g, r, &b, pos))
        g->code = WKIM_ECORRUPT;
    if (g->code == WKIM_OK)
        g->proven = y->damage;
}

static void line_reset(struct wk_log_replay *y, struct wk_log_group *g,
                       const struct wk_log_group_line *s)
{
    wk_log_group_restart(y->l, g, s->last, s->base_term);
    g->hard_term = s->hard_term;
    g->hard_vote = s->hard_vote;
    g->hard_commit = s->hard_commit;
    g->recno = s->recno;
    g->proven = y->damage;
}

/* The oldest record of the log: what it names lies in segments that were purged. */
static void line_start(struct wk_log_replay *y, struct wk_log_group *g,
                       const struct wk_log_group_line *s)
{
    line_reset(y, g, s);
    g->first = s->first;
    g->cache_first = g->last + 1;
    g->code = s->flags & WK_LOG_STATE_CORRUPT ? WKIM_ECORRUPT : WKIM_OK;
}

static void line_replay(struct wk_log_replay *y, const struct wk_log_group_line *s, bool start)
{
    struct wk_log_group *g = group_of(y, s->group);

    if (!g)
        return;
    if (s->flags & WK_LOG_STATE_RESET) {
        line_reset(y, g, s);
        return;
    }
    if (start) {
        line_start(y, g, s);
        return;
    }
    if (!g->known || s->recno != g->recno || s->first > s->last + 1 ||
        (g->code == WKIM_OK && s->last != g->last) || s->flags & WK_LOG_STATE_CORRUPT) {
        line_start(y, g, s);
        g->code = WKIM_ECORRUPT;
        return;
    }
    if (g->code == WKIM_OK) {
        wk_log_group_front(y->l, g, s->first, s->base_term);
        g->proven = y->damage;
    }
}

static void replay_state(struct wk_log_replay *y, const struct wk_log_record *r, const uint8_t *p)
{
    const bool full = r->flags & WK_LOG_FULL;
    struct wk_log_group_line line;

    if ((uint64_t)r->n * WK_LOG_STATE_BYTES + WK_LOG_HEAD_BYTES != r->len) {
        wk_log_replay_damage(y);
        return;
    }
    for (uint32_t i = 0; i < r->n && y->rc == WKIM_OK; i++) {
        wk_log_line_decode(&line, p + WK_LOG_HEAD_BYTES + (size_t)i * WK_LOG_STATE_BYTES);
        line_replay(y, &line, full && y->oldest);
    }
    if (full) /* names every group there is: from here on unknown means new */
        y->l->damaged = r->flags & WK_LOG_DAMAGED;
    if (r->first > y->l->purged_to && r->first <= UINT32_MAX)
        y->l->purged_to = (uint32_t)r->first;
}

void wk_log_replay_record(struct wk_log_replay *y, const struct wk_log_record *r, uint64_t pos,
                          const uint8_t *p)
{
    if (r->durable > y->durable)
        y->durable = r->durable;
    if (r->kind == WK_LOG_STATE)
        replay_state(y, r, p);
    else
        replay_batch(y, r, pos, p);
    y->oldest = false;
}

void wk_log_replay_lost(struct wk_log_replay *y, const struct wk_log_record *r)
{
    struct wk_log_group *g;

    if (r->kind == WK_LOG_STATE) {
        wk_log_replay_damage(y);
        return;
    }
    g = group_of(y, r->group);
    if (!g)
        return;
    g->known = true;
    g->code = WKIM_ECORRUPT;
    g->recno = r->recno;
}

void wk_log_replay_damage(struct wk_log_replay *y)
{
    y->damage++;
    y->l->damaged = true;
}

void wk_log_replay_end(struct wk_log_replay *y)
{
    for (size_t i = 0; i < y->l->n_groups; i++) {
        struct wk_log_group *g = y->l->groups[i];
        const uint64_t from = g->n_nodes ? g->rel_base + g->nodes[g->node_head].rel : g->last + 1;

        g->mark_dirty = false;
        if (g->proven < y->damage || (g->first <= g->last && from > g->first))
            g->code = WKIM_ECORRUPT;
        if (g->code == WKIM_OK)
            continue;
        g->n_nodes = g->n_runs = 0; /* pins no segment; the state stays for the operator */
        g->cache_first = g->last + 1;
    }
}
