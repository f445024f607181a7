/* /manager/v1/webhooks: where requests go and how it went last, and the dead letters: list, one
 * with its body, send again, drop. */
#include "http/answer.h"
#include "http/auth/auth.h"
#include "http/decode.h"
#include "out/out.h"
#include "http/route.h"
#include "http/text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIST_DEFAULT 50
#define LIST_MAX 500
#define IDS_MAX 1000

/* {"error":{"code","message"}} with the real status. */
static void answer_v1(struct wk_req *r, int status, const char *code, const char *message)
{
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"error\":{\"code\":");
    wk_jsonbuf_cstr(&b, code);
    wk_jsonbuf_lit(&b, ",\"message\":");
    wk_jsonbuf_cstr(&b, message);
    wk_jsonbuf_lit(&b, "}}");
    wk_answer_buf(r, status, WK_JSON_TYPE, &b);
}

/* NULL: the request has been answered. */
static struct wk_out *enter(struct wk_req *r, char action)
{
    struct wk_out *out = atomic_load(&r->thread->http->out);

    switch (wk_auth_v1(r, "webhook", action)) {
    case WK_AUTH_NOBODY:
        answer_v1(r, 401, "unauthorized", "Authorization header is required");
        return NULL;
    case WK_AUTH_REFUSED:
        answer_v1(r, 403, "forbidden",
                  action == 'w' ? "needs the grant webhook:w" : "needs the grant webhook:r");
        return NULL;
    default: break;
    }
    if (!out)
        answer_v1(r, 409, "webhook_off", "webhook.httpAddr and webhook.grpcAddr are empty");
    return out;
}

static void put_generated(struct wk_jsonbuf *b)
{
    struct timespec now;
    char text[40];

    clock_gettime(CLOCK_REALTIME, &now);
    wk_text_time((uint64_t)now.tv_sec * 1000000000u, text);
    wk_jsonbuf_init(b);
    wk_jsonbuf_lit(b, "{\"generated_at\":");
    wk_jsonbuf_cstr(b, text);
}

/* ---- what there is --------------------------------------------------------------------------- */

static void put_dead(struct wk_jsonbuf *b, const struct wk_dead_stats *s)
{
    wk_jsonbuf_lit(b, ",\"dead\":{\"letters\":");
    wk_jsonbuf_u64(b, s->letters);
    wk_jsonbuf_member_u64(b, "replaying", s->marked);
    wk_jsonbuf_member_u64(b, "bytes", s->bytes);
    wk_jsonbuf_member_u64(b, "dropped", s->dropped);
    wk_jsonbuf_member_u64(b, "lost", s->lost);
    wk_jsonbuf_char(b, '}');
}

static void put_replay(struct wk_jsonbuf *b, const struct wk_out_view *v)
{
    if (!v->replay_id)
        return;
    wk_jsonbuf_lit(b, ",\"last_replay\":{\"id\":");
    wk_jsonbuf_u64(b, v->replay_id);
    wk_jsonbuf_member_u64(b, "at", v->replay_s);
    wk_jsonbuf_member_u64(b, "ok", v->replay_ok);
    if (!v->replay_ok)
        wk_jsonbuf_member_cstr(b, "error", v->replay_error);
    wk_jsonbuf_char(b, '}');
}

