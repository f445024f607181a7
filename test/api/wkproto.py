"""The binary client protocol for tests: versions 0 to 6, key agreement and sealing in plain Python."""
import base64
import contextlib
import hashlib
import json
import os
import queue
import socket
import struct
import threading
import time

CONNECT, CONNACK, SEND, SENDACK, RECV, RECVACK, PING, PONG, DISCONNECT, SUB, SUBACK, EVENT = range(1, 13)
NAMES = dict(zip(range(1, 13), "CONNECT CONNACK SEND SENDACK RECV RECVACK PING PONG DISCONNECT SUB SUBACK "
                               "EVENT".split()))
NO_PERSIST, RED_DOT, SYNC_ONCE, DUP = 1, 2, 4, 8
STREAM, TOPIC = 0x02, 0x08

# ---- X25519 (RFC 7748) -----------------------------------------------------------------------------
P = 2 ** 255 - 19


def x25519(private, public):
    n = int.from_bytes(private, "little") & ~7 & (1 << 254) - 1 | 1 << 254
    u = int.from_bytes(public, "little") & (1 << 255) - 1
    a, b, c, d = 1, 0, u, 1                     # points (a:b) and (c:d) of the Montgomery ladder
    for i in reversed(range(255)):
        bit = n >> i & 1
        if bit:
            a, b, c, d = c, d, a, b
        s, t, v, w = a + b, a - b, (c - d) * (a + b), (c + d) * (a - b)
        c, d = (v + w) ** 2 % P, u * (v - w) ** 2 % P
        s, t = s * s % P, t * t % P
        a, b = s * t % P, (s - t) * (s + 121665 * (s - t)) % P
        if bit:
            a, b, c, d = c, d, a, b
    return (a * pow(b, P - 2, P) % P).to_bytes(32, "little")


def public_key(private):
    return x25519(private, b"\x09" + bytes(31))


# ---- AES-128-CBC with PKCS#7 (FIPS 197) ------------------------------------------------------------
def times(a, b):
    r = 0
    while b:
        r ^= a if b & 1 else 0
        a = a << 1 ^ (0x11b if a & 0x80 else 0)
        b >>= 1
    return r


def make_sbox():
    box, p, q = [0x63] + [0] * 255, 1, 1
    for _ in range(255):
        p = times(p, 3)                         # p runs over all bytes, q is its inverse
        q = times(q, 0xf6)
        box[p] = 0x63 ^ q ^ (q << 1 | q >> 7) & 255 ^ (q << 2 | q >> 6) & 255 ^ \
            (q << 3 | q >> 5) & 255 ^ (q << 4 | q >> 4) & 255
    return box


SBOX = make_sbox()
INVERSE = [SBOX.index(i) for i in range(256)]


def make_round(box, row):
    """Four tables of words: substitution and mixed column of the byte at each place of a column."""
    first = [int.from_bytes(bytes(times(x, m) for m in row), "big") for x in box]
    return [[w >> 8 * i | (w << 32 - 8 * i) & 0xffffffff for w in first] for i in range(4)]


FORWARD, BACKWARD = make_round(SBOX, [2, 1, 1, 3]), make_round(INVERSE, [14, 9, 13, 11])


