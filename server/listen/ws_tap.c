#include "listen/ws_tap.h"

#include <dlfcn.h>
#include <limits.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "listen/ws_look.h"

#define GROW 64

/* An opcode that RFC 6455 reserves, final: the library closes with 1002. */
#define REFUSED_FRAME 0x83

#define ANSWER(status, length, text)                                                               \
    "HTTP/1.1 " status "\r\nContent-Type: text/plain\r\nContent-Length: " length                   \
    "\r\nConnection: close\r\n\r\n" text

static const char not_http[] =
    ANSWER("400 Bad Request", "68",
           "This port speaks WebSocket: it takes a GET with Upgrade: websocket.\n");
static const char too_long[] = ANSWER("431 Request Header Fields Too Large", "55",
                                      "Request line and headers may take 16384 bytes at most.\n");

struct wk_ws_tapped {
    struct wk_ws_look look;
    uint8_t held;   /* first byte of a frame whose second has not come */
    uint8_t n_held; /* 0 or 1 */
};

struct line { /* one way to read and write a connection */
    int fd;
    SSL *ssl; /* NULL: plain */
};

static _Thread_local struct wk_ws_tap *tap;

void wk_ws_tap_use(struct wk_ws_tap *t)
{
    tap = t;
}

int wk_ws_tap_add(struct wk_ws_tap *t, int fd)
{
    size_t i = (size_t)fd;

    if (i >= t->n) {
        size_t n = i + i / 2 + GROW;
        struct wk_ws_tapped *of = realloc(t->of, n * sizeof(*of));

        if (!of)
            return -1;
        memset(of + t->n, 0, (n - t->n) * sizeof(*of));
        t->of = of;
        t->n = n;
    }
    memset(&t->of[i], 0, sizeof(t->of[i]));
    return 0;
}

int wk_ws_tap_upgraded(const struct wk_ws_tap *t, int fd)
{
    return fd >= 0 && (size_t)fd < t->n && t->of[fd].look.at >= WK_WS_LOOK_FRAME;
}

void wk_ws_tap_fini(struct wk_ws_tap *t)
{
    free(t->of);
    memset(t, 0, sizeof(*t));
}

/* The library's own are hidden behind ours. */
static int system_ssl_read(SSL *ssl, void *buf, int n)
{
    static int (*_Atomic found)(SSL *, void *, int);
    int (*call)(SSL *, void *, int) = found;

    if (!call) {
        void *symbol = dlsym(RTLD_NEXT, "SSL_read");

        memcpy(&call, &symbol, sizeof(call));
        found = call;
    }
    return call(ssl, buf, n);
}

static ssize_t line_read(const struct line *l, void *buf, size_t n)
{
    if (l->ssl)
        return system_ssl_read(l->ssl, buf, n < INT_MAX ? (int)n : INT_MAX);
    return recvfrom(l->fd, buf, n, 0, NULL, NULL);
}

/* Frames behind a request stay in the socket until the library has upgraded: when one of them is
 * bad it would drop the line without a close frame.  With TLS it must get all there is, because it
 * looks for more only after a full buffer. */
static ssize_t request_read(const struct wk_ws_look *look, const struct line *l, uint8_t *buf,
                            size_t cap)
{
    ssize_t n;

    if (l->ssl)
        return line_read(l, buf, cap);
    n = recvfrom(l->fd, buf, cap, MSG_PEEK, NULL, NULL);
    return n > 0 ? line_read(l, buf, wk_ws_look_request(look, buf, (size_t)n)) : n;
}

static void line_write(const struct line *l, const char *text)
{
    if (l->ssl)
        (void)SSL_write(l->ssl, text, (int)strlen(text));
    else
        (void)send(l->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The first byte of a frame waits for the second, so that a refused frame can be changed whole. */
static ssize_t tapped_read(struct wk_ws_tapped *c, const struct line *l, uint8_t *buf, size_t cap)
{
    for (;;) {
        size_t held = c->n_held, n, frame;
        enum wk_ws_verdict v;
        ssize_t got;

        buf[0] = c->held;
        got = c->look.at <= WK_WS_LOOK_HEADERS ? request_read(&c->look, l, buf, cap)
                                               : line_read(l, buf + held, cap - held);
        if (got <= 0)
            return got;
        n = held + (size_t)got;
        c->n_held = 0;
        v = wk_ws_look(&c->look, buf + held, (size_t)got, &frame);
        if (v == WK_WS_UNMASKED) {
            buf[frame == (size_t)got ? 0 : held + frame] = REFUSED_FRAME;
        } else if (v != WK_WS_FINE) {
            line_write(l, v == WK_WS_NOT_HTTP ? not_http : too_long);
            return 0;
        }
        if (c->look.at == WK_WS_LOOK_LENGTH) {
            c->held = buf[--n];
            c->n_held = 1;
        }
        if (n)
            return (ssize_t)n;
    }
}

static struct wk_ws_tapped *tapped(int fd)
{
    return tap && fd >= 0 && (size_t)fd < tap->n ? &tap->of[fd] : NULL;
}

/* The two calls that take the place of the system's, for every library of this process. */

__attribute__((visibility("default"))) ssize_t recv(int fd, void *buf, size_t n, int flags)
{
    struct line l = { fd, NULL };
    struct wk_ws_tapped *c = flags == 0 ? tapped(fd) : NULL; /* before TLS the library peeks */

    return c && n > 1 ? tapped_read(c, &l, buf, n) : recvfrom(fd, buf, n, flags, NULL, NULL);
}

__attribute__((visibility("default"))) int SSL_read(SSL *ssl, void *buf, int n)
{
    struct line l = { SSL_get_fd(ssl), ssl };
    struct wk_ws_tapped *c = tapped(l.fd);

    return c && n > 1 ? (int)tapped_read(c, &l, buf, (size_t)n) : system_ssl_read(ssl, buf, n);
}
