/* Plain data that crosses the ABI, and the export macro.  C99 and C++17 clean. */
#ifndef WKIM_TYPES_H
#define WKIM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WKIM_API __attribute__((visibility("default")))
#else
#define WKIM_API
#endif

/* Signed byte count or negative error code. */
typedef int64_t wkim_ssize;

/* Borrowed bytes.  `p` may be NULL when `n` is 0.  Never NUL-terminated by promise. */
typedef struct wkim_slice {
    const uint8_t *p;
    size_t n;
} wkim_slice;

/* Channel types of the protocol (any other value behaves as a group). */
enum wkim_channel_type {
    WKIM_CHANNEL_PERSON = 1,
    WKIM_CHANNEL_GROUP = 2,
    WKIM_CHANNEL_CUSTOMER_SERVICE = 3,
    WKIM_CHANNEL_COMMUNITY = 4,
    WKIM_CHANNEL_COMMUNITY_TOPIC = 5,
    WKIM_CHANNEL_INFO = 6,
    WKIM_CHANNEL_DATA = 7,
    WKIM_CHANNEL_TEMP = 8,
    WKIM_CHANNEL_LIVE = 9,
    WKIM_CHANNEL_VISITORS = 10,
    WKIM_CHANNEL_AGENT = 11,
    WKIM_CHANNEL_AGENT_GROUP = 12
};

/* Device flags of the protocol; other values are accepted and kept. */
enum wkim_device_flag {
    WKIM_DEVICE_APP = 0,
    WKIM_DEVICE_WEB = 1,
    WKIM_DEVICE_PC = 2,
    WKIM_DEVICE_SYSTEM = 99
};

enum wkim_device_level { WKIM_DEVICE_SLAVE = 0, WKIM_DEVICE_MASTER = 1 };

/* Frame header flags (low nibble of byte 0 on the wire). */
enum wkim_flag {
    WKIM_FLAG_NO_PERSIST = 1,
    WKIM_FLAG_RED_DOT = 2,
    WKIM_FLAG_SYNC_ONCE = 4,
    WKIM_FLAG_DUP = 8
};

/* Bits of the setting byte the server looks at; all others pass through. */
enum wkim_setting { WKIM_SETTING_TOPIC = 0x08, WKIM_SETTING_STREAM = 0x02 };

/* Reason codes told to clients (SENDACK, CONNACK, DISCONNECT).  Not API errors: see error.h. */
enum wkim_reason {
    WKIM_REASON_UNKNOWN = 0,
    WKIM_REASON_SUCCESS = 1,
    WKIM_REASON_AUTH_FAIL = 2,
    WKIM_REASON_NOT_SUBSCRIBER = 3,
    WKIM_REASON_IN_DENYLIST = 4,
    WKIM_REASON_CHANNEL_NOT_EXIST = 5,
    WKIM_REASON_USER_NOT_ON_NODE = 6,
    WKIM_REASON_SENDER_OFFLINE = 7,
    WKIM_REASON_MSG_KEY = 8,
    WKIM_REASON_PAYLOAD_DECODE = 9,
    WKIM_REASON_FORWARD_FAIL = 10,
    WKIM_REASON_NOT_ALLOW_SEND = 11,
    WKIM_REASON_KICK = 12,
    WKIM_REASON_NOT_IN_ALLOWLIST = 13,
    WKIM_REASON_TOKEN_QUERY = 14,
    WKIM_REASON_SYSTEM_ERROR = 15,
    WKIM_REASON_CHANNEL_ID = 16,
    WKIM_REASON_NODE_MATCH = 17,
    WKIM_REASON_NODE_NOT_MATCH = 18,
    WKIM_REASON_BAN = 19,
    WKIM_REASON_HEADER = 20,
    WKIM_REASON_CLIENT_KEY_EMPTY = 21,
    WKIM_REASON_RATE_LIMIT = 22,
    WKIM_REASON_CHANNEL_TYPE = 23,
    WKIM_REASON_DISBAND = 24,
    WKIM_REASON_SEND_BAN = 25
};

#ifdef __cplusplus
}
#endif
#endif
