/* Layouts of requests and answers, read and written with base/buf and base/cursor.  str = varint
 * length + bytes; key = u8 channel type + str stored id.
 *
 * operation             request                                              answer
 * IM_LOGIN              u8 flag, u8 bits(1 visitor), str uid, str device, str token
 *                                                                            reason
 * IM_SEND(_PEER)        im_send_head + record                               number: message_id, seq
 * IM_CHANNEL_SET        key, u32 WKIM_CHANNEL_* flags, u64 now_ms            -
 * IM_CHANNEL_GET        key                                              number: subscribers, flags
 * IM_CHANNEL_DELETE     key, u8 purge, u64 now_ms                            -
 * IM_LIST_CHANGE        key, u8 list, u8 op, u64 now_ms, str uid ...         -
 * IM_LIST_GET           key, u8 list, str after, u32 limit                  rows A; number[1]: more
 * IM_TOKEN_SET          str uid, u8 flag, u8 level, str token, u64 now_ms    -
 * IM_DEVICE_QUIT        str uid, i32 flag (as u32), u64 now_ms               -
 * IM_ONLINE             (str uid, u64 position) ...
 *                                                      rows A (a: flag, b: request position)
 * IM_SYSTEM_CHANGE      u8 add, str uid ...                                  -
 * IM_SYSTEM_LIST        -                                                    rows A
 * IM_MESSAGE_SYNC       key, u64 start, u64 end, u32 limit, u8 pull_up, u8 basic
 *                                                                          records; number[1]: more
 * IM_MESSAGE_GET        key, u8 oldest, varint n + u64 seqs, varint n + u64 ids, varint n + str nos
 *                                                                            records
 * IM_MESSAGE_LAST       key, u8 with_message                                number[0]: seq; records
 * IM_CONV_SYNC          str uid, u64 version, u32 count, u8 only_unread, u32 page, u32 page_size,
 *                       varint n + u8 excluded types, varint n + (key, u64 seq)
 *                                                                            conversations
 * IM_CONV_CHANNELS      str uid                                              rows A (a: type)
 * IM_CONV_SYNC_CHANNELS str uid, u32 count, varint n + key                   conversations
 * IM_CONV_MOVE          str uid, key, u8 kind (enum im_conv_move), u64 n, u64 now_ms
 * IM_CONV_POSITION      as IM_CONV_MOVE + u64 last_seq                       -
 * IM_CONV_ENSURE        key, u64 read_seq, u8 bits, u64 now_ms, str uid ...  -
 * IM_CONV_REMOVE        key, str uid ...                                     -
 * IM_PLUGIN_BIND        str uid, u8 kind (enum im_plugin_bind), str plugin_no, u64 now_ms  -
 * IM_PLUGIN_BINDINGS    str uid (empty: all), str plugin_no (empty: any)
 *                                                 rows A, two per binding: uid, plugin_no (a: ms)
 * IM_TAGS               str key, u8 type, str id (empty: all), u8 drop       JSON rows, "," between
 * IM_CONV_LEAVE         key, u64 now_ms, str uid ...                         -
 * IM_CONV_LIST          str uid, u32 limit, u64 since_ms, key to go on behind (empty id: none),
 *                       varint n + key (n > 0: exactly these)
 *                       number: wall_ms, tombstones kept since; str: key to go on behind (empty:
 *                       that was all), then conversations
 * IM_HEADS              str uid, repeated (key, u64 from, u32 count, u64 read, u64 forced,
 *                       u64 hidden)
 *                               repeated (u64 last, u64 own, u64 floor, u64 deleted ones above what
 *                               is read, hidden or below the floor, varint n,
 *                               str record ... newest first)
 * IM_OUTBOX_DONE        u64 id                                               -
 * IM_CONN_LIST          str filter                                           JSON rows, "," between
 * IM_CONN_KICK          str uid, u64 conn id, u8 silent                      -
 * IM_NOTIFY_DONE        u64 id ...                                           -
 * IM_OFFLINE_DONE       u64 id ...                                           -
 * IM_STATUS             u8 online, u8 flag, u64 now_ms, node, conn id, of the device, of the uid,
 *                       str uid                                              -
 * IM_STATUS_DONE        u64 id ...                                           -
 * IM_CMD_SYNC           str uid, u32 limit                                   records
 * IM_CMD_HEADS          u32 limit, repeated (key, u64 from)                  repeated str (records)
 * IM_CMD_HANDED         str uid, row of IM_TABLE_HANDED                      -
 * IM_CMD_ACK            str uid, u64 last_message_seq, u64 now_ms            -
 * IM_CMD_READ           str uid, u8 create, u64 now_ms, repeated (key, u64 seq) -
 * IM_EVENT              struct im_event (event/lane.h)                       JSON
 * IM_EVENT_SYNC         key, str client_msg_no, str event_key, u64 from, u32 limit, u8 private
 *                                                                            JSON
 * IM_EVENT_PUT          str lane key, str row, u64 first, u64 end of the pieces to drop -
 * IM_EVENT_CHUNKS       repeated (str key, str row)                          -
 * IM_LIMITS_SET         key, u8 enum wk_keep_bits, u64 age_s, messages, bytes -
 * IM_LIMITS_GET         key                              rows A: own (UINT64_MAX: none), used,
 *                                                        history (first, last, not yet erased);
 *                                                        number[0]: limits are enforced
 * IM_TRIM               key, u64 through, and of what sizes were added up: u64 after, to, bytes
 *                                                        number: floor, highest number
 * IM_ERASE              key, u64 from, to, bytes, str client_msg_no with events ... -
 * IM_DELETE             as IM_MESSAGE_GET                number[0]: messages
 * IM_DROP               key, (u64 seq, u32 bytes, str client_msg_no if it has events) ... -
 * IM_OVER               (u64 time, key, u64 seq, u32 bytes or 0: gone, str client_msg_no) ... -
 * IM_EVENTS_PURGE       (key, str client_msg_no) ...                         -
 *
 * rows A: repeated (str, u64 a, u64 b, u64 c).  records: repeated str.  conversations: repeated
 * struct im_conv_row below, written by im_conv_row_encode. */
#ifndef WK_IM_ANSWER_H
#define WK_IM_ANSWER_H
#include "base/buf.h"
#include "base/cursor.h"

/* First byte of an entry among records: JSON members that belong to the message before it. */
#define IM_EVENTS_ENTRY 0xe5

enum im_conv_move {
    IM_CONV_CLEAR = 1,
    IM_CONV_SET = 2,
    IM_CONV_HIDE = 3,
    IM_CONV_SHOW = 4, /* the row comes to exist, or is visible again */
    IM_CONV_DROP = 5  /* the row goes */
};

enum im_plugin_bind {
    IM_PLUGIN_ADD = 1,
    IM_PLUGIN_UNBIND = 2,
    IM_PLUGIN_SET = 3 /* this one only; empty: none */
};

struct im_conv_row {
    uint8_t type;
    wkim_slice stored_id, channel_id;
    uint8_t state;       /* enum wkim_conversation_state */
    uint64_t unread, timestamp_ms, last_seq, read_seq, version, updated_ms;
    uint64_t deleted_seq, active_ms;
    wkim_slice last_client_msg_no;
    uint64_t n_recents;
    wkim_slice recents; /* repeated str record */
};
void im_conv_row_encode(struct wk_buf *out, const struct im_conv_row *r);
int im_conv_row_decode(struct im_conv_row *out, struct wk_cursor *c); /* borrowed; WKIM_EPROTO */
void im_row_a(struct wk_buf *out, wkim_slice s, uint64_t a, uint64_t b, uint64_t c);
#endif
