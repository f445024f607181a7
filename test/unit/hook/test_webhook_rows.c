/* msg.offline and user.onlinestatus: rows, memory, order. */
#include "world.h"

/* ---- msg.offline ----------------------------------------------------------------------------- */

static void offline(struct world *w, int64_t message_id, const char *channel, uint32_t n)
{
    struct wk_record r = {
        .message_id = message_id, .channel_type = 2, .channel_id = wk_str(channel)};
    struct wk_buf row = WK_BUF_INIT;

    wk_record_encode(&row, &r);
    struct wk_blob *blob = wk_blob_copy(row.p, row.n);
    list(w, 0, 0, 0, blob, n);
    wk_blob_unref(blob);
    wk_buf_fini(&row);
}

static struct world *offline_world(void)
{
    struct world *w = world_new();

    w->event = WK_WEBHOOK_OFFLINE;
    return w;
}

static void offline_lists_of_one_channel_go_one_after_the_other(void **state)
{
    struct world *w = started(offline_world());
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

static void long_offline_lists_are_split_and_keep_their_row_until_the_last(void **state)
{
    struct world *w = offline_world();
    (void)state;

    w->opt.uids_max = 4;
    started(w);
    assert_true(store_offline(w, 0, 10));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(left(w), 1);
        assert_int_equal(w->out[0]->n_items, i < 2 ? 4 : 2);
        answer(w, 0, true);
    }
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 0);
    world_free(w);
}

static void lists_without_a_row_make_room_for_newer_ones(void **state)
{
    struct world *w = offline_world();
    (void)state;

    w->opt.offline_bytes_max = 20000;
    w->opt.in_flight_max = 1;
    started(w);
    for (int64_t i = 1; i <= 1000; i++)
        offline(w, i, "g1", 3);
    const struct wk_webhook_counts *c = wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE);
    assert_in_range(c->overflow_dropped, 2700, 2997);
    assert_int_equal(c->overflow_dropped + c->waiting * 3, 3000);
    assert_int_equal(c->unsaved, c->waiting);
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

static void a_message_that_nobody_misses_needs_no_request(void **state)
{
    struct world *w = started(offline_world());
    (void)state;

    assert_true(store_offline(w, 0, 0));
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->waiting, 0);
    world_free(w);
}

static void lists_beyond_the_memory_come_again_from_their_rows_in_order(void **state)
{
    struct world *w = offline_world();
    uint32_t later = 0;
    (void)state;

    w->opt.offline_bytes_max = 20000;
    w->opt.in_flight_max = 1;
    started(w);
    for (int i = 1; i <= 300; i++)
        later += !store_offline(w, 0, 3);
    assert_in_range(later, 200, 299);
    for (int64_t i = 1; i <= 300; i++) {
        assert_int_equal(w->n_out, 1);
        assert_int_equal(w->out[0]->record.message_id, i);
        assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->waiting, 301 - i);
        answer(w, 0, true);
        compute(w, 3);
    }
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->overflow_dropped, 0);
    assert_true(store_offline(w, 0, 1)); /* at once again */
    world_free(w);
}

static void lists_left_by_an_earlier_leader_are_computed_again(void **state)
{
    struct world *w = offline_world();
    (void)state;

    for (int i = 0; i < 5; i++)
        put_row(w, 1, WKIM_CHANNEL_GROUP, i == 2);
    assert_int_equal(wk_webhook_new(&w->hook, &w->opt), WKIM_OK);
    lead(w, 1);
    assert_false(store_offline(w, 1, 1)); /* behind those that were there */
    serve_reads(w);
    assert_int_equal(left(w), 5); /* the one without a message is gone */
    compute(w, 1);
    for (int64_t i = 1; i <= 6; i++) {
        if (i == 3)
            continue;
        assert_int_equal(w->out[0]->record.message_id, i);
        answer(w, 0, true);
    }
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->waiting, 0);
    world_free(w);
}

static void a_list_that_could_not_be_computed_is_asked_for_again(void **state)
{
    struct world *w = started(offline_world());
    (void)state;

    put_row(w, 0, WKIM_CHANNEL_GROUP, false);
    uint64_t id = w->rows[0][0].id;
    uint32_t epoch = wk_webhook_offline_stored(w->hook, 0, id, w->now_ms);
    assert_int_not_equal(epoch, 0);
    wk_webhook_offline_lost(w->hook, 0, epoch, id, w->now_ms);
    assert_false(store_offline(w, 0, 1));
    pass(w, 999);
    assert_int_equal(w->n_asked, 0);
    pass(w, 1);
    compute(w, 1);
    for (int64_t i = 1; i <= 2; i++) {
        assert_int_equal(w->out[0]->record.message_id, i);
        answer(w, 0, true);
    }
    assert_int_equal(left(w), 0);
    world_free(w);
}

