/* The table of routes (routes.def) and the way from a path to its handler. */
#ifndef WK_HTTP_ROUTE_H
#define WK_HTTP_ROUTE_H

#include "http/request.h"

/* How a body that does not decode is answered. */
enum wk_decode {
    WK_DECODE_NONE,    /* no body */
    WK_DECODE_A,       /* application/json, decoder text */
    WK_DECODE_A_WRAP,  /* application/json, fixed text and decoder text */
    WK_DECODE_A_FIXED, /* application/json, fixed text */
    WK_DECODE_B,       /* text/plain, decoder text */
    WK_DECODE_B_FIXED  /* text/plain, fixed text */
};

typedef void (*wk_handler)(struct wk_req *r);

struct wk_route {
    const char *method; /* "ANY": every method */
    const char *path;   /* ":name" matches one segment, "*" the rest */
    wk_handler handler;
    uint8_t decode, side, open; /* open: served without managerToken */
};

extern const struct wk_route wk_routes[];
extern const size_t wk_routes_count;

/* Fills r->params.  NULL: no such route. */
const struct wk_route *wk_route_find(struct wk_req *r, enum wk_http_side side, const char *method,
                                     wkim_slice path);

/* Handlers, named in routes.def. */
#define WK_ROUTE(side, method, path, handler, decode, open) void handler(struct wk_req *r);
#include "http/routes.def"
#undef WK_ROUTE

#endif
