/* Sorted, counted lists of uids.  Deliveries hold a reference while they run, so a change
 * clones. */
#include "im/internal.h"
#include <stdlib.h>

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

void im_members_unref(struct im_members *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    wk_buf_fini(&m->text);
    wk_free(m->v);
    wk_free(m);
}

static int compare(wkim_slice a, wkim_slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int d = n ? memcmp(a.p, b.p, n) : 0;

    if (d != 0)
        return d;
    return a.n < b.n ? -1 : a.n > b.n;
}

/* First position whose uid is >= uid. */
static uint32_t lower_bound(const struct im_members *m, wkim_slice uid)
{
    uint32_t lo = 0, hi = m->n;

    if (hi && compare(im_member_uid(m, hi - 1), uid) < 0)
        return hi; /* loading and bulk adds come in order */
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (compare(im_member_uid(m, mid), uid) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool im_members_has(const struct im_members *m, wkim_slice uid)
{
    uint32_t i = lower_bound(m, uid);
    return i < m->n && wk_slice_eq(im_member_uid(m, i), uid);
}

static int own(struct im_members **m)
{
    struct im_members *old = *m, *copy;

    if (atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
        return WKIM_OK;
    if (im_members_new(&copy) != WKIM_OK)
        return WKIM_ENOMEM;
    copy->v = wk_malloc(old->n * sizeof(*copy->v) + 1);
    wk_buf_bytes(&copy->text, old->text.p, old->text.n);
    if (!copy->v || copy->text.oom) {
        im_members_unref(copy);
        return WKIM_ENOMEM;
    }
    if (old->n)
        memcpy(copy->v, old->v, old->n * sizeof(*copy->v));
    copy->n = copy->cap = old->n;
    im_members_unref(old);
    *m = copy;
    return WKIM_OK;
}

int im_members_add(struct im_members **mp, struct wk_cluster *c, wkim_slice uid)
{
    struct im_members *m = *mp;
    uint32_t i = lower_bound(m, uid);

    if (i < m->n && wk_slice_eq(im_member_uid(m, i), uid))
        return 0;
    if (own(mp) != WKIM_OK)
        return WKIM_ENOMEM;
    m = *mp;
    if (m->n == m->cap) {
        uint32_t cap = m->cap ? m->cap * 2 : 4;
        struct im_member *v = wk_realloc(m->v, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        m->v = v;
        m->cap = cap;
    }
    if (m->text.n + uid.n > UINT32_MAX || wk_buf_reserve(&m->text, uid.n) != WKIM_OK)
        return WKIM_ENOMEM;
    memmove(&m->v[i + 1], &m->v[i], (m->n - i) * sizeof(*m->v));
    m->v[i] = (struct im_member){ (uint32_t)m->text.n, (uint16_t)uid.n,
                                  (uint16_t)wk_cluster_slot_of(c, uid) };
    wk_buf_bytes(&m->text, uid.p, uid.n);
    m->n++;
    return 1;
}

/* Drop the text of removed uids once it outweighs the rest. */
static void compact_text(struct im_members *m)
{
    struct wk_buf text = WK_BUF_INIT;
    size_t live = 0;

    for (uint32_t i = 0; i < m->n; i++)
        live += m->v[i].len;
    if (m->text.n < 4096 || m->text.n < 2 * live || wk_buf_reserve(&text, live) != WKIM_OK)
        return;
    for (uint32_t i = 0; i < m->n; i++) {
        wkim_slice uid = im_member_uid(m, i);
        uint32_t off = (uint32_t)text.n;
        wk_buf_bytes(&text, uid.p, uid.n);
        m->v[i].off = off;
    }
    wk_buf_fini(&m->text);
    m->text = text;
}

int im_members_remove(struct im_members **mp, wkim_slice uid)
{
    uint32_t i = lower_bound(*mp, uid);

    if (i >= (*mp)->n || !wk_slice_eq(im_member_uid(*mp, i), uid))
        return 0;
    if (own(mp) != WKIM_OK)
        return WKIM_ENOMEM;
    struct im_members *m = *mp;
    memmove(&m->v[i], &m->v[i + 1], (m->n - i - 1) * sizeof(*m->v));
    m->n--;
    if (m->n % 1024 == 0)
        compact_text(m);
    return 1;
}

/* ---- a whole list at once -------------------------------------------------------------------- */

static int by_uid(const void *a, const void *b, void *text)
{
    const struct im_member *x = a, *y = b;
    const uint8_t *p = text;

    return compare(wk_slice(p + x->off, x->len), wk_slice(p + y->off, y->len));
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

static void sort_unique(struct im_members *m)
{
    bool sorted = true;
    uint32_t n = 0;

    for (uint32_t i = 1; i < m->n && sorted; i++)
        sorted = compare(im_member_uid(m, i - 1), im_member_uid(m, i)) < 0;
    if (sorted)
        return;
    qsort_r(m->v, m->n, sizeof(*m->v), by_uid, m->text.p);
    for (uint32_t i = 0; i < m->n; i++) {
        if (n == 0 || compare(im_member_uid(m, n - 1), im_member_uid(m, i)) != 0)
            m->v[n++] = m->v[i];
    }
    m->n = n;
}

int im_members_build(struct im_members **out, struct wk_cluster *c, wkim_slice uids)
{
    static _Atomic uint64_t serials;
    struct im_members *m;
    uint32_t n;
    int rc = uids.n > UINT32_MAX ? WKIM_ETOOBIG : count_uids(uids, &n);

    if (rc == WKIM_OK)
        rc = im_members_new(&m);
    if (rc != WKIM_OK)
        return rc;
    m->serial = atomic_fetch_add_explicit(&serials, 1, memory_order_relaxed) + 1;
    m->v = wk_malloc((size_t)n * sizeof(*m->v) + 1);
    m->cap = n;
    if (!m->v || wk_buf_reserve(&m->text, uids.n - n) != WKIM_OK) {
        im_members_unref(m);
        return WKIM_ENOMEM;
    }
    struct wk_cursor cur = wk_cursor(uids);
    while (m->n < n) {
        wkim_slice uid = wk_cursor_str(&cur);
        m->v[m->n++] = (struct im_member){ (uint32_t)m->text.n, (uint16_t)uid.n,
                                           (uint16_t)wk_cluster_slot_of(c, uid) };
        wk_buf_bytes(&m->text, uid.p, uid.n);
    }
    sort_unique(m);
    *out = m;
    return WKIM_OK;
}

size_t im_members_bytes(const struct im_members *m)
{
    return sizeof(*m) + m->text.cap + (size_t)m->cap * sizeof(*m->v);
}

bool im_members_same(const struct im_members *a, const struct im_members *b)
{
    bool same = a->n == b->n;

    for (uint32_t i = 0; same && i < a->n; i++)
        same = wk_slice_eq(im_member_uid(a, i), im_member_uid(b, i));
    return same;
}
