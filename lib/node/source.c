#include "node/source.h"
#include <stdio.h>
#include "base/error.h"
#include "base/list.h"
#include "hook/datasource.h"
#include "config/config.h"
#include "node/reply.h"

#define NEGATIVE_MS 5000 /* a failure holds so long, or as long as an answer when that is less */
#define SLOW_MS 500      /* nobody waits a second time for system accounts that took longer */

_Static_assert((int)WK_SOURCE_SYSTEM == (int)IM_SOURCE_SYSTEM &&
                   (int)WK_SOURCE_SUBSCRIBERS == (int)IM_SOURCE_SUBSCRIBERS &&
                   (int)WK_SOURCE_ALLOW == (int)IM_SOURCE_ALLOW &&
                   (int)WK_SOURCE_DENY == (int)IM_SOURCE_DENY &&
                   (int)WK_SOURCE_INFO == (int)IM_SOURCE_INFO &&
                   (int)WK_SOURCE_LARGE == (int)IM_SOURCE_LARGE &&
                   (int)WK_SOURCE_BAN == (int)IM_SOURCE_BAN &&
                   (int)WK_SOURCE_DISBAND == (int)IM_SOURCE_DISBAND,
               "im and hook number the questions alike");

struct wk_node_source_shard {
    struct wkim_node *node;
    struct wk_shard *shard;
    struct wk_source *machine;
    struct wk_timer timer;
};

/* The first shard's machine asks for the system accounts of the whole node. */
struct wk_node_source {
    struct wk_node_source_shard *per;
    struct wk_post ask; /* from another shard */
    _Atomic bool asked;
    uint64_t asked_ms;
    _Atomic size_t bytes;
    size_t answer_max;
    uint64_t timeout_ms;
    char address[256]; /* for the log */
};

/* ---- to the embedder and back ---------------------------------------------------------------- */

static void returned(struct wk_shard *s, struct wk_post *p)
{
    struct wk_source_request *r = WK_CONTAINER(p, struct wk_source_request, post);
    struct wk_node_source_shard *h = r->owner;

    wk_source_answer(h->machine, r, s->now_ms);
}

static void go_home(struct wk_source_request *r)
{
    struct wk_node_source_shard *h = r->owner;

    r->post.run = returned;
    wk_shard_post(h->shard, &r->post);
}

static void release(struct wkim_reply *reply)
{
    go_home(reply->released);
}

static void send(void *user, struct wk_source_request *r)
{
    struct wk_node_source_shard *h = user;
    struct wkim_reply *reply = wk_reply_new(WKIM_EVENT_HOOK, NULL);

    r->owner = h;
    if (!reply) {
        wk_source_fail(r, WKIM_ENOMEM, "out of memory");
        go_home(r);
        return;
    }
    reply->released = r;
    reply->release = release;
    wk_queue_put(h->node->source_queue, reply);
}

bool wk_node_source_is(const struct wkim_reply *reply)
{
    return reply->kind == WKIM_EVENT_HOOK && reply->release == release;
}

int wk_node_source_describe(const struct wkim_reply *reply, wkim_hook_request *out)
{
    const struct wk_source_request *r = reply->released;
    const struct wk_node_source_shard *h = r->owner;
    const struct wk_node_source *src = h->node->source;
    wkim_hook_request v = { .size = out->size,
                            .event = wk_str(wk_source_cmd_name(r->cmd)),
                            .body = wk_buf_slice(&r->body),
                            .content_type = WK_LIT("application/json"),
                            .target = WKIM_HOOK_DATASOURCE,
                            .attempt = 1,
                            .answer_max = src->answer_max,
                            .timeout_ms = (uint32_t)src->timeout_ms };

    memcpy(out, &v, out->size < sizeof(v) ? out->size : sizeof(v));
    return WKIM_OK;
}

