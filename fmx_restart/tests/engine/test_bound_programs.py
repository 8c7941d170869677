"""Programs whose end would be that of all others: they reload in place, or stay as they are, and nothing of them is signalled."""

from __future__ import annotations

import unittest
from typing import ClassVar

from fmx_restart.engine import events
from fmx_restart.engine.errors import DrainTimeout, ProcessFault, WrongEnvironment
from fmx_restart.engine.events import Level
from fmx_restart.engine.migration import MigrationOptions
from fmx_restart.engine.options import Options, Strategy, restart_options
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind, Stays
from fmx_restart.engine.report import ReplacedBy
from fmx_restart.engine.steps.preflight import plan_of
from fmx_restart.testing.bench import InMemoryBench
from fmx_restart.tests.engine.support import Run

WORKERS = {"short": ("default",), "long": ("default", "long")}
ALONE = Stays("it cannot be restarted alone", ("End all, and start all again.",))
FOUR = (Strategy.FAST, Strategy.WAIT_WORKERS, Strategy.NO_WAIT_WORKERS, Strategy.ROLLING)


class BoundCase(unittest.TestCase):
	lossless: ClassVar[tuple[str, ...]] = tuple(WORKERS)
	with_scheduler = True

	def setUp(self):
		self.bench = InMemoryBench(WORKERS, lossless=self.lossless, has_scheduler=self.with_scheduler)
		for name in self.names():
			self.bench.processes[name].ends_all = True
			self.bench.processes[name].stays = None if name == "web" else ALONE
		self.before = self.pids()

	def names(self) -> list[str]:
		return [process.name for process in self.bench.processes.list()]

	def pids(self) -> dict[str, int | None]:
		return {process.name: process.pid for process in self.bench.processes.list()}

	def run_with(self, strategy: Strategy, **others) -> Run:
		return Run(self.bench, restart_options(strategy, **others))

	def fails(self, run: Run, kind: type = ProcessFault) -> Exception:
		with self.assertRaises(kind) as raised:
			run.go()
		return raised.exception

	def assert_nothing_ended(self) -> None:
		"""But for web, which its own reloader has replaced; the manager was asked for nothing else."""
		after = self.pids()
		self.assertEqual(
			{name: pid for name, pid in after.items() if name != "web"}.items() - self.before.items(), set()
		)
		self.assertEqual(set(self.bench.host.killed) & set(self.before.values()), set())
		self.assertLessEqual(set(self.bench.processes.orders), {("stop", "web")})


class TestWorkersThatReload(BoundCase):
	def test_every_strategy_lets_them_reload_and_web_is_another_process(self):
		for strategy in FOUR:
			with self.subTest(strategy=strategy):
				self.setUp()
				report = self.run_with(strategy).go()
				by = {change.name: change.by for change in report.processes}
				self.assertEqual(by.pop("web"), ReplacedBy.RELOADER)
				self.assertEqual(by, dict.fromkeys(("schedule", *WORKERS), ReplacedBy.RELOAD))
				self.assertNotIn(self.pids()["web"], (None, self.before["web"]))
				self.assertEqual((report.outcome, report.stays), (Phase.DONE, {}))
				self.assert_nothing_ended()

	def test_no_job_starts_with_old_code_once_the_others_are_drained(self):
		# Given a job that runs, and one that comes while workers reload
		running = self.bench.queue.enqueue("running", seconds=20)
		run = self.run_with(Strategy.WAIT_WORKERS)
		run.when(events.ReloadAsked, lambda: self.bench.queue.enqueue("later", seconds=1))
		began = []
		run.operation.listen(
			lambda fact: (
				isinstance(fact, events.WorkerReloaded) and began.append(self.bench.queue.tasks["later"].runs)
			)
		)
		report = run.go()
		self.bench.clock.sleep(10)
		# Then it was begun when all had new code
		later = self.bench.queue.tasks["later"]
		self.assertEqual((running.runs, later.runs, set(began)), (1, 1, {0}))
		self.assertEqual((report.account.lost, report.outcome), ([], Phase.DONE))

	def test_a_job_that_outlives_its_grace_is_killed_and_its_worker_is_not(self):
		task = self.bench.queue.enqueue("running", seconds=500)
		report = self.run_with(Strategy.FAST).go()
		self.assertEqual([job.id for job in report.interrupted], [task.id])
		self.assertEqual(len(self.bench.queue.workers), 2)
		self.assert_nothing_ended()

	def test_new_code_that_cannot_be_imported_leaves_the_worker_in_service(self):
		for worker in self.bench.queue.workers.values():
			self.bench.queue.refusals[worker.name] = "ImportError"
		error = self.fails(self.run_with(Strategy.WAIT_WORKERS))
		self.assertIn("its new code cannot be imported: ImportError; it keeps the old code", str(error))
		self.assertEqual(len(self.bench.queue.workers), 2)
		self.assert_nothing_ended()

	def test_one_that_was_switched_off_is_not_told_to_leave(self):
		for strategy in FOUR:
			with self.subTest(strategy=strategy):
				self.setUp()
				for worker in self.bench.queue.workers.values():
					self.bench.queue.refusals[worker.name] = "SwitchedOff"
				error = self.fails(self.run_with(strategy))
				self.assertEqual((error.exit_code, error.hint), (4, ALONE.remedies[0]))
				self.assert_nothing_ended()

	def test_what_is_no_code_of_the_apps_may_stay(self):
		# Given socketio, which nothing can replace
		self.bench.processes["web"].kind = ProcessKind.SOCKETIO
		self.bench.processes["web"].stays = ALONE
		run = self.run_with(Strategy.WAIT_WORKERS)
		report = run.go()
		# Then it is named, and the operation is done
		[fact] = run.of(events.ProgramsStay)
		self.assertEqual((fact.level, [it.name for it in fact.programs]), (Level.NOTE, ["web"]))
		self.assertEqual((report.outcome, report.stays), (Phase.DONE, {"web": ALONE.reason}))


