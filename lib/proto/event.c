#include "proto/field.h"

void wk_event_read(struct wk_reader *r, struct wk_event *out)
{
    out->id = wk_read_str(r, "event.id");
    out->type = wk_read_str(r, "event.type");
    out->timestamp = (int64_t)wk_read_u64(r, "event.timestamp");
    out->data = wk_read_rest(r);
}

void wk_event_write(struct wk_writer *w, const struct wk_event *in)
{
    wk_write_str(w, in->id);
    wk_write_str(w, in->type);
    wk_write_u64(w, (uint64_t)in->timestamp);
    wk_write_rest(w, in->data);
}
