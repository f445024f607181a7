"""Webhooks to a published gRPC server (grpcio) with the messages of server/out/wkhook.proto, written
down here a second time: recorded bodies, events, batches, order, signature, failures, restarts.

Prints "ok NAME" or "not ok NAME: why".  Starts its own servers: WKIM_TEST_PORTS, WKIM_SERVER.
"""
import base64
import concurrent.futures
import gzip
import hashlib
import hmac
import json
import pathlib
import sys
import threading
import time
import traceback

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "api"))
import hook_bodies                              # noqa: E402
import server as srv                            # noqa: E402
import test_scenarios as scenarios              # noqa: E402
import wkproto                                  # noqa: E402

FAILED = []
TEXT, BYTES, ENUM = (getattr(descriptor_pb2.FieldDescriptorProto, "TYPE_" + t) for t in ("STRING", "BYTES", "ENUM"))


def messages():
    """EventReq and EventResp, written from their description."""
    f = descriptor_pb2.FileDescriptorProto(name="hook.proto", package="wkhook", syntax="proto3")
    status = f.enum_type.add(name="EventStatus")
    status.value.add(name="Error", number=0)
    status.value.add(name="Success", number=1)
    ask, answer = f.message_type.add(name="EventReq"), f.message_type.add(name="EventResp")
    ask.field.add(name="event", number=1, type=TEXT)
    ask.field.add(name="data", number=2, type=BYTES)
    answer.field.add(name="status", number=1, type=ENUM, type_name=".wkhook.EventStatus")
    answer.field.add(name="data", number=2, type=BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(f)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName("wkhook." + n)) for n in ("EventReq", "EventResp")]


EventReq, EventResp = messages()


class Hooks(scenarios.Hooks):
    """A grpcio server; `answer` is asked per call and may raise, sleep or return a status."""

    options = None

    def __init__(self, port=0, **server_options):
        self.seen, self.raw, self.calls, self.lock = [], [], [], threading.Lock()
        self.answer = None
        handler = grpc.unary_unary_rpc_method_handler(
            self.call, request_deserializer=EventReq.FromString, response_serializer=EventResp.SerializeToString)
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=list(server_options.items()))
        self.server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("wkhook.WebhookService", {"SendWebhook": handler}),))
        self.port = self.server.add_insecure_port("127.0.0.1:%d" % port)
        self.options = {"grpcAddr": "127.0.0.1:%d" % self.port}
        self.server.start()

    def call(self, request, context):
        meta = dict(context.invocation_metadata())
        with self.lock:
            self.calls.append((request.event, request.data, meta, context.time_remaining()))
        status = self.answer(request, context) if self.answer else 1
        if status == 1:
            self.take(request.event, request.data)
        return EventResp(status=status, data=b"never read")

    def bodies(self, event="msg.notify"):
        with self.lock:
            return [b for e, b in self.raw if e == event]

    def payloads(self):
        return [base64.b64decode(m["payload"]).decode() for b in self.bodies() for m in json.loads(b)]

    def close(self):
        self.server.stop(0).wait()


