#!/usr/bin/env python3
"""Mixed traffic for a long time, and what must hold at its end.

usage: python3 test/soak/soak.py [--minutes 20] [--seed N] [--keep]        (`make soak MINUTES=20`)

Traffic, all at once, on one server: wkload's pairs and groups (every SEND answered, numbers without gap,
every RECV that is due) and its logins; and from here clients that come and go while they talk to each
other and to groups, sends, conversation and history reads, commands and events by HTTP.

Checks: no answer but those expected; every acknowledged message is in the history, in place and with its
content, before and after a restart; what the server counted is what was acknowledged; no counter of trouble
moved; no line of the log above "info"; the memory that is not a cache of known size does not grow
after the warm-up; descriptors and connections come back to where they were.

WKIM_SERVER, WKIM_BUILD and WKIM_TEST_PORTS as for test/api.
"""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test" / "api"), str(ROOT / "test" / "soak")]
import server as srv                                                            # noqa: E402
import test_metrics                                                             # noqa: E402
import traffic                                                                  # noqa: E402

BUILD = pathlib.Path(os.environ.get("WKIM_BUILD", ROOT / "build"))
OPTIONS = {"disableEncryption": False, "limits": {"maxConnections": 4000},
           "storage": {"memtableSize": "16MiB", "cacheSize": "32MiB", "segmentSize": "16MiB",
                       "logSize": "64MiB"}}
SAMPLE_S = 5
# Of what grows for a reason: filters and table indexes, told by lib/store/README as 4 bytes per message.
BYTES_PER_MESSAGE = 16
SLACK_BYTES, SLACK_SHARE = 12 << 20, 0.08
EXPECTED_LINES = ("config_warning", "external_ip_unknown", "not_ready")     # of a start, not_ready: a slow one
TROUBLE = ("wkim_append_errors_total", "wkim_queue_rejected_total", "wkim_retry_exhausted_total",
           "wkim_slow_clients", "wkim_http_refused_total", "wkim_webhook_dropped_total")


def load(server, name, seconds, *more):
    report = server.root / (name + ".json")
    log = open(server.root / (name + ".txt"), "w")
    command = [str(BUILD / "wkload"), name.split("-")[0], "--tcp", "127.0.0.1:%d" % server.ports["tcp"], "--http",
               server.base, "--quiet", "--duration", str(seconds), "--warmup", "1", "--drain", "60", "--json",
               str(report), *map(str, more)]
    return name, report, subprocess.Popen(command, stdout=log, stderr=log)


