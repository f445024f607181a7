/* Every limit of the product, named, with its unit.  Limits that an operator may change are the
 * defaults of keys in config/config.def. */
#ifndef WK_BASE_LIMITS_H
#define WK_BASE_LIMITS_H

#define WK_FRAME_BYTES_MAX 1048576        /* remaining length of one client frame */
#define WK_INBOUND_BYTES_MAX (WK_FRAME_BYTES_MAX + 5) /* unparsed bytes kept per connection */
#define WK_INBOUND_BYTES_BEFORE_LOGIN_MAX 65536
#define WK_JSON_BYTES_MAX (WK_FRAME_BYTES_MAX / 3 * 4 + 65536) /* one JSON-RPC object */
#define WK_JSON_DEPTH_MAX 32
#define WK_PROTO_STRING_BYTES_MAX 32767
#define WK_PROTO_VERSION_MAX 6            /* 64-bit message_seq */
#define WK_PROTO_VERSION_DEFAULT 5        /* negotiated unless v6 is enabled */
#define WK_OUTBOUND_BYTES_MAX 4194304     /* queued towards one client, then plain close */
#define WK_CONN_INFLIGHT_SENDS_MAX 512    /* SENDs of one connection not yet acknowledged */
#define WK_CONN_UNACKED_MAX 1000          /* RECVs awaiting RECVACK per connection */
#define WK_FANOUT_BACKLOG_BYTES_MAX 67108864 /* messages that wait behind long deliveries */
#define WK_ID_BYTES_MAX 4096              /* uid, channel id, device id in API and store */
#define WK_PLUGIN_NO_BYTES_MAX 255
#define WK_LIST_UIDS_MAX 100000           /* uids in one API call */
#define WK_SLOT_COUNT_MAX 4096
#define WK_LOG_SEGMENT_BYTES 67108864     /* a segment is closed beyond this size */
#define WK_LOG_RECORD_BYTES_MAX 16777216  /* one log record */
#define WK_RAFT_UNCOMMITTED_BYTES_MAX 67108864 /* per group, then proposals answer EBUSY */
#define WK_NODE_ID_MAX 1023

#endif
