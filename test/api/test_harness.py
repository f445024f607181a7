"""The harness itself: what goes wrong in a server must fail the test that started it."""
import os
import pathlib
import tempfile
import unittest

import server as srv


class Harness(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(setattr, srv, "PROGRAM", srv.PROGRAM)
        srv.PROGRAM = str(pathlib.Path(folder.name, "program"))

    def closing(self, script, wait=True):
        """What close() says of a server that is this shell script, None: nothing."""
        with open(srv.PROGRAM, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n%s\n" % script)
        os.chmod(srv.PROGRAM, 0o755)
        server = srv.Server()
        server.launch()
        if wait:
            server.process.wait(10)
        try:
            server.close()
        except AssertionError as e:
            return str(e)
        finally:
            self.assertFalse(server.root.exists())
            self.assertFalse(server.alive())
        return None

    def test_a_good_end_says_nothing(self):
        self.assertIsNone(self.closing("exit 0"))
        self.assertIsNone(self.closing("echo config: bad; exit 78"))       # the test looks at the code
        self.assertIsNone(self.closing("kill -KILL $$"))

    def test_a_crash_is_noticed(self):
        for name in ("ABRT", "SEGV"):
            self.assertIn("died of signal", self.closing("kill -%s $$" % name))

    def test_reports_are_noticed(self):
        for text in ("==1==ERROR: AddressSanitizer: heap-use-after-free on address 0x1",
                     "==1==ERROR: LeakSanitizer: detected memory leaks",
                     "WARNING: ThreadSanitizer: data race (pid=1)",
                     "lib/a.c:1:2: runtime error: signed integer overflow",
                     "wkim: invariant broken: a < b (lib/a.c:1)"):
            self.assertIn(text, self.closing("echo '%s' >&2; exit 0" % text))

    def test_an_end_with_a_code_after_a_request_to_stop_is_noticed(self):
        script = "trap 'exit 66' TERM; echo > \"$(dirname \"$2\")/up\"; while :; do sleep 0.02; done"
        with open(srv.PROGRAM, "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\n%s\n" % script)
        os.chmod(srv.PROGRAM, 0o755)
        server = srv.Server()
        server.launch()
        while not (server.root / "up").exists():
            self.assertTrue(server.alive())
        with self.assertRaisesRegex(AssertionError, "ended with 66 after SIGTERM"):
            server.close()


if __name__ == "__main__":
    unittest.main(verbosity=1)
