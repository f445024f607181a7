#include "config/load.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENV_BYTES_MAX 96 /* longest WK_ name with its NUL; longer ones are unknown */

/* cluster.nodeId -> WK_CLUSTER_NODEID */
static void env_name(const char *key, char out[ENV_BYTES_MAX])
{
    size_t n = 3;

    memcpy(out, "WK_", 3);
    for (; *key && n < ENV_BYTES_MAX - 1; key++)
        out[n++] = *key == '.' ? '_' : (char)toupper((unsigned char)*key);
    out[n] = '\0';
}

/* The key that NAME=value stands for, NULL: none. */
static const char *key_of(const char *entry, size_t name_n)
{
    static const char *const old[] = {"monitor.on", "monitor.addr", "external.monitorAddr"};
    char name[ENV_BYTES_MAX];
    const char *key;

    for (size_t i = 0; wkim_config_key(i, &key, NULL, NULL, NULL, NULL); i++) {
        env_name(key, name);
        if (strlen(name) == name_n && memcmp(name, entry, name_n) == 0)
            return key;
    }
    for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
        env_name(old[i], name);
        if (strlen(name) == name_n && memcmp(name, entry, name_n) == 0)
            return old[i];
    }
    return NULL;
}

void wk_config_env(wkim_config *cfg, char *const *environment, struct wk_problems *p)
{
    char unknown[512] = "";
    size_t used = 0;

    for (; *environment; environment++) {
        const char *entry = *environment;
        size_t n = strcspn(entry, "=");
        char where[ENV_BYTES_MAX + 8];
        const char *key;

        if (strncmp(entry, "WK_", 3) != 0 || entry[n] != '=' || entry[n + 1] == '\0')
            continue;
        key = key_of(entry, n);
        if (key) {
            (void)snprintf(where, sizeof(where), "env %.*s", (int)n, entry);
            wk_config_put(cfg, key, entry + n + 1, 0, WKIM_SOURCE_ENV, where, p);
        } else if (used + n + 2 < sizeof(unknown)) {
            (void)snprintf(unknown + used, sizeof(unknown) - used, " %.*s", (int)n, entry);
            used += n + 1;
        }
    }
    if (used)
        wk_problems_add(p, -1, "config: unknown environment variables:%s", unknown);
}
