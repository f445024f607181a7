/* Frame header, remaining length, and dispatch to the packet files. */
#include "proto/codec.h"
#include "proto/field.h"

enum { LENGTH_BYTES_MAX = 4 };

struct header {
    uint8_t type, flags;
    size_t head, body; /* bytes */
};

/* Versions this build does not know are laid out as the default one. */
static uint8_t layout(uint8_t version)
{
    return version > WK_PROTO_VERSION_MAX ? WK_PROTO_VERSION_DEFAULT : version;
}

/* 1: whole header read; 0: more bytes are needed; -1: a fifth length byte is announced. */
static int header_read(struct header *h, wkim_slice in)
{
    if (in.n == 0)
        return 0;
    h->type = in.p[0] >> 4;
    h->flags = in.p[0] & 0x0f;
    h->head = 1;
    h->body = 0;
    if (h->type == WK_PACKET_PING || h->type == WK_PACKET_PONG)
        return 1;
    for (unsigned i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (h->head >= in.n)
            return 0;
        const uint8_t b = in.p[h->head++];
        h->body |= (size_t)(b & 0x7f) << (7 * i);
        if ((b & 0x80) == 0)
            return 1;
    }
    return -1;
}

size_t wk_frame_extent(wkim_slice in)
{
    struct header h;
    return header_read(&h, in) == 1 ? h.head + h.body : in.n + 1;
}

static void body_read(struct wk_reader *r, uint8_t v, struct wk_packet *out)
{
    switch (out->type) {
    case WK_PACKET_CONNECT:
        wk_connect_read(r, &out->u.connect);
        break;
    case WK_PACKET_CONNACK:
        wk_connack_read(r, v, out->flags & 1, &out->u.connack);
        break;
    case WK_PACKET_SEND:
        wk_send_read(r, v, &out->u.send);
        break;
    case WK_PACKET_SENDACK:
        wk_sendack_read(r, v, &out->u.sendack);
        break;
    case WK_PACKET_RECV:
        wk_recv_read(r, v, &out->u.recv);
        break;
    case WK_PACKET_RECVACK:
        wk_recvack_read(r, v, &out->u.recvack);
        break;
    case WK_PACKET_DISCONNECT:
        wk_disconnect_read(r, &out->u.disconnect);
        break;
    case WK_PACKET_SUB:
        wk_sub_read(r, &out->u.sub);
        break;
    case WK_PACKET_SUBACK:
        wk_suback_read(r, &out->u.suback);
        break;
    case WK_PACKET_EVENT:
        wk_event_read(r, &out->u.event);
        break;
    default: /* PING and PONG have no body. */
        break;
    }
}

wkim_ssize wk_packet_decode(struct wk_packet *out, wkim_slice in, uint8_t version, size_t len_max,
                            struct wkim_error *err)
{
    if (in.n == 0)
        return 0;
    const uint8_t type = in.p[0] >> 4;
    if (type < WK_PACKET_CONNECT || type > WK_PACKET_EVENT)
        return wk_fail(err, WKIM_EUNSUPPORTED, "unsupported frame type %u", type);
    struct header h;
    const int got = header_read(&h, in);
    if (got == 0)
        return 0;
    if (got < 0 || h.body > len_max)
        return wk_fail(err, WKIM_ETOOBIG, "frame too large");
    if (in.n - h.head < h.body)
        return 0;

    struct wk_reader r = { wk_cursor(wk_slice(in.p + h.head, h.body)), NULL };
    out->type = h.type;
    out->flags = h.flags;
    body_read(&r, layout(version), out);
    if (r.bad)
        return wk_fail(err, WKIM_EPROTO, "malformed frame: %s", r.bad);
    return (wkim_ssize)(h.head + h.body);
}

