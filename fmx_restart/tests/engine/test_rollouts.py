"""Programs that their manager replaces by one order, as Kubernetes does: web whose successor comes first, and workers."""

from __future__ import annotations

import itertools
import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.engine.steps.replicas import ADVANCES
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WEB = "far/web"


class TestRollouts(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"worker": ("short",)})
		self.there = self.bench.add_host("far", {"worker": ("long",)}, has_web=True)
		for name in ("web", "worker"):
			self.there[name].rolls_out = True

	def state(self, name: str = "web") -> ProcessState:
		return next(it.state for it in self.there.list() if it.name == name)

	def test_with_each_strategy_web_is_replaced_by_one_order_before_all_others(self):
		for strategy in (Strategy.FAST, Strategy.WAIT_WORKERS, Strategy.NO_WAIT_WORKERS, Strategy.ROLLING):
			with self.subTest(strategy):
				self.setUp()
				before = self.there["web"].pid
				run = Run(self.bench, Options(strategy))
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(self.there.orders[0], ("restart", "web"))
				self.assertNotIn("web", [name for order, name in self.there.orders if order != "restart"])
				self.assertNotEqual(self.there["web"].pid, before)

	def test_a_worker_is_restarted_by_the_same_order_once_it_is_drained(self):
		run = Run(self.bench, Options(Strategy.WAIT_WORKERS))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(self.there.orders, [("restart", "web"), ("restart", "worker")])

	def test_for_a_migration_all_are_stopped_and_started(self):
		options = Options(Strategy.WAIT_WORKERS, migration=MigrationOptions(), sites=("one.localhost",))
		self.assertEqual(Run(self.bench, options).go().outcome, Phase.DONE)
		self.assertEqual({order for order, _ in self.there.orders}, {"stop", "start"})

	def test_the_plan_tells_why_nobody_may_answer_meanwhile(self):
		self.assertFalse(plan_of(self.bench.port(), Options()).web_ways[WEB].is_worth_telling)
		self.there["web"].gap = "it has one pod"
		self.assertEqual(plan_of(self.bench.port(), Options()).web_ways[WEB].reason, "it has one pod")

	def test_where_the_successor_crashes_the_old_one_serves_and_nothing_else_is_touched(self):
		self.there["web"].crashes_at_start = True
		before = self.there["web"].pid
		run = Run(self.bench, Options(Strategy.WAIT_WORKERS))
		with self.assertRaises(ProcessFault) as caught:
			run.go()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertEqual(self.there.orders, [("restart", "web")])
		self.assertEqual(self.there["web"].pid, before)
		(failed,) = run.of(events.ProcessFailed)
		self.assertIn("its successor does not come up: it crashes at its start", failed.reason)
		self.assertFalse([event for event in run.of(events.ProcessDown) if event.name == WEB])
		self.assertIn("far/worker", run.operation.report.not_replaced)
		self.assertIsNone(self.bench.queue.suspension.value)

	def test_a_rollout_that_makes_no_progress_is_given_up(self):
		self.there["web"].start_takes = 10 * ADVANCES
		run, began = Run(self.bench, Options(Strategy.WAIT_WORKERS)), self.bench.clock.now()
		with self.assertRaises(ProcessFault):
			run.go()
		self.assertLess(self.bench.clock.now() - began, 2 * ADVANCES)
		self.assertIn("its successor is not running yet", run.of(events.ProcessFailed)[0].reason)
		self.assertEqual(self.state("worker"), ProcessState.RUNNING)

	def test_one_that_has_the_same_pid_in_each_life_is_seen_to_end_again(self):
		self.there = self.bench.add_host("far", {}, has_web=True)
		self.there["web"].rolls_out = True
		self.there._pids = itertools.repeat(1)
		run = Run(self.bench, Options(Strategy.WAIT_WORKERS))

		def end(event: events.Event) -> None:
			if isinstance(event, events.ProcessUp) and event.name == WEB:
				self.there.end("web")
				self.there.start("web")

		run.operation.listen(end)
		with self.assertRaises(ProcessFault):
			run.go()
		self.assertIn("ended again soon after its start", run.of(events.ProcessFailed)[0].reason)


if __name__ == "__main__":
	unittest.main()
