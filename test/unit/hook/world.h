/* The machine with a store, a transport and a clock made here. */
#ifndef TEST_HOOK_WORLD_H
#define TEST_HOOK_WORLD_H
#include "hook/hook.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../../support/oom.h"
#include "base/clock.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "wkim/types.h"

#define SLOTS 4
#define ROWS 4096
#define OUT_MAX 64
#define ASKED_MAX 1024

struct row {
    uint64_t id;
    int64_t message_id;
    uint8_t type;
    const char *text; /* of user.onlinestatus */
    bool gone; /* the message, not the row */
    bool removed, accepted;
};

struct world {
    struct wk_webhook *hook;
    struct wk_webhook_options opt;
    uint64_t now_ms, wake_ms;
    int event; /* that the rows belong to */
    struct row rows[SLOTS][ROWS];
    uint32_t n_rows[SLOTS];
    struct asked { /* for the receivers of a message */
        uint32_t slot, epoch;
        uint64_t id;
        struct wk_blob *message;
    } asked[ASKED_MAX];
    uint32_t n_asked;
    uint64_t next_id;
    struct wk_webhook_batch *reads[OUT_MAX];
    uint32_t n_reads;
    struct wk_webhook_request *out[OUT_MAX];
    uint32_t n_out;
    bool readers_busy;
};

static inline int op_read(void *user, struct wk_webhook_batch *b)
{
    struct world *w = user;

    if (w->readers_busy)
        return WKIM_EBUSY;
    assert_true(w->n_reads < OUT_MAX);
    w->reads[w->n_reads++] = b;
    return WKIM_OK;
}

static inline void op_send(void *user, struct wk_webhook_request *r)
{
    struct world *w = user;

    assert_true(w->n_out < OUT_MAX);
    w->out[w->n_out++] = r;
}

static inline void op_remove(void *user, int event, uint32_t slot, uint64_t id)
{
    struct world *w = user;

    assert_int_equal(event, w->event);
    for (uint32_t i = 0; i < w->n_rows[slot]; i++) {
        if (w->rows[slot][i].id == id) {
            assert_false(w->rows[slot][i].removed);
            w->rows[slot][i].removed = true;
            return;
        }
    }
    fail_msg("row %llu of slot %u does not exist", (unsigned long long)id, slot);
}

static inline int op_receivers(void *user, uint32_t slot, uint32_t epoch, uint64_t id,
                               wkim_slice value)
{
    struct world *w = user;
    struct wk_blob *message = wk_blob_copy(value.p, value.n);

    if (!message)
        return WKIM_ENOMEM;
    assert_true(w->n_asked < ASKED_MAX);
    w->asked[w->n_asked++] = (struct asked){slot, epoch, id, message};
    return WKIM_OK;
}

static inline void op_wake(void *user, uint64_t at_ms)
{
    ((struct world *)user)->wake_ms = at_ms;
}

static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));

    w->now_ms = 1000;
    w->wake_ms = UINT64_MAX;
    w->opt = (struct wk_webhook_options){.ops = {op_read, op_send, op_remove, op_receivers,
                                                 op_wake},
                                         .user = w,
                                         .n_slots = SLOTS,
                                         .node_id = 1,
                                         .notify_wait_ms = 500,
                                         .notify_max = 10,
                                         .tries_max = 5,
                                         .in_flight_max = 3,
                                         .rows_max = 1000,
                                         .offline_bytes_max = 1048576};
    return w;
}

static inline void lead(struct world *w, uint64_t assumed)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        wk_webhook_lead(w->hook, s);
        wk_webhook_recovered(w->hook, w->event, s, assumed, w->now_ms);
    }
}

static inline struct world *started(struct world *w)
{
    assert_int_equal(wk_webhook_new(&w->hook, &w->opt), WKIM_OK);
    lead(w, 0);
    return w;
}

static inline void world_free(struct world *w)
{
    wk_webhook_free(w->hook);
    for (uint32_t i = 0; i < w->n_out; i++)
        wk_webhook_request_unref(w->out[i]);
    for (uint32_t i = 0; i < w->n_asked; i++)
        wk_blob_unref(w->asked[i].message);
    free(w);
}

static inline void put_row(struct world *w, uint32_t slot, uint8_t type, bool gone)
{
    struct row *r = &w->rows[slot][w->n_rows[slot]++];

    *r = (struct row){.id = ++w->next_id << 16, .type = type, .gone = gone};
    r->message_id = (int64_t)w->next_id;
}

static inline void store(struct world *w, uint32_t slot)
{
    put_row(w, slot, WKIM_CHANNEL_GROUP, false);
    wk_webhook_stored(w->hook, w->event, slot, w->now_ms);
}

static inline void read_part(struct world *w, struct wk_webhook_part *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->n_rows[p->slot]; i++) {
        const struct row *r = &w->rows[p->slot][i];
        struct wk_buf b = WK_BUF_INIT;
        if (r->removed || r->id < p->from_id)
            continue;
        if (n++ == p->want) {
            p->more = true;
            break;
        }
        struct wk_record rec = {.message_id = r->message_id,
                                .channel_type = r->type,
                                .channel_id = WK_LIT("g"),
                                .from_uid = WK_LIT("u")};
        if (r->text) {
            wk_buf_u64(&b, (uint64_t)r->message_id);
            wk_buf_bytes(&b, r->text, strlen(r->text));
        } else if (!r->gone) {
            wk_record_encode(&b, &rec);
        }
        wk_buf_u64(&p->out, r->id);
        wk_buf_str(&p->out, wk_buf_slice(&b));
        if (b.oom || p->out.oom)
            p->rc = WKIM_ENOMEM;
        wk_buf_fini(&b);
    }
}

