#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "raft/internal.h"

/* Straight from the definition: the highest value that more than half of the voters have. */
static uint64_t reached_by_definition(const uint64_t *v, uint32_t n)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t have = 0;
        for (uint32_t j = 0; j < n; j++)
            have += v[j] >= v[i];
        if (2 * have > n && v[i] > best)
            best = v[i];
    }
    return best;
}

static void reached_is_what_a_majority_has_for_every_arrangement(void **state)
{
    (void)state;
    for (uint32_t n = 0; n <= 5; n++) {
        uint32_t total = 1;
        for (uint32_t i = 0; i < n; i++)
            total *= 6;
        for (uint32_t code = 0; code < total; code++) {
            uint64_t v[5] = { 0 };
            uint32_t c = code;
            for (uint32_t i = 0; i < n; i++, c /= 6)
                v[i] = c % 6;
            const uint64_t want = reached_by_definition(v, n);
            assert_int_equal(wk_raft_quorum_reached(v, n), want);
        }
    }
}

static void votes_are_decided_as_soon_as_they_can_be_and_not_before(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 5; n++) {
        for (uint32_t yes = 0; yes <= n; yes++) {
            for (uint32_t no = 0; yes + no <= n; no++) {
                const uint32_t open = n - yes - no;
                const enum wk_raft_vote got = wk_raft_quorum_votes(yes, no, n);
                if (2 * yes > n)
                    assert_int_equal(got, WK_RAFT_VOTE_WON);
                else if (2 * (yes + open) <= n)
                    assert_int_equal(got, WK_RAFT_VOTE_LOST);
                else
                    assert_int_equal(got, WK_RAFT_VOTE_PENDING);
            }
        }
    }
}

static void two_majorities_always_share_a_voter(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 5; n++) {
        for (uint32_t a = 0; a < 1u << n; a++) {
            for (uint32_t b = 0; b < 1u << n; b++) {
                const uint32_t na = (uint32_t)__builtin_popcount(a);
                const uint32_t nb = (uint32_t)__builtin_popcount(b);
                if (wk_raft_quorum_votes(na, 0, n) == WK_RAFT_VOTE_WON &&
                    wk_raft_quorum_votes(nb, 0, n) == WK_RAFT_VOTE_WON)
                    assert_true((a & b) != 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reached_is_what_a_majority_has_for_every_arrangement),
        cmocka_unit_test(votes_are_decided_as_soon_as_they_can_be_and_not_before),
        cmocka_unit_test(two_majorities_always_share_a_voter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
