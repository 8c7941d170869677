"""What is looked at before the first process is touched, and what becomes of it then."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import CodeFault
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

TWO_WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
BROKEN = CodeFault("app.hooks", "SyntaxError: '(' was never closed", "hooks.py, line 3")


class LastLook(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(TWO_WORKERS)

	def refused(self, options: Options | None = None) -> tuple[Run, WrongEnvironment]:
		"""Nothing was touched, the fence is gone, and the exit code is 7."""
		run = Run(self.bench, options)
		with self.assertRaises(WrongEnvironment) as raised:
			run.go()
		self.assertEqual(raised.exception.exit_code, 7)
		self.assertEqual((run.operation.report.outcome, self.bench.processes.orders), (Phase.ABORTED, []))
		self.assertIsNone(self.bench.queue.suspension.value)
		return run, raised.exception


class TestManager(LastLook):
	def go_away(self, after: float, back_after: float | None = None) -> None:
		names = self.bench.processes.list

		def away():
			raise ProcessFault("supervisor did not answer when asked to list its programs: [Errno 111]")

		self.bench.clock.after(after, lambda: setattr(self.bench.processes, "list", away))
		if back_after is not None:
			self.bench.clock.after(back_after, lambda: setattr(self.bench.processes, "list", names))

	def test_one_that_died_during_the_drain_leaves_everything_as_it_was_and_its_programs_are_named(self):
		task = self.bench.queue.enqueue("running", queue="short", seconds=20)
		pids = [str(process.pid) for process in self.bench.processes.list()]
		self.go_away(after=5)
		run, error = self.refused()
		self.assertEqual(task.status, "finished")
		self.assertIn("Nothing was restarted; the queue keeps running", str(error))
		self.assertIn(f"kill {' '.join(pids)}", error.hint)
		self.assertEqual(len(run.of(events.ManagerAway)), 1)

	def test_one_that_is_away_for_a_moment_does_not_end_a_drain(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.go_away(after=5, back_after=25)
		self.assertEqual(Run(self.bench).go().outcome, Phase.DONE)

	def test_every_strategy_looks_before_it_touches_anything(self):
		for strategy in Strategy:
			for workers in (True, False):
				with self.subTest(strategy.value, workers=workers):
					self.setUp()
					self.go_away_after_preflight()
					self.refused(Options(strategy, workers=workers))

	def go_away_after_preflight(self) -> None:
		listed = self.bench.processes.list
		answers = [listed]

		def once():
			if not answers:
				raise ProcessFault("supervisor did not answer")
			return answers.pop()()

		self.bench.processes.list = once


class TestCode(LastLook):
	def test_code_that_cannot_be_loaded_is_refused_before_the_fence(self):
		self.bench.code.broken = [BROKEN]
		for strategy in Strategy:
			with self.subTest(strategy.value):
				run, error = self.refused(Options(strategy))
				self.assertNotIn(Phase.FENCE, run.phases)
				self.assertIn(
					"app.hooks: SyntaxError: '(' was never closed. Nothing was changed.", str(error)
				)
				self.assertIn("--force", error.hint)
				self.assertEqual(run.of(events.CodeBroken), [events.CodeBroken(BROKEN)])

	def test_with_force_it_is_told_and_everything_is_restarted(self):
		self.bench.code.broken = [BROKEN]
		run = Run(self.bench, Options(ignore_code_faults=True))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(run.of(events.CodeBroken), [events.CodeBroken(BROKEN)])

	def test_code_that_was_broken_during_the_drain_is_seen_before_the_restart(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.clock.after(10, lambda: self.bench.code.broken.append(BROKEN))
		run, _ = self.refused()
		self.assertIn(Phase.DRAIN, run.phases)

	def test_what_only_the_whole_web_application_shows_is_seen_where_the_drain_leaves_the_time(self):
		self.bench.queue.enqueue("running", queue="short", seconds=4.5)
		self.bench.code.broken_web = [BROKEN]
		self.refused()

	def test_an_idle_bench_does_not_wait_for_that(self):
		self.bench.code.broken_web = [BROKEN]
		self.bench.code.web_takes = 60.0
		report = Run(self.bench).go()
		self.assertLess(report.seconds, 10)
		self.assertTrue(self.bench.code.is_checked(), "nothing of it goes on beside the restart")

	def test_nothing_of_it_goes_on_after_an_operation_that_gave_up(self):
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		self.bench.code.web_takes = 60.0
		with self.assertRaises(DrainTimeout):
			Run(self.bench, Options(drain_timeout=1)).go()
		self.assertTrue(self.bench.code.is_checked())

	def test_a_migration_waits_for_all_of_it_so_it_does_not_make_way_for_others(self):
		for migration in (None, MigrationOptions()):
			self.setUp()
			Run(self.bench, Options(sites=("a.localhost",), migration=migration)).go()
			self.assertEqual(self.bench.code.is_awaited, migration is not None)

	def test_a_check_that_never_ends_is_told_and_holds_nothing_up_for_long(self):
		self.bench.code.takes = self.bench.code.web_takes = 1e9
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual(len(run.of(events.CodeNotChecked)), 1)
		self.assertLess(run.operation.report.seconds, 40)

	def test_a_machine_without_room_for_a_check_is_restarted_without(self):
		self.bench.code.no_room = True
		self.bench.queue.enqueue("running", queue="short", seconds=20)
		run = Run(self.bench)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertIn("Cannot allocate memory", run.of(events.CodeNotChecked)[0].reason)

	def test_a_dry_run_tells_it(self):
		self.bench.code.broken = [BROKEN]
		bench = self.bench.port()
		self.assertEqual(plan_of(bench, Options()).code_faults, (BROKEN,))


class TestUnmanaged(LastLook):
	def test_workers_that_no_manager_runs_are_named_and_left_as_they_are(self):
		# Given a worker that was started by hand, and one on another machine
		self.bench.host.add(77)
		by_hand = self.bench.queue.add_worker("by-hand", 77, ("short",))
		self.bench.queue.add_worker("elsewhere", 78, ("short",), host="host-2")
		# When the bench is restarted
		run = Run(self.bench)
		run.go()
		# Then both are named, and nobody has touched them
		(fact,) = run.of(events.WorkersUnmanaged)
		self.assertEqual({worker.name for worker in fact.workers}, {"by-hand", "elsewhere"})
		self.assertFalse(by_hand.is_dead)
		self.assertIsNotNone(self.bench.host.process(77))

	def test_a_pools_children_are_known_by_their_parent(self):
		web = next(process for process in self.bench.processes.list() if process.name == "web")
		self.bench.host.add(77, parent=web.pid)
		self.bench.queue.add_worker("child", 77, ("short",))
		bench = self.bench.port()
		self.assertEqual(plan_of(bench, Options()).unmanaged, ())
