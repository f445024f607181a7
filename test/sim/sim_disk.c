/* See sim_disk.h.  A file is two images, what reads see and what is on the platters, and the list
 * of writes between them; the folder is two tables and the list of changes between them. */
#include "sim_disk.h"
#include <stdio.h>
#include <stdlib.h>
#include "base/hash.h"

#define NAMES_MAX 512
#define FDS_MAX 512
#define NAME_BYTES 32
#define SECTOR 512

struct image {
    uint8_t *p;
    uint64_t n, cap;
};
struct write {
    uint64_t off, n;
    uint8_t *p;
};
struct inode {
    struct image seen, stored;
    struct write *writes; /* unsynced */
    size_t n_writes, cap;
    unsigned refs; /* names in both tables, open files, pending folder changes */
};
struct name {
    char name[NAME_BYTES];
    struct inode *inode;
};
struct folder {
    struct name names[NAMES_MAX];
    size_t n;
};
enum change_kind { CREATE, RENAME, UNLINK };
struct change {
    enum change_kind kind;
    char from[NAME_BYTES], to[NAME_BYTES];
    struct inode *inode;
};
struct sim_disk {
    struct wk_rng rng;
    struct folder seen, stored;
    struct change *changes;
    size_t n_changes, change_cap;
    struct inode *fds[FDS_MAX];
    uint64_t ops, stop_at, space;
    unsigned fail_syncs, fail_reads;
    bool stop_after, dead;
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void image_write(struct image *m, uint64_t off, const uint8_t *p, uint64_t n)
{
    if (off + n > m->cap) {
        m->cap = (off + n) * 2;
        m->p = must(realloc(m->p, m->cap));
    }
    if (off + n > m->n) {
        if (off > m->n)
            memset(m->p + m->n, 0, off - m->n);
        m->n = off + n;
    }
    if (n > 0)
        memcpy(m->p + off, p, n);
}

static void image_copy(struct image *to, const struct image *from)
{
    to->n = 0;
    image_write(to, 0, from->p, from->n);
}

static void writes_clear(struct inode *i)
{
    for (size_t k = 0; k < i->n_writes; k++)
        free(i->writes[k].p);
    i->n_writes = 0;
}

static void inode_unref(struct inode *i)
{
    if (--i->refs > 0)
        return;
    writes_clear(i);
    free(i->writes);
    free(i->seen.p);
    free(i->stored.p);
    free(i);
}

static struct name *folder_find(struct folder *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->names[i].name, name) == 0)
            return &f->names[i];
    }
    return NULL;
}

static void folder_remove(struct folder *f, const char *name)
{
    struct name *n = folder_find(f, name);

    if (!n)
        return;
    inode_unref(n->inode);
    memmove(n, n + 1, (size_t)(f->names + f->n - (n + 1)) * sizeof(*n));
    f->n--;
}

static void folder_put(struct folder *f, const char *name, struct inode *i)
{
    i->refs++;
    folder_remove(f, name);
    if (f->n == NAMES_MAX)
        abort();
    snprintf(f->names[f->n].name, NAME_BYTES, "%s", name);
    f->names[f->n++].inode = i;
}

static void folder_clear(struct folder *f)
{
    while (f->n > 0)
        folder_remove(f, f->names[0].name);
}

static void folder_apply(struct folder *f, const struct change *c)
{
    if (c->kind == CREATE)
        folder_put(f, c->to, c->inode);
    else if (c->kind == UNLINK)
        folder_remove(f, c->from);
    else if (folder_find(f, c->from)) {
        folder_put(f, c->to, c->inode);
        folder_remove(f, c->from);
    }
}

static void change_add(struct sim_disk *d, enum change_kind kind, const char *from, const char *to,
                       struct inode *i)
{
    if (d->n_changes == d->change_cap) {
        d->change_cap = d->change_cap ? d->change_cap * 2 : 8;
        d->changes = must(realloc(d->changes, d->change_cap * sizeof(*d->changes)));
    }
    struct change *c = &d->changes[d->n_changes++];
    memset(c, 0, sizeof(*c));
    c->kind = kind;
    c->inode = i;
    i->refs++;
    snprintf(c->from, NAME_BYTES, "%s", from);
    snprintf(c->to, NAME_BYTES, "%s", to);
    folder_apply(&d->seen, c);
}

static void changes_clear(struct sim_disk *d)
{
    for (size_t i = 0; i < d->n_changes; i++)
        inode_unref(d->changes[i].inode);
    d->n_changes = 0;
}

/* Counts one changing operation on a file (fd >= 0) or the folder.  False: the disk stopped before
 * it, or a cut closed the file. */
static bool op_begin(struct sim_disk *d, int fd)
{
    if (d->dead || (fd >= 0 && !d->fds[fd]))
        return false;
    d->ops++;
    if (d->stop_at != 0 && d->ops >= d->stop_at) {
        d->dead = true;
        return d->stop_after;
    }
    return true;
}