static void offline_rows_give_way_before_the_others(void **state)
{
    struct world *w = offline_world();
    uint32_t dead = 0;
    (void)state;

    w->opt.rows_max = 50;
    w->opt.tries_max = 0;
    started(w);
    for (int i = 0; i < 200; i++) {
        (void)store_offline(w, 0, 2);
        serve_reads(w);
        compute(w, 2);
        for (uint32_t k = 0; k < w->n_out; k++) {
            if (!w->out[k]->dead)
                continue;
            dead++;
            answer(w, k--, true);
        }
    }
    const struct wk_webhook_counts *c = wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE);
    assert_in_range(dead, 145, 155);
    assert_int_equal(c->overflow_dropped, 2 * dead);
    assert_int_equal(left(w), 200 - dead);
    assert_int_equal(c->waiting, left(w));
    world_free(w);
}

static void a_dead_letter_that_nobody_kept_comes_again(void **state)
{
    struct world *w = offline_world();
    (void)state;

    w->opt.tries_max = 1;
    started(w);
    assert_true(store_offline(w, 0, 1));
    answer(w, 0, false);
    assert_true(w->out[0]->dead);
    answer(w, 0, false);
    assert_int_equal(left(w), 1);
    pass(w, 1000);
    assert_true(w->out[0]->dead);
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->retry_dropped, 1);
    world_free(w);
}

static void the_end_leaves_the_rows_of_what_was_not_taken(void **state)
{
    struct world *w = started(offline_world());
    (void)state;

    assert_true(store_offline(w, 0, 1));
    assert_true(store_offline(w, 0, 1));
    wk_webhook_drain(w->hook, w->now_ms);
    assert_false(store_offline(w, 0, 1));
    answer(w, 0, true);
    answer(w, 0, false);
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 2);
    assert_true(wk_webhook_idle(w->hook));
    assert_int_equal(wk_webhook_counts(w->hook, WK_WEBHOOK_OFFLINE)->retry_dropped, 0);
    world_free(w);
}

static void at_the_end_nothing_overtakes_what_failed(void **state)
{
    struct world *w = started(offline_world());
    (void)state;

    for (int i = 0; i < 5; i++)
        assert_true(store_offline(w, 0, 1));
    wk_webhook_drain(w->hook, w->now_ms);
    answer(w, 0, true);
    assert_int_equal(w->out[0]->record.message_id, 2);
    answer(w, 0, false);
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 4);
    assert_true(wk_webhook_idle(w->hook));
    world_free(w);
}

/* Whatever fails, also in between a change of leaders: each list arrives, in order where nothing
 * was led anew, and only what arrived is removed. */
static void random_failures_lose_no_list(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *w = offline_world();
        struct wk_rng rng;
        int64_t highest[SLOTS] = {0};
        wk_rng_seed(&rng, seed);
        bool change = seed % 2;
        w->opt.tries_max = 0;
        w->opt.offline_bytes_max = 2000 + wk_rng_below(&rng, 20000);
        w->opt.uids_max = seed % 3 ? 0 : 2;
        started(w);
        for (int step = 0; step < 600 || left(w); step++) {
            assert_true(step < 100000);
            if (step < 600)
                (void)store_offline(w, (uint32_t)wk_rng_below(&rng, SLOTS),
                                    (uint32_t)wk_rng_below(&rng, 4));
            w->readers_busy = wk_rng_below(&rng, 10) == 0;
            pass(w, wk_rng_below(&rng, 400));
            if (wk_rng_below(&rng, 3))
                compute(w, 1 + (uint32_t)wk_rng_below(&rng, 3));
            if (change && wk_rng_below(&rng, 100) == 0) {
                uint32_t s = (uint32_t)wk_rng_below(&rng, SLOTS);
                wk_webhook_lost(w->hook, s);
                wk_webhook_lead(w->hook, s);
                wk_webhook_recovered(w->hook, w->event, s, 1, w->now_ms);
            }
            if (!w->n_out)
                continue;
            uint32_t i = (uint32_t)wk_rng_below(&rng, w->n_out);
            int64_t id = w->out[i]->record.message_id;
            for (uint32_t s = 0; !change && s < SLOTS; s++) {
                for (uint32_t k = 0; k < w->n_rows[s]; k++) {
                    if (w->rows[s][k].message_id != id)
                        continue;
                    assert_true(id >= highest[s]);
                    highest[s] = id;
                }
            }
            answer(w, i, wk_rng_below(&rng, 2));
        }
        assert_true(w->next_id > 400);
        world_free(w);
    }
}

