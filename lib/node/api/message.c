#include "node/reply.h"
#include <stdio.h>
#include "base/hash.h"
#include "base/limits.h"
#include "base/map.h"
#include "im/answer.h"
#include "node/node.h"

/* ---- send ------------------------------------------------------------------------------------ */

static void fill_send(struct wk_api_call *a, struct wkim_reply *r)
{
    /* The text is the id that was made for the message and its client_msg_no: also a send that
     * never reached its slot tells them. */
    struct wk_cursor c = wk_cursor(wk_buf_slice(&a->text));
    uint64_t made = wk_cursor_u64(&c);

    wk_reply_number(r, WKIM_NUMBER_MESSAGE_ID,
                    (int64_t)(a->call.number[0] ? a->call.number[0] : made));
    wk_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ, (int64_t)a->call.number[1]);
    if (wk_reply_add_string(r, wk_slice(c.p, wk_cursor_left(&c))) != WKIM_OK)
        wk_reply_result(r, WKIM_ENOMEM, 0);
}

static int make_msg_no(char out[34])
{
    uint8_t b[16];

    if (wk_random_bytes(b, sizeof(b)) != WKIM_OK)
        return WKIM_EIO;
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", b[i]);
    out[32] = '0'; /* version 2's form: 32 hex digits and a node digit */
    out[33] = 0;
    return WKIM_OK;
}

static int64_t next_id(struct wkim_node *n)
{
    pthread_mutex_lock(&n->api_lock);
    int64_t id = wk_snowflake_next(&n->api_ids, wk_wall_ms());
    pthread_mutex_unlock(&n->api_lock);
    return id;
}

int64_t wkim_message_id_make(wkim_node *n)
{
    return n ? next_id(n) : 0;
}

/* The stored channel of a list of receivers: online commands share one, others get one per list. */
static void list_channel(struct wkim_node *n, const wkim_send *s, struct wk_buf *sid)
{
    struct wk_buf joined = WK_BUF_INIT;

    if (s->flags & WKIM_FLAG_NO_PERSIST) {
        wk_buf_bytes(sid, n->online_cmd, strlen(n->online_cmd));
        return;
    }
    for (size_t i = 0; i < s->n_subscribers; i++) {
        if (i)
            wk_buf_u8(&joined, ',');
        wk_buf_bytes(&joined, s->subscribers[i].p, s->subscribers[i].n);
    }
    wk_buf_printf(sid, "%llu" IM_CMD_SUFFIX, (unsigned long long)wk_fnv1a64(wk_buf_slice(&joined)));
    if (joined.oom)
        sid->oom = true;
    wk_buf_fini(&joined);
}

/* Every receiver of the list once, so that nobody gets the message twice. */
static int put_receivers(const wkim_send *s, struct wk_buf *out)
{
    struct wk_map seen;
    uint64_t seed;

    if (wk_random_bytes(&seed, sizeof(seed)) != WKIM_OK)
        return WKIM_EIO;
    struct wk_map_entry *v = wk_calloc(s->n_subscribers, sizeof(*v));
    int rc = v ? WKIM_OK : WKIM_ENOMEM;
    wk_map_init(&seen, seed);
    for (size_t i = 0; rc == WKIM_OK && i < s->n_subscribers; i++) {
        if (wk_map_get(&seen, s->subscribers[i]))
            continue;
        rc = wk_map_put(&seen, &v[i], s->subscribers[i]);
        wk_buf_str(out, s->subscribers[i]);
    }
    wk_map_fini(&seen);
    wk_free(v);
    return rc;
}

static int check_send(const wkim_send *s, struct wkim_node *n)
{
    bool list = s->n_subscribers != 0;

    if (list == (s->channel_id.n != 0) || (list && !(s->flags & WKIM_FLAG_SYNC_ONCE)))
        return WKIM_EINVAL;
    if (s->message_id < 0 || s->n_subscribers > WK_LIST_UIDS_MAX ||
        s->channel_id.n > WK_ID_BYTES_MAX || s->from_uid.n > WK_ID_BYTES_MAX ||
        s->client_msg_no.n > WK_ID_BYTES_MAX || s->topic.n > WK_ID_BYTES_MAX ||
        s->device_id.n > WK_ID_BYTES_MAX ||
        s->payload.n > n->set.payload_max)
        return WKIM_ETOOBIG;
    for (size_t i = 0; i < s->n_subscribers; i++) {
        if (s->subscribers[i].n == 0 || s->subscribers[i].n > WK_ID_BYTES_MAX)
            return WKIM_EINVAL;
    }
    return WKIM_OK;
}

