/* What the data source said: questions under way, answers kept, their age. */
#include "hook/datasource.h"
#include <stdarg.h>
#include <stdio.h>
#include "base/clock.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"

#define AGAIN_MAX 3 /* times for a channel that is changed while it is asked about */
#define LOG_PAUSE_MS 10000

struct wk_source_entry {
    struct wk_map_entry entry;
    struct wk_list lru;  /* wk_source.lru, oldest first */
    struct wk_list asked; /* wk_source.asked while a request is under way, by deadline */
    struct wk_source_request *request;
    uint64_t deadline_ms;
    void *value;
    size_t bytes;        /* of the entry with its value */
    uint32_t slot, flags;
    bool have, failed;
    bool changed;        /* the channel was changed while it was asked about */
    uint8_t again;
    uint64_t fresh_until_ms, failed_ms;
    uint64_t answered, failed_at; /* moments; answered 0: not since the channel was changed */
    uint16_t key_n;
    uint8_t key[];       /* cmd, type, id */
};

struct wk_source {
    struct wk_source_options opt;
    struct wk_map entries;
    struct wk_list lru, asked;
    struct wk_list line; /* requests not sent yet */
    uint32_t out;
    uint64_t moment;
    struct wk_source_counts counts;
    uint64_t log_after_ms, unlogged;
};

enum { ANSWERED, FAILED, TIMED_OUT };
enum { HIT, MISS, STALE };

static void put_count(uint64_t *c, uint64_t v)
{
    __atomic_store_n(c, v, __ATOMIC_RELAXED);
}

/* ---- entries --------------------------------------------------------------------------------- */

static wkim_slice make_key(uint8_t *room, const struct wk_source_question *q)
{
    room[0] = q->cmd;
    room[1] = q->type;
    if (q->id.n)
        memcpy(room + 2, q->id.p, q->id.n);
    return wk_slice(room, q->id.n + 2);
}

static struct wk_source_question question_of(const struct wk_source_entry *e)
{
    return (struct wk_source_question){.cmd = e->key[0],
                                       .type = e->key[1],
                                       .slot = e->slot,
                                       .id = wk_slice(e->key + 2, (size_t)e->key_n - 2)};
}

static struct wk_source_entry *find(const struct wk_source *s, const struct wk_source_question *q)
{
    uint8_t room[2 + 2 * WK_ID_BYTES_MAX];

    if (q->id.n > 2 * WK_ID_BYTES_MAX)
        return NULL;
    struct wk_map_entry *m = wk_map_get(&s->entries, make_key(room, q));
    return m ? WK_CONTAINER(m, struct wk_source_entry, entry) : NULL;
}

static void count_bytes(struct wk_source *s, struct wk_source_entry *e, size_t bytes)
{
    atomic_fetch_add_explicit(s->opt.bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(s->opt.bytes, e->bytes, memory_order_relaxed);
    e->bytes = bytes;
}

static size_t own_bytes(const struct wk_source_entry *e)
{
    return sizeof(*e) + e->key_n;
}

static void remove_entry(struct wk_source *s, struct wk_source_entry *e)
{
    if (e->request)
        e->request->entry = NULL;
    count_bytes(s, e, 0);
    wk_map_remove(&s->entries, &e->entry);
    wk_list_remove(&e->lru);
    wk_list_remove(&e->asked);
    s->opt.ops.unref(e->value);
    wk_free(e);
    put_count(&s->counts.entries, s->entries.count);
}

/* What was used last stays, whatever its size: its user is about to look at it. */
static void trim(struct wk_source *s, const struct wk_source_entry *keep)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &s->lru)
    {
        struct wk_source_entry *e = WK_CONTAINER(it, struct wk_source_entry, lru);
        if (atomic_load_explicit(s->opt.bytes, memory_order_relaxed) <= s->opt.bytes_max)
            return;
        if (e == keep || e->request)
            continue;
        remove_entry(s, e);
        wk_count(&s->counts.evicted, 1);
    }
}

static struct wk_source_entry *entry_get(struct wk_source *s, const struct wk_source_question *q)
{
    struct wk_source_entry *e = find(s, q);

