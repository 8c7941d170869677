"""Programs that their manager cannot keep up, and those that are down on purpose."""

from __future__ import annotations

import os

from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.engine.ports import ProcessKind, ProcessState
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
