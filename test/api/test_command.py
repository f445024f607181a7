#!/usr/bin/env python3
"""Commands for users who are away: /message/sync and /message/syncack over HTTP.

usage: python3 test/api/test_command.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import time
import unittest

import server as srv
import wkproto


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Commands(srv.Running, unittest.TestCase):
    def command(self, server, payload, **to):
        body = {"header": {"sync_once": 1}, "from_uid": "ann", "payload": b64(payload), **to}
        status, answer = server.post("/message/send", body)
        self.assertEqual(status, 200, answer)
        return answer

    def waiting(self, server, uid, limit=0):
        status, answer = server.post("/message/sync", {"uid": uid, "limit": limit})
        self.assertEqual(status, 200, answer)
        return [base64.b64decode(m["payload"]).decode() for m in answer]

    def ack(self, server, uid, number=1):
        self.assertEqual(server.post("/message/syncack", {"uid": uid, "last_message_seq": number}),
                         (200, {"status": 200}))

    def test_sync_and_ack_survive_kill(self):
        server = self.serve()
        self.command(server, "c1", channel_id="bob", channel_type=1)
        self.assertEqual(self.waiting(server, "bob"), ["c1"])
        server.kill()
        server.start()
        self.ack(server, "bob")
        server.kill()
        server.start()
        self.assertEqual(self.waiting(server, "bob"), [])
        self.assertEqual(self.waiting(server, "ann"), ["c1"])

    def test_order_of_checks_and_texts(self):
        server = self.serve()
        for path, body, text in (
                ("/message/sync", {"limit": -1}, "用户uid不能为空！"),
                ("/message/sync", {"uid": "u", "limit": -1}, "limit不能为负数！"),
                ("/message/syncack", {}, "用户UID不能为空！"),
                ("/message/syncack", {"uid": "u"}, "最后一次messageSeq不能为0！")):
            with self.subTest(path=path, body=body):
                self.assertEqual(server.post(path, body), (400, {"msg": text, "status": 400}))

    def test_channel_id_keeps_the_suffix_unless_told_otherwise(self):
        server = self.serve()
        self.command(server, "c1", channel_id="bob", channel_type=1)
        for uid in ("ann", "bob"):
            _, answer = server.post("/message/sync", {"uid": uid})
            self.assertTrue(answer[0]["channel_id"].endswith("____cmd"), answer)
            self.assertEqual(answer[0]["header"]["sync_once"], 1)
        plain = self.serve({"cmd": {"legacyChannelId": False}})
        self.command(plain, "c1", channel_id="bob", channel_type=1)
        self.assertEqual(plain.post("/message/sync", {"uid": "bob"})[1][0]["channel_id"], "ann")
        self.assertEqual(plain.post("/message/sync", {"uid": "ann"})[1][0]["channel_id"], "bob")

    def test_a_named_list_reaches_those_who_are_away(self):
        server = self.serve()
        self.command(server, "c1", subscribers=["bob", "eve"])
        self.assertEqual(self.waiting(server, "bob"), ["c1"])
        self.assertEqual(self.waiting(server, "eve"), ["c1"])
        self.ack(server, "bob")
        self.assertEqual(self.waiting(server, "bob"), [])
        self.assertEqual(self.waiting(server, "eve"), ["c1"])

    def test_who_is_named_twice_gets_it_once(self):
        server = self.serve()
        bob = wkproto.login(server.tcp, "bob")
        self.addCleanup(bob.close)
        self.command(server, "c1", subscribers=["bob", "eve", "bob"])
        self.command(server, "c2", subscribers=["bob", "bob"],
                     header={"sync_once": 1, "no_persist": 1})
        got = [bob.wait("RECV") for _ in range(2)]
        self.assertEqual([m["plain"] for m in got], [b"c1", b"c2"])
        self.assertEqual(got[1]["channelId"], "systemcmdonline")

    def test_switched_off(self):
        server = self.serve({"disableCMDMessageSync": True})
        self.command(server, "c1", channel_id="bob", channel_type=1)
        self.assertEqual(server.call("POST", "/message/sync", raw=b"{"), (200, []))
        self.assertEqual(server.call("POST", "/message/syncack", raw=b"{"), (200, {"status": 200}))

    def recvack(self, level, flag):
        server = self.serve({"tokenAuthOn": True})
        server.post("/user/token", {"uid": "bob", "token": "t", "device_flag": 0, "device_level": level})
        client = wkproto.Client(server.tcp, "bob", token="t", ack=False)
        self.addCleanup(client.close)
        client.wait("CONNACK")
        self.command(server, "c1", channel_id="bob", channel_type=1)
        one = dict(client.wait("RECV"))
        one["flags"] = flag
        client.recvack(one)
        end = time.monotonic() + 20
        while self.waiting(server, "bob") and level and flag and time.monotonic() < end:
            time.sleep(0.05)
        return self.waiting(server, "bob")

    def test_recvack_of_a_master_counts(self):
        self.assertEqual(self.recvack(1, wkproto.SYNC_ONCE), [])

    def test_recvack_of_a_slave_or_without_the_flag_does_not(self):
        self.assertEqual(self.recvack(0, wkproto.SYNC_ONCE), ["c1"])
        self.assertEqual(self.recvack(1, 0), ["c1"])


if __name__ == "__main__":
    unittest.main()
