#include "out/grpc_message.h"

#include <stdlib.h>
#include <wkhook.pb-c.h>

uint8_t *wk_grpc_request(const char *event, wkim_slice body, size_t *n)
{
    Wkhook__EventReq m = WKHOOK__EVENT_REQ__INIT;
    size_t size;
    uint8_t *p;

    m.event = (char *)(uintptr_t)event;
    m.data.data = (uint8_t *)(uintptr_t)body.p;
    m.data.len = body.n;
    size = wkhook__event_req__get_packed_size(&m);
    if (size < body.n || size > UINT32_MAX - WK_GRPC_PREFIX)
        return NULL;
    p = malloc(WK_GRPC_PREFIX + size);
    if (!p)
        return NULL;
    p[0] = 0;
    for (size_t i = 0; i < 4; i++)
        p[1 + i] = (uint8_t)(size >> (24 - 8 * i));
    (void)wkhook__event_req__pack(&m, p + WK_GRPC_PREFIX);
    *n = WK_GRPC_PREFIX + size;
    return p;
}

const char *wk_grpc_answer_check(const uint8_t *p, size_t n)
{
    Wkhook__EventResp *m;
    uint32_t size = 0;
    int status;

    if (n == 0)
        return "the answer holds no message";
    if (n < WK_GRPC_PREFIX)
        return "the answer ends inside the prefix of its message";
    if (p[0] != 0)
        return "the answer is packed, which was not asked for";
    for (size_t i = 0; i < 4; i++)
        size = size << 8 | p[1 + i];
    if (size > n - WK_GRPC_PREFIX)
        return "the answer ends inside its message";
    if (size < n - WK_GRPC_PREFIX)
        return "the answer holds more than one message";
    m = wkhook__event_resp__unpack(NULL, size, p + WK_GRPC_PREFIX);
    if (!m)
        return "the answer is no EventResp";
    status = (int)m->status;
    wkhook__event_resp__free_unpacked(m, NULL);
    if (status == WKHOOK__EVENT_STATUS__Success)
        return NULL;
    return status == WKHOOK__EVENT_STATUS__Error ? "the receiver answered status Error"
                                                 : "the receiver answered an unknown status";
}
