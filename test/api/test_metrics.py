#!/usr/bin/env python3
"""/metrics: the text is what a scraper accepts, the families are those of test/vectors/metrics-names.txt,
and the values are the truth about what clients did.

usage: python3 test/api/test_metrics.py        (build/wkim-server; WKIM_SERVER: another one)
"""
import base64
import contextlib
import http.client
import json
import math
import re
import time
import unittest

import server as srv
import wkproto

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}


class Bad(Exception):
    pass


def labels_of(text):
    out, at = {}, 0
    while at < len(text):
        m = LABEL.match(text, at)
        if not m or m.group(1) in out:
            raise Bad("labels {%s}" % text)
        out[m.group(1)] = m.group(2)
        at = m.end()
    return out


def number(text):
    value = {"+Inf": math.inf, "-Inf": -math.inf, "NaN": math.nan}.get(text)
    return float(text) if value is None else value


class Metrics:
    """Text format 0.0.4, strictly: HELP and TYPE of a family, then its samples, each series once."""

    def __init__(self, text):
        self.types, self.samples, self.family = {}, {}, None
        self.order = []
        if not text.endswith("\n"):
            raise Bad("the last line has no end")
        for line in text[:-1].split("\n"):
            try:
                self.take(line)
            except (Bad, ValueError) as e:
                raise Bad("%s: %r" % (e, line)) from None
        for name, kind in self.types.items():
            if kind == "histogram":
                self.check_histogram(name)

    def take(self, line):
        if line.startswith("# HELP "):
            name, text = line[7:].split(" ", 1)
            if not text or name in self.types or not NAME.fullmatch(name):
                raise Bad("HELP without text, or twice")
            self.family = name
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            if name != self.family or name in self.types:
                raise Bad("TYPE does not follow its HELP")
            if kind not in ("counter", "gauge", "histogram", "summary"):
                raise Bad("unknown type")
            self.types[name] = kind
        else:
            self.sample(line)

    def sample(self, line):
        m = re.fullmatch(r"([^{ ]+)(?:\{(.*)\})? (\S+)", line)
        if not m:
            raise Bad("no sample")
        name, labels, value = m.group(1), labels_of(m.group(2) or ""), number(m.group(3))
        kind = self.types.get(self.family)
        if name not in [self.family + s for s in SUFFIXES.get(kind, ("",))]:
            raise Bad("a sample outside of its family %s" % self.family)
        if kind == "counter" and not value >= 0:
            raise Bad("a counter below 0")
        if {"uid", "channel", "channel_id"} & set(labels):
            raise Bad("a label with as many values as there are users or channels")
        key = (name, tuple(sorted(labels.items())))
        if key in self.samples:
            raise Bad("a series twice")
        self.samples[key] = value

    def check_histogram(self, name):
        series = {}
        for (n, labels), value in self.samples.items():
            if n == name + "_bucket":
                rest = tuple(x for x in labels if x[0] != "le")
                series.setdefault(rest, []).append((number(dict(labels)["le"]), value))
        for rest, buckets in series.items():
            values = [v for _, v in sorted(buckets)]
            if values != sorted(values) or max(buckets)[0] != math.inf:
                raise Bad("%s%s: buckets are not cumulated" % (name, rest))
            if self.samples[(name + "_count", rest)] != values[-1]:
                raise Bad("%s%s: the count is not that of +Inf" % (name, rest))
            if (name + "_sum", rest) not in self.samples:
                raise Bad("%s%s: no sum" % (name, rest))

    def get(self, name, **labels):
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def sum(self, name, **labels):
        want = set(labels.items())
        return sum(v for (n, have), v in self.samples.items() if n == name and want <= set(have))


def scrape(server, port="manager"):
    c = http.client.HTTPConnection("127.0.0.1", server.ports[port], timeout=20)
    try:
        c.request("GET", "/metrics")
        r = c.getresponse()
        text = r.read().decode()
        if r.status != 200 or "version=0.0.4" not in r.getheader("Content-Type"):
            raise Bad("status %d %s" % (r.status, r.getheader("Content-Type")))
        return Metrics(text)
    finally:
        c.close()


