/* A log on a disk of memory: written, then changed by the input, then opened.  Opening ends with a
 * code or with groups that can be read; what is cut off is refused, never invented.
 * Input: repeated (u8 file, u24 offset, u8 how, u8 value): change, cut or extend a file. */
#include <stdio.h>
#include <stdlib.h>
#include "base/mem.h"
#include "log/log.h"

#define FILES_MAX 32
#define FILE_BYTES_MAX (1u << 20)

struct file {
    char name[32];
    uint8_t *p;
    size_t n;
};
struct disk {
    struct file f[FILES_MAX];
};

static int find(const struct disk *d, const char *name)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (d->f[i].name[0] && strcmp(d->f[i].name, name) == 0)
            return i;
    return -1;
}

static int disk_open(void *user, const char *name, bool create, int *fd)
{
    struct disk *d = user;

    *fd = find(d, name);
    if (*fd >= 0)
        return WKIM_OK;
    if (!create)
        return WKIM_ENOTFOUND;
    for (int i = 0; i < FILES_MAX; i++) {
        if (d->f[i].name[0])
            continue;
        (void)snprintf(d->f[i].name, sizeof(d->f[i].name), "%s", name);
        *fd = i;
        return WKIM_OK;
    }
    return WKIM_ENOSPC;
}

static int disk_close(void *user, int fd)
{
    (void)user;
    WK_ASSERT(fd >= 0 && fd < FILES_MAX);
    return WKIM_OK;
}

static int extend(struct file *f, uint64_t n)
{
    if (n > FILE_BYTES_MAX)
        return WKIM_ENOSPC;
    if (n <= f->n)
        return WKIM_OK;
    f->p = realloc(f->p, n);
    WK_ASSERT(f->p);
    memset(f->p + f->n, 0, n - f->n);
    f->n = n;
    return WKIM_OK;
}

static int disk_pwritev(void *user, int fd, const wkim_slice *parts, size_t n, uint64_t off)
{
    struct file *f = &((struct disk *)user)->f[fd];

    for (size_t i = 0; i < n; i++) {
        const int rc = extend(f, off + parts[i].n);
        if (rc != WKIM_OK)
            return rc;
        if (parts[i].n)
            memcpy(f->p + off, parts[i].p, parts[i].n);
        off += parts[i].n;
    }
    return WKIM_OK;
}

static wkim_ssize disk_pread(void *user, int fd, void *p, size_t n, uint64_t off)
{
    const struct file *f = &((struct disk *)user)->f[fd];

    if (off >= f->n)
        return 0;
    if (n > f->n - off)
        n = f->n - off;
    memcpy(p, f->p + off, n);
    return (wkim_ssize)n;
}

static int disk_sync(void *user, int fd)
{
    (void)user;
    (void)fd;
    return WKIM_OK;
}

static int disk_size(void *user, int fd, uint64_t *n)
{
    *n = ((struct disk *)user)->f[fd].n;
    return WKIM_OK;
}

static int disk_allocate(void *user, int fd, uint64_t n)
{
    (void)user;
    (void)fd;
    (void)n;
    return WKIM_OK;
}

static int disk_unlink(void *user, const char *name)
{
    struct disk *d = user;
    const int i = find(d, name);

    if (i < 0)
        return WKIM_ENOTFOUND;
    free(d->f[i].p);
    d->f[i] = (struct file){ .n = 0 };
    return WKIM_OK;
}

static int disk_rename(void *user, const char *from, const char *to)
{
    struct disk *d = user;
    const int i = find(d, from);

    if (i < 0)
        return WKIM_ENOTFOUND;
    (void)disk_unlink(d, to);
    (void)snprintf(d->f[i].name, sizeof(d->f[i].name), "%s", to);
    return WKIM_OK;
}

static int disk_sync_dir(void *user)
{
    (void)user;
    return WKIM_OK;
}

static int disk_list(void *user, void (*each)(void *arg, const char *name), void *arg)
{
    const struct disk *d = user;

    for (int i = 0; i < FILES_MAX; i++)
        if (d->f[i].name[0])
            each(arg, d->f[i].name);
    return WKIM_OK;
}

static struct wk_fs fs_of(struct disk *d)
{
    return (struct wk_fs){ d,         disk_open,     disk_close,  disk_pwritev, disk_pread,
                           disk_sync, disk_size,     disk_allocate, disk_rename, disk_unlink,
                           disk_sync_dir, disk_list };
}

static const struct wk_log_options options = { .segment_bytes = 16384, .cache_bytes = 4096,
                                               .salt = 7 };

