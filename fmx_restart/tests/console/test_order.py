from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.console.plan import Step, order, plan_sentence, story
from fmx_restart.console.strategies import STRATEGY_TEXTS
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Strategy, restart_options
from fmx_restart.engine.plan import Plan
from fmx_restart.engine.ports import Process, ProcessKind, ProcessState


def process(name: str, kind: ProcessKind) -> Process:
	return Process(name, kind, ProcessState.RUNNING, 1)


PLAN = Plan(
	restart=(
		process("web", ProcessKind.WEB),
		process("busy", ProcessKind.WORKER),
		process("idle", ProcessKind.WORKER),
		process("socketio", ProcessKind.SOCKETIO),
	),
	left_alone=(),
	busy=("busy",),
	idle_workers=1,
	jobs=(),
	depths={},
	longest=0.0,
	likely=0.0,
	suspension=None,
)


class TestStory(unittest.TestCase):
	def test_each_strategy_has_a_label_and_a_line_and_a_plan_shows_the_line(self):
		self.assertEqual(STRATEGY_TEXTS.keys(), set(Strategy))
		for strategy, text in STRATEGY_TEXTS.items():
			self.assertTrue(text.label, strategy)
			self.assertEqual(story(restart_options(strategy)), text.line)
		migrating = story(restart_options(Strategy.WAIT_WORKERS, migration=MigrationOptions()))
		self.assertRegex(migrating, r"^The sites are migrated before the restart\. Running jobs finish first")


class TestOrder(unittest.TestCase):
	def test_rolling_takes_idle_workers_first_and_each_busy_one_when_it_is_free(self):
		steps = [Step("first", ("web",)), Step("when web is back", ("socketio",))]
		steps += [Step("one at a time", ("idle",)), Step("when its own job ends", ("busy",))]
		self.assertEqual(order(PLAN, Strategy.ROLLING), steps)

	def test_without_waiting_only_busy_workers_come_later(self):
		steps = [
			Step("first", ("web",)),
			Step("as many at once as there are CPUs", ("idle",)),
			Step("when web is back", ("socketio",)),
		]
		steps += [Step("when its own job ends", ("busy",))]
		self.assertEqual(order(PLAN, Strategy.NO_WAIT_WORKERS), steps)

	def test_all_others_restart_web_first_and_socketio_when_it_is_back(self):
		steps = [
			Step("first", ("web",)),
			Step("as many at once as there are CPUs", ("busy", "idle")),
		]
		for strategy in (Strategy.FAST, Strategy.WAIT_WORKERS, Strategy.SUSPEND_RQ):
			self.assertEqual(order(PLAN, strategy), [*steps, Step("when web is back", ("socketio",))])

	def test_workers_that_reload_in_place_have_their_turn_among_the_others(self):
		plan = replace(PLAN, reloads=(process("stays", ProcessKind.WORKER),))
		for strategy, when in (
			(Strategy.ROLLING, "one at a time"),
			(Strategy.NO_WAIT_WORKERS, "as many at once as there are CPUs"),
		):
			self.assertIn(Step(when, ("idle", "stays")), order(plan, strategy))

	def test_a_plan_says_who_reloads_and_who_is_restarted(self):
		plan = replace(PLAN, reloads=(process("a", ProcessKind.WORKER), process("b", ProcessKind.WORKER)))
		self.assertTrue(
			plan_sentence(plan).startswith(
				"4 processes to restart: web, 2 workers, socketio. 2 workers reload in place."
			)
		)
		alone = replace(plan, restart=(), reloads=plan.reloads[:1])
		self.assertTrue(plan_sentence(alone).startswith("1 worker reloads in place."), plan_sentence(alone))

	def test_pools_are_counted_with_their_workers(self):
		reloads = (process("a", ProcessKind.WORKER), process("pool", ProcessKind.WORKER))
		plan = replace(PLAN, restart=(), reloads=reloads, pools={"pool": 4})
		text = "1 worker and 1 worker-pool of 4 workers reload in place."
		self.assertTrue(plan_sentence(plan).startswith(text), plan_sentence(plan))
		scheduler = process("schedule", ProcessKind.SCHEDULER)
		text = "Scheduler, 1 worker and 1 worker-pool of 4 workers reload in place."
		all_three = replace(plan, reloads=(scheduler, *reloads))
		self.assertTrue(plan_sentence(all_three).startswith(text), plan_sentence(all_three))
		self.assertIn(Step("one at a time", ("schedule", "a", "pool")), order(all_three, Strategy.ROLLING))
		alone = replace(plan, reloads=reloads[1:])
		self.assertTrue(plan_sentence(alone).startswith("1 worker-pool of 4 workers reloads in place."))

	def test_without_web_socketio_waits_for_nothing(self):
		plan = replace(PLAN, restart=PLAN.restart[1:])
		steps = [Step("as many at once as there are CPUs", ("busy", "idle", "socketio"))]
		self.assertEqual(order(plan, Strategy.FAST), steps)
