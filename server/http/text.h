/* Small pure helpers on text of requests and answers. */
#ifndef WK_HTTP_TEXT_H
#define WK_HTTP_TEXT_H

#include <wkim/types.h>

wkim_slice wk_text_slice(const char *s); /* NULL: empty */
wkim_slice wk_text_trim(wkim_slice s);   /* white space at both ends */
int wk_text_blank(wkim_slice s);         /* empty after trimming */
int wk_text_equal(wkim_slice s, const char *t);
int wk_text_same(wkim_slice a, wkim_slice b);
int wk_text_compare(wkim_slice a, wkim_slice b); /* by bytes, as memcmp */
int wk_text_special(wkim_slice id); /* contains '@', '#' or '&' */
int wk_text_ends(wkim_slice s, const char *suffix);
/* Split at the first c: 1 with the two parts, 0 when there is no c. */
int wk_text_split(wkim_slice s, char c, wkim_slice *left, wkim_slice *right);

/* The whole of s as a decimal number; 0 and *out untouched when it is none or out of range. */
int wk_text_u64(wkim_slice s, uint64_t *out);
int wk_text_i64(wkim_slice s, int64_t *out);
/* Numbers of a query: 0 when s is none, the nearest number when it is out of range. */
uint64_t wk_text_query_u64(wkim_slice s);
int64_t wk_text_query_i64(wkim_slice s);

/* Standard alphabet with padding, line ends ignored.  Bytes written to out (room: s.n / 4 * 3 + 3),
 * or -1 - (offset of the first bad byte). */
wkim_ssize wk_text_base64(wkim_slice s, uint8_t *out);
/* %XX and, with `plus`, '+'.  Bytes written to out (room: s.n), -1 for a bad escape. */
wkim_ssize wk_text_unescape(wkim_slice s, int plus, uint8_t *out);

/* "1h2m3s" in seconds as /varz writes it, into out. */
void wk_text_uptime(uint64_t seconds, char out[32]);
/* RFC 3339 in UTC; zeros at the end of the fraction are left out. */
void wk_text_time(uint64_t unix_ns, char out[40]);
/* Does not tell by its duration where the two differ. */
int wk_text_same_secret(wkim_slice a, wkim_slice b);

#endif
