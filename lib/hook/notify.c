/* msg.notify: rows of the slots become requests, several at a time, one per slot. */
#include "hook/hook.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "hook/internal.h"
#include <wkim/types.h>

uint64_t wk_webhook_rows_over(const struct wk_webhook *w)
{
    uint64_t allowed = w->opt.rows_max + w->dead_rows;
    return w->opt.rows_max && w->rows > allowed ? w->rows - allowed : 0;
}

/* ---- what waits ------------------------------------------------------------------------------ */

static bool free_slot(const struct wk_webhook_slot *s)
{
    return s->ready && s->held == 0;
}

static void add_waiting(struct wk_webhook *w, struct wk_webhook_slot *s, uint64_t n)
{
    s->waiting += n;
    if (free_slot(s))
        w->eligible += n;
}

static void add_rows(struct wk_webhook *w, struct wk_webhook_slot *s, uint64_t n)
{
    s->rows += n;
    w->rows += n;
}

static void drop_rows(struct wk_webhook *w, struct wk_webhook_slot *s, uint64_t n)
{
    n = n < s->rows ? n : s->rows;
    s->rows -= n;
    w->rows -= n;
}

static void hold(struct wk_webhook *w, struct wk_webhook_slot *s)
{
    if (free_slot(s))
        w->eligible -= s->waiting;
    s->held++;
}

static void release(struct wk_webhook *w, struct wk_webhook_slot *s)
{
    s->held--;
    if (free_slot(s))
        w->eligible += s->waiting;
}

void wk_webhook_lead(struct wk_webhook *w, uint32_t slot)
{
    struct wk_webhook_slot *s = &w->slots[slot];

    s->epoch++;
    s->next_id = 0;
}

void wk_webhook_recovered(struct wk_webhook *w, uint32_t slot, uint64_t rows, uint64_t now_ms)
{
    struct wk_webhook_slot *s = &w->slots[slot];

    if (s->ready)
        return;
    s->ready = true;
    if (s->held == 0)
        w->eligible += s->waiting;
    add_waiting(w, s, rows);
    add_rows(w, s, rows);
    if (s->waiting && !w->notify_due_ms)
        w->notify_due_ms = now_ms + w->opt.notify_wait_ms;
    wk_webhook_run(w, now_ms);
}

void wk_webhook_lost(struct wk_webhook *w, uint32_t slot)
{
    struct wk_webhook_slot *s = &w->slots[slot];

    if (free_slot(s))
        w->eligible -= s->waiting;
    s->ready = false;
    s->waiting = 0;
    drop_rows(w, s, s->rows);
    s->epoch++;
}

