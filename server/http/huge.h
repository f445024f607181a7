/* Numbers of a body that no 64 bits hold.  Version 2 takes a body that has some where nobody looks,
 * and uint64 beyond int64; the JSON parser refuses both. */
#ifndef WK_HTTP_HUGE_H
#define WK_HTTP_HUGE_H

#include "http/jsonbuf.h"

#include <jansson.h>

/* Writes text to out with each such number as an object that holds its digits: no decoder takes it
 * for a number but wk_huge_u64. */
void wk_huge_wrap(wkim_slice text, struct wk_jsonbuf *out);
/* 1: v is a wrapped number that a uint64 holds. */
int wk_huge_u64(const json_t *v, uint64_t *out);

#endif
