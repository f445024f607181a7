#include "wkload.h"

static const char digits[] = "0123456789abcdef";

static void put(uint8_t *out, uint64_t v, uint32_t chars)
{
    while (chars-- > 0) {
        out[chars] = (uint8_t)digits[v & 15u];
        v >>= 4;
    }
}

static int get(const uint8_t *in, uint32_t chars, uint64_t *v)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < chars; i++) {
        uint8_t c = in[i];
        if (c >= '0' && c <= '9')
            sum = sum << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            sum = sum << 4 | (uint64_t)(c - 'a' + 10);
        else
            return -1;
    }
    *v = sum;
    return 0;
}

void stamp_write(const struct stamp *s, uint8_t out[STAMP_CHARS])
{
    put(out, s->run, 6);
    put(out + 6, s->sender, 8);
    put(out + 14, s->counter, 8);
    put(out + 22, s->intended_us, 10);
}

int stamp_read(struct stamp *s, wkim_slice text)
{
    uint64_t run, sender, counter, intended;

    if (text.n != STAMP_CHARS || get(text.p, 6, &run) || get(text.p + 6, 8, &sender) ||
        get(text.p + 14, 8, &counter) || get(text.p + 22, 10, &intended))
        return -1;
    s->run = (uint32_t)run;
    s->sender = (uint32_t)sender;
    s->counter = (uint32_t)counter;
    s->intended_us = intended;
    return 0;
}

/* Neighbouring messages start at different places of the pool, so that storage cannot compress one
 * by another. */
const uint8_t *stamp_filler(const struct load *l, const struct stamp *s)
{
    uint32_t at = (s->counter * 2654435761u + s->sender * 40503u) >> 16;

    return l->filler + at % FILLER_BYTES;
}
