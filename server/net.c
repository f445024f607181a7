#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int wk_net_split(const char *text, char *host, size_t cap, unsigned *port)
{
    const char *sep = strstr(text, "://");
    const char *start = sep ? sep + 3 : text;
    const char *colon = strrchr(start, ':');
    const char *end = colon;
    unsigned long value;
    char *stop;

    if (!colon || colon[1] == '\0')
        return -1;
    value = strtoul(colon + 1, &stop, 10);
    if (*stop || value > 65535)
        return -1;
    if (*start == '[' && end > start + 1 && end[-1] == ']') {
        start++;
        end--;
    }
    if ((size_t)(end - start) >= cap || cap < 8)
        return -1;
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    if (*host == '\0' || strcmp(host, "*") == 0)
        memcpy(host, "0.0.0.0", 8);
    *port = (unsigned)value;
    return 0;
}

int wk_net_sockaddr(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char host[256];
    unsigned port;

    memset(out, 0, sizeof(*out));
    if (wk_net_split(text, host, sizeof(host), &port) != 0)
        return -1;
    if (inet_pton(AF_INET, strcmp(host, "localhost") ? host : "127.0.0.1", &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        *len = sizeof(*v4);
        return 0;
    }
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)port);
        *len = sizeof(*v6);
        return 0;
    }
    return -1;
}

void wk_net_text(const struct sockaddr *sa, char *out)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;

        (void)inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        (void)snprintf(out, WK_ADDR_TEXT, "%s:%u", host, ntohs(v4->sin_port));
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;

        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            (void)inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], host, sizeof(host));
            (void)snprintf(out, WK_ADDR_TEXT, "%s:%u", host, ntohs(v6->sin6_port));
        } else {
            (void)inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
            (void)snprintf(out, WK_ADDR_TEXT, "[%s]:%u", host, ntohs(v6->sin6_port));
        }
    } else {
        (void)snprintf(out, WK_ADDR_TEXT, "local");
    }
}

static const unsigned char v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

/* Address text without port to 16 bytes; *v4 tells the family.  0 or -1. */
static int address_bytes(const char *text, unsigned char out[16], int *v4)
{
    *v4 = inet_pton(AF_INET, text, out + 12) == 1;
    if (*v4) {
        memcpy(out, v4_prefix, sizeof(v4_prefix));
        return 0;
    }
    return inet_pton(AF_INET6, text, out) == 1 ? 0 : -1;
}

static int cidr_parse(const char *text, struct wk_cidr *out)
{
    char address[INET6_ADDRSTRLEN];
    size_t n = strcspn(text, "/");
    unsigned long bits = 128;
    int v4;

    if (n >= sizeof(address))
        return -1;
    memcpy(address, text, n);
    address[n] = '\0';
    if (address_bytes(address, out->bytes, &v4) != 0)
        return -1;
    if (text[n] == '/')
        bits = strtoul(text + n + 1, NULL, 10) + (v4 ? 96 : 0);
    if (bits > 128)
        return -1;
    out->bits = (unsigned)bits;
    return 0;
}

static int cidr_match(const struct wk_cidr *c, const unsigned char address[16])
{
    unsigned whole = c->bits / 8, rest = c->bits % 8;

    if (memcmp(c->bytes, address, whole) != 0)
        return 0;
    return rest == 0 || ((c->bytes[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

static int trusted(const struct wk_trust *t, const unsigned char address[16])
{
    for (size_t i = 0; i < t->n; i++)
        if (cidr_match(&t->items[i], address))
            return 1;
    return t->n == 0;
}

int wk_trust_init(struct wk_trust *t, const wkim_config *cfg)
{
    size_t n = wkim_config_list(cfg, "proxyProtocol.trusted", 0, NULL);

    t->n = 0;
    t->items = n ? calloc(n, sizeof(*t->items)) : NULL;
    if (n && !t->items)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const char *item;

        (void)wkim_config_list(cfg, "proxyProtocol.trusted", i, &item);
        if (item && cidr_parse(item, &t->items[t->n]) == 0)
            t->n++;
    }
    return WKIM_OK;
}

void wk_trust_fini(struct wk_trust *t)
{
    free(t->items);
    t->items = NULL;
    t->n = 0;
}

int wk_trust_sockaddr(const struct wk_trust *t, const struct sockaddr *sa)
{
    unsigned char address[16];

    if (sa->sa_family == AF_INET) {
        memcpy(address, v4_prefix, sizeof(v4_prefix));
        memcpy(address + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        memcpy(address, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    } else {
        return 1; /* a Unix socket: whoever may open it */
    }
    return trusted(t, address);
}

int wk_trust_forwarded(const struct wk_trust *t, const char *list, char *out, size_t cap)
{
    size_t end = strlen(list);
    int found = 0;

    while (end > 0) {
        size_t start = end, n;
        unsigned char address[16];
        char one[INET6_ADDRSTRLEN];
        int v4;

        while (start > 0 && list[start - 1] != ',')
            start--;
        while (list[start] == ' ' || list[start] == '\t')
            start++;
        n = strcspn(list + start, ", \t\r\n");
        if (n < sizeof(one) && n < cap) {
            memcpy(one, list + start, n);
            one[n] = '\0';
            if (address_bytes(one, address, &v4) != 0)
                return found;
            memcpy(out, one, n + 1);
            found = 1;
            if (t->n && !trusted(t, address))
                return 1;
        }
        while (start > 0 && list[start - 1] != ',')
            start--;
        end = start > 0 ? start - 1 : 0;
    }
    return found;
}

void wk_net_bind_error(wkim_error *err, const char *key, const char *address, int e)
{
    const char *fix = "";

    if (e == EADDRINUSE)
        fix = " (another program listens there: end it or choose a free port)";
    else if (e == EADDRNOTAVAIL)
        fix = " (no interface of this host has that address; 0.0.0.0 is all of them)";
    else if (e == EACCES)
        fix = " (ports below 1024 need root or CAP_NET_BIND_SERVICE)";
    err->code = WKIM_EIO;
    (void)snprintf(err->text, sizeof(err->text), "%s: cannot bind %.120s: %s%s", key, address,
                   strerror(e), fix);
}
