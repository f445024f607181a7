#include "tmpdir.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "tmpdir: %s: %s\n", what, strerror(errno));
    exit(99);
}

void tmpdir_new(struct tmpdir *d)
{
    const char *base = getenv("TMPDIR");
    const int n =
        snprintf(d->path, sizeof(d->path), "%s/wkim-test-XXXXXX", base && *base ? base : "/tmp");

    if (n < 0 || (size_t)n >= sizeof(d->path) || !mkdtemp(d->path))
        give_up(d->path);
}

/* A test may have taken its own rights away, so they are given back on the way down. */
static int open_up(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)at;
    if (kind == FTW_D || kind == FTW_DNR)
        (void)chmod(path, 0700);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

void tmpdir_remove(struct tmpdir *d)
{
    if (!d->path[0])
        return;
    (void)nftw(d->path, open_up, 16, FTW_PHYS);
    if (nftw(d->path, remove_one, 16, FTW_PHYS | FTW_DEPTH) != 0 && errno != ENOENT)
        give_up(d->path);
    d->path[0] = '\0';
}

const char *tmpdir_path(const struct tmpdir *d, char *out, size_t cap, const char *name)
{
    const int n = snprintf(out, cap, "%s/%s", d->path, name);

    if (n < 0 || (size_t)n >= cap)
        give_up(name);
    return out;
}
