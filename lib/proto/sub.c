#include "proto/field.h"

void wk_sub_read(struct wk_reader *r, struct wk_sub *out)
{
    out->setting = wk_read_u8(r, "sub.setting");
    out->sub_no = wk_read_str(r, "sub.subNo");
    out->channel_id = wk_read_str(r, "sub.channelId");
    out->channel_type = wk_read_u8(r, "sub.channelType");
    out->action = wk_read_u8(r, "sub.action");
    out->param = wk_read_str(r, "sub.param");
}

void wk_sub_write(struct wk_writer *w, const struct wk_sub *in)
{
    wk_write_u8(w, in->setting);
    wk_write_str(w, in->sub_no);
    wk_write_str(w, in->channel_id);
    wk_write_u8(w, in->channel_type);
    wk_write_u8(w, in->action);
    wk_write_str(w, in->param);
}
