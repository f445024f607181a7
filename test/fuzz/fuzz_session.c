/* Any bytes as the input of a session.  The first byte chooses encryption, version, a logged-in
 * start and when SENDs are answered; the second the size of the pieces.  Output is always whole
 * frames. */
#include "base/error.h"
#include "base/limits.h"
#include "proto/codec.h"
#include "proto/jsonrpc.h"
#include "session/session.h"

struct user {
    struct wk_session *s;
    uint64_t acks[WK_CONN_INFLIGHT_SENDS_MAX];
    size_t n_acks, closes;
    bool later, pause;
};

static void on_connect(void *u, const struct wk_connect *c, bool json)
{
    const struct user *x = u;
    (void)json;
    if (c->device_flag == 3)
        wk_session_refuse(x->s, 2);
    else if (c->device_flag != 4)
        (void)wk_session_accept(x->s, 1700000000000);
}

static void on_send(void *u, const struct wk_send *m, uint8_t flags, wkim_slice plain, uint64_t ack)
{
    struct user *x = u;
    const struct wk_record r = { .flags = flags,
                                 .setting = m->setting,
                                 .channel_type = m->channel_type,
                                 .client_msg_no = m->client_msg_no,
                                 .topic = m->topic,
                                 .stream_no = m->stream_no,
                                 .payload = plain };
    (void)wk_session_recv(x->s, &r, m->channel_id, m->channel_id, flags);
    if (!x->later) {
        WK_ASSERT(wk_session_sendack(x->s, ack, 1, 1, 1) != WKIM_EINVAL);
        return;
    }
    WK_ASSERT(x->n_acks < WK_CONN_INFLIGHT_SENDS_MAX);
    x->acks[x->n_acks++] = ack;
    if (x->pause && x->n_acks % 5 == 0)
        wk_session_pause(x->s, true);
}

static void on_send_refused(void *u, const struct wk_send *m, uint64_t ack)
{
    on_send(u, m, 0, wk_slice(NULL, 0), ack);
}

static void on_close(void *u, int code, const char *text)
{
    WK_ASSERT(code <= 0 && text);
    WK_ASSERT(((struct user *)u)->closes++ == 0);
}

static void drain(struct user *u)
{
    wkim_slice frame;
    while (wk_session_next_frame(u->s, &frame))
        WK_ASSERT(frame.n > 0 && (wk_session_is_json(u->s) ? wk_json_extent(frame)
                                                           : wk_frame_extent(frame)) == frame.n);
}

static void answer_all(struct user *u)
{
    while (u->n_acks)
        WK_ASSERT(wk_session_sendack(u->s, u->acks[--u->n_acks], 2, 1ULL << 33, 1) != WKIM_EINVAL);
}

static void play(struct user *u, wkim_slice in, size_t step)
{
    for (size_t at = 0; at < in.n;) {
        const size_t n = in.n - at < step ? in.n - at : step;
        const int rc = wk_session_feed(u->s, wk_slice(in.p + at, n), 0, 0);
        WK_ASSERT(rc == WKIM_OK || wk_session_state(u->s) == WK_SESSION_CLOSING);
        at += n;
        if (wk_session_blocked(u->s)) {
            wk_session_pause(u->s, false);
            answer_all(u);
            (void)wk_session_resume(u->s, 0, 0);
        }
        drain(u);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct wk_session_events events = { on_connect,      on_send, on_send_refused,
                                                     NULL,            NULL,    on_close };
    static struct wk_crypto *crypto;
    if (size < 2 || (!crypto && wk_crypto_new(&crypto)))
        return 0;
    struct user u = { .later = data[0] & 8, .pause = data[0] & 16 };
    const struct wk_session_options opt = { .encrypt = data[0] & 1,
                                            .allow_json = true,
                                            .version_max = data[0] & 2 ? 6 : 5,
                                            .event_to_old = true,
                                            .crypto = crypto };
    if (wk_session_new(&u.s, &opt, &events, &u))
        return 0;
    if (data[0] & 4) {
        /* A version from the input and the public key that is the base point. */
        struct wk_buf hello = WK_BUF_INIT;
        const struct wk_packet p = {
            .type = WK_PACKET_CONNECT,
            .u.connect = { .version = data[0] >> 5,
                           .client_key = WK_LIT("CQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") }
        };
        if (wk_packet_encode(&hello, &p, 5) == WKIM_OK)
            (void)wk_session_feed(u.s, wk_buf_slice(&hello), 0, 0);
        WK_ASSERT(wk_session_state(u.s) == WK_SESSION_OPEN);
        wk_buf_fini(&hello);
    }
    play(&u, wk_slice(data + 2, size - 2), 1u + data[1]);
    answer_all(&u);
    drain(&u);
    WK_ASSERT(wk_session_state(u.s) != WK_SESSION_OPEN ||
              wk_session_memory(u.s) <= 700 + 4096 + 4 * wk_session_pending_in(u.s) + 64);
    wk_session_free(u.s);
    return 0;
}
