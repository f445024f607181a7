"""Throughput and latency of wkim-server beside a Redis stream, and the other goals, in one run.

Redis (appendonly yes, appendfsync always) and wkim-server run at the same time and are loaded in
turns, three rounds each, so that whatever else the machine does hits both; medians of the calm rounds
count.  One entry of 256 bytes that is on disk before the answer is the unit on both sides.  The
clients share the cores with the servers; the one of wkim-server also encrypts, delivers, decrypts and
checks.

Before each measurement it waits for a calm moment: other programs on less than 0.7 cores.  It waits a
minute at most, and less when the whole run would take more than its time.

WKIM_BUILD names another build folder, WKIM_TEST_PORTS the first and last port to take.
Exit code: 0 measured (goals may be missed, the report says which), 1 something failed.
"""
import contextlib
import http.client
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "api"))
import server as srv  # of the tests: free ports
BUILD = pathlib.Path(os.environ.get("WKIM_BUILD", ROOT / "build")).resolve()
SERVER, LOAD = BUILD / "wkim-server", BUILD / "wkload"
PORTS = os.environ.get("WKIM_TEST_PORTS", "28000-28999")  # away from those of the tests
ROUNDS, SIZE, CLIENTS = 3, 256, 20
WINDOWS = (1, 16)
LIMIT_S = 360                 # of the whole run; an alarm ends it 20 s later
OTHERS_MAX, CALM_S = 0.7, 60  # cores busy with other things; how long to wait for less
SECONDS_PER_STEP = 7          # what a measurement takes, to know what waiting the rest can spare


class Failed(RuntimeError):
    pass


# ---- the machine ------------------------------------------------------------------------------------
def read(path, default=""):
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return default


def first_line(command):
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return out.splitlines()[0].strip() if out else "unknown"


def sync_us(folder):
    """Median time of a 4 KiB append and fdatasync, what both servers wait for."""
    times, path = [], folder / "sync"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(100):
        t = time.perf_counter()
        os.write(fd, b"x" * 4096)
        os.fdatasync(fd)
        times.append(time.perf_counter() - t)
    os.close(fd)
    path.unlink()
    return statistics.median(times) * 1e6


def machine(folder):
    cpu = [l.split(":", 1)[1].strip() for l in read("/proc/cpuinfo").splitlines()
           if l.startswith("model name")]
    kib = [l.split()[1] for l in read("/proc/meminfo").splitlines() if l.startswith("MemTotal")]
    commit = first_line(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"])
    changed = first_line(["git", "-C", str(ROOT), "status", "--porcelain"]) not in ("unknown", "")
    return {"cpu": cpu[0] if cpu else platform.machine(), "cores": os.cpu_count(),
            "memory_gib": round(int(kib[0]) / 1048576, 1) if kib else 0,
            "kernel": platform.release(), "load_average": os.getloadavg(),
            "file_system": first_line(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", str(folder)]),
            "sync_us": round(sync_us(folder)),
            "redis": first_line(["redis-server", "--version"]),
            "commit": commit + (" with changes" if changed else ""),
            "date": time.strftime("%Y-%m-%d %H:%M:%S %z")}


def busy_ticks():
    v = [int(x) for x in read("/proc/stat").splitlines()[0].split()[1:9]]
    return sum(v) - v[3] - v[4]


class Calm:
    """Waits until the machine has time for us and keeps what it found."""

    def __init__(self, steps):
        self.end, self.steps, self.seen = time.monotonic() + LIMIT_S, steps, []

    def wait(self):
        rest = self.end - time.monotonic() - self.steps * SECONDS_PER_STEP
        until = time.monotonic() + max(0, min(CALM_S, rest))
        self.steps -= 1
        while True:
            busy, t = busy_ticks(), time.monotonic()
            time.sleep(0.5)
            others = (busy_ticks() - busy) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - t)
            if others < OTHERS_MAX or time.monotonic() >= until:
                break
        self.seen.append(others)
        return others


# ---- programs ---------------------------------------------------------------------------------------
class Program:
    """A child process, ended by its own id."""
    started = []

    def __init__(self, command, log):
        with open(log, "ab") as out:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.pid, self.usage, self.log = self.process.pid, None, log
        Program.started.append(self)

    def check(self):
        if self.usage is None and os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise Failed("%s ended by itself:\n%s" % (self.process.args[0], read(self.log)[-2000:]))

    def stop(self):
        """Ends it in order; usage then holds what the kernel counted for it."""
        if self.usage is not None:
            return
        os.kill(self.pid, signal.SIGTERM)
        for _ in range(300):
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.1)
        else:
            os.kill(self.pid, signal.SIGKILL)
            pid, status, usage = os.wait4(self.pid, 0)
        self.usage, self.process.returncode = usage, os.waitstatus_to_exitcode(status)


