#!/usr/bin/env python3
"""Events on messages: /message/event, /message/eventsync, EVENT frames, what readers see.

usage: python3 test/api/test_event.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import json
import time
import unittest

import server as srv
import wkproto


class Events(srv.Running, unittest.TestCase):
    def ready(self, options=None):
        server = self.serve(options)
        server.post("/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann", "bob"]})
        status, answer = server.post("/message/send", {
            "from_uid": "ann", "channel_id": "g", "channel_type": 2, "is_stream": 1, "client_msg_no": "m1",
            "payload": base64.b64encode(b"base").decode()})
        self.assertEqual(status, 200, answer)
        return server

    def connect(self, server, uid, version=5):
        client = wkproto.Client(server.tcp, uid, version=version)
        self.addCleanup(client.close)
        client.wait("CONNACK")
        return client

    def event(self, server, number, kind, **more):
        body = {"channel_id": "g", "channel_type": 2, "client_msg_no": "m1", "event_id": number,
                "event_type": kind, **more}
        return server.post("/message/event", body)

    def delta(self, server, number, text, **more):
        status, answer = self.event(server, number, "stream.delta",
                                    payload={"kind": "text", "delta": text}, **more)
        self.assertEqual(status, 200, answer)
        return answer["data"]

    def message(self, server, **more):
        _, answer = server.post("/channel/messagesync", {"login_uid": "bob", "channel_id": "g",
                                                         "channel_type": 2, "limit": 5, **more})
        return answer["messages"][0]

    def test_text_survives_kill(self):
        server = self.ready()
        self.delta(server, "e1", "Hel")
        self.delta(server, "e2", "lo ☃\n\"")
        time.sleep(1.2)                          # the promise: in the log within a second
        server.kill()
        server.start()
        seen = self.message(server)
        self.assertEqual(base64.b64decode(seen["stream_data"]).decode(), "Hello ☃\n\"")
        self.assertEqual(seen["event_meta"]["open_event_count"], 1)
        self.delta(server, "e3", "!")
        status, answer = self.event(server, "e4", "stream.close", payload={"end_reason": 2})
        self.assertEqual((status, answer["data"]["msg_event_seq"]), (200, 1))
        server.kill()
        server.start()
        seen = self.message(server)
        self.assertEqual(base64.b64decode(seen["stream_data"]).decode(), "Hello ☃\n\"!")
        self.assertEqual((seen["end"], seen["end_reason"]), (1, 2))
        self.assertNotIn("open_event_count", seen["event_meta"])

    def test_text_survives_an_orderly_end(self):
        server = self.ready()
        self.delta(server, "e1", "Hello")
        self.assertEqual(server.stop(), 0)
        server.start()
        self.assertEqual(base64.b64decode(self.message(server)["stream_data"]), b"Hello")

    def test_both_readers_see_the_events(self):
        server = self.ready()
        self.delta(server, "e1", "Hi")
        full = self.message(server)
        basic = self.message(server, event_summary_mode="basic")
        _, answer = server.post("/conversation/sync", {"uid": "bob", "msg_count": 5})
        self.assertEqual(answer[0]["recents"][0]["event_meta"], full["event_meta"])
        self.assertEqual(full["event_meta"]["events"],
                         [{"event_key": "main", "status": "open", "snapshot": {"kind": "text", "text": "Hi"}}])
        self.assertEqual(basic["event_meta"]["events"], [{"event_key": "main", "status": "open"}])
        for mode, same in ((" BASIC ", basic), ("other", basic), (" Full", full), ("", full), (" ", full)):
            self.assertEqual(self.message(server, event_summary_mode=mode), same, mode)
        self.assertEqual(full["event_sync_hint"], {"client_msg_no": "m1", "from_msg_event_seq": 0})

    def test_every_connection_of_the_receivers_gets_the_frame(self):
        server = self.ready()
        clients = [self.connect(server, "ann"), self.connect(server, "bob", version=4)]
        self.delta(server, "e1", "Hi", occurred_at=1700000000009)
        for client in clients:
            one = client.wait("EVENT")
            self.assertEqual((one["id"], one["event"], one["timestamp"]),
                             ("e1", "stream.delta", 1700000000009))
            data = json.loads(one["data"])
            self.assertEqual(data["payload"], {"kind": "text", "delta": "Hi"})
            self.assertEqual((data["from_uid"], data["channel_id"], data["event_key"]), ("ann", "g", "main"))

    def test_clients_get_the_type_as_it_was_written(self):
        server = self.ready()
        bob = self.connect(server, "bob")
        for i, kind in enumerate((" Stream.DELTA", "Tool.Call", "note")):
            self.assertEqual(self.event(server, "e%d" % i, kind, event_key="k%d" % i, payload={})[0], 200)
            self.assertEqual(bob.wait("EVENT")["event"], kind)
        events = server.post("/message/eventsync", {"channel_id": "g", "channel_type": 2, "client_msg_no": "m1"})[1]
        self.assertEqual([e["event_type"] for e in events["data"]["events"]], ["tool.call", "note"])

    def test_a_private_event_goes_to_its_owner_only_when_told(self):
        server = self.ready({"event": {"pushPrivate": False}})
        ann, bob = self.connect(server, "ann"), self.connect(server, "bob")
        self.delta(server, "e1", "secret", visibility="private", event_key="p")
        self.delta(server, "e2", "all")
        self.assertEqual([ann.wait("EVENT")["id"], ann.wait("EVENT")["id"]], ["e1", "e2"])
        self.assertEqual(bob.wait("EVENT")["id"], "e2")

    def test_checks_in_order(self):
        server = self.serve()
        body = {"channel_type": 2, "limit": -1}
        for key in ("channel_id", "client_msg_no", "event_id", "event_type"):
            self.assertEqual(server.post("/message/event", body),
                             (400, {"msg": key + "不能为空！", "status": 400}))
            body[key] = "x"
        self.assertEqual(server.post("/message/eventsync", {"limit": -1})[1]["msg"], "channel_id不能为空！")
        self.assertEqual(server.post("/message/eventsync", {"limit": -1, "channel_id": "g"})[1]["msg"],
                         "client_msg_no不能为空！")
        self.assertEqual(server.post("/message/eventsync", {"limit": -1, "channel_id": "g",
                                                            "client_msg_no": "x"})[1]["msg"],
                         "limit不能为负数！")

    def test_events_without_a_message(self):
        server = self.ready()
        self.assertEqual(self.event(server, "e1", "custom", client_msg_no="nosuch")[0], 404)
        free = self.ready({"event": {"allowOrphan": True}})
        status, answer = self.event(free, "e1", "custom", client_msg_no="nosuch", from_uid="u2")
        self.assertEqual((status, answer["data"]["stream_status"], answer["data"]["from_uid"]), (200, "", "u2"))
        self.assertEqual(self.event(free, "e2", "Custom.B ", client_msg_no="nosuch")[1]["data"]["from_uid"], "u2")

    def test_lanes_of_eventsync(self):
        server = self.ready()
        self.event(server, "a", "stream.snapshot", event_key="k1", payload={"n": 1})
        self.event(server, "b", "note", event_key="k2", visibility="restricted")
        self.event(server, "c", "stream.error", event_key="k3", payload={"error": "boom"})
        sync = {"channel_id": "g", "channel_type": 2, "client_msg_no": "m1"}

        def ids(**more):
            data = server.post("/message/eventsync", {**sync, **more})[1]["data"]
            return [e["event_id"] for e in data["events"]], data["more"], data["next_msg_event_seq"]
        self.assertEqual(ids(), (["a", "c"], 0, 3))
        self.assertEqual(ids(include_private=1), (["a", "b", "c"], 0, 3))
        self.assertEqual(ids(limit=1), (["a"], 1, 1))
        self.assertEqual(ids(from_msg_event_seq=1), (["c"], 0, 3))
        self.assertEqual(ids(event_key="k1"), (["a"], 0, 1))
        events = server.post("/message/eventsync", sync)[1]["data"]["events"]
        self.assertEqual(events[0]["payload"], {"n": 1})
        self.assertEqual(events[1]["payload"], {"status": "error", "end_reason": 0, "error": "boom"})

    def test_payloads_of_other_types_are_kept(self):
        server = self.ready()
        sync = {"channel_id": "g", "channel_type": 2, "client_msg_no": "m1"}

        def payloads():
            events = server.post("/message/eventsync", sync)[1]["data"]["events"]
            return {e["event_key"]: (e["event_type"], e["payload"]) for e in events}
        self.delta(server, "d", "text")
        self.event(server, "a", "Tool.Call", payload={"n": [1, "☃"]})
        self.event(server, "b", "note", event_key="k2", payload="plain")
        self.event(server, "c", "note", event_key="k3")
        want = {"main": ("tool.call", {"n": [1, "☃"]}), "k2": ("note", "plain"),
                "k3": ("note", {"end_reason": 0, "status": ""})}
        self.assertEqual(payloads(), want)
        self.assertEqual(base64.b64decode(self.message(server)["stream_data"]), b"text")
        server.kill()
        server.start()
        self.assertEqual(payloads(), want)
        self.event(server, "d", "stream.close")
        self.assertEqual(payloads()["main"], ("stream.close", {"kind": "text", "text": "text"}))

    def test_limits(self):
        server = self.ready({"streamCache": {"maxChunksPerStream": 3}})
        for i in range(3):
            self.delta(server, "e%d" % i, "x")
        status, _ = self.event(server, "e4", "stream.delta", payload={"kind": "text", "delta": "x"})
        self.assertEqual(status, 413)
        bob = self.connect(server, "bob")
        most = 1032192 - 2                          # with its quotes what one frame has room for
        self.assertEqual(self.event(server, "e5", "stream.snapshot", payload="y" * (most + 1))[0], 413)
        self.assertEqual(self.event(server, "e5", "note", payload="y" * most, event_key="k")[0], 200)
        self.assertEqual(bob.wait("EVENT", id="e5")["event"], "note")
        self.assertEqual(self.event(server, "e6", "stream.close")[0], 200)
        self.assertEqual(base64.b64decode(self.message(server)["stream_data"]), b"xxx")


if __name__ == "__main__":
    unittest.main()
