/* Events on messages, in the slot of the channel.  Deltas change the lane in
 * memory and reach the log within FLUSH_MS or FLUSH_BYTES; everything else is in the log before it
 * is answered. */
#include "im/event/event.h"
#include "base/clock.h"
#include "im/channel/msgno.h"
#include "im/event/internal.h"
#include "im/message/message.h"

#define FLUSH_MS 500
#define FLUSH_BYTES 65536
#define FLUSH_COMMAND_BYTES 2097152 /* a command takes no further lane beyond this */
#define LANES_MAX 1000              /* of one message */
#define STREAMS_ALWAYS 4            /* of a slot, however many other slots hold */
#define SWEEP_MS 300000             /* at most between two looks at idle streams */
#define SYNC_LIMIT 200
#define SYNC_LIMIT_MAX 2000

/* ---- memory ---------------------------------------------------------------------------------- */

static bool linked(const struct wk_list *l)
{
    return l->next != l;
}

static void account(struct im_slot *is, struct im_stream *st, size_t bytes)
{
    atomic_fetch_add(&is->im->event_bytes, bytes);
    atomic_fetch_sub(&is->im->event_bytes, st->bytes);
    st->bytes = bytes;
}

static void recount(struct im_slot *is, struct im_stream *st)
{
    size_t n = sizeof(*st) + st->key_n;

    for (size_t i = 0; i < st->n_lanes; i++)
        n += sizeof(struct im_lane) + st->lanes[i]->snapshot.cap + st->lanes[i]->kept.cap;
    account(is, st, n);
}

static void drop(struct im_slot *is, struct im_stream *st)
{
    account(is, st, 0);
    atomic_fetch_sub(&is->im->event_streams, 1);
    wk_map_remove(&is->events->streams, &st->entry);
    im_stream_free(st);
}

static bool clean(const struct im_stream *st)
{
    return !st->in_flight && !linked(&st->dirty) && !linked(&st->flushing);
}

/* Drop streams nobody writes to: until `enough` holds, or all idle ones when it is NULL. */
static void evict(struct im_slot *is, uint64_t idle_ms, bool (*enough)(const struct im *im))
{
    uint64_t now = wk_slot_shard(is->slot)->now_ms;
    struct wk_list *n, *tmp;

    WK_LIST_EACH(n, tmp, &is->events->lru) {
        struct im_stream *st = WK_CONTAINER(n, struct im_stream, lru);
        if (enough ? enough(is->im) : now - st->used_ms < idle_ms)
            return;
        if (clean(st))
            drop(is, st);
    }
}

static bool room(const struct im *im)
{
    return atomic_load(&im->event_streams) < im->opt.event_streams_max &&
           atomic_load(&im->event_bytes) < im->opt.event_bytes_max;
}

static void arm_sweep(struct im_events *ev)
{
    struct wk_shard *s = wk_slot_shard(ev->is->slot);
    uint64_t every = ev->is->im->opt.event_sweep_ms;

    if (!ev->sweep.pos && ev->streams.count)
        (void)wk_timer_arm(&s->timers, &ev->sweep,
                           s->now_ms + (every < SWEEP_MS ? every : SWEEP_MS));
}

static void on_sweep(struct wk_timer *t)
{
    struct im_events *ev = WK_CONTAINER(t, struct im_events, sweep);

    evict(ev->is, ev->is->im->opt.event_idle_ms, NULL);
    arm_sweep(ev);
}

static void on_flush(struct wk_timer *t);
static void note_unsaved(struct im_events *ev);

void im_stream_gone(struct im_slot *is, struct im_stream *st)
{
    st->gone = true;
    wk_list_remove(&st->dirty);
    note_unsaved(is->events);
    if (clean(st))
        drop(is, st);
}

int im_events_open(struct im_slot *is, uint64_t seed)
{
    struct im_events *ev = wk_calloc(1, sizeof(*ev));

    if (!ev)
        return WKIM_ENOMEM;
    ev->is = is;
    wk_map_init(&ev->streams, seed);
    wk_list_init(&ev->lru);
    wk_list_init(&ev->dirty);
    wk_list_init(&ev->flushing);
    wk_list_init(&ev->puts);
    ev->flush.fire = on_flush;
    ev->sweep.fire = on_sweep;
    ev->quiet.fire = im_quiet_fire;
    is->events = ev;
    return WKIM_OK;
}

