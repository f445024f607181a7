#!/usr/bin/env python3
"""Plays the recorded HTTP transcripts (test/vectors/http-v2*.jsonl) against our server.

usage: python3 test/api/test_http_v2.py [-v]

explained.json names the members that answers have in addition and, for every step that differs, the
rule of the specification behind it; a step that differs otherwise fails, and so does an explained step
that does not differ any more.
"afterwards" puts back what a better rule changed, so that later steps find what they need.
"""
import http.client
import json
import re
import time
import unittest
import urllib.parse

import server as srv
import wkproto

OPTIONS = {"tokenAuthOn": True, "disableEncryption": False, "event": {"allowOrphan": True},
           "external": {"tcpAddr": "im.example.com:5100", "wsAddr": "ws://im.example.com:5200",
                        "wssAddr": "wss://im.example.com:5210", "managerAddr": "im.example.com:5300"},
           "intranet": {"tcpAddr": "10.1.2.3:5100"}, "jwt": {"secret": "spec-secret"},
           "auth": {"on": True, "kind": "jwt", "users": ["admin:pwd:*", "guest:guest:[*:r]"]}}
NAMES = {"frame": "type", "reason_code": "reasonCode", "from_uid": "fromUid", "channel_id": "channelId",
         "channel_type": "channelType", "client_msg_no": "clientMsgNo", "message_id": "messageId",
         "message_seq": "messageSeq", "node_id": "nodeId", "client_seq": "clientSeq"}
EXPLAINED = json.loads((srv.ROOT / "test" / "api" / "explained.json").read_text())


def path_of(text):
    """ "a[*].b" as ("a", "*", "b"). """
    return () if text == "$" else tuple(
        p if not p.startswith("[") else "*" if p == "[*]" else int(p[1:-1])
        for p in re.findall(r"\[\*\]|\[\d+\]|[^.\[\]]+", text))


def fits(patterns, path):
    return any(len(p) == len(path) and all(a == b or a == "*" and isinstance(b, int) for a, b in zip(p, path))
               for p in patterns)


def kind(value):
    return "bool" if isinstance(value, bool) else "number" if isinstance(value, (int, float)) else \
        type(value).__name__


class Compare:
    def __init__(self, step, added):
        self.volatile = [path_of(p) for p in step.get("volatile", [])]
        self.unordered = [path_of(p) for p in step.get("unordered", [])]
        self.added, self.out = added, []

    def masked(self, value, path):
        if fits(self.volatile, path):
            return "~"
        if isinstance(value, dict):
            return {k: self.masked(v, path + (k,)) for k, v in sorted(value.items()) if k not in self.added}
        if isinstance(value, list):
            return [self.masked(v, path + (i,)) for i, v in enumerate(value)]
        return value

    def note(self, path, text):
        self.out.append("%s: %s" % ("/".join(map(str, path)) or "body", text))

    def diff(self, want, have, path=()):
        if fits(self.volatile, path):
            if kind(want) != kind(have):
                self.note(path, "expected a %s, actual %r" % (kind(want), have))
        elif isinstance(want, dict) and isinstance(have, dict):
            for k in want:
                if k in have:
                    self.diff(want[k], have[k], path + (k,))
                else:
                    self.note(path + (k,), "missing")
            for k in set(have) - set(want) - self.added:
                self.note(path + (k,), "unexpected %r" % (have[k],))
        elif isinstance(want, list) and isinstance(have, list):
            if len(want) != len(have):
                self.note(path, "expected %d items, actual %d" % (len(want), len(have)))
            if fits(self.unordered, path):
                def order(v):
                    return json.dumps(self.masked(v, path + (0,)), sort_keys=True)
                want, have = sorted(want, key=order), sorted(have, key=order)
            for i, (w, h) in enumerate(zip(want, have)):
                self.diff(w, h, path + (i,))
        elif kind(want) != kind(have) or want != have:
            self.note(path, "expected %.120r, actual %.120r" % (want, have))
        return self.out


