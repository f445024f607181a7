/* Decisions of the server into queued frames. */
#include "session/state.h"
#include "base/error.h"

/* ---- queue ----------------------------------------------------------------------------------- */

/* Consumed bytes are dropped when they are at least half: moving costs no more than writing did. */
void wk_session_out_make_room(struct wk_session *s)
{
    if (s->out_head && !s->unsealed && s->out_head >= s->out.n - s->out_head) {
        wk_buf_consume(&s->out, s->out_head);
        s->out_head = 0;
    }
}

/* The queue is empty.  A buffer for some answers is kept, so that they cost no allocation; one that
 * held messages is not, as most connections rest most of the time. */
static void out_release(struct wk_session *s)
{
    if (s->out.cap > WK_SESSION_OUT_KEPT_MAX)
        wk_buf_fini(&s->out);
    wk_buf_clear(&s->out);
    s->out_head = 0;
}

int wk_session_queue_check(struct wk_session *s)
{
    if (s->out.n - s->out_head <= s->outbound_bytes_max)
        return WKIM_OK;
    /* A client that does not read gets nothing more: the queue is of no use. */
    wk_session_sealed(s);
    out_release(s);
    s->state = WK_SESSION_CLOSING;
    return WKIM_EBUSY;
}

int wk_session_queue(struct wk_session *s, const struct wk_packet *p, bool has_id, wkim_slice id)
{
    if (s->state == WK_SESSION_CLOSING)
        return WKIM_ESTOPPED;
    wk_session_out_make_room(s);
    const size_t start = s->out.n;
    const int rc = s->wire == WK_WIRE_JSON ? wk_json_encode(&s->out, p, has_id, id)
                                           : wk_packet_encode(&s->out, p, s->version);
    if (rc && s->out.n == s->out_head)
        out_release(s);
    if (rc)
        return rc;
    wk_session_count_out(s, p->type, s->out.n - start);
    return wk_session_queue_check(s);
}

int wk_session_next_frame(struct wk_session *s, wkim_slice *frame)
{
    const wkim_slice rest = wk_session_out(s);
    if (rest.n == 0) {
        out_release(s);
        *frame = rest;
        return 0;
    }
    const size_t n = s->wire == WK_WIRE_JSON ? wk_json_extent(rest) : wk_frame_extent(rest);
    WK_ASSERT(n > 0 && n <= rest.n);
    *frame = wk_slice(rest.p, n);
    s->out_head += n;
    return 1;
}

wkim_slice wk_session_out(const struct wk_session *s)
{
    wk_session_sealed(s);
    const size_t n = s->out.n - s->out_head;
    return wk_slice(n ? s->out.p + s->out_head : NULL, n);
}

void wk_session_out_consume(struct wk_session *s, size_t n)
{
    WK_ASSERT(n <= s->out.n - s->out_head);
    s->out_head += n;
    if (s->out_head == s->out.n)
        out_release(s);
}

/* ---- SENDACK --------------------------------------------------------------------------------- */

int wk_session_sendack(struct wk_session *s, uint64_t ack, int64_t message_id,
                       uint64_t message_seq, uint8_t reason)
{
    struct wk_ack a;
    if (!wk_acks_take(s, ack, &a))
        return WKIM_EINVAL;
    if (s->state != WK_SESSION_OPEN) {
        wk_free(a.text);
        return WKIM_OK;
    }
    const bool json = s->wire == WK_WIRE_JSON;
    struct wk_packet p = { .type = WK_PACKET_SENDACK,
                           .flags = a.flags,
                           .u.sendack = { .message_id = message_id,
                                          .client_seq = a.client_seq,
                                          .message_seq = message_seq,
                                          .reason = reason } };
    if (!json && s->version < 6 && message_seq > UINT32_MAX) {
        p.u.sendack.message_seq = 0;
        p.u.sendack.reason = WKIM_REASON_SYSTEM_ERROR;
    }
    const wkim_slice text = wk_slice(a.text, a.n);
    if (!json)
        p.u.sendack.client_msg_no = text;
    const int rc = wk_session_queue(s, &p, a.has_id, text);
    wk_free(a.text);
    if (rc) {
        s->state = WK_SESSION_CLOSING;
        return rc;
    }
    wk_session_pump(s);
    return WKIM_OK;
}

/* ---- RECV ------------------------------------------------------------------------------------ */