static int op_end(const struct sim_disk *d)
{
    return d->dead ? WKIM_EIO : WKIM_OK;
}

static int fs_open(void *user, const char *name, bool create, int *fd)
{
    struct sim_disk *d = user;
    struct name *n = folder_find(&d->seen, name);
    struct inode *inode = n ? n->inode : NULL;

    if (!create && (d->dead || !inode))
        return d->dead ? WKIM_EIO : WKIM_ENOTFOUND;
    if (create) {
        if (!op_begin(d, -1))
            return WKIM_EIO;
        inode = must(calloc(1, sizeof(*inode)));
        change_add(d, CREATE, "", name, inode);
    }
    for (int i = 0; i < FDS_MAX; i++) {
        if (d->fds[i])
            continue;
        d->fds[i] = inode;
        inode->refs++;
        *fd = i;
        return create ? op_end(d) : WKIM_OK;
    }
    abort();
}

static int fs_close(void *user, int fd)
{
    struct sim_disk *d = user;

    if (d->fds[fd]) /* a cut closed it already */
        inode_unref(d->fds[fd]);
    d->fds[fd] = NULL;
    return WKIM_OK;
}

static void inode_note(struct inode *f, uint64_t off, const wkim_slice *parts, size_t n)
{
    uint64_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    if (f->n_writes == f->cap) {
        f->cap = f->cap ? f->cap * 2 : 8;
        f->writes = must(realloc(f->writes, f->cap * sizeof(*f->writes)));
    }
    struct write *w = &f->writes[f->n_writes++];
    *w = (struct write){off, 0, must(malloc(total ? total : 1))};
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n > 0)
            memcpy(w->p + w->n, parts[i].p, parts[i].n);
        w->n += parts[i].n;
    }
    image_write(&f->seen, off, w->p, w->n);
}

static int fs_pwritev(void *user, int fd, const wkim_slice *parts, size_t n, uint64_t off)
{
    struct sim_disk *d = user;
    uint64_t total = 0;

    if (!op_begin(d, fd))
        return WKIM_EIO;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    if (total > d->space)
        return WKIM_ENOSPC;
    if (d->space != UINT64_MAX)
        d->space -= total;
    inode_note(d->fds[fd], off, parts, n);
    return op_end(d);
}

static wkim_ssize fs_pread(void *user, int fd, void *p, size_t n, uint64_t off)
{
    struct sim_disk *d = user;

    if (d->dead || !d->fds[fd])
        return WKIM_EIO;
    const struct image *m = &d->fds[fd]->seen;
    if (d->fail_reads > 0) {
        d->fail_reads--;
        return WKIM_EIO;
    }
    if (off >= m->n)
        return 0;
    if (n > m->n - off)
        n = m->n - off;
    memcpy(p, m->p + off, n);
    return (wkim_ssize)n;
}

static int fs_sync(void *user, int fd)
{
    struct sim_disk *d = user;
    struct inode *f = d->fds[fd];

    if (!op_begin(d, fd))
        return WKIM_EIO;
    if (d->fail_syncs > 0) { /* the pages count as clean now and never reach the platters */
        d->fail_syncs--;
        writes_clear(f);
        return WKIM_EIO;
    }
    for (size_t i = 0; i < f->n_writes; i++)
        image_write(&f->stored, f->writes[i].off, f->writes[i].p, f->writes[i].n);
    writes_clear(f);
    return op_end(d);
}

static int fs_size(void *user, int fd, uint64_t *n)
{
    struct sim_disk *d = user;

    *n = d->fds[fd]->seen.n;
    return d->dead ? WKIM_EIO : WKIM_OK;
}

static int fs_allocate(void *user, int fd, uint64_t n)
{
    (void)user, (void)fd, (void)n;
    return WKIM_OK;
}

static int fs_rename(void *user, const char *from, const char *to)
{
    struct sim_disk *d = user;
    const struct name *n = folder_find(&d->seen, from);

    if (!op_begin(d, -1))
        return WKIM_EIO;
    if (!n)
        return WKIM_ENOTFOUND;
    change_add(d, RENAME, from, to, n->inode);
    return op_end(d);
}

static int fs_unlink(void *user, const char *name)
{
    struct sim_disk *d = user;
    const struct name *n = folder_find(&d->seen, name);

    if (!op_begin(d, -1))
        return WKIM_EIO;
    if (!n)
        return WKIM_ENOTFOUND;
    change_add(d, UNLINK, name, "", n->inode);
    return op_end(d);
}

static int fs_sync_dir(void *user)
{
    struct sim_disk *d = user;

    if (!op_begin(d, -1))
        return WKIM_EIO;
    for (size_t i = 0; i < d->n_changes; i++)
        folder_apply(&d->stored, &d->changes[i]);
    changes_clear(d);
    return op_end(d);
}

