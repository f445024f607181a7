/* Private to proto/. */
#ifndef WK_PROTO_JSONRPC_SCAN_H
#define WK_PROTO_JSONRPC_SCAN_H
#include "proto/jsonrpc.h"

/* > 0: bytes up to the end of the first object; 0: more bytes are needed; WKIM_EPROTO: the byte at
 * sc->at cannot stand there (brackets, commas, colons; scalars are not looked into); WKIM_ETOOBIG:
 * over len_max, or nested too deep. */
wkim_ssize wk_json_scan_next(struct wk_json_scan *sc, wkim_slice in, size_t len_max);
#endif
