/* Allocation for the whole library; see wkim/mem.h.  All return NULL on failure. */
#ifndef WK_BASE_MEM_H
#define WK_BASE_MEM_H
#include <stddef.h>
#include <wkim/mem.h>

void *wk_malloc(size_t n);
void *wk_calloc(size_t count, size_t n);
void *wk_realloc(void *p, size_t n);
void wk_free(void *p);
void *wk_memdup(const void *p, size_t n);        /* n may be 0: returns a valid pointer */
char *wk_strdup_n(const void *p, size_t n);      /* copies n bytes and adds a NUL */

/* Region allocator for one request: everything is freed at reset/fini. */
struct wk_arena {
    struct wk_arena_chunk *head;
    size_t bytes;      /* handed out since reset */
    size_t bytes_max;  /* 0: no limit; beyond: NULL */
};
void wk_arena_init(struct wk_arena *a, size_t bytes_max);
void *wk_arena_alloc(struct wk_arena *a, size_t n); /* 16-byte aligned */
void *wk_arena_dup(struct wk_arena *a, const void *p, size_t n);
void wk_arena_reset(struct wk_arena *a); /* keeps one chunk */
void wk_arena_fini(struct wk_arena *a);
#endif