/* On the embedder's thread: a long list is read and sorted there. */
static void read_answer(struct wk_source_request *r, wkim_slice body)
{
    const struct wk_node_source_shard *h = r->owner;
    struct wk_buf uids = WK_BUF_INIT;
    struct im_members *m = NULL;

    if (body.n > h->node->source->answer_max) {
        wk_source_fail(r, WKIM_ETOOBIG, "%zu bytes, more than datasource.maxAnswer", body.n);
        return;
    }
    if (r->cmd == WK_SOURCE_INFO) {
        r->code = wk_source_parse_info(&r->flags, body, r->why);
        return;
    }
    int rc = wk_source_parse_uids(&uids, body, &r->n, &r->skipped, r->why);
    if (rc == WKIM_OK) {
        rc = im_members_build(&m, h->node->cluster, wk_buf_slice(&uids));
        if (rc != WKIM_OK)
            wk_source_fail(r, rc, "%s", wkim_strerror(rc));
    }
    wk_buf_fini(&uids);
    r->code = rc;
    if (rc != WKIM_OK)
        return;
    r->value = m;
    r->bytes = im_members_bytes(m);
}

void wkim_hook_answer_body(wkim_reply *reply, int status, wkim_slice body)
{
    if (!reply || !wk_node_source_is(reply)) {
        wkim_hook_answer(reply, status == 200);
        return;
    }
    struct wk_source_request *r = reply->released;
    r->status = status;
    if (status == 200)
        read_answer(r, body);
    else if (status)
        wk_source_fail(r, WKIM_EIO, "HTTP status %d", status);
    else
        wk_source_fail(r, WKIM_EIO, "%.*s", (int)(body.n < 100 ? body.n : 100),
                       body.n ? (const char *)body.p : "");
    wkim_reply_free(reply);
}

int wkim_node_datasource(wkim_node *n, wkim_queue *q)
{
    if (!n || n->started)
        return WKIM_EINVAL;
    wk_queue_unref(n->source_queue);
    n->source_queue = wk_queue_ref(q);
    return WKIM_OK;
}

/* ---- from and to im -------------------------------------------------------------------------- */

static struct wk_node_source_shard *of_slot(const struct wkim_node *n, uint32_t slot)
{
    return &n->source->per[wk_cluster_shard_of(n->cluster, slot)->index];
}

static uint64_t mark(void *user, uint32_t shard)
{
    const struct wkim_node *n = user;
    return wk_source_mark(n->source->per[shard].machine);
}

static int get(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id, uint64_t since,
               struct im_source_known *out)
{
    struct wk_node_source_shard *h = of_slot(user, slot);
    const struct wk_source_question q = { .cmd = (uint8_t)cmd, .type = type, .slot = slot,
                                          .id = id };
    struct wk_source_known known;
    int rc = wk_source_get(h->machine, &q, since, h->shard->now_ms, &known);

    *out = (struct im_source_known){ known.value, known.flags };
    return rc;
}

static bool peek(void *user, uint32_t slot, int cmd, uint8_t type, wkim_slice id,
                 struct im_source_known *out)
{
    const struct wk_source_question q = { .cmd = (uint8_t)cmd, .type = type, .slot = slot,
                                          .id = id };
    struct wk_source_known known;
    bool any = wk_source_peek(of_slot(user, slot)->machine, &q, &known);

    *out = (struct im_source_known){ known.value, known.flags };
    return any;
}

static void forget(void *user, uint32_t slot, uint8_t type, wkim_slice id)
{
    wk_source_forget(of_slot(user, slot)->machine, type, id);
}

static void drop(void *user, uint32_t slot)
{
    struct wkim_node *n = user;

    if (n->source)
        wk_source_drop_slot(of_slot(n, slot)->machine, slot);
}

static const struct wk_source_question system_question = { .cmd = WK_SOURCE_SYSTEM };

static void tell_system(struct wk_node_source_shard *h, int rc, struct im_members *uids)
{
    struct wk_node_source *src = h->node->source;
    bool slow = rc != WKIM_OK && h->shard->now_ms - src->asked_ms >= SLOW_MS;

    atomic_store(&src->asked, false);
    im_source_system(h->node->im, uids, slow);
}

static void ask_here(struct wk_shard *s, struct wk_post *p)
{
    struct wk_node_source *src = WK_CONTAINER(p, struct wk_node_source, ask);
    struct wk_node_source_shard *h = &src->per[0];
    struct wk_source_known known;

    src->asked_ms = s->now_ms;
    int rc = wk_source_get(h->machine, &system_question, wk_source_mark(h->machine), s->now_ms,
                           &known);
    if (rc != WKIM_EAGAIN)
        tell_system(h, rc, known.value);
}

static void ask_system(void *user, uint32_t shard)
{
    struct wkim_node *n = user;
    (void)shard;

    if (atomic_exchange(&n->source->asked, true))
        return; /* who asked before is told, and everybody with it */
    n->source->ask.run = ask_here;
    wk_shard_post(n->source->per[0].shard, &n->source->ask);
}

