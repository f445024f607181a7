/* One message to all its receivers: one delivery per shard, each walking its own users.  A long
 * list is walked in pieces, one piece per round and shard whatever the number of channels, so that
 * large groups do not hold up others.  Deliveries of a channel that wait meanwhile walk together
 * then: a connection gets their messages in one write. */
#include "im/message/internal.h"
#include "im/channel/bounds.h"
#include "im/channel/channel.h"
#include "im/user/user.h"

#define LONG_MEMBERS 192 /* lists beyond this are walked in pieces */
#define PIECE_LOOKS 8192 /* members looked at per piece */
#define PIECE_WORK 1024  /* per piece: of each member online one, and one per message */
#define CONVOY_MAX 32    /* deliveries that walk together */

struct deliver {
    struct wk_post post;
    struct wk_list link;       /* fan_queue.all */
    struct im *im;
    struct wk_blob *blob;
    struct wk_record record;   /* borrowed from blob */
    struct im_members *members; /* NULL: extra only */
    struct im_offline *offline; /* NULL: nobody asks */
    bool over;                 /* it expired before its turn came */
    bool quiet;                /* only to see who is away */
    uint32_t pushed;           /* connections that got it */
    uint64_t stored_us;        /* of the round in which the message was stored */
    uint64_t skip_conn;
    wkim_slice skip_device;    /* of the sender; empty: none; borrowed from blob */
    uint8_t n_extra;
    wkim_slice extra[2];       /* borrowed from blob */
    wkim_slice uids;           /* IM_SEND_LIST: repeated str, borrowed from blob */
    bool is_event;             /* an EVENT; of the record only the channel is set */
    struct wk_event event;     /* borrowed from blob */
};

/* Deliveries of one channel on one shard while one of them is long: in order. */
struct fan_queue {
    struct wk_map_entry entry; /* im_shard.fan_queues */
    struct wk_list ready;      /* im_shard.fan_ready */
    struct wk_list all;        /* struct deliver */
    uint32_t convoy;           /* of them walk together, 0: the next have not begun */
    struct im_members_at at;   /* where they are */
    size_t key_n;
    uint8_t key[];             /* type, stored id */
};

/* What `uid` sees as the channel. */
static wkim_slice seen_channel(const struct wk_record *r, wkim_slice uid)
{
    wkim_slice id = r->channel_id;

    if (r->channel_type == WKIM_CHANNEL_TEMP)
        return id; /* temp command channels keep their name */
    id = im_base_id(id);
    if (r->channel_type == WKIM_CHANNEL_AGENT) { /* as its sender named it */
        const uint8_t *at = id.n ? memchr(id.p, '@', id.n) : NULL;
        return at ? wk_slice(at + 1, id.n - (size_t)(at + 1 - id.p)) : id;
    }
    if (r->channel_type != WKIM_CHANNEL_PERSON)
        return id;
    wkim_slice peer = im_peer(id, uid);
    return wk_slice_eq(peer, WK_LIT(IM_SYSTEM_UID)) ? wk_slice(NULL, 0) : peer;
}

static void push_user(struct deliver *d, struct wk_cluster *cl, wkim_slice uid)
{
    struct wk_slot *slot = wk_cluster_slot(cl, wk_cluster_slot_of(cl, uid));
    struct im_slot *is = im_slot_of(slot);
    struct im_user *u = is ? im_user_find(is, uid) : NULL;
    struct wk_list *n, *tmp;

    if (d->offline) /* a slot that is not open yet has nobody */
        im_offline_note(d->offline, wk_slot_shard(slot)->index, uid, u);
    if (!u || d->quiet)
        return;
    if (d->is_event) {
        WK_LIST_EACH(n, tmp, &u->conns) {
            struct im_conn *c = WK_CONTAINER(n, struct im_conn, link);
            c->ops->event(c, &d->event);
        }
        return;
    }
    const struct wk_record *r = &d->record;
    bool own = wk_slice_eq(uid, r->from_uid);
    struct im_push p = { .blob = d->blob, .record = r, .channel_id = seen_channel(r, uid) };
    p.from_uid = wk_slice_eq(r->from_uid, WK_LIT(IM_SYSTEM_UID)) ? wk_slice(NULL, 0) : r->from_uid;
    p.flags = r->flags & (WKIM_FLAG_NO_PERSIST | WKIM_FLAG_RED_DOT | WKIM_FLAG_SYNC_ONCE);
    if (own)
        p.flags &= (uint8_t)~WKIM_FLAG_RED_DOT;
    WK_LIST_EACH(n, tmp, &u->conns) {
        struct im_conn *c = WK_CONTAINER(n, struct im_conn, link);
        bool sender = own && d->skip_device.n && wk_slice_eq(c->device_id, d->skip_device);
        if (c->id != d->skip_conn && !sender) {
            c->ops->push(c, &p);
            d->pushed++;
        }
    }
}

