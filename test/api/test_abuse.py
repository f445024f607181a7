#!/usr/bin/env python3
"""Hostile and unlucky surroundings: broken frames, slow and vanishing clients, floods, bad bodies, a full
disk, wrong starts.  The server stays up, answers as specified and keeps its memory bounded.

usage: python3 test/api/test_abuse.py
"""
import base64
import concurrent.futures
import json
import os
import re
import socket
import struct
import subprocess
import tempfile
import time
import unittest

import server as srv
import wkproto

CLIENT_TYPES = (1, 3, 6, 9, 10)     # what only a server sends is ignored after login, broken or not
MEGABYTE = 1 << 20


def malformed():
    with open(srv.VECTORS / "wkproto.json", encoding="utf-8") as f:
        for case in json.load(f)["malformed"]:
            data = bytes.fromhex(case.get("hex", case.get("hexHead", "")))
            if "totalLen" in case:
                data += bytes.fromhex(case["fillByte"]) * (case["totalLen"] - len(data))
            yield case["name"], data, case["expect"]


def reset(sock):
    """Ends a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Frames(srv.Running, unittest.TestCase):
    def setUp(self):
        self.server = self.serve()

    def after_login(self, case):
        name, data, expect = case
        if not data or expect == "any":
            return None
        c = wkproto.login(self.server.tcp, "ab-" + re.sub("[^a-z0-9]", "-", name))
        try:
            c.raw(data)
            kind = data[0] >> 4
            if expect == "error":
                bye = c.wait("DISCONNECT", 20 if kind in CLIENT_TYPES or kind in (0, 13, 14, 15) else 0.3)
                if bye is None:
                    return None if kind not in CLIENT_TYPES and c.ping() else "no DISCONNECT"
                if bye["reasonCode"] not in (9, 20) or not bye["reason"]:
                    return "DISCONNECT %r" % bye
                return None if c.closed.wait(20) else "not closed"
            if expect == "need_more":
                return "closed" if c.closed.wait(0.2) else None
            if kind == wkproto.DISCONNECT or name == "ping-then-garbage":
                return None if c.closed.wait(20) else "not closed"
            return None if c.ping() else "no PONG"
        except OSError:
            return None if expect == "error" else "connection lost"
        finally:
            c.close()

    def before_login(self, case):
        name, data, expect = case
        if not data:
            return None
        c = wkproto.Client(self.server.tcp, "", login=False)
        try:
            c.raw(data)
            ack = c.wait("CONNACK", 0.3 if expect != "error" else 20)
            if name == "trailing/connect-ignored":
                return None if ack and ack["reasonCode"] == 1 else "not accepted"
            if ack:
                return "CONNACK %d" % ack["reasonCode"]
            return None if expect != "error" or c.closed.wait(20) else "not closed"
        except OSError:
            return None
        finally:
            c.close()

    def all(self, check):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            cases = list(malformed())
            bad = {case[0]: text for case, text in zip(cases, pool.map(check, cases)) if text}
        self.assertEqual(bad, {})
        self.assertGreater(len(cases), 300)
        self.assertTrue(self.server.alive() and self.server.ready())

    def test_malformed_frames_after_login(self):
        self.all(self.after_login)

    def test_malformed_frames_instead_of_login(self):
        self.all(self.before_login)


class Clients(srv.Running, unittest.TestCase):
    def test_a_client_that_does_not_read_is_closed_and_costs_little(self):
        s = self.serve()
        slow = socket.create_connection(s.tcp)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(wkproto.connect_frame("slow"))
        sender = wkproto.login(s.tcp, "fast")
        before = s.memory()
        for _ in range(600):
            self.assertEqual(sender.say("slow", 1, b"x" * 30000)["reasonCode"], 1)
        self.assertLess(s.memory() - before, 150 * MEGABYTE)
        end, online = time.monotonic() + 30, True
        while online and time.monotonic() < end:
            online = any(o["online"] for o in s.post("/user/onlinestatus", ["slow"])[1])
            time.sleep(0.1)
        self.assertFalse(online)
        slow.close()
        self.assertTrue(sender.ping())
        sender.close()

    def test_silent_connections_are_closed_and_others_served(self):
        s = self.serve()
        before = s.memory()
        flood = [socket.create_connection(s.tcp) for _ in range(300)]
        flood += [socket.create_connection(s.ws) for _ in range(100)]
        c = wkproto.login(s.tcp, "honest")
        self.assertEqual(c.say("other", 1, "hi")["reasonCode"], 1)
        for sock in flood[:300]:
            sock.settimeout(20)
            self.assertEqual(sock.recv(1), b"")
        for sock in flood:
            sock.close()
        self.assertLess(s.memory() - before, 50 * MEGABYTE)
        c.close()

    def test_clients_that_vanish_leave_nothing_behind(self):
        s = self.serve()

        def vanish(i):
            sock = socket.create_connection(s.tcp)
            data = wkproto.connect_frame("van%d" % i) + bytes.fromhex("3020000000000100")
            sock.sendall(data[:1 + i * 7 % len(data)] if i % 3 else data)
            if i % 2:
                reset(sock)
            else:
                sock.close()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(vanish, range(400)))
        end = time.monotonic() + 20
        while time.monotonic() < end:
            _, answer = s.call("GET", "/connz?limit=1000")
            if not answer["connections"]:
                break
            time.sleep(0.1)
        self.assertEqual(answer["connections"] or [], [])
        c = wkproto.login(s.tcp, "after")
        self.assertTrue(c.ping())
        c.close()

    def test_manager_with_a_wrong_token_is_refused(self):
        s = self.serve({"managerToken": "right"}, token="right")
        for token, reason in (("wrong", 2), ("", 2), ("right", 1)):
            c = wkproto.Client(s.tcp, "____manager", token=token)
            self.assertEqual(c.wait("CONNACK")["reasonCode"], reason)
            c.close()
        self.assertTrue(s.alive())


class Bodies(srv.Running, unittest.TestCase):
    def routes(self):
        text = (srv.ROOT / "server" / "http" / "routes.def").read_text()
        return re.findall(r'WK_ROUTE\(API,\s*"(\w+)",\s*"([^"]+)"', text)

    def test_bad_bodies_and_queries_on_every_route(self):
        s = self.serve()
        bodies = [b"", b"{", b"[]", b'"x"', b"null", b"{}", b'{"uid":1,"channel_id":[],"uids":{}}', b"\xff\xfe",
                  b"[" * 5000, b'{"channel_id":"' + b"\\ud800" * 50 + b'"}']
        queries = ["", "?channel_id=%00&channel_type=-1&limit=-5&uid=%ff&offset=-1",
                   "?channel_id=" + "x" * 3000 + "&channel_type=999999999999&node_id=x&sort=y"]
        routes = self.routes()
        self.assertGreater(len(routes), 60)
        for method, path in routes:
            path = path.replace(":id", "c").replace(":type", "2").replace(":no", "p").replace("*", "x")
            tries = [("", b) for b in bodies] if method != "GET" else [(q, None) for q in queries]
            for query, body in tries:
                status, answer = s.call("POST" if method == "ANY" else method, path + query, raw=body)
                self.assertTrue(status < 500 or status == 501, (method, path, query, body, status, answer))
        self.assertTrue(s.alive())

    def test_bodies_beyond_the_limit_are_refused(self):
        s = self.serve()
        with socket.create_connection(("127.0.0.1", s.ports["http"])) as sock:
            sock.settimeout(20)
            sock.sendall(b"POST /channel HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
            self.assertIn(b" 413 ", sock.recv(4096).split(b"\r\n")[0])
        before = s.memory()
        with socket.create_connection(("127.0.0.1", s.ports["http"])) as sock:
            sock.settimeout(20)
            try:
                sock.sendall(b"POST /channel HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(40):
                    sock.sendall(b"100000\r\n" + b"x" * MEGABYTE + b"\r\n")
            except OSError:
                pass                            # the server hung up in time
        self.assertLess(s.memory() - before, 40 * MEGABYTE)
        self.assertTrue(s.ready())

    def test_blank_uids_in_lists_are_refused_and_the_server_starts_again(self):
        s = self.serve()
        for route in ("blacklist_add", "blacklist_set", "blacklist_remove", "whitelist_add", "whitelist_set",
                      "whitelist_remove"):
            for uids in ([""], ["a", ""], [" "]):
                status, _ = s.post("/channel/" + route, {"channel_id": "g", "channel_type": 2, "uids": uids})
                self.assertEqual(status, 400, (route, uids))
        # among good ones a blank subscriber is left out, it does not stop the call half-way
        self.assertEqual(s.post("/channel/subscriber_add", {"channel_id": "h", "channel_type": 2,
                                                            "subscribers": ["a", "", " ", "b"]})[0], 200)
        for path in ("/user/device_quit", "/conversation/sync", "/conversation/channels", "/conversation/list",
                     "/conversations/activate", "/message/cmd/bind", "/user/token", "/user/token/batch"):
            self.assertEqual(s.post(path, {})[0], 400, path)
        self.assertEqual(s.call("GET", "/connz?offset=-1")[0], 200)
        s.kill()
        s.start()
        self.assertEqual(s.call("GET", "/channel/blacklist?channel_id=g&channel_type=2"), (200, []))
        _, page = s.call("GET", "/channel/subscribers?channel_id=h&channel_type=2")
        self.assertEqual(page["subscribers"], ["a", "b"])


class Disk(srv.Running, unittest.TestCase):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("mounting a small disk needs root")
        self.disk = tempfile.mkdtemp(prefix="wkim-disk-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", self.disk],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            os.rmdir(self.disk)
            self.skipTest("no small disk: " + done.stderr.strip())

    def tearDown(self):
        self.doCleanups()
        if os.path.ismount(self.disk):
            subprocess.run(["umount", self.disk], check=True)
            os.rmdir(self.disk)

    def test_a_full_disk_refuses_and_loses_nothing(self):
        s = self.serve({"dataDir": os.path.join(self.disk, "data"), "storage": {"segmentSize": "1MiB"}})
        c = wkproto.login(s.tcp, "d1")
        acked, refused = [], None
        for i in range(4000):
            number = "full-%d" % i
            ack = c.say("d2", 1, number.encode() + b"." * 20000, 10, number=number)
            if ack is None or ack["reasonCode"] != 1:
                refused = ack
                break
            acked.append((number, ack["messageSeq"]))
        self.assertIsNotNone(refused, "neither refused nor answered after %d" % len(acked))
        self.assertEqual(refused["reasonCode"], 15)
        status, _ = s.post("/message/send", {"from_uid": "d1", "channel_id": "d2", "channel_type": 1,
                                             "payload": base64.b64encode(b"x" * 20000).decode()})
        self.assertGreaterEqual(status, 400)
        self.assertTrue(s.alive())
        c.close()
        s.kill()
        subprocess.run(["mount", "-o", "remount,size=256m", self.disk], check=True)
        s.start()
        found, at = [], 1
        while True:
            rows = s.post("/channel/messagesync", {"login_uid": "d1", "channel_id": "d2", "channel_type": 1,
                                                   "start_message_seq": at, "pull_mode": 1,
                                                   "limit": 100})[1]["messages"]
            if not rows:
                break
            found += [(m["client_msg_no"], m["message_seq"]) for m in rows]
            at = rows[-1]["message_seq"] + 1
        self.assertEqual(found[:len(acked)], acked)
        self.assertLessEqual(len(found), len(acked) + 1)    # the refused one may have been written
        c = wkproto.login(s.tcp, "d1")
        self.assertEqual(c.say("d2", 1, "again", 10)["reasonCode"], 1)
        c.close()
        print("full disk: %d messages acknowledged before it, all there after it" % len(acked))


class Starts(srv.Running, unittest.TestCase):
    def fails(self, options, root=None):
        s = self.serve(options, start=False, root=root)
        s.launch()
        s.process.wait(20)
        self.assertNotEqual(s.process.returncode, 0)
        return s.process.returncode, s.tail()

    def test_a_port_in_use_ends_the_start(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            for key, value in (("addr", "tcp://127.0.0.1:%d" % port), ("httpAddr", "127.0.0.1:%d" % port),
                               ("wsAddr", "ws://127.0.0.1:%d" % port)):
                _, text = self.fails({key: value})
                self.assertIn(str(port), text)

    def test_two_servers_do_not_share_a_folder(self):
        s = self.serve()
        self.fails({"rootDir": s.options["rootDir"]})
        self.assertTrue(s.ready())

    def test_bad_values_end_the_start(self):
        code, text = self.fails({"cluster": {"nodeId": 5000}})
        self.assertEqual(code, 78)
        self.assertIn("cluster.nodeId", text)

    def test_foreign_data_is_refused(self):
        s = self.serve()
        s.stop()
        data = os.path.join(s.options["rootDir"], "data", "state", "FORMAT")
        with open(data, "w", encoding="ascii") as f:
            f.write("something else\n")
        s.launch()
        s.process.wait(20)
        self.assertNotEqual(s.process.returncode, 0)

    def test_an_orderly_stop_exits_0(self):
        s = self.serve()
        c = wkproto.login(s.tcp, "bye")
        self.assertEqual(s.stop(), 0)
        self.assertTrue(c.closed.wait(20))
        c.close()


if __name__ == "__main__":
    unittest.main(verbosity=1)
