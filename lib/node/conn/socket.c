/* Connections over a socket of ours: readiness from the shard's loop, reads into one buffer per
 * shard, one write per flush; for old clients one write per frame. */
#include "node/conn/conn.h"
#include "proto/codec.h"

#define PACED_VERSION_MAX 3
#define PACED_BYTES_MAX 24576u
#define PACE_MS 1
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static void ready(struct wk_io *io, int what)
{
    struct wk_conn *c = WK_CONTAINER(io, struct wk_conn, io);
    struct wk_node_shard *ns = wk_node_shard(c->node, c->shard);

    if (what & WK_IO_WRITE) {
        wk_conn_wake(c);
        return;
    }
    ssize_t n = read(io->fd, ns->read_buf, WK_READ_BYTES);
    if (n > 0)
        wk_conn_input(c, wk_slice(ns->read_buf, (size_t)n));
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        wk_conn_destroy(c);
}

/* The Go SDK 1.0.0, the client that speaks such a version over TCP, takes one frame from each of
 * its reads: an answer that comes with another frame waits for the next bytes.  So its frames leave
 * one by one, PACE_MS apart, as long as no more than PACED_BYTES_MAX wait. */
static bool paced(const struct wk_conn *c)
{
    return wk_session_version(c->session) <= PACED_VERSION_MAX && !wk_session_is_json(c->session);
}

void wk_conn_pace(struct wk_timer *t)
{
    wk_conn_wake(WK_CONTAINER(t, struct wk_conn, pace));
}

/* Bytes for the next write, 0: not yet. */
static size_t portion(struct wk_conn *c, wkim_slice out)
{
    if (!paced(c))
        return out.n;
    if (c->frame_left)
        return c->frame_left;
    if (c->pace.pos && out.n <= PACED_BYTES_MAX)
        return 0;
    c->frame_left = (uint32_t)wk_frame_extent(out);
    return c->frame_left;
}

/* n bytes are written. */
static void wrote(struct wk_conn *c, size_t n)
{
    c->out_bytes += n;
    wk_count(&wk_node_shard(c->node, c->shard)->count.out_bytes, n);
    wk_session_out_consume(c->session, n);
    if (c->frame_left == 0)
        return;
    c->frame_left -= (uint32_t)n;
    /* Where no timer can be had the next frame follows at once. */
    if (c->frame_left == 0)
        (void)wk_timer_arm(&c->shard->timers, &c->pace, c->shard->now_ms + PACE_MS);
}

static int socket_flush(struct wk_conn *c)
{
    wkim_slice out = wk_session_out(c->session);

    while (out.n) {
        const size_t some = portion(c, out);
        if (some == 0)
            return WKIM_EAGAIN; /* wk_conn_pace comes back */
        ssize_t n = send(c->io.fd, out.p, some, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            if (errno != EAGAIN)
                return WKIM_EIO;
            return wk_io_want(&c->io, c->io.want | WK_IO_WRITE) == WKIM_OK ? WKIM_EAGAIN : WKIM_EIO;
        }
        wrote(c, (size_t)n);
        out = wk_session_out(c->session);
    }
    if (c->io.want & WK_IO_WRITE)
        (void)wk_io_want(&c->io, c->io.want & ~WK_IO_WRITE);
    return WKIM_OK;
}

static void socket_want_input(struct wk_conn *c, bool on)
{
    if (c->want_in == on)
        return;
    c->want_in = on;
    if (c->io.read_event &&
        wk_io_want(&c->io, on ? c->io.want | WK_IO_READ : c->io.want & ~WK_IO_READ) != WKIM_OK)
        wk_conn_destroy(c);
}

static void socket_detach(struct wk_conn *c)
{
    wk_io_close(&c->io);
}

static int socket_attach(struct wk_conn *c)
{
    int rc = wk_io_open(&c->io, wk_node_shard(c->node, c->shard)->loop, c->io.fd, ready);

    c->want_in = true;
    return rc == WKIM_OK ? wk_io_want(&c->io, WK_IO_READ) : rc;
}

static void socket_close(struct wk_conn *c)
{
    wk_io_close(&c->io);
    if (c->io.fd >= 0)
        close(c->io.fd);
    c->io.fd = -1;
}

static const struct wk_transport_ops socket_ops = {
    .flush = socket_flush, .want_input = socket_want_input, .detach = socket_detach,
    .attach = socket_attach, .close = socket_close,
};

static void adopt(struct wk_shard *s, struct wk_post *p)
{
    struct wk_conn *c = WK_CONTAINER(p, struct wk_conn, post);
    c->shard = s;
    wk_conn_start(c);
}

int wkim_node_attach(wkim_node *n, int fd, int proxy, const char *remote)
{
    struct wk_conn *c;
    int one = 1;

    if (!n || fd < 0)
        return WKIM_EINVAL;
    if (!n->started || atomic_load(&n->stopping))
        return WKIM_ESTOPPED;
    if (n->set.connections_max && atomic_load(&n->connections) >= n->set.connections_max)
        return WKIM_EBUSY;
    int flags = fcntl(fd, F_GETFL, 0);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return WKIM_EIO;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not every stream is TCP */
    int rc = wk_conn_new(&c, n, &socket_ops, remote, proxy != 0);
    if (rc != WKIM_OK)
        return rc;
    c->io.fd = fd;
    c->listener = WKIM_LISTENER_TCP;
    atomic_fetch_add(&n->connections, 1);
    uint32_t i = atomic_fetch_add(&n->next_shard, 1) % n->n_shards;
    c->post.run = adopt;
    wk_shard_post(&n->shards[i], &c->post);
    return WKIM_OK;
}