def wait_for(what, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def same(what, got, want):
    if got != want:
        raise AssertionError("%s is %r, not %r" % (what, got, want))


def true(what, got):
    if not got:
        raise AssertionError(what)


class Run:
    """A server with a receiver, ended with `with`."""

    def __init__(self, hooks=None, more=None, **webhook):
        self.hooks = hooks or Hooks()
        self.server = srv.Server(dict(more or {}, webhook={
            "msgNotifyEventPushInterval": "20ms", "msgNotifyEventRetryMaxCount": 0, **self.hooks.options, **webhook}))

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        code = self.server.stop()
        self.hooks.close()
        self.server.close()
        same("exit status", code, 0)

    def send(self, to, text, sender="sender", kind=1, **more):
        status, got = self.server.post("/message/send", {
            "from_uid": sender, "channel_id": to, "channel_type": kind,
            "payload": base64.b64encode(text.encode()).decode(), **more})
        same("status", status, 200)
        return got["data"]["message_id"]


def recorded_bodies_of_the_scenarios():
    servers = []

    def serve(options, token):
        servers.append(srv.Server(options, token=token))
        return servers[-1].start()
    try:
        good, bad = hook_bodies.missing(*hook_bodies.play(serve, Hooks))
    finally:
        for s in servers:
            s.close()
    same("bodies that differ", bad, [])
    true("%d vectors" % good, good >= 18)


def recorded_bodies_over_grpc():
    with Run(more={"disableEncryption": False, "channel": {"subscriberCompressOfCount": 2}}) as r:
        same("bodies that differ", hook_bodies.grpc_group(r.server, r.hooks), [])


def only_focused_events():
    with Run(focusEvents=["user.onlinestatus"]) as r:
        r.send("b", "x")
        wkproto.Client(r.server.tcp, "focus", version=4).wait("CONNACK")
        true("no entry", wait_for(lambda: r.hooks.bodies("user.onlinestatus")))
        time.sleep(0.5)
        same("events", {e for e, _ in r.hooks.raw}, {"user.onlinestatus"})


def batches():
    with Run(msgNotifyEventCountPerPush=7, focusEvents=["msg.notify"]) as r:
        r.hooks.answer = lambda q, c: 0         # so that they collect
        for i in range(100):
            r.send("to%d" % (i % 10), str(i))
        r.hooks.answer = None
        true("not all came", wait_for(lambda: len(set(r.hooks.payloads())) == 100))
        sizes = [len(json.loads(b)) for b in r.hooks.bodies()]
        same("largest batch", max(sizes), 7)


def packed_receivers():
    uids = ["member-%05d" % i for i in range(20000)]
    with Run(more={"channel": {"subscriberCompressOfCount": 10}}, focusEvents=["msg.offline"]) as r:
        r.server.post("/channel", {"channel_id": "large", "channel_type": 2, "subscribers": uids})
        r.send("large", "x", "____system", 2)
        true("nothing came", wait_for(lambda: r.hooks.bodies("msg.offline")))
        got = []
        for one in map(json.loads, r.hooks.bodies("msg.offline")):
            got += json.loads(gzip.decompress(base64.b64decode(one["compress_to_uids"]))) if "compress" in one \
                else one["to_uids"]
        same("receivers", sorted(got), uids)


def signature():
    with Run(secret="the secret", focusEvents=["msg.notify"]) as r:
        failed = []
        r.hooks.answer = lambda q, c: 1 if failed else failed.append(1) or 0
        r.send("b", "x")
        true("not answered", wait_for(lambda: r.hooks.bodies()))
        (_, data, first, left), (_, again, second, _) = r.hooks.calls[:2]
        mac = hmac.new(b"the secret", data, hashlib.sha256).hexdigest()
        same("signature", first["x-wk-signature"], "sha256=" + mac)
        same("second try", (again, second["x-wk-delivery"]), (data, first["x-wk-delivery"]))
        true("deadline %s" % left, 5 < left <= 10)
        true("agent " + first["user-agent"], first["user-agent"].startswith("libwkim/"))


def every_failure_comes_again():
    def abort(code):
        return lambda q, c: c.abort(code, "not now")
    answers = [abort(c) for c in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED,
                                  grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAUTHENTICATED)]
    answers += [lambda q, c: 0, lambda q, c: 5, lambda q, c: 1 / 0, lambda q, c: time.sleep(4.5) or 1]
    with Run(focusEvents=["msg.notify"], msgNotifyEventCountPerPush=1, requestTimeout="3s") as r:
        seen = set()

        def answer(q, c):
            text = base64.b64decode(json.loads(q.data)[0]["payload"]).decode()
            if text in seen:
                return 1
            seen.add(text)
            return answers[int(text)](q, c)
        r.hooks.answer = answer
        for i in range(len(answers)):
            r.send("to%d" % i, str(i))
        want = {str(i) for i in range(len(answers))}
        true("lost one", wait_for(lambda: want <= set(r.hooks.payloads())))
        true("tries: %d" % len(r.hooks.calls), wait_for(lambda: len(r.hooks.calls) == 2 * len(answers)))


