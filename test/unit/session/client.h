/* A session with a client on the other side, for tests: events become lines of a trace. */
#ifndef TEST_SESSION_CLIENT_H
#define TEST_SESSION_CLIENT_H
#include <inttypes.h>
#include "../proto/packets.h"
#include "crypto/crypto.h"
#include "session/session.h"

#define NONE wk_slice(NULL, 0)

enum client_verdict { VERDICT_LATER, VERDICT_ACCEPT, VERDICT_REFUSE, VERDICT_CLOSE };

struct client {
    struct wk_session *s;
    struct wk_crypto *crypto;
    struct wk_session_options opt;
    struct wk_keypair pair;
    struct wk_cipher cipher; /* valid after client_keys */
    uint8_t version;
    /* what the server side does in its callbacks */
    enum client_verdict verdict;
    bool ack_at_once, pause_after_send, disconnect_on_send;
    int64_t next_message_id;
    /* what was seen */
    struct wk_buf trace;
    uint64_t acks[2048];
    size_t n_acks, sends, pings, closes;
    int close_code;
    char close_text[256];
    wkim_slice made_no; /* clientMsgNo of the last SEND, copied */
    uint8_t made_no_bytes[64];
};

TEST_FN void trace_slice(struct client *c, const char *name, wkim_slice s)
{
    wk_buf_printf(&c->trace, " %s=", name);
    for (size_t i = 0; i < s.n && i < 40; i++)
        wk_buf_printf(&c->trace, "%02x", s.p[i]);
    wk_buf_printf(&c->trace, "/%zu", s.n);
}

TEST_FN void client_on_connect(void *user, const struct wk_connect *p, bool json)
{
    struct client *c = user;
    wk_buf_printf(&c->trace, "connect json=%d v=%u flag=%u time=%" PRId64, json, p->version,
                  p->device_flag, p->client_timestamp);
    trace_slice(c, "uid", p->uid);
    trace_slice(c, "token", p->token);
    trace_slice(c, "device", p->device_id);
    wk_buf_printf(&c->trace, "\n");
    if (c->verdict == VERDICT_ACCEPT)
        (void)wk_session_accept(c->s, 1700000000000);
    else if (c->verdict == VERDICT_REFUSE)
        wk_session_refuse(c->s, WKIM_REASON_AUTH_FAIL);
    else if (c->verdict == VERDICT_CLOSE)
        wk_session_close(c->s);
}

TEST_FN void client_on_send(void *user, const struct wk_send *p, uint8_t flags, wkim_slice plain,
                            uint64_t ack)
{
    struct client *c = user;
    c->sends++;
    wk_buf_printf(&c->trace, "send seq=%u flags=%u type=%u setting=%u expire=%u", p->client_seq,
                  flags, p->channel_type, p->setting, p->expire);
    trace_slice(c, "channel", p->channel_id);
    trace_slice(c, "topic", p->topic);
    trace_slice(c, "stream", p->stream_no);
    trace_slice(c, "plain", plain);
    wk_buf_printf(&c->trace, "\n");
    c->made_no = wk_slice(c->made_no_bytes, p->client_msg_no.n < 64 ? p->client_msg_no.n : 64);
    if (c->made_no.n)
        memcpy(c->made_no_bytes, p->client_msg_no.p, c->made_no.n);
    assert_true(c->n_acks < 2048);
    c->acks[c->n_acks++] = ack;
    if (c->pause_after_send)
        wk_session_pause(c->s, true);
    if (c->disconnect_on_send)
        wk_session_disconnect(c->s, WKIM_REASON_KICK, WK_LIT("login in other device"));
    if (c->ack_at_once) {
        c->n_acks--;
        (void)wk_session_sendack(c->s, ack, ++c->next_message_id, 7, 1);
    }
}

TEST_FN void client_on_send_refused(void *user, const struct wk_send *p, uint64_t ack)
{
    struct client *c = user;
    wk_buf_printf(&c->trace, "refused seq=%u reason=%u\n", p->client_seq,
                  WKIM_REASON_PAYLOAD_DECODE);
    (void)wk_session_sendack(c->s, ack, ++c->next_message_id, 0, WKIM_REASON_PAYLOAD_DECODE);
}

TEST_FN void client_on_recvack(void *user, const struct wk_recvack *p, uint8_t flags)
{
    struct client *c = user;
    wk_buf_printf(&c->trace, "recvack id=%" PRId64 " seq=%" PRIu64 " flags=%u\n", p->message_id,
                  p->message_seq, flags);
}

TEST_FN void client_on_ping(void *user)
{
    struct client *c = user;
    c->pings++;
    wk_buf_printf(&c->trace, "ping\n");
}

