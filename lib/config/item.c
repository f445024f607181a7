#include "config/config.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/limits.h"

#define SHOWN 96

int wk_config_account_split(const char *item, struct wk_config_account *out)
{
    const char *first = strchr(item, ':');
    const char *second = first ? strchr(first + 1, ':') : NULL;

    out->name_n = first ? (size_t)(first - item) : strlen(item);
    out->permission = second ? second + 1 : NULL;
    return second && first > item ? 0 : -1;
}

/* LN.R.P.SALT.HASH up to the next colon: three numbers, two hexadecimal texts. */
static bool scrypt_form(const char *text)
{
    for (int part = 0; part < 5; part++) {
        size_t n = strspn(text, part < 3 ? "0123456789" : "0123456789abcdefABCDEF");

        if (n == 0 || text[n] != (part < 4 ? '.' : ':'))
            return false;
        text += n + 1;
    }
    return true;
}

/* The password is never repeated, whatever is wrong with the entry. */
static int parse_account(const char *item, size_t index, char *reason, size_t cap)
{
    struct wk_config_account a;

    if (wk_config_account_split(item, &a) != 0) {
        (void)snprintf(reason, cap,
                       "[%zu]: \"%.*s:***\" must be name:password:* or "
                       "name:password:[resource:actions,\xe2\x80\xa6]",
                       index, a.name_n < 64 ? (int)a.name_n : 64, item);
        return WKIM_ECONFIG;
    }
    if (strncmp(item + a.name_n + 1, "{scrypt}", 8) == 0 && !scrypt_form(item + a.name_n + 9)) {
        (void)snprintf(reason, cap,
                       "[%zu]: the password of \"%.*s\" must be {scrypt}LN.R.P.SALT.HASH as "
                       "wkim-server hash-password prints it, or no hash",
                       index, a.name_n < 64 ? (int)a.name_n : 64, item);
        return WKIM_ECONFIG;
    }
    if (strcmp(a.permission, "*") != 0 && (a.permission[0] != '[' || !strchr(a.permission, ']'))) {
        (void)snprintf(reason, cap, "[%zu]: permission \"%.32s\" must be * or [resource:actions]",
                       index, a.permission);
        return WKIM_ECONFIG;
    }
    return WKIM_OK;
}

static bool node_item(const char *item)
{
    char host[256];
    char *end;
    unsigned port;
    unsigned long id = strtoul(item, &end, 10);

    if (end == item || *end != '@' || id < 1 || id > WK_NODE_ID_MAX || item[0] == '+' ||
        item[0] == '-' || end[1] == '\0')
        return false;
    if (strpbrk(end + 1, " \t@/"))
        return false;
    if (!strchr(end + 1, ':'))
        return true;
    return wk_config_hostport(end + 1, host, sizeof(host), &port) == 0 && host[0] && port;
}

static bool cidr_item(const char *item)
{
    char address[64];
    unsigned char raw[16];
    size_t n = strcspn(item, "/");
    long bits, most;
    char *end;

    if (n >= sizeof(address))
        return false;
    memcpy(address, item, n);
    address[n] = '\0';
    if (inet_pton(AF_INET, address, raw) == 1)
        most = 32;
    else if (inet_pton(AF_INET6, address, raw) == 1)
        most = 128;
    else
        return false;
    if (item[n] == '\0')
        return true;
    bits = strtol(item + n + 1, &end, 10);
    return end != item + n + 1 && *end == '\0' && bits >= 0 && bits <= most;
}

int wk_config_item_parse(const struct wk_config_key *k, const char *item, size_t index,
                         char *reason, size_t cap)
{
    const char *form = NULL;

    if (strcmp(k->extra, "account") == 0)
        return parse_account(item, index, reason, cap);
    if (strcmp(k->extra, "node") == 0 && !node_item(item))
        form = "must be nodeId@host[:port]";
    else if (strcmp(k->extra, "cidr") == 0 && !cidr_item(item))
        form = "must be an address or address/bits (for example 10.0.0.0/8)";
    else if (strcmp(k->extra, "url") == 0 && strncasecmp(item, "http://", 7) != 0 &&
             strncasecmp(item, "https://", 8) != 0)
        form = "must be a URL";
    if (!form)
        return WKIM_OK;
    (void)snprintf(reason, cap, "[%zu]: \"%.*s\" %s", index, SHOWN, item, form);
    return WKIM_ECONFIG;
}
