/* Channels that an outside data source knows: a SEND waits until what it needs was
 * answered, in the order of its channel; apply() never asks.  Members become conversation rows
 * through a command of their own, before the message that made them known. */
#include "im/message/internal.h"
#include <wkim/channel.h>
#include "im/channel/channel.h"

#define WAITING_MAX 10000            /* SENDs of one shard */
#define WAITING_BYTES_MAX 67108864   /* of them */
#define SETTLE_BYTES_MAX 4194304     /* uids of one command */
#define SETTLE_MAX 3                 /* times for one queue: the list changes while it is written */
#define LOG_PAUSE_MS 10000

/* A channel, or a person as receiver, with SENDs that wait. */
struct im_source {
    struct wk_map_entry entry;
    struct wk_list calls;       /* struct wk_call.link, in order of arrival */
    struct wk_list system_link; /* im_shard.system_waiters */
    struct im_slot *is;
    bool running, again;
    bool settling;              /* IM_SOURCE_SET is under way */
    bool unsettled;             /* it failed: these SENDs go without */
    uint8_t settles;
    uint8_t type;
    uint16_t id_len;
    uint8_t key[];              /* type, id */
};

static struct im_shard *shard_of(const struct im_slot *is)
{
    return &is->im->shards[wk_slot_shard(is->slot)->index];
}

static uint64_t mark(const struct im *im, uint32_t shard)
{
    return im->opt.source.mark(im->opt.user, shard);
}

static wkim_slice source_id(const struct im_source *src)
{
    return wk_slice(src->key + 1, src->id_len);
}

bool im_source_owns(const struct im *im, uint8_t type)
{
    return im->opt.source.members && type != WKIM_CHANNEL_PERSON && type != WKIM_CHANNEL_AGENT &&
           type != WKIM_CHANNEL_TEMP;
}

/* ---- what a SEND needs ----------------------------------------------------------------------- */

struct wants {
    struct im_send_head head;
    struct wk_record record;
    uint8_t type;
    wkim_slice id;     /* the channel asked about */
    wkim_slice uid[2]; /* who may be a system account; NULL: nobody */
    uint32_t lists;    /* bits 1 << im_source_cmd */
};

static void want_of_peer(const struct im_slot *is, const struct wk_record *r, struct wants *w)
{
    w->type = WKIM_CHANNEL_PERSON;
    w->id = im_peer(im_base_id(r->channel_id), r->from_uid);
    w->uid[0] = r->from_uid;
    w->uid[1] = w->id;
    if (!is->im->opt.source.members)
        return;
    w->lists = 1u << IM_SOURCE_DENY;
    if (!is->im->opt.allowlist_off_of_person)
        w->lists |= 1u << IM_SOURCE_ALLOW;
}

static void want_of_channel(const struct im_slot *is, const struct im_send_head *h,
                            const struct wk_record *r, struct wants *w)
{
    bool open = im_open_type(r->channel_type);
    bool own = r->channel_type == WKIM_CHANNEL_VISITORS &&
               wk_slice_eq(r->channel_id, r->from_uid);
    bool checked = !(h->bits & IM_SEND_API) && r->channel_type != WKIM_CHANNEL_PERSON &&
                   (!open || (r->channel_type == WKIM_CHANNEL_VISITORS && !own));

    w->type = r->channel_type;
    w->id = im_base_id(r->channel_id);
    if (checked)
        w->uid[0] = r->from_uid;
    if (!im_source_owns(is->im, r->channel_type) || h->bits & IM_SEND_LIST)
        return;
    w->lists = 1u << IM_SOURCE_SUBSCRIBERS;
    if (checked)
        w->lists |= 1u << IM_SOURCE_ALLOW | 1u << IM_SOURCE_DENY;
    if (is->im->opt.source.info && !open)
        w->lists |= 1u << IM_SOURCE_INFO;
}

/* False: malformed, which is answered where the call is handled. */
static bool want(const struct im_slot *is, const struct wk_call *c, struct wants *w)
{
    *w = (struct wants){ 0 };
    if (im_send_decode(&w->head, wk_blob_slice(c->in)) != WKIM_OK ||
        wk_record_decode(&w->record, w->head.record) != WKIM_OK)
        return false;
    if (c->op == IM_SEND_PEER)
        want_of_peer(is, &w->record, w);
    else
        want_of_channel(is, &w->head, &w->record, w);
    return true;
}

