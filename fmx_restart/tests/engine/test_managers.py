"""Two process managers, one of them on another machine: each may be away by itself."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run


class TestTwoManagers(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench({"short": ("short", "default")})
		self.there = self.bench.add_host("host-2", {"short": ("short", "default"), "long": ("long",)})
		self.pids = {process.name: process.pid for process in self.there.list()}

	def leave(self, back_after: float | None = None) -> None:
		self.there.is_away = True
		if back_after is not None:
			self.bench.clock.after(back_after, lambda: setattr(self.there, "is_away", False))

	def test_both_are_restarted_and_no_job_is_lost(self):
		tasks = [self.bench.queue.enqueue(f"job-{n}", queue="long", seconds=3) for n in range(4)]
		report = Run(self.bench).go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(
			{change.name for change in report.processes if change.new_pid},
			{"host-1/web", "host-1/short", "host-2/short", "host-2/long"},
		)
		now = {process.name: process.pid for process in self.there.list()}
		self.assertTrue(all(now[name] not in (None, pid) for name, pid in self.pids.items()))
		self.bench.clock.sleep(30)
		self.assertEqual({task.status for task in tasks}, {"finished"})

	def test_no_process_of_this_machine_is_taken_for_one_of_the_other_that_has_its_pid(self):
		self.assertEqual(self.there["long"].pid, self.bench.processes["short"].pid)
		self.bench.queue.enqueue("running", queue="short", seconds=2)
		self.assertEqual(plan_of(self.bench.port(), Options()).busy, ("host-1/short",))
		Run(self.bench).go()
		self.assertEqual(self.bench.host.killed, [])

	def test_workers_of_the_other_machine_are_managed_and_the_plan_says_which_are_busy(self):
		self.bench.queue.enqueue("running", queue="long", seconds=20)
		plan = plan_of(self.bench.port(), Options())
		self.assertEqual(plan.unmanaged, ())
		self.assertEqual(plan.busy, ("host-2/long",))

	def test_one_that_is_away_for_a_while_delays_its_own_programs_alone(self):
		run = Run(self.bench)
		run.when(Phase.RESTART, lambda: self.leave(back_after=20))
		report = run.go()
		self.assertEqual(report.outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.ManagerAway)), 1)
		here = [fact for fact in run.of(events.ProcessUp) if fact.name == "host-1/short"]
		self.assertLess(here[0].seconds, 5)
		now = {process.name: process.pid for process in self.there.list()}
		self.assertTrue(all(now[name] not in (None, pid) for name, pid in self.pids.items()))

	def test_one_that_is_away_for_ever_is_named_with_what_to_type_and_the_others_are_restarted(self):
		run = Run(self.bench)
		run.when(Phase.RESTART, self.leave)
		with self.assertRaises(ProcessFault) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 4)
		self.assertIn("host-2", str(raised.exception))
		self.assertIn("in-memory start short", raised.exception.hint)
		up = {fact.name for fact in run.of(events.ProcessUp)}
		self.assertEqual(up, {"host-1/web", "host-1/short"})
		self.assertIsNone(self.bench.queue.suspension.value)

	def test_one_that_is_away_at_the_beginning_keeps_everything_as_it_is(self):
		self.leave()
		with self.assertRaisesRegex(WrongEnvironment, "host-2.*Nothing was changed") as raised:
			Run(self.bench).go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertEqual((self.bench.processes.orders, self.there.orders), ([], []))

	def test_one_that_leaves_during_the_drain_keeps_everything_as_it_was(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.after(5, self.leave)
		with self.assertRaisesRegex(WrongEnvironment, "host-2.*Nothing was restarted") as raised:
			Run(self.bench).go()
		# Then nobody is told to end the programs of the manager that answers
		self.assertNotIn("kill", raised.exception.hint)
		self.assertEqual((self.bench.processes.orders, self.there.orders), ([], []))

	def test_a_worker_of_the_other_machine_that_neither_parks_nor_works_ends_the_operation(self):
		name = next(name for name in self.bench.queue.workers if name.startswith("host-2/long@"))
		self.bench.queue.workers[name].is_hung = True
		with self.assertRaises(DrainTimeout):
			Run(self.bench).go()
		self.assertEqual(self.there.orders, [])

	def test_strategies_that_replace_workers_one_by_one_refuse_another_machine(self):
		for strategy in (Strategy.NO_WAIT_WORKERS, Strategy.ROLLING):
			with self.subTest(strategy.value), self.assertRaisesRegex(WrongEnvironment, "another machine"):
				Run(self.bench, Options(strategy)).go()
