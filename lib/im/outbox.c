/* Effects of a command that live in other slots: a durable row in this slot, calls to the others,
 * then the row goes away.  After a crash the leader runs what is left again; the effects are
 * idempotent. */
#include "im/outbox.h"
#include "store/txn.h"

#define RETRY_MS 500
#define UIDS_AT_ONCE 512

struct run {
    struct wk_list link;       /* im_slot.effects */
    struct wk_timer retry;
    struct im_slot *is;        /* NULL: closed while calls are under way */
    uint64_t id;
    uint32_t waiting;          /* calls under way + 1 while they are being sent */
    int rc;
    struct wk_call *call;      /* the command's own call; NULL after a restart */
    struct wk_blob *body;
    size_t at, next, end;      /* bytes of uids: done, done with those under way, all */
};

struct effect_call {
    struct wk_call call;
    struct run *run;
};

void im_outbox_put(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                   const struct im_effect_spec *e, wkim_slice uids)
{
    struct wk_buf b = WK_BUF_INIT;

    wk_buf_u8(&b, e->kind);
    wk_buf_u8(&b, e->bits);
    im_channel_key_encode(&b, e->key.type, e->key.id);
    wk_buf_u64(&b, e->read_seq);
    wk_buf_u64(&b, e->now_ms);
    wk_buf_bytes(&b, uids.p, uids.n);
    if (b.oom)
        wk_txn_fail(txn, WKIM_ENOMEM); /* or the effect would be lost */
    else
        wk_outbox_put(txn, wk_slot_id(is->slot), id, wk_buf_slice(&b));
    wk_buf_fini(&b);
}

static void free_run(struct run *r)
{
    wk_timer_disarm(&wk_slot_shard(r->is->slot)->timers, &r->retry);
    wk_count(&r->is->count->effects, (uint64_t)-1);
    wk_list_remove(&r->link);
    wk_blob_unref(r->body);
    wk_free(r);
}

static void look_again(struct wk_timer *t)
{
    im_outbox_recover(WK_CONTAINER(t, struct im_slot, outbox_retry));
}

/* A row whose effects could not be started: it is found in the outbox later. */
static void postpone(struct im_slot *is)
{
    struct wk_shard *s = wk_slot_shard(is->slot);

    is->outbox_retry.fire = look_again;
    if (!is->outbox_retry.pos &&
        wk_timer_arm(&s->timers, &is->outbox_retry, s->now_ms + RETRY_MS) != WKIM_OK)
        wk_log(is->im->opt.log, WK_LOG_ERROR, "im", "effects_wait_for_restart", "slot=%u",
               wk_slot_id(is->slot));
}

static void postpone_run(struct run *r)
{
    struct im_slot *is = r->is;

    free_run(r);
    postpone(is);
}

static void forget_done(struct wk_call *c)
{
    wk_call_fini(c);
    wk_free(c);
}

/* The row is no longer needed; losing this proposal only means that the effect runs once more. */
static void forget(struct im_slot *is, uint64_t id)
{
    struct wk_buf b = WK_BUF_INIT;
    struct wk_call *c = wk_calloc(1, sizeof(*c));

    wk_buf_u64(&b, id);
    struct wk_blob *in = c && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    if (!in) {
        wk_free(c);
        return;
    }
    wk_call_init(c, IM_OUTBOX_DONE, in, forget_done);
    c->slot = wk_slot_id(is->slot);
    c->origin = wk_slot_shard(is->slot);
    wk_call_send(wk_slot_cluster(is->slot), c);
}

static void execute(struct run *r);

/* The last run of a command answers it. */
static void answer_command(struct wk_call *call)
{
    if (call && --call->stage == 0)
        wk_call_finish(call);
}

static void run_finished(struct run *r)
{
    if (!r->is) { /* the slot was closed meanwhile; its next leader starts from the row */
        wk_blob_unref(r->body);
        wk_free(r);
        return;
    }
    if (r->rc == WKIM_OK && r->next < r->end) {
        r->at = r->next;
        execute(r);
        return;
    }
    struct wk_call *call = r->call;

    r->call = NULL;
    if (r->rc != WKIM_OK) {
        /* Still owed; the row stays until it worked. */
        struct wk_shard *s = wk_slot_shard(r->is->slot);
        if (wk_timer_arm(&s->timers, &r->retry, s->now_ms + RETRY_MS) != WKIM_OK)
            postpone_run(r);
    } else {
        forget(r->is, r->id);
        free_run(r);
    }
    answer_command(call);
}

