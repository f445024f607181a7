/* Public face of the binary codec and of the client side of the key agreement. */
#include "node/node.h"
#include "proto/codec.h"
#include "base/limits.h"
#include <stdio.h>

static void login_to_public(wkim_packet *o, const struct wk_packet *p)
{
    switch (p->type) {
    case WK_PACKET_CONNECT: {
        const struct wk_connect *c = &p->u.connect;
        o->version = c->version;
        o->device_flag = c->device_flag;
        o->timestamp = c->client_timestamp;
        o->device_id = c->device_id;
        o->uid = c->uid;
        o->token = c->token;
        o->key = c->client_key;
        break;
    }
    case WK_PACKET_CONNACK: {
        const struct wk_connack *c = &p->u.connack;
        o->version = c->server_version;
        o->reason = c->reason;
        o->timestamp = c->time_diff;
        o->node_id = c->node_id;
        o->key = c->server_key;
        o->salt = c->salt;
        break;
    }
    case WK_PACKET_DISCONNECT: {
        const struct wk_disconnect *d = &p->u.disconnect;
        o->reason = d->reason;
        o->name = d->text;
        break;
    }
    default:
        break;
    }
}

static void message_to_public(wkim_packet *o, const struct wk_packet *p)
{
    switch (p->type) {
    case WK_PACKET_SEND: {
        const struct wk_send *s = &p->u.send;
        o->setting = s->setting;
        o->channel_type = s->channel_type;
        o->client_seq = s->client_seq;
        o->expire_s = s->expire;
        o->client_msg_no = s->client_msg_no;
        o->channel_id = s->channel_id;
        o->key = s->msg_key;
        o->topic = s->topic;
        o->payload = s->payload;
        break;
    }
    case WK_PACKET_SENDACK: {
        const struct wk_sendack *s = &p->u.sendack;
        o->message_id = s->message_id;
        o->client_seq = s->client_seq;
        o->message_seq = s->message_seq;
        o->reason = s->reason;
        o->client_msg_no = s->client_msg_no;
        break;
    }
    case WK_PACKET_RECV: {
        const struct wk_recv *r = &p->u.recv;
        o->setting = r->setting;
        o->channel_type = r->channel_type;
        o->expire_s = r->expire;
        o->timestamp = r->timestamp;
        o->message_id = r->message_id;
        o->message_seq = r->message_seq;
        o->key = r->msg_key;
        o->uid = r->from_uid;
        o->channel_id = r->channel_id;
        o->client_msg_no = r->client_msg_no;
        o->topic = r->topic;
        o->payload = r->payload;
        break;
    }
    case WK_PACKET_RECVACK: {
        const struct wk_recvack *a = &p->u.recvack;
        o->message_id = a->message_id;
        o->message_seq = a->message_seq;
        break;
    }
    default:
        break;
    }
}

static void event_to_public(wkim_packet *o, const struct wk_packet *p)
{
    switch (p->type) {
    case WK_PACKET_SUB: {
        const struct wk_sub *s = &p->u.sub;
        o->setting = s->setting;
        o->channel_type = s->channel_type;
        o->action = s->action;
        o->id = s->sub_no;
        o->channel_id = s->channel_id;
        o->name = s->param;
        break;
    }
    case WK_PACKET_SUBACK: {
        const struct wk_suback *s = &p->u.suback;
        o->channel_type = s->channel_type;
        o->action = s->action;
        o->reason = s->reason;
        o->id = s->sub_no;
        o->channel_id = s->channel_id;
        break;
    }
    case WK_PACKET_EVENT: {
        const struct wk_event *e = &p->u.event;
        o->id = e->id;
        o->name = e->type;
        o->timestamp = e->timestamp;
        o->payload = e->data;
        break;
    }
    default:
        break;
    }
}

static void to_public(wkim_packet *o, const struct wk_packet *p)
{
    *o = (wkim_packet){ .type = p->type, .flags = p->flags };
    login_to_public(o, p);
    message_to_public(o, p);
    event_to_public(o, p);
}

static void from_public(struct wk_packet *p, const wkim_packet *o)
{
    *p = (struct wk_packet){ .type = o->type, .flags = o->flags };
    switch (o->type) {
    case WK_PACKET_CONNECT:
        p->u.connect = (struct wk_connect){ o->version, o->device_flag, o->timestamp, o->device_id,
                                            o->uid, o->token, o->key };
        break;
    case WK_PACKET_CONNACK:
        p->u.connack = (struct wk_connack){ o->flags & 1, o->version, o->reason, o->timestamp,
                                            o->node_id,   o->key,     o->salt };
        break;
    case WK_PACKET_SEND:
        p->u.send = (struct wk_send){ .setting = o->setting,
                                      .channel_type = o->channel_type,
                                      .client_seq = o->client_seq,
                                      .expire = o->expire_s,
                                      .client_msg_no = o->client_msg_no,
                                      .channel_id = o->channel_id,
                                      .msg_key = o->key,
                                      .topic = o->topic,
                                      .payload = o->payload };
        break;
    case WK_PACKET_SENDACK:
        p->u.sendack = (struct wk_sendack){ o->message_id, o->client_seq, o->message_seq, o->reason,
                                            o->client_msg_no };
        break;
    case WK_PACKET_RECV:
        p->u.recv = (struct wk_recv){ .setting = o->setting,
                                      .channel_type = o->channel_type,
                                      .expire = o->expire_s,
                                      .timestamp = (int32_t)o->timestamp,
                                      .message_id = o->message_id,
                                      .message_seq = o->message_seq,
                                      .msg_key = o->key,
                                      .from_uid = o->uid,
                                      .channel_id = o->channel_id,
                                      .client_msg_no = o->client_msg_no,
                                      .topic = o->topic,
                                      .payload = o->payload };
        break;
    case WK_PACKET_RECVACK:
        p->u.recvack = (struct wk_recvack){ o->message_id, o->message_seq };
        break;
    case WK_PACKET_DISCONNECT:
        p->u.disconnect = (struct wk_disconnect){ o->reason, o->name };
        break;
    case WK_PACKET_SUB:
        p->u.sub = (struct wk_sub){ o->setting, o->channel_type, o->action,
                                    o->id,      o->channel_id,   o->name };
        break;
    case WK_PACKET_SUBACK:
        p->u.suback =
            (struct wk_suback){ o->channel_type, o->action, o->reason, o->id, o->channel_id };
        break;
    case WK_PACKET_EVENT:
        p->u.event = (struct wk_event){ o->timestamp, o->id, o->name, o->payload };
        break;
    default:
        break;
    }
}