void wk_recv_prefix_make(struct wk_recv_prefix *x, const struct wk_recv *r)
{
    size_t n = wk_session_decimal(x->ids, r->message_id < 0, (uint64_t)r->message_id);
    n += wk_session_decimal(x->ids + n, false, r->message_seq);
    x->parts[0] = wk_slice(x->ids, n);
    x->parts[1] = r->client_msg_no;
    n = wk_session_decimal(x->seconds, r->timestamp < 0, (uint64_t)(int64_t)r->timestamp);
    x->parts[2] = wk_slice(x->seconds, n);
    x->parts[3] = r->from_uid;
    x->parts[4] = r->channel_id;
    n = wk_session_decimal(x->type, false, r->channel_type);
    x->parts[5] = wk_slice(x->type, n);
}

/* Lay the frame out with room for the sealed payload and its key, seal in place, add the key. */
static int recv_sealed(struct wk_session *s, struct wk_recv *r, wkim_slice plain, uint8_t flags)
{
    static const char key_room[32];
    if (plain.n > WK_FRAME_BYTES_MAX)
        return WKIM_ETOOBIG;
    wk_session_out_make_room(s);
    size_t key_at;
    r->msg_key = wk_slice(key_room, sizeof(key_room));
    const size_t start = s->out.n, sealed_n = WK_SEALED_LEN(plain.n);
    int rc = wk_recv_encode_head(&s->out, r, flags, s->version, sealed_n, &key_at);
    if (rc == WKIM_OK && s->sealer) {
        const size_t sealed_at = s->out.n;
        s->out.n += sealed_n;
        wk_sealer_add(s->sealer, s, sealed_at, key_at, plain, r);
        wk_session_count_out(s, WK_PACKET_RECV, s->out.n - start);
        return wk_session_queue_check(s);
    }
    if (rc == WKIM_OK) {
        struct wk_recv_prefix prefix;
        wk_recv_prefix_make(&prefix, r);
        struct wk_seal_job job = { .cipher = &s->cipher,
                                   .plain = plain,
                                   .prefix = prefix.parts,
                                   .n_prefix = WK_RECV_PREFIX_PARTS,
                                   .sealed = (char *)s->out.p + s->out.n };
        rc = wk_seal_many(s->crypto, &job, 1);
        if (rc == WKIM_OK) {
            memcpy(s->out.p + key_at, job.msg_key, sizeof(job.msg_key));
            s->out.n += sealed_n;
            wk_session_count_out(s, WK_PACKET_RECV, s->out.n - start);
            return wk_session_queue_check(s);
        }
    }
    s->out.n = start;
    if (s->out.n == s->out_head)
        out_release(s);
    return rc;
}

int wk_session_recv(struct wk_session *s, const struct wk_record *r, wkim_slice from_uid,
                    wkim_slice channel_id, uint8_t flags)
{
    if (s->state != WK_SESSION_OPEN)
        return WKIM_ESTOPPED;
    const bool stream = (r->setting & WKIM_SETTING_STREAM) != 0;
    struct wk_packet p = {
        .type = WK_PACKET_RECV,
        .flags = flags,
        .u.recv = { .setting = r->setting,
                    .channel_type = r->channel_type,
                    .expire = r->expire_s,
                    .timestamp = (int32_t)(r->timestamp_ms / 1000),
                    .message_id = r->message_id,
                    .message_seq = r->message_seq,
                    .stream_id = stream ? (uint64_t)r->message_id : 0,
                    .from_uid = from_uid,
                    .channel_id = channel_id,
                    .client_msg_no = r->client_msg_no,
                    .stream_no = stream ? r->stream_no : wk_slice(NULL, 0),
                    .topic = r->topic,
                    .payload = r->payload },
    };
    if (s->encrypt && s->wire == WK_WIRE_BINARY)
        return recv_sealed(s, &p.u.recv, r->payload, flags);
    return wk_session_queue(s, &p, false, wk_slice(NULL, 0));
}

/* ---- others ---------------------------------------------------------------------------------- */

int wk_session_event(struct wk_session *s, const struct wk_event *e)
{
    if (s->state != WK_SESSION_OPEN)
        return WKIM_ESTOPPED;
    if (s->wire == WK_WIRE_BINARY && s->version < 5 && !s->event_to_old)
        return WKIM_EUNSUPPORTED;
    const struct wk_packet p = { .type = WK_PACKET_EVENT, .u.event = *e };
    return wk_session_queue(s, &p, false, wk_slice(NULL, 0));
}

void wk_session_warn(struct wk_session *s, uint8_t reason, wkim_slice text)
{
    const struct wk_packet p = { .type = WK_PACKET_DISCONNECT, .u.disconnect = { reason, text } };

    if (s->state == WK_SESSION_OPEN)
        (void)wk_session_queue(s, &p, false, wk_slice(NULL, 0));
}

void wk_session_disconnect(struct wk_session *s, uint8_t reason, wkim_slice text)
{
    wk_session_warn(s, reason, text);
    s->state = WK_SESSION_CLOSING;
}
