/* Reading a segment file from front to back, and finding the next whole record behind damage. */
#include "log/internal.h"
#include "base/hash.h"

#define WINDOW_BYTES 262144

void wk_log_scan_init(struct wk_log_scan *s, struct wk_log_store *l, struct wk_log_seg *seg,
                      uint64_t size)
{
    *s = (struct wk_log_scan){ .l = l, .seg = seg, .size = size };
}

void wk_log_scan_fini(struct wk_log_scan *s)
{
    wk_free(s->buf);
    s->buf = NULL;
}

const uint8_t *wk_log_scan_at(struct wk_log_scan *s, uint64_t off, size_t n)
{
    if (s->rc || off > s->size || n > s->size - off)
        return NULL;
    if (off >= s->off && off + n <= s->off + s->n)
        return s->buf + (off - s->off);
    uint64_t want = n > WINDOW_BYTES ? n : WINDOW_BYTES;
    if (want > s->size - off)
        want = s->size - off;
    if (wk_log_grow(&s->buf, &s->cap, want, 1)) {
        s->rc = WKIM_ENOMEM;
        return NULL;
    }
    s->n = 0;
    wkim_ssize got = s->l->fs.pread(s->l->fs.user, s->seg->fd, s->buf, want, off);
    if (got < 0) {
        s->rc = (int)got;
        return NULL;
    }
    s->off = off;
    s->n = (size_t)got;
    return s->n >= n ? s->buf : NULL;
}

enum wk_log_found wk_log_scan_record(struct wk_log_scan *s, uint64_t off, struct wk_log_record *r,
                                     const uint8_t **p)
{
    const uint8_t *head = wk_log_scan_at(s, off, WK_LOG_HEAD_BYTES);

    if (!head || !wk_log_record_decode(r, head, s->seg->crc_seed))
        return WK_LOG_NOTHING;
    *p = wk_log_scan_at(s, off, r->len);
    if (!*p || wk_crc32c(s->seg->crc_seed, *p + WK_LOG_HEAD_BYTES, r->len - WK_LOG_HEAD_BYTES) !=
                   r->body_crc)
        return WK_LOG_HEAD_ONLY;
    return WK_LOG_WHOLE;
}

enum wk_log_found wk_log_scan_next(struct wk_log_scan *s, uint64_t *off, struct wk_log_record *r)
{
    const uint8_t *p;

    for (; *off + WK_LOG_HEAD_BYTES <= s->size && s->rc == WKIM_OK; *off += 8) {
        if (wk_log_scan_record(s, *off, r, &p) == WK_LOG_WHOLE)
            return WK_LOG_WHOLE;
    }
    return WK_LOG_NOTHING;
}
