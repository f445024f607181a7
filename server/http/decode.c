#include "http/decode.h"

#include "http/answer.h"
#include "http/huge.h"
#include "http/route.h"
#include "http/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BAD_FORMAT "数据格式有误！"

/* What is being decoded, for messages; `text` receives the first problem. */
struct decoding {
    struct wk_req *r;
    const char *type;
    char text[300];
    int oom, refused; /* refused: answered already */
};

static int answer_decode(struct wk_req *r, const char *text)
{
    char wrapped[360];
    int decode = r->route->decode;
    const char *type = decode >= WK_DECODE_B ? WK_TEXT_TYPE : WK_JSON_TYPE;

    if (decode == WK_DECODE_A_FIXED || decode == WK_DECODE_B_FIXED) {
        text = BAD_FORMAT;
    } else if (decode == WK_DECODE_A_WRAP) {
        snprintf(wrapped, sizeof(wrapped), "%s: %s", BAD_FORMAT, text);
        text = wrapped;
    }
    wk_answer_problem(r, 400, type, text, NULL);
    return WKIM_EPROTO;
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return "object";
    case JSON_ARRAY:
        return "array";
    case JSON_STRING:
        return "string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "number";
    default:
        return "bool";
    }
}

int wk_decode_at_most(struct wk_req *r, const char *name, size_t n, size_t max)
{
    char text[160];

    if (n <= max)
        return 1;
    snprintf(text, sizeof(text), "%s: at most %zu entries in one request, these are %zu", name,
             max, n);
    wk_answer_problem(r, 413, WK_JSON_TYPE, text, NULL);
    return 0;
}

/* Entries of the list v; -1: more than any list may have. */
static wkim_ssize list_size(struct decoding *d, const char *key, const json_t *v)
{
    size_t n = json_array_size(v);

    if (wk_decode_at_most(d->r, *key ? key : "body", n, WK_DECODE_LIST_MAX))
        return (wkim_ssize)n;
    d->refused = 1;
    return -1;
}

static int mismatch(struct decoding *d, const char *key, const json_t *v, const char *want)
{
    char number[40] = "";

    if (json_is_integer(v))
        snprintf(number, sizeof(number), " %" JSON_INTEGER_FORMAT, json_integer_value(v));
    snprintf(d->text, sizeof(d->text),
             "json: cannot unmarshal %s%s into Go struct field %s.%s of type %s", kind_of(v),
             number, d->type, key, want);
    return WKIM_EPROTO;
}

static void *memory(struct decoding *d, size_t count, size_t size)
{
    void *p =
        count && size > SIZE_MAX / count ? NULL : wk_req_alloc(d->r, count ? count * size : 1);

    d->oom |= !p;
    return p;
}

static wkim_slice slice_of(const json_t *v)
{
    return (wkim_slice){(const uint8_t *)json_string_value(v), json_string_length(v)};
}

static int get_strings(struct decoding *d, const char *key, const json_t *v, struct wk_strs *out)
{
    if (!json_is_array(v))
        return mismatch(d, key, v, "[]string");
    wkim_ssize size = list_size(d, key, v);

    if (size < 0)
        return WKIM_ETOOBIG;
    size_t n = (size_t)size;
    wkim_slice *p = memory(d, n, sizeof(*p));

    if (!p)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);

        if (json_is_string(item))
            p[i] = slice_of(item);
        else if (!json_is_null(item))
            return mismatch(d, key, item, "string");
    }
    *out = (struct wk_strs){p, n};
    return WKIM_OK;
}

static int get_bytes(struct decoding *d, const char *key, const json_t *v, wkim_slice *out)
{
    if (!json_is_string(v) && !json_is_array(v))
        return mismatch(d, key, v, "[]uint8");
    size_t n = json_is_string(v) ? json_string_length(v) : json_array_size(v);
    uint8_t *p = memory(d, n + 3, 1);

    if (!p)
        return WKIM_ENOMEM;
    if (json_is_string(v)) {
        wkim_ssize got = wk_text_base64(slice_of(v), p);

        if (got < 0) {
            snprintf(d->text, sizeof(d->text), "illegal base64 data at input byte %lld",
                     (long long)(-1 - got));
            return WKIM_EPROTO;
        }
        *out = (wkim_slice){p, (size_t)got};
        return WKIM_OK;
    }
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);
        json_int_t number = json_integer_value(item);

        if (json_is_null(item))
            continue;
        if (!json_is_integer(item) || number < 0 || number > 255)
            return mismatch(d, key, item, "uint8");
        p[i] = (uint8_t)number;
    }
    *out = (wkim_slice){p, n};
    return WKIM_OK;
}

