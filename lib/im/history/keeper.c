/* What the leader of a slot does about its histories in the background: erase the rows below floors
 * and look through the channels for what is over their limits.
 *
 * One keeper per shard, one step at a time: a look at the store on a reader thread, then commands
 * to the slot, then a pause that leaves the threads and the disk to the users. */
#include "im/history/internal.h"
#include "base/clock.h"

#define PAUSE_TIMES 2         /* a step is followed by so many times its own duration of rest */
#define PAUSE_MIN_MS 2
#define PAUSE_MAX_MS 1000
#define RETRY_MS 500
#define FLUSH_MESSAGES 20000  /* erased: the store is flushed, so that their space comes back */

struct im_keeper {
    struct im *im;
    struct wk_shard *shard;
    struct wk_list slots;     /* im_slot.keep.link */
    struct wk_timer timer;
    struct step *step;        /* under way */
};

enum step_kind { STEP_ERASE, STEP_PASS, STEP_FLUSH };

struct step {
    struct wk_read_job job;
    struct wk_post post;
    struct im_keeper *k;
    enum step_kind kind;
    uint64_t epoch;           /* of the slot's state */
    uint64_t began_ms;
    struct im_look look;
    bool second;              /* sending what follows the commands */
    uint32_t waiting;
    int rc;
};

struct keep_call {
    struct wk_call call;
    struct step *step;
};

static void next(struct im_keeper *k);

static void later(struct im_keeper *k, uint64_t at_ms)
{
    if (wk_timer_arm(&k->shard->timers, &k->timer, at_ms) != WKIM_OK)
        wk_log(k->im->opt.log, WK_LOG_ERROR, "im", "retention_waits",
               "shard=%u reason=\"out of memory\"", k->shard->index);
}

static void on_timer(struct wk_timer *t)
{
    next(WK_CONTAINER(t, struct im_keeper, timer));
}

static bool stopped(const struct im_keeper *k)
{
    return atomic_load_explicit(&k->im->keep_stopped, memory_order_relaxed);
}

/* The state the step was made for, NULL: it is no more. */
static struct im_slot *slot_of(const struct step *st)
{
    struct im_slot *is = im_slot_of(wk_cluster_slot(st->k->im->opt.cluster, st->look.slot));
    return is && is->keep.epoch == st->epoch ? is : NULL;
}

/* ---- the end of a step ----------------------------------------------------------------------- */

static void take_position(struct im_keep *keep, struct im_look *l, uint64_t now_ms, uint64_t pause)
{
    keep->scanning = l->more;
    if (!l->more) {
        keep->behind = false;
        keep->scan_at_ms = now_ms + pause;
        wk_buf_fini(&keep->cursor);
        return;
    }
    wk_buf_fini(&keep->cursor);
    keep->behind = l->behind;
    keep->cursor = l->cursor;
    keep->cursor_type = l->cursor_type;
    l->cursor = (struct wk_buf)WK_BUF_INIT;
}

static struct im_counters *counters(const struct im_keeper *k)
{
    return &k->im->shards[k->shard->index].count;
}

static void count(const struct step *st)
{
    struct im_counters *c = counters(st->k);

    if (st->rc != WKIM_OK) {
        wk_count(&c->keep_failed, 1);
        return;
    }
    wk_count(&c->removed[IM_REMOVED_HISTORY], st->look.erase);
    wk_count(&c->removed[IM_REMOVED_EXPIRED], st->look.over);
    atomic_fetch_add_explicit(&st->k->im->keep_unflushed, st->look.erase, memory_order_relaxed);
}

static void set_erasing(struct im_slot *is, bool erasing)
{
    if (is->keep.erasing != erasing)
        wk_count(&is->count->erasing, erasing ? 1 : (uint64_t)-1);
    is->keep.erasing = erasing;
}

static void finish(struct step *st)
{
    struct im_keeper *k = st->k;
    struct im_slot *is = st->kind == STEP_FLUSH ? NULL : slot_of(st);
    uint64_t now = k->shard->now_ms, rest = (now - st->began_ms) * PAUSE_TIMES;

    if (st->rc != WKIM_OK)
        rest = RETRY_MS;
    rest = rest < PAUSE_MIN_MS ? PAUSE_MIN_MS : rest > PAUSE_MAX_MS ? PAUSE_MAX_MS : rest;
    count(st);
    if (is && st->kind == STEP_ERASE && st->rc == WKIM_OK && !st->look.more)
        set_erasing(is, false);
    if (is && st->kind == STEP_PASS && st->rc == WKIM_OK)
        take_position(&is->keep, &st->look, now, k->im->opt.retention.scan_ms);
    if (is) { /* the others first */
        wk_list_remove(&is->keep.link);
        wk_list_push(&k->slots, &is->keep.link);
    }
    if (st->rc != WKIM_OK && st->rc != WKIM_ESTOPPED && !stopped(k))
        wk_log(k->im->opt.log, WK_LOG_WARN, "im", "retention_postponed", "slot=%u code=%s",
               st->look.slot, wkim_err_name(st->rc));
    k->step = NULL;
    im_look_fini(&st->look);
    wk_free(st);
    if (!stopped(k))
        later(k, now + rest);
}

