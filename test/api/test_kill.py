#!/usr/bin/env python3
"""kill -9 under load: what was acknowledged is there after the restart, exactly once and in order.

usage: python3 test/api/test_kill.py [--rounds N] [--seed N]      (5 rounds unless told otherwise)

Every round logs clients in, lets them send to each other and to groups with a window of unanswered
SENDs, lets back-end calls change lists, tokens and read positions, kills the server at a random
moment, starts it again and compares its state with what had been acknowledged.
"""
import argparse
import base64
import http.client
import random
import sys
import threading
import time
import unittest

import server as srv
import wkproto

USERS = ["ku%d" % i for i in range(6)]
GROUPS = ["kg0", "kg1"]
WINDOW = 24
# Small files, so that segments close, are flushed and are removed while the server is killed.
OPTIONS = {"tokenAuthOn": True, "whitelistOffOfPerson": True,
           "storage": {"segmentSize": "1MiB", "memtableSize": "1MiB", "logSize": "2MiB"}}
PADDING = "." * 300


class Message:
    __slots__ = ("number", "sender", "channel", "kind", "order", "seq", "id")

    def __init__(self, number, sender, channel, kind, order):
        self.number, self.sender, self.channel, self.kind = number, sender, channel, kind
        self.order, self.seq, self.id = order, 0, 0

    @property
    def key(self):
        """The stored channel: both directions of two persons are one."""
        return (self.channel, 2) if self.kind == 2 else \
            (min(self.sender, self.channel) + "|" + max(self.sender, self.channel), 1)


class Book:
    """Everything sent and everything acknowledged, over all rounds."""

    def __init__(self):
        self.lock = threading.Lock()
        self.messages, self.orders, self.next = {}, {}, 0
        self.members, self.denied, self.allowed, self.system = set(), set(), set(), set()
        # of a user the token that was answered last ("": none) and those tried after it
        self.tokens, self.api_messages, self.cleared = {}, {}, set()

    def sending(self, sender, channel, kind):
        with self.lock:
            self.next += 1
            m = Message("k-%d" % self.next, sender, channel, kind, self.next)
            self.messages[m.number] = m
            return m

    def acked(self):
        return [m for m in self.messages.values() if m.seq]

    def open(self):
        return [m for m in self.messages.values() if not m.seq]


class Sender(threading.Thread):
    """One connection with up to WINDOW unanswered SENDs, until the server is gone."""

    def __init__(self, book, client, seed):
        super().__init__(daemon=True)
        self.book, self.client, self.random, self.bad = book, client, random.Random(seed), []

    def run(self):
        peer = USERS[USERS.index(self.client.uid) ^ 1]
        under_way = {}
        try:
            while not self.client.closed.is_set():
                while len(under_way) < WINDOW:
                    channel, kind = self.random.choice([(peer, 1)] + [(g, 2) for g in GROUPS])
                    m = self.book.sending(self.client.uid, channel, kind)
                    under_way[self.client.send(channel, kind, m.number + PADDING, number=m.number)] = m
                self.take(under_way)
        except OSError:
            pass
        self.client.closed.wait(5)              # acknowledgements that were still on their way count
        self.take(under_way)

    def take(self, under_way):
        while True:
            got = self.client.inbox.get() if under_way and not self.client.closed.is_set() else None
            if got is None or got["type"] == "CLOSED":
                break
            if got["type"] == "SENDACK":
                settle(under_way.pop(got["clientSeq"]), got, self.bad)
                if len(under_way) <= WINDOW // 2:
                    return
        while not self.client.inbox.empty():
            got = self.client.inbox.get()
            if got["type"] == "SENDACK":
                settle(under_way.pop(got["clientSeq"]), got, self.bad)


def settle(message, ack, bad):
    if ack["reasonCode"] != 1:
        bad.append("%s refused with %d" % (message.number, ack["reasonCode"]))
    message.seq, message.id = ack["messageSeq"], ack["messageId"]


