/* Packets of the client protocol as structs.  Slices are borrowed from the decoded bytes.  One
 * packet type serves the binary wire (any version) and JSON-RPC. */
#ifndef WK_PROTO_PACKET_H
#define WK_PROTO_PACKET_H
#include "base/buf.h"
#include "base/error.h"

enum wk_packet_type {
    WK_PACKET_CONNECT = 1,
    WK_PACKET_CONNACK,
    WK_PACKET_SEND,
    WK_PACKET_SENDACK,
    WK_PACKET_RECV,
    WK_PACKET_RECVACK,
    WK_PACKET_PING,
    WK_PACKET_PONG,
    WK_PACKET_DISCONNECT,
    WK_PACKET_SUB,
    WK_PACKET_SUBACK,
    WK_PACKET_EVENT
};

struct wk_connect {
    uint8_t version, device_flag;
    int64_t client_timestamp; /* ms */
    wkim_slice device_id, uid, token, client_key;
};
struct wk_connack {
    bool has_server_version; /* header bit 0; set iff the client sent version > 3 */
    uint8_t server_version, reason;
    int64_t time_diff; /* ms */
    uint64_t node_id;
    wkim_slice server_key, salt;
};
struct wk_send {
    uint8_t setting, channel_type;
    uint32_t client_seq, expire /* s, 0 never */;
    wkim_slice client_msg_no, stream_no, channel_id, msg_key, topic, payload;
};
struct wk_sendack {
    int64_t message_id;
    uint32_t client_seq;
    uint64_t message_seq; /* u32 on the wire below version 6 */
    uint8_t reason;
    wkim_slice client_msg_no; /* version 6 only, appended when not empty */
};
struct wk_recv {
    uint8_t setting, channel_type, stream_flag;
    uint32_t expire;
    int32_t timestamp; /* s */
    int64_t message_id;
    uint64_t message_seq, stream_id;
    wkim_slice msg_key, from_uid, channel_id, client_msg_no, stream_no, topic, payload;
};
struct wk_recvack {
    int64_t message_id;
    uint64_t message_seq;
};
struct wk_disconnect {
    uint8_t reason;
    wkim_slice text;
};
struct wk_sub {
    uint8_t setting, channel_type, action; /* 0 subscribe, 1 unsubscribe */
    wkim_slice sub_no, channel_id, param;
};
struct wk_suback {
    uint8_t channel_type, action, reason;
    wkim_slice sub_no, channel_id;
};
struct wk_event {
    int64_t timestamp; /* ms */
    wkim_slice id, type, data;
};

struct wk_packet {
    uint8_t type;  /* enum wk_packet_type */
    uint8_t flags; /* WKIM_FLAG_* of the header; CONNACK: bit 0 has_server_version */
    union {
        struct wk_connect connect;
        struct wk_connack connack;
        struct wk_send send;
        struct wk_sendack sendack;
        struct wk_recv recv;
        struct wk_recvack recvack;
        struct wk_disconnect disconnect;
        struct wk_sub sub;
        struct wk_suback suback;
        struct wk_event event;
    } u;
};
#endif