void wk_api_webhooks(struct wk_req *r)
{
    struct wk_out *out = enter(r, 'r');
    struct wk_out_view v;
    struct wk_dead_stats s;
    struct wk_jsonbuf b;

    if (!out)
        return;
    wk_out_view_get(out, &v);
    wk_dead_stats_get(wk_out_dead(out), &s);
    put_generated(&b);
    wk_jsonbuf_member_cstr(&b, "transport", *v.grpc_addr ? "grpc" : "http");
    wk_jsonbuf_member_cstr(&b, "endpoint", *v.grpc_addr ? v.grpc_addr : v.http_addr);
    if (*v.last_error) {
        wk_jsonbuf_member_cstr(&b, "last_error", v.last_error);
        wk_jsonbuf_member_u64(&b, "last_error_at", v.last_error_s);
    }
    put_dead(&b, &s);
    put_replay(&b, &v);
    wk_jsonbuf_char(&b, '}');
    wk_answer_json(r, &b);
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static void put_item(struct wk_jsonbuf *b, const struct wk_dead_item *item)
{
    wk_jsonbuf_lit(b, "{\"id\":");
    wk_jsonbuf_u64(b, item->id);
    wk_jsonbuf_member_cstr(b, "event", item->event);
    wk_jsonbuf_member_cstr(b, "target", item->target == WKIM_HOOK_AGENT ? "agent" : "main");
    wk_jsonbuf_member_cstr(b, "delivery", item->delivery);
    wk_jsonbuf_member_u64(b, "given_up_at", item->time_s);
    wk_jsonbuf_member_u64(b, "attempts", item->attempts);
    wk_jsonbuf_member_u64(b, "items", item->items);
    wk_jsonbuf_member_u64(b, "bytes", item->bytes);
    wk_jsonbuf_member_cstr(b, "state", item->marked ? "replaying" : "kept");
}

/* An event of the query or the body; 0: the request has been answered. */
static int read_event(struct wk_req *r, wkim_slice text, char out[32])
{
    static const char *const known[] = { "", "msg.notify", "msg.offline", "user.onlinestatus" };

    for (size_t i = 0; i < WK_COUNT(known); i++) {
        if (!wk_text_equal(text, known[i]))
            continue;
        memcpy(out, known[i], strlen(known[i]) + 1);
        return 1;
    }
    answer_v1(r, 400, "bad_event", "event is one of msg.notify, msg.offline, user.onlinestatus");
    return 0;
}

void wk_api_webhook_dead(struct wk_req *r)
{
    struct wk_out *out = enter(r, 'r');
    int64_t limit = wk_req_query_i64(r, "limit"), cursor = wk_req_query_i64(r, "cursor");
    struct wk_dead_item *items;
    struct wk_dead_stats s;
    struct wk_jsonbuf b;
    char event[32];
    bool more;
    size_t n;

    if (!out || !read_event(r, wk_req_query(r, "event"), event))
        return;
    limit = limit <= 0 ? LIST_DEFAULT : limit > LIST_MAX ? LIST_MAX : limit;
    items = calloc((size_t)limit, sizeof(*items));
    if (!items) {
        answer_v1(r, 503, "no_memory", "out of memory");
        return;
    }
    n = wk_dead_list(wk_out_dead(out), cursor > 0 ? (uint64_t)cursor : 0, event, items,
                     (size_t)limit, &more);
    wk_dead_stats_get(wk_out_dead(out), &s);
    put_generated(&b);
    wk_jsonbuf_member_u64(&b, "total", s.letters);
    wk_jsonbuf_lit(&b, ",\"items\":[");
    for (size_t i = 0; i < n; i++) {
        put_item(&b, &items[i]);
        wk_jsonbuf_lit(&b, i + 1 < n ? "}," : "}");
    }
    wk_jsonbuf_char(&b, ']');
    if (more && n)
        wk_jsonbuf_member_u64(&b, "next_cursor", items[n - 1].id);
    wk_jsonbuf_char(&b, '}');
    free(items);
    wk_answer_json(r, &b);
}

void wk_api_webhook_dead_one(struct wk_req *r)
{
    struct wk_out *out = enter(r, 'r');
    struct wk_dead_item item;
    struct wk_jsonbuf b;
    char *body = NULL;
    uint64_t id = 0;
    int rc;

    if (!out)
        return;
    rc = wk_text_u64(r->params[0], &id) ? wk_dead_get(wk_out_dead(out), id, &item, &body)
                                        : WKIM_ENOTFOUND;
    if (rc == WKIM_ENOTFOUND) {
        answer_v1(r, 404, "not_found", "there is no such letter");
        return;
    }
    if (rc != WKIM_OK) {
        answer_v1(r, 503, "unreadable", wkim_strerror(rc));
        return;
    }
    wk_jsonbuf_init(&b);
    put_item(&b, &item);
    wk_jsonbuf_lit(&b, ",\"body\":");
    wk_jsonbuf_raw(&b, body, item.bytes);
    wk_jsonbuf_char(&b, '}');
    free(body);
    wk_answer_json(r, &b);
}

/* ---- replay and drop ------------------------------------------------------------------------- */

struct choice {
    struct wk_numbers ids;
    wkim_slice event;
    uint8_t all;
};

static const struct wk_field choice_fields[] = {
    WK_FIELD(struct choice, ids, I64S),
    WK_FIELD(struct choice, event, STR),
    WK_FIELD(struct choice, all, U8),
};

/* Exactly one of ids, event and all; 0: the request has been answered. */
static int read_choice(struct wk_req *r, struct choice *c, char event[32])
{
    int ways;

    if (wk_decode_object(r, "deadReq", choice_fields, WK_COUNT(choice_fields), c) != WKIM_OK)
        return 0;
    ways = (c->ids.n != 0) + (c->event.n != 0) + (c->all != 0);
    if (ways != 1) {
        answer_v1(r, 400, "bad_choice", "give one of ids, event and all:1");
        return 0;
    }
    if (c->ids.n > IDS_MAX) {
        answer_v1(r, 400, "too_many", "at most 1000 ids");
        return 0;
    }
    return read_event(r, c->event, event);
}

static void answer_count(struct wk_req *r, int status, const char *name, uint64_t n,
                         uint64_t unknown)
{
    struct wk_jsonbuf b;

    put_generated(&b);
    wk_jsonbuf_member_u64(&b, name, n);
    wk_jsonbuf_member_u64(&b, "unknown", unknown);
    wk_jsonbuf_char(&b, '}');
    wk_answer_buf(r, b.failed ? 503 : status, WK_JSON_TYPE, &b);
}

void wk_api_webhook_dead_replay(struct wk_req *r)
{
    struct wk_out *out = enter(r, 'w');
    struct choice c = { 0 };
    char event[32];
    uint64_t n = 0;

    if (!out || !read_choice(r, &c, event))
        return;
    for (size_t i = 0; i < c.ids.n; i++)
        n += wk_dead_mark(wk_out_dead(out), (uint64_t)c.ids.u.i64[i], true) == WKIM_OK;
    if (!c.ids.n)
        n = wk_dead_mark_all(wk_out_dead(out), event, true);
    wk_out_replay(out);
    answer_count(r, 202, "replaying", n, c.ids.n ? c.ids.n - n : 0);
}

void wk_api_webhook_dead_drop(struct wk_req *r)
{
    struct wk_out *out = enter(r, 'w');
    struct choice c = { 0 };
    char event[32];
    uint64_t n = 0;

    if (!out || !read_choice(r, &c, event))
        return;
    for (size_t i = 0; i < c.ids.n; i++)
        n += wk_dead_remove(wk_out_dead(out), (uint64_t)c.ids.u.i64[i]) == WKIM_OK;
    if (!c.ids.n)
        n = wk_dead_remove_all(wk_out_dead(out), event);
    answer_count(r, 200, "dropped", n, c.ids.n ? c.ids.n - n : 0);
}
