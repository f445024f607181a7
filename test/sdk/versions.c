/* Every protocol version to every other, over the public codec: versions HOST PORT plain|sealed
 * MAX. Each version logs in, then each sends to each; prints "ok NAME" or "not ok NAME: why". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <wkim/codec.h>
#include <wkim/types.h>

#define VERSIONS 7 /* 0 to 6 */
#define WAIT_MS 60000

struct client {
    int fd;
    uint8_t version; /* offered; what is spoken afterwards */
    char uid[32];
    wkim_cipher *cipher; /* NULL: nothing is sealed */
    uint8_t in[262144];
    size_t used, have; /* bytes of the packet looked at; bytes read */
    uint32_t seq;
};

static struct sockaddr_in address;
static bool sealed;
static unsigned version_max;
static int failures;
static char why[256];

static wkim_slice text(const char *s)
{
    return (wkim_slice){ (const uint8_t *)s, strlen(s) };
}

static bool same(wkim_slice s, const char *want)
{
    return s.n == strlen(want) && (s.n == 0 || memcmp(s.p, want, s.n) == 0);
}

__attribute__((format(printf, 1, 2))) static bool fail(const char *form, ...)
{
    va_list args;
    va_start(args, form);
    vsnprintf(why, sizeof(why), form, args);
    va_end(args);
    return false;
}

__attribute__((format(printf, 2, 3))) static void report(bool ok, const char *form, ...)
{
    va_list args;
    printf(ok ? "ok " : "not ok ");
    va_start(args, form);
    vprintf(form, args);
    va_end(args);
    printf(ok ? "\n" : ": %s\n", why);
    failures += !ok;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The next packet, of the type wanted; borrowed until the next call. */
static bool take(struct client *c, uint8_t type, wkim_packet *p)
{
    const int64_t end = now_ms() + WAIT_MS;

    memmove(c->in, c->in + c->used, c->have - c->used);
    c->have -= c->used;
    c->used = 0;
    for (;;) {
        wkim_error err;
        const wkim_ssize n = wkim_packet_decode(p, c->in, c->have, c->version, &err);
        if (n < 0)
            return fail("%s cannot decode: %s", c->uid, wkim_strerror((int)n));
        if (n > 0) {
            c->used = (size_t)n;
            return p->type == type || fail("%s got packet type %u (reason %u), not %u", c->uid,
                                           p->type, p->reason, type);
        }
        struct pollfd f = { .fd = c->fd, .events = POLLIN };
        const int64_t left = end - now_ms();
        if (left <= 0 || poll(&f, 1, (int)left) != 1)
            return fail("%s got no packet of type %u", c->uid, type);
        const ssize_t got = read(c->fd, c->in + c->have, sizeof(c->in) - c->have);
        if (got <= 0)
            return fail("%s was closed while it waited for type %u", c->uid, type);
        c->have += (size_t)got;
    }
}

static bool put(struct client *c, const wkim_packet *p)
{
    uint8_t out[4096];
    const wkim_ssize n = wkim_packet_encode(p, c->version, out, sizeof(out));
    if (n <= 0 || (size_t)n > sizeof(out))
        return fail("%s cannot encode type %u", c->uid, p->type);
    return write(c->fd, out, (size_t)n) == n || fail("%s: write: %s", c->uid, strerror(errno));
}

/* The version that has to be spoken with one that offers `offered`. */
static uint8_t spoken(uint8_t offered)
{
    return offered > version_max ? (uint8_t)version_max : offered;
}

static bool login(struct client *c, uint8_t version)
{
    const int on = 1;
    char key[45] = "";
    wkim_packet p;

    *c = (struct client){ .version = version };
    snprintf(c->uid, sizeof(c->uid), "%s-v%u", sealed ? "sealed" : "plain", version);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) ||
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
        return fail("connect: %s", strerror(errno));
    if (sealed && wkim_cipher_new(&c->cipher, key) != WKIM_OK)
        return fail("no key pair");
    const wkim_packet hello = { .type = WKIM_PACKET_CONNECT, .version = version,
                                .timestamp = (int64_t)time(NULL) * 1000, .uid = text(c->uid),
                                .device_id = text(c->uid), .key = text(key) };
    if (!put(c, &hello) || !take(c, WKIM_PACKET_CONNACK, &p))
        return false;
    if (p.reason != WKIM_REASON_SUCCESS)
        return fail("CONNACK says %u", p.reason);
    if (llabs(p.timestamp) > 60000)
        return fail("time difference of %lld ms", (long long)p.timestamp);
    if ((p.flags & 1) != (version > 3) || (version > 3 && p.version != spoken(version)))
        return fail("CONNACK has flags %x and version %u", p.flags, p.version);
    if (p.node_id != (version > 3 ? 1001 : 0))
        return fail("CONNACK has node id %llu", (unsigned long long)p.node_id);
    if (sealed ? p.key.n != 44 || p.salt.n != 16 : p.key.n || p.salt.n)
        return fail("CONNACK has a key of %zu and a salt of %zu bytes", p.key.n, p.salt.n);
    if (sealed && wkim_cipher_derive(c->cipher, p.key, p.salt) != WKIM_OK)
        return fail("the server's key is not usable");
    c->version = spoken(version);
    return true;
}

