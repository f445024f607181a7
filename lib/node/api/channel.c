#include "node/reply.h"
#include "base/limits.h"
#include "im/answer.h"
#include "node/node.h"

/* WKIM_OK with the key in *in and *slot, or why not. Ids are taken as stored. */
static int start(struct wkim_node *n, struct wk_buf *in, uint8_t type, wkim_slice id,
                 uint32_t *slot)
{
    int rc = wk_api_ready(n, id);

    if (rc != WKIM_OK)
        return rc;
    im_channel_key_encode(in, type, id);
    *slot = wk_api_slot(n, im_base_id(id));
    return WKIM_OK;
}

int wkim_channel_set(wkim_node *n, wkim_slice channel_id, uint8_t channel_type, uint32_t flags,
                     wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;
    int rc = start(n, &in, channel_type, channel_id, &slot);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_u32(&in, flags);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_CHANNEL_SET, slot, &in, WK_REPLY_NONE, NULL, wk_slice(NULL, 0), q,
                       user);
}

static void fill_get(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_TOTAL, (int64_t)a->call.number[0]);
    wk_reply_number(r, WKIM_NUMBER_MORE, (int64_t)a->call.number[1]);
}

int wkim_channel_get(wkim_node *n, wkim_slice channel_id, uint8_t channel_type, wkim_queue *q,
                     void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;
    int rc = start(n, &in, channel_type, channel_id, &slot);

    if (rc != WKIM_OK)
        return rc;
    return wk_api_send(n, IM_CHANNEL_GET, slot, &in, WK_REPLY_NONE, fill_get, wk_slice(NULL, 0), q,
                       user);
}

int wkim_channel_delete(wkim_node *n, wkim_slice channel_id, uint8_t channel_type, int purge,
                        wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;
    int rc = start(n, &in, channel_type, channel_id, &slot);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_u8(&in, purge != 0);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_CHANNEL_DELETE, slot, &in, WK_REPLY_NONE, NULL, wk_slice(NULL, 0), q,
                       user);
}

int wkim_channel_list_change(wkim_node *n, int list, int op, wkim_slice channel_id,
                             uint8_t channel_type, const wkim_slice *uids, size_t n_uids,
                             wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;

    if (list < WKIM_LIST_SUBSCRIBER || list > WKIM_LIST_DENY || op < WKIM_LIST_ADD ||
        op > WKIM_LIST_CLEAR)
        return WKIM_EINVAL;
    if (n_uids > WK_LIST_UIDS_MAX)
        return WKIM_ETOOBIG;
    for (size_t i = 0; i < n_uids; i++) {
        if (uids[i].n > WK_ID_BYTES_MAX || wk_slice_blank(uids[i]))
            return WKIM_EINVAL;
    }
    int rc = start(n, &in, channel_type, channel_id, &slot);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_u8(&in, (uint8_t)list);
    wk_buf_u8(&in, (uint8_t)op);
    wk_buf_u64(&in, wk_wall_ms());
    for (size_t i = 0; i < n_uids; i++)
        wk_buf_str(&in, uids[i]);
    return wk_api_send(n, IM_LIST_CHANGE, slot, &in, WK_REPLY_NONE, NULL, wk_slice(NULL, 0), q,
                       user);
}

int wkim_channel_list_get(wkim_node *n, int list, wkim_slice channel_id, uint8_t channel_type,
                          wkim_slice after, uint32_t limit, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;

    if (list < WKIM_LIST_SUBSCRIBER || list > WKIM_LIST_DENY)
        return WKIM_EINVAL;
    int rc = start(n, &in, channel_type, channel_id, &slot);
    if (rc != WKIM_OK)
        return rc;
    wk_buf_u8(&in, (uint8_t)list);
    wk_buf_str(&in, after);
    wk_buf_u32(&in, limit);
    return wk_api_send(n, IM_LIST_GET, slot, &in, WK_REPLY_ROWS, fill_get, wk_slice(NULL, 0), q,
                       user);
}
