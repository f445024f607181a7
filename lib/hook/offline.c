/* msg.offline: lists of receivers wait in lanes that keep the order of their channel.  A list with
 * a row is safe: when memory is short its slot falls behind and the rows are read later.  Lists of
 * messages that are not stored have no row and may be dropped. */
#include "hook/hook.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "hook/internal.h"

#define ROWS_PER_READ 128
#define READS_MAX 2
#define COMPUTING_MAX 512 /* messages whose receivers are being looked up */
#define AGAIN_MS 1000

/* ---- rows of a slot -------------------------------------------------------------------------- */

static void set_behind(struct wk_webhook *w, struct wk_webhook_source *s, bool ready, bool behind)
{
    w->n_behind -= s->ready && s->behind;
    s->ready = ready;
    s->behind = behind;
    w->n_behind += s->ready && s->behind;
}

static void set_rows(struct wk_webhook *w, struct wk_webhook_source *s, uint64_t rows)
{
    w->offline_rows += rows - s->rows;
    s->rows = rows;
    w->counts[WK_WEBHOOK_OFFLINE].waiting = w->offline_rows + w->offline_memory;
}

/* Everything from row `id` on is read from the store. */
static void fall_behind(struct wk_webhook *w, struct wk_webhook_source *s, uint64_t id)
{
    if (!s->behind || id < s->next_id)
        s->next_id = id;
    set_behind(w, s, s->ready, true);
}

static void take(struct wk_webhook *w, struct wk_webhook_source *s)
{
    s->held++;
    s->computing++;
    w->computing++;
}

static void computed(struct wk_webhook *w, struct wk_webhook_source *s)
{
    s->computing--;
    w->computing--;
}

static void let_go(struct wk_webhook_source *s)
{
    s->held -= s->held > 0;
}

static void row_done(struct wk_webhook *w, uint32_t slot, uint64_t id)
{
    struct wk_webhook_source *s = &w->sources[slot];

    if (s->rows)
        set_rows(w, s, s->rows - 1);
    w->opt.ops.remove(w->opt.user, WK_WEBHOOK_OFFLINE, slot, id);
}

void wk_webhook_source_lead(struct wk_webhook *w, uint32_t slot)
{
    struct wk_webhook_source *s = &w->sources[slot];

    s->epoch++;
    s->next_id = s->last_id = s->due_ms = 0;
    set_behind(w, s, false, true);
}

void wk_webhook_source_recovered(struct wk_webhook *w, uint32_t slot, uint64_t rows)
{
    struct wk_webhook_source *s = &w->sources[slot];

    if (s->ready)
        return;
    set_rows(w, s, s->rows + rows);
    set_behind(w, s, true, rows || s->last_id);
}

uint32_t wk_webhook_offline_stored(struct wk_webhook *w, uint32_t slot, uint64_t id,
                                   uint64_t now_ms)
{
    struct wk_webhook_source *s = &w->sources[slot];

    s->last_id = id;
    set_rows(w, s, s->rows + 1);
    if (s->ready && !s->behind && !w->draining && w->bytes[true] <= w->opt.offline_bytes_max) {
        s->next_id = id + 1;
        take(w, s);
        return s->epoch;
    }
    fall_behind(w, s, id);
    if (wk_webhook_rows_over(w, WK_WEBHOOK_OFFLINE))
        wk_webhook_run(w, now_ms);
    return 0;
}

void wk_webhook_offline_lost(struct wk_webhook *w, uint32_t slot, uint32_t epoch, uint64_t id,
                             uint64_t now_ms)
{
    struct wk_webhook_source *s = &w->sources[slot];

    if (s->epoch != epoch)
        return;
    wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_receivers_postponed",
           "event=msg.offline slot=%u row=%llu", slot, (unsigned long long)id);
    computed(w, s);
    let_go(s);
    fall_behind(w, s, id);
    s->due_ms = now_ms + AGAIN_MS;
    wk_webhook_run(w, now_ms);
}

/* ---- reading --------------------------------------------------------------------------------- */

static struct wk_webhook_source *next_source(struct wk_webhook *w, uint64_t now_ms)
{
    for (uint32_t i = 0; i < w->opt.n_slots; i++) {
        uint32_t id = (w->source_cursor + i) % w->opt.n_slots;
        struct wk_webhook_source *s = &w->sources[id];
        if (s->ready && s->behind && !s->reading && !s->computing && s->due_ms <= now_ms) {
            w->source_cursor = (id + 1) % w->opt.n_slots;
            return s;
        }
    }
    return NULL;
}