/* SEND; number is client_msg_no and text of the message. */
static bool say(struct client *from, const struct client *to, const char *number, uint8_t setting)
{
    char key[32];
    wkim_packet p = { .type = WKIM_PACKET_SEND,
                      .flags = WKIM_FLAG_RED_DOT,
                      .setting = setting,
                      .channel_type = WKIM_CHANNEL_PERSON,
                      .client_seq = ++from->seq,
                      .expire_s = 3600,
                      .client_msg_no = text(number),
                      .channel_id = text(to->uid),
                      .payload = text(number) };
    if (setting & WKIM_SETTING_TOPIC)
        p.topic = text("topic");
    if (sealed) {
        if (wkim_cipher_seal(from->cipher, text(number), &p.payload) != WKIM_OK ||
            wkim_cipher_sign(from->cipher, &p, key) != WKIM_OK)
            return fail("cannot seal");
        p.key = (wkim_slice){ (const uint8_t *)key, sizeof(key) };
    }
    return put(from, &p);
}

static bool check_recv(struct client *to, const struct client *from, wkim_packet *p,
                       const char *number, uint8_t setting)
{
    char key[32];
    wkim_slice plain = p->payload;

    if (p->setting != setting)
        return fail("setting %02x became %02x", setting, p->setting);
    if (!same(p->uid, from->uid) || !same(p->channel_id, from->uid) ||
        p->channel_type != WKIM_CHANNEL_PERSON)
        return fail("sender or channel is wrong");
    if (!same(p->client_msg_no, number) ||
        !same(p->topic, setting & WKIM_SETTING_TOPIC ? "topic" : ""))
        return fail("client_msg_no or topic is wrong");
    if (p->flags != WKIM_FLAG_RED_DOT || llabs(p->timestamp - (int64_t)time(NULL)) > 60)
        return fail("flags %x, time %lld", p->flags, (long long)p->timestamp);
    if (p->expire_s != (to->version >= 3 && from->version >= 3 ? 3600 : 0))
        return fail("expire is %u", p->expire_s);
    if (sealed) {
        if (p->key.n != 32 || wkim_cipher_sign(to->cipher, p, key) != WKIM_OK ||
            memcmp(key, p->key.p, 32))
            return fail("msgKey is wrong");
        if (wkim_cipher_open(to->cipher, p->payload, &plain) != WKIM_OK)
            return fail("payload cannot be opened");
    } else if (p->key.n) {
        return fail("msgKey without encryption");
    }
    return same(plain, number) || fail("payload of %zu bytes is another", plain.n);
}

static bool exchange(struct client *from, struct client *to, uint8_t setting)
{
    char number[64];
    wkim_packet ack, p;

    snprintf(number, sizeof(number), "%s-%u-to-%u-%02x", sealed ? "sealed" : "plain", from->version,
             to->version, setting);
    if (!say(from, to, number, setting) || !take(from, WKIM_PACKET_SENDACK, &ack))
        return false;
    const wkim_packet a = ack;
    if (a.reason != WKIM_REASON_SUCCESS || a.client_seq != from->seq ||
        a.flags != WKIM_FLAG_RED_DOT || a.message_seq == 0 || a.message_id <= 0)
        return fail("SENDACK reason %u, client_seq %u, flags %x", a.reason, a.client_seq, a.flags);
    if (!same(a.client_msg_no, from->version == 6 ? number : ""))
        return fail("SENDACK of version %u has a wrong client_msg_no", from->version);
    if (!take(to, WKIM_PACKET_RECV, &p) || !check_recv(to, from, &p, number, setting))
        return false;
    if (p.message_id != a.message_id || p.message_seq != a.message_seq)
        return fail("RECV has id %lld seq %llu, SENDACK %lld %llu", (long long)p.message_id,
                    (unsigned long long)p.message_seq, (long long)a.message_id,
                    (unsigned long long)a.message_seq);
    const wkim_packet recvack = { .type = WKIM_PACKET_RECVACK,
                                  .flags = p.flags,
                                  .message_id = p.message_id,
                                  .message_seq = p.message_seq };
    return put(to, &recvack);
}

static bool ping(struct client *c)
{
    const wkim_packet p = { .type = WKIM_PACKET_PING };
    wkim_packet answer;
    return put(c, &p) && take(c, WKIM_PACKET_PONG, &answer);
}

int main(int argc, char **argv)
{
    static struct client clients[VERSIONS];
    static const uint8_t settings[] = { 0, WKIM_SETTING_TOPIC, WKIM_SETTING_STREAM,
                                        WKIM_SETTING_STREAM | WKIM_SETTING_TOPIC, 0xe0 };

    if (argc != 5)
        return 64;
    address =
        (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2])) };
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    sealed = strcmp(argv[3], "sealed") == 0;
    version_max = (unsigned)atoi(argv[4]);
    for (uint8_t v = 0; v < VERSIONS; v++) {
        const bool ok = login(&clients[v], v);
        report(ok, "version %u logs in, %u at most, %s", v, version_max, argv[3]);
        if (!ok)
            return 1;
    }
    for (uint8_t v = 0; v < VERSIONS; v++) {
        bool ok = true;
        for (uint8_t to = 0; ok && to < VERSIONS; to++) {
            for (size_t i = 0; ok && to != v && i < sizeof(settings); i++)
                ok = exchange(&clients[v], &clients[to], settings[i]);
        }
        ok = ok && ping(&clients[v]);
        report(ok, "version %u writes to all others, with every setting, %s", v, argv[3]);
    }
    for (uint8_t v = 0; v < VERSIONS; v++) {
        close(clients[v].fd);
        wkim_cipher_free(clients[v].cipher);
    }
    return failures ? 1 : 0;
}