class Redis(Program):
    def __init__(self, folder):
        (self.port,) = srv.free_ports(1, PORTS)
        super().__init__(["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir",
                          str(folder), "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                          "--auto-aof-rewrite-percentage", "0"], folder / "redis.log")
        for _ in range(100):
            self.check()
            if first_line(["redis-cli", "-p", str(self.port), "ping"]) == "PONG":
                return
            time.sleep(0.1)
        raise Failed("redis-server does not answer")

    def add(self, window, count):
        """XADDs of one entry with a field of SIZE bytes; per second and p99 in ms."""
        subprocess.run(["redis-cli", "-p", str(self.port), "del", "stream"], capture_output=True,
                       timeout=30, check=True)
        value = "".join(random.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
                                       k=SIZE))
        out = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", str(CLIENTS), "-P",
                              str(window), "-n", str(count), "--csv", "XADD", "stream", "*", "f", value],
                             capture_output=True, text=True, timeout=60)
        rows = [l for l in out.stdout.splitlines() if l.startswith('"XADD')]
        if out.returncode or not rows:
            raise Failed("redis-benchmark: %s%s" % (out.stdout[-500:], out.stderr[-500:]))
        v = [float(x) for x in rows[-1].rstrip('"').split('","')[1:]]  # rate, mean, min, p50, p95, p99, max
        return {"per_s": v[0], "p50_ms": v[3], "p99_ms": v[5]}


class Wkim(Program):
    def __init__(self, folder, name):
        tcp, self.http, ws, self.manager, cluster = srv.free_ports(5, PORTS)
        self.root, self.address, self.runs = folder / name, "127.0.0.1:%d" % tcp, 0
        self.root.mkdir()
        options = {"mode": "release", "rootDir": self.root, "addr": "tcp://" + self.address,
                   "httpAddr": "127.0.0.1:%d" % self.http, "wsAddr": "ws://127.0.0.1:%d" % ws,
                   "manager.addr": "127.0.0.1:%d" % self.manager, "demo.on": "false",
                   "cluster.addr": "tcp://127.0.0.1:%d" % cluster}
        command = [str(SERVER), "--config", os.devnull]
        for key, value in options.items():
            command += ["--set", "%s=%s" % (key, value)]
        super().__init__(command, folder / (name + ".log"))
        for _ in range(200):
            self.check()
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", self.http, timeout=2)
                c.request("GET", "/readyz")
                if c.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise Failed("wkim-server does not get ready:\n" + read(self.log)[-2000:])

    def load(self, scenario, seconds, *options):
        self.runs += 1
        report = self.root / ("load-%d.json" % self.runs)
        command = [str(LOAD), scenario, "--tcp", self.address, "--http",
                   "http://127.0.0.1:%d" % self.http, "--pid", str(self.pid), "--duration",
                   str(seconds), "--warmup", "0.7", "--login-limit", "30", "--quiet", "--json",
                   str(report)] + [str(o) for o in options]
        out = subprocess.run(command, capture_output=True, text=True, timeout=75)
        if out.returncode:
            raise Failed("%s\n%s%s" % (" ".join(command), out.stdout[-3000:], out.stderr[-1000:]))
        got = json.loads(report.read_text())
        cpu = sum(got["server_window_end"][k] - got["server_window_start"][k] for k in
                  ("user_s", "system_s"))
        got["server_cores"] = cpu / got["window_s"]
        got["client_cores"] = got["client_cpu_s"] / got["window_s"]
        return got


# ---- measurements -----------------------------------------------------------------------------------
class Report:
    def __init__(self):
        self.data, self.calm = {"goals": [], "rounds": []}, None

    def goal(self, name, figure, goal, unit, at_least, note=""):
        met = figure >= goal if at_least else figure <= goal
        if name[:6] != "window" and self.calm.seen[-1] >= OTHERS_MAX:
            note += "; OTHERS TOOK %.1f CORES" % self.calm.seen[-1]
        self.data["goals"].append({"name": name, "figure": round(figure, 3), "goal": goal, "unit": unit,
                                   "at_least": at_least, "met": met, "note": note})
        text = "{:,.2f}".format(figure) if goal < 100 else "{:,.0f}".format(figure)
        print("%-34s %s %9s %-14s %10s  %-6s %s" % (name, ">=" if at_least else "<=",
              "{:,g}".format(goal), unit, text, "met" if met else "MISSED", note), flush=True)


def cores(got):
    return "server %.2f cores, client %.2f" % (got["server_cores"], got["client_cores"])


