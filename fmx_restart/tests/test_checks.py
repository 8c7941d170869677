"""bin/test itself: what it leaves out, and what it leaves running when it is told to end."""

from __future__ import annotations

import signal
import subprocess
import sys
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


def end(process: psutil.Process) -> None:
	if process.is_running():
		process.kill()


if __name__ == "__main__":  # a command with a child that does not hear of its parent's end
	subprocess.run([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