def names():
    lines = (srv.VECTORS / "metrics-names.txt").read_text().splitlines()
    return dict(line.split() for line in lines if line and line[0] != "#")


def settled(server, holds):
    """Metrics as soon as `holds(metrics)`: ends and acknowledgements are counted after clients know."""
    def check():
        m = scrape(server)
        if not holds(m):
            raise AssertionError("the counters do not get there")
        return m
    return srv.eventually(check)


def all_closed(server):
    """Metrics as soon as every TCP connection that was opened is closed, at least one of them after login."""
    return settled(server, lambda m: m.get("app_conn_count_total") == 0 and m.get("wkim_auth_total", result="ok")
                   and m.get("wkim_connections_opened_total", listener="tcp") ==
                   m.sum("wkim_connections_closed_total", listener="tcp"))


class Text(srv.Running, unittest.TestCase):
    def test_every_family_of_the_list_with_its_type(self):
        m = scrape(self.serve())
        wrong = {n: (kind, m.types.get(n)) for n, kind in names().items() if m.types.get(n) != kind}
        self.assertEqual(wrong, {})

    def test_other_families_are_ours_and_named_as_the_rules_say(self):
        m = scrape(self.serve())
        for name in set(m.types) - set(names()):
            self.assertTrue(name.startswith("wkim_"), name)
        for name, kind in m.types.items():
            if name.startswith("wkim_") and kind == "counter" and name != "wkim_slow_clients":
                self.assertTrue(name.endswith("_total"), name)

    def test_the_parser_refuses_what_a_scraper_would(self):
        for bad in ("a 1", "# HELP a h\n# TYPE a counter\na 1\na 2\n", "# HELP a h\n# TYPE a gauge\nb 1\n",
                    '# HELP a h\n# TYPE a gauge\na{b="1" 1\n', "# HELP a h\n# TYPE a counter\na -1\n",
                    '# HELP a h\n# TYPE a gauge\na{uid="x"} 1\n',
                    '# HELP a h\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 0\na_count 1\n'):
            with self.assertRaises((Bad, ValueError), msg=bad):
                Metrics(bad)