static void read_source(struct wk_webhook *w, struct wk_webhook_source *s, uint64_t now_ms)
{
    struct wk_webhook_batch *b = wk_calloc(1, sizeof(*b));

    if (b) {
        b->event = WK_WEBHOOK_OFFLINE;
        b->n_parts = 1;
        b->parts[0] = (struct wk_webhook_part){.slot = (uint32_t)(s - w->sources),
                                               .epoch = s->epoch,
                                               .want = ROWS_PER_READ,
                                               .from_id = s->next_id,
                                               .last_id = s->last_id};
    }
    if (!b || w->opt.ops.read(w->opt.user, b) != WKIM_OK) {
        wk_free(b);
        s->due_ms = now_ms + AGAIN_MS;
        return;
    }
    s->reading = true;
    w->source_reads++;
}

static void sources_pump(struct wk_webhook *w, uint64_t now_ms)
{
    while (w->n_behind && !w->draining && w->source_reads < READS_MAX &&
           w->computing < COMPUTING_MAX && w->bytes[true] <= w->opt.offline_bytes_max / 2) {
        struct wk_webhook_source *s = next_source(w, now_ms);
        if (!s)
            return;
        read_source(w, s, now_ms);
    }
}

/* False: the receivers of a row could not be looked up, the slot starts there again. */
static bool take_rows(struct wk_webhook *w, struct wk_webhook_source *s,
                      const struct wk_webhook_part *p, uint64_t now_ms)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&p->out));

    while (wk_cursor_left(&c) && !c.bad) {
        uint64_t id = wk_cursor_u64(&c);
        wkim_slice message = wk_cursor_str(&c);
        if (c.bad)
            break;
        s->next_id = id + 1;
        s->last_id = id > s->last_id ? id : s->last_id;
        if (!message.n) {
            row_done(w, p->slot, id); /* its message is gone */
            continue;
        }
        take(w, s);
        if (w->opt.ops.receivers(w->opt.user, p->slot, p->epoch, id, message) != WKIM_OK)
            wk_webhook_offline_lost(w, p->slot, p->epoch, id, now_ms);
        if (s->next_id <= id)
            return false;
    }
    return true;
}

void wk_webhook_source_read(struct wk_webhook *w, struct wk_webhook_batch *b, uint64_t now_ms)
{
    struct wk_webhook_part *p = &b->parts[0];
    struct wk_webhook_source *s = &w->sources[p->slot];
    bool pumping = w->pumping;

    w->pumping = true; /* answers that come at once wait for the end of this */
    s->reading = false;
    w->source_reads--;
    /* Another place to go on from: led again meanwhile, or a list was lost. */
    bool mine = s->epoch == p->epoch && s->next_id == p->from_id;
    if (mine && p->rc != WKIM_OK) {
        s->due_ms = now_ms + AGAIN_MS;
    } else if (mine && take_rows(w, s, p, now_ms) && !p->more) {
        s->next_id = s->next_id > p->last_id ? s->next_id : p->last_id + 1;
        if (s->next_id > s->last_id) {
            set_behind(w, s, s->ready, false);
            set_rows(w, s, s->held); /* what was believed to be there is corrected */
        }
    }
    wk_buf_fini(&p->out);
    wk_free(b);
    w->pumping = pumping;
    wk_webhook_run(w, now_ms);
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct wk_webhook_request *head(const struct wk_webhook_lane *l)
{
    return wk_list_empty(&l->queue) ? NULL
                                    : WK_CONTAINER(l->queue.next, struct wk_webhook_request, link);
}

static void forget(struct wk_webhook *w, struct wk_webhook_request *r)
{
    wk_list_remove(&r->link);
    wk_list_remove(&r->age);
    w->bytes[r->origin != NULL] -= r->bytes;
    w->offline_memory -= !r->origin;
}

/* The oldest without a row that is not at the transport gives way. */
static void make_room(struct wk_webhook *w)
{
    struct wk_webhook_counts *c = &w->counts[WK_WEBHOOK_OFFLINE];
    struct wk_list *it, *tmp;

    if (w->bytes[false] <= w->opt.offline_bytes_max)
        return;
    WK_LIST_EACH(it, tmp, &w->age)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, age);
        if (w->bytes[false] <= w->opt.offline_bytes_max)
            return;
        if (r->out || r->origin)
            continue;
        if (c->overflow_dropped == 0)
            wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_queue_full",
                   "event=msg.offline bytes=%zu", w->bytes[false]);
        c->overflow_dropped += r->n_items;
        forget(w, r);
        wk_webhook_request_unref(r);
    }
}

