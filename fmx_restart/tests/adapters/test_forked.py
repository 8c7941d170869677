"""A forked process ends, reads, writes and stands in the process table as one that was started in the common way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import unittest

from fmx_restart.tests.adapters.forked import Forked, run_forked

STARTS = (subprocess.Popen, Forked)
TELL = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['A'], sys.stdin.read(), os.getsid(0) == os.getpid())"


class TestForked(unittest.TestCase):
	def run_both(self, code: str, *words: str, **how) -> list[tuple]:
		answers = []
		for start in STARTS:
			pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
			with start([sys.executable, "-c", code, *words], text=True, **pipes, **how) as process:
				answers.append((*process.communicate("typed"), process.returncode))
		return answers

	def test_words_folder_environment_streams_and_session_are_its_own(self):
		for has_session in (False, True):
			how = {"cwd": "/usr", "env": {**os.environ, "A": "b"}, "start_new_session": has_session}
			started, forked = self.run_both(TELL, "one", "two", **how)
			self.assertEqual(forked, started)
			self.assertEqual(forked, (f"['one', 'two'] /usr b typed {has_session}\n", "", 0))

	def test_its_end_is_told_whatever_that_was(self):
		for code, status in (("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 9)", -9)):
			with self.subTest(code):
				self.assertEqual([answer[2] for answer in self.run_both(code)], [status, status])
		_, errors, code = self.run_both("1 / 0")[1]
		self.assertIn("ZeroDivisionError", errors)
		self.assertEqual(code, 1)

	def test_it_runs_until_it_is_ended_and_files_that_it_holds_are_free_then(self):
		process = Forked([sys.executable, "-c", "import signal; signal.pause()"], stdout=subprocess.PIPE)
		self.assertIsNone(process.poll())
		with self.assertRaises(subprocess.TimeoutExpired):
			process.wait(0.05)
		process.terminate()
		self.assertEqual(process.wait(10), -signal.SIGTERM)
		self.assertEqual(process.stdout.read(), b"")
		process.stdout.close()

	def test_one_that_takes_too_long_is_ended(self):
		with self.assertRaises(subprocess.TimeoutExpired):
			run_forked([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.1)


if __name__ == "__main__":
	unittest.main()
