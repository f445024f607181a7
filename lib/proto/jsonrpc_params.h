/* params of each method into its packet; private to proto/. */
#ifndef WK_PROTO_JSONRPC_PARAMS_H
#define WK_PROTO_JSONRPC_PARAMS_H
#include <jansson.h>
#include "proto/json_text.h"
#include "proto/jsonrpc.h"

struct wk_json_params {
    const json_t *object;   /* NULL: absent or null, everything has its default */
    wkim_slice raw_payload; /* text of params.payload */
    struct wk_arena *arena; /* strings are copied there */
    bool oom;
    char bad[80];           /* first field that was refused and why; empty: none */
};
void wk_json_params_fail(struct wk_json_params *p, const char *why);

/* Fills out->packet (and out->kind) unless p->bad or p->oom is set. */
typedef void (*wk_json_params_fn)(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_connect(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_send(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_ping(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_disconnect(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_recvack(struct wk_json_params *p, struct wk_json_in *out);
void wk_json_params_any(struct wk_json_params *p, struct wk_json_in *out); /* no packet */
#endif
