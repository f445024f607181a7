#!/usr/bin/env python3
"""kill -9 behind every route that changes something: what was answered with 200 is there afterwards.

usage: python3 test/api/test_kill_routes.py [--rounds N] [--seed N]

The routes come out of server/http/routes.def: a new one without a case here, or without a line among
those that keep nothing, fails.  A round makes the calls of some cases one after the other, kills the
server as soon as the last one is answered, starts it again and looks at all of them.  Without --rounds
every case is the last one once.
"""
import argparse
import base64
import random
import re
import sys
import time
import unittest
import urllib.parse

import server as srv
import wkproto

OPTIONS = {"tokenAuthOn": True, "auth": {"users": ["root:root-pw:*"]}, "jwt": {"secret": "kill-routes-secret"},
           "event": {"allowOrphan": True}, "message": {"idempotent": True}}
# They answer, or change what is in memory only.
KEEPS_NOTHING = {
    "/route/batch", "/user/onlinestatus", "/channel/messagesync", "/channel/messagesyncbatch", "/messages",
    "/message", "/message/eventsync", "/conversation/sync", "/conversation/syncByChannels",
    "/conversation/channels", "/conversation/syncMessages", "/conversation/list", "/conversation/retry",
    "/manager/login", "/conn/kick", "/conn/remove", "/tag/remove", "/user/systemuids_add_to_cache",
    "/user/systemuids_remove_from_cache", "/cluster/*", "/plugins/*",
    "/pluginconfig/:no", "/plugin/uninstall",       # no plugin runs here: always refused
}
# Routes whose effect lies outside of the log, with the suite that kills the server behind them.
ELSEWHERE = {"/manager/v1/webhooks/dead/replay": "test_webhook_dead", "/manager/v1/webhooks/dead/drop": "test_webhook_dead"}
GROUP = {"channel_type": 2}


def b64(text):
    return base64.b64encode(text.encode()).decode()


def mutating_routes():
    text = (srv.ROOT / "server" / "http" / "routes.def").read_text()
    return set(re.findall(r'WK_ROUTE\(API, "(?:POST|PUT|DELETE|PATCH|ANY)",\s*"([^"]+)"', text))


def route(path):
    def mark(f):
        f.route = path
        return f
    return mark


