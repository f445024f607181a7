#include "http/auth/accounts.h"

#include "http/auth/jwt.h"
#include "http/auth/password.h"
#include "http/text.h"

#include <wkim/error.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_BYTES 32u
#define DOORS 256u       /* addresses are counted by their hash: strangers may share a door */
#define FAILURES_MAX 10u
#define FAILURES_S 60

struct account {
    char *name, *password, *permissions; /* owned */
};

struct door {
    int64_t since_s;
    unsigned failures;
};

struct wk_accounts {
    struct account *users;
    size_t n, cap;
    char *secret, *issuer;
    const char *nobody; /* what passwords of unknown names are compared with; of users, or fixed */
    int64_t expire_s;
    pthread_mutex_t lock; /* doors */
    struct door doors[DOORS];
};

/* name:password:permission, the permission `*` or `[resource:actions,...]`. */
static int read_account(struct account *a, const char *text)
{
    wkim_slice name, password, rest, grants, behind;

    if (!wk_text_split(wk_text_slice(text), ':', &name, &rest) ||
        !wk_text_split(rest, ':', &password, &grants))
        return WKIM_ECONFIG;
    a->name = strndup((const char *)name.p, name.n);
    a->password = strndup((const char *)password.p, password.n);
    if (grants.n && grants.p[0] == '[') {
        grants.p++;
        grants.n--;
        wk_text_split(grants, ']', &grants, &behind);
        a->permissions = strndup((const char *)grants.p, grants.n);
    } else {
        a->permissions = strdup(wk_text_equal(grants, "*") ? "*:*" : "");
    }
    return a->name && a->password && a->permissions ? WKIM_OK : WKIM_ENOMEM;
}

static int read_accounts(struct wk_accounts *a, const wkim_config *cfg)
{
    size_t n = wkim_config_list(cfg, "auth.users", 0, NULL);

    a->users = calloc(n + 1, sizeof(*a->users));
    if (!a->users)
        return WKIM_ENOMEM;
    a->cap = n;
    for (size_t i = 0; i < n; i++) {
        const char *item = NULL;

        (void)wkim_config_list(cfg, "auth.users", i, &item);
        int rc = item ? read_account(&a->users[a->n], item) : WKIM_ECONFIG;

        if (rc == WKIM_OK)
            a->n++;
        else if (rc == WKIM_ENOMEM)
            return rc;
    }
    return WKIM_OK;
}

/* The secret of an earlier start; NULL when there is none. */
static char *read_secret(const char *path)
{
    char text[2 * SECRET_BYTES + 1] = "";
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, 2 * SECRET_BYTES, f) : 0;

    if (f)
        fclose(f);
    return n == 2 * SECRET_BYTES ? strdup(text) : NULL;
}

static void write_secret(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);

    if (fd < 0)
        return;
    /* A cut off secret must not be taken for one. */
    if (fchmod(fd, 0600) != 0 || write(fd, text, n) != (ssize_t)n || fsync(fd) != 0)
        (void)unlink(path);
    close(fd);
}

