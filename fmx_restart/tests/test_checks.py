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
from development.ending import end_children_on
from development.progress import Progress
from development.runner import Runner

def stop():
	print("stopped", flush=True)

words = ("fmx_restart.tests.test_checks", "a child")
runner = Runner(Path(sys.executable), None, Progress(sys.stderr))
end_children_on(signal.SIGTERM)
with ExitStack() as stack:
	stack.callback(stop)
	aside = threading.Thread(target=runner.all, args=(words, words))
	stack.callback(aside.join)
	aside.start()
	runner.all(words, words)
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
		options = ["-p", "development.pytest_plugin", "-p", "no:cacheprovider", "--outliving-patience", "0.5"]
		done = subprocess.run(
			[sys.executable, "-m", "pytest", "-q", f"--rootdir={folder.name}", *options, test],
			cwd=folder.name,
			env={**outside_of_tests(), "PYTHONPATH": str(CHECKOUT)},
			capture_output=True,
			text=True,
		)
		return done, int(note.read_text().split()[1])

	def test_a_process_that_outlives_the_tests_is_told_and_killed_and_the_run_fails(self):
		done, pid = self.run_one("import signal; signal.pause()")
		self.addCleanup(lambda: identity_of(pid) and os.kill(pid, signal.SIGKILL))
		self.assertEqual(done.returncode, 17, done.stdout + done.stderr)
		self.assertRegex(done.stdout, rf"outlived the tests(.|\n)*pid {pid}: .*signal.pause")
		self.assertIn("1 passed", done.stdout)
		self.assertEqual(identity_of(pid), "")

	def test_one_that_ends_a_moment_later_is_none(self):
		done, _ = self.run_one("import time; time.sleep(0.1)")
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


#: A test for each of `count` classes; those of the first `broken` fail always, the others as long as there is no note.
UNSTABLE = """
import pathlib

class Case:
	def test_it(self):
		note = pathlib.Path({folder!r}, type(self).__name__)
		passes = note.exists()
		note.touch()
		assert passes and not self.is_broken

"""
ONE_CLASS = """
class Test{number}(Case):
	is_broken = {is_broken}
"""


@unittest.skipUnless((CHECKOUT / "development").is_dir(), "only in a checkout")
class TestSecondTry(unittest.TestCase):
	def run_some(self, count: int, *, broken: int = 0) -> tuple[bool, str]:
		"""Whether the run failed, and what it printed."""
		from development.description import ROOT
		from development.progress import Progress
		from development.runner import Runner

		folder = tempfile.TemporaryDirectory(dir=ROOT)  # pytest names tests as seen from the checkout
		self.addCleanup(folder.cleanup)
		test = Path(folder.name, "test_it.py")
		classes = [ONE_CLASS.format(number=number, is_broken=number < broken) for number in range(count)]
		test.write_text(UNSTABLE.format(folder=folder.name) + "".join(classes))
		environment = {**outside_of_tests(), "PYTHONPATH": str(CHECKOUT)}
		with Path(folder.name, "output").open("w+") as output:
			runner = Runner(Path(sys.executable), environment, Progress(output), output)
			failed = runner.tests([str(test)], ["-n2"], Path(folder.name, "cache"))
			output.seek(0)
			return failed, output.read()

	def test_one_that_passes_at_its_second_try_is_named_as_unstable(self):
		failed, output = self.run_some(2)
		self.assertFalse(failed, output)
		self.assertRegex(output, r"UNSTABLE.*::Test0::test_it, .*::Test1::test_it")
		self.assertRegex(output, r"(?s)2 failed.*2 passed")

	def test_one_that_fails_again_fails_the_run(self):
		failed, output = self.run_some(2, broken=1)
		self.assertTrue(failed, output)
		self.assertNotIn("UNSTABLE", output)

	def test_many_that_fail_are_not_tried_again(self):
		failed, output = self.run_some(4)
		self.assertTrue(failed, output)
		self.assertNotIn("passed", output)


def outside_of_tests() -> dict[str, str]:
	"""The environment without what belongs to the run that these tests are part of."""
	others = ("PYTEST_", "FMX_")
	return {name: value for name, value in os.environ.items() if not name.startswith(others)}


def end(process: psutil.Process) -> None:
	if process.is_running():
		process.kill()


if __name__ == "__main__":  # a command with a child that does not hear of its parent's end
	subprocess.run([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
