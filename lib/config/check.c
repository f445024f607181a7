#include "config/config.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct report {
    const wkim_config *c;
    void (*fn)(void *user, int level, const char *text);
    void *user;
    int errors;
};

static const char *where_of(const wkim_config *c, const char *key)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    const struct wk_config_entry *e = &c->entries[wk_config_find(key, NULL)];

    return e->where ? e->where : names[e->source];
}

/* "config: key: reason [source of the key]"; a reason that starts with an index joins the key, one
 * that starts with the key replaces it. */
static void say(struct report *r, int level, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static void say(struct report *r, int level, const char *key, const char *fmt, ...)
{
    char reason[320], text[512];
    const char *sep = ": ";
    size_t n = strlen(key);
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    if (strncmp(reason, key, n) == 0 && reason[n] == ' ')
        sep = "";
    (void)snprintf(text, sizeof(text), "config: %s%s%s [%.100s]", *sep ? key : "",
                   reason[0] == '[' ? "" : sep, reason, where_of(r->c, key));
    r->errors += level;
    if (r->fn)
        r->fn(r->user, level, text);
}

static bool on(const struct report *r, const char *key)
{
    return wkim_config_int(r->c, key) != 0;
}
static bool filled(const struct report *r, const char *key)
{
    return *wkim_config_get(r->c, key);
}

static void check_zeros(struct report *r)
{
    for (int i = 0; i < WK_CONFIG_KEYS; i++) {
        const struct wk_config_key *k = &wk_config_keys[i];

        if (r->c->entries[i].zero)
            say(r, 0, k->name, "%s is treated as \"not set\" (default %s)",
                k->kind == WK_CONFIG_INT || k->kind == WK_CONFIG_SIZE ||
                        k->kind == WK_CONFIG_DURATION
                    ? "0"
                    : "\"\"",
                k->def);
    }
}

/* Keys that this version does not use, where somebody may rely on them. */
static void check_inert(struct report *r)
{
    for (int i = 0; i < WK_CONFIG_KEYS; i++) {
        const struct wk_config_entry *e = &r->c->entries[i];

        if ((wk_config_keys[i].flags & (WK_CONFIG_INERT | WK_CONFIG_QUIET)) == WK_CONFIG_INERT &&
            e->source != WKIM_SOURCE_DEFAULT)
            say(r, 0, wk_config_keys[i].name, "has no effect (%s)", wk_config_keys[i].text);
    }
}

struct listener {
    const char *key;
    char host[256];
    unsigned port;
    bool used;
};

static bool any_host(const char *host)
{
    return *host == '\0' || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void check_listeners(struct report *r)
{
    struct listener l[] = {{.key = "addr"},      {.key = "tlsAddr"},     {.key = "wsAddr"},
                           {.key = "wssAddr"},   {.key = "httpAddr"},    {.key = "manager.addr"},
                           {.key = "demo.addr"}, {.key = "cluster.addr"}};
    size_t n = sizeof(l) / sizeof(l[0]);

    for (size_t i = 0; i < n; i++) {
        const char *text = wkim_config_get(r->c, l[i].key);
        const char *sep = strstr(text, "://");

        l[i].used = wk_config_hostport(sep ? sep + 3 : text, l[i].host, sizeof(l[i].host),
                                       &l[i].port) == 0 &&
                    l[i].port != 0;
    }
    l[5].used = l[5].used && on(r, "manager.on");
    l[6].used = l[6].used && on(r, "demo.on");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (!l[i].used || !l[j].used || l[i].port != l[j].port)
                continue;
            if (strcasecmp(l[i].host, l[j].host) == 0 || any_host(l[i].host) || any_host(l[j].host))
                say(r, 1, l[i].key, "%s and %s both use %s:%u", l[i].key, l[j].key,
                    any_host(l[i].host) ? l[i].host : l[j].host, l[i].port);
        }
    }
}

static void check_tls(struct report *r, const char *addr, const char *cert, const char *key)
{
    if (filled(r, addr) && (!filled(r, cert) || !filled(r, key)))
        say(r, 1, addr, "needs %s and %s", cert, key);
    else if (filled(r, cert) && !filled(r, key))
        say(r, 1, cert, "needs %s too", key);
    else if (!filled(r, cert) && filled(r, key))
        say(r, 1, key, "needs %s too", cert);
}

