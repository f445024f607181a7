"""Starts wkim-server for a test: ports of its own, a temporary rootDir, ended by process id.

WKIM_SERVER names another program, WKIM_TEST_PORTS the first and last port to take ("27000-27999").
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("WKIM_SERVER", str(ROOT / "build" / "wkim-server"))
VECTORS = ROOT / "test" / "vectors"
SANITIZED = "WKIM_SANITIZED" in os.environ  # slow, and its memory is not ours alone
PATIENCE = 6 if SANITIZED else 1            # times the seconds until a server is up
# What a broken invariant and the sanitizers say.
REPORT = re.compile(r"invariant broken|ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error: ")
LISTENERS = ("tcp", "http", "ws", "wss", "manager", "cluster")


def free_ports(count, span=None):
    """Ports nobody listens on; the range keeps them apart from the kernel's own choices."""
    first, last = map(int, (span or os.environ.get("WKIM_TEST_PORTS", "27000-27999")).split("-"))
    ports = list(range(first, last + 1))
    random.SystemRandom().shuffle(ports)
    found = []
    for port in ports:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no %d free ports between %d and %d" % (count, first, last))


def eventually(check, seconds=20.0):
    """What `check` returns, as soon as it raises no AssertionError; its last one after so many seconds."""
    end = time.monotonic() + seconds * PATIENCE
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > end:
                raise
        time.sleep(0.05)


def merged(base, more):
    out = dict(base)
    for key, value in more.items():
        out[key] = merged(out[key], value) if isinstance(out.get(key), dict) and isinstance(value, dict) \
            else value
    return out


def certificate(root):
    """(certificate, key) of a TLS listener, made in the folder."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-keyout", root / "key.pem", "-out", root / "cert.pem", "-days", "2",
                    "-subj", "/CN=localhost"], check=True, capture_output=True)
    return root / "cert.pem", root / "key.pem"


class Server:
    """One wkim-server. `options` is merged over a quiet single node; JSON text is a valid wk.yaml."""

    def __init__(self, options=None, root=None, token="", wss=None, ports=None):
        self.own_root = root is None
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="wkim-api-"))
        self.ports = dict(zip(LISTENERS, free_ports(len(LISTENERS), ports)))
        self.headers = {"token": token} if token else {}
        self.process, self.log = None, None
        self.options = merged(self.defaults(wss), options or {})
        self.config = self.root / "wk.json"
        self.write_config()

    def defaults(self, wss):
        at = {name: "127.0.0.1:%d" % port for name, port in self.ports.items()}
        out = {"mode": "release", "rootDir": str(self.root / "data"), "addr": "tcp://" + at["tcp"],
               "httpAddr": at["http"], "wsAddr": "ws://" + at["ws"], "manager": {"addr": at["manager"]},
               "demo": {"on": False}, "disableEncryption": True, "logger": {"dir": str(self.root / "logs")},
               "cluster": {"nodeId": 1001, "addr": "tcp://" + at["cluster"]}}
        if wss:
            out["wssAddr"] = "wss://" + at["wss"]
            out["wssConfig"] = {"certFile": str(wss[0]), "keyFile": str(wss[1])}
        return out

    def write_config(self):
        self.config.write_text(json.dumps(self.options, indent=1))

    @property
    def tcp(self):
        return ("127.0.0.1", self.ports["tcp"])

    @property
    def ws(self):
        return ("127.0.0.1", self.ports["ws"])

    @property
    def base(self):
        return "http://127.0.0.1:%d" % self.ports["http"]

    def launch(self):
        """Starts the process without waiting for anything."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WK_")}
        with open(self.root / "out.log", "ab") as log:
            self.process = subprocess.Popen([PROGRAM, "--config", str(self.config)], cwd=self.root,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=clean)

    def start(self, wait=20.0):
        """Starts the process and waits until it serves."""
        self.launch()
        end = time.monotonic() + wait * PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError("the server ended with %d\n%s" % (self.process.returncode, self.tail()))
            if self.ready():
                return self
            time.sleep(0.02)
        raise RuntimeError("the server is not ready\n" + self.tail())

    def ready(self):
        """Both the API and the client port answer."""
        try:
            status, _ = self.call("GET", "/health", timeout=2)
            with socket.create_connection(self.tcp, timeout=2):
                return status == 200
        except (OSError, http.client.HTTPException):
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9: nothing is flushed, nobody is told."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, wait=60.0):
        """Orderly; the exit status, or -9 when it had to be killed."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(wait)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode if self.process else 0

    def close(self):
        """Ends the server; an AssertionError when that, or its whole run, was not in order."""
        problem = self.problem()
        if self.own_root:
            shutil.rmtree(self.root, ignore_errors=True)
        if problem:
            raise AssertionError(problem)

    def problem(self):
        if self.alive():
            code = self.stop()
            if code:
                return "the server ended with %d after SIGTERM\n%s" % (code, self.tail())
        code = self.process.returncode if self.process else 0
        if code < 0 and -code not in (signal.SIGKILL, signal.SIGTERM):
            return "the server died of signal %d\n%s" % (-code, self.tail(60))
        path = self.root / "out.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        found = REPORT.search(text)
        return text[max(0, found.start() - 200):][:8000] if found else None

    def call(self, method, path, body=None, headers=None, timeout=20, raw=None):
        """One HTTP call: (status, decoded JSON or text)."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        head = dict(self.headers, **(headers or {}))
        if data is not None:
            head.setdefault("Content-Type", "application/json")
        conn = http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=timeout)
        try:
            conn.request(method, path, data, head)
            answer = conn.getresponse()
            text = answer.read()
            with contextlib.suppress(ValueError):
                return answer.status, json.loads(text)
            return answer.status, text.decode("utf-8", "replace")
        finally:
            conn.close()

    def post(self, path, body, timeout=20):
        return self.call("POST", path, body, timeout=timeout)

    def memory(self):
        """Resident bytes; 0 of a sanitized server, which keeps what is freed."""
        if SANITIZED:
            return 0
        for line in pathlib.Path("/proc/%d/status" % self.process.pid).read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    def tail(self, lines=30):
        out = []
        for path in [self.root / "out.log", *sorted((self.root / "logs").glob("*.log"))]:
            if path.exists():
                text = path.read_text(errors="replace").splitlines()[-lines:]
                out += ["-- %s" % path.name, *text]
        return "\n".join(out)


class Running:
    """Mix-in for unittest.TestCase: servers that end with the test and show their log if it failed."""

    def serve(self, options=None, start=True, **more):
        server = Server(options, **more)
        self.addCleanup(self.end, server)
        return server.start() if start else server

    def end(self, server):
        outcome = getattr(self, "_outcome", None)
        if outcome is not None and getattr(outcome, "success", True) is False:
            print(server.tail())
        server.close()
