#include "wkload.h"

/* A slot per concurrent login; the worker renames it for each. */
static int build(struct load *l)
{
    if (l->options.users == 0)
        l->options.users = 10000;
    load_reserve(l, l->options.concurrency, 0, 0, 0);
    return 0;
}

const struct scenario scenario_connect = {
    "connect", "connect, log in, close, and again: logins per second", build};
