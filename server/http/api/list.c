/* Deny and allow lists, and reading any of the three lists of a channel. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/route.h"
#include "http/text.h"

#include <wkim/channel.h>

#include <string.h>

/* add and remove: the deny list takes any id, the allow list no special characters. */
static void change(struct wk_req *r, int list, int op)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_UIDS, &b) != WKIM_OK)
        return;
    if (b.channel_id.n == 0)
        wk_answer_error(r, WK_ID_EMPTY);
    else if (list == WKIM_LIST_ALLOW && wk_text_special(b.channel_id))
        wk_answer_error(r, WK_ID_SPECIAL);
    else if (b.channel_type == 0)
        wk_answer_error(r, WK_TYPE_ZERO);
    else if (b.uids.n == 0 || wk_strs_any_blank(&b.uids))
        wk_answer_error(r, WK_UIDS_EMPTY);
    else
        wk_channel_list_start(r, list, op, &b, &b.uids);
}

static void set(struct wk_req *r, int list)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_UIDS, &b) != WKIM_OK)
        return;
    if (wk_text_blank(b.channel_id))
        wk_answer_error(r, WK_ID_BLANK);
    else if (wk_strs_any_blank(&b.uids))
        wk_answer_error(r, WK_UIDS_EMPTY);
    else if (b.uids.n)
        wk_channel_list_start(r, list, WKIM_LIST_SET, &b, &b.uids);
    else
        wk_channel_list_start(r, list, WKIM_LIST_CLEAR, &b, NULL);
}

static void clear(struct wk_req *r, int list)
{
    struct wk_channel_body b = {0};

    if (wk_channel_body_decode(r, WK_CHANNEL_BODY_NAME, &b) != WKIM_OK)
        return;
    if (b.channel_id.n == 0)
        wk_answer_error(r, WK_ID_EMPTY);
    else if (b.channel_type == 0)
        wk_answer_error(r, WK_TYPE_ZERO);
    else
        wk_channel_list_start(r, list, WKIM_LIST_CLEAR, &b, NULL);
}

void wk_api_denylist_add(struct wk_req *r)
{
    change(r, WKIM_LIST_DENY, WKIM_LIST_ADD);
}

void wk_api_denylist_remove(struct wk_req *r)
{
    change(r, WKIM_LIST_DENY, WKIM_LIST_REMOVE);
}

void wk_api_denylist_set(struct wk_req *r)
{
    set(r, WKIM_LIST_DENY);
}

void wk_api_denylist_clear(struct wk_req *r)
{
    clear(r, WKIM_LIST_DENY);
}

void wk_api_allowlist_add(struct wk_req *r)
{
    change(r, WKIM_LIST_ALLOW, WKIM_LIST_ADD);
}

void wk_api_allowlist_remove(struct wk_req *r)
{
    change(r, WKIM_LIST_ALLOW, WKIM_LIST_REMOVE);
}

void wk_api_allowlist_set(struct wk_req *r)
{
    set(r, WKIM_LIST_ALLOW);
}

void wk_api_allowlist_clear(struct wk_req *r)
{
    clear(r, WKIM_LIST_ALLOW);
}

/* ---- reading -------------------------------------------------------------------------------- */

enum shape { SHAPE_UIDS, SHAPE_ROWS };

#define PAGE_DEFAULT 1000
#define PAGE_MAX 10000
#define WHOLE_BYTES_MAX ((size_t)64 << 20) /* of a list that is answered at once */
#define TOO_LONG "the list is longer than 64 MiB: ask for pages with limit and cursor"
#define CURSOR_UID_MAX 4096
#define CURSOR_MARK 'c' /* first byte of a cursor, so that a bare uid is not taken for one */

/* A list is read in as many calls as the library needs; the array grows in `out`. */
struct reading {
    int list;
    enum shape shape;
    wkim_slice channel_id;
    uint8_t channel_type;
    int paged;      /* an object with a cursor, else all of it as an array */
    uint32_t limit; /* of a page */
    struct wk_jsonbuf out;
};