class Monitor:
    """What /metrics says every few seconds."""

    def __init__(self, server):
        self.server, self.samples, self.first = server, [], test_metrics.scrape(server)

    def look(self):
        m = test_metrics.scrape(self.server)
        caches = m.sum("wkim_memory_bytes")
        self.samples.append({"at": time.monotonic(), "rss": m.get("process_resident_memory_bytes"),
                             "heap": m.get("go_memstats_alloc_bytes"), "caches": caches,
                             "stored": m.get("wkim_messages_stored_total"),
                             "fds": m.get("process_open_fds"), "conns": m.get("app_conn_count_total"),
                             "channels": m.get("wkim_channels_active", role="leader")})
        return m

    def growth(self):
        """(bytes that grew, bytes that may) between the first and the last part behind the warm-up."""
        n = len(self.samples)
        early, late = self.samples[n // 4:n * 2 // 5], self.samples[n * 17 // 20:]

        def own(part):
            return statistics.median(s["heap"] - s["caches"] for s in part)
        messages = late[-1]["stored"] - early[0]["stored"]
        return own(late) - own(early), SLACK_BYTES + SLACK_SHARE * own(early) + messages * BYTES_PER_MESSAGE


def line(text):
    print("%s  %s" % (time.strftime("%H:%M:%S"), text), flush=True)


def run_traffic(server, monitor, minutes, seed, problems):
    seconds = minutes * 60
    loads = [load(server, "pairs", seconds, "--pairs", 50, "--both", "--rate", 400),
             load(server, "groups", seconds, "--groups", 20, "--members", 20, "--senders", 2, "--rate", 60),
             load(server, "connect", seconds, "--rate", 20, "--users", 500)]
    talk = traffic.Traffic(server, seed, problems)
    talk.start()
    end, told = time.monotonic() + seconds, 0
    while time.monotonic() < end or any(p.poll() is None for _, _, p in loads):
        time.sleep(SAMPLE_S if time.monotonic() < end else 1)
        if time.monotonic() > end + 150:
            problems.append("a load client does not end")
            break
        try:
            monitor.look()
        except (OSError, test_metrics.Bad) as e:
            problems.append("/metrics: %s" % e)
            continue
        s = monitor.samples[-1]
        if time.monotonic() - told > 60:
            told = time.monotonic()
            line("rss %.0f MiB, heap %.0f, caches %.0f, %d stored, %d connections, %d descriptors, %s" % (
                s["rss"] / 2**20, s["heap"] / 2**20, s["caches"] / 2**20, s["stored"], s["conns"], s["fds"],
                talk.summary()))
    talk.stop()
    acked = 0
    for name, report, process in loads:
        if process.poll() is None:
            process.kill()
        if process.wait() != 0:
            problems.append("wkload %s:\n%s" % (name, (server.root / (name + ".txt")).read_text()[-3000:]))
        elif name != "connect":
            acked += json.loads(report.read_text())["acked"]
    return talk, acked


def check_counters(server, monitor, talk, acked, problems):
    m = test_metrics.scrape(server)
    for name in TROUBLE:
        if m.sum(name) != 0:
            problems.append("%s is %d" % (name, m.sum(name)))
    refused = {k: v for k, v in m.samples.items() if k[0] == "wkim_send_ack_total" and
               dict(k[1])["reason"] != "ReasonSuccess" and v}
    if refused:
        problems.append("refused SENDs: %r" % refused)
    for (name, labels), value in m.samples.items():
        if name == "wkim_connections_closed_total" and dict(labels)["reason"] not in (
                "client", "stop", "kick") and value:
            problems.append("closed connections: %r %d" % (labels, value))
    stored, known = m.get("wkim_messages_stored_total"), acked + talk.stored()
    if not known <= stored <= known + talk.uncertain:
        problems.append("%d messages stored, %d acknowledged (and %d not answered)" % (
            stored, known, talk.uncertain))
    grown, may = monitor.growth()
    line("memory beyond caches grew by %.1f MiB of %.1f that may; %d stored = %d acknowledged" % (
        grown / 2**20, may / 2**20, stored, known))
    if grown > may:
        problems.append("memory grows: %.1f MiB, %.1f may" % (grown / 2**20, may / 2**20))


def check_rest(server, monitor, problems):
    """Nobody is connected any more: so nothing of it is left."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        m = test_metrics.scrape(server)
        if m.get("app_conn_count_total") == 0 and m.get("wkim_recvack_pending") == 0:
            break
        time.sleep(0.2)
    for name in ("app_conn_count_total", "wkim_online_users", "wkim_recvack_pending",
                 "wkim_outbound_queue_bytes"):
        if m.get(name) != 0:
            problems.append("%s is %d with nobody connected" % (name, m.get(name)))
    more = m.get("process_open_fds") - monitor.first.get("process_open_fds")
    files = 400                          # tables and segments that the store and the log keep open
    if more > files:
        problems.append("%d more descriptors open than at the start" % more)
    for queue in ("api_calls", "readers", "outbox", "slot_calls"):
        if m.get("wkim_queue_depth", queue=queue) != 0:
            problems.append("queue %s: %d left" % (queue, m.get("wkim_queue_depth", queue=queue)))


def check_log(server, problems):
    for path in sorted((server.root / "logs").glob("*")):
        for text in path.read_text(errors="replace").splitlines():
            if path.name.startswith(("warn", "error")) and not any(x in text for x in EXPECTED_LINES):
                problems.append("log: " + text[:300])


def soak(server, minutes, seed):
    problems = []
    monitor = Monitor(server)
    talk, acked = run_traffic(server, monitor, minutes, seed, problems)
    check_counters(server, monitor, talk, acked, problems)
    line("history of %d acknowledged messages" % len(talk.book.messages))
    talk.check_history()
    check_rest(server, monitor, problems)
    if server.stop() != 0:
        problems.append("the server did not end in order")
    server.start()
    line("history after a restart")
    talk.check_history()
    server.stop()
    check_log(server, problems)
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--keep", action="store_true", help="leave the server's folder")
    args = parser.parse_args()
    server = srv.Server(OPTIONS)
    line("soak of %g minutes, seed %d, %s" % (args.minutes, args.seed, server.root))
    try:
        server.start()
        problems = soak(server, args.minutes, args.seed)
    finally:
        if args.keep:
            server.own_root = False
        server.close()
    for text in problems[:40]:
        print("PROBLEM  " + text)
    line("%s: %d problems" % ("FAILED" if problems else "ok", len(problems)))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
