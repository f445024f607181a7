/* An allocator for tests: counts, fails the n-th allocation, knows what is still allocated.  It
 * installs itself for the whole process (wkim_mem_set); counters may be used from any thread. */
#ifndef TEST_OOM_H
#define TEST_OOM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Call before the first allocation of the library, for instance first in main(). */
void oom_install(void);
/* Forget the count; then let allocation number n (1 = the next one) fail, or none when n is 0. */
void oom_fail_at(uint64_t n);
/* As oom_fail_at, but every allocation from number n on fails. */
void oom_fail_from(uint64_t n);
/* Allocations tried (each malloc, calloc and realloc) since oom_fail_at or oom_fail_from. */
uint64_t oom_count(void);
bool oom_hit(void);       /* one has failed on purpose since then */
size_t oom_live(void);    /* blocks allocated and not freed, over the whole life of the process */
size_t oom_live_bytes(void);
#endif
