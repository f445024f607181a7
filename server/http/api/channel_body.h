/* Bodies that several routes share, and their checks: channels and lists of members, lists of
 * channels, messages by name. */
#ifndef WK_HTTP_API_CHANNEL_BODY_H
#define WK_HTTP_API_CHANNEL_BODY_H

#include "http/decode.h"

#include <wkim/conversation.h>
#include <wkim/message.h>

#define WK_ID_BLANK "频道ID不能为空！"
#define WK_ID_SPECIAL "频道ID不能包含特殊字符！"
#define WK_ID_EMPTY "channel_id不能为空！"
#define WK_TYPE_ZERO "频道类型不能为0！"
#define WK_UIDS_EMPTY "uids不能为空！"
#define WK_PERSON_NO "个人频道不支持添加订阅者！"

struct wk_channel_body {
    wkim_slice channel_id;
    struct wk_strs subscribers, uids;
    int64_t large, ban, disband, send_ban, allow_stranger, reset, temp_subscriber, purge;
    uint8_t channel_type;
};

/* Which members a route knows; it ignores the others, whatever they are. */
enum wk_channel_body_kind {
    WK_CHANNEL_BODY_NAME,        /* channel_id, channel_type: of all but the last */
    WK_CHANNEL_BODY_INFO,        /* and flags */
    WK_CHANNEL_BODY_CREATE,      /* and flags, reset, subscribers */
    WK_CHANNEL_BODY_DELETE,      /* and purge */
    WK_CHANNEL_BODY_SUBSCRIBERS, /* and reset, temp_subscriber, subscribers */
    WK_CHANNEL_BODY_UIDS,        /* and uids */
    WK_CHANNEL_BODY_TEMPORARY    /* channel_id, uids */
};

/* WKIM_OK, or the request has been answered. */
int wk_channel_body_decode(struct wk_req *r, enum wk_channel_body_kind kind,
                           struct wk_channel_body *b);
/* channel_id and channel_type of the query; as above. */
int wk_channel_query(struct wk_req *r, wkim_slice *id, uint8_t *type);
/* A channel as lists of channels name it. */
struct wk_channel_name {
    wkim_slice channel_id;
    uint8_t channel_type;
};
#define WK_CHANNEL_NAME_FIELDS 2
extern const struct wk_field wk_channel_name_fields[WK_CHANNEL_NAME_FIELDS];
#define WK_CHANNEL_NAMES(type, member)                                                             \
    {#member, WK_FIELD_OBJECTS, offsetof(type, member), wk_channel_name_fields,                    \
     WK_CHANNEL_NAME_FIELDS, sizeof(struct wk_channel_name)}
/* The names of a list, with message_seq 0; NULL: the request has been answered. */
wkim_channel_pos *wk_channel_positions(struct wk_req *r, const struct wk_objects *names);

/* What is wrong with a channel to be created, NULL: nothing. */
const char *wk_channel_body_problem(const struct wk_channel_body *b);
uint32_t wk_channel_body_flags(const struct wk_channel_body *b); /* WKIM_CHANNEL_* */
/* Of a channel that is created. */
#define WK_CHANNEL_FIELDS 9
extern const struct wk_field wk_channel_fields[WK_CHANNEL_FIELDS];
/* Start a change of a list; its answer is the OK object. */
void wk_channel_list_start(struct wk_req *r, int list, int op, const struct wk_channel_body *b,
                           const struct wk_strs *uids);

/* Messages of one channel, named by number, id or client_msg_no. */
struct wk_find_body {
    wkim_slice login_uid, channel_id;
    struct wk_numbers message_seqs, message_ids;
    struct wk_strs client_msg_nos;
    uint8_t channel_type;
};
#define WK_FIND_FIELDS 6
extern const struct wk_field wk_find_fields[WK_FIND_FIELDS];
size_t wk_find_body_names(const struct wk_find_body *b);
wkim_message_find wk_find_body_of(const struct wk_find_body *b); /* borrowed from b */

#endif
