/* The real disk: a folder, pwritev with its limits, fdatasync. */
#include "log/internal.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define IOV_AT_ONCE 1024 /* IOV_MAX of Linux */

struct posix_fs {
    int dir;
};

static int code_of(int e)
{
    switch (e) {
    case ENOSPC:
    case EDQUOT:
        return WKIM_ENOSPC;
    case ENOENT:
        return WKIM_ENOTFOUND;
    case ENOMEM:
        return WKIM_ENOMEM;
    default:
        return WKIM_EIO;
    }
}

static int result(int rc)
{
    return rc < 0 ? code_of(errno) : WKIM_OK;
}

static int dir_of(void *user)
{
    return ((struct posix_fs *)user)->dir;
}

static int fs_open(void *user, const char *name, bool create, int *fd)
{
    *fd = openat(dir_of(user), name, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_TRUNC : 0), 0640);
    return result(*fd);
}

static int fs_close(void *user, int fd)
{
    (void)user;
    return result(close(fd));
}

/* The bytes of iov[0 .. n) at `off`; iov is used up. */
static int write_all(int fd, struct iovec *iov, int n, uint64_t *off)
{
    while (n > 0) {
        ssize_t put = pwritev(fd, iov, n, (off_t)*off);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? code_of(errno) : WKIM_EIO;
        *off += (uint64_t)put;
        for (; n > 0 && (size_t)put >= iov->iov_len; iov++, n--)
            put -= (ssize_t)iov->iov_len;
        if (n > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + put;
            iov->iov_len -= (size_t)put;
        }
    }
    return WKIM_OK;
}

static int fs_pwritev(void *user, int fd, const wkim_slice *parts, size_t n, uint64_t off)
{
    struct iovec iov[IOV_AT_ONCE];
    int rc = WKIM_OK;

    (void)user;
    for (size_t i = 0; rc == WKIM_OK && i < n;) {
        int k = 0;
        for (; k < IOV_AT_ONCE && i < n; i++) {
            if (parts[i].n > 0)
                iov[k++] = (struct iovec){ (void *)(uintptr_t)parts[i].p, parts[i].n };
        }
        rc = write_all(fd, iov, k, &off);
    }
    return rc;
}

static wkim_ssize fs_pread(void *user, int fd, void *p, size_t n, uint64_t off)
{
    size_t got = 0;

    (void)user;
    while (got < n) {
        ssize_t k = pread(fd, (uint8_t *)p + got, n - got, (off_t)(off + got));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return code_of(errno);
        if (k == 0)
            break;
        got += (size_t)k;
    }
    return (wkim_ssize)got;
}

static int fs_sync(void *user, int fd)
{
    (void)user;
    return result(fdatasync(fd));
}

static int fs_size(void *user, int fd, uint64_t *n)
{
    struct stat st;

    (void)user;
    if (fstat(fd, &st) < 0)
        return code_of(errno);
    *n = (uint64_t)st.st_size;
    return WKIM_OK;
}

static int fs_allocate(void *user, int fd, uint64_t n)
{
    (void)user;
    return result(fallocate(fd, 0, 0, (off_t)n));
}

static void fs_forget(void *user, int fd)
{
    (void)user;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int fs_rename(void *user, const char *from, const char *to)
{
    return result(renameat(dir_of(user), from, dir_of(user), to));
}

static int fs_unlink(void *user, const char *name)
{
    return result(unlinkat(dir_of(user), name, 0));
}

static int fs_sync_dir(void *user)
{
    return result(fsync(dir_of(user)));
}

static int fs_list(void *user, void (*each)(void *arg, const char *name), void *arg)
{
    const int fd = openat(dir_of(user), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;

    if (!d) {
        const int rc = code_of(errno);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    errno = 0;
    while ((e = readdir(d)) != NULL)
        each(arg, e->d_name);
    const int rc = errno ? code_of(errno) : WKIM_OK;
    closedir(d);
    return rc;
}

int wk_fs_posix_new(struct wk_fs *out, const char *dir, struct wkim_error *err)
{
    struct posix_fs *p = wk_malloc(sizeof(*p));

    if (!p)
        return wk_fail(err, WKIM_ENOMEM, "log: no memory");
    if ((mkdir(dir, 0750) < 0 && errno != EEXIST) ||
        (p->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        const int rc = code_of(errno);
        wk_free(p);
        return wk_fail(err, rc, "log: cannot use folder %s", dir);
    }
    *out = (struct wk_fs){ .user = p,
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
                           .list = fs_list,
                           .forget = fs_forget };
    return WKIM_OK;
}

void wk_fs_posix_free(struct wk_fs *fs)
{
    struct posix_fs *p = fs->user;

    if (!p)
        return;
    close(p->dir);
    wk_free(p);
    fs->user = NULL;
}
