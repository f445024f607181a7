#include "wkload.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void bytes_reserve(struct bytes *b, size_t more)
{
    if (b->off > 0 && b->off == b->n)
        b->off = b->n = 0;
    if (b->cap - b->n >= more)
        return;
    size_t cap = b->cap ? b->cap : 512;
    while (cap - b->n < more)
        cap *= 2;
    uint8_t *wider = load_alloc(cap, 1);
    if (b->n)
        memcpy(wider, b->p, b->n);
    free(b->p);
    b->p = wider;
    b->cap = cap;
}

/* One address has some 28,000 free ports towards one listener; loopback has many addresses. */
static int bind_source(struct worker *w, struct conn *c, uint64_t n)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    const struct sockaddr_in *to = (const struct sockaddr_in *)&w->load->address;
    int on = 1;

    if (to->sin_family != AF_INET || ntohl(to->sin_addr.s_addr) >> 24 != 127 ||
        w->load->options.no_source_spread)
        return 0;
    from.sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(n % 200));
    if (setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)))
        return -1;
    return bind(c->fd, (struct sockaddr *)&from, sizeof(from));
}

static void open_failed(struct worker *w, struct conn *c, const char *what)
{
    load_fail(w->load, FAIL_CONNECT, "%s: %s: %s", c->uid, what, strerror(errno));
    conn_close(w, c);
}

void conn_open(struct worker *w, struct conn *c)
{
    struct load *l = w->load;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    int on = 1;

    c->opened_us = w->now_us;
    c->version = (uint8_t)l->options.proto;
    c->state = CONN_CONNECTING;
    c->wants_out = true;
    c->fd = socket(l->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        open_failed(w, c, "socket");
        return;
    }
    if (bind_source(w, c, c->index + COUNTED(w->counters.connects))) {
        open_failed(w, c, "bind");
        return;
    }
    if (setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev)) {
        open_failed(w, c, "socket options");
        return;
    }
    if (connect(c->fd, (struct sockaddr *)&l->address, l->address_n) && errno != EINPROGRESS)
        open_failed(w, c, "connect");
}

static void say_connect(struct worker *w, struct conn *c)
{
    struct load *l = w->load;
    struct timespec wall;
    char key[45] = "";

    if (l->options.encrypt) {
        wkim_cipher_free(c->cipher);
        c->cipher = NULL;
        int rc = wkim_cipher_new(&c->cipher, key);
        if (rc != WKIM_OK) {
            load_fail(l, FAIL_LOGIN, "%s: no key pair: %s", c->uid, wkim_strerror(rc));
            conn_close(w, c);
            return;
        }
    }
    clock_gettime(CLOCK_REALTIME, &wall);
    const char *token = l->options.token ? l->options.token : "";
    const wkim_packet p = {
        .type = WKIM_PACKET_CONNECT,
        .version = c->version,
        .device_flag = WKIM_DEVICE_APP,
        .timestamp = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
        .uid = {(const uint8_t *)c->uid, c->uid_n},
        .device_id = {(const uint8_t *)c->uid, c->uid_n},
        .token = {(const uint8_t *)token, strlen(token)},
        .key = {(const uint8_t *)key, strlen(key)},
    };
    c->state = CONN_LOGIN;
    conn_put(w, c, &p);
}

void conn_put(struct worker *w, struct conn *c, const wkim_packet *p)
{
    if (c->state == CONN_CLOSED)
        return;
    bytes_reserve(&c->out, 256);
    wkim_ssize n = wkim_packet_encode(p, c->version, c->out.p + c->out.n, c->out.cap - c->out.n);
    if (n > 0 && (size_t)n > c->out.cap - c->out.n) {
        bytes_reserve(&c->out, (size_t)n);
        n = wkim_packet_encode(p, c->version, c->out.p + c->out.n, c->out.cap - c->out.n);
    }
    if (n <= 0) {
        load_fail(w->load, FAIL_PROTOCOL, "%s: packet type %u cannot be encoded: %s", c->uid,
                  p->type, wkim_strerror((int)n));
        return;
    }
    c->out.n += (size_t)n;
    worker_wants_flush(w, c);
}

