#include "channel_body.h"

#include "answer.h"

#include <wkim/channel.h>

#include <stddef.h>

#define F(name, kind) WK_FIELD(struct wk_channel_body, name, kind)
static const struct wk_field body_fields[] = {
    F(channel_id, STR),     F(channel_type, U8), F(subscribers, STRS),    F(uids, STRS),
    F(large, I64),          F(ban, I64),         F(disband, I64),         F(send_ban, I64),
    F(allow_stranger, I64), F(reset, I64),       F(temp_subscriber, I64), F(purge, I64),
};
#undef F

int wk_channel_body_decode(struct wk_req *r, struct wk_channel_body *b)
{
    return wk_decode_object(r, "channelReq", body_fields, WK_COUNT(body_fields), b);
}

/* Lists of a channel that does not exist have nothing to lose: OK as well. */
static void on_list(struct wk_call *c, const wkim_reply *reply)
{
    if (wkim_reply_code(reply) == WKIM_ENOTFOUND)
        wk_answer_ok(c->req);
    else
        wk_answer_then_ok(c, reply);
}

void wk_channel_list_start(struct wk_req *r, int list, int op, const struct wk_channel_body *b,
                           const struct wk_strs *uids)
{
    wk_req_call(&r->call, on_list,
                wkim_channel_list_change(wk_req_node(r), list, op, b->channel_id, b->channel_type,
                                         uids ? uids->p : NULL, uids ? uids->n : 0, wk_req_queue(r),
                                         &r->call));
}
