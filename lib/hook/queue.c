/* msg.notify and user.onlinestatus: rows of the slots become requests, several at a time, one per
 * slot. */
#include "hook/hook.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "hook/internal.h"
#include <wkim/types.h>

static uint64_t beyond(uint64_t n, uint64_t limit)
{
    return n > limit ? n - limit : 0;
}

/* All rows share one bound: those of msg.offline give way first, then those of user.onlinestatus,
 * msg.notify only when it fills the queue alone. */
uint64_t wk_webhook_rows_over(const struct wk_webhook *w, int event)
{
    const struct wk_webhook_queue *n = &w->queues[WK_WEBHOOK_NOTIFY],
                                  *s = &w->queues[WK_WEBHOOK_ONLINE];
    uint64_t notify = beyond(n->rows, n->dead_rows), online = beyond(s->rows, s->dead_rows);
    uint64_t offline = beyond(w->offline_rows, w->offline_dead);

    if (!w->opt.rows_max)
        return 0;
    if (event == WK_WEBHOOK_NOTIFY)
        return beyond(notify, w->opt.rows_max);
    uint64_t over = beyond(notify + online + offline, w->opt.rows_max);
    if (event == WK_WEBHOOK_OFFLINE)
        return over < offline ? over : offline;
    over = beyond(over, offline);
    return over < online ? over : online;
}

/* ---- what waits ------------------------------------------------------------------------------ */

static bool free_slot(const struct wk_webhook_slot *s)
{
    return s->ready && s->held == 0;
}

static void add_waiting(struct wk_webhook_queue *q, struct wk_webhook_slot *s, uint64_t n)
{
    s->waiting += n;
    if (free_slot(s))
        q->eligible += n;
}

static void add_rows(struct wk_webhook_queue *q, struct wk_webhook_slot *s, uint64_t n)
{
    s->rows += n;
    q->rows += n;
}

static void drop_rows(struct wk_webhook_queue *q, struct wk_webhook_slot *s, uint64_t n)
{
    n = n < s->rows ? n : s->rows;
    s->rows -= n;
    q->rows -= n;
}

static void hold(struct wk_webhook_queue *q, struct wk_webhook_slot *s)
{
    if (free_slot(s))
        q->eligible -= s->waiting;
    s->held++;
}

static void release(struct wk_webhook_queue *q, struct wk_webhook_slot *s)
{
    s->held--;
    if (free_slot(s))
        q->eligible += s->waiting;
}

int wk_webhook_queue_init(struct wk_webhook_queue *q, int event,
                          const struct wk_webhook_options *opt)
{
    q->event = (uint8_t)event;
    q->wait_ms = event == WK_WEBHOOK_NOTIFY ? opt->notify_wait_ms : WK_WEBHOOK_ONLINE_WAIT_MS;
    q->batch_max = event == WK_WEBHOOK_NOTIFY ? opt->notify_max : WK_WEBHOOK_ONLINE_MAX;
    wk_list_init(&q->requests);
    q->slots = wk_calloc(opt->n_slots, sizeof(*q->slots));
    return q->slots ? WKIM_OK : WKIM_ENOMEM;
}

void wk_webhook_queue_lead(struct wk_webhook_queue *q, uint32_t slot)
{
    struct wk_webhook_slot *s = &q->slots[slot];

    s->epoch++;
    s->next_id = 0;
}

void wk_webhook_queue_recovered(struct wk_webhook_queue *q, uint32_t slot, uint64_t rows,
                                uint64_t now_ms)
{
    struct wk_webhook_slot *s = &q->slots[slot];

    if (s->ready)
        return;
    s->ready = true;
    if (s->held == 0)
        q->eligible += s->waiting;
    add_waiting(q, s, rows);
    add_rows(q, s, rows);
    if (s->waiting && !q->due_ms)
        q->due_ms = now_ms + q->wait_ms;
}

void wk_webhook_queue_lost(struct wk_webhook_queue *q, uint32_t slot)
{
    struct wk_webhook_slot *s = &q->slots[slot];

    if (free_slot(s))
        q->eligible -= s->waiting;
    s->ready = false;
    s->waiting = 0;
    drop_rows(q, s, s->rows);
    s->epoch++;
}

