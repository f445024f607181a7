/* Limits against abuse that an operator may set: new connections per second, connections per
 * address, SENDs per second of a connection.  A limit that is not set costs one comparison. */
#include "node/conn/conn.h"

/* Connections of one address; shared by all shards. */
struct wk_address {
    struct wk_map_entry entry;
    uint64_t connections;
    size_t n;
    uint8_t text[];
};

static const char *const scopes[WK_LIMIT_SCOPES] = { "connect", "ip", "user", "send" };

int wk_limits_init(struct wk_limits *l)
{
    uint64_t seed;

    if (wk_random_bytes(&seed, sizeof(seed)) != WKIM_OK)
        return WKIM_EIO;
    pthread_mutex_init(&l->lock, NULL);
    wk_map_init(&l->addresses, seed);
    l->made = true;
    return WKIM_OK;
}

void wk_limits_fini(struct wk_limits *l)
{
    struct wk_map_entry *e;

    if (!l->made)
        return;
    while ((e = wk_map_next(&l->addresses, NULL))) {
        wk_map_remove(&l->addresses, e);
        wk_free(WK_CONTAINER(e, struct wk_address, entry));
    }
    wk_map_fini(&l->addresses);
    pthread_mutex_destroy(&l->lock);
    l->made = false;
}

void wk_limit_reached(struct wk_conn *c, enum wk_limit_scope scope)
{
    uint64_t now_s = c->shard->now_ms / 1000;

    wk_count(&wk_conn_per(c)->count.rate_limited[scope], 1);
    /* One line per second and scope says enough. */
    if (atomic_exchange(&c->node->limits.logged_s[scope], now_s) != now_s)
        wk_log(&c->node->log, WK_LOG_WARN, "node", "limit_reached", "scope=%s remote=%s",
               scopes[scope], c->remote ? c->remote : "-");
}

/* Whether one more fits when `per_s` are let through evenly and one second's worth at once. */
static bool fits(uint64_t *due_us, uint64_t now_us, uint64_t per_s)
{
    uint64_t at = *due_us > now_us ? *due_us : now_us;

    if (at - now_us + 1000000 / per_s > 1000000)
        return false;
    *due_us = at + 1000000 / per_s;
    return true;
}

static bool connect_fits(struct wkim_node *n)
{
    pthread_mutex_lock(&n->limits.lock);
    bool ok = fits(&n->limits.connect_due_us, wk_now_us(), n->set.connect_rate);
    pthread_mutex_unlock(&n->limits.lock);
    return ok;
}

/* "1.2.3.4:56" and "[::1]:56" without the port. */
static wkim_slice address_of(const char *remote)
{
    const char *end = remote ? strrchr(remote, ':') : NULL;

    return end ? wk_slice(remote, (size_t)(end - remote)) : wk_str(remote ? remote : "");
}

static bool address_enter(struct wkim_node *n, wkim_slice text, struct wk_address **out)
{
    pthread_mutex_lock(&n->limits.lock);
    struct wk_map_entry *e = wk_map_get(&n->limits.addresses, text);
    struct wk_address *a = e ? WK_CONTAINER(e, struct wk_address, entry) : NULL;
    if (!a && (a = wk_calloc(1, sizeof(*a) + text.n))) {
        a->n = text.n;
        memcpy(a->text, text.p, text.n);
        if (wk_map_put(&n->limits.addresses, &a->entry, wk_slice(a->text, a->n)) != WKIM_OK) {
            wk_free(a);
            a = NULL;
        }
    }
    bool ok = a && a->connections < n->set.per_address_max;
    if (ok)
        a->connections++;
    pthread_mutex_unlock(&n->limits.lock);
    *out = ok ? a : NULL;
    return ok;
}

bool wk_limit_enter(struct wk_conn *c)
{
    const struct wk_node_settings *set = &c->node->set;
    wkim_slice address = address_of(c->remote);

    if (set->connect_rate && !connect_fits(c->node)) {
        wk_limit_reached(c, WK_LIMIT_CONNECT);
        return false;
    }
    if (!set->per_address_max || address.n == 0 ||
        address_enter(c->node, address, &c->address))
        return true;
    wk_limit_reached(c, WK_LIMIT_IP);
    return false;
}

void wk_limit_leave(struct wk_conn *c)
{
    struct wk_limits *l = &c->node->limits;
    struct wk_address *a = c->address;

    c->address = NULL;
    if (!a)
        return;
    pthread_mutex_lock(&l->lock);
    bool last = --a->connections == 0;
    if (last)
        wk_map_remove(&l->addresses, &a->entry);
    pthread_mutex_unlock(&l->lock);
    if (last)
        wk_free(a);
}

bool wk_limit_send(struct wk_conn *c)
{
    if (fits(&c->send_due_us, c->last_in_us, c->node->set.send_rate))
        return true;
    wk_limit_reached(c, WK_LIMIT_SEND);
    return false;
}