class Calls:
    """One case per route: makes the call for number n and returns what must hold after the restart."""

    def __init__(self, test, server):
        self.test, self.server = test, server

    def ok(self, path, body, headers=None):
        status, answer = self.server.call("POST", path, body, headers=headers)
        self.test.assertEqual(status, 200, (path, body, answer))
        return answer

    def get(self, path, **query):
        status, answer = self.server.call("GET", path + "?" + urllib.parse.urlencode(query))
        self.test.assertEqual(status, 200, (path, answer))
        return answer

    def same(self, have, want):
        self.test.assertEqual(have, want)

    def login(self, uid, token, flag=0):
        client = wkproto.Client(self.server.tcp, uid, token=token, flag=flag)
        try:
            return client.wait("CONNACK")["reasonCode"]
        finally:
            client.close()

    def members(self, name, channel, kind=2):
        if name == "subscribers":
            return self.get("/channel/subscribers", channel_id=channel, channel_type=kind, limit=100)["subscribers"]
        return [m["uid"] for m in self.get("/channel/" + name, channel_id=channel, channel_type=kind)]

    def send(self, n, channel, kind=2, **more):
        return self.ok("/message/send", {"from_uid": "boss", "channel_id": channel, "channel_type": kind,
                                         "payload": b64(n), **more})["data"]

    def history(self, channel, kind=2, uid="boss"):
        return self.ok("/channel/messagesync", {"login_uid": uid, "channel_id": channel, "channel_type": kind,
                                                "limit": 100})["messages"]

    def conversation(self, uid, channel):
        found = self.ok("/conversation/sync", {"uid": uid, "msg_count": 5})
        return next((c for c in found if c["channel_id"] == channel), None)

    def commands(self, uid):
        return [base64.b64decode(m["payload"]).decode() for m in self.ok("/message/sync", {"uid": uid})]

    def group(self, n, *uids):
        self.ok("/channel", {"channel_id": n, "subscribers": list(uids), **GROUP})

    # ---- users

    @route("/user/token")
    def token(self, n):
        self.ok("/user/token", {"uid": n, "token": "t-" + n, "device_flag": 1})
        return lambda: self.same(self.login(n, "t-" + n, flag=1), 1)

    @route("/user/token/batch")
    def tokens(self, n):
        self.ok("/user/token/batch", {"users": [{"uid": n + x, "token": x} for x in ("a", "b")]})
        return lambda: self.same([self.login(n + x, x) for x in ("a", "b")], [1, 1])

    @route("/user/device_quit")
    def quit(self, n):
        self.ok("/user/token", {"uid": n, "token": "t"})
        self.ok("/user/device_quit", {"uid": n, "device_flag": -1})
        return lambda: self.same(self.login(n, "t"), 2)

    @route("/user/systemuids_add")
    def system(self, n):
        self.ok("/user/systemuids_add", {"uids": [n]})
        return lambda: self.test.assertIn(n, self.get("/user/systemuids"))

    @route("/user/systemuids_remove")
    def no_system(self, n):
        self.ok("/user/systemuids_add", {"uids": [n]})
        self.ok("/user/systemuids_remove", {"uids": [n]})
        return lambda: self.test.assertNotIn(n, self.get("/user/systemuids"))

    def bindings(self, n):
        return [b["plugin_no"] for b in self.get("/plugin/bind", uid=n)]

    @route("/user/update_plugin_no")
    def plugin_no(self, n):
        self.ok("/user/update_plugin_no", {"uid": n, "plugin_no": "p"})
        return lambda: self.same(self.bindings(n), ["p"])

    def permitted(self):
        answer = self.ok("/manager/login", {"username": "root", "password": "root-pw"})
        return {"Authorization": "Bearer " + answer["token"]}

    @route("/plugin/bind")
    def bind(self, n):
        self.ok("/plugin/bind", {"uid": n, "plugin_no": "p1"}, self.permitted())
        return lambda: self.same(self.bindings(n), ["p1"])

    @route("/plugin/unbind")
    def unbind(self, n):
        for path in ("/plugin/bind", "/plugin/unbind"):
            self.ok(path, {"uid": n, "plugin_no": "p1"}, self.permitted())
        return lambda: self.same(self.bindings(n), [])

    # ---- channels

    def info(self, n):
        return self.get("/channel/info", channel_id=n, channel_type=2)

    @route("/channel")
    def channel(self, n):
        self.ok("/channel", {"channel_id": n, "large": 1, "subscribers": ["u1", "u2"], **GROUP})
        return lambda: self.same((self.info(n)["large"], self.members("subscribers", n)), (1, ["u1", "u2"]))

    @route("/channel/info")
    def flags(self, n):
        self.ok("/channel/info", {"channel_id": n, "ban": 1, **GROUP})
        return lambda: self.same(self.info(n)["ban"], 1)

    @route("/channel/batch")
    def channels(self, n):
        self.ok("/channel/batch", {"channels": [{"channel_id": n + x, "subscribers": [x], **GROUP} for x in "ab"]})
        return lambda: self.same([self.members("subscribers", n + x) for x in "ab"], [["a"], ["b"]])

    @route("/channel/delete")
    def disband(self, n):
        self.group(n, "u1")
        self.send(n, n)
        self.ok("/channel/delete", {"channel_id": n, "purge": 1, **GROUP})
        return lambda: self.same((self.info(n)["disband"], self.members("subscribers", n), self.history(n)), (1, [], []))

    @route("/channel/subscriber_add")
    def add(self, n):
        self.ok("/channel/subscriber_add", {"channel_id": n, "subscribers": ["u1"], **GROUP})
        return lambda: self.same(self.members("subscribers", n), ["u1"])

    @route("/channel/subscriber_remove")
    def remove(self, n):
        self.group(n, "u1", "u2")
        self.ok("/channel/subscriber_remove", {"channel_id": n, "subscribers": ["u1"], **GROUP})
        return lambda: self.same(self.members("subscribers", n), ["u2"])

    @route("/channel/subscriber_remove_all")
    def remove_all(self, n):
        self.group(n, "u1", "u2")
        self.ok("/channel/subscriber_remove_all", {"channel_id": n, **GROUP})
        return lambda: self.same(self.members("subscribers", n), [])

    @route("/tmpchannel/subscriber_set")
    def temporary(self, n):
        self.ok("/tmpchannel/subscriber_set", {"channel_id": n, "uids": ["u1", "u2"]})
        return lambda: self.same(self.members("subscribers", n, 8), ["u1", "u2"])

    def list_case(self, name, op, n):
        self.ok("/channel/%s_add" % name, {"channel_id": n, "uids": ["u1", "u2"], **GROUP})
        uids = {"add": ["u3"], "remove": ["u1"], "set": ["u4"]}.get(op)
        self.ok("/channel/%s_%s" % (name, op), {"channel_id": n, **GROUP, **({"uids": uids} if uids else {})})
        want = {"add": ["u1", "u2", "u3"], "remove": ["u2"], "set": ["u4"], "remove_all": []}[op]
        return lambda: self.same(self.members(name, n), want)

    # ---- messages

    @route("/message/send")
    def message(self, n):
        sent = self.send(n, n, wait=1)
        return lambda: self.same([(m["message_id"], m["message_seq"]) for m in self.history(n)],
                                 [(sent["message_id"], 1)])

    @route("/message/sendbatch")
    def messages(self, n):
        self.ok("/message/sendbatch", {"from_uid": "boss", "subscribers": [n + "a", n + "b"], "payload": b64(n)})
        return lambda: self.same([[m["payload"] for m in self.history(n + x, 1)] for x in "ab"], [[b64(n)]] * 2)

    @route("/message/event")
    def event(self, n):
        self.send(n, n, is_stream=1, client_msg_no=n)
        body = {"channel_id": n, "client_msg_no": n, **GROUP}
        self.ok("/message/event", dict(body, event_id="e1", event_type="stream.close", payload={"end_reason": 2}))
        return lambda: self.same([m["event_meta"]["events"][0]["status"] for m in self.history(n)], ["closed"])

    @route("/message/sync")
    def handed_out(self, n):
        self.group(n, n + "u")
        self.send("c1", n, header={"sync_once": 1})
        self.same(self.commands(n + "u"), ["c1"])

        def check():                            # what was handed out can be acknowledged
            self.ok("/message/syncack", {"uid": n + "u", "last_message_seq": 1})
            self.same(self.commands(n + "u"), [])
        return check

    @route("/message/syncack")
    def acknowledged(self, n):
        check = self.handed_out(n)
        check()
        return lambda: self.same(self.commands(n + "u"), [])

    @route("/message/cmd/bind")
    def cmd_bind(self, n):
        self.ok("/message/cmd/bind", {"uid": n, "channel_id": n, **GROUP})

        def check():
            self.send("c1", n, header={"sync_once": 1})
            self.same(self.commands(n), ["c1"])
        return check

    @route("/message/cmd/unbind")
    def cmd_unbind(self, n):
        for path in ("bind", "unbind"):
            self.ok("/message/cmd/" + path, {"uid": n, "channel_id": n, **GROUP})

        def check():
            self.send("c1", n, header={"sync_once": 1})
            self.same(self.commands(n), [])
        return check

    def three(self, n):
        for i in range(3):
            self.send(n, n)

    @route("/message/delete")
    def delete(self, n):
        self.three(n)
        self.ok("/message/delete", {"channel_id": n, "message_seqs": [2], **GROUP})
        return lambda: self.same([m["message_seq"] for m in self.history(n)], [1, 3])

    @route("/messages/retention")
    def retention(self, n):
        self.three(n)
        self.ok("/messages/retention", {"channel_id": n, "through_seq": 2, **GROUP})
        return lambda: self.same([m["message_seq"] for m in self.history(n)], [3])

    @route("/channel/retention")
    def channel_retention(self, n):
        self.ok("/channel/retention", {"channel_id": n, "max_messages": 7, **GROUP})
        return lambda: self.same(self.get("/channel/retention", channel_id=n, channel_type=2)["max_messages"], 7)

    # ---- conversations

    def talk(self, n):
        for i in range(3):
            self.send(n, n, kind=1)
        return {"uid": n, "channel_id": "boss", "channel_type": 1}

    @route("/conversations/clearUnread")
    def clear(self, n):
        self.ok("/conversations/clearUnread", self.talk(n))
        return lambda: self.same(self.conversation(n, "boss")["unread"], 0)

    @route("/conversations/setUnread")
    def unread(self, n):
        self.ok("/conversations/setUnread", dict(self.talk(n), unread=2))
        return lambda: self.same(self.conversation(n, "boss")["unread"], 2)

    @route("/conversations/delete")
    def hide(self, n):
        self.ok("/conversations/delete", self.talk(n))
        return lambda: self.same(self.conversation(n, "boss"), None)

    @route("/conversations/activate")
    def activate(self, n):
        self.ok("/conversations/activate", {"uid": n, "channel_id": "peer", "channel_type": 1})
        return lambda: self.same([c["channel_id"] for c in self.ok("/conversation/list", {"uid": n})["conversations"]],
                                 ["peer"])

    def all(self):
        cases = {f.route: f for f in (getattr(self, name) for name in dir(self)) if hasattr(f, "route")}
        for name in ("blacklist", "whitelist"):
            for op in ("add", "remove", "set", "remove_all"):
                cases["/channel/%s_%s" % (name, op)] = lambda n, name=name, op=op: self.list_case(name, op, n)
        return cases


