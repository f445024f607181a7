/* The machine with a store, a transport and a clock made here. */
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

struct row {
    uint64_t id;
    int64_t message_id;
    uint8_t type;
    bool gone; /* the message, not the row */
    bool removed, accepted;
};

struct world {
    struct wk_webhook *hook;
    struct wk_webhook_options opt;
    uint64_t now_ms, wake_ms;
    struct row rows[SLOTS][ROWS];
    uint32_t n_rows[SLOTS];
    uint64_t next_id;
    struct wk_webhook_batch *reads[OUT_MAX];
    uint32_t n_reads;
    struct wk_webhook_request *out[OUT_MAX];
    uint32_t n_out;
    bool readers_busy;
};

static int op_read(void *user, struct wk_webhook_batch *b)
{
    struct world *w = user;

    if (w->readers_busy)
        return WKIM_EBUSY;
    assert_true(w->n_reads < OUT_MAX);
    w->reads[w->n_reads++] = b;
    return WKIM_OK;
}

static void op_send(void *user, struct wk_webhook_request *r)
{
    struct world *w = user;

    assert_true(w->n_out < OUT_MAX);
    w->out[w->n_out++] = r;
}

static void op_remove(void *user, uint32_t slot, uint64_t id)
{
    struct world *w = user;

    for (uint32_t i = 0; i < w->n_rows[slot]; i++) {
        if (w->rows[slot][i].id == id) {
            assert_false(w->rows[slot][i].removed);
            w->rows[slot][i].removed = true;
            return;
        }
    }
    fail_msg("row %llu of slot %u does not exist", (unsigned long long)id, slot);
}

static void op_wake(void *user, uint64_t at_ms)
{
    ((struct world *)user)->wake_ms = at_ms;
}

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));

    w->now_ms = 1000;
    w->wake_ms = UINT64_MAX;
    w->opt = (struct wk_webhook_options){.ops = {op_read, op_send, op_remove, op_wake},
                                         .user = w,
                                         .n_slots = SLOTS,
                                         .node_id = 1,
                                         .notify_wait_ms = 500,
                                         .notify_max = 10,
                                         .tries_max = 5,
                                         .in_flight_max = 3,
                                         .rows_max = 1000,
                                         .offline_bytes_max = 1048576,
                                         .online_bytes_max = 1048576};
    return w;
}

static void lead(struct world *w, uint64_t assumed)
{
    for (uint32_t s = 0; s < SLOTS; s++) {
        wk_webhook_lead(w->hook, s);
        wk_webhook_recovered(w->hook, s, assumed, w->now_ms);
    }
}

static struct world *started(struct world *w)
{
    assert_int_equal(wk_webhook_new(&w->hook, &w->opt), WKIM_OK);
    lead(w, 0);
    return w;
}

static void world_free(struct world *w)
{
    wk_webhook_free(w->hook);
    for (uint32_t i = 0; i < w->n_out; i++)
        wk_webhook_request_unref(w->out[i]);
    free(w);
}

static void put_row(struct world *w, uint32_t slot, uint8_t type, bool gone)
{
    struct row *r = &w->rows[slot][w->n_rows[slot]++];

    *r = (struct row){.id = ++w->next_id << 16, .type = type, .gone = gone};
    r->message_id = (int64_t)w->next_id;
}

static void store(struct world *w, uint32_t slot)
{
    put_row(w, slot, WKIM_CHANNEL_GROUP, false);
    wk_webhook_stored(w->hook, slot, w->now_ms);
}

static void read_part(struct world *w, struct wk_webhook_part *p)
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
        if (!r->gone)
            wk_record_encode(&b, &rec);
        wk_buf_u64(&p->out, r->id);
        wk_buf_str(&p->out, wk_buf_slice(&b));
        if (b.oom || p->out.oom)
            p->rc = WKIM_ENOMEM;
        wk_buf_fini(&b);
    }
}

static void serve_reads(struct world *w)
{
    while (w->n_reads) {
        struct wk_webhook_batch *b = w->reads[--w->n_reads];
        for (uint32_t i = 0; i < b->n_parts; i++)
            read_part(w, &b->parts[i]);
        wk_webhook_read_done(w->hook, b, w->now_ms);
    }
}

/* Time passes; the machine is called when it asked for it. */
static void pass(struct world *w, uint64_t ms)
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

static void answer(struct world *w, uint32_t i, bool ok)
{
    struct wk_webhook_request *r = w->out[i];

    memmove(&w->out[i], &w->out[i + 1], (--w->n_out - i) * sizeof(w->out[0]));
    r->ok = ok;
    wk_webhook_answer(w->hook, r, w->now_ms);
    serve_reads(w);
}

