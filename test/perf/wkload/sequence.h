/* Checks that the message_seq of one channel, as one connection sees it, starts at 1 and has no gap
 * and no duplicate.
 *   strict: the connection only receives; each number must be the one after the last.
 *   mixed: the connection also sends; its own numbers come in SENDACKs, whose order towards RECVs
 *   is free, so numbers ahead of the first missing one are remembered in a ring of bits.
 * Header only.  One thread at a time. */
#ifndef WKLOAD_SEQUENCE_H
#define WKLOAD_SEQUENCE_H

#include <stdint.h>
#include <stdlib.h>

#define SEQUENCE_AHEAD 65536u /* numbers a mixed sequence can be ahead of the first missing one */

enum sequence_result { SEQUENCE_OK, SEQUENCE_GAP, SEQUENCE_REPEAT, SEQUENCE_FAR };

struct sequence {
    uint64_t low;     /* every number up to here was seen (strict: or counted in `missing`) */
    uint64_t high;    /* largest seen */
    uint64_t missing; /* strict only: numbers jumped over */
    uint64_t ahead;   /* mixed: numbers seen above low */
    uint64_t *bits;   /* mixed only; owned */
};

/* 0, or -1 when memory is out. */
static inline int sequence_init(struct sequence *s, int mixed)
{
    *s = (struct sequence){0};
    if (mixed)
        s->bits = calloc(SEQUENCE_AHEAD / 64u, sizeof(uint64_t));
    return mixed && !s->bits ? -1 : 0;
}

static inline void sequence_fini(struct sequence *s)
{
    free(s->bits);
    s->bits = NULL;
}

static inline enum sequence_result sequence_strict(struct sequence *s, uint64_t seq)
{
    uint64_t low = s->low;

    if (seq <= low)
        return SEQUENCE_REPEAT;
    s->low = s->high = seq;
    s->missing += seq - low - 1;
    return seq == low + 1 ? SEQUENCE_OK : SEQUENCE_GAP;
}

static inline enum sequence_result sequence_mixed(struct sequence *s, uint64_t seq)
{
    if (seq <= s->low)
        return SEQUENCE_REPEAT;
    if (seq - s->low >= SEQUENCE_AHEAD)
        return SEQUENCE_FAR;
    uint64_t *word = &s->bits[seq % SEQUENCE_AHEAD / 64u];
    uint64_t bit = (uint64_t)1 << (seq % 64u);

    if (*word & bit)
        return SEQUENCE_REPEAT;
    *word |= bit;
    s->ahead++;
    if (seq > s->high)
        s->high = seq;
    for (;;) {
        uint64_t next = s->low + 1;
        word = &s->bits[next % SEQUENCE_AHEAD / 64u];
        bit = (uint64_t)1 << (next % 64u);
        if (!(*word & bit))
            return SEQUENCE_OK;
        *word &= ~bit;
        s->ahead--;
        s->low = next;
    }
}

static inline enum sequence_result sequence_add(struct sequence *s, uint64_t seq)
{
    return s->bits ? sequence_mixed(s, seq) : sequence_strict(s, seq);
}

/* Numbers below the largest seen one that never came. */
static inline uint64_t sequence_missing(const struct sequence *s)
{
    return s->bits ? s->high - s->low - s->ahead : s->missing;
}
#endif
