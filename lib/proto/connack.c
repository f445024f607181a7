#include "proto/field.h"

void wk_connack_read(struct wk_reader *r, uint8_t version, bool has_version, struct wk_connack *out)
{
    out->has_server_version = has_version;
    out->server_version = has_version ? wk_read_u8(r, "connack.serverVersion") : 0;
    out->time_diff = (int64_t)wk_read_u64(r, "connack.timeDiff");
    out->reason = wk_read_u8(r, "connack.reasonCode");
    out->server_key = wk_read_str(r, "connack.serverKey");
    out->salt = wk_read_str(r, "connack.salt");
    out->node_id = version >= 4 ? wk_read_u64(r, "connack.nodeId") : 0;
}

void wk_connack_write(struct wk_writer *w, uint8_t version, const struct wk_connack *in)
{
    if (in->has_server_version)
        wk_write_u8(w, in->server_version);
    wk_write_u64(w, (uint64_t)in->time_diff);
    wk_write_u8(w, in->reason);
    wk_write_str(w, in->server_key);
    wk_write_str(w, in->salt);
    if (version >= 4)
        wk_write_u64(w, in->node_id);
}
