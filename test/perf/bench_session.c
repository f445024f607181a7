/* Cost of one message through a session, one thread: SEND in with SENDACK out, and RECV out, sealed
 * and plain.  usage: bench_session [payload bytes] [messages]. */
#include "session/session.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "base/mem.h"
#include "proto/codec.h"

enum { PER_FEED = 8 };

static size_t allocations;

static void *count_malloc(size_t n, void *user)
{
    (void)user;
    allocations++;
    return malloc(n);
}
static void *count_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    allocations++;
    return calloc(count, n);
}
static void *count_realloc(void *p, size_t n, void *user)
{
    (void)user;
    allocations++;
    return realloc(p, n);
}
static void count_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static struct wk_session *session;
static size_t received, plain_bytes;

static void on_connect(void *user, const struct wk_connect *c, bool json)
{
    (void)user;
    (void)c;
    (void)json;
    (void)wk_session_accept(session, 1700000000000);
}

static void on_send(void *user, const struct wk_send *m, uint8_t flags, wkim_slice plain,
                    uint64_t ack)
{
    (void)user;
    (void)m;
    (void)flags;
    received++;
    plain_bytes += plain.n;
    (void)wk_session_sendack(session, ack, (int64_t)received, received, 1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    fprintf(stderr, "bench_session: %s\n", what);
    exit(1);
}

/* Log in; *keys are those of the client side. */
static void login(struct wk_cipher *keys, bool encrypt)
{
    struct wk_keypair pair;
    struct wk_packet p = { .type = WK_PACKET_CONNECT, .u.connect = { .version = 5 } };
    struct wk_buf out = WK_BUF_INIT;
    char key[WK_BASE64_LEN(32)], salt[16];
    if (wk_keypair_new(&pair))
        die("no key pair");
    wk_base64_encode(key, pair.pub, 32);
    p.u.connect.client_key = wk_slice(key, sizeof(key));
    p.u.connect.uid = WK_LIT("alice");
    if (wk_packet_encode(&out, &p, 5) || wk_session_feed(session, wk_buf_slice(&out), 0, 0))
        die("login");
    const wkim_slice answer = wk_session_out(session);
    if (wk_packet_decode(&p, answer, 5, answer.n, NULL) <= 0)
        die("no CONNACK");
    if (encrypt) {
        memcpy(salt, p.u.connack.salt.p, 16);
        if (wk_cipher_derive(keys, &pair, p.u.connack.server_key, salt))
            die("no keys");
    }
    wk_session_out_consume(session, answer.n);
    wk_buf_fini(&out);
}

static void put_send(struct wk_buf *out, struct wk_crypto *crypto, const struct wk_cipher *keys,
                     wkim_slice plain, bool encrypt)
{
    struct wk_buf sealed = WK_BUF_INIT;
    char key[32];
    struct wk_packet p = { .type = WK_PACKET_SEND,
                           .u.send = { .client_seq = 1,
                                       .client_msg_no = WK_LIT("0123456789abcdef0123456789abcdef1"),
                                       .channel_id = WK_LIT("group-1234"),
                                       .channel_type = 2,
                                       .payload = plain } };
    if (encrypt) {
        if (wk_seal(crypto, keys, plain, &sealed))
            die("seal");
        p.u.send.payload = wk_buf_slice(&sealed);
        const wkim_slice parts[] = { WK_LIT("1"), p.u.send.client_msg_no, p.u.send.channel_id,
                                     WK_LIT("2"), p.u.send.payload };
        if (wk_msg_key(crypto, keys, parts, 5, key))
            die("sign");
        p.u.send.msg_key = wk_slice(key, 32);
    }
    if (wk_packet_encode(out, &p, 5))
        die("encode");
    wk_buf_fini(&sealed);
}

static void report(const char *what, bool encrypt, size_t n, double start, size_t before)
{
    printf("%-22s %-7s %7.0f ns  %5.3f allocations\n", what, encrypt ? "sealed" : "plain",
           (seconds() - start) / (double)n * 1e9, (double)(allocations - before) / (double)n);
}

static void bench_send(const struct wk_buf *in, size_t per_feed, size_t messages, bool encrypt)
{
    char what[40];
    snprintf(what, sizeof(what), "SEND+SENDACK, %zu a read", per_feed);
    received = 0;
    const size_t before = allocations;
    const double start = seconds();
    for (size_t i = 0; i < messages / per_feed; i++) {
        const wkim_slice part = wk_slice(in->p, in->n / PER_FEED * per_feed);
        if (wk_session_feed(session, part, 0, 0))
            die("feed");
        wk_session_out_consume(session, wk_session_out(session).n);
    }
    report(what, encrypt, received, start, before);
}

static void bench_recv(wkim_slice plain, size_t per_write, size_t messages, bool encrypt)
{
    char what[40];
    snprintf(what, sizeof(what), "RECV, %zu a write", per_write);
    const struct wk_record r = { .channel_type = 2,
                                 .message_id = 1234567890123456789,
                                 .message_seq = 1234567,
                                 .timestamp_ms = 1700000000000,
                                 .client_msg_no = WK_LIT("0123456789abcdef0123456789abcdef1"),
                                 .payload = plain };
    const size_t before = allocations;
    const double start = seconds();
    for (size_t i = 0; i < messages; i++) {
        if (wk_session_recv(session, &r, WK_LIT("user-1234"), WK_LIT("group-1234"), 0))
            die("recv");
        if (i % per_write == per_write - 1)
            wk_session_out_consume(session, wk_session_out(session).n);
    }
    wk_session_out_consume(session, wk_session_out(session).n);
    report(what, encrypt, messages, start, before);
}

int main(int argc, char **argv)
{
    static const wkim_mem counting = { count_malloc, count_calloc, count_realloc, count_free,
                                       NULL };
    const size_t payload_n = argc > 1 ? strtoul(argv[1], NULL, 10) : 256;
    const size_t messages = argc > 2 ? strtoul(argv[2], NULL, 10) : 400000;
    wkim_mem_set(&counting);
    struct wk_crypto *crypto;
    uint8_t *payload = wk_calloc(1, payload_n + 1);
    if (!payload || wk_crypto_new(&crypto))
        die("out of memory");
    for (int encrypt = 0; encrypt <= 1; encrypt++) {
        const struct wk_session_options opt = { .encrypt = encrypt,
                                                .version_max = 5,
                                                .crypto = crypto };
        const struct wk_session_events events = { .on_connect = on_connect, .on_send = on_send };
        if (wk_session_new(&session, &opt, &events, NULL))
            die("out of memory");
        struct wk_cipher keys;
        struct wk_buf in = WK_BUF_INIT;
        login(&keys, encrypt);
        for (size_t i = 0; i < PER_FEED; i++)
            put_send(&in, crypto, &keys, wk_slice(payload, payload_n), encrypt);
        bench_send(&in, 1, messages, encrypt);
        bench_send(&in, PER_FEED, messages, encrypt);
        bench_recv(wk_slice(payload, payload_n), 1, messages, encrypt);
        bench_recv(wk_slice(payload, payload_n), 16, messages, encrypt);
        if (plain_bytes % (payload_n ? payload_n : 1) != 0)
            die("payload lost");
        printf("%-22s %-7s %7zu bytes\n", "session at rest", encrypt ? "sealed" : "plain",
               wk_session_memory(session));
        wk_buf_fini(&in);
        wk_session_free(session);
    }
    wk_crypto_free(crypto);
    wk_free(payload);
    return 0;
}
