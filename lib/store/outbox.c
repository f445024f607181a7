/* outbox: u64 id -> u8 format | body */
#include "store/txn.h"
#include "base/cursor.h"

#define FORMAT 1

static void outbox_key(struct wk_key *k, uint32_t slot, uint64_t id)
{
    wk_key_init(k, slot, WK_TABLE_OUTBOX);
    wk_key_u64(k, id);
}

void wk_outbox_put(struct wk_txn *t, uint32_t slot, uint64_t id, wkim_slice body)
{
    struct wk_key k;

    outbox_key(&k, slot, id);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_QUEUES, &k, body.n + 1);
    wk_buf_u8(b, FORMAT);
    wk_buf_bytes(b, body.p, body.n);
    wk_txn_put_end(t);
}

void wk_outbox_delete(struct wk_txn *t, uint32_t slot, uint64_t id)
{
    struct wk_key k;

    outbox_key(&k, slot, id);
    wk_txn_delete(t, WK_COLUMN_QUEUES, &k);
}

struct outbox_scan {
    int (*each)(void *arg, uint64_t id, wkim_slice body);
    void *arg;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct outbox_scan *scan = arg;

    if (key.n != WK_KEY_HEAD_BYTES + 8 || value.n == 0 || value.p[0] != FORMAT)
        return WKIM_ECORRUPT;
    struct wk_cursor c = wk_cursor(wk_slice(key.p + WK_KEY_HEAD_BYTES, 8));
    return scan->each(scan->arg, wk_cursor_u64(&c), wk_slice(value.p + 1, value.n - 1));
}

int wk_outbox_scan(struct wk_store *s, uint32_t slot, uint64_t from_id,
                   int (*each)(void *arg, uint64_t id, wkim_slice body), void *arg)
{
    struct wk_key lo, hi;
    struct outbox_scan scan = { each, arg };

    outbox_key(&lo, slot, from_id);
    wk_key_init(&hi, slot, WK_TABLE_OUTBOX);
    wk_key_after_prefix(&hi);
    if (lo.rc != WKIM_OK)
        return lo.rc;
    struct wk_range r = { wk_key_slice(&lo), wk_key_slice(&hi), false, false };
    return s->ops->scan(s->self, WK_COLUMN_QUEUES, &r, scan_row, &scan);
}
