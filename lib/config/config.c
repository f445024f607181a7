#include "config/config.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/error.h"
#include "base/mem.h"

#define Z WK_CONFIG_ZERO_OK
#define R WK_CONFIG_ZERO_REFUSED
#define I WK_CONFIG_INERT
#define Q WK_CONFIG_QUIET
#define X(name, kind, def, min, max, flags, extra, text)                                           \
    {name, def, extra, text, min, max, WK_CONFIG_##kind, flags},
const struct wk_config_key wk_config_keys[WK_CONFIG_KEYS] = {
#include "config/config.def"
};
#undef X
#undef Z
#undef R
#undef I
#undef Q

/* Names that older files use for the same thing. */
static const struct {
    const char *old;
    const char *name;
} aliases[] = {{"monitor.on", "manager.on"},
               {"monitor.addr", "manager.addr"},
               {"external.monitorAddr", "external.managerAddr"},
               {"limit.connectRate", "limits.connectRate"},
               {"limit.connPerIp", "limits.maxConnectionsPerIp"},
               {"limit.sendPerSecond", "limits.sendPerSecond"}};

static const char *const kind_names[] = {"bool",   "int",   "size", "duration",  "text",
                                         "secret", "path",  "url",  "host:port", "address",
                                         "choice", "level", "list"};

int wk_config_find(const char *key, int *alias)
{
    if (alias)
        *alias = 0;
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (strcasecmp(key, aliases[i].old) == 0) {
            if (alias)
                *alias = 1;
            key = aliases[i].name;
            break;
        }
    }
    for (int i = 0; i < WK_CONFIG_KEYS; i++)
        if (strcasecmp(key, wk_config_keys[i].name) == 0)
            return i;
    return -1;
}

#define KEY_BYTES_MAX 63 /* longer names are not compared for likeness */

static size_t distance(const char *a, const char *b)
{
    size_t row[KEY_BYTES_MAX + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > KEY_BYTES_MAX || nb > KEY_BYTES_MAX)
        return KEY_BYTES_MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = j;
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            size_t best = diagonal + (ca != cb);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

const char *wk_config_nearest(const char *key)
{
    size_t best = strlen(key) / 4 + 2; /* more differences than this are another word */
    const char *name = NULL;

    for (int i = 0; i < WK_CONFIG_KEYS; i++) {
        size_t d = distance(key, wk_config_keys[i].name);

        if (d < best) {
            best = d;
            name = wk_config_keys[i].name;
        }
    }
    return name;
}

static void items_free(char **items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        wk_free(items[i]);
    wk_free(items);
}

static void entry_fini(struct wk_config_entry *e)
{
    items_free(e->items, e->n_items);
    wk_free(e->text);
    wk_free(e->where);
}

static int number_default(const struct wk_config_key *k, int64_t *num)
{
    char reason[200];

    return wk_config_value_parse(k, k->def, num, reason, sizeof(reason));
}

static const char *value(const wkim_config *c, int i)
{
    return c->entries[i].text ? c->entries[i].text : wk_config_keys[i].def;
}

static const char *value_of(const wkim_config *c, const char *key)
{
    int i = wk_config_find(key, NULL);

    WK_ASSERT(i >= 0);
    return value(c, i);
}

/* Set the text of a key that nobody set: it follows other keys. */
static int derive_text(wkim_config *c, const char *key, const char *dir, const char *tail)
{
    struct wk_config_entry *e = &c->entries[wk_config_find(key, NULL)];
    size_t n = strlen(dir) + strlen(tail) + 2;
    char *text;

    if (e->text && *e->text && !e->derived)
        return WKIM_OK;
    text = wk_malloc(n);
    if (!text)
        return WKIM_ENOMEM;
    (void)snprintf(text, n, "%s%s%s", dir, *tail ? "/" : "", tail);
    wk_free(e->text);
    e->text = text;
    e->derived = true;
    return WKIM_OK;
}

static int derive_demo(wkim_config *c)
{
    struct wk_config_entry *e = &c->entries[wk_config_find("demo.on", NULL)];
    bool on = strcmp(value_of(c, "mode"), "release") != 0;
    char *text;

    if ((e->text && !e->derived) || e->num == on)
        return WKIM_OK;
    text = wk_strdup_n(on ? "true" : "false", on ? 4 : 5);
    if (!text)
        return WKIM_ENOMEM;
    wk_free(e->text);
    e->text = text;
    e->num = on;
    e->derived = true;
    return WKIM_OK;
}

/* Defaults that depend on other keys are recomputed after each change. */
static int derive(wkim_config *c)
{
    const char *home = getenv("HOME");
    int rc;

    rc = derive_text(c, "rootDir", home && *home ? home : ".", "wukongim");
    if (rc == WKIM_OK)
        rc = derive_text(c, "dataDir", value_of(c, "rootDir"), "data");
    if (rc == WKIM_OK)
        rc = derive_text(c, "plugin.socketPath", value_of(c, "rootDir"), "run/wukongim.sock");
    if (rc == WKIM_OK)
        rc = derive_demo(c);
    return rc;
}

int wkim_config_new(wkim_config **out)
{
    wkim_config *c;
    int rc;

    if (!out)
        return WKIM_EINVAL;
    *out = NULL;
    c = wk_calloc(1, sizeof(*c));
    if (!c)
        return WKIM_ENOMEM;
    for (int i = 0; i < WK_CONFIG_KEYS; i++) {
        rc = number_default(&wk_config_keys[i], &c->entries[i].num);
        WK_ASSERT(rc == WKIM_OK);
    }
    rc = derive(c);
    if (rc != WKIM_OK) {
        wkim_config_free(c);
        return rc;
    }
    *out = c;
    return WKIM_OK;
}

void wkim_config_free(wkim_config *c)
{
    if (!c)
        return;
    for (int i = 0; i < WK_CONFIG_KEYS; i++)
        entry_fini(&c->entries[i]);
    wk_free(c);
}

static const char *source_name(int source)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};

    return source >= 0 && source < 4 ? names[source] : "?";
}

