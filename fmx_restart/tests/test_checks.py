"""bin/test itself: what it leaves out, and that neither it nor a test leaves anything running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import psutil

from fmx_restart.adapters.process_table import identity_of
from fmx_restart.tests.adapters.waiting import eventually

CHECKOUT = Path(__file__).resolve().parents[2]
#: As bin/test does it: one command in the main thread, another aside, which would go on with the next one; at the end benches
#: are stopped. Each command has a child of its own, as pytest and the build have.
STORY = """
import signal, sys, threading
from contextlib import ExitStack
from pathlib import Path
from development.checks import run
from development.ending import end_children_on
from development.progress import Progress

def stop():
	print("stopped", flush=True)

words = ("fmx_restart.tests.test_checks", "a child")
end_children_on(signal.SIGTERM)
with ExitStack() as stack:
	stack.callback(stop)
	aside = threading.Thread(target=run, args=(Path(sys.executable), None, Progress(sys.stderr), words, words))
	stack.callback(aside.join)
	aside.start()
	run(Path(sys.executable), None, Progress(sys.stderr), words, words)
"""


@unittest.skipUnless((CHECKOUT / "development").is_dir(), "only in a checkout")
class TestEnding(unittest.TestCase):
	def test_sigterm_ends_commands_and_their_children_begins_no_other_and_stops_what_is_to_be_stopped(self):
		process = subprocess.Popen(
			[sys.executable, "-c", STORY],
			cwd=CHECKOUT,
			stdout=subprocess.PIPE,
			stderr=subprocess.DEVNULL,
			text=True,
		)
		self.addCleanup(process.communicate)
		self.addCleanup(process.kill)
		top = psutil.Process(process.pid)
		family = eventually(lambda: len(it := top.children(recursive=True)) == 4 and it, "both are at work")
		for one in family:
			self.addCleanup(end, one)
		process.send_signal(signal.SIGTERM)
		output, _ = process.communicate(timeout=30)
		self.assertEqual((process.returncode, output), (128 + signal.SIGTERM, "stopped\n"))
		self.assertEqual([one for one in family if identity_of(one.pid)], [])


@unittest.skipUnless((CHECKOUT / "development").is_dir(), "only in a checkout")
class TestFast(unittest.TestCase):
	def test_what_it_leaves_out_exists(self):
		from development.checks import SLOW

		tests = CHECKOUT / "fmx_restart" / "tests"
		self.assertEqual([path for path in SLOW if not (tests / path).exists()], [])


LEAVES = """
import os, subprocess, sys

def test_it_passes():
	left = [sys.executable, "-c", {code!r}]
	print("pid", subprocess.Popen(left, start_new_session=True).pid, file=open({note!r}, "w"))
"""


@unittest.skipUnless((CHECKOUT / "development").is_dir(), "only in a checkout")
class TestOutliving(unittest.TestCase):
	def run_one(self, code: str) -> tuple[subprocess.CompletedProcess, int]:
		"""pytest with bin/test's plugin, on a test that passes and leaves a process behind. Also that one's pid."""
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		test, note = Path(folder.name, "test_it.py"), Path(folder.name, "note")
		test.write_text(LEAVES.format(code=code, note=str(note)))
		others = ("PYTEST_", "FMX_")  # of the run that this test belongs to
		environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
		options = ["-p", "development.pytest_plugin", "-p", "no:cacheprovider", "--outliving-patience", "0.5"]
		done = subprocess.run(
			[sys.executable, "-m", "pytest", "-q", f"--rootdir={folder.name}", *options, test],
			cwd=folder.name,
			env={**environment, "PYTHONPATH": str(CHECKOUT)},
			capture_output=True,
			text=True,
		)
		return done, int(note.read_text().split()[1])

	def test_a_process_that_outlives_the_tests_is_told_and_killed_and_the_run_fails(self):
		done, pid = self.run_one("import signal; signal.pause()")
		self.addCleanup(lambda: identity_of(pid) and os.kill(pid, signal.SIGKILL))
		self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
		self.assertRegex(done.stdout, rf"outlived the tests(.|\n)*pid {pid}: .*signal.pause")
		self.assertIn("1 passed", done.stdout)
		self.assertEqual(identity_of(pid), "")

	def test_one_that_ends_a_moment_later_is_none(self):
		done, _ = self.run_one("import time; time.sleep(0.1)")
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def end(process: psutil.Process) -> None:
	if process.is_running():
		process.kill()


if __name__ == "__main__":  # a command with a child that does not hear of its parent's end
	subprocess.run([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