/* "1 2 3" of the messages in a request. */
static const char *ids(const struct wk_webhook_request *r)
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

static uint32_t left(const struct world *w)
{
    uint32_t n = 0;

    for (uint32_t s = 0; s < SLOTS; s++)
        for (uint32_t i = 0; i < w->n_rows[s]; i++)
            n += !w->rows[s][i].removed;
    return n;
}

/* ---- msg.notify ------------------------------------------------------------------------------ */

static void pauses_double_up_to_thirty_seconds(void **state)
{
    static const uint64_t expected[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
    (void)state;

    for (uint32_t i = 0; i < 7; i++)
        assert_int_equal(wk_webhook_backoff_ms(i + 1), expected[i]);
    assert_int_equal(wk_webhook_backoff_ms(UINT32_MAX), 30000);
}

static void an_empty_focus_list_wants_everything(void **state)
{
    static const char *const names[] = {"msg.notify", "nonsense"};
    (void)state;

    for (int e = 0; e < WK_WEBHOOK_EVENTS; e++) {
        assert_true(wk_webhook_focused(NULL, 0, e));
        assert_int_equal(wk_webhook_focused(names, 2, e), e == WK_WEBHOOK_NOTIFY);
        assert_false(wk_webhook_focused(names + 1, 1, e));
    }
}

static void messages_wait_for_the_interval_or_a_full_batch(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    store(w, 0);
    store(w, 1);
    store(w, 0);
    pass(w, 499);
    assert_int_equal(w->n_out, 0);
    pass(w, 1);
    assert_int_equal(w->n_out, 1);
    assert_string_equal(ids(w->out[0]), "1 2 3");
    for (int i = 0; i < 10; i++)
        store(w, 2);
    serve_reads(w);
    assert_int_equal(w->n_out, 2);
    assert_int_equal(w->out[1]->n_items, 10);
    answer(w, 0, true);
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    world_free(w);
}

static void a_failed_batch_comes_again_unchanged_and_its_slots_wait(void **state)
{
    struct world *w = started(world_new());
    char delivery[WK_WEBHOOK_DELIVERY_LEN + 1];
    (void)state;

    store(w, 0);
    pass(w, 500);
    memcpy(delivery, w->out[0]->delivery, sizeof(delivery));
    for (int i = 0; i < 10; i++)
        store(w, 0);
    store(w, 1);
    answer(w, 0, false);
    pass(w, 999);
    assert_int_equal(w->n_out, 1); /* the other slot goes on */
    assert_string_equal(ids(w->out[0]), "12");
    assert_int_equal(left(w), 12);
    answer(w, 0, true);
    pass(w, 1);
    assert_int_equal(w->n_out, 1);
    assert_string_equal(ids(w->out[0]), "1");
    assert_string_equal(w->out[0]->delivery, delivery);
    assert_int_equal(w->out[0]->attempt, 2);
    answer(w, 0, true);
    pass(w, 500);
    assert_string_equal(ids(w->out[0]), "2 3 4 5 6 7 8 9 10 11");
    assert_string_not_equal(w->out[0]->delivery, delivery);
    world_free(w);
}

static void after_the_last_try_a_batch_is_a_dead_letter(void **state)
{
    struct world *w = started(world_new());
    static const uint64_t pauses[] = {1000, 2000, 4000, 8000};
    (void)state;

    store(w, 0);
    pass(w, 500);
    for (uint32_t i = 0; i < 4; i++) {
        assert_false(w->out[0]->dead);
        assert_int_equal(w->out[0]->attempt, i + 1);
        answer(w, 0, false);
        pass(w, pauses[i] - 1);
        assert_int_equal(w->n_out, 0);
        pass(w, 1);
        assert_int_equal(w->n_out, 1);
    }
    answer(w, 0, false);
    assert_int_equal(w->n_out, 1);
    assert_true(w->out[0]->dead);
    assert_int_equal(w->out[0]->attempt, 5);
    assert_int_equal(left(w), 1); /* until it is kept somewhere */
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->retry_dropped, 1);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->failed, 5);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->waiting, 0);
    world_free(w);
}

static void zero_tries_means_for_ever(void **state)
{
    struct world *w = world_new();
    (void)state;

    w->opt.tries_max = 0;
    started(w);
    store(w, 0);
    pass(w, 500);
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(w->n_out, 1);
        assert_false(w->out[0]->dead);
        answer(w, 0, false);
        pass(w, 30000);
    }
    world_free(w);
}