/* Everything a change needs is allocated here before the entry is touched. */
struct change {
    struct wk_config_entry next;
    const struct wk_config_key *key;
};

static int change_fail(struct change *ch, int rc)
{
    entry_fini(&ch->next);
    memset(&ch->next, 0, sizeof(ch->next));
    return rc;
}

static int push_item(struct wk_config_entry *e, const char *p, size_t n)
{
    char **items = wk_realloc(e->items, (e->n_items + 1) * sizeof(*items));

    if (!items)
        return WKIM_ENOMEM;
    e->items = items;
    items[e->n_items] = wk_strdup_n(p, n);
    if (!items[e->n_items])
        return WKIM_ENOMEM;
    e->n_items++;
    return WKIM_OK;
}

/* One item of a sequence, without the blanks around it; an empty one is none. */
static int push_trimmed(struct wk_config_entry *e, const char *text)
{
    size_t n;

    while (isspace((unsigned char)*text))
        text++;
    for (n = strlen(text); n && isspace((unsigned char)text[n - 1]); n--)
        ;
    return n ? push_item(e, text, n) : WKIM_OK;
}

/* Items are separated by blanks and, outside brackets, by commas. */
static int split_items(struct wk_config_entry *e, const char *text)
{
    const char *p = text;

    for (;;) {
        const char *start;
        int depth = 0;

        while (*p && (isspace((unsigned char)*p) || *p == ','))
            p++;
        if (!*p)
            return WKIM_OK;
        for (start = p; *p && (depth > 0 || (!isspace((unsigned char)*p) && *p != ',')); p++) {
            if (*p == '[')
                depth++;
            else if (*p == ']' && depth > 0)
                depth--;
        }
        if (push_item(e, start, (size_t)(p - start)) != WKIM_OK)
            return WKIM_ENOMEM;
    }
}

static int join_items(struct wk_config_entry *e)
{
    size_t n = 1;
    char *at;

    for (size_t i = 0; i < e->n_items; i++)
        n += strlen(e->items[i]) + 1;
    e->text = at = wk_malloc(n);
    if (!at)
        return WKIM_ENOMEM;
    *at = '\0';
    for (size_t i = 0; i < e->n_items; i++) {
        size_t len = strlen(e->items[i]);

        if (i)
            *at++ = ' ';
        memcpy(at, e->items[i], len + 1);
        at += len;
    }
    return WKIM_OK;
}

static int check_items(const struct change *ch, size_t from, char *reason, size_t cap)
{
    int rc = WKIM_OK;

    for (size_t i = from; rc == WKIM_OK && i < ch->next.n_items; i++)
        rc = wk_config_item_parse(ch->key, ch->next.items[i], i, reason, cap);
    return rc;
}

