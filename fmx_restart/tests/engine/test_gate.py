"""An operation that is alive but does not run loses its fence. Before each point of no return it finds out."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, FenceFault, LockLost
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITE = "a.localhost"


class TestGate(unittest.TestCase):
	def setUp(self):
		self.bench = InMemoryBench(WORKERS)

	def run_with(self, strategy: Strategy = Strategy.WAIT_WORKERS, **options) -> Run:
		return Run(self.bench, Options(strategy, **options))

	def job_while_it_stalls(self, run: Run, what: Phase | type, seconds: float) -> None:
		"""A job that comes under the fence, starts when the fence has lapsed, and takes so long."""
		run.when(what, lambda: self.bench.queue.enqueue("job", queue="long", seconds=seconds))
		run.stalls(what)

	def at_work_when(self, run: Run, what: Phase | type) -> list[str]:
		seen: list[str] = []
		run.when(what, lambda: seen.extend(w.task.id for w in self.bench.queue.workers.values() if w.task))
		return seen

	def test_a_stall_after_the_drain_is_followed_by_another_one_before_the_restart(self):
		for what in (events.Drained, Phase.DRAIN):
			with self.subTest(what=what):
				self.setUp()
				run = self.run_with()
				self.job_while_it_stalls(run, what, seconds=50)
				seen = self.at_work_when(run, Phase.RESTART)
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual(seen, [])
				self.assertEqual(self.bench.queue.tasks["job"].runs, 1)
				self.assertEqual(len(run.of(events.FenceLapsed)), 1)

	def test_a_stall_in_the_backup_is_followed_by_another_drain_before_the_migration(self):
		run = self.run_with(sites=(SITE,), migration=MigrationOptions(backup=True))
		self.job_while_it_stalls(run, events.BackupStarted, seconds=50)
		seen = self.at_work_when(run, Phase.MIGRATE)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((seen, self.bench.queue.tasks["job"].runs), ([], 1))

	def test_it_gives_up_where_the_time_is_over_and_nothing_was_changed(self):
		run = self.run_with(sites=(SITE,), migration=MigrationOptions(backup=True), drain_timeout=30)
		self.job_while_it_stalls(run, events.BackupStarted, seconds=500)
		with self.assertRaises(DrainTimeout) as raised:
			run.go()
		self.assertIn("Nothing was restarted", str(raised.exception))
		self.assertEqual(run.operation.report.outcome, Phase.ABORTED)
		self.assertEqual(
			(self.bench.processes.orders, list(self.bench.migrations.runs)), ([], [f"{SITE}-backup"])
		)
		self.assertIsNone(self.bench.queue.look().suspension)

	def test_a_job_that_is_killed_in_both_drains_is_put_back_both_times(self):
		job = self.bench.queue.enqueue("endless", queue="long", seconds=60)
		run = self.run_with(drain_timeout=2, on_timeout=OnTimeout.REQUEUE)
		run.stalls(events.Drained)
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual([fact.requeue for fact in run.of(events.JobsCondemned)], [True, True])
		self.bench.clock.sleep(100)
		self.assertEqual((job.status, job.runs), ("finished", 3))

	def test_where_nothing_is_drained_workers_are_parked_again(self):
		for strategy in (Strategy.SUSPEND_RQ, Strategy.NO_WAIT_WORKERS):
			with self.subTest(strategy=strategy):
				self.setUp()
				run = self.run_with(strategy)
				run.stalls(events.WorkersParked)
				states: list = []
				run.when(
					Phase.RESTART,
					lambda states=states: states.extend(
						w.state.value for w in self.bench.queue.look().workers
					),
				)
				self.assertEqual(run.go().outcome, Phase.DONE)
				self.assertEqual((states, len(run.of(events.WorkersParked))), (["suspended"] * 2, 2))

	def test_a_stall_once_processes_are_restarted_is_a_fault(self):
		run = self.run_with()
		run.stalls(Phase.RESTART)
		with self.assertRaises(FenceFault) as raised:
			run.go()
		self.assertEqual((raised.exception.exit_code, run.operation.report.outcome), (4, Phase.FAILED))
		self.assertEqual([lapse.phase for lapse in run.operation.report.lapses], [Phase.RESTART])
		self.assertGreater(run.operation.report.lapses[0].seconds, 30)

	def test_one_that_ended_in_time_is_none(self):
		run = self.run_with()
		run.stalls(Phase.RESTART, seconds=20)
		self.assertEqual((run.go().outcome, run.operation.report.lapses), (Phase.DONE, []))

	def test_who_lost_the_bench_does_not_pass_it(self):
		run = self.run_with()

		def lose():
			self.bench.lock_slot.value, self.bench.lock_slot.expires = "second by ben", None

		run.when(events.Drained, lose)
		with self.assertRaises(LockLost):
			run.go()
		self.assertEqual(self.bench.processes.orders, [])


class TestManySites(unittest.TestCase):
	"""Each takes half a second, and there are more of them than a lease has seconds."""

	def setUp(self):
		self.bench = InMemoryBench(WORKERS)
		self.sites = tuple(f"site-{number}.localhost" for number in range(100))
		self.lapses: list[float] = []

	def slow(self, port: object, name: str) -> None:
		act = getattr(port, name)

		def slowly(*arguments):
			self.bench.clock.sleep(0.5)
			slot = self.bench.lock_slot
			if slot.expires is not None and self.bench.clock.now() >= slot.expires:
				self.lapses.append(self.bench.clock.now())
			return act(*arguments)

		setattr(port, name, slowly)

	def go(self, **options) -> Run:
		run = Run(self.bench, Options(sites=self.sites, **options))
		self.assertEqual(run.go().outcome, Phase.DONE)
		self.assertEqual((self.lapses, run.of(events.FenceLapsed)), ([], []))
		return run

	def test_looking_at_them_loses_neither_lock_nor_fence(self):
		self.slow(self.bench.migrations, "inspect")
		self.go(migration=MigrationOptions())

	def test_changing_their_settings_loses_neither_lock_nor_fence(self):
		self.slow(self.bench.settings, "read")
		self.go(maintenance=frozenset({Phase.DRAIN, Phase.RESTART}))
		self.assertEqual(
			{file.get("maintenance_mode") for file in self.bench.settings.files.values()}, {None}
		)

	def test_ctrl_c_is_heeded_between_two_of_them(self):
		run = Run(self.bench, Options(sites=self.sites, migration=MigrationOptions()))
		self.slow(self.bench.migrations, "inspect")
		self.bench.clock.at(5, run.operation.stop_requested.set)
		with self.assertRaisesRegex(Exception, "Stopped on request"):
			run.go()
		self.assertLess(self.bench.clock.now(), 7)


if __name__ == "__main__":
	unittest.main()