static size_t held_bytes(const struct deliver *d)
{
    return sizeof(*d) + d->blob->n;
}

static void drop(struct deliver *d)
{
    wk_list_remove(&d->link);
    if (d->offline)
        im_offline_done(d->offline);
    im_members_unref(d->members);
    wk_blob_unref(d->blob);
    wk_free(d);
}

static void drop_queue(struct im_shard *sh, struct fan_queue *q)
{
    wk_map_remove(&sh->fan_queues, &q->entry);
    wk_list_remove(&q->ready);
    wk_free(q);
}

void im_fanout_drop_all(struct im *im)
{
    for (uint32_t i = 0; i < im->opt.n_shards; i++) {
        struct im_shard *sh = &im->shards[i];
        struct wk_list *n, *it;
        while ((n = wk_list_pop(&sh->fan_ready))) {
            struct fan_queue *q = WK_CONTAINER(n, struct fan_queue, ready);
            while ((it = wk_list_pop(&q->all)))
                drop(WK_CONTAINER(it, struct deliver, link));
            drop_queue(sh, q);
        }
    }
}

static bool here(const struct wk_cluster *cl, const struct wk_shard *s, uint32_t slot)
{
    return wk_cluster_shard_of(cl, slot) == s;
}

static bool in_members(const struct deliver *d, wkim_slice uid)
{
    return d->members && im_members_has(d->members, uid);
}

static void deliver_extra(struct deliver *d, struct wk_cluster *cl, const struct wk_shard *s)
{
    for (uint8_t i = 0; i < d->n_extra; i++) {
        if (here(cl, s, wk_cluster_slot_of(cl, d->extra[i])) && !in_members(d, d->extra[i]))
            push_user(d, cl, d->extra[i]);
    }
    struct wk_cursor c = wk_cursor(d->uids);
    while (wk_cursor_left(&c) && !c.bad) {
        wkim_slice uid = wk_cursor_str(&c);
        if (here(cl, s, wk_cluster_slot_of(cl, uid)))
            push_user(d, cl, uid);
    }
}

static void begin(struct wk_shard *s, struct deliver *d)
{
    d->over = !d->is_event && im_expired(&d->record, s->wall_ms);
    if (!d->over)
        deliver_extra(d, d->im->opt.cluster, s);
}

static void tell(struct wk_shard *s, struct deliver *d, wkim_slice uid, bool maybe_online)
{
    if (d->over)
        return;
    if (maybe_online)
        push_user(d, d->im->opt.cluster, uid);
    else if (d->offline)
        im_offline_note(d->offline, s->index, uid, NULL);
}

/* All of it at once. */
static void walk(struct wk_shard *s, struct deliver *d)
{
    const uint8_t *presence = d->im->shards[s->index].presence;
    struct im_members_at at = { 0 };
    const struct im_member *m;
    wkim_slice uid;

    begin(s, d);
    while (d->members && (m = im_members_next(d->members, &at, &uid))) {
        if (here(d->im->opt.cluster, s, m->slot))
            tell(s, d, uid, presence[m->hash % IM_PRESENCE_CELLS]);
    }
}

static void finish(struct wk_shard *s, struct deliver *d)
{
    if (d->pushed && d->im->opt.on_delivered)
        d->im->opt.on_delivered(d->im->opt.user, s, d->stored_us);
    drop(d);
}

static struct fan_queue *queue_of(struct im_shard *sh, const struct deliver *d, bool make)
{
    const struct wk_record *r = &d->record;
    const size_t n = r->channel_id.n + 1;
    struct fan_queue *q;
    uint8_t room[512], *key = n <= sizeof(room) ? room : wk_malloc(n);