TEST_FN void client_on_close(void *user, int code, const char *text)
{
    struct client *c = user;
    c->closes++;
    c->close_code = code;
    snprintf(c->close_text, sizeof(c->close_text), "%s", text);
    wk_buf_printf(&c->trace, "close %d %s\n", code, text);
}

static const struct wk_session_events client_events = { client_on_connect,      client_on_send,
                                                        client_on_send_refused, client_on_recvack,
                                                        client_on_ping,         client_on_close };

/* `encrypt` and the highest version are the usual knobs; the rest has the server's defaults. */
TEST_FN void client_init(struct client *c, bool encrypt, uint8_t version)
{
    memset(c, 0, sizeof(*c));
    c->version = version;
    c->verdict = VERDICT_ACCEPT;
    c->ack_at_once = true;
    assert_int_equal(wk_crypto_new(&c->crypto), WKIM_OK);
    assert_int_equal(wk_keypair_new(&c->pair), WKIM_OK);
    c->opt = (struct wk_session_options){ .encrypt = encrypt,
                                          .allow_json = true,
                                          .version_max = version > 5 ? 6 : 5,
                                          .event_to_old = true,
                                          .node_id = 1001,
                                          .crypto = c->crypto };
    assert_int_equal(wk_session_new(&c->s, &c->opt, &client_events, c), WKIM_OK);
}

TEST_FN void client_fini(struct client *c)
{
    wk_session_free(c->s);
    wk_crypto_free(c->crypto);
    wk_buf_fini(&c->trace);
}

TEST_FN int feed(struct client *c, wkim_slice in)
{
    /* A copy of its own size: slices may not outlive the call, nor be read beyond the end. */
    uint8_t *p = wk_memdup(in.p, in.n);
    const int rc = wk_session_feed(c->s, wk_slice(p, in.n), 0, 0);
    memset(p, 0xee, in.n);
    wk_free(p);
    return rc;
}

TEST_FN int feed_text(struct client *c, const char *text)
{
    return feed(c, wk_str(text));
}

TEST_FN void put_packet(struct wk_buf *out, const struct wk_packet *p, uint8_t version)
{
    assert_int_equal(wk_packet_encode(out, p, version), WKIM_OK);
}

TEST_FN int feed_packet(struct client *c, const struct wk_packet *p)
{
    struct wk_buf out = WK_BUF_INIT;
    put_packet(&out, p, c->version);
    const int rc = feed(c, wk_buf_slice(&out));
    wk_buf_fini(&out);
    return rc;
}

TEST_FN void put_connect(struct client *c, struct wk_buf *out)
{
    char key[WK_BASE64_LEN(32)];
    wk_base64_encode(key, c->pair.pub, 32);
    const struct wk_packet p = { .type = WK_PACKET_CONNECT,
                                 .u.connect = { .version = c->version,
                                                .device_flag = 1,
                                                .client_timestamp = 1699999999000,
                                                .device_id = WK_LIT("dev"),
                                                .uid = WK_LIT("alice"),
                                                .token = WK_LIT("tok"),
                                                .client_key = { (const uint8_t *)key,
                                                                sizeof(key) } } };
    put_packet(out, &p, c->version);
}

/* SEND with its payload sealed and signed when there are keys. */
TEST_FN void put_send(struct client *c, struct wk_buf *out, uint32_t seq, const char *text,
                      uint8_t flags)
{
    struct wk_buf sealed = WK_BUF_INIT;
    char key[32], seq_text[12];
    struct wk_packet p = { .type = WK_PACKET_SEND,
                           .flags = flags,
                           .u.send = { .client_seq = seq,
                                       .client_msg_no = WK_LIT("no-1"),
                                       .channel_id = WK_LIT("bob"),
                                       .channel_type = 1,
                                       .payload = wk_str(text) } };
    if (c->opt.encrypt) {
        assert_int_equal(wk_seal(c->crypto, &c->cipher, wk_str(text), &sealed), WKIM_OK);
        p.u.send.payload = wk_buf_slice(&sealed);
        snprintf(seq_text, sizeof(seq_text), "%u", seq);
        const wkim_slice parts[] = { wk_str(seq_text), p.u.send.client_msg_no, p.u.send.channel_id,
                                     WK_LIT("1"), p.u.send.payload };
        assert_int_equal(wk_msg_key(c->crypto, &c->cipher, parts, 5, key), WKIM_OK);
        p.u.send.msg_key = wk_slice(key, 32);
    }
    put_packet(out, &p, c->version);
    wk_buf_fini(&sealed);
}

