/* The message record: one encoding for the slot log, the stored row, fan-out between shards and
 * nodes, and API answers.  A message is encoded once, where it arrives, and travels as bytes.
 *
 * Layout, big-endian: u8 format (1) | u8 flags | u8 setting | u8 channel_type | i64 message_id |
 * u64 message_seq | u64 timestamp_ms | u32 expire_s | u32 client_seq |
 * str16 channel_id (as stored) | str16 from_uid | str16 client_msg_no | str16 topic |
 * str16 stream_no | payload (rest).
 * message_seq and timestamp are patched at fixed offsets when the slot numbers the message. */
#ifndef WK_PROTO_RECORD_H
#define WK_PROTO_RECORD_H
#include "base/buf.h"
#include "base/error.h"

struct wk_record {
    uint8_t flags, setting, channel_type;
    int64_t message_id;
    uint64_t message_seq, timestamp_ms;
    uint32_t expire_s;
    uint32_t client_seq; /* of the SEND, 0 otherwise */
    wkim_slice channel_id, from_uid, client_msg_no, topic, stream_no, payload;
};
#define WK_RECORD_SEQ_OFFSET 12
#define WK_RECORD_TIMESTAMP_OFFSET 20
void wk_record_encode(struct wk_buf *out, const struct wk_record *r);
size_t wk_record_size(const struct wk_record *r);
/* Slices are borrowed from `in`.  WKIM_OK, WKIM_EPROTO, WKIM_EVERSION. */
int wk_record_decode(struct wk_record *out, wkim_slice in);
/* Whether the RECVs of r, its payload of payload_n bytes on the wire and its channel shown as
 * `channel`, are within WK_FRAME_BYTES_MAX for clients up to version_max. */
bool wk_record_fits(const struct wk_record *r, wkim_slice channel, size_t payload_n, bool sealed,
                    uint8_t version_max);
void wk_record_patch(uint8_t *record, uint64_t message_seq, uint64_t timestamp_ms);
#endif
