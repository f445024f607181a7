/* Rows that say what the webhooks have not been told of yet: stored messages (msg.notify), stored
 * messages whose receivers are to be looked up (msg.offline), connections that came or went
 * (user.onlinestatus, see status.c).  A row of a message is written with it and names it; the
 * message itself is read back when the request is built. */
#include "im/internal.h"

static const uint8_t tables[] = {
    [IM_PENDING_NOTIFY] = IM_TABLE_NOTIFY,
    [IM_PENDING_OFFLINE] = IM_TABLE_OFFLINE,
    [IM_PENDING_STATUS] = IM_TABLE_STATUS,
};

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

void im_pending_put(struct im_slot *is, struct wk_txn *txn, enum im_pending what, uint64_t id,
                    wkim_slice value)
{
    uint8_t k[8];

    wk_row_put(txn, wk_slot_id(is->slot), tables[what], row_key(k, id), value);
}

int im_pending_message(struct im_slot *is, struct wk_txn *txn, uint64_t id,
                       const struct im_send_head *h, const struct wk_channel_key *key, uint64_t seq)
{
    struct wk_buf b = WK_BUF_INIT;

    im_channel_key_encode(&b, key->type, key->id);
    wk_buf_u64(&b, seq);
    if (h->bits & IM_SEND_NOTIFY && !b.oom)
        im_pending_put(is, txn, IM_PENDING_NOTIFY, id, wk_buf_slice(&b));
    if (h->bits & IM_SEND_OFFLINE) {
        wk_buf_u8(&b, h->bits & IM_SEND_LIST);
        wk_buf_bytes(&b, h->uids.p, h->uids.n); /* nobody else remembers them */
        if (!b.oom)
            im_pending_put(is, txn, IM_PENDING_OFFLINE, id, wk_buf_slice(&b));
    }
    const int rc = b.oom ? WKIM_ENOMEM : WKIM_OK;
    wk_buf_fini(&b);
    return rc;
}

int im_pending_done_apply(struct im_slot *is, struct wk_txn *txn, enum im_pending what,
                          wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    uint8_t k[8];

    while (wk_cursor_left(&c) >= 8)
        wk_row_delete(txn, wk_slot_id(is->slot), tables[what], row_key(k, wk_cursor_u64(&c)));
    return WKIM_OK;
}

/* ---- reader threads -------------------------------------------------------------------------- */

struct rows {
    struct wk_buf out; /* repeated (u64 id, str value) */
    uint32_t n, max;
    size_t bytes_max;
};

static int take_row(void *arg, wkim_slice key, wkim_slice value)
{
    struct rows *r = arg;

    if (r->n == r->max || r->out.n >= r->bytes_max)
        return 1; /* one more is there */
    r->n++;
    wk_buf_u64(&r->out, row_id(key));
    wk_buf_str(&r->out, value);
    return r->out.oom ? WKIM_ENOMEM : 0;
}

/* What a message's row stands for; nothing when the message is gone. */
static int add_message(struct wk_store *st, uint32_t slot, enum im_pending what, uint64_t id,
                       wkim_slice value, struct wk_buf *out)
{
    struct wk_cursor c = wk_cursor(value);
    struct wk_channel_key key;
    struct wk_buf row = WK_BUF_INIT, send = WK_BUF_INIT;
    struct im_send_head h = {.bits = 0};
    struct wk_record r;
    int rc = WKIM_ENOTFOUND;

    im_channel_key_decode(&c, &key);
    uint64_t seq = wk_cursor_u64(&c);
    if (what == IM_PENDING_OFFLINE) {
        h.bits = wk_cursor_u8(&c) & IM_SEND_LIST;
        h.uids = wk_cursor_rest(&c);
    }
    if (!c.bad)
        rc = wk_message_get(st, slot, &key, seq, &row);
    if (rc == WKIM_OK && what == IM_PENDING_OFFLINE &&
        wk_record_decode(&r, wk_buf_slice(&row)) == WKIM_OK)
        im_send_encode(&send, &h, &r);
    if (rc == WKIM_OK || rc == WKIM_ENOTFOUND) {
        wk_buf_u64(out, id);
        wk_buf_str(out, wk_buf_slice(what == IM_PENDING_OFFLINE ? &send : &row));
        rc = out->oom || send.oom ? WKIM_ENOMEM : WKIM_OK;
    }
    wk_buf_fini(&row);
    wk_buf_fini(&send);
    return rc;
}

int im_pending_read(struct im *im, enum im_pending what, uint32_t slot, uint64_t from_id,
                    uint32_t max, size_t bytes_max, struct wk_buf *out, bool *more)
{
    struct wk_store *st = wk_cluster_store(im->opt.cluster);
    struct rows r = {.max = max, .bytes_max = bytes_max};
    uint8_t k[8];
    int rc = wk_row_scan(st, slot, tables[what], wk_slice(NULL, 0), row_key(k, from_id), take_row,
                         &r);
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r.out));

    *more = rc == 1;
    rc = rc < 0 ? rc : WKIM_OK;
    while (rc == WKIM_OK && wk_cursor_left(&c)) {
        if (out->n >= bytes_max) {
            *more = true;
            break;
        }
        uint64_t id = wk_cursor_u64(&c);
        wkim_slice value = wk_cursor_str(&c);
        if (what != IM_PENDING_STATUS) {
            rc = add_message(st, slot, what, id, value, out);
            continue;
        }
        wk_buf_u64(out, id);
        wk_buf_str(out, value);
        rc = out->oom ? WKIM_ENOMEM : WKIM_OK;
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

uint64_t im_pending_count(struct im *im, enum im_pending what, uint32_t slot)
{
    uint64_t n = 0;
    int rc = wk_row_scan(wk_cluster_store(im->opt.cluster), slot, tables[what], wk_slice(NULL, 0),
                         wk_slice(NULL, 0), count_row, &n);
    /* After a failed count one row is assumed: reading finds what is really there. */
    return rc < 0 && n == 0 ? 1 : n;
}
