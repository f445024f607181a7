#include "node/reply.h"
#include <wkim/event.h>
#include "base/limits.h"
#include "im/event/lane.h"
#include "node/node.h"
#include "proto/event_payload.h"

static int check_ids(const wkim_slice *ids, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i].n > WK_ID_BYTES_MAX)
            return WKIM_ETOOBIG;
    }
    return WKIM_OK;
}

static wkim_slice trimmed(wkim_slice s)
{
    while (s.n && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
        s = wk_slice(s.p + 1, s.n - 1);
    while (s.n && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r')))
        s.n--;
    return s;
}

static int check_put(const wkim_node *n, const wkim_event *e)
{
    if (!n || !e || e->size < sizeof(*e) || !e->channel_id.n || !e->client_msg_no.n ||
        !e->event_id.n || !trimmed(e->event_type).n)
        return WKIM_EINVAL;
    if (!n->started)
        return WKIM_ESTOPPED;
    const wkim_slice ids[] = { e->channel_id, e->from_uid,  e->client_msg_no, e->event_id,
                               e->event_type, e->event_key, e->visibility };
    int rc = check_ids(ids, sizeof(ids) / sizeof(ids[0]));
    return rc == WKIM_OK && e->payload.n > WKIM_EVENT_PAYLOAD_MAX ? WKIM_ETOOBIG : rc;
}

static int lower(struct wk_arena *arena, wkim_slice *s)
{
    uint8_t *p = wk_arena_dup(arena, s->p, s->n);

    if (!p)
        return WKIM_ENOMEM;
    for (size_t i = 0; i < s->n; i++)
        p[i] = p[i] >= 'A' && p[i] <= 'Z' ? (uint8_t)(p[i] + 32) : p[i];
    *s = wk_slice(p, s->n);
    return WKIM_OK;
}

static void encode(struct wk_buf *in, const wkim_event *e, wkim_slice type,
                   const struct wk_event_payload *p, wkim_slice stored_id)
{
    wkim_slice key = trimmed(e->event_key);
    const struct im_event ev = { .bits = (uint8_t)((p->text ? IM_EVENT_TEXT : 0) |
                                                   (p->text_snapshot ? IM_EVENT_TEXT_WHOLE : 0) |
                                                   (p->snapshot_text ? IM_EVENT_SNAPSHOT_TEXT : 0)),
                                 .end_reason = p->end_reason,
                                 .channel_type = e->channel_type,
                                 .message_id = e->message_id,
                                 .occurred_ms = e->occurred_ms,
                                 .now_ms = wk_wall_ms(),
                                 .stored_id = stored_id,
                                 .channel_id = e->channel_id,
                                 .from_uid = trimmed(e->from_uid),
                                 .client_msg_no = e->client_msg_no,
                                 .event_id = e->event_id,
                                 .type = type,
                                 .given_type = e->event_type,
                                 .key = key.n ? key : WK_LIT("main"),
                                 .visibility = trimmed(e->visibility),
                                 .payload = e->payload,
                                 .delta = p->delta,
                                 .snapshot = p->snapshot,
                                 .error = p->error };

    im_event_encode(in, &ev);
}

int wkim_event_put(wkim_node *n, const wkim_event *e, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT, sid = WK_BUF_INIT;
    struct wk_event_payload p;
    struct wk_arena arena;

    int rc = check_put(n, e);
    if (rc != WKIM_OK)
        return rc;
    wk_arena_init(&arena, 0);
    wkim_slice type = trimmed(e->event_type), from = trimmed(e->from_uid);
    rc = wk_event_payload_read(&p, e->payload, &arena);
    if (rc == WKIM_OK)
        rc = lower(&arena, &type);
    if (rc != WKIM_OK) {
        wk_arena_fini(&arena);
        return rc;
    }
    wk_api_stored_id(&sid, e->channel_type, e->channel_id, from.n ? from : WK_LIT(IM_SYSTEM_UID));
    encode(&in, e, type, &p, wk_buf_slice(&sid));
    in.oom |= sid.oom;
    uint32_t slot = wk_api_slot(n, im_base_id(wk_buf_slice(&sid)));
    wk_buf_fini(&sid);
    wk_arena_fini(&arena);
    return wk_api_send(n, IM_EVENT, slot, &in, WK_REPLY_TEXT, NULL, wk_slice(NULL, 0), q, user);
}

int wkim_event_sync(wkim_node *n, const wkim_event_range *r, wkim_queue *q, void *user)
{
    struct wk_buf in = WK_BUF_INIT, sid = WK_BUF_INIT;

    if (!n || !r || r->size < sizeof(*r) || !r->channel_id.n || !r->client_msg_no.n)
        return WKIM_EINVAL;
    if (!n->started)
        return WKIM_ESTOPPED;
    const wkim_slice ids[] = { r->channel_id, r->from_uid, r->client_msg_no, r->event_key };
    int rc = check_ids(ids, sizeof(ids) / sizeof(ids[0]));
    if (rc != WKIM_OK)
        return rc;
    wkim_slice from = trimmed(r->from_uid);
    wk_api_stored_id(&sid, r->channel_type, r->channel_id, from.n ? from : WK_LIT(IM_SYSTEM_UID));
    im_channel_key_encode(&in, r->channel_type, wk_buf_slice(&sid));
    wk_buf_str(&in, r->client_msg_no);
    wk_buf_str(&in, trimmed(r->event_key));
    wk_buf_u64(&in, r->from_seq);
    wk_buf_u32(&in, r->limit);
    wk_buf_u8(&in, r->include_private == 1);
    in.oom |= sid.oom;
    uint32_t slot = wk_api_slot(n, im_base_id(wk_buf_slice(&sid)));
    wk_buf_fini(&sid);
    return wk_api_send(n, IM_EVENT_SYNC, slot, &in, WK_REPLY_TEXT, NULL, wk_slice(NULL, 0), q,
                       user);
}
