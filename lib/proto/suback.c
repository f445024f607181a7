#include "proto/field.h"

void wk_suback_read(struct wk_reader *r, struct wk_suback *out)
{
    out->sub_no = wk_read_str(r, "suback.subNo");
    out->channel_id = wk_read_str(r, "suback.channelId");
    out->channel_type = wk_read_u8(r, "suback.channelType");
    out->action = wk_read_u8(r, "suback.action");
    out->reason = wk_read_u8(r, "suback.reasonCode");
}

void wk_suback_write(struct wk_writer *w, const struct wk_suback *in)
{
    wk_write_str(w, in->sub_no);
    wk_write_str(w, in->channel_id);
    wk_write_u8(w, in->channel_type);
    wk_write_u8(w, in->action);
    wk_write_u8(w, in->reason);
}
