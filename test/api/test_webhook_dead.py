#!/usr/bin/env python3
"""Webhook requests that were given up: listed, shown, sent again, dropped, bounded; who may do so.

usage: python3 test/api/test_webhook_dead.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import http.client
import json
import unittest

import grpc_receiver as h2
import server as srv
from test_webhook import Receiver, wait_for

DEAD = "/manager/v1/webhooks/dead"
USERS = ["admin:pwd:*", "reader:pwd:[webhook:r]", "other:pwd:[channel:rw]"]


class Dead(srv.Running, unittest.TestCase):
    def begin(self, grpc=False, **webhook):
        self.hook = h2.Receiver() if grpc else Receiver()
        self.addCleanup(self.hook.close)
        where = {"grpcAddr": "127.0.0.1:%d" % self.hook.port} if grpc else \
            {"httpAddr": "http://127.0.0.1:%d/hook" % self.hook.port}
        self.server = self.serve({"auth": {"users": USERS}, "webhook": {
            "msgNotifyEventPushInterval": "20ms", "msgNotifyEventRetryMaxCount": 1, "secret": "s",
            "msgNotifyEventCountPerPush": 1, "focusEvents": ["msg.notify"], **where, **webhook}})

    def call(self, method, path, body=None, token=None, port="http"):
        c = http.client.HTTPConnection("127.0.0.1", self.server.ports[port], timeout=10)
        try:
            head = {"Content-Type": "application/json"}
            if token:
                head["Authorization"] = "Bearer " + token
            c.request(method, path, json.dumps(body) if body is not None else None, head)
            answer = c.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text[:1] in b"{[" else text
        finally:
            c.close()

    def send(self, to, payload):
        status, got = self.server.post("/message/send", {
            "from_uid": "sender", "channel_id": to, "channel_type": 1,
            "payload": base64.b64encode(payload.encode()).decode()})
        self.assertEqual(status, 200, got)

    def items(self, query=""):
        status, got = self.call("GET", DEAD + query)
        self.assertEqual(status, 200, got)
        return got["items"]

    def die(self, count):
        """`count` messages that the receiver refuses; their letters."""
        self.hook.status = 500
        before = len(self.items())
        for i in range(count):
            self.send("dead-%d" % i, "m%d" % i)
        self.assertTrue(wait_for(lambda: len(self.items()) == before + count), self.items())
        return self.items()

    def replay(self, expected=202, **choice):
        status, got = self.call("POST", DEAD + "/replay", choice)
        self.assertEqual(status, expected, got)
        return got

    def test_letters_are_listed_shown_and_leave_when_answered(self):
        self.begin()
        items = self.die(3)
        first = items[0]
        self.assertEqual([i["id"] for i in items], [1, 2, 3])
        self.assertEqual({k: first[k] for k in ("event", "target", "attempts", "items", "state")},
                         {"event": "msg.notify", "target": "main", "attempts": 1, "items": 1, "state": "kept"})
        status, shown = self.call("GET", "%s/%d" % (DEAD, first["id"]))
        self.assertEqual(status, 200)
        body = next(b for _, h, b, _ in self.hook.requests if h["X-WK-Delivery"] == first["delivery"])
        self.assertEqual(shown["body"], json.loads(body))
        self.assertEqual(first["bytes"], len(body))
        self.hook.status = 200
        self.assertEqual(self.replay(ids=[first["id"], 77])["replaying"], 1)
        self.assertTrue(wait_for(lambda: len(self.items()) == 2))
        again = [(h, b) for _, h, b, s in self.hook.requests if s == 200]
        self.assertEqual([(h["X-WK-Delivery"], b) for h, b in again], [(first["delivery"], body)])
        self.assertEqual(again[0][0]["X-WK-Signature"],
                         next(h["X-WK-Signature"] for _, h, b, s in self.hook.requests if b == body))
        self.replay(all=1)
        self.assertTrue(wait_for(lambda: not self.items()))
        self.assertEqual([h["X-WK-Delivery"] for _, h, _, s in self.hook.requests if s == 200],
                         [i["delivery"] for i in items])
        self.assertEqual(self.call("GET", DEAD + "/1")[0], 404)

    def test_a_replay_that_fails_keeps_the_letter(self):
        self.begin()
        self.die(7)
        self.hook.status = 418
        before = len(self.hook.requests)
        self.assertEqual(self.replay(event="msg.notify")["replaying"], 7)
        self.assertTrue(wait_for(lambda: not any(i["state"] == "replaying" for i in self.items())))
        self.assertEqual(len(self.items()), 7)
        self.assertEqual(len(self.hook.requests) - before, 5, "it goes on against a receiver that is down")
        status, got = self.call("GET", "/manager/v1/webhooks")
        self.assertEqual(status, 200)
        self.assertEqual(got["last_replay"]["error"], "the receiver answered HTTP status 418")
        self.assertEqual((got["dead"]["letters"], got["transport"]), (7, "http"))

    def test_letters_survive_a_stop_and_a_kill_and_settled_ones_do_not(self):
        self.begin()
        self.die(4)
        self.hook.status = 200
        self.replay(ids=[2])
        self.assertTrue(wait_for(lambda: len(self.items()) == 3))
        self.server.kill()
        self.server.start()
        self.assertEqual([i["id"] for i in self.items()], [1, 3, 4])
        self.assertEqual(self.call("POST", DEAD + "/drop", {"ids": [3, 3, 2]})[1]["dropped"], 1)
        self.assertEqual(self.server.stop(), 0)
        self.server.start()
        self.assertEqual([i["id"] for i in self.items()], [1, 4])
        self.assertEqual(self.call("POST", DEAD + "/drop", {"all": 1})[1]["dropped"], 2)
        self.assertEqual(self.items(), [])

    def test_pages_and_bad_questions(self):
        self.begin()
        self.die(5)
        seen, path = [], DEAD + "?limit=2&event=msg.notify"
        while path:
            got = self.call("GET", path)[1]
            seen += [i["id"] for i in got["items"]]
            path = "%s?limit=2&cursor=%d" % (DEAD, got["next_cursor"]) if "next_cursor" in got else None
        self.assertEqual(seen, [1, 2, 3, 4, 5])
        self.assertEqual(got["total"], 5)
        self.assertEqual(self.items("?event=msg.offline"), [])
        self.assertEqual(self.call("GET", DEAD + "?event=msg.other")[0], 400)
        self.assertEqual(self.call("GET", DEAD + "/nonsense")[0], 404)
        for bad in ({}, {"all": 1, "ids": [1]}, {"ids": list(range(1001))}, {"event": "x"}):
            self.assertEqual(self.call("POST", DEAD + "/replay", bad)[0], 400, bad)
        self.assertEqual(self.call("POST", DEAD + "/drop", {"all": 0})[0], 400)
        self.assertEqual(len(self.items()), 5)

    def test_the_operator_port_asks_who_it_is(self):
        self.begin()
        self.die(1)

        def ask(method, path, user=None, body=None):
            token = None
            if user:
                token = self.call("POST", "/manager/login", {"username": user, "password": "pwd"},
                                  port="manager")[1]["token"]
            return self.call(method, path, body, token, "manager")[0]
        self.assertEqual(ask("GET", DEAD), 401)
        self.assertEqual(ask("GET", "/manager/v1/webhooks"), 401)
        self.assertEqual(ask("GET", DEAD, "other"), 403)
        self.assertEqual(ask("GET", DEAD, "reader"), 200)
        self.assertEqual(ask("POST", DEAD + "/drop", "reader", {"all": 1}), 403)
        self.assertEqual(ask("POST", DEAD + "/replay", "reader", {"all": 1}), 403)
        self.assertEqual(ask("POST", DEAD + "/drop", "admin", {"all": 1}), 200)

    def test_letters_go_out_again_by_grpc(self):
        self.begin(grpc=True)
        self.hook.behave = lambda c, s, e, d: h2.answer(c, s, body=b"\x08\x00")
        self.send("x", "again")
        self.assertTrue(wait_for(self.items))
        self.hook.behave = None
        self.replay(all=1)
        self.assertTrue(wait_for(lambda: not self.items()))
        calls = self.hook.bodies(accepted=False)
        self.assertEqual((len(calls), calls[0]), (2, calls[1]))

    def test_the_folder_is_bounded_and_the_loss_is_counted(self):
        self.begin(deadMaxBytes="1MB")
        self.hook.status = 500
        for i in range(30):
            self.send("big-%d" % i, "x" * 60000)

        def metric(name):
            text = self.call("GET", "/metrics", port="manager")[1].decode()
            return int(next(line for line in text.splitlines() if line.startswith(name + " ")).split()[1])
        self.assertTrue(wait_for(lambda: metric("wkim_webhook_dead_letters")
                                 + metric("wkim_webhook_dead_dropped_total") == 30))
        self.assertGreater(metric("wkim_webhook_dead_dropped_total"), 5)
        self.assertLessEqual(metric("wkim_webhook_dead_bytes"), 1 << 20)
        size = sum(f.stat().st_size for f in (self.server.root / "data" / "data" / "webhook-dead").iterdir())
        self.assertLessEqual(size, 1 << 20)
        self.assertEqual(metric("wkim_webhook_dead_lost_total"), 0)


class Off(srv.Running, unittest.TestCase):
    def test_without_a_webhook_the_answer_says_so(self):
        server = self.serve()
        status, got = server.call("GET", DEAD)
        self.assertEqual((status, got["error"]["code"]), (409, "webhook_off"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
