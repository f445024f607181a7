#!/usr/bin/env python3
"""Webhooks of a real server towards a local receiver: bodies, headers, outages, restarts.

usage: python3 test/api/test_webhook.py        (build/wkim-server; WKIM_SERVER: another one)

Starts its own servers on free loopback ports in a temporary directory.
"""
import base64
import contextlib
import gzip
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import server as srv

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVER = os.environ.get("WKIM_SERVER", os.path.join(ROOT, "build", "wkim-server"))
SECRET = "hook-secret"


def read(path):
    with open(path) as f:
        return f.read()


class Receiver:
    """Keeps every request; answers `status`."""

    def __init__(self):
        self.status, self.requests, self.lock = 200, [], threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with receiver.lock:
                    status = receiver.status
                    receiver.requests.append((self.path, dict(self.headers), body, status))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def all(self, event, accepted=True):
        """(headers, decoded body) of requests of this event, in order of arrival."""
        with self.lock:
            return [(h, json.loads(b)) for p, h, b, s in self.requests
                    if p.endswith("event=" + event) and (s == 200 or not accepted)]

    def messages(self, accepted=True):
        return [m for _, body in self.all("msg.notify", accepted) for m in body]

    def entries(self):
        return [e for _, body in self.all("user.onlinestatus") for e in body]


class Server:
    def __init__(self, root, hook, more="", scheme="http"):
        self.tcp, self.ws, self.api, self.manager, self.cluster = srv.free_ports(5)
        self.root = root
        self.config = os.path.join(root, "wk.yaml")
        with open(self.config, "w") as f:
            f.write("mode: release\nrootDir: %s\naddr: tcp://127.0.0.1:%d\nwsAddr: ws://127.0.0.1:%d\n"
                    "httpAddr: 127.0.0.1:%d\ndisableEncryption: true\nmanager:\n  addr: 127.0.0.1:%d\n"
                    "demo:\n  on: false\ncluster:\n  addr: tcp://127.0.0.1:%d\n  nodeId: 1001\n"
                    "webhook:\n  httpAddr: %s://127.0.0.1:%d/hook?key=v&event=x\n  secret: %s\n"
                    "  msgNotifyEventPushInterval: 50ms\n%s"
                    % (root, self.tcp, self.ws, self.api, self.manager, self.cluster, scheme, hook,
                       SECRET, more))
        self.process = None
        self.start()

    def start(self):
        self.log = open(os.path.join(self.root, "out.log"), "ab")
        self.process = subprocess.Popen([SERVER, "--config", self.config], stdout=self.log,
                                        stderr=self.log)
        end = time.monotonic() + (120 if "WKIM_SANITIZED" in os.environ else 20)
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.tcp), 1):
                    return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        self.process.kill()
        self.process.wait()
        raise RuntimeError("no server: " + read(os.path.join(self.root, "out.log")))

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.log.close()

    def call(self, path, body):
        c = http.client.HTTPConnection("127.0.0.1", self.api, timeout=10)
        try:
            c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, json.loads(r.read() or b"null")
        finally:
            c.close()

    def send(self, sender, channel, kind, payload, **more):
        body = {"from_uid": sender, "channel_id": channel, "channel_type": kind,
                "payload": base64.b64encode(payload.encode()).decode()}
        body.update(more)
        status, answer = self.call("/message/send", body)
        if status != 200:
            raise AssertionError((status, answer))
        return answer["data"]["message_id"]

    def metrics(self):
        c = http.client.HTTPConnection("127.0.0.1", self.manager, timeout=10)
        try:
            c.request("GET", "/metrics")
            text = c.getresponse().read().decode()
        finally:
            c.close()
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#" and " " in line)


def connect(server, uid, flag=0):
    def text(s):
        return struct.pack(">H", len(s)) + s.encode()
    body = (bytes([4, flag]) + text("d") + text(uid) + text("") +
            struct.pack(">q", int(time.time() * 1000)) + text(""))
    s = socket.create_connection(("127.0.0.1", server.tcp), 20)
    s.sendall(bytes([0x10, len(body)]) + body)
    s.settimeout(20)
    if s.recv(64)[0] >> 4 != 2:
        raise AssertionError("no CONNACK")
    return s


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


