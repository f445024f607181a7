#include "http/listen.h"

#include "net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int fail(wkim_error *err, const char *key, const char *address, int e)
{
    wk_net_bind_error(err, key, address, e);
    return -1;
}

/* A socket bound to `at`, or -1 with errno. */
static int bound(const struct sockaddr_storage *at, socklen_t len, int shared)
{
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, e;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    /* Accepted sockets inherit it: the end of an answer must not wait for an acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)at, len) == 0)
        return fd;
    e = errno;
    close(fd);
    errno = e;
    return -1;
}

int wk_listen_open(const char *key, const char *address, enum wk_listen_how how, wkim_error *err)
{
    struct sockaddr_storage at;
    socklen_t len;
    int fd, e;

    if (wk_net_sockaddr(address, &at, &len) != 0)
        return fail(err, key, address, EINVAL);
    if (how == WK_LISTEN_FIRST) {
        fd = bound(&at, len, 0);
        if (fd < 0)
            return fail(err, key, address, errno);
        close(fd);
    }
    fd = bound(&at, len, how != WK_LISTEN_ALONE);
    if (fd >= 0 && listen(fd, BACKLOG) == 0)
        return fd;
    e = errno;
    if (fd >= 0)
        close(fd);
    return fail(err, key, address, e);
}