    if (!key)
        return NULL;
    key[0] = r->channel_type;
    if (n > 1)
        memcpy(key + 1, r->channel_id.p, n - 1);
    struct wk_map_entry *e = wk_map_get(&sh->fan_queues, wk_slice(key, n));
    q = e ? WK_CONTAINER(e, struct fan_queue, entry) : NULL;
    if (!q && make && (q = wk_calloc(1, sizeof(*q) + n))) {
        memcpy(q->key, key, n);
        q->key_n = n;
        wk_list_init(&q->all);
        wk_list_init(&q->ready);
        if (wk_map_put(&sh->fan_queues, &q->entry, wk_slice(q->key, n)) != WKIM_OK) {
            wk_free(q);
            q = NULL;
        }
    }
    if (key != room)
        wk_free(key);
    return q;
}

static struct deliver *head_of(const struct fan_queue *q)
{
    return WK_CONTAINER(q->all.next, struct deliver, link);
}

/* Those at the head that go to the very same members. */
static void form_convoy(struct wk_shard *s, struct fan_queue *q)
{
    const struct im_members *members = head_of(q)->members;
    struct wk_list *it, *tmp;

    q->convoy = 0;
    q->at = (struct im_members_at){ 0 };
    WK_LIST_EACH(it, tmp, &q->all) {
        struct deliver *d = WK_CONTAINER(it, struct deliver, link);
        if (q->convoy == CONVOY_MAX || (q->convoy && (!members || d->members != members)))
            return;
        begin(s, d);
        q->convoy++;
    }
}

/* One piece of the convoy; true when it was the last. */
static bool step(struct wk_shard *s, struct fan_queue *q)
{
    const struct deliver *head = head_of(q);
    const uint8_t *presence = head->im->shards[s->index].presence;
    const struct im_members *members = head->members;
    uint32_t work = 0;

    for (uint32_t looks = 0; members; looks++) {
        wkim_slice uid;
        if (looks == PIECE_LOOKS || work >= PIECE_WORK)
            return false;
        const struct im_member *m = im_members_next(members, &q->at, &uid);
        if (!m)
            break;
        if (!here(head->im->opt.cluster, s, m->slot))
            continue;
        const bool online = presence[m->hash % IM_PRESENCE_CELLS];
        struct wk_list *it = q->all.next;
        for (uint32_t i = 0; i < q->convoy; i++, it = it->next)
            tell(s, WK_CONTAINER(it, struct deliver, link), uid, online);
        if (online)
            work += 1 + q->convoy;
    }
    return true;
}

static void finish_convoy(struct wk_shard *s, struct im_shard *sh, struct fan_queue *q)
{
    for (; q->convoy; q->convoy--) {
        struct deliver *d = head_of(q);
        wk_count(&sh->count.deliveries, (uint64_t)-1);
        atomic_fetch_sub_explicit(&d->im->backlog_bytes, held_bytes(d), memory_order_relaxed);
        finish(s, d);
    }
}

static void pump(struct wk_shard *s, struct wk_post *p)
{
    struct im_shard *sh = WK_CONTAINER(p, struct im_shard, fan_post);
    struct wk_list *n = wk_list_pop(&sh->fan_ready);

    sh->fan_posted = false;
    if (!n)
        return;
    struct fan_queue *q = WK_CONTAINER(n, struct fan_queue, ready);
    if (!q->convoy)
        form_convoy(s, q);
    if (step(s, q))
        finish_convoy(s, sh, q);
    if (wk_list_empty(&q->all))
        drop_queue(sh, q);
    else
        wk_list_push(&sh->fan_ready, &q->ready);
    if (!wk_list_empty(&sh->fan_ready)) {
        sh->fan_posted = true;
        wk_shard_post(s, &sh->fan_post);
    }
}

static bool is_long(const struct deliver *d)
{
    return d->members && d->members->n > LONG_MEMBERS;
}

/* Behind the other deliveries of its channel; false: it runs at once. */
static bool enqueue(struct wk_shard *s, struct deliver *d)
{
    struct im_shard *sh = &d->im->shards[s->index];
    struct fan_queue *q;

    if (!is_long(d) && sh->fan_queues.count == 0)
        return false;
    q = queue_of(sh, d, is_long(d));
    if (!q)
        return false; /* nothing of the channel waits, or no memory: late is better than lost */
    if (wk_list_empty(&q->all))
        wk_list_push(&sh->fan_ready, &q->ready);
    wk_list_push(&q->all, &d->link);
    wk_count(&sh->count.deliveries, 1);
    atomic_fetch_add_explicit(&d->im->backlog_bytes, held_bytes(d), memory_order_relaxed);
    if (!sh->fan_posted) {
        sh->fan_posted = true;
        sh->fan_post.run = pump;
        wk_shard_post(s, &sh->fan_post);
    }
    return true;
}