static void check_cluster(struct report *r)
{
    long long self = (long long)wkim_config_int(r->c, "cluster.nodeId");
    const char *item;
    size_t n = wkim_config_list(r->c, "cluster.initNodes", 0, &item);
    bool found = n == 0;

    for (size_t i = 0; i < n; i++) {
        long long id;

        (void)wkim_config_list(r->c, "cluster.initNodes", i, &item);
        id = strtoll(item, NULL, 10);
        found = found || id == self;
        for (size_t j = 0; j < i; j++) {
            const char *other;

            (void)wkim_config_list(r->c, "cluster.initNodes", j, &other);
            if (strtoll(other, NULL, 10) == id)
                say(r, 1, "cluster.initNodes", "[%zu]: node %lld is listed twice", i, id);
        }
    }
    if (!found)
        say(r, 1, "cluster.initNodes", "does not contain this node (cluster.nodeId %lld)", self);
    if ((n || filled(r, "cluster.seed")) && !filled(r, "cluster.serverAddr"))
        say(r, 1, "cluster.serverAddr", "required when cluster.initNodes or cluster.seed is set");
    if ((n > 1 || filled(r, "cluster.seed")) && !filled(r, "cluster.apiUrl"))
        say(r, 1, "cluster.apiUrl",
            "required in a cluster (other nodes forward HTTP requests to it)");
    if ((n > 1 || filled(r, "cluster.seed")) && !filled(r, "cluster.joinToken"))
        say(r, 0, "cluster.joinToken", "is empty: anybody who reaches %s may join the cluster",
            wkim_config_get(r->c, "cluster.addr"));
}

static bool known_resource(const char *p, size_t n)
{
    static const char *const known[] = {"*",
                                        "overview",
                                        "node",
                                        "slot",
                                        "channel",
                                        "message",
                                        "connection",
                                        "user",
                                        "device",
                                        "tag",
                                        "diagnostics",
                                        "plugin",
                                        "webhook",
                                        "conversation",
                                        "log",
                                        "metrics",
                                        "config",
                                        "backup",
                                        "db",
                                        "test",
                                        "account",
                                        "slotMigrate",
                                        "slotElection",
                                        "clusterchannel",
                                        "clusterchannelStart",
                                        "clusterchannelStop",
                                        "clusterchannelMigrate",
                                        "pluginUninstall",
                                        "pluginConfigUpdate",
                                        "pluginUserAdd",
                                        "pluginUserDelete"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == n && memcmp(known[i], p, n) == 0)
            return true;
    return false;
}

static void check_grants(struct report *r, size_t index, const char *permission)
{
    const char *p = permission + 1;

    if (*permission != '[')
        return;
    while (*p && *p != ']') {
        size_t n = strcspn(p, ",]");
        size_t name;

        while (n && isspace((unsigned char)*p)) {
            p++;
            n--;
        }
        name = strcspn(p, ":,]");
        if (name < n && !known_resource(p, name))
            say(r, 0, "auth.users",
                "[%zu]: unknown resource \"%.*s\" (known: slot, channel, message, user, "
                "connection, "
                "plugin, \xe2\x80\xa6)",
                index, name < 40 ? (int)name : 40, p);
        if (name < n && strspn(p + name + 1, "rw* ") < n - name - 1)
            say(r, 0, "auth.users", "[%zu]: actions of \"%.*s\" must be r, w or *", index,
                name < 40 ? (int)name : 40, p);
        p += n + (p[n] == ',');
    }
}

static void check_accounts(struct report *r)
{
    const char *manager = wkim_config_get(r->c, "managerUID");
    size_t n = wkim_config_list(r->c, "auth.users", 0, NULL);

    for (size_t i = 0; i < n; i++) {
        struct wk_config_account a, b;
        const char *item, *other;

        (void)wkim_config_list(r->c, "auth.users", i, &item);
        (void)wk_config_account_split(item, &a);
        if (strlen(manager) == a.name_n && strncmp(manager, item, a.name_n) == 0)
            say(r, 1, "auth.users", "[%zu]: the name \"%s\" is taken by managerUID", i, manager);
        for (size_t j = 0; j < i; j++) {
            (void)wkim_config_list(r->c, "auth.users", j, &other);
            (void)wk_config_account_split(other, &b);
            if (a.name_n == b.name_n && strncmp(item, other, a.name_n) == 0) {
                say(r, 1, "auth.users", "duplicate user \"%.*s\"", (int)a.name_n, item);
                break;
            }
        }
        check_grants(r, i, a.permission);
    }
}

