/* A running node in a folder of its own, and clients that talk to it through wkim_session. */
#ifndef TEST_NODE_H
#define TEST_NODE_H
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>
#include <wkim/wkim.h>
#include "tmpdir.h"

#ifdef __SANITIZE_THREAD__
/* The RocksDB library is not instrumented: how it synchronises cannot be seen. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb.so\nrace:libzstd.so\nmutex:wk_rocks_options_init\n";
}
#endif

struct test_node {
    struct tmpdir dir;
    wkim_node *n;
    wkim_queue *q;
    wkim_queue *questions; /* set before node_start: of the data source */
};

static inline wkim_slice text(const char *s)
{
    return (wkim_slice){ (const uint8_t *)s, strlen(s) };
}

/* settings: key, value, ..., NULL */
static inline void node_start(struct test_node *t, const char *const *settings)
{
    wkim_config *cfg;
    wkim_error err = { 0, "" };
    char data[600];

    tmpdir_path(&t->dir, data, sizeof(data), "data");
    assert_int_equal(wkim_config_new(&cfg), WKIM_OK);
    const char *base[] = { "dataDir",
                           data,
                           "disableEncryption",
                           "true",
                           "limits.shards",
                           "2",
                           "storage.memtableSize",
                           "4MB",
                           "storage.cacheSize",
                           "8MB",
                           "cluster.slotCount",
                           "8",
                           NULL };
    for (const char *const *s = base; *s; s += 2)
        assert_int_equal(wkim_config_set(cfg, s[0], s[1], WKIM_SOURCE_FLAG, NULL, &err), WKIM_OK);
    for (const char *const *s = settings; s && *s; s += 2)
        assert_int_equal(wkim_config_set(cfg, s[0], s[1], WKIM_SOURCE_FLAG, NULL, &err), WKIM_OK);
    assert_int_equal(wkim_node_new(&t->n, cfg, &err), WKIM_OK);
    wkim_config_free(cfg);
    if (t->questions)
        assert_int_equal(wkim_node_datasource(t->n, t->questions), WKIM_OK);
    if (wkim_node_start(t->n, &err) != WKIM_OK)
        fail_msg("%s", err.text);
    assert_int_equal(wkim_node_wait_ready(t->n, 20000), WKIM_OK);
    assert_int_equal(wkim_queue_new(&t->q), WKIM_OK);
}

static inline void node_stop(struct test_node *t)
{
    assert_int_equal(wkim_node_stop(t->n, 10000), WKIM_OK);
    wkim_queue_free(t->q);
    wkim_node_free(t->n);
    t->n = NULL;
    t->q = NULL;
}

/* The answer of the one call under way; owned. */
static inline wkim_reply *take_reply(wkim_queue *q)
{
    wkim_reply *r = NULL;

    assert_int_equal(wkim_queue_next(q, &r, 20000), WKIM_OK);
    return r;
}

static inline int take_code(wkim_queue *q)
{
    wkim_reply *r = take_reply(q);
    int code = wkim_reply_code(r);

    wkim_reply_free(r);
    return code;
}

static inline int call_send(struct test_node *t, const char *from, const char *to, const char *no,
                            void *user)
{
    wkim_send s = { .size = sizeof(s),
                    .from_uid = text(from),
                    .channel_id = text(to),
                    .channel_type = 1,
                    .client_msg_no = text(no),
                    .payload = text("hello") };
    return wkim_message_send(t->n, &s, t->q, user);
}

/* ---- a client -------------------------------------------------------------------------------- */

struct client {
    wkim_session *s;
    sem_t ready;
    wkim_packet p;
};

static inline void client_ready(void *user)
{
    sem_post(&((struct client *)user)->ready);
}

static inline int client_open(struct client *c, struct test_node *t)
{
    wkim_session_options o = { .size = sizeof(o), .on_ready = client_ready, .user = c };

    memset(c, 0, sizeof(*c));
    sem_init(&c->ready, 0, 0);
    return wkim_session_open(&c->s, t->n, &o);
}

static inline void client_close(struct client *c)
{
    wkim_session_close(c->s);
    sem_destroy(&c->ready);
    c->s = NULL;
}

static inline bool client_wait(struct client *c, int seconds)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    return sem_timedwait(&c->ready, &until) == 0;
}

static inline int client_put(struct client *c, const wkim_packet *p)
{
    uint8_t frame[4096];
    wkim_ssize n = wkim_packet_encode(p, 5, frame, sizeof(frame));
    int rc;

    if (n <= 0 || (size_t)n > sizeof(frame))
        return WKIM_EINVAL;
    while ((rc = wkim_session_feed(c->s, frame, (size_t)n)) == WKIM_EBUSY) {
        if (!client_wait(c, 10))
            return WKIM_ETIMEOUT;
    }
    return rc;
}

/* Next packet into c->p: 1, or WKIM_ESTOPPED at the end, WKIM_ETIMEOUT when none comes. */
static inline int client_get(struct client *c, int seconds)
{
    wkim_slice frame;
    int rc;

    while ((rc = wkim_session_drain(c->s, &frame, NULL)) == 0) {
        if (!client_wait(c, seconds))
            return WKIM_ETIMEOUT;
    }
    if (rc == 1 && wkim_packet_decode(&c->p, frame.p, frame.n, 5, NULL) <= 0)
        return WKIM_EPROTO;
    return rc;
}

static inline void client_expect(struct client *c, uint8_t type)
{
    assert_int_equal(client_get(c, 20), 1);
    assert_int_equal(c->p.type, type);
}

static inline void client_login(struct client *c, struct test_node *t, const char *uid,
                                const char *device, const char *token)
{
    const wkim_packet p = { .type = WKIM_PACKET_CONNECT,
                            .version = 5,
                            .uid = text(uid),
                            .device_id = text(device),
                            .token = text(token) };

    assert_int_equal(client_open(c, t), WKIM_OK);
    assert_int_equal(client_put(c, &p), WKIM_OK);
    client_expect(c, WKIM_PACKET_CONNACK);
    assert_int_equal(c->p.reason, WKIM_REASON_SUCCESS);
}

static inline int client_send(struct client *c, const char *to, uint32_t seq)
{
    char no[32];
    snprintf(no, sizeof(no), "n%u", seq);
    const wkim_packet p = { .type = WKIM_PACKET_SEND,
                            .client_seq = seq,
                            .client_msg_no = text(no),
                            .channel_id = text(to),
                            .channel_type = 1,
                            .payload = text("hi") };
    return client_put(c, &p);
}

static inline int client_ack(struct client *c, int64_t id, uint64_t seq)
{
    const wkim_packet p = { .type = WKIM_PACKET_RECVACK, .message_id = id, .message_seq = seq };
    return client_put(c, &p);
}
#endif
