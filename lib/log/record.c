/* Bytes of segment headers, records and state lines.  All integers little-endian. */
#include "log/internal.h"
#include <endian.h>
#include "base/hash.h"

#define RECORD_MAGIC 0x31524b57u          /* "WKR1" */
#define SEGMENT_MAGIC 0x31474f4c4d494b57ull /* "WKIMLOG1" */

void wk_log_put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

void wk_log_put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

uint32_t wk_log_get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

uint64_t wk_log_get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

/* The checksum of every record starts from its segment's salt and number: bytes that an earlier
 * life of the file left behind, or that a client put into a payload, never verify. */
uint32_t wk_log_crc_seed(uint64_t salt, uint32_t seq)
{
    uint8_t b[12];

    wk_log_put64(b, salt);
    wk_log_put32(b + 8, seq);
    return wk_crc32c(0, b, sizeof(b));
}

void wk_log_record_encode(uint8_t *p, const struct wk_log_record *r, uint32_t seed)
{
    wk_log_put32(p, RECORD_MAGIC);
    wk_log_put32(p + 4, r->len);
    wk_log_put32(p + 8, r->group);
    p[12] = r->kind;
    p[13] = r->flags;
    p[14] = p[15] = 0;
    wk_log_put64(p + 16, r->recno);
    wk_log_put64(p + 24, r->durable);
    wk_log_put64(p + 32, r->first);
    wk_log_put32(p + 40, r->n);
    wk_log_put32(p + 44, r->n_runs);
    wk_log_put32(p + 48, r->body_crc);
    wk_log_put64(p + 52, 0);
    wk_log_put32(p + 60, wk_crc32c(seed, p, 60));
}

bool wk_log_record_magic(const uint8_t *p)
{
    return wk_log_get32(p) == RECORD_MAGIC;
}

bool wk_log_record_decode(struct wk_log_record *out, const uint8_t *p, uint32_t seed)
{
    if (wk_log_get32(p) != RECORD_MAGIC || wk_log_get32(p + 60) != wk_crc32c(seed, p, 60))
        return false;
    out->len = wk_log_get32(p + 4);
    out->group = wk_log_get32(p + 8);
    out->kind = p[12];
    out->flags = p[13];
    out->recno = wk_log_get64(p + 16);
    out->durable = wk_log_get64(p + 24);
    out->first = wk_log_get64(p + 32);
    out->n = wk_log_get32(p + 40);
    out->n_runs = wk_log_get32(p + 44);
    out->body_crc = wk_log_get32(p + 48);
    return out->len >= WK_LOG_HEAD_BYTES && out->len <= WK_LOG_RECORD_BYTES_MAX &&
           (out->kind == WK_LOG_BATCH || out->kind == WK_LOG_STATE);
}

static bool batch_sizes_agree(const struct wk_log_body *b, const uint8_t *end)
{
    uint64_t total = 0, in_runs = 0;

    for (uint32_t i = 0; i < b->n; i++)
        total += wk_log_get32(b->words + (size_t)i * WK_LOG_WORD_BYTES) & 0xffffff;
    for (uint32_t i = 0; i < b->n_runs; i++)
        in_runs += wk_log_get32(b->runs + (size_t)i * WK_LOG_RUN_BYTES + 8);
    return total == (uint64_t)(end - b->data) && in_runs == b->n;
}

bool wk_log_body_decode(struct wk_log_body *out, const struct wk_log_record *r, const uint8_t *p)
{
    uint64_t hard = r->flags & WK_LOG_HAS_HARD ? WK_LOG_HARD_BYTES : 0;
    uint64_t head = WK_LOG_HEAD_BYTES + hard + (uint64_t)r->n_runs * WK_LOG_RUN_BYTES +
                    (uint64_t)r->n * WK_LOG_WORD_BYTES;

    if (r->n > WK_LOG_RECORD_ENTRIES_MAX || r->n_runs > r->n || head > r->len)
        return false;
    out->hard = hard ? p + WK_LOG_HEAD_BYTES : NULL;
    out->runs = p + WK_LOG_HEAD_BYTES + hard;
    out->words = out->runs + (size_t)r->n_runs * WK_LOG_RUN_BYTES;
    out->data = out->words + (size_t)r->n * WK_LOG_WORD_BYTES;
    out->n = r->n;
    out->n_runs = r->n_runs;
    return batch_sizes_agree(out, p + r->len);
}

void wk_log_line_encode(uint8_t *p, const struct wk_log_group_line *s)
{
    wk_log_put32(p, s->group);
    wk_log_put32(p + 4, s->flags);
    wk_log_put64(p + 8, s->recno);
    wk_log_put64(p + 16, s->hard_term);
    wk_log_put64(p + 24, s->hard_vote);
    wk_log_put64(p + 32, s->hard_commit);
    wk_log_put64(p + 40, s->first);
    wk_log_put64(p + 48, s->base_term);
    wk_log_put64(p + 56, s->last);
}

void wk_log_line_decode(struct wk_log_group_line *out, const uint8_t *p)
{
    out->group = wk_log_get32(p);
    out->flags = wk_log_get32(p + 4);
    out->recno = wk_log_get64(p + 8);
    out->hard_term = wk_log_get64(p + 16);
    out->hard_vote = wk_log_get64(p + 24);
    out->hard_commit = wk_log_get64(p + 32);
    out->first = wk_log_get64(p + 40);
    out->base_term = wk_log_get64(p + 48);
    out->last = wk_log_get64(p + 56);
}

void wk_log_seg_head_encode(uint8_t *p, const struct wk_log_seg_head *h)
{
    memset(p, 0, WK_LOG_HEAD_BYTES);
    wk_log_put64(p, SEGMENT_MAGIC);
    wk_log_put32(p + 8, h->version);
    wk_log_put32(p + 12, h->seq);
    wk_log_put64(p + 16, h->salt);
    wk_log_put64(p + 24, h->next_salt);
    wk_log_put64(p + 32, h->prev_end);
    wk_log_put32(p + 60, wk_crc32c(0, p, 60));
}

bool wk_log_seg_head_decode(struct wk_log_seg_head *out, const uint8_t *p)
{
    if (wk_log_get64(p) != SEGMENT_MAGIC || wk_log_get32(p + 60) != wk_crc32c(0, p, 60))
        return false;
    out->version = wk_log_get32(p + 8);
    out->seq = wk_log_get32(p + 12);
    out->salt = wk_log_get64(p + 16);
    out->next_salt = wk_log_get64(p + 24);
    out->prev_end = wk_log_get64(p + 32);
    return true;
}
