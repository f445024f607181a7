"""What the soak does through clients and HTTP, and the book of what was acknowledged."""
import base64
import http.client
import json
import random
import threading
import time

import wkproto

USERS = ["soak%02d" % i for i in range(24)]
GROUPS = ["soakg%d" % i for i in range(4)]
AWAY = ["soakaway%d" % i for i in range(4)]     # never connected: commands wait for them


class Book:
    """Acknowledged messages by channel: key -> {number: (sender, client_msg_no, text)}."""

    def __init__(self):
        self.lock, self.channels, self.messages = threading.Lock(), {}, {}

    def acknowledged(self, key, seq, sender, number, text):
        with self.lock:
            channel = self.channels.setdefault(key, {})
            if seq in channel and channel[seq] != (sender, number, text):
                return "number %d of %s given out twice" % (seq, key)
            channel[seq] = (sender, number, text)
            self.messages[number] = key
        return None


def pair(a, b):
    return (min(a, b), max(a, b), 1)


class Http:
    """One kept connection per thread."""

    def __init__(self, server):
        self.server, self.connection = server, None

    def post(self, path, body):
        for again in (True, False):
            try:
                if not self.connection:
                    self.connection = http.client.HTTPConnection("127.0.0.1", self.server.ports["http"], timeout=60)
                self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                r = self.connection.getresponse()
                text = r.read()
                return r.status, json.loads(text) if text else None
            except (OSError, http.client.HTTPException):
                self.connection = None
                if not again:
                    raise


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Traffic:
    def __init__(self, server, seed, problems):
        self.server, self.seed, self.problems, self.book = server, seed, problems, Book()
        self.stopping, self.threads, self.uncertain = threading.Event(), [], 0
        self.done = {"logins": 0, "sent": 0, "api": 0, "reads": 0, "commands": 0, "events": 0}
        self.commands = {uid: [] for uid in AWAY}
        self.lock, self.counter, self.unread = threading.Lock(), 0, 0

    def problem(self, text):
        with self.lock:
            if len(self.problems) < 200:
                self.problems.append(text)

    def did(self, what):
        with self.lock:
            self.done[what] += 1

    def number(self):
        with self.lock:
            self.counter += 1
            return "soak-%d-%d" % (self.seed, self.counter)

    def summary(self):
        return ", ".join("%d %s" % (n, what) for what, n in self.done.items())

    def stored(self):
        """Messages in the book, and commands and streams, which are stored as well."""
        return len(self.book.messages) + self.done["commands"]

    def start(self):
        http_ = Http(self.server)
        for group in GROUPS:
            status, answer = http_.post("/channel", {"channel_id": group, "channel_type": 2, "subscribers": USERS})
            if status != 200:
                raise RuntimeError("channel: %r" % (answer,))
        work = [(self.talk, i) for i in range(3)] + [(self.send_by_api, 10), (self.read, 20), (self.order, 30),
                                                     (self.stream, 40)]
        for job, salt in work:
            thread = threading.Thread(target=self.guard, args=(job, random.Random(self.seed * 100 + salt), salt))
            thread.start()
            self.threads.append(thread)

    def guard(self, job, rng, salt):
        try:
            job(rng, salt)
        except Exception as e:                      # a thread that ends early is a failure of the soak
            self.problem("%s ended: %s %s" % (job.__name__, type(e).__name__, e))

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(120)

    # ---- clients that come and go -------------------------------------------------------------------
    def talk(self, rng, salt):
        """A third of the users is this thread's: they log in, send, and leave in one of three ways."""
        mine, here = USERS[salt::3], {}
        while not self.stopping.is_set():
            uid = rng.choice(mine)
            if uid not in here:
                here[uid] = wkproto.login(("127.0.0.1", self.server.ports["tcp"]), uid, encrypt=True)
                self.did("logins")
            elif rng.random() < 0.1:
                self.leave(here.pop(uid), rng)
            else:
                self.say(here[uid], rng)
            self.drain(here)
            self.stopping.wait(rng.random() * 0.1)
        for client in here.values():
            client.close()

    def leave(self, client, rng):
        if rng.random() < 0.3:                      # with SENDs under way: their fate is unknown
            for _ in range(3):
                client.send(rng.choice(GROUPS), 2, "cut off", number=self.number())
                with self.lock:
                    self.uncertain += 1
        client.close()

    def say(self, client, rng):
        group = rng.random() < 0.5
        target = rng.choice(GROUPS) if group else rng.choice([u for u in USERS if u != client.uid])
        number, text = self.number(), "%s says %d" % (client.uid, rng.randrange(10**9))
        ack = client.say(target, 2 if group else 1, text, wait=60, number=number)
        if ack is None or ack["reasonCode"] != 1:
            self.problem("SEND of %s to %s: %r" % (client.uid, target, ack))
            return
        self.note((target, "", 2) if group else pair(client.uid, target), ack["messageSeq"], client.uid, number, text)
        self.did("sent")

    def note(self, key, seq, sender, number, text):
        wrong = self.book.acknowledged(key, seq, sender, number, text)
        if wrong:
            self.problem(wrong)

    def drain(self, here):
        """RECVs are acknowledged by the client; what came twice or not in order is seen here."""
        for client in here.values():
            last = client.__dict__.setdefault("last", {})
            for one in client.kept + [client.inbox.get_nowait() for _ in range(client.inbox.qsize())]:
                if one["type"] == "CLOSED":
                    self.problem("%s was closed by the server" % client.uid)
                if one["type"] != "RECV" or one["messageSeq"] == 0 or one["flags"] & 8:
                    continue
                key = (one["channelId"], one["channelType"], one["flags"] & 4)
                if one["messageSeq"] <= last.get(key, 0):
                    self.problem("%s: %d behind %d in %s" % (client.uid, one["messageSeq"], last[key], key))
                last[key] = one["messageSeq"]
            client.kept.clear()

    # ---- HTTP ---------------------------------------------------------------------------------------
    def send_by_api(self, rng, _salt):
        http_ = Http(self.server)
        while not self.stopping.is_set():
            sender, group = rng.choice(USERS), rng.random() < 0.5
            target = rng.choice(GROUPS) if group else rng.choice([u for u in USERS if u != sender])
            number, text = self.number(), "by api %d" % rng.randrange(10**9)
            status, answer = http_.post("/message/send", {
                "header": {"red_dot": 1}, "from_uid": sender, "channel_id": target, "channel_type": 2 if group else 1,
                "client_msg_no": number, "payload": b64(text), "wait": 1})
            if status != 200:
                self.problem("/message/send: %d %r" % (status, answer))
            else:
                self.note((target, "", 2) if group else pair(sender, target), answer["data"]["message_seq"], sender,
                          number, text)
                self.did("api")
            self.stopping.wait(0.02)

    def read(self, rng, _salt):
        http_ = Http(self.server)
        while not self.stopping.is_set():
            uid = rng.choice(USERS)
            status, answer = http_.post("/conversation/sync", {"uid": uid, "version": 0, "msg_count": 5})
            if status != 200:
                self.problem("/conversation/sync: %d %r" % (status, answer))
            for c in answer if status == 200 else ():
                seqs = [m["message_seq"] for m in c["recents"]]
                if sorted(seqs, reverse=True) != seqs or (seqs and seqs[0] != c["last_msg_seq"]):
                    self.problem("/conversation/sync of %s: %s %r %d" % (uid, c["channel_id"], seqs, c["last_msg_seq"]))
            group = rng.choice(GROUPS)
            status, answer = http_.post("/channel/messagesync", {
                "login_uid": uid, "channel_id": group, "channel_type": 2, "start_message_seq": 0, "end_message_seq": 0,
                "limit": 50, "pull_mode": 0})
            seqs = [m["message_seq"] for m in answer["messages"]] if status == 200 else []
            if status != 200 or seqs != list(range(seqs[0], seqs[0] + len(seqs))) if seqs else False:
                self.problem("/channel/messagesync: %d %r" % (status, seqs))
            if rng.random() < 0.2:
                status, answer = http_.post("/conversations/clearUnread", {"uid": uid, "channel_id": group,
                                                                           "channel_type": 2})
                if status != 200:
                    self.problem("clearUnread: %d %r" % (status, answer))
            self.did("reads")
            self.stopping.wait(0.2)

    def order(self, rng, _salt):
        """Commands for users who are away: each is handed out until it is acknowledged, then never again."""
        http_ = Http(self.server)
        while not self.stopping.is_set():
            uid, text = rng.choice(AWAY), "command %d" % rng.randrange(10**9)
            status, answer = http_.post("/message/send", {"header": {"sync_once": 1}, "from_uid": "boss",
                                                          "channel_id": uid, "channel_type": 1, "payload": b64(text)})
            if status != 200:
                self.problem("command: %d %r" % (status, answer))
                continue
            self.commands[uid].append(text)
            self.did("commands")
            if rng.random() < 0.5:
                status, answer = http_.post("/message/sync", {"uid": uid, "limit": 1000})
                got = [base64.b64decode(m["payload"]).decode() for m in answer] if status == 200 else status
                if got != self.commands[uid]:
                    self.problem("/message/sync of %s: %r instead of %r" % (uid, got, self.commands[uid]))
                if rng.random() < 0.7 and answer:
                    status, answer = http_.post("/message/syncack", {
                        "uid": uid, "last_message_seq": answer[-1]["message_seq"]})
                    if status != 200:
                        self.problem("syncack: %d %r" % (status, answer))
                    self.commands[uid].clear()
            self.stopping.wait(0.1)

    def stream(self, rng, _salt):
        """A stream message whose text comes in deltas, and what readers see of it in the end."""
        http_ = Http(self.server)
        while not self.stopping.is_set():
            number, group, text = self.number(), rng.choice(GROUPS), ""
            status, answer = http_.post("/message/send", {
                "from_uid": USERS[0], "channel_id": group, "channel_type": 2, "is_stream": 1, "client_msg_no": number,
                "payload": b64("stream"), "wait": 1})
            if status != 200:
                self.problem("stream: %d %r" % (status, answer))
                continue
            seq = answer["data"]["message_seq"]
            self.note((group, "", 2), seq, USERS[0], number, "stream")
            for i in range(rng.randrange(1, 20)):
                piece = "word%d " % rng.randrange(1000)
                status, answer = http_.post("/message/event", {
                    "channel_id": group, "channel_type": 2, "client_msg_no": number, "event_id": "e%d" % i,
                    "event_type": "stream.delta", "payload": {"kind": "text", "delta": piece}})
                if status != 200:
                    self.problem("event: %d %r" % (status, answer))
                    break
                text += piece
            status, answer = http_.post("/message/event", {
                "channel_id": group, "channel_type": 2, "client_msg_no": number, "event_id": "end",
                "event_type": "stream.close", "payload": {"end_reason": 1}})
            if status != 200:
                self.problem("event end: %d %r" % (status, answer))
            status, answer = http_.post("/channel/messagesync", {
                "login_uid": USERS[0], "channel_id": group, "channel_type": 2, "start_message_seq": seq,
                "end_message_seq": seq + 1, "limit": 1, "pull_mode": 1})
            seen = [m for m in answer["messages"] if m["message_seq"] == seq] if status == 200 else []
            if not seen or base64.b64decode(seen[0].get("stream_data") or "").decode() != text:
                self.problem("stream %s: %r instead of %r" % (number, seen, text))
            self.did("events")
            self.stopping.wait(0.5)

    # ---- the end ------------------------------------------------------------------------------------
    def check_history(self):
        http_ = Http(self.server)
        for (a, b, kind), messages in sorted(self.book.channels.items()):
            missing, at = dict(messages), 0
            while missing and at is not None:
                at = self.check_page(http_, a, b, kind, at, messages, missing)
            for seq in sorted(missing)[:3]:
                self.problem("acknowledged but not in the history of %s: %d %r" % ((a, b), seq, missing[seq]))

    def check_page(self, http_, a, b, kind, at, messages, missing):
        status, answer = http_.post("/channel/messagesync", {
            "login_uid": b if kind == 1 else USERS[0], "channel_id": a, "channel_type": kind, "start_message_seq": at + 1,
            "end_message_seq": 0, "limit": 1000, "pull_mode": 1})
        if status != 200 or not answer["messages"]:
            return None
        for m in answer["messages"]:
            seq = m["message_seq"]
            if seq != at + 1:
                self.problem("history of %s: %d behind %d" % ((a, b), seq, at))
            at = seq
            known = messages.get(seq)
            if not known:
                continue
            missing.pop(seq, None)
            seen = (m["from_uid"], m["client_msg_no"], base64.b64decode(m["payload"]).decode())
            if seen != known:
                self.problem("history of %s: %d is %r, acknowledged was %r" % ((a, b), seq, seen, known))
        return at
