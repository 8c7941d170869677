from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
from pathlib import Path

import psutil

from fmx_restart.adapters.migrations import AdoptedRun, CommandRun
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.tests.adapters.waiting import eventually

CHILD = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']{more}).pid, flush=True)"


class TestCommandRun(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = Path(folder.name)

	def start(self, code: str) -> CommandRun:
		run = CommandRun([sys.executable, "-c", code], self.folder, self.folder / "logs" / "run.log")
		self.addCleanup(run._output.close)
		self.addCleanup(run.kill)
		return run

	def printed(self, run: CommandRun, lines: int = 1) -> list[str]:
		text = []
		eventually(lambda: text.append(run.output()) or "".join(text).count("\n") >= lines, "its output")
		return "".join(text).splitlines()

	def test_one_that_works_tells_its_output_and_exit_code(self):
		run = self.start("import os; print('héllo'); print(os.getcwd())")
		eventually(lambda: run.exit_code() == 0, "its end")
		self.assertEqual(run.output(), f"héllo\n{os.path.realpath(self.folder)}\n")
		self.assertEqual(run.output(), "")
		self.assertTrue(run.is_gone())

	def test_one_that_fails_tells_its_error_and_exit_code(self):
		run = self.start("print('before'); raise SystemExit('no such column')")
		eventually(lambda: run.exit_code() == 1, "its end")
		self.assertEqual(run.output(), "before\nno such column\n")

	def test_its_output_can_be_read_while_it_runs_and_nobody_waits_for_it(self):
		run = self.start("import time; print('first'); time.sleep(600)")
		self.assertEqual(self.printed(run), ["first"])
		began = time.monotonic()
		self.assertEqual((run.output(), run.exit_code()), ("", None))
		self.assertLess(time.monotonic() - began, 0.1)

	def test_all_of_it_is_in_a_log_that_only_its_owner_can_read(self):
		run = self.start("import sys; print('x' * 300_000); print('err', file=sys.stderr)")
		eventually(lambda: run.exit_code() == 0, "its end")
		log = Path(run.log)
		self.assertEqual((log.stat().st_size, log.stat().st_mode & 0o777), (300_005, 0o600))

	def test_term_ends_one_that_hangs_silently(self):
		run = self.start("import time; print(1); time.sleep(600)")
		self.printed(run)
		run.terminate()
		eventually(run.is_gone, "every process of it has ended")
		self.assertEqual(run.exit_code(), -15)

	def test_kill_ends_one_that_ignores_term(self):
		run = self.start("import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(600)")
		self.printed(run)
		run.terminate()
		self.assertFalse(run.is_gone())
		run.kill()
		eventually(run.is_gone, "every process of it has ended")

	def test_children_end_with_it_whether_they_stay_in_its_session_or_not(self):
		for more in ("", ", start_new_session=True"):
			with self.subTest(more=more):
				run = self.start(CHILD.format(more=more) + "; import time; time.sleep(600)")
				child = psutil.Process(int(self.printed(run)[0]))
				run.terminate()
				eventually(run.is_gone, "every process of it has ended")
				self.assertFalse(child.is_running() and child.status() != psutil.STATUS_ZOMBIE)

	def test_children_that_outlive_it_are_seen_and_ended(self):
		for more in ("", ", start_new_session=True"):
			with self.subTest(more=more):
				run = self.start(CHILD.format(more=more) + "; raise SystemExit(3)")
				child = int(self.printed(run)[0])
				eventually(lambda run=run: run.exit_code() == 3, "its end")
				self.assertFalse(run.is_gone())
				run.terminate()
				eventually(run.is_gone, "every process of it has ended")
				self.assertFalse(
					psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE
				)

	def test_other_processes_are_left_alone(self):
		other = self.start("import time; print(1); time.sleep(600)")
		self.printed(other)
		run = CommandRun([sys.executable, "-c", "pass"], self.folder, self.folder / "logs" / "other.log")
		self.addCleanup(run._output.close)
		eventually(lambda: run.exit_code() == 0, "its end")
		run.kill()
		self.assertIsNone(other.exit_code())

	def test_its_age_is_counted_by_the_kernel_and_known_to_whoever_adopts_it(self):
		began = time.monotonic()
		run = self.start("import time; print(1); time.sleep(600)")
		self.printed(run)
		for one in (run, AdoptedRun(run.log)):
			self.assertAlmostEqual(one.age(), time.monotonic() - began, delta=1)
		run.kill()
		eventually(run.is_gone, "every process of it has ended")
		self.assertEqual((run.age(), AdoptedRun(run.log).age()), (0.0, 0.0))

	def test_its_own_ctrl_c_is_not_ours(self):
		run = self.start("import os; print(os.getsid(0) == os.getpid())")
		self.assertEqual(self.printed(run), ["True"])

	def test_a_command_that_is_not_there_is_told(self):
		with self.assertRaisesRegex(WrongEnvironment, "/no/such/command cannot be started"):
			CommandRun(["/no/such/command"], self.folder, self.folder / "logs" / "run.log")
