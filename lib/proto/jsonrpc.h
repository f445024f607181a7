/* JSON-RPC form of the client protocol.  Pure. */
#ifndef WK_PROTO_JSONRPC_H
#define WK_PROTO_JSONRPC_H
#include "base/mem.h"
#include "proto/packet.h"

enum wk_json_kind {
    WK_JSON_PACKET,      /* packet is filled */
    WK_JSON_ERROR        /* answer with wk_json_error(id, code, text); the object is consumed */
};
struct wk_json_in {
    uint8_t kind;
    bool has_id;         /* request: the answer carries id (may be empty: "" counts as a request) */
    wkim_slice id;
    struct wk_packet packet;
    bool generated_client_msg_no; /* SEND without clientMsgNo: the session makes one */
    int32_t code;        /* ERROR: JSON-RPC code (-32700 ...) */
    bool fatal;          /* ERROR: position lost, close after the answer */
    char text[200];
};

/* Find and decode one object at the start of `in` (blanks before it are skipped).
 * > 0: bytes used (blanks included), *out filled; all slices live in `arena`.
 *   0: more bytes are needed.
 * < 0: WKIM_ETOOBIG (object over len_max or nested too deep), WKIM_ENOMEM.
 * The scanner is incremental: *scan (0 at the start of each object) remembers how far the text was
 * followed, so that a byte is looked at once however the stream is cut, and text that can never
 * become an object is not waited for. */
struct wk_json_scan {
    size_t at;
    uint32_t depth, objects; /* bit i: the bracket of depth i + 1 is an object's */
    uint8_t expect;
    bool in_string, escaped, started;
};
wkim_ssize wk_json_decode(struct wk_json_in *out, wkim_slice in, struct wk_json_scan *scan,
                          size_t len_max, struct wk_arena *arena);

/* Bytes of the object at the start of `in` (blanks before it included); 0 when it is not whole. */
size_t wk_json_extent(wkim_slice in);

/* Append one compact object: answers (CONNACK, SENDACK, PONG, and DISCONNECT acknowledgement) with
 * id, notifications (RECV, EVENT, DISCONNECT) without.  WKIM_OK; WKIM_EUNSUPPORTED when the packet
 * has no JSON form; WKIM_ETOOBIG over WK_JSON_BYTES_MAX; WKIM_ENOMEM.  On failure nothing is
 * appended. */
int wk_json_encode(struct wk_buf *out, const struct wk_packet *p, bool has_id, wkim_slice id);
int wk_json_error(struct wk_buf *out, bool has_id, wkim_slice id, int32_t code, const char *text);
/* Append s as a JSON string: HTML characters, U+2028/9 escaped, invalid UTF-8 becomes U+FFFD. */
void wk_json_string(struct wk_buf *out, wkim_slice s);
void wk_json_escape(struct wk_buf *out, wkim_slice s); /* the same without the quotes */
void wk_json_base64(struct wk_buf *out, wkim_slice s); /* standard alphabet, padded, no quotes */
#endif
