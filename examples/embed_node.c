/* A node inside your program: start it, publish from inside, receive events through the queue.
 *   cc embed_node.c $(pkg-config --cflags --libs wkim) && ./a.out DATA_DIR */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <wkim/wkim.h>

static int fail(const char *what, const wkim_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    return 1;
}

static wkim_slice text(const char *s)
{
    wkim_slice out = {(const uint8_t *)s, strlen(s)};
    return out;
}

/* Wait for the answer to one call; events that come meanwhile are printed. */
static int wait_call(wkim_queue *q)
{
    wkim_reply *r;
    wkim_message m;
    struct pollfd fd = {wkim_queue_fd(q), POLLIN, 0};

    for (int calls = 0, events = 0; calls < 1 || events < 1;) {
        if (wkim_queue_next(q, &r, 0) != WKIM_OK) {
            if (poll(&fd, 1, 10000) <= 0) /* your loop would watch the descriptor */
                return WKIM_ETIMEOUT;
            continue;
        }
        int code = wkim_reply_code(r);
        if (wkim_reply_kind(r) == WKIM_REPLY_CALL) {
            calls++;
            printf("sent: code %d, message_id %lld, message_seq %lld\n", code,
                   (long long)wkim_reply_number(r, WKIM_NUMBER_MESSAGE_ID),
                   (long long)wkim_reply_number(r, WKIM_NUMBER_MESSAGE_SEQ));
        } else if (wkim_reply_message(r, 0, &m) == WKIM_OK) {
            events++;
            printf("event: stored \"%.*s\" from %.*s\n", (int)m.payload.n,
                   (const char *)m.payload.p, (int)m.from_uid.n, (const char *)m.from_uid.p);
        }
        wkim_reply_free(r);
        if (code != WKIM_OK)
            return code;
    }
    return WKIM_OK;
}

int main(int argc, char **argv)
{
    wkim_config *cfg = NULL;
    wkim_node *node = NULL;
    wkim_queue *queue = NULL;
    wkim_error err = {0, ""};

    if (argc != 2)
        return fprintf(stderr, "usage: %s DATA_DIR\n", argv[0]), 2;
    if (wkim_config_new(&cfg) != WKIM_OK || wkim_queue_new(&queue) != WKIM_OK)
        return 1;
    if (wkim_config_set(cfg, "dataDir", argv[1], WKIM_SOURCE_FLAG, NULL, &err) != WKIM_OK ||
        wkim_node_new(&node, cfg, &err) != WKIM_OK || wkim_node_start(node, &err) != WKIM_OK)
        return fail("start", &err);
    wkim_config_free(cfg);
    if (wkim_node_wait_ready(node, 10000) != WKIM_OK)
        return 1;
    wkim_node_events(node, queue, 1u << WKIM_EVENT_MESSAGE, 1000);

    wkim_send send;
    memset(&send, 0, sizeof(send));
    send.size = sizeof(send);
    send.from_uid = text("robot");
    send.channel_id = text("lobby");
    send.channel_type = WKIM_CHANNEL_GROUP;
    send.payload = text("{\"type\":1,\"content\":\"hello\"}");
    int rc = wkim_message_send(node, &send, queue, NULL);
    if (rc == WKIM_OK)
        rc = wait_call(queue);
    wkim_node_stop(node, 5000);
    wkim_queue_free(queue);
    wkim_node_free(node);
    if (rc != WKIM_OK)
        fprintf(stderr, "%s\n", wkim_strerror(rc));
    return rc != WKIM_OK;
}
