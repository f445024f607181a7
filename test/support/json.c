#include "json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void give_up(const char *what, const char *detail)
{
    fprintf(stderr, "test vectors: %s: %s\n", what, detail);
    exit(99);
}

const char *test_path(char *out, size_t cap, const char *relative)
{
    const char *root = getenv("WKIM_TEST_ROOT");
    const int n = snprintf(out, cap, "%s/%s", root && *root ? root : ".", relative);

    if (n < 0 || (size_t)n >= cap)
        give_up("path too long", relative);
    return out;
}

static const char *vector_path(char *out, size_t cap, const char *name)
{
    char relative[512];
    const int n = snprintf(relative, sizeof(relative), "test/vectors/%s", name);

    if (n < 0 || (size_t)n >= sizeof(relative))
        give_up("name too long", name);
    return test_path(out, cap, relative);
}

json_t *vector_load(const char *name)
{
    char path[1024];
    json_error_t err;
    json_t *root = json_load_file(vector_path(path, sizeof(path), name), JSON_ALLOW_NUL, &err);

    if (!root)
        give_up(path, err.text);
    return root;
}

json_t *vector_load_lines(const char *name)
{
    char path[1024];
    json_error_t err;
    FILE *f = fopen(vector_path(path, sizeof(path), name), "r");
    json_t *all = json_array();

    if (!f || !all)
        give_up(path, strerror(errno));
    for (;;) {
        json_t *one = json_loadf(f, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &err);
        if (one) {
            if (json_array_append_new(all, one) != 0)
                give_up(path, "out of memory");
            continue;
        }
        if (feof(f) && json_error_code(&err) == json_error_premature_end_of_input)
            break;
        give_up(path, err.text);
    }
    fclose(f);
    if (json_array_size(all) == 0)
        give_up(path, "empty");
    return all;
}

json_t *json_member(const json_t *object, const char *key)
{
    json_t *v = json_object_get(object, key);

    if (!v)
        give_up("no such member", key);
    return v;
}

const char *json_text(const json_t *object, const char *key, size_t *n)
{
    const json_t *v = json_member(object, key);

    if (!json_is_string(v))
        give_up("not a text", key);
    if (n)
        *n = json_string_length(v);
    return json_string_value(v);
}

int64_t json_int(const json_t *object, const char *key)
{
    const json_t *v = json_member(object, key);

    if (json_is_integer(v))
        return json_integer_value(v);
    if (!json_is_string(v) || json_string_length(v) == 0)
        give_up("not a number", key);
    char *end;
    errno = 0;
    const long long i = strtoll(json_string_value(v), &end, 10);
    if (*end || errno)
        give_up("not a number", key);
    return i;
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t hex_decode(uint8_t *out, size_t cap, const char *hex, size_t n)
{
    if (n % 2 || n / 2 > cap)
        give_up("bad hex length", hex);
    for (size_t i = 0; i < n / 2; i++) {
        const int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);
        if (hi < 0 || lo < 0)
            give_up("not hex", hex);
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return n / 2;
}

size_t json_hex(uint8_t *out, size_t cap, const json_t *object, const char *key)
{
    size_t n;
    const char *hex = json_text(object, key, &n);

    return hex_decode(out, cap, hex, n);
}
