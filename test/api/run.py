#!/usr/bin/env python3
"""Runs the suites of this folder; ends with "N passed, N failed".

usage: python3 test/api/run.py [--quick] [--slow] [--jobs N] [NAME...]

--quick is what make check runs, in less than a minute: fewer kill -9 rounds, no slow scenarios.
--slow is for sanitized servers: fewer kill -9 rounds, more time for all.
Each suite is a process of its own with its own ports and starts its own servers; a suite that needs a
server from outside is given one.  WKIM_SERVER names another program than build/wkim-server.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

import server as srv

HERE = pathlib.Path(__file__).resolve().parent
FIRST_PORT, PORTS = 27000, 80
PATIENCE = 6                                # times the seconds below, with --slow
# Slowest first.  (name, arguments of the quick run, arguments of the whole run, seconds)
SUITES = [
    ("test_wire", [], [], 300),
    ("test_kill", ["--rounds", "5"], ["--rounds", "100"], 1200),
    ("test_kill_routes", ["--rounds", "12"], ["--rounds", "100"], 600),
    ("test_scenarios", ["--quick"], [], 300),
    ("test_abuse", [], [], 300),
    ("test_webhook_outage", [], ["--seconds", "60"], 600),
    ("test_webhook", [], [], 300),
    ("test_http_v2", [], [], 300),
    ("test_config", [], [], 120),
    ("test_http_protocol", [], [], 120),
]
NEED_SERVER = ("test_http_protocol",)       # through WKIM_API


def others():
    """Suites that are not in the list above run as they are."""
    known = {s[0] for s in SUITES}
    return [(p.stem, [], [], 300) for p in sorted(HERE.glob("test_*.py")) if p.stem not in known]


def counts(text, code):
    """(passed, failed) from what unittest printed; a suite that says nothing failed once."""
    ran = re.findall(r"^Ran (\d+) tests? in", text, re.M)
    bad = re.findall(r"^FAILED \((.*)\)$", text, re.M)
    skipped = sum(map(int, re.findall(r"skipped=(\d+)", text)))
    failed = sum(map(int, re.findall(r"(?:failures|errors)=(\d+)", bad[-1]))) if bad else 0
    total = int(ran[-1]) if ran else 0
    if code and not failed:
        failed = 1
    if not code and total == 0:
        failed = 1
    return max(0, total - skipped - min(failed, total)), failed


def run(place, suite, quick, slow):
    name, fast, full, limit = suite
    if slow:
        limit, full = limit * PATIENCE, fast if name == "test_kill" else full
    first = FIRST_PORT + place * PORTS
    ports = "%d-%d" % (first, first + PORTS - 1)
    env, server = dict(os.environ, WKIM_TEST_PORTS=ports), None
    began = time.monotonic()
    try:
        if name in NEED_SERVER:
            server = srv.Server(ports=ports).start()
            env["WKIM_API"] = server.base
        done = subprocess.run([sys.executable, "-W", "ignore", HERE / (name + ".py"), *(fast if quick else full)],
                              env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=limit, check=False, errors="replace")
        text, code = done.stdout + done.stderr, done.returncode
    except subprocess.TimeoutExpired as e:
        text, code = "%s\nnot finished after %d s" % ((e.stdout or b"").decode("utf-8", "replace"), limit), 1
    except RuntimeError as e:
        text, code = str(e), 1
    try:
        if server:
            server.close()
    except AssertionError as e:
        text, code = text + str(e), 1
    passed, failed = counts(text, code)
    return name, passed, failed, time.monotonic() - began, text


def notes(text):
    """Lines in which a suite tells its figures, known limits and skips."""
    return [line for line in text.splitlines() if re.search(
        r"as specified|known limit|as recorded|acknowledged|skipped|^seed ", line)
        and not line.startswith("{")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--jobs", type=int, default=4, help="suites at a time; they mostly wait")
    parser.add_argument("name", nargs="*")
    a = parser.parse_args()
    if not os.access(srv.PROGRAM, os.X_OK):
        print("there is no %s: run make first" % srv.PROGRAM)
        print("0 passed, 1 failed")
        return 1
    chosen = [s for s in SUITES + others() if not a.name or s[0] in a.name]
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for one in concurrent.futures.as_completed(
                pool.submit(run, i, s, a.quick, a.slow) for i, s in enumerate(chosen)):
            name, good, bad, seconds, text = one.result()
            passed, failed = passed + good, failed + bad
            print("%s %-18s %3d passed, %d failed, %.1f s" % (
                "FAILED" if bad else "ok    ", name, good, bad, seconds), flush=True)
            for line in notes(text):
                print("         " + line.lstrip(".FE"), flush=True)
            if bad:
                print(text[-12000:], flush=True)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
