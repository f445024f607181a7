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


def raw(data, wait=5.0, answers=1):
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

    def test_integers_keep_their_range_and_type(self):
        for value in (b"256", b"-1", b"true", b'"1"', b"1.5", b"1e0", b"99999999999999999999"):
            body = b'{"uid":"hp1","token":"t","device_flag":' + value + b"}"
            self.assertEqual(call("POST", "/user/token", body)[0], 400, value)

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

    def test_sending_answers_ids_and_sequence(self):
        status, _, body = call("POST", "/message/send", send_body(client_msg_no="hp-%d" % time.time_ns()))
        answer = json.loads(body)
        self.assertEqual((status, answer["status"], answer["reason"]), (200, 200, 1))
        self.assertEqual(answer["data"]["message_idstr"], str(answer["message_id"]))
        self.assertGreater(answer["message_seq"], 0)


if __name__ == "__main__":
    if not BASE.port:
        sys.exit("set WKIM_API to the address of the HTTP API, such as http://127.0.0.1:5001")
    unittest.main(verbosity=1)