/* The lookup of the message tells who sent it. */
static int find_anchor(struct im_slot *is, struct im_stream *st, const struct wk_channel_key *key,
                       wkim_slice no)
{
    struct wk_buf row = WK_BUF_INIT;
    struct wk_record r;
    int rc = im_msgno_lookup(is, key, no, false, wk_wall_ms(), &row);

    struct wk_cursor c = wk_cursor(wk_buf_slice(&row));
    if (rc == WKIM_OK && row.n && wk_record_decode(&r, wk_cursor_str(&c)) == WKIM_OK) {
        st->anchored = true;
        st->message_id = r.message_id;
        wk_buf_clear(&st->from_uid);
        wk_buf_bytes(&st->from_uid, r.from_uid.p, r.from_uid.n);
        rc = st->from_uid.oom ? WKIM_ENOMEM : WKIM_OK;
    }
    wk_buf_fini(&row);
    return rc == WKIM_ENOTFOUND ? WKIM_OK : rc;
}

static int stream_open(struct im_slot *is, const struct im_event *e, struct im_stream **out)
{
    struct im_events *ev = is->events;
    struct wk_shard *s = wk_slot_shard(is->slot);
    struct wk_buf key = WK_BUF_INIT;
    struct im_stream *st = NULL;
    const struct wk_channel_key channel = { e->channel_type, e->stored_id };
    int rc = WKIM_OK;

    im_stream_key(&key, e->channel_type, e->stored_id, e->client_msg_no);
    if (key.oom)
        rc = WKIM_ENOMEM;
    else
        st = im_stream_find(is, wk_buf_slice(&key));
    if (st && st->stale && clean(st)) {
        drop(is, st);
        st = NULL;
    }
    if (st && st->gone)
        rc = WKIM_ENOTFOUND; /* of what came before is still something under way */
    if (rc == WKIM_OK && !st) {
        evict(is, 0, room);
        if (!room(is->im) && ev->streams.count >= STREAMS_ALWAYS)
            rc = WKIM_EBUSY;
        if (rc == WKIM_OK)
            rc = im_stream_load(is, wk_buf_slice(&key), &st);
        if (rc == WKIM_OK)
            rc = find_anchor(is, st, &channel, e->client_msg_no);
        if (rc == WKIM_OK && !st->anchored && st->n_lanes == 0 && !is->im->opt.event_allow_orphan)
            rc = WKIM_ENOTFOUND;
        if (rc == WKIM_OK)
            rc = wk_map_put(&ev->streams, &st->entry, wk_slice(st->key, st->key_n));
        if (rc == WKIM_OK) {
            atomic_fetch_add(&is->im->event_streams, 1);
            recount(is, st);
        } else if (st) {
            im_stream_free(st);
        }
    } else if (rc == WKIM_OK) {
        wk_list_remove(&st->lru);
        if (!st->anchored)
            rc = find_anchor(is, st, &channel, e->client_msg_no);
    }
    wk_buf_fini(&key);
    if (rc != WKIM_OK)
        return rc;
    st->used_ms = s->now_ms;
    wk_list_push(&ev->lru, &st->lru);
    arm_sweep(ev);
    *out = st;
    return WKIM_OK;
}

/* ---- deltas to the log ----------------------------------------------------------------------- */

struct im_flush {
    struct wk_call call;
    struct im_events *ev; /* NULL: the slot was closed */
};

static void want_flush(struct im_events *ev);

bool im_events_saved(const struct im *im)
{
    return atomic_load(&im->event_unsaved) == 0;
}

static void note_unsaved(struct im_events *ev)
{
    bool unsaved = ev->flush_call || linked(&ev->dirty);

    if (unsaved == ev->unsaved)
        return;
    ev->unsaved = unsaved;
    if (unsaved)
        atomic_fetch_add(&ev->is->im->event_unsaved, 1);
    else
        atomic_fetch_sub(&ev->is->im->event_unsaved, 1);
}

/* Not in the log: the pieces go once more, as a whole. */
static void flush_failed(struct im_events *ev, struct im_stream *st)
{
    for (size_t i = 0; i < st->n_lanes; i++) {
        struct im_lane *l = st->lanes[i];
        if (l->status == IM_LANE_OPEN)
            l->unsaved = l->unsaved_whole = true;
    }
    if (!linked(&st->dirty))
        wk_list_push(&ev->dirty, &st->dirty);
}

