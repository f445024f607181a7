/* Allocator of the library.  One per process: set before the first other call of the library and
 * never again.  The four functions must be thread-safe and may return NULL; every caller inside the
 * library answers that with WKIM_ENOMEM and stays consistent. */
#ifndef WKIM_MEM_H
#define WKIM_MEM_H

#include <wkim/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wkim_mem {
    void *(*malloc_fn)(size_t n, void *user);
    void *(*calloc_fn)(size_t count, size_t n, void *user);
    void *(*realloc_fn)(void *p, size_t n, void *user);
    void (*free_fn)(void *p, void *user);
    void *user;
} wkim_mem;

/* Copies *mem; NULL restores malloc/free of libc. */
WKIM_API void wkim_mem_set(const wkim_mem *mem);

#ifdef __cplusplus
}
#endif
#endif