class Transcript:
    def __init__(self, server, added):
        self.server, self.added = server, added
        self.values, self.clients = {}, {}

    def fill(self, value):
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if not isinstance(value, str):
            return value
        whole = re.fullmatch(r"\{\{(\w+)\}\}", value)
        if whole and whole.group(1) in self.values:
            return self.values[whole.group(1)]
        return re.sub(r"\{\{(\w+)\}\}", lambda m: str(self.values.get(m.group(1), m.group(0))), value)

    def ask(self, request):
        request = self.fill(request)
        path = request["path"]
        if request.get("query"):
            path += "?" + urllib.parse.urlencode(request["query"], doseq=True)
        headers, body = dict(request.get("headers") or {}), None
        if "raw" in request:
            body = request["raw"].encode()
        elif "repeat" in request:
            head, unit, count, tail = request["repeat"]
            body = (head + unit * count + tail).encode()
        elif "body" in request:
            body = json.dumps(request["body"], ensure_ascii=False).encode()
        if body is not None and "content-type" not in {k.lower() for k in headers}:
            headers["Content-Type"] = "application/json"
        conn = http.client.HTTPConnection("127.0.0.1", self.server.ports["http"], timeout=30)
        try:
            conn.request(request["method"], path, body, headers)
            answer = conn.getresponse()
            data = answer.read()
        finally:
            conn.close()
        try:
            value = json.loads(data)
        except ValueError:
            value = None
        return answer, data.decode("utf-8", "replace"), value

    def compare(self, step, answer, text, value):
        want, out = step["response"], []
        if answer.status != want["status"]:
            out.append("status: expected %d, actual %d %.160s" % (want["status"], answer.status, text))
        for name, header in (want.get("headers") or {}).items():
            if answer.getheader(name) != header:
                out.append("header %s: expected %r, actual %r" % (name, header, answer.getheader(name)))
        if "body" in want:
            out += Compare(step, self.added).diff(want["body"], value)
        elif "text" in want and "text" not in step.get("volatile", []) and want["text"] != text:
            out.append("text: expected %.120r, actual %.120r" % (want["text"], text))
        return out

    def http(self, step, patient):
        end = time.monotonic() + (20 if patient and step.get("poll_ms") else 0)
        while True:
            answer, text, value = self.ask(step["request"])
            out = self.compare(step, answer, text, value)
            if not out or time.monotonic() > end:
                break
            time.sleep(0.1)
        for name, path in (step.get("capture") or {}).items():
            for part in path_of(path):
                value = value[part]
            self.values[name] = value
        return out

    def client(self, step):
        step = self.fill(step)
        what, name = step["client"], step.get("id", step.get("uid"))
        wait = step.get("timeout_ms", 3000) / 1000
        if what != "expect_none":                   # what must come may come late
            wait = max(wait, 20)
        if what == "sleep":
            time.sleep(step["ms"] / 1000)
            return []
        if what == "connect":
            return self.connect(step, name, wait)
        c = self.clients[name]
        if what == "close":
            self.clients.pop(name).close()
            time.sleep(step.get("settle_ms", 200) / 1000)
            return []
        if what == "send":
            flags = sum(step.get(k, 0) << i for i, k in enumerate(("no_persist", "red_dot", "sync_once")))
            got = c.say(step["channel_id"], step["channel_type"], step["payload"], wait,
                        number=step.get("client_msg_no", ""), expire=step.get("expire", 0), flags=flags,
                        setting=step.get("setting", 0))
            return self.keep(step, got, step.get("expect", {"reason_code": 1}))
        if what == "expect_closed":
            return [] if c.wait("CLOSED", wait) else ["still open"]
        want = dict(step.get("match") or {})
        kinds = {"expect_recv": "RECV", "expect_event": "EVENT", "expect_disconnect": "DISCONNECT"}
        got = self.find(c, kinds.get(what, want.pop("frame", "recv").upper()), want, wait)
        if what == "expect_none":
            return [] if got is None else ["expected nothing, got %r" % got]
        return self.keep(step, got, want)

    def connect(self, step, name, wait):
        c = self.clients[name] = wkproto.Client(
            self.server.tcp, step["uid"], version=step.get("version", 4), flag=step.get("device_flag", 0),
            device=step.get("device_id", "dev-" + name), token=step.get("token", ""), encrypt=True,
            ack=step.get("auto_ack", True))
        got = c.wait("CONNACK", min(wait, 1.5) if step.get("refused") else wait)
        if step.get("refused"):
            self.clients.pop(name).close()
            return ["accepted"] if got and got["reasonCode"] == 1 else []
        return self.keep(step, got, step.get("expect", {"reason_code": 1}))

    def find(self, client, frame, want, wait):
        end, seen = time.monotonic() + wait, []
        while True:
            got = client.wait(frame, max(0, end - time.monotonic()))
            if got is None or self.matches(got, want):
                client.kept = seen + client.kept
                return got
            seen.append(got)

    def matches(self, got, want):
        for k, v in want.items():
            have = got.get(NAMES.get(k, k))
            if k in ("no_persist", "red_dot", "sync_once"):
                have = got["flags"] >> ("no_persist", "red_dot", "sync_once").index(k) & 1
            elif k == "payload":
                have = got["plain"].decode()
            elif k == "type":
                have = got["event"]
            elif k == "data":
                have = json.loads(got["data"])
                have = {x: have.get(x) for x in v} if isinstance(v, dict) else have
            if have != v:
                return False
        return True

    def keep(self, step, got, want):
        if got is None:
            return ["nothing came"]
        for name, field in (step.get("capture") or {}).items():
            self.values[name] = got[NAMES.get(field, field)]
        return [] if self.matches(got, want) else ["expected %r, actual %r" % (want, got)]

    def step(self, step, patient):
        time.sleep(min(step.get("wait_ms", 0), 50) / 1000)      # the reference stores later, we do not
        try:
            return self.http(step, patient) if "request" in step else self.client(step)
        except (OSError, http.client.HTTPException, KeyError, TypeError, IndexError) as e:
            return ["%s: %s" % (type(e).__name__, e)]