static void flush_done(struct wk_call *c)
{
    struct im_flush *f = WK_CONTAINER(c, struct im_flush, call);
    struct im_events *ev = f->ev;
    int rc = c->code;
    struct wk_list *n;

    wk_call_fini(c);
    wk_free(f);
    if (!ev)
        return;
    ev->flush_call = NULL;
    while ((n = wk_list_pop(&ev->flushing))) {
        struct im_stream *st = WK_CONTAINER(n, struct im_stream, flushing);
        if (rc != WKIM_OK && !st->gone)
            flush_failed(ev, st);
        if (st->gone && clean(st))
            drop(ev->is, st);
    }
    if (linked(&ev->dirty))
        want_flush(ev);
    note_unsaved(ev);
}

/* False: the command is full and something is left. */
static bool gather(struct im_stream *st, struct wk_buf *b)
{
    struct wk_buf key = WK_BUF_INIT, row = WK_BUF_INIT;
    bool all = true;

    for (size_t i = 0; i < st->n_lanes && all; i++) {
        struct im_lane *l = st->lanes[i];
        if (!l->unsaved || im_lane_terminal(l))
            continue;
        wk_buf_clear(&key);
        wk_buf_clear(&row);
        wk_buf_bytes(&key, st->key, st->key_n);
        wk_buf_str(&key, wk_buf_slice(&l->key));
        wk_buf_u64(&key, l->chunk_next);
        im_lane_chunk_encode(&row, l);
        wk_buf_str(b, wk_buf_slice(&key));
        wk_buf_str(b, wk_buf_slice(&row));
        b->oom |= key.oom | row.oom;
        if (b->oom)
            break;
        l->chunk_next++;
        l->unsaved = l->unsaved_whole = false;
        all = b->n < FLUSH_COMMAND_BYTES;
    }
    wk_buf_fini(&key);
    wk_buf_fini(&row);
    return all;
}

static void flush(struct im_events *ev)
{
    struct wk_buf b = WK_BUF_INIT;
    struct im_flush *f = ev->flush_call ? NULL : wk_calloc(1, sizeof(*f));
    struct wk_list *n;
    bool all = true;

    if (ev->flush_call)
        return; /* its end starts the next one */
    while (f && all && linked(&ev->dirty) && (n = wk_list_pop(&ev->dirty))) {
        struct im_stream *st = WK_CONTAINER(n, struct im_stream, dirty);
        all = gather(st, &b) && !b.oom;
        if (!all)
            wk_list_push(&ev->dirty, &st->dirty);
        if (b.n)
            wk_list_push(&ev->flushing, &st->flushing);
    }
    ev->unsaved_bytes = 0;
    struct wk_blob *in = f && b.n && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    bool failed = !f || b.oom || (b.n && !in);
    wk_buf_fini(&b);
    if (!in) {
        wk_free(f);
        while ((n = wk_list_pop(&ev->flushing)))
            flush_failed(ev, WK_CONTAINER(n, struct im_stream, flushing));
        if (failed)
            want_flush(ev);
        note_unsaved(ev);
        return;
    }
    wk_call_init(&f->call, IM_EVENT_CHUNKS, in, flush_done);
    f->ev = ev;
    f->call.slot = wk_slot_id(ev->is->slot);
    f->call.origin = wk_slot_shard(ev->is->slot);
    ev->flush_call = f;
    wk_call_send(wk_slot_cluster(ev->is->slot), &f->call);
}

static void on_flush(struct wk_timer *t)
{
    flush(WK_CONTAINER(t, struct im_events, flush));
}

static void want_flush(struct im_events *ev)
{
    struct wk_shard *s = wk_slot_shard(ev->is->slot);

    if (ev->unsaved_bytes >= FLUSH_BYTES)
        flush(ev);
    else if (!ev->flush.pos && !ev->flush_call)
        (void)wk_timer_arm(&s->timers, &ev->flush, s->now_ms + FLUSH_MS);
    note_unsaved(ev);
}

int im_event_chunks_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    while (wk_cursor_left(&c) && !c.bad) {
        wkim_slice key = wk_cursor_str(&c), row = wk_cursor_str(&c);
        if (c.bad)
            break;
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_CHUNK, key, row);
        if (im_events_note(is, IM_TABLE_CHUNK, key) != WKIM_OK)
            return WKIM_ENOMEM;
    }
    return WKIM_OK;
}