/* The integer v within [min, max]; JSON integers beyond int64 never come this far. */
static int get_integer(struct decoding *d, const char *key, const json_t *v, int64_t min,
                       int64_t max, const char *want, int64_t *out)
{
    if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
        return mismatch(d, key, v, want);
    *out = json_integer_value(v);
    return WKIM_OK;
}

static int get_numbers(struct decoding *d, const char *key, const json_t *v, int is_u32,
                       struct wk_numbers *out)
{
    if (!json_is_array(v))
        return mismatch(d, key, v, is_u32 ? "[]uint32" : "[]int64");
    wkim_ssize size = list_size(d, key, v);

    if (size < 0)
        return WKIM_ETOOBIG;
    size_t n = (size_t)size;
    int64_t *p = memory(d, n, sizeof(*p));

    if (!p)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);

        if (json_is_null(item))
            continue;
        int rc = is_u32 ? get_integer(d, key, item, 0, UINT32_MAX, "uint32", &p[i])
                        : get_integer(d, key, item, INT64_MIN, INT64_MAX, "int64", &p[i]);

        if (rc != WKIM_OK)
            return rc;
    }
    out->u.i64 = p;
    out->n = n;
    return WKIM_OK;
}

static int get_scalar(struct decoding *d, const struct wk_field *f, const json_t *v, char *to)
{
    int64_t number = 0;
    int rc;

    switch (f->kind) {
    case WK_FIELD_U8:
        rc = get_integer(d, f->name, v, 0, UINT8_MAX, "uint8", &number);
        if (rc == WKIM_OK)
            *(uint8_t *)to = (uint8_t)number;
        return rc;
    case WK_FIELD_U32:
        rc = get_integer(d, f->name, v, 0, UINT32_MAX, "uint32", &number);
        if (rc == WKIM_OK) {
            uint32_t small = (uint32_t)number;

            memcpy(to, &small, sizeof(small));
        }
        return rc;
    case WK_FIELD_U64:
        if (wk_huge_u64(v, (uint64_t *)&number))
            rc = WKIM_OK;
        else
            rc = get_integer(d, f->name, v, 0, INT64_MAX, "uint64", &number);
        break;
    default:
        rc = get_integer(d, f->name, v, INT64_MIN, INT64_MAX, "int64", &number);
        break;
    }
    if (rc == WKIM_OK)
        memcpy(to, &number, sizeof(number));
    return rc;
}

static int get_plain(struct decoding *d, const struct wk_field *f, const json_t *v, char *to)
{
    switch (f->kind) {
    case WK_FIELD_STR:
        if (!json_is_string(v))
            return mismatch(d, f->name, v, "string");
        *(wkim_slice *)(void *)to = slice_of(v);
        return WKIM_OK;
    case WK_FIELD_STRS:
        return get_strings(d, f->name, v, (struct wk_strs *)(void *)to);
    case WK_FIELD_BYTES:
        return get_bytes(d, f->name, v, (wkim_slice *)(void *)to);
    case WK_FIELD_U32S:
    case WK_FIELD_I64S:
        return get_numbers(d, f->name, v, f->kind == WK_FIELD_U32S,
                           (struct wk_numbers *)(void *)to);
    default:
        return get_scalar(d, f, v, to);
    }
}

