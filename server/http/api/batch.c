/* Many users or channels in one request: /user/token/batch, /channel/batch.  Every item is checked
 * before the first is written; what fails afterwards is told item by item. */
#include "http/answer.h"
#include "http/api/channel_body.h"
#include "http/api/many.h"
#include "http/route.h"
#include "http/text.h"
#include "http/api/user_body.h"

#include <wkim/channel.h>
#include <wkim/user.h>

#include <stdio.h>

#define ITEMS_MAX 10000u
#define WINDOW 64u /* items under way */

struct batch_failure {
    const char *text; /* NULL: done */
    int reason;
};

struct batch {
    struct wk_many many;
    struct wk_objects users, channels;
    struct batch_failure *failures;
};

static const struct wk_field users_field[] = {
    {"users", WK_FIELD_OBJECTS, offsetof(struct batch, users), wk_token_fields, WK_TOKEN_FIELDS,
     sizeof(struct wk_token_body)},
};

/* 1: go on; else the request was answered. */
static int check_item(struct wk_req *r, const char *list, size_t i, const char *problem)
{
    char text[200];

    if (!problem)
        return 1;
    snprintf(text, sizeof(text), "%s[%zu]: %s", list, i, problem);
    wk_answer_error(r, text);
    return 0;
}

static wkim_slice item_name(const struct batch *s, size_t i)
{
    if (s->users.n)
        return ((const struct wk_token_body *)s->users.p)[i].uid;
    return ((const struct wk_channel_body *)s->channels.p)[i].channel_id;
}

static void put_failure(struct wk_jsonbuf *b, const struct batch *s, size_t i)
{
    const struct batch_failure *f = &s->failures[i];

    wk_jsonbuf_lit(b, "{\"index\":");
    wk_jsonbuf_u64(b, i);
    wk_jsonbuf_lit(b, s->users.n ? ",\"uid\":" : ",\"channel_id\":");
    wk_jsonbuf_str(b, item_name(s, i));
    wk_jsonbuf_lit(b, ",\"msg\":");
    wk_jsonbuf_cstr(b, f->text);
    if (f->reason) {
        wk_jsonbuf_lit(b, ",\"reason\":");
        wk_jsonbuf_i64(b, f->reason);
    }
    wk_jsonbuf_lit(b, "},");
}

static void answer(struct wk_req *r)
{
    const struct batch *s = r->state;
    size_t failed = 0;
    struct wk_jsonbuf b;

    wk_jsonbuf_init(&b);
    wk_jsonbuf_lit(&b, "{\"data\":{\"failed\":[");
    for (size_t i = 0; i < s->many.n; i++) {
        if (!s->failures[i].text)
            continue;
        failed++;
        put_failure(&b, s, i);
    }
    wk_jsonbuf_chop(&b, ',');
    wk_jsonbuf_lit(&b, "],\"done\":");
    wk_jsonbuf_u64(&b, s->many.n - failed);
    wk_jsonbuf_lit(&b, "},\"status\":200}");
    wk_answer_json(r, &b);
}

static void not_started(struct wk_req *r, size_t i, int code)
{
    struct batch *s = r->state;

    s->failures[i].text = wkim_strerror(code);
}

static void on_done(struct wk_call *c, const wkim_reply *reply)
{
    struct batch *s = c->req->state;
    int code = wkim_reply_code(reply);

    if (code != WKIM_OK)
        s->failures[c->index].text = wkim_strerror(code);
    if (code == WKIM_EDENIED)
        s->failures[c->index].reason = wkim_reply_reason(reply);
    wk_many_next(&s->many, c);
}

/* 1: the switch is on and the body is decoded. */
static struct batch *begin(struct wk_req *r, const struct wk_field *field, const char *type)
{
    struct batch *s;

    if (!wk_req_options(r)->batch_on) {
        wk_answer_problem(r, 404, WK_JSON_TYPE, "this route is switched off (api.batch)", NULL);
        return NULL;
    }
    s = wk_req_alloc(r, sizeof(*s));
    if (!s) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return NULL;
    }
    return wk_decode_object(r, type, field, 1, s) == WKIM_OK ? s : NULL;
}