/* ---- commands -------------------------------------------------------------------------------- */

static void send_all(struct step *st);

static void keep_done(struct wk_call *c)
{
    struct keep_call *kc = WK_CONTAINER(c, struct keep_call, call);
    struct step *st = kc->step;

    if (c->code != WKIM_OK)
        st->rc = c->code;
    wk_call_fini(c);
    wk_free(kc);
    if (--st->waiting == 0) {
        if (st->second || st->rc != WKIM_OK) {
            finish(st);
        } else {
            st->second = true;
            send_all(st);
        }
    }
}

static void send_one(struct step *st, uint16_t op, wkim_slice body)
{
    struct keep_call *kc = wk_calloc(1, sizeof(*kc));
    struct wk_blob *in = kc ? wk_blob_copy(body.p, body.n) : NULL;

    if (!in) {
        wk_free(kc);
        st->rc = WKIM_ENOMEM;
        return;
    }
    kc->step = st;
    wk_call_init(&kc->call, op, in, keep_done);
    kc->call.slot = st->look.slot;
    kc->call.origin = st->k->shard;
    st->waiting++;
    if (op == IM_TRIM)
        wk_count(&counters(st->k)->trims, 1);
    wk_call_send(st->k->im->opt.cluster, &kc->call);
}

/* Events that came while their message was being erased are looked for once more after it. */
static void send_all(struct step *st)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&st->look.out));

    st->waiting++; /* so that answers that come at once do not end the step */
    while (wk_cursor_left(&c) && !c.bad && !stopped(st->k)) {
        uint16_t op = wk_cursor_u16(&c);
        wkim_slice body = wk_cursor_str(&c);
        if (!c.bad && (op == IM_EVENTS_PURGE) == st->second)
            send_one(st, op, body);
    }
    if (--st->waiting == 0) {
        if (!st->second && st->rc == WKIM_OK) {
            st->second = true;
            send_all(st);
        } else {
            finish(st);
        }
    }
}

/* ---- the look -------------------------------------------------------------------------------- */

static void run(struct wk_read_job *j)
{
    struct step *st = WK_CONTAINER(j, struct step, job);

    if (st->kind == STEP_ERASE)
        im_look_erase(&st->look);
    else if (st->kind == STEP_PASS)
        im_look_pass(&st->look);
    else
        st->look.rc = wk_store_flush(st->look.store, NULL);
}

static void looked(struct wk_shard *s, struct wk_post *p)
{
    struct step *st = WK_CONTAINER(p, struct step, post);
    (void)s;

    st->rc = st->look.rc;
    if (st->rc != WKIM_OK || st->kind == STEP_FLUSH || stopped(st->k) || !slot_of(st)) {
        wk_buf_clear(&st->look.out);
        st->look.erase = st->look.over = 0;
        finish(st);
        return;
    }
    send_all(st);
}

static void run_done(struct wk_read_job *j)
{
    struct step *st = WK_CONTAINER(j, struct step, job);

    st->post.run = looked;
    wk_shard_post(st->k->shard, &st->post);
}

static int start(struct im_keeper *k, enum step_kind kind, const struct im_slot *is)
{
    struct wk_cluster *cl = k->im->opt.cluster;
    struct wk_readers *readers = k->im->opt.background;
    struct step *st = wk_calloc(1, sizeof(*st));

    if (!st)
        return WKIM_ENOMEM;
    *st = (struct step){ .k = k, .kind = kind, .began_ms = k->shard->now_ms };
    st->look = (struct im_look){ .store = wk_cluster_store(cl), .opt = &k->im->opt,
                                 .now_ms = k->shard->wall_ms };
    if (is) {
        st->epoch = is->keep.epoch;
        st->look.slot = wk_slot_id(is->slot);
        st->look.behind = is->keep.behind;
        st->look.cursor_type = is->keep.cursor_type;
        wk_buf_bytes(&st->look.cursor, is->keep.cursor.p, is->keep.cursor.n);
    }
    st->job.run = run;
    st->job.done = run_done;
    int rc = st->look.cursor.oom ? WKIM_ENOMEM : WKIM_OK;
    if (rc == WKIM_OK) {
        k->step = st;
        rc = wk_readers_submit(readers ? readers : wk_cluster_readers(cl), &st->job);
    }
    if (rc != WKIM_OK) {
        k->step = NULL;
        im_look_fini(&st->look);
        wk_free(st);
    }
    return rc;
}