/* ---- system accounts ------------------------------------------------------------------------- */

/* True when the check may be made.  The first one asks; after a failure who comes next asks again,
 * and the sender counts as an ordinary one. */
static bool system_known(struct im_slot *is, const struct wants *w, uint64_t since)
{
    struct im_shard *sh = shard_of(is);

    if (sh->system_source || !w->uid[0].p || wk_slice_eq(w->uid[0], WK_LIT(IM_SYSTEM_UID)) ||
        sh->system_failed_at > since)
        return true;
    if (!sh->system_asked) {
        sh->system_asked = true;
        is->im->opt.source.ask_system(is->im->opt.user, wk_slot_shard(is->slot)->index);
    }
    return sh->system_slow;
}

static void run(struct im_source *src);

static void take_news(struct wk_shard *s, struct wk_post *p)
{
    struct im_system_news *news = WK_CONTAINER(p, struct im_system_news, post);
    struct im_shard *sh = &news->im->shards[s->index];
    struct wk_list waiters, *n;

    atomic_store(&news->queued, false);
    struct im_members *uids = atomic_exchange(&news->uids, NULL);
    sh->system_asked = false;
    sh->system_slow = atomic_load(&news->slow);
    sh->system_failed_at = uids ? 0 : mark(news->im, s->index);
    if (uids) {
        im_members_unref(sh->system_source);
        sh->system_source = uids;
    }
    wk_list_init(&waiters);
    while ((n = wk_list_pop(&sh->system_waiters)))
        wk_list_push(&waiters, n);
    while ((n = wk_list_pop(&waiters)))
        run(WK_CONTAINER(n, struct im_source, system_link));
}

void im_source_system(struct im *im, struct im_members *uids, bool slow)
{
    for (uint32_t i = 0; i < im->opt.n_shards; i++) {
        struct im_system_news *news = &im->shards[i].system_news;
        if (uids)
            im_members_unref(atomic_exchange(&news->uids, im_members_ref(uids)));
        atomic_store(&news->slow, slow);
        if (atomic_exchange(&news->queued, true))
            continue;
        news->post.run = take_news;
        wk_shard_post(&im->opt.shards[i], &news->post);
    }
    im_members_unref(uids);
}

/* ---- members become conversation rows -------------------------------------------------------- */

struct settle {
    struct wk_call call;
    struct im *im;
    uint8_t type;
    uint16_t id_len;
    uint8_t id[];
};

static struct im_source *find(const struct im_slot *is, uint8_t type, wkim_slice id)
{
    uint8_t key[1 + 2 * WK_ID_BYTES_MAX];

    if (!is->sources.count || id.n > 2 * WK_ID_BYTES_MAX)
        return NULL;
    key[0] = type;
    if (id.n)
        memcpy(key + 1, id.p, id.n);
    struct wk_map_entry *e = wk_map_get(&is->sources, wk_slice(key, id.n + 1));
    return e ? WK_CONTAINER(e, struct im_source, entry) : NULL;
}

static struct im_source *find_in(struct im *im, uint32_t slot, uint8_t type, wkim_slice id)
{
    struct im_slot *is = im_slot_of(wk_cluster_slot(im->opt.cluster, slot));
    return is ? find(is, type, id) : NULL;
}

static void settled(struct wk_call *c)
{
    struct settle *st = WK_CONTAINER(c, struct settle, call);
    struct im_source *src = find_in(st->im, c->slot, st->type, wk_slice(st->id, st->id_len));

    if (c->code != WKIM_OK)
        wk_log(st->im->opt.log, WK_LOG_WARN, "im", "members_without_conversation",
               "type=%u reason=\"%s\"", st->type, wkim_strerror(c->code));
    if (src) {
        src->settling = false;
        src->unsettled = c->code != WKIM_OK;
    }
    wk_call_fini(c);
    wk_free(st);
    if (src)
        run(src);
}

