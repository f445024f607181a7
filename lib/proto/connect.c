#include "proto/field.h"

void wk_connect_read(struct wk_reader *r, struct wk_connect *out)
{
    out->version = wk_read_u8(r, "connect.version");
    out->device_flag = wk_read_u8(r, "connect.deviceFlag");
    out->device_id = wk_read_str(r, "connect.deviceId");
    out->uid = wk_read_str(r, "connect.uid");
    out->token = wk_read_str(r, "connect.token");
    out->client_timestamp = (int64_t)wk_read_u64(r, "connect.clientTimestamp");
    out->client_key = wk_read_str(r, "connect.clientKey");
}

void wk_connect_write(struct wk_writer *w, const struct wk_connect *in)
{
    wk_write_u8(w, in->version);
    wk_write_u8(w, in->device_flag);
    wk_write_str(w, in->device_id);
    wk_write_str(w, in->uid);
    wk_write_str(w, in->token);
    wk_write_u64(w, (uint64_t)in->client_timestamp);
    wk_write_str(w, in->client_key);
}
