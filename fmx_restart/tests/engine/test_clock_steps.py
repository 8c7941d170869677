"""
The clock on the wall is set by an hour, forwards and back, in every phase of every strategy, as when a virtual machine is
resumed or time is synchronised for the first time. Redis lets keys expire by that clock; all else must not notice.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable

from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import CrashedOperation
from fmx_restart.engine.errors import FenceFault, ProcessFault, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.recovery import Recovery, see_migration_end
from fmx_restart.engine.report import Report
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.migrations import HANGS, Script
from fmx_restart.tests.engine.support import Run
from fmx_restart.tests.repetitions import repetitions

HOUR = 3600.0
STEPS = (HOUR, -HOUR)
WORKERS = {"short": ("short", "default"), "long": ("long", "default", "short")}
SITE = "a.localhost"
MIGRATE = Options(Strategy.WAIT_WORKERS, sites=(SITE,), migration=MigrationOptions(backup=True))
#: At each moment of each strategy; between two moments, and between two strategies, it changes.
DIRECTIONS = repetitions("directions in which the clock is set at each moment", 1, long=len(STEPS))
ALL = {
	**{strategy.value: Options(strategy, drain_timeout=60, force_kill_timeout=60) for strategy in Strategy},
	"migrate": MIGRATE,
}


class ClockCase(unittest.TestCase):
	def setUp(self) -> None:
		self.bench = InMemoryBench(WORKERS)
		self.bench.settings.files[SITE] = {}
		self.queue = self.bench.queue
		self.pids = {process.name: process.pid for process in self.bench.processes.list()}
		self.identities = {name: self.bench.host.process(pid) for name, pid in self.pids.items()}

	def under_load(self) -> list:
		"""One job runs, one waits, one comes while the restart is under way."""
		jobs = [
			self.queue.enqueue("runs", queue="long", seconds=8),
			self.queue.enqueue("waits", queue="long", seconds=1),
		]
		self.bench.clock.after(5, lambda: jobs.append(self.queue.enqueue("comes", queue="short", seconds=1)))
		return jobs

	def restart(
		self, options: Options, at: Callable[[events.Event], bool], step: float
	) -> tuple[Run, Report]:
		"""The clock is set by so much when this is told for the first time."""
		run, steps = Run(self.bench, options), [step]

		def watch(fact: events.Event) -> None:
			if steps and at(fact):
				self.queue.step_clock(steps.pop())

		run.operation.listen(watch)
		try:
			report = run.go()
		except (
			FenceFault
		):  # Redis let the fence expire when nothing could be undone any more, and that is said
			self.assertGreater(step, 0)
			report = run.operation.report
		self.assertEqual(steps, [], "the clock was set")
		return run, report

	def check(self, jobs: list, report: Report) -> None:
		self.bench.clock.sleep(60)
		self.assertIs(report.outcome, Phase.FAILED if report.lapses else Phase.DONE)
		self.assertEqual(
			{(job.id, job.status, job.runs) for job in jobs}, {(it.id, "finished", 1) for it in jobs}
		)
		self.assertEqual(len(jobs), 3)
		for process in self.bench.processes.list():
			self.assertNotEqual(process.pid, self.pids[process.name], process.name)
		self.assertEqual(self.bench.host.alive(self.identities.values()), [])
		self.assertEqual(report.account.lost, [])
		self.assertTrue(report.account.is_balanced, report.account)
		self.assertIsNone(self.queue.look().suspension)


def entered(phase: Phase) -> Callable[[events.Event], bool]:
	return lambda fact: fact == events.PhaseEntered(phase)


def told(kind: type) -> Callable[[events.Event], bool]:
	return lambda fact: isinstance(fact, kind)


class TestEveryPhase(ClockCase):
	def test_every_process_is_proved_to_be_new_and_every_job_runs_once(self):
		for strategy, (name, options) in enumerate(ALL.items()):
			run = Run(InMemoryBench(WORKERS), options)
			run.operation.bench.settings.files[SITE] = {}
			run.go()
			moments = [("at its beginning", told(events.Planned))]
			moments += [(phase.value, entered(phase)) for phase in run.phases[1:]]
			moments += [
				("between two processes", told(events.ProcessDown)),
				("when one is up", told(events.ProcessUp)),
			]
			for number, (moment, at) in enumerate(moments):
				for step in (*STEPS, *STEPS)[(strategy + number) % 2 :][:DIRECTIONS]:
					with self.subTest(strategy=name, step=step, moment=moment):
						self.setUp()
						jobs = self.under_load()
						_, report = self.restart(options, at, step)
						self.check(jobs, report)

	def test_new_workers_that_redis_forgets_before_we_look_have_come_back_all_the_same(self):
		for name, options in ALL.items():
			if options.strategy is Strategy.ROLLING:
				continue
			with self.subTest(strategy=name):
				self.setUp()
				jobs = self.under_load()
				run, report = self.restart(options, is_up_again("short"), HOUR)
				self.check(jobs, report)
				self.assertEqual([round(fact.seconds) for fact in run.of(events.ClockSet)], [HOUR])

	def test_rolling_goes_no_further_when_redis_forgets_a_new_worker(self):
		"""Who has not registered may not take jobs either: the next one is not made to leave for that."""
		jobs = self.under_load()
		with self.assertRaisesRegex(ProcessFault, "no worker of it has registered.*Not touched.*long"):
			self.restart(ALL["rolling"], is_up_again("short"), HOUR)
		self.bench.clock.sleep(60)
		self.assertEqual({(job.status, job.runs) for job in jobs}, {("finished", 1)})


def is_up_again(name: str) -> Callable[[events.Event], bool]:
	return lambda fact: isinstance(fact, events.ProcessUp) and fact.name == name


class TestBefore(ClockCase):
	def test_a_clock_that_was_set_while_workers_were_idle_makes_none_of_them_dead(self):
		for step in STEPS:
			for strategy in Strategy:
				with self.subTest(strategy, step=step):
					self.setUp()
					self.bench.clock.sleep(200)  # since their last heartbeat
					self.queue.step_clock(step)
					jobs = self.under_load()
					if strategy is Strategy.ROLLING and step > 0:
						continue  # refused: Redis has forgotten its workers (see below)
					run = Run(self.bench, ALL[strategy.value])
					report = run.go()
					self.assertEqual(run.of(events.WorkersUnmanaged), [])
					self.check(jobs, report)

	def test_workers_that_redis_has_forgotten_cannot_be_rolled(self):
		self.bench.clock.sleep(200)
		self.queue.step_clock(HOUR)
		with self.assertRaisesRegex(WrongEnvironment, "Redis knows no worker of these programs"):
			Run(self.bench, ALL["rolling"]).go()
		self.assertEqual(self.bench.processes.orders, [])

	def test_a_worker_elsewhere_whose_clock_is_wrong_is_waited_for(self):
		"""Its heartbeats look old; that Redis keeps its record says that they are not."""
		for step in STEPS:
			with self.subTest(step=step):
				self.setUp()
				self.queue.add_worker("far", 7, ["far"], host="host-2")
				job = self.queue.enqueue("far-away", queue="far", seconds=20)
				self.bench.clock.step(step)
				for (
					worker
				) in self.queue.workers.values():  # its beats since are by a clock that nobody has set
					worker.beat_at = self.bench.clock.now()
				run = Run(self.bench, ALL["wait-workers"])
				report = run.go()
				self.assertEqual((job.status, job.runs), ("finished", 1))
				self.assertEqual([wait.job.id for wait in report.waited_for], ["far-away"])


class TestGhosts(ClockCase):
	def test_a_job_that_is_lost_after_the_clock_was_set_back_is_put_back(self):
		job = []

		def lose() -> None:
			self.queue.step_clock(-HOUR)
			job.append(self.queue.enqueue("lost", queue="nobody-listens"))
			self.queue.lose("lost")

		self.queue.enqueue("runs", queue="long", seconds=20)
		self.bench.clock.after(5, lose)
		report = Run(self.bench, ALL["wait-workers"]).go()
		self.assertEqual((report.account.requeued, report.account.older_ghosts), (1, 0))
		self.assertEqual(self.queue.lists["nobody-listens"], ["lost"])

	def test_one_that_was_lost_long_before_is_told_and_not_touched(self):
		for step in STEPS:
			with self.subTest(step=step):
				self.setUp()
				self.queue.enqueue("lost", queue="nobody-listens")
				self.queue.lose("lost")
				self.bench.clock.sleep(2 * HOUR)
				self.queue.enqueue("runs", queue="long", seconds=20)
				self.bench.clock.after(5, lambda step=step: self.queue.step_clock(step))
				report = Run(self.bench, ALL["wait-workers"]).go()
				self.assertEqual((report.account.requeued, report.account.older_ghosts), (0, 1))


class TestKilling(ClockCase):
	def test_jobs_whose_time_is_over_are_ended_and_nothing_else(self):
		for step in STEPS:
			with self.subTest(step=step):
				self.setUp()
				job = self.queue.enqueue("endless", queue="long", seconds=1e9)
				self.bench.clock.after(5, lambda step=step: self.queue.step_clock(step))
				worker = next(iter(self.queue.workers.values()))
				options = Options(Strategy.FAST, drain_timeout=10, on_timeout=OnTimeout.KILL)
				report = Run(self.bench, options).go()
				self.assertEqual((report.outcome, job.status, job.runs), (Phase.DONE, "failed", 1))
				self.assertEqual(len(self.bench.host.killed), 1, worker)


class TestRecovery(ClockCase):
	def test_a_migration_that_goes_on_alone_has_the_time_that_it_was_given_and_no_other(self):
		for step in STEPS:
			for takes, signals, ends in ((40.0, [], 40.0), (HANGS, ["TERM"], 60.0)):
				with self.subTest(step=step, takes=takes):
					self.setUp()
					clock, migrations = self.bench.clock, self.bench.migrations
					# Given a migration that may take a minute, whose operation died
					migrations.scripts[SITE] = Script(seconds=takes)
					run = migrations.start(SITE, MigrationOptions(timeout=60))
					remains = CrashedOperation(
						operation="dead", migrating=events.MigrationStarted(SITE, run.log, 60)
					)
					clock.sleep(10)
					self.queue.step_clock(step)
					# When someone sees it to its end
					see_migration_end(Recovery(self.bench.port("dead"), remains, lambda fact: None))
					self.assertEqual(run.signals, signals)
					self.assertAlmostEqual(clock.now(), ends, delta=1)


if __name__ == "__main__":
	unittest.main()
