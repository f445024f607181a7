/* Sorted, counted lists of uids in chunks, so that a change of a list of 100,000 moves some hundred
 * members, also while deliveries hold the list as it was. */
#include "im/members.h"
#include <stdlib.h>
#include "im/internal.h"

int im_members_new(struct im_members **out)
{
    struct im_members *m = wk_calloc(1, sizeof(*m));

    if (!m)
        return WKIM_ENOMEM;
    atomic_init(&m->refs, 1);
    *out = m;
    return WKIM_OK;
}

struct im_members *im_members_ref(struct im_members *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

static struct im_member_chunk *chunk_ref(struct im_member_chunk *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

static void chunk_unref(struct im_member_chunk *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    wk_buf_fini(&c->text);
    wk_free(c->v);
    wk_free(c);
}

void im_members_unref(struct im_members *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < m->n_chunks; i++)
        chunk_unref(m->chunks[i]);
    wk_free(m->chunks);
    wk_free(m);
}

/* ---- places ---------------------------------------------------------------------------------- */

static int compare(wkim_slice a, wkim_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;

    if (d != 0)
        return d;
    return a.n < b.n ? -1 : a.n > b.n;
}

static wkim_slice uid_of(const struct im_member_chunk *c, uint32_t i)
{
    return wk_slice(c->text.p + c->v[i].off, c->v[i].len);
}

/* The chunk that holds uid or would: the last one that does not begin behind it. */
static uint32_t find_chunk(const struct im_members *m, wkim_slice uid)
{
    uint32_t lo = 0, hi = m->n_chunks;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (compare(uid_of(m->chunks[mid], 0), uid) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? lo - 1 : 0;
}

/* First position in the chunk whose uid is >= uid. */
static uint32_t lower_bound(const struct im_member_chunk *c, wkim_slice uid)
{
    uint32_t lo = 0, hi = c->n;

    if (hi && compare(uid_of(c, hi - 1), uid) < 0)
        return hi; /* loading and bulk adds come in order */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (compare(uid_of(c, mid), uid) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool find(const struct im_members *m, wkim_slice uid, struct im_members_at *at)
{
    *at = (struct im_members_at){ find_chunk(m, uid), 0 };
    if (m->n_chunks == 0)
        return false;
    const struct im_member_chunk *c = m->chunks[at->chunk];
    at->i = lower_bound(c, uid);
    return at->i < c->n && wk_slice_eq(uid_of(c, at->i), uid);
}

bool im_members_has(const struct im_members *m, wkim_slice uid)
{
    struct im_members_at at;
    return find(m, uid, &at);
}

struct im_members_at im_members_after(const struct im_members *m, wkim_slice uid)
{
    struct im_members_at at;

    if (find(m, uid, &at))
        at.i++;
    return at;
}

/* ---- changes --------------------------------------------------------------------------------- */

static int chunk_reserve(struct im_member_chunk *c, uint32_t n)
{
    uint32_t cap = c->cap ? c->cap : 4;

    if (n <= c->cap)
        return WKIM_OK;
    while (cap < n)
        cap *= 2;
    struct im_member *v = wk_realloc(c->v, cap * sizeof(*v));
    if (!v)
        return WKIM_ENOMEM;
    c->v = v;
    c->cap = cap;
    return WKIM_OK;
}

/* A chunk of its own with members [from, to) of c; NULL: no memory. */
static struct im_member_chunk *chunk_copy(const struct im_member_chunk *c, uint32_t from,
                                          uint32_t to)
{
    struct im_member_chunk *copy = wk_calloc(1, sizeof(*copy));

    if (!copy)
        return NULL;
    atomic_init(&copy->refs, 1);
    if (to > from && chunk_reserve(copy, to - from) != WKIM_OK) {
        chunk_unref(copy);
        return NULL;
    }
    for (uint32_t i = from; i < to; i++) {
        copy->v[copy->n] = c->v[i];
        copy->v[copy->n++].off = (uint32_t)copy->text.n;
        wk_buf_bytes(&copy->text, c->text.p + c->v[i].off, c->v[i].len);
    }
    if (copy->text.oom) {
        chunk_unref(copy);
        return NULL;
    }
    return copy;
}

/* Room for one more chunk pointer in a list that is ours alone. */
static int reserve_chunks(struct im_members *m)
{
    if (m->n_chunks < m->cap_chunks)
        return WKIM_OK;
    uint32_t cap = m->cap_chunks ? m->cap_chunks * 2 : 1;
    struct im_member_chunk **v = wk_realloc(m->chunks, cap * sizeof(*v));
    if (!v)
        return WKIM_ENOMEM;
    m->chunks = v;
    m->cap_chunks = cap;
    return WKIM_OK;
}

static int own_list(struct im_members **m)
{
    struct im_members *old = *m, *copy;

    if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return WKIM_OK;
    if (im_members_new(&copy) != WKIM_OK)
        return WKIM_ENOMEM;
    copy->chunks = wk_malloc((old->n_chunks + 1) * sizeof(*copy->chunks));
    if (!copy->chunks) {
        wk_free(copy);
        return WKIM_ENOMEM;
    }
    copy->cap_chunks = old->n_chunks + 1;
    for (uint32_t i = 0; i < old->n_chunks; i++)
        copy->chunks[i] = chunk_ref(old->chunks[i]);
    copy->n_chunks = old->n_chunks;
    copy->n = old->n;
    im_members_unref(old);
    *m = copy;
    return WKIM_OK;
}

static int own_chunk(struct im_members *m, uint32_t i)
{
    struct im_member_chunk *old = m->chunks[i];

    if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return WKIM_OK;
    struct im_member_chunk *copy = chunk_copy(old, 0, old->n);
    if (!copy)
        return WKIM_ENOMEM;
    m->chunks[i] = copy;
    chunk_unref(old);
    return WKIM_OK;
}

static void insert_chunk(struct im_members *m, uint32_t at, struct im_member_chunk *c)
{
    memmove(&m->chunks[at + 1], &m->chunks[at], (m->n_chunks - at) * sizeof(*m->chunks));
    m->chunks[at] = c;
    m->n_chunks++;
}

/* The chunk is full: the new one takes its upper half, or nothing when uids come in order. */
static int split(struct im_members *m, struct im_members_at *at)
{
    struct im_member_chunk *c = m->chunks[at->chunk];
    const bool last = at->chunk + 1 == m->n_chunks && at->i == c->n;
    const uint32_t keep = last ? c->n : c->n / 2;

    if (reserve_chunks(m) != WKIM_OK)
        return WKIM_ENOMEM;
    struct im_member_chunk *high = chunk_copy(c, keep, c->n);
    struct im_member_chunk *low = last ? chunk_ref(c) : chunk_copy(c, 0, keep);
    if (!high || !low) {
        chunk_unref(high);
        chunk_unref(low);
        return WKIM_ENOMEM;
    }
    chunk_unref(c);
    m->chunks[at->chunk] = low;
    insert_chunk(m, at->chunk + 1, high);
    if (at->i > keep || last)
        *at = (struct im_members_at){ at->chunk + 1, at->i - keep };
    return WKIM_OK;
}

/* The first member, or a place in a chunk that is ours and has room. */
static int make_room(struct im_members *m, struct im_members_at *at, size_t uid_n)
{
    int rc = WKIM_OK;

    if (m->n_chunks == 0) {
        rc = reserve_chunks(m);
        struct im_member_chunk *c = rc == WKIM_OK ? wk_calloc(1, sizeof(*c)) : NULL;
        if (!c)
            return WKIM_ENOMEM;
        atomic_init(&c->refs, 1);
        insert_chunk(m, 0, c);
    } else if (m->chunks[at->chunk]->n >= IM_CHUNK_MEMBERS) {
        rc = split(m, at);
    }
    if (rc == WKIM_OK)
        rc = own_chunk(m, at->chunk);
    if (rc == WKIM_OK)
        rc = chunk_reserve(m->chunks[at->chunk], m->chunks[at->chunk]->n + 1);
    return rc == WKIM_OK ? wk_buf_reserve(&m->chunks[at->chunk]->text, uid_n) : rc;
}

/* No chunk may be empty: find_chunk looks at the first uid of each. */
static void drop_empty(struct im_members *m, uint32_t i)
{
    if (i >= m->n_chunks || m->chunks[i]->n)
        return;
    chunk_unref(m->chunks[i]);
    m->n_chunks--;
    memmove(&m->chunks[i], &m->chunks[i + 1], (m->n_chunks - i) * sizeof(*m->chunks));
}

int im_members_add(struct im_members **mp, struct wk_cluster *c, wkim_slice uid)
{
    struct im_members_at at;

    if (find(*mp, uid, &at))
        return 0;
    if (own_list(mp) != WKIM_OK)
        return WKIM_ENOMEM;
    struct im_members *m = *mp;
    int rc = make_room(m, &at, uid.n);
    if (rc != WKIM_OK) {
        drop_empty(m, at.chunk);
        return rc;
    }
    struct im_member_chunk *ch = m->chunks[at.chunk];
    memmove(&ch->v[at.i + 1], &ch->v[at.i], (ch->n - at.i) * sizeof(*ch->v));
    ch->v[at.i] = (struct im_member){ .off = (uint32_t)ch->text.n,
                                      .hash = im_presence_hash(uid),
                                      .len = (uint16_t)uid.n,
                                      .slot = (uint16_t)wk_cluster_slot_of(c, uid) };
    wk_buf_bytes(&ch->text, uid.p, uid.n);
    ch->n++;
    m->n++;
    return 1;
}

/* Drop the text of removed uids once it outweighs the rest. */
static void compact_text(struct im_members *m, uint32_t i)
{
    const struct im_member_chunk *c = m->chunks[i];
    size_t live = 0;

    for (uint32_t k = 0; k < c->n; k++)
        live += c->v[k].len;
    if (c->text.n < 4096 || c->text.n < 2 * live)
        return;
    struct im_member_chunk *copy = chunk_copy(c, 0, c->n);
    if (!copy)
        return; /* another time */
    chunk_unref(m->chunks[i]);
    m->chunks[i] = copy;
}

int im_members_remove(struct im_members **mp, wkim_slice uid)
{
    struct im_members_at at;

    if (!find(*mp, uid, &at))
        return 0;
    if (own_list(mp) != WKIM_OK || own_chunk(*mp, at.chunk) != WKIM_OK)
        return WKIM_ENOMEM;
    struct im_members *m = *mp;
    struct im_member_chunk *c = m->chunks[at.chunk];
    memmove(&c->v[at.i], &c->v[at.i + 1], (c->n - at.i - 1) * sizeof(*c->v));
    c->n--;
    m->n--;
    if (c->n == 0)
        drop_empty(m, at.chunk);
    else if (c->n % 64 == 0)
        compact_text(m, at.chunk);
    return 1;
}

/* ---- a whole list at once -------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
    return compare(*(const wkim_slice *)a, *(const wkim_slice *)b);
}

static int count_uids(wkim_slice uids, uint32_t *n)
{
    struct wk_cursor c = wk_cursor(uids);

    for (*n = 0; wk_cursor_left(&c); ++*n) {
        wkim_slice uid = wk_cursor_str(&c);
        if (c.bad || uid.n > WK_ID_BYTES_MAX || *n == UINT32_MAX)
            return WKIM_EPROTO;
    }
    return WKIM_OK;
}

int im_members_build(struct im_members **out, struct wk_cluster *c, wkim_slice uids)
{
    static _Atomic uint64_t serials;
    struct im_members *m = NULL;
    uint32_t n;
    int rc = uids.n > UINT32_MAX ? WKIM_ETOOBIG : count_uids(uids, &n);

    if (rc == WKIM_OK)
        rc = im_members_new(&m);
    if (rc != WKIM_OK)
        return rc;
    m->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
    struct wk_cursor cur = wk_cursor(uids);
    wkim_slice *v = wk_malloc((size_t)n * sizeof(*v) + 1);
    rc = v ? WKIM_OK : WKIM_ENOMEM;
    for (uint32_t i = 0; v && i < n; i++)
        v[i] = wk_cursor_str(&cur);
    if (v && n)
        qsort(v, n, sizeof(*v), by_bytes); /* in order every add is at the end */
    for (uint32_t i = 0; rc >= 0 && i < n; i++)
        rc = im_members_add(&m, c, v[i]);
    wk_free(v);
    if (rc < 0) {
        im_members_unref(m);
        return rc;
    }
    *out = m;
    return WKIM_OK;
}

size_t im_members_text_bytes(const struct im_members *m)
{
    size_t n = 0;

    for (uint32_t i = 0; i < m->n_chunks; i++)
        n += m->chunks[i]->text.n;
    return n;
}

size_t im_members_bytes(const struct im_members *m)
{
    size_t n = sizeof(*m) + m->cap_chunks * sizeof(*m->chunks);

    for (uint32_t i = 0; i < m->n_chunks; i++)
        n += sizeof(*m->chunks[i]) + m->chunks[i]->text.cap +
             m->chunks[i]->cap * sizeof(*m->chunks[i]->v);
    return n;
}

bool im_members_same(const struct im_members *a, const struct im_members *b)
{
    struct im_members_at x = { 0 }, y = { 0 };
    wkim_slice p, q;

    if (a->n != b->n)
        return false;
    while (im_members_next(a, &x, &p)) {
        if (!im_members_next(b, &y, &q) || !wk_slice_eq(p, q))
            return false;
    }
    return true;
}
