/* A model of the log: the state after every step of a generated script, to compare a recovered log
 * with.  Included by the tests of this folder. */
#ifndef LOG_MODEL_H
#define LOG_MODEL_H
#include <stdlib.h>
#include "base/clock.h"
#include "base/hash.h"
#include "log/log.h"

#define MODEL_GROUPS 3
#define MODEL_ENTRIES 512
#define MODEL_STEPS 160

enum step_kind { STEP_BATCH, STEP_SYNC, STEP_COMPACT, STEP_PURGE, STEP_RESET, STEP_REOPEN };

struct model_entry {
    uint64_t term;
    uint32_t bytes, seed;
};
struct model_group {
    bool exists;
    uint64_t hard_term, hard_vote, hard_commit;
    uint64_t floor, floor_term, last, mark;
    struct model_entry e[MODEL_ENTRIES];
};
struct step {
    enum step_kind kind;
    uint32_t group, n;
    uint64_t index, term;
    bool has_hard, end_call;
};
struct model {
    struct step steps[MODEL_STEPS];
    struct model_group after[MODEL_STEPS + 1][MODEL_GROUPS]; /* [i]: before step i */
};

static inline uint64_t model_term(const struct model_group *g, uint64_t index)
{
    return index == g->floor ? g->floor_term : g->e[index].term;
}

static inline void model_batch(struct wk_rng *r, struct model_group *g, struct step *s, unsigned i)
{
    const uint64_t low = g->mark > g->hard_commit ? g->mark : g->hard_commit;
    bool cut = wk_rng_below(r, 4) == 0 && g->last > low;

    g->exists = true;
    s->n = wk_rng_below(r, 8) == 0 ? 0 : (uint32_t)wk_rng_below(r, 6) + 1;
    s->has_hard = s->n == 0 || wk_rng_below(r, 2);
    s->index = cut ? low + 1 + wk_rng_below(r, g->last - low) : g->last + 1;
    s->term = model_term(g, g->last) + (cut || wk_rng_below(r, 5) == 0);
    s->end_call = wk_rng_below(r, 2);
    for (uint32_t k = 0; k < s->n; k++) {
        const uint32_t size = (uint32_t)wk_rng_below(r, 12);
        g->e[s->index + k] = (struct model_entry){
            .term = s->term + (k >= 4),
            .bytes = size == 0 ? 0 : size < 3 ? 5000 : (uint32_t)wk_rng_below(r, 500) + 1,
            .seed = i * 16 + k
        };
    }
    if (s->n > 0)
        g->last = s->index + s->n - 1;
    if (s->has_hard) {
        g->hard_term = s->term;
        g->hard_vote = wk_rng_below(r, 3);
        g->hard_commit = g->last > 3 && g->last - 3 > g->hard_commit ? g->last - 3 : g->hard_commit;
    }
}

static inline void model_step(struct wk_rng *r, struct model_group *groups, struct step *s,
                              unsigned i)
{
    const uint64_t what = wk_rng_below(r, 24);

    s->group = (uint32_t)wk_rng_below(r, MODEL_GROUPS);
    struct model_group *g = &groups[s->group];
    if (what < 14) {
        s->kind = STEP_BATCH;
        model_batch(r, g, s, i);
    } else if (what < 19) {
        s->kind = STEP_SYNC;
    } else if (what < 22) {
        s->kind = g->hard_commit > g->mark ? STEP_COMPACT : STEP_SYNC;
        s->index = g->hard_commit;
        if (s->kind == STEP_COMPACT)
            g->mark = s->index;
    } else if (what < 23) {
        s->kind = STEP_PURGE;
    } else if (wk_rng_below(r, 2)) {
        s->kind = STEP_REOPEN;
    } else {
        s->kind = STEP_RESET;
        s->index = g->last + wk_rng_below(r, 9) + 1 - (g->last > g->hard_commit);
        s->term = model_term(g, g->last) + 1;
        g->exists = true;
        g->floor = g->mark = g->last = s->index;
        g->floor_term = s->term;
        if (g->hard_commit < s->index)
            g->hard_commit = s->index;
        if (g->hard_term < s->term) {
            g->hard_term = s->term;
            g->hard_vote = 0;
        }
    }
}