class Recorded(srv.Running, unittest.TestCase):
    def play(self, name, options):
        server = self.serve(options, start=False)
        server.options["external"]["apiUrl"] = server.base
        server.write_config()
        server.start()
        known, repairs = EXPLAINED[name], EXPLAINED["afterwards"].get(name, {})
        t = Transcript(server, set(EXPLAINED["added"]))
        good, stale, better = 0, [], 0
        with open(srv.VECTORS / (name + ".jsonl"), encoding="utf-8") as f:
            steps = [json.loads(line) for line in f if line.strip()]
        for step in steps:
            n = str(step["step"])
            diff = t.step(step, n not in known)
            if n in repairs:
                server.post(*repairs[n])
            if diff and n not in known:
                with self.subTest(step=step["step"]):
                    self.fail("%s\n  %s\n    %s" % (step.get("note"), json.dumps(
                        step.get("request", step), ensure_ascii=False)[:400], "\n    ".join(diff)))
            elif diff:
                better += 1
            elif n in known:
                stale.append(step["step"])
            else:
                good += 1
        for c in t.clients.values():
            c.close()
        print("%s: %d of %d steps as recorded, %d by a better rule" % (name, good, len(steps), better))
        self.assertEqual(stale, [], "explained steps that do not differ")
        self.assertTrue(server.alive())

    def test_open_api(self):
        self.play("http-v2", OPTIONS)

    def test_with_manager_token(self):
        self.play("http-v2-auth", dict(OPTIONS, managerToken="mt-secret"))


if __name__ == "__main__":
    unittest.main(verbosity=1)
