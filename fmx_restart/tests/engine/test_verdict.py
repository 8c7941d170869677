"""The one sentence that says whether a restart can begin now."""

from __future__ import annotations

import json
import unittest
from dataclasses import asdict, replace

from fmx_restart.engine.events import Level
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy, restart_options
from fmx_restart.engine.ports import CodeFault, Job, WebFault
from fmx_restart.engine.queue_hold import QueueHold
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.engine.verdict import (
	AtWork,
	Situation,
	Verdict,
	for_other_sites,
	recommended,
	verdict,
	verdict_of_plan,
	verdict_of_recommended,
)
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.console.samples import sample

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
ONE_JOB = Situation(jobs=1, longest=252.0, likely=40.0)
HOLDER = Holder("20261101-120000-0001", "ada@a.example", "a.example", 42, "Drain", since=1.0)


class TestVerdict(unittest.TestCase):
	def of(self, situation: Situation, strategy: Strategy = Strategy.WAIT_WORKERS, **options) -> Verdict:
		return verdict(situation, restart_options(strategy, **options))

	def assert_verdict(self, found: Verdict, level: Level, text: str) -> None:
		self.assertEqual((found.level, found.text), (level, text))

	def test_an_idle_bench_is_safe_to_restart(self):
		for strategy in Strategy:
			self.assert_verdict(self.of(Situation(), strategy), Level.INFO, "Safe now: no job is running")

	def test_jobs_that_end_in_time_are_waited_for(self):
		self.assert_verdict(self.of(ONE_JOB), Level.NOTE, "1 job is running, likely 40 s more")
		unknown = replace(ONE_JOB, jobs=3, likely=None)
		self.assert_verdict(
			self.of(unknown), Level.NOTE, "3 jobs are running, with 4 min 12 s until their time-out"
		)

	def test_jobs_that_may_take_longer_than_they_get_are_a_warning_with_what_happens_then(self):
		slow = Situation(jobs=1, longest=None, likely=720.0)
		text = "1 job is running, likely 12 min more: a restart waits 5 min, then gives up"
		self.assert_verdict(self.of(slow), Level.WARNING, text)
		endless = replace(slow, likely=None)
		self.assertIn("1 job is running, without a time-out: ", self.of(endless).text)
		for action, fate in (
			(OnTimeout.REQUEUE, "is killed after 30 s and runs again"),
			(OnTimeout.KILL, "is killed after 30 s"),
		):
			found = self.of(ONE_JOB, Strategy.FAST, on_timeout=action)
			self.assert_verdict(found, Level.WARNING, f"1 job is running, likely 40 s more: it {fate}")
		self.assertIn("they are killed", self.of(replace(ONE_JOB, jobs=2), Strategy.FAST).text)

	def test_workers_that_are_replaced_one_by_one_kill_and_wait_for_nothing(self):
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			text = "Safe now, worker by worker: 1 job is running, and its worker is replaced when it ends"
			self.assert_verdict(self.of(ONE_JOB, strategy), Level.INFO, text)

	def test_web_alone_is_no_matter_of_jobs(self):
		found = self.of(ONE_JOB, workers=False)
		self.assert_verdict(found, Level.INFO, "Safe now: workers and their jobs are left alone")

	def test_an_operation_that_holds_the_bench_comes_before_all_else(self):
		held = replace(ONE_JOB, at_work=AtWork.of_note(f"x {HOLDER.note()}"), refusals=("it is broken",))
		text = "Not now: operation 20261101-120000-0001 is under way, waiting for running jobs"
		self.assert_verdict(self.of(held), Level.ERROR, text)
		self.assertTrue(self.of(held).is_refusal)
		strange = Situation(at_work=AtWork.of_note("somebody\x1b[2J else"))
		self.assertNotIn("\x1b", self.of(strange).text)
		self.assertIsNone(AtWork.of_note(None))

	def test_what_would_be_refused_is_told_before_jobs(self):
		found = self.of(replace(ONE_JOB, refusals=("the manager does not answer.", "another reason")))
		self.assert_verdict(found, Level.ERROR, "Not now: the manager does not answer")

	def test_jobs_are_judged_by_their_like(self):
		job = Job("job-1", "a.example", "a.work", "long", started=100.0, timeout=300.0)
		look = replace(
			InMemoryBench(WORKERS).queue.look(), time=120.0, depths={"short": 3, "long": 1}, suspension="1"
		)
		situation = Situation.of_look(look, [job], {"a.work": 60.0})
		self.assertEqual((situation.jobs, situation.likely, situation.longest), (1, 40.0, 280.0))
		self.assertEqual((situation.waiting, situation.suspension), (4, "1"))

	def test_a_queue_that_others_have_stopped_is_told_behind_it_and_who_has_not(self):
		hold = QueueHold("bench", "secret owner", "deploy", "ada", since=1.0, until=2.0)
		for value, what in (("1", "suspended"), (f"fmx_restart:x {json.dumps(asdict(hold))}", "held")):
			found = self.of(Situation(waiting=4, suspension=value))
			text = f"Safe now: no job is running. The queue is {what}, also after a restart: 4 jobs wait"
			self.assert_verdict(found, Level.WARNING, text)
			self.assertTrue(
				self.of(Situation(suspension=value)).text.endswith("also after a restart: no job starts")
			)
		# the fence of an operation that is at work, or has died, lifts itself
		for value in (None, f"fmx_restart:x {HOLDER.note()}"):
			self.assertEqual(self.of(Situation(suspension=value)).level, Level.INFO)

	def test_where_nothing_was_chosen_yet_it_is_that_of_the_strategy_that_fits(self):
		slow = Situation(jobs=2, longest=3000.0, likely=None)
		strategy, why = recommended(slow, Options())
		self.assertEqual(strategy, Strategy.ROLLING)
		self.assertIn("A job may need more than 5 min", why)
		text = "Safe now, worker by worker: 2 jobs are running, and each worker is replaced when its job ends"
		self.assert_verdict(verdict_of_recommended(slow), Level.INFO, text)
		self.assertEqual(recommended(ONE_JOB, Options())[0], Strategy.WAIT_WORKERS)

	def test_other_sites_see_that_it_would_be_refused_and_not_why(self):
		shown = for_other_sites(self.of(Situation(refusals=("secret.example: no room",))))
		self.assert_verdict(shown, Level.ERROR, "Not now: the people who run this bench see why")
		shown = for_other_sites(self.of(Situation(trouble="a program of secret")))
		text = "Web would not come up again: the people who run this bench see why"
		self.assert_verdict(shown, Level.WARNING, text)
		self.assertEqual(for_other_sites(self.of(ONE_JOB)), self.of(ONE_JOB))

	def test_it_is_said_in_the_language_of_the_reader(self):
		words = {"Safe now: no job is running": "Jetzt: kein Job"}
		self.assertEqual(verdict(Situation(), Options(), words.__getitem__).text, "Jetzt: kein Job")


