#include "proto/field.h"

void wk_recvack_read(struct wk_reader *r, uint8_t version, struct wk_recvack *out)
{
    out->message_id = (int64_t)wk_read_u64(r, "recvack.messageId");
    out->message_seq = wk_read_seq(r, version, "recvack.messageSeq");
}

void wk_recvack_write(struct wk_writer *w, uint8_t version, const struct wk_recvack *in)
{
    wk_write_u64(w, (uint64_t)in->message_id);
    wk_write_seq(w, version, in->message_seq);
}
