#!/usr/bin/env python3
"""Replays test/vectors/transcripts-wire.jsonl: the recorded clients against our server.

usage: python3 test/api/test_wire.py [-k NAME] [--show NAME]

Bytes of the clients are the recorded ones; what is sealed with the key of the connection and message
ids are put in anew, which changes no length, so cuts in the middle of a frame stay where they were.
What comes back is written one frame a line, per connection, and must equal the recording, or for the
scenarios in wire_better.py what the specification asks for instead.
"""
import base64
import collections
import concurrent.futures
import contextlib
import json
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time
import unittest

import server as srv
import wkproto
from wire_better import BETTER

BIG = 40000         # stands for the 200 000 bytes of big_payload: AES in plain Python is slow
PACED = ("idle_timeout", "kicked_connection_keeps_sending")    # the clock of the recording matters


def load():
    with open(srv.VECTORS / "transcripts-wire.jsonl", encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


class Listing:
    """Bytes of the server as lines of text; the same code reads the recording and the live socket."""

    def __init__(self, transport, private, version):
        self.private, self.keys, self.ids = private, None, []
        self.split, self.kind = wkproto.Splitter(version), None
        self.upgraded, self.ws, self.raw, self.lines = transport == "tcp", transport != "tcp", b"", []

    def feed(self, data):
        self.raw += data
        while self.raw and self.once():
            pass

    def once(self):
        if not self.upgraded:
            head, end, rest = self.raw.partition(b"\r\n\r\n")
            if end:
                status = head.split()[1].decode("latin-1")
                self.lines.append("HTTP " + status)
                self.upgraded, self.raw = True, rest if status == "101" else b""
            return bool(end)
        if not self.ws:
            data, self.raw = self.raw, b""
            self.stream(data)
            return False
        return self.ws_frame()

    def ws_frame(self):
        if len(self.raw) < 2:
            return False
        op, size, at = self.raw[0] & 15, self.raw[1] & 127, 2
        if size > 125:
            form = ">H" if size == 126 else ">Q"
            at += struct.calcsize(form)
            if len(self.raw) < at:
                return False
            size = struct.unpack(form, self.raw[2:at])[0]
        if len(self.raw) < at + size:
            return False
        body, self.raw = self.raw[at:at + size], self.raw[at + size:]
        if op == 8:
            self.lines.append("WS close %d" % (struct.unpack(">H", body[:2])[0] if len(body) > 1 else 0))
        elif op in (9, 10):
            self.lines.append("WS %s %s" % ("ping" if op == 9 else "pong", body.hex()))
        else:
            if op == 1 and not body.lstrip().startswith(b"{"):
                self.lines.append("WS text frame with binary data")
            self.stream(body)
        return True

    def stream(self, data):
        if self.kind is None:
            self.kind = "json" if data.lstrip()[:1] == b"{" else "binary"
            self.rest = b""
        if self.kind == "binary":
            try:
                for one in self.split.feed(data):
                    self.frame(one)
            except (ValueError, struct.error):
                self.lines.append("GARBAGE")
            return
        self.rest += data
        while self.rest.strip():
            try:
                value, end = json.JSONDecoder().raw_decode(self.rest.decode())
            except ValueError:
                break
            self.rest = self.rest.decode()[end:].lstrip().encode()
            self.json(value)

    def frame(self, one):
        if one["type"] == "CONNACK" and one["serverKey"] and self.private:
            self.keys = wkproto.Keys(self.private, one["serverKey"], one["salt"])
        self.lines.append(self.text(one))

    def text(self, one):
        kind = one["type"]
        if kind == "CONNACK":
            return "CONNACK reason %d version %s node %s flags %d key %d salt %d" % (
                one["reasonCode"], one.get("serverVersion"), one.get("nodeId"), one["flags"],
                len(one["serverKey"]), len(one["salt"]))
        if kind == "SENDACK":
            return "SENDACK %d seq %d reason %d flags %d%s" % (
                one["clientSeq"], one["messageSeq"], one["reasonCode"], one["flags"],
                "" if one["messageId"] else " without id")
        if kind == "RECV":
            return self.recv(one)
        if kind == "EVENT":
            data = json.loads(one["data"])
            data["message_id"] = "ID"
            return "EVENT %s %s %d %s" % (one["id"], one["event"], one["timestamp"],
                                          json.dumps(data, sort_keys=True))
        if kind == "DISCONNECT":
            return "DISCONNECT %d %s" % (one["reasonCode"], one["reason"])
        return kind

    def recv(self, one):
        plain, bad = one["payload"], ""
        if self.keys:
            plain = self.keys.open(one["payload"])
            sign = self.keys.sign(one["messageId"], one["messageSeq"], one["clientMsgNo"], one["timestamp"],
                                  one["fromUid"], one["channelId"], one["channelType"], one["payload"])
            bad = "" if sign == one["msgKey"] else " with a wrong msgKey"
        if one["messageId"] not in self.ids:
            self.ids.append(one["messageId"])
        stream = " stream %d %r %s" % (one["streamFlag"], one["streamNo"], one["streamId"] == one["messageId"]) \
            if "streamFlag" in one else ""
        body = plain.decode("utf-8", "replace") if len(plain) < 200 else "long"
        return "RECV from %s in %s/%d seq %d no %s flags %d setting %d expire %s topic %s%s: %s%s" % (
            one["fromUid"], one["channelId"], one["channelType"], one["messageSeq"],
            number(one["clientMsgNo"]), one["flags"], one["setting"], one.get("expire"), one.get("topic"),
            stream, body, bad)

    def json(self, value):
        for part in (value.get("params"), value.get("result")):
            if isinstance(part, dict):
                if "messageId" in part and value.get("method") == "recv" and part["messageId"] not in self.ids:
                    self.ids.append(part["messageId"])
                part.update({k: k.upper() for k in ("timeDiff", "messageId", "streamId") if k in part})
                if part.get("timestamp", 0) > 1 << 30 and value.get("method") == "recv":
                    part["timestamp"] = "NOW"
                if isinstance(part.get("data"), str):
                    part["data"] = dict(json.loads(part["data"]), message_id="ID")
                if "clientMsgNo" in part:
                    part["clientMsgNo"] = number(part["clientMsgNo"])
        if "error" in value:        # the tail of the text is the reference's JSON library
            value["error"]["message"] = error_text(value["error"]["message"])
        self.lines.append("JSON " + json.dumps(value, sort_keys=True, ensure_ascii=False))


def error_text(message):
    for head in ("jsonrpc: failed to unmarshal field: request ID", "jsonrpc: failed to unmarshal field: send "
                 "params", "jsonrpc: invalid message structure or field combination"):
        if message.startswith(head):
            return head
    return message


def number(value):
    """A client_msg_no made by a server is as good as another."""
    return "AUTO" if re.fullmatch(r"[0-9a-f]{32}\d", value) else value


class Sent:
    """What a recorded client wrote on one connection, as one byte string that can be sealed anew."""

    def __init__(self, transport, version):
        self.ws, self.version, self.raw = transport != "tcp", version, b""

    def pieces(self):
        """(start, length, mask) of the protocol bytes inside the raw bytes."""
        if not self.ws:
            return [(0, len(self.raw), b"\0\0\0\0")]
        at, out = self.raw.find(b"\r\n\r\n") + 4, []
        while 3 < at < len(self.raw) - 1:
            op, masked, size = self.raw[at] & 15, self.raw[at + 1] & 128, self.raw[at + 1] & 127
            at += 2
            if size > 125:
                form = ">H" if size == 126 else ">Q"
                size = struct.unpack_from(form, self.raw, at)[0]
                at += struct.calcsize(form)
            mask = self.raw[at:at + 4] if masked else b"\0\0\0\0"
            at += 4 if masked else 0
            if op < 8:
                out.append((at, min(size, len(self.raw) - at), mask))
            at += size
        return out

    def renewed(self, old, new):
        """The raw bytes with what depends on the keys and ids of `old` made anew for `new`."""
        raw, pieces = bytearray(self.raw), self.pieces()
        plain = b"".join(bytes(x ^ mask[i % 4] for i, x in enumerate(self.raw[at:at + size]))
                         for at, size, mask in pieces)
        for a, b in zip(old.ids, new.ids):          # JSON carries ids as text of the same length
            plain = plain.replace(b'"%s"' % str(a).encode(), b'"%s"' % str(b).encode())
        plain, k = self.frames(plain, old, new), 0
        for at, size, mask in pieces:
            raw[at:at + size] = bytes(x ^ mask[i % 4] for i, x in enumerate(plain[k:k + size]))
            k += size
        return bytes(raw)

    def frames(self, data, old, new):
        out, at = bytearray(data), 0
        while at < len(data):
            kind, start = data[at] >> 4, at
            if kind == wkproto.PING:
                at += 1
                continue
            size = shift = 0
            at += 1
            while at < len(data) and shift < 28:
                size |= (data[at] & 127) << shift
                shift += 7
                at += 1
                if not data[at - 1] & 128:
                    break
            body = data[at:at + size]
            if len(body) < size:
                break
            try:
                made = self.frame(kind, body, old, new)
            except (ValueError, struct.error, IndexError):
                made = body
            assert len(made) == len(body), (start, kind)
            out[at:at + size] = made
            at += size
        return bytes(out)

    def frame(self, kind, body, old, new):
        if kind == wkproto.RECVACK:
            known = dict(zip(old.ids, new.ids))
            message = struct.unpack(">q", body[:8])[0]
            return struct.pack(">q", known.get(message, message)) + body[8:]
        if kind != wkproto.SEND or not old.keys or not new.keys:
            return body
        f = wkproto.Fields(body)
        setting, seq, no = f.number("B"), f.number("I"), f.raw()
        if 2 <= self.version < 5 and setting & wkproto.STREAM:
            f.raw()
        channel, channel_type = f.raw(), f.number("B")
        if self.version >= 3:
            f.number("I")
        key_at, key = f.at + 2, f.raw()
        if setting & wkproto.TOPIC:
            f.raw()
        payload_at, payload = f.at, f.rest()
        sealed, signed = payload, (seq, no, channel, channel_type)
        raw = decoded(payload)
        if raw and len(raw) % 16 == 0:              # also what has bad padding
            sealed = base64.b64encode(blocks(new.keys, blocks(old.keys, raw, True), False))
        if old.keys.sign(*signed, payload).encode() == key:
            key = new.keys.sign(*signed, sealed).encode()
        return body[:key_at] + key + body[key_at + len(key):payload_at] + sealed


def decoded(payload):
    try:
        return base64.b64decode(payload, validate=True)
    except ValueError:
        return b""


def blocks(keys, data, backwards):
    """CBC without padding."""
    out, last = b"", keys.iv
    for i in range(0, len(data), 16):
        one = data[i:i + 16]
        if backwards:
            out += bytes(x ^ y for x, y in zip(keys.aes.block(one, True), last))
            last = one
        else:
            last = keys.aes.block(bytes(x ^ y for x, y in zip(one, last)))
            out += last
    return out


class Link:
    """One recorded connection and its live twin."""

    def __init__(self, conn):
        self.transport = conn["transport"]
        self.private = bytes.fromhex(conn.get("clientPrivHex", "01" * 32))  # the one that is used most
        self.sent, self.old, self.expected, self.at = None, None, [], 0
        self.sock, self.new, self.closed, self.ours = None, None, threading.Event(), False
        self.tls = threading.Lock()         # OpenSSL does not let two threads use one connection

    def open(self, server):
        port = {"tcp": "tcp", "ws": "ws", "wss": "wss"}[self.transport]
        self.sock = socket.create_connection(("127.0.0.1", server.ports[port]), timeout=10)
        if self.transport == "wss":
            self.sock = ssl._create_unverified_context().wrap_socket(self.sock)
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            while True:
                data = self.receive()
                if data == b"":
                    break
                if data and not self.ours:
                    self.new.feed(data)
        except (OSError, ValueError):       # ValueError: we closed it
            pass
        if not self.ours:
            self.new.lines.append("CLOSED")
        self.closed.set()

    def receive(self):
        """What has come; None when that is no data yet."""
        if self.transport != "wss":
            return self.sock.recv(65536)
        with self.tls:
            ready = self.sock.pending()
        if not ready:
            select.select([self.sock], [], [])
        with self.tls:
            self.sock.settimeout(0)
            try:
                return self.sock.recv(65536)
            except ssl.SSLWantReadError:
                return None
            finally:
                self.sock.settimeout(None)

    def send(self, data):
        with self.tls if self.transport == "wss" else contextlib.nullcontext():
            self.sock.sendall(data)

    def wait(self, count, seconds):
        end = time.monotonic() + seconds
        while len(self.new.lines) < count and time.monotonic() < end and not self.closed.is_set():
            time.sleep(0.005)


class Replay:
    def __init__(self, scenario):
        self.scenario, self.server = scenario, None
        self.better = BETTER.get(scenario["name"])
        self.links = {name: Link(conn) for name, conn in scenario["conns"].items()}
        self.later = set()
        for name, link in self.links.items():
            self.recorded(name, link)

    def recorded(self, name, link):
        version, started = 5, False
        for step in self.scenario["steps"]:
            if step["conn"] == name and isinstance(step.get("decoded"), list) and step["dir"] == "c2s":
                version = min(step["decoded"][0].get("version", version), 5)
        link.sent, link.old = Sent(link.transport, version), Listing(link.transport, link.private, version)
        link.new = Listing(link.transport, link.private, version)
        for step in self.scenario["steps"]:
            if step["conn"] != name or started:
                continue
            if step["dir"] == "c2s":
                step["slice"] = (len(link.sent.raw), len(link.sent.raw) + len(bytes.fromhex(step["hex"])))
                link.sent.raw += bytes.fromhex(step["hex"])
            elif step["dir"] == "s2c":
                self.heard(step, link.old)
            elif step["dir"] == "eof":
                link.old.lines.append("CLOSED")
            started = step["dir"] == "close"
            step["lines"] = len(link.old.lines)
        link.expected = (self.better or (None, {}))[1].get(name, link.old.lines)

    def heard(self, step, listing):
        if "hexTruncatedTotal" not in step:
            listing.feed(bytes.fromhex(step["hex"]))
            return
        for one in step["decoded"]:
            for frame in one.get("frames", [one]):
                listing.lines.append(self.cut(frame))

    def cut(self, frame):
        """A recorded frame of which only the decoded form is whole."""
        return "RECV from %s in %s/%d seq %d no %s flags %d setting %d expire %s topic %s: long" % (
            frame["fromUid"], frame["channelId"], frame["channelType"], frame["messageSeq"],
            number(frame["clientMsgNo"]), frame["flags"], frame["setting"], frame.get("expire"),
            frame.get("topic")) if frame.get("type") == "RECV" else json.dumps(frame)[:200]

    def sends_again(self):
        """Whether a RECV comes a second time."""
        return any(re.match(r"RECV .* flags (8|9|1[0-5]) ", line) or '"dup": true' in line
                   for link in self.links.values() for line in link.expected)

    def events(self):
        """(millisecond, whether a step, place, what) in the order of the recording.

        A call comes before the steps of its millisecond, but after what they answer to earlier ones.
        """
        calls, steps = self.scenario["setup"] or [], self.scenario["steps"]
        at, asked, out = collections.Counter(s["t_ms"] for s in calls), {}, []
        for i, step in enumerate(steps):
            if step["dir"] == "c2s":
                asked[step["conn"]] = step["t_ms"]
            answers = step["dir"] == "s2c" and asked.get(step["conn"], step["t_ms"]) < step["t_ms"] and any(
                one.get("type") in ("CONNACK", "SENDACK") for one in step.get("decoded") or [])
            # Of several frames in one millisecond only the last can be what the call led to.
            more = step["dir"] == "s2c" and any(
                s["t_ms"] == step["t_ms"] and s["dir"] == "s2c" and s["conn"] == step["conn"]
                for s in steps[i + 1:])
            first = at[step["t_ms"]] and (answers or more)
            out.append((step["t_ms"], -1 if first else 1, i, step))
        out += [(s["t_ms"], 0, i, s) for i, s in enumerate(calls)]
        return sorted(out, key=lambda e: e[:3])

    def run(self):
        """Differences as text; None when a route is missing."""
        events = self.events()
        last, began = 0, time.monotonic()
        try:
            for at, side, _, step in events:
                self.patience = 1 + (at - last) / 1000
                last = last if step.get("dir") in ("s2c", "eof", "note") else at
                if step.get("dir") == "c2s" and self.scenario["name"] in PACED:
                    time.sleep(max(0, began + at / 1000 - time.monotonic()))
                if side == 0:
                    if not self.setup(step):
                        return None
                else:
                    self.step(step)
        finally:
            for link in self.links.values():
                if link.sock:
                    self.hang_up(link)
        return [(name, link.expected, link.new.lines) for name, link in self.links.items()
                if comparable(link.expected) != comparable(link.new.lines)]

    def setup(self, step):
        self.catch_up()
        status, _ = self.server.call(step["method"], step["path"], step["body"])
        if status == 501:
            self.later.add(step["path"])
        return status != 501

    def catch_up(self):
        """What the recorded server had said by now should be here too.

        Where ours says something else its lines cannot be told apart: it gets the time of the recording.
        """
        end = time.monotonic() + self.patience
        for link in self.links.values():
            if link.sock:
                same = next((i for i, (a, b) in enumerate(zip(link.expected, link.old.lines)) if a != b),
                            len(link.old.lines))
                due = min(link.at, needed(link.expected))
                link.wait(min(due, same), 10)
                link.wait(due, end - time.monotonic())

    def step(self, step):
        link = self.links.get(step["conn"])
        if step["dir"] == "pause":
            time.sleep(step["ms"] / 1000)
        elif step["dir"] == "open":
            link.open(self.server)
        elif step["dir"] == "close":
            self.hang_up(link)
        elif step["dir"] == "c2s" and "slice" in step:
            self.catch_up()
            self.write(link, step)
        elif step["dir"] == "eof" and "lines" in step and "CLOSED" in link.expected:
            link.wait(needed(link.expected), 10)
        if link and "lines" in step:
            link.at = step["lines"]

    def write(self, link, step):
        a, b = step["slice"]
        data = link.sent.renewed(link.old, link.new)[a:b]
        if step.get("note") == "big SEND":
            data = self.big(link)
        elif "hexTruncatedTotal" in step:
            data += data[-1:] * (step["hexTruncatedTotal"] - len(data))
        try:
            link.send(data)
        except OSError:
            pass                                    # the reader has seen the end

    def big(self, link):
        f = wkproto.Fields(link.sent.raw[link.sent.raw.rindex(b"\x30\xf8\xa3\x10") + 4:])
        head = bytes([f.number("B")])
        seq, no, channel, kind, expire = f.number("I"), f.raw(), f.raw(), f.number("B"), f.number("I")
        payload = link.new.keys.seal(b"B" * BIG)
        head += struct.pack(">I", seq) + wkproto.text(no) + wkproto.text(channel) + bytes([kind])
        return wkproto.frame(wkproto.SEND, 0, head + struct.pack(">I", expire) + wkproto.text(
            link.new.keys.sign(seq, no, channel, kind, payload)) + payload)

    def hang_up(self, link):
        link.wait(needed(link.expected), 10)
        time.sleep(0.1)                             # whatever comes too much
        link.ours = not link.closed.is_set()
        try:
            link.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        link.closed.wait(10)
        link.sock.close()


def needed(lines):
    """How many of these lines must come."""
    ends = len(lines) > 1 and lines[-1] == "CLOSED" and lines[-2].startswith("WS close")
    return len(lines) - ends


def comparable(lines):
    """A PONG may overtake the SENDACK of a message that is still being written.

    A WebSocket server that has sent its close frame may leave the end of the socket to the client.
    """
    lines = lines[:needed(lines)]
    return lines.count("PONG"), [line for line in lines if line != "PONG"]


def families(scenarios):
    """Scenarios that share a uid run one after the other, also where one only sends to it."""
    root = {}

    def find(x):
        while root.setdefault(x, x) != x:
            x = root[x]
        return x
    for s in scenarios:
        for uid in re.findall(r'\\?"(?:uid|channelId|channel_id)\\?": ?\\?"([^"\\]*)', json.dumps(s, ensure_ascii=False)):
            root[find("uid " + uid)] = find(s["name"])
    out = collections.defaultdict(list)
    for s in scenarios:
        out[find(s["name"])].append(s)
    return sorted(out.values(), key=lambda f: -sum(s["steps"][-1]["t_ms"] for s in f))


class Wire(srv.Running, unittest.TestCase):
    only = show = None

    def servers(self):
        """By (tokens are asked for, messages are sent again as soon as in the recording).

        Where the recording shows no second RECV the server has the usual pause: how fast this client
        reads and acknowledges is no part of what was recorded.
        """
        holder = self.serve(start=False)            # its folder holds the certificate
        wss = srv.certificate(holder.root)
        soon = {"interval": "3s", "scanInterval": "1s"}
        out = {}
        for tokens in (True, False):
            common = {"tokenAuthOn": True, "disableEncryption": False} if tokens else {"connIdleTime": "8s"}
            common["managerToken"] = "mgr-tok"
            for again in (True, False):
                options = dict(common, messageRetry=soon) if again else common
                out[tokens, again] = self.serve(options, token="mgr-tok", wss=wss if tokens else None)
        return out

    def test_recorded_clients_are_served_as_specified(self):
        servers, scenarios = self.servers(), [s for s in load() if not self.only or self.only in s["name"]]
        skipped, bad, lock = collections.Counter(), {}, threading.Lock()

        def family(members):
            for s in members:
                replay = Replay(s)
                replay.server = servers[s["server"]["tokenAuthOn"], replay.sends_again()]
                try:
                    result = replay.run()
                except Exception as e:              # shown with the others below
                    result = [("replay", "no error", "%s: %s" % (type(e).__name__, e))]
                with lock:
                    if result is None:
                        skipped.update(replay.later)
                    elif result:
                        bad[s["name"]] = result
                    if self.show:
                        print(s["name"], {n: link.new.lines for n, link in replay.links.items()})
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            list(pool.map(family, families(scenarios)))
        for name, result in bad.items():
            with self.subTest(scenario=name):
                self.fail("".join("\n%s expected %s\n%s actual   %s" % (
                    n, json.dumps(want, ensure_ascii=False), n, json.dumps(have, ensure_ascii=False))
                    for n, want, have in result))
        for s in servers.values():
            self.assertTrue(s.alive())
        names = {s["name"] for s in scenarios}
        self.assertEqual(set(BETTER) - {s["name"] for s in load()}, set())
        print("%d scenarios as specified, %d of them by a better rule, %d failed, %d skipped (501: %s)" % (
            len(names - set(bad)) - sum(skipped.values()), len(names & set(BETTER) - set(bad)),
            len(bad), sum(skipped.values()), ", ".join(skipped) or "-"))


if __name__ == "__main__":
    if "--only" in sys.argv:
        at = sys.argv.index("--only")
        Wire.only, Wire.show = sys.argv[at + 1], True
        del sys.argv[at:at + 2]
    unittest.main(verbosity=1)
