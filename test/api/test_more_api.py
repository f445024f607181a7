#!/usr/bin/env python3
"""Routes beyond v2: batches, conversation list, command bindings, send extras, debug, top.

usage: python3 test/api/test_more_api.py
"""
import base64
import time
import unittest
import urllib.parse

import server as srv
import wkproto


def b64(text):
    return base64.b64encode(text.encode()).decode()


class MoreApi(srv.Running, unittest.TestCase):
    def ok(self, server, path, body):
        status, answer = server.post(path, body)
        self.assertEqual(status, 200, (path, body, answer))
        return answer

    def refused(self, server, path, body, status, text):
        got, answer = server.post(path, body)
        self.assertEqual(got, status, (path, body, answer))
        self.assertIn(text, answer["msg"])
        return answer

    def say(self, server, to, text="hi", kind=2, sender="boss", **more):
        return self.ok(server, "/message/send", {
            "from_uid": sender, "channel_id": to, "channel_type": kind, "payload": b64(text), **more})

    # ---- batches ----

    def test_batches_do_what_the_single_routes_do(self):
        server = self.serve({"tokenAuthOn": True})
        users = [{"uid": "u%d" % i, "token": "t%d" % i, "device_flag": i % 3} for i in range(300)]
        self.assertEqual(self.ok(server, "/user/token/batch", {"users": users}),
                         {"data": {"failed": [], "done": 300}, "status": 200})
        wkproto.login(server.tcp, "u299", flag=299 % 3, token="t299").close()
        channels = [{"channel_id": "g%d" % i, "channel_type": 2, "large": 1, "subscribers": ["u1", "u%d" % i, ""]}
                    for i in range(50)]
        self.assertEqual(self.ok(server, "/channel/batch", {"channels": channels})["data"]["done"], 50)
        _, info = server.call("GET", "/channel/info?channel_id=g7&channel_type=2")
        self.assertEqual((info["large"], info["subscriber_count"]), (1, 2))
        self.ok(server, "/channel/batch", {"channels": [{"channel_id": "g7", "channel_type": 2, "reset": 1}]})
        _, info = server.call("GET", "/channel/info?channel_id=g7&channel_type=2")
        self.assertEqual((info["large"], info["subscriber_count"]), (0, 0))
        server.kill()
        server.start()
        wkproto.login(server.tcp, "u17", flag=17 % 3, token="t17").close()

    def test_a_batch_with_a_bad_item_does_nothing_and_names_it(self):
        server = self.serve()
        good = {"uid": "u1", "token": "t"}
        for users, text in (([], "users不能为空！"), ([good, {"uid": " "}], "users[1]: uid不能为空！"),
                            ([good, {"uid": "u2"}], "users[1]: token不能为空！"),
                            ([{"uid": "a@b", "token": "t"}], "users[0]: uid不能包含特殊字符！")):
            self.refused(server, "/user/token/batch", {"users": users}, 400, text)
        answer = self.refused(server, "/user/token/batch", {"users": [good] * 10001}, 413, "users: at most 10000")
        self.assertEqual(answer["status"], 413)
        fine = {"channel_id": "g1", "channel_type": 2}
        for channels, text in (([], "channels不能为空！"), ([fine, {"channel_id": "", "channel_type": 2}],
                                                          "channels[1]: 频道ID不能为空！"),
                               ([fine, {"channel_id": "g2"}], "channels[1]: 频道类型错误！"),
                               ([fine, {"channel_id": "a#b", "channel_type": 2}], "channels[1]: 频道ID不能包含特殊字符！")):
            self.refused(server, "/channel/batch", {"channels": channels}, 400, text)
        _, info = server.call("GET", "/channel/info?channel_id=g1&channel_type=2")
        self.assertEqual(info, {"status": 404})

    def test_what_fails_in_a_batch_is_told_by_item(self):
        server = self.serve()
        self.ok(server, "/channel/info", {"channel_id": "bad", "channel_type": 1, "ban": 1})
        answer = self.ok(server, "/user/token/batch", {"users": [
            {"uid": "good", "token": "t"}, {"uid": "bad", "token": "t"}]})["data"]
        self.assertEqual(answer["done"], 1)
        self.assertEqual([(f["index"], f["uid"], f["reason"]) for f in answer["failed"]], [(1, "bad", 19)])

    def test_batches_can_be_switched_off(self):
        server = self.serve({"api": {"batch": False}})
        self.refused(server, "/user/token/batch", {"users": []}, 404, "api.batch")
        self.refused(server, "/channel/batch", {"channels": []}, 404, "api.batch")

    def test_limits_of_lists_are_named(self):
        server = self.serve()
        for path, body, text in (
                ("/channel/subscriber_add", {"channel_id": "g", "subscribers": ["u"] * 100001}, "subscribers: at most 100000"),
                ("/channel/blacklist_add", {"channel_id": "g", "channel_type": 2, "uids": ["u"] * 100001}, "uids: at most"),
                ("/messages", {"channel_id": "g", "channel_type": 2, "message_seqs": [1] * 100001}, "message_seqs: at most"),
                ("/user/onlinestatus", ["u"] * 100001, "body: at most 100000"),
                ("/channel/messagesyncbatch", {"login_uid": "u", "items": [{"channel_id": "g", "channel_type": 2}] * 1001},
                 "items: at most 1000"),
                ("/conversation/syncByChannels", {"uid": "u", "channels": [{"channel_id": "g", "channel_type": 2}] * 10001},
                 "channels: at most 10000"),
                ("/conversation/retry", {"uid": "u", "channels": [{"channel_id": "g", "channel_type": 2}] * 1001},
                 "channels: at most 1000")):
            with self.subTest(path=path):
                self.refused(server, path, body, 413, text)
        status, answer = server.post("/channel", {"channel_id": "g" * 5000, "channel_type": 2})
        self.assertEqual(status, 413)
        self.assertIn("ids 4096 bytes", answer["detail"])

    def test_members_come_in_pages_that_changes_do_not_shift(self):
        server = self.serve()
        uids = ["u%02d" % i for i in range(25)]
        self.ok(server, "/channel", {"channel_id": "g", "channel_type": 2, "subscribers": uids})
        self.ok(server, "/channel/blacklist_add", {"channel_id": "g", "channel_type": 2, "uids": uids})
        for name, member in (("subscribers", "subscribers"), ("blacklist", "members"), ("whitelist", "members")):
            found, cursor, pages = [], "", 0
            while True:
                query = urllib.parse.urlencode({"channel_id": "g", "channel_type": 2, "limit": 10, "cursor": cursor})
                status, page = server.call("GET", "/channel/%s?%s" % (name, query))
                self.assertEqual((status, page["limit"]), (200, 10), page)
                found += [m if isinstance(m, str) else m["uid"] for m in page[member]]
                pages += 1
                cursor = page["next_cursor"]
                self.assertEqual(page["more"], 1 if cursor else 0)
                if not cursor:
                    break
                self.assertNotIn(cursor, uids)
                if name == "subscribers" and pages == 1:   # before and behind the boundary
                    self.ok(server, "/channel/subscriber_remove", {"channel_id": "g", "subscribers": ["u01"]})
                    self.ok(server, "/channel/subscriber_add", {"channel_id": "g", "subscribers": ["u015", "u24a"]})
            self.assertEqual(found, {"subscribers": uids + ["u24a"], "blacklist": uids, "whitelist": []}[name])
        for cursor in ("u01", "====", "AAAA"):
            status, answer = server.call("GET", "/channel/subscribers?channel_id=g&channel_type=2&cursor=" + cursor)
            self.assertEqual((status, "cursor" in answer["msg"]), (400, True))
        _, answer = server.call("GET", "/channel/subscribers?channel_id=g&channel_type=2&limit=99999999")
        self.assertEqual(answer["limit"], 10000)

    # ---- conversations ----

    def list_all(self, server, uid, **more):
        pages, cursor = [], ""
        while True:
            page = self.ok(server, "/conversation/list", {"uid": uid, "cursor": cursor, "limit": 3, **more})
            pages.append(page)
            self.assertLessEqual(len(page["conversations"]), 3)
            if page["done"]:
                self.assertNotIn("next_cursor", page)
                return pages
            self.assertEqual(page["coverage"], "")
            cursor = page["next_cursor"]

    def test_a_list_is_complete_and_then_tells_changes(self):
        server = self.serve()
        for i in range(8):
            self.ok(server, "/channel", {"channel_id": "g%d" % i, "channel_type": 2, "subscribers": ["ann", "bob"]})
            self.say(server, "g%d" % i, "hi %d" % i, client_msg_no="n%d" % i)
        self.say(server, "ann", "hello", kind=1, sender="bob")
        pages = self.list_all(server, "ann")
        items = {c["channel_id"]: c for p in pages for c in p["conversations"]}
        self.assertEqual(set(items), {"g%d" % i for i in range(8)} | {"bob"})
        last = items["g3"]["last_message"]
        self.assertEqual((last["client_msg_no"], last["payload"], last["from_uid"], last["message_seq"]),
                         ("n3", b64("hi 3"), "boss", 1))
        self.assertEqual(items["g3"]["unread"], 1)
        self.assertGreater(last["server_timestamp_ms"], 1 << 40)
        coverage = pages[-1]["coverage"]
        self.assertTrue(coverage)
        self.ok(server, "/channel/subscriber_remove", {"channel_id": "g1", "channel_type": 2, "subscribers": ["ann"]})
        self.ok(server, "/conversations/delete", {"uid": "ann", "channel_id": "g2", "channel_type": 2})
        server.kill()
        server.start()
        pages = self.list_all(server, "ann", completed_coverage=coverage)
        deleted = {d["channel_id"]: d for p in pages for d in p["deletes"]}
        self.assertEqual(set(deleted), {"g1", "g2"})
        self.assertEqual(deleted["g2"]["deleted_to_seq"], 1)
        self.assertEqual([p["reset_required"] for p in pages], [False] * len(pages))
        self.assertEqual(pages[-1]["unresolved"], [])
        self.assertEqual(self.ok(server, "/conversation/retry", {"uid": "ann", "channels": [
            {"channel_id": "g3", "channel_type": 2}, {"channel_id": "bob", "channel_type": 1},
            {"channel_id": "g1", "channel_type": 2}]})["deletes"][0]["channel_id"], "g1")

    def test_list_and_retry_check_their_arguments(self):
        server = self.serve()
        self.refused(server, "/conversation/list", {}, 400, "uid cannot be empty")
        self.refused(server, "/conversation/list", {"uid": "u", "limit": 1001}, 400, "1000")
        self.refused(server, "/conversation/list", {"uid": "u", "cursor": "abc"}, 400, "cursor")
        self.refused(server, "/conversation/list", {"uid": "u", "completed_coverage": "AAAA"}, 400, "completed_coverage")
        coverage = self.ok(server, "/conversation/list", {"uid": "u"})["coverage"]
        self.refused(server, "/conversation/list", {"uid": "v", "completed_coverage": coverage}, 400, "not one of this uid")
        self.refused(server, "/conversation/list", {"uid": "u", "cursor": coverage}, 400, "cursor")
        self.refused(server, "/conversation/retry", {}, 400, "uid cannot be empty")
        self.refused(server, "/conversation/retry", {"uid": "u"}, 400, "channels cannot be empty")
        self.refused(server, "/conversation/retry", {"uid": "u", "channels": [{"channel_id": "g"}]}, 400, "channel_type")

    def test_activate_shows_a_conversation_without_a_message(self):
        server = self.serve()
        self.refused(server, "/conversations/activate", {}, 400, "uid cannot be empty")
        self.refused(server, "/conversations/activate", {"uid": "u"}, 400, "channel_id or channel_type")
        self.ok(server, "/conversations/activate", {"uid": "u", "channel_id": "peer", "channel_type": 1})
        server.kill()
        server.start()
        found = self.ok(server, "/conversation/list", {"uid": "u"})["conversations"]
        self.assertEqual([(c["channel_id"], c["last_message"], c["unread"]) for c in found], [("peer", None, 0)])
        self.ok(server, "/conversations/delete", {"uid": "u", "channel_id": "peer", "channel_type": 1})
        self.assertEqual(self.ok(server, "/conversation/list", {"uid": "u"})["conversations"], [])

    # ---- commands ----

    def test_a_bound_user_gets_stored_commands_until_it_is_unbound(self):
        server = self.serve()
        for path in ("/message/cmd/bind", "/message/cmd/unbind"):
            self.refused(server, path, {}, 400, "用户uid不能为空！")
            self.refused(server, path, {"uid": "u"}, 400, "channel_id不能为空！")
            self.refused(server, path, {"uid": "u", "channel_id": "g"}, 400, "频道类型不能为0！")
        guest = {"uid": "guest", "channel_id": "g", "channel_type": 2}
        self.ok(server, "/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        self.ok(server, "/message/cmd/bind", guest)
        server.kill()
        server.start()
        self.say(server, "g", "c1", header={"sync_once": 1})
        waiting = self.ok(server, "/message/sync", {"uid": "guest"})
        self.assertEqual([m["payload"] for m in waiting], [b64("c1")])
        self.ok(server, "/message/cmd/unbind", guest)
        self.say(server, "g", "c2", header={"sync_once": 1})
        self.assertEqual(self.ok(server, "/message/sync", {"uid": "guest"}), [])
        self.assertEqual(len(self.ok(server, "/message/sync", {"uid": "ann"})), 2)

    # ---- sending ----

    def test_send_with_wait_answers_after_the_commit_also_where_sends_are_asynchronous(self):
        server = self.serve({"api": {"sendAsync": True}})
        quick = self.say(server, "g")
        self.assertNotIn("message_seq", quick["data"])
        done = self.say(server, "g", "second", wait=1, setting=8, topic="t1", no_persist=0)["data"]
        self.assertEqual(done["reason"], 1)
        self.assertGreaterEqual(done["message_seq"], 1)
        found = self.ok(server, "/messages", {"login_uid": "u", "channel_id": "g", "channel_type": 2,
                                             "message_ids": [done["message_id"]]})["messages"]
        self.assertEqual([(m["topic"], m["setting"], m["message_seq"]) for m in found],
                         [("t1", 8, done["message_seq"])])
        self.assertEqual(self.say(server, "g", no_persist=1, wait=1)["data"]["message_seq"], 0)

    def test_the_device_that_sent_through_a_back_end_gets_no_copy(self):
        server = self.serve()
        phone = wkproto.login(server.tcp, "ann", device="phone")
        pad = wkproto.login(server.tcp, "ann", device="pad", flag=1)
        self.say(server, "bob", "one", kind=1, sender="ann", device_id="phone")
        self.assertEqual(pad.wait("RECV")["payload"], b"one")
        self.say(server, "bob", "two", kind=1, sender="ann")
        self.assertEqual(phone.wait("RECV")["payload"], b"two")
        phone.close()
        pad.close()

    # ---- operators ----

    def test_debug_is_off_until_it_is_asked_for_and_shows_no_secret(self):
        server = self.serve()
        for path in ("config", "cluster", "diagnostics/message", "diagnostics/trace/1"):
            status, answer = server.call("GET", "/debug/" + path)
            self.assertEqual((status, "api.debug" in answer["msg"]), (404, True))
        server = self.serve({"api": {"debug": True}, "managerToken": "very-secret-one", "auth": {"users": ["x:pass-word-9:*"]},
                             "webhook": {"httpAddr": "http://me:hidden-pw@127.0.0.1:9/"}}, token="very-secret-one")
        status, answer = server.call("GET", "/debug/config")
        self.assertEqual(status, 200)
        keys = {k["key"]: k for k in answer["keys"]}
        self.assertEqual((keys["managerToken"]["value"], keys["managerToken"]["set"]), ("******", 1))
        self.assertEqual(keys["api.debug"]["value"], "true")
        text = repr(answer)
        for secret in ("very-secret-one", "pass-word-9", "hidden-pw"):
            self.assertNotIn(secret, text)
        status, answer = server.call("GET", "/debug/cluster")
        self.assertEqual((status, answer["node_id"], answer["slots"]), (200, 1001, {"total": 64, "ready": 64}))
        self.assertTrue(answer["not_available"])

    def test_diagnostics_show_what_is_stored(self):
        server = self.serve({"api": {"debug": True}})
        sent = self.say(server, "g", "four", client_msg_no="n1")["data"]
        base = "/debug/diagnostics/message?channel_id=g&channel_type=2"
        for more in ("&client_msg_no=n1", "&message_id=%d" % sent["message_id"]):
            status, answer = server.call("GET", base + more)
            self.assertEqual((status, answer["stored"], answer["message_seq"], answer["payload_bytes"]), (200, True, 1, 4))
        self.assertEqual(server.call("GET", base + "&client_msg_no=none"), (200, {"stored": False, "copies": 0}))
        self.assertEqual(server.call("GET", base)[0], 400)
        self.assertEqual(server.call("GET", "/debug/diagnostics/message?channel_type=2")[0], 400)
        status, answer = server.call("GET", "/debug/diagnostics/events?channel_id=g&channel_type=2&client_msg_no=n1")
        self.assertEqual((status, answer["events"]), (200, []))
        status, answer = server.call("GET", "/debug/diagnostics/trace/%d" % sent["message_id"])
        self.assertEqual((status, "not recorded" in answer["msg"]), (404, True))
        self.assertEqual(server.call("GET", "/debug/diagnostics/other")[0], 404)

    def test_top_shows_counters_and_rates(self):
        server = self.serve()
        _, first = server.call("GET", "/top/v1/snapshot")
        self.assertEqual((first["status"], first["node_id"], first["slots"]), ("ok", 1001, {"total": 64, "ready": 64}))
        client = wkproto.login(server.tcp, "ann")
        for i in range(20):
            self.assertEqual(client.say("bob", 1, "x")["reasonCode"], 1)
        time.sleep(1.1)
        server.call("GET", "/top/v1/snapshot")
        _, last = server.call("GET", "/top/v1/snapshot")
        self.assertEqual((last["clients"]["users_online"], last["messages"]["in"]), (1, 20))
        self.assertGreaterEqual(last["rates"]["window_ms"], 1000)
        self.assertGreater(last["rates"]["in_per_s"], 0)
        client.close()

    def test_no_route_says_that_it_is_not_built(self):
        server = self.serve({"api": {"debug": True, "metrics": True}})
        _, docs = server.call("GET", "/docs/openapi.json")
        for method, path in (("GET", "/cluster/nodes"), ("POST", "/cluster/slots/1/migrate"),
                             ("GET", "/migrate/result"), ("GET", "/top/v1/snapshot")):
            status, answer = server.call(method, path, body={} if method == "POST" else None)
            self.assertNotEqual(status, 501, path)
            self.assertIn(status, (200, 404))


if __name__ == "__main__":
    unittest.main()