class KillRoutes(srv.Running, unittest.TestCase):
    rounds, seed = 0, 1

    def test_every_mutating_route_has_a_case(self):
        routes, cases = mutating_routes(), set(Calls(None, None).all())
        self.assertGreater(len(routes), 50)
        self.assertEqual(routes - cases - KEEPS_NOTHING - set(ELSEWHERE), set(), "routes without a case")
        self.assertEqual((cases | KEEPS_NOTHING | set(ELSEWHERE)) - routes, set(), "cases without a route")
        for suite in ELSEWHERE.values():
            self.assertIn("kill()", (srv.ROOT / "test" / "api" / (suite + ".py")).read_text())

    def test_what_was_answered_is_there_after_kill(self):
        began, chance = time.monotonic(), random.Random(self.seed)
        server = self.serve(OPTIONS)
        cases = sorted(Calls(self, server).all().items())
        order = chance.sample(cases, len(cases))
        rounds = self.rounds or len(cases)
        bad = []
        for r in range(rounds):
            some = chance.sample(cases, chance.randrange(4)) + [order[r % len(order)]]
            checks = [(path, case("k%d-%d" % (r, i))) for i, (path, case) in enumerate(some)]
            server.kill()
            server.start()
            for path, check in checks:
                try:
                    check()
                except AssertionError as e:
                    bad.append("round %d (seed %d), %s after %s: %s" % (
                        r, self.seed, path, " ".join(p for p, _ in some), e))
        self.assertEqual(bad, [], "\n".join(bad))
        print("%d rounds, %d routes, all acknowledged effects kept, %.0f s" % (
            rounds, len(cases), time.monotonic() - began))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    known, rest = parser.parse_known_args()
    KillRoutes.rounds, KillRoutes.seed = known.rounds, known.seed
    print("seed %d" % KillRoutes.seed)
    unittest.main(argv=sys.argv[:1] + rest, verbosity=1)
