/* SENDs: msgKey checked, payload opened, handed on in the order of their frames. */
#include "session/state.h"
#include "base/error.h"

/* What msgKey of a SEND signs before the payload. */
enum { SIGNED_PARTS = 4, TOGETHER = 8 };
struct signed_prefix {
    char seq[20], type[20];
    wkim_slice parts[SIGNED_PARTS];
};

static void signed_prefix_make(struct signed_prefix *x, const struct wk_send *m)
{
    x->parts[0] = wk_slice(x->seq, wk_session_decimal(x->seq, false, m->client_seq));
    x->parts[1] = m->client_msg_no;
    x->parts[2] = m->channel_id;
    x->parts[3] = wk_slice(x->type, wk_session_decimal(x->type, false, m->channel_type));
}

static struct wk_sign_job sign_job(const struct wk_session *s, const struct signed_prefix *x,
                                   const struct wk_send *m)
{
    return (struct wk_sign_job){ .cipher = &s->cipher,
                                 .prefix = x->parts,
                                 .n_prefix = SIGNED_PARTS,
                                 .sealed = m->payload };
}

static int send_refuse(struct wk_session *s, const struct wk_packet *p)
{
    uint64_t ack;
    if (wk_acks_add(s, p, false, p->u.send.client_msg_no, &ack))
        return wk_session_die(s, WKIM_ENOMEM, "out of memory");
    s->ev.on_send_refused(s->user, &p->u.send, ack);
    return WKIM_OK;
}

static int send_deliver(struct wk_session *s, const struct wk_packet *p, bool has_id,
                        wkim_slice text, wkim_slice plain)
{
    uint64_t ack;
    if (wk_acks_add(s, p, has_id, text, &ack))
        return wk_session_die(s, WKIM_ENOMEM, "out of memory");
    s->ev.on_send(s->user, &p->u.send, p->flags, plain, ack);
    return WKIM_OK;
}

/* The opened payload is never longer than the sealed one, so a buffer of that size is not grown and
 * may stand on the stack; only long payloads need memory. */
static int on_sealed_send(struct wk_session *s, const struct wk_packet *p, const char msg_key[32])
{
    const struct wk_send *m = &p->u.send;
    uint8_t room[WK_SESSION_PLAIN_BYTES];
    const bool fits = m->payload.n <= sizeof(room);
    struct wk_buf plain = WK_BUF_INIT;
    if (fits)
        plain = (struct wk_buf){ .p = room, .cap = sizeof(room) };
    int rc = WKIM_ECRYPTO;
    if (wk_slice_eq_ct(wk_slice(msg_key, 32), m->msg_key))
        rc = wk_open(s->crypto, &s->cipher, m->payload, &plain);
    if (rc == WKIM_ENOMEM)
        (void)wk_session_die(s, rc, "out of memory");
    else if (rc)
        rc = send_refuse(s, p);
    else
        rc = send_deliver(s, p, false, m->client_msg_no, wk_buf_slice(&plain));
    if (!fits)
        wk_buf_fini(&plain);
    return rc;
}

int wk_session_send(struct wk_session *s, const struct wk_packet *p, bool has_id, wkim_slice id)
{
    const struct wk_send *m = &p->u.send;
    if (s->wire == WK_WIRE_JSON)
        return send_deliver(s, p, has_id, id, m->payload);
    if (!s->encrypt)
        return send_deliver(s, p, false, m->client_msg_no, m->payload);
    struct signed_prefix prefix;
    signed_prefix_make(&prefix, m);
    struct wk_sign_job job = sign_job(s, &prefix, m);
    if (wk_sign_many(s->crypto, &job, 1) != WKIM_OK)
        return send_refuse(s, p);
    return on_sealed_send(s, p, job.msg_key);
}

/* Whole SENDs at the start of `in`, TOGETHER of them at most; ends[i] is where frame i ends. */
static size_t sends_ahead(const struct wk_session *s, wkim_slice in,
                          struct wk_packet p[TOGETHER], size_t ends[TOGETHER])
{
    size_t n = 0, at = 0;

    while (n < TOGETHER && at < in.n && in.p[at] >> 4 == WK_PACKET_SEND) {
        const wkim_ssize used = wk_packet_decode(&p[n], wk_slice(in.p + at, in.n - at),
                                                 s->version, WK_FRAME_BYTES_MAX, NULL);
        if (used <= 0) /* what is wrong with it is told when it is its turn */
            break;
        at += (size_t)used;
        ends[n++] = at;
    }
    return n;
}

/* The chains of CBC and MD5 of several SENDs run side by side.  When one of them stops the input,
 * those behind it are checked again later. */
wkim_ssize wk_session_sends(struct wk_session *s, wkim_slice in)
{
    struct wk_packet p[TOGETHER];
    struct signed_prefix prefix[TOGETHER];
    struct wk_sign_job jobs[TOGETHER];
    size_t ends[TOGETHER];

    if (s->state != WK_SESSION_OPEN || !s->encrypt || in.p[0] >> 4 != WK_PACKET_SEND)
        return 0;
    const size_t n = sends_ahead(s, in, p, ends);
    if (n < 2)
        return 0;
    for (size_t i = 0; i < n; i++) {
        signed_prefix_make(&prefix[i], &p[i].u.send);
        jobs[i] = sign_job(s, &prefix[i], &p[i].u.send);
    }
    if (wk_sign_many(s->crypto, jobs, n) != WKIM_OK)
        return 0;
    size_t i = 0;
    do
        (void)on_sealed_send(s, &p[i], jobs[i].msg_key);
    while (++i < n && wk_session_proceeds(s));
    return (wkim_ssize)ends[i - 1];
}