class Backend(threading.Thread):
    """Back-end calls, one after the other; what was answered with 200 is noted."""

    def __init__(self, book, server, name, seed):
        super().__init__(daemon=True)
        self.book, self.server, self.name, self.random, self.bad = book, server, name, random.Random(seed), []

    def call(self, path, body):
        status, answer = self.server.post(path, body, timeout=10)
        if status != 200:
            self.bad.append("%s: %d %r" % (path, status, answer))
        return answer

    def run(self):
        n = 0
        try:
            while True:
                n += 1
                self.step("%s-%d" % (self.name, n), self.random.randrange(6))
        except (OSError, http.client.HTTPException):
            pass

    def step(self, uid, what):
        book = self.book
        group = {"channel_id": "klists", "channel_type": 2}
        if what == 0:
            self.call("/channel/subscriber_add", dict(group, subscribers=[uid]))
            book.members.add(uid)
        elif what == 1:
            self.call("/channel/blacklist_add", dict(group, uids=[uid]))
            book.denied.add(uid)
        elif what == 2:
            self.call("/channel/whitelist_add", dict(group, uids=[uid]))
            book.allowed.add(uid)
        elif what == 3:
            self.call("/user/systemuids_add", {"uids": [uid]})
            book.system.add(uid)
        elif what == 4:
            user = "kt-%s" % self.name.split("-")[0]
            book.tokens.setdefault(user, [""]).append(uid)
            self.call("/user/token", {"uid": user, "token": uid, "device_flag": 0, "device_level": 0})
            book.tokens[user] = [uid]
        else:
            answer = self.call("/message/send", {
                "from_uid": "kbackend", "channel_id": uid, "channel_type": 1, "client_msg_no": uid,
                "header": {"red_dot": 1}, "payload": base64.b64encode(uid.encode()).decode()})
            book.api_messages[uid] = answer["data"]["message_id"]
            self.call("/conversations/clearUnread", {"uid": uid, "channel_id": "kbackend", "channel_type": 1})
            book.cleared.add(uid)


