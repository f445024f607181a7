#include "server.h"

#include <unistd.h>

static void on_socket(void *user, int fd, const struct sockaddr *peer)
{
    struct server *s = user;
    char remote[WK_ADDR_TEXT];

    wk_net_text(peer, remote);
    if (wkim_node_attach(s->node, fd, wk_trust_sockaddr(&s->trust, peer), remote) != WKIM_OK)
        (void)close(fd);
}

int wk_tcp_start(struct server *s, wkim_error *err)
{
    return wk_accept_start(s->tcp, s->base, on_socket, s, err);
}
