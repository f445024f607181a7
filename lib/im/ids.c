/* Ids as stored, and the request prefix of a SEND. */
#include "im/internal.h"

void im_stored_id(struct wk_buf *out, uint8_t type, wkim_slice channel_id, wkim_slice from_uid)
{
    wkim_slice a = channel_id, b = from_uid;

    if (type == WKIM_CHANNEL_PERSON) {
        uint32_t ca = wk_crc32_ieee(a), cb = wk_crc32_ieee(b);
        bool swap = ca < cb;
        if (ca == cb) { /* one id for the pair whoever asks: greater bytes first */
            size_t n = a.n < b.n ? a.n : b.n;
            int d = n ? memcmp(a.p, b.p, n) : 0;
            swap = d < 0 || (d == 0 && a.n < b.n);
        }
        if (swap) {
            a = from_uid;
            b = channel_id;
        }
    } else if (type == WKIM_CHANNEL_AGENT) {
        a = from_uid;
        b = channel_id;
    } else {
        wk_buf_bytes(out, channel_id.p, channel_id.n);
        return;
    }
    wk_buf_bytes(out, a.p, a.n);
    wk_buf_u8(out, '@');
    wk_buf_bytes(out, b.p, b.n);
}

wkim_slice im_base_id(wkim_slice id)
{
    wkim_slice tail = WK_LIT(IM_CMD_SUFFIX);
    return wk_slice_ends_with(id, tail) ? wk_slice(id.p, id.n - tail.n) : id;
}

bool im_is_command(wkim_slice stored_id)
{
    return wk_slice_ends_with(stored_id, WK_LIT(IM_CMD_SUFFIX));
}

wkim_slice im_peer(wkim_slice id, wkim_slice uid)
{
    const uint8_t *at = id.n ? memchr(id.p, '@', id.n) : NULL;

    if (!at)
        return wk_slice(NULL, 0);
    wkim_slice a = wk_slice(id.p, (size_t)(at - id.p));
    wkim_slice b = wk_slice(at + 1, id.n - a.n - 1);
    if (wk_slice_eq(a, uid))
        return b;
    return wk_slice_eq(b, uid) ? a : wk_slice(NULL, 0);
}

size_t im_named_uids(uint8_t type, wkim_slice id, wkim_slice out[2])
{
    bool pair = type == WKIM_CHANNEL_PERSON || type == WKIM_CHANNEL_AGENT;
    const uint8_t *at = id.n ? memchr(id.p, pair ? '@' : '|', id.n) : NULL;
    wkim_slice first = at ? wk_slice(id.p, (size_t)(at - id.p)) : id;

    if (pair && at) {
        out[0] = first;
        out[1] = wk_slice(at + 1, id.n - first.n - 1);
        return wk_slice_eq(out[0], out[1]) ? 1 : 2;
    }
    if (type != WKIM_CHANNEL_VISITORS && type != WKIM_CHANNEL_CUSTOMER_SERVICE)
        return 0;
    out[0] = type == WKIM_CHANNEL_VISITORS ? id : first;
    return 1;
}

bool im_uid_valid(wkim_slice uid)
{
    return uid.n <= WK_ID_BYTES_MAX && !wk_slice_blank(uid) && !wk_slice_has_any(uid, "@#&");
}

void im_send_encode(struct wk_buf *out, const struct im_send_head *h, const struct wk_record *r)
{
    wk_buf_u8(out, h->bits);
    wk_buf_u64(out, h->conn_id);
    if (h->bits & IM_SEND_LIST)
        wk_buf_str(out, h->uids);
    if (h->bits & IM_SEND_DEVICE)
        wk_buf_str(out, h->device_id);
    wk_record_encode(out, r);
}

int im_send_decode(struct im_send_head *h, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);

    *h = (struct im_send_head){ 0 };
    h->bits = wk_cursor_u8(&c);
    h->conn_id = wk_cursor_u64(&c);
    if (h->bits & IM_SEND_LIST)
        h->uids = wk_cursor_str(&c);
    if (h->bits & IM_SEND_DEVICE)
        h->device_id = wk_cursor_str(&c);
    h->record = wk_cursor_rest(&c);
    return c.bad || h->record.n == 0 ? WKIM_EPROTO : WKIM_OK;
}

void im_channel_key_encode(struct wk_buf *out, uint8_t type, wkim_slice id)
{
    wk_buf_u8(out, type);
    wk_buf_str(out, id);
}

void im_channel_key_decode(struct wk_cursor *c, struct wk_channel_key *out)
{
    out->type = wk_cursor_u8(c);
    out->id = wk_cursor_str(c);
    if (out->id.n > 2 * WK_ID_BYTES_MAX)
        c->bad = true;
}

void im_row_a(struct wk_buf *out, wkim_slice s, uint64_t a, uint64_t b, uint64_t c)
{
    wk_buf_str(out, s);
    wk_buf_u64(out, a);
    wk_buf_u64(out, b);
    wk_buf_u64(out, c);
}

void im_conv_row_encode(struct wk_buf *out, const struct im_conv_row *r)
{
    wk_buf_u8(out, r->type);
    wk_buf_str(out, r->stored_id);
    wk_buf_str(out, r->channel_id);
    wk_buf_u64(out, r->unread);
    wk_buf_u64(out, r->timestamp_ms);
    wk_buf_u64(out, r->last_seq);
    wk_buf_u64(out, r->read_seq);
    wk_buf_u64(out, r->version);
    wk_buf_u64(out, r->updated_ms);
    wk_buf_str(out, r->last_client_msg_no);
    wk_buf_varint(out, r->n_recents);
    wk_buf_str(out, r->recents);
    wk_buf_u8(out, r->state);
    wk_buf_varint(out, r->deleted_seq);
    wk_buf_varint(out, r->active_ms);
}

int im_conv_row_decode(struct im_conv_row *out, struct wk_cursor *c)
{
    out->type = wk_cursor_u8(c);
    out->stored_id = wk_cursor_str(c);
    out->channel_id = wk_cursor_str(c);
    out->unread = wk_cursor_u64(c);
    out->timestamp_ms = wk_cursor_u64(c);
    out->last_seq = wk_cursor_u64(c);
    out->read_seq = wk_cursor_u64(c);
    out->version = wk_cursor_u64(c);
    out->updated_ms = wk_cursor_u64(c);
    out->last_client_msg_no = wk_cursor_str(c);
    out->n_recents = wk_cursor_varint(c);
    out->recents = wk_cursor_str(c);
    out->state = wk_cursor_u8(c);
    out->deleted_seq = wk_cursor_varint(c);
    out->active_ms = wk_cursor_varint(c);
    return c->bad ? WKIM_EPROTO : WKIM_OK;
}
