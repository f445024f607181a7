"""Where the specification asks for something else than the recorded reference did.

BETTER: scenario -> (rule, {connection: lines that are expected instead of the recorded ones}).
A connection that is not named is expected as recorded.
"""
import json


def ack(reason=1):
    sealed = (44, 16) if reason == 1 else (0, 0)
    return "CONNACK reason %d version 4 node 1001 flags 1 key %d salt %d" % ((reason,) + sealed)


def answer(request, result):
    return "JSON " + json.dumps({"jsonrpc": "2.0", "id": request, "result": result}, sort_keys=True)


def error(request, code, message):
    value = {"jsonrpc": "2.0", "error": {"code": code, "message": message}}
    return "JSON " + json.dumps(dict(value, id=request) if request else value, sort_keys=True)


def joined(request="c1"):
    return answer(request, {"nodeId": 1001, "reasonCode": 1, "serverVersion": 5, "timeDiff": "TIMEDIFF"})


PONG1, PONG2 = answer("ok1", {}), answer("ok2", {})
KICKED = "DISCONNECT 12 login in other device"
START = "wkproto 4: a refused CONNECT is answered with its reason and closed at once"
ORDER = "wkproto 4: what follows CONNECT is kept until CONNACK is out, then handled in order"
SEALED = "wkproto 5: SENDACK 9 for everything that does not open"
BROKEN = "wkproto 8: DISCONNECT 9 or 20, then closed"
KICK = "wkproto 7: a kicked connection is closed within 2 s and read no more"
SOCKET = "wkproto 9: full RFC 6455, 400 or 426 on a bad upgrade"
PROXY = "wkproto 9: TCP6, LOCAL and JSON after the PROXY header are understood"
JSON_START = "jsonrpc 2: a refused connect is answered with an error object and closed"
JSON_NEXT = "jsonrpc 4: the bad object is used up, codes tell the kind of error; clients 3: ping has a result"
JSON_PING = "clients 3: the answer to ping has an empty result"

def event(number, key, kind, status, payload, stamp):
    data = {"channel_id": "g-ev", "channel_type": 2, "client_msg_no": "ev-msg-1", "event_key": key,
            "from_uid": "src", "message_id": "ID", "msg_event_seq": number - 1, "payload": payload,
            "stream_status": status}
    return "JSON " + json.dumps({"jsonrpc": "2.0", "method": "event", "params": {
        "data": data, "id": "e-%d" % number, "timestamp": stamp, "type": kind}}, sort_keys=True)


