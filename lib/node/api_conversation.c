#include "node/reply.h"
#include "base/limits.h"
#include "im/answer.h"
#include "node/node.h"

static void put_key(struct wk_buf *in, uint8_t type, wkim_slice id, wkim_slice uid)
{
    struct wk_buf sid = WK_BUF_INIT;

    wk_api_stored_id(&sid, type, id, uid);
    im_channel_key_encode(in, type, wk_buf_slice(&sid));
    in->oom |= sid.oom;
    wk_buf_fini(&sid);
}

static uint32_t clamp(int64_t v)
{
    return v <= 0 ? 0 : v > 10000 ? 10000 : (uint32_t)v;
}

int wkim_conversation_sync(wkim_node *n, const wkim_conversation_query *c, wkim_queue *q,
                           void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!c || c->size < sizeof(*c))
        return WKIM_EINVAL;
    int rc = wk_api_ready(n, c->uid);
    if (rc == WKIM_OK && (c->n_last_msg_seqs > WK_LIST_UIDS_MAX || c->n_exclude_types > 255))
        rc = WKIM_ETOOBIG;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, c->uid);
    wk_buf_u64(&in, c->version > 0 ? (uint64_t)c->version : 0);
    wk_buf_u32(&in, clamp(c->msg_count));
    wk_buf_u8(&in, c->only_unread == 1);
    wk_buf_u32(&in, c->page > 0 ? (uint32_t)c->page : 0);
    wk_buf_u32(&in, c->page_size > 0 ? (uint32_t)c->page_size : 0);
    wk_buf_varint(&in, c->n_exclude_types);
    wk_buf_bytes(&in, c->exclude_types, c->n_exclude_types);
    wk_buf_varint(&in, c->n_last_msg_seqs);
    for (size_t i = 0; i < c->n_last_msg_seqs; i++) {
        const wkim_channel_pos *p = &c->last_msg_seqs[i];
        put_key(&in, p->channel_type, p->channel_id, c->uid);
        wk_buf_u64(&in, p->message_seq);
    }
    return wk_api_send(n, IM_CONV_SYNC, wk_api_slot(n, c->uid), &in, WK_REPLY_CONVERSATIONS, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_conversation_sync_channels(wkim_node *n, wkim_slice uid, const wkim_channel_pos *channels,
                                    size_t n_channels, int64_t msg_count, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK && n_channels > 10000)
        rc = WKIM_ETOOBIG;
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u32(&in, clamp(msg_count));
    wk_buf_varint(&in, n_channels);
    for (size_t i = 0; i < n_channels; i++)
        put_key(&in, channels[i].channel_type, channels[i].channel_id, uid);
    return wk_api_send(n, IM_CONV_SYNC_CHANNELS, wk_api_slot(n, uid), &in, WK_REPLY_CONVERSATIONS,
                       NULL, wk_slice(NULL, 0), q, user);
}

int wkim_conversation_channels(wkim_node *n, wkim_slice uid, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    return wk_api_send(n, IM_CONV_CHANNELS, wk_api_slot(n, uid), &in, WK_REPLY_ROWS, NULL,
                       wk_slice(NULL, 0), q, user);
}

static int move(wkim_node *n, wkim_slice uid, wkim_slice id, uint8_t type, uint8_t kind,
                uint64_t count, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc == WKIM_OK)
        rc = wk_api_check_id(id);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    put_key(&in, type, id, uid);
    wk_buf_u8(&in, kind);
    wk_buf_u64(&in, count);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_CONV_MOVE, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_conversation_clear_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                   uint8_t channel_type, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_CLEAR, 0, q, user);
}

int wkim_conversation_set_unread(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                                 uint8_t channel_type, int64_t unread, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_SET, unread > 0 ? (uint64_t)unread : 0, q,
                user);
}

int wkim_conversation_delete(wkim_node *n, wkim_slice uid, wkim_slice channel_id,
                             uint8_t channel_type, wkim_queue *q, void *user)
{
    return move(n, uid, channel_id, channel_type, IM_CONV_HIDE, 0, q, user);
}
