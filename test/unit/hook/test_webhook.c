/* What the three events have in common, and msg.notify. */
#include "world.h"

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
    wk_webhook_stored(w->hook, w->event, 0, w->now_ms);
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
    wk_webhook_stored(w->hook, w->event, 0, w->now_ms);
    wk_webhook_stored(w->hook, w->event, 0, w->now_ms);
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
    wk_webhook_recovered(w->hook, w->event, 0, 1, w->now_ms);
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

/* ---- memory ---------------------------------------------------------------------------------- */

static void put_some(struct world *w)
{
    for (int i = 0; i < 12; i++) {
        if (w->event == WK_WEBHOOK_OFFLINE)
            (void)store_offline(w, (uint32_t)i % 3, 2);
        else if (w->event == WK_WEBHOOK_ONLINE)
            online(w, "u-0-1-1-1-1");
        else
            store(w, (uint32_t)i % 3);
    }
}

/* A round of an event with an allocation that fails: tried again, never lost, no leak. */
static bool with_failing_allocation(int event, uint64_t n)
{
    struct world *w = world_new();

    w->event = event;
    w->opt.tries_max = 0;
    w->opt.uids_max = 1;
    started(w);
    oom_fail_at(n);
    put_some(w);
    pass(w, 600);
    for (int i = 0; i < 40; i++) {
        compute(w, 2);
        while (w->n_out)
            answer(w, 0, wk_webhook_body(w->out[0]) == WKIM_OK);
        pass(w, 1000);
    }
    bool hit = oom_hit();
    oom_fail_at(0);
    assert_int_equal(left(w), 0);
    assert_true(wk_webhook_idle(w->hook));
    assert_int_equal(wk_webhook_counts(w->hook, event)->waiting, 0);
    world_free(w);
    return hit;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;

    for (int event = 0; event < WK_WEBHOOK_EVENTS; event++) {
        size_t live = oom_live();
        for (uint64_t n = 1; with_failing_allocation(event, n); n++)
            assert_int_equal(oom_live(), live);
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
        cmocka_unit_test(every_allocation_may_fail),
    };
    oom_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
