/* Hash map from bytes to pointer, intrusive: the entry lives in the owner's struct and borrows its
 * key from there.  Seeded hash (hash flooding).  Not thread-safe. */
#ifndef WK_BASE_MAP_H
#define WK_BASE_MAP_H
#include "base/slice.h"

struct wk_map_entry {
    struct wk_map_entry *next;
    uint64_t hash;
    wkim_slice key; /* borrowed while the entry is in the map */
};
struct wk_map {
    struct wk_map_entry **buckets;
    size_t n_buckets; /* power of two or 0 */
    size_t count;
    uint64_t seed;
};
void wk_map_init(struct wk_map *m, uint64_t seed);
void wk_map_fini(struct wk_map *m); /* entries belong to their owners and are not touched */
/* Adds e under key; the key must not be present.  Grows as needed: WKIM_OK or WKIM_ENOMEM (only
 * when the first bucket array cannot be had; later growth failures only slow it down). */
int wk_map_put(struct wk_map *m, struct wk_map_entry *e, wkim_slice key);
struct wk_map_entry *wk_map_get(const struct wk_map *m, wkim_slice key); /* NULL: absent */
void wk_map_remove(struct wk_map *m, struct wk_map_entry *e);
/* Next entry after `e` (NULL: the first); order undefined; `e` may not have been removed. */
struct wk_map_entry *wk_map_next(const struct wk_map *m, struct wk_map_entry *e);
#endif