static void body_write(struct wk_writer *w, uint8_t v, const struct wk_packet *p)
{
    switch (p->type) {
    case WK_PACKET_CONNECT:
        wk_connect_write(w, &p->u.connect);
        break;
    case WK_PACKET_CONNACK:
        wk_connack_write(w, v, &p->u.connack);
        break;
    case WK_PACKET_SEND:
        wk_send_write(w, v, &p->u.send);
        break;
    case WK_PACKET_SENDACK:
        wk_sendack_write(w, v, &p->u.sendack);
        break;
    case WK_PACKET_RECV:
        wk_recv_write_head(w, v, &p->u.recv, NULL);
        wk_write_rest(w, p->u.recv.payload);
        break;
    case WK_PACKET_RECVACK:
        wk_recvack_write(w, v, &p->u.recvack);
        break;
    case WK_PACKET_DISCONNECT:
        wk_disconnect_write(w, &p->u.disconnect);
        break;
    case WK_PACKET_SUB:
        wk_sub_write(w, &p->u.sub);
        break;
    case WK_PACKET_SUBACK:
        wk_suback_write(w, &p->u.suback);
        break;
    case WK_PACKET_EVENT:
        wk_event_write(w, &p->u.event);
        break;
    default:
        break;
    }
}

static uint8_t first_byte(const struct wk_packet *p)
{
    unsigned flags = p->flags & 0x0fu;
    if (p->type == WK_PACKET_CONNACK)
        flags = p->u.connack.has_server_version ? 1 : 0;
    return (uint8_t)((unsigned)p->type << 4 | flags);
}

static void header_write(struct wk_writer *w, uint8_t first, size_t body)
{
    wk_write_u8(w, first);
    if (first >> 4 == WK_PACKET_PING || first >> 4 == WK_PACKET_PONG)
        return;
    while (body > 0x7f) {
        wk_write_u8(w, (uint8_t)(0x80 | (body & 0x7f)));
        body >>= 7;
    }
    wk_write_u8(w, (uint8_t)body);
}

static bool type_known(uint8_t type)
{
    return type >= WK_PACKET_CONNECT && type <= WK_PACKET_EVENT;
}

wkim_ssize wk_packet_size(const struct wk_packet *p, uint8_t version)
{
    if (!type_known(p->type))
        return WKIM_EUNSUPPORTED;
    struct wk_writer body = { NULL, 0, false };
    body_write(&body, layout(version), p);
    if (body.bad || body.n > WK_FRAME_BYTES_MAX)
        return WKIM_ETOOBIG;
    struct wk_writer head = { NULL, 0, false };
    header_write(&head, first_byte(p), body.n);
    return (wkim_ssize)(head.n + body.n);
}

int wk_packet_encode(struct wk_buf *out, const struct wk_packet *p, uint8_t version)
{
    if (!type_known(p->type))
        return WKIM_EUNSUPPORTED;
    struct wk_writer body = { NULL, 0, false };
    body_write(&body, layout(version), p);
    if (body.bad || body.n > WK_FRAME_BYTES_MAX)
        return WKIM_ETOOBIG;
    if (wk_buf_reserve(out, 1 + LENGTH_BYTES_MAX + body.n))
        return WKIM_ENOMEM;
    struct wk_writer w = { out->p, out->n, false };
    header_write(&w, first_byte(p), body.n);
    body_write(&w, layout(version), p);
    out->n = w.n;
    return WKIM_OK;
}

int wk_recv_encode_head(struct wk_buf *out, const struct wk_recv *r, uint8_t flags, uint8_t version,
                        size_t payload_n, size_t *msg_key_at)
{
    const uint8_t v = layout(version);
    struct wk_writer body = { NULL, 0, false };
    wk_recv_write_head(&body, v, r, NULL);
    if (body.bad || payload_n > WK_FRAME_BYTES_MAX || body.n + payload_n > WK_FRAME_BYTES_MAX)
        return WKIM_ETOOBIG;
    if (wk_buf_reserve(out, 1 + LENGTH_BYTES_MAX + body.n + payload_n))
        return WKIM_ENOMEM;
    struct wk_writer w = { out->p, out->n, false };
    header_write(&w, (uint8_t)(WK_PACKET_RECV << 4 | (flags & 0x0f)), body.n + payload_n);
    wk_recv_write_head(&w, v, r, msg_key_at);
    out->n = w.n;
    return WKIM_OK;
}

uint8_t wk_proto_negotiate(uint8_t offered, uint8_t max)
{
    return offered < max ? offered : max;
}