static int fs_list(void *user, void (*each)(void *arg, const char *name), void *arg)
{
    struct sim_disk *d = user;

    for (size_t i = 0; i < d->seen.n; i++)
        each(arg, d->seen.names[i].name);
    return d->dead ? WKIM_EIO : WKIM_OK;
}

struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *d = must(calloc(1, sizeof(*d)));

    wk_rng_seed(&d->rng, seed);
    d->space = UINT64_MAX;
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    if (!d)
        return;
    sim_disk_kill(d);
    changes_clear(d);
    folder_clear(&d->seen);
    folder_clear(&d->stored);
    free(d->changes);
    free(d);
}

struct wk_fs sim_disk_fs(struct sim_disk *d)
{
    return (struct wk_fs){.user = d,
                          .open = fs_open,
                          .close = fs_close,
                          .pwritev = fs_pwritev,
                          .pread = fs_pread,
                          .sync = fs_sync,
                          .size = fs_size,
                          .allocate = fs_allocate,
                          .rename = fs_rename,
                          .unlink = fs_unlink,
                          .sync_dir = fs_sync_dir,
                          .list = fs_list};
}

static void write_tear(struct sim_disk *d, struct inode *f, const struct write *w)
{
    const uint64_t fate = wk_rng_below(&d->rng, 4);

    if (fate == 0 || w->n == 0)
        return;
    if (fate == 1) {
        image_write(&f->stored, w->off, w->p, w->n);
        return;
    }
    if (fate == 2) {
        image_write(&f->stored, w->off, w->p, wk_rng_below(&d->rng, w->n + 1));
        return;
    }
    for (uint64_t at = w->off; at < w->off + w->n;) { /* sectors of the file, not of the write */
        uint64_t end = (at / SECTOR + 1) * SECTOR;
        if (end > w->off + w->n)
            end = w->off + w->n;
        if (wk_rng_below(&d->rng, 2))
            image_write(&f->stored, at, w->p + (at - w->off), end - at);
        at = end;
    }
}

static void inode_cut(struct sim_disk *d, struct inode *f, enum sim_cut cut)
{
    for (size_t i = 0; i < f->n_writes; i++) {
        if (cut == SIM_CUT_KEEP)
            image_write(&f->stored, f->writes[i].off, f->writes[i].p, f->writes[i].n);
        else if (cut == SIM_CUT_TEAR)
            write_tear(d, f, &f->writes[i]);
    }
    writes_clear(f);
    image_copy(&f->seen, &f->stored);
}

void sim_disk_kill(struct sim_disk *d)
{
    for (int i = 0; i < FDS_MAX; i++)
        fs_close(d, i);
    d->dead = false;
    d->stop_at = 0;
}

void sim_disk_cut(struct sim_disk *d, enum sim_cut cut)
{
    sim_disk_kill(d);
    for (size_t i = 0; i < d->n_changes; i++) {
        if (cut == SIM_CUT_KEEP || (cut == SIM_CUT_TEAR && wk_rng_below(&d->rng, 2)))
            folder_apply(&d->stored, &d->changes[i]);
    }
    changes_clear(d);
    folder_clear(&d->seen);
    for (size_t i = 0; i < d->stored.n; i++) {
        folder_put(&d->seen, d->stored.names[i].name, d->stored.names[i].inode);
        inode_cut(d, d->stored.names[i].inode, cut);
    }
}

uint64_t sim_disk_ops(const struct sim_disk *d)
{
    return d->ops;
}

void sim_disk_stop_at(struct sim_disk *d, uint64_t op, bool after)
{
    d->stop_at = op;
    d->stop_after = after;
}

void sim_disk_fail_syncs(struct sim_disk *d, unsigned n)
{
    d->fail_syncs = n;
}

void sim_disk_fail_reads(struct sim_disk *d, unsigned n)
{
    d->fail_reads = n;
}

void sim_disk_space(struct sim_disk *d, uint64_t bytes)
{
    d->space = bytes;
}

bool sim_disk_flip(struct sim_disk *d, const char *name, uint64_t off, unsigned bit)
{
    struct name *n = folder_find(&d->seen, name);

    if (!n || off >= n->inode->seen.n)
        return false;
    n->inode->seen.p[off] ^= (uint8_t)(1u << bit);
    if (off < n->inode->stored.n)
        n->inode->stored.p[off] ^= (uint8_t)(1u << bit);
    return true;
}

const char *sim_disk_name(const struct sim_disk *d, size_t i, uint64_t *size)
{
    if (i >= d->seen.n)
        return NULL;
    *size = d->seen.names[i].inode->seen.n;
    return d->seen.names[i].name;
}

uint64_t sim_disk_hash(const struct sim_disk *d)
{
    uint64_t h = d->seen.n;

    for (size_t i = 0; i < d->seen.n; i++)
        h = wk_hash64(d->seen.names[i].inode->seen.p, d->seen.names[i].inode->seen.n, h);
    return h;
}
