#include "base/map.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define MAP_BUCKETS_MIN 16

void wk_map_init(struct wk_map *m, uint64_t seed)
{
    *m = (struct wk_map){ NULL, 0, 0, seed };
}

void wk_map_fini(struct wk_map *m)
{
    wk_free(m->buckets);
    wk_map_init(m, m->seed);
}

static struct wk_map_entry **bucket_of(const struct wk_map *m, uint64_t hash)
{
    return &m->buckets[hash & (m->n_buckets - 1)];
}

static int resize(struct wk_map *m, size_t n_buckets)
{
    struct wk_map_entry **fresh = wk_calloc(n_buckets, sizeof(struct wk_map_entry *));

    if (!fresh)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < m->n_buckets; i++) {
        struct wk_map_entry *e = m->buckets[i];
        while (e) {
            struct wk_map_entry *next = e->next;
            struct wk_map_entry **at = &fresh[e->hash & (n_buckets - 1)];
            e->next = *at;
            *at = e;
            e = next;
        }
    }
    wk_free(m->buckets);
    m->buckets = fresh;
    m->n_buckets = n_buckets;
    return WKIM_OK;
}

int wk_map_put(struct wk_map *m, struct wk_map_entry *e, wkim_slice key)
{
    if (m->n_buckets == 0) {
        if (resize(m, MAP_BUCKETS_MIN) != WKIM_OK)
            return WKIM_ENOMEM;
    } else if (m->count >= m->n_buckets && m->n_buckets <= SIZE_MAX / 32) {
        (void)resize(m, m->n_buckets * 2); /* on failure the chains only get longer */
    }
    e->key = key;
    e->hash = wk_hash64(key.p, key.n, m->seed);
    struct wk_map_entry **at = bucket_of(m, e->hash);
    e->next = *at;
    *at = e;
    m->count++;
    return WKIM_OK;
}

struct wk_map_entry *wk_map_get(const struct wk_map *m, wkim_slice key)
{
    if (m->count == 0)
        return NULL;
    const uint64_t hash = wk_hash64(key.p, key.n, m->seed);
    struct wk_map_entry *e = *bucket_of(m, hash);
    while (e && (e->hash != hash || !wk_slice_eq(e->key, key)))
        e = e->next;
    return e;
}

void wk_map_remove(struct wk_map *m, struct wk_map_entry *e)
{
    WK_ASSERT(m->count > 0);
    struct wk_map_entry **at = bucket_of(m, e->hash);
    while (*at && *at != e)
        at = &(*at)->next;
    WK_ASSERT(*at == e);
    *at = e->next;
    e->next = NULL;
    m->count--;
}

struct wk_map_entry *wk_map_next(const struct wk_map *m, struct wk_map_entry *e)
{
    if (e && e->next)
        return e->next;
    size_t i = e ? (size_t)(e->hash & (m->n_buckets - 1)) + 1 : 0;
    for (; i < m->n_buckets; i++)
        if (m->buckets[i])
            return m->buckets[i];
    return NULL;
}
