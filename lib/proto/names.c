#include "proto/codec.h"

const char *wk_packet_type_name(uint8_t type)
{
    static const char *const names[] = {
        "RESERVED", "CONNECT", "CONNACK", "SEND",       "SENDACK", "RECV",   "RECVACK",
        "PING",     "PONG",    "DISCONNECT", "SUB",     "SUBACK",  "EVENT",
    };
    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "UNKNOWN";
}

const char *wk_reason_name(uint8_t reason)
{
    static const char *const names[] = {
        [WKIM_REASON_UNKNOWN] = "ReasonUnknown",
        [WKIM_REASON_SUCCESS] = "ReasonSuccess",
        [WKIM_REASON_AUTH_FAIL] = "ReasonAuthFail",
        [WKIM_REASON_NOT_SUBSCRIBER] = "ReasonSubscriberNotExist",
        [WKIM_REASON_IN_DENYLIST] = "ReasonInBlacklist",
        [WKIM_REASON_CHANNEL_NOT_EXIST] = "ReasonChannelNotExist",
        [WKIM_REASON_USER_NOT_ON_NODE] = "ReasonUserNotOnNode",
        [WKIM_REASON_SENDER_OFFLINE] = "ReasonSenderOffline",
        [WKIM_REASON_MSG_KEY] = "ReasonMsgKeyError",
        [WKIM_REASON_PAYLOAD_DECODE] = "ReasonPayloadDecodeError",
        [WKIM_REASON_FORWARD_FAIL] = "ReasonForwardSendPacketError",
        [WKIM_REASON_NOT_ALLOW_SEND] = "ReasonNotAllowSend",
        [WKIM_REASON_KICK] = "ReasonConnectKick",
        [WKIM_REASON_NOT_IN_ALLOWLIST] = "ReasonNotInWhitelist",
        [WKIM_REASON_TOKEN_QUERY] = "ReasonQueryTokenError",
        [WKIM_REASON_SYSTEM_ERROR] = "ReasonSystemError",
        [WKIM_REASON_CHANNEL_ID] = "ReasonChannelIDError",
        [WKIM_REASON_NODE_MATCH] = "ReasonNodeMatchError",
        [WKIM_REASON_NODE_NOT_MATCH] = "ReasonNodeNotMatch",
        [WKIM_REASON_BAN] = "ReasonBan",
        [WKIM_REASON_HEADER] = "ReasonNotSupportHeader",
        [WKIM_REASON_CLIENT_KEY_EMPTY] = "ReasonClientKeyIsEmpty",
        [WKIM_REASON_RATE_LIMIT] = "ReasonRateLimit",
        [WKIM_REASON_CHANNEL_TYPE] = "ReasonNotSupportChannelType",
        [WKIM_REASON_DISBAND] = "ReasonDisband",
        [WKIM_REASON_SEND_BAN] = "ReasonSendBan",
    };
    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "ReasonUnknown";
}
