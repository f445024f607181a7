#include "http/route.h"

#include "http/text.h"

#include <string.h>

const struct wk_route wk_routes[] = {
#define WK_ROUTE(side, method, path, handler, decode, open)                                        \
    {method, path, handler, WK_DECODE_##decode, WK_SIDE_##side, open},
#include "http/routes.def"
#undef WK_ROUTE
};
const size_t wk_routes_count = sizeof(wk_routes) / sizeof(wk_routes[0]);

/* Cut the next segment off *path (which starts behind a '/'). */
static wkim_slice cut_segment(wkim_slice *path)
{
    wkim_slice left, right;

    if (wk_text_split(*path, '/', &left, &right)) {
        *path = right;
        return left;
    }
    left = *path;
    path->p += path->n;
    path->n = 0;
    return left;
}

/* Compare with a pattern that has parameters; their raw text goes to params. */
static int match_pattern(const char *pattern, wkim_slice path, wkim_slice params[2])
{
    wkim_slice want = wk_text_slice(pattern);
    size_t n_params = 0;

    for (;;) {
        wkim_slice w = cut_segment(&want);

        if (wk_text_equal(w, "*"))
            return 1;
        wkim_slice have = cut_segment(&path);

        if (w.n && w.p[0] == ':') {
            if (have.n == 0)
                return 0;
            if (n_params < 2)
                params[n_params++] = have;
        } else if (!wk_text_same(w, have)) {
            return 0;
        }
        if (want.n == 0 || path.n == 0)
            return want.n == path.n || wk_text_equal(want, "*");
    }
}

static int decode_params(struct wk_req *r)
{
    for (size_t i = 0; i < 2; i++) {
        wkim_slice raw = r->params[i];
        uint8_t *out = raw.n ? wk_req_alloc(r, raw.n) : NULL;

        if (raw.n == 0)
            continue;
        wkim_ssize n = out ? wk_text_unescape(raw, 0, out) : -1;

        if (n < 0)
            return 0;
        r->params[i] = (wkim_slice){out, (size_t)n};
    }
    return 1;
}

const struct wk_route *wk_route_find(struct wk_req *r, enum wk_http_side side, const char *method,
                                     wkim_slice path)
{
    for (size_t i = 0; i < wk_routes_count; i++) {
        const struct wk_route *route = &wk_routes[i];

        if (route->side != side)
            continue;
        if (strcmp(route->method, "ANY") != 0 && strcmp(route->method, method) != 0)
            continue;
        if (wk_text_equal(path, route->path))
            return route;
        if (!strpbrk(route->path, ":*") || !match_pattern(route->path, path, r->params))
            continue;
        return decode_params(r) ? route : NULL;
    }
    return NULL;
}
