/* A client connection over a transport of your own: bytes in with feed, frames out with drain. Here
 * the "transport" is this program, which plays a client that logs in and sends one message. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <wkim/wkim.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static int signals;

/* On a thread of the node: only wake our own. */
static void on_ready(void *user)
{
    (void)user;
    pthread_mutex_lock(&lock);
    signals++;
    pthread_cond_signal(&ready);
    pthread_mutex_unlock(&lock);
}

static wkim_slice text(const char *s)
{
    wkim_slice out = {(const uint8_t *)s, strlen(s)};
    return out;
}

static int put(wkim_session *s, const wkim_packet *p)
{
    uint8_t frame[1024];
    wkim_ssize n = wkim_packet_encode(p, 5, frame, sizeof(frame));

    return n < 0 || (size_t)n > sizeof(frame) ? -1 : wkim_session_feed(s, frame, (size_t)n);
}

/* The next frame from the node. */
static int get(wkim_session *s, wkim_packet *p)
{
    wkim_slice frame;
    int rc;

    while ((rc = wkim_session_drain(s, &frame, NULL)) == 0) {
        pthread_mutex_lock(&lock);
        while (!signals)
            pthread_cond_wait(&ready, &lock);
        signals = 0;
        pthread_mutex_unlock(&lock);
    }
    return rc == 1 && wkim_packet_decode(p, frame.p, frame.n, 5, NULL) > 0 ? 0 : -1;
}

static int chat(wkim_node *node)
{
    wkim_session_options opt;
    wkim_session *s;
    wkim_packet p;
    int rc;

    memset(&opt, 0, sizeof(opt));
    opt.size = sizeof(opt);
    opt.on_ready = on_ready;
    if (wkim_session_open(&s, node, &opt) != WKIM_OK)
        return 1;
    memset(&p, 0, sizeof(p));
    p.type = WKIM_PACKET_CONNECT;
    p.version = 5;
    p.uid = text("alice");
    p.device_id = text("example");
    rc = put(s, &p) || get(s, &p);
    if (rc == 0)
        printf("CONNACK reason %u\n", p.reason);
    memset(&p, 0, sizeof(p));
    p.type = WKIM_PACKET_SEND;
    p.client_seq = 1;
    p.client_msg_no = text("example-1");
    p.channel_id = text("bob");
    p.channel_type = WKIM_CHANNEL_PERSON;
    p.payload = text("{\"type\":1,\"content\":\"hi\"}");
    rc = rc || put(s, &p) || get(s, &p);
    if (rc == 0)
        printf("SENDACK reason %u message_seq %llu\n", p.reason, (unsigned long long)p.message_seq);
    wkim_session_close(s);
    return rc || p.type != WKIM_PACKET_SENDACK || p.reason != WKIM_REASON_SUCCESS;
}

int main(int argc, char **argv)
{
    wkim_config *cfg = NULL;
    wkim_node *node = NULL;
    wkim_error err = {0, ""};

    if (argc != 2)
        return fprintf(stderr, "usage: %s DATA_DIR\n", argv[0]), 2;
    if (wkim_config_new(&cfg) != WKIM_OK ||
        wkim_config_set(cfg, "dataDir", argv[1], WKIM_SOURCE_FLAG, NULL, &err) != WKIM_OK ||
        wkim_config_set(cfg, "disableEncryption", "true", WKIM_SOURCE_FLAG, NULL, &err) !=
            WKIM_OK ||
        wkim_node_new(&node, cfg, &err) != WKIM_OK || wkim_node_start(node, &err) != WKIM_OK)
        return fprintf(stderr, "%s\n", err.text), 1;
    wkim_config_free(cfg);
    int rc = wkim_node_wait_ready(node, 10000) != WKIM_OK || chat(node);
    wkim_node_stop(node, 5000);
    wkim_node_free(node);
    return rc;
}