/* Some segments with three groups, one of them compacted. */
static void write_log(struct disk *d)
{
    const struct wk_fs fs = fs_of(d);
    struct wk_log_store *l;
    uint64_t next[3] = { 1, 1, 1 };

    WK_ASSERT(wk_log_open(&l, &fs, &options, NULL) == WKIM_OK);
    for (unsigned i = 0; i < 60; i++) {
        struct wk_log_entry e[3];
        const uint32_t g = i % 3;
        for (unsigned k = 0; k < 3; k++) {
            e[k] = (struct wk_log_entry){ .term = 1 + i / 20, .index = next[g]++,
                                          .data = wk_blob_new(100 + i * 7) };
            WK_ASSERT(e[k].data);
            memset(e[k].data->p, (int)(i + k), e[k].data->n);
        }
        const struct wk_log_batch b = { .group = g, .has_hard = true, .hard_term = 1 + i / 20,
                                        .hard_vote = g, .hard_commit = next[g] - 2, .entries = e,
                                        .n_entries = 3 };
        WK_ASSERT(wk_log_append(l, &b, 1, NULL) == WKIM_OK);
        if (i % 4 == 0)
            WK_ASSERT(wk_log_sync(l, NULL) == WKIM_OK);
        for (unsigned k = 0; k < 3; k++)
            wk_blob_unref(e[k].data);
        if (i == 40)
            WK_ASSERT(wk_log_compact(l, 1, 20) == WKIM_OK);
    }
    WK_ASSERT(wk_log_sync(l, NULL) == WKIM_OK);
    wk_log_close(l);
}

static void damage(struct disk *d, const uint8_t *p, size_t n)
{
    for (; n >= 6; p += 6, n -= 6) {
        struct file *f = &d->f[p[0] % FILES_MAX];
        const size_t at = (size_t)(p[1] << 16 | p[2] << 8 | p[3]);
        if (f->n == 0)
            continue;
        switch (p[4] % 4) {
        case 0:
            f->p[at % f->n] ^= p[5];
            break;
        case 1:
            f->p[at % f->n] = p[5];
            break;
        case 2:
            f->n = at % (f->n + 1);
            break;
        default: {
            const size_t from = at % f->n, len = (size_t)p[5] * 64;
            memset(f->p + from, 0, len < f->n - from ? len : f->n - from);
            break;
        }
        }
    }
}

static void read_all(struct wk_log_store *l)
{
    struct wk_log_group_state s;

    for (size_t i = 0; wk_log_group(l, i, &s) == WKIM_OK; i++) {
        WK_ASSERT(s.last_index + 1 >= s.first_index);
        for (uint64_t at = s.first_index; s.code == WKIM_OK && at <= s.last_index;) {
            struct wk_log_entry e[8];
            const wkim_ssize n = wk_log_entries(l, s.group, at, s.last_index + 1, 1 << 16, e, 8);
            if (n <= 0)
                break;
            for (wkim_ssize k = 0; k < n; k++) {
                WK_ASSERT(e[k].index == at + (uint64_t)k && e[k].term <= 3);
                wk_blob_unref(e[k].data);
            }
            at += (uint64_t)n;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct disk written;
    struct disk d = { .f = { { .n = 0 } } };

    if (!written.f[0].name[0])
        write_log(&written);
    for (int i = 0; i < FILES_MAX; i++) {
        d.f[i] = written.f[i];
        d.f[i].p = written.f[i].n ? malloc(written.f[i].n) : NULL;
        if (written.f[i].n)
            memcpy(d.f[i].p, written.f[i].p, written.f[i].n);
    }
    damage(&d, data, size);
    const struct wk_fs fs = fs_of(&d);
    struct wk_log_store *l;
    struct wkim_error err;
    if (wk_log_open(&l, &fs, &options, &err) == WKIM_OK) {
        read_all(l);
        struct wk_log_entry e = { .term = 9, .index = 1 };
        const struct wk_log_batch b = { .group = 77, .entries = &e, .n_entries = 1 };
        if (wk_log_append(l, &b, 1, NULL) == WKIM_OK && wk_log_sync(l, NULL) == WKIM_OK) {
            struct wk_log_group_state s;
            wk_log_close(l);
            WK_ASSERT(wk_log_open(&l, &fs, &options, &err) == WKIM_OK);
            WK_ASSERT(wk_log_group_find(l, 77, &s) == WKIM_OK && s.last_index == 1);
        }
        wk_log_close(l);
    }
    for (int i = 0; i < FILES_MAX; i++)
        free(d.f[i].p);
    return 0;
}