class Kill(srv.Running, unittest.TestCase):
    rounds, seed = 5, 1

    def setUp(self):
        self.server = self.serve(OPTIONS)
        self.book, self.random = Book(), random.Random(self.seed)
        for uid in USERS:
            self.post("/user/token", {"uid": uid, "token": uid, "device_flag": 0, "device_level": 0})
        for g in GROUPS:
            self.post("/channel", {"channel_id": g, "channel_type": 2, "subscribers": USERS})
        self.known = {}                         # channel -> numbers in order, as read so far

    def post(self, path, body):
        status, answer = self.server.post(path, body)
        self.assertEqual(status, 200, (path, body, answer))
        return answer

    def test_acknowledged_is_kept_when_the_process_is_killed(self):
        began, resent = time.monotonic(), 0
        for n in range(self.rounds):
            self.load(n)
            self.server.kill()
            for t in self.threads:
                t.join(20)
                self.assertFalse(t.is_alive())
                self.assertEqual(t.bad, [])
            for c in self.clients:
                c.close()
            self.restart()
            with self.subTest(round=n, seed=self.seed):
                if n % 10 == 9 or n == self.rounds - 1:
                    self.known = {}             # now and then everything is read again
                self.check_histories(first=True)
                self.check_conversations()
                self.check_backend()
                resent += self.resend()
                self.check_histories(first=False)
        print("%d rounds, %d messages acknowledged, %d resent, %d back-end effects, %.0f s" % (
            self.rounds, len(self.book.acked()), resent, len(self.book.members) + len(self.book.denied) +
            len(self.book.allowed) + len(self.book.system) + len(self.book.api_messages) * 2,
            time.monotonic() - began))
        self.assertGreater(len(self.book.acked()), self.rounds * 20)

    def restart(self):
        """Sometimes the server is killed again while it recovers."""
        while self.random.random() < 0.3:
            self.server.launch()
            time.sleep(self.random.uniform(0, 0.08))
            self.server.kill()
        self.server.start()

    def load(self, n):
        self.since = self.book.next
        self.clients = [wkproto.login(self.server.tcp, uid, token=uid) for uid in USERS]
        self.threads = [Sender(self.book, c, self.random.random()) for c in self.clients]
        self.threads += [Backend(self.book, self.server, "b%d-%d" % (i, n), self.random.random())
                         for i in range(2)]
        for t in self.threads:
            t.start()
        time.sleep(self.random.uniform(0.02, 0.8))

    def history(self, key, viewer):
        """Reads on where the last reading ended; new rows only."""
        name, kind = key
        channel = name if kind == 2 else [u for u in name.split("|") if u != viewer][0]
        known, fresh = self.known.setdefault(key, []), []
        while True:
            page = self.post("/channel/messagesync", {
                "login_uid": viewer, "channel_id": channel, "channel_type": kind, "limit": 1000,
                "start_message_seq": len(known) + 1, "end_message_seq": 0, "pull_mode": 1})["messages"]
            for m in page:
                known.append(m["client_msg_no"])
                self.assertEqual(m["message_seq"], len(known), "gap in %s" % name)
                fresh.append(m)
            if len(page) < 1000:
                return fresh

    def check_histories(self, first):
        channels = {}
        for m in self.book.messages.values():
            channels.setdefault(m.key, {})[m.number] = m
        for key, messages in channels.items():
            viewer = USERS[0] if key[1] == 2 else key[0].split("|")[0]
            fresh = self.history(key, viewer)
            known = self.known[key]
            at = {number: i + 1 for i, number in enumerate(known)}
            self.assertEqual(len(at), len(known), "a message twice in %s" % key[0])
            self.assertEqual(set(known) - set(messages), set())
            for m in messages.values():
                if m.seq:
                    self.assertEqual(at.get(m.number), m.seq, "acknowledged %s of %s" % (m.number, key[0]))
            for row in fresh:
                m = messages[row["client_msg_no"]]
                self.assertEqual((row["from_uid"], base64.b64decode(row["payload"]).decode()),
                                 (m.sender, m.number + PADDING))
                self.assertIn(m.id, (0, row["message_id"]))
            if first:
                self.check_order(key, [r for r in fresh if messages[r["client_msg_no"]].order > self.since],
                                 messages)

    def check_order(self, key, fresh, messages):
        """What one sender sent in this round stands in the order of sending."""
        last = {}
        for row in fresh:
            m = messages[row["client_msg_no"]]
            self.assertGreater(m.order, last.get(m.sender, 0), "order of %s in %s" % (m.sender, key[0]))
            last[m.sender] = m.order

    def check_conversations(self):
        want = {}
        for m in self.book.acked():
            for uid in USERS if m.kind == 2 else (m.sender, m.channel):
                channel = m.channel if m.kind == 2 or uid == m.sender else m.sender
                have = want.setdefault(uid, {})
                have[channel] = max(have.get(channel, 0), m.seq)
        for uid, channels in want.items():
            found = {c["channel_id"]: c for c in self.post("/conversation/sync", {"uid": uid, "msg_count": 1})}
            for channel, seq in channels.items():
                self.assertIn(channel, found, "conversation of %s" % uid)
                self.assertGreaterEqual(found[channel]["last_msg_seq"], seq)

    def check_backend(self):
        book = self.book
        for words, path in ((book.members, "subscribers"), (book.denied, "blacklist"),
                            (book.allowed, "whitelist")):
            _, answer = self.server.call("GET", "/channel/%s?channel_id=klists&channel_type=2&limit=1000000"
                                         % path)
            have = {m if isinstance(m, str) else m["uid"] for m in self.members(answer)}
            self.assertEqual(words - have, set(), path)
        _, answer = self.server.call("GET", "/user/systemuids")
        self.assertEqual(book.system - set(answer), set())
        for user, tokens in book.tokens.items():
            book.tokens[user] = [self.token_of(user, tokens)]
        for uid, message_id in list(book.api_messages.items())[-40:]:
            self.check_api_message(uid, message_id)

    def token_of(self, user, tokens):
        """The one of these that the server takes: the kill may have come before or behind any of them."""
        taken = []
        for token in tokens:
            client = wkproto.Client(self.server.tcp, user, token=token)
            if client.wait("CONNACK")["reasonCode"] == 1:
                taken.append(token)
            client.close()
        if tokens[0]:                               # one was answered: it or a later one is there
            self.assertEqual(len(taken), 1, "token of %s: %s of %s" % (user, taken, tokens))
        return taken[0] if taken else ""

    def members(self, answer):
        return answer["members"] if isinstance(answer, dict) and "members" in answer else \
            answer["subscribers"] if isinstance(answer, dict) else answer

    def check_api_message(self, uid, message_id):
        rows = self.post("/channel/messagesync", {"login_uid": uid, "channel_id": "kbackend",
                                                  "channel_type": 1, "limit": 10})["messages"]
        self.assertEqual([m["message_id"] for m in rows], [message_id])
        found = self.post("/conversation/sync", {"uid": uid, "msg_count": 1})
        self.assertEqual([c["channel_id"] for c in found], ["kbackend"])
        if uid in self.book.cleared:
            self.assertEqual(found[0]["unread"], 0)

    def resend(self):
        """Unanswered messages again, with the same numbers."""
        left = sorted(self.book.open(), key=lambda m: m.order)
        for uid in USERS:
            client = wkproto.login(self.server.tcp, uid, token=uid)
            for m in left:
                if m.sender == uid:
                    ack = client.say(m.channel, m.kind, m.number + PADDING, number=m.number)
                    self.assertIsNotNone(ack, m.number)
                    self.assertEqual(ack["reasonCode"], 1)
                    m.seq, m.id = ack["messageSeq"], ack["messageId"]
            client.close()
        return len(left)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    known, rest = parser.parse_known_args()
    Kill.rounds, Kill.seed = known.rounds, known.seed
    print("seed %d" % Kill.seed)
    unittest.main(argv=sys.argv[:1] + rest, verbosity=1)
