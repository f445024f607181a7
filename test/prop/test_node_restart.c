/* Random sends, resends, list changes and read positions over random stops, power cuts and refused
 * writes: numbers have no gaps, nothing acknowledged is lost, and a replay gives the same rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <wkim/channel.h>
#include "base/clock.h"
#include "cluster.h"

#define GROUPS 4
#define STEPS 250

struct sent {
    char no[16], payload[16];
    uint64_t seq;
    int64_t id;
};
struct group {
    char name[8];
    struct sent sent[STEPS];
    size_t n;
    uint64_t last;
};

static struct cl c;
static struct group groups[GROUPS];
static struct wk_rng rng;

static uint64_t roll(uint64_t n)
{
    return wk_rng_below(&rng, n);
}

static struct cl_answer send_one(const struct group *g, const char *no, const char *payload)
{
    return cl_send(&c, &(struct cl_send){ .from = "u0",
                                          .type = WKIM_CHANNEL_GROUP,
                                          .to = g->name,
                                          .no = no,
                                          .payload = payload });
}

static void send_new(struct group *g, unsigned step)
{
    struct sent *s = &g->sent[g->n];

    snprintf(s->no, sizeof(s->no), "n%u", step);
    snprintf(s->payload, sizeof(s->payload), "p%u", step);
    const struct cl_answer a = send_one(g, s->no, s->payload);
    assert_int_equal(a.code, WKIM_OK);
    assert_int_equal(a.number[1], g->last + 1);
    s->seq = ++g->last;
    s->id = (int64_t)a.number[0];
    g->n++;
}

static void send_again(struct group *g)
{
    if (g->n == 0)
        return;
    const struct sent *s = &g->sent[roll(g->n)];
    const struct cl_answer a = send_one(g, s->no, s->payload);
    assert_int_equal(a.code, WKIM_OK);
    assert_int_equal(a.number[1], s->seq);
    assert_int_equal(a.number[0], s->id);
}

/* The disk refuses one write: the call may be lost, and its number is then free again. */
static void send_refused(struct group *g, unsigned step)
{
    struct sent *s = &g->sent[g->n];

    snprintf(s->no, sizeof(s->no), "n%u", step);
    snprintf(s->payload, sizeof(s->payload), "p%u", step);
    atomic_store(&c.dead_for, 1);
    const struct cl_answer a = send_one(g, s->no, s->payload);
    atomic_store(&c.dead_for, 0);
    assert_int_equal(a.code, WKIM_EIO);
    cl_restart(&c, true);
}

static void change_members(const struct group *g)
{
    char uid[16];

    snprintf(uid, sizeof(uid), "m%llu", (unsigned long long)roll(20));
    assert_int_equal(cl_list(&c, WKIM_CHANNEL_GROUP, g->name, WK_LIST_SUBSCRIBER,
                             roll(2) ? WKIM_LIST_ADD : WKIM_LIST_REMOVE, uid),
                     WKIM_OK);
}

static void check_all(void)
{
    for (size_t i = 0; i < GROUPS; i++) {
        char seqs[64], expected[64];
        const struct group *g = &groups[i];
        cl_history(&c, WKIM_CHANNEL_GROUP, g->name, 0, 0, 1, false, seqs, sizeof(seqs), NULL);
        snprintf(expected, sizeof(expected), "%llu", (unsigned long long)g->last);
        assert_string_equal(seqs, g->last ? expected : "");
    }
}

static void run_seed(uint64_t seed)
{
    wk_rng_seed(&rng, seed);
    memset(groups, 0, sizeof(groups));
    cl_new(&c, &(struct cl_options){ .shards = 1 + (uint32_t)roll(3),
                                     .slots = 1 + (uint32_t)roll(8),
                                     .idle_channels_max = 1 + roll(8) });
    for (size_t i = 0; i < GROUPS; i++) {
        snprintf(groups[i].name, sizeof(groups[i].name), "g%zu", i);
        assert_int_equal(cl_list(&c, WKIM_CHANNEL_GROUP, groups[i].name, WK_LIST_SUBSCRIBER,
                                 WKIM_LIST_ADD, "u0"),
                         WKIM_OK);
    }
    for (unsigned step = 0; step < STEPS; step++) {
        struct group *g = &groups[roll(GROUPS)];
        const uint64_t r = roll(100);
        if (r < 60)
            send_new(g, step);
        else if (r < 75)
            send_again(g);
        else if (r < 85)
            change_members(g);
        else if (r < 92)
            assert_int_equal(
                cl_conv_move(&c, "u0", WKIM_CHANNEL_GROUP, g->name, IM_CONV_SET, roll(5)), WKIM_OK);
        else if (r < 95)
            cl_restart(&c, roll(2));
        else if (r < 97)
            send_refused(g, step);
        else
            check_all();
    }
    check_all();
    cl_advance(&c, 2000);
    cl_restart(&c, false);
    cl_advance(&c, 2000);
    cl_free(&c);
}

static void nothing_acknowledged_is_lost_whatever_happens(void **state)
{
    (void)state;
    const char *text = getenv("SEEDS");
    const uint64_t seeds = text ? strtoull(text, NULL, 10) : 5;

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        run_seed(seed);
    }
}

/* The same log applied to an empty store gives the very rows, applied indexes aside. */
static void a_replay_gives_the_same_rows(void **state)
{
    (void)state;
    cl_new(&c, NULL);
    for (unsigned i = 0; i < 40; i++) {
        char a[16], b[16];
        snprintf(a, sizeof(a), "a%u", i % 7);
        snprintf(b, sizeof(b), "b%u", i % 5);
        assert_int_equal(cl_text(&c, a, WKIM_CHANNEL_PERSON, b, "x", NULL), WKIM_REASON_SUCCESS);
        assert_int_equal(cl_list(&c, WKIM_CHANNEL_GROUP, b, WK_LIST_SUBSCRIBER, WKIM_LIST_SET, a),
                         WKIM_OK);
        assert_int_equal(cl_conv_move(&c, b, WKIM_CHANNEL_PERSON, a, IM_CONV_SET, i % 3), WKIM_OK);
    }
    assert_int_equal(cl_token(&c, "a1", 0, 1, "t"), WKIM_OK);
    assert_int_equal(cl_system(&c, true, "robot"), WKIM_OK);
    cl_restart(&c, false);
    const uint64_t kept = cl_hash(&c);
    cl_restart(&c, true);
    const uint64_t replayed = cl_hash(&c);
    assert_int_equal(kept, replayed);
    cl_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_whatever_happens),
        cmocka_unit_test(a_replay_gives_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
