#include "store/backend.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT_HEAD "wkim store "

static int io_fail(struct wkim_error *err, const char *what, const char *path)
{
    int e = errno;

    return wk_fail(err, e == ENOSPC ? WKIM_ENOSPC : WKIM_EIO, "%s %s: %s", what, path, strerror(e));
}

static int join(char *out, size_t cap, const char *dir, const char *name, struct wkim_error *err)
{
    int n = snprintf(out, cap, "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= cap)
        return wk_fail(err, WKIM_ETOOBIG, "path of store %.100s... is too long", dir);
    return WKIM_OK;
}

static int sync_dir(const char *dir, struct wkim_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return io_fail(err, "open", dir);
    int rc = fsync(fd) == 0 ? WKIM_OK : io_fail(err, "sync", dir);
    close(fd);
    return rc;
}

static int write_synced(const char *path, struct wkim_error *err)
{
    char text[64];
    int n = snprintf(text, sizeof(text), FORMAT_HEAD "%u\n", WK_STORE_FORMAT);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    if (fd < 0)
        return io_fail(err, "create", path);
    int rc = WKIM_OK;
    if (write(fd, text, (size_t)n) != n || fsync(fd) != 0)
        rc = io_fail(err, "write", path);
    close(fd);
    return rc;
}

int wk_format_write(const char *dir, struct wkim_error *err)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    int rc = join(path, sizeof(path), dir, "FORMAT", err);

    if (rc == WKIM_OK)
        rc = join(fresh, sizeof(fresh), dir, "FORMAT.new", err);
    if (rc == WKIM_OK)
        rc = write_synced(fresh, err);
    if (rc == WKIM_OK && rename(fresh, path) != 0)
        rc = io_fail(err, "rename", fresh);
    return rc == WKIM_OK ? sync_dir(dir, err) : rc;
}

static int check(const char *path, char *text, unsigned long *version, struct wkim_error *err)
{
    char *end;

    if (strncmp(text, FORMAT_HEAD, strlen(FORMAT_HEAD)) != 0)
        return wk_fail(err, WKIM_ECORRUPT, "%s: not the format file of a store", path);
    errno = 0;
    unsigned long v = strtoul(text + strlen(FORMAT_HEAD), &end, 10);
    if (end == text + strlen(FORMAT_HEAD) || *end != '\n' || errno || v == 0)
        return wk_fail(err, WKIM_ECORRUPT, "%s: no format version", path);
    if (v > WK_STORE_FORMAT)
        return wk_fail(err, WKIM_EVERSION, "%s: format %lu is newer than %u of this program", path,
                       v, WK_STORE_FORMAT);
    *version = v;
    return WKIM_OK;
}

/* No FORMAT file: a new store, or rows without their marker (a checkpoint that was cut off). */
static int create(const char *dir, struct wkim_error *err)
{
    char rows[PATH_MAX];
    struct stat st;

    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return io_fail(err, "create", dir);
    int rc = join(rows, sizeof(rows), dir, "rows", err);
    if (rc == WKIM_OK && stat(rows, &st) == 0)
        rc = wk_fail(err, WKIM_ECORRUPT, "%s: rows without a FORMAT file", dir);
    return rc == WKIM_OK ? wk_format_write(dir, err) : rc;
}

int wk_format_open(const char *dir, struct wkim_error *err)
{
    char path[PATH_MAX], text[64];
    int rc = join(path, sizeof(path), dir, "FORMAT", err);

    if (rc != WKIM_OK)
        return rc;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? create(dir, err) : io_fail(err, "open", path);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    rc = n < 0 ? io_fail(err, "read", path) : WKIM_OK;
    close(fd);
    if (rc != WKIM_OK)
        return rc;
    text[n] = '\0';
    unsigned long version = 0;
    rc = check(path, text, &version, err);
    /* What is written from here on means nothing to programs of the older format. */
    return rc == WKIM_OK && version < WK_STORE_FORMAT ? wk_format_write(dir, err) : rc;
}
