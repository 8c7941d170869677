"""A bench whose supervisord does not answer: an error where supervisor should run it, a note elsewhere."""

from __future__ import annotations

import json
import unittest.mock

from fmx_restart.adapters.bench import BenchFolder
from fmx_restart.adapters.bench_processes import adopted
from fmx_restart.adapters.managers.supervisor.configuration import sign_of_supervisor, signs_in_processes
from fmx_restart.adapters.managers.supervisor.discovery import find_supervisor
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.doctor.registry import Finding, Severity
from fmx_restart.doctor.runner import run_checks
from fmx_restart.tests.adapters.benches import ShownSupervisord, program, worker_in_terminal
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.host_bench import HostTestCase, kill

#: Checks that ask the process manager, and no Redis.
ASK_THE_MANAGER = ("stop-time", "stop-signal", "autorestart", "shell-wrapper", "program-group")


class NoManagerCase(HostTestCase):
	def setUp(self):
		super().setUp()
		self.files = [str(self.bench / "supervisord.conf")]
		self.ways |= {"processes": self.look_for_supervisor, "config": lambda: self.config}
		self.config: dict = {}

	def look_for_supervisor(self):
		return find_supervisor(str(self.bench), environ={}, files=self.files)

	def sign(self) -> str:
		return sign_of_supervisor(str(self.bench), self.config, ProcessTable.take(), files=self.files)


class TestABenchWithoutSupervisor(NoManagerCase):
	def test_one_note_says_what_was_not_checked_and_the_bench_is_healthy(self):
		# Given a bench as `bench start` runs it: a worker, and no sign of supervisor
		worker_in_terminal(self, self.bench)
		# When it is examined by several checks that want the manager
		examination = run_checks(self.view(), ASK_THE_MANAGER)
		# Then that is one note, and no exit code depends on it
		(note,) = examination.findings
		self.assertEqual((note.check, note.severity, note.subject), ("no-manager", Severity.NOTE, ""))
		self.assertIn("programs, their settings and orphans below a manager were not checked", note.text)
		self.assertEqual((examination.is_healthy, examination.problems), (True, ()))
		self.assertEqual(json.loads(json.dumps(examination.as_dict()))["notes"], 1)

	def test_a_configuration_that_no_supervisord_includes_is_no_sign(self):
		(self.bench / "config/supervisor.conf").write_text(
			program("web", f"{self.bench}/env/bin/gunicorn waits")
		)
		self.assertEqual(self.sign(), "")

	def test_a_terminal_that_supervisord_runs_is_no_sign(self):
		# Given a worker whose environment names a supervisord, and whose parent is no supervisord
		with unittest.mock.patch.dict("os.environ", SUPERVISOR_ENABLED="1"):
			worker_in_terminal(self, self.bench)
		table = ProcessTable.take()
		self.assertEqual(list(signs_in_processes(BenchFolder(str(self.bench)), table)), [])

	def test_another_benchs_programs_are_no_sign(self):
		(self.bench / "supervisord.conf").write_text(program("web", "/srv/other/env/bin/gunicorn waits"))
		self.assertEqual(self.sign(), "")


class TestABenchThatSupervisorShouldRun(NoManagerCase):
	def is_error(self, sign: str) -> Finding:
		examination = run_checks(self.view(), ASK_THE_MANAGER)
		(found,) = examination.findings
		self.assertEqual(
			(found.check, found.subject, found.severity), ("unreachable", "manager", Severity.ERROR)
		)
		self.assertIn(f"It should run this bench: {sign}", found.text)
		return found

	def test_its_address_is_set(self):
		self.config = {"fmx_restart_supervisor_url": "unix:///nowhere.sock"}
		self.is_error("fmx_restart_supervisor_url is set in sites/common_site_config.json.")

	def test_bench_restarts_it_through_supervisor(self):
		self.config = {"restart_supervisor_on_update": True}
		self.is_error("restart_supervisor_on_update is set")

	def test_a_supervisord_configuration_includes_its_programs(self):
		# Given what `bench setup production` leaves: a file of the bench that the main one includes by a link
		written = self.bench / "config/supervisor.conf"
		written.write_text(
			program("web", f"{self.bench}/env/bin/gunicorn waits", folder=self.bench / "sites")
		)
		(self.bench / "conf.d").mkdir()
		(self.bench / "conf.d/bench.conf").symlink_to(written)
		(self.bench / "supervisord.conf").write_text("[include]\nfiles = conf.d/*.conf\n")
		self.is_error(f"{self.bench}/conf.d/bench.conf has its programs")

	def test_its_processes_outlived_their_supervisord(self):
		# Given a worker that supervisord started, and a supervisord that was killed
		supervisord = self.start_supervisord()
		(worker,) = supervisord.kill_alone()
		self.addCleanup(kill, worker)
		# A process above these tests that asked the kernel for orphans (PR_SET_CHILD_SUBREAPER) gets them in place of PID 1
		orphans = {row.pid for row in adopted(ProcessTable.take())}
		self.assertIn(worker.pid, orphans, f"it runs, and is a child of PID 1 and not of {worker.ppid()}")
		self.is_error(f"pid {worker.pid} was started by a supervisord that is gone")

	def test_a_supervisord_that_cannot_be_asked_runs_its_processes(self):
		self.start_supervisord().socket.unlink()
		self.is_error("a supervisord (pid ")

	def start_supervisord(self) -> ShownSupervisord:
		"""At an address that nothing names."""
		words = f"{self.bench}/env/bin/bench worker waits"
		supervisord = ShownSupervisord(self.home, program("worker", words, folder=self.bench / "sites"))
		self.addCleanup(supervisord.stop)
		supervisord.start()
		eventually(self.is_worker_ready, "the worker is ready")
		return supervisord

	def is_worker_ready(self) -> bool:
		"""Before that it would end with its supervisord, which reads what it prints."""
		return any("ready" in log.read_text() for log in self.home.glob("worker-stdout*"))
