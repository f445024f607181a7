#include "out/dead_line.h"

#include <stdio.h>
#include <string.h>

int wk_dead_head_put(char out[WK_DEAD_HEAD_MAX], uint64_t id, uint64_t time_s,
                     const wkim_hook_request *r)
{
    int n = snprintf(out, WK_DEAD_HEAD_MAX,
                     "{\"id\":%llu,\"time\":%llu,\"event\":\"%.*s\",\"target\":%d,\"attempts\":%u,"
                     "\"items\":%u,\"delivery\":\"%.*s\",\"body\":",
                     (unsigned long long)id, (unsigned long long)time_s, (int)r->event.n,
                     (const char *)r->event.p, r->target, r->attempt, r->items, (int)r->delivery.n,
                     (const char *)r->delivery.p);

    return n > 0 && n < WK_DEAD_HEAD_MAX ? n : -1;
}

size_t wk_dead_head_get(const char *head, struct wk_dead_item *out)
{
    unsigned long long id, time_s;
    int n = 0;

    if (sscanf(head,
               "{\"id\":%19llu,\"time\":%19llu,\"event\":\"%31[a-z.]\",\"target\":%d,"
               "\"attempts\":%u,\"items\":%u,\"delivery\":\"%63[0-9a-f]\",\"body\":%n",
               &id, &time_s, out->event, &out->target, &out->attempts, &out->items, out->delivery,
               &n) != 7 ||
        n == 0)
        return 0;
    out->id = id;
    out->time_s = time_s;
    return (size_t)n;
}
