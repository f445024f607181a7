/* Text level of the JSON-RPC form; private to proto/. */
#ifndef WK_PROTO_JSON_TEXT_H
#define WK_PROTO_JSON_TEXT_H
#include "base/mem.h"
#include "base/slice.h"

/* Length (1..4) of the well-formed UTF-8 sequence at p, 0 when it is not one. */
size_t wk_utf8_length(const uint8_t *p, size_t n);
/* Case of ASCII letters is ignored. */
bool wk_json_key_eq(wkim_slice key, const char *name);

/* One object made fit for the parser: what the parser refuses but the protocol lets pass is
 * replaced (invalid UTF-8 and lone surrogates by U+FFFD, numbers that are no int64 by 0.5). */
struct wk_json_text {
    wkim_slice text;    /* borrowed from the input when nothing had to change, else in the arena */
    wkim_slice payload; /* raw text of params.payload, borrowed from the input; n = 0: not seen */
};
int wk_json_repair(struct wk_json_text *out, wkim_slice object, struct wk_arena *arena);
/* Raw value without blanks between its tokens, in the arena.  WKIM_OK or WKIM_ENOMEM. */
int wk_json_compact(wkim_slice *out, wkim_slice raw, struct wk_arena *arena);

/* Standard alphabet, padding required, CR and LF skipped.  Bytes written to out (at most
 * n / 4 * 3), or WKIM_EPROTO. */
wkim_ssize wk_json_base64_decode(uint8_t *out, wkim_slice text);
#define WK_JSON_BASE64_LEN(n) (((n) + 2) / 3 * 4)
void wk_json_base64_encode(uint8_t *out, wkim_slice in);
#endif