static void too_many_rows_give_up_the_oldest_and_keep_the_rest(void **state)
{
    struct world *w = world_new();
    uint32_t dead = 0, alive = 0;
    (void)state;

    w->opt.rows_max = 50;
    w->opt.tries_max = 0;
    started(w);
    for (int i = 0; i < 300; i++) {
        store(w, (uint32_t)i % SLOTS);
        pass(w, 10);
        while (w->n_out) {
            dead += w->out[0]->dead ? w->out[0]->n_items : 0;
            answer(w, 0, w->out[0]->dead);
        }
    }
    assert_in_range(left(w), 1, 51);
    assert_in_range(dead, 249, 299);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->overflow_dropped, dead);
    for (int i = 0; i < 1000 && left(w); i++) {
        pass(w, 1000);
        while (w->n_out) {
            alive += w->out[0]->n_items;
            assert_false(w->out[0]->dead);
            answer(w, 0, true);
        }
    }
    assert_int_equal(dead + alive, 300);
    world_free(w);
}

static void rows_found_at_start_are_sent_even_when_they_were_not_counted(void **state)
{
    struct world *w = world_new();
    uint32_t n = 0;
    (void)state;

    for (int i = 0; i < 95; i++)
        put_row(w, (uint32_t)i % 2, WKIM_CHANNEL_GROUP, false);
    assert_int_equal(wk_webhook_new(&w->hook, &w->opt), WKIM_OK);
    lead(w, 1);
    for (int i = 0; i < 100 && left(w); i++) {
        pass(w, 500);
        while (w->n_out) {
            n += w->out[0]->n_items;
            answer(w, 0, true);
        }
    }
    assert_int_equal(n, 95);
    pass(w, 5000);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->waiting, 0);
    assert_true(wk_webhook_idle(w->hook));
    world_free(w);
}

static void rows_without_a_message_just_go_away(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    put_row(w, 0, WKIM_CHANNEL_GROUP, true);
    wk_webhook_stored(w->hook, 0, w->now_ms);
    pass(w, 500);
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->waiting, 0);
    world_free(w);
}

static void agent_channels_have_their_own_request(void **state)
{
    struct world *w = world_new();
    (void)state;

    w->opt.agent = true;
    started(w);
    put_row(w, 0, WKIM_CHANNEL_AGENT, false);
    put_row(w, 0, WKIM_CHANNEL_GROUP, false);
    wk_webhook_stored(w->hook, 0, w->now_ms);
    wk_webhook_stored(w->hook, 0, w->now_ms);
    pass(w, 500);
    assert_int_equal(w->n_out, 2);
    assert_int_equal(w->out[0]->target, WK_WEBHOOK_MAIN);
    assert_string_equal(ids(w->out[0]), "2");
    assert_int_equal(w->out[1]->target, WK_WEBHOOK_AGENT);
    answer(w, 1, false);
    answer(w, 0, true);
    assert_int_equal(left(w), 1);
    store(w, 0);
    pass(w, 999);
    assert_int_equal(w->n_out, 0); /* the slot is held by the failed one */
    world_free(w);
}

static void a_lost_slot_removes_nothing(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    store(w, 0);
    pass(w, 500);
    wk_webhook_lost(w->hook, 0);
    answer(w, 0, true);
    assert_int_equal(left(w), 1);
    wk_webhook_lead(w->hook, 0);
    wk_webhook_recovered(w->hook, 0, 1, w->now_ms);
    pass(w, 500);
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    world_free(w);
}

static void busy_readers_only_delay(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    w->readers_busy = true;
    store(w, 0);
    pass(w, 5000);
    assert_int_equal(w->n_out, 0);
    w->readers_busy = false;
    pass(w, 500);
    assert_int_equal(w->n_out, 1);
    world_free(w);
}

static void a_drain_leaves_rows_in_the_store(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    store(w, 0);
    pass(w, 500);
    answer(w, 0, false);
    store(w, 1);
    wk_webhook_drain(w->hook, w->now_ms);
    pass(w, 60000);
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 2);
    assert_true(wk_webhook_idle(w->hook));
    world_free(w);
}

