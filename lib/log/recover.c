/* Opening a log: list, read headers, replay records, cut the torn tail (README, "Recovery"). */
#include "log/internal.h"
#include <stdlib.h>

#define REWRITE_BYTES 262144u

struct names {
    uint32_t *seqs, *spares;
    size_t n, cap, n_spares, spare_cap;
    int rc;
};

struct file {
    struct wk_log_seg_head head;
    bool head_ok, salted; /* salted: the salt is known, from the header or from the one before */
    uint64_t size;
};

static void name_each(void *arg, const char *name)
{
    struct names *a = arg;
    uint64_t seq = 0;
    size_t i = 0;

    for (; i < 10 && name[i] >= '0' && name[i] <= '9'; i++)
        seq = seq * 10 + (uint64_t)(name[i] - '0');
    if (i < 10 || seq == 0 || seq >= UINT32_MAX || a->rc)
        return;
    if (strcmp(name + 10, ".seg") == 0) {
        a->rc = wk_log_grow(&a->seqs, &a->cap, a->n + 1, sizeof(*a->seqs));
        if (a->rc == WKIM_OK)
            a->seqs[a->n++] = (uint32_t)seq;
    } else if (strcmp(name + 10, ".old") == 0) {
        a->rc = wk_log_grow(&a->spares, &a->spare_cap, a->n_spares + 1, sizeof(*a->spares));
        if (a->rc == WKIM_OK)
            a->spares[a->n_spares++] = (uint32_t)seq;
    }
}

