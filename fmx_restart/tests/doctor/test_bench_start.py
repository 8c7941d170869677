"""The doctor on a bench whose programs nobody can stop one by one, as under `bench start`."""

from __future__ import annotations

from fmx_restart.doctor.checks.web import web
from fmx_restart.doctor.registry import Severity
from fmx_restart.doctor.runner import run_checks
from fmx_restart.engine.ports import ProcessKind, ProcessManagers
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.doctor.host_bench import HostTestCase

CHECK = "bench-start"


class TestBenchStart(HostTestCase):
	def run_by(self, *programs: Program) -> None:
		managers = ProcessManagers({"": InMemoryProcesses(FakeClock(), *programs)})
		self.ways["processes"] = lambda: managers

	def test_one_calm_note_and_a_healthy_bench(self):
		self.run_by(Program("web", ProcessKind.WEB, ends_all=True))
		examination = run_checks(self.view(), [CHECK])
		(note,) = examination.findings
		self.assertEqual((note.severity, note.subject, examination.is_healthy), (Severity.NOTE, "", True))
		self.assertIn("in-memory start web runs this bench. It has no settings", note.text)
		(row,) = web(self.view())
		self.assertEqual((row.way, row.remedy), ("reload", ""))

	def test_no_note_under_a_manager_that_stops_them_one_by_one(self):
		self.run_by(Program("web", ProcessKind.WEB))
		self.assertEqual(self.findings(CHECK), ())