def words(data):
    return struct.unpack(">%dI" % (len(data) // 4), data)


def unmixed(word):
    """The inverse mixing of one column: the tables of decryption without their substitution."""
    return (BACKWARD[0][SBOX[word >> 24]] ^ BACKWARD[1][SBOX[word >> 16 & 255]] ^
            BACKWARD[2][SBOX[word >> 8 & 255]] ^ BACKWARD[3][SBOX[word & 255]])


class Aes:
    """AES-128 by tables: a slow client would be sent its messages again before it has read them."""

    def __init__(self, key):
        parts, rcon = [key[i:i + 4] for i in range(0, 16, 4)], 1
        for i in range(4, 44):
            w = parts[-1]
            if i % 4 == 0:
                w = bytes(SBOX[x] for x in w[1:] + w[:1])
                w = bytes([w[0] ^ rcon]) + w[1:]
                rcon = times(rcon, 2)
            parts.append(bytes(x ^ y for x, y in zip(parts[-4], w)))
        self.keys = [words(b"".join(parts[i:i + 4])) for i in range(0, 44, 4)]
        middle = [tuple(map(unmixed, k)) for k in self.keys[9:0:-1]]
        self.back_keys = [self.keys[10], *middle, self.keys[0]]

    def block(self, data, backwards=False):
        keys, box, step = (self.back_keys, INVERSE, -1) if backwards else (self.keys, SBOX, 1)
        t0, t1, t2, t3 = BACKWARD if backwards else FORWARD
        s = [x ^ k for x, k in zip(words(data), keys[0])]
        for key in keys[1:10]:
            s = [t0[s[c] >> 24] ^ t1[s[(c + step) % 4] >> 16 & 255] ^ t2[s[c ^ 2] >> 8 & 255] ^
                 t3[s[(c - step) % 4] & 255] ^ key[c] for c in range(4)]
        last = [box[s[c] >> 24] << 24 | box[s[(c + step) % 4] >> 16 & 255] << 16 |
                box[s[c ^ 2] >> 8 & 255] << 8 | box[s[(c - step) % 4] & 255] for c in range(4)]
        return struct.pack(">4I", *(x ^ k for x, k in zip(last, keys[10])))

    def encrypt(self, iv, data):
        pad = 16 - len(data) % 16
        data, out, last = data + bytes([pad]) * pad, [], iv
        for i in range(0, len(data), 16):
            last = self.block(bytes(x ^ y for x, y in zip(data[i:i + 16], last)))
            out.append(last)
        return b"".join(out)

    def decrypt(self, iv, data):
        if not data or len(data) % 16:
            raise ValueError("not whole blocks")
        out, last = b"", iv
        for i in range(0, len(data), 16):
            out += bytes(x ^ y for x, y in zip(self.block(data[i:i + 16], True), last))
            last = data[i:i + 16]
        pad = out[-1]
        if not 1 <= pad <= 16 or out[-pad:] != bytes([pad]) * pad:
            raise ValueError("bad padding")
        return out[:-pad]


class Keys:
    """What both sides derive from the key agreement."""

    def __init__(self, private, server_key, salt):
        shared = base64.b64encode(x25519(private, base64.b64decode(server_key)))
        self.aes = Aes(hashlib.md5(shared).hexdigest()[:16].encode())
        self.iv = salt.encode()[:16]

    def seal(self, plain):
        return base64.b64encode(self.aes.encrypt(self.iv, plain))

    def open(self, text):
        return self.aes.decrypt(self.iv, base64.b64decode(text, validate=True))

    def sign(self, *parts):
        joined = b"".join(p if isinstance(p, bytes) else str(p).encode() for p in parts)
        return hashlib.md5(self.seal(joined)).hexdigest()


# ---- frames ----------------------------------------------------------------------------------------
def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack(">H", len(raw)) + raw


def frame(kind, flags, body):
    out, left = bytearray([kind << 4 | flags]), len(body)
    while True:
        out.append(left & 127 | (128 if left > 127 else 0))
        left >>= 7
        if not left:
            return bytes(out) + body


def connect_frame(uid, version=5, flag=0, device="", token="", stamp=None, key=""):
    stamp = int(time.time() * 1000) if stamp is None else stamp
    return frame(CONNECT, 0, bytes([version, flag]) + text(device) + text(uid) + text(token) +
                 struct.pack(">q", stamp) + text(key))


class Fields:
    def __init__(self, body):
        self.body, self.at = body, 0

    def number(self, form):
        value = struct.unpack_from(">" + form, self.body, self.at)[0]
        self.at += struct.calcsize(">" + form)
        return value

    def raw(self):
        size = self.number("H")
        if self.at + size > len(self.body):
            raise ValueError("string beyond the end")
        self.at += size
        return self.body[self.at - size:self.at]

    def text(self):
        return self.raw().decode("utf-8", "replace")

    def rest(self):
        value, self.at = self.body[self.at:], len(self.body)
        return value


def decode(kind, flags, body, version):
    """A frame of the server as a dict; RECV and EVENT keep their payload as bytes."""
    f, out = Fields(body), {"type": NAMES.get(kind, kind), "flags": flags}
    seq = "Q" if version >= 6 else "I"
    if kind == CONNACK:
        if flags & 1:
            out["serverVersion"] = version = f.number("B")
        out.update(timeDiff=f.number("q"), reasonCode=f.number("B"), serverKey=f.text(), salt=f.text())
        if version >= 4:
            out["nodeId"] = f.number("Q")
    elif kind == SENDACK:
        out.update(messageId=f.number("q"), clientSeq=f.number("I"), messageSeq=f.number(seq),
                   reasonCode=f.number("B"))
    elif kind == RECV:
        out.update(setting=f.number("B"), msgKey=f.text(), fromUid=f.text(), channelId=f.text(),
                   channelType=f.number("B"))
        if version >= 3:
            out["expire"] = f.number("I")
        out["clientMsgNo"] = f.text()
        if 2 <= version < 5 and out["setting"] & STREAM:
            out.update(streamFlag=f.number("B"), streamNo=f.text(), streamId=f.number("Q"))
        out.update(messageId=f.number("q"), messageSeq=f.number(seq), timestamp=f.number("i"))
        if out["setting"] & TOPIC:
            out["topic"] = f.text()
        out["payload"] = f.rest()
    elif kind == DISCONNECT:
        out.update(reasonCode=f.number("B"), reason=f.text())
    elif kind == EVENT:
        out.update(id=f.text(), event=f.text(), timestamp=f.number("q"), data=f.rest())
    return out


class Splitter:
    """Cuts a byte stream into frames; the version comes from CONNACK and from what was asked for."""

    def __init__(self, version=5):
        self.version, self.data = version, b""

    def feed(self, data):
        self.data += data
        out = []
        while self.data:
            kind, flags = self.data[0] >> 4, self.data[0] & 15
            if kind in (PING, PONG):
                out.append({"type": NAMES[kind], "flags": flags})
                self.data = self.data[1:]
                continue
            size, at = 0, 1
            while at < len(self.data) and at < 5:
                size |= (self.data[at] & 127) << 7 * (at - 1)
                at += 1
                if not self.data[at - 1] & 128:
                    break
            if at < 2 or self.data[at - 1] & 128 or len(self.data) < at + size:
                break
            one = decode(kind, flags, self.data[at:at + size], self.version)
            self.version = one.get("serverVersion", self.version)
            out.append(one)
            self.data = self.data[at + size:]
        return out


# ---- a client over TCP -----------------------------------------------------------------------------
class Client:
    """Frames of the server land in order in `inbox`; the end of the connection is {"type": "CLOSED"}."""

    def __init__(self, addr, uid, version=5, flag=0, device=None, token="", encrypt=False, ack=True,
                 login=True):
        self.uid, self.version, self.ack, self.keys, self.seq = uid, version, ack, None, 0
        self.inbox, self.kept, self.lock = queue.Queue(), [], threading.Lock()
        self.closed = threading.Event()
        self.private = os.urandom(32) if encrypt else None
        self.sock = socket.create_connection(addr, timeout=10)
        self.sock.settimeout(None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.read, daemon=True).start()
        if login:
            key = base64.b64encode(public_key(self.private)).decode() if encrypt else ""
            self.raw(connect_frame(uid, version, flag, device or "d-%s-%d" % (uid, flag), token, key=key))

    def raw(self, data):
        with self.lock:
            self.sock.sendall(data)

    def read(self):
        split = Splitter(self.version)
        try:
            while True:
                data = self.sock.recv(1 << 16)
                if not data:
                    break
                for one in split.feed(data):
                    self.take(one)
        except OSError:
            pass
        self.closed.set()
        self.inbox.put({"type": "CLOSED"})

    def take(self, one):
        if one["type"] == "CONNACK" and one["serverKey"] and self.private:
            self.keys = Keys(self.private, one["serverKey"], one["salt"])
        if one["type"] == "CONNACK":
            self.version = min(self.version, 5) if "serverVersion" not in one else one["serverVersion"]
        if one["type"] == "RECV":
            one["plain"] = self.keys.open(one["payload"]) if self.keys else one["payload"]
            if self.ack:
                self.recvack(one)
        self.inbox.put(one)

    def recvack(self, one):
        seq = struct.pack(">qQ" if self.version >= 6 else ">qI", one["messageId"], one["messageSeq"])
        try:
            self.raw(frame(RECVACK, one["flags"], seq))
        except OSError:
            self.closed.set()

    def send(self, channel, kind, payload, number="", flags=0, setting=0, expire=0, topic=""):
        """Writes a SEND; its clientSeq."""
        self.seq += 1
        payload, sign = payload if isinstance(payload, bytes) else payload.encode(), ""
        if self.keys:
            payload = self.keys.seal(payload)
            sign = self.keys.sign(self.seq, number, channel, kind, payload)
        body = bytes([setting]) + struct.pack(">I", self.seq) + text(number)
        if 2 <= self.version < 5 and setting & STREAM:
            body += text("")
        body += text(channel) + bytes([kind])
        if self.version >= 3:
            body += struct.pack(">I", expire)
        body += text(sign) + (text(topic) if setting & TOPIC else b"")
        self.raw(frame(SEND, flags, body + payload))
        return self.seq

    def wait(self, kind, wait=20.0, **fields):
        """The first frame of this type with these fields, kept or still to come; None when none comes."""
        def fits(one):
            return one["type"] == kind and all(one.get(k) == v for k, v in fields.items())
        for i, one in enumerate(self.kept):
            if fits(one):
                return self.kept.pop(i)
        end = time.monotonic() + wait
        while True:
            try:
                one = self.inbox.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                return None
            if fits(one):
                return one
            self.kept.append(one)
            if one["type"] == "CLOSED":
                return None

    def say(self, channel, kind, payload, wait=20.0, **more):
        """SEND and its SENDACK."""
        return self.wait("SENDACK", wait, clientSeq=self.send(channel, kind, payload, **more))

    def ping(self, wait=20.0):
        self.raw(bytes([PING << 4]))
        return self.wait("PONG", wait) is not None

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


def login(addr, uid, **more):
    """A client whose CONNACK was good."""
    client = Client(addr, uid, **more)
    ack = client.wait("CONNACK")
    if ack is None or ack["reasonCode"] != 1:
        client.close()
        raise RuntimeError("login of %s: %r" % (uid, ack))
    return client


class JsonClient:
    """A JSON-RPC client over TCP; frames that are no answer are left out."""

    def __init__(self, addr, uid, **params):
        self.sock, self.text, self.ids = socket.create_connection(addr, timeout=10), "", 0
        self.connack = self.call("connect", uid=uid, **params)

    def call(self, method, **params):
        """The answer of a request."""
        self.ids += 1
        request = {"method": method, "id": str(self.ids), "params": params}
        self.sock.sendall(json.dumps(request).encode())
        while True:
            one = self.next()
            if one.get("id") == request["id"]:
                return one

    def next(self):
        while True:
            with contextlib.suppress(ValueError):
                one, end = json.JSONDecoder().raw_decode(self.text)
                self.text = self.text[end:]
                return one
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError("closed")
            self.text += data.decode()

    def close(self):
        self.sock.close()