static inline void model_make(struct model *m, uint64_t seed)
{
    struct wk_rng r;

    memset(m, 0, sizeof(*m));
    wk_rng_seed(&r, seed);
    for (unsigned i = 0; i < MODEL_STEPS; i++) {
        memcpy(m->after[i + 1], m->after[i], sizeof(m->after[i]));
        model_step(&r, m->after[i + 1], &m->steps[i], i);
    }
}

static inline struct wk_blob *model_blob(const struct model_entry *e)
{
    struct wk_blob *b = e->bytes ? wk_blob_new(e->bytes) : NULL;

    for (uint32_t i = 0; i < e->bytes; i++)
        b->p[i] = (uint8_t)(e->seed * 31 + i);
    return b;
}

/* The batch of step i; entries[] has room for 8 and its blobs are owned by the caller. */
static inline struct wk_log_batch model_to_batch(const struct model *m, unsigned i,
                                                 struct wk_log_entry *entries)
{
    const struct step *s = &m->steps[i];
    const struct model_group *g = &m->after[i + 1][s->group];

    for (uint32_t k = 0; k < s->n; k++)
        entries[k] = (struct wk_log_entry){ .term = g->e[s->index + k].term,
                                            .index = s->index + k,
                                            .type = (uint8_t)(g->e[s->index + k].seed & 1),
                                            .data = model_blob(&g->e[s->index + k]) };
    return (struct wk_log_batch){ .group = s->group, .has_hard = s->has_hard,
                                  .hard_term = g->hard_term, .hard_vote = g->hard_vote,
                                  .hard_commit = g->hard_commit, .entries = entries,
                                  .n_entries = s->n };
}

static inline bool model_entry_equal(const struct model_entry *e, uint64_t index,
                                     const struct wk_log_entry *got)
{
    struct wk_blob *b = model_blob(e);
    const bool same = got->index == index && got->term == e->term &&
                      got->type == (uint8_t)(e->seed & 1) &&
                      wk_slice_eq(wk_blob_slice(b), wk_blob_slice(got->data));

    wk_blob_unref(b);
    return same;
}

/* NULL: the group in the log equals the model; otherwise what differs. */
static inline const char *model_differs(const struct model_group *g, struct wk_log_store *l,
                                        uint32_t id)
{
    struct wk_log_group_state s;
    struct wk_log_entry out[8];
    uint64_t term;
    const int rc = wk_log_group_find(l, id, &s);

    if (rc == WKIM_ENOTFOUND)
        return g->exists ? "group is missing" : NULL;
    if (rc != WKIM_OK || s.code != WKIM_OK)
        return "group is damaged";
    if (!g->exists)
        return "group was invented";
    if (s.hard_term != g->hard_term || s.hard_vote != g->hard_vote ||
        s.hard_commit != g->hard_commit)
        return "hard state";
    if (s.last_index != g->last || s.first_index <= g->floor || s.first_index > g->mark + 1)
        return "index range";
    if (s.base_term != model_term(g, s.first_index - 1))
        return "base term";
    for (uint64_t i = s.first_index; i <= s.last_index;) {
        const char *bad = NULL;
        wkim_ssize n = wk_log_entries(l, id, i, s.last_index + 1, 1 << 20, out, 8);
        if (n <= 0)
            return "unreadable entry";
        for (wkim_ssize k = 0; k < n; k++) {
            if (!model_entry_equal(&g->e[i + (uint64_t)k], i + (uint64_t)k, &out[k]) ||
                wk_log_term(l, id, i + (uint64_t)k, &term) || term != out[k].term)
                bad = "entry";
            wk_blob_unref(out[k].data);
        }
        if (bad)
            return bad;
        i += (uint64_t)n;
    }
    return NULL;
}

/* The latest step in [lo, hi] whose state all groups have; -1 none, with the reason for `hi`. */
static inline int model_find(const struct model *m, struct wk_log_store *l, int lo, int hi,
                             const char **why)
{
    for (int i = hi; i >= lo; i--) {
        const char *bad = NULL;
        for (uint32_t g = 0; !bad && g < MODEL_GROUPS; g++)
            bad = model_differs(&m->after[i][g], l, g);
        if (!bad)
            return i;
        *why = bad;
    }
    return -1;
}
#endif