static int one_list(struct wk_webhook *w, const struct wk_webhook_offline *o,
                    struct wk_webhook_origin *origin, wkim_slice uids, uint32_t n, uint64_t now_ms)
{
    struct wk_webhook_request *r = wk_webhook_request_new(w, WK_WEBHOOK_OFFLINE, now_ms);
    const struct wk_record *m = o->record;

    if (!r)
        return WKIM_ENOMEM;
    wk_buf_bytes(&r->items, uids.p, uids.n);
    if (r->items.oom) {
        wk_webhook_request_unref(r);
        return WKIM_ENOMEM;
    }
    r->n_items = n;
    r->message = wk_blob_ref(o->message);
    r->record = *m;
    r->list = o->list;
    r->origin = origin;
    wk_webhook_set_delivery(r, wk_hash64(uids.p, uids.n, (uint64_t)m->message_id),
                            wk_hash64(&m->message_id, sizeof(m->message_id), uids.n));
    uint64_t h = wk_hash64(m->channel_id.p, m->channel_id.n, m->channel_type);
    r->lane = (uint32_t)(h % w->n_lanes);
    r->bytes = sizeof(*r) + o->message->n + uids.n;
    w->bytes[origin != NULL] += r->bytes;
    w->offline_memory += !origin;
    if (origin)
        origin->left++;
    wk_list_push(&w->lanes[r->lane].queue, &r->link);
    wk_list_push(&w->age, &r->age);
    return WKIM_OK;
}

/* Its last request is done. */
static void end_origin(struct wk_webhook *w, struct wk_webhook_origin *o)
{
    struct wk_webhook_source *s = &w->sources[o->slot];

    w->offline_dead -= o->dead;
    if (s->epoch == o->epoch) {
        let_go(s);
        if (!o->keep)
            row_done(w, o->slot, o->id);
    }
    wk_free(o);
}

static void lost(struct wk_webhook *w, const struct wk_webhook_offline *o,
                 struct wk_webhook_origin *origin, uint32_t n, uint64_t now_ms)
{
    if (origin) {
        origin->keep = true;
        fall_behind(w, &w->sources[o->slot], o->id);
        w->sources[o->slot].due_ms = now_ms + AGAIN_MS;
        return;
    }
    w->counts[WK_WEBHOOK_OFFLINE].overflow_dropped += n;
    wk_log(w->opt.log, WK_LOG_WARN, "hook", "webhook_lost",
           "event=msg.offline count=%u reason=\"out of memory\"", n);
}

static void add_lists(struct wk_webhook *w, const struct wk_webhook_offline *o,
                      struct wk_webhook_origin *origin, uint64_t now_ms)
{
    struct wk_cursor c = wk_cursor(o->uids);

    while (wk_cursor_left(&c) && !c.bad) {
        const uint8_t *from = c.p;
        uint32_t n = 0;
        for (; wk_cursor_left(&c) && !c.bad && (!w->opt.uids_max || n < w->opt.uids_max); n++)
            (void)wk_cursor_str(&c);
        if (one_list(w, o, origin, wk_slice(from, (size_t)(c.p - from)), n, now_ms) != WKIM_OK)
            lost(w, o, origin, n, now_ms);
    }
}