void wk_webhook_stored(struct wk_webhook *w, int event, uint32_t slot, uint64_t now_ms)
{
    struct wk_webhook_queue *q = &w->queues[event];
    bool first = q->due_ms == 0;

    add_waiting(q, &q->slots[slot], 1);
    add_rows(q, &q->slots[slot], 1);
    if (first)
        q->due_ms = now_ms + (w->draining ? 0 : q->wait_ms);
    if (first || q->eligible >= q->batch_max || wk_webhook_rows_over(w, event))
        wk_webhook_run(w, now_ms);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* over: that many rows are read to be given up. */
static void start_read(struct wk_webhook *w, struct wk_webhook_queue *q, uint64_t now_ms,
                       uint64_t over)
{
    struct wk_webhook_batch *b = wk_calloc(1, sizeof(*b));
    uint32_t left = q->batch_max;

    q->due_ms = now_ms + q->wait_ms;
    if (!b)
        return; /* again when that is due */
    b->event = q->event;
    b->dead = over != 0;
    if (over)
        left = over < WK_WEBHOOK_DEAD_MAX ? (uint32_t)over : WK_WEBHOOK_DEAD_MAX;
    for (uint32_t i = 0; i < w->opt.n_slots && left && b->n_parts < WK_WEBHOOK_PARTS_MAX; i++) {
        uint32_t id = (q->cursor + i) % w->opt.n_slots;
        struct wk_webhook_slot *s = &q->slots[id];
        if (!free_slot(s) || !s->waiting)
            continue;
        struct wk_webhook_part *p = &b->parts[b->n_parts++];
        p->slot = id;
        p->epoch = s->epoch;
        p->from_id = s->next_id;
        p->want = s->waiting < left ? (uint32_t)s->waiting : left;
        left -= p->want;
        hold(q, s);
        s->waiting -= p->want;
        q->dead_rows += b->dead ? p->want : 0;
    }
    q->cursor = b->n_parts ? (b->parts[b->n_parts - 1].slot + 1) % w->opt.n_slots : 0;
    q->reading++;
    int rc = w->opt.ops.read(w->opt.user, b);
    if (rc != WKIM_OK) {
        for (uint32_t i = 0; i < b->n_parts; i++)
            b->parts[i].rc = rc;
        wk_webhook_queue_read(w, b, now_ms);
    }
}

/* At the end only what comes of the connections that close is still read, until the first
 * failure. */
static bool may_read(const struct wk_webhook *w, const struct wk_webhook_queue *q)
{
    return q->eligible && q->reading + q->out < w->opt.in_flight_max &&
           (!w->draining || (q->event == WK_WEBHOOK_ONLINE && !q->stuck));
}

void wk_webhook_queue_pump(struct wk_webhook *w, struct wk_webhook_queue *q, uint64_t now_ms)
{
    while (may_read(w, q)) {
        uint64_t over = wk_webhook_rows_over(w, q->event);
        if (!over && !w->draining && q->eligible < q->batch_max && now_ms < q->due_ms)
            return;
        uint64_t before = q->eligible;
        start_read(w, q, now_ms, over);
        if (q->eligible == before) {
            q->stuck = true;
            return; /* no memory, or the readers are busy: when it is due again */
        }
    }
    if (!q->eligible && !q->reading && !q->out)
        q->due_ms = 0;
}

uint64_t wk_webhook_queue_retry(struct wk_webhook *w, struct wk_webhook_queue *q, uint64_t now_ms)
{
    uint64_t next = UINT64_MAX;
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &q->requests)
    {
        struct wk_webhook_request *r = WK_CONTAINER(it, struct wk_webhook_request, link);
        if (r->out)
            continue;
        if (!w->draining && !r->dead && wk_webhook_rows_over(w, q->event))
            wk_webhook_give_up(w, r, true, now_ms);
        else if (r->due_ms <= now_ms && !w->draining)
            wk_webhook_send(w, r, now_ms);
        else if (r->due_ms < next)
            next = r->due_ms;
    }
    return next;
}

uint64_t wk_webhook_queue_next(const struct wk_webhook *w, const struct wk_webhook_queue *q,
                               uint64_t now_ms)
{
    return q->eligible && !w->draining && q->due_ms > now_ms ? q->due_ms : UINT64_MAX;
}

/* ---- from rows to requests ------------------------------------------------------------------- */

struct part_cursor {
    struct wk_cursor c;
    uint64_t id;
    wkim_slice item;
    uint64_t order; /* message id, or the time of the entry */
    uint8_t channel_type;
    bool end;
};