void wk_webhook_stored(struct wk_webhook *w, uint32_t slot, uint64_t now_ms)
{
    struct wk_webhook_slot *s = &w->slots[slot];
    bool first = w->notify_due_ms == 0;

    add_waiting(w, s, 1);
    add_rows(w, s, 1);
    if (first)
        w->notify_due_ms = now_ms + w->opt.notify_wait_ms;
    if (first || w->eligible >= w->opt.notify_max || wk_webhook_rows_over(w))
        wk_webhook_run(w, now_ms);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* over: that many rows are read to be given up. */
static void start_read(struct wk_webhook *w, uint64_t now_ms, uint64_t over)
{
    struct wk_webhook_batch *b = wk_calloc(1, sizeof(*b));
    uint32_t left = w->opt.notify_max;

    w->notify_due_ms = now_ms + w->opt.notify_wait_ms;
    if (!b)
        return; /* again when that is due */
    b->dead = over != 0;
    if (over)
        left = over < WK_WEBHOOK_DEAD_MAX ? (uint32_t)over : WK_WEBHOOK_DEAD_MAX;
    for (uint32_t i = 0; i < w->opt.n_slots && left && b->n_parts < WK_WEBHOOK_PARTS_MAX; i++) {
        uint32_t id = (w->cursor + i) % w->opt.n_slots;
        struct wk_webhook_slot *s = &w->slots[id];
        if (!free_slot(s) || !s->waiting)
            continue;
        struct wk_webhook_part *p = &b->parts[b->n_parts++];
        p->slot = id;
        p->epoch = s->epoch;
        p->from_id = s->next_id;
        p->want = s->waiting < left ? (uint32_t)s->waiting : left;
        left -= p->want;
        hold(w, s);
        s->waiting -= p->want;
        w->dead_rows += b->dead ? p->want : 0;
    }
    w->cursor = b->n_parts ? (b->parts[b->n_parts - 1].slot + 1) % w->opt.n_slots : 0;
    w->reading++;
    int rc = w->opt.ops.read(w->opt.user, b);
    if (rc != WKIM_OK) {
        for (uint32_t i = 0; i < b->n_parts; i++)
            b->parts[i].rc = rc;
        wk_webhook_read_done(w, b, now_ms);
    }
}

void wk_webhook_notify_pump(struct wk_webhook *w, uint64_t now_ms)
{
    while (!w->draining && w->eligible && w->reading + w->notify_out < w->opt.in_flight_max) {
        uint64_t over = wk_webhook_rows_over(w);
        if (!over && w->eligible < w->opt.notify_max && now_ms < w->notify_due_ms)
            return;
        uint64_t before = w->eligible;
        start_read(w, now_ms, over);
        if (w->eligible == before)
            return; /* no memory, or the readers are busy: when it is due again */
    }
    if (!w->eligible && !w->reading && !w->notify_out)
        w->notify_due_ms = 0;
}

/* ---- from rows to requests ------------------------------------------------------------------- */

struct part_cursor {
    struct wk_cursor c;
    uint64_t id;
    wkim_slice record;
    int64_t message_id;
    uint8_t channel_type;
    bool end;
};

/* Next row with a message; rows whose message is gone are done. */
static void advance(struct wk_webhook *w, struct wk_webhook_part *p, struct part_cursor *pc)
{
    struct wk_record r;

    while (wk_cursor_left(&pc->c) && !pc->c.bad) {
        pc->id = wk_cursor_u64(&pc->c);
        pc->record = wk_cursor_str(&pc->c);
        if (pc->c.bad)
            break;
        w->slots[p->slot].next_id = pc->id + 1;
        if (wk_record_decode(&r, pc->record) == WKIM_OK) {
            pc->message_id = r.message_id;
            pc->channel_type = r.channel_type;
            return;
        }
        drop_rows(w, &w->slots[p->slot], 1);
        w->opt.ops.remove(w->opt.user, p->slot, pc->id);
    }
    pc->end = true;
}

static int add_record(struct wk_webhook_request *q, uint32_t slot, uint32_t epoch,
                      const struct part_cursor *pc)
{
    if ((q->n_rows & (q->n_rows - 1)) == 0) {
        size_t cap = q->n_rows ? q->n_rows * 2 : 1;
        struct wk_webhook_row *v = wk_realloc(q->rows, cap * sizeof(*v));
        if (!v)
            return WKIM_ENOMEM;
        q->rows = v;
    }
    wk_buf_str(&q->items, pc->record);
    if (q->items.oom)
        return WKIM_ENOMEM;
    q->rows[q->n_rows++] = (struct wk_webhook_row){slot, epoch, pc->id};
    q->n_items++;
    return WKIM_OK;
}

/* Messages of all parts in the order of their ids, those of one slot in the order of the slot. */
static int merge(struct wk_webhook *w, struct wk_webhook_batch *b, struct wk_webhook_request **q,
                 uint64_t now_ms)
{
    struct part_cursor *pc = wk_calloc(b->n_parts, sizeof(*pc));
    int rc = pc ? WKIM_OK : WKIM_ENOMEM;

    for (uint32_t i = 0; pc && i < b->n_parts; i++) {
        pc[i].c = wk_cursor(wk_buf_slice(&b->parts[i].out));
        advance(w, &b->parts[i], &pc[i]);
    }
    while (rc == WKIM_OK) {
        uint32_t best = b->n_parts;
        for (uint32_t i = 0; i < b->n_parts; i++)
            if (!pc[i].end && (best == b->n_parts || pc[i].message_id < pc[best].message_id))
                best = i;
        if (best == b->n_parts)
            break;
        struct wk_webhook_part *p = &b->parts[best];
        int target = w->opt.agent && pc[best].channel_type == WKIM_CHANNEL_AGENT;
        if (!q[target])
            q[target] = wk_webhook_request_new(w, WK_WEBHOOK_NOTIFY, now_ms);
        rc = q[target] ? add_record(q[target], p->slot, p->epoch, &pc[best]) : WKIM_ENOMEM;
        if (rc == WKIM_OK)
            advance(w, p, &pc[best]);
    }
    wk_free(pc);
    return rc;
}

static void set_delivery(struct wk_webhook_request *q)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&q->items));
    struct wk_record r;
    uint64_t a = 1, b = 2;

    while (wk_cursor_left(&c)) {
        if (wk_record_decode(&r, wk_cursor_str(&c)) != WKIM_OK)
            continue;
        a = wk_hash64(&r.message_id, sizeof(r.message_id), a);
        b = wk_hash64(&r.message_id, sizeof(r.message_id), b);
    }
    wk_webhook_set_delivery(q, a, b);
}

