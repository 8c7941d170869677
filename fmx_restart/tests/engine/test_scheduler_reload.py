"""The scheduler of this app, run by a process manager: it reloads in place where workers do."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, ProcessState
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.actors import HandedClock, OperationActor, RecoveryActor
from fmx_restart.tests.engine.support import Run

BOTH = (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS)
WORKERS = {"worker": ("default",)}


class TestScheduler(unittest.TestCase):
	def setUp(self):
		self.clock = HandedClock()
		self.bench = InMemoryBench(WORKERS, clock=self.clock, lossless=WORKERS, has_scheduler=True)
		self.queue, self.scheduler = self.bench.queue, self.bench.queue.pools["scheduler"]
		self.pid = self.bench.processes["schedule"].pid

	def fails(self, strategy: Strategy) -> ProcessFault:
		with self.assertRaises(ProcessFault) as raised:
			Run(self.bench, Options(strategy)).go()
		self.assertEqual((raised.exception.exit_code, self.queue.asked), (4, {}))
		return raised.exception

	def test_it_has_new_code_under_its_pid_and_its_manager_was_not_asked(self):
		for strategy in BOTH:
			with self.subTest(strategy=strategy):
				self.setUp()
				run = Run(self.bench, Options(strategy, web=False))
				report = run.go()
				[change] = [it for it in report.processes if it.kind is ProcessKind.SCHEDULER]
				self.assertEqual(
					(change.by, change.new_pid, self.scheduler.times), (ReplacedBy.RELOAD, self.pid, 1)
				)
				self.assertEqual(
					(report.outcome, self.bench.processes.orders, self.queue.asked), (Phase.DONE, [], {})
				)
				self.assertEqual(run.of(events.SchedulerAsked), [])
				self.assertLess(report.seconds, 15)

	def test_the_plan_says_so_and_other_strategies_restart_it(self):
		plan = plan_of(self.bench.port(), Options(Strategy.ROLLING))
		self.assertEqual({process.name for process in plan.reloads}, {"schedule", "worker"})
		Run(self.bench, Options(Strategy.WAIT_WORKERS)).go()
		self.assertNotEqual(self.bench.processes["schedule"].pid, self.pid)

	def test_one_without_such_a_record_is_restarted_by_its_manager(self):
		self.queue.pools.clear()
		for strategy in BOTH:
			pid = self.bench.processes["schedule"].pid
			Run(self.bench, Options(strategy)).go()
			self.assertNotIn(self.bench.processes["schedule"].pid, (None, pid))
			self.queue.pools.clear()

	def test_where_its_new_code_does_not_import_it_is_named_and_goes_on(self):
		for strategy in BOTH:
			self.setUp()
			self.queue.refusals["scheduler"] = "ImportError"
			error = str(self.fails(strategy))
			self.assertIn(
				"schedule (its new code cannot be imported: ImportError; it keeps the old code", error
			)
			self.assertEqual(self.bench.processes["schedule"].pid, self.pid)

	def test_one_in_the_middle_of_a_long_tick_is_waited_for(self):
		for strategy in BOTH:
			with self.subTest(strategy=strategy):
				self.setUp()
				self.set_ticking(True)
				self.clock.after(300.0, lambda: self.set_ticking(False))
				self.assertEqual(Run(self.bench, Options(strategy)).go().outcome, Phase.DONE)
				self.assertEqual((self.scheduler.times, self.queue.asked), (1, {}))

	def set_ticking(self, is_so: bool) -> None:
		self.scheduler.is_ticking = self.scheduler.is_hung = is_so

	def test_one_that_is_stopped_is_named(self):
		self.scheduler.is_hung = True
		self.assertIn(f"kill -CONT {self.pid}", self.fails(Strategy.ROLLING).hint)

	def test_one_that_is_killed_meanwhile_comes_back_through_its_manager(self):
		run = Run(self.bench, Options(Strategy.ROLLING))

		def kill(fact: events.ReloadAsked) -> None:
			if fact.name == "schedule":
				self.bench.processes.end("schedule", ProcessState.EXITED)

		run.operation.listen(lambda fact: isinstance(fact, events.ReloadAsked) and kill(fact))
		report = run.go()
		[change] = [it for it in report.processes if it.name == "schedule"]
		self.assertEqual((change.by, report.outcome, self.queue.asked), (ReplacedBy.MANAGER, Phase.DONE, {}))

	def test_where_workers_were_switched_off_its_manager_starts_the_next_one(self):
		self.queue.refusals["scheduler"] = "SwitchedOff"
		self.assertEqual(Run(self.bench, Options(Strategy.ROLLING)).go().outcome, Phase.DONE)
		self.assertNotIn(self.bench.processes["schedule"].pid, (None, self.pid))

	def test_an_operation_that_is_killed_leaves_no_request_and_a_scheduler(self):
		for sees in (False, True):
			self.setUp()
			dead = OperationActor(self.bench, Options(Strategy.ROLLING), "operation-1")
			self.addCleanup(dead.discard)
			while "scheduler" not in self.queue.asked or (sees and not self.scheduler.is_trying):
				self.clock.sleep(max(0.0, dead.wakes_at - self.clock.now()))
				dead.step()
			dead.is_killed = True
			self.scheduler.is_hung = not sees
			recovery = RecoveryActor(dead)
			self.addCleanup(recovery.discard)
			while not recovery.is_over:
				self.clock.sleep(max(0.0, recovery.wakes_at - self.clock.now()))
				recovery.step()
			self.scheduler.is_hung = False
			self.clock.sleep(30)
			self.assertEqual((self.queue.asked, self.scheduler.times), ({}, int(sees)))
			self.assertEqual(self.bench.processes["schedule"].pid, self.pid)
