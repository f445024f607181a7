"""A gRPC receiver of webhooks that can be as bad as one likes: HTTP/2 frames by hand, so that every
byte of an answer is ours.  It never decodes headers; what a call asks for it learns from its body.

The `behave` function is asked per call, with (connection, stream, event, body bytes); the default
answers Success.  `greet` is asked per connection, before anything is read.
"""
import socket
import struct
import threading

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM = ACK = 1
END_HEADERS = 4
SUCCESS = b"\x08\x01"


def frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def literal(name, value):
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def message(body, packed=0):
    return bytes([packed]) + struct.pack(">I", len(body)) + body


OK_HEADERS = b"\x88" + literal("content-type", "application/grpc")


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def decode_request(data):
    """(event, body) of an EventReq in its frame; raises when it is anything else."""
    packed, size = data[0], struct.unpack(">I", data[1:5])[0]
    if packed or size != len(data) - 5:
        raise ValueError("frame of a request: %r" % data[:5])
    fields, at = {}, 5
    while at < len(data):
        tag, at = varint(data, at)
        size, at = varint(data, at)
        if tag & 7 != 2:
            raise ValueError("tag %d" % tag)
        fields[tag >> 3] = data[at:at + size]
        at += size
    return fields[1].decode(), fields.get(2, b"")


class Connection(threading.Thread):
    def __init__(self, receiver, sock):
        super().__init__(daemon=True)
        self.receiver, self.sock, self.streams = receiver, sock, {}
        self.open = True

    def send(self, *frames):
        self.sock.sendall(b"".join(frames))

    def read(self, n):
        data = b""
        while len(data) < n:
            more = self.sock.recv(n - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def run(self):
        try:
            if self.receiver.greet:
                self.receiver.greet(self)
            if self.read(24) != PREFACE:
                raise ValueError("preface")
            self.send(frame(SETTINGS, 0, 0))
            while self.open:
                self.one_frame()
        except (OSError, EOFError):
            pass
        finally:
            self.sock.close()

    def one_frame(self):
        head = self.read(9)
        size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
        stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
        body = self.read(size)
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, body))
        elif kind == HEADERS:
            self.streams[stream] = b""
        elif kind == RST:
            self.streams.pop(stream, None)
        elif kind == DATA and stream in self.streams:
            self.streams[stream] += body
            if size:
                more = struct.pack(">I", size)
                self.send(frame(WINDOW, 0, 0, more), frame(WINDOW, 0, stream, more))
            if flags & END_STREAM:
                event, data = decode_request(self.streams.pop(stream))
                with self.receiver.lock:
                    self.receiver.calls.append((event, data))
                (self.receiver.behave or succeed)(self, stream, event, data)


def answer(conn, stream, body=SUCCESS, status="0", text=None):
    trailer = literal("grpc-status", status) + (literal("grpc-message", text) if text else b"")
    conn.send(frame(HEADERS, END_HEADERS, stream, OK_HEADERS), frame(DATA, 0, stream, message(body)),
              frame(HEADERS, END_HEADERS | END_STREAM, stream, trailer))


def succeed(conn, stream, event, data):
    answer(conn, stream)
    with conn.receiver.lock:
        conn.receiver.accepted.append((event, data))


class Receiver:
    """Listens on a port of this host; keeps every call, and those that were answered with Success."""

    def __init__(self, port=0):
        self.calls, self.accepted, self.connections = [], [], []
        self.behave = self.greet = None
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            conn = Connection(self, sock)
            self.connections.append(conn)
            conn.start()

    def drop(self):
        """Ends every connection."""
        for conn in self.connections:
            try:
                conn.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        self.drop()

    def bodies(self, event="msg.notify", accepted=True):
        with self.lock:
            return [d for e, d in (self.accepted if accepted else self.calls) if e == event]