def beside_redis(report, calm, redis, wkim):
    counts = {w: max(2000, int(redis.add(w, 4000 * w)["per_s"] * 3)) for w in WINDOWS}
    for number in range(ROUNDS):
        for window in WINDOWS:
            others = [calm.wait()]
            theirs = redis.add(window, counts[window])
            others.append(calm.wait())
            got = wkim.load("pairs", 3, "--pairs", CLIENTS, "--window", window, "--size", SIZE)
            ours = {"per_s": got["acks_per_s"], "p50_ms": got["send_ack_us"]["p50"] / 1e3,
                    "p99_ms": got["send_ack_us"]["p99"] / 1e3}
            report.data["rounds"].append({"round": number + 1, "window": window, "redis": theirs,
                                          "wkim": ours, "others_cores": others})
            print("round %d window %2d   redis %7.0f/s p99 %6.2f ms   wkim %7.0f/s p99 %6.2f ms   "
                  "(%s; others %.1f and %.1f)" % (number + 1, window, theirs["per_s"],
                  theirs["p99_ms"], ours["per_s"], ours["p99_ms"], cores(got), *others), flush=True)
    print()
    for window, goal in zip(WINDOWS, (0.75, 0.5)):
        every = [r for r in report.data["rounds"] if r["window"] == window]
        # A figure of a busy moment says nothing about the other side's calm one.
        rounds = [r for r in every if max(r["others_cores"]) < OTHERS_MAX] or every
        theirs = statistics.median(r["redis"]["per_s"] for r in rounds)
        ours = statistics.median(r["wkim"]["per_s"] for r in rounds)
        report.goal("window %d, beside Redis" % window, ours / theirs, goal, "of its rate", True,
                    "%.0f/s and %.0f/s, %s" % (ours, theirs, "%d calm rounds of %d" % (len(rounds),
                    len(every)) if max(rounds[0]["others_cores"]) < OTHERS_MAX else "NO CALM ROUND"))
        if window == 16:
            p99 = statistics.median(r["wkim"]["p99_ms"] for r in rounds)
            report.goal("window 16, SEND to SENDACK p99", p99, 8, "ms", False, "Redis %.2f ms" %
                        statistics.median(r["redis"]["p99_ms"] for r in rounds))


def goals_on_a_used_server(report, calm, wkim):
    calm.wait()
    got = wkim.load("groups", 4, "--groups", 30, "--members", 10)
    report.goal("30 groups of 10, deliveries", got["deliveries_per_s"], 300000, "/s", True, cores(got))
    calm.wait()
    got = wkim.load("fanout", 5, "--members", 1000, "--rate", 100)
    report.goal("group of 1000, 100 messages/s, p99", got["send_recv_us"]["p99"] / 1e3, 60, "ms", False,
                "p50 %.1f ms, %s" % (got["send_recv_us"]["p50"] / 1e3, cores(got)))
    calm.wait()
    got = wkim.load("connect", 4)
    report.goal("logins", got["logins_per_s"], 6000, "/s", True, cores(got))
    calm.wait()
    got = wkim.load("pairs", 4, "--pairs", 100, "--no-persist")
    report.goal("messages not stored", got["acks_per_s"], 250000, "/s", True, cores(got))


class Api:
    """One kept connection to the HTTP API."""

    def __init__(self, wkim):
        self.connection = http.client.HTTPConnection("127.0.0.1", wkim.http, timeout=30)

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        r = self.connection.getresponse()
        text = r.read()
        if r.status != 200:
            raise Failed("POST %s: %d %s" % (path, r.status, text[:300]))
        return text


def wrk(wkim, script, seconds=4):
    """Requests per second, and what the script says of its latencies."""
    out = subprocess.run(["wrk", "-t1", "-c64", "-d%d" % seconds, "-s",
                          str(ROOT / "test" / "perf" / "http" / (script + ".lua")),
                          "http://127.0.0.1:%d" % wkim.http], capture_output=True, text=True, timeout=60)
    rows = [l.split() for l in out.stdout.splitlines() if l.startswith("Requests/sec:")]
    if out.returncode or not rows or "Non-2xx" in out.stdout:
        raise Failed("wrk %s: %s%s" % (script, out.stdout[-800:], out.stderr[-300:]))
    said = [l for l in out.stdout.splitlines() if l.startswith("p50")]
    return float(rows[0][1]), said[0] if said else ""


