#!/usr/bin/env python3
"""A channel of a million messages is cut to its newest thousand while sends go on: how long it takes,
what comes back of the disk, and what the sends notice.

usage: python3 test/perf/retention.py [--messages N] [--keep N] [--others N] [--json FILE]

--others N: as many messages again, spread over N other channels, so that the rows that go do not lie
alone in their files.  WKIM_SERVER and WKIM_TEST_PORTS as in test/api.  Exit code 1: rows or space are
left, or a number was given out twice.
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import socket
import struct
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "api"))
import server as srv    # noqa: E402
import wkproto          # noqa: E402

SIZE, CHUNK, RATE = 256, 2000, 400
BIG, SMALL = "big", "small"
ACK = "wkim_send_ack_duration_seconds"


def text(value):
    return struct.pack(">H", len(value)) + value


def frame(number, channel, payload):
    """A SEND of protocol 4, not encrypted, setting 0."""
    body = b"\0" + struct.pack(">I", number & 0xffffffff) + text(b"n%d" % number) + text(channel) + b"\2" + \
        struct.pack(">I", 0) + text(b"") + payload
    n, length = len(body), b""
    while True:
        length += bytes([n & 127 | (128 if n > 127 else 0)])
        n >>= 7
        if not n:
            return bytes([wkproto.SEND << 4]) + length + body


class Wire:
    """A logged-in socket that sends frames by the thousand and counts their SENDACKs."""

    def __init__(self, server, uid):
        self.sock = socket.create_connection(server.tcp)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.sendall(wkproto.connect_frame(uid, 4, device="d-" + uid))
        self.buffer = b""
        self.frames(1)

    def frames(self, count):
        """The next frames, as (type, body)."""
        out = []
        while len(out) < count:
            at = 0
            while len(out) < count:
                n, shift, i = 0, 0, at + 1
                while i < len(self.buffer):
                    n |= (self.buffer[i] & 127) << shift
                    shift += 7
                    i += 1
                    if not self.buffer[i - 1] & 128:
                        break
                else:
                    break
                if len(self.buffer) < i + n:
                    break
                out.append((self.buffer[at] >> 4, self.buffer[i:i + n]))
                at = i + n
            self.buffer = self.buffer[at:]
            if len(out) < count:
                got = self.sock.recv(1 << 20)
                if not got:
                    raise OSError("the server closed the connection")
                self.buffer += got
        return out


def fill(server, count, channels):
    wire, began = Wire(server, "filler"), time.monotonic()
    payloads = [random.randbytes(SIZE) for _ in range(64)]
    for at in range(0, count, CHUNK):
        wire.sock.sendall(b"".join(frame(i, channels[i % len(channels)], payloads[i & 63])
                                   for i in range(at, min(at + CHUNK, count))))
        for kind, body in wire.frames(min(CHUNK, count - at)):
            if kind != wkproto.SENDACK or body[-1] != 1:
                raise RuntimeError("refused: %r" % body)
    wire.sock.close()
    return time.monotonic() - began


class Sender(threading.Thread):
    """SENDs by a time table; latencies count from the time in the table."""

    def __init__(self, server, channel):
        super().__init__(daemon=True)
        self.wire, self.channel, self.ended = Wire(server, "sender-" + channel), channel.encode(), False
        self.phase, self.latency, self.seqs = None, {}, []

    def run(self):
        number, due, payload = 10 ** 9, time.monotonic(), b"x" * SIZE
        while not self.ended:
            due += 2 / RATE
            time.sleep(max(0, due - time.monotonic()))
            number += 1
            self.wire.sock.sendall(frame(number, self.channel, payload))
            _, body = self.wire.frames(1)[0]
            self.latency.setdefault(self.phase, []).append(time.monotonic() - due)
            self.seqs.append(struct.unpack(">I", body[-5:-1])[0])


def disk(folder):
    """Bytes of the tables of the store; the log is bounded by storage.logSize and keeps its files."""
    total = 0
    for path in folder.rglob("*.sst"):
        try:
            total += path.stat().st_blocks * 512
        except OSError:
            continue
    return total


def cpu(pid):
    f = pathlib.Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def acknowledged(server):
    """What the server measured from SEND to SENDACK: the buckets of its histogram, by upper bound."""
    conn = http.client.HTTPConnection("127.0.0.1", server.ports["manager"], timeout=20)
    conn.request("GET", "/metrics")
    out = {}
    for line in conn.getresponse().read().decode().splitlines():
        if line.startswith(ACK + "_bucket"):
            bound = float(line.split('le="')[1].split('"')[0])
            out[bound] = out.get(bound, 0) + float(line.rsplit(" ", 1)[1])
    conn.close()
    return out


def server_side(before, after):
    """Bounds below which the median, 99 % and all of the acknowledgements between two looks were."""
    n = after[float("inf")] - before[float("inf")]
    at = {share: next(b for b in sorted(after) if after[b] - before.get(b, 0) >= n * share) for share in (.5, .99, 1)}
    return {"sends": int(n), **{"p%g_below_ms" % (share * 100): round(b * 1e3, 2) for share, b in at.items()}}


def figures(values):
    v = sorted(values)
    return {"sends": len(v), "p50_ms": round(v[len(v) // 2] * 1e3, 2), "p99_ms": round(v[int(len(v) * .99)] * 1e3, 2),
            "max_ms": round(v[-1] * 1e3, 2)}


def measure(a, server):
    call = lambda path, body: server.post(path, body, timeout=60)   # noqa: E731
    limits = lambda: server.call("GET", "/channel/retention?channel_id=%s&channel_type=2" % BIG)[1]   # noqa: E731
    others = [b"o%d" % i for i in range(a.others)]
    # Nobody but its sender is online in a channel, so that the sockets carry SENDACKs alone.
    for name in [BIG, SMALL, *(o.decode() for o in others)]:
        call("/channel", {"channel_id": name, "channel_type": 2, "subscribers": ["filler", "sender-" + name]})
    out = {"fill_s": round(fill(server, a.messages, [BIG.encode()]), 1)}
    if others:
        fill(server, a.messages, others)
    time.sleep(3)
    senders = [Sender(server, BIG), Sender(server, SMALL)]
    out["disk_before"] = disk(server.root)
    looks = [acknowledged(server)]
    for s in senders:
        s.phase = "before"
        s.start()
    time.sleep(10)
    looks.append(acknowledged(server))
    busy, began = cpu(server.process.pid), time.monotonic()
    call("/channel/retention", {"channel_id": BIG, "channel_type": 2, "max_messages": a.keep})
    for s in senders:
        s.phase = "during"
    while limits()["first_message_seq"] < a.messages - a.keep:
        time.sleep(0.05)
    out["floor_after_s"] = round(time.monotonic() - began, 2)
    while limits()["removing"] > a.keep:
        time.sleep(0.1)
    out["erased_after_s"] = round(time.monotonic() - began, 2)
    until, low = time.monotonic() + 60, disk(server.root)
    while time.monotonic() < until and low > out["disk_before"] * a.share:
        time.sleep(0.25)
        low = min(low, disk(server.root))
    out["space_after_s"] = round(time.monotonic() - began, 2)
    looks.append(acknowledged(server))
    out["server_cpu_s"] = round(cpu(server.process.pid) - busy, 2)
    for s in senders:
        s.phase = "after"
    time.sleep(5)
    for s in senders:
        s.ended = True
        s.join(10)
    out["disk_after"] = disk(server.root)
    for s in senders:
        for phase in ("before", "during", "after"):
            out["%s %s" % (s.channel.decode(), phase)] = figures(s.latency[phase])
    out["server before"], out["server during"] = server_side(*looks[:2]), server_side(*looks[1:])
    seqs = senders[0].seqs
    now = limits()
    failed = []
    if seqs != list(range(a.messages + 1, a.messages + 1 + len(seqs))):
        failed.append("numbers are not in order")
    if not a.keep <= now["max_message_seq"] - now["first_message_seq"] + 1 <= a.keep + 2 * RATE * 2:
        failed.append("not cut: %r" % now)
    if out["disk_after"] > out["disk_before"] * a.share:
        failed.append("space is left")
    out["failed"] = failed
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1000000)
    parser.add_argument("--keep", type=int, default=1000)
    parser.add_argument("--others", type=int, default=0)
    parser.add_argument("--json")
    a = parser.parse_args()
    a.share = 0.6 if a.others else 0.1   # of the disk, what may be left
    server = srv.Server({"retention": {"on": True, "scanInterval": "1s"}}).start()
    try:
        out = measure(a, server)
    finally:
        server.close()
    for key, value in out.items():
        print("%-16s %s" % (key, " ".join("%s=%s" % kv for kv in value.items()) if isinstance(value, dict) else
                            "%.1f MB" % (value / 1e6) if key.startswith("disk") else value))
    if a.json:
        pathlib.Path(a.json).write_text(json.dumps(out, indent=1) + "\n")
    return 1 if out["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
