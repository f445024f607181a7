#include "listen/ws_loop.h"

#include <dlfcn.h>
#include <string.h>

/* Data and function pointers have one size on every system this runs on. */
static int find(void *library, const char *name, void *out)
{
    void *symbol = dlsym(library, name);

    memcpy(out, &symbol, sizeof(symbol));
    return symbol ? 0 : -1;
}

int wk_ws_loops_open(struct wk_ws_loops *l)
{
    memset(l, 0, sizeof(*l));
    l->library = dlopen("libev.so.4", RTLD_NOW | RTLD_GLOBAL);
    if (!l->library)
        return -1;
    if (find(l->library, "ev_loop_new", &l->make) == 0 &&
        find(l->library, "ev_run", &l->run) == 0 && find(l->library, "ev_break", &l->quit) == 0 &&
        find(l->library, "ev_loop_destroy", &l->destroy) == 0)
        return 0;
    wk_ws_loops_close(l);
    return -1;
}

void wk_ws_loops_close(struct wk_ws_loops *l)
{
    if (l->library)
        (void)dlclose(l->library);
    l->library = NULL;
}
