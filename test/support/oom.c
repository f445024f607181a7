#include "oom.h"
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wkim/mem.h>

#define HEAD_BYTES 32 /* keeps the alignment of malloc */
#define HEAD_MAGIC 0x6f6f6d5f6c697665ULL

struct head {
    uint64_t magic;
    size_t n;
};

static _Atomic uint64_t count, fail_first, fail_last;
static _Atomic bool hit;
static _Atomic size_t live, live_bytes;

static bool must_fail(void)
{
    const uint64_t nth = atomic_fetch_add(&count, 1) + 1;
    const uint64_t first = atomic_load(&fail_first);

    if (first == 0 || nth < first || nth > atomic_load(&fail_last))
        return false;
    atomic_store(&hit, true);
    return true;
}

static void *oom_malloc(size_t n, void *user)
{
    (void)user;
    if (must_fail() || n > SIZE_MAX - HEAD_BYTES)
        return NULL;
    uint8_t *raw = malloc(n + HEAD_BYTES);
    if (!raw)
        return NULL;
    const struct head h = { HEAD_MAGIC, n };
    memcpy(raw, &h, sizeof(h));
    atomic_fetch_add(&live, 1);
    atomic_fetch_add(&live_bytes, n);
    return raw + HEAD_BYTES;
}

static struct head head_of(const void *p)
{
    struct head h;

    memcpy(&h, (const uint8_t *)p - HEAD_BYTES, sizeof(h));
    if (h.magic != HEAD_MAGIC) {
        fprintf(stderr, "oom: %p was not allocated here or was freed before\n", p);
        abort();
    }
    return h;
}

static void oom_free(void *p, void *user)
{
    (void)user;
    if (!p)
        return;
    const struct head h = head_of(p);
    uint8_t *raw = (uint8_t *)p - HEAD_BYTES;
    memset(raw, 0xdd, HEAD_BYTES + h.n);
    atomic_fetch_sub(&live, 1);
    atomic_fetch_sub(&live_bytes, h.n);
    free(raw);
}

static void *oom_calloc(size_t n, size_t size, void *user)
{
    size_t total;

    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    void *p = oom_malloc(total, user);
    if (p)
        memset(p, 0, total);
    return p;
}

/* Always moves the block, so that a pointer kept over a growth is found out. */
static void *oom_realloc(void *p, size_t n, void *user)
{
    if (!p)
        return oom_malloc(n, user);
    const struct head h = head_of(p);
    void *fresh = oom_malloc(n, user);
    if (!fresh)
        return NULL;
    memcpy(fresh, p, h.n < n ? h.n : n);
    oom_free(p, user);
    return fresh;
}

void oom_install(void)
{
    const wkim_mem mem = { oom_malloc, oom_calloc, oom_realloc, oom_free, NULL };

    wkim_mem_set(&mem);
}

static void arm(uint64_t first, uint64_t last)
{
    atomic_store(&fail_first, 0);
    atomic_store(&count, 0);
    atomic_store(&hit, false);
    atomic_store(&fail_last, last);
    atomic_store(&fail_first, first);
}

void oom_fail_at(uint64_t n)
{
    arm(n, n);
}

void oom_fail_from(uint64_t n)
{
    arm(n, UINT64_MAX);
}

uint64_t oom_count(void)
{
    return atomic_load(&count);
}

bool oom_hit(void)
{
    return atomic_load(&hit);
}

size_t oom_live(void)
{
    return atomic_load(&live);
}

size_t oom_live_bytes(void)
{
    return atomic_load(&live_bytes);
}
