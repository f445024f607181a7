#include "proto/field.h"

void wk_disconnect_read(struct wk_reader *r, struct wk_disconnect *out)
{
    out->reason = wk_read_u8(r, "disconnect.reasonCode");
    out->text = wk_read_str(r, "disconnect.reason");
}

void wk_disconnect_write(struct wk_writer *w, const struct wk_disconnect *in)
{
    wk_write_u8(w, in->reason);
    wk_write_str(w, in->text);
}
