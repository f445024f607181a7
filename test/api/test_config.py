"""The configuration of wkim-server as an operator meets it: texts and exit codes of --check-config."""
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import server as srv

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVER = os.environ.get("WKIM_SERVER", str(ROOT / "build" / "wkim-server"))


class Config(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def file(self, text, name="wk.yaml"):
        path = pathlib.Path(self.dir.name, name)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    def check(self, *args, text=None, env=None, name="wk.yaml"):
        """Runs --check-config in an empty folder; (exit code, standard error, standard output)."""
        command = [SERVER, "--check-config", *args]
        if text is not None:
            command += ["--config", self.file(text, name)]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("WK_")}
        clean["HOME"] = self.dir.name
        done = subprocess.run(command, cwd=self.dir.name, env={**clean, **(env or {})}, timeout=20,
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, done.stdout

    def assert_bad(self, line, *args, **kwargs):
        code, err, _ = self.check(*args, **kwargs)
        self.assertIn(line, err.splitlines())
        self.assertEqual(code, 78)

    def value(self, key, *args, **kwargs):
        code, err, out = self.check("--verbose", *args, **kwargs)
        self.assertEqual(code, 0, err)
        for line in out.splitlines():
            name, _, value = line.partition(": ")
            if name == key:
                return value.split("  #")[0]
        self.fail(f"{key} is not printed")

    def test_defaults_are_good_and_nothing_is_created(self):
        code, err, out = self.check()
        self.assertEqual(code, 0, err)
        self.assertTrue(out.startswith("config: ok"))
        self.assertEqual(os.listdir(self.dir.name), [])

    def test_a_password_may_be_a_hash(self):
        done = subprocess.run([SERVER, "hash-password"], input="s3cret\n", capture_output=True, text=True, timeout=20)
        hashed = done.stdout.strip()
        self.assertEqual((done.returncode, hashed[:8]), (0, "{scrypt}"))
        text = "auth:\n  users:\n    - \"root:%s:*\"\n"
        self.assertEqual(self.value("auth.users", text=text % hashed), "root:******:*")
        code, err, _ = self.check(text=text % "{scrypt}14.8")
        self.assertEqual(code, 78)
        self.assertIn("{scrypt}LN.R.P.SALT.HASH", err)
        server = srv.Server({"auth": {"users": ["root:%s:*" % hashed]}})
        self.addCleanup(server.close)
        server.start()
        status, answer = server.post("/manager/login", {"username": "root", "password": "s3cret"})
        self.assertEqual((status, answer["username"]), (200, "root"))
        self.assertEqual(server.post("/manager/login", {"username": "root", "password": hashed})[0], 400)

    def test_the_example_file_is_good_and_says_the_defaults(self):
        text = (ROOT / "server" / "wk.yaml").read_text()
        code, err, out = self.check("-v", text=text)
        self.assertEqual(code, 0, err)
        self.assertNotIn("unknown key", err)
        _, _, plain = self.check("-v")
        strip = [line.split("  #")[0] for line in out.splitlines() if ": " in line]
        self.assertEqual(strip, [line.split("  #")[0] for line in plain.splitlines() if ": " in line])

    def test_a_problem_is_one_line_whatever_was_given(self):
        code, err, _ = self.check(env={"WK_ADDR": "tcp://x\nwarning: made up\x1b[2J"})
        self.assertEqual(code, 78)
        self.assertNotIn("warning: made up [2J", err.splitlines())
        self.assertTrue(any("warning: made up [2J" in line for line in err.splitlines()), err)
        self.assertNotIn("\x1b", err)

    def test_flag_beats_environment_beats_file_beats_default(self):
        text = "mode: bench\nconnIdleTime: 1m\ntag:\n  expire: 1h\n"
        env = {"WK_MODE": "test", "WK_CONNIDLETIME": "2m"}
        self.assertEqual(self.value("mode", "--mode", "release", text=text, env=env), "release")
        self.assertEqual(self.value("connIdleTime", text=text, env=env), "2m")
        self.assertEqual(self.value("tag.expire", text=text, env=env), "1h")
        self.assertEqual(self.value("connIdleTime", "--set", "connidletime=3h", env=env), "3h")
        self.assertEqual(self.value("connIdleTime", env={"WK_CONNIDLETIME": ""}), "3m")

    def test_problems_of_all_sources_are_printed_together(self):
        text = "cluster:\n  nodeId: 2000\n\nmessageRetry:\n  interval: 90\nconversation: {syncInterval: abc}\n"
        code, err, _ = self.check("--set", "addr=http://x:1", text=text,
                                  env={"WK_CLUSTER_ROLE": "x", "WK_TOKENAUTHON": "maybe"})
        self.assertEqual(code, 78)
        for line in (
                "config: cluster.nodeId: 2000 is out of range 1..1023 [wk.yaml:2]",
                'config: messageRetry.interval: "90" has no unit (write 90s, 90ms \u2026) [wk.yaml:5]',
                'config: conversation.syncInterval: "abc" is not a duration (for example 90s, 5m or '
                "1d12h) [wk.yaml:6]",
                'config: cluster.role: "x" is not one of replica, proxy [env WK_CLUSTER_ROLE]',
                'config: tokenAuthOn: "maybe" is not a bool (write true or false) [env WK_TOKENAUTHON]',
                'config: addr: "http://x:1" is not tcp://host:port [flag --set]'):
            self.assertIn(line, err.splitlines())

    def test_a_missing_file_is_an_error_unless_allowed(self):
        line = ('config: cannot read "nofile.yaml": No such file or directory '
                "(use --ignoreMissingConfig to start without it)")
        self.assert_bad(line, "--config", "nofile.yaml")
        for flag in ("-i", "--ignoreMissingConfig", "--ignoreMissingConfig=true"):
            self.assertEqual(self.check("--config", "nofile.yaml", flag)[0], 0)

    def test_a_syntax_error_has_a_place_and_is_never_ignored(self):
        code, err, _ = self.check("-i", text="mode: debug\naddr: [1\nb: 2\n")
        self.assertEqual(code, 78)
        self.assertRegex(err, r"(?m)^config: wk\.yaml:3:\d+: ")

    def test_a_file_that_is_not_utf8_is_told_with_the_line(self):
        code, err, _ = self.check(text=b"mode: debug\n# \xc4\xe3\xba\xc3\naddr: tcp://0.0.0.0:5100\n")
        self.assertEqual(code, 78)
        self.assertRegex(err, r"(?m)^config: wk\.yaml:2: .*\(the file must be UTF-8\)$")

    def test_marks_and_line_ends_of_other_systems_mean_nothing(self):
        self.assertEqual(self.value("tag.expire", text=b"\xef\xbb\xbfmode: debug\r\ntag:\r\n  expire: 7m\r\n"), "7m")
        self.assertEqual(self.value("tag.expire", text="tag:\n  expire: 7m\n".encode("utf-16")), "7m")

    def test_no_file_name_is_no_file(self):
        self.assertEqual(self.check("--config=")[0], 0)

    def test_a_url_that_nobody_could_ask_is_refused(self):
        for url in ("http://host:port/", "http://x:99999/", "http://x:0", "http://:80/", "x:80"):
            self.assert_bad('config: webhook.httpAddr: "%s" is not a URL (for example '
                            "http://127.0.0.1:8090/hook) [flag --set]" % url, "--set", "webhook.httpAddr=" + url)
        for url in ("HTTP://h", "http://h:80", "https://u:p@h:1/x?a=b:c", "http://[::1]:80/", "http://[::1]", "http://h?x=:"):
            self.assertEqual(self.check("--set", "webhook.httpAddr=" + url)[0], 0, url)
        self.assert_bad('config: webhook.httpAddr: "***@h:x/" is not a URL (for example '
                        "http://127.0.0.1:8090/hook) [flag --set]", "--set", "webhook.httpAddr=http://u:s3cret@h:x/")
        code, err, _ = self.check("--set", "external.apiUrl=im.example.com/api")
        self.assertEqual(code, 0)
        self.assertIn("external.apiUrl \"im.example.com/api\" is not http://host:port", err.replace("apiUrl: ", "apiUrl "))

    def test_a_folder_below_a_file_is_told(self):
        name = os.path.join(self.dir.name, self.file("x", "plain"))
        self.assert_bad('config: rootDir: cannot create "%s": "%s" is not a folder' % (name, name), "--set", "rootDir=" + name)

    def test_only_yaml_and_json_are_read(self):
        self.assert_bad('config: unsupported file type ".toml"', text="a = 1\n", name="wk.toml")
        self.assertEqual(self.value("tag.expire", text='{"tag": {"expire": "7m"}}', name="wk.json"), "7m")

    def test_unknown_keys_warn_with_a_hint_and_fail_when_strict(self):
        text = "cluster:\n  nodeid2: 1\n"
        line = ('config: unknown key "cluster.nodeid2" at wk.yaml:2 (did you mean "cluster.nodeId"?)')
        code, err, _ = self.check(text=text)
        self.assertEqual(code, 0)
        self.assertIn("warning: " + line, err.splitlines())
        code, err, _ = self.check("--strict-config", text=text)
        self.assertEqual(code, 78)
        self.assertIn("warning: " + line, err.splitlines())
        _, err, _ = self.check(env={"WK_NO_SUCH_KEY": "1"})
        self.assertIn("info: config: unknown environment variables: WK_NO_SUCH_KEY", err.splitlines())

    def test_lists_from_sequences_blanks_and_commas(self):
        env = {"WK_CLUSTER_INITNODES": "1001@a 1002@b,1003@c:5", "WK_CLUSTER_SERVERADDR": "a:11110",
               "WK_CLUSTER_APIURL": "http://a:5001"}
        self.assertEqual(self.value("cluster.initNodes", env=env), "1001@a 1002@b 1003@c:5")
        text = "cluster:\n  serverAddr: a:1\n  apiUrl: http://a:2\n  seed:\n    - 1001@a:1\n    - 1002@b:1\n"
        self.assertEqual(self.value("cluster.seed", text=text), "1001@a:1 1002@b:1")
        self.assert_bad('config: cluster.initNodes[1]: "bad" must be nodeId@host[:port] [wk.yaml:4]',
                        text="cluster:\n  initNodes:\n    - 1001@a\n    - bad\n")

    def test_the_empty_item_of_the_published_example_is_none(self):
        text = 'cluster:\n  initNodes:\n    - ""\n  seed:\n    - ""\n'
        self.assertEqual(self.value("cluster.initNodes", text=text), "")

    def test_keys_ignore_case_and_zero_means_not_set_where_it_has_no_meaning(self):
        text = "MESSAGERETRY:\n  maxcount: 0\n"
        code, err, _ = self.check(text=text)
        self.assertEqual(code, 0)
        self.assertIn('warning: config: messageRetry.maxCount: 0 is treated as "not set" (default 5) '
                      "[wk.yaml:2]", err.splitlines())
        self.assert_bad("config: cluster.nodeId: must be 1..1023 [env WK_CLUSTER_NODEID]",
                        env={"WK_CLUSTER_NODEID": "0"})

    def test_secrets_are_never_printed(self):
        args = ["-v", "--set", "managerToken=s3cret-a", "--set", "jwt.secret=s3cret-b",
                "--set", "auth.users=admin:s3cret-c:* bob:s3cret-d:[*:r]",
                "--set", "webhook.httpAddr=http://u:s3cret-e@s3cret-f@host/x?k=s3cret-g"]
        code, err, out = self.check(*args)
        self.assertEqual(code, 0, err)
        self.assertNotIn("s3cret", out + err)
        self.assertIn("auth.users: admin:******:* bob:******:[*:r]", out.splitlines())
        self.assertIn("webhook.httpAddr: http://******@host/x?******", out.splitlines())
        code, err, out = self.check("--set", "auth.users=admin:s3cret")
        self.assertEqual(code, 78)
        self.assertNotIn("s3cret", out + err)
        self.assertIn('config: auth.users[0]: "admin:***" must be name:password:* or '
                      "name:password:[resource:actions,\u2026] [flag --set]", err.splitlines())

    def test_tls_listeners_need_a_readable_pair(self):
        self.assert_bad("config: wssAddr: needs wssConfig.certFile and wssConfig.keyFile [flag --set]",
                        "--set", "wssAddr=wss://0.0.0.0:5210")
        self.assert_bad('config: wssConfig.certFile: cannot read "/no": No such file or directory',
                        "--set", "wssAddr=wss://0.0.0.0:5210", "--set", "wssConfig.certFile=/no",
                        "--set", "wssConfig.keyFile=/no")

    def test_every_listener_needs_an_address_of_this_host(self):
        for key, value in (("addr", "tcp://h.invalid:5100"), ("httpAddr", "h.invalid:5001"),
                           ("manager.addr", "h.invalid:5300"), ("demo.addr", "h.invalid:5172")):
            self.assert_bad('config: %s: the host of "%s" is not an IP address' % (key, value), "--set", key + "=" + value)
        self.assertEqual(self.check("--set", "demo.addr=h.invalid:1", "--set", "demo.on=false")[0], 0)
        self.assertEqual(self.check("--set", "httpAddr=localhost:5001", "--set", "addr=:5100")[0], 0)

    def test_a_port_in_use_is_told_with_key_value_and_fix(self):
        for key, option in (("tcp", "addr"), ("ws", "wsAddr"), ("http", "httpAddr"), ("manager", "manager.addr")):
            server = srv.Server()
            self.addCleanup(server.close)
            with socket.create_server(("127.0.0.1", server.ports[key])):
                server.launch()
                self.assertEqual(server.process.wait(20), 1)
            said = "%s: cannot bind (tcp://|ws://)?127.0.0.1:%d: Address already in use " \
                   r"\(another program listens there: end it or choose a free port\)" % (option, server.ports[key])
            self.assertRegex((server.root / "out.log").read_text(), "(?m)^wkim-server: " + said)
            self.assertRegex((server.root / "logs" / "error.log").read_text(), said)

    def test_several_threads_do_not_share_the_port_of_another_server(self):
        one = srv.Server({"limits": {"httpThreads": 2}})
        self.addCleanup(one.close)
        one.start()
        other = srv.Server({"limits": {"httpThreads": 2}})  # now: its ports are free with the first one running
        self.addCleanup(other.close)
        other.options["httpAddr"] = one.options["httpAddr"]
        other.write_config()
        other.launch()
        self.assertEqual(other.process.wait(20), 1)
        self.assertIn("httpAddr: cannot bind", (other.root / "out.log").read_text())

    def test_log_files_are_rotated_by_size_and_hold_json(self):
        server = srv.Server({"log": {"maxSize": 65536, "maxBackups": 2}})
        self.addCleanup(server.close)
        server.start()
        folder = server.root / "logs"
        end = time.monotonic() + 60
        while not (folder / "info.log.2").exists() and time.monotonic() < end:
            os.kill(server.process.pid, signal.SIGUSR1)
            time.sleep(0.001)
        files = {p.name: p.stat().st_size for p in folder.iterdir()}
        self.assertEqual(sorted(files), ["error.log", "info.log", "info.log.1", "info.log.2", "warn.log"])
        self.assertLessEqual(max(files.values()), 65536)
        for path in folder.glob("info.log.*"):
            for line in path.read_text().splitlines():
                json.loads(line)

    def test_the_slot_count_of_the_data_stays(self):
        server = srv.Server({"cluster": {"slotCount": 4}})
        self.addCleanup(server.close)
        server.start()
        server.stop()
        server.options["cluster"]["slotCount"] = 8
        server.write_config()
        server.start()
        server.stop()
        self.assertIn("config: cluster.slotCount: 8 ignored, this cluster was created with 4", self.log(server))

    def test_log_files_may_lie_deep(self):
        with tempfile.TemporaryDirectory() as root:
            server = srv.Server({"rootDir": root + "/r", "logger": {"dir": "./x/y/z"}})
            self.addCleanup(server.close)
            server.start()
            self.assertTrue(os.path.exists(root + "/r/x/y/z/info.log"))
            server.stop()

    def log(self, server):
        return "".join((server.root / "logs" / n).read_text() for n in ("info.log", "warn.log", "error.log"))

    def hangup(self, server, wanted, **options):
        server.options = srv.merged(server.options, options)
        server.write_config()
        os.kill(server.process.pid, signal.SIGHUP)
        srv.eventually(lambda: self.assertIn(wanted, self.log(server)))

    def test_a_hangup_reads_what_can_change_and_names_what_cannot(self):
        server = srv.Server({"managerToken": "old", "logger": {"level": "info"}}, token="old")
        self.addCleanup(server.close)
        server.start()
        self.assertEqual(server.call("GET", "/varz")[0], 200)
        self.hangup(server, '"config_changed","room":"server","key":"managerToken"', managerToken="new-s3cret",
                    auth={"users": ["ann:p4ssword:*"]}, tag={"expire": "7m"})
        self.assertEqual(server.call("GET", "/varz")[0], 401)
        server.headers = {"token": "new-s3cret"}
        self.assertEqual(server.call("GET", "/varz")[0], 200)
        self.assertEqual(self.login(server, "ann", "p4ssword"), 200)
        self.assertEqual(self.login(server, "guest", "guest"), 400)
        self.assertIn('"config_change_needs_restart","room":"server","key":"tag.expire"', self.log(server))
        self.hangup(server, '"key":"logger.level"', logger={"level": "debug"})
        server.post("/message/send", {"from_uid": "a", "channel_id": "b", "channel_type": 1, "payload": "eA=="})
        self.hangup(server, "config_not_reloaded", tokenAuthOn="perhaps", managerToken="third")
        self.assertEqual(server.call("GET", "/varz")[0], 200)
        self.assertNotIn("s3cret", self.log(server))
        self.assertNotIn("p4ssword", self.log(server))

    def login(self, server, name, password):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.ports["manager"], timeout=20)) as c:
            c.request("POST", "/manager/login", json.dumps({"username": name, "password": password}),
                      {"Content-Type": "application/json"})
            return c.getresponse().status

    def test_two_listeners_on_one_port_are_an_error(self):
        self.assert_bad("config: manager.addr and httpAddr both use 0.0.0.0:5001 [flag --set]",
                        "--set", "manager.addr=0.0.0.0:5001")

    def test_old_environment_names_still_work(self):
        self.assertEqual(self.value("manager.addr", env={"WK_MONITOR_ADDR": "0.0.0.0:5311"}),
                         "0.0.0.0:5311")
        _, err, _ = self.check(env={"WK_TRACE_ENDPOINT": "x"})
        self.assertNotIn("unknown environment variables", err)

    def test_bad_command_lines_exit_64(self):
        for args in (["--nonsense"], ["run"], ["--config"], ["--set", "novalue"], ["-d=maybe"]):
            done = subprocess.run([SERVER, *args], cwd=self.dir.name, timeout=20, capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, 64, args)
            self.assertIn("wkim-server: ", done.stderr)

    def test_help_and_version(self):
        for args, word in ((["help"], "--ignoreMissingConfig"), (["version"], "wkim-server ")):
            done = subprocess.run([SERVER, *args], cwd=self.dir.name, timeout=20, capture_output=True,
                                  text=True, check=False)
            self.assertEqual(done.returncode, 0)
            self.assertIn(word, done.stdout)

    def test_stop_without_a_server_fails(self):
        done = subprocess.run([SERVER, "stop", "--set", f"rootDir={self.dir.name}/x"],
                              cwd=self.dir.name, timeout=20, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no server is running", done.stderr)


if __name__ == "__main__":
    unittest.main()