static bool look(int event, struct part_cursor *pc, wkim_slice value)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_record r;

    if (event == WK_WEBHOOK_NOTIFY) {
        if (wk_record_decode(&r, value) != WKIM_OK)
            return false;
        pc->item = value;
        pc->order = (uint64_t)r.message_id;
        pc->channel_type = r.channel_type;
        return true;
    }
    pc->order = wk_cursor_u64(&c);
    pc->item = wk_cursor_rest(&c);
    return !c.bad && pc->item.n;
}

/* Next row with something to tell; rows whose message is gone are done. */
static void advance(struct wk_webhook *w, struct wk_webhook_queue *q, struct wk_webhook_part *p,
                    struct part_cursor *pc)
{
    while (wk_cursor_left(&pc->c) && !pc->c.bad) {
        pc->id = wk_cursor_u64(&pc->c);
        wkim_slice value = wk_cursor_str(&pc->c);
        if (pc->c.bad)
            break;
        q->slots[p->slot].next_id = pc->id + 1;
        if (look(q->event, pc, value))
            return;
        drop_rows(q, &q->slots[p->slot], 1);
        w->opt.ops.remove(w->opt.user, q->event, p->slot, pc->id);
    }
    pc->end = true;
}

static int add_row(struct wk_webhook_request *r, uint32_t slot, uint32_t epoch, uint64_t id)
{
    if ((r->n_rows & (r->n_rows - 1)) == 0) {
        size_t cap = r->n_rows ? r->n_rows * 2 : 1;
        struct wk_webhook_row *v = wk_realloc(r->rows, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        r->rows = v;
    }
    if (r->items.oom)
        return WKIM_ENOMEM;
    r->rows[r->n_rows++] = (struct wk_webhook_row){slot, epoch, id};
    r->n_items++;
    return WKIM_OK;
}

/* Rows of all parts in the order of their numbers, those of one slot in the order of the slot. */
static int merge(struct wk_webhook *w, struct wk_webhook_queue *q, struct wk_webhook_batch *b,
                 struct wk_webhook_request **r, uint64_t now_ms)
{
    struct part_cursor *pc = wk_calloc(b->n_parts, sizeof(*pc));
    int rc = pc ? WKIM_OK : WKIM_ENOMEM;

    for (uint32_t i = 0; pc && i < b->n_parts; i++) {
        pc[i].c = wk_cursor(wk_buf_slice(&b->parts[i].out));
        advance(w, q, &b->parts[i], &pc[i]);
    }
    while (rc == WKIM_OK) {
        uint32_t best = b->n_parts;
        for (uint32_t i = 0; i < b->n_parts; i++)
            if (!pc[i].end && (best == b->n_parts || pc[i].order < pc[best].order))
                best = i;
        if (best == b->n_parts)
            break;
        struct wk_webhook_part *p = &b->parts[best];
        int target = w->opt.agent && pc[best].channel_type == WKIM_CHANNEL_AGENT;
        if (!r[target])
            r[target] = wk_webhook_request_new(w, q->event, now_ms);
        if (r[target])
            wk_buf_str(&r[target]->items, pc[best].item);
        rc = r[target] ? add_row(r[target], p->slot, p->epoch, pc[best].id) : WKIM_ENOMEM;
        if (rc == WKIM_OK)
            advance(w, q, p, &pc[best]);
    }
    wk_free(pc);
    return rc;
}

/* Of msg.notify the message ids count, of user.onlinestatus the texts, in which the number of the
 * connection never comes twice. */
static void set_delivery(struct wk_webhook_request *r)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r->items));
    struct wk_record m;
    uint64_t a = 1, b = 2;

    while (wk_cursor_left(&c)) {
        wkim_slice item = wk_cursor_str(&c);
        if (r->event == WK_WEBHOOK_NOTIFY) {
            if (wk_record_decode(&m, item) != WKIM_OK)
                continue;
            item = wk_slice((const uint8_t *)&m.message_id, sizeof(m.message_id));
        }
        a = wk_hash64(item.p, item.n, a);
        b = wk_hash64(item.p, item.n, b);
    }
    wk_webhook_set_delivery(r, a, b);
}