static void run(struct wk_req *r, struct batch *s, size_t n,
                int (*start)(struct wk_req *r, struct wk_call *c, size_t i))
{
    r->state = s;
    s->failures = wk_req_alloc(r, n * sizeof(*s->failures));
    if (!s->failures) {
        wk_answer_code(r, WKIM_ENOMEM, NULL);
        return;
    }
    s->many.start = start;
    s->many.failed = not_started;
    s->many.end = answer;
    wk_many_start(r, &s->many, n, WINDOW);
}

/* ---- tokens ---------------------------------------------------------------------------------- */

static int start_token(struct wk_req *r, struct wk_call *c, size_t i)
{
    const struct batch *s = r->state;
    const struct wk_token_body *u = &((const struct wk_token_body *)s->users.p)[i];

    return wk_req_try(c, on_done,
                      wkim_user_token_set(wk_req_node(r), u->uid, u->token, u->device_flag,
                                          u->device_level, wk_req_queue(r), c));
}

void wk_api_user_token_batch(struct wk_req *r)
{
    struct batch *s = begin(r, users_field, "tokenBatchReq");

    if (!s || !wk_decode_at_most(r, "users", s->users.n, ITEMS_MAX))
        return;
    if (s->users.n == 0) {
        wk_answer_error(r, "users不能为空！");
        return;
    }
    for (size_t i = 0; i < s->users.n; i++) {
        const struct wk_token_body *u = &((const struct wk_token_body *)s->users.p)[i];

        if (!check_item(r, "users", i, wk_token_body_problem(u)))
            return;
    }
    run(r, s, s->users.n, start_token);
}

/* ---- channels -------------------------------------------------------------------------------- */

/* The channel is written: now its subscribers. */
static void on_channel(struct wk_call *c, const wkim_reply *reply)
{
    struct wk_req *r = c->req;
    const struct batch *s = r->state;
    const struct wk_channel_body *b = &((const struct wk_channel_body *)s->channels.p)[c->index];
    int op = b->reset != 1      ? WKIM_LIST_ADD
             : b->subscribers.n ? WKIM_LIST_SET
                                : WKIM_LIST_CLEAR;

    if (wkim_reply_code(reply) != WKIM_OK || (op == WKIM_LIST_ADD && b->subscribers.n == 0)) {
        on_done(c, reply);
        return;
    }
    int rc = wk_req_try(c, on_done,
                        wkim_channel_list_change(wk_req_node(r), WKIM_LIST_SUBSCRIBER, op,
                                                 b->channel_id, b->channel_type, b->subscribers.p,
                                                 b->subscribers.n, wk_req_queue(r), c));

    if (rc != WKIM_OK) {
        not_started(r, c->index, rc);
        wk_many_next(&((struct batch *)r->state)->many, c);
    }
}

static int start_channel(struct wk_req *r, struct wk_call *c, size_t i)
{
    const struct batch *s = r->state;
    const struct wk_channel_body *b = &((const struct wk_channel_body *)s->channels.p)[i];

    return wk_req_try(c, on_channel,
                      wkim_channel_set(wk_req_node(r), b->channel_id, b->channel_type,
                                       wk_channel_body_flags(b), wk_req_queue(r), c));
}

void wk_api_channel_batch(struct wk_req *r)
{
    const struct wk_field field = {
        "channels",        WK_FIELD_OBJECTS,        offsetof(struct batch, channels),
        wk_channel_fields, WK_CHANNEL_FIELDS,       sizeof(struct wk_channel_body)};
    struct batch *s = begin(r, &field, "channelBatchReq");

    if (!s || !wk_decode_at_most(r, "channels", s->channels.n, ITEMS_MAX))
        return;
    if (s->channels.n == 0) {
        wk_answer_error(r, "channels不能为空！");
        return;
    }
    for (size_t i = 0; i < s->channels.n; i++) {
        struct wk_channel_body *b = &((struct wk_channel_body *)s->channels.p)[i];

        if (!check_item(r, "channels", i, wk_channel_body_problem(b)))
            return;
        wk_strs_drop_blank(&b->subscribers);
    }
    run(r, s, s->channels.n, start_channel);
}
