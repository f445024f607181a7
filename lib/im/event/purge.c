/* The events of messages that are deleted.  apply() must delete the same rows everywhere, but the
 * store does not show those of the round under way: their keys are noted until it ends. */
#include "im/event/internal.h"
#include "store/txn.h"

int im_events_note(struct im_slot *is, uint8_t table, wkim_slice key)
{
    struct wk_buf *b = &is->events->round_keys;
    size_t before = b->n;

    wk_buf_u8(b, table);
    wk_buf_str(b, key);
    if (!b->oom)
        return WKIM_OK;
    b->n = before;
    b->oom = false;
    return WKIM_ENOMEM;
}

void im_events_round_end(struct im_slot *is)
{
    struct wk_buf *b = &is->events->round_keys;

    if (b->cap > 65536)
        wk_buf_fini(b);
    else
        wk_buf_clear(b);
}

static int add_key(void *arg, wkim_slice key, wkim_slice value)
{
    struct wk_buf *keys = arg;
    (void)value;

    wk_buf_str(keys, key);
    return keys->oom ? WKIM_ENOMEM : 0;
}

static bool starts_with(wkim_slice s, wkim_slice prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static int purge_table(struct im_slot *is, struct wk_txn *txn, uint8_t table, wkim_slice prefix)
{
    uint32_t slot = wk_slot_id(is->slot);
    struct wk_buf keys = WK_BUF_INIT;
    int rc = wk_row_scan(wk_slot_store(is->slot), slot, table, prefix, wk_slice(NULL, 0), add_key,
                         &keys);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&is->events->round_keys));

    while (rc == WKIM_OK && wk_cursor_left(&c)) {
        uint8_t of = wk_cursor_u8(&c);
        wkim_slice key = wk_cursor_str(&c);
        if (of == table && starts_with(key, prefix))
            wk_buf_str(&keys, key);
    }
    if (rc == WKIM_OK && keys.oom)
        rc = WKIM_ENOMEM;
    c = wk_cursor(wk_buf_slice(&keys));
    while (rc == WKIM_OK && wk_cursor_left(&c))
        wk_row_delete(txn, slot, table, wk_cursor_str(&c));
    wk_buf_fini(&keys);
    return rc;
}

int im_events_purge(struct im_slot *is, struct wk_txn *txn, const struct wk_channel_key *key,
                    wkim_slice client_msg_no)
{
    struct wk_buf prefix = WK_BUF_INIT;

    im_stream_key(&prefix, key->type, key->id, client_msg_no);
    int rc = prefix.oom ? WKIM_ENOMEM
                        : purge_table(is, txn, IM_TABLE_LANE, wk_buf_slice(&prefix));
    if (rc == WKIM_OK)
        rc = purge_table(is, txn, IM_TABLE_CHUNK, wk_buf_slice(&prefix));
    struct im_stream *st = rc == WKIM_OK ? im_stream_find(is, wk_buf_slice(&prefix)) : NULL;
    if (st)
        im_stream_gone(is, st);
    wk_buf_fini(&prefix);
    return rc;
}

void im_events_purge_channel(struct im_slot *is, struct wk_txn *txn,
                             const struct wk_channel_key *key)
{
    struct wk_buf b = WK_BUF_INIT;
    struct wk_list *n, *tmp;

    im_channel_key_encode(&b, key->type, key->id);
    wkim_slice prefix = wk_buf_slice(&b);
    if (b.oom) {
        wk_txn_fail(txn, WKIM_ENOMEM);
        return;
    }
    wk_row_delete_prefix(txn, wk_slot_id(is->slot), IM_TABLE_LANE, prefix);
    wk_row_delete_prefix(txn, wk_slot_id(is->slot), IM_TABLE_CHUNK, prefix);
    WK_LIST_EACH(n, tmp, &is->events->lru) {
        struct im_stream *st = WK_CONTAINER(n, struct im_stream, lru);
        if (starts_with(wk_slice(st->key, st->key_n), prefix))
            im_stream_gone(is, st);
    }
    wk_buf_fini(&b);
}
