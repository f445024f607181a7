#!/usr/bin/env python3
"""First inputs and words of the fuzz targets that need some, made from what the repository has.

usage: test/fuzz/seeds.py TARGET FOLDER      inputs go into FOLDER, words into FOLDER.dict
"""
import hashlib
import json
import pathlib
import re
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]


def routes():
    """(side, method, path) in the order of the table, which is the first byte of an input."""
    text = (ROOT / "server" / "http" / "routes.def").read_text(encoding="utf-8")
    return re.findall(r'^WK_ROUTE\((\w+),\s*"(\w+)",\s*"([^"]+)"', text, re.M)


def http_body():
    """The recorded calls: u8 route, query up to a line end, body."""
    table, inputs = routes(), []
    for name in ("http-v2.jsonl", "http-v2-auth.jsonl"):
        for line in (ROOT / "test" / "vectors" / name).read_text(encoding="utf-8").splitlines():
            call = json.loads(line).get("request", {})
            path, _, query = call.get("path", "").partition("?")
            body = json.dumps(call["body"]).encode() if "body" in call else b""
            for i, (_, method, pattern) in enumerate(table):
                names = re.fullmatch(re.sub(r":\w+", "([^/]+)", pattern).replace("*", "(.*)"), path)
                if names and method in (call.get("method"), "ANY"):
                    front = "&".join([*names.groups(), urllib.parse.unquote(query)])
                    inputs.append(bytes([i]) + front.encode() + b"\n" + body)
    words = set()
    for source in (ROOT / "server" / "http").rglob("*.c"):
        text = source.read_text(encoding="utf-8")
        words |= {'"%s":' % w for w in re.findall(r"WK_FIELD\([^,]+,\s*(\w+)", text)}
        words |= set(re.findall(r'wk_req_query\w*\(r, "(\w+)"\)', text))
    return inputs, words | {"null", "true", "1e9", "-1", "[]", "{}", "9223372036854775807", "@", "____cmd"}


def jwt():
    claims = '{"exp":1900000000,"iat":1600000000,"iss":"wukongim","username":"admin"}'
    head = '{"alg":"HS256","typ":"JWT"}'
    texts = [("\1", "ops:o:[slot:rw,plugin:*]", "ops", "o", head, claims),
             ("\0", "a:b:*", "admin", "pwd", "e30.e30.e30")]
    return [(t[0] + "\0".join(t[1:])).encode() for t in texts], {"exp", "username", "HS256", "[*:r]", "\\x00"}


def config_file():
    keys = re.findall(r'^X\("([^"]+)"', (ROOT / "lib" / "config" / "config.def").read_text(encoding="utf-8"), re.M)
    inputs = [b"\0" + (ROOT / "server" / "wk.yaml").read_bytes(),
              b"\0{\"webhook\": {\"focusEvents\": [\"msg.offline\"]}, \"auth\": {\"users\": [\"a:b:*\"]}}",
              b"\1WK_ADDR=tcp://0.0.0.0:1\0WK_AUTH_USERS=a:b:*,c:d:[*:r]\0WK_MODE=release\0",
              b"\2--set\0addr=tcp://0.0.0.0:1\0-d\0--mode=test\0check-config\0--timeout\0005s\0"]
    words = set(keys) | {part + ":" for k in keys for part in k.split(".")}
    return inputs, words | {"WK_" + k.upper().replace(".", "_") + "=" for k in keys}


def grpc():
    """An answer with Success in its frames, behind the byte that starts a call; and as one message."""
    def frame(kind, flags, body, stream=1):
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body
    kind = b"\x00\x0ccontent-type\x10application/grpc"
    status = b"\x00\x0bgrpc-status\x010"
    message = b"\0\0\0\0\x02\x08\x01"
    whole = frame(1, 4, b"\x88" + kind) + frame(0, 0, message) + frame(1, 5, status)
    pieces = [whole, frame(1, 5, b"\x88" + kind + b"\x00\x0bgrpc-status\x0214\x00\x0cgrpc-message\x03why"),
              frame(7, 0, bytes(8) + b"bye", 0), frame(3, 0, b"\0\0\0\x07"), frame(6, 0, bytes(8), 0)]
    inputs = [b"\1\0" + bytes([(len(p) + 3) // 4]) + p for p in pieces] + [b"\0" + message]
    return inputs, {"grpc-status", "grpc-message", "application/grpc"}


def ws_look():
    request = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
    mask = b"\x05\x06\x07\x08"
    frames = [bytes([0x82, 0x80 | n]) + mask + b"x" * n for n in (0, 1, 125)]
    frames += [b"\x82\xfe\x01\x00" + mask + b"x" * 256, b"\x82\xff\0\0\0\0\0\0\x01\x00" + mask + b"x" * 256]
    inputs = [bytes([step]) + request + b"".join(frames) + b"\x89\x00" for step in (0, 6, 255)]
    return inputs, {"GET ", "OPTIONS ", r"\x0d\x0a\x0d\x0a"}


MAKERS = {"fuzz_ws_look": ws_look, "fuzz_grpc": grpc, "fuzz_http_body": http_body, "fuzz_jwt": jwt,
          "fuzz_config_file": config_file}


def quoted(word):
    """A line of a dictionary; \\xNN stays as it is."""
    return '"%s"' % "".join(c if c.isascii() and c.isprintable() and c != '"' else "\\x%02X" % b
                            for c in word for b in c.encode()[:1])


def main():
    target, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    inputs, words = MAKERS.get(target, lambda: ((), ()))()
    for one in inputs:
        (folder / hashlib.sha1(one).hexdigest()[:16]).write_bytes(one)
    folder.with_suffix(".dict").write_text("".join(quoted(w) + "\n" for w in sorted(words)))


if __name__ == "__main__":
    main()