def order_of_users_and_channels():
    with Run(msgNotifyEventCountPerPush=5) as r:
        lock, count = threading.Lock(), [0]

        def answer(q, c):
            with lock:
                count[0] += 1
                return 0 if count[0] % 3 == 0 else 1
        r.hooks.answer = answer
        for i in range(60):
            r.send("to%d" % (i % 6), str(i))
        for i in range(4):
            c = wkproto.Client(r.server.tcp, "order", version=4, flag=i % 2)
            c.wait("CONNACK")
            c.close()
            true("not closed", wait_for(lambda: not r.server.call("GET", "/connz")[1]["connections"]))
        true("not all came", wait_for(lambda: len(set(r.hooks.payloads())) == 60))
        first = list(dict.fromkeys(r.hooks.payloads()))
        for k in range(6):
            mine = [int(t) for t in first if int(t) % 6 == k]
            same("order of channel %d" % k, mine, sorted(mine))

        def entries():
            got = [e.rsplit("-", 5) for b in r.hooks.bodies("user.onlinestatus") for e in json.loads(b)]
            return [e[2] for e in got if e[0] == "order"]
        true("entries", wait_for(lambda: len(entries()) >= 8))
        same("entries", entries(), ["1", "0"] * 4)


def a_receiver_that_restarts_and_one_that_ages():
    first = Hooks(**{"grpc.max_connection_age_ms": 300, "grpc.max_connection_age_grace_ms": 200})
    with Run(first, focusEvents=["msg.notify"]) as r:
        ids = [r.send("to%d" % (i % 5), str(i)) or time.sleep(0.02) for i in range(100)]
        true("aging", wait_for(lambda: len(set(r.hooks.payloads())) == 100))
        r.hooks.close()
        for i in range(100, 120):
            r.send("to%d" % (i % 5), str(i))
        time.sleep(1)
        second = Hooks(first.port)
        r.hooks = second
        true("after the restart", wait_for(lambda: {str(i) for i in range(100, 120)} <= set(second.payloads()),))
        same("sent", len(ids), 100)


def a_large_body():
    with Run(focusEvents=["msg.notify"]) as r:
        text = "x" * 300000
        for i in range(12):
            r.send("to%d" % i, text)
        true("not all came", wait_for(lambda: len(r.hooks.payloads()) >= 12))
        same("texts", set(r.hooks.payloads()), {text})


def throughput_of_one_batch_each():
    with Run(focusEvents=["msg.notify"], msgNotifyEventCountPerPush=1) as r:
        began = time.monotonic()
        for i in range(500):
            r.send("to%d" % i, str(i))
        true("not all came", wait_for(lambda: len(r.hooks.payloads()) >= 500))
        print("# 500 calls in %.1f s" % (time.monotonic() - began))


def main():
    for test in (recorded_bodies_of_the_scenarios, recorded_bodies_over_grpc, only_focused_events, batches,
                 packed_receivers, signature, every_failure_comes_again, order_of_users_and_channels,
                 a_receiver_that_restarts_and_one_that_ages, a_large_body, throughput_of_one_batch_each):
        name = test.__name__.replace("_", " ")
        try:
            test()
            print("ok " + name, flush=True)
        except Exception as error:  # noqa: BLE001, every failure is told
            FAILED.append(name)
            where = traceback.extract_tb(error.__traceback__)[-1].lineno
            print("not ok %s: line %d %s %s" % (name, where, type(error).__name__, str(error)[:1500].replace("\n", " ")),
                  flush=True)
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