static void effect_done(struct wk_call *c)
{
    struct effect_call *e = WK_CONTAINER(c, struct effect_call, call);
    struct run *r = e->run;

    if (c->code != WKIM_OK)
        r->rc = c->code;
    wk_call_fini(c);
    wk_free(e);
    if (--r->waiting == 0)
        run_finished(r);
}

static void send_effect(struct run *r, uint32_t slot, uint16_t op, struct wk_buf *b)
{
    struct effect_call *e = wk_calloc(1, sizeof(*e));
    struct wk_blob *in = e && !b->oom ? wk_blob_copy(b->p, b->n) : NULL;

    if (!in) {
        wk_free(e);
        r->rc = WKIM_ENOMEM;
        return;
    }
    e->run = r;
    wk_call_init(&e->call, op, in, effect_done);
    e->call.slot = slot;
    e->call.origin = wk_slot_shard(r->is->slot);
    r->waiting++;
    wk_call_send(wk_slot_cluster(r->is->slot), &e->call);
}

struct effect {
    uint8_t kind, bits;
    struct wk_channel_key key;
    uint64_t read_seq, now_ms;
    wkim_slice uids;
};

static int decode(struct effect *e, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    e->kind = wk_cursor_u8(&c);
    e->bits = wk_cursor_u8(&c);
    im_channel_key_decode(&c, &e->key);
    e->read_seq = wk_cursor_u64(&c);
    e->now_ms = wk_cursor_u64(&c);
    e->uids = wk_cursor_rest(&c);
    return c.bad ? WKIM_EPROTO : WKIM_OK;
}

static void start_request(struct wk_buf *b, const struct effect *e, wkim_slice stored_id)
{
    im_channel_key_encode(b, e->key.type, stored_id);
    if (e->kind == IM_EFFECT_ENSURE) {
        wk_buf_u64(b, e->read_seq);
        wk_buf_u8(b, e->bits);
    }
    wk_buf_u64(b, e->now_ms);
}

/* The uids of a long list go in windows, each when the one before is answered, so that no slot gets
 * much at once. */
static struct wk_cursor window(const struct run *r, const struct effect *e)
{
    return wk_cursor(wk_slice(e->uids.p + r->at, e->uids.n - r->at));
}

static void window_end(struct run *r, const struct effect *e, const struct wk_cursor *u)
{
    r->end = e->uids.n;
    r->next = u->bad ? r->end : r->end - wk_cursor_left(u);
}

/* One call per slot that holds some of the uids. */
static void send_grouped(struct run *r, const struct effect *e, uint16_t op)
{
    struct wk_cluster *cl = wk_slot_cluster(r->is->slot);
    uint32_t slots = wk_cluster_slot_count(cl);
    struct wk_buf *by_slot = wk_calloc(slots, sizeof(*by_slot));
    struct wk_cursor u = window(r, e);

    if (!by_slot) {
        r->rc = WKIM_ENOMEM;
        return;
    }
    for (uint32_t n = 0; n < UIDS_AT_ONCE && wk_cursor_left(&u) && !u.bad; n++) {
        wkim_slice uid = wk_cursor_str(&u);
        struct wk_buf *b = &by_slot[wk_cluster_slot_of(cl, uid)];
        if (b->n == 0)
            start_request(b, e, e->key.id);
        wk_buf_str(b, uid);
    }
    window_end(r, e, &u);
    for (uint32_t i = 0; i < slots; i++) {
        if (by_slot[i].n)
            send_effect(r, i, op, &by_slot[i]);
        wk_buf_fini(&by_slot[i]);
    }
    wk_free(by_slot);
}

static void send_one(struct run *r, const struct effect *e, uint16_t op, wkim_slice stored_id,
                     wkim_slice uid)
{
    struct wk_cluster *cl = wk_slot_cluster(r->is->slot);
    struct wk_buf b = WK_BUF_INIT;

    start_request(&b, e, stored_id);
    wk_buf_str(&b, uid);
    send_effect(r, wk_cluster_slot_of(cl, uid), op, &b);
    wk_buf_fini(&b);
}

/* The list of a person: each uid means the pair of it and the owner. */
static void send_pairs(struct run *r, const struct effect *e, uint16_t op)
{
    struct wk_cursor u = window(r, e);

    for (uint32_t n = 0; n < UIDS_AT_ONCE && wk_cursor_left(&u) && !u.bad; n++) {
        wkim_slice uid = wk_cursor_str(&u);
        struct wk_buf id = WK_BUF_INIT;
        im_stored_id(&id, WKIM_CHANNEL_PERSON, uid, e->key.id);
        send_one(r, e, op, wk_buf_slice(&id), uid);
        if (e->bits & IM_ENSURE_OWNER)
            send_one(r, e, op, wk_buf_slice(&id), e->key.id);
        wk_buf_fini(&id);
    }
    window_end(r, e, &u);
}

