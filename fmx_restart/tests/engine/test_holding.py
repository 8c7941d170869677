"""A hold of the queue, as the engine makes it, and operations beside it, on the twin."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.console.headline import headline
from fmx_restart.console.sentences import plan_warnings
from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	DrainTimeout,
	Interrupted,
	QueueUnreachable,
	WrongEnvironment,
)
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.holding import Holding, HoldOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ReleaseEnd, WorkerState
from fmx_restart.engine.steps.findings import plan_refusals
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.holds import hold_owner
from fmx_restart.testing.leases import InMemoryFence
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short",), "long": ("long", "default")}


class HoldCase(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.queue, self.clock, self.holds = self.bench.queue, self.bench.clock, self.bench.holds
		self.clock.sleep(2)

	def holding(self, owner="ada", **options) -> Holding:
		fence = InMemoryFence(self.queue.suspension, f"{hold_owner('in-memory', owner)}/1")
		self.facts: list[events.Event] = []
		port = replace(self.bench.port("hold-1"), fence=fence)
		return Holding(port, HoldOptions(owner, by=f"{owner}@a", **options), self.facts.append, "hold-1")

	def states(self) -> set[WorkerState]:
		return {worker.state for worker in self.queue.look().workers}

	def owners(self) -> list[str]:
		return [hold.owner for hold in self.holds.standing()]


class TestHolding(HoldCase):
	def test_workers_are_parked_and_no_job_starts_until_the_hold_ends_by_itself(self):
		hold = self.holding(seconds=600, reason="deploy").run()
		self.assertAlmostEqual(hold.until - self.clock.time(), 600, delta=1)
		self.assertEqual(self.states(), {WorkerState.SUSPENDED})
		job = self.queue.enqueue("job-1", queue="short", seconds=1)
		self.clock.sleep(590)
		self.assertEqual((job.status, self.owners()), ("queued", ["ada"]))
		self.clock.sleep(20)
		self.assertEqual((job.status, self.owners()), ("finished", []))
		self.assertIs(self.holds.release("ada", "ada").end, ReleaseEnd.EXPIRED)

	def test_without_drain_a_running_job_goes_on_and_its_worker_takes_no_other(self):
		first, second = (
			self.queue.enqueue("job-2", queue="short", seconds=30),
			self.queue.enqueue("job-3", queue="short", seconds=1),
		)
		self.clock.sleep(1)
		self.holding().run()
		self.clock.sleep(60)
		self.assertEqual((first.status, second.status), ("finished", "queued"))
		self.assertIs(self.holds.release("ada", "ada").end, ReleaseEnd.LIFTED)
		self.clock.sleep(10)
		self.assertEqual(second.status, "finished")

	def test_a_drain_waits_for_running_jobs_and_the_hold_lasts_from_then_on(self):
		job = self.queue.enqueue("job-4", queue="short", seconds=30)
		self.clock.sleep(1)
		hold = self.holding(seconds=60, drain_timeout=100).run()
		self.assertEqual(job.status, "finished")
		self.assertAlmostEqual(hold.until - self.clock.time(), 60, delta=1)
		self.assertIn(events.StillRunning, map(type, self.facts))

	def test_a_drain_that_takes_too_long_takes_the_hold_back(self):
		self.queue.enqueue("job-5", queue="short", seconds=500)
		self.clock.sleep(1)
		waiting = self.queue.enqueue("job-6", queue="long", seconds=1)
		with self.assertRaisesRegex(
			DrainTimeout, "Still running after 20 s.*The hold was taken back"
		) as caught:
			self.holding(drain_timeout=20).run()
		self.assertIn("--drain-timeout 40", caught.exception.hint)
		self.assertEqual((self.owners(), self.queue.look().suspension), ([], None))
		self.clock.sleep(5)
		self.assertEqual(waiting.status, "finished")

	def test_a_drain_that_fails_leaves_an_earlier_hold_as_it_was(self):
		until = self.holding(seconds=600).run().until
		self.queue.suspension.owners.clear()
		self.queue.suspension.clear()
		self.queue.enqueue("job-7", queue="short", seconds=500)
		self.clock.sleep(2)
		until = self.holding(seconds=600).run().until
		with self.assertRaises(DrainTimeout):
			self.holding(seconds=3600, drain_timeout=5).run()
		(hold,) = self.holds.standing()
		self.assertAlmostEqual(hold.until, until, delta=0.1)

	def test_a_command_that_dies_while_it_waits_holds_nothing_beyond_a_lease(self):
		class Killed(BaseException):
			pass

		self.queue.enqueue("job-8", queue="short", seconds=500)
		waiting = self.queue.enqueue("job-9", queue="long", seconds=1)
		holding = self.holding(seconds=3600, drain_timeout=300)
		holding.unfence = lambda: None  # nothing of it is carried out any more

		def die(fact):
			if isinstance(fact, events.StillRunning):
				raise Killed

		holding.listen(die)
		with self.assertRaises(Killed):
			holding.run()
		self.assertIsNotNone(self.queue.look().suspension)
		self.clock.sleep(LEASE + 5)
		self.assertEqual((self.queue.look().suspension, waiting.status), (None, "finished"))

	def test_it_is_stopped_on_request(self):
		self.queue.enqueue("job-10", queue="short", seconds=500)
		self.clock.sleep(1)
		holding = self.holding(drain_timeout=300)
		holding.listen(
			lambda fact: holding.stop_requested.set() if isinstance(fact, events.StillRunning) else None
		)
		with self.assertRaisesRegex(Interrupted, "The hold was taken back"):
			holding.run()
		self.assertIsNone(self.queue.look().suspension)

	def test_one_whose_fence_lapses_while_it_waits_looks_again(self):
		# Given somebody who resumes the queue while the drain waits for its last moment, and a job that begins then
		first = self.queue.enqueue("job-11", queue="short", seconds=20)
		self.clock.sleep(1)
		second = self.queue.enqueue("job-12", queue="long", seconds=40)
		holding = self.holding(seconds=60, drain_timeout=200)
		self.clock.after(5, self.queue.suspension.clear)
		holding.run()
		# Then the hold stands only when no job runs
		self.assertEqual((first.status, second.status), ("finished", "finished"))
		self.assertEqual(self.owners(), ["ada"])

	def test_a_strangers_suspension_is_refused_and_left(self):
		self.queue.suspension.value = "1"
		with self.assertRaisesRegex(WrongEnvironment, r"Someone else has suspended the queue \(rq suspend\)"):
			self.holding().run()
		self.assertEqual((self.queue.suspension.standing(), self.owners()), ("1", []))

	def test_a_redis_that_stays_away_is_told(self):
		self.queue.server.is_away = True
		with self.assertRaises(QueueUnreachable):
			self.holding().run()
		self.queue.server.is_away = False
		self.assertEqual(self.owners(), [])

	def test_while_it_waits_everybody_sees_who_and_that_it_waits(self):
		self.queue.enqueue("job-13", queue="short", seconds=5)
		seen = []
		holding = self.holding(drain_timeout=60)
		holding.listen(lambda fact: seen.extend(self.holds.standing()))
		holding.run()
		self.assertTrue(seen[0].is_beginning)
		self.assertEqual(str(seen[0]), "a hold by ada, which waits for running jobs")


class TestOperationDuringHold(HoldCase):
	def test_each_strategy_works_and_the_queue_stays_held(self):
		for strategy in (Strategy.WAIT_WORKERS, Strategy.FAST, Strategy.NO_WAIT_WORKERS, Strategy.SUSPEND_RQ):
			with self.subTest(strategy=strategy):
				self.setUp()
				self.holding(seconds=3600, reason="deploy").run()
				waiting = self.queue.enqueue("job-14", queue="short", seconds=1)
				run = Run(self.bench, Options(strategy=strategy))
				report = run.go()
				# Then everything is new, and the job still waits
				self.assertEqual(
					(report.outcome, [hold.owner for hold in report.held]), (Phase.DONE, ["ada"])
				)
				self.assertEqual(len(run.of(events.QueueHeld)), 1)
				self.assertRegex(headline(report).text, r"The queue stays held until .* by ada \(deploy\)\.$")
				self.clock.sleep(60)
				self.assertEqual((waiting.status, self.states()), ("queued", {WorkerState.SUSPENDED}))
				# Until it is released
				self.assertIs(self.holds.release("ada", "ada").end, ReleaseEnd.LIFTED)
				self.clock.sleep(5)
				self.assertEqual(waiting.status, "finished")

	def test_rolling_is_refused_where_workers_leave_only_for_a_job(self):
		self.holding(seconds=3600).run()
		with self.assertRaisesRegex(WrongEnvironment, "The queue is held until .* Nothing was changed"):
			Run(self.bench, Options(strategy=Strategy.ROLLING)).go()
		self.assertEqual(self.owners(), ["ada"])

	def test_a_plan_tells_it_and_what_it_would_refuse(self):
		self.holding(seconds=3600, reason="deploy").run()
		for strategy, refusals in ((Strategy.WAIT_WORKERS, 0), (Strategy.ROLLING, 1)):
			options = Options(strategy=strategy)
			plan = plan_of(self.bench.port(), options)
			self.assertEqual(([hold.owner for hold in plan.held], plan.strangers_suspension), (["ada"], None))
			self.assertEqual(len(list(plan_refusals(plan, options))), refusals)
			(warning,) = plan_warnings(plan)
			self.assertRegex(
				warning, r"^Note: the queue is held until .* by ada \(deploy\)\. It stays held after"
			)
		self.queue.suspension.value = "1"
		self.assertEqual(plan_of(self.bench.port(), options).strangers_suspension, "1")

	def test_rolling_works_where_all_workers_reload_in_place(self):
		self.bench = InMemoryBench(WORKERS, lossless=WORKERS)
		self.queue, self.clock, self.holds = self.bench.queue, self.bench.clock, self.bench.holds
		self.clock.sleep(2)
		self.holding(seconds=3600).run()
		report = Run(self.bench, Options(strategy=Strategy.ROLLING)).go()
		self.assertIs(report.outcome, Phase.DONE)
		self.assertEqual(self.owners(), ["ada"])

	def test_a_drain_that_gives_up_says_that_the_queue_stays_held(self):
		self.queue.enqueue("job-15", queue="short", seconds=500)
		self.clock.sleep(1)
		self.holding(seconds=3600).run()
		with self.assertRaisesRegex(DrainTimeout, "Nothing was restarted; the queue stays held until"):
			Run(self.bench, Options(drain_timeout=10)).go()
		self.assertEqual(self.owners(), ["ada"])

	def test_a_hold_that_ends_during_an_operation_leaves_no_trace_in_its_end(self):
		self.queue.enqueue("job-16", queue="short", seconds=60)
		self.clock.sleep(1)
		self.holding(seconds=20).run()
		report = Run(self.bench, Options()).go()
		self.assertEqual((report.outcome, report.held, self.queue.look().suspension), (Phase.DONE, [], None))

	def test_one_that_was_made_during_an_operation_is_told_at_its_end(self):
		run = Run(self.bench)
		run.when(Phase.RESTART, lambda: self.holding(seconds=600).run())
		report = run.go()
		self.assertEqual(([hold.owner for hold in report.held], self.owners()), (["ada"], ["ada"]))

	def test_one_that_was_released_during_an_operation_is_not(self):
		self.holding(seconds=600).run()
		run = Run(self.bench)
		run.when(Phase.RESTART, lambda: self.holds.release("ada", "ada"))
		report = run.go()
		self.assertEqual((report.held, self.queue.look().suspension), ([], None))

	def test_the_recovery_of_a_dead_operation_leaves_it(self):
		class Killed(BaseException):
			pass

		def die():
			raise Killed

		self.holding(seconds=3600).run()
		for phase in (Phase.DRAIN, Phase.RESTART):
			run = Run(self.bench, id=f"operation-{phase.value}")
			run.operation.unfence = lambda: None
			run.when(phase, die)
			with self.assertRaises(Killed):
				run.go()
			run.facts = [fact for fact in run.facts if not isinstance(fact, events.Ended)]
			run.recovery(self.bench).run()
			(hold,) = self.holds.standing()
			self.assertEqual((hold.owner, hold.has_stood), ("ada", True))
			self.assertEqual(list(self.queue.suspension.living()), [hold_owner("in-memory", "ada")])
