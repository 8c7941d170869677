"""An operation whose process died before it came to an end."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.doctor.registry import FIXES
from fmx_restart.engine import events
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, Setting
from fmx_restart.tests.doctor.support import DoctorTestCase, dead_note

OPERATION = "20261122-120000-beef"


def journal_in(bench: Path, bench_id: str, *facts: events.Event) -> Journal:
	"""As an operation writes it. Whoever has it open works on it."""
	journal = Journal(bench / "logs" / "fmx_restart", OPERATION)
	for fact in (events.OperationStarted(OPERATION, bench_id, "wait-workers"), *facts):
		journal(fact)
	return journal


class TestOperations(DoctorTestCase):
	def journal(self, *facts: events.Event) -> Journal:
		return journal_in(self.path, self.rq.id, *facts)

	def test_one_that_still_runs_is_fine(self):
		with closing(self.journal(events.PhaseEntered(Phase.FENCE))):
			self.assert_clean(["unfinished-operation"])

	def test_one_that_changed_nothing_that_stays_is_a_warning(self):
		self.journal(events.PhaseEntered(Phase.FENCE)).close()
		found = self.finding("unfinished-operation")
		self.assertEqual((found.severity, found.subject), ("warning", OPERATION))
		self.assertEqual(found.fix, "unfinished-operation")
		self.assertIn("died during the pause of the queue", found.text)

	def test_one_that_left_a_program_stopped_and_a_site_closed_is_an_error_and_names_both(self):
		mode = Setting("one.localhost", "maintenance_mode")
		facts = [
			events.SettingChanged(mode, mode),
			events.ProcessStopping("bench-web:web", ProcessKind.WEB, 4242),
		]
		self.journal(*facts).close()
		found = self.finding("unfinished-operation")
		self.assertEqual(found.severity, "error")
		self.assertIn("bench-web:web", found.text)
		self.assertIn("maintenance_mode of one.localhost", found.text)

	def test_one_of_another_machine_is_not_fixed_here_and_says_where(self):
		machine = Machine("a.example", "another-id", "another-boot", 1.0)
		started = events.OperationStarted(OPERATION, self.rq.id, "fast", "a.example", machine=machine)
		with closing(Journal(self.path / "logs" / "fmx_restart", OPERATION)) as journal:
			for fact in (started, events.ProcessStopping("bench-web:web", ProcessKind.WEB, 4242)):
				journal(fact)
		found = self.finding("unfinished-operation")
		self.assertEqual((found.severity, found.fix), ("error", ""))
		self.assertIn("ran on a.example and died there", found.text)
		self.assertIn("On a.example, type: bench safe-restart recover", found.remedy)
		self.assertEqual(list(FIXES.all()["unfinished-operation"](self.view())), [])
		# One that still holds the bench lives there
		self.admin.set(lock_key(self.rq.id), f"{OPERATION} {dead_note(OPERATION, host='a.example')}")
		self.assert_clean(["unfinished-operation"])

	def test_one_whose_journal_is_not_understood_says_so_and_is_not_fixed(self):
		journal = self.journal(events.ProcessStopping("bench-web:web", ProcessKind.WEB, 4242))
		journal.close()
		with journal.path.open("a") as file:
			file.write('{"event": "Unheard", "time": 1.0}\n')
		found = self.finding("unfinished-operation")
		self.assertEqual((found.severity, found.fix), ("error", ""))
		self.assertIn(f"Line 3 of {journal.path} is not understood", found.text)
		self.assertIn("stopped: bench-web:web", found.text)

	def test_a_bench_where_none_ever_ran_is_fine(self):
		self.assert_clean(["unfinished-operation"])