void wk_webhook_offline(struct wk_webhook *w, const struct wk_webhook_offline *o, uint64_t now_ms)
{
    struct wk_webhook_source *s = &w->sources[o->slot];
    struct wk_webhook_origin *origin = NULL;

    if (o->epoch && s->epoch != o->epoch)
        return; /* whoever leads the slot now reads the row */
    if (!o->uids.n) { /* nobody is away */
        if (!o->epoch)
            return;
        computed(w, s);
        let_go(s);
        row_done(w, o->slot, o->id);
        if (w->n_behind)
            wk_webhook_run(w, now_ms);
        return;
    }
    if (o->epoch) {
        origin = wk_calloc(1, sizeof(*origin));
        if (!origin) {
            wk_webhook_offline_lost(w, o->slot, o->epoch, o->id, now_ms);
            return;
        }
        computed(w, s);
        *origin = (struct wk_webhook_origin){.id = o->id, .slot = o->slot, .epoch = o->epoch};
    }
    add_lists(w, o, origin, now_ms);
    if (origin && !origin->left)
        end_origin(w, origin); /* none of its requests could be made */
    make_room(w);
    wk_webhook_run(w, now_ms);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void give_way(struct wk_webhook *w, uint64_t now_ms)
{
    struct wk_list *it, *tmp;

    if (w->draining || !wk_webhook_rows_over(w, WK_WEBHOOK_OFFLINE))
        return;
    WK_LIST_EACH(it, tmp, &w->age)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, age);
        if (r->out || r->dead || !r->origin)
            continue;
        if (!r->origin->dead && !wk_webhook_rows_over(w, WK_WEBHOOK_OFFLINE))
            return;
        wk_webhook_give_up(w, r, true, now_ms);
    }
}

void wk_webhook_lanes_pump(struct wk_webhook *w, uint64_t now_ms)
{
    give_way(w, now_ms);
    for (uint32_t i = 0; i < w->n_lanes; i++) {
        struct wk_webhook_request *r = head(&w->lanes[i]);
        if (r && !r->out && r->due_ms <= now_ms)
            wk_webhook_send(w, r, now_ms);
    }
    sources_pump(w, now_ms);
    w->counts[WK_WEBHOOK_OFFLINE].waiting = w->offline_rows + w->offline_memory;
    w->counts[WK_WEBHOOK_OFFLINE].unsaved = w->offline_memory;
}

uint64_t wk_webhook_lanes_next(const struct wk_webhook *w, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < w->n_lanes; i++) {
        const struct wk_webhook_request *r = head(&w->lanes[i]);
        if (r && !r->out && r->due_ms < next)
            next = r->due_ms;
    }
    for (uint32_t i = 0; w->n_behind && !w->draining && i < w->opt.n_slots; i++) {
        const struct wk_webhook_source *s = &w->sources[i];
        if (s->ready && s->behind && s->due_ms > now_ms && s->due_ms < next)
            next = s->due_ms;
    }
    return next;
}

static void leave_lane(struct wk_webhook *w, struct wk_webhook_request *r, bool remove)
{
    struct wk_webhook_origin *o = r->origin;

    forget(w, r);
    r->origin = NULL;
    if (!o)
        return;
    o->keep |= !remove;
    if (--o->left == 0)
        end_origin(w, o);
}

void wk_webhook_lane_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove)
{
    struct wk_webhook_lane *l = &w->lanes[r->lane];
    bool stays = r->origin && !remove;
    struct wk_list *it, *tmp;

    leave_lane(w, r, remove);
    if (!stays)
        return;
    /* It comes again after those behind it would have: they stay with it. */
    WK_LIST_EACH(it, tmp, &l->queue)
    {
        struct wk_webhook_request *next = WK_CONTAINER(it, struct wk_webhook_request, link);
        if (!next->origin || next->out)
            continue;
        leave_lane(w, next, false);
        wk_webhook_request_unref(next);
    }
}

void wk_webhook_source_lost(struct wk_webhook *w, uint32_t slot)
{
    struct wk_webhook_source *s = &w->sources[slot];
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &w->age)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, age);
        if (!r->origin || r->origin->slot != slot || r->out)
            continue;
        leave_lane(w, r, false); /* whoever leads the slot now has its row */
        wk_webhook_request_unref(r);
    }
    s->epoch++;
    set_behind(w, s, false, true);
    set_rows(w, s, 0);
    w->computing -= s->computing;
    s->computing = 0;
    s->held = 0;
}

void wk_webhook_lanes_free(struct wk_webhook *w)
{
    struct wk_list *n;

    for (uint32_t i = 0; i < w->n_lanes; i++) {
        while ((n = wk_list_pop(&w->lanes[i].queue))) {
            struct wk_webhook_request *r = WK_CONTAINER(n, struct wk_webhook_request, link);
            wk_list_remove(&r->age);
            if (r->origin && --r->origin->left == 0)
                wk_free(r->origin);
            r->origin = NULL;
            wk_webhook_request_unref(r);
        }
    }
}