/* Whatever fails: each message arrives, per slot in order, and only what arrived is removed. */
static void random_failures_lose_and_reorder_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world *w = world_new();
        struct wk_rng rng;
        uint64_t highest[SLOTS] = {0};
        wk_rng_seed(&rng, seed);
        w->opt.tries_max = 0;
        w->opt.notify_max = (uint32_t)wk_rng_below(&rng, 12) + 1;
        started(w);
        for (int step = 0; step < 3000 || left(w); step++) {
            if (step < 600)
                store(w, (uint32_t)wk_rng_below(&rng, SLOTS));
            w->readers_busy = wk_rng_below(&rng, 10) == 0;
            pass(w, wk_rng_below(&rng, 400));
            if (!w->n_out || wk_rng_below(&rng, 3) == 0)
                continue;
            uint32_t i = (uint32_t)wk_rng_below(&rng, w->n_out);
            bool ok = wk_rng_below(&rng, 2);
            for (uint32_t k = 0; ok && k < w->out[i]->n_rows; k++) {
                struct wk_webhook_row row = w->out[i]->rows[k];
                assert_true(row.id > highest[row.slot]);
                highest[row.slot] = row.id;
            }
            answer(w, i, ok);
            assert_true(step < 100000);
        }
        assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_NOTIFY)->waiting, 0);
        assert_true(w->next_id == 600);
        world_free(w);
    }
}

/* ---- in memory ------------------------------------------------------------------------------- */

static void offline(struct world *w, int64_t message_id, const char *channel, uint32_t n)
{
    struct wk_record r = {
        .message_id = message_id, .channel_type = 2, .channel_id = wk_str(channel)};
    struct wk_buf row = WK_BUF_INIT, uids = WK_BUF_INIT;
    struct wk_record stored;

    wk_record_encode(&row, &r);
    struct wk_blob *blob = wk_blob_copy(row.p, row.n);
    assert_int_equal(wk_record_decode(&stored, wk_blob_slice(blob)), WKIM_OK);
    for (uint32_t i = 0; i < n; i++)
        wk_buf_str(&uids, WK_LIT("uid"));
    wk_webhook_offline(w->hook, blob, &stored, false, wk_buf_slice(&uids), w->now_ms);
    wk_blob_unref(blob);
    wk_buf_fini(&row);
    wk_buf_fini(&uids);
}

static void offline_lists_of_one_channel_go_one_after_the_other(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    for (int64_t i = 1; i <= 5; i++)
        offline(w, i, "g1", 1);
    for (int64_t i = 1; i <= 5; i++) {
        assert_int_equal(w->n_out, 1);
        assert_int_equal(w->out[0]->record.message_id, i);
        answer(w, 0, false);
        assert_int_equal(w->n_out, 0);
        pass(w, 1000);
        assert_int_equal(w->out[0]->record.message_id, i);
        answer(w, 0, true);
    }
    assert_int_equal(w->n_out, 0);
    assert_true(wk_webhook_idle(w->hook));
    world_free(w);
}

static void long_offline_lists_are_split(void **state)
{
    struct world *w = world_new();
    (void)state;

    w->opt.uids_max = 4;
    started(w);
    offline(w, 1, "g1", 10);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w->out[0]->n_items, i < 2 ? 4 : 2);
        answer(w, 0, true);
    }
    assert_int_equal(w->n_out, 0);
    world_free(w);
}

static void a_full_memory_queue_drops_its_oldest(void **state)
{
    struct world *w = world_new();
    (void)state;

    w->opt.offline_bytes_max = 20000;
    w->opt.in_flight_max = 1;
    started(w);
    for (int64_t i = 1; i <= 1000; i++)
        offline(w, i, "g1", 3);
    const struct wk_webhook_counts *c = wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE);
    assert_in_range(c->overflow_dropped, 2700, 2997);
    assert_int_equal(c->overflow_dropped + c->waiting, 3000);
    assert_int_equal(w->out[0]->record.message_id, 1); /* under way: not dropped */
    answer(w, 0, true);
    int64_t first = w->out[0]->record.message_id;
    assert_in_range(first, 900, 999);
    for (int64_t i = first; i <= 1000; i++) {
        assert_int_equal(w->out[0]->record.message_id, i);
        answer(w, 0, true);
    }
    assert_int_equal(w->n_out, 0);
    world_free(w);
}

static void online(struct world *w, const char *uid, bool on)
{
    struct wk_webhook_online o = {wk_str(uid), 1, on, 37, 2, 3};
    wk_webhook_online(w->hook, &o, w->now_ms);
}

