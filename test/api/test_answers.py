#!/usr/bin/env python3
"""Answers of the routes of version 2 that no transcript shows: tags, connections, receivers by list.

usage: python3 test/api/test_answers.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import unittest

import server as srv
import wkproto

X = base64.b64encode(b"x").decode()


class Answers(srv.Running, unittest.TestCase):
    def connect(self, server, uid, **more):
        client = wkproto.login(server.tcp, uid, **more)
        self.addCleanup(client.close)
        return client

    def keys(self, server, query):
        return [t["key"] for t in server.call("GET", "/tags" + query)[1]]

    def test_tags_are_found_by_the_channel_named_whole_else_by_the_key(self):
        server = self.serve()
        for channel in ("g1", "g2"):
            server.post("/channel", {"channel_id": channel, "channel_type": 2, "subscribers": ["ann"]})
            server.post("/message/send", {"channel_id": channel, "channel_type": 2, "payload": X})
        one = server.call("GET", "/tag?channel_id=g1&channel_type=2")[1]["key"]
        two = server.call("GET", "/tag?channel_id=g2&channel_type=2")[1]["key"]
        for query, key in (("tag_key=" + one, one), ("tag_key=%20" + one + "%20", one),
                           ("tag_key=%s&channel_id=g2&channel_type=2" % one, one),
                           ("tag_key=%20&channel_id=g2&channel_type=2", two)):
            self.assertEqual(server.call("GET", "/tag?" + query)[1].get("key"), key, query)
        for query, keys in (("?channel_id=g1&channel_type=2&tag_key=" + two, [one]),
                            ("?channel_id=g1&channel_type=2&tag_key=nosuch", [one]),
                            ("?channel_id=g1&tag_key=" + two, [two]), ("?channel_id=nosuch&channel_type=2", []),
                            ("?channel_type=2&tag_key=nosuch", [])):
            self.assertEqual(self.keys(server, query), keys, query)
        for query in ("", "?channel_id=g1", "?channel_type=2"):
            self.assertEqual(sorted(self.keys(server, query)), sorted([one, two]), query)
        for body, left in (({"channel_id": "g1"}, 2), ({"tag_key": "nosuch", "channel_id": "g1", "channel_type": 2}, 2),
                           ({"tag_key": " ", "channel_id": "g1", "channel_type": 2}, 1), ({"tag_key": two}, 0)):
            self.assertEqual(server.post("/tag/remove", body), (200, {"status": 200}))
            self.assertEqual(len(self.keys(server, "")), left, body)

    def test_only_the_connection_that_is_named_whole_is_kicked(self):
        server = self.serve()
        ann = self.connect(server, "ann")
        self.connect(server, "bob")
        ids = {c["uid"]: c["id"] for c in server.call("GET", "/connz")[1]["connections"]}
        for body in ({"conn_id": ids["ann"]}, {"uid": "bob", "conn_id": ids["ann"]}, {"uid": "ann", "conn_id": -1},
                     {"uid": "ann", "conn_id": ids["ann"], "node_id": 77}, {"conn_id": -1},
                     {"uid": "ann", "conn_id": ids["bob"]}):
            for path in ("/conn/kick", "/conn/remove"):
                self.assertEqual(server.post(path, body), (200, {"status": 200}), body)
        self.assertTrue(ann.ping())
        self.assertEqual(len(server.post("/user/onlinestatus", ["ann", "bob"])[1]), 2)
        server.post("/conn/kick", {"uid": "ann", "conn_id": ids["ann"], "node_id": 1001, "op_node_id": 1001})
        self.assertEqual(ann.wait("DISCONNECT")["reason"], "server kick")

    def test_bytes_of_messages_are_counted_apart_from_those_of_packets(self):
        server = self.serve({"disableEncryption": True})
        ann, bob = self.connect(server, "ann"), self.connect(server, "bob")
        ann.say("bob", 1, "x" * 1000)
        self.assertIsNotNone(bob.wait("RECV"))
        bob.ping()
        rows = {c["uid"]: c for c in server.call("GET", "/connz")[1]["connections"]}
        for uid, sent, got in (("ann", 1, 0), ("bob", 0, 1)):
            one = rows[uid]
            self.assertEqual([one[k] for k in ("in_msgs", "in_msg_bytes", "out_msgs", "out_msg_bytes")],
                             [sent, sent * 1000, got, got * 1000])
            self.assertGreater(one["in_packet_bytes"], one["in_msg_bytes"])
            self.assertGreater(one["out_packet_bytes"], one["out_msg_bytes"])
        by_bytes = server.call("GET", "/connz?sort=inMsgBytesDesc")[1]["connections"]
        self.assertEqual([c["uid"] for c in by_bytes], ["ann", "bob"])

    def test_an_id_of_blanks_is_an_id_where_version_2_takes_it(self):
        server = self.serve()
        one = {"channel_id": " ", "channel_type": 2}
        for path in ("blacklist_add", "blacklist_remove", "whitelist_add", "whitelist_remove"):
            self.assertEqual(server.post("/channel/" + path, {**one, "uids": ["ann"]}), (200, {"status": 200}), path)
            here = [m["uid"] for m in server.call("GET", "/channel/%s?channel_id=%%20&channel_type=2" % path[:9])[1]]
            self.assertEqual(here, ["ann"] if path.endswith("add") else [])
        for path, body in (("/channel/blacklist_remove_all", one), ("/channel/whitelist_remove_all", one),
                           ("/channel/subscriber_remove_all", one), ("/conversations/clearUnread", {**one, "uid": " "}),
                           ("/tmpchannel/subscriber_set", {**one, "uids": ["ann"]}),
                           ("/conversations/setUnread", {**one, "uid": " "}),
                           ("/conversations/delete", {**one, "uid": " "})):
            self.assertEqual(server.post(path, body), (200, {"status": 200}), path)
        for path in ("/conversation/sync", "/conversation/channels"):
            self.assertEqual(server.post(path, {"uid": " ", "msg_count": 5}), (200, []), path)
        self.assertEqual(server.call("GET", "/channel/max_message_seq?channel_id=%20&channel_type=2"),
                         (200, {"message_seq": 0}))
        self.assertEqual(server.call("GET", "/channel/last_message?channel_id=%20&channel_type=2"),
                         (200, {"status": 404}))

    def test_a_command_to_receivers_by_list_gets_a_number_of_its_own(self):
        server = self.serve()
        ann = self.connect(server, "ann")
        body = {"payload": X, "subscribers": ["ann", "bob"], "header": {"sync_once": 1}, "client_msg_no": "mine"}
        for header in ({"sync_once": 1}, {"sync_once": 1}, {"sync_once": 1, "no_persist": 1}):
            self.assertEqual(server.post("/message/send", {**body, "header": header})[0], 200)
            self.assertRegex(ann.wait("RECV")["clientMsgNo"], "^[0-9a-f]{32}0$")


if __name__ == "__main__":
    unittest.main(verbosity=1)
