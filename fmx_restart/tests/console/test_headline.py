"""One sentence for the end of an operation: what happened to jobs and to users, and never a green one over a killed job."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.console.headline import headline
from fmx_restart.engine.events import Level
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Job, ProcessKind
from fmx_restart.engine.report import Failure, ProcessChange, Report, outcome_name
from fmx_restart.engine.web_answers import WebAnswers

ONE, TWO = (Job(f"a.com::{n}", "a.com", "app.work", "long", 1.0, 60.0) for n in (1, 2))
WEB = WebAnswers("127.0.0.1:8000", requests=9, slowest=0.1, answers_now=True)


def report(outcome: Phase = Phase.DONE, **parts: object) -> Report:
	return replace(Report("id", "bench", "fast", 1.0, outcome=outcome, seconds=26.0), **parts)


def failed(type: str, outcome: Phase = Phase.ABORTED, **parts: object) -> Report:
	return report(outcome, failure=Failure(type, "why", ""), **parts)


class TestHeadline(unittest.TestCase):
	def assert_told(self, it: Report, text: str, level: Level) -> None:
		told = headline(it)
		self.assertEqual((told.text, told.level), (text, level))

	def test_a_job_that_was_killed_stands_before_those_that_are_accounted_for_and_is_not_green(self):
		it = report(interrupted=[ONE], account=Account(before=3, finished=2, interrupted=[ONE.id]))
		self.assert_told(it, "Done in 26 s. 1 job killed on your order, 2 accounted for.", Level.NOTE)

	def test_all_jobs_that_are_accounted_for_are_counted(self):
		it = report(account=Account(before=2, arrived=1, finished=3))
		self.assert_told(it, "Done in 26 s. All 3 jobs accounted for.", Level.INFO)
		self.assert_told(
			report(account=Account(before=1, finished=1)),
			"Done in 26 s. The only job is accounted for.",
			Level.INFO,
		)

	def test_where_no_job_was_there_is_none_to_tell_of(self):
		self.assert_told(report(account=Account()), "Done in 26 s.", Level.INFO)
		self.assert_told(report(), "Done in 26 s.", Level.INFO)

	def test_killed_jobs_that_are_back_are_told_apart(self):
		it = report(
			interrupted=[ONE, TWO],
			requeued=[ONE.id],
			account=Account(before=2, requeued=1, interrupted=[TWO.id]),
		)
		self.assert_told(
			it,
			"Done in 26 s. 1 job killed on your order, 1 job killed and put back into its queue, 0 accounted for.",
			Level.NOTE,
		)

	def test_what_others_did_to_jobs_is_not_said_to_be_ordered(self):
		it = report(account=Account(before=4, finished=3, interrupted=[ONE.id]))
		self.assert_told(it, "Done in 26 s. 1 job interrupted by someone else, 3 accounted for.", Level.NOTE)

	def test_lost_jobs_are_named_in_a_failure_with_its_phase(self):
		account = Account(before=3, finished=2, lost=["x"])
		it = failed("JobsLost", Phase.FAILED, account=account, failed_in=Phase.AUDIT)
		self.assert_told(
			it, "Failed during the count of the jobs, after 26 s. 1 job lost, 2 accounted for.", Level.ERROR
		)

	def test_a_cancelled_one_is_neither_aborted_nor_a_failure_and_its_jobs_run_on(self):
		it = failed("Interrupted", still_running=[ONE, TWO])
		self.assertEqual(outcome_name(it), "Cancelled")
		self.assert_told(it, "Cancelled after 26 s: nothing was restarted. 2 jobs left running.", Level.NOTE)

	def test_what_was_restarted_although_it_gave_up_and_the_jobs_that_it_killed_are_told(self):
		it = failed("DrainTimeout", still_running=[ONE], interrupted=[TWO], restarted=["long"])
		text = "Aborted after 26 s: nothing but long was restarted. 1 job left running. 1 job killed on your order."
		self.assert_told(it, text, Level.WARNING)

	def test_one_that_gave_up_by_itself_is_aborted(self):
		it = failed("DrainTimeout", still_running=[ONE])
		self.assertEqual(outcome_name(it), "Aborted")
		self.assert_told(it, "Aborted after 26 s: nothing was restarted. 1 job left running.", Level.WARNING)

	def test_one_that_was_stopped_too_late_to_undo_is_a_failure(self):
		self.assertEqual(outcome_name(failed("Interrupted", Phase.FAILED)), "Failed")

	def test_the_outage_that_users_had_stands_in_it_where_web_was_restarted(self):
		change = ProcessChange("web", ProcessKind.WEB, 1, 2)
		away = replace(WEB, unanswered=2.4)
		self.assert_told(
			report(web=[WEB, away], processes=[change]),
			"Done in 26 s. Web gave no answer for 2.4 s.",
			Level.INFO,
		)
		self.assert_told(
			report(web=[WEB], processes=[change]), "Done in 26 s. Web answered throughout.", Level.INFO
		)
		self.assert_told(report(web=[away]), "Done in 26 s.", Level.INFO)

	def test_an_outage_that_nobody_measured_is_not_called_none(self):
		change = ProcessChange("web", ProcessKind.WEB, 1, 2)
		unknown = WebAnswers("127.0.0.1:8000")
		self.assert_told(report(web=[unknown], processes=[change]), "Done in 26 s.", Level.INFO)