static inline void serve_reads(struct world *w)
{
    while (w->n_reads) {
        struct wk_webhook_batch *b = w->reads[--w->n_reads];
        for (uint32_t i = 0; i < b->n_parts; i++)
            read_part(w, &b->parts[i]);
        wk_webhook_read_done(w->hook, b, w->now_ms);
    }
}

/* Time passes; the machine is called when it asked for it. */
static inline void pass(struct world *w, uint64_t ms)
{
    uint64_t end = w->now_ms + ms;

    serve_reads(w);
    while (w->wake_ms <= end) {
        w->now_ms = w->wake_ms > w->now_ms ? w->wake_ms : w->now_ms;
        w->wake_ms = UINT64_MAX;
        wk_webhook_run(w->hook, w->now_ms);
        serve_reads(w);
    }
    w->now_ms = end;
}

static inline void answer(struct world *w, uint32_t i, bool ok)
{
    struct wk_webhook_request *r = w->out[i];

    memmove(&w->out[i], &w->out[i + 1], (--w->n_out - i) * sizeof(w->out[0]));
    r->ok = ok;
    wk_webhook_answer(w->hook, r, w->now_ms);
    serve_reads(w);
}

/* "1 2 3" of the messages in a request. */
static inline const char *ids(const struct wk_webhook_request *r)
{
    static char text[4096];
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r->items));
    struct wk_record rec;
    int n = 0;

    text[0] = 0;
    while (wk_cursor_left(&c) && wk_record_decode(&rec, wk_cursor_str(&c)) == WKIM_OK)
        n += snprintf(text + n, sizeof(text) - (size_t)n, n ? " %lld" : "%lld",
                      (long long)rec.message_id);
    return text;
}

static inline uint32_t left(const struct world *w)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < SLOTS; s++)
        for (uint32_t i = 0; i < w->n_rows[s]; i++)
            n += !w->rows[s][i].removed;
    return n;
}

/* n receivers of a message; epoch 0: it is not stored. */
static inline void list(struct world *w, uint32_t slot, uint32_t epoch, uint64_t id,
                        struct wk_blob *blob, uint32_t n)
{
    struct wk_buf uids = WK_BUF_INIT;
    struct wk_record r;

    assert_int_equal(wk_record_decode(&r, wk_blob_slice(blob)), WKIM_OK);
    for (uint32_t i = 0; i < n; i++)
        wk_buf_str(&uids, WK_LIT("uid"));
    const struct wk_webhook_offline o = {.slot = slot,
                                         .epoch = epoch,
                                         .id = id,
                                         .message = blob,
                                         .record = &r,
                                         .uids = wk_buf_slice(&uids)};
    if (uids.oom)
        wk_webhook_offline_lost(w->hook, slot, epoch, id, w->now_ms);
    else
        wk_webhook_offline(w->hook, &o, w->now_ms);
    wk_buf_fini(&uids);
}

/* A stored message: its receivers are known at once, or asked for later. */
static inline bool store_offline(struct world *w, uint32_t slot, uint32_t n)
{
    struct wk_buf b = WK_BUF_INIT;

    put_row(w, slot, WKIM_CHANNEL_GROUP, false);
    const struct row *row = &w->rows[slot][w->n_rows[slot] - 1];
    uint32_t epoch = wk_webhook_offline_stored(w->hook, slot, row->id, w->now_ms);
    if (!epoch)
        return false;
    struct wk_record rec = {.message_id = row->message_id,
                            .channel_type = row->type,
                            .channel_id = WK_LIT("g"),
                            .from_uid = WK_LIT("u")};
    wk_record_encode(&b, &rec);
    struct wk_blob *blob = b.oom ? NULL : wk_blob_copy(b.p, b.n);
    wk_buf_fini(&b);
    bool behind = w->n_asked != 0; /* it follows those that are being looked up */
    if (blob && !behind)
        list(w, slot, epoch, row->id, blob, n);
    else if (!blob || op_receivers(w, slot, epoch, row->id, wk_blob_slice(blob)) != WKIM_OK)
        wk_webhook_offline_lost(w->hook, slot, epoch, row->id, w->now_ms);
    wk_blob_unref(blob);
    return true;
}

static inline void compute(struct world *w, uint32_t n)
{
    while (w->n_asked) {
        struct asked a = w->asked[0];
        memmove(w->asked, w->asked + 1, --w->n_asked * sizeof(w->asked[0]));
        list(w, a.slot, a.epoch, a.id, a.message, n);
        wk_blob_unref(a.message);
        serve_reads(w);
    }
}

static inline void online(struct world *w, const char *text)
{
    put_row(w, 0, 0, false);
    w->rows[0][w->n_rows[0] - 1].text = text;
    wk_webhook_stored(w->hook, WK_WEBHOOK_ONLINE, 0, w->now_ms);
}
#endif
