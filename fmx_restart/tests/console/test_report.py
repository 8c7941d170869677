from __future__ import annotations

import re
import unittest
from dataclasses import replace

from fmx_restart.console.report import report_lines
from fmx_restart.console.web_answers import web_sentence
from fmx_restart.engine.ledger import Account
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Job, ProcessKind
from fmx_restart.engine.report import Failure, JobWait, Lapse, PhaseTime, ProcessChange, ReplacedBy, Report
from fmx_restart.engine.web_answers import WebAnswers

JOB = Job("one.localhost||42", "one.localhost", "app.tasks.month_end", "long", 1_700_000_000.0, 1500.0)


ANSWERS = WebAnswers(
	"127.0.0.1:8000",
	requests=90,
	slowest=0.118,
	unanswered=5.5,
	longest=5.5,
	reason="connection refused",
	answers_now=True,
)


def done() -> Report:
	return Report(
		operation="20250101-120000-beef",
		bench="home-anna-bench",
		strategy="wait-workers",
		started=1_700_000_000.0,
		outcome=Phase.DONE,
		seconds=75.2,
		phases=[PhaseTime(Phase.DRAIN, 60.1), PhaseTime(Phase.RESTART, 2.5)],
		waited_for=[JobWait(JOB, 60.0)],
		processes=[
			ProcessChange("bench-web:web", ProcessKind.WEB, 100, 200, 1.2),
			ProcessChange("bench-workers:short", ProcessKind.WORKER, 101, 201, 1.8),
		],
		web=[ANSWERS],
		left_alone=["bench-workers:long"],
		account=Account(before=400, arrived=12, finished=2, waiting=410),
	)


class TestWhatUsersSaw(unittest.TestCase):
	def told(self, **changes: object) -> str:
		flawless = WebAnswers("127.0.0.1:8000", requests=90, slowest=0.118, answers_now=True)
		return web_sentence(replace(flawless, **changes))

	def test_a_web_that_answered_each_request_is_told_with_the_slowest_one(self):
		self.assertEqual(self.told(), "Web at 127.0.0.1:8000 answered throughout, slowest 0.12 s")
		through = self.told(through="nginx", address="127.0.0.1:80")
		self.assertEqual(through, "Web through nginx at 127.0.0.1:80 answered throughout, slowest 0.12 s")

	def test_each_time_without_an_answer_is_told_as_what_it_was(self):
		away = {"unanswered": 2.4, "longest": 2.4, "reason": "HTTP 502"}
		for changes, told in (
			(away, "gave no answer for 2.4 s (HTTP 502)"),
			(away | {"longest": 1.2}, "gave no answer for 2.4 s, 1.2 s of it without a break (HTTP 502)"),
			(
				away | {"answers_now": False, "silence": 1.2},
				"gave no answer for 2.4 s (HTTP 502); had not answered for 1.2 s when the operation ended",
			),
			({"closed": 40}, "was closed by the maintenance mode of this operation for 40 s"),
			({"unmeasured": 45}, "answered throughout, slowest 0.12 s; was not measured for 45 s"),
			({"before": "HTTP 500"}, "did not answer before (HTTP 500); answered at the end"),
			(
				{"before": "HTTP 500", "slowest": None, "answers_now": False},
				"did not answer before (HTTP 500); did not answer at the end",
			),
			({"requests": 0, "slowest": None, "answers_now": False}, "was not measured"),
		):
			with self.subTest(changes=changes):
				self.assertEqual(self.told(**changes), f"Web at 127.0.0.1:8000 {told}")