static void answered(void *user, const struct wk_source_question *q)
{
    struct wk_node_source_shard *h = user;

    if (!h->node->started)
        return; /* the slots are closed */
    if (q->cmd != WK_SOURCE_SYSTEM) {
        im_source_answered(h->node->im, q->slot, q->type, q->id);
        return;
    }
    struct wk_source_known known;
    bool any = wk_source_peek(h->machine, &system_question, &known);
    tell_system(h, any ? WKIM_OK : WKIM_EIO, known.value);
}

static void on_timer(struct wk_timer *t)
{
    struct wk_node_source_shard *h = WK_CONTAINER(t, struct wk_node_source_shard, timer);
    wk_source_run(h->machine, h->shard->now_ms);
}

static void wake(void *user, uint64_t at_ms)
{
    struct wk_node_source_shard *h = user;

    if (wk_timer_arm(&h->shard->timers, &h->timer, at_ms) != WKIM_OK)
        wk_log(&h->node->log, WK_LOG_ERROR, "node", "datasource_timer_lost",
               "reason=\"out of memory\"");
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Scheme, host, port and path: user names, passwords and tokens stay out of the log. */
static void set_address(struct wk_node_source *src, const char *url)
{
    const char *host = strstr(url, "://"), *at = NULL;
    size_t scheme = host ? (size_t)(host - url) + 3 : 0;
    const char *rest = url + scheme;
    size_t n = strcspn(rest, "?#");

    for (size_t i = 0; i < n && rest[i] != '/'; i++)
        at = rest[i] == '@' ? rest + i : at;
    if (at) {
        n -= (size_t)(at + 1 - rest);
        rest = at + 1;
    }
    (void)snprintf(src->address, sizeof(src->address), "%.*s%.*s", (int)scheme, url, (int)n, rest);
    for (char *p = src->address; *p; p++)
        *p = (unsigned char)*p < 0x20 || *p == '"' || *p == '\\' ? '?' : *p;
}

static uint64_t number(const struct wkim_node *n, const char *key)
{
    int64_t v = wkim_config_int(n->cfg, key);
    return v > 0 ? (uint64_t)v : 0;
}

int wk_node_source_setup(struct wkim_node *n, struct im_options *o, struct wkim_error *err)
{
    const char *url = wkim_config_get(n->cfg, "datasource.addr");
    bool members = wkim_config_int(n->cfg, "datasource.membersOn");

    if (!url || wk_slice_blank(wk_str(url)))
        return WKIM_OK;
    if (!n->source_queue)
        return wk_fail(err, WKIM_ECONFIG,
                       "datasource.addr is set, but nobody carries its questions "
                       "(wkim_node_datasource)");
    n->source = wk_calloc(1, sizeof(*n->source));
    if (!n->source)
        return wk_fail(err, WKIM_ENOMEM, "datasource: out of memory");
    n->source->answer_max = number(n, "datasource.maxAnswer");
    n->source->timeout_ms = number(n, "datasource.requestTimeout");
    set_address(n->source, url);
    o->source = (struct im_source_options){
        .system = true,
        .members = members,
        .info = members && wkim_config_int(n->cfg, "datasource.channelInfoOn"),
        .ask_system = ask_system,
        .mark = mark,
        .get = get,
        .peek = peek,
        .forget = forget,
        .drop = drop,
    };
    return WKIM_OK;
}

static void *value_ref(void *v)
{
    return v ? im_members_ref(v) : NULL;
}

static void value_unref(void *v)
{
    im_members_unref(v);
}

int wk_node_source_start(struct wkim_node *n, struct wkim_error *err)
{
    struct wk_node_source *src = n->source;

    if (!src)
        return WKIM_OK;
    uint64_t requests = number(n, "datasource.maxRequests");
    struct wk_source_options o = {
        .ops = { send, answered, wake, value_ref, value_unref },
        .log = &n->log,
        .address = src->address,
        .expire_ms = number(n, "datasource.cacheExpire"),
        .timeout_ms = src->timeout_ms,
        .out_max = (uint32_t)((requests + n->n_shards - 1) / n->n_shards),
        .bytes_max = number(n, "datasource.cacheMaxBytes"),
        .bytes = &src->bytes,
    };
    o.negative_ms = o.expire_ms < NEGATIVE_MS ? o.expire_ms : NEGATIVE_MS;
    src->per = wk_calloc(n->n_shards, sizeof(*src->per));
    for (uint32_t i = 0; src->per && i < n->n_shards; i++) {
        struct wk_node_source_shard *h = &src->per[i];
        h->node = n;
        h->shard = &n->shards[i];
        h->timer.fire = on_timer;
        o.user = h;
        if (wk_source_new(&h->machine, &o) != WKIM_OK)
            return wk_fail(err, WKIM_ENOMEM, "datasource: out of memory");
    }
    return src->per ? WKIM_OK : wk_fail(err, WKIM_ENOMEM, "datasource: out of memory");
}

void wk_node_source_free(struct wkim_node *n)
{
    for (uint32_t i = 0; n->source && n->source->per && i < n->n_shards; i++) {
        struct wk_node_source_shard *h = &n->source->per[i];
        if (!h->shard)
            break; /* the start failed half-way */
        wk_timer_disarm(&h->shard->timers, &h->timer);
        wk_source_free(h->machine);
    }
    if (n->source)
        wk_free(n->source->per);
    wk_free(n->source);
    n->source = NULL;
    wk_queue_unref(n->source_queue);
    n->source_queue = NULL;
}

/* ---- metrics --------------------------------------------------------------------------------- */

struct view {
    struct wk_source_counts c;
    struct im_source_counts im;
    uint64_t bytes;
};

static const char *label(const char *const *names, unsigned i, char *room, size_t n)
{
    (void)snprintf(room, n, "result=\"%s\"", names[i]);
    return room;
}

static const char *result_label(unsigned i, uint64_t value, char *room, size_t n)
{
    static const char *const names[] = { "ok", "error", "timeout" };
    (void)value;
    return label(names, i, room, n);
}

static const char *found_label(unsigned i, uint64_t value, char *room, size_t n)
{
    static const char *const names[] = { "hit", "miss", "stale" };
    (void)value;
    return label(names, i, room, n);
}

void wk_node_source_metrics(const struct wkim_node *n, struct wk_buf *b)
{
#define AT(field) offsetof(struct view, field)
    static const struct wk_metric table[] = {
        { "wkim_datasource_requests_total", "Questions to the data source.", AT(c.results),
          result_label, 3, WK_COUNTER, 0, 1 },
        { "wkim_datasource_duration_seconds", "Time they took.", AT(c.time), NULL, 1, WK_HISTOGRAM,
          WK_BOUNDS_SECONDS, 1 },
        { "wkim_datasource_cache_total", "How what a SEND needs was found.", AT(c.found),
          found_label, 3, WK_COUNTER, 0, 1 },
        { "wkim_datasource_cache_evicted_total", "Answers dropped for want of room.",
          AT(c.evicted), NULL, 1, WK_COUNTER, 0, 1 },
        { "wkim_datasource_cache_bytes", "Answers kept.", AT(bytes), NULL, 1, WK_GAUGE, 0, 1 },
        { "wkim_datasource_cache_entries", "Questions with an answer kept.", AT(c.entries), NULL, 1,
          WK_GAUGE, 0, 1 },
        { "wkim_datasource_inflight", "Questions under way.", AT(c.out), NULL, 1, WK_GAUGE, 0, 1 },
        { "wkim_datasource_waiting", "SENDs that wait for an answer.", AT(im.waiting), NULL, 1,
          WK_GAUGE, 0, 1 },
        { "wkim_datasource_refused_total", "SENDs refused because too many wait.", AT(im.refused),
          NULL, 1, WK_COUNTER, 0, 1 },
        { "wkim_datasource_receivers_lost_total", "Deliveries whose receivers were gone.",
          AT(im.lost), NULL, 1, WK_COUNTER, 0, 1 },
    };
#undef AT
    struct view v = { 0 };

    if (!n->source || !n->source->per || !n->im)
        return;
    for (uint32_t i = 0; i < n->n_shards && n->source->per[i].machine; i++)
        wk_metric_sum(&v.c, wk_source_counts(n->source->per[i].machine), sizeof(v.c));
    v.im = im_source_counts(n->im);
    v.bytes = atomic_load_explicit(&n->source->bytes, memory_order_relaxed);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        wk_metric_put(b, &table[i], &v);
}