static int settle(struct im_slot *is, struct im_source *src, const struct im_members *m)
{
    wkim_slice id = source_id(src);
    struct settle *st = wk_calloc(1, sizeof(*st) + id.n + 1);
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, src->type, id);
    wk_buf_u8(&b, WK_LIST_SOURCE);
    wk_buf_u8(&b, WKIM_LIST_SET);
    wk_buf_u64(&b, wk_slot_shard(is->slot)->wall_ms);
    struct im_members_at at = { 0 };
    wkim_slice uid;
    while (im_members_next(m, &at, &uid))
        wk_buf_str(&b, uid);
    struct wk_blob *in = st && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    if (!in) {
        wk_free(st);
        return WKIM_ENOMEM;
    }
    st->im = is->im;
    st->type = src->type;
    st->id_len = src->id_len;
    memcpy(st->id, id.p, id.n);
    wk_call_init(&st->call, IM_SOURCE_SET, in, settled);
    st->call.slot = wk_slot_id(is->slot);
    st->call.origin = wk_slot_shard(is->slot);
    src->settling = true;
    src->settles++;
    wk_call_send(wk_slot_cluster(is->slot), &st->call);
    return WKIM_OK;
}

/* Large channels keep no conversations of their members, as the flag promises. */
static bool keeps_rows(struct im_slot *is, struct im_channel *ch, const struct im_known *k)
{
    const struct im_members *m = k->lists[WK_LIST_SUBSCRIBER];

    if (!m || m->n == 0 || ch->type == WKIM_CHANNEL_LIVE || ch->row.large ||
        k->flags & IM_SOURCE_LARGE || m->serial == ch->source_serial)
        return false; /* an empty answer may be a mistake: nobody's position is dropped for it */
    if (m->n <= WK_LIST_UIDS_MAX && im_members_text_bytes(m) <= SETTLE_BYTES_MAX)
        return true;
    char id[160];
    wk_log(is->im->opt.log, WK_LOG_WARN, "im", "members_without_conversation",
           "channel=%s type=%u members=%u limit=%d reason=\"too many: mark the channel large\"",
           wk_log_quote(id, sizeof(id), ch->key + 1, ch->id_len), ch->type, m->n,
           WK_LIST_UIDS_MAX);
    ch->source_serial = m->serial;
    return false;
}

bool im_source_settled(struct im_slot *is, struct im_channel *ch, const struct im_known *k)
{
    struct im_members *stored, *m = k->lists[WK_LIST_SUBSCRIBER];
    struct im_source *src = k->source;

    if (!k->members || !keeps_rows(is, ch, k))
        return true;
    if (im_channel_list(is, ch, WK_LIST_SOURCE, &stored) == WKIM_OK && im_members_same(stored, m)) {
        ch->source_serial = m->serial;
        return true;
    }
    if (!src)
        return false; /* the call is put in line first */
    if (src->settling || src->unsettled || src->settles == SETTLE_MAX)
        return !src->settling;
    if (settle(is, src, m) == WKIM_OK)
        return false;
    src->unsettled = true;
    return true;
}

/* ---- one SEND -------------------------------------------------------------------------------- */

static void forget_known(struct im_known *k)
{
    for (int i = 0; i < WK_LIST_KINDS; i++)
        im_members_unref(k->lists[i]);
}

static bool any_system(struct im_slot *is, const struct wants *w)
{
    uint32_t shard = wk_slot_shard(is->slot)->index;

    return (w->uid[0].p && im_is_system(is->im, shard, w->uid[0])) ||
           (w->uid[1].p && im_is_system(is->im, shard, w->uid[1]));
}

/* Asks for everything at once.  False: an answer is missing. */
static bool gather(struct im_slot *is, struct wants *w, uint64_t since, struct im_known *k)
{
    const struct im_source_options *o = &is->im->opt.source;
    bool all = system_known(is, w, since);

    k->members = w->lists != 0;
    if (all && any_system(is, w)) /* they are on no list */
        w->lists &= 1u << IM_SOURCE_SUBSCRIBERS | 1u << IM_SOURCE_INFO;
    for (int cmd = IM_SOURCE_SUBSCRIBERS; cmd <= IM_SOURCE_INFO; cmd++) {
        struct im_source_known got = { 0 };
        if (!(w->lists & 1u << cmd))
            continue;
        int rc = o->get(is->im->opt.user, wk_slot_id(is->slot), cmd, w->type, w->id, since, &got);
        if (rc == WKIM_EAGAIN)
            all = false;
        else if (rc != WKIM_OK)
            k->failed |= 1u << cmd;
        else if (cmd == IM_SOURCE_INFO)
            k->flags = got.flags;
        else
            k->lists[cmd] = got.members;
    }
    return all;
}