static void run(struct wk_shard *s, struct wk_post *p)
{
    struct deliver *d = WK_CONTAINER(p, struct deliver, post);

    if (enqueue(s, d))
        return;
    walk(s, d);
    finish(s, d);
}

bool im_fanout_full(const struct im *im, const struct im_channel *ch,
                    const struct im_members *told)
{
    const struct im_members *m = told ? told : ch->lists[WK_LIST_SUBSCRIBER];
    const uint64_t max =
        im->opt.fanout_bytes_max ? im->opt.fanout_bytes_max : WK_FANOUT_BACKLOG_BYTES_MAX;

    if (!m || m->n == 0)
        m = ch->lists[WK_LIST_SOURCE];
    return m && m->n > LONG_MEMBERS &&
           atomic_load_explicit(&im->backlog_bytes, memory_order_relaxed) > max;
}

/* Receivers that are not subscribers. */
static void extra_receivers(struct deliver *d)
{
    d->n_extra = (uint8_t)im_named_uids(d->record.channel_type, im_base_id(d->record.channel_id),
                                        d->extra);
}

static void send_to(const struct deliver *proto, struct wk_shard *to, struct wk_shard *from)
{
    struct deliver *d = wk_malloc(sizeof(*d));

    if (!d) {
        /* The message is stored; who misses the push finds it by syncing. */
        wk_log(proto->im->opt.log, WK_LOG_WARN, "im", "delivery_skipped",
               "shard=%u reason=\"out of memory\"", to->index);
        if (proto->offline)
            im_offline_skipped(proto->offline, to->index);
        return;
    }
    *d = *proto;
    wk_list_init(&d->link);
    wk_blob_ref(d->blob);
    if (d->members)
        im_members_ref(d->members);
    d->post.run = run;
    if (to == from)
        run(to, &d->post);
    else
        wk_shard_post(to, &d->post);
}

/* Whether the shard may hold a receiver. */
static bool concerns(const struct deliver *d, const struct wk_cluster *cl, const struct wk_shard *s)
{
    bool any = d->members || d->uids.n;

    for (uint8_t e = 0; e < d->n_extra && !any; e++)
        any = here(cl, s, wk_cluster_slot_of(cl, d->extra[e]));
    return any;
}

static void count_recipients(struct im_slot *is, const struct deliver *d)
{
    struct wk_cursor c = wk_cursor(d->uids);
    uint64_t n = d->n_extra + (d->members ? d->members->n : 0);

    for (; wk_cursor_left(&c) && !c.bad; n++)
        (void)wk_cursor_str(&c);
    wk_histogram_add(&is->count->recipients, WK_BOUNDS_SIZES, n);
}

/* Whether the list of those who are away is wanted: with a row when it was asked for. */
static void ask_offline(struct deliver *d, struct im_slot *is, const struct im_send_head *h,
                        const struct im_offline_row *row, uint32_t deliveries)
{
    bool no_row = d->record.flags & WKIM_FLAG_NO_PERSIST && is->im->opt.on_offline &&
                  d->record.channel_type != WKIM_CHANNEL_AGENT;

    if (!row->ticket && !no_row)
        return;
    if (deliveries == 0)
        im_offline_none(is, row, false);
    else if (im_offline_new(&d->offline, is, row, d->blob, &d->record, h->bits & IM_SEND_LIST,
                            deliveries) != WKIM_OK)
        im_offline_none(is, row, true);
}