static char *make_secret(void)
{
    uint8_t bytes[SECRET_BYTES];
    char *text = malloc(2 * SECRET_BYTES + 1);

    if (!text || getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        free(text);
        return NULL;
    }
    for (size_t i = 0; i < SECRET_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return text;
}

static char *find_secret(const wkim_config *cfg)
{
    const char *set = wkim_config_get(cfg, "jwt.secret"), *root = wkim_config_get(cfg, "rootDir");
    char path[4096];

    if (set && *set)
        return strdup(set);
    if (!root || !*root ||
        (size_t)snprintf(path, sizeof(path), "%s/jwt.secret", root) >= sizeof(path))
        return make_secret();
    char *secret = read_secret(path);

    if (!secret) {
        secret = make_secret();
        if (secret)
            write_secret(path, secret);
    }
    return secret;
}

int wk_accounts_new(struct wk_accounts **out, const wkim_config *cfg)
{
    struct wk_accounts *a = calloc(1, sizeof(*a));
    const char *issuer = wkim_config_get(cfg, "jwt.issuer");

    if (!a)
        return WKIM_ENOMEM;
    pthread_mutex_init(&a->lock, NULL);
    a->secret = find_secret(cfg);
    a->issuer = strdup(issuer ? issuer : "");
    a->expire_s = wkim_config_int(cfg, "jwt.expire") / 1000;
    if (!a->secret || !a->issuer || read_accounts(a, cfg) != WKIM_OK) {
        wk_accounts_free(a);
        return WKIM_ENOMEM;
    }
    a->nobody = "no such account";
    for (size_t i = 0; i < a->n; i++) {
        if (wk_password_hashed(a->users[i].password))
            a->nobody = a->users[i].password;
    }
    *out = a;
    return WKIM_OK;
}

void wk_accounts_free(struct wk_accounts *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->cap; i++) {
        free(a->users[i].name);
        free(a->users[i].password);
        free(a->users[i].permissions);
    }
    free(a->users);
    free(a->secret);
    free(a->issuer);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

static const struct account *find(const struct wk_accounts *a, wkim_slice name)
{
    for (size_t i = 0; i < a->n; i++) {
        if (wk_text_equal(name, a->users[i].name))
            return &a->users[i];
    }
    return NULL;
}

static struct door *door_of(struct wk_accounts *a, const char *address)
{
    uint32_t h = 2166136261u;

    for (const char *p = address; p && *p; p++)
        h = (h ^ (uint8_t)*p) * 16777619u;
    return &a->doors[h % DOORS];
}

enum wk_login wk_accounts_login(struct wk_accounts *a, wkim_slice name, wkim_slice password,
                                const char *address, int64_t now_s)
{
    const struct account *u = find(a, name);

    /* It counts as a failure until it is right: guesses cannot be made side by side. */
    pthread_mutex_lock(&a->lock);
    struct door *d = door_of(a, address);

    if (now_s - d->since_s >= FAILURES_S || now_s < d->since_s)
        *d = (struct door){now_s, 0};
    int open = d->failures < FAILURES_MAX;
    d->failures += (unsigned)open;
    pthread_mutex_unlock(&a->lock);
    if (!open)
        return WK_LOGIN_TOO_OFTEN;
    /* An unknown name takes as long as a known one. */
    int right = wk_password_is(u ? u->password : a->nobody, password);

    if (!u || !right)
        return WK_LOGIN_WRONG;
    pthread_mutex_lock(&a->lock);
    if (d->failures)
        d->failures--;
    pthread_mutex_unlock(&a->lock);
    return WK_LOGIN_OK;
}

const char *wk_accounts_permissions(const struct wk_accounts *a, wkim_slice name)
{
    const struct account *u = find(a, name);

    return u ? u->permissions : NULL;
}

int wk_accounts_allow(const struct wk_accounts *a, wkim_slice name, const char *resource,
                      char action)
{
    wkim_slice left = wk_text_slice(wk_accounts_permissions(a, name));

    while (left.n) {
        wkim_slice grant = left, rest = {NULL, 0}, what, actions;

        wk_text_split(left, ',', &grant, &rest);
        left = rest;
        if (!wk_text_split(wk_text_trim(grant), ':', &what, &actions) ||
            !(wk_text_equal(what, "*") || wk_text_equal(what, resource)))
            continue;
        if (memchr(actions.p, action, actions.n) || memchr(actions.p, '*', actions.n))
            return 1;
    }
    return 0;
}

char *wk_accounts_token(const struct wk_accounts *a, wkim_slice name, int64_t now_s,
                        int64_t *expires_s)
{
    struct wk_jwt_claims c = {.issued_s = now_s, .expires_s = now_s + a->expire_s};

    if (name.n == 0 || name.n > WK_JWT_NAME_MAX || strlen(a->issuer) > WK_JWT_NAME_MAX)
        return NULL;
    memcpy(c.username, name.p, name.n);
    memcpy(c.issuer, a->issuer, strlen(a->issuer));
    *expires_s = c.expires_s;
    return wk_jwt_make(&c, wk_text_slice(a->secret));
}

const char *wk_accounts_of_token(const struct wk_accounts *a, wkim_slice token, int64_t now_s)
{
    struct wk_jwt_claims c;

    if (!wk_jwt_read(token, wk_text_slice(a->secret), now_s, &c))
        return NULL;
    const struct account *u = find(a, wk_text_slice(c.username));

    return u ? u->name : NULL;
}