static void online_entries_are_batched_and_keep_their_order(void **state)
{
    struct world *w = started(world_new());
    (void)state;

    online(w, "a-b", true);
    online(w, "\"q", true);
    pass(w, WK_WEBHOOK_ONLINE_WAIT_MS - 1);
    assert_int_equal(w->n_out, 0);
    pass(w, 1);
    assert_int_equal(w->n_out, 1);
    online(w, "a-b", false);
    answer(w, 0, false);
    pass(w, 1000);
    assert_int_equal(w->n_out, 1);
    assert_int_equal(wk_webhook_body(w->out[0]), WKIM_OK);
    wk_buf_u8(&w->out[0]->body, 0);
    assert_string_equal((const char *)w->out[0]->body.p,
                        "[\"a-b-1-1-37-2-3\",\"\\\"q-1-1-37-2-3\"]");
    answer(w, 0, true);
    assert_int_equal(w->n_out, 1);
    assert_int_equal(wk_webhook_body(w->out[0]), WKIM_OK);
    assert_int_equal(w->out[0]->body.n, 18);
    assert_memory_equal(w->out[0]->body.p, "[\"a-b-1-0-37-2-3\"]", 18);
    world_free(w);
}

static void online_entries_are_bounded(void **state)
{
    struct world *w = world_new();
    (void)state;

    w->opt.online_bytes_max = 300000;
    started(w);
    for (int i = 0; i < 100000; i++)
        online(w, "somebody", i % 2 == 0);
    const struct wk_webhook_counts *c = wk_webhook_counts(w->hook, WK_WEBHOOK_ONLINE);
    assert_int_equal(c->overflow_dropped + c->waiting, 100000);
    assert_true(c->waiting * 22 < 400000);
    world_free(w);
}

static void the_same_entries_at_another_time_are_another_delivery(void **state)
{
    struct world *w = started(world_new());
    char first[WK_WEBHOOK_DELIVERY_LEN + 1];
    (void)state;

    online(w, "u", true);
    pass(w, 500);
    memcpy(first, w->out[0]->delivery, sizeof(first));
    answer(w, 0, true);
    online(w, "u", true);
    pass(w, 500);
    assert_string_not_equal(w->out[0]->delivery, first);
    world_free(w);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* A round with an allocation that fails: counted or tried again, never lost in silence, no leak. */
static void every_allocation_may_fail(void **state)
{
    bool hit = true;
    (void)state;

    for (uint64_t n = 1; hit; n++) {
        size_t live = oom_live();
        struct world *w = world_new();
        started(w);
        oom_fail_at(n);
        for (int i = 0; i < 12; i++)
            store(w, (uint32_t)i % 3);
        online(w, "u", true);
        pass(w, 600);
        for (int i = 0; i < 40; i++) {
            while (w->n_out)
                answer(w, 0, wk_webhook_body(w->out[0]) == WKIM_OK);
            pass(w, 1000);
        }
        hit = oom_hit();
        oom_fail_at(0);
        assert_int_equal(left(w), 0);
        const struct wk_webhook_counts *c = wk_webhook_counts(w->hook, WK_WEBHOOK_ONLINE);
        assert_int_equal(c->ok + c->overflow_dropped, 1);
        assert_true(wk_webhook_idle(w->hook));
        world_free(w);
        assert_int_equal(oom_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses_double_up_to_thirty_seconds),
        cmocka_unit_test(an_empty_focus_list_wants_everything),
        cmocka_unit_test(messages_wait_for_the_interval_or_a_full_batch),
        cmocka_unit_test(a_failed_batch_comes_again_unchanged_and_its_slots_wait),
        cmocka_unit_test(after_the_last_try_a_batch_is_a_dead_letter),
        cmocka_unit_test(zero_tries_means_for_ever),
        cmocka_unit_test(too_many_rows_give_up_the_oldest_and_keep_the_rest),
        cmocka_unit_test(rows_found_at_start_are_sent_even_when_they_were_not_counted),
        cmocka_unit_test(rows_without_a_message_just_go_away),
        cmocka_unit_test(agent_channels_have_their_own_request),
        cmocka_unit_test(a_lost_slot_removes_nothing),
        cmocka_unit_test(busy_readers_only_delay),
        cmocka_unit_test(a_drain_leaves_rows_in_the_store),
        cmocka_unit_test(random_failures_lose_and_reorder_nothing),
        cmocka_unit_test(offline_lists_of_one_channel_go_one_after_the_other),
        cmocka_unit_test(long_offline_lists_are_split),
        cmocka_unit_test(a_full_memory_queue_drops_its_oldest),
        cmocka_unit_test(online_entries_are_batched_and_keep_their_order),
        cmocka_unit_test(online_entries_are_bounded),
        cmocka_unit_test(the_same_entries_at_another_time_are_another_delivery),
        cmocka_unit_test(every_allocation_may_fail),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