/* Each request holds every slot it has rows of, once. */
static void each_slot(struct wk_webhook *w, const struct wk_webhook_request *q,
                      void (*fn)(struct wk_webhook *w, struct wk_webhook_slot *s))
{
    w->walk++;
    for (uint32_t i = 0; i < q->n_rows; i++) {
        struct wk_webhook_slot *s = &w->slots[q->rows[i].slot];
        if (s->mark != w->walk)
            fn(w, s);
        s->mark = w->walk;
    }
}

static void read_failed(struct wk_webhook *w, struct wk_webhook_batch *b)
{
    for (uint32_t i = 0; i < b->n_parts; i++) {
        struct wk_webhook_part *p = &b->parts[i];
        struct wk_webhook_slot *s = &w->slots[p->slot];
        if (s->epoch != p->epoch)
            continue;
        s->next_id = p->from_id;
        s->waiting += p->want;
    }
}

/* Counts of a part against what was believed to wait. */
static void settle_part(struct wk_webhook *w, struct wk_webhook_part *p)
{
    struct wk_webhook_slot *s = &w->slots[p->slot];
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
        drop_rows(w, s, p->want - got);
    if (p->more && s->waiting == 0) {
        s->waiting = w->opt.notify_max; /* more than was known of */
        add_rows(w, s, w->opt.notify_max);
    }
}

void wk_webhook_read_done(struct wk_webhook *w, struct wk_webhook_batch *b, uint64_t now_ms)
{
    struct wk_webhook_request *q[WK_WEBHOOK_TARGETS] = {NULL, NULL};
    int rc = WKIM_OK;

    w->reading--;
    for (uint32_t i = 0; i < b->n_parts && b->dead; i++)
        w->dead_rows -= b->parts[i].want;
    for (uint32_t i = 0; i < b->n_parts && rc == WKIM_OK; i++)
        rc = b->parts[i].rc;
    for (uint32_t i = 0; i < b->n_parts && rc == WKIM_OK; i++)
        settle_part(w, &b->parts[i]);
    if (rc == WKIM_OK)
        rc = merge(w, b, q, now_ms);
    if (rc != WKIM_OK)
        read_failed(w, b);
    for (int t = 0; t < WK_WEBHOOK_TARGETS; t++) {
        if (q[t] && rc == WKIM_OK) {
            each_slot(w, q[t], hold);
            q[t]->target = (uint8_t)t;
            set_delivery(q[t]);
        }
    }
    for (uint32_t i = 0; i < b->n_parts; i++) {
        release(w, &w->slots[b->parts[i].slot]);
        wk_buf_fini(&b->parts[i].out);
    }
    for (int t = 0; t < WK_WEBHOOK_TARGETS; t++) {
        if (!q[t])
            continue;
        if (rc != WKIM_OK) {
            wk_webhook_request_unref(q[t]);
            continue;
        }
        w->notify_out++;
        wk_list_push(&w->notify, &q[t]->link);
        if (b->dead)
            wk_webhook_give_up(w, q[t], true, now_ms);
        else
            wk_webhook_send(w, q[t], now_ms);
    }
    wk_free(b);
    wk_webhook_run(w, now_ms);
}

void wk_webhook_notify_finish(struct wk_webhook *w, struct wk_webhook_request *r, bool remove)
{
    for (uint32_t i = 0; i < r->n_rows; i++) {
        struct wk_webhook_slot *s = &w->slots[r->rows[i].slot];
        if (!remove || s->epoch != r->rows[i].epoch)
            continue;
        drop_rows(w, s, 1);
        w->opt.ops.remove(w->opt.user, r->rows[i].slot, r->rows[i].id);
    }
    if (r->dead)
        w->dead_rows -= r->n_rows;
    each_slot(w, r, release);
    w->notify_out--;
    wk_list_remove(&r->link);
}
