#!/usr/bin/env python3
"""Webhooks of a real server by gRPC: what goes out, which answers count, receivers that misbehave.

usage: python3 test/api/test_webhook_grpc.py        (build/wkim-server; WKIM_SERVER: another one)

The published gRPC server of test/sdk proves that we speak the protocol; here every byte of an answer
is made by hand (grpc_receiver.py).
"""
import base64
import http.client
import json
import socket
import struct
import time
import unittest

import grpc_receiver as h2
import server as srv


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def once(bad):
    """The first call of each content meets `bad`, every later one Success."""
    seen = set()

    def behave(conn, stream, event, data):
        if data in seen:
            h2.succeed(conn, stream, event, data)
        else:
            seen.add(data)
            bad(conn, stream)
    return behave


def headers(conn, stream, block, end=True):
    conn.send(h2.frame(h2.HEADERS, h2.END_HEADERS | (h2.END_STREAM if end else 0), stream, block))


def raw_answer(payload, end=False, status="0"):
    def bad(conn, stream):
        headers(conn, stream, h2.OK_HEADERS, end=False)
        conn.send(h2.frame(h2.DATA, h2.END_STREAM if end else 0, stream, payload))
        if not end:
            headers(conn, stream, h2.literal("grpc-status", status))
    return bad


def megabytes(conn, stream):
    headers(conn, stream, h2.OK_HEADERS, end=False)
    part = h2.frame(h2.DATA, 0, stream, b"\xff" * 16384)
    for _ in range(2000):       # nobody gives us credit for that much
        conn.send(part)


def endless_headers(conn, stream):
    conn.send(h2.frame(h2.HEADERS, 0, stream, h2.OK_HEADERS))
    part = h2.literal("x" * 100, "y" * 120) * 70
    for _ in range(4000):
        conn.send(h2.frame(h2.CONTINUATION, 0, stream, part))


def pings(conn, stream):
    conn.sock.settimeout(3)
    part = h2.frame(h2.PING, 0, 0, b"12345678") * 1000
    for _ in range(200):        # the answers are never read
        conn.send(part)


# name: (what the call gets, what the log says)
CALLS = {
    "unavailable": (lambda c, s: headers(c, s, h2.OK_HEADERS + h2.literal("grpc-status", "14")
                                         + h2.literal("grpc-message", 'so "sorry"')),
                    "grpc-status 14 so ?sorry?"),
    "trailers": (lambda c, s: h2.answer(c, s, status="2"), "grpc-status 2"),
    "error": (lambda c, s: h2.answer(c, s, body=b"\x08\x00"), "the receiver answered status Error"),
    "empty": (lambda c, s: h2.answer(c, s, body=b""), "the receiver answered status Error"),
    "unknown": (lambda c, s: h2.answer(c, s, body=b"\x08\x07"), "the receiver answered an unknown status"),
    "nothing": (lambda c, s: headers(c, s, h2.OK_HEADERS + h2.literal("grpc-status", "0")),
                "the answer holds no message"),
    "no protobuf": (lambda c, s: h2.answer(c, s, body=b"\xff\xff\xff"), "the answer is no EventResp"),
    "packed": (raw_answer(h2.message(h2.SUCCESS, packed=1)), "the answer is packed"),
    "two": (raw_answer(h2.message(h2.SUCCESS) * 2), "the answer holds more than one message"),
    "cut": (raw_answer(h2.message(h2.SUCCESS)[:-1]), "the answer ends inside its message"),
    "prefix": (raw_answer(b"\x00\x00"), "the answer ends inside the prefix"),
    "length": (raw_answer(b"\x00\xff\xff\xff\xff\x08"), "the answer ends inside its message"),
    "no status": (raw_answer(h2.message(h2.SUCCESS), end=True), "the answer ends without a grpc-status"),
    "bad status": (raw_answer(h2.message(h2.SUCCESS), status="zero"), "the answer ends without a grpc-status"),
    "404": (lambda c, s: headers(c, s, h2.literal(":status", "404")), "the receiver answered HTTP status 404"),
    "html": (lambda c, s: headers(c, s, b"\x88" + h2.literal("content-type", "text/html")),
             "the answer's content type is not application/grpc"),
    "reset": (lambda c, s: c.send(h2.frame(h2.RST, 0, s, struct.pack(">I", 2))),
              "the receiver reset the call: INTERNAL_ERROR"),
    "silent": (lambda c, s: None, "no answer within 1500 ms"),
}
# The connection is lost with the call.
CONNECTIONS = {
    "megabytes": (megabytes, "the answer is too big"),
    "endless headers": (endless_headers, ""),
    "pings": (pings, ""),
    "garbage": (lambda c, s: c.send(b"\xde\xad\xbe\xef" * 500), ""),
    "half a frame": (lambda c, s: (c.send(b"\x00\x40\x00\x00\x01"), c.sock.shutdown(2)), "closed the connection"),
    "pushed": (lambda c, s: c.send(h2.frame(5, h2.END_HEADERS, s, b"\0\0\0\2" + h2.OK_HEADERS)), ""),
    "closed": (lambda c, s: c.sock.shutdown(2), "closed the connection"),
}