static void stored_channel(struct wkim_node *n, const wkim_send *s, wkim_slice from,
                           struct wk_buf *sid, uint8_t *type)
{
    *type = s->channel_type;
    if (s->n_subscribers) {
        *type = WKIM_CHANNEL_TEMP;
        list_channel(n, s, sid);
        return;
    }
    im_stored_id(sid, s->channel_type, s->channel_id, from);
    bool online =
        s->channel_type == WKIM_CHANNEL_TEMP || wk_slice_eq(s->channel_id, wk_str(n->online_cmd));
    if ((s->flags & WKIM_FLAG_SYNC_ONCE) && !online)
        wk_buf_bytes(sid, IM_CMD_SUFFIX, sizeof(IM_CMD_SUFFIX) - 1);
}

int wkim_message_send(wkim_node *n, const wkim_send *args, wkim_queue *q, void *user)
{
    wkim_send s = { 0 };
    struct wk_buf in = WK_BUF_INIT, sid = WK_BUF_INIT, uids = WK_BUF_INIT, text = WK_BUF_INIT;
    char no[34];

    if (!n || !args || args->size < offsetof(wkim_send, reserved))
        return WKIM_EINVAL;
    memcpy(&s, args, args->size < sizeof(s) ? args->size : sizeof(s));
    int rc = !n->started ? WKIM_ESTOPPED : check_send(&s, n);
    if (rc == WKIM_OK && s.client_msg_no.n == 0) {
        rc = make_msg_no(no);
        s.client_msg_no = wk_slice(no, 33);
    }
    if (rc != WKIM_OK)
        return rc;
    wkim_slice from = wk_slice_blank(s.from_uid) ? WK_LIT(IM_SYSTEM_UID) : s.from_uid;
    uint8_t type;
    stored_channel(n, &s, from, &sid, &type);
    if (s.n_subscribers)
        rc = put_receivers(&s, &uids);
    struct wk_record r = { .flags = s.flags & (WKIM_FLAG_NO_PERSIST | WKIM_FLAG_RED_DOT |
                                               WKIM_FLAG_SYNC_ONCE),
                           .setting = s.setting,
                           .channel_type = type,
                           .message_id = s.message_id ? s.message_id : next_id(n),
                           .expire_s = s.expire_s,
                           .channel_id = wk_buf_slice(&sid),
                           .from_uid = from,
                           .client_msg_no = s.client_msg_no,
                           .topic = s.topic,
                           .payload = s.payload };
    if (rc == WKIM_OK && !wk_node_recv_fits(n, &r, s.n_subscribers ? r.channel_id : s.channel_id))
        rc = WKIM_ETOOBIG; /* nobody could be sent it */
    if (rc != WKIM_OK) {
        wk_buf_fini(&sid);
        wk_buf_fini(&uids);
        return rc;
    }
    struct im_send_head h = { .bits = (uint8_t)(IM_SEND_API | (s.n_subscribers ? IM_SEND_LIST : 0) |
                                                (s.device_id.n ? IM_SEND_DEVICE : 0)),
                              .uids = wk_buf_slice(&uids),
                              .device_id = s.device_id };
    im_send_encode(&in, &h, &r);
    in.oom |= sid.oom | uids.oom;
    uint32_t slot = wk_api_slot(n, im_base_id(r.channel_id));
    wk_buf_u64(&text, (uint64_t)r.message_id);
    wk_buf_bytes(&text, s.client_msg_no.p, s.client_msg_no.n);
    in.oom |= text.oom;
    rc = wk_api_send(n, IM_SEND, slot, &in, WK_REPLY_NONE, fill_send, wk_buf_slice(&text), q, user);
    wk_buf_fini(&sid);
    wk_buf_fini(&uids);
    wk_buf_fini(&text);
    return rc;
}

/* ---- read ------------------------------------------------------------------------------------ */

static void fill_more(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_TOTAL, (int64_t)a->call.number[0]);
    wk_reply_number(r, WKIM_NUMBER_MORE, (int64_t)a->call.number[1]);
}

