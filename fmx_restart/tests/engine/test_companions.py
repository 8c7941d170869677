"""A web program whose process tree holds RQ workers, as gunicorn's companions: to stop it is to stop workers."""

from __future__ import annotations

import unittest

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, WrongEnvironment
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import OnTimeout, Options, Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Likeness, ProcessKind
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.testing.workers import WAKE
from fmx_restart.tests.engine.support import Run

QUEUES = ("short", "default", "long")


class CompanionBench(InMemoryBench):
	"""One program: a master, and below it a worker that it forked, whose command is the master's."""

	def __init__(self, kind: ProcessKind = ProcessKind.WEB, companions: int = 1) -> None:
		super().__init__({})
		self.stopped_unparked: list[str] = []
		self.program = self.processes["web"]
		self.program.kind, self.companions = kind, companions
		self.program.on_start, self.program.on_stop = self.fork, self.reap
		self.program.is_at_work = lambda: any(
			self.queue.is_at_work(name) for name in list(self.queue.workers)
		)
		self.watch_stop()
		self.fork()

	def fork(self) -> None:
		for number in range(self.companions):
			pid = self.program.pid * 10 + number
			self.host.add(pid, parent=self.program.pid, likeness=Likeness.BENCH)
			self.queue.add_worker(f"companion@{pid}", pid, QUEUES)

	def reap(self) -> None:
		for worker in list(self.queue.workers.values()):
			self.queue.stop_worker(worker.name)
			self.host.remove(worker.pid)

	def watch_stop(self) -> None:
		"""A TERM to the master goes on to its companions: one that waits for a job may lose it (rq #2236)."""
		stop = self.processes.stop

		def watched(name: str) -> None:
			self.stopped_unparked += [worker.name for worker in self.queue.blocked]
			stop(name)

		self.processes.stop = watched


class TestCompanions(unittest.TestCase):
	def setUp(self):
		self.bench = CompanionBench()
		self.pid = self.bench.program.pid

	def refused(self, options: Options) -> WrongEnvironment:
		with self.assertRaises(WrongEnvironment) as raised:
			Run(self.bench, options).go()
		self.assertEqual((self.bench.processes.orders, self.bench.program.pid), ([], self.pid))
		self.assertIn("Nothing was changed", str(raised.exception))
		with self.assertRaisesRegex(WrongEnvironment, str(raised.exception)):  # a dry run says the same
			plan_of(self.bench.port(), options)
		return raised.exception

	def test_web_alone_cannot_be_restarted_whatever_the_strategy(self):
		for strategy in Strategy:
			with self.subTest(strategy):
				error = self.refused(Options(strategy, workers=False))
				self.assertIn("web runs web and workers", str(error))
				self.assertIn("--no-workers", error.hint)

	def test_nor_the_workers_alone(self):
		for strategy in Strategy:
			with self.subTest(strategy):
				self.assertIn("--no-web", self.refused(Options(strategy, web=False)).hint)

	def test_it_is_not_replaced_while_its_jobs_run_on(self):
		for strategy in (Strategy.ROLLING, Strategy.NO_WAIT_WORKERS):
			with self.subTest(strategy):
				self.assertIn("--wait-workers", self.refused(Options(strategy)).hint)

	def test_its_job_is_waited_for_under_the_fence_and_then_all_of_it_is_new(self):
		for strategy in (Strategy.WAIT_WORKERS, Strategy.FAST):
			with self.subTest(strategy):
				self.setUp()
				job = self.bench.queue.enqueue("job", queue="long", seconds=20)
				run = Run(self.bench, Options(strategy, drain_timeout=60))
				report = run.go()
				self.assertEqual((report.outcome, job.status, job.runs), (Phase.DONE, "finished", 1))
				self.assertEqual([wait.job.id for wait in report.waited_for], ["job"])
				self.assertEqual((self.bench.stopped_unparked, run.of(events.WorkersUnmanaged)), ([], []))
				self.assertNotEqual(self.bench.program.pid, self.pid)
				self.assertEqual(report.account.lost, [])

	def test_it_has_come_back_when_its_workers_have_registered_and_web_answers(self):
		run = Run(self.bench, Options(Strategy.WAIT_WORKERS))
		self.bench.companions = 0  # the new master forks none
		with self.assertRaisesRegex(Exception, "web"):
			run.go()
		[failed] = run.of(events.ProcessFailed)
		self.assertIn("no worker of it has registered", failed.reason)

	def test_a_migration_meets_none_of_its_workers(self):
		states = []
		script = self.bench.migrations.scripts
		from fmx_restart.testing.migrations import Script

		def note() -> None:
			states.extend(
				worker.task and not worker.task.id.startswith(WAKE)
				for worker in self.bench.queue.workers.values()
			)

		script["a.localhost"] = Script(on_start=note)
		self.bench.settings.files["a.localhost"] = {}
		job = self.bench.queue.enqueue("job", queue="long", seconds=5)
		options = Options(Strategy.WAIT_WORKERS, sites=("a.localhost",), migration=MigrationOptions())
		report = Run(self.bench, options).go()
		self.assertEqual((report.outcome, job.status, any(states)), (Phase.DONE, "finished", False))
		self.assertEqual(self.bench.stopped_unparked, [])

	def test_its_jobs_processes_are_ended_and_never_gunicorn_itself(self):
		job = self.bench.queue.enqueue("endless", queue="long", seconds=1e9)
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.KILL)
		report = Run(self.bench, options).go()
		self.assertEqual((report.outcome, job.status), (Phase.DONE, "failed"))
		worker = self.pid * 10
		self.assertEqual(self.bench.host.killed, [worker * 1000])

	def test_one_that_runs_its_job_itself_is_not_ended(self):
		"""Its command is gunicorn's: nothing proves that it is no process that answers requests."""
		job = self.bench.queue.enqueue("endless", queue="long", seconds=1e9)
		[worker] = self.bench.queue.workers.values()
		self.bench.host.remove(worker.pid * 1000)  # there is no horse
		options = Options(Strategy.FAST, drain_timeout=5, on_timeout=OnTimeout.KILL)
		with self.assertRaises(DrainTimeout):
			Run(self.bench, options).go()
		self.assertEqual(
			(job.status, self.bench.host.killed, self.bench.processes.orders), ("started", [], [])
		)


class TestOtherPrograms(unittest.TestCase):
	def test_whatever_holds_a_worker_is_a_worker(self):
		"""A script that starts things, in the group of web."""
		for kind in (ProcessKind.OTHER, ProcessKind.SCHEDULER, ProcessKind.SOCKETIO):
			with self.subTest(kind):
				bench = CompanionBench(kind)
				[process] = plan_of(bench.port(), Options()).restart
				self.assertTrue(process.runs_jobs)
				with self.assertRaises(WrongEnvironment):  # nothing is left for --no-workers to restart
					plan_of(bench.port(), Options(workers=False))
				self.assertEqual(bench.processes.orders, [])

	def test_a_worker_that_is_at_work_below_it_makes_it_busy(self):
		bench = CompanionBench(ProcessKind.WORKER)
		bench.queue.enqueue("job", queue="long", seconds=20)
		self.assertEqual(plan_of(bench.port(), Options()).busy, ("web",))


if __name__ == "__main__":
	unittest.main()
