#!/usr/bin/env python3
"""Deleting messages: /message/delete, /messages/retention, /channel/retention, the limits of wk.yaml.

usage: python3 test/api/test_retention.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import http.server
import random
import threading
import time
import unittest

import server as srv
import wkproto

G = {"channel_id": "g", "channel_type": 2}
P = {"channel_id": "bob", "channel_type": 1, "login_uid": "ann"}


def text(value):
    return base64.b64encode(value.encode()).decode()


class Retention(srv.Running, unittest.TestCase):
    def ready(self, options=None, members=("ann", "bob")):
        server = self.serve(options)
        self.ok(server, "/channel", {**G, "subscribers": list(members)})
        return server

    def ok(self, server, path, body):
        status, answer = server.post(path, body)
        self.assertEqual(status, 200, (path, body, answer))
        return answer

    def send(self, server, count=1, number="m", **more):
        out = []
        for i in range(count):
            body = {"from_uid": "ann", **G, "wait": 1, "client_msg_no": "%s%d" % (number, i), "payload": text("%s%d" % (number, i)), **more}
            out.append(self.ok(server, "/message/send", body)["data"])
        return out

    def seqs(self, server, channel=None, **more):
        body = {"login_uid": "bob", "limit": 100, **(channel or G), **more}
        answer = self.ok(server, "/channel/messagesync", body)
        return [m["message_seq"] for m in answer["messages"]], answer["more"]

    def limits(self, server, channel_id="g", more="&channel_type=2"):
        status, answer = server.call("GET", "/channel/retention?channel_id=%s%s" % (channel_id, more))
        self.assertEqual(status, 200, answer)
        return answer

    def until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come")
            time.sleep(0.05)

    def removed(self, server, **more):
        self.until(lambda: self.limits(server, **more)["removing"] == 0)

    # ---- single messages
    def test_a_message_is_deleted_for_every_route(self):
        server = self.ready()
        data = self.send(server, 6)
        answer = self.ok(server, "/message/delete", {**G, "message_seqs": [2], "message_ids": [data[2]["message_id"]],
                                                     "client_msg_nos": ["m3", "nosuch"]})
        self.assertEqual(answer, {"status": 200, "data": {"deleted": 3}})
        self.assertEqual(self.seqs(server), ([1, 5, 6], 0))
        found = self.ok(server, "/messages", {**G, "message_seqs": [2, 5], "client_msg_nos": ["m3"],
                                              "message_ids": [data[2]["message_id"]]})
        self.assertEqual([m["message_seq"] for m in found["messages"]], [5])
        for number in ("m1", "m2", "m3"):
            self.assertEqual(server.call("GET", "/message/byclientmsgno?channel_id=g&channel_type=2&client_msg_no="
                                         + number)[1], {"status": 404})
        self.ok(server, "/message/delete", {**G, "message_seqs": [6]})
        self.assertEqual(server.call("GET", "/channel/last_message?channel_id=g&channel_type=2")[1]["message_seq"], 5)
        self.assertEqual(server.call("GET", "/channel/max_message_seq?channel_id=g&channel_type=2")[1],
                         {"message_seq": 6})
        row = self.ok(server, "/conversation/sync", {"uid": "bob", "msg_count": 10})[0]
        self.assertEqual((row["unread"], [m["message_seq"] for m in row["recents"]]), (2, [5, 1]))
        self.assertEqual(self.ok(server, "/message/delete", {**G, "message_seqs": [6]})["data"]["deleted"], 0)

    def test_person_channels_are_named_by_the_peer_or_as_stored(self):
        server = self.ready()
        for i in range(4):
            self.ok(server, "/message/send", {"from_uid": "ann", "channel_id": "bob", "channel_type": 1,
                                              "payload": text("p%d" % i)})
        self.assertEqual(self.ok(server, "/message/delete", {**P, "message_seqs": [2]})["data"]["deleted"], 1)
        self.assertEqual(self.ok(server, "/message/delete", {"channel_id": "ann@bob", "channel_type": 1,
                                                             "message_seqs": [3]})["data"]["deleted"], 1)
        self.assertEqual(self.seqs(server, {"channel_id": "ann", "channel_type": 1})[0], [1, 4])
        answer = self.ok(server, "/messages/retention", {**P, "through_seq": 1})
        self.assertEqual(answer["data"], {"deleted_to_seq": 1, "max_message_seq": 4})
        self.assertEqual(self.limits(server, "bob", "&channel_type=1&login_uid=ann")["first_message_seq"], 2)

    # ---- histories
    def test_a_history_is_deleted_and_numbers_go_on(self):
        server = self.ready()
        self.send(server, 30)
        answer = self.ok(server, "/messages/retention", {**G, "through_seq": 25})
        self.assertEqual(answer, {"status": 200, "data": {"deleted_to_seq": 25, "max_message_seq": 30}})
        self.assertEqual(self.seqs(server), ([26, 27, 28, 29, 30], 0))
        self.assertEqual(self.seqs(server, start_message_seq=1, pull_mode=1, limit=3), ([26, 27, 28], 1))
        row = self.ok(server, "/conversation/sync", {"uid": "bob", "msg_count": 1})[0]
        self.assertEqual((row["unread"], row["last_msg_seq"]), (5, 30))
        self.assertEqual(self.ok(server, "/messages/retention", {**G, "through_seq": 2 ** 40})["data"],
                         {"deleted_to_seq": 30, "max_message_seq": 30})
        self.removed(server)
        for again in range(3):
            self.assertEqual(self.seqs(server), ([], 0))
            self.assertEqual(server.call("GET", "/channel/max_message_seq?channel_id=g&channel_type=2")[1],
                             {"message_seq": 30})
            server.kill() if again else server.stop()
            server.start()
        self.assertEqual(self.send(server, number="next")[0]["message_seq"], 31)

    def test_a_purged_channel_is_empty_and_goes_on(self):
        server = self.ready()
        self.send(server, 5)
        self.ok(server, "/channel/delete", {**G, "purge": 1})
        self.removed(server)
        self.assertEqual(self.seqs(server), ([], 0))
        self.ok(server, "/channel", {**G, "subscribers": ["ann", "bob"]})
        self.assertEqual(self.send(server, number="next")[0]["message_seq"], 6)
        row = self.ok(server, "/conversation/sync", {"uid": "bob", "msg_count": 1})[0]
        self.assertEqual(row["unread"], 1)

    def test_events_go_with_their_message(self):
        server = self.ready()
        self.send(server, 2, is_stream=1)
        event = {**G, "client_msg_no": "m0", "event_id": "e1", "event_type": "stream.snapshot", "payload": {"a": 1}}
        self.ok(server, "/message/event", event)
        self.ok(server, "/message/delete", {**G, "client_msg_nos": ["m0"]})
        sync = self.ok(server, "/message/eventsync", {**G, "client_msg_no": "m0"})
        self.assertEqual(sync["data"]["events"], [])
        self.assertEqual(server.post("/message/event", {**event, "event_id": "e2"})[0], 404)

    def test_webhooks_go_on_when_their_message_is_gone(self):
        got, lock = [], threading.Lock()

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    got.append(body)
                    first = len(got) == 1
                self.send_response(500 if first else 200)
                self.end_headers()

            def log_message(self, *a):
                pass
        hook = http.server.ThreadingHTTPServer(("127.0.0.1", srv.free_ports(1)[0]), Hook)
        self.addCleanup(hook.server_close)
        self.addCleanup(hook.shutdown)
        threading.Thread(target=hook.serve_forever, daemon=True).start()
        server = self.ready({"webhook": {"httpAddr": "http://127.0.0.1:%d/" % hook.server_port,
                                         "focusEvents": ["msg.notify"], "msgNotifyEventPushInterval": "100ms"}})
        self.send(server, 5)
        self.ok(server, "/message/delete", {**G, "message_seqs": [2, 3]})
        self.send(server, number="later")
        self.until(lambda: any(b'"later0"' in b for b in got))

    def test_killed_while_it_erases_it_goes_on(self):
        """Small steps, so that every kill finds some of the rows gone and others not."""
        server = self.ready({"retention": {"maxTrimMessages": 20}})
        ann = wkproto.Client(server.tcp, "ann")
        for i in range(4000):
            ann.send("g", 2, "k%d" % i, number="k%d" % i)
            if i % 500 == 499:
                acks = [ann.wait("SENDACK") for _ in range(500)]
                self.assertEqual({a["reasonCode"] for a in acks}, {1})
        ann.close()
        self.ok(server, "/messages/retention", {**G, "through_seq": 3990})
        left, rounds = [], 0
        while self.limits(server)["removing"] and rounds < 8:
            time.sleep(random.uniform(0.01, 0.2))
            left.append(self.limits(server)["removing"])
            server.kill()
            server.start()
            rounds += 1
            self.assertEqual(self.seqs(server), (list(range(3991, 4001)), 0))
            self.assertEqual(self.seqs(server, start_message_seq=1, pull_mode=1, limit=3), ([3991, 3992, 3993], 1))
        self.assertEqual(left, sorted(left, reverse=True))  # what is gone stays gone
        self.removed(server)
        self.assertGreater(rounds, 1)
        self.assertEqual(self.send(server)[0]["message_seq"], 4001)

    # ---- limits
    def test_limits_of_the_node_and_of_a_channel(self):
        server = self.ready({"retention": {"on": True, "maxMessages": 5, "scanInterval": "1s"}})
        self.ok(server, "/channel", {"channel_id": "h", "channel_type": 2, "subscribers": ["ann"]})
        self.assertEqual(self.limits(server), {
            "channel_id": "g", "channel_type": 2, "max_age": -1, "max_messages": -1, "max_bytes": -1,
            "effective": {"max_age": 0, "max_messages": 5, "max_bytes": 0}, "retention_on": 1,
            "first_message_seq": 1, "max_message_seq": 0, "removing": 0})
        self.ok(server, "/channel/retention", {"channel_id": "h", "channel_type": 2, "max_messages": 0,
                                               "max_age": 86400})
        self.send(server, 12)
        self.send(server, 12, channel_id="h")
        self.until(lambda: self.limits(server)["first_message_seq"] == 8)
        self.removed(server)
        self.assertEqual(self.seqs(server)[0], [8, 9, 10, 11, 12])
        kept = self.limits(server, "h")
        self.assertEqual((kept["first_message_seq"], kept["max_age"], kept["max_messages"], kept["effective"]),
                         (1, 86400, 0, {"max_age": 86400, "max_messages": 0, "max_bytes": 0}))
        self.ok(server, "/channel/retention", {"channel_id": "h", "channel_type": 2, "max_messages": 2})
        self.until(lambda: self.limits(server, "h")["first_message_seq"] == 11)
        server.kill()
        server.start()
        self.assertEqual(self.limits(server, "h")["max_messages"], 2)

    def test_messages_whose_time_is_over_reach_nobody(self):
        server = self.ready({"retention": {"on": True, "scanInterval": "1s"},
                             "messageRetry": {"interval": "1s", "scanInterval": "500ms", "maxCount": 50}})
        bob = wkproto.Client(server.tcp, "bob", ack=False)
        self.addCleanup(bob.close)
        bob.wait("CONNACK")
        self.send(server, 1)
        data = self.send(server, 1, number="short", expire=3)[0]
        self.send(server, 1, number="long", expire=3000)
        self.assertEqual([bob.wait("RECV")["messageSeq"] for _ in range(3)], [1, 2, 3])
        time.sleep(3.5)
        self.assertEqual(self.seqs(server), ([1, 3], 0))
        self.assertTrue(bob.ping())         # what was written before it has been read
        bob.kept.clear()
        again = []
        while again.count(1) < 2 or again.count(3) < 2:     # resends of those that were not acknowledged
            again.append(bob.wait("RECV")["messageSeq"])
        self.assertEqual(set(again), {1, 3})
        self.assertEqual(self.ok(server, "/messages", {**G, "message_ids": [data["message_id"]],
                                                       "client_msg_nos": ["short0"]})["messages"], [])
        self.until(lambda: self.ok(server, "/conversation/sync", {"uid": "bob", "msg_count": 1})[0]["unread"] == 2)

    # ---- bad input
    def test_checks(self):
        server = self.ready()
        for path in ("/message/delete", "/messages/retention", "/channel/retention"):
            for body, msg in (({}, "channel_id不能为空！"), ({"channel_id": "g"}, "channel_type不能为0"),
                              ({"channel_id": "g", "channel_type": 1}, "login_uid不能为空！")):
                self.assertEqual(server.post(path, body), (400, {"msg": msg, "status": 400}), path)
        for path, body, msg in (
                ("/message/delete", {}, "message_seqs、message_ids、client_msg_nos不能都为空！"),
                ("/message/delete", {"message_seqs": list(range(1, 1002))}, "一次最多删除1000条消息！"),
                ("/messages/retention", {}, "through_seq不能为0！"),
                ("/channel/retention", {"max_age": -2}, "max_age、max_messages、max_bytes不能小于-1！")):
            self.assertEqual(server.post(path, {**G, **body}), (400, {"msg": msg, "status": 400}), path)
        self.assertEqual(server.call("GET", "/channel/retention")[1]["msg"], "channel_id不能为空！")
        long = {"channel_id": "x" * 3000, "login_uid": "y" * 3000, "channel_type": 1}
        for path, body in (("/message/delete", {"message_seqs": [1]}), ("/messages/retention", {"through_seq": 1}),
                           ("/channel/retention", {"max_messages": 1})):
            self.assertEqual(server.post(path, {**long, **body})[0], 413, path)
        self.assertEqual(server.call("GET", "/readyz")[0], 200)
        self.assertEqual(self.ok(server, "/messages/retention", {**G, "through_seq": 7})["data"],
                         {"deleted_to_seq": 0, "max_message_seq": 0})
        self.assertEqual(self.ok(server, "/message/delete", {**G, "message_seqs": [9]})["data"], {"deleted": 0})


if __name__ == "__main__":
    unittest.main()
