"""Whoever works on an operation is known by the kernel's lock on its journal, also when that process is stopped."""

from __future__ import annotations

import os
import signal
import time
import unittest
from contextlib import closing
from dataclasses import replace

from fmx_restart.adapters.journal import Journal
from fmx_restart.adapters.journal_end import is_closed
from fmx_restart.adapters.journals import OthersAtWork
from fmx_restart.adapters.machine import this_machine
from fmx_restart.engine import events
from fmx_restart.engine.identity import Machine
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, OtherOperation, Setting
from fmx_restart.engine.report import Report
from fmx_restart.engine.web_answers import WebAnswers
from fmx_restart.tests.adapters.test_journal import JournalTest

FIRST, SECOND = "20260101-120000-aaaa", "20260101-120100-bbbb"


def began(pid: int) -> events.OperationStarted:
	process, machine = HostProcess(pid, "#1"), this_machine()
	return events.OperationStarted(FIRST, "bench", "wait-workers", machine.name, process, machine=machine)


def ended(**how) -> events.Ended:
	return events.Ended(Report(FIRST, "bench", "wait-workers", 0.0, outcome=Phase.FAILED, **how))


class TestOthersAtWork(JournalTest):
	def others(self, operation: str = SECOND) -> OtherOperation | None:
		return OthersAtWork(self.folder, operation).at_work()

	def test_one_that_is_stopped_in_the_middle_counts(self):
		self.write(FIRST, began(4711), events.PhaseEntered(Phase.FENCE))
		holder = self.hold(FIRST)
		os.kill(holder.pid, signal.SIGSTOP)
		self.addCleanup(os.kill, holder.pid, signal.SIGCONT)
		self.assertEqual(self.others(), OtherOperation(FIRST, 4711))

	def test_one_on_another_machine_whose_lock_the_file_system_shows_is_named_with_that_machine(self):
		other = Machine("app1", "another-id", "another-boot", 1.0)
		self.write(FIRST, replace(began(4711), host="app1", machine=other), events.PhaseEntered(Phase.FENCE))
		self.hold(FIRST)
		self.assertEqual(self.others(), OtherOperation(FIRST, 4711, "app1"))

	def test_not_oneself(self):
		self.write(FIRST, began(4711), events.PhaseEntered(Phase.FENCE))
		self.hold(FIRST)
		self.assertIsNone(self.others(FIRST))

	def test_not_one_that_has_changed_nothing_yet(self):
		self.write(FIRST, began(4711))
		self.hold(FIRST)
		self.assertIsNone(self.others())

	def test_one_that_changed_a_setting_before_its_first_phase_counts(self):
		off, on = Setting("a", "maintenance_mode"), Setting("a", "maintenance_mode", 1, True)
		self.write(FIRST, began(4711), events.SettingChanged(off, on))
		self.hold(FIRST)
		self.assertEqual(self.others(), OtherOperation(FIRST, 4711))

	def test_not_one_that_has_ended_or_died(self):
		self.write(FIRST, began(4711), events.PhaseEntered(Phase.FENCE))
		self.assertIsNone(self.others())
		self.write(FIRST, ended())
		self.hold(FIRST)
		self.assertIsNone(self.others())

	def test_the_recovery_of_one_counts_and_is_named_by_its_own_process(self):
		recovery = events.RecoveryStarted(FIRST, Phase.FENCE, HostProcess(4712, "#2"))
		self.write(FIRST, began(4711), events.PhaseEntered(Phase.FENCE), recovery)
		self.hold(FIRST)
		self.assertEqual(self.others(), OtherOperation(FIRST, 4712))

	def test_looking_at_two_hundred_journals_takes_no_time(self):
		for number in range(200):
			self.write(f"20260101-120000-{number:04x}", began(1), ended())
		started = time.monotonic()
		self.assertIsNone(self.others())
		self.assertLess(time.monotonic() - started, 0.5)


def restarted(unanswered: float | None) -> events.Ended:
	"""`unanswered`: seconds; None where web was left alone."""
	web = [] if unanswered is None else [WebAnswers("127.0.0.1:8000", slowest=0.1, unanswered=unanswered)]
	return events.Ended(Report(FIRST, "bench", "wait-workers", 0.0, outcome=Phase.DONE, web=web))


class TestLastOutage(JournalTest):
	def last(self) -> float | None:
		return OthersAtWork(self.folder, "20260101-130000-cccc").last_web_outage()

	def test_the_newest_operation_that_restarted_web_tells_it(self):
		self.assertIsNone(self.last())
		self.write(FIRST, began(4711), restarted(1.4))
		self.assertEqual(self.last(), 1.4)
		self.write(SECOND, began(4711), restarted(0.8))
		self.assertEqual(self.last(), 0.8)
		self.write("20260102-120100-bbbb", began(4711), restarted(0.01))
		self.assertEqual(self.last(), 0.0)

	def test_one_that_left_web_alone_tells_nothing(self):
		self.write(FIRST, began(4711), restarted(1.4))
		self.write("20260103-120100-bbbb", began(4711), restarted(None))
		self.write("20260104-120100-bbbb", began(4711))
		(self.folder / "20260105-120100-bbbb.jsonl").write_text('\n{"event": "Ended", "report": 7}\n')
		self.assertEqual(self.last(), 1.4)


class TestLeftOpen(JournalTest):
	"""An operation that lost the bench has a report, and what it began is still to be undone or finished."""

	def test_its_journal_is_open_until_somebody_recovers_it(self):
		journal = self.write(FIRST, began(4711), events.PhaseEntered(Phase.DRAIN), ended(is_left_open=True))
		self.assertFalse(is_closed(journal))
		with closing(Journal(self.folder, FIRST)) as held:
			held(events.Ended(Report(FIRST, "bench", "wait-workers", 0.0, outcome=Phase.RECOVERED)))
		self.assertTrue(is_closed(journal))


if __name__ == "__main__":
	unittest.main()
