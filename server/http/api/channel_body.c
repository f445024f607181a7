#include "http/api/channel_body.h"

#include "http/answer.h"
#include "http/text.h"

#include <wkim/channel.h>

#include <stddef.h>

#define F(name, kind) WK_FIELD(struct wk_channel_body, name, kind)
/* The flags are followed by what only a creation has. */
#define INFO_FIELDS 7
const struct wk_field wk_channel_fields[WK_CHANNEL_FIELDS] = {
    F(channel_id, STR),     F(channel_type, U8), F(large, I64),
    F(ban, I64),            F(disband, I64),     F(send_ban, I64),
    F(allow_stranger, I64), F(reset, I64),       F(subscribers, STRS),
};
static const struct wk_field delete_fields[] = {
    F(channel_id, STR),
    F(channel_type, U8),
    F(purge, I64),
};
static const struct wk_field subscriber_fields[] = {
    F(channel_id, STR),      F(channel_type, U8),  F(reset, I64),
    F(temp_subscriber, I64), F(subscribers, STRS),
};
static const struct wk_field uid_fields[] = {
    F(channel_type, U8),
    F(channel_id, STR),
    F(uids, STRS),
};
#undef F

static const struct {
    const struct wk_field *fields;
    size_t n;
} bodies[] = {
    [WK_CHANNEL_BODY_NAME] = {wk_channel_fields, 2},
    [WK_CHANNEL_BODY_INFO] = {wk_channel_fields, INFO_FIELDS},
    [WK_CHANNEL_BODY_CREATE] = {wk_channel_fields, WK_CHANNEL_FIELDS},
    [WK_CHANNEL_BODY_DELETE] = {delete_fields, WK_COUNT(delete_fields)},
    [WK_CHANNEL_BODY_SUBSCRIBERS] = {subscriber_fields, WK_COUNT(subscriber_fields)},
    [WK_CHANNEL_BODY_UIDS] = {uid_fields, WK_COUNT(uid_fields)},
    [WK_CHANNEL_BODY_TEMPORARY] = {uid_fields + 1, WK_COUNT(uid_fields) - 1},
};

const struct wk_field wk_channel_name_fields[WK_CHANNEL_NAME_FIELDS] = {
    WK_FIELD(struct wk_channel_name, channel_id, STR),
    WK_FIELD(struct wk_channel_name, channel_type, U8),
};

wkim_channel_pos *wk_channel_positions(struct wk_req *r, const struct wk_objects *names)
{
    const struct wk_channel_name *name = names->p;
    wkim_channel_pos *p = wk_req_alloc(r, (names->n + 1) * sizeof(*p));

    for (size_t i = 0; p && i < names->n; i++)
        p[i] = (wkim_channel_pos){.channel_id = name[i].channel_id,
                                  .channel_type = name[i].channel_type};
    if (!p)
        wk_answer_code(r, WKIM_ENOMEM, NULL);
    return p;
}

int wk_channel_body_decode(struct wk_req *r, enum wk_channel_body_kind kind,
                           struct wk_channel_body *b)
{
    return wk_decode_object(r, "channelReq", bodies[kind].fields, bodies[kind].n, b);
}

const char *wk_channel_body_problem(const struct wk_channel_body *b)
{
    if (wk_text_blank(b->channel_id))
        return WK_ID_BLANK;
    if (b->channel_type == 0)
        return "频道类型错误！";
    if (wk_text_special(b->channel_id))
        return WK_ID_SPECIAL;
    if (b->channel_type == WKIM_CHANNEL_PERSON && b->subscribers.n)
        return "不支持个人频道添加订阅者！";
    return NULL;
}

uint32_t wk_channel_body_flags(const struct wk_channel_body *b)
{
    return (b->ban == 1 ? WKIM_CHANNEL_BAN : 0u) | (b->disband == 1 ? WKIM_CHANNEL_DISBAND : 0u) |
           (b->send_ban == 1 ? WKIM_CHANNEL_SEND_BAN : 0u) |
           (b->large == 1 ? WKIM_CHANNEL_LARGE : 0u) |
           (b->allow_stranger == 1 ? WKIM_CHANNEL_ALLOW_STRANGER : 0u);
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

#define F(name, kind) WK_FIELD(struct wk_find_body, name, kind)
const struct wk_field wk_find_fields[WK_FIND_FIELDS] = {
    F(login_uid, STR),     F(channel_id, STR),   F(channel_type, U8),
    F(message_seqs, U32S), F(message_ids, I64S), F(client_msg_nos, STRS),
};
#undef F

size_t wk_find_body_names(const struct wk_find_body *b)
{
    return b->message_seqs.n + b->message_ids.n + b->client_msg_nos.n;
}

wkim_message_find wk_find_body_of(const struct wk_find_body *b)
{
    return (wkim_message_find){.size = sizeof(wkim_message_find),
                               .login_uid = b->login_uid,
                               .channel_id = b->channel_id,
                               .channel_type = b->channel_type,
                               .seqs = b->message_seqs.u.u64,
                               .n_seqs = b->message_seqs.n,
                               .ids = b->message_ids.u.i64,
                               .n_ids = b->message_ids.n,
                               .client_msg_nos = b->client_msg_nos.p,
                               .n_client_msg_nos = b->client_msg_nos.n};
}

int wk_channel_query(struct wk_req *r, wkim_slice *id, uint8_t *type)
{
    *id = wk_req_query(r, "channel_id");
    *type = wk_req_query_u8(r, "channel_type");
    if (!wk_text_blank(*id) && *type != 0)
        return WKIM_OK;
    wk_answer_error(r, wk_text_blank(*id) ? WK_ID_EMPTY : WK_TYPE_ZERO);
    return WKIM_EINVAL;
}
