#!/usr/bin/env python3
"""The data source: questions, answers, what they decide, and what a bad one cannot do.

usage: python3 test/api/test_datasource.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import gzip
import http.client
import http.server
import json
import re
import struct
import threading
import time
import unittest

import server as srv
import wkproto

SUCCESS, NOT_SUBSCRIBER, DENIED, NOT_ALLOWED, SYSTEM_ERROR, BANNED, DISBANDED = 1, 3, 4, 13, 15, 19, 24
LISTS = ("getSubscribers", "getBlacklist", "getWhitelist")


class Source:
    """A scripted data source.  `say` gives the body of a question (cmd, channel_id, type): JSON-able,
    bytes as they are, a number as HTTP status, a callable that takes the handler."""

    def __init__(self):
        self.lock, self.asked, self.answers = threading.Lock(), [], {}
        source = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                data = body["data"]
                with source.lock:
                    source.asked.append((body["cmd"], data.get("channel_id"), data.get("channel_type"),
                                         self.path, dict(self.headers)))
                    answer = source.find(body["cmd"], data.get("channel_id"), data.get("channel_type"))
                try:
                    self.answer(answer)
                except OSError:
                    self.close_connection = True

            def answer(self, answer):
                if callable(answer):
                    answer = answer(self)
                    if answer is None:
                        return
                status = answer if isinstance(answer, int) else 200
                text = answer if isinstance(answer, bytes) else \
                    b"" if isinstance(answer, int) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, *a):
                pass

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://user:pass-word@127.0.0.1:%d/source?token=s3cret" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def find(self, cmd, channel, kind):
        for key in ((cmd, channel, kind), (cmd, channel), cmd):
            if key in self.answers:
                return self.answers[key]
        return {} if cmd == "getChannelInfo" else []

    def say(self, key, answer):
        with self.lock:
            self.answers[key] = answer

    def group(self, channel, members, deny=(), allow=(), **info):
        self.say(("getSubscribers", channel), list(members))
        self.say(("getBlacklist", channel), list(deny))
        self.say(("getWhitelist", channel), list(allow))
        self.say(("getChannelInfo", channel), info)

    def count(self, cmd, channel=None):
        with self.lock:
            return sum(1 for a in self.asked if a[0] == cmd and channel in (None, a[1]))

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def hang(seconds):
    def answer(_):
        time.sleep(seconds)
        return []
    return answer


class Base(srv.Running, unittest.TestCase):
    def setUp(self):
        self.source = Source()
        self.addCleanup(self.source.close)

    def node(self, members=True, **more):
        options = {"storage": {"sync": False}, "datasource": {"addr": self.source.url, "membersOn": members, "channelInfoOn": members,
                                  "requestTimeout": "20s", **more.pop("datasource", {})}, **more}
        return self.serve(options)

    def connect(self, server, uid):
        client = wkproto.Client(server.tcp, uid)
        self.addCleanup(client.close)
        client.wait("CONNACK")
        return client

    def reason(self, client, channel, kind=2, wait=10.0):
        """What one SEND is answered."""
        ack = client.say(channel, kind, "x", wait)
        self.assertIsNotNone(ack, "no SENDACK for %s" % channel)
        return ack["reasonCode"]

    def api_send(self, server, channel, kind=2, from_uid="robot", **more):
        return server.post("/message/send", {"from_uid": from_uid, "channel_id": channel, "channel_type": kind,
                                             "payload": base64.b64encode(b"x").decode(), **more})

    def metric(self, server, name):
        conn = http.client.HTTPConnection("127.0.0.1", server.ports["manager"], timeout=5)
        conn.request("GET", "/metrics")
        text = conn.getresponse().read().decode()
        conn.close()
        found = re.search(r"^%s (\S+)$" % re.escape(name), text, re.M)
        return float(found.group(1)) if found else None

    def waiting(self, server, count):
        srv.eventually(lambda: self.assertEqual(self.metric(server, "wkim_datasource_waiting"), count))


class SystemAccounts(Base):
    def test_asked_once_at_the_first_check_and_kept(self):
        self.source.say("getSystemUIDs", ["robot"])
        server = self.node(members=False)
        server.post("/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        robot, ann = self.connect(server, "robot"), self.connect(server, "ann")
        time.sleep(0.2)
        self.assertEqual(self.source.asked, [])               # lazily
        self.assertEqual(self.reason(robot, "g"), SUCCESS)    # not a member, but a system account
        for _ in range(3):
            self.assertEqual(self.reason(ann, "g"), SUCCESS)
            self.assertEqual(self.reason(ann, "bob", 1), SUCCESS)
        self.assertEqual(self.source.count("getSystemUIDs"), 1)
        cmd, _, _, path, headers = self.source.asked[0]
        self.assertEqual((cmd, path, headers["Content-Type"]),
                         ("getSystemUIDs", "/source?token=s3cret", "application/json"))
        self.assertEqual(self.reason(self.connect(server, "eve"), "g"), NOT_SUBSCRIBER)
        self.assertEqual([a[0] for a in self.source.asked], ["getSystemUIDs"])  # membersOn is off

    def test_an_error_counts_as_ordinary_and_the_next_check_asks_again(self):
        self.source.say("getSystemUIDs", 500)
        server = self.node(members=False)
        robot = self.connect(server, "robot")
        self.assertEqual(self.reason(robot, "g"), NOT_SUBSCRIBER)
        self.assertEqual(self.reason(robot, "g"), NOT_SUBSCRIBER)
        self.assertEqual(self.source.count("getSystemUIDs"), 2)
        self.source.say("getSystemUIDs", ["robot"])
        self.assertEqual(self.reason(robot, "g"), SUCCESS)
        self.assertEqual(self.reason(robot, "g"), SUCCESS)
        self.assertEqual(self.source.count("getSystemUIDs"), 3)

    def test_stored_accounts_are_not_loaded_and_changes_go_on_top(self):
        plain = self.serve()
        plain.post("/user/systemuids_add", {"uids": ["old"]})
        plain.stop()
        self.source.say("getSystemUIDs", ["robot", "gone"])
        server = self.node(members=False)
        server.options["rootDir"] = str(plain.root / "data")
        server.stop()
        server.write_config()
        server.start()
        self.assertEqual(server.call("GET", "/user/systemuids")[1], ["old"])
        server.post("/user/systemuids_remove", {"uids": ["gone"]})    # before the answer
        clients = {u: self.connect(server, u) for u in ("old", "robot", "gone", "new")}
        reasons = {u: self.reason(c, "g") for u, c in clients.items()}
        self.assertEqual(reasons, {"old": NOT_SUBSCRIBER, "robot": SUCCESS, "gone": NOT_SUBSCRIBER,
                                   "new": NOT_SUBSCRIBER})
        server.post("/user/systemuids_add", {"uids": ["new"]})
        server.post("/user/systemuids_remove", {"uids": ["robot"]})   # after it
        self.assertEqual({u: self.reason(c, "g") for u, c in clients.items()},
                         {"old": NOT_SUBSCRIBER, "robot": NOT_SUBSCRIBER, "gone": NOT_SUBSCRIBER,
                          "new": SUCCESS})
        self.assertEqual(self.source.count("getSystemUIDs"), 1)

    def test_a_hanging_source_delays_only_the_first_check(self):
        self.source.say("getSystemUIDs", hang(30))
        server = self.node(members=False, datasource={"requestTimeout": "3s"})
        server.post("/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        ann = self.connect(server, "ann")
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertGreater(time.monotonic() - began, 2.8)
        began = time.monotonic()
        for _ in range(20):
            self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertLess(time.monotonic() - began, 2.8)


class Members(Base):
    def test_lists_decide_in_the_order_of_the_matrix(self):
        self.source.group("g", ["ann", "bob", "bad"], deny=["bad"])
        self.source.group("vip", ["ann", "bob"], allow=["ann"])
        server = self.node()
        ann, bob, bad, eve = (self.connect(server, u) for u in ("ann", "bob", "bad", "eve"))
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        got = bob.wait("RECV", channelId="g")
        self.assertEqual((got["fromUid"], got["messageSeq"]), ("ann", 1))
        self.assertEqual(self.reason(bad, "g"), DENIED)
        self.assertEqual(self.reason(eve, "g"), NOT_SUBSCRIBER)
        self.assertEqual(self.reason(ann, "vip"), SUCCESS)
        self.assertEqual(self.reason(bob, "vip"), NOT_ALLOWED)
        for cmd in LISTS + ("getChannelInfo",):
            self.assertEqual(self.source.count(cmd, "g"), 1, cmd)
        self.assertIn(("getSubscribers", "g", 2), [a[:3] for a in self.source.asked])

    def test_ban_and_disband_stop_everybody_and_large_keeps_no_conversations(self):
        self.source.say("getSystemUIDs", ["robot"])
        self.source.group("banned", ["ann"], ban=1, disband=1)
        self.source.group("over", ["ann"], disband=1)
        self.source.group("huge", ["ann", "bob"], large=1)
        self.source.group("small", ["ann", "bob"])
        server = self.node()
        ann, robot, bob = (self.connect(server, u) for u in ("ann", "robot", "bob"))
        self.assertEqual((self.reason(ann, "banned"), self.reason(robot, "banned")), (BANNED, BANNED))
        self.assertEqual((self.reason(ann, "over"), self.reason(robot, "over")), (DISBANDED, DISBANDED))
        status, answer = self.api_send(server, "banned")
        self.assertEqual((status, answer["reason"]), (400, BANNED))
        self.assertEqual(self.reason(ann, "huge"), SUCCESS)
        self.assertIsNotNone(bob.wait("RECV", channelId="huge"))
        self.assertEqual(self.reason(ann, "small"), SUCCESS)
        self.assertEqual([c["channel_id"] for c in self.conversations(server, "bob")], ["small"])

    def conversations(self, server, uid):
        return server.post("/conversation/sync", {"uid": uid, "version": 0, "msg_count": 5})[1]

    def test_conversations_follow_the_members(self):
        self.source.group("g", ["ann", "bob"])
        server = self.node()
        ann = self.connect(server, "ann")
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        rows = self.conversations(server, "bob")
        self.assertEqual([(r["channel_id"], r["unread"]) for r in rows], [("g", 1)])
        self.source.group("g", ["ann", "cat"])
        server.post("/channel/subscriber_remove", {"channel_id": "g", "channel_type": 2,
                                                   "subscribers": ["bob"]})
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertEqual(self.conversations(server, "bob"), [])
        self.assertEqual([(r["channel_id"], r["unread"]) for r in self.conversations(server, "cat")],
                         [("g", 1)])                          # what came before is read
        self.source.group("g", [])                            # a slip of the source
        server.post("/channel/subscriber_add", {"channel_id": "g", "channel_type": 2, "subscribers": ["x"]})
        self.assertEqual(self.reason(ann, "g"), NOT_SUBSCRIBER)
        self.assertEqual(len(self.conversations(server, "cat")), 1)
        server.kill()
        server.start()
        self.assertEqual(len(self.conversations(server, "cat")), 1)

    def test_commands_reach_members_who_are_away(self):
        self.source.group("g", ["ann", "bob"])
        server = self.node()
        status, _ = self.api_send(server, "g", header={"sync_once": 1})
        self.assertEqual(status, 200)
        found = server.post("/message/sync", {"uid": "bob", "message_seq": 0, "limit": 10})[1]
        self.assertEqual([m["channel_id"] for m in found], ["g____cmd"])
        self.assertEqual(server.post("/message/sync", {"uid": "eve", "message_seq": 0, "limit": 10})[1], [])

    def test_events_and_other_types_reach_members_of_the_source(self):
        self.source.say(("getSubscribers", "news", 6), ["bob"])
        self.source.group("g", ["ann", "bob"])
        server = self.node()
        ann, bob = self.connect(server, "ann"), self.connect(server, "bob")
        self.assertEqual(self.reason(ann, "news", 6), SUCCESS)    # nobody need be a member there
        self.assertIsNotNone(bob.wait("RECV", channelId="news"))
        self.assertEqual({a[0] for a in self.source.asked if a[1] == "news"}, {"getSubscribers"})
        self.api_send(server, "g", from_uid="ann", is_stream=1, client_msg_no="m1")
        status, answer = server.post("/message/event", {
            "channel_id": "g", "channel_type": 2, "client_msg_no": "m1", "event_id": "e1",
            "event_type": "stream.delta", "payload": {"kind": "text", "delta": "hi"}})
        self.assertEqual(status, 200, answer)
        self.assertIsNotNone(bob.wait("EVENT"))

    def test_persons_have_the_lists_of_the_receiver(self):
        self.source.say(("getBlacklist", "bob", 1), ["ann"])
        self.source.say(("getWhitelist", "cat", 1), ["ann"])
        server = self.node(whitelistOffOfPerson=False)
        ann, eve = self.connect(server, "ann"), self.connect(server, "eve")
        self.assertEqual(self.reason(ann, "bob", 1), DENIED)
        self.assertEqual(self.reason(ann, "cat", 1), SUCCESS)
        self.assertEqual(self.reason(eve, "cat", 1), NOT_ALLOWED)
        self.assertEqual({a[0] for a in self.source.asked}, {"getSystemUIDs", "getBlacklist", "getWhitelist"})
        self.assertTrue(all(a[2] == 1 for a in self.source.asked if a[1]))

    def test_any_write_to_the_channel_asks_again(self):
        self.source.group("g", ["ann"])
        server = self.node()
        eve = self.connect(server, "eve")
        writes = (("/channel/subscriber_add", {"subscribers": ["z"]}),
                  ("/channel/subscriber_remove", {"subscribers": ["z"]}),
                  ("/channel/blacklist_add", {"uids": ["z"]}),
                  ("/channel/whitelist_add", {"uids": ["z"]}),
                  ("/channel/info", {"ban": 0}))
        self.assertEqual(self.reason(eve, "g"), NOT_SUBSCRIBER)
        self.source.group("g", ["ann", "eve"])
        self.assertEqual(self.reason(eve, "g"), NOT_SUBSCRIBER)     # kept
        for i, (path, more) in enumerate(writes):
            self.source.group("g", ["ann"] if i % 2 else ["ann", "eve"])
            status, answer = server.post(path, {"channel_id": "g", "channel_type": 2, **more})
            self.assertEqual(status, 200, answer)
            self.assertEqual(self.reason(eve, "g"), NOT_SUBSCRIBER if i % 2 else SUCCESS, path)

    def test_answers_expire(self):
        self.source.group("g", ["ann"])
        server = self.node(datasource={"cacheExpire": "300ms"})
        eve = self.connect(server, "eve")
        self.assertEqual(self.reason(eve, "g"), NOT_SUBSCRIBER)
        self.source.group("g", ["ann", "eve"])
        time.sleep(0.4)
        self.assertEqual(self.reason(eve, "g"), SUCCESS)

    def test_the_last_answer_serves_when_the_source_fails(self):
        self.source.group("g", ["ann"])
        server = self.node(datasource={"cacheExpire": "200ms"})
        ann, eve = self.connect(server, "ann"), self.connect(server, "eve")
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        for cmd in LISTS + ("getChannelInfo",):
            self.source.say((cmd, "g"), 503)
        for _ in range(3):
            time.sleep(0.25)
            self.assertEqual((self.reason(ann, "g"), self.reason(eve, "g")), (SUCCESS, NOT_SUBSCRIBER))
        self.source.say(("getSubscribers", "new"), 503)
        self.assertEqual(self.reason(ann, "new"), SYSTEM_ERROR)
        status, answer = self.api_send(server, "new")
        self.assertEqual((status, answer["reason"]), (400, SYSTEM_ERROR))
        self.source.group("new", ["ann"])
        time.sleep(0.4)
        self.assertEqual(self.reason(ann, "new"), SUCCESS)     # a failure does not hold for long


class Hostile(Base):
    def test_wrong_answers_are_refused_and_said(self):
        wrong = [b"", b"{", b"[1]", b'["ann"', b'["ann",]', b'{"a":1}', b'"ann"', b'["\xff"]', b'["ann"] x',
                 b"<html>", 404, 201, 302, [["ann"]], {"data": ["ann"]}]
        server = self.node()
        ann = self.connect(server, "ann")
        for i, answer in enumerate(wrong):
            self.source.say(("getSubscribers", "g%d" % i), answer)
            self.assertEqual(self.reason(ann, "g%d" % i), SYSTEM_ERROR, answer)
        self.source.group("flags", ["ann"], ban="yes")
        self.assertEqual(self.reason(ann, "flags"), SYSTEM_ERROR)
        log = server.tail(400)
        lines = [line for line in log.splitlines() if "datasource_failed" in line and "key=" in line
                 or '"datasource_failed"' in line]
        self.assertTrue(lines, log)
        self.assertTrue(all("127.0.0.1:%d/source" % self.source.port in line for line in lines), lines)
        self.assertLess(len(lines), 2 * 8)                     # rate limited: each shard one, in each log
        self.assertNotIn("pass-word", log)
        self.assertNotIn("s3cret", log)
        self.assertGreaterEqual(self.metric(server, 'wkim_datasource_requests_total{result="error"}'),
                                len(wrong))

    def test_items_that_cannot_be_uids_are_left_out(self):
        self.source.say(("getSubscribers", "g"),
                        ["", " ", "a@b", "c#", "d&e", "x" * 5000, "ann", "ann", "b\u00e9\"q", "\u4e2d"])
        self.source.say(("getSubscribers", "n"), b"null")
        server = self.node()
        ann, odd = self.connect(server, "ann"), self.connect(server, "b\u00e9\"q")
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertEqual(self.reason(odd, "g"), SUCCESS)
        self.assertEqual(self.reason(ann, "n"), NOT_SUBSCRIBER)

    def test_a_packed_answer_is_understood_and_counts_unpacked(self):
        def packed(value):
            text = gzip.compress(value)

            def answer(handler):
                handler.send_response(200)
                handler.send_header("Content-Encoding", "gzip")
                handler.send_header("Content-Length", str(len(text)))
                handler.end_headers()
                handler.wfile.write(text)
            return answer

        self.source.say(("getSubscribers", "g"), packed(b'["ann"]'))
        self.source.say(("getSubscribers", "bomb"), packed(b"[" + b" " * (64 << 20) + b'"ann"]'))
        server = self.node(datasource={"maxAnswer": "1MiB"})
        ann = self.connect(server, "ann")
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertEqual(self.source.asked[-1][4]["Accept-Encoding"], "gzip")
        self.assertEqual(self.reason(ann, "bomb"), SYSTEM_ERROR)
        srv.eventually(lambda: self.assertIn("maxAnswer", server.tail(400)))    # the log has its own thread

    def test_a_refused_connection_is_a_failure(self):
        self.source.close()
        server = self.node()
        ann = self.connect(server, "ann")
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "g"), SYSTEM_ERROR)
        self.assertEqual(self.reason(ann, "bob", 1), SYSTEM_ERROR)
        self.assertLess(time.monotonic() - began, 2)

    def test_a_hanging_channel_holds_up_no_other_and_keeps_its_order(self):
        release = threading.Event()

        def late(_):
            release.wait(60)
            return ["ann", "bob"]

        self.source.say(("getSubscribers", "slow"), late)
        self.source.group("quick", ["ann", "bob"])
        server = self.node(datasource={"requestTimeout": "30s"})
        ann, bob = self.connect(server, "ann"), self.connect(server, "bob")
        for i in range(20):
            ann.send("slow", 2, "m%d" % i)
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "quick"), SUCCESS)
        self.assertLess(time.monotonic() - began, 15)
        self.waiting(server, 20)
        status = []
        api = threading.Thread(target=lambda: status.append(self.api_send(server, "slow")[0]))
        api.start()
        self.waiting(server, 21)
        release.set()
        api.join()
        self.assertEqual(status, [200])
        acks = [ann.wait("SENDACK", clientSeq=i + 1) for i in range(20)]
        self.assertEqual([a["messageSeq"] for a in acks], list(range(1, 21)))
        got = [bob.wait("RECV", channelId="slow") for _ in range(21)]
        self.assertEqual([g["messageSeq"] for g in got], list(range(1, 22)))
        self.assertEqual([g["plain"].decode() for g in got[:20]], ["m%d" % i for i in range(20)])
        self.assertEqual(self.source.count("getSubscribers", "slow"), 1)   # asked once for all
        self.waiting(server, 0)

    def test_what_waits_behind_a_hanging_channel_is_bounded(self):
        release = threading.Event()

        def late(_):
            release.wait(20)
            return ["ann"]

        self.source.say(("getSubscribers", "slow"), late)
        server = self.node(datasource={"requestTimeout": "30s"})
        ann, many = self.connect(server, "ann"), 200000
        one = wkproto.frame(wkproto.SEND, 0, b"\0" + struct.pack(">I", 2) + wkproto.text("") + wkproto.text("a@b") +
                            b"\2" + struct.pack(">I", 0) + wkproto.text("") + b"x")
        ann.send("slow", 2, "first")
        flood = threading.Thread(target=lambda: ann.raw(one * many))
        flood.start()
        self.assertIsNotNone(ann.wait("SENDACK", clientSeq=2))      # refused; passes what takes so long
        flood.join()
        ann.send("slow", 2, "last")
        for _ in range(many - 1):
            self.assertIsNotNone(ann.wait("SENDACK", clientSeq=2))
        release.set()
        self.assertEqual([ann.wait("SENDACK", clientSeq=n)["messageSeq"] for n in (1, ann.seq)], [1, 2])

    def test_a_channel_without_answer_is_given_up_in_time(self):
        self.source.say(("getSubscribers", "slow"), hang(20))
        server = self.node(datasource={"requestTimeout": "2s"})
        ann = self.connect(server, "ann")
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "slow"), SYSTEM_ERROR)
        self.assertLess(time.monotonic() - began, 8)
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "slow"), SYSTEM_ERROR)           # the failure holds a while
        self.assertLess(time.monotonic() - began, 1.8)
        self.assertEqual(self.source.count("getSubscribers", "slow"), 1)
        self.assertEqual(self.metric(server, 'wkim_datasource_requests_total{result="timeout"}'), 1)

    def test_an_endless_answer_is_cut_off(self):
        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            piece = b"[" + b'"abcdefgh",' * 100000
            for _ in range(100):
                handler.wfile.write(piece)
            handler.close_connection = True

        def promised(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", str(100 << 20))
            handler.end_headers()
            handler.wfile.write(b"[" + b'"abcdefgh",' * 1000)
            time.sleep(5)

        self.source.say(("getSubscribers", "endless"), endless)
        self.source.say(("getSubscribers", "promised"), promised)
        server = self.node()
        ann = self.connect(server, "ann")
        before = server.memory()
        self.assertEqual(self.reason(ann, "promised"), SYSTEM_ERROR)
        self.assertEqual(self.reason(ann, "endless"), SYSTEM_ERROR)
        self.assertLess(server.memory() - before, 120 << 20)
        srv.eventually(lambda: self.assertIn("maxAnswer", server.tail(400)))    # the log has its own thread

    def test_a_million_members(self):
        body = json.dumps(["user-%07d" % i for i in range(1000000)] + ["ann"]).encode()
        self.source.say(("getSubscribers", "all"), body)
        self.source.group("g", ["ann", "bob"])
        server = self.node(datasource={"requestTimeout": "60s"})
        ann, bob = self.connect(server, "ann"), self.connect(server, "user-0999999")
        ann.send("all", 2, "hello")
        time.sleep(0.2)
        began = time.monotonic()
        self.assertEqual(self.reason(ann, "g"), SUCCESS)
        self.assertLess(time.monotonic() - began, 30 if srv.SANITIZED else 5)
        self.assertEqual(ann.wait("SENDACK", 80, clientSeq=1)["reasonCode"], SUCCESS)
        self.assertEqual(bob.wait("RECV", 80, channelId="all")["plain"], b"hello")
        self.assertEqual(self.reason(ann, "all"), SUCCESS)
        self.assertEqual(self.source.count("getSubscribers", "all"), 1)
        self.assertIn("mark the channel large", server.tail(400))

    def test_stopping_with_questions_under_way(self):
        self.source.say("getSystemUIDs", hang(30))
        self.source.say(("getSubscribers", "g"), hang(30))
        server = self.node()
        ann = self.connect(server, "ann")
        for _ in range(50):
            ann.send("g", 2, "x")
        time.sleep(0.3)             # any moment of the questions will do
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 12)


if __name__ == "__main__":
    unittest.main(verbosity=1)
