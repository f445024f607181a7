/* Checksums and hashes. */
#ifndef WK_BASE_HASH_H
#define WK_BASE_HASH_H
#include "base/slice.h"

uint32_t wk_crc32_ieee(wkim_slice s);                             /* slot of a key, person ids */
uint32_t wk_crc32c(uint32_t crc, const void *p, size_t n);        /* start with 0; log records */
uint32_t wk_crc32c_table(uint32_t crc, const void *p, size_t n); /* same, without the CPU's help */
uint64_t wk_fnv1a64(wkim_slice s);                                /* temp command channel ids */
uint64_t wk_hash64(const void *p, size_t n, uint64_t seed);       /* fast, stable across versions */
#endif
