#!/usr/bin/env python3
"""Limits and switches an operator sets, each with what clients see and what is counted.

usage: python3 test/api/test_limits.py
"""
import base64
import re
import time
import unittest

import server as srv
import wkproto

RATE_LIMIT, NOT_EXIST, AUTH_FAIL = 22, 5, 2


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Limits(srv.Running, unittest.TestCase):
    def limited(self, server, scope):
        status, text = server.call("GET", "/metrics")
        self.assertEqual(status, 200)
        return int(re.search(r'^wkim_rate_limited_total\{scope="%s"\} (\d+)' % scope, text, re.M).group(1))

    def begin(self, **limits):
        return self.serve({"api": {"metrics": True}, "limits": limits})

    def connack(self, server, uid, **more):
        client = wkproto.Client(server.tcp, uid, **more)
        self.addCleanup(client.close)
        ack = client.wait("CONNACK")
        return client, ack and ack["reasonCode"]

    def ok(self, server, path, body):
        status, answer = server.post(path, body)
        self.assertEqual(status, 200, (path, answer))
        return answer

    def test_connections_of_one_user(self):
        server = self.begin(maxConnectionsPerUser=2)
        first = self.connack(server, "ann", device="d1")
        self.assertEqual(first[1], 1)
        self.assertEqual(self.connack(server, "ann", device="d2", flag=1)[1], 1)
        self.assertEqual(self.connack(server, "ann", device="d3", flag=2)[1], RATE_LIMIT)
        self.assertEqual(self.connack(server, "bob", device="d3")[1], 1)
        # the same device again replaces its older connection
        self.assertEqual(self.connack(server, "ann", device="d1")[1], 1)
        self.assertEqual(self.limited(server, "user"), 1)
        self.assertIn("limit_reached", server.tail(200))

    def test_connections_of_one_address(self):
        server = self.begin(maxConnectionsPerIp=3)
        clients = [self.connack(server, "u%d" % i) for i in range(3)]
        self.assertEqual([c[1] for c in clients], [1, 1, 1])
        self.assertIsNone(self.connack(server, "u4")[1])
        self.assertGreaterEqual(self.limited(server, "ip"), 1)
        clients[0][0].close()
        end = time.monotonic() + 20
        while self.connack(server, "u5")[1] != 1:
            self.assertLess(time.monotonic(), end, "the place of a connection that ended is free again")

    def test_the_address_of_a_proxy_header_counts(self):
        server = self.begin(maxConnectionsPerIp=1)

        def login(uid, source):
            head = ("PROXY TCP4 %s 10.0.0.1 4711 5100\r\n" % source).encode()
            client = wkproto.Client(server.tcp, uid, login=False)
            self.addCleanup(client.close)
            client.raw(head + wkproto.connect_frame(uid, device="d"))
            ack = client.wait("CONNACK")
            return ack and ack["reasonCode"]
        self.assertEqual([login("u1", "10.1.1.1"), login("u2", "10.1.1.2"), login("u3", "10.1.1.1")], [1, 1, None])

    def test_a_message_nobody_could_be_sent_is_refused(self):
        server = self.serve({"disableEncryption": False})
        ann = wkproto.JsonClient(server.tcp, "ann")
        self.addCleanup(ann.close)
        for size, reason in ((780000, 1), (790000, 9)):     # sealed it is a third longer
            answer = ann.call("send", channelId="bob", channelType=1, payload=b64("x" * size))
            self.assertEqual(answer["result"]["reasonCode"], reason, size)
        body = {"from_uid": "ann", "channel_id": "bob", "channel_type": 1, "payload": b64("x" * 790000)}
        status, answer = server.post("/message/send", body)
        self.assertEqual(status, 413, answer)

    def test_a_sender_under_ban_hears_of_it_before_its_message_is_opened(self):
        server = self.serve({"disableEncryption": False})
        self.ok(server, "/channel/info", {"channel_id": "ann", "channel_type": 1, "send_ban": 1})
        ann = wkproto.login(server.tcp, "ann", encrypt=True)
        self.addCleanup(ann.close)
        ann.keys = None                                     # neither sealed nor signed
        self.assertEqual(ann.say("bob", 1, "hi")["reasonCode"], 25)
        self.ok(server, "/channel/info", {"channel_id": "ann", "channel_type": 1, "send_ban": 0})
        self.assertEqual(ann.say("bob", 1, "hi")["reasonCode"], 9)

    def test_new_connections_per_second(self):
        server = self.begin(connectRate=5)
        time.sleep(1.1)
        clients = [wkproto.Client(server.tcp, "u%d" % i) for i in range(40)]    # at once
        acks = [c.wait("CONNACK") for c in clients]
        for c in clients:
            c.close()
        got = [ack and ack["reasonCode"] for ack in acks]
        self.assertGreaterEqual(got.count(1), 5)
        self.assertIn(None, got)
        self.assertGreaterEqual(self.limited(server, "connect"), 1)
        time.sleep(1.1)
        self.assertEqual(self.connack(server, "later")[1], 1)

    def test_sends_of_one_connection_per_second(self):
        server = self.serve({"api": {"metrics": True}, "limit": {"sendPerSecond": 10}})
        client = wkproto.login(server.tcp, "ann")
        self.addCleanup(client.close)
        sent = [client.send("bob", 1, "x") for _ in range(60)]     # at once
        acks = [client.wait("SENDACK", clientSeq=n)["reasonCode"] for n in sent]
        self.assertGreaterEqual(acks.count(1), 10)
        self.assertIn(RATE_LIMIT, acks)
        self.assertEqual(self.limited(server, "send"), acks.count(RATE_LIMIT))
        time.sleep(1.1)
        self.assertEqual(client.say("bob", 1, "again")["reasonCode"], 1)

    def test_a_group_must_exist_when_asked_for(self):
        server = self.serve({"channel": {"createIfNoExist": False}})
        body = {"from_uid": "ann", "channel_id": "g", "channel_type": 2, "payload": b64("x")}
        client = wkproto.login(server.tcp, "ann")
        self.addCleanup(client.close)
        self.assertEqual(client.say("g", 2, "x")["reasonCode"], NOT_EXIST)
        self.assertEqual(client.say("bob", 1, "x")["reasonCode"], 1)
        self.assertEqual(server.post("/message/send", dict(body, wait=1)),
                         (404, {"msg": "channel not found", "status": 404}))
        self.assertEqual(server.post("/message/send", body)[0], 400)
        self.ok(server, "/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        self.assertEqual(client.say("g", 2, "x")["reasonCode"], 1)
        self.ok(server, "/message/send", dict(body, wait=1))

    def test_a_small_channel_cache_changes_nothing_but_speed(self):
        server = self.serve({"channel": {"cacheCount": 1}, "cluster": {"slotCount": 1}})
        for i in range(60):
            self.ok(server, "/channel", {"channel_id": "g%d" % i, "channel_type": 2, "subscribers": ["ann", "u%d" % i]})
            self.ok(server, "/message/send", {"from_uid": "ann", "channel_id": "g%d" % i, "channel_type": 2,
                                              "payload": b64("x")})
        for i in range(60):
            found = self.ok(server, "/conversation/sync", {"uid": "u%d" % i, "msg_count": 1})
            self.assertEqual([c["channel_id"] for c in found], ["g%d" % i])

    def test_without_conversations_none_come_to_exist(self):
        options = {"conversation": {"on": False}}
        server = self.serve(options)
        self.ok(server, "/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        for to, kind in (("ann", 1), ("g", 2)):
            self.ok(server, "/message/send", {"from_uid": "bob", "channel_id": to, "channel_type": kind, "payload": b64("x")})
        self.ok(server, "/message/send", {"from_uid": "bob", "channel_id": "g", "channel_type": 2, "payload": b64("c"),
                                          "header": {"sync_once": 1}})
        for path in ("/conversation/sync", "/conversation/channels"):
            self.assertEqual(self.ok(server, path, {"uid": "ann", "msg_count": 5}), [])
        self.assertEqual(self.ok(server, "/conversation/list", {"uid": "ann"})["conversations"], [])
        self.ok(server, "/conversations/clearUnread", {"uid": "ann", "channel_id": "g", "channel_type": 2})
        self.assertEqual(len(self.ok(server, "/channel/messagesync", {
            "login_uid": "ann", "channel_id": "g", "channel_type": 2, "limit": 9})["messages"]), 1)
        self.assertEqual(len(self.ok(server, "/message/sync", {"uid": "ann"})), 1)
        server.stop()
        server.options["conversation"]["on"] = True
        server.write_config()
        server.start()
        self.assertEqual(self.ok(server, "/conversation/sync", {"uid": "ann", "msg_count": 5}), [])

    def test_visitors_need_a_token_when_they_are_switched_off(self):
        for on, want in ((True, 1), (False, AUTH_FAIL)):
            server = self.serve({"tokenAuthOn": True, "customerService": {"visitorsOn": on}})
            self.assertEqual(self.connack(server, "guest1___vstr")[1], want)

    def test_a_lane_nobody_writes_to_is_closed_when_asked_for(self):
        for timeout, status in (("1500ms", "closed"), (None, "open")):
            server = self.serve({"streamCache": {"chunkInactivityTimeout": timeout}} if timeout else {})
            self.ok(server, "/message/send", {"from_uid": "ann", "channel_id": "g", "channel_type": 2,
                                              "payload": b64("x"), "is_stream": 1, "client_msg_no": "s1"})
            event = {"channel_id": "g", "channel_type": 2, "client_msg_no": "s1", "event_type": "stream.delta",
                     "payload": {"kind": "text", "delta": "hel"}}
            self.ok(server, "/message/event", dict(event, event_id="e1"))
            time.sleep(1 if timeout else 4)

            def check():
                message = self.ok(server, "/channel/messagesync", {
                    "login_uid": "ann", "channel_id": "g", "channel_type": 2, "limit": 1})["messages"][0]
                lane = message["event_meta"]["events"][0]
                self.assertEqual((lane["status"], lane.get("end_reason", 0)), (status, 1 if timeout else 0))
                self.assertEqual(base64.b64decode(message["stream_data"]), b"hel")
            srv.eventually(check)
            if timeout:
                self.assertEqual(server.post("/message/event", dict(event, event_id="e2"))[0], 200)

    def test_the_older_name_of_the_unacked_limit_counts(self):
        server = self.serve({"userMsgQueueMaxSize": 20})
        client = wkproto.login(server.tcp, "ann", ack=False)
        self.addCleanup(client.close)
        for i in range(40):
            server.post("/message/send", {"from_uid": "bob", "channel_id": "ann", "channel_type": 1, "payload": b64("x")})
        self.assertTrue(client.closed.wait(20))


if __name__ == "__main__":
    unittest.main()