/* The words of a choice and of a bool are kept in one spelling. */
static int canonical_text(struct change *ch, const char *text, size_t n)
{
    const struct wk_config_key *k = ch->key;

    if (k->kind == WK_CONFIG_BOOL && n)
        ch->next.text = ch->next.num ? wk_strdup_n("true", 4) : wk_strdup_n("false", 5);
    else
        ch->next.text = wk_strdup_n(text, n);
    if (!ch->next.text)
        return WKIM_ENOMEM;
    if (k->kind == WK_CONFIG_CHOICE)
        for (char *p = ch->next.text; *p; p++)
            *p = (char)tolower((unsigned char)*p);
    return WKIM_OK;
}

static bool numeric(const struct wk_config_key *k)
{
    return k->kind == WK_CONFIG_INT || k->kind == WK_CONFIG_SIZE || k->kind == WK_CONFIG_DURATION ||
           k->kind == WK_CONFIG_LEVEL;
}

static int change_scalar(struct change *ch, const char *text, char *reason, size_t cap)
{
    const struct wk_config_key *k = ch->key;
    size_t n = strlen(text);
    char *trimmed;
    int rc;

    while (n && isspace((unsigned char)text[n - 1]))
        n--;
    while (n && isspace((unsigned char)*text)) {
        text++;
        n--;
    }
    trimmed = wk_strdup_n(text, n);
    if (!trimmed)
        return WKIM_ENOMEM;
    rc = wk_config_value_parse(k, trimmed, &ch->next.num, reason, cap);
    wk_free(trimmed);
    if (rc != WKIM_OK)
        return rc;
    if (n == 0 ? !(k->flags & WK_CONFIG_ZERO_OK) || numeric(k)
               : numeric(k) && ch->next.num == 0 && !(k->flags & WK_CONFIG_ZERO_OK)) {
        ch->next.zero = true;
        return number_default(k, &ch->next.num);
    }
    return canonical_text(ch, text, n);
}

static int refuse(wkim_error *err, const struct wk_config_key *k, const char *reason,
                  const char *where)
{
    const char *sep = reason[0] == '[' ? "" : ": ";

    return wk_fail(err, WKIM_ECONFIG, "config: %s%s%s [%s]", k->name, sep, reason, where);
}

static int unknown(wkim_error *err, const char *key, const char *where)
{
    const char *near = wk_config_nearest(key);

    if (near)
        return wk_fail(err, WKIM_ENOTFOUND,
                       "config: unknown key \"%.64s\" at %s (did you mean \"%s\"?)", key, where,
                       near);
    return wk_fail(err, WKIM_ENOTFOUND, "config: unknown key \"%.64s\" at %s", key, where);
}

/* Put ch->next in place of the entry unless a stronger source holds it. */
static int commit(wkim_config *c, int i, struct change *ch, int source, const char *where,
                  int alias, wkim_error *err)
{
    struct wk_config_entry *e = &c->entries[i];

    if (e->source > source || (alias && e->source == source && source != WKIM_SOURCE_DEFAULT))
        return change_fail(ch, WKIM_OK);
    if (where) {
        ch->next.where = wk_strdup_n(where, strlen(where));
        if (!ch->next.where)
            return change_fail(ch, wk_fail(err, WKIM_ENOMEM, "config: out of memory"));
    }
    ch->next.source = (uint8_t)source;
    ch->next.alias = alias != 0;
    struct wk_config_entry old = *e;
    *e = ch->next;
    if (derive(c) != WKIM_OK) {
        entry_fini(e);
        *e = old;
        return wk_fail(err, WKIM_ENOMEM, "config: out of memory");
    }
    entry_fini(&old);
    return WKIM_OK;
}

static int change(wkim_config *c, const char *key, const char *text, bool add, int source,
                  const char *where, wkim_error *err)
{
    const char *shown = where ? where : source_name(source);
    struct change ch = {0};
    char reason[200] = "";
    int alias, i, rc = WKIM_OK;

    if (!c || !key || !text || source < WKIM_SOURCE_DEFAULT || source > WKIM_SOURCE_FLAG)
        return wk_fail(err, WKIM_EINVAL, "config: bad argument");
    i = wk_config_find(key, &alias);
    if (i < 0)
        return unknown(err, key, shown);
    ch.key = &wk_config_keys[i];
    if (add && ch.key->kind != WK_CONFIG_LIST)
        return refuse(err, ch.key, "is not a list, one value is expected", shown);
    if (ch.key->kind != WK_CONFIG_LIST) {
        rc = change_scalar(&ch, text, reason, sizeof(reason));
    } else {
        const struct wk_config_entry *e = &c->entries[i];
        size_t kept = add && e->source == source ? e->n_items : 0;

        for (size_t k = 0; rc == WKIM_OK && k < kept; k++)
            rc = push_item(&ch.next, e->items[k], strlen(e->items[k]));
        if (rc == WKIM_OK)
            rc = add ? push_trimmed(&ch.next, text) : split_items(&ch.next, text);
        if (rc == WKIM_OK)
            rc = check_items(&ch, kept, reason, sizeof(reason));
        if (rc == WKIM_OK)
            rc = join_items(&ch.next);
    }
    if (rc == WKIM_ECONFIG)
        return change_fail(&ch, refuse(err, ch.key, reason, shown));
    if (rc != WKIM_OK)
        return change_fail(&ch, wk_fail(err, rc, "config: out of memory"));
    return commit(c, i, &ch, source, where, alias, err);
}

