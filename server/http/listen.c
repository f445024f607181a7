#include "listen.h"

#include "net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 1024

static int fail(wkim_error *err, int code, const char *address, const char *why)
{
    err->code = code;
    snprintf(err->text, sizeof(err->text), "HTTP listener %.100s: %s", address, why);
    return -1;
}

int wk_listen_open(const char *address, int shared, wkim_error *err)
{
    struct sockaddr_storage at;
    socklen_t len;
    int on = 1;

    if (wk_net_sockaddr(address, &at, &len) != 0)
        return fail(err, WKIM_ECONFIG, address, "is not host:port");
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return fail(err, WKIM_EIO, address, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    /* Accepted sockets inherit it: the end of an answer must not wait for an acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)&at, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int e = errno;

    close(fd);
    return fail(err, WKIM_EIO, address, strerror(e));
}