class TestReport(unittest.TestCase):
	def text(self, report: Report) -> str:
		"""Columns may be as wide as they like."""
		return re.sub(" +", " ", "\n".join(report_lines(report)))

	def test_a_report_of_a_restart_that_is_done_tells_everything_and_ends_so(self):
		text = self.text(done())
		for part in (
			"Operation 20250101-120000-beef: Done after 1 min 15 s",
			"Drain 1 min\n",
			"1 min one.localhost / app.tasks.month_end (long)",
			"Web at 127.0.0.1:8000 gave no answer for 5.5 s (connection refused)\n",
			"bench-web:web 100 → 200\n",
			"bench-workers:short 101 → 201 down 1.8 s",
			"bench-workers:long already stopped, left alone",
			"400 before + 12 arrived = 2 finished, 410 waiting, 0 lost",
		):
			self.assertIn(part, text)
		self.assertTrue(
			text.endswith("\nDone in 1 min 15 s. All 412 jobs accounted for. Web gave no answer for 5.5 s.")
		)

	def test_a_fence_that_lapsed_and_old_workers_that_were_left_are_named(self):
		report = replace(done(), lapses=[Lapse(Phase.MIGRATE, 41.0)], old_workers=["pid 500 on host-2"])
		text = self.text(report)
		self.assertIn("may have started\n during the migration: 41 s after its last renewal", text)
		self.assertIn("not stopped for the migration\n pid 500 on host-2", text)

	def test_an_aborted_one_tells_why_and_what_to_type_next(self):
		# Given a drain that gave up
		failure = Failure("DrainTimeout", "Still running after 300 s: app.endless.", "Give it longer.")
		report = replace(
			done(), outcome=Phase.ABORTED, failure=failure, processes=[], left_alone=[], account=None
		)
		# Then the cause and the hint end the report
		text = self.text(report)
		self.assertTrue(text.endswith("Aborted: Still running after 300 s: app.endless.\n Give it longer."))
		self.assertNotIn("Processes", text)
		self.assertNotIn("lost", text)

	def test_a_failed_one_names_the_process_that_did_not_come_back(self):
		failure = Failure("ProcessFault", "1 of 3 processes failed: bench-web:web.", "")
		change = ProcessChange("bench-web:web", ProcessKind.WEB, 100)
		text = self.text(replace(done(), outcome=Phase.FAILED, failure=failure, processes=[change]))
		self.assertIn("bench-web:web 100 → -", text)
		self.assertTrue(text.endswith("Failed: 1 of 3 processes failed: bench-web:web."))
		self.assertNotIn("Done", text)

	def test_a_rolling_restart_that_stopped_names_those_that_stay_in_service(self):
		began = ProcessChange("worker-1", ProcessKind.WORKER, 101)
		report = replace(done(), processes=[began], not_replaced=["worker-1", "worker-2"])
		for name in ("worker-1 101 → - ", "worker-2 "):
			self.assertIn(f"{name}not replaced, in service with the old code", self.text(report))

	def test_a_restart_without_anything_to_tell_has_no_empty_parts(self):
		text = self.text(replace(done(), waited_for=[], processes=[], left_alone=[], account=None))
		for title in ("Jobs it waited for", "Jobs it killed", "Processes", "Jobs\n"):
			self.assertNotIn(title, text)

	def test_a_job_that_was_killed_or_left_running_is_not_said_to_have_been_waited_for(self):
		for part, title in (("interrupted", "Jobs it killed"), ("still_running", "Jobs left running")):
			text = self.text(replace(done(), **{part: [JOB]}))
			self.assertNotIn("Jobs it waited for", text)
			self.assertIn(title, text)
		self.assertNotIn("Jobs it waited for", self.text(replace(done(), waited_for=[JobWait(JOB, 0.0)])))

	def test_a_failure_names_the_phase_in_which_it_showed(self):
		failure = Failure("ProcessFault", "1 of 3 processes failed: web.", "")
		report = replace(done(), outcome=Phase.FAILED, failure=failure, failed_in=Phase.VERIFY)
		self.assertTrue(
			self.text(report).endswith(
				"Failed during the check of the new processes: 1 of 3 processes failed: web."
			)
		)

	def test_jobs_that_were_killed_are_named_with_their_id_and_whether_they_are_back(self):
		report = replace(done(), interrupted=[JOB], requeued=[JOB.id])
		line = "one.localhost / app.tasks.month_end (one.localhost||42)"
		self.assertIn(f"{line}, put back", self.text(report))
		self.assertTrue(f"{line}\n" in self.text(replace(report, requeued=[])))

	def test_every_outcome_of_the_account_is_told_once_it_happened(self):
		account = Account(10, 0, 1, 1, 1, 1, 1, ["a"], 1, ["b"], older_ghosts=2)
		text = self.text(replace(done(), account=account))
		for part in ("1 finished", "1 failed", "1 waiting", "1 running", "1 put back", "1 interrupted"):
			self.assertIn(part, text)
		self.assertIn("1 removed, 1 lost", text)
		self.assertIn("2 jobs had been lost before this operation (not touched)", text)


class TestReloads(unittest.TestCase):
	def test_it_says_how_each_process_was_replaced_where_there_is_more_than_one_way(self):
		reloaded = ProcessChange("short", ProcessKind.WORKER, 101, 101, 3.1, by=ReplacedBy.RELOAD)
		restarted = ProcessChange("old", ProcessKind.WORKER, 102, 202, 1.8)
		refused = ProcessChange("broken", ProcessKind.WORKER, 103, by=ReplacedBy.RELOAD)
		text = "\n".join(report_lines(replace(done(), processes=[reloaded, restarted, refused])))
		self.assertRegex(text, r"short +101 → 101 +reloaded in place in 3\.1 s\n")
		self.assertRegex(text, r"old +102 → 202 +restarted by its process manager  down 1\.8 s\n")
		self.assertRegex(text, r"broken +103 → -\n")
		pool = replace(reloaded, name="pool", seconds_down=0.0, workers=4)
		text = "\n".join(report_lines(replace(done(), processes=[pool, replace(pool, former_workers=1)])))
		self.assertRegex(text, r"pool +101 → 101 +reloaded in place, with its 4 workers\n")
		self.assertIn("reloaded in place; 1 of 4 workers keeps the old code until its job has ended", text)

	def test_where_all_were_restarted_it_says_nothing_of_that(self):
		self.assertNotIn("process manager", "\n".join(report_lines(done())))