static void free_reading(void *p)
{
    wk_jsonbuf_fini(&((struct reading *)p)->out);
}

static void put_time(struct wk_jsonbuf *b, const char *name, int64_t ms)
{
    char text[40];

    wk_text_time((uint64_t)ms * 1000000u, text);
    wk_jsonbuf_lit(b, name);
    wk_jsonbuf_cstr(b, text);
}

static void put_item(struct reading *s, const wkim_reply *reply, size_t i, wkim_slice uid)
{
    int64_t id = 0, created_ms = 0, updated_ms = 0;

    if (s->shape == SHAPE_ROWS) {
        wkim_reply_string_number(reply, i, 0, &id);
        wkim_reply_string_number(reply, i, 1, &created_ms);
        wkim_reply_string_number(reply, i, 2, &updated_ms);
        wk_jsonbuf_lit(&s->out, "{\"id\":");
        wk_jsonbuf_u64(&s->out, (uint64_t)id);
        wk_jsonbuf_lit(&s->out, ",\"uid\":");
        wk_jsonbuf_str(&s->out, uid);
        put_time(&s->out, ",\"created_at\":", created_ms);
        put_time(&s->out, ",\"updated_at\":", updated_ms);
        wk_jsonbuf_char(&s->out, '}');
    } else {
        wk_jsonbuf_str(&s->out, uid);
    }
    wk_jsonbuf_char(&s->out, ',');
}

/* A cursor is the last uid behind a mark, in base64: opaque to clients. */
static void put_cursor(struct wk_jsonbuf *b, wkim_slice uid)
{
    uint8_t text[CURSOR_UID_MAX + 1];
    char *at = uid.n && uid.n <= CURSOR_UID_MAX ? wk_jsonbuf_room(b, WK_JSON_BASE64_MAX(uid.n + 1))
                                                : NULL;

    if (!at) {
        wk_jsonbuf_lit(b, "\"\"");
        return;
    }
    text[0] = CURSOR_MARK;
    memcpy(text + 1, uid.p, uid.n);
    wk_jsonbuf_used(b, wk_json_put_base64(at, (wkim_slice){text, uid.n + 1}));
}

/* 1: *uid is what the cursor of the query says, empty without one. */
static int read_cursor(struct wk_req *r, wkim_slice *uid)
{
    wkim_slice text = wk_req_query(r, "cursor");
    uint8_t *bytes = text.n ? wk_req_alloc(r, 2 * text.n + 3) : NULL;

    *uid = (wkim_slice){NULL, 0};
    if (text.n == 0)
        return 1;
    for (size_t i = 0; bytes && i < text.n; i++) /* what a '+' becomes that was not escaped */
        bytes[text.n + 3 + i] = text.p[i] == ' ' ? '+' : text.p[i];
    wkim_ssize n =
        bytes ? wk_text_base64((wkim_slice){bytes + text.n + 3, text.n}, bytes) : -1;

    if (n < 2 || bytes[0] != CURSOR_MARK)
        return 0;
    *uid = (wkim_slice){bytes + 1, (size_t)n - 1};
    return 1;
}

static void finish(struct wk_req *r, struct reading *s, wkim_slice cursor, int more)
{
    wk_jsonbuf_chop(&s->out, ',');
    wk_jsonbuf_char(&s->out, ']');
    if (s->paged) {
        wk_jsonbuf_lit(&s->out, ",\"next_cursor\":");
        put_cursor(&s->out, more ? cursor : (wkim_slice){NULL, 0});
        wk_jsonbuf_lit(&s->out, ",\"limit\":");
        wk_jsonbuf_u64(&s->out, s->limit);
        wk_jsonbuf_lit(&s->out, more ? ",\"more\":1}" : ",\"more\":0}");
    }
    wk_answer_json(r, &s->out);
}

static void on_list(struct wk_call *c, const wkim_reply *reply);