static enum wk_call_result attempt(struct im_slot *is, struct wk_call *c, struct im_source *src,
                                   uint64_t since)
{
    struct im_known k = { .source = src };
    enum wk_call_result res = IM_SEND_WAITS;
    struct wants w;

    if (!want(is, c, &w) || gather(is, &w, since, &k))
        res = c->op == IM_SEND_PEER ? im_send_peer_admit(is, c, &k) : im_send_admit(is, c, &k);
    forget_known(&k);
    return res;
}

static void source_free(struct im_source *src)
{
    wk_map_remove(&src->is->sources, &src->entry);
    wk_list_remove(&src->system_link);
    wk_free(src);
}

static void count_waiting(struct im_slot *is, const struct wk_call *c, bool more)
{
    struct im_shard *sh = shard_of(is);

    sh->waiting += more ? 1u : UINT32_MAX;
    sh->waiting_bytes += more ? c->in->n : (size_t)0 - c->in->n;
    atomic_fetch_add_explicit(&is->im->source_waiting, more ? 1u : UINT64_MAX,
                              memory_order_relaxed);
}

static void conclude(struct im_slot *is, struct wk_call *c, enum wk_call_result res)
{
    if (res == WK_CALL_DONE)
        wk_call_finish(c);
    else if (res == WK_CALL_PROPOSE)
        wk_slot_propose(is->slot, c);
}

/* SENDs from the head on, until one has to wait. */
static void run_calls(struct im_source *src)
{
    struct im_slot *is = src->is;
    struct wk_list *n;

    while ((n = wk_list_pop(&src->calls))) {
        struct wk_call *c = WK_CONTAINER(n, struct wk_call, link);
        uint64_t since = c->number[1];
        count_waiting(is, c, false);
        c->number[1] = 0;
        enum wk_call_result res = attempt(is, c, src, since);
        if (res == IM_SEND_WAITS) {
            c->number[1] = since;
            count_waiting(is, c, true);
            wk_list_push(src->calls.next, &c->link); /* to the head */
            break;
        }
        conclude(is, c, res);
    }
}

static void run(struct im_source *src)
{
    if (src->running) {
        src->again = true;
        return;
    }
    src->running = true;
    do {
        src->again = false;
        run_calls(src);
    } while (src->again);
    src->running = false;
    struct im_shard *sh = shard_of(src->is);
    if (wk_list_empty(&src->calls) && !src->settling) {
        source_free(src);
    } else if (sh->system_asked && wk_list_empty(&src->system_link)) {
        wk_list_push(&sh->system_waiters, &src->system_link);
    }
}

/* ---- in line --------------------------------------------------------------------------------- */

static struct im_source *source_new(struct im_slot *is, uint8_t type, wkim_slice id)
{
    struct im_source *src = NULL;

    if (id.n <= 2 * WK_ID_BYTES_MAX)
        src = wk_calloc(1, sizeof(*src) + id.n + 1);
    if (!src)
        return NULL;
    src->is = is;
    src->type = src->key[0] = type;
    src->id_len = (uint16_t)id.n;
    if (id.n)
        memcpy(src->key + 1, id.p, id.n);
    wk_list_init(&src->calls);
    wk_list_init(&src->system_link);
    if (wk_map_put(&is->sources, &src->entry, wk_slice(src->key, id.n + 1)) != WKIM_OK) {
        wk_free(src);
        return NULL;
    }
    return src;
}

static enum wk_call_result refuse(struct im_slot *is, struct wk_call *c, const struct wants *w)
{
    atomic_fetch_add_explicit(&is->im->source_refused, 1, memory_order_relaxed);
    c->code = WKIM_EDENIED;
    c->reason = WKIM_REASON_SYSTEM_ERROR;
    c->number[0] = (uint64_t)w->record.message_id;
    c->number[1] = 0;
    return WK_CALL_DONE;
}

enum wk_call_result im_source_admit(struct im_slot *is, struct wk_call *c)
{
    const struct im_shard *sh = shard_of(is);
    uint64_t since = mark(is->im, wk_slot_shard(is->slot)->index);
    struct wants w;

