/* From CONNECT to CONNACK. */
#include "session/state.h"
#include "base/error.h"

static void handshake_end(struct wk_session *s)
{
    wk_free(s->handshake);
    s->handshake = NULL;
}

int wk_session_connect(struct wk_session *s, const struct wk_connect *c, bool has_id,
                       wkim_slice id)
{
    const bool json = s->wire == WK_WIRE_JSON;
    const wkim_slice key = json || !s->encrypt ? wk_slice(NULL, 0) : c->client_key;
    struct wk_handshake *h = wk_malloc(sizeof(*h) + key.n + id.n);
    if (!h)
        return wk_session_die(s, WKIM_ENOMEM, "out of memory");
    *h = (struct wk_handshake){ .client_timestamp = c->client_timestamp,
                                .offered = c->version,
                                .has_id = has_id,
                                .key_n = key.n,
                                .id_n = id.n };
    if (key.n)
        memcpy(h->text, key.p, key.n);
    if (id.n)
        memcpy(h->text + key.n, id.p, id.n);
    s->handshake = h;
    s->version = wk_proto_negotiate(c->version, s->version_max);
    s->state = WK_SESSION_CONNECTING;
    s->ev.on_connect(s->user, c, json);
    return WKIM_OK;
}

static wkim_slice handshake_id(const struct wk_handshake *h)
{
    return wk_slice(h->text + h->key_n, h->id_n);
}

static bool has_keys(const struct wk_session *s)
{
    return s->encrypt && s->wire == WK_WIRE_BINARY;
}

static uint8_t derive(struct wk_session *s)
{
    struct wk_handshake *h = s->handshake;
    struct wk_keypair pair;
    char salt[16];
    if (wk_keypair_new(&pair))
        return WKIM_REASON_SYSTEM_ERROR;
    wk_salt_new(salt);
    const int rc = wk_cipher_derive(&s->cipher, &pair, wk_slice(h->text, h->key_n), salt);
    memcpy(h->server_pub, pair.pub, sizeof(h->server_pub));
    explicit_bzero(&pair, sizeof(pair));
    if (rc == WKIM_EINVAL)
        return WKIM_REASON_CLIENT_KEY_EMPTY;
    return rc ? WKIM_REASON_AUTH_FAIL : WKIM_REASON_SUCCESS;
}

static uint8_t keys_ready(struct wk_session *s)
{
    if (!has_keys(s))
        return WKIM_REASON_SUCCESS;
    if (!s->handshake->key_reason)
        s->handshake->key_reason = derive(s);
    return s->handshake->key_reason;
}

uint8_t wk_session_key_check(struct wk_session *s, const struct wk_connect *c)
{
    (void)c; /* The key was copied when the packet came. */
    return s->handshake ? keys_ready(s) : WKIM_REASON_SYSTEM_ERROR;
}

static struct wk_packet connack(const struct wk_session *s, uint8_t reason)
{
    return (struct wk_packet){ .type = WK_PACKET_CONNACK,
                               .u.connack = { .has_server_version = s->handshake->offered > 3,
                                              .server_version = s->version,
                                              .reason = reason,
                                              .node_id = s->node_id } };
}

int wk_session_accept(struct wk_session *s, uint64_t wall_ms)
{
    if (s->state != WK_SESSION_CONNECTING)
        return WKIM_ESTOPPED;
    const uint8_t reason = keys_ready(s);
    if (reason != WKIM_REASON_SUCCESS) {
        wk_session_refuse(s, reason);
        return WKIM_ECRYPTO;
    }
    struct wk_handshake *h = s->handshake;
    struct wk_packet p = connack(s, WKIM_REASON_SUCCESS);
    char key[WK_BASE64_LEN(32)];
    p.u.connack.time_diff = (int64_t)(wall_ms - (uint64_t)h->client_timestamp);
    if (has_keys(s)) {
        wk_base64_encode(key, h->server_pub, sizeof(h->server_pub));
        p.u.connack.server_key = wk_slice(key, sizeof(key));
        p.u.connack.salt = wk_slice(s->cipher.iv, sizeof(s->cipher.iv));
    }
    const int rc = wk_session_queue(s, &p, h->has_id, handshake_id(h));
    handshake_end(s);
    s->state = rc ? WK_SESSION_CLOSING : WK_SESSION_OPEN;
    return rc;
}

void wk_session_refuse(struct wk_session *s, uint8_t reason)
{
    if (s->state != WK_SESSION_CONNECTING)
        return;
    const struct wk_handshake *h = s->handshake;
    if (s->wire == WK_WIRE_JSON) {
        wk_session_out_make_room(s);
        (void)wk_json_error(&s->out, h->has_id, handshake_id(h), reason, wk_reason_name(reason));
    } else {
        const struct wk_packet p = connack(s, reason);
        (void)wk_session_queue(s, &p, false, wk_slice(NULL, 0));
    }
    handshake_end(s);
    s->state = WK_SESSION_CLOSING;
}
