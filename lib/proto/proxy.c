#include "proto/proxy.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define V1_BYTES_MAX 107

static const uint8_t signature[12] = { 0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d,
                                       0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a };

static bool is_port(const char *s)
{
    char *end;
    long v = strtol(s, &end, 10);
    return *s && *end == 0 && v >= 0 && v <= 65535;
}

static wkim_ssize decode_v1(struct wk_proxy_header *out, wkim_slice in)
{
    char line[V1_BYTES_MAX + 1], family[8], src[48], dst[48], sport[8], dport[8];
    uint8_t addr[16];
    const uint8_t *lf = memchr(in.p, '\n', in.n < V1_BYTES_MAX ? in.n : V1_BYTES_MAX);

    if (!lf)
        return in.n >= V1_BYTES_MAX ? WKIM_EPROTO : 0;
    size_t n = (size_t)(lf - in.p);
    if (n < 1 || in.p[n - 1] != '\r')
        return WKIM_EPROTO;
    memcpy(line, in.p, n - 1);
    line[n - 1] = 0;
    if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == 0 || line[13] == ' '))
        return (wkim_ssize)n + 1;
    if (sscanf(line, "PROXY %7s %47s %47s %7s %7s", family, src, dst, sport, dport) != 5)
        return WKIM_EPROTO;
    int af = strcmp(family, "TCP4") == 0 ? AF_INET : strcmp(family, "TCP6") == 0 ? AF_INET6 : -1;
    if (af < 0 || inet_pton(af, src, addr) != 1 || inet_pton(af, dst, addr) != 1 ||
        !is_port(sport) || !is_port(dport))
        return WKIM_EPROTO;
    snprintf(out->source, sizeof(out->source), "%s:%s", src, sport);
    out->has_source = true;
    return (wkim_ssize)n + 1;
}

static wkim_ssize decode_v2(struct wk_proxy_header *out, wkim_slice in)
{
    char text[INET6_ADDRSTRLEN];

    if (in.n < 16)
        return 0;
    size_t len = (size_t)in.p[14] << 8 | in.p[15];
    if (in.p[12] >> 4 != 2 || (in.p[12] & 15) > 1 || 16 + len > WK_PROXY_BYTES_MAX)
        return WKIM_EPROTO;
    if (in.n < 16 + len)
        return 0;
    if ((in.p[12] & 15) == 0)
        return (wkim_ssize)(16 + len); /* LOCAL: a health check of the proxy itself */
    const uint8_t *a = in.p + 16;
    switch (in.p[13] >> 4) {
    case 1:
        if (len < 12)
            return WKIM_EPROTO;
        inet_ntop(AF_INET, a, text, sizeof(text));
        snprintf(out->source, sizeof(out->source), "%s:%u", text, (unsigned)a[8] << 8 | a[9]);
        out->has_source = true;
        break;
    case 2:
        if (len < 36)
            return WKIM_EPROTO;
        inet_ntop(AF_INET6, a, text, sizeof(text));
        snprintf(out->source, sizeof(out->source), "%s:%u", text, (unsigned)a[32] << 8 | a[33]);
        out->has_source = true;
        break;
    default:
        break; /* Unix sockets and unspecified: no address */
    }
    return (wkim_ssize)(16 + len);
}

wkim_ssize wk_proxy_decode(struct wk_proxy_header *out, wkim_slice in)
{
    static const char v1[] = "PROXY ";
    size_t n;

    *out = (struct wk_proxy_header){ .has_source = false };
    if (in.n == 0)
        return 0;
    n = in.n < sizeof(signature) ? in.n : sizeof(signature);
    if (memcmp(in.p, signature, n) == 0)
        return n < sizeof(signature) ? 0 : decode_v2(out, in);
    n = in.n < sizeof(v1) - 1 ? in.n : sizeof(v1) - 1;
    if (memcmp(in.p, v1, n) == 0)
        return n < sizeof(v1) - 1 ? 0 : decode_v1(out, in);
    return WKIM_ENOTFOUND;
}