static uint32_t put_key(struct wkim_node *n, struct wk_buf *in, uint8_t type, wkim_slice id,
                        wkim_slice login)
{
    struct wk_buf sid = WK_BUF_INIT;

    wk_api_stored_id(&sid, type, id, login);
    im_channel_key_encode(in, type, wk_buf_slice(&sid));
    uint32_t slot = wk_api_slot(n, im_base_id(wk_buf_slice(&sid)));
    in->oom |= sid.oom;
    wk_buf_fini(&sid);
    return slot;
}

int wkim_message_sync(wkim_node *n, const wkim_message_range *r, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!n || !n->started || !r || r->size < sizeof(*r) ||
        wk_api_check_id(r->channel_id) != WKIM_OK || r->login_uid.n > WK_ID_BYTES_MAX)
        return !n || n->started ? WKIM_EINVAL : WKIM_ESTOPPED;
    uint32_t slot = put_key(n, &in, r->channel_type, r->channel_id, r->login_uid);
    wk_buf_u64(&in, r->start_seq);
    wk_buf_u64(&in, r->end_seq);
    wk_buf_u32(&in, r->limit > 0 ? (uint32_t)r->limit : WKIM_SYNC_LIMIT_DEFAULT);
    wk_buf_u8(&in, r->pull_up == 1);
    wk_buf_u8(&in, r->events_basic == 1);
    return wk_api_send(n, IM_MESSAGE_SYNC, slot, &in, WK_REPLY_RECORDS, fill_more,
                       wk_slice(NULL, 0), q, user);
}

/* The request of IM_MESSAGE_GET and IM_DELETE; WKIM_OK or why not. */
static int put_find(struct wkim_node *n, const wkim_message_find *f, size_t max, struct wk_buf *in,
                    uint32_t *slot)
{
    if (!n || !n->started || !f || f->size < sizeof(*f) ||
        wk_api_check_id(f->channel_id) != WKIM_OK)
        return !n || n->started ? WKIM_EINVAL : WKIM_ESTOPPED;
    if (f->n_seqs > max || f->n_ids > max || f->n_client_msg_nos > max ||
        f->n_seqs + f->n_ids + f->n_client_msg_nos > max)
        return WKIM_ETOOBIG;
    *slot = put_key(n, in, f->channel_type, f->channel_id, f->login_uid);
    wk_buf_u8(in, f->oldest);
    wk_buf_varint(in, f->n_seqs);
    for (size_t i = 0; i < f->n_seqs; i++)
        wk_buf_u64(in, f->seqs[i]);
    wk_buf_varint(in, f->n_ids);
    for (size_t i = 0; i < f->n_ids; i++)
        wk_buf_u64(in, (uint64_t)f->ids[i]);
    wk_buf_varint(in, f->n_client_msg_nos);
    for (size_t i = 0; i < f->n_client_msg_nos; i++)
        wk_buf_str(in, f->client_msg_nos[i]);
    return WKIM_OK;
}

int wkim_message_get(wkim_node *n, const wkim_message_find *f, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;
    int rc = put_find(n, f, WK_LIST_UIDS_MAX, &in, &slot);

    return rc != WKIM_OK ? rc
                         : wk_api_send(n, IM_MESSAGE_GET, slot, &in, WK_REPLY_RECORDS, NULL,
                                       wk_slice(NULL, 0), q, user);
}

static void fill_last(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ, (int64_t)a->call.number[0]);
}

int wkim_message_last(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                      uint8_t channel_type, int with_message, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!n || !n->started || wk_api_check_id(channel_id) != WKIM_OK)
        return !n || n->started ? WKIM_EINVAL : WKIM_ESTOPPED;
    uint32_t slot = put_key(n, &in, channel_type, channel_id, login_uid);
    wk_buf_u8(&in, with_message != 0);
    return wk_api_send(n, IM_MESSAGE_LAST, slot, &in, WK_REPLY_RECORDS, fill_last,
                       wk_slice(NULL, 0), q, user);
}

static void fill_own(struct wk_api_call *a, struct wkim_reply *r)
{
    struct wk_cursor c = wk_cursor(wk_buf_slice(&r->bytes));

    (void)a;
    if (r->code != WKIM_OK)
        return;
    wk_reply_number(r, WKIM_NUMBER_TOTAL, (int64_t)wk_cursor_u64(&c));
    wk_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ, (int64_t)wk_cursor_u64(&c));
    if (c.bad)
        wk_reply_result(r, WKIM_ECORRUPT, 0);
}