int im_event_put_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    wkim_slice key = wk_cursor_str(&c), row = wk_cursor_str(&c);
    const uint64_t first = wk_cursor_u64(&c), end = wk_cursor_u64(&c);
    struct wk_buf lo = WK_BUF_INIT, hi = WK_BUF_INIT;
    int rc = WKIM_OK;

    if (c.bad)
        return WKIM_OK;
    wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_LANE, key, row);
    if (im_events_note(is, IM_TABLE_LANE, key) != WKIM_OK)
        return WKIM_ENOMEM;
    if (first < end) {
        wk_buf_bytes(&lo, key.p, key.n);
        wk_buf_u64(&lo, first);
        wk_buf_bytes(&hi, key.p, key.n);
        wk_buf_u64(&hi, end);
        if (lo.oom || hi.oom)
            rc = WKIM_ENOMEM;
        else
            wk_row_delete_range(txn, wk_slot_id(is->slot), IM_TABLE_CHUNK, wk_buf_slice(&lo),
                                wk_buf_slice(&hi));
    }
    wk_buf_fini(&lo);
    wk_buf_fini(&hi);
    return rc;
}

/* ---- one event ------------------------------------------------------------------------------- */

static void push(struct im_slot *is, const struct im_event *e, const struct im_lane *l)
{
    struct wk_buf data = WK_BUF_INIT;
    bool owner = !is->im->opt.event_push_private &&
                 (wk_slice_eq(e->visibility, WK_LIT("private")) ||
                  wk_slice_eq(e->visibility, WK_LIT("restricted")));

    im_view_push(&data, e, l->seq, l->status);
    if (!data.oom)
        im_fanout_event(is, e->channel_type, e->stored_id, owner ? e->from_uid : wk_slice(NULL, 0),
                        &(struct wk_event){ .timestamp = (int64_t)e->occurred_ms, .id = e->event_id,
                                            .type = e->given_type.n ? e->given_type : e->type,
                                            .data = wk_buf_slice(&data) });
    wk_buf_fini(&data);
}

static enum wk_call_result answer(struct wk_call *c, const struct im_event *e, uint64_t seq,
                                  uint8_t status)
{
    im_view_answer(&c->out, e, seq, status);
    c->code = c->out.oom ? WKIM_ENOMEM : WKIM_OK;
    return WK_CALL_DONE;
}

static enum wk_call_result refuse(struct wk_call *c, int code)
{
    c->code = code;
    return WK_CALL_DONE;
}

static bool any_open(const struct im_stream *st)
{
    for (size_t i = 0; i < st->n_lanes; i++) {
        if (st->lanes[i]->status == IM_LANE_OPEN)
            return true;
    }
    return false;
}

static struct im_lane *lane_for(struct im_stream *st, wkim_slice key)
{
    struct im_lane *l = im_stream_lane(st, key);

    if (l || st->n_lanes == LANES_MAX)
        return l;
    return im_stream_add_lane(st, key);
}

static enum wk_call_result delta(struct im_slot *is, struct wk_call *c, struct im_stream *st,
                                 const struct im_event *e)
{
    const struct im_lane *finish = im_stream_lane(st, WK_LIT(IM_LANE_FINISH));
    struct im_lane *l = im_stream_lane(st, e->key);

    if (l && im_lane_terminal(l) && !any_open(st))
        return answer(c, e, l->seq, l->status); /* late: the end stays, nobody is told */
    if (finish || (l && im_lane_terminal(l)))
        return refuse(c, WKIM_EDENIED);
    if (st->deltas >= is->im->opt.event_deltas_max || (!l && st->n_lanes == LANES_MAX))
        return refuse(c, WKIM_ETOOBIG);
    if (!room(is->im)) {
        st->in_flight++; /* so that it stays itself */
        evict(is, 0, room);
        st->in_flight--;
        if (!room(is->im) && is->events->streams.count > STREAMS_ALWAYS)
            return refuse(c, WKIM_EBUSY);
    }
    l = lane_for(st, e->key);
    int rc = l ? im_lane_delta(l, e) : WKIM_ENOMEM;
    if (rc != WKIM_OK)
        return refuse(c, rc);
    if (l->from_uid.n == 0)
        wk_buf_bytes(&l->from_uid, e->from_uid.p, e->from_uid.n);
    st->deltas++;
    l->delta_ms = wk_slot_shard(is->slot)->now_ms;
    im_quiet_arm(is->events);
    recount(is, st);
    is->events->unsaved_bytes += e->payload.n;
    if (!linked(&st->dirty))
        wk_list_push(&is->events->dirty, &st->dirty);
    push(is, e, l);
    enum wk_call_result res = answer(c, e, l->seq, l->status);
    want_flush(is->events);
    return res;
}