class TestWorkersThatCannot(BoundCase):
	lossless: ClassVar[tuple[str, ...]] = ()
	with_scheduler = False

	def test_they_are_drained_and_named_and_the_queue_runs_again(self):
		for strategy in FOUR:
			with self.subTest(strategy=strategy):
				self.setUp()
				run = self.run_with(strategy)
				error = self.fails(run)
				self.assertIn(
					"Not restarted: short, long (it cannot be restarted alone). Restarted: web.", str(error)
				)
				self.assertEqual((error.exit_code, error.hint), (4, ALONE.remedies[0]))
				[fact] = run.of(events.ProgramsStay)
				self.assertEqual(fact.level, Level.WARNING)
				self.assertIsNone(self.bench.queue.look().suspension)
				self.assert_nothing_ended()

	def test_no_job_is_killed_for_nothing(self):
		task = self.bench.queue.enqueue("running", seconds=500)
		error = self.fails(self.run_with(Strategy.FAST), DrainTimeout)
		self.assertEqual((error.exit_code, task.status), (3, "started"))
		self.assertEqual(self.pids(), self.before)

	def test_where_nothing_else_is_to_be_restarted_it_is_refused(self):
		error = self.fails(self.run_with(Strategy.WAIT_WORKERS, web=False), WrongEnvironment)
		self.assertIn("short, long (it cannot be restarted alone). Nothing was changed.", str(error))
		self.assertEqual((error.exit_code, error.hint), (7, ALONE.remedies[0]))

	def test_web_alone_is_restarted(self):
		self.assertEqual(self.run_with(Strategy.FAST, workers=False).go().outcome, Phase.DONE)
		self.assert_nothing_ended()


class TestRefusals(BoundCase):
	def test_a_migration_and_suspend_rq_change_nothing(self):
		for options in (
			restart_options(migration=MigrationOptions(), sites=("a.example",)),
			restart_options(Strategy.SUSPEND_RQ),
		):
			with self.subTest(strategy=options.strategy):
				for ask in (
					lambda options=options: Run(self.bench, options).go(),
					lambda options=options: plan_of(self.bench.port(), options),
				):
					with self.assertRaises(WrongEnvironment) as raised:
						ask()
					self.assertIn(
						"without ending all: web, schedule, short, long. Nothing was changed.",
						str(raised.exception),
					)
				self.assertEqual((self.pids(), self.bench.processes.orders), (self.before, []))

	def test_web_that_reloads_is_told_as_such(self):
		plan = plan_of(self.bench.port(), Options(Strategy.WAIT_WORKERS))
		self.assertTrue(plan.web_ways["web"].is_reloading)
		self.assertEqual({it.name for it in plan.reloads}, {"schedule", *WORKERS})


class TestTheEndOfAll(BoundCase):
	def test_one_whose_process_has_ended_is_not_waited_for(self):
		# Given a worker that was asked, and whose manager ends all of its programs
		run = self.run_with(Strategy.WAIT_WORKERS, web=False)
		run.when(events.ReloadAsked, self.end_all)
		error = self.fails(run)
		self.assertIn("its process has ended, and with it all that its manager ran", str(error))
		self.assertIn("Start them again: in-memory start", error.hint)
		self.assertLess(run.operation.report.seconds, 40)

	def test_where_a_person_starts_all_again_that_is_as_good(self):
		run = self.run_with(Strategy.WAIT_WORKERS)
		run.when(events.ReloadAsked, self.end_all)
		self.bench.clock.after(8.0, self.start_all)
		report = run.go()
		by = {change.name: change.by for change in report.processes}
		self.assertEqual((report.outcome, by["short"]), (Phase.DONE, ReplacedBy.MANAGER))
		self.assertFalse(set(self.before.values()) & set(self.pids().values()))

	def end_all(self) -> None:
		for name in self.names():
			self.bench.processes.end(name)
		self.bench.processes.is_away = True

	def start_all(self) -> None:
		self.bench.processes.is_away = False
		for name in self.names():
			self.bench.processes.start(name)