void im_fanout(struct im_slot *is, struct im_channel *ch, struct wk_blob *blob,
               const struct im_send_head *h, const struct im_offline_row *row, bool quiet)
{
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    struct wk_shard *from = wk_slot_shard(is->slot);
    struct deliver d = { .im = is->im, .blob = blob, .skip_conn = h->conn_id,
                         .skip_device = h->device_id, .stored_us = from->now_us,
                         .quiet = quiet };
    struct im_members *held = NULL;
    bool subscribers;

    if (wk_record_decode(&d.record, h->record) != WKIM_OK) {
        im_offline_none(is, row, false);
        return;
    }
    extra_receivers(&d);
    d.uids = h->bits & IM_SEND_LIST ? h->uids : wk_slice(NULL, 0);
    subscribers = !(h->bits & IM_SEND_LIST) && d.record.channel_type != WKIM_CHANNEL_PERSON &&
                  d.record.channel_type != WKIM_CHANNEL_AGENT;
    int rc = WKIM_OK;
    if (subscribers && im_source_owns(is->im, d.record.channel_type))
        d.members = held = im_source_receivers(is, ch);
    else if (subscribers)
        rc = im_channel_list(is, ch, WK_LIST_SUBSCRIBER, &d.members);
    if (rc != WKIM_OK) {
        im_offline_none(is, row, true);
        return;
    }
    if (!quiet && !(h->bits & IM_SEND_LIST))
        im_tag_used(is, ch);
    if (d.members && d.members->n == 0)
        d.members = NULL;
    if (!quiet)
        count_recipients(is, &d);
    uint32_t deliveries = 0;
    for (uint32_t i = 0; i < is->im->opt.n_shards; i++)
        deliveries += concerns(&d, cl, &is->im->opt.shards[i]);
    ask_offline(&d, is, h, row, deliveries);
    for (uint32_t i = 0; (!quiet || d.offline) && i < is->im->opt.n_shards; i++) {
        struct wk_shard *to = &is->im->opt.shards[i];
        if (concerns(&d, cl, to))
            send_to(&d, to, from);
    }
    im_members_unref(held);
}

void im_fanout_event(struct im_slot *is, uint8_t type, wkim_slice stored_id, wkim_slice only,
                     const struct wk_event *e)
{
    struct wk_cluster *cl = wk_slot_cluster(is->slot);
    struct wk_buf b = WK_BUF_INIT, one = WK_BUF_INIT;
    struct deliver d = { .im = is->im, .is_event = true };
    struct im_members *held = NULL;
    struct im_channel *ch;

    if (only.n)
        wk_buf_str(&one, only);
    wk_buf_str(&b, stored_id);
    wk_buf_str(&b, wk_buf_slice(&one));
    wk_buf_str(&b, e->id);
    wk_buf_str(&b, e->type);
    wk_buf_str(&b, e->data);
    struct wk_blob *blob = b.oom || one.oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&b);
    wk_buf_fini(&one);
    if (!blob)
        return; /* events are not repeated: readers find the state */
    struct wk_cursor c = wk_cursor(wk_blob_slice(blob));
    d.blob = blob;
    d.record = (struct wk_record){ .channel_type = type, .channel_id = wk_cursor_str(&c) };
    d.uids = wk_cursor_str(&c);
    d.event = (struct wk_event){ .timestamp = e->timestamp };
    d.event.id = wk_cursor_str(&c);
    d.event.type = wk_cursor_str(&c);
    d.event.data = wk_cursor_str(&c);
    int rc = im_channel_get(is, type, im_base_id(d.record.channel_id), &ch);
    bool listed = d.uids.n || type == WKIM_CHANNEL_PERSON || type == WKIM_CHANNEL_AGENT;
    if (!d.uids.n)
        extra_receivers(&d);
    if (rc == WKIM_OK && !listed && im_source_owns(is->im, type))
        d.members = held = im_source_receivers(is, ch);
    else if (rc == WKIM_OK && !listed)
        rc = im_channel_list(is, ch, WK_LIST_SUBSCRIBER, &d.members);
    if (rc == WKIM_OK && d.members && d.members->n == 0)
        d.members = NULL;
    if (rc == WKIM_OK && d.members && im_fanout_full(is->im, ch, held)) {
        wk_log(is->im->opt.log, WK_LOG_WARN, "im", "event_skipped",
               "reason=\"too much waits for large groups\" members=%u", d.members->n);
        rc = WKIM_EBUSY; /* readers find the state */
    }
    for (uint32_t i = 0; rc == WKIM_OK && i < is->im->opt.n_shards; i++) {
        struct wk_shard *to = &is->im->opt.shards[i];
        if (concerns(&d, cl, to))
            send_to(&d, to, wk_slot_shard(is->slot));
    }
    im_members_unref(held);
    wk_blob_unref(blob);
    im_channel_trim(is);
}
