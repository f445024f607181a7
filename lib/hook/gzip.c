/* gzip with one deflate block of fixed codes: enough for lists of uids, and no dependency. */
#include "hook/hook.h"
#include "base/hash.h"
#include "base/mem.h"

#define HASH_BITS 13
#define WINDOW 32768
#define MATCH_MIN 4 /* three bytes would cost as much as the code */
#define MATCH_MAX 258

struct bits {
    struct wk_buf *out;
    uint32_t acc;
    unsigned n;
};

/* Low bit first. */
static void put(struct bits *b, uint32_t v, unsigned n)
{
    b->acc |= v << b->n;
    b->n += n;
    while (b->n >= 8) {
        wk_buf_u8(b->out, (uint8_t)b->acc);
        b->acc >>= 8;
        b->n -= 8;
    }
}

/* Huffman codes go out high bit first. */
static void put_code(struct bits *b, uint32_t code, unsigned n)
{
    uint32_t r = 0;

    for (unsigned i = 0; i < n; i++)
        r |= (code >> i & 1) << (n - 1 - i);
    put(b, r, n);
}

static void put_symbol(struct bits *b, unsigned s)
{
    if (s < 144)
        put_code(b, 0x30 + s, 8);
    else if (s < 256)
        put_code(b, 0x190 + s - 144, 9);
    else if (s < 280)
        put_code(b, s - 256, 7);
    else
        put_code(b, 0xc0 + s - 280, 8);
}

/* Codes of lengths come in groups of 4 per extra bit, those of distances in groups of 2. */
static void put_length(struct bits *b, unsigned length)
{
    unsigned v = length - 3, extra = 0;

    if (length == MATCH_MAX) {
        put_symbol(b, 285);
        return;
    }
    while (v >> extra >= 8)
        extra++;
    put_symbol(b, 257 + extra * 4 + (v >> extra));
    put(b, v & ((1u << extra) - 1), extra);
}

static void put_distance(struct bits *b, unsigned distance)
{
    unsigned v = distance - 1, extra = 0;

    while (v >> extra >= 4)
        extra++;
    put_code(b, extra * 2 + (v >> extra), 5);
    put(b, v & ((1u << extra) - 1), extra);
}

static uint32_t hash4(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v * 2654435761u >> (32 - HASH_BITS);
}

static unsigned match_length(wkim_slice in, size_t at, size_t from)
{
    unsigned n = 0;

    while (n < MATCH_MAX && at + n < in.n && in.p[from + n] == in.p[at + n])
        n++;
    return n;
}

static void deflate_block(struct bits *b, wkim_slice in, uint32_t *last)
{
    size_t at = 0;

    put(b, 1, 1); /* the final block */
    put(b, 1, 2); /* fixed codes */
    while (at < in.n) {
        unsigned n = 0;
        size_t from = 0;
        if (in.n - at >= MATCH_MIN) {
            uint32_t *slot = &last[hash4(in.p + at)];
            from = *slot;
            *slot = (uint32_t)at + 1; /* 0: none */
            if (from && at - (from - 1) <= WINDOW)
                n = match_length(in, at, --from);
        }
        if (n >= MATCH_MIN) {
            put_length(b, n);
            put_distance(b, (unsigned)(at - from));
            at += n;
        } else {
            put_symbol(b, in.p[at++]);
        }
    }
    put_symbol(b, 256);
    if (b->n)
        put(b, 0, 8 - b->n);
}

static void put_le32(struct wk_buf *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        wk_buf_u8(out, (uint8_t)(v >> (8 * i)));
}

int wk_gzip(struct wk_buf *out, wkim_slice in)
{
    static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};
    uint32_t *last = in.n < UINT32_MAX ? wk_calloc((size_t)1 << HASH_BITS, sizeof(*last)) : NULL;
    struct bits b = {.out = out};

    if (!last)
        return WKIM_ENOMEM;
    wk_buf_bytes(out, head, sizeof(head));
    deflate_block(&b, in, last);
    wk_free(last);
    put_le32(out, wk_crc32_ieee(in));
    put_le32(out, (uint32_t)in.n);
    return out->oom ? WKIM_ENOMEM : WKIM_OK;
}
