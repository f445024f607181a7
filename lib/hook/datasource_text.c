/* Questions and answers as JSON.  Lists are read without building a tree: an answer may hold a
 * million uids. */
#include "hook/datasource.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "proto/json_text.h"
#include "proto/jsonrpc.h"

#define INFO_BYTES_MAX 65536
#define ITEM_BYTES_MAX (6 * WK_ID_BYTES_MAX) /* an item of nothing but \u escapes */

const char *wk_source_cmd_name(int cmd)
{
    static const char *const names[WK_SOURCE_CMDS] = {"getSystemUIDs", "getSubscribers",
                                                      "getWhitelist", "getBlacklist",
                                                      "getChannelInfo"};
    return cmd >= 0 && cmd < WK_SOURCE_CMDS ? names[cmd] : "";
}

void wk_source_request_text(struct wk_buf *out, const struct wk_source_question *q)
{
    wk_buf_printf(out, "{\"cmd\":\"%s\",\"data\":{", wk_source_cmd_name(q->cmd));
    if (q->cmd != WK_SOURCE_SYSTEM) {
        wk_buf_printf(out, "\"channel_id\":");
        wk_json_string(out, q->id);
        wk_buf_printf(out, ",\"channel_type\":%u", q->type);
    }
    wk_buf_printf(out, "}}");
}

__attribute__((format(printf, 3, 4))) static int bad(char *why, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(why, WK_SOURCE_WHY_BYTES, fmt, ap);
    va_end(ap);
    return code;
}

struct reader {
    const uint8_t *start, *p, *end;
};

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\n'))
        r->p++;
}

static bool take_char(struct reader *r, char c)
{
    skip_blanks(r);
    if (r->p == r->end || *r->p != (uint8_t)c)
        return false;
    r->p++;
    return true;
}

/* The text between the quotes as it stands; false: it does not end, or is no UTF-8. */
static bool take_raw(struct reader *r, wkim_slice *raw, bool *escaped)
{
    const uint8_t *start = r->p;

    *escaped = false;
    while (r->p < r->end && *r->p != '"') {
        size_t n = *r->p == '\\' ? 2 : wk_utf8_length(r->p, (size_t)(r->end - r->p));
        if (n == 0 || *r->p < 0x20 || (size_t)(r->end - r->p) < n)
            return false;
        *escaped |= *r->p == '\\';
        r->p += n;
    }
    *raw = wk_slice(start, (size_t)(r->p - start));
    return r->p++ < r->end;
}

/* Escapes are rare: a packaged parser reads such an item, quotes included. */
static int unescape(wkim_slice raw, json_t **out)
{
    *out = json_loadb((const char *)raw.p - 1, raw.n + 2, JSON_DECODE_ANY, NULL);
    return *out && json_is_string(*out) ? WKIM_OK : WKIM_EPROTO;
}

static bool may_be_uid(wkim_slice uid)
{
    return uid.n <= WK_ID_BYTES_MAX && !wk_slice_blank(uid) && !wk_slice_has_any(uid, "@#&");
}

static int take_item(struct reader *r, struct wk_buf *out, uint32_t *n, uint32_t *skipped,
                     char *why)
{
    size_t at = (size_t)(r->p - r->start);
    json_t *text = NULL;
    wkim_slice uid;
    bool escaped;

    if (!take_raw(r, &uid, &escaped))
        return bad(why, WKIM_EPROTO, "the text at byte %zu does not end or is no UTF-8", at);
    if (escaped && uid.n <= ITEM_BYTES_MAX) {
        if (unescape(uid, &text) != WKIM_OK) {
            json_decref(text);
            return bad(why, WKIM_EPROTO, "the text at byte %zu has a wrong escape", at);
        }
        uid = wk_slice(json_string_value(text), json_string_length(text));
    }
    if (may_be_uid(uid)) {
        wk_buf_str(out, uid);
        ++*n;
    } else {
        ++*skipped;
    }
    json_decref(text);
    if (out->oom)
        return bad(why, WKIM_ENOMEM, "out of memory");
    if (*n > WK_SOURCE_UIDS_MAX)
        return bad(why, WKIM_ETOOBIG, "more than %d uids", WK_SOURCE_UIDS_MAX);
    return WKIM_OK;
}

static int take_list(struct reader *r, struct wk_buf *out, uint32_t *n, uint32_t *skipped,
                     char *why)
{
    int rc = WKIM_OK;

    if (take_char(r, ']'))
        return WKIM_OK;
    while (rc == WKIM_OK) {
        if (!take_char(r, '"'))
            return bad(why, WKIM_EPROTO, "byte %zu: an item is no text", (size_t)(r->p - r->start));
        rc = take_item(r, out, n, skipped, why);
        if (rc != WKIM_OK || take_char(r, ']'))
            break;
        if (!take_char(r, ','))
            return bad(why, WKIM_EPROTO, "byte %zu: the list does not go on",
                       (size_t)(r->p - r->start));
    }
    return rc;
}

int wk_source_parse_uids(struct wk_buf *out, wkim_slice body, uint32_t *n, uint32_t *skipped,
                         char *why)
{
    struct reader r = {body.p, body.p, body.p ? body.p + body.n : body.p};
    int rc;

    *n = *skipped = 0;
    skip_blanks(&r);
    if (r.end - r.p >= 4 && memcmp(r.p, "null", 4) == 0) {
        r.p += 4; /* what an empty list of some languages looks like */
        rc = WKIM_OK;
    } else if (take_char(&r, '[')) {
        rc = take_list(&r, out, n, skipped, why);
    } else {
        return bad(why, WKIM_EPROTO, "the answer is no list of texts");
    }
    skip_blanks(&r);
    if (rc == WKIM_OK && r.p != r.end)
        rc = bad(why, WKIM_EPROTO, "byte %zu: more than one value", (size_t)(r.p - r.start));
    return rc;
}

static int take_flag(const json_t *o, const char *name, uint32_t bit, uint32_t *flags, char *why)
{
    const json_t *v = json_object_get(o, name);

    if (v && !json_is_null(v) && !json_is_integer(v))
        return bad(why, WKIM_EPROTO, "%s is no integer", name);
    if (v && json_integer_value(v) != 0)
        *flags |= bit;
    return WKIM_OK;
}

int wk_source_parse_info(uint32_t *flags, wkim_slice body, char *why)
{
    json_error_t e;

    *flags = 0;
    if (body.n > INFO_BYTES_MAX)
        return bad(why, WKIM_ETOOBIG, "%zu bytes, more than %d", body.n, INFO_BYTES_MAX);
    json_t *o = json_loadb((const char *)body.p, body.n, JSON_DECODE_ANY, &e);
    if (!o && json_error_code(&e) == json_error_out_of_memory)
        return bad(why, WKIM_ENOMEM, "out of memory");
    int rc = json_is_object(o) || json_is_null(o)
                 ? WKIM_OK
                 : bad(why, WKIM_EPROTO, "the answer is no object");
    if (rc == WKIM_OK)
        rc = take_flag(o, "large", WK_SOURCE_LARGE, flags, why);
    if (rc == WKIM_OK)
        rc = take_flag(o, "ban", WK_SOURCE_BAN, flags, why);
    if (rc == WKIM_OK)
        rc = take_flag(o, "disband", WK_SOURCE_DISBAND, flags, why);
    json_decref(o);
    return rc;
}