int wkim_message_own(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                     uint8_t channel_type, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;

    if (!n || !n->started || wk_api_check_id(channel_id) != WKIM_OK ||
        wk_api_check_id(login_uid) != WKIM_OK)
        return !n || n->started ? WKIM_EINVAL : WKIM_ESTOPPED;
    wk_buf_str(&in, login_uid);
    uint32_t slot = put_key(n, &in, channel_type, channel_id, login_uid);
    wk_buf_u64(&in, 0);
    wk_buf_u32(&in, 0);
    for (int i = 0; i < 3; i++) /* no positions: unread is not asked for */
        wk_buf_u64(&in, UINT64_MAX);
    return wk_api_send(n, IM_HEADS, slot, &in, WK_REPLY_NONE, fill_own, wk_slice(NULL, 0), q, user);
}

/* ---- delete ---------------------------------------------------------------------------------- */

static void fill_deleted(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_TOTAL, (int64_t)a->call.number[0]);
}

int wkim_message_delete(wkim_node *n, const wkim_message_find *f, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    uint32_t slot;
    int rc = put_find(n, f, IM_DELETE_MAX, &in, &slot);

    return rc != WKIM_OK ? rc
                         : wk_api_send(n, IM_DELETE, slot, &in, WK_REPLY_NONE, fill_deleted,
                                       wk_slice(NULL, 0), q, user);
}

static void fill_floor(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ, (int64_t)a->call.number[0]);
    wk_reply_number(r, WKIM_NUMBER_TOTAL, (int64_t)a->call.number[1]);
}

int wkim_history_delete(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                        uint8_t channel_type, uint64_t through_seq, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, channel_id);

    if (rc != WKIM_OK)
        return rc;
    uint32_t slot = put_key(n, &in, channel_type, channel_id, login_uid);
    wk_buf_u64(&in, through_seq);
    for (int i = 0; i < 3; i++) /* nothing was added up */
        wk_buf_u64(&in, 0);
    return wk_api_send(n, IM_TRIM, slot, &in, WK_REPLY_NONE, fill_floor, wk_slice(NULL, 0), q,
                       user);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static uint8_t is_set(int64_t limit, uint8_t bit)
{
    return limit >= 0 ? bit : 0;
}

int wkim_limits_set(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                    uint8_t channel_type, const wkim_limits *l, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, channel_id);

    if (rc != WKIM_OK)
        return rc;
    if (!l || l->size < sizeof(*l) || l->max_age_s < WKIM_LIMIT_INHERIT ||
        l->max_messages < WKIM_LIMIT_INHERIT || l->max_bytes < WKIM_LIMIT_INHERIT)
        return WKIM_EINVAL;
    uint32_t slot = put_key(n, &in, channel_type, channel_id, login_uid);
    wk_buf_u8(&in, is_set(l->max_age_s, WK_KEEP_AGE) | is_set(l->max_messages, WK_KEEP_MESSAGES) |
                       is_set(l->max_bytes, WK_KEEP_BYTES));
    wk_buf_u64(&in, l->max_age_s > 0 ? (uint64_t)l->max_age_s : 0);
    wk_buf_u64(&in, l->max_messages > 0 ? (uint64_t)l->max_messages : 0);
    wk_buf_u64(&in, l->max_bytes > 0 ? (uint64_t)l->max_bytes : 0);
    return wk_api_send(n, IM_LIMITS_SET, slot, &in, WK_REPLY_NONE, NULL, wk_slice(NULL, 0), q,
                       user);
}

static void fill_limits(struct wk_api_call *a, struct wkim_reply *r)
{
    wk_reply_number(r, WKIM_NUMBER_ONLINE, (int64_t)a->call.number[0]);
}

int wkim_limits_get(wkim_node *n, wkim_slice login_uid, wkim_slice channel_id,
                    uint8_t channel_type, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT;
    int rc = wk_api_ready(n, channel_id);

    if (rc != WKIM_OK)
        return rc;
    uint32_t slot = put_key(n, &in, channel_type, channel_id, login_uid);
    return wk_api_send(n, IM_LIMITS_GET, slot, &in, WK_REPLY_ROWS, fill_limits, wk_slice(NULL, 0),
                       q, user);
}
