#include "out.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_BYTES_MAX 67108864 /* then it becomes the older one, which is lost */

static int open_file(const char *dir, const wkim_hook_request *r)
{
    char path[4300], old[4310];
    struct stat st;
    int fd;

    if (mkdir(dir, 0750) != 0 && errno != EEXIST)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/%.*s.jsonl", dir, (int)r->event.n,
                   (const char *)r->event.p);
    (void)snprintf(old, sizeof(old), "%s.old", path);
    if (stat(path, &st) == 0 && st.st_size >= FILE_BYTES_MAX && rename(path, old) != 0)
        return -1;
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return fd;
}

int wk_out_dead(const char *dir, const wkim_hook_request *r, unsigned long long now_s)
{
    char head[256];
    int n = snprintf(head, sizeof(head),
                     "{\"time\":%llu,\"attempts\":%u,\"items\":%u,\"delivery\":\"%.*s\",\"body\":",
                     now_s, r->attempt, r->items, (int)r->delivery.n, (const char *)r->delivery.p);
    struct iovec v[3] = {{head, (size_t)n}, {(void *)(uintptr_t)r->body.p, r->body.n}, {"}\n", 2}};
    int fd = open_file(dir, r), rc;

    if (fd < 0)
        return -1;
    rc = writev(fd, v, 3) == (ssize_t)((size_t)n + r->body.n + 2) ? 0 : -1;
    return close(fd) == 0 ? rc : -1;
}
