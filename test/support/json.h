/* Test vectors.  Every function ends the process with a message when the file or member is missing
 * or of another kind: a test must not pass because its vectors were not found. */
#ifndef TEST_JSON_H
#define TEST_JSON_H
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* Path of a file given relative to the repository root: $WKIM_TEST_ROOT, or the current directory.
 * Points at out. */
const char *test_path(char *out, size_t cap, const char *relative);
/* test/vectors/<name>; owned: json_decref. */
json_t *vector_load(const char *name);
/* test/vectors/<name> with one JSON value per line, as an array; owned: json_decref. */
json_t *vector_load_lines(const char *name);

/* Members of an object; the results are borrowed until the object is gone. */
json_t *json_member(const json_t *object, const char *key);
const char *json_text(const json_t *object, const char *key, size_t *n); /* n may be NULL */
int64_t json_int(const json_t *object, const char *key); /* a number, or decimal text */
/* Member with hexadecimal text, decoded into out; returns the byte count. */
size_t json_hex(uint8_t *out, size_t cap, const json_t *object, const char *key);
size_t hex_decode(uint8_t *out, size_t cap, const char *hex, size_t n);
#endif
