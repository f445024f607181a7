/* JSON bodies into structs, by tables, with the rules of version 2: first value only, keys
 * without regard to case, null = default, integers in range, base64 for bytes. */
#ifndef WK_HTTP_DECODE_H
#define WK_HTTP_DECODE_H

#include "http/request.h"

#include <stddef.h>

enum wk_field_kind {
    WK_FIELD_STR,    /* wkim_slice */
    WK_FIELD_STRS,   /* struct wk_strs */
    WK_FIELD_BYTES,  /* wkim_slice; base64 text or array of numbers */
    WK_FIELD_U8,     /* uint8_t */
    WK_FIELD_U32,    /* uint32_t */
    WK_FIELD_U64,    /* uint64_t */
    WK_FIELD_I64,    /* int64_t */
    WK_FIELD_U32S,   /* struct wk_numbers, each in the range of uint32 */
    WK_FIELD_I64S,   /* struct wk_numbers */
    WK_FIELD_OBJECT, /* nested: `sub` describes the struct at the same offset rules */
    WK_FIELD_OBJECTS /* struct wk_objects of `sub_size` bytes each */
};

struct wk_strs {
    wkim_slice *p;
    size_t n;
};

struct wk_numbers {
    union {
        int64_t *i64;
        uint64_t *u64;
    } u;
    size_t n;
};

struct wk_objects {
    void *p;
    size_t n;
};

struct wk_field {
    const char *name;
    enum wk_field_kind kind;
    size_t at; /* offsetof */
    const struct wk_field *sub;
    size_t sub_count, sub_size;
};

/* One member whose JSON name is its C name. */
#define WK_FIELD(type, name, kind) {#name, WK_FIELD_##kind, offsetof(type, name), NULL, 0, 0}
#define WK_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Decode the body as an object into the zeroed struct at out.  WKIM_OK, or the request has been
 * answered.  `type` names the struct in messages. */
int wk_decode_object(struct wk_req *r, const char *type, const struct wk_field *fields, size_t n,
                     void *out);
/* The body is an array of texts; *is_null tells null from []. */
int wk_decode_strings(struct wk_req *r, struct wk_strs *out, int *is_null);
/* 1: n is no more than max; else the answer is 413, which names the field and its limit. */
int wk_decode_at_most(struct wk_req *r, const char *name, size_t n, size_t max);
#define WK_DECODE_LIST_MAX 100000 /* entries of any list in a body */
/* Take blank texts out. */
void wk_strs_drop_blank(struct wk_strs *s);
int wk_strs_any_blank(const struct wk_strs *s);

#endif
