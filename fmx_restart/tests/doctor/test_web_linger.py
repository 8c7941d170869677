"""Whether a restart of web fails requests, and what gone web processes have left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from fmx_restart.adapters.host import ThisHost
from fmx_restart.adapters.web.gunicorn_configuration import carry_out, plan_installation
from fmx_restart.adapters.web.linger import GivenOrder
from fmx_restart.adapters.web.ways import READS_WITHIN
from fmx_restart.doctor.checks.web import web
from fmx_restart.doctor.registry import FIXES
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.doctor.support import DoctorTestCase
from fmx_restart.web.files import Files, Order, Record, start_time, write_record

PAUSES = "import signal; signal.pause()"
FORKS = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PAUSES!r}])"
CHECK = "web-linger"


class TestWebLinger(DoctorTestCase):
	def setUp(self) -> None:
		super().setUp()
		self.sites = Path(self.path, "sites")

	def run_web(self, *words: str, code: str = PAUSES) -> int:
		process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=self.sites)
		self.addCleanup(process.wait)
		self.addCleanup(lambda: ThisHost("/").end(ThisHost("/").family(process.pid)))
		manager = InMemoryProcesses(FakeClock(), Program("web", ProcessKind.WEB))
		manager["web"].pid = process.pid
		self.ways["processes"] = lambda: manager
		return process.pid

	def record(self, master: int, key: str = "a" * 12) -> Files:
		files = Files(str(self.sites), key)
		os.close(write_record(files, Record(master, start_time(master) or 1, 2)))
		return files

	def gone(self) -> int:
		done = subprocess.Popen([sys.executable, "-c", ""])
		done.wait()
		return done.pid

	def rows(self) -> list[tuple[str, str]]:
		return [(row.way, row.remedy) for row in web(self.view())]

	def test_web_that_is_not_set_up_is_a_note_with_the_command(self):
		self.run_web("gunicorn")
		finding = self.finding(CHECK)
		self.assertEqual((finding.severity, finding.subject), ("note", "web"))
		self.assertIn("bench safe-restart setup web", finding.remedy)
		self.assertEqual(self.rows(), [("plain", finding.remedy)])
		(row,) = web(self.view())
		self.assertEqual(row.command, "bench safe-restart setup web")

	def test_where_it_is_active_there_is_no_finding_and_the_table_says_that_no_request_fails(self):
		carry_out(plan_installation(self.sites))
		self.record(self.run_web("gunicorn"))
		self.assert_clean([CHECK])
		(row,) = web(self.view())
		self.assertEqual(row.way, "linger")
		self.assertIn("No request fails", row.restart)

	def test_lines_that_did_nothing_are_a_warning_and_lines_of_later_a_note(self):
		self.run_web("gunicorn", code=FORKS)
		time.sleep(READS_WITHIN + 0.5)  # until then it may still come to read them
		carry_out(plan_installation(self.sites))
		self.assertIn("fail no request", self.finding(CHECK).remedy)
		an_hour_ago = time.time() - 3600
		os.utime(self.sites / "gunicorn.conf.py", (an_hour_ago, an_hour_ago))
		finding = self.finding(CHECK)
		self.assertEqual(finding.severity, "warning")
		self.assertIn("fmx_restart.web.hooks", finding.remedy)

	def test_web_that_is_no_gunicorn_is_left_in_peace(self):
		self.run_web("bench", "serve")
		self.assert_clean([CHECK])

	def test_a_bench_without_web_has_nothing_to_tell(self):
		self.assert_clean([CHECK])
		self.assertEqual(self.rows(), [])

	def test_files_of_processes_that_are_gone_are_deleted_by_the_fix(self):
		files = self.record(self.gone())
		with socket.socket(socket.AF_UNIX) as listener:
			listener.bind(files.socket)
		finding = self.finding(CHECK)
		self.assertEqual(finding.fix, CHECK)
		(step,) = FIXES.all()[CHECK](self.view())
		self.assertEqual(step.act(), "Deleted.")
		self.assertEqual([path for path in self.sites.iterdir() if path.is_file() or path.is_socket()], [])
		self.assert_clean([CHECK])

	def test_files_of_another_machine_in_the_same_folder_are_left_alone_and_those_of_an_earlier_boot_are_not(
		self,
	):
		theirs = Files(str(self.sites), f"{'a' * 12}-{'0' * 8}")
		os.close(write_record(theirs, Record(self.gone(), 1, 2, host="another")))
		os.utime(theirs.record, (1, 1))
		self.assert_clean([CHECK])
		os.close(write_record(theirs, Record(self.gone(), 1, 2, host=socket.gethostname())))
		self.assert_clean([CHECK])
		os.utime(theirs.record, (1, 1))
		self.assertEqual(self.finding(CHECK).fix, CHECK)

	def test_files_that_somebody_uses_by_the_time_of_the_fix_stay(self):
		files = self.record(self.gone())
		(step,) = FIXES.all()[CHECK](self.view())
		order = GivenOrder.give(files, Order(17, 99))
		self.addCleanup(order.let_go)
		self.assertIn("nothing was deleted", step.act())
		self.assertTrue(Path(files.record).exists())
		self.assert_clean([CHECK])
