#include "config/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int secret(const char *key, const char *type)
{
    static const char *const tails[] = {"token", "secret", "password"};
    size_t n = strlen(key);

    for (size_t i = 0; i < 3; i++) {
        size_t t = strlen(tails[i]);

        if (n >= t && strcasecmp(key + n - t, tails[i]) == 0)
            return 1;
    }
    return strcmp(type, "secret") == 0;
}

/* name:password:permission without the password. */
static void put_accounts(FILE *f, const wkim_config *cfg)
{
    size_t n = wkim_config_list(cfg, "auth.users", 0, NULL);

    for (size_t i = 0; i < n; i++) {
        const char *item, *permission;

        (void)wkim_config_list(cfg, "auth.users", i, &item);
        permission = strchr(strchr(item, ':') + 1, ':');
        fprintf(f, "%s%.*s:******%s", i ? " " : "", (int)strcspn(item, ":"), item, permission);
    }
}

/* A URL may carry an account in front of its host, and a key in its query. */
static void put_value(FILE *f, const char *value)
{
    const char *sep = strstr(value, "://");
    const char *host = sep ? sep + 3 : value;
    const char *at = sep ? memrchr(host, '@', strcspn(host, "/?#")) : NULL;
    const char *shown = at ? at : host;
    size_t n = sep ? strcspn(shown, "?") : strlen(shown);

    fprintf(f, "%.*s%s%.*s%s", (int)(host - value), value, at ? "******" : "", (int)n, shown,
            shown[n] ? "?******" : "");
}

char *wk_config_shown(const wkim_config *cfg, const char *key, const char *type)
{
    const char *value = wkim_config_get(cfg, key);
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);

    if (!f)
        return NULL;
    if (strcmp(key, "auth.users") == 0)
        put_accounts(f, cfg);
    else if (secret(key, type))
        fputs(value && *value ? "******" : "", f);
    else
        put_value(f, value ? value : "");
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
