#include "proto/field.h"

void wk_recv_read(struct wk_reader *r, uint8_t version, struct wk_recv *out)
{
    out->setting = wk_read_u8(r, "recv.setting");
    out->msg_key = wk_read_str(r, "recv.msgKey");
    out->from_uid = wk_read_str(r, "recv.fromUid");
    out->channel_id = wk_read_str(r, "recv.channelId");
    out->channel_type = wk_read_u8(r, "recv.channelType");
    out->expire = version >= 3 ? wk_read_u32(r, "recv.expire") : 0;
    out->client_msg_no = wk_read_str(r, "recv.clientMsgNo");
    out->stream_flag = 0;
    out->stream_no = wk_slice(NULL, 0);
    out->stream_id = 0;
    if (wk_has_stream_fields(version, out->setting)) {
        out->stream_flag = wk_read_u8(r, "recv.streamFlag");
        out->stream_no = wk_read_str(r, "recv.streamNo");
        out->stream_id = wk_read_u64(r, "recv.streamId");
    }
    out->message_id = (int64_t)wk_read_u64(r, "recv.messageId");
    out->message_seq = wk_read_seq(r, version, "recv.messageSeq");
    out->timestamp = (int32_t)wk_read_u32(r, "recv.timestamp");
    out->topic = wk_slice(NULL, 0);
    if (out->setting & WKIM_SETTING_TOPIC)
        out->topic = wk_read_str(r, "recv.topic");
    out->payload = wk_read_rest(r);
}

void wk_recv_write_head(struct wk_writer *w, uint8_t version, const struct wk_recv *in,
                        size_t *msg_key_at)
{
    wk_write_u8(w, in->setting);
    if (msg_key_at)
        *msg_key_at = w->n + 2;
    wk_write_str(w, in->msg_key);
    wk_write_str(w, in->from_uid);
    wk_write_str(w, in->channel_id);
    wk_write_u8(w, in->channel_type);
    if (version >= 3)
        wk_write_u32(w, in->expire);
    wk_write_str(w, in->client_msg_no);
    if (wk_has_stream_fields(version, in->setting)) {
        wk_write_u8(w, in->stream_flag);
        wk_write_str(w, in->stream_no);
        wk_write_u64(w, in->stream_id);
    }
    wk_write_u64(w, (uint64_t)in->message_id);
    wk_write_seq(w, version, in->message_seq);
    wk_write_u32(w, (uint32_t)in->timestamp);
    if (in->setting & WKIM_SETTING_TOPIC)
        wk_write_str(w, in->topic);
}