/* ---- user.onlinestatus ----------------------------------------------------------------------- */

static struct world *online_world(void)
{
    struct world *w = world_new();

    w->event = WK_WEBHOOK_ONLINE;
    return started(w);
}

static void body_is(struct wk_webhook_request *r, const char *expected)
{
    assert_int_equal(wk_webhook_body(r), WKIM_OK);
    assert_int_equal(r->body.n, strlen(expected));
    assert_memory_equal(r->body.p, expected, r->body.n);
}

static void online_entries_are_batched_and_keep_their_order(void **state)
{
    struct world *w = online_world();
    char delivery[WK_WEBHOOK_DELIVERY_LEN + 1];
    (void)state;

    online(w, "a-b-1-1-37-2-3");
    online(w, "\"q-1-1-38-2-3");
    pass(w, WK_WEBHOOK_ONLINE_WAIT_MS - 1);
    assert_int_equal(w->n_out, 0);
    pass(w, 1);
    assert_int_equal(w->n_out, 1);
    online(w, "a-b-1-0-37-2-3");
    memcpy(delivery, w->out[0]->delivery, sizeof(delivery));
    answer(w, 0, false);
    pass(w, 1000);
    assert_int_equal(w->n_out, 1);
    assert_string_equal(w->out[0]->delivery, delivery);
    body_is(w->out[0], "[\"a-b-1-1-37-2-3\",\"\\\"q-1-1-38-2-3\"]");
    assert_int_equal(left(w), 3);
    answer(w, 0, true);
    pass(w, WK_WEBHOOK_ONLINE_WAIT_MS);
    assert_int_equal(w->n_out, 1);
    assert_string_not_equal(w->out[0]->delivery, delivery);
    body_is(w->out[0], "[\"a-b-1-0-37-2-3\"]");
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    world_free(w);
}

static void online_entries_that_come_at_the_end_are_sent_until_one_fails(void **state)
{
    struct world *w = online_world();
    (void)state;

    wk_webhook_drain(w->hook, w->now_ms);
    assert_true(wk_webhook_idle(w->hook));
    online(w, "u-0-0-1-0-0");
    assert_false(wk_webhook_idle(w->hook));
    serve_reads(w);
    assert_int_equal(w->n_out, 1);
    answer(w, 0, true);
    assert_int_equal(left(w), 0);
    assert_true(wk_webhook_idle(w->hook));
    online(w, "u-0-0-2-0-0");
    serve_reads(w);
    answer(w, 0, false);
    online(w, "u-0-0-3-0-0");
    serve_reads(w);
    assert_int_equal(w->n_out, 0);
    assert_int_equal(left(w), 2);
    assert_true(wk_webhook_idle(w->hook));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offline_lists_of_one_channel_go_one_after_the_other),
        cmocka_unit_test(long_offline_lists_are_split_and_keep_their_row_until_the_last),
        cmocka_unit_test(lists_without_a_row_make_room_for_newer_ones),
        cmocka_unit_test(a_message_that_nobody_misses_needs_no_request),
        cmocka_unit_test(lists_beyond_the_memory_come_again_from_their_rows_in_order),
        cmocka_unit_test(lists_left_by_an_earlier_leader_are_computed_again),
        cmocka_unit_test(a_list_that_could_not_be_computed_is_asked_for_again),
        cmocka_unit_test(offline_rows_give_way_before_the_others),
        cmocka_unit_test(a_dead_letter_that_nobody_kept_comes_again),
        cmocka_unit_test(the_end_leaves_the_rows_of_what_was_not_taken),
        cmocka_unit_test(at_the_end_nothing_overtakes_what_failed),
        cmocka_unit_test(random_failures_lose_no_list),
        cmocka_unit_test(online_entries_are_batched_and_keep_their_order),
        cmocka_unit_test(online_entries_that_come_at_the_end_are_sent_until_one_fails),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