TEST_FN int feed_send(struct client *c, uint32_t seq, const char *text, uint8_t flags)
{
    struct wk_buf out = WK_BUF_INIT;
    put_send(c, &out, seq, text, flags);
    const int rc = feed(c, wk_buf_slice(&out));
    wk_buf_fini(&out);
    return rc;
}

/* The next queued frame, whole and decoded; false when there is none. */
TEST_FN bool next_packet(struct client *c, struct wk_packet *p)
{
    wkim_slice frame;
    if (!wk_session_next_frame(c->s, &frame))
        return false;
    assert_int_equal(wk_packet_decode(p, frame, wk_session_version(c->s), WK_FRAME_BYTES_MAX, NULL),
                     frame.n);
    return true;
}

TEST_FN struct wk_packet expect_packet(struct client *c, uint8_t type)
{
    struct wk_packet p;
    if (!next_packet(c, &p))
        fail_msg("no %s queued", wk_packet_type_name(type));
    assert_string_equal(wk_packet_type_name(p.type), wk_packet_type_name(type));
    return p;
}

TEST_FN void expect_nothing(struct client *c)
{
    wkim_slice frame;
    assert_int_equal(wk_session_next_frame(c->s, &frame), 0);
}

TEST_FN void expect_text(struct client *c, const char *text)
{
    wkim_slice frame;
    if (!wk_session_next_frame(c->s, &frame))
        fail_msg("nothing queued instead of %s", text);
    if (!wk_slice_eq(frame, wk_str(text)))
        fail_msg("%.*s instead of %s", (int)frame.n, (const char *)frame.p, text);
}

TEST_FN void client_keys(struct client *c, const struct wk_packet *connack)
{
    char salt[16];
    assert_int_equal(connack->u.connack.salt.n, 16);
    memcpy(salt, connack->u.connack.salt.p, 16);
    assert_int_equal(wk_cipher_derive(&c->cipher, &c->pair, connack->u.connack.server_key, salt),
                     WKIM_OK);
}

TEST_FN struct wk_packet login(struct client *c)
{
    struct wk_buf out = WK_BUF_INIT;
    put_connect(c, &out);
    assert_int_equal(feed(c, wk_buf_slice(&out)), WKIM_OK);
    wk_buf_fini(&out);
    assert_int_equal(wk_session_state(c->s), WK_SESSION_OPEN);
    const struct wk_packet p = expect_packet(c, WK_PACKET_CONNACK);
    assert_int_equal(p.u.connack.reason, 1);
    if (c->opt.encrypt)
        client_keys(c, &p);
    struct wk_packet copy = p;
    copy.u.connack.server_key.p = NULL;
    copy.u.connack.salt.p = NULL;
    expect_nothing(c);
    return copy;
}

TEST_FN void json_login(struct client *c)
{
    assert_int_equal(
        feed_text(c, "{\"method\":\"connect\",\"id\":\"c\",\"params\":{\"uid\":\"u\"}}"), WKIM_OK);
    assert_int_equal(wk_session_state(c->s), WK_SESSION_OPEN);
    wkim_slice frame;
    assert_int_equal(wk_session_next_frame(c->s, &frame), 1);
    expect_nothing(c);
}

TEST_FN void assert_trace(struct client *c, const char *want)
{
    wk_buf_u8(&c->trace, 0);
    if (strcmp((const char *)c->trace.p, want) != 0)
        fail_msg("trace:\n%sinstead of:\n%s", (const char *)c->trace.p, want);
    wk_buf_clear(&c->trace);
}

/* Plain text of a RECV as the client sees it; msgKey is checked. */
TEST_FN void open_recv(struct client *c, const struct wk_packet *p, struct wk_buf *plain)
{
    const struct wk_recv *r = &p->u.recv;
    char ids[48], seconds[12], type[4], key[32];
    snprintf(ids, sizeof(ids), "%" PRId64 "%" PRIu64, r->message_id, r->message_seq);
    snprintf(seconds, sizeof(seconds), "%d", r->timestamp);
    snprintf(type, sizeof(type), "%u", r->channel_type);
    const wkim_slice parts[] = { wk_str(ids),   r->client_msg_no, wk_str(seconds), r->from_uid,
                                 r->channel_id, wk_str(type),     r->payload };
    assert_int_equal(wk_msg_key(c->crypto, &c->cipher, parts, 7, key), WKIM_OK);
    assert_true(wk_slice_eq(r->msg_key, wk_slice(key, 32)));
    assert_int_equal(wk_open(c->crypto, &c->cipher, r->payload, plain), WKIM_OK);
}
#endif
