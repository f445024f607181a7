#include "config/load.h"

#include "config/show.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net.h"
#include "tls.h"

void wk_problems_add(struct wk_problems *p, int level, const char *fmt, ...)
{
    struct wk_problem *items = realloc(p->items, (p->n + 1) * sizeof(*items));
    char *text = NULL;
    va_list ap;
    int n;

    if (level > 0)
        p->errors++;
    if (level == 0)
        p->warnings++;
    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (items)
        p->items = items;
    if (!items || n < 0) {
        if (n >= 0)
            free(text);
        fprintf(stderr, "config: out of memory\n");
        return;
    }
    /* Keys and values are quoted as they were given: a problem stays one line all the same. */
    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            *at = ' ';
    }
    items[p->n++] = (struct wk_problem){text, level};
}

void wk_problems_fini(struct wk_problems *p)
{
    for (size_t i = 0; i < p->n; i++)
        free(p->items[i].text);
    free(p->items);
    memset(p, 0, sizeof(*p));
}

void wk_problems_print(const struct wk_problems *p)
{
    static const char *const prefix[] = {"info: ", "warning: ", ""};

    for (size_t i = 0; i < p->n; i++)
        fprintf(stderr, "%s%s\n", prefix[p->items[i].level + 1], p->items[i].text);
}

void wk_config_put(wkim_config *cfg, const char *key, const char *value, int add, int source,
                   const char *where, struct wk_problems *p)
{
    wkim_error err = {0};
    int rc = add ? wkim_config_add(cfg, key, value, source, where, &err)
                 : wkim_config_set(cfg, key, value, source, where, &err);

    if (rc != WKIM_OK)
        wk_problems_add(p, rc != WKIM_ENOTFOUND, "%s", err.text);
}

static void put_flags(wkim_config *cfg, const struct wk_options *o, struct wk_problems *p)
{
    if (o->mode)
        wk_config_put(cfg, "mode", o->mode, 0, WKIM_SOURCE_FLAG, "flag --mode", p);
    for (size_t i = 0; i < o->n_sets; i++) {
        const char *eq = strchr(o->sets[i], '=');
        char *key = strndup(o->sets[i], (size_t)(eq - o->sets[i]));

        if (key)
            wk_config_put(cfg, key, eq + 1, 0, WKIM_SOURCE_FLAG, "flag --set", p);
        else
            wk_problems_add(p, 1, "config: out of memory");
        free(key);
    }
}

static void report(void *user, int level, const char *text)
{
    wk_problems_add(user, level, "%s", text);
}

static int listens(const wkim_config *cfg, const char *key)
{
    const char *on = strcmp(key, "manager.addr") == 0 ? "manager.on"
                     : strcmp(key, "demo.addr") == 0  ? "demo.on"
                                                      : NULL;
    return !on || wkim_config_int(cfg, on) != 0;
}

/* A listener must name an address of this host; names would be resolved at a bad moment. */
static void check_hosts(const wkim_config *cfg, struct wk_problems *p)
{
    static const char *const keys[] = {"addr",     "tlsAddr",      "wsAddr",   "wssAddr",
                                       "httpAddr", "manager.addr", "demo.addr"};

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *text = wkim_config_get(cfg, keys[i]);
        struct sockaddr_storage sa;
        socklen_t len;

        if (*text && listens(cfg, keys[i]) && wk_net_sockaddr(text, &sa, &len) != 0)
            wk_problems_add(p, 1, "config: %s: the host of \"%s\" is not an IP address", keys[i],
                            text);
    }
}

/* The nearest existing folder above must be writable, so that the folder can be made. */
static void check_folder(const wkim_config *cfg, const char *key, struct wk_problems *p)
{
    char *path = strdup(wkim_config_get(cfg, key));
    const char *at = path;
    struct stat st;

    if (!path)
        return;
    while (access(at, F_OK) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');

        if (!slash) {
            at = ".";
            break;
        }
        if (slash == path) {
            at = "/";
            break;
        }
        *slash = '\0';
    }
    if (stat(at, &st) == 0 && !S_ISDIR(st.st_mode))
        wk_problems_add(p, 1, "config: %s: cannot create \"%s\": \"%s\" is not a folder", key,
                        wkim_config_get(cfg, key), at);
    else if (access(at, W_OK | X_OK) != 0)
        wk_problems_add(p, 1, "config: %s: cannot create \"%s\": %s", key,
                        wkim_config_get(cfg, key), strerror(errno));
    free(path);
}

static void check_pair(const wkim_config *cfg, const char *cert_key, const char *key_key,
                       struct wk_problems *p)
{
    const char *cert = wkim_config_get(cfg, cert_key);
    const char *key = wkim_config_get(cfg, key_key);
    const char *which;
    char text[300];
    int level;

    if (!*cert || !*key)
        return;
    level = wk_tls_check(cert, key, &which, text, sizeof(text));
    if (level >= 0)
        wk_problems_add(p, level, "config: %s: %s", strcmp(which, "key") ? cert_key : key_key,
                        text);
}

void wk_config_load(wkim_config **out, const struct wk_options *o, struct wk_problems *p)
{
    wkim_config *cfg;

    if (wkim_config_new(&cfg) != WKIM_OK) {
        *out = NULL;
        wk_problems_add(p, 1, "config: out of memory");
        return;
    }
    *out = cfg;
    if (o->config && *o->config)
        wk_config_file(cfg, o->config, o->ignore_missing, p);
    wk_config_env(cfg, environ, p);
    put_flags(cfg, o, p);
    (void)wkim_config_check(cfg, report, p);
    check_hosts(cfg, p);
    check_folder(cfg, "rootDir", p);
    check_folder(cfg, "dataDir", p);
    check_pair(cfg, "wssConfig.certFile", "wssConfig.keyFile", p);
    check_pair(cfg, "tlsConfig.certFile", "tlsConfig.keyFile", p);
}

void wk_config_print(const wkim_config *cfg)
{
    const char *key, *type;
    int effect;

    for (size_t i = 0; wkim_config_key(i, &key, &type, NULL, NULL, &effect); i++) {
        char *value = wk_config_shown(cfg, key, type);

        printf("%s: %s", key, value ? value : "");
        free(value);
        printf("%s%s\n", wkim_config_is_set(cfg, key) ? "" : "  # default",
               effect ? "" : "  # no effect");
    }
}
