#!/usr/bin/env python3
"""The WebSocket ports below the protocol: what is no upgrade, and frames without a mask (RFC 6455)."""
import socket
import ssl
import struct
import unittest

import server as srv

UPGRADE = ("GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()
BINARY, CLOSE, PING, PONG, FIN = 2, 8, 9, 10, 0x80
MASK = b"\x05\x06\x07\x08"


def frame(opcode, payload, masked=True, fin=FIN):
    n = len(payload)
    size = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n)
    head = bytes([fin | opcode, size[0] | (0x80 if masked else 0)]) + size[1:]
    return head + (MASK + bytes(b ^ MASK[i % 4] for i, b in enumerate(payload)) if masked else payload)


class Client:
    def __init__(self, port, tls):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.sock = ssl._create_unverified_context().wrap_socket(self.sock)
        self.data = b""

    def send(self, *pieces):
        try:
            for piece in pieces:
                self.sock.sendall(piece)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            pass                                    # what was answered is still there to be read

    def more(self):
        try:
            got = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLEOFError):
            got = b""
        self.data += got
        return got

    def take(self, n):
        while len(self.data) < n and self.more():
            pass
        out, self.data = self.data[:n], self.data[n:]
        return out

    def status(self):
        """Status of the answer to the request, and the body when the connection ends behind it."""
        while b"\r\n\r\n" not in self.data and self.more():
            pass
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        status = int(head.split(b" ")[1]) if head else None
        if status == 101:
            return status, ""
        while self.more():
            pass
        return status, self.data.decode()

    def frame(self):
        """(opcode, payload); None at the end of the connection."""
        head = self.take(2)
        return (head[0] & 15, self.take(head[1] & 127)) if len(head) == 2 else None


class WebSocket(srv.Running, unittest.TestCase):
    def setUp(self):
        holder = self.serve(start=False)            # its folder holds the certificate
        self.server = self.serve(wss=srv.certificate(holder.root))

    def clients(self, *pieces):
        for port in ("ws", "wss"):
            client = Client(self.server.ports[port], port == "wss")
            client.send(*pieces)
            yield port, client
            client.sock.close()

    def test_what_is_no_http_is_answered_400(self):
        for name, text in (("binary CONNECT", b"\x10\x4b\x04\0\0"), ("JSON", b'{"jsonrpc":"2.0"}'),
                           ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("zeros", b"\0" * 20),
                           ("TLS", b"\x16\x03\x01\x02\0\x01\0"), ("a method", b"BREW / HTTP/1.1\r\n\r\n")):
            for port, client in self.clients(text):
                status, text = client.status()
                self.assertEqual(status, 400, (port, name))
                self.assertIn("WebSocket", text)

    def test_a_request_without_upgrade_is_answered_426(self):
        for port, client in self.clients(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"):
            self.assertEqual(client.status()[0], 426, port)

    def test_a_request_that_is_too_long_is_answered_431(self):
        for port, client in self.clients(b"GET /" + b"a" * 16384):
            status, text = client.status()
            if port == "ws":                        # with TLS libwebsockets hangs up before
                self.assertEqual(status, 431)
                self.assertIn("16384", text)
            self.assertNotEqual(status, 101, port)

    def test_masked_frames_are_served_however_they_come(self):
        whole = UPGRADE + frame(PING, b"one")
        for pieces in ([whole], [UPGRADE, whole[len(UPGRADE):]], [bytes([c]) for c in whole],
                       [whole[:len(UPGRADE) + 1], whole[len(UPGRADE) + 1:]]):
            for port, client in self.clients(*pieces):
                self.assertEqual(client.status()[0], 101, port)
                self.assertEqual(client.frame(), (PONG, b"one"), port)

    def test_a_frame_without_mask_ends_the_connection_with_1002(self):
        bare = frame(PING, b"", masked=False)       # nothing is on its way when the server closes
        for name, pieces in (
                ("at first", [UPGRADE, bare]),
                ("with the upgrade", [UPGRADE + bare]),
                ("byte by byte", [UPGRADE] + [bytes([c]) for c in bare]),
                ("a close", [UPGRADE, frame(CLOSE, b"", masked=False)]),
                ("in a fragmented message", [UPGRADE, frame(BINARY, b"", fin=0),
                                             frame(0, b"", masked=False)]),
                ("behind a long one", [UPGRADE, frame(PONG, b"x" * 125) * 40 + bare]),
                ("behind the first byte", [UPGRADE, frame(PONG, b"x") + bare[:1], bare[1:]])):
            for port, client in self.clients(*pieces):
                self.assertEqual(client.status()[0], 101, (port, name))
                opcode, payload = client.frame() or (None, b"")
                if opcode is None and port == "wss" and name == "with the upgrade":
                    continue                        # libwebsockets hangs up then
                self.assertEqual((opcode, payload[:2]), (CLOSE, b"\x03\xea"), (port, name))
                client.send(frame(CLOSE, payload))
                self.assertIsNone(client.frame(), (port, name))

    def test_what_came_before_a_refused_frame_is_answered(self):
        for port, client in self.clients(UPGRADE, frame(PING, b"one")):
            self.assertEqual(client.status()[0], 101, port)
            self.assertEqual(client.frame(), (PONG, b"one"), port)
            client.send(frame(PING, b"two", masked=False))
            self.assertEqual(client.frame()[1][:2], b"\x03\xea")


if __name__ == "__main__":
    unittest.main()
