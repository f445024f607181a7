#include "proto/field.h"

void wk_send_read(struct wk_reader *r, uint8_t version, struct wk_send *out)
{
    out->setting = wk_read_u8(r, "send.setting");
    out->client_seq = wk_read_u32(r, "send.clientSeq");
    out->client_msg_no = wk_read_str(r, "send.clientMsgNo");
    out->stream_no = wk_slice(NULL, 0);
    if (wk_has_stream_fields(version, out->setting))
        out->stream_no = wk_read_str(r, "send.streamNo");
    out->channel_id = wk_read_str(r, "send.channelId");
    out->channel_type = wk_read_u8(r, "send.channelType");
    out->expire = version >= 3 ? wk_read_u32(r, "send.expire") : 0;
    out->msg_key = wk_read_str(r, "send.msgKey");
    out->topic = wk_slice(NULL, 0);
    if (out->setting & WKIM_SETTING_TOPIC)
        out->topic = wk_read_str(r, "send.topic");
    out->payload = wk_read_rest(r);
}

/* Version 5 writes no streamNo and does not count one either. */
void wk_send_write(struct wk_writer *w, uint8_t version, const struct wk_send *in)
{
    wk_write_u8(w, in->setting);
    wk_write_u32(w, in->client_seq);
    wk_write_str(w, in->client_msg_no);
    if (wk_has_stream_fields(version, in->setting))
        wk_write_str(w, in->stream_no);
    wk_write_str(w, in->channel_id);
    wk_write_u8(w, in->channel_type);
    if (version >= 3)
        wk_write_u32(w, in->expire);
    wk_write_str(w, in->msg_key);
    if (in->setting & WKIM_SETTING_TOPIC)
        wk_write_str(w, in->topic);
    wk_write_rest(w, in->payload);
}