/* A stored event on its way through the log; the caller waits for it. */
struct im_put {
    struct wk_call call;
    struct wk_list link;
    struct im_slot *is;       /* NULL: the slot was closed */
    struct im_stream *st;
    struct wk_call *waiting;
    uint64_t seq;
    uint8_t status;
    struct im_event e;        /* borrowed from waiting->in and memory */
    struct wk_buf from_uid;
};

static void put_done(struct wk_call *c)
{
    struct im_put *p = WK_CONTAINER(c, struct im_put, call);
    struct wk_call *w = p->waiting;
    int rc = c->code;

    wk_list_remove(&p->link);
    if (p->is) {
        struct im_stream *st = p->st;
        st->in_flight--;
        if (rc == WKIM_OK) {
            struct im_lane shown = { .seq = p->seq, .status = p->status };
            push(p->is, &p->e, &shown);
        } else {
            st->stale = true;
        }
        if ((st->stale || st->gone) && clean(st))
            drop(p->is, st);
    }
    w->code = rc;
    if (rc != WKIM_OK)
        wk_buf_fini(&w->out);
    wk_call_fini(c);
    wk_buf_fini(&p->from_uid);
    wk_free(p);
    wk_call_finish(w);
}

static struct wk_blob *put_request(const struct im_stream *st, const struct im_lane *l,
                                   uint64_t first)
{
    struct wk_buf key = WK_BUF_INIT, row = WK_BUF_INIT, b = WK_BUF_INIT;

    wk_buf_bytes(&key, st->key, st->key_n);
    wk_buf_str(&key, wk_buf_slice(&l->key));
    im_lane_row_encode(&row, l);
    wk_buf_str(&b, wk_buf_slice(&key));
    wk_buf_str(&b, wk_buf_slice(&row));
    wk_buf_u64(&b, first);
    wk_buf_u64(&b, l->chunk_next);
    struct wk_blob *in = key.oom || row.oom || b.oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&key);
    wk_buf_fini(&row);
    wk_buf_fini(&b);
    return in;
}

static enum wk_call_result store(struct im_slot *is, struct wk_call *c, struct im_stream *st,
                                 struct im_event *e, enum im_event_kind kind)
{
    struct im_lane *l = im_stream_lane(st, e->key);

    if (l && l->seq &&
        (im_lane_terminal(l) || wk_slice_eq(wk_buf_slice(&l->event_id), e->event_id)))
        return answer(c, e, l->seq, l->status); /* said before, or too late: nobody is told */
    if (!l && st->n_lanes == LANES_MAX)
        return refuse(c, WKIM_ETOOBIG);
    struct im_put *p = wk_calloc(1, sizeof(*p));
    if (p)
        wk_buf_bytes(&p->from_uid, e->from_uid.p, e->from_uid.n);
    l = p && !p->from_uid.oom ? lane_for(st, e->key) : NULL;
    if (!l) {
        if (p)
            wk_buf_fini(&p->from_uid);
        wk_free(p);
        return refuse(c, WKIM_ENOMEM);
    }
    e->from_uid = wk_buf_slice(&p->from_uid);
    uint64_t first = l->chunk_first;
    int rc = im_lane_store(l, e, kind, st->seq + 1);
    struct wk_blob *in = rc == WKIM_OK ? put_request(st, l, first) : NULL;
    if (!in) {
        st->stale = true;
        wk_buf_fini(&p->from_uid);
        wk_free(p);
        if (clean(st))
            drop(is, st);
        return refuse(c, WKIM_ENOMEM);
    }
    st->seq++;
    recount(is, st);
    p->is = is;
    p->st = st;
    p->waiting = c;
    p->seq = l->seq;
    p->status = l->status;
    p->e = *e;
    (void)answer(c, e, l->seq, l->status);
    st->in_flight++;
    wk_list_push(&is->events->puts, &p->link);
    wk_call_init(&p->call, IM_EVENT_PUT, in, put_done);
    p->call.slot = wk_slot_id(is->slot);
    p->call.origin = wk_slot_shard(is->slot);
    wk_call_send(wk_slot_cluster(is->slot), &p->call);
    return WK_CALL_PENDING;
}