class Grpc(srv.Running, unittest.TestCase):
    def begin(self, port=None, **webhook):
        if port is None:
            self.hook = h2.Receiver()
            self.addCleanup(lambda: self.hook.close())
        options = {"grpcAddr": "127.0.0.1:%d" % (port or self.hook.port), "msgNotifyEventPushInterval": "20ms",
                   "msgNotifyEventRetryMaxCount": 0, "requestTimeout": "1500ms", "focusEvents": ["msg.notify"],
                   **webhook}
        self.server = self.serve({"webhook": options})

    def send(self, to, payload):
        status, got = self.server.post("/message/send", {
            "from_uid": "sender", "channel_id": to, "channel_type": 1,
            "payload": base64.b64encode(payload.encode()).decode()})
        self.assertEqual(status, 200, got)

    def payloads(self, accepted=True):
        return [base64.b64decode(m["payload"]).decode() for body in self.hook.bodies(accepted=accepted)
                for m in json.loads(body)]

    def arrives(self, *texts):
        self.assertTrue(wait_for(lambda: set(texts) <= set(self.payloads())), self.payloads())

    def log(self):
        return (self.server.root / "out.log").read_text(errors="replace")

    def metric(self, name):
        c = http.client.HTTPConnection("127.0.0.1", self.server.ports["manager"], timeout=10)
        try:
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
        finally:
            c.close()
        return {k: float(v) for k, v in (line.rsplit(" ", 1) for line in text.splitlines()
                                         if line[:1] != "#" and " " in line)}.get(name)

    def test_two_connections_are_opened_at_the_start(self):
        self.begin()
        self.assertTrue(wait_for(lambda: len(self.hook.connections) == 2))
        self.send("r", "hello")
        self.arrives("hello")
        self.assertEqual(len(self.hook.connections), 2)

    def test_the_address_wins_over_http_and_all_events_come(self):
        self.begin(focusEvents=[], httpAddr="http://127.0.0.1:9/hook")
        self.send("r", "hello")
        self.arrives("hello")
        self.assertTrue(wait_for(lambda: self.hook.bodies("msg.offline")))
        self.assertEqual(json.loads(self.hook.bodies("msg.offline")[0])["to_uids"], ["r"])
        self.assertTrue(wait_for(
            lambda: self.metric('wkim_webhook_requests_total{event="msg.notify",result="ok"}') == 1))

    def test_only_success_counts_and_the_log_says_why(self):
        self.begin(msgNotifyEventCountPerPush=1)
        behaviours = {name: once(bad) for name, (bad, _) in CALLS.items()}
        self.hook.behave = lambda c, s, e, d: behaviours[base64.b64decode(json.loads(d)[0]["payload"]).decode()](
            c, s, e, d)
        for name in CALLS:
            self.send("to " + name, name)
        self.arrives(*CALLS)
        text = self.log()
        for name, (_, reason) in CALLS.items():
            self.assertIn(reason, text, name)
        self.assertEqual(sorted(self.payloads()), sorted(CALLS))
        self.assertEqual(sorted(self.payloads(False)), sorted(list(CALLS) * 2))
        self.assertGreaterEqual(self.metric('wkim_webhook_requests_total{event="msg.notify",result="error"}'),
                                len(CALLS))

    def test_hostile_connections_cost_a_try_and_no_memory(self):
        self.begin()
        self.send("r", "first")
        self.arrives("first")
        before = self.server.memory()
        for name, (bad, reason) in CONNECTIONS.items():
            with self.subTest(name):
                self.hook.behave = once(bad)
                self.send("r", name)
                self.arrives(name)
                self.assertIn(reason, self.log())
        self.assertLess(self.server.memory() - before, 24 << 20)
        self.assertEqual(self.server.call("GET", "/health")[0], 200)

    def test_goaway_moves_a_call_that_was_not_looked_at(self):
        self.begin()
        self.hook.behave = once(lambda c, s: c.send(h2.frame(h2.GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"bye")))
        self.send("r", "moved")
        began = time.monotonic()
        self.arrives("moved")
        self.assertLess(time.monotonic() - began, 0.9, "it waited for a second try")
        self.assertEqual(self.metric('wkim_webhook_requests_total{event="msg.notify",result="error"}'), 0)

    def test_a_receiver_that_is_not_there_is_found_when_it_comes(self):
        port = srv.free_ports(1)[0]
        held = socket.socket()      # bound, but it does not listen: nobody else takes the port
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        self.begin(port)
        self.send("r", "early")
        self.assertTrue(wait_for(
            lambda: "cannot connect to 127.0.0.1:%d: Connection refused" % port in self.log()), self.log())
        held.close()
        self.hook = h2.Receiver(port)
        self.addCleanup(self.hook.close)
        self.arrives("early")

    def test_a_receiver_that_restarts_loses_nothing(self):
        self.begin()
        for i in range(20):
            self.send("r%d" % (i % 3), "m%d" % i)
            if i == 8:
                self.hook.drop()
        self.arrives(*["m%d" % i for i in range(20)])

    def greeting(self, greet, reason):
        self.begin()
        self.hook.drop()
        self.hook.greet = greet
        self.send("r", "late")
        self.assertTrue(wait_for(lambda: reason in self.log()), self.log())
        self.hook.greet = None
        self.hook.drop()
        self.arrives("late")

    def test_a_listener_that_says_nothing_is_no_receiver(self):
        self.greeting(lambda c: time.sleep(6), "does not speak HTTP/2")

    def test_an_http1_server_is_no_receiver(self):
        self.greeting(lambda c: c.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"), "webhook_refused")

    def test_localhost_is_tried_by_all_its_addresses(self):
        self.hook = h2.Receiver()
        self.addCleanup(self.hook.close)
        self.begin(self.hook.port, grpcAddr="localhost:%d" % self.hook.port)
        self.send("r", "by name")
        self.arrives("by name")

    def test_a_name_that_nobody_knows_is_told(self):
        self.begin(9, grpcAddr="no-such-name.invalid:9")
        self.send("r", "x")
        self.assertTrue(wait_for(lambda: "no-such-name.invalid:9 is not" in self.log()), self.log())

    def test_many_calls_share_at_most_twenty_connections(self):
        self.begin(msgNotifyEventCountPerPush=1, workers=64)

        def slow(conn, stream, event, data):
            time.sleep(0.02)
            h2.succeed(conn, stream, event, data)
        self.hook.behave = slow
        texts = ["m%d" % i for i in range(300)]
        for text in texts:
            self.send("to " + text, text)
        self.assertTrue(wait_for(lambda: len(self.payloads()) >= 300, 30))
        self.assertEqual(sorted(self.payloads()), sorted(texts))
        self.assertLessEqual(len(self.hook.connections), 20)

    def test_a_large_body_passes_the_windows_of_http2(self):
        self.begin()
        text = "x" * 300000
        self.send("r", text)
        self.arrives(text)

    def test_the_server_stops_while_a_call_hangs(self):
        self.begin(requestTimeout="30s")
        self.hook.behave = lambda c, s, e, d: None
        self.send("r", "hangs")
        self.assertTrue(wait_for(lambda: self.payloads(False)))
        self.assertEqual(self.server.stop(25), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
