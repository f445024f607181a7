/* A growable byte buffer and a JSON writer on it.  Failure to grow is remembered in `failed`; the
 * writer may go on and the caller looks once at the end.  Single-threaded. */
#ifndef WK_HTTP_JSONBUF_H
#define WK_HTTP_JSONBUF_H

#include <wkim/types.h>

struct wk_jsonbuf {
    char *p;  /* owned: free() or wk_jsonbuf_take */
    size_t n; /* bytes written */
    size_t cap;
    int failed;
};

void wk_jsonbuf_init(struct wk_jsonbuf *b);
void wk_jsonbuf_fini(struct wk_jsonbuf *b);
/* Room for n more bytes: the place to write at, or NULL (failed is set). */
char *wk_jsonbuf_room(struct wk_jsonbuf *b, size_t n);
/* `end` is behind the last byte written into the room. */
void wk_jsonbuf_used(struct wk_jsonbuf *b, const char *end);

void wk_jsonbuf_raw(struct wk_jsonbuf *b, const char *text, size_t n);
void wk_jsonbuf_lit(struct wk_jsonbuf *b, const char *text);
void wk_jsonbuf_char(struct wk_jsonbuf *b, char c);
void wk_jsonbuf_i64(struct wk_jsonbuf *b, int64_t v);
void wk_jsonbuf_u64(struct wk_jsonbuf *b, uint64_t v);
/* Quoted and escaped; bytes that are no UTF-8 become U+FFFD. */
void wk_jsonbuf_str(struct wk_jsonbuf *b, wkim_slice s);
void wk_jsonbuf_cstr(struct wk_jsonbuf *b, const char *s);
void wk_jsonbuf_lit_u64(struct wk_jsonbuf *b, const char *before, uint64_t v);
/* ,"name":value */
void wk_jsonbuf_member_u64(struct wk_jsonbuf *b, const char *name, uint64_t v);
void wk_jsonbuf_member_cstr(struct wk_jsonbuf *b, const char *name, const char *v);
/* Remove the last byte when it is c (the comma behind the last item of a list). */
void wk_jsonbuf_chop(struct wk_jsonbuf *b, char c);

/* The same into room that was reserved: they return the new end and check nothing. */
#define WK_JSON_I64_MAX 20
#define WK_JSON_STR_MAX(n) (6 * (n) + 2)
#define WK_JSON_BASE64_MAX(n) (((n) + 2) / 3 * 4 + 2)
char *wk_json_put_i64(char *p, int64_t v);
char *wk_json_put_u64(char *p, uint64_t v);
char *wk_json_put_str(char *p, wkim_slice s);
char *wk_json_put_base64(char *p, wkim_slice s); /* quoted, standard alphabet, padded */

/* Length (2 to 4) of the UTF-8 sequence of a byte that is no ASCII, 0 when it is none: overlong,
 * surrogate, cut off, beyond U+10FFFF. */
size_t wk_jsonbuf_utf8(const uint8_t *s, size_t left);

#endif
