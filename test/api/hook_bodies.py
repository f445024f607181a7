"""The recorded webhook bodies (test/vectors/webhooks.jsonl) reproduced by a server of ours: plays the
scenarios they were recorded from towards a receiver and compares whole texts, with only ids, numbers
and times masked.  Used by test_webhook_vectors.py and, with a published gRPC server, by test/sdk.

A receiver is `test_scenarios.Hooks` or looks like it: options, raw, items(event, prefix).
"""
import base64
import concurrent.futures
import gzip
import json
import os
import re
import time

import server as srv
import test_scenarios as scenarios
import wkproto

LIMIT_MS = 13000        # longer scenarios are not needed for a vector
# Vectors whose body we do not send, and why.
BETTER = {"offline empty receiver list": "not sent when empty",
          "grpc msg.offline compressed (reference defect)": "a whole gzip stream, see grpc_group"}
MASKS = ((r'"message_id":\d{6,}', '"message_id":N'), (r'"message_idstr":"\d{6,}"', '"message_idstr":"N"'),
         (r'"client_msg_no":"[0-9a-f]{16,}"', '"client_msg_no":"N"'), (r'"message_seq":[1-9]\d*', '"message_seq":N'),
         (r'"timestamp":\d{10}', '"timestamp":N'))


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not what():
        time.sleep(0.02)


def vectors():
    with open(srv.VECTORS / "webhooks.jsonl", encoding="utf-8") as f:
        for line in f:
            v = json.loads(line)
            if v["transport"] in ("http", "grpc") and "body" in v:
                yield v["name"], v.get("event") or v["path"].split("=")[1], v["body"]


def masked(text):
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text)
    return text


def parts(event, body):
    """The constant text of each message or entry of a body; raises when its form is not the compact one."""
    value = json.loads(body)
    if event == "user.onlinestatus":
        return [re.sub(r"-\d+-(\d+-\d+)$", r"-N-\1", e) for e in value]
    out = []
    for one in value if isinstance(value, list) else [value]:
        text = json.dumps(one, separators=(",", ":"), ensure_ascii=False)
        if text not in body:
            raise AssertionError("not compact: " + body[:300])
        if "to_uids" in one:        # the order of receivers is nobody's promise
            one["to_uids"] = sorted(one["to_uids"])
            text = json.dumps(one, separators=(",", ":"), ensure_ascii=False)
        out.append(masked(text))
    return out


def plan(profile):
    """Scenarios of that profile which some recorded body was made by."""
    recorded = " ".join(body for _, _, body in vectors())
    with open(srv.VECTORS / "messaging-scenarios.json", encoding="utf-8") as f:
        every = json.load(f)["scenarios"]
    return [s for s in every if s["profile"] == profile and s["id"] + "_" in recorded
            and scenarios.duration(s) <= LIMIT_MS]


def play(serve, make_hooks):
    """Both profiles; the set of (event, constant text) that arrived, and the ids that were played."""
    got, played = set(), set()
    for profile, options in scenarios.PROFILES.items():
        hooks = make_hooks()
        try:
            server = serve(dict(options, managerToken="t", webhook=hooks.options), token="t")
            chosen = plan(profile)
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                for result in pool.map(lambda s, server=server, hooks=hooks: scenarios.Play(
                        s, server, hooks).run(), chosen):
                    if result:
                        raise AssertionError(result)
            # Sent by a connection that the reference had removed but not closed; here it is closed.
            server.post("/message/send", {"from_uid": "dv13_a", "channel_id": "dv13_b", "channel_type": 1,
                                          "payload": base64.b64encode(b"ghost").decode()})
            wait_for(lambda hooks=hooks: any(b"Z2hvc3Q=" in b for e, b in list(hooks.raw) if e == "msg.notify"))
            server.stop()           # the last entries of connections come with the end
            for event, body in list(hooks.raw):
                got.update((event, p) for p in parts(event, body.decode()))
            played.update(s["id"] for s in chosen)
        finally:
            hooks.close()
    return got, played


def missing(got, played):
    """(vectors reproduced, texts of those that were not)."""
    good, bad = 0, []
    for name, event, body in vectors():
        if name in BETTER or name.startswith("grpc"):
            continue
        want = [p for p in parts(event, body) if p.split("_")[0].strip('"') in played
                or (event != "user.onlinestatus" and any('"%s_' % i in p for i in played))]
        lost = [p for p in want if (event, p) not in got]
        good += not lost and bool(want)
        bad += ["%s: %s" % (name, p) for p in lost]
    return good, bad


def grpc_group(server, hooks):
    """The recorded run over gRPC: an encrypted person message, a group with packed receivers, three users."""
    users = {u: wkproto.Client(server.tcp, u, version=4, flag=0, encrypt=True) for u in ("ca", "cb", "ds_sys")}
    try:
        for u in ("ca", "cb", "ds_sys"):
            users[u].wait("CONNACK")
        server.post("/channel", {"channel_id": "cg", "channel_type": 2, "subscribers": ["ca", "cb", "cc", "cd", "ce"]})
        server.post("/user/systemuids_add", {"uids": ["ds_sys"]})
        for uid, channel, kind, text in (("ca", "cb", 1, "enc hello"), ("ds_sys", "cg", 2, "from ds system"),
                                         ("ca", "cg", 2, "grp")):
            users[uid].say(channel, kind, text, number=os.urandom(8).hex())
        wait_for(lambda: sum(len(json.loads(b)) for e, b in list(hooks.raw) if e == "msg.notify") >= 3)
        wait_for(lambda: sum(1 for e, _ in list(hooks.raw) if e == "msg.offline") >= 3)
        wait_for(lambda: sum(len(json.loads(b)) for e, b in list(hooks.raw) if e == "user.onlinestatus") >= 3)
    finally:
        for c in users.values():
            c.close()
    got = {(e, p) for e, b in list(hooks.raw) for p in parts(e, b.decode())}
    bad = []
    for name, event, body in vectors():
        if name.startswith("grpc") and name not in BETTER:
            bad += ["%s: %s" % (name, p) for p in parts(event, body) if (event, p) not in got]
    packed = [json.loads(b) for e, b in list(hooks.raw) if e == "msg.offline" and b'"compress":"gzip"' in b]
    lists = sorted(sorted(json.loads(gzip.decompress(base64.b64decode(m["compress_to_uids"])))) for m in packed)
    if lists != [["ca", "cb", "cc", "cd", "ce"], ["cb", "cc", "cd", "ce"]] or any(m["to_uids"] for m in packed):
        bad.append("packed receivers: %r" % lists)
    return bad
