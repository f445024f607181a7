/* PROXY protocol header, versions 1 and 2.  Pure. */
#ifndef WK_PROTO_PROXY_H
#define WK_PROTO_PROXY_H
#include "base/error.h"
#include "base/slice.h"

#define WK_PROXY_BYTES_MAX 4096 /* of a version 2 header with its TLVs */

struct wk_proxy_header {
    bool has_source;    /* false: UNKNOWN, LOCAL, or no header at all */
    char source[64];    /* "ip:port" */
};
/* > 0: bytes of the header; 0: more bytes are needed; < 0: WKIM_EPROTO.  Input that does not start
 * like a header gives WKIM_ENOTFOUND. */
wkim_ssize wk_proxy_decode(struct wk_proxy_header *out, wkim_slice in);
#endif
