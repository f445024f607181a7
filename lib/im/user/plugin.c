/* Which plugins a uid is bound to: rows in the slot of the uid, (uid, plugin_no) -> time.  Every
 * command writes without reading, so that the rows do not depend on what shared a batch. */
#include "im/user/user.h"

#define ROWS_MAX 1000 /* answered by one slot */
#define FORMAT 1

static void row_key(struct wk_buf *k, wkim_slice uid, wkim_slice plugin_no)
{
    wk_buf_str16(k, uid);
    wk_buf_bytes(k, plugin_no.p, plugin_no.n);
}

int im_plugin_bind_apply(struct im_slot *is, struct wk_txn *txn, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    struct wk_buf key = WK_BUF_INIT, row = WK_BUF_INIT;
    uint32_t slot = wk_slot_id(is->slot);
    wkim_slice uid = wk_cursor_str(&c);
    uint8_t kind = wk_cursor_u8(&c);
    wkim_slice plugin_no = wk_cursor_str(&c);
    uint64_t now_ms = wk_cursor_u64(&c);

    if (c.bad || uid.n == 0 || uid.n > WK_ID_BYTES_MAX || plugin_no.n > WK_PLUGIN_NO_BYTES_MAX)
        return WKIM_OK; /* refused before it was proposed */
    row_key(&key, uid, plugin_no);
    wk_buf_u8(&row, FORMAT);
    wk_buf_u64(&row, now_ms);
    if (kind == IM_PLUGIN_SET) { /* in place of everything that this uid has */
        struct wk_buf all = WK_BUF_INIT;
        row_key(&all, uid, wk_slice(NULL, 0));
        if (!all.oom)
            wk_row_delete_prefix(txn, slot, IM_TABLE_PLUGIN, wk_buf_slice(&all));
        key.oom |= all.oom;
        wk_buf_fini(&all);
    }
    int rc = key.oom || row.oom ? WKIM_ENOMEM : WKIM_OK;
    if (rc == WKIM_OK && kind == IM_PLUGIN_UNBIND)
        wk_row_delete(txn, slot, IM_TABLE_PLUGIN, wk_buf_slice(&key));
    else if (rc == WKIM_OK && plugin_no.n)
        wk_row_put(txn, slot, IM_TABLE_PLUGIN, wk_buf_slice(&key), wk_buf_slice(&row));
    wk_buf_fini(&key);
    wk_buf_fini(&row);
    return rc;
}

struct list {
    struct wk_buf *out;
    wkim_slice plugin_no; /* empty: any */
    uint32_t n;
};

static int found(void *arg, wkim_slice key, wkim_slice value)
{
    struct list *l = arg;
    struct wk_cursor k = wk_cursor(key), v = wk_cursor(value);
    wkim_slice uid = wk_cursor_str16(&k), plugin_no = wk_cursor_rest(&k);

    if (k.bad || wk_cursor_u8(&v) != FORMAT)
        return WKIM_ECORRUPT;
    uint64_t ms = wk_cursor_u64(&v);
    if (l->plugin_no.n && !wk_slice_eq(l->plugin_no, plugin_no))
        return 0;
    if (l->n++ == ROWS_MAX)
        return 1;
    im_row_a(l->out, uid, ms, 0, 0);
    im_row_a(l->out, plugin_no, ms, 0, 0);
    return 0;
}

static void bindings_read(struct im_slot *is, struct wk_call *c)
{
    struct wk_cursor cur = wk_cursor(wk_blob_slice(c->in));
    wkim_slice uid = wk_cursor_str(&cur);
    struct list l = { .out = &c->out, .plugin_no = wk_cursor_str(&cur) };
    struct wk_buf prefix = WK_BUF_INIT;

    if (uid.n)
        row_key(&prefix, uid, wk_slice(NULL, 0));
    int rc = cur.bad      ? WKIM_EPROTO
             : prefix.oom ? WKIM_ENOMEM
                          : wk_row_scan(wk_slot_store(is->slot), wk_slot_id(is->slot),
                                        IM_TABLE_PLUGIN, wk_buf_slice(&prefix), wk_slice(NULL, 0),
                                        found, &l);
    wk_buf_fini(&prefix);
    c->code = rc < 0 ? rc : WKIM_OK;
}

enum wk_call_result im_plugin_bindings_handle(struct im_slot *is, struct wk_call *c)
{
    return im_read(is, c, bindings_read);
}
