/* system uids: uid -> u8 format */
#include "store/txn.h"

#define FORMAT 1

static void system_uid_key(struct wk_key *k, uint32_t slot, wkim_slice uid)
{
    wk_key_init(k, slot, WK_TABLE_SYSTEM_UID);
    if (uid.n > WK_ID_BYTES_MAX)
        k->rc = WKIM_ETOOBIG;
    else
        wk_key_tail(k, uid);
}

void wk_system_uid_put(struct wk_txn *t, uint32_t slot, wkim_slice uid)
{
    struct wk_key k;

    system_uid_key(&k, slot, uid);
    wk_buf_u8(wk_txn_put_begin(t, WK_COLUMN_METADATA, &k, 1), FORMAT);
    wk_txn_put_end(t);
}

void wk_system_uid_delete(struct wk_txn *t, uint32_t slot, wkim_slice uid)
{
    struct wk_key k;

    system_uid_key(&k, slot, uid);
    wk_txn_delete(t, WK_COLUMN_METADATA, &k);
}

struct uid_scan {
    int (*each)(void *arg, wkim_slice uid);
    void *arg;
};

static int scan_row(void *arg, wkim_slice key, wkim_slice value)
{
    const struct uid_scan *scan = arg;

    if (value.n != 1 || value.p[0] != FORMAT)
        return WKIM_ECORRUPT;
    return scan->each(scan->arg, wk_slice(key.p + WK_KEY_HEAD_BYTES, key.n - WK_KEY_HEAD_BYTES));
}

int wk_system_uid_scan(struct wk_store *s, uint32_t slot, int (*each)(void *arg, wkim_slice uid),
                       void *arg)
{
    struct wk_key lo, hi;
    struct uid_scan scan = { each, arg };

    wk_key_init(&lo, slot, WK_TABLE_SYSTEM_UID);
    wk_key_init(&hi, slot, WK_TABLE_SYSTEM_UID);
    wk_key_after_prefix(&hi);
    if (lo.rc != WKIM_OK)
        return lo.rc;
    struct wk_range r = { wk_key_slice(&lo), wk_key_slice(&hi), false, false };
    return s->ops->scan(s->self, WK_COLUMN_METADATA, &r, scan_row, &scan);
}
