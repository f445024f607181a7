#include "proto/field.h"

void wk_sendack_read(struct wk_reader *r, uint8_t version, struct wk_sendack *out)
{
    out->message_id = (int64_t)wk_read_u64(r, "sendack.messageId");
    out->client_seq = wk_read_u32(r, "sendack.clientSeq");
    out->message_seq = wk_read_seq(r, version, "sendack.messageSeq");
    out->reason = wk_read_u8(r, "sendack.reasonCode");
    out->client_msg_no = wk_slice(NULL, 0);
    if (version >= 6 && !r->bad && wk_cursor_left(&r->c) > 0)
        out->client_msg_no = wk_read_str(r, "sendack.clientMsgNo");
}

void wk_sendack_write(struct wk_writer *w, uint8_t version, const struct wk_sendack *in)
{
    wk_write_u64(w, (uint64_t)in->message_id);
    wk_write_u32(w, in->client_seq);
    wk_write_seq(w, version, in->message_seq);
    wk_write_u8(w, in->reason);
    if (version >= 6 && in->client_msg_no.n)
        wk_write_str(w, in->client_msg_no);
}
