#include "proto/record.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "proto/codec.h"

enum { RECORD_FORMAT = 1, RECORD_FIXED_BYTES = 36 };

void wk_record_encode(struct wk_buf *out, const struct wk_record *r)
{
    wk_buf_u8(out, RECORD_FORMAT);
    wk_buf_u8(out, r->flags);
    wk_buf_u8(out, r->setting);
    wk_buf_u8(out, r->channel_type);
    wk_buf_u64(out, (uint64_t)r->message_id);
    wk_buf_u64(out, r->message_seq);
    wk_buf_u64(out, r->timestamp_ms);
    wk_buf_u32(out, r->expire_s);
    wk_buf_u32(out, r->client_seq);
    wk_buf_str16(out, r->channel_id);
    wk_buf_str16(out, r->from_uid);
    wk_buf_str16(out, r->client_msg_no);
    wk_buf_str16(out, r->topic);
    wk_buf_str16(out, r->stream_no);
    wk_buf_bytes(out, r->payload.p, r->payload.n);
}

size_t wk_record_size(const struct wk_record *r)
{
    return RECORD_FIXED_BYTES + 5 * 2 + r->channel_id.n + r->from_uid.n + r->client_msg_no.n +
           r->topic.n + r->stream_no.n + r->payload.n;
}

int wk_record_decode(struct wk_record *out, wkim_slice in)
{
    struct wk_cursor c = wk_cursor(in);
    const uint8_t format = wk_cursor_u8(&c);
    if (c.bad)
        return WKIM_EPROTO;
    if (format != RECORD_FORMAT)
        return WKIM_EVERSION;
    out->flags = wk_cursor_u8(&c);
    out->setting = wk_cursor_u8(&c);
    out->channel_type = wk_cursor_u8(&c);
    out->message_id = (int64_t)wk_cursor_u64(&c);
    out->message_seq = wk_cursor_u64(&c);
    out->timestamp_ms = wk_cursor_u64(&c);
    out->expire_s = wk_cursor_u32(&c);
    out->client_seq = wk_cursor_u32(&c);
    out->channel_id = wk_cursor_str16(&c);
    out->from_uid = wk_cursor_str16(&c);
    out->client_msg_no = wk_cursor_str16(&c);
    out->topic = wk_cursor_str16(&c);
    out->stream_no = wk_cursor_str16(&c);
    out->payload = wk_cursor_rest(&c);
    return c.bad ? WKIM_EPROTO : WKIM_OK;
}

static void put_u64(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--) {
        p[i] = (uint8_t)v;
        v >>= 8;
    }
}

void wk_record_patch(uint8_t *record, uint64_t message_seq, uint64_t timestamp_ms)
{
    put_u64(record + WK_RECORD_SEQ_OFFSET, message_seq);
    put_u64(record + WK_RECORD_TIMESTAMP_OFFSET, timestamp_ms);
}

bool wk_record_fits(const struct wk_record *r, wkim_slice channel, size_t payload_n, bool sealed,
                    uint8_t version_max)
{
    static const uint8_t key_room[32];
    const size_t strings = channel.n + 2 * r->from_uid.n + r->client_msg_no.n + r->topic.n +
                           r->stream_no.n;

    if (payload_n + strings + 128 <= WK_FRAME_BYTES_MAX) /* nearly always: no need to measure */
        return true;
    const struct wk_packet p = {
        .type = WK_PACKET_RECV,
        .u.recv = { .setting = r->setting,
                    .msg_key = wk_slice(key_room, sealed ? sizeof(key_room) : 0),
                    .from_uid = r->from_uid,
                    .channel_id = channel.n > r->from_uid.n ? channel : r->from_uid,
                    .client_msg_no = r->client_msg_no,
                    .stream_no = r->stream_no,
                    .topic = r->topic,
                    .payload = wk_slice(r->payload.p, payload_n) },
    };
    return wk_packet_size(&p, version_max) > 0 &&
           (version_max < 5 || wk_packet_size(&p, 4) > 0); /* only they have the stream's fields */
}
