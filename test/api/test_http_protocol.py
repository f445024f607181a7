#!/usr/bin/env python3
"""Transport rules of the business HTTP API against a running server (open, no managerToken).

usage: WKIM_API=http://127.0.0.1:5001 python3 test/api/test_http_protocol.py
"""
import base64
import json
import os
import socket
import sys
import time
import unittest
import urllib.parse

BASE = urllib.parse.urlsplit(os.environ.get("WKIM_API", ""))
JSON = "application/json; charset=utf-8"
PLAIN = "text/plain; charset=utf-8"


def raw(data, wait=20.0, answers=1):
    """Bytes out, bytes back until `answers` whole answers or the end of the connection."""
    with socket.create_connection((BASE.hostname, BASE.port), timeout=wait) as s:
        s.sendall(data)
        out = b""
        while out.count(b"HTTP/1.") < answers or not complete(out):
            more = s.recv(65536)
            if not more:
                break
            out += more
        return out


def complete(out):
    head, sep, body = out.rpartition(b"HTTP/1.")[2].partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return bool(sep) and len(body) >= int(line.split(b":")[1])
    return bool(sep)


def call(method, path, body=None, headers=()):
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = ["%s %s HTTP/1.1" % (method, path), "Host: test", "Connection: close"]
    if body is not None:
        lines.append("Content-Length: %d" % len(data))
    lines += ["%s: %s" % h for h in headers]
    out = raw("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    head, _, rest = out.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    found = {k.lower(): v.strip() for k, v in (f.split(":", 1) for f in fields)}
    return int(first.split()[1]), found, rest


def send_body(**more):
    b = {"from_uid": "hp1", "channel_id": "hp2", "channel_type": 1,
         "payload": base64.b64encode(b"x").decode()}
    b.update(more)
    return b


class Protocol(unittest.TestCase):
    def test_unknown_paths_and_wrong_methods_are_404_text_with_cors(self):
        for method, path in (("GET", "/no/such"), ("PUT", "/channel"), ("GET", "/user/token")):
            status, headers, body = call(method, path)
            self.assertEqual((status, body), (404, b"404 page not found"))
            self.assertEqual(headers["content-type"], "text/plain")
            self.assertEqual(headers["access-control-allow-origin"], "*")

    def test_options_is_204_everywhere(self):
        for path in ("/channel", "/anything"):
            status, headers, body = call("OPTIONS", path)
            self.assertEqual((status, body), (204, b""))
            self.assertEqual(headers["access-control-allow-methods"], "POST, OPTIONS, GET, PUT,DELETE,PATCH")

    def test_one_slash_too_many_is_redirected(self):
        for method, path, status, target in (
                ("GET", "/health/", 301, "/health"), ("GET", "/route/?intranet=1", 301, "/route?intranet=1"),
                ("POST", "/user/token/", 307, "/user/token")):
            found, headers, body = call(method, path, {} if method == "POST" else None)
            self.assertEqual((found, headers.get("location"), body), (status, target, b""), path)
        for method, path in (("GET", "/user/token/"), ("GET", "//health/"), ("GET", "/health//"), ("GET", "/")):
            self.assertEqual(call(method, path)[0], 404, path)

    def test_queries_are_read_as_version_2_reads_them(self):
        def limit(query):
            return json.loads(call("GET", "/connz?" + query)[2])["limit"]
        for query in ("limit=7", "limit=%37", "%6cimit=7", "limit=7&limit=8", "limit=%2B07", "x=1;y=2&limit=7",
                      "limit=%zz&limit=7", "&&limit=7"):
            self.assertEqual(limit(query), 7, query)
        for query in ("limit=true", "limit=+7", "limit=7%zz", "limit=7;x=2", "limit=0&limit=7", "limit=7.0",
                      "Limit=7", "limit=-7", "limit", "limit="):
            self.assertEqual(limit(query), 20, query)
        for query, status in (("node_id=-1", 200), ("node_id=x", 200), ("node_id=0", 200), ("node_id=77", 400),
                              ("node_id=99999999999999999999999", 400)):
            for path in ("/connz", "/varz", "/tags", "/plugins"):
                self.assertEqual(call("GET", "%s?%s" % (path, query))[0], status, (path, query))
        page = json.loads(call("GET", "/connz?limit=%s&offset=-3&uid=%%20" % ("9" * 30))[2])
        self.assertEqual((page["limit"], page["offset"]), (2 ** 63 - 1, 0))
        body = {"from_uid": "hp1", "channel_id": "hpq", "channel_type": 255, "payload": "eA=="}
        self.assertEqual(call("POST", "/message/send", body)[0], 200)
        for number in ("255", "256", "9" * 30):
            answer = call("GET", "/channel/max_message_seq?channel_id=hpq&channel_type=" + number)[2]
            self.assertEqual(json.loads(answer), {"message_seq": 1}, number)

    def test_head_has_no_body(self):
        self.assertEqual(call("HEAD", "/health")[2], b"")

    def check_decode(self, path, body, msg, content_type):
        status, headers, answer = call("POST", path, body)
        self.assertEqual(status, 400)
        self.assertEqual(json.loads(answer), {"msg": msg, "status": 400})
        self.assertEqual(headers["content-type"], content_type)

    def test_decode_families(self):
        self.check_decode("/user/token", b"", "EOF", JSON)
        self.check_decode("/user/token", b"  \n", "EOF", JSON)
        self.check_decode("/user/token", b'{"uid":"a', "unexpected EOF", JSON)
        self.check_decode("/channel", b"", "数据格式有误！: EOF", JSON)
        self.check_decode("/channel/info", b"{", "数据格式有误！", JSON)
        self.check_decode("/message/send", b"", "EOF", PLAIN)
        self.check_decode("/route/batch", b"{}", "数据格式有误！", PLAIN)

    def test_a_body_that_ends_too_early_is_an_unexpected_eof(self):
        whole = b'{"uid":"a\\u00e9","token":"b","device_flag":-1.5e+3,"x":[true,false,null]}'
        for n in range(1, len(whole)):
            answer = json.loads(call("POST", "/user/token", whole[:n])[2])
            self.assertEqual(answer["msg"], "unexpected EOF", whole[:n])
        for bad in (b'{"uid":trux', b'{"uid":nulls}', b'{"uid":-x', b'x', b'{"uid":tru}'):
            answer = json.loads(call("POST", "/user/token", bad)[2])
            self.assertNotEqual(answer["msg"], "unexpected EOF", bad)

    def test_members_that_a_route_does_not_know_may_be_anything(self):
        odd = {"zzz": [{"a": 1}], "Reset2": True}
        channel = {"channel_id": "hpx", "channel_type": 2}
        for path, body in (
                ("/channel", {**channel, "uids": 5, "temp_subscriber": "x", "purge": {}}),
                ("/channel/info", {**channel, "subscribers": "x", "reset": "y", "uids": 1}),
                ("/channel/subscriber_add", {**channel, "subscribers": ["a"], "uids": 1, "ban": "x"}),
                ("/channel/subscriber_remove", {**channel, "subscribers": ["a"], "uids": 1, "large": "x"}),
                ("/channel/subscriber_remove_all", {**channel, "subscribers": 1, "uids": 1, "reset": ""}),
                ("/tmpchannel/subscriber_set", {"channel_id": "hpt", "uids": ["a"], "channel_type": "x"}),
                ("/channel/blacklist_add", {**channel, "uids": ["a"], "subscribers": "q", "ban": "q"}),
                ("/channel/whitelist_set", {**channel, "uids": ["a"], "subscribers": "q", "reset": "q"}),
                ("/channel/whitelist_remove_all", {**channel, "uids": "q", "subscribers": 1}),
                ("/channel/delete", {**channel, "subscribers": 5, "ban": "q", "uids": {}}),
                ("/message/sendbatch", {"from_uid": "hp1", "subscribers": ["hp2"], "payload": "eA==",
                                        "channel_id": 5, "channel_type": "x", "is_stream": [], "wait": "x"}),
                ("/message/sync", {"uid": "hp1", "last_message_seq": "x", "channel_id": 1}),
                ("/message/syncack", {"uid": "hp1", "last_message_seq": 1, "limit": "x", "message_seq": "x"}),
                ("/conversation/channels", {"uid": "hp1", "channel_id": 1, "unread": "x"}),
                ("/conversations/clearUnread", {**channel, "uid": "hp1", "unread": "x"}),
                ("/conversations/setUnread", {**channel, "uid": "hp1", "message_seq": "x"}),
                ("/conversations/delete", {**channel, "uid": "hp1", "message_seq": "x", "unread": []})):
            status, _, answer = call("POST", path, {**body, **odd})
            self.assertEqual(status, 200, (path, answer))
        for path, body in (("/conversations/clearUnread", {**channel, "uid": "hp1", "message_seq": 2 ** 32}),
                           ("/message/eventsync", {**channel, "client_msg_no": "x", "include_private": 256}),
                           ("/message/send", send_body(tag_key=5))):
            self.assertEqual(call("POST", path, body)[0], 400, path)

    def test_integers_keep_their_range_and_type(self):
        for value in (b"256", b"-1", b"true", b'"1"', b"1.5", b"1e0", b"99999999999999999999"):
            body = b'{"uid":"hp1","token":"t","device_flag":' + value + b"}"
            self.assertEqual(call("POST", "/user/token", body)[0], 400, value)

    def test_numbers_that_fit_nowhere_do_no_harm_where_nobody_looks(self):
        for number in (b"1e400", b"-1e999", b"99999999999999999999", b"-9223372036854775809", b"1" * 4000):
            body = b'{"x":[' + number + b'],"uid":"hp1","y\\"":"' + number + b'","token":"t","device_flag":1}'
            self.assertEqual(call("POST", "/user/token", body)[0], 200, number)
            for name in (b"uid", b"token", b"device_flag"):
                body = b'{"uid":"hp1","token":"t","device_flag":1,"' + name + b'":' + number + b"}"
                self.assertEqual(call("POST", "/user/token", body)[0], 400, (name, number))
            self.assertEqual(call("POST", "/user/token", b'{"uid":"hp1","token":"t","x":' + number)[0], 400)
        call("POST", "/message/send", send_body(channel_id="hpu", channel_type=2, client_msg_no="u1"))
        event = b'{"channel_id":"hpu","channel_type":2,"client_msg_no":"u1","event_id":"e","event_type":"x","payload":1e400}'
        self.assertEqual(call("POST", "/message/event", event)[0], 400)

    def test_sequence_numbers_have_64_bits(self):
        for i in range(3):
            call("POST", "/message/send", send_body(channel_id="hpv", channel_type=2))
        top = 2 ** 64 - 1

        def sync(**more):
            status, _, body = call("POST", "/channel/messagesync", {
                "login_uid": "hp1", "channel_id": "hpv", "channel_type": 2, "limit": 9, **more})
            answer = json.loads(body)
            return status, [m["message_seq"] for m in answer["messages"]], answer["start_message_seq"], answer["end_message_seq"]
        self.assertEqual(sync(start_message_seq=2, end_message_seq=top, pull_mode=1), (200, [2, 3], 2, top))
        self.assertEqual(sync(start_message_seq=2 ** 63, end_message_seq=top, pull_mode=1), (200, [], 2 ** 63, top))
        self.assertEqual(sync(start_message_seq=top), (200, [], top, 0))
        self.assertEqual(sync(start_message_seq=top, end_message_seq=1), (200, [], top, 1))
        self.assertEqual(sync(start_message_seq=top, end_message_seq=top), (200, [], top, top))
        self.assertEqual(call("POST", "/channel/messagesync", {
            "login_uid": "hp1", "channel_id": "hpv", "start_message_seq": 2 ** 64})[0], 400)
        self.assertEqual(call("POST", "/message/syncack", {"uid": "hp1", "last_message_seq": top})[0], 200)
        self.assertEqual(call("POST", "/message/eventsync", {
            "channel_id": "hpv", "channel_type": 2, "client_msg_no": "x", "from_msg_event_seq": top})[0], 200)

    def test_first_value_counts_and_keys_fold_case(self):
        body = b'{"UID":"hp1","Token":"t","unknown":[{}],"device_flag":null} trailing'
        self.assertEqual(call("POST", "/user/token", body)[0], 200)

    def test_payload_is_strict_base64(self):
        for bad in ("@@", "eA", "eA=", "eA==x"):
            status, headers, _ = call("POST", "/message/send", send_body(payload=bad))
            self.assertEqual((status, headers["content-type"]), (400, PLAIN), bad)

    def test_deep_nesting_is_refused(self):
        self.assertEqual(call("POST", "/user/token", b"[" * 100000)[0], 400)

    def test_chunked_bodies_are_understood(self):
        body = b'{"uid":"hp1","token":"t"}'
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (body[:3], body[3:])) + b"0\r\n\r\n"
        out = raw(b"POST /user/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                  b"Connection: close\r\n\r\n" + chunks)
        self.assertTrue(out.startswith(b"HTTP/1.1 200"), out[:80])

    def test_bodies_beyond_the_limit_are_413(self):
        out = raw(b"POST /user/token HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        self.assertTrue(out.startswith(b"HTTP/1.1 413"), out[:80])

    def test_pipelined_requests_are_answered_in_order(self):
        one = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        out = raw(one + b"GET /no HTTP/1.1\r\nHost: x\r\n\r\n" + one, answers=3)
        self.assertEqual([int(part[:3]) for part in out.split(b"HTTP/1.1 ")[1:]], [200, 404, 200])

    def test_a_body_where_none_is_read_is_never_the_next_request(self):
        inner = b"GET /route HTTP/1.1\r\nHost: x\r\n\r\n"
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
        for head, body in ((b"Content-Length: %d" % len(inner), inner), (b"Transfer-Encoding: chunked", chunks)):
            for method in (b"GET", b"DELETE", b"OPTIONS"):
                out = raw(method + b" /health HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + body, answers=2)
                self.assertEqual(out.count(b"HTTP/1."), 1, out)
                self.assertIn(b"\r\nconnection: close\r\n", out.lower())
        out = raw(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" * 2, answers=2)
        self.assertEqual(out.count(b"HTTP/1.1 200"), 2, out)

    def test_clients_that_vanish_do_no_harm(self):
        body = json.dumps(send_body()).encode()
        request = b"POST /message/send HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        for i in range(50):
            s = socket.create_connection((BASE.hostname, BASE.port))
            s.sendall(request * 3 if i % 2 else request[:-5])
            if i % 3 == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            s.close()
        time.sleep(0.2)
        self.assertEqual(call("GET", "/healthz")[0], 200)

    def test_path_parameters_are_decoded(self):
        self.assertEqual(call("GET", "/cluster/channels/hp%2Fnone/2/subscribers")[2], b"[]")
        self.assertEqual(call("GET", "/cluster/channels/%zz/2/subscribers")[0], 404)

    def test_crash_inputs_of_the_reference_are_refused(self):
        self.assertEqual(call("POST", "/channel/blacklist_add", {"channel_id": "hpg", "channel_type": 2,
                                                                 "uids": [""]})[0], 400)
        self.assertEqual(call("POST", "/user/device_quit", {})[0], 400)
        self.assertEqual(call("POST", "/conversation/sync", {})[0], 400)
        self.assertEqual(call("POST", "/conversation/channels", {})[0], 400)
        self.assertEqual(call("GET", "/connz?offset=-1")[0], 200)

    def test_a_blank_number_is_made_and_blank_receivers_are_none(self):
        numbers = set()
        for no in ("", "  ", None):
            answer = json.loads(call("POST", "/message/send", send_body(client_msg_no=no))[2])
            self.assertRegex(answer["data"]["client_msg_no"], "^[0-9a-f]{32}0$")
            numbers.add(answer["data"]["message_id"])
        self.assertEqual(len(numbers), 3)
        for extra in ({"no_persist": 1}, {}):
            status, _, body = call("POST", "/message/send", {
                "payload": "eA==", "subscribers": ["", " "], "header": {"sync_once": 1, **extra}})
            self.assertEqual((status, json.loads(body)["msg"]), (400, "无法处理发送消息请求！"))

    def test_a_channel_of_type_0_is_read_as_it_is_written(self):
        self.assertEqual(call("POST", "/message/send", send_body(channel_id="hp0", channel_type=0))[0], 200)
        for body in ({"login_uid": "hp1", "channel_id": "hp0", "channel_type": 0}, {"login_uid": "x", "channel_id": "hp0"}):
            answer = json.loads(call("POST", "/channel/messagesync", body)[2])
            self.assertEqual([m["message_seq"] for m in answer["messages"]], [1])

    def test_sending_answers_ids_and_sequence(self):
        def say(**more):
            status, _, body = call("POST", "/message/send", send_body(**more))
            return status, json.loads(body)
        number = "hp-%d" % time.time_ns()
        status, answer = say(client_msg_no=number)
        self.assertEqual((status, answer), (200, {"status": 200, "data": {
            "client_msg_no": number, "message_id": answer["data"]["message_id"],
            "message_idstr": str(answer["data"]["message_id"])}}))
        flat = say(wait=1)[1]
        result = {k: v for k, v in flat["data"].items() if k != "client_msg_no"}
        self.assertEqual(result, {"message_id": int(flat["message_idstr"]), "message_idstr": flat["message_idstr"],
                                  "message_seq": result["message_seq"], "reason": 1})
        self.assertGreater(result["message_seq"], 0)
        self.assertEqual(flat, {"status": 200, "data": flat["data"], **result})
        call("POST", "/channel", {"channel_id": "hpban", "channel_type": 2, "ban": 1})
        status, answer = say(channel_id="hpban", channel_type=2)
        self.assertEqual((status, answer), (400, {"msg": "the channel is banned", "reason": 19, "status": 400}))
        listed = {"channel_id": "", "subscribers": ["hp2"], "header": {"sync_once": 1}}
        self.assertEqual(say(**listed), (200, {"status": 200}))
        self.assertEqual(set(say(wait=1, **listed)[1]),
                         {"message_id", "message_idstr", "message_seq", "reason", "status"})



if __name__ == "__main__":
    if not BASE.port:
        sys.exit("set WKIM_API to the address of the HTTP API, such as http://127.0.0.1:5001")
    unittest.main(verbosity=1)
