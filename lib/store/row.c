/* generic rows, tables 64 and up: key -> u8 format | value */
#include "store/txn.h"

#define FORMAT 1

static void row_key(struct wk_key *k, uint32_t slot, uint8_t table, wkim_slice key)
{
    wk_key_init(k, slot, table);
    if (table < WK_TABLE_ROW_FIRST || table == UINT8_MAX)
        k->rc = WKIM_EINVAL;
    wk_key_tail(k, key);
}

void wk_row_put(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice key, wkim_slice value)
{
    struct wk_key k;

    row_key(&k, slot, table, key);
    struct wk_buf *b = wk_txn_put_begin(t, WK_COLUMN_QUEUES, &k, value.n + 1);
    wk_buf_u8(b, FORMAT);
    wk_buf_bytes(b, value.p, value.n);
    wk_txn_put_end(t);
}

void wk_row_delete(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice key)
{
    struct wk_key k;

    row_key(&k, slot, table, key);
    wk_txn_delete(t, WK_COLUMN_QUEUES, &k);
}

void wk_row_delete_range(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice from,
                         wkim_slice end)
{
    struct wk_key lo, hi;

    row_key(&lo, slot, table, from);
    row_key(&hi, slot, table, end);
    wk_txn_delete_range(t, WK_COLUMN_QUEUES, &lo, &hi);
}

void wk_row_delete_prefix(struct wk_txn *t, uint32_t slot, uint8_t table, wkim_slice prefix)
{
    struct wk_key lo, hi;

    row_key(&lo, slot, table, prefix);
    row_key(&hi, slot, table, prefix);
    wk_key_after_prefix(&hi);
    wk_txn_delete_range(t, WK_COLUMN_QUEUES, &lo, &hi);
}

int wk_row_get(struct wk_store *s, uint32_t slot, uint8_t table, wkim_slice key, struct wk_buf *out)
{
    struct wk_key k;

    row_key(&k, slot, table, key);
    return wk_store_get_bytes(s, WK_COLUMN_QUEUES, &k, FORMAT, out);
}

struct row_scan {
    int (*each)(void *arg, wkim_slice key, wkim_slice value);
    void *arg;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct row_scan *scan = arg;

    if (value.n == 0 || value.p[0] != FORMAT)
        return WKIM_ECORRUPT;
    wkim_slice k = wk_slice(key.p + WK_KEY_HEAD_BYTES, key.n - WK_KEY_HEAD_BYTES);
    return scan->each(scan->arg, k, wk_slice(value.p + 1, value.n - 1));
}

int wk_row_scan(struct wk_store *s, uint32_t slot, uint8_t table, wkim_slice prefix,
                wkim_slice from, int (*each)(void *arg, wkim_slice key, wkim_slice value),
                void *arg)
{
    struct wk_key lo, hi, at;
    struct row_scan scan = { each, arg };

    row_key(&lo, slot, table, prefix);
    row_key(&hi, slot, table, prefix);
    row_key(&at, slot, table, from);
    if (lo.rc != WKIM_OK || at.rc != WKIM_OK)
        return lo.rc != WKIM_OK ? lo.rc : at.rc;
    wk_key_after_prefix(&hi);
    size_t common = lo.n < at.n ? lo.n : at.n;
    int order = memcmp(at.p, lo.p, common);
    bool later = order > 0 || (order == 0 && at.n > lo.n);
    struct wk_range r = { wk_key_slice(later ? &at : &lo), wk_key_slice(&hi), false, false };
    return s->ops->scan(s->self, WK_COLUMN_QUEUES, &r, scan_row, &scan);
}
