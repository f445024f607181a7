#include "node/reply.h"
#include <wkim/command.h>
#include "node/node.h"

int wkim_command_sync(wkim_node *n, wkim_slice uid, uint32_t limit, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u32(&in, limit);
    return wk_api_send(n, IM_CMD_SYNC, wk_api_slot(n, uid), &in, WK_REPLY_RECORDS, NULL,
                       wk_slice(NULL, 0), q, user);
}

int wkim_command_ack(wkim_node *n, wkim_slice uid, uint64_t last_message_seq, wkim_queue *q,
                     void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, uid);

    if (rc != WKIM_OK)
        return rc;
    wk_buf_str(&in, uid);
    wk_buf_u64(&in, last_message_seq);
    wk_buf_u64(&in, wk_wall_ms());
    return wk_api_send(n, IM_CMD_ACK, wk_api_slot(n, uid), &in, WK_REPLY_NONE, NULL,
                       wk_slice(NULL, 0), q, user);
}