static void read_more(struct wk_req *r, struct reading *s, wkim_slice after)
{
    wk_req_call(&r->call, on_list,
                wkim_channel_list_get(wk_req_node(r), s->list, s->channel_id, s->channel_type,
                                      after, s->limit, wk_req_queue(r), &r->call));
}

static void on_list(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    struct reading *s = r->state;
    int code = wkim_reply_code(reply);
    size_t n = wkim_reply_strings(reply);
    wkim_slice uid = {NULL, 0};

    if (code != WKIM_OK && code != WKIM_ENOTFOUND) {
        wk_answer_code(r, code, wkim_reply_text(reply));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (wkim_reply_string(reply, i, &uid) == WKIM_OK)
            put_item(s, reply, i, uid);
    }
    int more = n > 0 && wkim_reply_number(reply, WKIM_NUMBER_MORE) != 0;

    if (more && !s->paged && s->out.n > WHOLE_BYTES_MAX)
        wk_answer_problem(r, 413, WK_JSON_TYPE, TOO_LONG, NULL);
    else if (more && !s->paged && !s->out.failed && r->ev)
        read_more(r, s, uid);
    else
        finish(r, s, uid, more);
}

/* paged: the name of the member with the page; NULL: a page only when the query has a limit. */
static void read_list(struct wk_req *r, int list, enum shape shape, const char *paged,
                      wkim_slice id, uint8_t type)
{
    struct reading *s = wk_req_alloc(r, sizeof(*s));
    wkim_slice after = {NULL, 0};

    if (!s) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    *s = (struct reading){.list = list, .shape = shape, .channel_id = id, .channel_type = type};
    s->paged = paged || wk_req_query_has(r, "limit");
    if (s->paged) {
        int64_t limit = wk_req_query_i64(r, "limit");

        s->limit = limit <= 0 ? PAGE_DEFAULT : limit > PAGE_MAX ? PAGE_MAX : (uint32_t)limit;
        if (!read_cursor(r, &after)) {
            wk_answer_error(r, "cursor is not one of this server");
            return;
        }
    }
    wk_jsonbuf_init(&s->out);
    r->state = s;
    r->state_free = free_reading;
    if (s->paged) {
        wk_jsonbuf_lit(&s->out, "{\"");
        wk_jsonbuf_lit(&s->out, paged ? paged : "members");
        wk_jsonbuf_lit(&s->out, "\":");
    }
    wk_jsonbuf_char(&s->out, '[');
    /* Nothing is stored under an empty id or type 0. */
    if (id.n == 0 || type == 0)
        finish(r, s, (wkim_slice){NULL, 0}, 0);
    else
        read_more(r, s, after);
}

void wk_api_allowlist(struct wk_req *r)
{
    read_list(r, WKIM_LIST_ALLOW, SHAPE_ROWS, NULL, wk_req_query(r, "channel_id"),
              wk_req_query_u8(r, "channel_type"));
}

void wk_api_denylist(struct wk_req *r)
{
    read_list(r, WKIM_LIST_DENY, SHAPE_ROWS, NULL, wk_req_query(r, "channel_id"),
              wk_req_query_u8(r, "channel_type"));
}

void wk_api_subscribers(struct wk_req *r)
{
    wkim_slice id;
    uint8_t type;

    if (wk_channel_query(r, &id, &type) == WKIM_OK)
        read_list(r, WKIM_LIST_SUBSCRIBER, SHAPE_UIDS, "subscribers", id, type);
}

static void cluster_list(struct wk_req *r, int list)
{
    uint64_t type = wk_text_query_u64(r->params[1]);

    read_list(r, list, SHAPE_UIDS, NULL, r->params[0], type > 255 ? 255 : (uint8_t)type);
}

void wk_api_cluster_subscribers(struct wk_req *r)
{
    cluster_list(r, WKIM_LIST_SUBSCRIBER);
}

void wk_api_cluster_denylist(struct wk_req *r)
{
    cluster_list(r, WKIM_LIST_DENY);
}

void wk_api_cluster_allowlist(struct wk_req *r)
{
    cluster_list(r, WKIM_LIST_ALLOW);
}