/* Each request holds every slot it has rows of, once. */
static void each_slot(struct wk_webhook_queue *q, const struct wk_webhook_request *r,
                      void (*fn)(struct wk_webhook_queue *q, struct wk_webhook_slot *s))
{
    q->walk++;
    for (uint32_t i = 0; i < r->n_rows; i++) {
        struct wk_webhook_slot *s = &q->slots[r->rows[i].slot];
        if (s->mark != q->walk)
            fn(q, s);
        s->mark = q->walk;
    }
}

static void read_failed(struct wk_webhook_queue *q, struct wk_webhook_batch *b)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        struct wk_webhook_part *p = &b->parts[i];
        struct wk_webhook_slot *s = &q->slots[p->slot];
        if (s->epoch != p->epoch)
            continue;
        s->next_id = p->from_id;
        s->waiting += p->want;
    }
}

/* Counts of a part against what was believed to wait. */
static void settle_part(struct wk_webhook_queue *q, struct wk_webhook_part *p)
{
    struct wk_webhook_slot *s = &q->slots[p->slot];
    struct wk_cursor c = wk_cursor(wk_buf_slice(&p->out));
    uint32_t got = 0;

    if (s->epoch != p->epoch) {
        wk_buf_fini(&p->out); /* led by somebody else meanwhile, who sends them */
        return;
    }
    for (; wk_cursor_left(&c) && !c.bad; got++) {
        (void)wk_cursor_u64(&c);
        (void)wk_cursor_str(&c);
    }
    if (got < p->want && p->more)
        s->waiting += p->want - got;
    else if (got < p->want)
        drop_rows(q, s, p->want - got);
    if (p->more && s->waiting == 0) {
        s->waiting = q->batch_max; /* more than was known of */
        add_rows(q, s, q->batch_max);
    }
}

static void take_over(struct wk_webhook *w, struct wk_webhook_queue *q,
                      struct wk_webhook_request *r, bool dead, uint64_t now_ms)
{
    q->out++;
    wk_list_push(&q->requests, &r->link);
    if (dead)
        wk_webhook_give_up(w, r, true, now_ms);
    else
        wk_webhook_send(w, r, now_ms);
}

void wk_webhook_queue_read(struct wk_webhook *w, struct wk_webhook_batch *b, uint64_t now_ms)
{
    struct wk_webhook_queue *q = &w->queues[b->event];
    struct wk_webhook_request *r[WK_WEBHOOK_TARGETS] = {NULL, NULL};
    int rc = WKIM_OK;

    q->reading--;
    for (uint32_t i = 0; i < b->n_parts && b->dead; i++)
        q->dead_rows -= b->parts[i].want;
    for (uint32_t i = 0; i < b->n_parts && rc == WKIM_OK; i++)
        rc = b->parts[i].rc;
    for (uint32_t i = 0; i < b->n_parts && rc == WKIM_OK; i++)
        settle_part(q, &b->parts[i]);
    if (rc == WKIM_OK)
        rc = merge(w, q, b, r, now_ms);
    if (rc != WKIM_OK)
        read_failed(q, b);
    for (int t = 0; t < WK_WEBHOOK_TARGETS; t++) {
        if (r[t] && rc == WKIM_OK) {
            each_slot(q, r[t], hold);
            r[t]->target = (uint8_t)t;
            set_delivery(r[t]);
        }
    }
    for (uint32_t i = 0; i < b->n_parts; i++) {
        release(q, &q->slots[b->parts[i].slot]);
        wk_buf_fini(&b->parts[i].out);
    }
    for (int t = 0; t < WK_WEBHOOK_TARGETS; t++) {
        if (r[t] && rc == WKIM_OK)
            take_over(w, q, r[t], b->dead, now_ms);
        else
            wk_webhook_request_unref(r[t]);
    }
    wk_free(b);
    wk_webhook_run(w, now_ms);
}

void wk_webhook_queue_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove)
{
    struct wk_webhook_queue *q = &w->queues[r->event];

    for (uint32_t i = 0; i < r->n_rows; i++) {
        struct wk_webhook_slot *s = &q->slots[r->rows[i].slot];
        if (!remove || s->epoch != r->rows[i].epoch)
            continue;
        drop_rows(q, s, 1);
        w->opt.ops.remove(w->opt.user, q->event, r->rows[i].slot, r->rows[i].id);
    }
    if (r->dead)
        q->dead_rows -= r->n_rows;
    if (!remove)
        q->stuck = true;
    each_slot(q, r, release);
    q->out--;
    wk_list_remove(&r->link);
}
