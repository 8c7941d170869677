"""Checks run side by side; what fails or hangs is told, and hides nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from fmx_restart.adapters.managers.supervisor.processes import SupervisorProcesses
from fmx_restart.doctor import PREFLIGHT
from fmx_restart.doctor.host import settings
from fmx_restart.doctor.registry import Finding, Severity
from fmx_restart.doctor.runner import ask
from fmx_restart.engine.errors import QueueUnreachable, WrongEnvironment
from fmx_restart.engine.ports.managers import ProcessManagers
from fmx_restart.tests.adapters.benches import Supervisord
from fmx_restart.tests.adapters.waiting import eventually
from fmx_restart.tests.doctor.support import DoctorTestCase

FOUND = Finding("found", Severity.WARNING, "short", "It is wrong.", "bench put-it-right")
CHECKOUT = Path(__file__).parents[3]


def finds(view):
	yield FOUND


def finds_and_fails(view):
	yield FOUND
	raise LookupError("no such thing")


class OwnSupervisord(Supervisord):
	"""Of no programs."""

	@property
	def processes(self) -> SupervisorProcesses:
		return SupervisorProcesses(self.address, str(self.folder))

	def freeze(self) -> None:
		self._process.send_signal(signal.SIGSTOP)
		process = psutil.Process(self._process.pid)
		eventually(lambda: process.status() == psutil.STATUS_STOPPED, "it is stopped")


class TestExamine(DoctorTestCase):
	def hang(self, view=None):
		"""Until the test is over."""
		self.over.wait()
		return ()

	def setUp(self) -> None:
		super().setUp()
		self.over = threading.Event()
		self.addCleanup(self.over.set)

	def test_a_check_that_fails_is_a_finding_and_hides_neither_the_others_nor_what_it_found_before(self):
		examination = ask(self.view(), {"finds": finds, "fails": finds_and_fails}, {})
		failed, found = examination.findings
		self.assertEqual((failed.check, failed.subject, failed.severity), ("check-failed", "fails", "error"))
		self.assertIn("LookupError, test_examine.py line", failed.text)
		self.assertNotIn("no such thing", failed.text)  # it may be a password
		self.assertEqual(found, FOUND)

	def test_a_check_that_hangs_is_a_finding_after_its_time_and_hides_no_other(self):
		began = time.monotonic()
		examination = ask(self.view(), {"finds": finds, "hangs": self.hang}, {}, limit=0.3)
		self.assertLess(time.monotonic() - began, 1.5)
		self.assertEqual(
			[(found.check, found.subject) for found in examination.findings],
			[("check-failed", "hangs"), ("found", "short")],
		)

	def test_what_cannot_be_reached_is_told_once_however_many_checks_want_it(self):
		def refuse():
			raise QueueUnreachable("Redis does not answer.", hint="supervisorctl status")

		self.ways["connection"] = refuse
		checks = {f"check-{n}": lambda view: [view.look and FOUND] for n in range(20)}
		examination = ask(self.view(), {"finds": finds, **checks}, {"workers": lambda view: [view.look]})
		told, found = examination.findings
		self.assertEqual((told.check, told.subject), ("unreachable", "connection"))
		self.assertEqual((told.text, told.remedy), ("Redis does not answer.", "supervisorctl status"))
		self.assertEqual(found, FOUND)

	def test_what_does_not_answer_at_all_is_told_once_too(self):
		self.ways["connection"] = self.hang
		checks = {f"check-{n}": lambda view: [view.look] for n in range(20)}
		examination = ask(self.view(), checks, {}, limit=0.3)
		self.assertEqual(
			[(f.check, f.subject) for f in examination.findings], [("unreachable", "connection")]
		)

	def test_of_several_process_managers_the_one_that_hangs_is_named(self):
		managers = {name: self.supervisord(name) for name in ("app1", "app2")}
		self.ways["processes"] = lambda: ProcessManagers(
			{name: one.processes for name, one in managers.items()}
		)
		managers["app2"].freeze()
		checks = {"programs": lambda view: view.processes, "settings": lambda view: [settings(view)]}
		findings = ask(self.view(), checks, {}, limit=1.0).findings
		self.assertEqual(
			{(found.check, found.subject, found.text) for found in findings},
			{("unreachable", part, "app2 does not answer.") for part in ("processes", "settings")},
		)

	def supervisord(self, name: str) -> OwnSupervisord:
		(self.path / name).mkdir()
		supervisord = OwnSupervisord(self.path / name, "")
		self.addCleanup(supervisord.stop)
		supervisord.start()
		return supervisord

	def test_each_part_is_read_once_by_twenty_checks_at_a_time(self):
		reads = []
		self.ways["sites"] = lambda: reads.append(1) or time.sleep(0.05) or ["one.localhost"]
		checks = {f"check-{n}": lambda view: [view.sites and FOUND] for n in range(20)}
		examination = ask(self.view(), checks, {})
		self.assertEqual((examination.findings, reads), ((FOUND,), [1]))

	def test_a_check_that_hangs_keeps_the_process_from_nothing(self):
		"""A process of its own, whose only other thread never ends, ends."""
		code = (
			"import threading\n"
			"from fmx_restart.doctor.runner import ask\n"
			"from fmx_restart.doctor.bench_view import BenchView\n"
			"found = ask(BenchView('/', 'x', None), {'hangs': lambda _: threading.Event().wait()}, {}, limit=0.1)\n"
			"print(found.findings[0].check)"
		)
		done = subprocess.run(
			[sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=30
		)
		self.assertEqual((done.returncode, done.stdout), (0, "check-failed\n"), done.stderr)

	def test_errors_come_first(self):
		def two(view):
			yield Finding("b", Severity.WARNING, "", "", "")
			yield Finding("b", Severity.ERROR, "", "", "")

		findings = ask(self.view(), {"b": two}, {}).findings
		self.assertEqual([found.severity for found in findings], [Severity.ERROR, Severity.WARNING])

	def test_a_name_that_there_is_none_of_is_refused_with_those_that_there_are(self):
		with self.assertRaises(WrongEnvironment) as caught:
			self.findings("no-such-check")
		self.assertIn("queue-suspended", caught.exception.hint)

	def test_no_module_takes_the_place_of_the_function_that_everybody_calls(self):
		code = "import fmx_restart.doctor.runner\nfrom fmx_restart.wiring import examine\nassert callable(examine)"
		done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
		self.assertEqual(done.returncode, 0, done.stderr)

	def test_the_checks_for_a_preflight_are_all_there_and_make_no_tables(self):
		examination = self.examine(*PREFLIGHT)
		self.assertEqual(set(examination.checks), set(PREFLIGHT))
		self.assertEqual(examination.details, {})
