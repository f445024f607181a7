#include "server.h"

#include <string.h>

#include "log_line.h"

/* Keys that take effect at once. */
static const char *const live[] = {"logger.level", "managerToken", "auth.users",
                                   "jwt.secret",   "jwt.expire",   "jwt.issuer"};

static int is_live(const char *key)
{
    for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++)
        if (strcmp(key, live[i]) == 0)
            return 1;
    return 0;
}

/* "60s" and "1m" are no difference. */
static int differs(const wkim_config *a, const wkim_config *b, const char *key, const char *type)
{
    static const char *const numbers[] = {"bool", "int", "size", "duration", "level"};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(type, numbers[i]) == 0)
            return wkim_config_int(a, key) != wkim_config_int(b, key);
    return strcmp(wkim_config_get(a, key), wkim_config_get(b, key)) != 0;
}

static void say_problems(struct server *s, const struct wk_problems *p)
{
    char text[1024];

    for (size_t i = 0; i < p->n; i++) {
        int bad = p->items[i].level > 0 || (p->items[i].level == 0 && s->options->strict);

        if (bad)
            wk_log_say(s->log, WKIM_LOG_ERROR, "config_not_reloaded", "text=%s",
                       wk_log_line_quote(p->items[i].text, text, sizeof(text)));
    }
}

/* Which keys are new; the number of those that are live. */
static int say_changes(struct server *s, const wkim_config *fresh)
{
    const wkim_config *before = s->reloaded ? s->reloaded : s->config;
    const char *key, *type;
    int changed = 0, effect;

    for (size_t i = 0; wkim_config_key(i, &key, &type, NULL, NULL, &effect); i++) {
        const wkim_config *old = is_live(key) ? before : s->config;

        /* What nobody set follows from other keys, or was found out at the start. */
        if (!effect || (!wkim_config_is_set(old, key) && !wkim_config_is_set(fresh, key)) ||
            !differs(old, fresh, key, type))
            continue;
        changed += is_live(key);
        wk_log_say(s->log, is_live(key) ? WKIM_LOG_INFO : WKIM_LOG_WARN,
                   is_live(key) ? "config_changed" : "config_change_needs_restart", "key=%s", key);
    }
    return changed;
}

static void reload_config(struct server *s)
{
    struct wk_problems problems = {NULL, 0, 0, 0};
    wkim_config *fresh = NULL;

    wk_config_load(&fresh, s->options, &problems);
    if (!fresh || problems.errors || (problems.warnings && s->options->strict)) {
        say_problems(s, &problems);
        wkim_config_free(fresh);
        wk_problems_fini(&problems);
        return;
    }
    wk_problems_fini(&problems);
    wk_log_set_level(s->log, fresh);
    wkim_node_set_log_level(s->node, wk_log_level(s->log));
    if (say_changes(s, fresh) && wk_http_reload(s->http, fresh) != WKIM_OK) {
        wk_log_say(s->log, WKIM_LOG_ERROR, "config_not_reloaded", "text=\"out of memory\"");
        wkim_config_free(fresh);
        return;
    }
    wkim_config_free(s->reloaded);
    s->reloaded = fresh;
}

void wk_reload(struct server *s)
{
    wkim_error err;

    wk_log_reopen(s->log);
    if (s->tls_conns && wk_tls_reload(s->tls_conns, &err) != WKIM_OK)
        wk_log_say(s->log, WKIM_LOG_ERROR, "certificate_not_reloaded", "key=tlsConfig.certFile");
    wk_log_say(s->log, WKIM_LOG_INFO, "log_files_reopened", "signal=SIGHUP");
    reload_config(s);
}