static bool loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static void check_exposure(struct report *r)
{
    if (strcmp(wkim_config_get(r->c, "jwt.secret"), "secret_wukongim") == 0)
        say(r, 0, "jwt.secret",
            "is the published default, anybody can sign console tokens "
            "(leave it empty to have one made)");
    if (on(r, "stress"))
        say(r, 0, "stress", "is on: load test routes are open and tokenAuthOn counts as false");
    if (strcmp(wkim_config_get(r->c, "mode"), "release") == 0 && !on(r, "tokenAuthOn"))
        say(r, 0, "tokenAuthOn", "tokenAuthOn is false: any client may connect as any uid");
    if (!filled(r, "managerToken") && !loopback(wkim_config_get(r->c, "httpAddr")))
        say(r, 0, "managerToken",
            "is empty: the HTTP API on %s is open to everybody who reaches it",
            wkim_config_get(r->c, "httpAddr"));
    if (!filled(r, "proxyProtocol.trusted"))
        say(r, 0, "proxyProtocol.trusted",
            "is empty: anybody may claim another address by a PROXY header or X-Forwarded-For");
}

static void check_words(struct report *r)
{
    static const char *const events[] = {"msg.offline", "msg.notify", "user.onlinestatus"};
    size_t n = wkim_config_list(r->c, "webhook.focusEvents", 0, NULL);
    const char *tcp = wkim_config_get(r->c, "external.tcpAddr");
    char host[256];
    unsigned port;

    for (size_t i = 0; i < n; i++) {
        const char *item;
        bool known = false;

        (void)wkim_config_list(r->c, "webhook.focusEvents", i, &item);
        for (size_t k = 0; k < 3; k++)
            known = known || strcmp(item, events[k]) == 0;
        if (!known)
            say(r, 0, "webhook.focusEvents",
                "[%zu]: unknown event \"%.64s\" (known: msg.offline, msg.notify, "
                "user.onlinestatus)",
                i, item);
    }
    if (*tcp && wk_config_hostport(tcp, host, sizeof(host), &port) != 0)
        say(r, 0, "external.tcpAddr", "\"%.64s\" is not host:port, phones will not understand it",
            tcp);
    if (filled(r, "external.apiUrl") &&
        strncasecmp(wkim_config_get(r->c, "external.apiUrl"), "http", 4) != 0)
        say(r, 0, "external.apiUrl",
            "\"%.64s\" is not http://host:port, the chat demo will not find the API",
            wkim_config_get(r->c, "external.apiUrl"));
    if (filled(r, "webhook.httpAddr") && filled(r, "webhook.grpcAddr"))
        say(r, 0, "webhook.httpAddr", "is not used because webhook.grpcAddr is set");
}

static void check_datasource(struct report *r)
{
    if (on(r, "datasource.membersOn") && !filled(r, "datasource.addr"))
        say(r, 1, "datasource.addr", "required when datasource.membersOn is true");
    if (on(r, "datasource.channelInfoOn") && filled(r, "datasource.addr") &&
        !on(r, "datasource.membersOn"))
        say(r, 0, "datasource.channelInfoOn", "has no effect while datasource.membersOn is false");
}

int wkim_config_check(const wkim_config *c, void (*report)(void *user, int level, const char *text),
                      void *user)
{
    struct report r = {c, report, user, 0};

    if (!c)
        return 1;
    check_zeros(&r);
    check_inert(&r);
    check_listeners(&r);
    check_tls(&r, "wssAddr", "wssConfig.certFile", "wssConfig.keyFile");
    check_tls(&r, "tlsAddr", "tlsConfig.certFile", "tlsConfig.keyFile");
    check_cluster(&r);
    check_accounts(&r);
    check_exposure(&r);
    check_words(&r);
    check_datasource(&r);
    return r.errors;
}