class TestVerdictOfAPlan(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)

	def of(self, options: Options | None = None, **changes) -> Verdict:
		options = options or Options()
		plan = replace(plan_of(self.bench.port(), options), **changes)
		return verdict_of_plan(plan, options)

	def test_the_jobs_of_the_plan_count(self):
		self.bench.queue.enqueue("job-1", queue="short", seconds=20)
		self.bench.clock.sleep(1.0)
		self.assertTrue(self.of().text.startswith("1 job is running, "))

	def test_code_that_cannot_be_loaded_refuses_unless_it_is_forced(self):
		faults = (CodeFault("erpnext.hooks", "SyntaxError", ""),)
		found = self.of(code_faults=faults)
		self.assertEqual(found.level, Level.ERROR)
		self.assertIn("could not load the code as it is now: erpnext.hooks: SyntaxError", found.text)
		self.assertEqual(self.of(Options(ignore_code_faults=True), code_faults=faults).level, Level.INFO)

	def test_what_forbids_the_migration_refuses(self):
		findings = (Finding("a.example", Gravity.BLOCKS, "too little room", "Free some."),)
		options = Options(migration=MigrationOptions(), sites=("a.example",))
		self.assertEqual(self.of(options, findings=findings).text, "Not now: a.example: too little room")

	def test_programs_that_are_all_stopped_are_not_restarted(self):
		self.assertEqual(self.of(restart=(), reloads=()).level, Level.ERROR)

	def test_web_whose_address_is_taken_is_a_warning(self):
		found = self.of(web_taken=sample(WebFault))
		self.assertEqual(found.level, Level.WARNING)
		self.assertIn("Web would not come up again", found.text)


if __name__ == "__main__":
	unittest.main()
