/* What a gRPC receiver may send: any bytes to a connection with calls under way, in any pieces,
 * with cancellations between; every call is done exactly once.  And any bytes as a whole answer. */
#include "out/grpc_conn.h"

#include <wkim/error.h>

#include "base/error.h"

struct watched {
    struct wk_grpc_call call;
    int begun, done;
};

static void on_done(void *user, struct wk_grpc_call *c, enum wk_grpc_result result, const char *why)
{
    struct watched *w = (struct watched *)(void *)c;

    (void)user;
    (void)result;
    WK_ASSERT(++w->done == w->begun);
    for (const char *p = why; *p; p++)
        WK_ASSERT(*p >= ' ' && *p <= '~' && *p != '"');
}

static int drain(struct wk_grpc_conn *g)
{
    const uint8_t *out;
    wkim_ssize n;

    while ((n = wk_grpc_conn_drain(g, &out)) > 0)
        continue;
    return (int)n;
}

static void start(struct wk_grpc_conn *g, struct watched *w)
{
    if (w->begun != w->done || !wk_grpc_conn_room(g))
        return;
    w->begun++;
    if (wk_grpc_conn_start(g, &w->call) != 0)
        w->begun--;
}

static void connection(const uint8_t *data, size_t size)
{
    static const uint8_t settings[] = { 0, 0, 0, 4, 0, 0, 0, 0, 0 };
    static const uint8_t request[] = "\0\0\0\0\x10\x0a\x0amsg.notify\x12\x02[]";
    struct watched w[4] = { 0 };
    struct wk_grpc_conn *g = NULL;
    int rc;

    if (wk_grpc_conn_new(&g, "host:1", on_done, NULL) != WKIM_OK)
        return;
    for (size_t i = 0; i < 4; i++)
        w[i].call = (struct wk_grpc_call){ .request = request,
                                           .request_n = sizeof(request) - 1,
                                           .timeout_ms = 1000 };
    rc = wk_grpc_conn_feed(g, settings, sizeof(settings));
    /* The first byte of each piece: its length, whether a call starts or one is cancelled. */
    while (rc == 0 && size) {
        size_t n = data[0] & 0x3f, i = data[0] >> 6;

        data++;
        size--;
        n = n * 4 < size ? n * 4 : size;
        if (w[i].begun == w[i].done)
            start(g, &w[i]);
        else if (n == 0)
            wk_grpc_conn_cancel(g, &w[i].call, "cancelled");
        rc = drain(g);
        if (rc == 0)
            rc = wk_grpc_conn_feed(g, data, n);
        if (rc == 0)
            rc = drain(g);
        data += n;
        size -= n;
    }
    wk_grpc_conn_free(g, "the end");
    for (size_t i = 0; i < 4; i++)
        WK_ASSERT(w[i].begun == w[i].done);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *why;

    if (size == 0)
        return 0;
    if (data[0] & 1) {
        connection(data + 1, size - 1);
        return 0;
    }
    why = wk_grpc_answer_check(data + 1, size - 1);
    WK_ASSERT(why || (size >= 8 && data[1] == 0));
    return 0;
}