wkim_ssize wkim_packet_decode(wkim_packet *out, const void *in, size_t n, uint8_t version,
                              wkim_error *err)
{
    struct wk_packet p;
    wkim_ssize used = wk_packet_decode(&p, wk_slice(in, n), version, WK_FRAME_BYTES_MAX, err);

    if (used > 0)
        to_public(out, &p);
    return used;
}

wkim_ssize wkim_packet_encode(const wkim_packet *o, uint8_t version, void *out, size_t cap)
{
    struct wk_packet p;
    struct wk_buf b = { out, 0, cap, false };

    from_public(&p, o);
    wkim_ssize n = wk_packet_size(&p, version);
    if (n < 0 || (size_t)n > cap)
        return n;
    int rc = wk_packet_encode(&b, &p, version); /* fits: the caller's memory is never grown */
    return rc == WKIM_OK ? n : rc;
}

struct wkim_cipher {
    struct wk_keypair pair;
    struct wk_cipher key;
    struct wk_crypto *crypto;
    struct wk_buf out;
};

int wkim_cipher_new(wkim_cipher **out, char client_key[45])
{
    struct wkim_cipher *c = wk_calloc(1, sizeof(*c));
    int rc = c ? wk_keypair_new(&c->pair) : WKIM_ENOMEM;

    if (rc == WKIM_OK)
        rc = wk_crypto_new(&c->crypto);
    if (rc != WKIM_OK) {
        wk_free(c);
        return rc;
    }
    wk_base64_encode(client_key, c->pair.pub, sizeof(c->pair.pub));
    client_key[44] = 0;
    *out = c;
    return WKIM_OK;
}

void wkim_cipher_free(wkim_cipher *c)
{
    if (!c)
        return;
    wk_crypto_free(c->crypto);
    wk_buf_fini(&c->out);
    explicit_bzero(c, sizeof(*c));
    wk_free(c);
}

int wkim_cipher_derive(wkim_cipher *c, wkim_slice server_key, wkim_slice salt)
{
    if (!c || salt.n < 16)
        return WKIM_EINVAL;
    return wk_cipher_derive(&c->key, &c->pair, server_key, (const char *)salt.p);
}

int wkim_cipher_seal(wkim_cipher *c, wkim_slice plain, wkim_slice *out)
{
    wk_buf_clear(&c->out);
    int rc = wk_seal(c->crypto, &c->key, plain, &c->out);
    *out = wk_buf_slice(&c->out);
    return rc;
}

int wkim_cipher_open(wkim_cipher *c, wkim_slice sealed, wkim_slice *out)
{
    wk_buf_clear(&c->out);
    int rc = wk_open(c->crypto, &c->key, sealed, &c->out);
    *out = wk_buf_slice(&c->out);
    return rc;
}

int wkim_cipher_sign(wkim_cipher *c, const wkim_packet *p, char out[32])
{
    char a[24], b[24], t[24], type[8];

    snprintf(type, sizeof(type), "%u", p->channel_type);
    if (p->type == WKIM_PACKET_SEND) {
        snprintf(a, sizeof(a), "%u", p->client_seq);
        const wkim_slice parts[] = { wk_str(a), p->client_msg_no, p->channel_id, wk_str(type),
                                     p->payload };
        return wk_msg_key(c->crypto, &c->key, parts, 5, out);
    }
    if (p->type != WKIM_PACKET_RECV)
        return WKIM_EINVAL;
    snprintf(a, sizeof(a), "%lld", (long long)p->message_id);
    snprintf(b, sizeof(b), "%llu", (unsigned long long)p->message_seq);
    snprintf(t, sizeof(t), "%lld", (long long)p->timestamp);
    const wkim_slice parts[] = { wk_str(a), wk_str(b), p->client_msg_no, wk_str(t), p->uid,
                                 p->channel_id, wk_str(type), p->payload };
    return wk_msg_key(c->crypto, &c->key, parts, 8, out);
}

bool wk_node_recv_fits(const struct wkim_node *n, const struct wk_record *r, wkim_slice channel)
{
    const bool sealed = n->set.encrypt;
    const size_t payload_n = sealed ? WK_SEALED_LEN(r->payload.n) : r->payload.n;

    return wk_record_fits(r, channel, payload_n, sealed, n->set.version_max);
}