enum wk_call_result im_event_handle(struct im_slot *is, struct wk_call *c)
{
    struct im_event e;
    struct im_stream *st;

    int rc = im_event_decode(&e, wk_blob_slice(c->in));
    if (rc == WKIM_OK)
        rc = stream_open(is, &e, &st);
    if (rc == WKIM_OK && st->stale)
        rc = WKIM_EBUSY;
    if (rc != WKIM_OK)
        return refuse(c, rc);
    if (e.from_uid.n && st->from_uid.n == 0)
        wk_buf_bytes(&st->from_uid, e.from_uid.p, e.from_uid.n);
    if (e.from_uid.n == 0)
        e.from_uid = st->from_uid.n ? wk_buf_slice(&st->from_uid) : WK_LIT(IM_SYSTEM_UID);
    enum im_event_kind kind = im_event_kind_of(e.type);
    /* As in v2, the end of a message whose lanes have all ended says no id unless the caller
     * did. */
    if (e.message_id == 0 && (kind != IM_EVENT_FINISH || st->n_lanes == 0 || any_open(st)))
        e.message_id = st->message_id;
    if (kind == IM_EVENT_FINISH)
        e.key = WK_LIT(IM_LANE_FINISH);
    return kind == IM_EVENT_DELTA ? delta(is, c, st, &e) : store(is, c, st, &e, kind);
}

void im_events_close(struct im_slot *is)
{
    struct im_events *ev = is->events;
    struct wk_list *n;

    if (!ev)
        return;
    wk_timer_disarm(&wk_slot_shard(is->slot)->timers, &ev->flush);
    wk_timer_disarm(&wk_slot_shard(is->slot)->timers, &ev->sweep);
    wk_timer_disarm(&wk_slot_shard(is->slot)->timers, &ev->quiet);
    while ((n = wk_list_pop(&ev->puts)))
        WK_CONTAINER(n, struct im_put, link)->is = NULL;
    if (ev->flush_call)
        ev->flush_call->ev = NULL;
    if (ev->unsaved)
        atomic_fetch_sub(&is->im->event_unsaved, 1);
    while ((n = wk_list_pop(&ev->lru)))
        drop(is, WK_CONTAINER(n, struct im_stream, lru));
    wk_map_fini(&ev->streams);
    wk_buf_fini(&ev->round_keys);
    wk_free(ev);
    is->events = NULL;
}

/* ---- /message/eventsync ---------------------------------------------------------------------- */

enum wk_call_result im_event_sync_handle(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    struct wk_channel_key channel;
    struct im_event_query q;
    struct wk_buf key = WK_BUF_INIT;

    im_channel_key_decode(&cur, &channel);
    q.client_msg_no = wk_cursor_str(&cur);
    q.key = wk_cursor_str(&cur);
    q.from = wk_cursor_u64(&cur);
    q.limit = wk_cursor_u32(&cur);
    q.include_private = wk_cursor_u8(&cur);
    q.limit = q.limit == 0 ? SYNC_LIMIT : q.limit > SYNC_LIMIT_MAX ? SYNC_LIMIT_MAX : q.limit;
    if (cur.bad)
        return refuse(c, WKIM_EPROTO);
    im_stream_key(&key, channel.type, channel.id, q.client_msg_no);
    struct im_stream *st = key.oom ? NULL : im_stream_find(is, wk_buf_slice(&key)), *read = NULL;
    int rc = key.oom ? WKIM_ENOMEM : st ? WKIM_OK : im_stream_load(is, wk_buf_slice(&key), &read);
    if (rc == WKIM_OK)
        im_view_sync(&c->out, st ? st : read, &q);
    if (read)
        im_stream_free(read);
    wk_buf_fini(&key);
    c->code = rc == WKIM_OK && c->out.oom ? WKIM_ENOMEM : rc;
    return WK_CALL_DONE;
}
