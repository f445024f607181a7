#!/usr/bin/env python3
"""Plays test/vectors/messaging-scenarios.json against our server: both profiles, better_expect first.

usage: python3 test/api/test_scenarios.py [--only ID] [--quick]

--quick leaves out what takes longer than 12 s.
"""
import base64
import concurrent.futures
import http.server
import json
import os
import re
import sys
import threading
import time
import unittest
import urllib.parse

import server as srv
import wkproto

QUICK_MS = 12000
FLAGS = (("no_persist", 1), ("red_dot", 2), ("sync_once", 4), ("dup", 8))
GRACE = 20.0        # for what is still missing after the time a step gives
ADDED = {"message_id", "message_idstr", "message_idstrs", "message_seq", "reason"}   # answers of sending
# The first row of a storage read shows its stored flags (http-api 3); the reference shows 0.
STORED_RED_DOT = {("cm09", 3)}
AS_SETS = ("body", "body.messages", "items")
PROFILES = {
    "default": {"messageRetry": {"interval": "4s", "scanInterval": "1s", "maxCount": 2},
                "conversation": {"syncInterval": "3s"}},
    "strict": {"tokenAuthOn": True, "whitelistOffOfPerson": False}}


class Hooks:
    """Receiver of webhooks: (event, decoded body) in order of arrival, and the same as bytes."""

    def __init__(self):
        self.seen, self.raw, self.lock = [], [], threading.Lock()
        hooks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                event = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["event"][0]
                hooks.take(event, body)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", srv.free_ports(1)[0]), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, event, body):
        with self.lock:
            self.seen.append((event, json.loads(body)))
            self.raw.append((event, body))

    @property
    def options(self):
        return {"httpAddr": "http://127.0.0.1:%d/hook" % self.server.server_address[1]}

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def items(self, event, prefix):
        """What concerns the uids and channels of one scenario, as the vectors show it."""
        with self.lock:
            bodies = [b for e, b in self.seen if e == event]
        out = []
        for body in bodies:
            entries = body if isinstance(body, list) else [body]
            if event == "user.onlinestatus":
                out += [e for e in entries if prefix in e]
                continue
            for m in entries:
                receivers = m.get("to_uids") or []
                names = [m.get("channel_id"), m.get("from_uid"), *receivers] if "payload" in m else [json.dumps(m)]
                if any(prefix in str(n) for n in names):
                    out.append(self.message(m, receivers, event) if "payload" in m else m)
        return out

    def message(self, m, receivers, event):
        keys = ("from_uid", "channel_id", "channel_type", "message_seq", "header")
        one = {k: m[k] for k in keys if k in m}
        if event == "msg.offline":
            one["to_uids"] = sorted(receivers)
        return dict(one, payload=plain(m["payload"]))


def plain(value):
    try:
        return base64.b64decode(value, validate=True).decode()
    except (ValueError, TypeError):
        return value


