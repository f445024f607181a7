"""A group of 100,000 members, 2,000 of them online, beside small channels.

Measures what a message to it costs others: its SEND to SENDACK beside that of a small group, the delay of
pairs while it is delivered, and the memory of the server.  The sender has a client thread of its own
(wkload --apart): else its SENDACKs would wait until the client has read the RECVs of the others.

usage: python3 test/perf/large_group.py [--members N] [--online N] [--rate N]      (`make large-group`)
WKIM_BUILD and WKIM_TEST_PORTS as for perf.py.  Exit code: 0 measured, 1 something failed.
"""
import argparse
import http.client
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import perf


def metric(wkim, name):
    c = http.client.HTTPConnection("127.0.0.1", wkim.manager, timeout=10)
    try:
        c.request("GET", "/metrics")
        text = c.getresponse().read().decode()
    finally:
        c.close()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def beside(wkim, args, seconds):
    """The large group under way, and pairs in the middle of it."""
    found = {}

    def run():
        try:
            found["group"] = wkim.load("fanout", seconds + 4, "--members", args.online, "--offline",
                                       args.members - args.online, "--rate", args.rate, "--threads", 2,
                                       "--apart", "--verify", 256)
        except (perf.Failed, subprocess.SubprocessError) as e:
            found["failed"] = e

    began = time.monotonic()
    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive() and metric(wkim, "app_conn_count_total") < args.online:
        time.sleep(0.05)
    ready = time.monotonic() - began
    time.sleep(1)
    pairs = wkim.load("pairs", seconds, "--pairs", 20, "--rate", 200)
    thread.join()
    if "failed" in found:
        raise found["failed"]
    return found["group"], pairs, ready


def p(got, what, at="p99"):
    return got[what][at] / 1e3


def measure(report, folder, args):
    report.calm = calm = perf.Calm(5)
    wkim = perf.Wkim(folder, "group")
    wkim.load("pairs", 1, "--pairs", 20, "--rate", 200)         # what the first messages cost once
    sender = ("--rate", args.rate, "--threads", 2, "--apart", "--verify", 256)
    calm.wait()
    small = wkim.load("fanout", 6, "--members", 10, *sender)
    calm.wait()
    large = wkim.load("fanout", 6, "--members", args.online, "--offline", args.members - args.online, *sender)
    calm.wait()
    alone = wkim.load("pairs", 5, "--pairs", 20, "--rate", 200)
    calm.wait()
    group, pairs, ready = beside(wkim, args, 6)
    report.goal("SEND to SENDACK, of a small group's", p(large, "send_ack_us", "p50") /
                p(small, "send_ack_us", "p50"), 2, "times", False,
                "p50 %.2f and %.2f ms, p99 %.2f and %.2f" % (p(large, "send_ack_us", "p50"), p(
                    small, "send_ack_us", "p50"), p(large, "send_ack_us"), p(small, "send_ack_us")))
    report.goal("pairs beside it are later, p99", max(0, p(pairs, "send_recv_us") - p(alone, "send_recv_us")),
                20, "ms", False, "%.2f and %.2f ms; SENDACK %.2f and %.2f" % (
                    p(pairs, "send_recv_us"), p(alone, "send_recv_us"), p(pairs, "send_ack_us"),
                    p(alone, "send_ack_us")))
    report.goal("memory of members and clients", (group["server_end"]["rss_peak_bytes"] -
                group["server_before"]["rss_bytes"]) / 2**20, 100, "MiB", False, "%d members, %d online" % (
                    args.members, args.online))
    report.goal("members added and clients logged in", ready, 20, "s", False)
    print("delivery to %d: p50 %.1f ms, p99 %.1f ms; %s" % (args.online, p(group, "send_recv_us", "p50"),
          p(group, "send_recv_us"), perf.cores(group)))
    one = http.client.HTTPConnection("127.0.0.1", wkim.http, timeout=30)
    one_by_one(report, one)
    wkim.check()
    wkim.stop()


def one_by_one(report, connection, n=3000):
    """Adding to a group that has many members takes no longer than to one that has few."""
    def add(group, uids):
        body = '{"channel_id":"%s","channel_type":2,"subscribers":[%s]}' % (
            group, ",".join('"%s"' % u for u in uids))
        connection.request("POST", "/channel/subscriber_add", body, {"Content-Type": "application/json"})
        r = connection.getresponse()
        text = r.read()
        if r.status != 200:
            raise perf.Failed("subscriber_add: %d %s" % (r.status, text))

    took = {}
    for group, before in (("few", 0), ("many", 100000)):
        t = time.monotonic()
        if before:
            add(group, ["m%06d" % (i * 7) for i in range(before)])
        took[group, "bulk"] = time.monotonic() - t
        t = time.monotonic()
        for i in range(n // 10):
            add(group, ["m%06d" % (i * 2333 % 700000 + 1)])
        took[group] = (time.monotonic() - t) / (n // 10)
    report.goal("one more member of many, of few", took["many"] / took["few"], 2, "times", False,
                "%.2f and %.2f ms; 100,000 in one call %.1f s" % (took["many"] * 1e3, took["few"] * 1e3,
                                                                  took["many", "bulk"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100000)
    parser.add_argument("--online", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=5)
    args = parser.parse_args()
    report = perf.Report()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wkim-group-"))
    try:
        measure(report, folder, args)
    except (perf.Failed, subprocess.SubprocessError, OSError, KeyError) as e:
        print("FAILED      %s: %s" % (type(e).__name__, e))
        return 1
    finally:
        for program in perf.Program.started:
            program.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
