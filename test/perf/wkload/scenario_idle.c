#include "wkload.h"

static int build(struct load *l)
{
    char name[NAME_BYTES];

    load_reserve(l, l->options.connections, 0, 0, 0);
    for (uint32_t i = 0; i < l->options.connections; i++) {
        snprintf(name, sizeof(name), "%su%u", l->prefix, i);
        load_conn_name(l, i, name);
    }
    return 0;
}

const struct scenario scenario_idle = {
    "idle", "N connections that only PING: the server's memory per connection", build};
