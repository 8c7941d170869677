"""What a plan, a preflight and a status say once about workers, with the command that changes it."""

from __future__ import annotations

import unittest
from dataclasses import replace

from fmx_restart.adapters.worker_advice import SETUP, WorkerAdvisor
from fmx_restart.console.sentences import plan_warnings, sentence
from fmx_restart.engine import events
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, ManagerSettings, ProcessKind, ProgramSettings
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.engine.strategies import operation_for
from fmx_restart.testing.bench import InMemoryBench

ON = {"fmx_restart_worker": 1}
WORDS = ("bench", "worker", "--queue", "long,default")


class TestAdvice(unittest.TestCase):
	def bench(self, config: dict, *stop_seconds: float) -> Bench:
		"""`stop_seconds`: of each worker program."""
		bench = InMemoryBench({"short": ("short",), "long": ("long", "default")})
		programs = tuple(
			ProgramSettings(f"bench:{number}", "bench", ProcessKind.WORKER, WORDS, stop_seconds=seconds)
			for number, seconds in enumerate(stop_seconds)
		)
		bench.processes.settings = lambda: ManagerSettings(programs, frozenset())
		port = bench.port("operation-1")
		return replace(port, advisor=WorkerAdvisor(config, port.processes.settings))

	def planned(self, config: dict, *stop_seconds: float, **options) -> list[str]:
		return plan_warnings(plan_of(self.bench(config, *stop_seconds), Options(**options)))

	def test_frappes_own_workers_are_told_once_in_a_plan_with_the_command(self):
		[line] = self.planned({})
		self.assertTrue(line.startswith("Note: The workers are Frappe's own"), line)
		self.assertTrue(line.endswith(f"To change that: {SETUP}"), line)

	def test_where_they_are_set_up_or_not_touched_there_is_nothing_to_say(self):
		self.assertEqual(self.planned(ON), [])
		self.assertEqual(self.planned({}, workers=False), [])

	def test_a_preflight_says_it_too_and_goes_on(self):
		facts: list[events.Event] = []
		operation_for(self.bench({}), Options(), facts.append, "operation-1").run()
		advised = [fact for fact in facts if isinstance(fact, events.Advised)]
		self.assertEqual([fact.level for fact in advised], [events.Level.NOTE])
		self.assertIn(SETUP, sentence(advised[0]))

	def test_workers_that_are_killed_before_their_jobs_end_are_told_once(self):
		[line] = self.planned(ON, 10, 20)
		self.assertIn(
			"bench:0 is killed 10 s after it was told to stop, but its jobs may run for 1500 s", line
		)
		self.assertIn("and 1 more in the same way", line)
		self.assertEqual(self.planned(ON, 1560), [])
		self.assertEqual(self.planned({**ON, "fmx_restart_worker_grace": 10}, 10), [])

	def test_those_that_believe_in_more_time_are_told_with_the_managers_number(self):
		[line] = self.planned({**ON, "fmx_restart_worker_grace": 2000}, 10)
		self.assertIn("bench set-config -gp fmx_restart_worker_grace 10", line)