def shown(value):
    """HTTP bodies carry payloads in base64, the vectors as text."""
    if isinstance(value, list):
        return [shown(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {k: plain(v) if k == "payload" and "from_uid" in value else shown(v) for k, v in value.items()}


class Judge:
    """Compares with placeholders; `made` are the client_msg_nos of this scenario's clients."""

    def __init__(self):
        self.made = {}

    def word(self, name, have, owner, key):
        whole = isinstance(have, int) and not isinstance(have, bool)
        if name == "any":
            return True
        if name in ("int64", "conn"):
            return whole and (have != 0 or name == "conn")
        if name == "str of message_id":
            return have == str(owner.get("message_id"))
        if name in ("unix", "unix ns"):
            unit = 1e9 if name == "unix ns" else 1e3 if key == "occurred_at" else 1
            return whole and abs(have / unit - time.time()) < 86400
        if name == "auto":
            return isinstance(have, str) and len(have) >= 8 and have not in self.made
        if name == "client":
            known = self.made.get(have) if isinstance(have, str) else None
            said = owner.get("payload")
            return known is not None and (said == known or said not in self.made.values())
        return have == "x" * int(name.split()[-1])

    def text(self, want, have, owner, key):
        pattern = r"<(client|auto|int64|str of message_id|unix ns|unix|conn|any|x repeated \d+)>"
        whole = re.fullmatch(pattern, want)
        if whole:
            return self.word(whole.group(1), have, owner, key)
        parts = re.split(pattern, want)
        rule = "".join(r"\d+" if i % 2 and p == "conn" else ".+" if i % 2 else re.escape(p)
                       for i, p in enumerate(parts))
        return isinstance(have, str) and re.fullmatch(rule, have, re.S) is not None

    def diff(self, want, have, path="", owner=None, key=""):
        """Differences as text."""
        if isinstance(want, dict) and isinstance(have, dict):
            out = []
            for k in sorted(set(want) | set(have)):
                at = path + "." + k if path else k
                if k not in have:
                    out.append("%s: missing" % at)
                elif k in want:
                    out += self.diff(want[k], have[k], at, have, k)
                elif k not in ADDED:
                    out.append("%s: unexpected %s" % (at, json.dumps(have[k])[:120]))
            return out
        if isinstance(want, list) and isinstance(have, list):
            return self.rows(want, have, path)
        if isinstance(want, str) and self.text(want, have, owner or {}, key):
            return []
        if type(want) is type(have) and want == have:
            return []
        return ["%s: expected %s, actual %s" % (path, json.dumps(want, ensure_ascii=False)[:160],
                                                json.dumps(have, ensure_ascii=False)[:160])]

    def rows(self, want, have, path):
        if len(want) != len(have):
            return ["%s: expected %d items %s, actual %d %s" % (
                path, len(want), json.dumps(want, ensure_ascii=False)[:300], len(have),
                json.dumps(have, ensure_ascii=False)[:300])]
        if path not in AS_SETS:
            return [d for i, (w, h) in enumerate(zip(want, have))
                    for d in self.diff(w, h, "%s[%d]" % (path, i))]
        left, out = list(have), []
        for w in want:
            fits = [h for h in left if not self.diff(w, h)]
            if fits:
                left.remove(fits[0])
            else:
                out.append("%s: no item %s" % (path, json.dumps(w, ensure_ascii=False)[:200]))
        return out + (["%s: left over %s" % (path, json.dumps(left, ensure_ascii=False)[:1500])] if out else [])


def delivered(one):
    """A frame as the vectors show it."""
    kind = one["type"]
    if kind == "CLOSED":
        return {"type": "CLOSED"}
    if kind == "DISCONNECT":
        return {"type": kind, "reason": one["reasonCode"], "text": one["reason"]}
    if kind == "EVENT":
        data = one["data"].decode()
        try:
            data = json.loads(data)
        except ValueError:
            pass
        return {"type": kind, "id": one["id"], "event_type": one["event"], "data": data}
    out = {"type": kind, "from_uid": one["fromUid"], "channel_id": one["channelId"],
           "channel_type": one["channelType"], "message_seq": one["messageSeq"],
           "payload": one["plain"].decode("utf-8", "replace"), "flags": named(one["flags"]),
           "client_msg_no": one["clientMsgNo"]}
    for name in ("setting", "topic", "expire"):
        if one.get(name):
            out[name] = one[name]
    return out


def named(bits):
    return [name for name, bit in FLAGS if bits & bit]


class Play:
    """One scenario."""

    def __init__(self, scenario, server, hooks):
        self.scenario, self.server, self.hooks = scenario, server, hooks
        self.clients, self.judge = {}, Judge()

    def run(self):
        """(step, differences) of the first step that differs; None when all is well."""
        better = self.scenario.get("better_expect", {})
        try:
            for i, step in enumerate(self.scenario["steps"]):
                want = better.get(str(i), step.get("expect")) or {}
                if (self.scenario["id"], i) in STORED_RED_DOT:
                    for row in want["body"]:
                        row["recents"][0]["header"]["red_dot"] = 1
                have = getattr(self, "do_" + step["op"])(step, want)
                diff = self.judge.diff(want, have) if have is not None else []
                if diff:
                    return i, step, diff
            return None
        finally:
            for c in self.clients.values():
                c.close()

    def do_connect(self, step, want):
        wait = GRACE if want.get("connack_reason") is not None else step.get("wait_ms", 2500) / 1000
        flag, uid = step.get("device_flag", 0), step["uid"]
        c = wkproto.Client(self.server.tcp, uid, version=step.get("version", 4), flag=flag,
                           device=step.get("device_id", "%s-d%d" % (uid, flag)), token=step.get("token", ""),
                           ack=step.get("auto_recvack", True))
        self.clients[step["client"]] = c
        ack = c.wait("CONNACK", wait)
        if ack is None:
            out = {"connack_reason": None, "closed": c.closed.is_set()}
            c.kept = [f for f in c.kept if f["type"] != "CLOSED"]
        elif "then" in want:
            closed = c.wait("CLOSED", wait)
            out = {"connack_reason": ack["reasonCode"], "then": "closed" if closed else "open"}
        else:
            out = {"connack_reason": ack["reasonCode"], "server_version": ack.get("serverVersion"),
                   "node_id": ack.get("nodeId")}
        if step.get("settle_ms"):
            out["delivered"] = self.arrived(step["settle_ms"], want)
        return out

    def do_close(self, step, want):
        self.clients.pop(step["client"]).close()
        time.sleep(step.get("settle_ms", 300) / 1000)

    def do_send(self, step, want):
        c, payload = self.clients[step["client"]], step.get("payload", "hi")
        if isinstance(payload, dict):
            payload = "x" * payload["repeat_x"]
        number = step.get("client_msg_no")
        if number is None:
            number = os.urandom(8).hex()
            self.judge.made[number] = payload
        ack = None
        try:
            ack = c.say(step["channel_id"], step["channel_type"], payload,
                        GRACE if want.get("sendack") else step.get("ack_wait_ms", 3000) / 1000, number=number,
                        flags=sum(bit for name, bit in FLAGS if name in step.get("flags", [])),
                        setting=step.get("setting", 0), expire=step.get("expire", 0),
                        topic=step.get("topic", ""))
        except OSError:
            pass                            # closed: no SENDACK
        shown_ack = ack and {"reason": ack["reasonCode"], "message_seq": ack["messageSeq"],
                             "flags": named(ack["flags"])}
        if ack and ("message_id" in (want.get("sendack") or {}) or not ack["messageId"]):
            shown_ack["message_id"] = ack["messageId"]
        return {"sendack": shown_ack, "delivered": self.arrived(step.get("wait_ms", 450), want)}

    def do_api(self, step, want):
        body = step.get("body")
        if step["path"] in ("/message/send", "/message/sendbatch") and isinstance(body.get("payload"), str):
            body = dict(body, payload=base64.b64encode(body["payload"].encode()).decode())
        status, answer = self.server.call(step.get("method", "POST"), step["path"], body)
        out = {"status": status, "body": shown(answer)}
        if step.get("deliver"):
            out["delivered"] = self.arrived(step.get("wait_ms", 450), want)
        return out

    def do_webhook(self, step, want):
        time.sleep(step.get("wait_ms", 900) / 1000)
        end = time.monotonic() + GRACE
        while True:
            items = self.hooks.items(step["event"], self.scenario["id"])
            if len(items) >= len(want.get("items", [])) or time.monotonic() > end:
                return {"items": items}
            time.sleep(0.05)

    def do_drain(self, step, want):
        return {"delivered": self.arrived(step.get("wait_ms", 500), want)}

    def do_sleep(self, step, want):
        time.sleep(step["ms"] / 1000)

    def arrived(self, wait_ms, want):
        """What every client got since the last look, after wait_ms; later only if something lacks."""
        time.sleep(wait_ms / 1000)
        end, wanted = time.monotonic() + GRACE, want.get("delivered", {})
        while True:
            for c in self.clients.values():
                while not c.inbox.empty():
                    c.kept.append(c.inbox.get())
            heard = {name: [f for f in c.kept if f["type"] in ("RECV", "DISCONNECT", "EVENT", "CLOSED")]
                     for name, c in self.clients.items()}
            if all(len(heard.get(n, [])) >= len(w) for n, w in wanted.items()) or time.monotonic() > end:
                break
            time.sleep(0.02)
        for c in self.clients.values():
            c.kept = [f for f in c.kept if f["type"] in ("SENDACK", "CONNACK", "PONG")]
        return {name: [delivered(f) for f in fs] for name, fs in heard.items() if fs}


def duration(scenario):
    return sum(s.get("ms", 0) + s.get("wait_ms", 400) + s.get("settle_ms", 0) for s in scenario["steps"])


class Scenarios(srv.Running, unittest.TestCase):
    only, quick = None, False

    def chosen(self, profile):
        with open(srv.VECTORS / "messaging-scenarios.json", encoding="utf-8") as f:
            every = [s for s in json.load(f)["scenarios"] if s["profile"] == profile]
        out = [s for s in every if not self.only or s["id"] == self.only]
        if self.quick:
            out = [s for s in out if duration(s) <= QUICK_MS]
        return sorted(out, key=duration, reverse=True), len(every) - len(out)

    def play(self, profile):
        hooks = Hooks()
        self.addCleanup(hooks.close)
        server = self.serve(dict(PROFILES[profile], managerToken="mgr-secret",
                                 webhook=hooks.options), token="mgr-secret")
        chosen, left_out = self.chosen(profile)
        bad = {}

        def one(scenario):
            try:
                result = Play(scenario, server, hooks).run()
            except Exception as e:              # reported as the failure of this scenario
                result = ("?", {"op": "?"}, ["%s: %s" % (type(e).__name__, e)])
            if result:
                bad[scenario["id"]] = (scenario["title"],) + result
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            list(pool.map(one, chosen))
        for name, (title, step, what, diff) in sorted(bad.items()):
            with self.subTest(scenario=name):
                self.fail("%s\n  step %s (%s): %s" % (title, step, " ".join(
                    str(what[k]) for k in ("op", "client", "path", "event") if k in what), "\n    ".join(diff)))
        print("%s: %d scenarios as specified, %d failed, %d left out as slow" % (
            profile, len(chosen) - len(bad), len(bad), left_out))
        self.assertTrue(server.alive())

    def test_default_profile(self):
        self.play("default")

    def test_strict_profile(self):
        self.play("strict")


if __name__ == "__main__":
    if "--only" in sys.argv:
        at = sys.argv.index("--only")
        Scenarios.only = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    if "--quick" in sys.argv:
        Scenarios.quick = True
        sys.argv.remove("--quick")
    unittest.main(verbosity=1)