class Webhook(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="wkim-hook-")
        self.hook = Receiver()
        self.server = None

    def tearDown(self):
        if self.server:
            self.server.stop(signal.SIGKILL)
        self.hook.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def start(self, more=""):
        self.server = Server(self.root, self.hook.port, more)
        return self.server

    def test_requests_have_the_recorded_form_and_are_signed(self):
        s = self.start()
        message_id = s.send("w1", "w2", 1, "hi <&> \u00fc", header={"red_dot": 1})
        self.assertTrue(wait_for(lambda: self.hook.messages() and self.hook.all("msg.offline")))
        path, headers, body, _ = next(r for r in self.hook.requests if "msg.notify" in r[0])
        self.assertEqual(path, "/hook?key=v&event=msg.notify")
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(headers["Accept-Encoding"], "gzip")
        self.assertEqual(int(headers["Content-Length"]), len(body))
        self.assertNotIn("Transfer-Encoding", headers)
        self.assertNotIn("Expect", headers)
        self.assertTrue(headers["User-Agent"].startswith("libwkim/"))
        mac = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        self.assertEqual(headers["X-WK-Signature"], "sha256=" + mac)
        self.assertEqual(len(headers["X-WK-Delivery"]), 32)
        m = json.loads(body)[0]
        payload = base64.b64encode("hi <&> \u00fc".encode()).decode()
        expected = ('[{"header":{"no_persist":0,"red_dot":1,"sync_once":0},"setting":0,"message_id":%d,'
                    '"message_idstr":"%d","client_msg_no":"%s","message_seq":1,"from_uid":"w1",'
                    '"channel_id":"w2","channel_type":1,"expire":0,"timestamp":%d,"payload":"%s"}]'
                    % (message_id, message_id, m["client_msg_no"], m["timestamp"], payload))
        self.assertEqual(body.decode(), expected)
        self.assertLess(abs(m["timestamp"] - time.time()), 60)
        offline = next(r for r in self.hook.requests if "msg.offline" in r[0])[2].decode()
        self.assertEqual(offline, expected[1:-2] + ',"to_uids":["w2"],"source_id":1001}')

    def test_long_receiver_lists_are_whole_gzip_streams(self):
        s = self.start("channel:\n  subscriberCompressOfCount: 3\n")
        uids = ["list-member-%04d-\u00e9" % i for i in range(1500)]
        s.call("/channel", {"channel_id": "gz", "channel_type": 2, "subscribers": uids})
        s.call("/channel", {"channel_id": "small", "channel_type": 2, "subscribers": ["a", "b", "c"]})
        s.send("____system", "gz", 2, "x")
        s.send("____system", "small", 2, "x")
        self.assertTrue(wait_for(lambda: len(self.hook.all("msg.offline")) == 2))
        by = {b["channel_id"]: b for _, b in self.hook.all("msg.offline")}
        self.assertEqual((by["gz"]["to_uids"], by["gz"]["compress"]), ([], "gzip"))
        packed = base64.b64decode(by["gz"]["compress_to_uids"])
        self.assertEqual(sorted(json.loads(gzip.decompress(packed))), uids)
        self.assertLess(len(packed), 1500 * 10)
        self.assertEqual(sorted(by["small"]["to_uids"]), ["a", "b", "c"])
        self.assertNotIn("compress", by["small"])
        self.assertEqual(by["gz"]["from_uid"], "____system")
        self.assertTrue(wait_for(lambda: len(self.hook.messages()) == 2))
        self.assertEqual([m["from_uid"] for m in self.hook.messages()], ["", ""])

    def test_only_focused_events_are_sent(self):
        s = self.start("  focusEvents: [user.onlinestatus]\n")
        s.send("f1", "f2", 1, "x")
        connect(s, "f1").close()
        self.assertTrue(wait_for(lambda: len(self.hook.entries()) == 2))
        time.sleep(0.3)
        self.assertEqual(self.hook.all("msg.notify") + self.hook.all("msg.offline"), [])
        self.assertRegex(self.hook.entries()[0], r"^f1-0-1-\d+-1-1$")
        self.assertRegex(self.hook.entries()[1], r"^f1-0-0-\d+-0-0$")

    def outage(self, how):
        """Send before, during and after an outage with a restart in the middle."""
        s = self.start("  msgNotifyEventRetryMaxCount: 0\n  msgNotifyEventCountPerPush: 7\n")
        pairs = [("o%d" % i, "p%d" % i) for i in range(6)]
        sent = {p: [] for p in pairs}

        def burst(n):
            for i in range(n):
                for p in pairs:
                    sent[p].append(s.send(p[0], p[1], 1, "m%d" % i))
        burst(3)
        self.assertTrue(wait_for(lambda: len(self.hook.messages()) >= 18))
        self.hook.status = 500
        burst(10)
        self.assertTrue(wait_for(lambda: len(self.hook.messages(False)) > 18))
        s.stop(how)
        s.start()
        burst(5)
        self.assertTrue(wait_for(lambda: len(self.hook.all("msg.notify", False)) > 8))
        self.hook.status = 200
        want = {m for ids in sent.values() for m in ids}
        self.assertTrue(wait_for(lambda: want <= {m["message_id"] for m in self.hook.messages()}, 40))
        for p in pairs:
            got = []
            for m in self.hook.messages():
                if m["from_uid"] == p[0] and m["message_id"] not in got:
                    got.append(m["message_id"])
            self.assertEqual(got, sent[p], p)
        # What was repeated says so: one content, one delivery id.
        ids, bodies = {}, {}
        for headers, body in self.hook.all("msg.notify", False):
            content = tuple(m["message_id"] for m in body)
            ids.setdefault(content, set()).add(headers["X-WK-Delivery"])
            bodies.setdefault(headers["X-WK-Delivery"], set()).add(content)
        self.assertTrue(all(len(v) == 1 for v in ids.values()))
        self.assertTrue(all(len(v) == 1 for v in bodies.values()))
        self.assertLess(len(ids), len(self.hook.all("msg.notify", False)), "nothing was tried again")
        key = 'wkim_webhook_queue_depth{event="msg.notify"}'
        self.assertTrue(wait_for(lambda: s.metrics()[key] == "0"))
        # Nothing is left: a further restart sends nothing again.
        time.sleep(0.5)
        s.stop()
        before = len(self.hook.all("msg.notify"))
        s.start()
        time.sleep(1)
        self.assertEqual(len(self.hook.all("msg.notify")), before)

    def test_an_outage_with_a_stop_and_start_loses_nothing(self):
        self.outage(signal.SIGTERM)

    def test_an_outage_with_a_kill_loses_nothing(self):
        self.outage(signal.SIGKILL)

    def test_online_entries_survive_an_outage_in_order(self):
        s = self.start("  msgNotifyEventRetryMaxCount: 0\n")
        self.hook.status = 503
        for i in range(4):
            c = connect(s, "on-%d" % (i % 2), i % 3)
            c.close()
            self.assertTrue(wait_for(lambda: s.metrics()["app_conn_count_total"] == "0"))
        self.assertTrue(wait_for(lambda: self.hook.all("user.onlinestatus", False)))
        self.hook.status = 200
        self.assertTrue(wait_for(lambda: len(self.hook.entries()) == 8, 20))
        for uid in ("on-0", "on-1"):
            mine = [e.rsplit("-", 5) for e in self.hook.entries() if e.rsplit("-", 5)[0] == uid]
            self.assertEqual([e[2] for e in mine], ["1", "0", "1", "0"])
            self.assertEqual(mine[0][3], mine[1][3])
            self.assertEqual(mine[2][3], mine[3][3])
        tries = self.hook.all("user.onlinestatus", False)
        self.assertEqual(tries[0][1], tries[1][1])
        self.assertEqual(tries[0][0]["X-WK-Delivery"], tries[1][0]["X-WK-Delivery"])

    def test_entries_of_connections_closed_by_a_stop_are_sent(self):
        s = self.start()
        c = connect(s, "bye")
        self.assertTrue(wait_for(lambda: len(self.hook.entries()) == 1))
        s.stop()
        c.close()
        self.assertTrue(wait_for(lambda: len(self.hook.entries()) == 2))
        self.assertRegex(self.hook.entries()[1], r"^bye-0-0-\d+-0-0$")

    def hostile(self, answers, more=""):
        """One msg.notify per answer, whose first try gets that answer; the tries seen per message."""
        part = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        tries, accepted, lock = {}, set(), threading.Lock()

        def serve(c):
            with c, contextlib.suppress(OSError):
                c.settimeout(5)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += c.recv(65536) or c.close() or b"\r\n\r\n"
                head, _, body = data.partition(b"\r\n\r\n")
                size = int(re.search(rb"Content-Length: (\d+)", head).group(1))
                while len(body) < size:
                    body += c.recv(65536)
                text = base64.b64decode(json.loads(body)[0]["payload"]).decode()
                with lock:
                    tries[text] = tries.get(text, 0) + 1
                if tries[text] > 1:
                    c.sendall(part.replace(b"OK", b"OK\r\nConnection: close"))
                    accepted.add(text)
                    return
                answer = answers[int(text)][0]
                c.sendall(answer[:-3] if answer.endswith(b"...") else answer)
                if answer.endswith(b"..."):
                    time.sleep(3)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        self.server = s = Server(self.root, listener.getsockname()[1],
                                 "  focusEvents: [msg.notify]\n  msgNotifyEventCountPerPush: 1\n"
                                 "  requestTimeout: 1500ms\n  msgNotifyEventRetryMaxCount: 0\n" + more)
        for i in range(len(answers)):
            s.send("h%d" % i, "i%d" % i, 1, str(i))
        return tries, accepted

    def test_hostile_receivers_cost_a_try_and_nothing_else(self):
        """Only an answer with status 200 counts; what else comes is told in the log."""
        answers = [(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % code, "HTTP status %d" % code)
                   for code in (201, 204, 302, 404, 500)]
        answers += [(b"\xde\xad\xbe\xef" * 400, ""), (b"", ""), (b"HTTP/1.1 200 OK\r\nCo", ""),
                    (b"...", "Operation timed out after "), (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200000, "")]
        _, accepted = self.hostile(answers)
        want = {str(i) for i in range(len(answers))}
        self.assertTrue(wait_for(lambda: accepted == want, 30), accepted)
        log = read(os.path.join(self.root, "out.log"))
        for _, reason in answers:
            self.assertIn(reason, log)

    def test_the_body_of_a_200_means_nothing(self):
        """Cut off, never ending, not chunked as it says, megabytes: the message has arrived."""
        head = b"HTTP/1.1 200 OK\r\n"
        answers = [(head + b"Content-Length: 2\r\n\r\no", ""), (head + b"Content-Length: 9\r\n\r\n...", ""),
                   (head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", ""),
                   (head + b"Transfer-Encoding: chunked\r\n\r\nnonsense", ""), (head + b"\r\n" + b"y" * 5000000, ""),
                   (head + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nxyz", ""),
                   (b"HTTP/1.1 100 Continue\r\n\r\n" + head + b"Content-Length: 0\r\n\r\n", "")]
        tries, _ = self.hostile(answers)
        sent = 'wkim_webhook_requests_total{event="msg.notify",result="ok"}'
        self.assertTrue(wait_for(lambda: float(self.server.metrics().get(sent, 0)) >= len(answers), 15), tries)
        self.assertEqual(tries, {str(i): 1 for i in range(len(answers))})

    def test_a_kept_connection_that_is_dead_costs_no_try(self):
        """The receiver resets every connection when its second request comes, as a balancer does."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        taken, resets = [], []

        def request(c):
            data = b""
            while b"\r\n\r\n" not in data:
                data += c.recv(65536) or c.close() or b"\r\n\r\n"
            size = int(re.search(rb"Content-Length: (\d+)", data).group(1))
            while len(data.partition(b"\r\n\r\n")[2]) < size:
                data += c.recv(65536)

        def serve(c):
            with c, contextlib.suppress(OSError, AttributeError):
                request(c)
                taken.append(1)
                c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                request(c)
                resets.append(1)
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        self.server = s = Server(self.root, listener.getsockname()[1],
                                 "  focusEvents: [msg.notify]\n  msgNotifyEventCountPerPush: 1\n")
        for i in range(6):
            s.send("k%d" % i, "l", 1, "x")
            self.assertTrue(wait_for(lambda i=i: len(taken) > i))
            time.sleep(0.1)
        self.assertGreaterEqual(len(resets), 2)
        self.assertEqual(s.metrics()['wkim_webhook_requests_total{event="msg.notify",result="error"}'], "0")

    def test_a_certificate_nobody_vouches_for_is_refused_and_told(self):
        cert, key = (os.path.join(self.root, n) for n in ("c.pem", "k.pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert,
                        "-days", "1", "-subj", "/CN=localhost"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        self.hook.server.socket = context.wrap_socket(self.hook.server.socket, server_side=True)
        self.server = s = Server(self.root, self.hook.port, scheme="https")
        s.send("t1", "t2", 1, "private")
        log = os.path.join(self.root, "out.log")
        self.assertTrue(wait_for(lambda: "SSL certificate problem: self" in read(log)), read(log))
        self.assertEqual(self.hook.requests, [])

    def test_given_up_messages_become_dead_letters(self):
        s = self.start("  msgNotifyEventRetryMaxCount: 2\n  focusEvents: [msg.notify]\n")
        self.hook.status = 400
        message_id = s.send("d1", "d2", 1, "dead")
        path = os.path.join(self.root, "data", "webhook-dead", "0000000000000001.jsonl")
        self.assertTrue(wait_for(lambda: os.path.exists(path) and os.path.getsize(path)))
        line = json.loads(read(path))
        self.assertEqual((line["attempts"], line["items"]), (2, 1))
        self.assertEqual(line["body"][0]["message_id"], message_id)
        self.assertEqual(s.metrics()['wkim_webhook_dropped_total{event="msg.notify",reason="attempts"}'], "1")
        self.hook.status = 200
        s.send("d1", "d2", 1, "alive")
        self.assertTrue(wait_for(lambda: self.hook.messages()))
        self.assertEqual([m["message_seq"] for m in self.hook.messages()], [2])


if __name__ == "__main__":
    unittest.main(verbosity=2)
