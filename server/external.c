#include "server.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

static int is_private(uint32_t ip)
{
    return ip >> 24 == 10 || ip >> 20 == (172 << 4 | 1) || ip >> 16 == (192 << 8 | 168);
}

/* First private IPv4 address of an interface that is up, else the first that is no loopback. 0 or
 * -1. */
static int find_ip(char out[INET_ADDRSTRLEN])
{
    struct ifaddrs *list, *i;
    int found = -1;

    if (getifaddrs(&list) != 0)
        return -1;
    for (i = list; i; i = i->ifa_next) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)i->ifa_addr;
        int private_ip;

        if (!v4 || v4->sin_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
            (i->ifa_flags & IFF_LOOPBACK))
            continue;
        private_ip = is_private(ntohl(v4->sin_addr.s_addr));
        if (found == 0 && !private_ip)
            continue;
        (void)inet_ntop(AF_INET, &v4->sin_addr, out, INET_ADDRSTRLEN);
        found = 0;
        if (private_ip)
            break;
    }
    freeifaddrs(list);
    return found;
}

void wk_external_fill(wkim_config *cfg, struct wk_log_file *log)
{
    char ip[INET_ADDRSTRLEN];
    wkim_error err;

    if (*wkim_config_get(cfg, "external.ip"))
        return;
    if (find_ip(ip) != 0) {
        (void)snprintf(ip, sizeof(ip), "127.0.0.1");
        wk_log_say(log, WKIM_LOG_WARN, "external_ip_unknown",
                   "text=\"external.ip: could not be determined, advertising 127.0.0.1\"");
    }
    if (wkim_config_set(cfg, "external.ip", ip, WKIM_SOURCE_DEFAULT, NULL, &err) != WKIM_OK)
        wk_log_say(log, WKIM_LOG_WARN, "external_ip_unknown", "ip=%s", ip);
}