def http_goals(report, calm, wkim):
    api = Api(wkim)
    for g in range(200):
        api.post("/channel", {"channel_id": "g%d" % g, "channel_type": 2, "subscribers": ["u%d" % u for u in range(20)]})
    for peer in range(1000):
        api.post("/message/send", {"header": {"red_dot": 1}, "from_uid": "peer%d" % peer, "channel_id": "reader",
                                   "channel_type": 1, "payload": "aGVsbG8gaGVsbG8gaGVsbG8="})
    if shutil.which("wrk"):
        calm.wait()
        rate, said = wrk(wkim, "send")
        report.goal("/message/send", rate, 20000, "/s", True, said)
        calm.wait()
        rate, said = wrk(wkim, "sync")
        report.goal("/channel/messagesync of 100", rate, 5000, "/s", True, said)
    else:
        print("wrk is not installed: rates of the HTTP API are not measured")
    calm.wait()
    times = []
    for _ in range(300):
        began = time.perf_counter()
        text = api.post("/conversation/sync", {"uid": "reader", "version": 0, "msg_count": 1})
        times.append(1e3 * (time.perf_counter() - began))
    found = len(json.loads(text))
    if found != 1000:
        raise Failed("/conversation/sync tells %d of 1000 conversations" % found)
    report.goal("/conversation/sync of 1000, p99", statistics.quantiles(times, n=100)[98], 20, "ms", False,
                "p50 %.1f ms, %d KiB" % (statistics.median(times), len(text) // 1024))


def idle_memory(report, calm, folder):
    wkim = Wkim(folder, "idle")
    calm.wait()
    got = wkim.load("idle", 2, "--connections", 5000)
    each = (got["server_logged_in"]["rss_bytes"] - got["server_before"]["rss_bytes"]) / got["logins"]
    report.goal("memory of an idle connection", each / 1024, 3, "KiB", False,
                "%d connections" % got["logins"])
    wkim.stop()


def disk_bytes(report, calm, folder):
    """Everything the process wrote from its start to its orderly end, which flushes all."""
    wkim = Wkim(folder, "disk")
    calm.wait()
    got = wkim.load("pairs", 5, "--pairs", 100, "--size", SIZE)
    wkim.stop()
    if wkim.process.returncode:
        raise Failed("wkim-server ended with %d:\n%s" % (wkim.process.returncode, read(wkim.log)[-2000:]))
    report.goal("disk bytes per payload byte", wkim.usage.ru_oublock * 512 / (got["acked"] * SIZE), 3, "",
                False, "%.0f MB of payload, %.0f messages/s" % (got["acked"] * SIZE / 1e6,
                                                                got["acks_per_s"]))


def measure(report, folder):
    about = report.data["machine"] = machine(folder)
    print("machine     %(cpu)s, %(cores)s cores, %(memory_gib)s GiB, Linux %(kernel)s" % about)
    print("disk        %(file_system)s; 4 KiB append and fdatasync: %(sync_us)d us" % about)
    print("programs    wkim %(commit)s; %(redis)s" % about)
    print("started     %s, load average %.2f %.2f %.2f\n" % (about["date"], *about["load_average"]))
    calm = report.calm = Calm(2 * len(WINDOWS) * ROUNDS + 9)
    redis = Redis(folder)
    wkim = Wkim(folder, "main")
    beside_redis(report, calm, redis, wkim)
    redis.stop()
    goals_on_a_used_server(report, calm, wkim)
    http_goals(report, calm, wkim)
    wkim.check()
    wkim.stop()
    idle_memory(report, calm, folder)
    disk_bytes(report, calm, folder)
    report.data["others_cores_median"] = round(statistics.median(calm.seen), 2)
    report.data["others_cores_max"] = round(max(calm.seen), 2)
    print("\nother programs took %.1f cores before a measurement (median; at most %.1f)" %
          (statistics.median(calm.seen), max(calm.seen)))


def too_late(number, frame):
    raise Failed("not done after %d s" % (LIMIT_S + 20) if number == signal.SIGALRM else "interrupted")


def main():
    for program in (SERVER, LOAD):
        if not os.access(program, os.X_OK):
            print("perf: %s is missing, run make" % program, file=sys.stderr)
            return 1
    for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, too_late)
    signal.alarm(LIMIT_S + 20)
    report, started = Report(), time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="wkim-perf-"))
    try:
        measure(report, folder)
        report.data["failed"] = None
    except (RuntimeError, subprocess.SubprocessError, OSError, KeyError) as e:
        report.data["failed"] = "%s: %s" % (type(e).__name__, e)
        print("FAILED      " + report.data["failed"], flush=True)
    finally:
        signal.alarm(0)
        for p in Program.started:
            p.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report.data["seconds"] = round(time.monotonic() - started)
    out = BUILD / "perf.json"
    out.write_text(json.dumps(report.data, indent=1) + "\n")
    met = sum(g["met"] for g in report.data["goals"])
    print("%d of %d goals met, %d s; also in %s" % (met, len(report.data["goals"]),
                                                    report.data["seconds"], out))
    return 1 if report.data["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