BETTER = {
    "connect_bad_token": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_unknown_uid": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_empty_token": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_banned_user": (START, {"A": [ack(19), "CLOSED"]}),
    "connect_client_key_empty": (START, {"A": [ack(21), "CLOSED"]}),
    "connect_client_key_not_base64": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_client_key_short": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_client_key_all_zero": (START, {"A": [ack(2), "CLOSED"]}),
    "connect_client_key_long33": (KICK, {"A": [ack(), KICKED, "CLOSED"]}),
    "manager_wrong_token": (START, {"A": [ack(2), "CLOSED"]}),
    "pipelined_connect_ping": (ORDER, {"A": [ack(), "PONG"]}),
    "pipelined_connect_halfsend": (ORDER, {"A": [ack()]}),
    "send_before_connack": (ORDER, {"A": [ack(), "PONG"]}),
    "ping_flags": ("wkproto 8: PING 7b is a PING", {"A": [ack()] + ["PONG"] * 19}),
    "send_empty_payload": (SEALED, {"A": [ack(), "SENDACK 1 seq 0 reason 9 flags 0", "PONG",
                                          "SENDACK 2 seq 1 reason 1 flags 0"]}),
    "send_not_multiple_of_16": (SEALED, {"A": [ack(), "SENDACK 1 seq 0 reason 9 flags 0", "PONG",
                                               "SENDACK 2 seq 1 reason 1 flags 0"]}),
    "send_bad_padding": (SEALED, {"A": [ack(), "SENDACK 1 seq 0 reason 9 flags 0", "PONG",
                                        "SENDACK 2 seq 1 reason 1 flags 0"]}),
    "recv_not_acked": ("messaging dl09: a message that is sent again carries dup", {"B": [
        ack(), "RECV from ra in ra/1 seq 1 no r-1 flags 0 setting 0 expire 0 topic None: retry me"] + [
        "RECV from ra in ra/1 seq 1 no r-1 flags 8 setting 0 expire 0 topic None: retry me"] * 2}),
    "send_to_self": ("wkproto 5: a message to oneself is delivered once", {"B": [
        ack(), "RECV from me in me/1 seq 1 no me-1 flags 0 setting 0 expire 0 topic None: note to self"]}),
    "kick_master_other_device": (KICK, {"A": [ack(), KICKED, "CLOSED"]}),
    "kick_master_same_device": (KICK, {"A": [ack(), "CLOSED"]}),
    "kick_slave_same_device": (KICK, {"A": [ack(), "CLOSED"]}),
    "device_quit_api": (KICK, {"A": [ack(), "DISCONNECT 12 ", "CLOSED"]}),
    "kicked_connection_keeps_sending": (KICK, {"R": [ack()], "A": [ack(), KICKED, "CLOSED"], "B": [ack()]}),
    "malformed_type0": (BROKEN, {"A": [ack(), "DISCONNECT 20 unsupported frame type 0", "CLOSED"]}),
    "malformed_type0_zero_len": (BROKEN, {"A": [ack(), "DISCONNECT 20 unsupported frame type 0", "CLOSED"]}),
    "malformed_type13": (BROKEN, {"A": [ack(), "DISCONNECT 20 unsupported frame type 13", "CLOSED"]}),
    "malformed_type15": (BROKEN, {"A": [ack(), "DISCONNECT 20 unsupported frame type 15", "CLOSED"]}),
    "malformed_send_zero_length": (BROKEN, {"A": [
        ack(), "DISCONNECT 9 malformed frame: send.setting", "CLOSED"]}),
    "malformed_send_truncated_body": (BROKEN, {"A": [
        ack(), "DISCONNECT 9 malformed frame: send.clientMsgNo", "CLOSED"]}),
    "malformed_send_negative_string": (BROKEN, {"A": [
        ack(), "DISCONNECT 9 malformed frame: send.clientMsgNo", "CLOSED"]}),
    "malformed_send_string_too_long": (BROKEN, {"A": [
        ack(), "DISCONNECT 9 malformed frame: send.clientMsgNo", "CLOSED"]}),
    "malformed_recvack_short": (BROKEN, {"A": [
        ack(), "DISCONNECT 9 malformed frame: recvack.messageSeq", "CLOSED"]}),
    "malformed_varint_5_bytes": (BROKEN, {"A": [ack(), "DISCONNECT 9 frame too large", "CLOSED"]}),
    "malformed_declared_256MiB": (BROKEN, {"A": [ack(), "DISCONNECT 9 frame too large", "CLOSED"]}),
    "oversize_1MiB_plus1": (BROKEN, {"A": [ack(), "DISCONNECT 9 frame too large", "CLOSED"]}),
    "client_sends_server_types": ("wkproto 8: a DISCONNECT of the client closes",
                                  {"A": [ack()] + ["PONG"] * 7 + ["CLOSED"]}),
    "ws_text_opcode_binary_protocol": (SOCKET, {"A": ["HTTP 101", "WS close 1007", "CLOSED"]}),
    "ws_ping_close": (SOCKET, {"A": ["HTTP 101", ack(), "WS pong 6862", "WS close 1000", "CLOSED"]}),
    "ws_fragmented": (SOCKET, {"A": ["HTTP 101", ack(), "PONG", "SENDACK 1 seq 2 reason 1 flags 0"]}),
    "ws_one_and_a_half": (SOCKET, {"A": ["HTTP 101", ack(), "PONG", "SENDACK 1 seq 3 reason 1 flags 0",
                                         "PONG"]}),
    "ws_data_with_upgrade": (SOCKET, {"A": ["HTTP 101", ack(), "PONG"]}),
    "ws_unmasked": (SOCKET, {"A": ["HTTP 101", ack(), "WS close 1002", "CLOSED"]}),
    "ws_tcp_protocol_on_ws_port": (SOCKET, {"A": ["HTTP 400", "CLOSED"]}),
    "ws_bad_upgrade": (SOCKET, {"A": ["HTTP 426", "CLOSED"]}),
    "silent_client_ws": (SOCKET, {"A": ["HTTP 101", "WS close 1000", "CLOSED"]}),
    "idle_timeout": ("wkproto 4: idle clients are closed in time; the recording lacks the last PONG",
                     {"B": ["CONNACK reason 1 version 4 node 1001 flags 1 key 0 salt 0"] + ["PONG"] * 6}),
    "proxy_v1_tcp6": (PROXY, {"A": [ack()]}),
    "proxy_v2_local": (PROXY, {"A": [ack()]}),
    "proxy_v1_then_json": (PROXY, {"A": [joined("1")]}),
    "json_tcp_session": (JSON_PING, {"A": [joined(), answer("p1", {}), answer("p2", {}), answer("p3", {})]}),
    "json_tcp_half": ("jsonrpc 4: an incomplete object is waited for",
                      {"A": [joined(), answer("p1", {}), answer("p2", {})]}),
    "json_tcp_half_connect": ("jsonrpc 2: a connect object may come in pieces", {"A": [joined()]}),
    "json_pipelined": (ORDER, {"A": [joined(), answer("p1", {}), answer("p2", {})]}),
    "json_ws_session": ("jsonrpc 2: disconnect is answered, then closed; clients 3: ping has a result", {"A": [
        "HTTP 101", joined(), answer("p1", {}), answer("s1", {
            "header": {"redDot": True}, "messageId": "MESSAGEID", "messageSeq": 1, "reasonCode": 1}),
        "JSON " + json.dumps({"jsonrpc": "2.0", "method": "recv", "params": {
            "channelId": "jb", "channelType": 1, "clientMsgNo": "j-2", "fromUid": "jb",
            "header": {"redDot": True}, "messageId": "MESSAGEID", "messageSeq": 2,
            "payload": "eyJ0eXBlIjoxLCJjb250ZW50IjoiYmFjayJ9", "setting": {"receipt": True},
            "timestamp": "NOW"}}, sort_keys=True),
        answer("d1", {}), "WS close 1000", "CLOSED"]}),
    "json_error_unknown_method": (JSON_NEXT, {"A": [
        "HTTP 101", joined(), error("u1", -32601, "jsonrpc: unknown method: nope"), PONG1, PONG2]}),
    "json_error_subscribe": (JSON_NEXT, {"A": [
        "HTTP 101", joined(), error("u1", -32601, "unknown packet type: jsonrpc.SubscribeRequest"),
        PONG1, PONG2]}),
    "json_error_payload_object": ("jsonrpc 2: a payload may be an object", {"A": [
        "HTTP 101", joined(), answer("u1", {"messageId": "MESSAGEID", "messageSeq": 1, "reasonCode": 1}),
        PONG1, PONG2]}),
    "json_error_id_number": (JSON_NEXT, {"A": [
        "HTTP 101", joined(), error(None, -32600, "jsonrpc: failed to unmarshal field: request ID"),
        PONG1, PONG2]}),
    "json_error_recvack_with_id": (JSON_NEXT, {"A": [
        "HTTP 101", joined(), error("u1", -32601, "jsonrpc: unknown method: recvack"), PONG1, PONG2]}),
    "json_connect_ping_first": (JSON_START, {"A": ["HTTP 101", "WS close 1000", "CLOSED"]}),
    "json_connect_bad_token": (JSON_START, {"A": ["HTTP 101", error("1", 2, "ReasonAuthFail"),
                                                  "WS close 1000", "CLOSED"]}),
    "json_connect_no_params": (JSON_START, {"A": [
        "HTTP 101", error("1", -32602, "jsonrpc: missing params field: method connect"),
        "WS close 1000", "CLOSED"]}),
    "json_connect_empty_uid": ("scenario cn04: a refused uid is closed without an answer",
                               {"A": ["HTTP 101", "WS close 1000", "CLOSED"]}),
    "json_connect_no_id": (JSON_START, {"A": ["HTTP 101", "WS close 1000", "CLOSED"]}),
    "json_connect_array": (JSON_START, {"A": ["HTTP 101", "WS close 1000", "CLOSED"]}),
    "json_binary_mix": ("jsonrpc 4: a mix of protocols closes the connection", {"B": [
        "HTTP 101", joined(), error(None, -32700, "jsonrpc: invalid message structure or field combination"),
        "WS close 1000", "CLOSED"]}),
    "json_error_not_json": ("jsonrpc 4: wait for what is incomplete; a syntax error is answered, then closed", {"A": [
        "HTTP 101", joined(), error(None, -32700, "jsonrpc: invalid message structure or field combination"),
        "WS close 1000", "CLOSED"]}),
    "json_kick": (KICK, {"A": ["HTTP 101", joined(), "JSON " + json.dumps({
        "jsonrpc": "2.0", "method": "disconnect",
        "params": {"reason": "login in other device", "reasonCode": 12}}, sort_keys=True),
        "WS close 1000", "CLOSED"]}),
    "json_event_stream": ("clients 3: recv always has a header", {"A": [
        "HTTP 101", joined(), "JSON " + json.dumps({"jsonrpc": "2.0", "method": "recv", "params": {
            "channelId": "g-ev", "channelType": 2, "clientMsgNo": "ev-msg-1", "fromUid": "src", "header": {},
            "messageId": "MESSAGEID", "messageSeq": 1, "payload": "eyJ0eXBlIjoxfQ==",
            "setting": {"stream": True}, "timestamp": "NOW"}}, sort_keys=True),
        event(1, "main", "stream.delta", "open", {"delta": "hi"}, 1700000000123),
        event(2, "__finish__", "stream.finish", "closed", {}, 1700000000456)]}),
}
