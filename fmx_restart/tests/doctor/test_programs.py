"""Programs that their manager cannot keep up, and those that are down on purpose."""

from __future__ import annotations

import os

from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.commands.status import program_lines
from fmx_restart.doctor.programs import programs_of
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.clock import FakeClock
from fmx_restart.testing.processes import InMemoryProcesses, Program
from fmx_restart.tests.doctor.support import DoctorTestCase, dead_note

SOCKETIO = "bench-web:bench-node-socketio"


class TestPrograms(DoctorTestCase):
	def program(self, state: ProcessState, detail: str = "") -> None:
		"""The bench's only one."""
		made = Program(SOCKETIO, ProcessKind.SOCKETIO, state=state, detail=detail)
		self.ways["processes"] = lambda: InMemoryProcesses(FakeClock(), made)

	def test_one_that_does_not_stay_up_is_an_error_with_its_managers_words_and_how_to_start_it(self):
		for state, words in (
			(ProcessState.RETRYING, "ends soon after each start"),
			(ProcessState.FAILED, "has given up"),
		):
			self.program(state, "Exited too quickly")
			found = self.finding("program-down")
			self.assertEqual((found.severity, found.subject), ("error", SOCKETIO))
			self.assertIn(words, found.text)
			self.assertIn("Exited too quickly", found.text)
			self.assertIn(f"start {SOCKETIO}", found.remedy)

	def test_one_that_runs_or_is_down_on_purpose_is_fine(self):
		for state in set(ProcessState) - {ProcessState.RETRYING, ProcessState.FAILED}:
			self.program(state)
			self.assert_clean(["program-down"])

	def test_while_an_operation_restarts_programs_it_is_a_note(self):
		self.program(ProcessState.RETRYING)
		operation = "20261122-120000-beef"
		note = dead_note(operation, pid=os.getpid(), phase="Restart")
		self.admin.set(lock_key(self.rq.id), f"{operation} {note}")
		self.assertEqual(self.finding("program-down").severity, "note")


class TestSeveralManagers(DoctorTestCase):
	"""What `bench safe-restart status` shows of two managers, one of them on another machine."""

	def setUp(self) -> None:
		super().setUp()
		bench = InMemoryBench({"short": ("short",)})
		self.managers = {"here": bench.processes, "there": bench.add_host("host-2", {"long": ("long",)})}
		self.ways["processes"] = lambda: bench.port().processes

	def test_the_programs_of_both_are_shown(self):
		programs = programs_of(self.view())
		self.assertEqual([row.name for row in programs.rows], ["host-1/short", "host-1/web", "host-2/long"])
		self.assertEqual((programs.fault, programs.away), (None, ()))

	def test_one_that_is_away_is_named_and_the_programs_of_the_other_are_shown(self):
		self.managers["there"].is_away = True
		programs = programs_of(self.view())
		self.assertEqual([row.name for row in programs.rows], ["host-1/short", "host-1/web"])
		self.assertIsNone(programs.fault)
		text = "\n".join(program_lines(programs))
		self.assertIn("does not answer, and its programs are not shown: host-2: it did not answer.", text)
		self.assertNotIn("No process manager answers", text)

	def test_where_both_are_away_the_processes_that_are_seen_are_shown(self):
		for manager in self.managers.values():
			manager.is_away = True
		programs = programs_of(self.view())
		self.assertIn("did not answer", programs.fault.message)
		self.assertEqual((programs.rows, programs.away), ((), ()))
		self.assertIn("No process manager answers", "\n".join(program_lines(programs)))