/* Fields of an object that holds no objects. */
static int get_leaf(struct decoding *d, const struct wk_field *fields, size_t n,
                    const json_t *object, char *out)
{
    const char *key;
    json_t *v;

    if (!json_is_object(object))
        return mismatch(d, "", object, d->type);
    json_object_foreach((json_t *)(uintptr_t)object, key, v)
    {
        for (size_t i = 0; i < n; i++) {
            if (json_is_null(v) || strcasecmp(key, fields[i].name) != 0)
                continue;
            int rc = get_plain(d, &fields[i], v, out + fields[i].at);

            if (rc != WKIM_OK)
                return rc;
        }
    }
    return WKIM_OK;
}

static int get_objects(struct decoding *d, const struct wk_field *f, const json_t *v,
                       struct wk_objects *out)
{
    if (!json_is_array(v))
        return mismatch(d, f->name, v, "[]object");
    wkim_ssize size = list_size(d, f->name, v);

    if (size < 0)
        return WKIM_ETOOBIG;
    size_t n = (size_t)size;
    char *p = memory(d, n, f->sub_size);

    if (!p)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(v, i);

        if (json_is_null(item))
            continue;
        int rc = get_leaf(d, f->sub, f->sub_count, item, p + i * f->sub_size);

        if (rc != WKIM_OK)
            return rc;
    }
    *out = (struct wk_objects){p, n};
    return WKIM_OK;
}

static int get_field(struct decoding *d, const struct wk_field *f, const json_t *v, char *out)
{
    if (json_is_null(v))
        return WKIM_OK;
    if (f->kind == WK_FIELD_OBJECT)
        return get_leaf(d, f->sub, f->sub_count, v, out + f->at);
    if (f->kind == WK_FIELD_OBJECTS)
        return get_objects(d, f, v, (struct wk_objects *)(void *)(out + f->at));
    return get_plain(d, f, v, out + f->at);
}

/* 1: the last word is the beginning of a literal or of a number, so that more might have come. */
static int ends_in_a_word(wkim_slice body)
{
    static const char *const words[] = {"true", "false", "null"};
    size_t at = body.n;

    while (at && !memchr("{}[],:\" \t\r\n", body.p[at - 1], 11))
        at--;
    wkim_slice word = {body.p + at, body.n - at};

    for (size_t i = 0; word.n && i < WK_COUNT(words); i++) {
        if (word.n < strlen(words[i]) && memcmp(word.p, words[i], word.n) == 0)
            return 1;
    }
    return word.n && (word.p[0] == '-' || (word.p[0] >= '0' && word.p[0] <= '9')) &&
           memchr("-+.eE", word.p[word.n - 1], 5);
}

/* 1: the last bytes are the beginning of an escape in a text. */
static int ends_in_an_escape(wkim_slice body)
{
    size_t at = body.n;

    while (at && body.n - at < 3 && isxdigit(body.p[at - 1]))
        at--;
    at -= at && body.p[at - 1] == 'u' ? 1u : 0u;
    return at && body.p[at - 1] == '\\';
}

/* Text of the byte that is no JSON, as far as it can be told from the position. */
static int answer_syntax(struct wk_req *r, wkim_slice body, const json_error_t *e)
{
    char text[120];

    if (wk_text_blank(body))
        return answer_decode(r, "EOF");
    if (json_error_code(e) == json_error_premature_end_of_input)
        return answer_decode(r, "unexpected EOF");
    size_t at = e->position > 0 ? (size_t)e->position - 1 : 0;

    /* The parser complains of the word where it ends, or of its last bytes. */
    if (at + 8 >= body.n && (ends_in_a_word(body) || ends_in_an_escape(body)))
        return answer_decode(r, "unexpected EOF");

    if (json_error_code(e) == json_error_invalid_syntax && at < body.n && body.p[at] > 0x20 &&
        body.p[at] < 0x7F)
        snprintf(text, sizeof(text), "invalid character '%c' looking for beginning of value",
                 body.p[at]);
    else
        snprintf(text, sizeof(text), "json: %.100s", e->text);
    return answer_decode(r, text);
}

/* While a body is parsed its values come out of the memory of its request, which is freed as a
 * whole: a small body has some forty of them. */
static _Thread_local struct wk_req *parsing;
static _Thread_local size_t parsing_left; /* bytes: "[[],[],..." becomes forty times its size */
static _Thread_local int parsing_failed; /* why memory was refused; the parser may not tell */

