/* Rows that say which stored messages the webhook has not been told of yet.  A row is written with
 * its message and names it; the body is read back when the request is built. */
#include "im/internal.h"

static wkim_slice row_key(uint8_t out[8], uint64_t id)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(id >> (56 - 8 * i));
    return wk_slice(out, 8);
}

static uint64_t row_id(wkim_slice key)
{
    struct wk_cursor c = wk_cursor(key);
    return wk_cursor_u64(&c);
}

int im_notify_put(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                  const struct wk_channel_key *key, uint64_t seq)
{
    struct wk_buf b = WK_BUF_INIT;
    uint8_t k[8];
    int rc = WKIM_ENOMEM;

    im_channel_key_encode(&b, key->type, key->id);
    wk_buf_u64(&b, seq);
    if (!b.oom) {
        wk_row_put(txn, wk_slot_id(is->slot), IM_TABLE_NOTIFY, row_key(k, id), wk_buf_slice(&b));
        rc = WKIM_OK;
    }
    wk_buf_fini(&b);
    return rc;
}

int im_notify_done_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    uint8_t k[8];

    while (wk_cursor_left(&c) >= 8)
        wk_row_delete(txn, wk_slot_id(is->slot), IM_TABLE_NOTIFY, row_key(k, wk_cursor_u64(&c)));
    return WKIM_OK;
}

/* ---- reader threads -------------------------------------------------------------------------- */

struct rows {
    struct wk_buf out; /* repeated (u64 id, str value) */
    uint32_t n, max;
};

static int take_row(void *arg, wkim_slice key, wkim_slice value)
{
    struct rows *r = arg;

    if (r->n == r->max)
        return 1; /* one more is there */
    r->n++;
    wk_buf_u64(&r->out, row_id(key));
    wk_buf_str(&r->out, value);
    return r->out.oom ? WKIM_ENOMEM : 0;
}

/* The message of a row; an empty one when its message is gone. */
static int add_message(struct wk_store *st, uint32_t slot, uint64_t id, wkim_slice value,
                       struct wk_buf *out)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_channel_key key;
    struct wk_buf row = WK_BUF_INIT;
    int rc = WKIM_ENOTFOUND;

    im_channel_key_decode(&c, &key);
    uint64_t seq = wk_cursor_u64(&c);
    if (!c.bad)
        rc = wk_message_get(st, slot, &key, seq, &row);
    if (rc == WKIM_OK || rc == WKIM_ENOTFOUND) {
        wk_buf_u64(out, id);
        wk_buf_str(out, wk_buf_slice(&row));
        rc = out->oom ? WKIM_ENOMEM : WKIM_OK;
    }
    wk_buf_fini(&row);
    return rc;
}

int im_notify_read(struct im *im, uint32_t slot, uint64_t from_id, uint32_t max, size_t bytes_max,
                   struct wk_buf *out, bool *more)
{
    struct wk_store *st = wk_cluster_store(im->opt.cluster);
    struct rows r = {.max = max};
    uint8_t k[8];
    int rc = wk_row_scan(st, slot, IM_TABLE_NOTIFY, wk_slice(NULL, 0), row_key(k, from_id),
                         take_row, &r);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r.out));

    *more = rc == 1;
    rc = rc < 0 ? rc : WKIM_OK;
    while (rc == WKIM_OK && wk_cursor_left(&c)) {
        if (out->n >= bytes_max) {
            *more = true;
            break;
        }
        uint64_t id = wk_cursor_u64(&c);
        rc = add_message(st, slot, id, wk_cursor_str(&c), out);
    }
    wk_buf_fini(&r.out);
    return rc;
}

static int count_row(void *arg, wkim_slice key, wkim_slice value)
{
    (void)key;
    (void)value;
    ++*(uint64_t *)arg;
    return 0;
}

uint64_t im_notify_count(struct im *im, uint32_t slot)
{
    uint64_t n = 0;
    int rc = wk_row_scan(wk_cluster_store(im->opt.cluster), slot, IM_TABLE_NOTIFY,
                         wk_slice(NULL, 0), wk_slice(NULL, 0), count_row, &n);
    /* After a failed count one row is assumed: reading finds what is really there. */
    return rc < 0 && n == 0 ? 1 : n;
}