/* ---- what comes next ------------------------------------------------------------------------- */

static void next(struct im_keeper *k)
{
    struct wk_list *n, *tmp;
    struct im_slot *erase = NULL, *pass = NULL;
    uint64_t now = k->shard->now_ms, at = UINT64_MAX;
    int rc = WKIM_OK;

    if (k->step || stopped(k))
        return;
    WK_LIST_EACH(n, tmp, &k->slots) {
        struct im_slot *is = WK_CONTAINER(n, struct im_slot, keep.link);
        if (is->keep.erasing && !erase)
            erase = is;
        if (!k->im->opt.retention.on)
            continue;
        if ((is->keep.scanning || is->keep.scan_at_ms <= now) && !pass)
            pass = is;
        else if (is->keep.scan_at_ms < at)
            at = is->keep.scan_at_ms;
    }
    uint64_t unflushed = atomic_load_explicit(&k->im->keep_unflushed, memory_order_relaxed);
    if (erase) {
        rc = start(k, STEP_ERASE, erase);
    } else if (unflushed >= FLUSH_MESSAGES &&
               atomic_compare_exchange_strong(&k->im->keep_unflushed, &unflushed, 0)) {
        rc = start(k, STEP_FLUSH, NULL);
        if (rc != WKIM_OK)
            atomic_fetch_add(&k->im->keep_unflushed, unflushed);
    } else if (pass) {
        rc = start(k, STEP_PASS, pass);
    } else if (at != UINT64_MAX) {
        later(k, at);
    }
    if (rc != WKIM_OK)
        later(k, now + RETRY_MS);
}

void im_keep_wake(struct im_slot *is)
{
    struct im_keeper *k = is->im->shards[wk_slot_shard(is->slot)->index].keeper;

    uint64_t now = k->shard->now_ms;

    set_erasing(is, true);
    /* A rest that is under way stays one. */
    if (!k->step && !stopped(k) && (!k->timer.pos || k->timer.at_ms > now + PAUSE_MAX_MS))
        later(k, now);
}

void im_keep_lead(struct im_slot *is)
{
    struct im *im = is->im;
    struct im_keeper *k = im->shards[wk_slot_shard(is->slot)->index].keeper;
    uint32_t slots = wk_cluster_slot_count(im->opt.cluster);

    is->keep.epoch = atomic_fetch_add(&im->keep_epoch, 1) + 1;
    /* The first passes of a node's slots do not come all at once. */
    is->keep.scan_at_ms = k->shard->now_ms +
                          im->opt.retention.scan_ms * (wk_slot_id(is->slot) + 1) / slots;
    wk_list_remove(&is->keep.link);
    wk_list_push(&k->slots, &is->keep.link);
    im_keep_wake(is); /* what a former leader has left */
}

void im_keep_close(struct im_slot *is)
{
    set_erasing(is, false);
    wk_list_remove(&is->keep.link);
    wk_buf_fini(&is->keep.cursor);
}

/* ---- life ------------------------------------------------------------------------------------ */

int im_keep_new(struct im *im)
{
    for (uint32_t i = 0; i < im->opt.n_shards; i++) {
        struct im_keeper *k = wk_calloc(1, sizeof(*k));
        if (!k)
            return WKIM_ENOMEM;
        k->im = im;
        k->shard = &im->opt.shards[i];
        k->timer.fire = on_timer;
        wk_list_init(&k->slots);
        im->shards[i].keeper = k;
    }
    return WKIM_OK;
}

void im_keep_free(struct im *im)
{
    for (uint32_t i = 0; i < im->opt.n_shards; i++) {
        struct im_keeper *k = im->shards[i].keeper;
        if (!k)
            continue;
        wk_timer_disarm(&k->shard->timers, &k->timer);
        if (k->step) {
            im_look_fini(&k->step->look);
            wk_free(k->step);
        }
        wk_free(k);
        im->shards[i].keeper = NULL;
    }
}

void im_keep_stop(struct im *im)
{
    atomic_store(&im->keep_stopped, true);
}
