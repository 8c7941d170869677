"""Web that runs twice elsewhere, as in two containers: one after the other, and none where the first does not come up."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import ProcessFault
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessState
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

FIRST, SECOND = "far/web", "far/web-2"
ORDERS = [("stop", "web"), ("start", "web"), ("stop", "web-2"), ("start", "web-2")]


class TestReplicas(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"worker": ("short",)})
		self.there = self.bench.add_host("far", {}, has_web=True, replicas=2)

	def states(self) -> dict[str, ProcessState]:
		return {process.name: process.state for process in self.there.list()}

	def test_with_each_strategy_one_is_up_again_before_the_next_one_is_stopped(self):
		for strategy in Strategy:
			with self.subTest(strategy):
				self.setUp()
				run, seen = Run(self.bench, Options(strategy)), []
				run.operation.listen(lambda fact, seen=seen: seen.append(list(self.states().values())))
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(self.there.orders, ORDERS)
				self.assertTrue(all(ProcessState.RUNNING in states for states in seen))

	def test_the_plan_promises_no_failed_request_for_one_that_others_stand_in_for(self):
		plan = plan_of(self.bench.port(), Options())
		self.assertFalse(plan.web_ways[FIRST].is_worth_telling)
		self.there.end("web-2")
		self.there["web"].has_replicas = False
		self.assertIn("another machine", plan_of(self.bench.port(), Options()).web_ways[FIRST].reason)

	def test_where_the_new_code_of_the_first_does_not_come_up_all_others_keep_the_old(self):
		self.there["web"].crashes_at_start = True
		run = Run(self.bench, Options(Strategy.WAIT_WORKERS))
		with self.assertRaises(ProcessFault) as caught:
			run.go()
		self.assertEqual(caught.exception.exit_code, 4)
		self.assertEqual(self.states()["web-2"], ProcessState.RUNNING)
		self.assertNotIn(("stop", "web-2"), self.there.orders)
		(stopped,) = run.of(events.RollingStopped)
		self.assertEqual(stopped.failed, (FIRST,))
		self.assertIn(SECOND, stopped.not_replaced)
		self.assertEqual(run.operation.report.not_replaced, list(stopped.not_replaced))
		self.assertIsNone(self.bench.queue.suspension.value)

	def test_one_that_does_not_heed_its_stop_is_killed(self):
		self.there["web"].refuses_to_stop = True
		self.assertEqual(Run(self.bench, Options(Strategy.ROLLING, workers=False)).go().outcome, Phase.DONE)
		self.assertIn(("kill", "web"), self.there.orders)
