#include "listen/accept.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

#define BACKLOG 4096

struct wk_accept {
    int fd; /* until it listens */
    const char *key;
    char address[256];
    struct evconnlistener *listener;
    struct event *again; /* accepts again after the process ran out of descriptors */
    wk_accept_fn fn;
    void *user;
};

static int fail(const struct wk_accept *a, wkim_error *err)
{
    wk_net_bind_error(err, a->key, a->address, errno);
    return WKIM_EIO;
}

int wk_accept_bind(struct wk_accept **out, const char *key, const char *address, wkim_error *err)
{
    struct wk_accept *a = calloc(1, sizeof(*a));
    struct sockaddr_storage sa;
    socklen_t len;
    int one = 1;

    if (!a) {
        err->code = WKIM_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return WKIM_ENOMEM;
    }
    a->key = key;
    a->fd = -1;
    (void)snprintf(a->address, sizeof(a->address), "%s", address);
    errno = EINVAL;
    if (wk_net_sockaddr(address, &sa, &len) == 0)
        a->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0 || setsockopt(a->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(a->fd, (struct sockaddr *)&sa, len) != 0) {
        int rc = fail(a, err);

        wk_accept_free(a);
        return rc;
    }
    *out = a;
    return WKIM_OK;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int len, void *user)
{
    struct wk_accept *a = user;
    int one = 1;

    (void)listener;
    (void)len;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    a->fn(a->user, fd, peer);
}

static void on_again(evutil_socket_t fd, short what, void *user)
{
    struct wk_accept *a = user;

    (void)fd;
    (void)what;
    (void)evconnlistener_enable(a->listener);
}

/* Without descriptors the socket stays readable: pause instead of spinning. */
static void on_error(struct evconnlistener *listener, void *user)
{
    static const struct timeval pause = {0, 100000};
    struct wk_accept *a = user;

    (void)evconnlistener_disable(listener);
    (void)evtimer_add(a->again, &pause);
}

int wk_accept_start(struct wk_accept *a, struct event_base *base, wk_accept_fn fn, void *user,
                    wkim_error *err)
{
    a->fn = fn;
    a->user = user;
    a->again = evtimer_new(base, on_again, a);
    if (a->again)
        a->listener = evconnlistener_new(
            base, on_accept, a, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, a->fd);
    if (!a->listener)
        return fail(a, err);
    a->fd = -1;
    evconnlistener_set_error_cb(a->listener, on_error);
    return WKIM_OK;
}

void wk_accept_free(struct wk_accept *a)
{
    if (!a)
        return;
    if (a->listener)
        evconnlistener_free(a->listener);
    if (a->again)
        event_free(a->again);
    if (a->fd >= 0)
        (void)close(a->fd);
    free(a);
}
