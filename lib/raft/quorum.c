#include "raft/internal.h"

uint64_t wk_raft_quorum_reached(uint64_t *v, uint32_t n)
{
    WK_ASSERT(n <= WK_RAFT_PEERS_MAX);
    if (n == 0)
        return 0;
    for (uint32_t i = 1; i < n; i++) {
        const uint64_t x = v[i];
        uint32_t j = i;
        for (; j > 0 && v[j - 1] < x; j--)
            v[j] = v[j - 1];
        v[j] = x;
    }
    return v[n / 2]; /* descending: n / 2 + 1 voters have at least this */
}

enum wk_raft_vote wk_raft_quorum_votes(uint32_t granted, uint32_t rejected, uint32_t n)
{
    WK_ASSERT(granted + rejected <= n);
    const uint32_t need = n / 2 + 1;
    if (granted >= need)
        return WK_RAFT_VOTE_WON;
    /* What is still open cannot make a majority any more. */
    return n - rejected < need ? WK_RAFT_VOTE_LOST : WK_RAFT_VOTE_PENDING;
}
