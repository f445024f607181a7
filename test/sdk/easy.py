"""The easy SDK for Python (wukong-easy-sdk 0.1.0) against a server: SDK_WS, SDK_API.

Prints "ok NAME" or "not ok NAME: why".
"""
import asyncio
import json
import os
import sys
import urllib.request

from wukong_easy_sdk import WKIM, AuthOptions, WKIMChannelType, WKIMError, WKIMEvent, WKIMOptions

LIMIT = 60
FAILED = []


def post(route, body):
    request = urllib.request.Request(os.environ["SDK_API"] + route, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return json.load(answer)


class User:
    """A connected client and what it was told."""

    def __init__(self, uid, token=None, **options):
        self.uid = uid
        self.messages, self.errors, self.lost = [], [], []
        if token is None:
            token = "t-" + uid
            post("/user/token", {"uid": uid, "token": token, "device_flag": 2, "device_level": 0})
        self.sdk = WKIM(os.environ["SDK_WS"], AuthOptions(uid, token), WKIMOptions(**options))
        self.sdk.on(WKIMEvent.MESSAGE, self.messages.append)
        self.sdk.on(WKIMEvent.ERROR, self.errors.append)
        self.sdk.on(WKIMEvent.DISCONNECT, self.lost.append)

    async def wait(self, count):
        async with asyncio.timeout(LIMIT):
            while len(self.messages) < count:
                await asyncio.sleep(0.01)


def same(what, got, want):
    if got != want:
        raise AssertionError("%s is %r, not %r" % (what, got, want))


async def connects(a, b):
    for user in (a, b):
        result = await user.sdk.connect()
        same("reasonCode", result["reasonCode"], 1)


async def person(a, b):
    ack = await a.sdk.send(b.uid, WKIMChannelType.PERSON, {"type": 1, "content": "hello 你好"})
    await b.wait(1)
    got = b.messages[0]
    same("payload", got["payload"], {"type": 1, "content": "hello 你好"})
    same("ids", (got["messageId"], got["messageSeq"]), (ack["messageId"], ack["messageSeq"]))
    same("from", (got["fromUid"], got["channelId"]), (a.uid, a.uid))
    await b.sdk.send(a.uid, WKIMChannelType.PERSON, {"type": 1, "content": "back"})
    await a.wait(1)


async def group(a, b):
    post("/channel", {"channel_id": a.uid + "-group", "channel_type": 2, "subscribers": [a.uid, b.uid]})
    before = len(b.messages)
    for i in range(50):
        await a.sdk.send(a.uid + "-group", WKIMChannelType.GROUP, {"type": 1, "content": str(i)})
    await b.wait(before + 50)
    same("order", [m["payload"]["content"] for m in b.messages[before:]], [str(i) for i in range(50)])
    same("seqs", [m["messageSeq"] for m in b.messages[before:]], list(range(1, 51)))


async def heartbeats(a, b):
    for _ in range(3):
        await a.sdk.ping()
    quick = User(a.uid + "-quick", ping_interval=0.05, pong_timeout=20)
    await quick.sdk.connect()
    await asyncio.sleep(0.6)
    same("connected after ten heartbeats", (quick.sdk.is_connected, quick.errors, quick.lost), (True, [], []))
    await quick.sdk.destroy()
    same("errors", (a.errors, b.errors, a.lost, b.lost), ([], [], [], []))


async def refused(a, b):
    try:
        await a.sdk.send(a.uid + "-nowhere", WKIMChannelType.GROUP, {"type": 1})
        raise AssertionError("a stranger may write")
    except WKIMError as error:
        same("reason", int(error.code), 3)
    same("connected", a.sdk.is_connected, True)


async def wrong_token(a, b):
    user = User(a.uid + "-wrong", "nonsense")
    try:
        await user.sdk.connect()
        raise AssertionError("a wrong token is accepted")
    except WKIMError as error:
        same("reason", int(error.code), 2)
    finally:
        await user.sdk.destroy()


async def main():
    a, b = User("py-ann"), User("py-ben")
    tests = [connects, person, group, heartbeats, refused]
    if os.environ.get("SDK_TOKENS") == "true":
        tests.append(wrong_token)
    for test in tests:
        name = test.__name__.replace("_", " ")
        try:
            await test(a, b)
            print("ok " + name)
        except Exception as error:  # noqa: BLE001, every failure is told
            FAILED.append(name)
            print("not ok %s: %s %s" % (name, type(error).__name__, error))
    await a.sdk.destroy()
    await b.sdk.destroy()


asyncio.run(main())
sys.exit(1 if FAILED else 0)