int wkim_config_set(wkim_config *c, const char *key, const char *text, int source,
                    const char *where, wkim_error *err)
{
    return change(c, key, text, false, source, where, err);
}

int wkim_config_add(wkim_config *c, const char *key, const char *item, int source,
                    const char *where, wkim_error *err)
{
    return change(c, key, item, true, source, where, err);
}

/* A load test logs in without tokens, whatever tokenAuthOn says. */
static bool token_auth_forced(const wkim_config *c, int i)
{
    return strcmp(wk_config_keys[i].name, "tokenAuthOn") == 0 &&
           c->entries[wk_config_find("stress", NULL)].num != 0;
}

const char *wkim_config_get(const wkim_config *c, const char *key)
{
    int i = c && key ? wk_config_find(key, NULL) : -1;

    if (i < 0)
        return NULL;
    return token_auth_forced(c, i) ? "false" : value(c, i);
}

int64_t wkim_config_int(const wkim_config *c, const char *key)
{
    int i = c && key ? wk_config_find(key, NULL) : -1;

    return i < 0 || token_auth_forced(c, i) ? 0 : c->entries[i].num;
}

size_t wkim_config_list(const wkim_config *c, const char *key, size_t at, const char **item)
{
    int i = c && key ? wk_config_find(key, NULL) : -1;
    const struct wk_config_entry *e = i < 0 ? NULL : &c->entries[i];

    if (item)
        *item = e && at < e->n_items ? e->items[at] : NULL;
    return e ? e->n_items : 0;
}

int wkim_config_is_set(const wkim_config *c, const char *key)
{
    int i = c && key ? wk_config_find(key, NULL) : -1;

    return i >= 0 && c->entries[i].source != WKIM_SOURCE_DEFAULT && !c->entries[i].zero;
}

int wkim_config_key(size_t i, const char **key, const char **type, const char **def,
                    const char **text, int *effect)
{
    const struct wk_config_key *k = i < WK_CONFIG_KEYS ? &wk_config_keys[i] : NULL;

    if (!k)
        return 0;
    if (key)
        *key = k->name;
    if (type)
        *type = kind_names[k->kind];
    if (def)
        *def = k->def;
    if (text)
        *text = k->text;
    if (effect)
        *effect = (k->flags & WK_CONFIG_INERT) == 0;
    return 1;
}

static int entry_clone(struct wk_config_entry *out, const struct wk_config_entry *in)
{
    int rc = WKIM_OK;

    out->num = in->num;
    out->source = in->source;
    out->zero = in->zero;
    out->alias = in->alias;
    out->derived = in->derived;
    for (size_t i = 0; rc == WKIM_OK && i < in->n_items; i++)
        rc = push_item(out, in->items[i], strlen(in->items[i]));
    if (rc == WKIM_OK && in->text && !(out->text = wk_strdup_n(in->text, strlen(in->text))))
        rc = WKIM_ENOMEM;
    if (rc == WKIM_OK && in->where && !(out->where = wk_strdup_n(in->where, strlen(in->where))))
        rc = WKIM_ENOMEM;
    return rc;
}

int wk_config_clone(wkim_config **out, const wkim_config *c)
{
    wkim_config *copy = wk_calloc(1, sizeof(*copy));
    int rc = copy ? WKIM_OK : WKIM_ENOMEM;

    *out = NULL;
    for (int i = 0; rc == WKIM_OK && i < WK_CONFIG_KEYS; i++)
        rc = entry_clone(&copy->entries[i], &c->entries[i]);
    if (rc != WKIM_OK) {
        wkim_config_free(copy);
        return rc;
    }
    *out = copy;
    return WKIM_OK;
}