class Truth(srv.Running, unittest.TestCase):
    def setUp(self):
        self.server = self.serve()
        self.api = 0

    def post(self, path, body):
        status, answer = self.server.post(path, body)
        self.assertEqual(status, 200, answer)
        return answer

    def login(self, uid, **more):
        client = wkproto.login(self.server.tcp, uid, **more)
        self.addCleanup(client.close)
        return client

    def same(self, m, **values):
        for name, value in values.items():
            self.assertEqual(m.get(name), value, name)

    def test_connections_users_and_reasons(self):
        # server.py looked whether the port answers, perhaps more than once; sockets are accepted in order
        # but their ends are seen in any
        wkproto.login(self.server.tcp, "first").close()
        before = all_closed(self.server)

        def new(m, name, **labels):
            return (m.get(name, **labels) or 0) - (before.get(name, **labels) or 0)
        clients = [self.login("u%d" % i) for i in range(4)] + [self.login("u0", flag=1)]
        m = scrape(self.server)
        self.same(m, app_conn_count_total=5, app_online_user_count_total=4, wkim_online_users=4,
                  wkim_online_devices=5, app_conn_packet_count_total=6, app_connack_packet_count_total=6,
                  app_online_device_count_total=5)
        tcp = {"listener": "tcp", "proto": "wkproto"}
        self.assertEqual(m.get("wkim_connections", device="app", **tcp), 4)
        self.assertEqual(m.get("wkim_connections", device="web", **tcp), 1)
        self.assertEqual(new(m, "wkim_connections_opened_total", listener="tcp"), 5)
        self.assertEqual(m.get("wkim_auth_total", result="ok"), 6)
        self.assertEqual(m.get("wkim_auth_duration_seconds_count"), 6)
        self.assertEqual(m.sum("wkim_connections_closed_total"), before.sum("wkim_connections_closed_total"))
        clients[1].close()
        clients[2].raw(b"\xf0\x00")     # a frame type that clients may not send
        clients[2].wait("CLOSED")
        self.post("/user/token", {"uid": "u3", "token": "t", "device_flag": 0, "device_level": 0})
        self.post("/user/device_quit", {"uid": "u3", "device_flag": 0})
        clients[3].wait("CLOSED", 20)
        m = settled(self.server, lambda m: m.get("app_conn_count_total") == 2 and
                    new(m, "wkim_connections_closed_total", listener="tcp", reason="kick") == 1)
        self.same(m, app_conn_count_total=2, wkim_online_users=1, wkim_online_devices=2)
        for reason, n in (("client", 1), ("protocol", 1), ("kick", 1)):
            self.assertEqual(new(m, "wkim_connections_closed_total", listener="tcp", reason=reason), n, reason)
        self.assertEqual(m.get("wkim_connections", device="app", **tcp), 1)

    def test_refused_logins(self):
        server = self.serve({"tokenAuthOn": True})
        client = wkproto.Client(server.tcp, "eve", token="wrong")
        self.assertEqual(client.wait("CONNACK")["reasonCode"], 2)
        client.wait("CLOSED")
        client.close()
        m = settled(server, lambda m: m.get("app_conn_count_total") == 0 and
                    m.get("wkim_connections_closed_total", listener="tcp", reason="refused") == 1)
        self.assertEqual(m.get("wkim_auth_total", result="bad_token"), 1)
        self.assertEqual(m.get("wkim_auth_total", result="ok"), 0)
        self.assertEqual(m.get("wkim_connections_closed_total", listener="tcp", reason="refused"), 1)
        self.same(m, wkim_online_users=0)

    def test_messages_from_clients_and_the_api(self):
        people, group = [self.login("p%d" % i) for i in range(3)], "g1"
        self.post("/channel", {"channel_id": group, "channel_type": 2, "subscribers": ["p0", "p1", "p2"]})
        for i in range(7):
            self.assertEqual(people[0].say("p1", 1, "hello %d" % i)["reasonCode"], 1)
        for i in range(5):
            self.assertEqual(people[1].say(group, 2, b"x" * 10)["reasonCode"], 1)
        self.assertEqual(people[2].say("nogroup", 2, "no")["reasonCode"], 3)
        for i in range(4):
            self.post("/message/send", {"from_uid": "sys", "channel_id": group, "channel_type": 2,
                                        "payload": base64.b64encode(b"from api").decode()})
        for client, n in ((people[0], 9), (people[1], 11), (people[2], 9)):
            for _ in range(n):
                self.assertIsNotNone(client.wait("RECV", 20))
        self.assertTrue(people[0].ping())
        m = settled(self.server, lambda m: m.get("app_recvack_packet_count_total") == 29 and
                    m.get("wkim_recvack_pending") == 0)
        self.same(m, app_send_packet_count_total=13, app_sendack_packet_count_total=13,
                  app_recv_packet_count_total=29, app_recvack_packet_count_total=29, app_ping_count_total=1,
                  app_pong_count_total=1, app_ping_bytes_total=1, wkim_messages_stored_total=16,
                  db_append_messages_count_total=16, wkim_recvack_pending=0, wkim_retry_total=0,
                  db_add_subscribers_count_total=3, wkim_fanout_recipients_count=16,
                  wkim_fanout_recipients_sum=7 * 2 + 9 * 3)
        self.assertEqual(m.get("wkim_messages_in_total", channel_type="1", source="client"), 7)
        self.assertEqual(m.get("wkim_messages_in_total", channel_type="2", source="client"), 6)
        self.assertEqual(m.get("wkim_messages_in_total", channel_type="2", source="api"), 4)
        self.assertEqual(m.get("wkim_messages_in_bytes_total", source="client"), 7 * 7 + 5 * 10 + 2)
        self.assertEqual(m.get("wkim_messages_in_bytes_total", source="api"), 4 * 8)
        self.assertEqual(m.get("wkim_messages_out_total", kind="first"), 29)
        self.assertEqual(m.get("wkim_messages_out_bytes_total"), 7 * 7 + 5 * 2 * 10 + 4 * 3 * 8)
        self.assertEqual(m.get("wkim_send_ack_total", reason="ReasonSuccess"), 12)
        self.assertEqual(m.get("wkim_send_ack_total", reason="ReasonSubscriberNotExist"), 1)
        self.assertEqual(m.get("wkim_send_ack_duration_seconds_count", channel_type="person"), 7)
        self.assertEqual(m.get("wkim_send_ack_duration_seconds_count", channel_type="group"), 6)
        self.assertGreater(m.get("wkim_send_ack_duration_seconds_sum", channel_type="person"), 0)
        self.assertLess(m.get("wkim_send_ack_duration_seconds_sum", channel_type="person"), 7 * 5)
        self.assertGreaterEqual(m.get("wkim_deliver_duration_seconds_count"), 16)
        self.assertEqual(m.get("wkim_http_requests_total", method="POST", route="/message/send", code="2xx"), 4)
        self.assertEqual(m.get("wkim_http_request_duration_seconds_count", method="POST",
                               route="/message/send"), 4)

    def test_storage_slots_and_process(self):
        client = self.login("a")
        for i in range(20):
            client.say("b", 1, "m%d" % i)
        # Between two scrapes of a node at rest nothing is half counted.
        m = settled(self.server, lambda m: m.get("wkim_fsync_duration_seconds_count") ==
                    m.get("wkim_commit_batch_records_count") and m.get("wkim_slot_apply_gap") == 0)
        slots = m.get("wkim_slots")
        self.same(m, wkim_ready=1, wkim_slot_leaders=slots, wkim_slots_without_leader=0, wkim_cluster_leader=1,
                  wkim_slot_apply_gap=0)
        self.assertEqual(m.get("wkim_elections_total", group="slot", result="won"), slots)
        self.assertEqual(m.get("wkim_build_info", **dict(next(k[1] for k in m.samples
                                                              if k[0] == "wkim_build_info"))), 1)
        syncs, rounds = m.get("wkim_fsync_duration_seconds_count"), m.get("wkim_commit_batch_records_count")
        self.assertGreaterEqual(syncs, 20)
        self.assertEqual(syncs, rounds)
        entries = m.get("cluster_channel_propose_count_total")
        self.assertGreaterEqual(entries, 20)
        self.assertEqual(m.get("wkim_append_duration_seconds_count", stage="commit"), entries)
        self.assertGreater(m.get("wkim_disk_free_bytes"), 0)
        self.assertGreater(m.get("wkim_storage_bytes", area="log"), 0)
        descriptors = srv.pathlib.Path("/proc/%d/fd" % self.server.process.pid)
        srv.eventually(lambda: self.assertAlmostEqual(
            scrape(self.server).get("process_open_fds"), len(list(descriptors.iterdir())), delta=2))
        self.assertAlmostEqual(m.get("process_start_time_seconds"), time.time(), delta=60)
        self.assertGreater(m.get("process_resident_memory_bytes"), 1 << 20)
        self.assertGreater(m.get("go_goroutines"), 3)

    def test_a_route_of_both_ports_is_one_row(self):
        self.server.call("GET", "/health")
        before = scrape(self.server).get("wkim_http_requests_total", method="GET", route="/health", code="2xx")
        for port in ("http", "manager"):
            c = http.client.HTTPConnection("127.0.0.1", self.server.ports[port], timeout=20)
            c.request("GET", "/health")
            self.assertEqual(c.getresponse().status, 200)
            c.close()
        after = scrape(self.server).get("wkim_http_requests_total", method="GET", route="/health", code="2xx")
        self.assertEqual(after - before, 2)

    def test_liveness_and_readiness_are_asked_on_both_ports_without_a_token(self):
        server = self.serve({"managerToken": "t0ken"})
        for port in ("http", "manager"):
            for path, want in (("/health", {"status": "ok"}), ("/healthz", {"status": "ok"}), ("/livez", {"status": "ok"}),
                               ("/readyz", {"ready": True, "slots": {"ready": 64, "total": 64}})):
                with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.ports[port], timeout=20)) as c:
                    c.request("GET", path)
                    r = c.getresponse()
                    self.assertEqual((r.status, json.loads(r.read())), (200, want), (port, path))

    def test_api_port_serves_it_only_when_told(self):
        self.assertEqual(self.server.call("GET", "/metrics")[0], 404)
        other = self.serve({"api": {"metrics": True}})
        self.assertEqual(scrape(other, "http").get("wkim_ready"), 1)