static void execute(struct run *r)
{
    struct effect e;

    r->rc = WKIM_OK;
    r->waiting = 1; /* so that answers that come at once do not finish the run */
    if (decode(&e, wk_blob_slice(r->body)) == WKIM_OK) {
        uint16_t op = e.kind == IM_EFFECT_ENSURE ? IM_CONV_ENSURE : IM_CONV_LEAVE;
        if (e.bits & IM_ENSURE_PAIR)
            send_pairs(r, &e, op);
        else
            send_grouped(r, &e, op);
    }
    if (--r->waiting == 0)
        run_finished(r);
}

static void on_retry(struct wk_timer *t)
{
    execute(WK_CONTAINER(t, struct run, retry));
}

static int start(struct im_slot *is, uint64_t id, wkim_slice body, struct wk_call *call)
{
    struct run *r = wk_calloc(1, sizeof(*r));

    if (!r)
        return WKIM_ENOMEM;
    r->is = is;
    r->id = id;
    r->call = call;
    r->retry.fire = on_retry;
    r->body = wk_blob_copy(body.p, body.n);
    if (!r->body) {
        wk_free(r);
        return WKIM_ENOMEM;
    }
    wk_list_push(&is->effects, &r->link);
    wk_count(&is->count->effects, 1);
    execute(r);
    return WKIM_OK;
}

struct find_row {
    uint64_t id;
    struct wk_buf body;
    bool found;
};

static int take_row(void *arg, uint64_t id, wkim_slice body)
{
    struct find_row *f = arg;

    if (id == f->id) {
        wk_buf_bytes(&f->body, body.p, body.n);
        f->found = true;
    }
    return 1;
}

static void start_stored(struct im_slot *is, uint64_t id, struct wk_call *call)
{
    struct find_row f = { .id = id };
    int rc = wk_outbox_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), id, take_row, &f);

    if (rc < 0 || !f.found || f.body.oom || start(is, id, wk_buf_slice(&f.body), call) != WKIM_OK) {
        wk_log(is->im->opt.log, WK_LOG_ERROR, "im", "effect_postponed", "slot=%u id=%llu",
               wk_slot_id(is->slot), (unsigned long long)id);
        postpone(is);
        if (--call->stage == 0)
            wk_call_finish(call);
    }
    wk_buf_fini(&f.body);
}

void im_outbox_start(struct im_slot *is, uint64_t id, struct wk_call *call)
{
    uint8_t bits = call->stage;

    call->stage = (uint8_t)((bits & 1) + (bits >> 1 & 1));
    if (bits & 2)
        start_stored(is, id | 0x8000, call);
    if (bits & 1)
        start_stored(is, id, call);
}

int im_outbox_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    uint64_t id = wk_cursor_u64(&c);

    if (!c.bad)
        wk_outbox_delete(txn, wk_slot_id(is->slot), id);
    return WKIM_OK;
}

static int recover_row(void *arg, uint64_t id, wkim_slice body)
{
    struct im_slot *is = arg;
    struct wk_list *it, *tmp;

    WK_LIST_EACH(it, tmp, &is->effects) {
        if (WK_CONTAINER(it, struct run, link)->id == id)
            return 0; /* under way */
    }
    return start(is, id, body, NULL);
}

void im_outbox_recover(struct im_slot *is)
{
    int rc = wk_outbox_scan(wk_slot_store(is->slot), wk_slot_id(is->slot), 0, recover_row, is);

    if (rc < 0) {
        postpone(is);
        wk_log(is->im->opt.log, WK_LOG_ERROR, "im", "outbox_not_recovered", "slot=%u code=%s",
               wk_slot_id(is->slot), wkim_err_name(rc));
    }
}

void im_outbox_drop_all(struct im_slot *is)
{
    struct wk_list *n;

    wk_timer_disarm(&wk_slot_shard(is->slot)->timers, &is->outbox_retry);
    while ((n = wk_list_pop(&is->effects))) {
        struct run *r = WK_CONTAINER(n, struct run, link);
        if (r->waiting == 0) {
            free_run(r);
            continue;
        }
        wk_count(&is->count->effects, (uint64_t)-1);
        answer_command(r->call); /* it is stored; its row tells the next leader what is owed */
        r->call = NULL;
        r->is = NULL; /* its answers still come: the last one frees it */
    }
}
