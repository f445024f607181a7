#!/usr/bin/env python3
"""Webhooks whose receiver is away under load, while the node is restarted, once orderly and once by
kill -9: every event of a message or a connection that a client saw arrives, in order, and what comes
twice can be told.

usage: python3 test/api/test_webhook_outage.py [--seconds 60] [--rate 500]
"""
import argparse
import asyncio
import collections
import http.client
import json
import select
import socket
import sys
import threading
import time
import unittest

import server as srv
import wkproto

PAIRS, GROUPS, MEMBERS, VISITORS = 6, 2, 3, 4


class Receiver(threading.Thread):
    """Keeps (event, delivery, body, status) in the order of arrival; `away` closes its port."""

    def __init__(self):
        super().__init__(daemon=True)
        self.loop, self.server, self.status, self.requests = asyncio.new_event_loop(), None, 200, []
        self.open_connections = set()
        self.port = srv.free_ports(1)[0]        # no connection of the kernel's choice takes it meanwhile
        self.start()
        self.back()

    def run(self):
        self.loop.run_forever()

    def do(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    def back(self, status=200):
        async def listen():
            if not self.server:
                self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.status = status
        self.do(listen())

    def away(self):
        async def leave():
            self.server.close()
            self.server = None
            for writer in list(self.open_connections):
                writer.transport.abort()
        self.do(leave())

    def end(self):
        self.away()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.join(5)

    async def serve(self, reader, writer):
        self.open_connections.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                fields = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
                body = await reader.readexactly(int(fields["content-length"]))
                event = head[0].split()[1].rsplit("event=", 1)[1]
                self.requests.append((event, fields["x-wk-delivery"], body, self.status))
                writer.write(b"HTTP/1.1 %d x\r\nContent-Length: 2\r\n\r\nok" % self.status)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections.discard(writer)
            writer.close()

    def accepted(self, event):
        return [json.loads(b) for e, _, b, status in list(self.requests) if e == event and status == 200]


class Sender(threading.Thread):
    """Sends to its channel by a time table and comes back when the node does."""

    def __init__(self, world, uid, channel, kind, receivers, rate):
        super().__init__(daemon=True)
        self.world, self.uid, self.channel, self.kind, self.receivers = world, uid, channel, kind, receivers
        self.pause, self.acked, self.logins = 1.0 / rate, {}, 0

    def run(self):
        while not self.world.over:
            try:
                client = self.world.login(self.uid)
            except (OSError, RuntimeError):
                time.sleep(0.1)
                continue
            try:
                self.work(client)
            except OSError:
                pass
            client.close()

    def work(self, client):
        """Until the connection ends; then what is under way at an orderly end is waited for."""
        due, asked = time.monotonic(), 0
        while not client.closed.is_set():
            now = time.monotonic()
            if not self.world.over and now >= due and asked - client.seen < 64:
                client.send(self.channel, self.kind, "%s %d" % (self.uid, asked), flags=0)
                asked, due = asked + 1, max(due + self.pause, now - 1)
            self.take(client, 0 if due <= now else min(due - now, 0.05))
            if self.world.over and client.seen >= asked:
                return

    def take(self, client, wait):
        for one in client.acks(wait):
            if one["reasonCode"] == 1:
                self.acked[one["messageSeq"]] = one["messageId"]


class Quick:
    """A client without a thread; SENDACKs only."""

    def __init__(self, addr, uid):
        self.closed, self.seq, self.seen = threading.Event(), 0, 0
        self.sock = socket.create_connection(addr, timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.split = wkproto.Splitter(4)
        self.sock.sendall(wkproto.connect_frame(uid, 4, device="d"))
        while True:
            got = self.frames(10)
            for one in got:
                if one["type"] == "CONNACK":
                    if one["reasonCode"] != 1:
                        raise RuntimeError("login of %s: %r" % (uid, one))
                    return
            if self.closed.is_set() or not got:
                raise OSError("no CONNACK")

    def frames(self, wait):
        if not select.select([self.sock], [], [], wait)[0]:
            return []
        data = self.sock.recv(1 << 16)
        if not data:
            self.closed.set()
        return self.split.feed(data) if data else []

    def acks(self, wait):
        got = [one for one in self.frames(wait) if one["type"] == "SENDACK"]
        self.seen += len(got)
        return got

    def send(self, channel, kind, payload, flags):
        self.seq += 1
        wkproto_body = (b"\0" + self.seq.to_bytes(4, "big") + wkproto.text("") + wkproto.text(channel) +
                        bytes([kind]) + b"\0\0\0\0" + wkproto.text("") + payload.encode())
        self.sock.sendall(wkproto.frame(wkproto.SEND, flags, wkproto_body))

    def close(self):
        self.sock.close()


class Visitor(threading.Thread):
    """Comes and goes, one connection at a time."""

    def __init__(self, world, uid):
        super().__init__(daemon=True)
        self.world, self.uid = world, uid

    def run(self):
        while not self.world.over:
            try:
                client = self.world.login(self.uid)
                time.sleep(0.1)
                client.close()
            except (OSError, RuntimeError):
                pass
            time.sleep(0.05)


class Outage(srv.Running, unittest.TestCase):
    seconds, rate = 6, 500

    def setUp(self):
        self.hook, self.over, self.logins = Receiver(), False, collections.Counter()
        self.addCleanup(self.hook.end)
        self.server = self.serve({"webhook": {
            "httpAddr": "http://127.0.0.1:%d/hook" % self.hook.port, "secret": "s",
            "msgNotifyEventPushInterval": "100ms", "msgNotifyEventRetryMaxCount": 0}})

    def login(self, uid):
        client = Quick(self.server.tcp, uid)
        self.logins[uid] += 1
        return client

    def start_load(self):
        kinds = [("s%d" % i, "r%d" % i, 1, ["r%d" % i]) for i in range(PAIRS)]
        for g in range(GROUPS):
            uids = ["m%d-%d" % (g, i) for i in range(MEMBERS)]
            self.server.post("/channel", {"channel_id": "g%d" % g, "channel_type": 2, "subscribers": uids})
            kinds.append((uids[0], "g%d" % g, 2, uids[1:]))
        senders = [Sender(self, *k, rate=self.rate / len(kinds)) for k in kinds]
        visitors = [Visitor(self, "v-%d" % i) for i in range(VISITORS)]
        for t in senders + visitors:
            t.start()
        return senders, visitors

    def restart(self, kill):
        if kill:
            self.server.kill()
        else:
            self.assertEqual(self.server.stop(), 0)
        self.server.start()

    def metrics(self, name):
        c = http.client.HTTPConnection("127.0.0.1", self.server.ports["manager"], timeout=10)
        c.request("GET", "/metrics")
        lines = c.getresponse().read().decode().splitlines()
        c.close()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines
                if line.startswith(name)}

    def wait_until_all_is_told(self):
        end = time.monotonic() + (60 + self.seconds) * srv.PATIENCE
        while time.monotonic() < end:
            if not any(self.metrics("wkim_webhook_queue_depth").values()):
                return
            time.sleep(0.2)
        self.fail("still waiting: %r" % self.metrics("wkim_webhook"))

    def test_nothing_is_lost_while_the_receiver_is_away(self):
        senders, visitors = self.start_load()
        time.sleep(1)
        began = time.monotonic()
        self.hook.away()
        time.sleep(self.seconds / 3)
        self.restart(kill=False)
        self.hook.back(503)
        time.sleep(self.seconds / 3)
        self.restart(kill=True)
        time.sleep(max(0.5, began + self.seconds - time.monotonic()))
        away = time.monotonic() - began
        self.hook.back(200)
        time.sleep(1)
        self.over = True
        for t in senders + visitors:
            t.join(30 * srv.PATIENCE)
            self.assertFalse(t.is_alive())
        back = time.monotonic()
        time.sleep(0.5)                         # the last connections end
        self.wait_until_all_is_told()
        acked = sum(len(s.acked) for s in senders)
        print("%d messages acknowledged, %d logins, receiver away %.1f s; all told %.1f s after it was back"
              % (acked, sum(self.logins.values()), away, time.monotonic() - back))
        self.assertGreater(acked, self.seconds * 20)
        for event in ("msg.notify", "msg.offline"):
            self.check_messages(event, senders)
        self.check_connections()
        self.check_deliveries()
        self.assertFalse(any(self.metrics("wkim_webhook_dropped_total").values()))
        self.check_rest()

    def check_messages(self, event, senders):
        first, order = {}, collections.defaultdict(list)
        for body in self.hook.accepted(event):
            for m in body if isinstance(body, list) else [body]:
                known = first.setdefault(m["message_id"], m)
                for key in set(m) - {"to_uids"}:
                    self.assertEqual(known[key], m[key], "one id, two contents")
                if known is m:
                    order[m["from_uid"]].append(m)
        for s in senders:
            got = order[s.uid]
            seqs = [m["message_seq"] for m in got]
            self.assertEqual(seqs, sorted(set(seqs)), "%s of %s out of order" % (event, s.channel))
            ids = {m["message_seq"]: m["message_id"] for m in got}
            missing = [q for q, i in s.acked.items() if ids.get(q) != i]
            self.assertEqual(missing, [], "%s of %s lost" % (event, s.channel))
            for m in got:
                self.assertEqual(m["channel_id"], s.channel)
                if event == "msg.offline":
                    self.assertEqual(sorted(m["to_uids"]), s.receivers)

    def check_connections(self):
        seen, order = {}, collections.defaultdict(list)
        for body in self.hook.accepted("user.onlinestatus"):
            for entry in body:
                uid, _, online, conn, _, _ = entry.rsplit("-", 5)
                if seen.setdefault((uid, conn, online), entry) is entry:
                    order[uid].append((int(online), int(conn)))
                self.assertEqual(seen[uid, conn, online], entry, "one event, two texts")
        for uid, entries in order.items():
            on = [c for o, c in entries if o]
            self.assertEqual(entries, [(o, c) for c in on for o in (1, 0)], uid)
            # A login that the kill cut off may have been written without its CONNACK.
            self.assertIn(len(on) - self.logins[uid], (0, 1), uid)
        self.assertEqual(set(order), set(self.logins))

    def check_deliveries(self):
        contents, ids, tries = {}, {}, collections.Counter()
        for event, delivery, body, _ in self.hook.requests:
            if event != "msg.offline":
                body = json.loads(body)
                body = (event, *(m if isinstance(m, str) else m["message_id"] for m in body))
            self.assertEqual(contents.setdefault(delivery, body), body)
            self.assertEqual(ids.setdefault(body, delivery), delivery)
            tries[event, delivery] += 1
        for event in ("msg.notify", "msg.offline", "user.onlinestatus"):
            self.assertTrue(any(n > 1 for (e, _), n in tries.items() if e == event), event)

    def check_rest(self):
        """What was removed stays removed."""
        time.sleep(0.5)
        before = len(self.hook.requests)
        self.restart(kill=False)
        time.sleep(1.5)
        self.assertEqual(self.hook.requests[before:], [])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rate", type=float, default=500)
    known, rest = parser.parse_known_args()
    Outage.seconds, Outage.rate = known.seconds, known.rate
    unittest.main(argv=sys.argv[:1] + rest, verbosity=1)
