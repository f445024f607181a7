#!/usr/bin/env python3
"""The recorded webhook bodies come out of our server in their constant parts, by HTTP and by gRPC.

usage: python3 test/api/test_webhook_vectors.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import threading
import unittest

import grpc_receiver as h2
import hook_bodies
import server as srv
import test_scenarios as scenarios


class GrpcHooks(scenarios.Hooks):
    """The receiver of the scenarios behind gRPC by hand."""

    def __init__(self):
        self.seen, self.raw, self.lock = [], [], threading.Lock()
        self.receiver = h2.Receiver()
        self.receiver.behave = self.behave
        self.options = {"grpcAddr": "127.0.0.1:%d" % self.receiver.port}

    options = None

    def behave(self, conn, stream, event, body):
        self.take(event, body)
        h2.answer(conn, stream)

    def close(self):
        self.receiver.close()


class Vectors(srv.Running, unittest.TestCase):
    def reproduce(self, make_hooks):
        good, bad = hook_bodies.missing(*hook_bodies.play(self.serve, make_hooks))
        self.assertEqual(bad, [])
        self.assertGreaterEqual(good, 18)

    def test_by_http(self):
        self.reproduce(scenarios.Hooks)

    def test_by_grpc(self):
        self.reproduce(GrpcHooks)

    def test_the_recorded_run_over_grpc(self):
        hooks = GrpcHooks()
        self.addCleanup(hooks.close)
        server = self.serve({"disableEncryption": False, "channel": {"subscriberCompressOfCount": 2},
                             "webhook": hooks.options})
        self.assertEqual(hook_bodies.grpc_group(server, hooks), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