static int compare_seq(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static int unlink_seg(struct wk_log_store *l, uint32_t seq, bool spare)
{
    char name[WK_LOG_NAME_BYTES];

    if (spare)
        wk_log_spare_name(name, seq);
    else
        wk_log_seg_name(name, seq);
    return l->fs.unlink(l->fs.user, name);
}

/* Files of purged segments that a crash left over, and more spares than we keep. */
static int tidy(struct wk_log_store *l, const struct names *a, size_t first)
{
    int rc = WKIM_OK;

    for (size_t i = 0; rc == WKIM_OK && i < first; i++)
        rc = unlink_seg(l, a->seqs[i], false);
    for (size_t i = 0; rc == WKIM_OK && i < a->n_spares; i++) {
        if (l->n_spares < WK_LOG_SPARES_MAX)
            l->spares[l->n_spares++] = a->spares[i];
        else
            rc = unlink_seg(l, a->spares[i], true);
    }
    return rc;
}

static int file_open(struct wk_log_store *l, uint32_t seq, struct file *f, const struct file *prev,
                     struct wkim_error *err)
{
    struct wk_log_seg s = {.seq = seq, .end = WK_LOG_DATA_OFF};
    uint8_t block[WK_LOG_DATA_OFF] = {0};
    char name[WK_LOG_NAME_BYTES];

    wk_log_seg_name(name, seq);
    int rc = l->fs.open(l->fs.user, name, false, &s.fd);
    if (rc)
        return wk_fail(err, rc, "log: cannot open %s", name);
    rc = l->fs.size(l->fs.user, s.fd, &f->size);
    wkim_ssize got = rc ? rc : l->fs.pread(l->fs.user, s.fd, block, sizeof(block), 0);
    if (got < 0)
        rc = wk_fail(err, (int)got, "log: cannot read %s", name);
    f->head_ok = rc == WKIM_OK && (wk_log_seg_head_decode(&f->head, block) ||
                                   wk_log_seg_head_decode(&f->head, block + WK_LOG_HEAD_COPY_OFF));
    if (f->head_ok && f->head.version > WK_LOG_VERSION)
        rc = wk_fail(err, WKIM_EVERSION, "log: %s has version %u, newer than %d", name,
                     f->head.version, WK_LOG_VERSION);
    f->head_ok = f->head_ok && f->head.seq == seq;
    f->salted = f->head_ok || (prev && prev->head_ok);
    if (!f->head_ok)
        f->head = (struct wk_log_seg_head){.salt = f->salted ? prev->head.next_salt : 0,
                                           .next_salt = wk_rng_next(&l->rng)};
    s.salt = f->head.salt;
    s.next_salt = f->head.next_salt;
    s.crc_seed = wk_log_crc_seed(s.salt, seq);
    if (rc == WKIM_OK)
        rc = wk_log_seg_add(l, &s);
    if (rc)
        l->fs.close(l->fs.user, s.fd);
    return rc;
}

/* Does a record behind `off` prove that the bytes at `off` had been synced?  Its header is enough.
 * `*whole`: a whole record was found at all. */
static bool synced_at(struct wk_log_scan *s, uint64_t off, bool *whole)
{
    const uint64_t pos = wk_log_pos(s->seg->seq, off);
    struct wk_log_record r;
    const uint8_t *p;

    while (off + WK_LOG_HEAD_BYTES <= s->size && s->rc == WKIM_OK) {
        const enum wk_log_found found = wk_log_scan_record(s, off, &r, &p);
        if (found != WK_LOG_NOTHING && r.durable > pos)
            return true;
        *whole = *whole || found == WK_LOG_WHOLE;
        off += found == WK_LOG_WHOLE ? wk_log_align(r.len) : 8;
    }
    return false;
}

static bool any_magic(struct wk_log_scan *s, uint64_t off)
{
    const uint8_t *p;

    for (; (p = wk_log_scan_at(s, off, 8)) != NULL; off += 8) {
        if (wk_log_record_magic(p))
            return true;
    }
    return false;
}

/* The newest file counts only when its creation had been completed: header and the state of all
 * groups.  Otherwise nothing in it was ever acknowledged, unless a record proves a sync. */
static bool started(struct wk_log_scan *s, const struct file *f, bool only)
{
    struct wk_log_record r;
    const uint8_t *p;
    bool whole = false;

    if (!f->salted)
        return !only || s->seg->seq != 1 || any_magic(s, WK_LOG_DATA_OFF + WK_LOG_HEAD_BYTES);
    if (f->head_ok && wk_log_scan_record(s, WK_LOG_DATA_OFF, &r, &p) == WK_LOG_WHOLE &&
        r.kind == WK_LOG_STATE && r.flags & WK_LOG_FULL)
        return true;
    return synced_at(s, WK_LOG_DATA_OFF, &whole);
}

static int drop_unstarted(struct wk_log_store *l, const struct file *files, size_t *n)
{
    struct wk_log_scan s;

    if (*n == 0)
        return WKIM_OK;
    wk_log_scan_init(&s, l, wk_log_current(l), files[*n - 1].size);
    const bool keep = started(&s, &files[*n - 1], *n == 1);
    const int rc = s.rc;
    wk_log_scan_fini(&s);
    if (keep || rc)
        return rc;
    const uint32_t seq = wk_log_current(l)->seq;
    wk_log_seg_close(l, l->segs[--l->n_segs]);
    --*n;
    return unlink_seg(l, seq, false);
}

/* Damage at `off` before the durable point: charge it to its group when the header survived, else
 * to everybody; returns where to go on. */
static uint64_t damage_at(struct wk_log_replay *y, struct wk_log_scan *s, uint64_t off,
                          uint64_t limit, const struct wk_log_record *head)
{
    struct wk_log_record r;

    if (head && off + head->len <= limit) {
        wk_log_replay_lost(y, head);
        return off + wk_log_align(head->len);
    }
    wk_log_replay_damage(y);
    off += 8;
    return wk_log_scan_next(s, &off, &r) == WK_LOG_WHOLE && off < limit ? off : limit;
}

/* `next`: the file behind this one, NULL for the newest. `*dirty`: the newest must not be
 * continued. */
static int replay_segment(struct wk_log_replay *y, struct wk_log_seg *seg, const struct file *f,
                          const struct file *next, bool *dirty)
{
    const bool end_known = next && next->head_ok && wk_log_pos_seq(next->head.prev_end) == seg->seq;
    const uint64_t limit = end_known ? wk_log_pos_off(next->head.prev_end) : f->size;
    uint64_t off = WK_LOG_DATA_OFF;
    struct wk_log_scan s;
    struct wk_log_record r;
    const uint8_t *p;

    wk_log_scan_init(&s, y->l, seg, f->size);
    if (!f->salted) {
        wk_log_replay_damage(y);
        off = limit;
    }
    while (off < limit && y->rc == WKIM_OK && s.rc == WKIM_OK) {
        const enum wk_log_found found = wk_log_scan_record(&s, off, &r, &p);
        if (found == WK_LOG_WHOLE && off + r.len <= limit) {
            wk_log_replay_record(y, &r, wk_log_pos(seg->seq, off), p);
            off += wk_log_align(r.len);
            continue;
        }
        if (!end_known && !synced_at(&s, off, dirty)) {
            if (next) /* its end was to be told by a header that is damaged */
                wk_log_replay_damage(y);
            break;
        }
        off = damage_at(y, &s, off, limit, found == WK_LOG_HEAD_ONLY ? &r : NULL);
    }
    seg->end = wk_log_align(off);
    if (!f->head_ok)
        *dirty = true;
    wk_log_scan_fini(&s);
    return y->rc ? y->rc : s.rc;
}

static int replay_all(struct wk_log_store *l, const struct file *files, size_t n, bool *dirty,
                      uint64_t *durable)
{
    struct wk_log_replay y = {.l = l, .oldest = true};
    int rc = WKIM_OK;

    for (size_t i = 0; rc == WKIM_OK && i < n; i++) {
        *dirty = false;
        rc = replay_segment(&y, l->segs[i], &files[i], i + 1 < n ? &files[i + 1] : NULL, dirty);
    }
    if (rc == WKIM_OK)
        wk_log_replay_end(&y);
    *durable = y.durable;
    return rc;
}

/* What was read may be in the page cache only, and after a failed sync of an earlier run the kernel
 * may take those pages for clean: write again what no record proves to be synced. */
static int tail_rewrite(struct wk_log_store *l, uint64_t durable)
{
    struct wk_log_seg *cur = wk_log_current(l);
    uint64_t off = wk_log_pos_seq(durable) == cur->seq ? wk_log_pos_off(durable) : 0;
    uint64_t end = 0;
    struct wk_log_scan s;
    int rc = l->fs.size(l->fs.user, cur->fd, &end);

    if (end > cur->end) /* it may also lack the padding of the last record */
        end = cur->end;
    wk_log_scan_init(&s, l, cur, end);
    while (rc == WKIM_OK && off < end) {
        const size_t n = end - off < REWRITE_BYTES ? (size_t)(end - off) : REWRITE_BYTES;
        const uint8_t *p = wk_log_scan_at(&s, off, n);
        const wkim_slice part = wk_slice(p, n);
        if (!p)
            rc = s.rc ? s.rc : WKIM_EIO;
        else
            rc = l->fs.pwritev(l->fs.user, cur->fd, &part, 1, off);
        off += n;
    }
    wk_log_scan_fini(&s);
    return rc;
}

static int settle(struct wk_log_store *l, const struct names *a, size_t first, uint64_t durable,
                  bool dirty, struct wkim_error *err)
{
    int rc = tidy(l, a, first);

    if (rc == WKIM_OK)
        rc = l->fs.sync_dir(l->fs.user);
    if (rc == WKIM_OK && l->n_segs > 0)
        rc = tail_rewrite(l, durable);
    if (rc)
        return wk_fail(err, rc, "log: cannot tidy the folder");
    if (l->n_segs > 0)
        rc = wk_log_sync(l, err);
    if (rc == WKIM_OK && (l->n_segs == 0 || dirty))
        rc = wk_log_seg_switch(l, err);
    return rc;
}

int wk_log_recover(struct wk_log_store *l, struct wkim_error *err)
{
    struct names a = {0};
    struct file *files = NULL;
    bool dirty = false;
    uint64_t durable = 0;
    size_t first = 0, n = 0;
    int rc = l->fs.list(l->fs.user, name_each, &a);

    if (rc == WKIM_OK)
        rc = a.rc;
    if (a.n > 0)
        qsort(a.seqs, a.n, sizeof(*a.seqs), compare_seq);
    for (first = a.n; first > 0 && (first == a.n || a.seqs[first - 1] + 1 == a.seqs[first]);)
        first--;
    if (rc == WKIM_OK && !(files = wk_calloc(a.n - first + 1, sizeof(*files))))
        rc = WKIM_ENOMEM;
    if (rc)
        wk_fail(err, rc, "log: cannot list the folder");
    for (size_t i = first; rc == WKIM_OK && i < a.n; i++, n++)
        rc = file_open(l, a.seqs[i], &files[n], n ? &files[n - 1] : NULL, err);
    if (rc == WKIM_OK) {
        rc = drop_unstarted(l, files, &n);
        if (rc == WKIM_OK)
            rc = replay_all(l, files, n, &dirty, &durable);
        rc = rc ? wk_fail(err, rc, "log: cannot read the segments")
                : settle(l, &a, first, durable, dirty, err);
    }
    wk_free(files);
    wk_free(a.seqs);
    wk_free(a.spares);
    return rc;
}