void conn_ping(struct worker *w, struct conn *c)
{
    const wkim_packet p = {.type = WKIM_PACKET_PING};

    c->ping_open = true;
    COUNT(w->counters.pings, 1);
    conn_put(w, c, &p);
}

static void watch_out(struct worker *w, struct conn *c, bool on)
{
    struct epoll_event ev = {.events = EPOLLIN | (on ? EPOLLOUT : 0u), .data.ptr = c};

    if (c->wants_out == on)
        return;
    c->wants_out = on;
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev))
        load_fail(w->load, FAIL_CONNECT, "%s: epoll_ctl: %s", c->uid, strerror(errno));
}

void conn_flush(struct worker *w, struct conn *c)
{
    struct bytes *b = &c->out;

    if (c->state != CONN_LOGIN && c->state != CONN_READY)
        return;
    while (b->off < b->n) {
        ssize_t n = send(c->fd, b->p + b->off, b->n - b->off, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            load_fail(w->load, FAIL_CLOSED, "%s: write: %s", c->uid, strerror(errno));
            conn_close(w, c);
            return;
        }
        b->off += (size_t)n;
        c->wrote_us = w->now_us;
    }
    if (b->off == b->n)
        b->off = b->n = 0;
    watch_out(w, c, b->off < b->n);
}

void conn_close(struct worker *w, struct conn *c)
{
    uint8_t was = c->state;

    if (was == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->in.n = c->in.off = c->out.n = c->out.off = 0;
    worker_lost(w, c, was);
}

/* Bytes used of [p, p + n); the connection may be closed by what they say. */
static size_t feed(struct worker *w, struct conn *c, const uint8_t *p, size_t n)
{
    size_t used = 0;

    while (used < n && c->state != CONN_CLOSED) {
        wkim_packet packet;
        wkim_error err = {0};
        wkim_ssize took = wkim_packet_decode(&packet, p + used, n - used, c->version, &err);
        if (took == 0)
            break;
        if (took < 0) {
            load_fail(w->load, FAIL_PROTOCOL, "%s: undecodable: %s", c->uid,
                      err.text[0] ? err.text : wkim_strerror((int)took));
            conn_close(w, c);
            break;
        }
        used += (size_t)took;
        conn_packet(w, c, &packet);
    }
    return used;
}

static void keep_rest(struct worker *w, struct conn *c, const uint8_t *p, size_t n)
{
    if (n > FRAME_BYTES_MAX) {
        load_fail(w->load, FAIL_PROTOCOL, "%s: frame of more than 1 MiB", c->uid);
        conn_close(w, c);
        return;
    }
    c->in.n = c->in.off = 0;
    if (n == 0)
        return;
    bytes_reserve(&c->in, n);
    memcpy(c->in.p, p, n);
    c->in.n = n;
}

static void read_some(struct worker *w, struct conn *c)
{
    /* What was left over goes in front of what is read now: one buffer serves all connections. */
    size_t had = c->in.n;

    if (had)
        memcpy(w->read_buf, c->in.p, had);
    ssize_t n = recv(c->fd, w->read_buf + had, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        load_fail(w->load, c->state == CONN_LOGIN ? FAIL_LOGIN : FAIL_CLOSED, "%s: %s", c->uid,
                  n == 0 ? "closed by the server" : strerror(errno));
        conn_close(w, c);
        return;
    }
    w->now_us = load_now_us();
    size_t all = had + (size_t)n;
    size_t used = feed(w, c, w->read_buf, all);
    if (c->state != CONN_CLOSED)
        keep_rest(w, c, w->read_buf + used, all - used);
}

static void connected(struct worker *w, struct conn *c)
{
    int failed = 0;
    socklen_t n = sizeof(failed);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &n))
        failed = errno;
    if (failed) {
        errno = failed;
        open_failed(w, c, "connect");
        return;
    }
    say_connect(w, c);
}

void conn_event(struct worker *w, struct conn *c, uint32_t events)
{
    if (c->state == CONN_CONNECTING) {
        connected(w, c);
        return;
    }
    if (c->state != CONN_CLOSED && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_some(w, c);
    if (c->state != CONN_CLOSED && (events & EPOLLOUT))
        conn_flush(w, c);
}
