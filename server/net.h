/* Addresses as text: listeners, peers, trusted proxies. */
#ifndef WK_SERVER_NET_H
#define WK_SERVER_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <wkim/config.h>
#include <wkim/error.h>

#define WK_ADDR_TEXT 64 /* "[v6]:port" and a NUL */

/* "scheme://host:port" or "host:port" cut in two; an empty or "*" host becomes 0.0.0.0.  0 or -1.
 */
int wk_net_split(const char *text, char *host, size_t cap, unsigned *port);
/* Address to bind to.  0, or -1 when the host is neither an address nor "localhost". */
int wk_net_sockaddr(const char *text, struct sockaddr_storage *out, socklen_t *len);
/* "ip:port" of a socket address; IPv4 mapped into IPv6 is shown as IPv4.  out has WK_ADDR_TEXT. */
void wk_net_text(const struct sockaddr *sa, char *out);

/* Who may claim another address: items of proxyProtocol.trusted. */
struct wk_cidr {
    unsigned char bytes[16]; /* IPv4 as mapped IPv6 */
    unsigned bits;
};
struct wk_trust {
    struct wk_cidr *items; /* owned */
    size_t n;              /* 0: everybody is trusted */
};
int wk_trust_init(struct wk_trust *t, const wkim_config *cfg); /* WKIM_OK, WKIM_ENOMEM */
void wk_trust_fini(struct wk_trust *t);
int wk_trust_sockaddr(const struct wk_trust *t, const struct sockaddr *sa); /* 1 or 0 */
/* The client of an X-Forwarded-For list: the last address that is no trusted proxy, the first one
 * when everybody is trusted.  1 and the address in out (cap bytes), or 0. */
int wk_trust_forwarded(const struct wk_trust *t, const char *list, char *out, size_t cap);

/* Why `address`, the value of `key`, cannot be listened on (an errno), and what helps. */
void wk_net_bind_error(wkim_error *err, const char *key, const char *address, int e);

#endif
