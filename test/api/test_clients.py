#!/usr/bin/env python3
"""What clients meet beyond the recorded transcripts: kicks, order of answers.

usage: python3 test/api/test_clients.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import unittest

import server as srv
import wkproto

KICKED, NOT_SUBSCRIBER, UNREADABLE, BAD_CHANNEL = 12, 3, 9, 16


class Clients(srv.Running, unittest.TestCase):
    def login(self, server, uid, **more):
        client = wkproto.login(server.tcp, uid, **more)
        self.addCleanup(client.close)
        return client

    def test_a_replaced_connection_receives_until_it_is_closed(self):
        server = self.serve()
        bob, old = self.login(server, "bob"), self.login(server, "ann", device="d")
        new = self.login(server, "ann", device="d")
        self.assertEqual(server.post("/user/onlinestatus", ["ann"])[1],
                         [{"uid": "ann", "device_flag": 0, "online": 1}])
        self.assertEqual(bob.say("ann", 1, "both")["reasonCode"], 1)
        self.assertEqual([c.wait("RECV")["plain"] for c in (old, new)], [b"both", b"both"])
        ack = old.say("bob", 1, "ghost")
        self.assertEqual((ack["reasonCode"], ack["messageSeq"]), (KICKED, 0))
        self.assertIsNotNone(old.wait("CLOSED", 4))
        self.assertEqual(bob.say("ann", 1, "later")["messageSeq"], 2)   # the ghost was not stored
        self.assertEqual(new.wait("RECV")["plain"], b"later")
        self.assertIsNone(bob.wait("RECV", 0.2))

    def test_sendacks_come_in_the_order_of_the_sends(self):
        server = self.serve({"disableEncryption": False})
        server.post("/channel", {"channel_id": "g", "channel_type": 2, "subscribers": ["ann"]})
        ann = self.login(server, "ann", encrypt=True)
        frames, write = [], ann.raw
        ann.raw = frames.append
        for i in range(5):
            ann.send("new%d" % i, 1, "its conversations are made first")
            ann.send("g", 2, "hi")
            ann.send("nobody", 2, "refused by its slot")
            ann.send("a@b", 1, "refused at once")
            ann.send("g", 2, "not readable")
            frames[-1] = frames[-1][:-1] + b"!"
        write(b"".join(frames))
        acks = [ann.wait("SENDACK") for _ in frames]
        self.assertEqual([a["clientSeq"] for a in acks], list(range(1, len(frames) + 1)))
        self.assertEqual([a["reasonCode"] for a in acks], [1, 1, NOT_SUBSCRIBER, BAD_CHANNEL, UNREADABLE] * 5)


if __name__ == "__main__":
    unittest.main()
