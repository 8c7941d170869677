from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import (
	DrainTimeout,
	FenceFault,
	Interrupted,
	LockLost,
	MigrationFailed,
	ProcessFault,
)
from fmx_restart.engine.migration import Finding, Gravity, MigrationOptions, Result
from fmx_restart.engine.options import Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import HANGS, Script
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITES = ("a.localhost", "b.localhost", "c.localhost")
PATCH = """Executing app.patches.first in b.localhost (_b)
Success: Done in 0.1s
Executing app.patches.second in b.localhost (_b)
ValueError: no such column
"""


class MigrationTest(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.scripts = self.bench.migrations.scripts

	def run_with(self, sites=SITES, strategy=Strategy.WAIT_WORKERS, web=True, workers=True, **options) -> Run:
		migration = MigrationOptions(**options)
		return Run(
			self.bench,
			Options(strategy=strategy, web=web, workers=workers, sites=sites, migration=migration),
		)

	def fail(self, run: Run, error: type = MigrationFailed):
		with self.assertRaises(error) as raised:
			run.go()
		return raised.exception

	def results(self, run: Run) -> list[Result]:
		return [migration.result for migration in run.operation.report.migrations]

	def assert_back_in_service(self, run: Run):
		restarted = {name for order, name in self.bench.processes.orders if order == "start"}
		self.assertEqual(restarted, {"web", "short", "long"})
		self.assertIsNone(self.bench.queue.look().suspension)
		self.assertIsNone(self.bench.lock_slot.value)


class TestMigrationsThatWork(MigrationTest):
	def test_every_site_is_migrated_one_after_the_other_between_drain_and_restart(self):
		run = self.run_with()
		report = run.go()
		self.assertEqual(self.results(run), [Result.DONE] * 3)
		phases = run.phases
		self.assertEqual(phases[3:6], [Phase.DRAIN, Phase.MIGRATE, Phase.RESTART])
		self.assertEqual(report.outcome, Phase.DONE)
		started = [fact.site for fact in run.of(events.MigrationStarted)]
		self.assertEqual(started, list(SITES))
		self.assertGreater(report.seconds, 15)

	def test_no_job_starts_and_web_is_not_touched_while_it_migrates(self):
		# Given jobs that arrive all the time
		for step in range(400):
			self.bench.clock.at(step / 10, lambda step=step: self.bench.queue.enqueue(f"job-{step}"))
		orders = []
		self.scripts["b.localhost"] = Script(on_start=lambda: orders.extend(self.bench.processes.orders))
		run = self.run_with()
		marks = {}
		run.operation.listen(
			lambda fact: marks.setdefault(getattr(fact, "phase", ""), self.bench.clock.time())
		)
		# When the sites are migrated
		run.go()
		self.bench.clock.sleep(60)
		# Then no job began from the migration's start until the fence was lifted, and each ran once later
		starts = [task.started for task in self.bench.queue.tasks.values()]
		self.assertEqual([at for at in starts if marks[Phase.MIGRATE] <= at < marks[Phase.LIFT]], [])
		self.assertEqual({task.runs for task in self.bench.queue.tasks.values()}, {1})
		self.assertEqual(orders, [("stop", "short"), ("stop", "long")])

	def test_its_output_is_told_line_by_line_as_it_comes(self):
		self.scripts["a.localhost"] = Script(
			prints="Migrating a.localhost\nExecuting x in a.localhost (_a)\nhalf"
		)
		run = self.run_with(sites=("a.localhost",))
		run.go()
		lines = [fact.line for fact in run.of(events.MigrationOutput)]
		self.assertEqual(lines, ["Migrating a.localhost", "Executing x in a.localhost (_a)", "half"])

	def test_a_migration_may_take_longer_than_the_lease_without_losing_lock_or_fence(self):
		self.scripts["a.localhost"] = Script(seconds=500)
		run = self.run_with(sites=("a.localhost",))
		run.go()
		self.assertEqual(run.of(events.FenceLapsed), [])

	def test_a_redis_that_restarts_meanwhile_does_not_end_a_migration(self):
		self.scripts["a.localhost"] = Script(seconds=20)
		self.bench.clock.at(5, lambda: setattr(self.bench.queue, "is_away", True))
		self.bench.clock.at(12, lambda: setattr(self.bench.queue, "is_away", False))
		run = self.run_with(sites=("a.localhost",))
		self.assertEqual(run.go().outcome, Phase.DONE)

	def test_without_migration_nothing_of_it_happens(self):
		run = Run(self.bench)
		run.go()
		self.assertNotIn(Phase.MIGRATE, run.phases)
		self.assertEqual(self.bench.migrations.runs, {})


class TestMigrationsThatFail(MigrationTest):
	def test_the_rest_is_not_tried_and_the_bench_is_back_in_service(self):
		# Given a patch that raises on the second of three sites
		self.scripts["b.localhost"] = Script(exit_code=1, prints=PATCH)
		run = self.run_with()
		# When they are migrated
		error = self.fail(run)
		# Then it says what became of each, where it broke, and how to go on
		self.assertEqual(self.results(run), [Result.DONE, Result.FAILED, Result.NOT_TRIED])
		self.assertEqual(error.exit_code, 6)
		self.assertRegex(str(error), r"b\.localhost failed at app\.patches\.second after 5 s, exit code 1")
		self.assertRegex(str(error), r"Done: a\.localhost\. Not tried: c\.localhost\..*back in service")
		self.assertIn("no such column", error.hint)
		self.assertIn("/in-memory/logs/b.localhost.log", error.hint)
		self.assertIn("--resume", error.hint)
		self.assertEqual(run.operation.report.outcome, Phase.FAILED)
		self.assert_back_in_service(run)

	def test_one_that_hangs_silently_is_ended_when_its_time_is_over(self):
		self.scripts["a.localhost"] = Script(seconds=HANGS)
		run = self.run_with(timeout=60)
		error = self.fail(run)
		self.assertEqual(self.results(run), [Result.TIMED_OUT, Result.NOT_TRIED, Result.NOT_TRIED])
		self.assertEqual(self.bench.migrations.runs["a.localhost"].signals, ["TERM"])
		self.assertRegex(str(error), "did not end within 60 s")
		self.assertIn("--migrate-timeout", error.hint)
		self.assert_back_in_service(run)

	def test_what_held_it_up_when_its_time_was_over_is_told(self):
		def lock():
			self.bench.migrations.findings = [Finding("a.localhost", Gravity.TRANSIENT, "connection 7 waits")]

		self.scripts["a.localhost"] = Script(seconds=HANGS, on_start=lock)
		self.assertIn("At the timeout: connection 7 waits", self.fail(self.run_with(timeout=60)).hint)

	def test_one_that_ignores_term_is_killed_within_the_lease(self):
		self.scripts["a.localhost"] = Script(seconds=HANGS, ignores_term=True)
		run = self.run_with(timeout=60)
		self.fail(run)
		self.assertEqual(self.bench.migrations.runs["a.localhost"].signals, ["TERM", "KILL"])
		self.assertEqual(run.of(events.FenceLapsed), [])

	def test_children_that_a_failed_one_leaves_are_ended(self):
		self.scripts["a.localhost"] = Script(exit_code=1, leaves_children=True)
		self.fail(self.run_with())
		self.assertEqual(self.bench.migrations.runs["a.localhost"].signals, ["TERM"])

	def test_a_command_that_cannot_be_started_leaves_the_bench_in_service(self):
		self.scripts["a.localhost"] = Script(is_startable=False)
		run = self.run_with()
		self.assertIn("the command is not there", self.fail(run).hint)
		self.assert_back_in_service(run)

	def test_a_process_that_does_not_come_back_as_well_is_told_in_the_same_breath(self):
		self.scripts["a.localhost"] = Script(exit_code=1)
		self.bench.processes["long"].crashes_at_start = True
		error = self.fail(self.run_with())
		self.assertEqual(error.exit_code, 6)
		self.assertRegex(str(error), "a.localhost failed.*Besides: 1 of 3 processes failed: long")

	def test_an_old_worker_that_does_not_stop_is_killed_before_the_fence_is_lifted(self):
		self.bench.processes["long"].refuses_to_stop = True
		old = self.bench.processes["long"].pid
		run = self.run_with(sites=("a.localhost",))
		with self.assertRaises(ProcessFault):
			run.go()
		self.assertIn(old, self.bench.host.killed)

	def test_when_another_operation_took_the_bench_the_migration_goes_on_and_nothing_is_touched(self):
		self.scripts["a.localhost"] = Script(seconds=HANGS)

		def lose_the_lock():
			self.bench.lock_slot.value, self.bench.lock_slot.expires = "second by ben", None

		self.bench.clock.at(20, lose_the_lock)
		run = self.run_with()
		self.assertEqual(self.fail(run, LockLost).exit_code, 4)
		self.assertEqual(self.bench.migrations.runs["a.localhost"].signals, [])
		self.assertEqual(self.bench.processes.orders, [("stop", "short"), ("stop", "long")])
		self.assertTrue(run.operation.report.is_left_open)


class TestWhateverEndsIt(MigrationTest):
	def test_an_error_of_ours_in_the_middle_leaves_no_old_worker_at_the_new_schema(self):
		# Given an operation that breaks when a migration has just begun
		run = self.run_with()

		def break_down(fact):
			if isinstance(fact, events.MigrationStarted):
				raise RuntimeError("a bug")

		run.operation.listen(break_down)
		old = {process.name: process.pid for process in self.bench.processes.list()}
		# When it ends with that error
		with self.assertRaises(RuntimeError):
			run.go()
		# Then every process was replaced before the fence was lifted
		new = {process.name: process.pid for process in self.bench.processes.list()}
		self.assertEqual([name for name in old if new[name] in (None, old[name])], [])
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_fence_that_lapsed_meanwhile_is_a_fault_though_no_job_could_start(self):
		# Given a Redis that forgets the fence during a migration, and a job that comes just then
		self.scripts["a.localhost"] = Script(seconds=30)

		def lapse():
			self.bench.queue.suspension.value = None
			self.bench.queue.enqueue("slips-through", queue="long", seconds=20)

		self.bench.clock.at(11, lapse)
		# When the bench is migrated and restarted
		run = self.run_with(sites=("a.localhost",))
		began = self.bench.clock.time()
		error = self.fail(run, FenceFault)
		# Then nobody was there to start it before the migration had ended
		self.bench.clock.sleep(60)
		task = self.bench.queue.tasks["slips-through"]
		self.assertEqual((task.status, task.runs), ("finished", 1))
		self.assertGreater(task.started, began + 30)
		# And it is told, with what came of it
		self.assertRegex(
			str(error), "fence had lapsed during the migration.*No worker with old code was alive"
		)
		self.assertEqual((error.exit_code, self.results(run)), (4, [Result.DONE]))


class TestAskedToStop(MigrationTest):
	def test_before_the_first_migration_all_is_undone(self):
		self.bench.queue.enqueue("running", queue="short", seconds=100)
		run = self.run_with()
		self.bench.clock.at(10, run.operation.stop_requested.set)
		self.fail(run, Interrupted)
		self.assertEqual((run.operation.report.outcome, self.bench.migrations.runs), (Phase.ABORTED, {}))

	def test_during_one_it_is_finished_and_the_rest_not_tried(self):
		run = self.run_with()
		self.scripts["a.localhost"] = Script(on_start=run.operation.stop_requested.set)
		error = self.fail(run)
		self.assertEqual(self.results(run), [Result.DONE, Result.NOT_TRIED, Result.NOT_TRIED])
		self.assertRegex(
			str(error), "Stopped on request.*Done: a.localhost. Not tried: b.localhost, c.localhost"
		)
		self.assertEqual(run.of(events.MigrationsStopped), [events.MigrationsStopped(SITES[1:])])
		self.assert_back_in_service(run)

	def test_during_the_last_one_the_operation_ends_as_done(self):
		run = self.run_with(sites=("a.localhost",))
		self.scripts["a.localhost"] = Script(on_start=run.operation.stop_requested.set)
		self.assertEqual(run.go().outcome, Phase.DONE)


class TestBackup(MigrationTest):
	def test_it_is_made_before_and_the_report_names_the_file(self):
		run = self.run_with(backup=True)
		report = run.go()
		self.assertEqual(run.phases[3:6], [Phase.DRAIN, Phase.BACKUP, Phase.MIGRATE])
		self.assertEqual(report.migrations[0].backup, "/in-memory/a.localhost.sql.gz")

	def test_one_that_fails_leaves_everything_as_it_was(self):
		self.bench.migrations.backups["b.localhost"] = Script(exit_code=1, prints="no space left\n")
		run = self.run_with(backup=True)
		error = self.fail(run)
		self.assertEqual((error.exit_code, run.operation.report.outcome), (6, Phase.ABORTED))
		self.assertIn("no space left", error.hint)
		self.assertEqual((self.bench.processes.orders, self.results(run)), ([], [Result.NOT_TRIED] * 3))

	def test_a_drain_that_gives_up_starts_nothing(self):
		self.bench.queue.enqueue("endless", queue="short", seconds=1e9)
		self.fail(self.run_with(backup=True), DrainTimeout)
		self.assertEqual(self.bench.migrations.runs, {})
