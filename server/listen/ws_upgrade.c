#include "listen/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A complete HTTP answer; the connection is closed behind it. */
static int answer(struct lws *wsi, const char *status, const char *header, const char *body)
{
    unsigned char out[LWS_PRE + 512];
    int n = snprintf((char *)out + LWS_PRE, sizeof(out) - LWS_PRE,
                     "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                     "Connection: close\r\n%s\r\n%s",
                     status, strlen(body), header, body);

    if (n > 0 && (size_t)n < sizeof(out) - LWS_PRE)
        (void)lws_write(wsi, out + LWS_PRE, (size_t)n, LWS_WRITE_HTTP_HEADERS);
    return -1;
}

int wk_ws_plain_request(struct lws *wsi)
{
    return answer(wsi, "426 Upgrade Required", "Upgrade: websocket\r\n",
                  "This port speaks WebSocket only.\n");
}

/* 1 when the comma-separated header holds the word. */
static int header_has(struct lws *wsi, enum lws_token_indexes token, const char *word)
{
    char text[128];
    size_t n = strlen(word);

    if (lws_hdr_copy(wsi, text, sizeof(text), token) <= 0)
        return 0;
    for (const char *p = text; *p; p += strcspn(p, ",")) {
        size_t len;

        p += strspn(p, ", \t");
        len = strcspn(p, ", \t");
        if (len == n && strncasecmp(p, word, n) == 0)
            return 1;
    }
    return 0;
}

/* The server library only takes sub-protocols it has a name for, so the one protocol there is takes
 * the first name that the client offers. */
static int take_subprotocol(struct wk_ws_thread *t, struct lws *wsi)
{
    char list[128];
    size_t n;

    t->subprotocol[0] = '\0';
    if (lws_hdr_total_length(wsi, WSI_TOKEN_PROTOCOL) == 0)
        return 0;
    if (lws_hdr_copy(wsi, list, sizeof(list), WSI_TOKEN_PROTOCOL) <= 0)
        return -1;
    n = strcspn(list, ", \t");
    if (n == 0 || n >= sizeof(t->subprotocol))
        return -1;
    memcpy(t->subprotocol, list, n);
    t->subprotocol[n] = '\0';
    return 0;
}

/* 16 bytes in base64. */
static int key_is_good(struct lws *wsi)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char key[32];

    return lws_hdr_copy(wsi, key, sizeof(key), WSI_TOKEN_KEY) == 24 && strspn(key, letters) == 22 &&
           strcmp(key + 22, "==") == 0;
}

int wk_ws_upgrade_check(struct wk_ws_thread *t, struct lws *wsi, const char *upgrade)
{
    char version[8] = "";

    if (strcasecmp(upgrade, "websocket") != 0)
        return wk_ws_plain_request(wsi);
    if (lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_VERSION) <= 0 ||
        strcmp(version, "13") != 0)
        return answer(wsi, "426 Upgrade Required",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
                      "WebSocket version 13 is needed.\n");
    if (!header_has(wsi, WSI_TOKEN_CONNECTION, "upgrade") ||
        lws_hdr_total_length(wsi, WSI_TOKEN_HOST) == 0 || !key_is_good(wsi))
        return answer(
            wsi, "400 Bad Request", "",
            "Connection: Upgrade, Host and a Sec-WebSocket-Key of 16 bytes are needed.\n");
    if (take_subprotocol(t, wsi) != 0)
        return answer(wsi, "400 Bad Request", "", "Sec-WebSocket-Protocol is too long.\n");
    return 0;
}

static int custom_header(struct lws *wsi, const char *name, char *out, int cap)
{
    int n = lws_hdr_custom_length(wsi, name, (int)strlen(name));

    return n > 0 && n < cap && lws_hdr_custom_copy(wsi, out, cap, name, (int)strlen(name)) > 0;
}

int wk_ws_remote(const struct wk_trust *trust, struct lws *wsi, char *out, size_t cap)
{
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof(peer);
    char text[WK_ADDR_TEXT], list[256], ip[INET6_ADDRSTRLEN], port[8], *end;
    int found = 0;

    if (getpeername(lws_get_socket_fd(wsi), (struct sockaddr *)&peer, &len) != 0)
        peer.ss_family = AF_UNSPEC;
    wk_net_text((struct sockaddr *)&peer, text);
    (void)snprintf(out, cap, "%s", text);
    if (!wk_trust_sockaddr(trust, (struct sockaddr *)&peer))
        return 0;
    if (lws_hdr_copy(wsi, list, sizeof(list), WSI_TOKEN_X_FORWARDED_FOR) > 0)
        found = wk_trust_forwarded(trust, list, ip, sizeof(ip));
    if (!found && lws_hdr_copy(wsi, list, sizeof(list), WSI_TOKEN_HTTP_X_REAL_IP) > 0)
        found = wk_trust_forwarded(trust, list, ip, sizeof(ip));
    if (!found)
        return 1;
    if (!custom_header(wsi, "x-real-port:", port, sizeof(port)) ||
        strtoul(port, &end, 10) > 65535 || *end || end == port)
        (void)snprintf(port, sizeof(port), "%.6s",
                       strrchr(text, ':') ? strrchr(text, ':') + 1 : "0");
    (void)snprintf(out, cap, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, port);
    return 1;
}