    if (!want(is, c, &w))
        return c->op == IM_SEND_PEER ? im_send_peer_admit(is, c, NULL) : im_send_admit(is, c, NULL);
    struct im_source *src = find(is, w.type, w.id);
    if (!src) {
        enum wk_call_result res = attempt(is, c, NULL, since);
        if (res != IM_SEND_WAITS)
            return res;
    }
    if (sh->waiting >= WAITING_MAX || sh->waiting_bytes + c->in->n > WAITING_BYTES_MAX)
        return refuse(is, c, &w);
    bool first = !src;
    if (first)
        src = source_new(is, w.type, w.id);
    if (!src)
        return refuse(is, c, &w);
    c->number[1] = since;
    count_waiting(is, c, true);
    wk_list_push(&src->calls, &c->link);
    if (first)
        run(src); /* what is asked answers later; conversations are made from here */
    return WK_CALL_PENDING;
}

void im_source_answered(struct im *im, uint32_t slot, uint8_t type, wkim_slice id)
{
    struct im_source *src = find_in(im, slot, type, id);

    if (src)
        run(src);
}

/* ---- the rest -------------------------------------------------------------------------------- */

struct im_members *im_source_receivers(struct im_slot *is, struct im_channel *ch)
{
    struct wk_shard *s = wk_slot_shard(is->slot);
    struct im_shard *sh = shard_of(is);
    struct im_source_known got;
    struct im_members *m;

    if (is->im->opt.source.peek(is->im->opt.user, wk_slot_id(is->slot), IM_SOURCE_SUBSCRIBERS,
                                ch->type, im_channel_id(ch), &got))
        return got.members;
    /* Room was needed, or nothing was asked since the start: who is on record. */
    if (im_channel_list(is, ch, WK_LIST_SOURCE, &m) == WKIM_OK && m->n)
        return im_members_ref(m);
    atomic_fetch_add_explicit(&is->im->source_lost, 1, memory_order_relaxed);
    if (s->now_ms >= sh->source_log_ms) {
        char id[160];
        wk_log(is->im->opt.log, WK_LOG_WARN, "im", "receivers_unknown",
               "channel=%s type=%u reason=\"the answer of the data source is gone: raise "
               "datasource.cacheMaxBytes\"",
               wk_log_quote(id, sizeof(id), ch->key + 1, ch->id_len), ch->type);
        sh->source_log_ms = s->now_ms + LOG_PAUSE_MS;
    }
    return NULL;
}

void im_source_forget(struct im_slot *is, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_channel_key key;

    if (!is->im->opt.source.members)
        return;
    im_channel_key_decode(&c, &key);
    if (!c.bad)
        is->im->opt.source.forget(is->im->opt.user, wk_slot_id(is->slot), key.type,
                                  im_base_id(key.id));
}

struct im_source_counts im_source_counts(const struct im *im)
{
    return (struct im_source_counts){
        atomic_load_explicit(&im->source_waiting, memory_order_relaxed),
        atomic_load_explicit(&im->source_refused, memory_order_relaxed),
        atomic_load_explicit(&im->source_lost, memory_order_relaxed)
    };
}

void im_source_open(struct im_slot *is, uint64_t seed)
{
    wk_map_init(&is->sources, seed);
}

void im_source_close(struct im_slot *is)
{
    struct wk_map_entry *e;
    struct wk_list *n;

    while ((e = wk_map_next(&is->sources, NULL))) {
        struct im_source *src = WK_CONTAINER(e, struct im_source, entry);
        struct wk_list calls;
        wk_list_init(&calls);
        while ((n = wk_list_pop(&src->calls)))
            wk_list_push(&calls, n);
        source_free(src);
        while ((n = wk_list_pop(&calls))) {
            struct wk_call *c = WK_CONTAINER(n, struct wk_call, link);
            count_waiting(is, c, false);
            c->number[1] = 0;
            c->code = WKIM_ENOTLEADER;
            wk_call_finish(c);
        }
    }
    wk_map_fini(&is->sources);
    if (is->im->opt.source.members)
        is->im->opt.source.drop(is->im->opt.user, wk_slot_id(is->slot));
}

void im_source_free(struct im *im)
{
    for (uint32_t i = 0; im->shards && i < im->opt.n_shards; i++) {
        im_members_unref(atomic_exchange(&im->shards[i].system_news.uids, NULL));
        im_members_unref(im->shards[i].system_source);
    }
}