    if (e) {
        wk_list_remove(&e->lru);
        wk_list_push(&s->lru, &e->lru);
        return e;
    }
    e = wk_calloc(1, sizeof(*e) + q->id.n + 2);
    if (!e)
        return NULL;
    e->slot = q->slot;
    e->key_n = (uint16_t)(q->id.n + 2);
    wk_list_init(&e->lru);
    wk_list_init(&e->asked);
    if (wk_map_put(&s->entries, &e->entry, make_key(e->key, q)) != WKIM_OK) {
        wk_free(e);
        return NULL;
    }
    wk_list_push(&s->lru, &e->lru);
    count_bytes(s, e, own_bytes(e));
    put_count(&s->counts.entries, s->entries.count);
    trim(s, e);
    return e;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void request_free(struct wk_source *s, struct wk_source_request *r)
{
    wk_buf_fini(&r->body);
    s->opt.ops.unref(r->value);
    wk_free(r);
}

void wk_source_fail(struct wk_source_request *r, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(r->why, sizeof(r->why), fmt, ap);
    va_end(ap);
    r->code = code;
}

static void pump(struct wk_source *s, uint64_t now_ms)
{
    struct wk_list *n;

    while (s->out < s->opt.out_max && (n = wk_list_pop(&s->line))) {
        struct wk_source_request *r = WK_CONTAINER(n, struct wk_source_request, link);
        s->out++;
        put_count(&s->counts.out, s->out);
        r->sent_ms = now_ms;
        s->opt.ops.send(s->opt.user, r);
    }
}

static void wake_next(struct wk_source *s)
{
    if (!wk_list_empty(&s->asked))
        s->opt.ops.wake(s->opt.user,
                        WK_CONTAINER(s->asked.next, struct wk_source_entry, asked)->deadline_ms);
}

static int ask(struct wk_source *s, struct wk_source_entry *e, uint64_t now_ms)
{
    struct wk_source_question q = question_of(e);
    struct wk_source_request *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return WKIM_ENOMEM;
    wk_source_request_text(&r->body, &q);
    if (r->body.oom) {
        request_free(s, r);
        return WKIM_ENOMEM;
    }
    wk_list_init(&r->link);
    r->cmd = q.cmd;
    r->slot = q.slot;
    wk_source_fail(r, WKIM_EIO, "it was not answered");
    r->entry = e;
    e->request = r;
    e->changed = false;
    e->deadline_ms = now_ms + s->opt.timeout_ms;
    wk_list_push(&s->asked, &e->asked);
    wk_list_push(&s->line, &r->link);
    pump(s, now_ms);
    wake_next(s);
    return WKIM_OK;
}

/* One line at once, then one per pause with the number of those that were not written. */
static void say(struct wk_source *s, const struct wk_source_question *q, const char *event,
                int status, const char *why, uint64_t now_ms)
{
    char id[160], reason[2 * WK_SOURCE_WHY_BYTES];

    if (now_ms < s->log_after_ms) {
        s->unlogged++;
        return;
    }
    (void)wk_log_quote(id, sizeof(id), q->id.p, q->id.n);
    (void)wk_log_quote(reason, sizeof(reason), why, strlen(why));
    wk_log(s->opt.log, WK_LOG_WARN, "hook", event,
           "key=datasource.addr url=\"%s\" cmd=%s channel=%s type=%u status=%d reason=%s "
           "unlogged=%llu",
           s->opt.address, wk_source_cmd_name(q->cmd), id, q->type, status, reason,
           (unsigned long long)s->unlogged);
    s->log_after_ms = now_ms + LOG_PAUSE_MS;
    s->unlogged = 0;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void release_request(struct wk_source_entry *e)
{
    e->request = NULL;
    wk_list_remove(&e->asked);
}

static void fail(struct wk_source *s, struct wk_source_entry *e, int status, const char *why,
                 uint64_t now_ms)
{
    struct wk_source_question q = question_of(e);

    release_request(e);
    e->failed = true;
    e->failed_ms = now_ms;
    e->failed_at = wk_source_mark(s);
    e->again = 0;
    say(s, &q, "datasource_failed", status, why, now_ms);
    s->opt.ops.answered(s->opt.user, &q);
}

static void keep(struct wk_source *s, struct wk_source_entry *e, struct wk_source_request *r,
                 uint64_t now_ms)
{
    struct wk_source_question q = question_of(e);
    bool nobody = q.cmd == WK_SOURCE_SUBSCRIBERS && r->n == 0;

    release_request(e);
    s->opt.ops.unref(e->value);
    e->value = r->value;
    r->value = NULL;
    e->flags = r->flags;
    e->have = true;
    e->failed = false;
    e->again = 0;
    e->answered = wk_source_mark(s);
    e->fresh_until_ms = q.cmd == WK_SOURCE_SYSTEM
                            ? UINT64_MAX
                            : now_ms + (nobody ? s->opt.negative_ms : s->opt.expire_ms);
    count_bytes(s, e, own_bytes(e) + r->bytes);
    if (r->skipped) {
        char why[WK_SOURCE_WHY_BYTES];
        (void)snprintf(why, sizeof(why), "%u of %u items cannot be uids and are left out",
                       r->skipped, r->skipped + r->n);
        say(s, &q, "datasource_items_skipped", r->status, why, now_ms);
    }
    trim(s, e);
    s->opt.ops.answered(s->opt.user, &q);
}

void wk_source_answer(struct wk_source *s, struct wk_source_request *r, uint64_t now_ms)
{
    struct wk_source_entry *e = r->entry;

    s->out--;
    put_count(&s->counts.out, s->out);
    wk_histogram_add(&s->counts.time, WK_BOUNDS_SECONDS, (now_ms - r->sent_ms) * 1000);
    if (e) /* one that came too late was counted when its time was over */
        wk_count(&s->counts.results[r->code == WKIM_OK ? ANSWERED : FAILED], 1);
    if (e && e->changed && e->again < AGAIN_MAX) {
        release_request(e);
        e->again++;
        if (ask(s, e, now_ms) != WKIM_OK)
            fail(s, e, 0, "out of memory", now_ms);
    } else if (e && r->code == WKIM_OK) {
        keep(s, e, r, now_ms);
    } else if (e) {
        fail(s, e, r->status, r->why, now_ms);
    }
    request_free(s, r);
    pump(s, now_ms);
    wake_next(s);
}

void wk_source_run(struct wk_source *s, uint64_t now_ms)
{
    while (!wk_list_empty(&s->asked)) {
        struct wk_source_entry *e = WK_CONTAINER(s->asked.next, struct wk_source_entry, asked);
        struct wk_source_request *r = e->request;
        if (e->deadline_ms > now_ms)
            break;
        bool sent = wk_list_empty(&r->link);
        r->entry = NULL;
        if (!sent) {
            wk_list_remove(&r->link);
            request_free(s, r);
        }
        wk_count(&s->counts.results[TIMED_OUT], 1);
        fail(s, e, 0, sent ? "no answer in time" : "too many requests are under way", now_ms);
    }
    pump(s, now_ms);
    wake_next(s);
}

uint64_t wk_source_mark(struct wk_source *s)
{
    return ++s->moment;
}

/* ---- questions ------------------------------------------------------------------------------- */

static void give(struct wk_source *s, const struct wk_source_entry *e, struct wk_source_known *out)
{
    out->value = s->opt.ops.ref(e->value);
    out->flags = e->flags;
}

int wk_source_get(struct wk_source *s, const struct wk_source_question *q, uint64_t since,
                  uint64_t now_ms, struct wk_source_known *out)
{
    struct wk_source_entry *e =
        q->id.n <= 2 * WK_ID_BYTES_MAX ? entry_get(s, q) : NULL;

    *out = (struct wk_source_known){0};
    if (!e)
        return WKIM_ENOMEM;
    if (e->have && (now_ms < e->fresh_until_ms || e->answered > since)) {
        wk_count(&s->counts.found[HIT], 1);
        give(s, e, out);
        return WKIM_OK;
    }
    uint64_t hold = q->cmd == WK_SOURCE_SYSTEM ? 0 : s->opt.negative_ms;
    bool pause = e->failed && (now_ms < e->failed_ms + hold || e->failed_at > since);
    if (!e->request && !pause) {
        wk_count(&s->counts.found[MISS], 1);
        if (ask(s, e, now_ms) != WKIM_OK)
            return WKIM_ENOMEM;
    }
    /* After a failure the next try is not waited for while there is an older answer. */
    if (e->failed && e->have) {
        wk_count(&s->counts.found[STALE], 1);
        give(s, e, out);
        return WKIM_OK;
    }
    return e->request ? WKIM_EAGAIN : WKIM_EIO;
}

bool wk_source_peek(struct wk_source *s, const struct wk_source_question *q,
                    struct wk_source_known *out)
{
    const struct wk_source_entry *e = find(s, q);

    *out = (struct wk_source_known){0};
    if (!e || !e->have)
        return false;
    give(s, e, out);
    return true;
}

void wk_source_forget(struct wk_source *s, uint8_t type, wkim_slice id)
{
    for (uint8_t cmd = WK_SOURCE_SUBSCRIBERS; cmd < WK_SOURCE_CMDS; cmd++) {
        struct wk_source_question q = {.cmd = cmd, .type = type, .id = id};
        struct wk_source_entry *e = find(s, &q);
        if (!e)
            continue;
        e->answered = e->fresh_until_ms = 0;
        e->failed = false;
        e->changed = e->request != NULL;
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

int wk_source_new(struct wk_source **out, const struct wk_source_options *opt)
{
    struct wk_source *s = wk_calloc(1, sizeof(*s));
    uint64_t seed = 0;

    if (!s || wk_random_bytes(&seed, sizeof(seed)) != WKIM_OK) {
        wk_free(s);
        return WKIM_ENOMEM;
    }
    s->opt = *opt;
    wk_map_init(&s->entries, seed);
    wk_list_init(&s->lru);
    wk_list_init(&s->asked);
    wk_list_init(&s->line);
    *out = s;
    return WKIM_OK;
}

void wk_source_drop_slot(struct wk_source *s, uint32_t slot)
{
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &s->lru)
    {
        struct wk_source_entry *e = WK_CONTAINER(it, struct wk_source_entry, lru);
        if (e->slot != slot || e->key[0] == WK_SOURCE_SYSTEM)
            continue;
        struct wk_source_request *r = e->request;
        bool waits = r && !wk_list_empty(&r->link);
        remove_entry(s, e);
        if (waits) {
            wk_list_remove(&r->link);
            request_free(s, r);
        }
    }
}

void wk_source_free(struct wk_source *s)
{
    struct wk_list *n;

    if (!s)
        return;
    while (!wk_list_empty(&s->lru))
        remove_entry(s, WK_CONTAINER(s->lru.next, struct wk_source_entry, lru));
    while ((n = wk_list_pop(&s->line)))
        request_free(s, WK_CONTAINER(n, struct wk_source_request, link));
    wk_map_fini(&s->entries);
    wk_free(s);
}

const struct wk_source_counts *wk_source_counts(const struct wk_source *s)
{
    return &s->counts;
}