class Charts(srv.Running, unittest.TestCase):
    """/metrics/app, /metrics/cluster, /metrics/system: what the console draws, without a Prometheus."""

    def call(self, server, path, token=None):
        c = http.client.HTTPConnection("127.0.0.1", server.ports["manager"], timeout=20)
        try:
            c.request("GET", path, headers={"Authorization": "Bearer " + token} if token else {})
            r = c.getresponse()
            return r.status, json.loads(r.read())
        finally:
            c.close()

    def console(self, server):
        c = http.client.HTTPConnection("127.0.0.1", server.ports["manager"], timeout=20)
        c.request("POST", "/manager/login", json.dumps({"username": "admin", "password": "admin-password"}),
                  {"Content-Type": "application/json"})
        r = c.getresponse()
        answer = json.loads(r.read())
        c.close()
        self.assertEqual(r.status, 200, answer)
        return answer["token"]

    def test_points_rates_and_who_may_look(self):
        server = self.serve({"auth": {"users": ["admin:admin-password:*"]}})
        token = self.console(server)
        self.assertEqual(self.call(server, "/metrics/app")[0], 401)
        client = wkproto.login(server.tcp, "ann")
        for i in range(30):
            client.say("bob", 1, "m%d" % i)
        end = time.monotonic() + 20
        points = []
        told = 0
        while told < 29.5 and time.monotonic() < end:       # a slow machine takes some points for it
            time.sleep(0.5)
            status, points = self.call(server, "/metrics/app?latest=60", token)
            self.assertEqual(status, 200)
            first, last = points[0], points[-1]
            told = last["send_packet_count_rate"] * (last["timestamp"] - first["timestamp"])
        client.close()
        self.assertEqual((first["conn_count"], first["send_packet_count_rate"]), (0, 0))
        self.assertEqual((last["conn_count"], last["online_user_count"]), (1, 1))
        self.assertAlmostEqual(told, 30, delta=0.01)
        self.assertEqual(len(last), 20)
        at = len(points) - 1
        status, points = self.call(server, "/metrics/cluster?latest=60", token)
        self.assertEqual((status, len(points[at])), (200, 26))
        self.assertGreater(len(points), at)
        self.assertEqual(points[at]["channel_active_count"][0]["label"], "1001")
        self.assertGreater(points[at]["channel_propose_count_rate"][0]["value"], 0)
        self.assertEqual(points[at]["msg_sync_incoming_count_rate"], [])
        status, points = self.call(server, "/metrics/system?latest=60", token)
        self.assertEqual((status, len(points[1])), (200, 10))
        self.assertGreater(points[1]["filefd_allocated"], 0)
        if not srv.SANITIZED:  # a sanitizer's heap tells malloc's statistics nothing
            self.assertGreater(points[1]["memstats_alloc_bytes"][0]["value"], 0)
        self.assertEqual(self.call(server, "/metrics/app?node_id=7", token), (200, []))


if __name__ == "__main__":
    unittest.main(verbosity=1)
