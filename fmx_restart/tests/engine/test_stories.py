"""Whom a restart concerns, whatever its strategy."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.strategies import PHASES, PHASES_WITHOUT_WORKERS
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}


class TestStories(unittest.TestCase):
	def test_web_alone_fences_nothing_whatever_the_strategy(self):
		for strategy in Strategy:
			with self.subTest(strategy.value):
				bench = InMemoryBench(TWO_WORKERS)
				task = bench.queue.enqueue("running", queue="short", seconds=100)
				run = Run(bench, Options(strategy, workers=False))
				run.go()
				self.assertEqual({name for _, name in bench.processes.orders}, {"web"})
				self.assertEqual({Phase.FENCE, Phase.PARK, Phase.HANDOVER} & set(run.phases), set())
				self.assertEqual(task.status, "started")

	def test_each_goes_through_the_phases_that_are_expected_of_it(self):
		for strategy in Strategy:
			for workers in (True, False):
				with self.subTest(strategy.value, workers=workers):
					bench = InMemoryBench(TWO_WORKERS)
					bench.queue.enqueue("running", queue="short", seconds=20)
					run = Run(bench, Options(strategy, workers=workers))
					run.go()
					expected = (Phase.PREFLIGHT, *(PHASES[strategy] if workers else PHASES_WITHOUT_WORKERS))
					shown = [phase for phase in expected if phase not in (Phase.BACKUP, Phase.MIGRATE)]
					self.assertEqual(run.phases, shown)

	def test_workers_alone_leave_web_in_peace(self):
		for strategy in Strategy:
			with self.subTest(strategy.value):
				bench = InMemoryBench(TWO_WORKERS)
				Run(bench, Options(strategy, web=False)).go()
				self.assertNotIn("web", {name for _, name in bench.processes.orders})

	def test_only_who_stops_the_queue_tells_of_other_benches_that_pause(self):
		for strategy in Strategy:
			for workers in (True, False):
				with self.subTest(strategy.value, workers=workers):
					bench = InMemoryBench(TWO_WORKERS)
					bench.queue.other_benches = {"home-other": 2}
					run = Run(bench, Options(strategy, workers=workers))
					run.go()
					stops = workers and strategy is not Strategy.ROLLING
					expected = [events.OtherBenchesPause({"home-other": 2})] if stops else []
					self.assertEqual(run.of(events.OtherBenchesPause), expected)
