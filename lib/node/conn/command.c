/* RECVACK of a command by a master device. */
#include "node/conn/conn.h"

static void read_done(struct wk_call *call)
{
    wk_call_fini(call);
    wk_free(call);
}

void wk_conn_command_read(struct wk_conn *c, struct wk_blob *blob)
{
    struct im_send_head h;
    struct wk_record r;
    struct wk_buf b = WK_BUF_INIT;

    if (im_send_decode(&h, wk_blob_slice(blob)) != WKIM_OK ||
        wk_record_decode(&r, h.record) != WKIM_OK ||
        !wk_slice_ends_with(r.channel_id, WK_LIT(IM_CMD_SUFFIX)) || r.message_seq == 0)
        return;
    wk_buf_str(&b, c->im.uid);
    wk_buf_u8(&b, 1); /* the row may still be on its way */
    wk_buf_u64(&b, c->shard->wall_ms);
    im_channel_key_encode(&b, r.channel_type, r.channel_id);
    wk_buf_u64(&b, r.message_seq);
    struct wk_call *call = wk_calloc(1, sizeof(*call));
    struct wk_blob *in = call && !b.oom ? wk_blob_copy(b.p, b.n) : NULL;
    wk_buf_fini(&b);
    if (!in) {
        wk_free(call); /* the command is handed out once more */
        return;
    }
    wk_call_init(call, IM_CMD_READ, in, read_done);
    call->slot = wk_cluster_slot_of(c->node->cluster, c->im.uid);
    call->origin = c->shard;
    wk_call_send(c->node->cluster, call);
}