#define PARSED_MAX ((size_t)64 << 20) /* beside four times the body */

static void *json_alloc(size_t n)
{
    if (!parsing)
        return malloc(n);
    void *p = n <= parsing_left ? wk_req_alloc(parsing, n) : NULL;

    if (p)
        parsing_left -= n;
    else
        parsing_failed = n > parsing_left ? WKIM_ETOOBIG : WKIM_ENOMEM;
    return p;
}

static void json_free(void *p)
{
    if (!parsing)
        free(p);
}

/* Before any thread can be using the parser. */
__attribute__((constructor)) static void take_over_json_memory(void)
{
    json_set_alloc_funcs(json_alloc, json_free);
}

static void parse(struct wk_req *r, const char *text, size_t n, json_error_t *e)
{
    parsing = r;
    parsing_failed = WKIM_OK;
    parsing_left = PARSED_MAX + 4 * n;
    r->root = json_loadb(text, n, JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY | JSON_ALLOW_NUL, e);
    parsing = NULL;
}

static int load(struct wk_req *r)
{
    wkim_slice body = wk_req_body(r);
    json_error_t e;

    parse(r, body.n ? (const char *)body.p : "", body.n, &e);
    if (!r->root && parsing_failed == WKIM_OK && !r->exact_numbers &&
        json_error_code(&e) == json_error_numeric_overflow) {
        struct wk_jsonbuf wrapped;

        wk_jsonbuf_init(&wrapped);
        wk_huge_wrap(body, &wrapped);
        if (!wrapped.failed)
            parse(r, wrapped.p, wrapped.n, &e);
        else
            parsing_failed = WKIM_ENOMEM;
        wk_jsonbuf_fini(&wrapped);
    }
    if (r->root)
        return WKIM_OK;
    if (parsing_failed != WKIM_OK) {
        wk_answer_code(r, parsing_failed, NULL);
        return parsing_failed;
    }
    return answer_syntax(r, body, &e);
}

static int finish(struct decoding *d, int rc)
{
    if (rc == WKIM_OK || d->refused)
        return rc;
    if (d->oom)
        wk_answer_code(d->r, WKIM_ENOMEM, NULL);
    else
        answer_decode(d->r, d->text);
    return rc;
}

int wk_decode_object(struct wk_req *r, const char *type, const struct wk_field *fields, size_t n,
                     void *out)
{
    struct decoding d = {.r = r, .type = type};
    const char *key;
    json_t *v;
    int rc = load(r);

    if (rc != WKIM_OK || json_is_null(r->root))
        return rc;
    if (!json_is_object(r->root)) {
        snprintf(d.text, sizeof(d.text), "json: cannot unmarshal %s into Go value of type %s",
                 kind_of(r->root), type);
        return finish(&d, WKIM_EPROTO);
    }
    json_object_foreach(r->root, key, v)
    {
        for (size_t i = 0; i < n && rc == WKIM_OK; i++) {
            if (strcasecmp(key, fields[i].name) == 0)
                rc = get_field(&d, &fields[i], v, out);
        }
        if (rc != WKIM_OK)
            break;
    }
    return finish(&d, rc);
}

int wk_decode_strings(struct wk_req *r, struct wk_strs *out, int *is_null)
{
    struct decoding d = {.r = r, .type = "[]string"};
    int rc = load(r);

    *out = (struct wk_strs){NULL, 0};
    if (rc != WKIM_OK)
        return rc;
    *is_null = json_is_null(r->root);
    if (*is_null)
        return WKIM_OK;
    if (json_is_array(r->root))
        return finish(&d, get_strings(&d, "", r->root, out));
    snprintf(d.text, sizeof(d.text), "json: cannot unmarshal %s into Go value of type []string",
             kind_of(r->root));
    return finish(&d, WKIM_EPROTO);
}

void wk_strs_drop_blank(struct wk_strs *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (!wk_text_blank(s->p[i]))
            s->p[n++] = s->p[i];
    }
    s->n = n;
}

int wk_strs_any_blank(const struct wk_strs *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (wk_text_blank(s->p[i]))
            return 1;
    }
    return 0;
}
