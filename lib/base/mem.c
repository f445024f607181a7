#include "base/mem.h"
#include <stdalign.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/error.h"

static void *libc_malloc(size_t n, void *user)
{
    (void)user;
    return malloc(n);
}

static void *libc_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    return calloc(count, n);
}

static void *libc_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return realloc(p, n);
}

static void libc_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static const wkim_mem libc_mem = { libc_malloc, libc_calloc, libc_realloc, libc_free, NULL };

/* The one mutable global of the library: written before its first other call only. */
static wkim_mem mem = { libc_malloc, libc_calloc, libc_realloc, libc_free, NULL };

void wkim_mem_set(const wkim_mem *m)
{
    if (!m) {
        mem = libc_mem;
        return;
    }
    WK_ASSERT(m->malloc_fn && m->calloc_fn && m->realloc_fn && m->free_fn);
    mem = *m;
}

/* A size of 0 is raised to 1, so that NULL always means failure. */
void *wk_malloc(size_t n)
{
    return mem.malloc_fn(n ? n : 1, mem.user);
}

void *wk_calloc(size_t count, size_t n)
{
    size_t total;

    if (__builtin_mul_overflow(count, n, &total))
        return NULL;
    if (total == 0)
        return mem.calloc_fn(1, 1, mem.user);
    return mem.calloc_fn(count, n, mem.user);
}

void *wk_realloc(void *p, size_t n)
{
    if (!p)
        return wk_malloc(n);
    return mem.realloc_fn(p, n ? n : 1, mem.user);
}

void wk_free(void *p)
{
    if (p)
        mem.free_fn(p, mem.user);
}

void *wk_memdup(const void *p, size_t n)
{
    void *copy = wk_malloc(n);

    if (copy && n > 0)
        memcpy(copy, p, n);
    return copy;
}

char *wk_strdup_n(const void *p, size_t n)
{
    if (n == SIZE_MAX)
        return NULL;
    char *copy = wk_malloc(n + 1);
    if (!copy)
        return NULL;
    if (n > 0)
        memcpy(copy, p, n);
    copy[n] = '\0';
    return copy;
}

/* ---- arena ---------------------------------------- */

#define ARENA_ALIGN 16
#define ARENA_CHUNK_MIN 4096
#define ARENA_CHUNK_MAX 65536 /* growth stops here; a reset keeps no larger chunk either */

struct wk_arena_chunk {
    struct wk_arena_chunk *next;
    size_t used, cap;
    alignas(ARENA_ALIGN) uint8_t p[];
};

void wk_arena_init(struct wk_arena *a, size_t bytes_max)
{
    *a = (struct wk_arena){ NULL, 0, bytes_max };
}

static struct wk_arena_chunk *chunk_new(size_t cap)
{
    if (cap > SIZE_MAX - sizeof(struct wk_arena_chunk))
        return NULL;
    struct wk_arena_chunk *c = wk_malloc(sizeof(*c) + cap);
    if (!c)
        return NULL;
    c->next = NULL;
    c->used = 0;
    c->cap = cap;
    return c;
}

/* A chunk with n free bytes.  An oversized request gets a chunk of its own behind the head, so that
 * the room left in the head is not lost. */
static struct wk_arena_chunk *chunk_for(struct wk_arena *a, size_t n)
{
    if (a->head && a->head->cap - a->head->used >= n)
        return a->head;

    size_t cap = a->head ? a->head->cap * 2 : ARENA_CHUNK_MIN;
    if (cap > ARENA_CHUNK_MAX)
        cap = ARENA_CHUNK_MAX;
    const bool oversized = n > cap;
    struct wk_arena_chunk *c = chunk_new(oversized ? n : cap);
    if (!c)
        return NULL;
    if (oversized && a->head) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
    }
    return c;
}

void *wk_arena_alloc(struct wk_arena *a, size_t n)
{
    if (n > SIZE_MAX - ARENA_ALIGN)
        return NULL;
    n = n ? (n + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
    if (a->bytes_max && (n > a->bytes_max || a->bytes > a->bytes_max - n))
        return NULL;
    struct wk_arena_chunk *c = chunk_for(a, n);
    if (!c)
        return NULL;
    void *p = c->p + c->used;
    c->used += n;
    a->bytes += n;
    return p;
}

void *wk_arena_dup(struct wk_arena *a, const void *p, size_t n)
{
    void *copy = wk_arena_alloc(a, n);

    if (copy && n > 0)
        memcpy(copy, p, n);
    return copy;
}

void wk_arena_reset(struct wk_arena *a)
{
    struct wk_arena_chunk *keep = NULL, *c = a->head;

    while (c) {
        struct wk_arena_chunk *next = c->next;
        struct wk_arena_chunk *drop = c;
        if (c->cap <= ARENA_CHUNK_MAX && (!keep || c->cap > keep->cap)) {
            drop = keep;
            keep = c;
        }
        wk_free(drop);
        c = next;
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    a->head = keep;
    a->bytes = 0;
}

void wk_arena_fini(struct wk_arena *a)
{
    struct wk_arena_chunk *c = a->head;

    while (c) {
        struct wk_arena_chunk *next = c->next;
        wk_free(c);
        c = next;
    }
    a->head = NULL;
    a->bytes = 0;
}
