/* Bytes <-> packets, binary protocol versions 0..6.  Pure. */
#ifndef WK_PROTO_CODEC_H
#define WK_PROTO_CODEC_H
#include "proto/packet.h"

/* Decode the frame at the start of `in` in protocol `version`.
 * > 0: bytes used, *out filled, slices borrowed from `in`.
 *   0: more bytes are needed.
 * < 0: WKIM_EPROTO (bad field, overlong string), WKIM_ETOOBIG (remaining length over the limit,
 *      known as soon as the length is read), WKIM_EUNSUPPORTED (type 0 or 13-15, at the first
 *      byte).  err->text is short English fit for DISCONNECT, for instance
 *      "malformed frame: send.channelId".
 * `len_max` bounds the remaining length (WK_FRAME_BYTES_MAX, less before login). */
wkim_ssize wk_packet_decode(struct wk_packet *out, wkim_slice in, uint8_t version, size_t len_max,
                            struct wkim_error *err);

/* Append the frame.  WKIM_OK; WKIM_ETOOBIG when a string or the frame is over its limit (nothing is
 * appended); WKIM_ENOMEM. A message_seq that does not fit the version is WKIM_ETOOBIG. */
int wk_packet_encode(struct wk_buf *out, const struct wk_packet *p, uint8_t version);
/* Exact size wk_packet_encode would append, or a negative code. */
wkim_ssize wk_packet_size(const struct wk_packet *p, uint8_t version);

/* RECV of which the caller appends the last `payload_n` bytes itself (they are sealed in place).
 * The payload of *r is not used.  *msg_key_at is the offset in `out` of the msgKey bytes, which may
 * be patched.  On success the whole frame is reserved.  Errors as wk_packet_encode. */
int wk_recv_encode_head(struct wk_buf *out, const struct wk_recv *r, uint8_t flags, uint8_t version,
                        size_t payload_n, size_t *msg_key_at);

/* Bytes of the frame at the start of `in`, as far as they are known: more than in.n while bytes are
 * missing.  Meant for input that wk_packet_decode did not refuse and for our own output. */
size_t wk_frame_extent(wkim_slice in);

/* Version spoken with a client that offers `offered`; `max` is 5, or 6 when enabled. */
uint8_t wk_proto_negotiate(uint8_t offered, uint8_t max);
const char *wk_packet_type_name(uint8_t type);     /* "SEND" */
const char *wk_reason_name(uint8_t reason);        /* "ReasonAuthFail" as version 2 spells it */
#endif
